//! Bearer tokens: 256 random bits, kept in one private file, compared in constant time.
use super::authorize::{Role, User};
use crate::statedir::{StateDir, StateDirError};
use data_encoding::HEXLOWER;
use std::fmt;
use std::sync::Arc;
use subtle::ConstantTimeEq;

const FILE: &str = "tokens";

/// A secret. It has no text form by accident: `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A new one, from the system's random source.
    ///
    /// # Panics
    /// Where the system has no random source: nothing can be kept secret there.
    pub fn random() -> Token {
        let mut bytes = [0_u8; 32];
        #[expect(clippy::expect_used, reason = "documented: without randomness there is no security")]
        getrandom::fill(&mut bytes).expect("the system's random source works");
        Token(HEXLOWER.encode(&bytes))
    }

    /// The secret itself, for a kubeconfig.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    fn matches(&self, offered: &str) -> bool {
        // The length is no secret; every byte is looked at whatever the first ones are.
        self.0.as_bytes().ct_eq(offered.as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Every token that is accepted, and whose it is.
#[derive(Clone, Debug)]
pub struct Tokens {
    table: Arc<[(Token, User)]>,
}

impl Tokens {
    /// Reads the table from the state folder; makes an owner, a presenter and a viewer where there is none.
    /// A line is `token user role [namespace]`; lines that are not are refused, for a lost token must not go unnoticed.
    pub fn open(dir: &StateDir) -> Result<Tokens, StateDirError> {
        if let Some(text) = dir.read(FILE)? {
            let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
            let table: Option<Vec<_>> = lines.map(parse).collect();
            let table = table.filter(|t| !t.is_empty()).ok_or_else(|| StateDirError::Io {
                what: format!(
                    "{} is damaged (a line is: token user role [namespace]); remove it to get new tokens",
                    dir.file(FILE).display()
                ),
                source: std::io::ErrorKind::InvalidData.into(),
            })?;
            return Ok(Tokens { table: table.into() });
        }
        let users = [("owner", Role::Owner), ("presenter", Role::Presenter), ("viewer", Role::Viewer)];
        let table: Vec<_> =
            users.into_iter().map(|(name, role)| (Token::random(), User::new(name, role, None))).collect();
        let lines: String =
            table.iter().map(|(token, user)| format!("{} {} {}\n", token.0, user.name, user.role.as_str())).collect();
        dir.write(FILE, &lines)?;
        Ok(Tokens { table: table.into() })
    }

    /// Whose token this is. Every entry is compared, so that the time tells nothing.
    pub fn authenticate(&self, offered: &str) -> Option<&User> {
        self.table.iter().fold(None, |found, (token, user)| if token.matches(offered) { Some(user) } else { found })
    }

    /// The first user of a role, with the token.
    pub fn of(&self, role: Role) -> Option<(&Token, &User)> {
        self.table.iter().find(|(_, user)| user.role == role).map(|(token, user)| (token, user))
    }

    /// A user by name, for impersonation by the owner.
    pub fn user(&self, name: &str) -> Option<&User> {
        self.table.iter().map(|(_, user)| user).find(|user| user.name == name)
    }
}

fn parse(line: &str) -> Option<(Token, User)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (token, name, role, namespace) = match words[..] {
        [token, name, role] => (token, name, role, None),
        [token, name, role, namespace] => (token, name, role, Some(namespace.to_owned())),
        _ => return None,
    };
    // Anything shorter could be guessed.
    (token.len() >= 32).then_some(())?;
    Some((Token(token.to_owned()), User::new(name, Role::parse(role)?, namespace)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_kept_and_told_apart() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::open(&temp.path().join("s"), false).unwrap();
        let tokens = Tokens::open(&dir).unwrap();
        let (owner, _) = tokens.of(Role::Owner).unwrap();
        assert_eq!(owner.0.len(), 64);
        let again = Tokens::open(&dir).unwrap();
        assert_eq!(again.authenticate(owner.reveal()).unwrap().role, Role::Owner);
        let (viewer, _) = tokens.of(Role::Viewer).unwrap();
        assert_eq!(again.authenticate(viewer.reveal()).unwrap().name, "viewer");
        for wrong in ["", "x", &owner.0[1..], &format!("{}0", owner.0), &owner.0.replace(['a', '1'], "b")] {
            assert!(again.authenticate(wrong).is_none(), "{wrong}");
        }
        assert_eq!(format!("{owner:?}"), "Token(…)");
    }

    #[test]
    fn a_damaged_table_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::open(&temp.path().join("s"), false).unwrap();
        for damaged in ["", "short owner owner\n", "0123456789012345678901234567890123456789 a king\n"] {
            dir.write(FILE, damaged).unwrap();
            assert!(Tokens::open(&dir).is_err(), "{damaged}");
        }
    }
}
