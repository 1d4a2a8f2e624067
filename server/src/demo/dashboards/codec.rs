//! A step of time as bytes: what each flow counted in it, numbers as variable-length integers. Pure.
//!
//! Most steps of a demo have ten flows, each with a handful of buckets that are not empty: about 25 bytes a flow.
use super::flow::Counts;
use super::histogram::{Bounds, Histogram};

/// Appends a flow. `flow` and `bounds` are places in the tables of the store.
pub fn write(out: &mut Vec<u8>, flow: u32, bounds: u32, counts: &Counts) {
    for n in [u64::from(flow), counts.requests, counts.duration_us, counts.sized] {
        put(out, n);
    }
    if counts.sized > 0 {
        put(out, counts.request_bytes);
        put(out, counts.response_bytes);
    }
    let filled = || counts.histogram.buckets().iter().enumerate().filter(|(_, n)| **n > 0);
    put(out, filled().count() as u64);
    if filled().next().is_some() {
        put(out, u64::from(bounds));
    }
    let mut next = 0;
    for (place, n) in filled() {
        put(out, (place - next) as u64);
        put(out, *n);
        next = place + 1;
    }
}

/// Reads the next flow: its place, and what it counted. Returns `None` at the end, and where the bytes are no step.
pub fn read(bytes: &mut &[u8], bounds: &[Bounds]) -> Option<(u32, Counts)> {
    let flow = u32::try_from(take(bytes)?).ok()?;
    let mut counts =
        Counts { requests: take(bytes)?, duration_us: take(bytes)?, sized: take(bytes)?, ..Counts::default() };
    if counts.sized > 0 {
        (counts.request_bytes, counts.response_bytes) = (take(bytes)?, take(bytes)?);
    }
    let filled = take(bytes)?;
    if filled == 0 {
        return Some((flow, counts));
    }
    let bounds = bounds.get(usize::try_from(take(bytes)?).ok()?)?.clone();
    let mut buckets = vec![0; bounds.micros().len() + 1];
    let mut next = 0_usize;
    for _ in 0..filled {
        let place = next.checked_add(usize::try_from(take(bytes)?).ok()?)?;
        *buckets.get_mut(place)? = take(bytes)?;
        next = place + 1;
    }
    counts.histogram = Histogram::new(bounds, buckets)?;
    Some((flow, counts))
}

/// Seven bits a byte, the lowest first; the eighth says that more follow.
fn put(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut n = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        n |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            flow in any::<u32>(), numbers in proptest::array::uniform5(any::<u64>()), buckets in proptest::collection::vec(prop_oneof![Just(0), any::<u64>()], 4)
        ) {
            let tables = [Bounds::new(vec![7]), Bounds::new(vec![1, 2, 3])];
            let [requests, duration_us, sized, request_bytes, response_bytes] = numbers;
            let histogram = match buckets.iter().any(|n| *n > 0) {
                true => Histogram::new(tables[1].clone(), buckets).unwrap(),
                false => Histogram::default(),
            };
            let sizes = if sized > 0 { (request_bytes, response_bytes) } else { (0, 0) };
            let counts = Counts { requests, duration_us, histogram, sized, request_bytes: sizes.0, response_bytes: sizes.1 };
            let mut bytes = Vec::new();
            write(&mut bytes, flow, 1, &counts);
            write(&mut bytes, 3, 0, &Counts::default());
            let mut rest = &bytes[..];
            prop_assert_eq!(read(&mut rest, &tables), Some((flow, counts)));
            prop_assert_eq!(read(&mut rest, &tables), Some((3, Counts::default())));
            prop_assert_eq!(read(&mut rest, &tables), None);
        }

        #[test]
        fn bytes_that_are_no_step_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut rest = &bytes[..];
            while read(&mut rest, &[Bounds::new(vec![7])]).is_some() {}
        }
    }
}
