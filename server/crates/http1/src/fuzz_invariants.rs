//! What must hold of any bytes: the entry points of the fuzz targets and of the properties in the ordinary tests. Each panics where it does not.

use crate::{Framing, Strictness};

/// Bytes as a chunked body that arrives in pieces, the first two bytes saying how long these are: wherever it is cut it ends at the same
/// place, or is refused.
pub fn bodies(bytes: &[u8]) {
    let Some((cuts, body)) = bytes.split_at_checked(2) else { return };
    let [first, next] = [usize::from(cuts[0]).min(body.len()), usize::from(cuts[1]).max(1)];
    for strictness in [Strictness::Strict, Strictness::Lenient] {
        let whole = read(strictness, &mut std::iter::once(body));
        let in_pieces = read(strictness, &mut std::iter::once(&body[..first]).chain(body[first..].chunks(next)));
        assert_eq!(whole, in_pieces, "a cut changes where {} ends", String::from_utf8_lossy(body));
    }
}

/// Where a body ends, whether it does, and its data; `None` where it is refused.
fn read(strictness: Strictness, pieces: &mut dyn Iterator<Item = &[u8]>) -> Option<(usize, bool, Vec<u8>)> {
    let (mut framing, mut end, mut data) = (Framing::chunked(strictness), 0, Vec::new());
    for piece in pieces {
        let taken = framing.take_data(piece, |part| data.extend_from_slice(part)).ok()?;
        assert!(taken <= piece.len() && (taken == piece.len() || framing.is_done()), "a piece is left lying");
        end += taken;
        if framing.is_done() {
            break;
        }
    }
    Some((end, framing.is_done(), data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_body_ends_at_the_same_place_however_it_is_cut(cuts in any::<[u8; 2]>(), parts in prop::collection::vec(prop_oneof![
            Just("3\r\nabc\r\n"), Just("A;x=y\r\n0123456789\r\n"), Just("0\r\n\r\n"), Just("0\r\nt: v\r\n\r\n"), Just("\r\n"), Just("\n"), Just("-1\r\n"), Just("f"), Just("GET /"),
        ], 0..8)) {
            bodies(&[&cuts[..], parts.concat().as_bytes()].concat());
        }
    }
}
