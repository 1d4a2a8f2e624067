//! The Prometheus text format as sidecars write it: samples with their labels. Pure. Source: Prometheus, "Exposition formats".
use std::borrow::Cow;

/// Labels of a sample, in the order in which they are written.
pub type Labels<'a> = Vec<(&'a str, Cow<'a, str>)>;

/// One line: the metric's name, its labels as they are written, and the value.
pub struct Sample<'a> {
    /// Name of the metric.
    pub name: &'a str,
    /// What stands between the braces; empty without braces.
    pub labels: &'a str,
    /// The value. A counter is whole, not negative, and far below 2^53.
    pub value: f64,
}

/// The samples of an exposition. Lines that are none are passed over.
pub fn samples(text: &str) -> impl Iterator<Item = Sample<'_>> {
    text.lines().filter_map(|line| {
        let end = line.find(['{', ' '])?;
        let (name, rest) = line.split_at(end);
        if name.is_empty() || name.starts_with('#') {
            return None;
        }
        let (labels, value) = match rest.strip_prefix('{') {
            Some(inner) => inner.split_at_checked(closing(inner)?).map(|(labels, rest)| (labels, &rest[1..]))?,
            None => ("", rest),
        };
        let value = value.split_ascii_whitespace().next()?.parse::<f64>().ok()?;
        (value >= 0.0).then_some(Sample { name, labels, value })
    })
}

/// Where the closing brace is: a value may hold any character, quoted.
fn closing(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'}' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// Splits the label `le` off, where it is the last one: as Envoy and the embedded sidecar write it. The rest is the same for all
/// buckets of a histogram, and for its counter.
pub fn split_bound(labels: &str) -> Option<(&str, f64)> {
    let (rest, bound) = labels.strip_suffix(',').unwrap_or(labels).strip_suffix('"')?.rsplit_once("le=\"")?;
    let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
    Some((rest.trim_end_matches(','), bound))
}

/// Reads labels. Returns `None` for what is no list of labels.
pub fn labels(mut rest: &str) -> Option<Labels<'_>> {
    let mut labels = Labels::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if rest.is_empty() {
            return Some(labels);
        }
        let (name, after) = rest.split_once("=\"")?;
        let (mut end, mut escaped) = (None, false);
        for (at, byte) in after.bytes().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    end = Some(at);
                    break;
                }
                _ => {}
            }
        }
        let (value, after) = after.split_at_checked(end?)?;
        labels.push((name.trim(), unescaped(value)));
        rest = after.get(1..)?;
    }
}

/// Replaces `\"`, `\\` and `\n`.
fn unescaped(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return Cow::Borrowed(value);
    }
    let mut text = String::with_capacity(value.len());
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('n') => text.push('\n'),
                Some(other) => text.push(other),
                None => {}
            },
            other => text.push(other),
        }
    }
    Cow::Owned(text)
}

/// The value of a label; empty where it is missing.
pub fn value<'a>(labels: &'a Labels<'_>, name: &str) -> &'a str {
    labels.iter().find(|(label, _)| *label == name).map_or("", |(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_whatever_their_labels_hold() {
        let text = "# HELP a b\n# TYPE a counter\na 3\nb{} 4 1700000000\nc{x=\"}\",y=\"a\\\"}\\\\\\nb\",le=\"0.5\"} 5\n\nd{x=\"\ne{x=\"1\"} -1\nf{x=\"1\"} x\ng{x=\"1\",} 1e3";
        let read: Vec<(&str, f64)> = samples(text).map(|s| (s.name, s.value)).collect();
        assert_eq!(read, [("a", 3.0), ("b", 4.0), ("c", 5.0), ("g", 1000.0)]);
        let c = samples(text).find(|s| s.name == "c").unwrap();
        let (rest, bound) = split_bound(c.labels).unwrap();
        assert_eq!((rest, bound), ("x=\"}\",y=\"a\\\"}\\\\\\nb\"", 0.5));
        let read = labels(rest).unwrap();
        assert_eq!((value(&read, "x"), value(&read, "y"), value(&read, "z")), ("}", "a\"}\\\nb", ""));
        assert_eq!(split_bound("x=\"1\",le=\"+Inf\"").map(|(_, bound)| bound), Some(f64::INFINITY));
        assert_eq!(split_bound("le=\"1\""), Some(("", 1.0)));
        assert!(labels("x=\"1").is_none() && labels("x").is_none() && split_bound("x=\"1\"").is_none());
    }
}
