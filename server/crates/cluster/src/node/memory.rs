//! A container's memory limit: read from its spec, and compared with what its process has.
use crate::quantity::Quantity;
use serde_json::Value;

/// `resources.limits.memory` in bytes; none where it is not given or malformed (validation has refused that).
pub fn limit(container: &Value) -> Option<u64> {
    match &container["resources"]["limits"]["memory"] {
        Value::String(text) => bytes(text),
        number => number.as_u64(),
    }
}

fn bytes(text: &str) -> Option<u64> {
    let bytes = text.parse::<Quantity>().ok()?.value();
    u64::try_from(bytes).ok().filter(|bytes| *bytes > 0)
}

/// Bytes that a process alone has in memory: the program's own pages are shared with the panel and not counted.
/// Source: proc_pid_status(5), `RssAnon`.
pub fn anonymous(pid: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_bytes() {
        for (text, expected) in [
            ("128Mi", Some(134_217_728)),
            ("1.5Gi", Some(1_610_612_736)),
            ("100M", Some(100_000_000)),
            ("1e3", Some(1000)),
            ("2048", Some(2048)),
            ("1P", Some(1_000_000_000_000_000)),
            ("1n", Some(1)),
            ("", None),
            ("Mi", None),
            ("12 Mi", None),
            ("-1", None),
            ("1e999", None),
            ("ä", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
        assert!(anonymous(std::process::id() as i32).is_some_and(|bytes| bytes > 0));
    }
}
