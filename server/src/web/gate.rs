//! The token people must give where one is set: by header for curl, by a session's cookie for browsers.
//!
//! **Invariant:** a token is compared in constant time, and is in no address, log or answer. Five wrong ones in five minutes
//! from an address are answered as wrong, those after them as too many; the right one is let in all the same.
use axum::http::{HeaderMap, HeaderValue, header};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Wrong tokens an address may give in [`TRY_WINDOW`].
const TRIES: usize = 5;
const TRY_WINDOW: Duration = Duration::from_secs(300);
/// How long a browser stays signed in: a working day.
const SESSION: Duration = Duration::from_secs(12 * 3600);
/// Most sessions kept; the oldest make room.
const SESSIONS: usize = 1_000;
/// The cookie's name.
const COOKIE: &str = "demo-panel-session";

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No token, no session.
    SignedOut,
    /// A wrong token.
    Wrong,
    /// Too many wrong ones.
    TooMany,
}

/// A digest: of one length, so that neither length nor place of the first difference shows in time.
type Hash = [u8; 32];

/// Who may in.
pub struct Gate {
    token: Option<Hash>,
    /// Whether browsers reach us by TLS: the cookie is then kept to it.
    secure: bool,
    wrong: Mutex<BTreeMap<IpAddr, Vec<Instant>>>,
    /// Digests of the sessions' cookies, with their ends.
    sessions: Mutex<BTreeMap<Hash, Instant>>,
}

fn hash(text: &str) -> Hash {
    Sha256::digest(text.as_bytes()).into()
}

