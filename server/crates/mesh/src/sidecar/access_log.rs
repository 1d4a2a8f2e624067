//! The access log, in Istio's default format ("Envoy Access Logs", "Default access log format").

use super::metrics::Flag;
use super::seen::Line;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Prints one line to standard output; a reader that is gone is no reason to fail.
pub(crate) fn print(line: &Line, status: u16, flag: Flag, took: Duration) {
    let _ = writeln!(std::io::stdout().lock(), "{}", format(line, status, flag, took, SystemTime::now()));
}

fn format(line: &Line, status: u16, flag: Flag, took: Duration, now: SystemTime) -> String {
    let dash = |text: &str| if text.is_empty() { "-".to_string() } else { text.replace('"', "\\\"") };
    let upstream_ms = line.upstream_ms.map_or("-".to_string(), |ms| ms.to_string());
    format!(
        "[{}] \"{} {} {}\" {status} {} via_upstream - \"-\" {} {} {} {upstream_ms} \"{}\" \"{}\" \"{}\" \"{}\" \"{}\" {} - - {} - default",
        timestamp(now.checked_sub(took).unwrap_or(now)),
        dash(&line.method),
        dash(&line.path),
        line.protocol,
        flag.text(),
        line.received,
        line.sent,
        took.as_millis(),
        dash(&line.forwarded_for),
        dash(&line.user_agent),
        dash(&line.request_id),
        dash(&line.authority),
        dash(&line.upstream),
        dash(&line.cluster),
        dash(&line.downstream),
    )
}

/// RFC 3339 with milliseconds, in UTC.
fn timestamp(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = ((since.as_secs() / 86_400) as i64, since.as_secs() % 86_400);
    let (year, month, day) = super::clock::civil(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z", second / 3600, second / 60 % 60, second % 60, since.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_as_istios() {
        let line = Line {
            method: "GET".into(),
            path: "/env/version".into(),
            protocol: "HTTP/1.1",
            authority: "flaskapp:7777".into(),
            user_agent: "curl/8".into(),
            request_id: "id".into(),
            cluster: "outbound|7777|v1|flaskapp.istio-app.svc.cluster.local".into(),
            upstream: "127.64.0.2:7777".into(),
            downstream: "127.64.0.4:1".into(),
            sent: 2,
            upstream_ms: Some(3),
            ..Line::default()
        };
        let at = UNIX_EPOCH + Duration::from_millis(1_763_850_634_005);
        let text = format(&line, 200, Flag::None, Duration::from_millis(4), at);
        assert_eq!(
            text,
            "[2025-11-22T22:30:34.001Z] \"GET /env/version HTTP/1.1\" 200 - via_upstream - \"-\" 0 2 4 3 \"-\" \"curl/8\" \"id\" \"flaskapp:7777\" \
             \"127.64.0.2:7777\" outbound|7777|v1|flaskapp.istio-app.svc.cluster.local - - 127.64.0.4:1 - default"
        );
        assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(951_782_400)), "2000-02-29T00:00:00.000Z");
    }
}
