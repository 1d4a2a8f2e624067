//! Kubernetes' quantities: read, compared and written. Pure.
//!
//! Source: Kubernetes API reference, "Quantity"; `k8s.io/apimachinery/pkg/api/resource`.
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// An amount of a resource, exact to a billionth. Two are equal if they are worth the same, however they are written.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

/// How it was written, and so how it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// `100m`, `2`, `3G`.
    Decimal,
    /// `64Mi`.
    Binary,
    /// `2e3`.
    Exponent,
}

/// The text is no quantity, or one beyond 10²⁹.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
pub struct BadQuantity;

/// Billionths of one.
const ONE: i128 = 1_000_000_000;
/// Suffixes by the power of ten.
const DECIMAL: [(&str, i64); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
/// Suffixes by the power of 1024, from 1.
const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

impl Quantity {
    /// In whole units, rounded away from zero, as Kubernetes' `Value()`.
    pub fn value(self) -> i128 {
        divided_up(self.nanos, ONE)
    }

    /// In units, as near as a float can say.
    pub fn as_f64(self) -> f64 {
        self.nanos as f64 / ONE as f64
    }
}

impl FromStr for Quantity {
    type Err = BadQuantity;

    fn from_str(text: &str) -> Result<Quantity, BadQuantity> {
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (digits, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (digits.is_empty() && fraction.is_empty()) {
            return Err(BadQuantity);
        }
        let fraction = fraction.trim_end_matches('0');
        let mut coefficient = 0_i128;
        for digit in digits.bytes().chain(fraction.bytes()) {
            let shifted = coefficient.checked_mul(10).ok_or(BadQuantity)?;
            coefficient = shifted.checked_add(i128::from(digit - b'0')).ok_or(BadQuantity)?;
        }
        let places = i64::try_from(fraction.len()).map_err(|_| BadQuantity)?;
        let (nanos, format) = scaled(coefficient, places, suffix)?;
        Ok(Quantity { nanos: if negative { -nanos } else { nanos }, format })
    }
}

/// `coefficient` with so many decimal places, times what the suffix says, in billionths.
fn scaled(coefficient: i128, places: i64, suffix: &str) -> Result<(i128, Format), BadQuantity> {
    if let Some(power) = BINARY.iter().position(|one| *one == suffix) {
        // More than an int64 is capped, as Kubernetes does it.
        let most = i128::from(i64::MAX) * ONE;
        let whole = coefficient.saturating_mul(1 << (10 * (power + 1)));
        let nanos = shifted(whole, 9 - places).unwrap_or(most).min(most);
        // Less than one is printed with a decimal suffix.
        let format = if nanos > 0 && nanos < ONE { Format::Decimal } else { Format::Binary };
        return Ok((nanos, format));
    }
    let (exponent, format) = match DECIMAL.iter().find(|(one, _)| *one == suffix) {
        Some((_, exponent)) => (*exponent, Format::Decimal),
        None => {
            let digits = suffix.strip_prefix(['e', 'E']).ok_or(BadQuantity)?;
            (digits.parse().map_err(|_| BadQuantity)?, Format::Exponent)
        }
    };
    let by = i64::saturating_add(exponent, 9).saturating_sub(places);
    Ok((shifted(coefficient, by).ok_or(BadQuantity)?, format))
}

/// Times ten to the power of `by`; less than one is rounded up. `None` where it is too large.
fn shifted(number: i128, by: i64) -> Option<i128> {
    if number == 0 {
        return Some(0);
    }
    let power = u32::try_from(by.unsigned_abs()).ok().and_then(|by| 10_i128.checked_pow(by));
    match (by >= 0, power) {
        (true, power) => number.checked_mul(power?),
        (false, Some(power)) => Some(divided_up(number, power)),
        (false, None) => Some(1),
    }
}

/// Rounded away from zero.
fn divided_up(number: i128, by: i128) -> i128 {
    number / by + if number % by == 0 { 0 } else { number.signum() }
}

impl fmt::Display for Quantity {
    /// The canonical form: no fraction, the largest suffix that allows for that.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let whole = self.nanos % ONE == 0;
        if self.format == Format::Binary && whole && self.nanos.abs() >= 1024 * ONE {
            let (mut number, mut suffix) = (self.nanos / ONE, "");
            for larger in BINARY {
                if number % 1024 != 0 {
                    break;
                }
                (number, suffix) = (number / 1024, larger);
            }
            return write!(f, "{number}{suffix}");
        }
        let (mut number, mut exponent) = (self.nanos, -9);
        // An exponent has no end, the suffixes have.
        while number % 1000 == 0 && (self.format == Format::Exponent || exponent < 18) {
            (number, exponent) = (number / 1000, exponent + 3);
        }
        match DECIMAL.iter().find(|(_, power)| *power == exponent) {
            Some((suffix, power)) if self.format != Format::Exponent || *power == 0 => write!(f, "{number}{suffix}"),
            _ => write!(f, "{number}e{exponent}"),
        }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Quantity) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantities_are_printed_as_kubernetes_does() {
        for (text, canonical) in [
            ("0", Some("0")),
            ("-0", Some("0")),
            ("0Ki", Some("0")),
            ("100m", Some("100m")),
            ("0.1", Some("100m")),
            ("1.5", Some("1500m")),
            ("1500m", Some("1500m")),
            ("2000m", Some("2")),
            (".5", Some("500m")),
            ("5.", Some("5")),
            ("+5", Some("5")),
            ("-1.5", Some("-1500m")),
            ("1000", Some("1k")),
            ("1024", Some("1024")),
            ("12500k", Some("12500k")),
            ("1E", Some("1E")),
            ("1000E", Some("1000E")),
            ("3n", Some("3n")),
            ("3u", Some("3u")),
            ("0.1n", Some("1n")),
            ("-0.1n", Some("-1n")),
            ("1e-40", Some("1e-9")),
            ("1e3", Some("1e3")),
            ("1E3", Some("1e3")),
            ("1e+3", Some("1e3")),
            ("12e5", Some("1200e3")),
            ("1e0", Some("1")),
            ("1.5e-3", Some("1500e-6")),
            ("1e24", Some("1e24")),
            ("1Ki", Some("1Ki")),
            ("0.5Ki", Some("512")),
            ("1.5Gi", Some("1536Mi")),
            ("1024Mi", Some("1Gi")),
            ("-2048Ki", Some("-2Mi")),
            ("0.0001Ki", Some("102400u")),
            ("7Ei", Some("7Ei")),
            ("8Ei", Some("9223372036854775807")),
            ("99999999999999999999Ei", Some("9223372036854775807")),
            ("", None),
            (".", None),
            ("-", None),
            ("1.2.3", None),
            ("1e", None),
            ("1e3.5", None),
            ("1e999", None),
            ("1ki", None),
            ("1K", None),
            ("1mm", None),
            ("1Mi5", None),
            ("1 Mi", None),
            (" 1", None),
            ("--1", None),
            ("x", None),
            ("ä", None),
        ] {
            let printed = text.parse::<Quantity>().ok().map(|quantity| quantity.to_string());
            assert_eq!(printed.as_deref(), canonical, "{text:?}");
        }
    }

    #[test]
    fn quantities_are_compared_by_what_they_are_worth() {
        let read = |text: &str| text.parse::<Quantity>().unwrap();
        for (less, more, order) in [
            ("1000m", "1", Ordering::Equal),
            ("1e3", "1k", Ordering::Equal),
            ("1Ki", "1024", Ordering::Equal),
            ("1G", "1Gi", Ordering::Less),
            ("999999999n", "1", Ordering::Less),
            ("9007199254740992", "9007199254740993", Ordering::Less),
            ("-1", "1n", Ordering::Less),
        ] {
            assert_eq!(read(less).cmp(&read(more)), order, "{less} {more}");
            assert_eq!(read(less) == read(more), order == Ordering::Equal, "{less} {more}");
        }
        for (text, value) in [("1500m", 2), ("-1500m", -2), ("128Mi", 134_217_728), ("1n", 1)] {
            assert_eq!(read(text).value(), value, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_worth_the_same(text in "[+-]?[0-9]{0,12}\\.?[0-9]{0,12}(|[numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,2})") {
            if let Ok(quantity) = text.parse::<Quantity>() {
                let printed = quantity.to_string();
                prop_assert_eq!(printed.parse(), Ok(quantity), "{}", printed);
                prop_assert_eq!(printed.parse::<Quantity>().unwrap().to_string(), printed);
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,20}|[0-9.eEinumkKMGTP+-]{0,50}") {
            let _ = text.parse::<Quantity>().map(|quantity| (quantity.to_string(), quantity.value()));
        }
    }
}
