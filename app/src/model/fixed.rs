//! Decimal figures. The standard library's way to round takes kilobytes in the browser, and more time than a path needs.
use std::fmt;

/// A figure with a fixed number of decimals; see [`fixed`].
#[derive(Clone, Copy)]
pub struct Fixed {
    value: f64,
    digits: usize,
}

/// `value` with `digits` (0 to 2) decimals, rounded half away from zero. Values beyond 10^15 are cut short there.
pub fn fixed(value: f64, digits: usize) -> Fixed {
    Fixed { value, digits: digits.min(2) }
}

impl fmt::Display for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = [1_i64, 10, 100][self.digits];
        // The cast saturates, and makes 0 of what is not a number.
        let scaled = (self.value.clamp(-1e15, 1e15) * scale as f64).round() as i64;
        let (sign, whole, rest) =
            (if scaled < 0 { "-" } else { "" }, (scaled / scale).unsigned_abs(), (scaled % scale).unsigned_abs());
        match self.digits {
            0 => write!(f, "{sign}{whole}"),
            1 => write!(f, "{sign}{whole}.{rest}"),
            _ => write!(f, "{sign}{whole}.{rest:02}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_rounded_as_the_standard_library_does() {
        for value in [0.0, 0.04, 0.06, -0.04, 1.25, 20.449, 99.996, 100.0, -3.7, 12345.678] {
            for digits in [0, 1, 2] {
                let standard = format!("{value:.digits$}");
                let ours = fixed(value, digits).to_string();
                let same = ours.parse::<f64>().unwrap() - standard.parse::<f64>().unwrap();
                assert!(
                    same.abs()
                        < 1.1 / [1.0, 10.0, 100.0][digits] * f64::from(u8::from((value * 4.0).fract() == 0.0)) + 1e-9,
                    "{value} {digits}: {ours}, {standard}"
                );
            }
        }
        assert_eq!(
            [fixed(-0.04, 1), fixed(f64::NAN, 1), fixed(0.05, 2)].map(|f| f.to_string()),
            ["0.0", "0.0", "0.05"]
        );
    }
}
