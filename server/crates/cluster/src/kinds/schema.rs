//! The types of the built-in kinds: which fields there are and how their lists merge. Read from `schema.txt`.
use super::Kind;
use std::collections::{BTreeMap, HashMap};
use std::sync::{LazyLock, PoisonError, RwLock};

/// What a value must look like.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// A string.
    Text,
    /// A whole number.
    Int,
    /// Any number.
    Number,
    /// true or false.
    Bool,
    /// A port or a percentage: number or string.
    IntOrText,
    /// `100m`, `1Gi`, or a plain number.
    Quantity,
    /// RFC 3339 in seconds.
    Time,
    /// RFC 3339 in microseconds.
    MicroTime,
    /// Unknown: maps merge field by field, lists are atomic.
    Any,
    /// A custom kind's root: known metadata, the rest unknown.
    Custom,
    /// A type of the table; see [`type_named`].
    Type(&'static str),
    /// A map; true where apply takes it as a whole.
    Map(Box<Shape>, bool),
    /// A list.
    List(Box<Shape>, Merge),
}

/// How a list merges.
#[derive(Clone, Debug, PartialEq)]
pub enum Merge {
    /// As a whole.
    Atomic,
    /// By keys under apply, by the first of them in strategic merge patches.
    Keyed(Vec<&'static str>),
    /// By this key in strategic merge patches; atomic under apply.
    StrategicKey(&'static str),
    /// By this key under apply; replaced by strategic merge patches.
    ApplyKey(&'static str),
    /// A set of plain values in both.
    Set,
    /// A set under apply; replaced by strategic merge patches.
    ApplySet,
}

impl Merge {
    /// The key of strategic merge patches.
    pub fn strategic_key(&self) -> Option<&'static str> {
        match self {
            Merge::Keyed(keys) => keys.first().copied(),
            Merge::StrategicKey(key) => Some(key),
            _ => None,
        }
    }

    /// The keys of server-side apply.
    pub fn apply_keys(&self) -> Option<&[&'static str]> {
        match self {
            Merge::Keyed(keys) => Some(keys),
            Merge::ApplyKey(key) => Some(std::slice::from_ref(key)),
            _ => None,
        }
    }

    /// Whether server-side apply takes it as a set.
    pub fn apply_set(&self) -> bool {
        matches!(self, Merge::Set | Merge::ApplySet)
    }
}

/// A field of a type.
#[derive(Clone, Debug)]
pub struct FieldDef {
    /// Its JSON name.
    pub name: &'static str,
    /// What stands there.
    pub shape: Shape,
    /// Whether the API reference calls it required.
    pub required: bool,
}

/// A type of the table.
#[derive(Clone, Debug)]
pub struct TypeDef {
    /// `PodSpec`.
    pub name: &'static str,
    /// Whether apply takes it as a whole.
    pub atomic: bool,
    /// Whether a custom kind brought it, see [`add_types`].
    pub custom: bool,
    /// In alphabetical order, after apiVersion and kind.
    pub fields: Vec<FieldDef>,
}

static TYPES: LazyLock<HashMap<&'static str, TypeDef>> = LazyLock::new(|| parse(include_str!("schema.txt"), false));
/// Types are part of the program: once added they stay.
static ADDED: RwLock<BTreeMap<&'static str, &'static TypeDef>> = RwLock::new(BTreeMap::new());

/// All built-in types.
pub fn types() -> impl Iterator<Item = &'static TypeDef> {
    TYPES.values()
}

/// Makes the types of custom kinds known, from a text like `schema.txt`, for [`Kind::schema`] to name. Adding them again changes
/// nothing; a built-in type of the same name stays.
pub fn add_types(text: &'static str) {
    let mut added = ADDED.write().unwrap_or_else(PoisonError::into_inner);
    for (name, of) in parse(text, true) {
        added.entry(name).or_insert_with(|| Box::leak(Box::new(of)));
    }
}

/// One type.
pub fn type_named(name: &str) -> Option<&'static TypeDef> {
    TYPES.get(name).or_else(|| ADDED.read().unwrap_or_else(PoisonError::into_inner).get(name).copied())
}

impl Shape {
    /// The shape of a kind's objects.
    pub fn of(kind: &Kind) -> Shape {
        type_named(kind.schema).map_or(Shape::Custom, |t| Shape::Type(t.name))
    }

