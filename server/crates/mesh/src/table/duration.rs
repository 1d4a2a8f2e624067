//! Durations as protobuf's JSON (`1.5s`) and Go (`1h2m3.5s`, `250ms`) write them.

/// Milliseconds, rounded down; `None` where it is no duration.
pub(crate) fn duration_ms(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0.0_f64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit_ms = match &rest[..end] {
            "h" => 3_600_000.0,
            "m" => 60_000.0,
            "s" => 1_000.0,
            "ms" => 1.0,
            "us" | "µs" => 0.001,
            "ns" => 0.000_001,
            _ => return None,
        };
        total += number * unit_ms;
        rest = &rest[end..];
    }
    // Half a nanosecond, so that 0.3s does not become 299 ms.
    (total.is_finite() && total < 1e15).then_some((total + 0.000_000_5) as u64)
}

#[cfg(test)]
mod tests {
    use super::duration_ms;

    #[test]
    fn durations_of_both_kinds_are_read() {
        for (text, ms) in [
            ("1s", Some(1000)),
            ("0.3s", Some(300)),
            ("1h2m3.5s", Some(3_723_500)),
            ("250ms", Some(250)),
            ("10us", Some(0)),
            ("", None),
            ("5", None),
            ("s", None),
            ("1d", None),
            ("-1s", None),
            ("1.2.3s", None),
        ] {
            assert_eq!(duration_ms(text), ms, "{text}");
        }
    }
}
