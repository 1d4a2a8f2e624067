//! How large and how deep a value is: what is stored must be small enough to be written, and shallow enough to be read again.
use serde_json::Value;

/// Levels of maps and lists in an object. serde_json reads 128.
pub(crate) const MAX_DEPTH: usize = 64;

/// A value's measures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    /// As JSON, but for escapes.
    pub(crate) bytes: usize,
    /// Levels of maps and lists.
    pub(crate) depth: usize,
}

impl Size {
    /// Measures a value.
    pub(crate) fn of(value: &Value) -> Size {
        let around = |below: Size, extra: usize, sum: Size| Size {
            bytes: sum.bytes + below.bytes + extra,
            depth: sum.depth.max(below.depth + 1),
        };
        match value {
            Value::Null | Value::Bool(true) => Size { bytes: 4, depth: 0 },
            Value::Bool(false) => Size { bytes: 5, depth: 0 },
            Value::Number(_) => Size { bytes: 8, depth: 0 },
            Value::String(text) => Size { bytes: text.len() + 2, depth: 0 },
            Value::Array(items) => {
                items.iter().fold(Size { bytes: 2, depth: 1 }, |sum, item| around(Size::of(item), 1, sum))
            }
            Value::Object(fields) => fields
                .iter()
                .fold(Size { bytes: 2, depth: 1 }, |sum, (name, field)| around(Size::of(field), name.len() + 4, sum)),
        }
    }
}

/// Text of at most `most` bytes, with a mark where it was cut.
pub(crate) fn shortened(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_measured() {
        for (value, depth) in
            [(json!(1), 0), (json!("text"), 0), (json!([]), 1), (json!({"a": [1, {"b": 2}], "c": false}), 3)]
        {
            let size = Size::of(&value);
            assert_eq!(size.depth, depth, "{value}");
            assert!(size.bytes.abs_diff(value.to_string().len()) <= 20, "{value}: {}", size.bytes);
        }
    }
}
