//! Pieces that several kinds' cells share: ages, lists, absent values.
use crate::Object;
use jiff::Timestamp;
use serde_json::Value;

/// `metadata.name`.
pub fn name(object: &Object) -> Value {
    object["metadata"]["name"].clone()
}

/// How long ago the object was made: `5m`, `3d4h`; `<unknown>` without a time.
pub fn age(object: &Object) -> Value {
    since(&object["metadata"]["creationTimestamp"]).into()
}

/// How long ago an RFC 3339 time was.
pub(super) fn since(time: &Value) -> String {
    let Some(then) = time.as_str().and_then(|text| text.parse::<Timestamp>().ok()) else {
        return "<unknown>".to_owned();
    };
    human(Timestamp::now().as_second() - then.as_second())
}

/// A duration in at most two units, coarser as it grows; the steps are kubectl's.
pub(super) fn human(seconds: i64) -> String {
    if seconds < -1 {
        return "<invalid>".to_owned();
    }
    let s = seconds.max(0);
    let (minutes, hours, days) = (s / 60, s / 3600, s / 86_400);
    let two = |big: i64, unit: char, small: i64, small_unit: char| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{small_unit}") }
    };
    match s {
        0..120 => format!("{s}s"),
        120..600 => two(minutes, 'm', s % 60, 's'),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, 'h', minutes % 60, 'm'),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, 'd', hours % 24, 'h'),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => two(days / 365, 'y', days % 365, 'd'),
        _ => format!("{}y", days / 365),
    }
}

/// The text, or `absent` where there is none.
pub(super) fn or(value: &Value, absent: &str) -> Value {
    match value.as_str() {
        Some(text) if !text.is_empty() => text.into(),
        _ => absent.into(),
    }
}

/// A number; 0 where there is none.
pub(super) fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

/// Elements of a list; none where it is absent.
pub(super) fn items(value: &Value) -> impl DoubleEndedIterator<Item = &Value> + ExactSizeIterator {
    value.as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn durations_read_as_kubectl_prints_them() {
        for (seconds, text) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (121, "2m1s"),
            (599, "9m59s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (10_860, "3h1m"),
            (28_800, "8h"),
            (172_799, "47h"),
            (172_800, "2d"),
            (176_400, "2d1h"),
            (691_200, "8d"),
            (63_072_000, "2y"),
            (63_158_400, "2y1d"),
            (252_288_000, "8y"),
            (-1, "0s"),
            (-5, "<invalid>"),
        ] {
            assert_eq!(human(seconds), text, "{seconds}");
        }
    }
}
