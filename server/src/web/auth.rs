//! The token people must give where one is set: by header for curl, by a session's cookie for browsers.
//!
//! **Invariant:** a token is compared in constant time, and is in no address, log or answer. Wrong tokens are answered more and more
//! slowly per address ([`WrongTokens`]); the correct one always works, and at once.
use axum::http::{HeaderMap, HeaderValue, header};
use cookie::{Cookie, SameSite};
use data_encoding::HEXLOWER;
use listen::WrongTokens;
use prometheus_client::metrics::counter::Counter;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq;

/// How long a browser stays signed in: a working day.
const SESSION: cookie::time::Duration = cookie::time::Duration::hours(12);
/// Most sessions kept; the oldest make room.
const SESSIONS: usize = 1_000;
/// The cookie's name.
const COOKIE: &str = "demo-panel-session";

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No token, no session.
    SignedOut,
    /// A wrong token. The answer has to wait this long.
    Wrong(Duration),
}

/// A digest: of one length, so that neither length nor place of the first difference shows in time.
type Hash = [u8; 32];

/// Who may in.
pub struct Gate {
    token: Option<Hash>,
    /// Whether browsers reach us by TLS: the cookie is then kept to it.
    secure: bool,
    wrong: Mutex<WrongTokens>,
    /// Wrong tokens since the start.
    wrong_total: Counter,
    /// Digests of the sessions' cookies, with their ends.
    sessions: Mutex<BTreeMap<Hash, Instant>>,
}

fn hash(text: &str) -> Hash {
    Sha256::digest(text.as_bytes()).into()
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gate {
    /// Open where there is no token.
    pub fn new(token: Option<&str>, secure: bool) -> Gate {
        Gate {
            token: token.map(hash),
            secure,
            wrong: Mutex::default(),
            wrong_total: Counter::default(),
            sessions: Mutex::default(),
        }
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
        let id = HEXLOWER.encode(&bytes);
        let mut sessions = held(&self.sessions);
        sessions.retain(|_, end| *end > Instant::now());
        if sessions.len() >= SESSIONS
            && let Some(oldest) = sessions.iter().min_by_key(|(_, end)| **end).map(|(id, _)| *id)
        {
            sessions.remove(&oldest);
        }
        sessions.insert(hash(&id), Instant::now() + SESSION);
        let cookie = Cookie::build((COOKIE, id)).path("/").max_age(SESSION).same_site(SameSite::Strict);
        let line = cookie.http_only(true).secure(self.secure).to_string();
        HeaderValue::from_str(&line).map_err(|_| Refused::SignedOut)
    }

    /// Counts wrong tokens, for `/metrics`.
    pub fn wrong_total(&self) -> Counter {
        self.wrong_total.clone()
    }

    fn compare(&self, token: &Hash, given: &str, from: IpAddr) -> Result<(), Refused> {
        if hash(given).ct_eq(token).into() {
            return Ok(());
        }
        self.wrong_total.inc();
        Err(Refused::Wrong(held(&self.wrong).delay(from, Instant::now())))
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
    let mut cookies = lines.flat_map(Cookie::split_parse).flatten();
    cookies.find(|cookie| cookie.name() == COOKIE).map(|cookie| cookie.value().to_owned())
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
    fn wrong_tokens_wait_longer_each_time_and_lock_nobody_out() {
        let gate = Gate::new(Some("right"), false);
        let (from, wrong) = (IpAddr::from([10, 0, 0, 1]), with("authorization", "Bearer wrong"));
        let delay = |refused: Result<(), Refused>| match refused {
            Err(Refused::Wrong(delay)) => delay.as_millis(),
            other => panic!("{other:?}"),
        };
        assert_eq!(gate.admit(&HeaderMap::new(), from), Err(Refused::SignedOut), "no token is no guess");
        for (i, expected) in [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000].into_iter().enumerate() {
            let answer = if i % 2 == 0 { gate.admit(&wrong, from) } else { gate.sign_in("wrong", from).map(drop) };
            assert_eq!(delay(answer), expected);
            assert_eq!(
                gate.admit(&with("authorization", "Bearer right"), from),
                Ok(()),
                "the correct one always works"
            );
        }
        assert!(gate.sign_in("right", from).is_ok());
        assert_eq!(delay(gate.admit(&wrong, from)), 5_000, "and does not forgive the wrong ones");
        assert_eq!(delay(gate.admit(&wrong, IpAddr::from([10, 0, 0, 2]))), 250, "another address");
        assert_eq!(gate.wrong_total().get(), 9);
    }

    #[test]
    fn a_session_is_a_cookie_that_only_this_server_made() {
        let from = IpAddr::from([10, 0, 0, 1]);
        for secure in [true, false] {
            let gate = Gate::new(Some("right"), secure);
            let line = gate.sign_in(" right\n", from).unwrap().to_str().unwrap().to_owned();
            for attribute in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
                assert!(line.split("; ").any(|part| part == attribute), "{attribute}: {line}");
            }
            assert_eq!(line.split("; ").any(|part| part == "Secure"), secure, "{line}");
            assert!(!line.contains("right"), "{line}");
            let pair = line.split(';').next().unwrap();
            assert_eq!(gate.admit(&with("cookie", &format!("lang=en; {pair}")), from), Ok(()));
            for wrong in
                ["demo-panel-session=", "demo-panel-session=00", &pair.replace("session=", "session=0"), "other=1"]
            {
                assert_eq!(gate.admit(&with("cookie", wrong), from), Err(Refused::SignedOut), "{wrong}");
            }
            assert_eq!(
                Gate::new(Some("right"), secure).admit(&with("cookie", pair), from),
                Err(Refused::SignedOut),
                "another start"
            );
        }
        assert_eq!(Gate::new(None, false).admit(&HeaderMap::new(), from), Ok(()));
    }
}
