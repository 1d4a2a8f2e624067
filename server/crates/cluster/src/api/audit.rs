//! The audit log: who asked to change what, from which value to which, and what came of it. A line of JSON a request, in a file that
//! is put aside when it is full; there are never more than two.
use crate::Object;
use crate::auth::Attributes;
use crate::registry::Registry;
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes in a file before it is put aside.
const LIMIT: u64 = 4 * 1024 * 1024;
/// Changed fields that a line names.
const MOST_CHANGES: usize = 12;
/// Characters of a value that a line shows.
const MOST_SHOWN: usize = 120;

/// Where the lines go; nowhere where no file was named.
pub(super) struct Audit {
    path: Option<PathBuf>,
    /// Opened with the first line.
    file: Mutex<Option<(File, u64)>>,
}

/// A request that is under way.
pub(super) struct Asked {
    user: String,
    what: Attributes,
    before: Option<Arc<Object>>,
}

impl Audit {
    pub(super) fn new(path: Option<PathBuf>) -> Audit {
        Audit { path, file: Mutex::new(None) }
    }

    /// Notes how the object is before the request; none where the request changes nothing by what it is.
    pub(super) fn begin(&self, registry: &Registry, user: &str, what: &Attributes) -> Option<Asked> {
        let reads = ["get", "list", "watch"].contains(&what.verb.as_str())
            && !["exec", "attach"].contains(&what.subresource.as_str());
        if self.path.is_none() || reads || what.resource.starts_with("selfsubject") {
            return None;
        }
        Some(Asked { user: user.to_owned(), what: what.clone(), before: object(registry, what) })
    }

    /// Writes the line. `code` is the answer's.
    pub(super) fn end(&self, registry: &Registry, asked: Asked, code: u16) {
        let Asked { user, what, before } = asked;
        let after = object(registry, &what);
        let mut changes = Vec::new();
        if code < 400 {
            let (old, new) = (before.as_deref().unwrap_or(&Value::Null), after.as_deref().unwrap_or(&Value::Null));
            differences("", old, new, &mut changes);
        }
        let line = json!({
            "time": jiff::Timestamp::now().to_string(), "user": user, "verb": what.verb, "group": what.group, "resource": what.resource,
            "subresource": what.subresource, "namespace": what.namespace, "name": what.name, "code": code, "changes": changes,
        });
        if let Err(error) = self.write(&format!("{line}\n")) {
            tracing::warn!(%error, "A line of the audit log could not be written");
        }
    }

    /// A line of this size goes to the page cache; it does not wait for the disk.
    fn write(&self, line: &str) -> std::io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let mut open = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if open.as_ref().is_some_and(|(_, size)| size + line.len() as u64 > LIMIT) {
            *open = None;
            std::fs::rename(path, path.with_extension("log.1"))?;
        }
        let (file, size) = match &mut *open {
            Some(open) => open,
            None => {
                let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
                let size = file.metadata()?.len();
                open.insert((file, size))
            }
        };
        file.write_all(line.as_bytes())?;
        *size += line.len() as u64;
        Ok(())
    }
}

fn object(registry: &Registry, what: &Attributes) -> Option<Arc<Object>> {
    let kind = registry.kinds().find(&what.group, &what.resource).filter(|_| !what.name.is_empty())?;
    registry.get(kind, Some(what.namespace.as_str()).filter(|ns| !ns.is_empty()), &what.name).ok()
}

/// Fields that differ, as `[path, old, new]`. What every write changes is no news.
fn differences(path: &str, old: &Value, new: &Value, found: &mut Vec<Value>) {
    const ALWAYS: [&str; 3] = [".metadata.managedFields", ".metadata.resourceVersion", ".metadata.generation"];
    if old == new || ALWAYS.contains(&path) || found.len() > MOST_CHANGES {
        return;
    }
    if found.len() == MOST_CHANGES {
        return found.push("and more".into());
    }
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let gone = old.keys().filter(|name| !new.contains_key(*name));
            for name in new.keys().chain(gone) {
                let of = |map: &serde_json::Map<String, Value>| map.get(name).cloned().unwrap_or(Value::Null);
                differences(&format!("{path}.{name}"), &of(old), &of(new), found);
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (i, (old, new)) in old.iter().zip(new).enumerate() {
                differences(&format!("{path}[{i}]"), old, new, found);
            }
        }
        _ => found.push(json!([path, shown(old), shown(new)])),
    }
}

fn shown(value: &Value) -> Value {
    let text = value.to_string();
    if text.chars().count() <= MOST_SHOWN {
        value.clone()
    } else {
        format!("{}…", text.chars().take(MOST_SHOWN).collect::<String>()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_named_with_both_values() {
        let route = |a: u32, version: &str| json!({"metadata": {"resourceVersion": version}, "spec": {"http": [{"route": [{"weight": a}, {"weight": 100 - a}]}]}});
        let mut found = Vec::new();
        differences("", &route(80, "1"), &route(20, "2"), &mut found);
        assert_eq!(
            Value::from(found),
            json!([[".spec.http[0].route[0].weight", 80, 20], [".spec.http[0].route[1].weight", 20, 80]])
        );
        let many = |n: u32| Value::Object((0..100).map(|i| (format!("k{i}"), n.into())).collect());
        let mut found = Vec::new();
        differences("", &many(1), &many(2), &mut found);
        assert_eq!((found.len(), found.last().unwrap()), (MOST_CHANGES + 1, &json!("and more")));
    }

    #[test]
    fn the_log_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit::new(Some(folder.path().join("audit.log")));
        let line = format!("{}\n", "x".repeat(100_000));
        for _ in 0..100 {
            audit.write(&line).unwrap();
        }
        let sizes: Vec<u64> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
        assert!(sizes.len() == 2 && sizes.iter().all(|size| *size <= LIMIT), "{sizes:?}");
    }
}
