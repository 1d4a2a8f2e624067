//! The redb file: one table with objects as JSON, one with the format, the revision counter, and what the objects must add up to.
//!
//! **Invariant:** damage is never read as valid. Every row has a checksum of its key and JSON; the second table has the sum of all
//! of these, and a checksum of its own. redb's checksums are looked at only when it repairs a file.
use super::guard::caught;
use super::state::Kept;
use super::version::{self, Version};
use super::{Key, StoreError};
use crate::Object;
use bytes::Bytes;
use redb::{Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// `resource/namespace/name` → checksum and JSON of the object.
const OBJECTS: TableDefinition<&str, &[u8]> = TableDefinition::new("objects");
/// `format`, `revision`, and since format 2 `rows`, `sum`, `check`.
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// Rows of format 1 that could not be read, kept for whoever wants to look.
const UNREADABLE: TableDefinition<&str, &[u8]> = TableDefinition::new("unreadable");
/// What this program writes. Raise it when an older program could not read the file. Format 1 had no checksums.
const FORMAT: u64 = 2;
/// Everything is cached as objects anyway; redb's own cache serves only the pages of a commit.
const CACHE_BYTES: usize = 1024 * 1024;

pub(super) struct Disk {
    path: PathBuf,
    /// None after a failed write, until the file has been opened again.
    database: Option<Database>,
    content: Content,
}

/// What the rows of a file add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Content {
    rows: u64,
    /// The sum of the rows' checksums.
    sum: u64,
}

impl Content {
    fn add(&mut self, row: &[u8]) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(version::sum_of(row).unwrap_or(0).into());
    }

    fn remove(&mut self, row: &[u8]) {
        self.rows = self.rows.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(version::sum_of(row).unwrap_or(0).into());
    }

    /// The checksum of this and the revision.
    fn check(self, format: u64, revision: u64) -> u64 {
        let numbers = [format, revision, self.rows, self.sum].map(u64::to_le_bytes).concat();
        version::checksum("meta", &numbers).into()
    }
}

pub(super) type Loaded = Vec<(Key, Kept)>;

/// The key of an object's row.
pub(super) fn row_key(key: &Key) -> String {
    format!("{}/{}/{}", key.resource, key.namespace, key.name)
}

impl Disk {
    /// Opens or creates the file. Errors: see [`StoreError`]; a file of an older format is brought to this one.
    pub(super) fn open(path: &Path) -> Result<(Disk, Loaded, u64), StoreError> {
        // A badly damaged file makes redb's own assertions fail; that is damage, not a bug of ours.
        let opened = caught(|| Disk::open_checked(path));
        opened.unwrap_or_else(|_| Err(StoreError::damaged(path, "its pages do not fit together")))
    }

