//! Which types there are, their fields and their fields' numbers. Read from `table.txt`.
use std::collections::HashMap;
use std::sync::LazyLock;

/// What a field holds.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    Text,
    Bool,
    Int,
    Bytes,
    Time,
    MicroTime,
    Quantity,
    IntOrText,
    /// JSON in bytes: `FieldsV1`.
    Json,
    Message(&'static str),
    List(Box<Shape>),
    Map(Box<Shape>),
}

/// A field of a type.
pub(super) struct Field {
    pub number: u64,
    /// `+`: its fields are the parent's, in JSON.
    pub name: &'static str,
    pub shape: Shape,
    /// A pointer in Go: sent only where it is meant, so that zero counts.
    pub pointer: bool,
}

/// Every type, by its name.
pub(super) static TYPES: LazyLock<HashMap<&'static str, Vec<Field>>> =
    LazyLock::new(|| table(include_str!("table.txt")));

fn table(lines: &'static str) -> HashMap<&'static str, Vec<Field>> {
    let mut types: HashMap<&'static str, Vec<Field>> = HashMap::new();
    let mut current = "";
    for line in lines.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_ascii_whitespace();
        if !line.starts_with(' ') {
            current = words.next().unwrap_or_default();
        }
        types.entry(current).or_default().extend(words.filter_map(field));
    }
    types
}

fn field(word: &'static str) -> Option<Field> {
    let (name, rest) = word.split_once('=')?;
    let (number, shape) = rest.split_once(':')?;
    Some(Field {
        number: number.parse().ok()?,
        name,
        shape: Shape::parse(shape.trim_end_matches('?')),
        pointer: shape.ends_with('?'),
    })
}

impl Shape {
    fn parse(text: &'static str) -> Shape {
        let within = |open: char, close: char| text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
        match text {
            "s" => Shape::Text,
            "b" => Shape::Bool,
            "i" => Shape::Int,
            "bytes" => Shape::Bytes,
            "time" => Shape::Time,
            "micro" => Shape::MicroTime,
            "quantity" => Shape::Quantity,
            "port" => Shape::IntOrText,
            "json" => Shape::Json,
            _ => match (within('[', ']'), within('{', '}')) {
                (Some(of), _) => Shape::List(Box::new(Shape::parse(of))),
                (_, Some(of)) => Shape::Map(Box::new(Shape::parse(of))),
                _ => Shape::Message(text),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_the_table_is_there() {
        fn message(shape: &Shape) -> Option<&'static str> {
            match shape {
                Shape::Message(name) => Some(name),
                Shape::List(of) | Shape::Map(of) => message(of),
                _ => None,
            }
        }
        for (name, fields) in TYPES.iter() {
            for field in fields {
                assert!(message(&field.shape).is_none_or(|of| TYPES.contains_key(of)), "{name}.{}", field.name);
            }
        }
    }
}
