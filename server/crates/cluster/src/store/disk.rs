//! The redb file: two tables, one with objects as JSON, one with the format version and the revision counter.
use super::{Key, StoreError};
use crate::Object;
use redb::{Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// `resource/namespace/name` → the object's JSON.
const OBJECTS: TableDefinition<&str, &[u8]> = TableDefinition::new("objects");
/// `format`, `revision`.
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// Rows of [`OBJECTS`] that could not be read, kept for whoever wants to look.
const UNREADABLE: TableDefinition<&str, &[u8]> = TableDefinition::new("unreadable");
/// What this program writes. Raise it when an older program could not read the file.
const FORMAT: u64 = 1;
/// Everything is cached as objects anyway; redb's own cache serves only the pages of a commit.
const CACHE_BYTES: usize = 1024 * 1024;

pub(super) struct Disk {
    path: PathBuf,
    /// None after a failed write, until the file has been opened again.
    database: Option<Database>,
}

pub(super) type Loaded = Vec<(Key, Arc<Object>)>;

impl Disk {
    pub(super) fn open(path: &Path) -> Result<(Disk, Loaded, u64), StoreError> {
        // A badly damaged file makes redb's own assertions fail; that is damage, not a bug of ours.
        let opened = std::panic::catch_unwind(|| Database::builder().set_cache_size(CACHE_BYTES).create(path));
        let database = match opened {
            Ok(Ok(database)) => database,
            Ok(Err(error)) => return Err(cannot_open(path, error)),
            Err(_) => return Err(StoreError::damaged(path, "its pages do not fit together")),
        };
        let disk = Disk { path: path.to_owned(), database: Some(database) };
        let loaded = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| disk.load(path)))
            .unwrap_or_else(|_| Err(StoreError::damaged(path, "its pages do not fit together")))?;
        let (objects, revision) = match loaded {
            Some(loaded) => loaded,
            None => {
                disk.commit(&[], 1).map_err(|e| storage(path, e))?;
                // The file's name has to survive a power cut, too.
                if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| StoreError::io(path, e))?;
                }
                (Vec::new(), 1)
            }
        };
        Ok((disk, objects, revision))
    }

    /// None where the file is new.
    fn load(&self, path: &Path) -> Result<Option<(Loaded, u64)>, StoreError> {
        let read = self.database().and_then(|database| Ok(database.begin_read()?)).map_err(|e| StoreError::damaged(path, e))?;
        let meta = match read.open_table(META) {
            Ok(meta) => meta,
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(StoreError::damaged(path, error)),
        };
        let number = |name: &str| -> Result<u64, StoreError> {
            let value = meta.get(name).map_err(|e| storage(path, e))?;
            value.map(|v| v.value()).ok_or_else(|| StoreError::damaged(path, format!("it has no {name}")))
        };
        let format = number("format")?;
        if format > FORMAT {
            return Err(StoreError::Newer { path: path.to_owned(), found: format, known: FORMAT });
        }
        let revision = number("revision")?;
        let table = read.open_table(OBJECTS).map_err(|e| StoreError::damaged(path, e))?;
        let mut objects = Vec::new();
        let mut unreadable = Vec::new();
        for row in table.iter().map_err(|e| storage(path, e))? {
            let (key, value) = row.map_err(|e| storage(path, e))?;
            match object_of(key.value(), value.value()) {
                Ok(read) => objects.push(read),
                Err(why) => {
                    tracing::error!(key = key.value(), why, "An object in the store {} cannot be read; it is put aside", path.display());
                    unreadable.push((key.value().to_owned(), value.value().to_owned()));
                }
            }
        }
        if !unreadable.is_empty() {
            self.put_aside(&unreadable).map_err(|e| storage(path, e))?;
        }
        Ok(Some((objects, revision)))
    }

    /// One bad row must not take all others with it.
    fn put_aside(&self, rows: &[(String, Vec<u8>)]) -> Result<(), redb::Error> {
        let write = self.database()?.begin_write()?;
        {
            let (mut objects, mut unreadable) = (write.open_table(OBJECTS)?, write.open_table(UNREADABLE)?);
            for (key, bytes) in rows {
                unreadable.insert(key.as_str(), bytes.as_slice())?;
                objects.remove(key.as_str())?;
            }
        }
        write.commit()?;
        Ok(())
    }

    /// Writes and fsyncs. `None` removes.
    pub(super) fn commit(&self, changes: &[(&Key, Option<Vec<u8>>)], revision: u64) -> Result<(), redb::Error> {
        let mut write = self.database()?.begin_write()?;
        write.set_durability(Durability::Immediate)?;
        {
            let mut objects = write.open_table(OBJECTS)?;
            for (key, value) in changes {
                let key = format!("{}/{}/{}", key.resource, key.namespace, key.name);
                match value {
                    Some(bytes) => drop(objects.insert(key.as_str(), bytes.as_slice())?),
                    None => drop(objects.remove(key.as_str())?),
                }
            }
            let mut meta = write.open_table(META)?;
            meta.insert("format", FORMAT)?;
            meta.insert("revision", revision)?;
        }
        write.commit()?;
        Ok(())
    }

    /// Whether a failed write has left it unusable.
    pub(super) fn is_closed(&self) -> bool {
        self.database.is_none()
    }

    fn database(&self) -> Result<&Database, redb::Error> {
        self.database.as_ref().ok_or(redb::Error::DatabaseClosed)
    }

    /// Opens the file again after a failed write, and makes it what `objects` are: of the failed write, which was refused,
    /// something may have arrived. Errors: the file is still unusable (a full disk is).
    pub(super) fn recover(&mut self, objects: Vec<(Key, Arc<Object>)>, revision: u64) -> Result<(), StoreError> {
        // Closed first: the file is locked.
        self.database = None;
        let path = self.path.clone();
        let (again, loaded, _) = Disk::open(&path)?;
        let mut there: HashMap<Key, Arc<Object>> = loaded.into_iter().collect();
        let mut rows = Vec::new();
        for (key, object) in &objects {
            if there.remove(key).as_ref() != Some(object) {
                rows.push((key, Some(serde_json::to_vec(&**object).map_err(|e| StoreError::damaged(&path, e))?)));
            }
        }
        rows.extend(there.keys().map(|key| (key, None)));
        again.commit(&rows, revision).map_err(|e| storage(&path, e))?;
        self.database = again.database;
        Ok(())
    }

    /// Puts rows into the file as they are.
    #[cfg(test)]
    pub(super) fn write_rows(path: &Path, rows: &[(&str, &[u8])]) {
        let database = Database::create(path).unwrap();
        let write = database.begin_write().unwrap();
        {
            let mut objects = write.open_table(OBJECTS).unwrap();
            for (key, row) in rows {
                objects.insert(*key, *row).unwrap();
            }
        }
        write.commit().unwrap();
    }

    /// Keys of the rows that were put aside.
    #[cfg(test)]
    pub(super) fn aside(path: &Path) -> Vec<String> {
        let database = Database::create(path).unwrap();
        let table = database.begin_read().unwrap().open_table(UNREADABLE).unwrap();
        table.iter().unwrap().map(|row| row.unwrap().0.value().to_owned()).collect()
    }

    /// Pretends to be a newer program.
    #[cfg(test)]
    pub(super) fn write_format(path: &Path, format: u64) {
        let database = Database::create(path).unwrap();
        let write = database.begin_write().unwrap();
        {
            let mut meta = write.open_table(META).unwrap();
            meta.insert("format", format).unwrap();
            meta.insert("revision", 1).unwrap();
            write.open_table(OBJECTS).unwrap();
        }
        write.commit().unwrap();
    }
}

fn object_of(key: &str, json: &[u8]) -> Result<(Key, Arc<Object>), String> {
    let object: Object = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    let parts: Vec<&str> = key.split('/').collect();
    let [resource, namespace, name] = parts[..] else { return Err("its key is none".to_owned()) };
    Ok((Key::new(resource, namespace, name), Arc::new(object)))
}

fn cannot_open(path: &Path, error: DatabaseError) -> StoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::Locked { path: path.to_owned() },
        DatabaseError::UpgradeRequired(found) => StoreError::damaged(path, format!("its file format is redb's version {found}")),
        DatabaseError::Storage(error) => storage(path, error),
        other => StoreError::damaged(path, other),
    }
}

fn storage(path: &Path, error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Io(source) => StoreError::io(path, source),
        redb::Error::Corrupted(detail) => StoreError::damaged(path, detail),
        other => StoreError::Io { path: path.to_owned(), source: std::io::Error::other(other.to_string()) },
    }
}