    /// The shape of a field or of a map's value; `None` where there is no such field.
    pub fn field(&self, name: &str) -> Option<&Shape> {
        const METADATA: &Shape = &Shape::Type("ObjectMeta");
        match self {
            Shape::Type(of) => type_named(of)?.fields.iter().find(|f| f.name == name).map(|f| &f.shape),
            Shape::Map(of, _) => Some(of),
            Shape::Custom => Some(match name {
                "metadata" => METADATA,
                "apiVersion" | "kind" => &Shape::Text,
                _ => &Shape::Any,
            }),
            Shape::Any => Some(&Shape::Any),
            _ => None,
        }
    }

    /// The shape of a list's elements.
    pub fn element(&self) -> &Shape {
        match self {
            Shape::List(of, _) => of,
            _ => &Shape::Any,
        }
    }

    /// How it merges, where it is a list.
    pub fn merge(&self) -> &Merge {
        match self {
            Shape::List(_, merge) => merge,
            _ => &Merge::Atomic,
        }
    }

    /// Whether apply takes a map of this shape as a whole.
    pub fn atomic(&self) -> bool {
        match self {
            Shape::Type(of) => type_named(of).is_some_and(|t| t.atomic),
            Shape::Map(_, atomic) => *atomic,
            _ => false,
        }
    }
}

fn parse(text: &'static str, custom: bool) -> HashMap<&'static str, TypeDef> {
    let mut types: HashMap<&'static str, TypeDef> = HashMap::new();
    let mut current: Option<TypeDef> = None;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        if !line.starts_with(' ')
            && let Some(head) = words.next()
        {
            let name = head.trim_end_matches('=');
            let next = TypeDef { name, atomic: name.len() < head.len(), custom, fields: Vec::new() };
            if let Some(done) = current.replace(next) {
                types.insert(done.name, done);
            }
        }
        for (name, shape) in words.filter_map(|word| word.split_once(':')) {
            let bare = shape.trim_end_matches('!');
            if let Some(current) = &mut current {
                current.fields.push(FieldDef { name, shape: shape_of(bare), required: bare.len() < shape.len() });
            }
        }
    }
    types.extend(current.map(|last| (last.name, last)));
    types
}

fn shape_of(text: &'static str) -> Shape {
    if let Some(rest) = text.strip_prefix('[') {
        let (of, how) = rest.rsplit_once(']').unwrap_or((rest, ""));
        let merge = match (how.chars().next(), how.trim_start_matches(['^', '~'])) {
            (Some('{'), keys) => Merge::Keyed(keys.trim_matches(['{', '}']).split(',').collect()),
            (Some('~'), key) => Merge::StrategicKey(key),
            (Some('^'), "") => Merge::ApplySet,
            (Some('^'), key) => Merge::ApplyKey(key),
            (Some('*'), _) => Merge::Set,
            _ => Merge::Atomic,
        };
        return Shape::List(Box::new(shape_of(of)), merge);
    }
    if let Some(rest) = text.strip_prefix('{') {
        let (of, how) = rest.rsplit_once('}').unwrap_or((rest, ""));
        return Shape::Map(Box::new(shape_of(of)), how == "=");
    }
    match text {
        "string" => Shape::Text,
        "int" => Shape::Int,
        "number" => Shape::Number,
        "bool" => Shape::Bool,
        "int-or-string" => Shape::IntOrText,
        "quantity" => Shape::Quantity,
        "time" => Shape::Time,
        "micro-time" => Shape::MicroTime,
        "any" => Shape::Any,
        name => Shape::Type(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_that_is_named_exists() {
        fn check(shape: &Shape) {
            match shape {
                Shape::Type(name) => assert!(type_named(name).is_some(), "{name}"),
                Shape::Map(of, _) | Shape::List(of, _) => check(of),
                _ => {}
            }
        }
        types().flat_map(|t| &t.fields).for_each(|f| check(&f.shape));
        for kind in super::super::Kinds::builtin().iter() {
            assert!(matches!(Shape::of(kind), Shape::Type(name) if name == kind.kind), "{}", kind.kind);
        }
    }

    #[test]
    fn merge_keys_are_read() {
        let container = Shape::Type("Container");
        assert_eq!(container.field("ports").unwrap().merge().apply_keys().unwrap(), ["containerPort", "protocol"]);
        assert_eq!(container.field("ports").unwrap().merge().strategic_key(), Some("containerPort"));
        assert_eq!(container.field("args").unwrap().merge(), &Merge::Atomic);
        assert_eq!(Shape::Type("PodStatus").field("hostIPs").unwrap().merge(), &Merge::StrategicKey("ip"));
        assert_eq!(Shape::Type("Endpoint").field("addresses").unwrap().merge(), &Merge::ApplySet);
        assert!(Shape::Type("ServiceSpec").field("selector").unwrap().atomic());
        assert!(Shape::Type("LabelSelector").atomic());
        assert!(container.field("nonsense").is_none());
    }
}
