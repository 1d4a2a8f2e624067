//! How long the answer to a wrong token waits: the more wrong ones an address has sent, the longer.
//!
//! Pure: the caller passes the time and does the waiting. A correct token never waits, so one person's typos lock nobody else out,
//! also where a whole room shares one address.
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Delay of an address's first wrong token; each further one doubles it.
const FIRST: Duration = Duration::from_millis(250);
/// Longest delay of one answer.
const LONGEST: Duration = Duration::from_secs(5);
/// An address without a wrong token for this long starts again at [`FIRST`].
const FORGET: Duration = Duration::from_secs(300);
/// Addresses remembered at once, about 40 bytes each; the one that has been quiet for longest makes room.
const ADDRESSES: usize = 4_096;

/// Wrong tokens by address.
#[derive(Debug, Default)]
pub struct WrongTokens(HashMap<IpAddr, Tries>);

#[derive(Debug)]
struct Tries {
    count: u32,
    last: Instant,
}

impl WrongTokens {
    /// Counts a wrong token and returns how long its answer has to wait.
    pub fn delay(&mut self, from: IpAddr, now: Instant) -> Duration {
        let from = network(from);
        if !self.0.contains_key(&from) && self.0.len() >= ADDRESSES {
            self.make_room(now);
        }
        let tries = self.0.entry(from).or_insert(Tries { count: 0, last: now });
        if now.saturating_duration_since(tries.last) >= FORGET {
            tries.count = 0;
        }
        *tries = Tries { count: tries.count.saturating_add(1), last: now };
        FIRST.saturating_mul(1 << (tries.count - 1).min(16)).min(LONGEST)
    }

    /// Runs once per `ADDRESSES` new addresses at the most often where all of them can be forgotten, else once per new address.
    fn make_room(&mut self, now: Instant) {
        self.0.retain(|_, tries| now.saturating_duration_since(tries.last) < FORGET);
        if self.0.len() >= ADDRESSES
            && let Some(quietest) = self.0.iter().min_by_key(|(_, tries)| tries.last).map(|(from, _)| *from)
        {
            self.0.remove(&quietest);
        }
    }
}

/// An IPv6 subscriber owns a whole /64 (RFC 6177), so its addresses count as one.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wrong_token_of_an_address_waits_longer_than_the_one_before() {
        let (mut wrong, now) = (WrongTokens::default(), Instant::now());
        let mut delays = |from: &str, at: Duration| wrong.delay(from.parse().unwrap(), now + at).as_millis();
        for expected in [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000] {
            assert_eq!(delays("10.0.0.1", Duration::ZERO), expected);
        }
        assert_eq!(delays("10.0.0.2", Duration::ZERO), 250, "another address");
        assert_eq!(delays("::ffff:10.0.0.2", Duration::ZERO), 500, "the same address, written as IPv6");
        assert_eq!(delays("2001:db8::1", Duration::ZERO), 250);
        assert_eq!(delays("2001:db8::2", Duration::ZERO), 500, "the same /64");
        assert_eq!(delays("2001:db8:0:1::2", Duration::ZERO), 250, "another /64");
        assert_eq!(delays("10.0.0.1", FORGET), 250, "quiet for five minutes");
    }

    #[test]
    fn the_table_is_bounded_and_keeps_who_goes_on_trying() {
        let (mut wrong, now) = (WrongTokens::default(), Instant::now());
        let guesser = IpAddr::from([10, 0, 0, 1]);
        for n in 0..3 * ADDRESSES as u32 {
            let at = now + Duration::from_millis(n.into());
            wrong.delay(IpAddr::from(0x0b00_0000_u32.wrapping_add(n).to_be_bytes()), at);
            wrong.delay(guesser, at);
            assert!(wrong.0.len() <= ADDRESSES);
        }
        assert_eq!(wrong.delay(guesser, now + Duration::from_secs(13)), LONGEST);
    }
}
