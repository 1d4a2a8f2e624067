//! The wire format of server-sent events (HTML Living Standard, "Server-sent events").
use serde::Serialize;

/// Appends an event whose data is JSON, on one line.
pub fn json<T: Serialize>(out: &mut Vec<u8>, name: &str, value: &T) {
    let start = out.len();
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    match serde_json::to_writer(&mut *out, value) {
        Ok(()) => out.extend_from_slice(b"\n\n"),
        // Of the types that are sent here none fails; half an event would spoil the next one.
        Err(_) => out.truncate(start),
    }
}

/// Appends an event whose data is text, which may have several lines.
pub fn text(out: &mut Vec<u8>, name: &str, text: &str) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    // A lone carriage return ends a line of the stream as well.
    for line in text.split(['\n', '\r']) {
        out.extend_from_slice(b"\ndata: ");
        out.extend_from_slice(line.as_bytes());
    }
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_data_can_end_an_event() {
        let mut out = Vec::new();
        super::json(&mut out, "a", &"one\n\nevent: b\ntwo");
        super::text(&mut out, "b", "one\n\ntwo\rthree");
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "event: a\ndata: \"one\\n\\nevent: b\\ntwo\"\n\nevent: b\ndata: one\ndata: \ndata: two\ndata: three\n\n"
        );
    }
}
