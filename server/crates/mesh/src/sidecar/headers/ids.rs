//! Random bits as identifiers. A head has several of them, and `write!` takes longer for those than a head takes to parse.

/// The lowest `N` hexadecimal digits, at most 16.
pub(crate) fn hex<const N: usize>(value: u64) -> [u8; N] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'0'; N];
    for (place, digit) in text.iter_mut().rev().take(16).enumerate() {
        *digit = DIGITS[(value >> (4 * place) & 0xf) as usize];
    }
    text
}

/// 128 random bits as 32 hexadecimal digits.
pub(crate) fn hex128([a, b]: [u64; 2]) -> [u8; 32] {
    let mut text = [0; 32];
    text[..16].copy_from_slice(&hex::<16>(a));
    text[16..].copy_from_slice(&hex::<16>(b));
    text
}

/// 128 random bits as a UUID of version 4.
pub(crate) fn uuid([a, b]: [u64; 2]) -> [u8; 36] {
    let mut text = [b'-'; 36];
    text[..8].copy_from_slice(&hex::<8>(a >> 32));
    text[9..13].copy_from_slice(&hex::<4>(a >> 16));
    text[14..18].copy_from_slice(&hex::<4>(a & 0xfff | 0x4000));
    text[19..23].copy_from_slice(&hex::<4>(b >> 48 & 0x3fff | 0x8000));
    text[24..].copy_from_slice(&hex::<12>(b));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_uuid_has_its_version_and_its_variant() {
        assert_eq!(uuid([u64::MAX, u64::MAX]), *b"ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(uuid([0x0123_4567_89ab_cdef, 0]), *b"01234567-89ab-4def-8000-000000000000");
    }

    proptest! {
        #[test]
        fn digits_are_those_of_the_standard_library(a in any::<u64>(), b in any::<u64>(), shift in 0_u32..64) {
            let a = a >> shift;
            prop_assert_eq!(hex::<16>(a).to_vec(), format!("{a:016x}").into_bytes());
            prop_assert_eq!(hex::<4>(a).to_vec(), format!("{:04x}", a & 0xffff).into_bytes());
            prop_assert_eq!(hex128([a, b]).to_vec(), format!("{a:016x}{b:016x}").into_bytes());
        }
    }
}