fn same(a: &Hash, b: &Hash) -> bool {
    a.iter().zip(b).fold(0u8, |acc, (x, y)| acc | (x ^ y)) == 0
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gate {
    /// Open where there is no token.
    pub fn new(token: Option<&str>, secure: bool) -> Gate {
        Gate { token: token.map(hash), secure, wrong: Mutex::default(), sessions: Mutex::default() }
    }

    /// Lets a request in, or not.
    pub fn admit(&self, headers: &HeaderMap, from: IpAddr) -> Result<(), Refused> {
        let Some(token) = &self.token else { return Ok(()) };
        if cookie(headers).is_some_and(|given| self.knows(&given)) {
            return Ok(());
        }
        let given = bearer(headers).ok_or(Refused::SignedOut)?;
        self.compare(token, given, from)
    }

    /// A digest of the credentials that [`Gate::admit`] found right, and whether they are a browser's session. `None` without a token.
    pub fn credential(&self, headers: &HeaderMap) -> Option<(u64, bool)> {
        self.token.as_ref()?;
        let session = cookie(headers).filter(|given| self.knows(given));
        let is_session = session.is_some();
        let digest = hash(session.as_deref().or_else(|| bearer(headers))?);
        Some((digest.first_chunk().map_or(0, |head| u64::from_be_bytes(*head)), is_session))
    }

    /// A token that somebody typed. Gives the `Set-Cookie` of a new session.
    pub fn sign_in(&self, given: &str, from: IpAddr) -> Result<HeaderValue, Refused> {
        let token = self.token.as_ref().ok_or(Refused::SignedOut)?;
        self.compare(token, given.trim(), from)?;
        let mut bytes = [0u8; 32];
        // Without randomness there is no session.
        getrandom::fill(&mut bytes).map_err(|_| Refused::SignedOut)?;
        let id: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let mut sessions = held(&self.sessions);
        sessions.retain(|_, end| *end > Instant::now());
        if sessions.len() >= SESSIONS
            && let Some(oldest) = sessions.iter().min_by_key(|(_, end)| **end).map(|(id, _)| *id)
        {
            sessions.remove(&oldest);
        }
        sessions.insert(hash(&id), Instant::now() + SESSION);
        let secure = if self.secure { "; Secure" } else { "" };
        let line = format!("{COOKIE}={id}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{secure}", SESSION.as_secs());
        HeaderValue::from_str(&line).map_err(|_| Refused::SignedOut)
    }

    /// The right token opens whatever others tried: behind a port-forward all people have one address, and nobody shall lock the
    /// others out. So of a token that is guessed, more than [`TRIES`] are looked at; with 256 bits that is of no use to who guesses.
    fn compare(&self, token: &Hash, given: &str, from: IpAddr) -> Result<(), Refused> {
        let right = same(&hash(given), token);
        let mut wrong = held(&self.wrong);
        wrong.retain(|_, tries| tries.last().is_some_and(|t| t.elapsed() < TRY_WINDOW));
        if right {
            return Ok(());
        }
        let tries = wrong.entry(from).or_default();
        tries.retain(|t| t.elapsed() < TRY_WINDOW);
        if tries.len() >= TRIES {
            return Err(Refused::TooMany);
        }
        tries.push(Instant::now());
        Err(Refused::Wrong)
    }

    fn knows(&self, session: &str) -> bool {
        // Looked up by its digest: what is compared is nothing that a client can choose.
        held(&self.sessions).get(&hash(session)).is_some_and(|end| *end > Instant::now())
    }
}

/// `Authorization: Bearer T`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn cookie(headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &str) -> HeaderMap {
        let mut map = HeaderMap::new();
        map.insert(name, HeaderValue::from_str(value).unwrap());
        map
    }

    #[test]
    fn five_wrong_tokens_are_enough() {
        let gate = Gate::new(Some("right"), false);
        let from = IpAddr::from([10, 0, 0, 1]);
        assert_eq!(gate.admit(&with("authorization", "Bearer right"), from), Ok(()));
        assert_eq!(gate.admit(&HeaderMap::new(), from), Err(Refused::SignedOut));
        for i in 0..TRIES {
            let answer = if i % 2 == 0 { gate.admit(&with("authorization", "Bearer wrong"), from) } else { gate.sign_in("wrong", from).map(drop) };
            assert_eq!(answer, Err(Refused::Wrong));
        }
        assert_eq!(gate.admit(&with("authorization", "Bearer wrong"), from), Err(Refused::TooMany));
        assert_eq!(gate.sign_in("wrong", from), Err(Refused::TooMany));
        assert_eq!(gate.admit(&with("authorization", "Bearer right"), from), Ok(()), "who has the token is not locked out by others");
        assert!(gate.sign_in("right", from).is_ok());
        assert_eq!(gate.sign_in("wrong", from), Err(Refused::TooMany), "and does not buy them more tries");
        assert_eq!(gate.admit(&with("authorization", "Bearer right"), IpAddr::from([10, 0, 0, 2])), Ok(()));
    }

    #[test]
    fn a_session_is_a_cookie_that_only_this_server_made() {
        let from = IpAddr::from([10, 0, 0, 1]);
        for (secure, ends) in [(true, "; Secure"), (false, "; Max-Age=43200")] {
            let gate = Gate::new(Some("right"), secure);
            let line = gate.sign_in(" right\n", from).unwrap().to_str().unwrap().to_owned();
            assert!(line.contains("; HttpOnly; SameSite=Strict") && line.ends_with(ends), "{line}");
            assert!(!line.contains("right"), "{line}");
            let pair = line.split(';').next().unwrap();
            assert_eq!(gate.admit(&with("cookie", &format!("lang=en; {pair}")), from), Ok(()));
            for wrong in ["demo-panel-session=", "demo-panel-session=00", &pair.replace("session=", "session=0"), "other=1"] {
                assert_eq!(gate.admit(&with("cookie", wrong), from), Err(Refused::SignedOut), "{wrong}");
            }
            assert_eq!(Gate::new(Some("right"), secure).admit(&with("cookie", pair), from), Err(Refused::SignedOut), "another start");
        }
        assert_eq!(Gate::new(None, false).admit(&HeaderMap::new(), from), Ok(()));
    }
}
