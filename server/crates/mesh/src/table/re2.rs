//! RE2's words for a regular expression → those of the `regex` crate. Source: github.com/google/re2, "Syntax".
//!
//! The two differ in what `\w`, `\d`, `\s` and `\b` mean (ASCII here), in literal braces, in escapes, in classes.

use std::fmt::Write;
use std::iter::Peekable;
use std::str::Chars;

/// Repetitions that RE2 takes.
const MOST_REPEATED: u32 = 1000;

/// The same expression in the engine's words. Errors: what RE2 refuses and the engine would take otherwise.
pub(super) fn translate(source: &str) -> Result<String, String> {
    let mut translation = Translation { rest: source.chars().peekable(), out: String::with_capacity(source.len() * 2) };
    while let Some(c) = translation.rest.next() {
        match c {
            '\\' => translation.escape()?,
            '[' => translation.class()?,
            '{' => translation.brace()?,
            '}' => translation.out.push_str("\\}"),
            '(' => translation.group()?,
            other => translation.out.push(other),
        }
    }
    Ok(translation.out)
}

struct Translation<'a> {
    rest: Peekable<Chars<'a>>,
    out: String,
}

/// A class of ASCII characters, as ranges.
fn perl(letter: char) -> Option<&'static str> {
    match letter.to_ascii_lowercase() {
        'w' => Some("0-9A-Za-z_"),
        'd' => Some("0-9"),
        's' => Some("\\t\\n\\f\\r "),
        _ => None,
    }
}

impl Translation<'_> {
    fn escape(&mut self) -> Result<(), String> {
        let Some(letter) = self.rest.next() else { return Err("trailing backslash at end of expression".to_owned()) };
        if letter == 'Q' {
            self.quoted();
            return Ok(());
        }
        match (perl(letter), letter) {
            (Some(ranges), 'a'..='z') => self.write(format_args!("[{ranges}]")),
            (Some(ranges), _) => self.write(format_args!("[^{ranges}]")),
            (None, 'b') => self.out.push_str("(?-u:\\b)"),
            // Of ASCII alone it could match within a character, which the engine refuses.
            (None, 'B' | 'A' | 'z') => self.write(format_args!("\\{letter}")),
            (None, 'p' | 'P') => self.braced(letter),
            (None, _) => return self.character(letter),
        }
        Ok(())
    }

    /// `\Q` to `\E`, or to the end: as it is.
    fn quoted(&mut self) {
        while let Some(c) = self.rest.next() {
            if c == '\\' && self.rest.next_if_eq(&'E').is_some() {
                return;
            }
            self.out.push_str(&regex_syntax::escape(c.encode_utf8(&mut [0; 4])));
        }
    }

    /// An escape with what is in braces behind it, where there is something: `\x{41}`, `\p{Greek}`.
    fn braced(&mut self, letter: char) {
        self.write(format_args!("\\{letter}"));
        if self.rest.next_if_eq(&'{').is_some() {
            self.out.push('{');
            for c in self.rest.by_ref() {
                self.out.push(c);
                if c == '}' {
                    break;
                }
            }
        }
    }

    /// An escape that stands for one character.
    fn character(&mut self, letter: char) -> Result<(), String> {
        match letter {
            'x' => self.braced(letter),
            'a' | 'f' | 't' | 'n' | 'r' | 'v' => self.write(format_args!("\\{letter}")),
            // Octal: `\1` to `\7` need a second digit, or they would be references.
            '0'..='7' => {
                let mut code = u32::from(letter) - u32::from('0');
                let mut digits = 1;
                while digits < 3
                    && let Some(digit) = self.rest.next_if(|c| ('0'..='7').contains(c))
                {
                    code = code * 8 + u32::from(digit) - u32::from('0');
                    digits += 1;
                }
                if letter != '0' && digits == 1 {
                    return Err(format!("invalid escape sequence: `\\{letter}`"));
                }
                self.write(format_args!("\\x{{{code:x}}}"));
            }
            letter if letter.is_ascii() && !letter.is_ascii_alphanumeric() => self.out.push_str(&escaped(letter)),
            other => return Err(format!("invalid escape sequence: `\\{other}`")),
        }
        Ok(())
    }

    /// A class: the engine would take `[`, `&&`, `--` and `~~` within it as its own.
    fn class(&mut self) -> Result<(), String> {
        self.out.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.out.push('^');
        }
        let mut is_first = true;
        loop {
            match self.rest.next() {
                None => return Err("missing closing ]".to_owned()),
                Some(']') if !is_first => break,
                Some('[') if self.rest.peek() == Some(&':') => {
                    // `[:alpha:]`; both know the same names.
                    self.out.push('[');
                    for c in self.rest.by_ref() {
                        self.out.push(c);
                        if c == ']' {
                            break;
                        }
                    }
                }
                Some('\\') => match self.rest.next() {
                    None => return Err("trailing backslash at end of expression".to_owned()),
                    Some('Q') => self.quoted(),
                    Some(letter @ ('p' | 'P')) => self.braced(letter),
                    Some(letter) => match perl(letter) {
                        Some(ranges) if letter.is_ascii_lowercase() => self.out.push_str(ranges),
                        Some(ranges) => self.write(format_args!("[^{ranges}]")),
                        None => self.character(letter)?,
                    },
                },
                Some(c @ ('[' | ']' | '&' | '~')) => self.write(format_args!("\\{c}")),
                Some('-') if is_first || self.rest.peek() == Some(&']') => self.out.push_str("\\-"),
                Some(other) => self.out.push(other),
            }
            is_first = false;
        }
        self.out.push(']');
        Ok(())
    }

    /// A repetition, or a literal brace.
    fn brace(&mut self) -> Result<(), String> {
        let ahead: String = self.rest.clone().take(12).collect();
        let inner = ahead.split_once('}').map(|(inner, _)| inner);
        let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let Some(inner) = inner.filter(|inner| match inner.split_once(',') {
            Some((low, high)) => number(low) && (high.is_empty() || number(high)),
            None => number(inner),
        }) else {
            self.out.push_str("\\{");
            return Ok(());
        };
        if inner.split(',').any(|n| !n.is_empty() && n.parse::<u32>().map_or(true, |n| n > MOST_REPEATED)) {
            return Err(format!("invalid repeat count: `{{{inner}}}`"));
        }
        self.write(format_args!("{{{inner}}}"));
        self.rest.nth(inner.len());
        Ok(())
    }

    /// A group: of flags RE2 knows four.
    fn group(&mut self) -> Result<(), String> {
        self.out.push('(');
        if self.rest.next_if_eq(&'?').is_none() {
            return Ok(());
        }
        self.out.push('?');
        if matches!(self.rest.peek(), Some('P' | '<')) {
            return Ok(());
        }
        while let Some(flag) = self.rest.next_if(|c| !matches!(c, ':' | ')')) {
            if !"imsU-".contains(flag) {
                return Err(format!("invalid or unsupported Perl syntax: `(?{flag}`"));
            }
            self.out.push(flag);
        }
        Ok(())
    }

    fn write(&mut self, what: std::fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        let _ = self.out.write_fmt(what);
    }
}

/// A punctuation mark as itself; the engine has meanings for some of its escapes.
fn escaped(mark: char) -> String {
    if matches!(mark, '<' | '>' | '_') || mark.is_ascii_control() || mark == ' ' {
        mark.to_string()
    } else {
        format!("\\{mark}")
    }
}
