//! A request's query parameters, by name and typed.
use crate::status::Status;

/// The decoded pairs, in order. A request has few: a list is the fastest map.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// # Errors
    /// 400 where the encoding is broken.
    pub(super) fn parse(raw: &str) -> Result<Query, Status> {
        let decoded = |text: &str| {
            percent_decode(text, true)
                .ok_or_else(|| Status::bad_request("the query is not valid percent-encoded UTF-8"))
        };
        let pairs = raw.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(name)?, decoded(value)?))
        });
        Ok(Query(pairs.collect::<Result<_, Status>>()?))
    }

    /// The first value of that name; an empty one counts as none, as in the real API.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// Every value of that name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Go's `ParseBool`, and `?watch` alone is true.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Status> {
        match self.all(name).next() {
            None => Ok(false),
            Some("" | "1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
            Some(other) => Err(Status::bad_request(format!("{name}: \"{other}\" is not a boolean"))),
        }
    }

    /// A number of any integer type.
    pub(super) fn number<N: std::str::FromStr>(&self, name: &str) -> Result<Option<N>, Status> {
        let parse = |value: &str| {
            value.parse().map_err(|_| Status::bad_request(format!("{name}: \"{value}\" is not a number that fits")))
        };
        self.get(name).map(parse).transpose()
    }
}

/// `None` where an escape is broken or the bytes are not UTF-8.
pub(super) fn percent_decode(raw: &str, plus_is_space: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |b: u8| char::from(b).to_digit(16);
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                u8::try_from(high * 16 + low).ok()?
            }
            b'+' if plus_is_space => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_typed() {
        let query =
            Query::parse("labelSelector=a%3Db%2Cc+in+(d)&watch&limit=500&force=true&command=sh&command=-c&empty=")
                .unwrap();
        assert_eq!(query.get("labelSelector"), Some("a=b,c in (d)"));
        assert_eq!(query.number::<u64>("limit").unwrap(), Some(500));
        assert!(query.flag("watch").unwrap() && query.flag("force").unwrap() && !query.flag("x").unwrap());
        assert_eq!(query.all("command").collect::<Vec<_>>(), ["sh", "-c"]);
        assert_eq!(query.get("empty"), None);
        assert!(Query::parse("a=%f").is_err() && Query::parse("a=%ff").is_err());
        assert!(Query::parse("n=-1").unwrap().number::<u64>("n").is_err());
        assert!(Query::parse("b=2").unwrap().flag("b").is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_query_breaks_it(raw: String) {
            if let Ok(query) = Query::parse(&raw) {
                let _ = (query.flag("a"), query.number::<u64>("b"), query.get("c"));
            }
        }
    }
}