    fn open_checked(path: &Path) -> Result<(Disk, Loaded, u64), StoreError> {
        let database =
            Database::builder().set_cache_size(CACHE_BYTES).create(path).map_err(|error| cannot_open(path, error))?;
        let mut disk = Disk { path: path.to_owned(), database: Some(database), content: Content::default() };
        let Some((objects, revision)) = disk.load()? else {
            disk.commit(&[], 1).map_err(|e| storage(path, e))?;
            // The file's name has to survive a power cut, too.
            if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                std::fs::File::open(folder)
                    .and_then(|folder| folder.sync_all())
                    .map_err(|e| StoreError::io(path, e))?;
            }
            return Ok((disk, Vec::new(), 1));
        };
        Ok((disk, objects, revision))
    }

    /// None where the file is new.
    fn load(&mut self) -> Result<Option<(Loaded, u64)>, StoreError> {
        let path = self.path.clone();
        let read = self
            .database()
            .and_then(|database| Ok(database.begin_read()?))
            .map_err(|e| StoreError::damaged(&path, e))?;
        let meta = match read.open_table(META) {
            Ok(meta) => meta,
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(StoreError::damaged(&path, error)),
        };
        let number = |name: &str| -> Result<u64, StoreError> {
            let value = meta.get(name).map_err(|e| storage(&path, e))?;
            value.map(|v| v.value()).ok_or_else(|| StoreError::damaged(&path, format!("it has no {name}")))
        };
        let (format, revision) = (number("format")?, number("revision")?);
        if format > FORMAT {
            return Err(StoreError::Newer { path, found: format, known: FORMAT });
        }
        let table = read.open_table(OBJECTS).map_err(|e| StoreError::damaged(&path, e))?;
        if format == 1 {
            let rows = table
                .iter()
                .map_err(|e| storage(&path, e))?
                .map(|row| row.map(|(key, json)| (key.value().to_owned(), json.value().to_owned())));
            let rows = rows.collect::<Result<Vec<_>, _>>().map_err(|e| storage(&path, e))?;
            return self.migrate(rows, revision).map(|objects| Some((objects, revision)));
        }
        let expected = Content { rows: number("rows")?, sum: number("sum")? };
        if format != FORMAT || number("check")? != expected.check(format, revision) {
            return Err(StoreError::damaged(&path, "its counters do not have their checksum"));
        }
        let mut objects = Vec::new();
        let mut found = Content::default();
        for row in table.iter().map_err(|e| storage(&path, e))? {
            let (key, value) = row.map_err(|e| storage(&path, e))?;
            objects.push(kept_of(key.value(), value.value()).map_err(|why| {
                // The key may be what is damaged.
                StoreError::damaged(
                    &path,
                    format!("the row {:?} {why}", key.value().chars().take(300).collect::<String>()),
                )
            })?);
            found.add(value.value());
        }
        if found != expected {
            return Err(StoreError::damaged(
                &path,
                format!("{} objects were written, {} are there", expected.rows, found.rows),
            ));
        }
        self.content = found;
        Ok(Some((objects, revision)))
    }

    /// Brings rows of format 1 to this one. A row that cannot be read is put aside, and said so: nothing told then whether it was whole.
    fn migrate(&mut self, rows: Vec<(String, Vec<u8>)>, revision: u64) -> Result<Loaded, StoreError> {
        let mut objects = Vec::new();
        let mut content = Content::default();
        let path = self.path.clone();
        let mut migrate = || -> Result<(), redb::Error> {
            let write = self.database()?.begin_write()?;
            {
                let (mut table, mut unreadable) = (write.open_table(OBJECTS)?, write.open_table(UNREADABLE)?);
                for (key, json) in &rows {
                    let row = version::row_of(key, json);
                    match kept_of(key, &row) {
                        Ok(kept) => {
                            table.insert(key.as_str(), &row[..])?;
                            content.add(&row);
                            objects.push(kept);
                        }
                        Err(why) => {
                            tracing::error!(
                                key,
                                why,
                                "An object in the store {} cannot be read; it is put aside",
                                path.display()
                            );
                            unreadable.insert(key.as_str(), json.as_slice())?;
                            table.remove(key.as_str())?;
                        }
                    }
                }
                write_counters(&write, content, revision)?;
            }
            write.commit()?;
            Ok(())
        };
        migrate().map_err(|e| storage(&self.path, e))?;
        self.content = content;
        Ok(objects)
    }

    /// Writes and fsyncs. `None` removes.
    pub(super) fn commit(&mut self, changes: &[(&str, Option<&[u8]>)], revision: u64) -> Result<(), redb::Error> {
        let mut content = self.content;
        let mut write = self.database()?.begin_write()?;
        write.set_durability(Durability::Immediate)?;
        {
            let mut objects = write.open_table(OBJECTS)?;
            for (key, value) in changes {
                let before = match value {
                    Some(row) => {
                        content.add(row);
                        objects.insert(*key, *row)?
                    }
                    None => objects.remove(*key)?,
                };
                if let Some(before) = before {
                    content.remove(before.value());
                }
            }
            write_counters(&write, content, revision)?;
        }
        write.commit()?;
        self.content = content;
        Ok(())
    }

    /// Whether a failed write has left it unusable.
    pub(super) fn is_closed(&self) -> bool {
        self.database.is_none()
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn database(&self) -> Result<&Database, redb::Error> {
        self.database.as_ref().ok_or(redb::Error::DatabaseClosed)
    }

    /// Opens the file again after a failed write, and makes it what `rows` are: of the failed write, which was refused,
    /// something may have arrived. Errors: the file is still unusable (a full disk is).
    pub(super) fn recover(&mut self, rows: &[(String, Bytes)], revision: u64) -> Result<(), StoreError> {
        // Closed first: the file is locked.
        self.database = None;
        let path = self.path.clone();
        let (mut again, loaded, _) = Disk::open(&path)?;
        let mut there: HashMap<String, Bytes> =
            loaded.into_iter().map(|(key, kept)| (row_key(&key), kept.version.row().clone())).collect();
        let mut changes: Vec<(&str, Option<&[u8]>)> = Vec::new();
        for (key, row) in rows {
            if there.remove(key).as_ref() != Some(row) {
                changes.push((key, Some(row)));
            }
        }
        changes.extend(there.keys().map(|key| (key.as_str(), None)));
        again.commit(&changes, revision).map_err(|e| storage(&path, e))?;
        *self = again;
        Ok(())
    }

    /// Makes a file of format 1 with these rows.
    #[cfg(test)]
    pub(super) fn write_format_1(path: &Path, rows: &[(&str, &[u8])], revision: u64) {
        let database = Database::create(path).unwrap();
        let write = database.begin_write().unwrap();
        {
            let mut objects = write.open_table(OBJECTS).unwrap();
            for (key, row) in rows {
                objects.insert(*key, *row).unwrap();
            }
            let mut meta = write.open_table(META).unwrap();
            meta.insert("format", 1).unwrap();
            meta.insert("revision", revision).unwrap();
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

/// What must be true of the rows, and the newest revision.
fn write_counters(write: &redb::WriteTransaction, content: Content, revision: u64) -> Result<(), redb::Error> {
    let mut meta = write.open_table(META)?;
    let numbers = [
        ("format", FORMAT),
        ("revision", revision),
        ("rows", content.rows),
        ("sum", content.sum),
        ("check", content.check(FORMAT, revision)),
    ];
    for (name, number) in numbers {
        meta.insert(name, number)?;
    }
    Ok(())
}

/// The object of a row. Errors: what is wrong with it.
fn kept_of(key: &str, row: &[u8]) -> Result<(Key, Kept), String> {
    let json = row.get(version::SUM..).ok_or("is too short")?;
    if version::sum_of(row) != Some(version::checksum(key, json)) {
        return Err("does not have its checksum".to_owned());
    }
    let object: Object = serde_json::from_slice(json).map_err(|error| format!("is not JSON: {error}"))?;
    let parts: Vec<&str> = key.split('/').collect();
    let [resource, namespace, name] = parts[..] else { return Err("has no object's key".to_owned()) };
    let revision =
        object["metadata"]["resourceVersion"].as_str().and_then(|revision| revision.parse().ok()).unwrap_or(0);
    let charge = json.len() + version::memory(&object);
    let object = Arc::new(object);
    let version = Version::new(revision, Bytes::copy_from_slice(row), &object);
    Ok((Key::new(resource, namespace, name), Kept { object, version, charge }))
}

fn cannot_open(path: &Path, error: DatabaseError) -> StoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::Locked { path: path.to_owned() },
        DatabaseError::UpgradeRequired(found) => {
            StoreError::damaged(path, format!("its file format is redb's version {found}"))
        }
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
