//! How much memory objects may take, all together and those of one namespace. Counted as the process holds them: JSON and values.
use super::Key;
use crate::status::Status;
use std::collections::HashMap;

const MIB: usize = 1024 * 1024;

/// Limits in bytes of memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quota {
    /// Of all objects. The process must stay below 256 MiB with it.
    pub(super) total: usize,
    /// Of the objects of one namespace, so that one cannot take the room of all others.
    pub(super) namespace: usize,
    /// Beyond either limit, for what controllers and the node report of objects that are there.
    pub(super) reserve: usize,
}

impl Default for Quota {
    fn default() -> Quota {
        Quota { total: 144 * MIB, namespace: 64 * MIB, reserve: 16 * MIB }
    }
}

/// What is used of a [`Quota`].
pub(super) struct Usage {
    quota: Quota,
    total: usize,
    namespaces: HashMap<String, usize>,
}

impl Usage {
    pub(super) fn new(quota: Quota) -> Usage {
        Usage { quota, total: 0, namespaces: HashMap::new() }
    }

    pub(super) fn clear(&mut self) {
        self.total = 0;
        self.namespaces.clear();
    }

    pub(super) fn add(&mut self, namespace: &str, bytes: usize) {
        self.total += bytes;
        *self.namespaces.entry(namespace.to_owned()).or_default() += bytes;
    }

    /// Exchanges an object's `before` for `after`. Errors: 403 where it grows beyond a limit; then nothing is changed.
    pub(super) fn change(
        &mut self,
        key: &Key,
        before: usize,
        after: usize,
        may_use_reserve: bool,
    ) -> Result<(), Status> {
        let of_namespace = self.namespaces.get(&key.namespace).copied().unwrap_or(0);
        let grown = |used: usize| used.saturating_sub(before).saturating_add(after);
        if after > before {
            let reserve = if may_use_reserve { self.quota.reserve } else { 0 };
            let whose = if key.namespace.is_empty() {
                "objects without a namespace".to_owned()
            } else {
                format!("namespace {}", key.namespace)
            };
            for (whose, used, limit) in
                [(whose.as_str(), of_namespace, self.quota.namespace), ("cluster", self.total, self.quota.total)]
            {
                if grown(used) > limit.saturating_add(reserve) {
                    return Err(exceeded(key, whose, after - before, used, limit));
                }
            }
        }
        self.total = grown(self.total);
        match grown(of_namespace) {
            0 => drop(self.namespaces.remove(&key.namespace)),
            bytes => drop(self.namespaces.insert(key.namespace.clone(), bytes)),
        }
        Ok(())
    }
}

fn exceeded(key: &Key, whose: &str, requested: usize, used: usize, limit: usize) -> Status {
    Status::forbidden(format!(
        "{} \"{}\" is forbidden: exceeded quota: {whose}, requested: memory={requested}, used: memory={used}, limited: memory={limit}; \
         delete objects that are no longer needed, or make this one smaller",
        key.resource, key.name
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_beyond_a_limit_is_refused_and_what_shrinks_is_not() {
        let mut usage = Usage::new(Quota { total: 100, namespace: 60, reserve: 10 });
        let key = |namespace: &str| Key::new("configmaps", namespace, "x");
        let mut change = |namespace: &str, before, after, reserve| {
            usage.change(&key(namespace), before, after, reserve).map_err(|status| status.message)
        };
        assert_eq!(change("a", 0, 60, false), Ok(()));
        let refused = change("a", 0, 1, false).unwrap_err();
        assert!(refused.starts_with("configmaps \"x\" is forbidden: exceeded quota: namespace a, requested: memory=1, used: memory=60, limited: memory=60;"), "{refused}");
        assert_eq!(change("a", 0, 10, true), Ok(()));
        assert_eq!(change("a", 70, 65, false), Ok(()), "smaller, though still too large");
        assert_eq!(change("b", 0, 35, false), Ok(()));
        assert!(change("b", 0, 1, false).unwrap_err().contains("exceeded quota: cluster"));
        assert_eq!(change("a", 65, 0, false), Ok(()));
        assert_eq!(change("b", 0, 1, false), Ok(()));
        assert_eq!(usage.namespaces.len(), 1);
    }
}
