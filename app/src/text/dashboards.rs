//! Numbers of the dashboards in words: units, and a precision that hides nothing. What is small and not 0 is never written as 0, and
//! what is not all is never 100 %.
use super::messages::dashboards as said;
use super::{Lang, Message, thousands};
use wire::{Figure, Slo, Tally, Unknown};

/// Between a number and its unit: they stay on one line.
const NBSP: char = '\u{a0}';

/// With so many decimals; more where it would be 0.
fn fixed(value: f64, decimals: usize) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if value.abs() < 10_f64.powi(-(decimals as i32)) {
        // One digit that is not 0.
        let needed = (-value.abs().log10()).ceil().clamp(0.0, 9.0) as usize;
        return format!("{value:.needed$}");
    }
    format!("{value:.decimals$}")
}

/// Below 10 with decimals, from there on whole, in groups of three.
fn short(value: f64, decimals: usize) -> String {
    if value.abs() < 9.95 { fixed(value, decimals) } else { thousands(value.round().max(0.0) as u64) }
}

/// `203/s`, `0.05/s`.
pub fn per_second(lang: Lang, value: f64) -> String {
    let unit = if lang == Lang::Zh { "/秒" } else { "/s" };
    format!("{}{unit}", short(value, 1))
}

/// `99.95 %`; in Chinese without a space. Rounded down, so that 100 % is all of them.
pub fn percent(lang: Lang, value: f64) -> String {
    let decimals = if value > 99.0 && value < 100.0 { 2 } else { usize::from(value < 99.0) };
    let scale = 10_f64.powi(decimals as i32);
    let down = (value * scale + 1e-9).floor() / scale;
    let number = if down == 0.0 && value > 0.0 { fixed(value, 1) } else { format!("{down:.decimals$}") };
    with_percent(lang, &number)
}

/// An objective as it was given: `99.9 %`.
pub fn objective(lang: Lang, slo: Slo) -> String {
    with_percent(lang, &slo.to_string())
}

/// A whole percentage: `62 %`, `−3,000 %`.
pub fn whole_percent(lang: Lang, value: f64) -> String {
    let rounded = value.round();
    let sign = if rounded < 0.0 { "−" } else { "" };
    let number = format!("{sign}{}", thousands(rounded.abs() as u64));
    with_percent(lang, &number)
}

fn with_percent(lang: Lang, number: &str) -> String {
    if lang == Lang::Zh { format!("{number}%") } else { format!("{number}{NBSP}%") }
}

/// `1.42 ms`, `120 ms`.
pub fn milliseconds(value: f64) -> String {
    format!("{}{NBSP}ms", short(value, if value < 1.0 { 2 } else { 1 }))
}

/// `1–5 ms`: the bounds of a bucket.
pub fn within([low, high]: [f64; 2]) -> String {
    format!("{low}–{high}{NBSP}ms")
}

/// `318 B`, `1.2 kB`.
pub fn bytes(value: f64) -> String {
    match value {
        v if v < 10_000.0 => format!("{}{NBSP}B", thousands(v.round() as u64)),
        v if v < 1e7 => format!("{}{NBSP}kB", short(v / 1e3, 1)),
        v => format!("{}{NBSP}MB", short(v / 1e6, 1)),
    }
}

/// `1.4×`.
pub fn times(value: f64) -> String {
    format!("{}×", short(value, 1))
}

/// Failures that are allowed: a tenth of one is not 0.
pub fn allowed(value: f64) -> String {
    short(value, 1)
}

/// A number of a tally. Errors: why it is not known.
pub fn figure(lang: Lang, tally: &Tally, figure: Figure) -> Result<String, Message> {
    if let Some(why) = tally.why(figure) {
        return Err(unknown(why));
    }
    let value = tally.get(figure).unwrap_or_default();
    Ok(match figure {
        Figure::Rate => per_second(lang, value),
        Figure::SuccessPercent => percent(lang, value),
        Figure::P50Ms | Figure::P90Ms | Figure::P99Ms => tally.bucket_ms.map_or_else(|| milliseconds(value), within),
        Figure::RequestBytes | Figure::ResponseBytes => bytes(value),
    })
}

/// Why a number is not known.
pub fn unknown(why: Unknown) -> Message {
    match why {
        Unknown::NothingRead => said::why_nothing_read(),
        Unknown::NoRequests => said::why_no_requests(),
        Unknown::TooFewRequests { has, needs } => said::why_too_few(thousands(has), needs.to_string()),
        Unknown::NotReported => said::why_not_reported(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_hide_nothing() {
        let plain = |text: String| text.replace(NBSP, " ");
        for (value, rate, share) in [
            (0.0, "0/s", "0.0 %"),
            (0.003, "0.003/s", "0.003 %"),
            (0.05, "0.05/s", "0.05 %"),
            (0.04, "0.04/s", "0.04 %"),
            (9.97, "10/s", "9.9 %"),
            (99.949, "100/s", "99.94 %"),
            (99.9999, "100/s", "99.99 %"),
            (100.0, "100/s", "100 %"),
            (1_234.4, "1,234/s", "1234 %"),
        ] {
            assert_eq!(
                (plain(per_second(Lang::En, value)), plain(percent(Lang::En, value))),
                (rate.to_owned(), share.to_owned())
            );
        }
        assert_eq!((percent(Lang::Zh, 99.95), per_second(Lang::Zh, 203.0)), ("99.95%".to_owned(), "203/秒".to_owned()));
        for (value, ms, size) in [
            (0.42, "0.42 ms", "0 B"),
            (1.44, "1.4 ms", "1 B"),
            (120.4, "120 ms", "120 B"),
            (12_345.0, "12,345 ms", "12 kB"),
        ] {
            assert_eq!((plain(milliseconds(value)), plain(bytes(value))), (ms.to_owned(), size.to_owned()));
        }
        let left = [(61.6, "62 %"), (-0.2, "0 %"), (-3_000.2, "−3,000 %")];
        assert!(left.iter().all(|(value, text)| plain(whole_percent(Lang::En, *value)) == *text));
        assert_eq!(
            (plain(within([1.0, 5.0])), times(0.04), times(250.0)),
            ("1–5 ms".to_owned(), "0.04×".to_owned(), "250×".to_owned())
        );
    }

    #[test]
    fn a_number_that_is_not_known_is_its_reason() {
        let few = Tally { seconds: 5.0, requests: 12, timed: 12, p50_ms: Some(3.0), ..Tally::default() };
        assert_eq!(figure(Lang::En, &few, Figure::P50Ms), Ok(milliseconds(3.0)));
        let why = figure(Lang::En, &few, Figure::P99Ms).unwrap_err();
        assert_eq!(
            (why.en.as_str(), why.zh.as_str()),
            ("12 requests in this time; it takes at least 100", "此时段仅 12 次请求，至少需要 100 次")
        );
        let coarse = Tally { bucket_ms: Some([1.0, 5.0]), ..few };
        assert_eq!(figure(Lang::En, &coarse, Figure::P50Ms), Ok(within([1.0, 5.0])));
    }
}
