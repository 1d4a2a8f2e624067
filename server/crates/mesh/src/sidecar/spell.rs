//! Numbers as text. A head has half a dozen of them, and `write!` takes longer for those than a head takes to parse.

/// Appends the lowest `digits` hexadecimal digits, at most 16.
pub(crate) fn push_hex(out: &mut Vec<u8>, value: u64, digits: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 16];
    let text = &mut text[..digits.min(16)];
    for (place, digit) in text.iter_mut().rev().enumerate() {
        *digit = DIGITS[(value >> (4 * place) & 0xf) as usize];
    }
    out.extend_from_slice(text);
}

/// Appends a number in decimal digits.
pub(crate) fn push_decimal(out: &mut Vec<u8>, value: u64) {
    let (mut text, mut at, mut rest) = ([0; 20], 20, value);
    loop {
        at -= 1;
        text[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            return out.extend_from_slice(&text[at..]);
        }
    }
}

/// Appends 128 random bits as a UUID of version 4.
pub(crate) fn push_uuid(out: &mut Vec<u8>, [a, b]: [u64; 2]) {
    for (value, digits, after) in [
        (a >> 32, 8, true),
        (a >> 16, 4, true),
        (a & 0xfff | 0x4000, 4, true),
        (b >> 48 & 0x3fff | 0x8000, 4, true),
        (b, 12, false),
    ] {
        push_hex(out, value, digits);
        if after {
            out.push(b'-');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spelled(how: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        how(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_uuid_has_its_version_and_its_variant() {
        assert_eq!(spelled(|out| push_uuid(out, [u64::MAX, u64::MAX])), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(spelled(|out| push_uuid(out, [0x0123_4567_89ab_cdef, 0])), "01234567-89ab-4def-8000-000000000000");
    }

    proptest! {
        #[test]
        fn numbers_are_spelled_as_by_the_standard_library(value in any::<u64>(), shift in 0_u32..64) {
            let value = value >> shift;
            prop_assert_eq!(spelled(|out| push_hex(out, value, 16)), format!("{value:016x}"));
            prop_assert_eq!(spelled(|out| push_hex(out, value, 4)), format!("{:04x}", value & 0xffff));
            prop_assert_eq!(spelled(|out| push_decimal(out, value)), value.to_string());
        }
    }
}
