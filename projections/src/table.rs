//! The one way to sled: rows in key order, changed in memory and written behind.
//!
//! sled's `flush` is no fsync on Linux, damaged files may make it panic or answer garbage, and nothing of that matters as
//! long as a table can be rebuilt from the log. So a table knows what it must hold: with every write it stores how far the
//! log was folded, how many rows there are and the sum of their hashes, and opening one reads every row and compares. What
//! does not agree is [`Unusable`], and its owner rebuilds it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use duban_log::Position;
use parking_lot::{Mutex, RwLock};
use sha2::{Digest, Sha256};

#[cfg(test)]
mod tests;

/// Below this byte lies what the table says of itself; rows begin with a greater one.
const MADE_WITH: &[u8] = &[0, 0];
const STATED: &[u8] = &[0, 1];
const FIRST_ROW: u8 = 1;

/// Pages that sled keeps in memory, in bytes. Its default is a gigabyte a store.
const CACHE_BYTES_MAX: u64 = 64 << 20;

/// Rows that are written together while a table is filled from nothing.
const FILLED_AT_ONCE: usize = 4_096;

/// A row's key.
pub type Key = Vec<u8>;

/// A row.
pub type Pair = (Key, Vec<u8>);

/// Rows that change together: a value each, or none for a row that goes.
pub type Changes = BTreeMap<Key, Option<Vec<u8>>>;

/// A table cannot be read or written any more.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TableError {
    /// sled said no.
    #[error("the store failed: {0}")]
    Store(String),
    /// sled panicked, which it does on damaged files.
    #[error("the store panicked")]
    Panicked,
    /// The directory cannot be swapped, or deleted.
    #[error("cannot {what} {path}: {reason}")]
    Directory {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A row is not what this version writes.
    #[error("a row cannot be read: {0}")]
    Row(String),
}

/// Why a table on disk is rebuilt and not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// There is none.
    #[error("there is none yet")]
    Missing,
    /// Another version made it, or it was made under other rules.
    #[error("it was made with {0}")]
    OtherMake(String),
    /// It has folded more than the log holds: it belongs to another log.
    #[error("it has folded up to {0}, beyond the log's end")]
    BeyondLog(Position),
    /// Its rows are not those that were written.
    #[error("it is damaged: {0}")]
    Damaged(String),
}

/// How a table stands, as stored with its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stated {
    reached: Option<Position>,
    rows: u64,
    sum: u128,
}

impl Stated {
    const BYTES: usize = 1 + 8 + 8 + 16;

    fn count(&mut self, key: &[u8], value: &[u8]) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(row_hash(key, value));
    }

    fn discount(&mut self, key: &[u8], value: &[u8]) {
        self.rows = self.rows.saturating_sub(1);
        self.sum = self.sum.wrapping_sub(row_hash(key, value));
    }

    fn bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::BYTES);
        bytes.push(u8::from(self.reached.is_some()));
        bytes.extend(self.reached.map_or(0, Position::get).to_be_bytes());
        bytes.extend(self.rows.to_be_bytes());
        bytes.extend(self.sum.to_be_bytes());
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().ok()?;
        let number = |from: usize| bytes[from..from + 8].try_into().map(u64::from_be_bytes).ok();
        let reached = (bytes[0] == 1).then_some(number(1)?).map(Position::new);
        let sum = bytes[17..].try_into().map(u128::from_be_bytes).ok()?;
        Some(Self { reached, rows: number(9)?, sum })
    }
}

/// The sum of these over all rows does not depend on their order, so it follows each change.
fn row_hash(key: &[u8], value: &[u8]) -> u128 {
    let mut hasher = Sha256::new();
    hasher.update((key.len() as u64).to_be_bytes());
    hasher.update(key);
    hasher.update(value);
    let mut half = [0; 16];
    half.copy_from_slice(&hasher.finalize()[..16]);
    u128::from_be_bytes(half)
}

/// Changes that sled does not have yet. What is fresh hides what is being written, which hides what is stored.
#[derive(Default)]
struct Overlay {
    fresh: Changes,
    writing: Arc<Changes>,
    /// How far the log was folded into what is being written.
    until: Option<Position>,
}

/// Rows in the order of their keys.
///
/// One owner changes and writes it; anybody reads, and sees every change at once and whole.
pub struct Table {
    db: sled::Db,
    overlay: RwLock<Overlay>,
    stated: Mutex<Stated>,
}

impl Table {
    /// Opens a table, reading it through, and answers how far the log was folded into it.
    ///
    /// # Errors
    /// [`Unusable`]: whatever is wrong, it is to be rebuilt.
    pub fn open(
        path: &Path,
        made_with: &str,
        log_end: Option<Position>,
    ) -> Result<(Self, Option<Position>), Unusable> {
        if !path.is_dir() {
            return Err(Unusable::Missing);
        }
        let damaged = |error: TableError| Unusable::Damaged(error.to_string());
        wait_until_closed(path).map_err(damaged)?;
        let db = guarded(|| config(path).open()).map_err(damaged)?;
        let stored = |key: &[u8]| guarded(|| db.get(key)).map_err(damaged);
        let made = stored(MADE_WITH)?.ok_or_else(|| Unusable::Damaged("it was never finished".to_owned()))?;
        if &*made != made_with.as_bytes() {
            return Err(Unusable::OtherMake(String::from_utf8_lossy(&made).into_owned()));
        }
        let stated = stored(STATED)?.and_then(|bytes| Stated::read(&bytes));
        let stated = stated.ok_or_else(|| Unusable::Damaged("it does not say how far it is".to_owned()))?;
        if let Some(reached) = stated.reached.filter(|reached| log_end.is_none_or(|end| *reached > end)) {
            return Err(Unusable::BeyondLog(reached));
        }
        let mut found = Stated { reached: stated.reached, ..Stated::default() };
        let read = guarded(|| {
            for row in db.range(vec![FIRST_ROW]..) {
                let (key, value) = row?;
                found.count(&key, &value);
            }
            Ok(())
        });
        read.map_err(damaged)?;
        if found != stated {
            let (found, stated) = (found.rows, stated.rows);
            return Err(Unusable::Damaged(format!(
                "it holds {found} rows, and they are not the {stated} that were written"
            )));
        }
        Ok((Self::over(db, stated), stated.reached))
    }

    /// An empty table. What was there is deleted.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn create(path: &Path, made_with: &str) -> Result<Self, TableError> {
        delete(path)?;
        Self::begun(&config(path), made_with)
    }

    /// An empty table that is gone with its owner.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn temporary() -> Result<Self, TableError> {
        Self::begun(&sled::Config::new().temporary(true).cache_capacity(CACHE_BYTES_MAX), "")
    }

    fn begun(config: &sled::Config, made_with: &str) -> Result<Self, TableError> {
        let db = guarded(|| config.open())?;
        let table = Self::over(db, Stated::default());
        guarded(|| {
            table.db.insert(MADE_WITH, made_with)?;
            table.db.insert(STATED, Stated::default().bytes())
        })?;
        Ok(table)
    }

    fn over(db: sled::Db, stated: Stated) -> Self {
        Self { db, overlay: RwLock::default(), stated: Mutex::new(stated) }
    }

    /// A row's value.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        let overlay = self.overlay.read();
        if let Some(changed) = overlay.fresh.get(key).or_else(|| overlay.writing.get(key)) {
            return Ok(changed.clone());
        }
        Ok(guarded(|| self.db.get(key))?.map(|value| value.to_vec()))
    }

    /// Up to `limit` rows from `from` on, which is included, up to `to`, which is not; backwards the last ones first.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn page(
        &self,
        from: &[u8],
        to: &[u8],
        backwards: bool,
        limit: usize,
    ) -> Result<Vec<Pair>, TableError> {
        if from >= to || limit == 0 {
            return Ok(Vec::new());
        }
        let overlay = self.overlay.read();
        let range = || (std::ops::Bound::Included(from), std::ops::Bound::Excluded(to));
        let (fresh, writing) =
            (overlay.fresh.range::<[u8], _>(range()), overlay.writing.range::<[u8], _>(range()));
        guarded(|| {
            let stored = self.db.range(from..to);
            if backwards {
                merged(fresh.rev(), writing.rev(), stored.rev(), |a, b| a > b, limit)
            } else {
                merged(fresh, writing, stored, |a, b| a < b, limit)
            }
        })
    }

    /// Changes rows, all at once.
    pub fn change(&self, changes: Changes) {
        self.overlay.write().fresh.extend(changes);
    }

    /// Rows that are changed and not written.
    #[must_use]
    pub fn unwritten(&self) -> usize {
        let overlay = self.overlay.read();
        overlay.fresh.len() + overlay.writing.len()
    }

    /// Rows that are stored; those that are not written yet are left out.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.stated.lock().rows
    }

    /// How far the log was folded into what is stored.
    #[must_use]
    pub fn written(&self) -> Option<Position> {
        self.stated.lock().reached
    }

    /// Rows that are changed since the last [`Table::seal`].
    #[must_use]
    pub fn fresh(&self) -> usize {
        self.overlay.read().fresh.len()
    }

    /// Sets apart what has changed so far, which is everything up to `reached`: what changes from now on belongs to the next
    /// write.
    pub fn seal(&self, reached: Option<Position>) {
        // Nobody seals while a batch is on its way: it would be taken for written with it.
        let _stated = self.stated.lock();
        let mut overlay = self.overlay.write();
        let fresh = std::mem::take(&mut overlay.fresh);
        // Something is left there only where a write failed, or has not begun.
        Arc::make_mut(&mut overlay.writing).extend(fresh);
        overlay.until = reached;
    }

    /// Writes what was sealed, and how far the log was folded, in one batch. Takes as long as the disk does; changes and reads
    /// go on beside it.
    ///
    /// # Errors
    /// [`TableError`]; what was not written stays readable.
    pub fn write_sealed(&self) -> Result<(), TableError> {
        let mut stated = self.stated.lock();
        let (writing, reached) = {
            let overlay = self.overlay.read();
            (Arc::clone(&overlay.writing), overlay.until)
        };
        let mut after = Stated { reached, ..*stated };
        let mut batch = sled::Batch::default();
        guarded(|| {
            for (key, value) in &*writing {
                if let Some(before) = self.db.get(key)? {
                    after.discount(key, &before);
                }
                match value {
                    Some(value) => {
                        after.count(key, value);
                        batch.insert(key.as_slice(), value.as_slice());
                    }
                    None => batch.remove(key.as_slice()),
                }
            }
            batch.insert(STATED, after.bytes());
            self.db.apply_batch(batch)
        })?;
        self.overlay.write().writing = Arc::default();
        *stated = after;
        Ok(())
    }

    /// Seals and writes.
    ///
    /// # Errors
    /// [`TableError`]; what was not written stays readable.
    pub fn write(&self, reached: Option<Position>) -> Result<(), TableError> {
        self.seal(reached);
        self.write_sealed()
    }

    /// Fills a table that nobody reads yet: written at once where enough has gathered.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn fill(&self, changes: Changes) -> Result<(), TableError> {
        self.change(changes);
        if self.fresh() >= FILLED_AT_ONCE { self.write(None) } else { Ok(()) }
    }

    /// Hands what is written to the system. It is no fsync, and need not be one.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn flush(&self) -> Result<(), TableError> {
        guarded(|| self.db.flush()).map(|_| ())
    }

    /// SHA-256 over all keys and values in order: two tables are equal when these are.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn digest(&self) -> Result<[u8; 32], TableError> {
        const PAGE: usize = 1_024;
        let mut hasher = Sha256::new();
        let mut from = vec![FIRST_ROW];
        loop {
            let page = self.page(&from, &[0xff; 64], false, PAGE)?;
            for (key, value) in &page {
                for part in [key, value] {
                    hasher.update((part.len() as u64).to_be_bytes());
                    hasher.update(part);
                }
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE => from = after(last),
                _ => return Ok(hasher.finalize().into()),
            }
        }
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("stated", &*self.stated.lock()).finish_non_exhaustive()
    }
}

/// Merges changes over what is stored. All three come in the same order, in which `before` says who is first.
fn merged<'o>(
    fresh: impl Iterator<Item = (&'o Key, &'o Option<Vec<u8>>)>,
    writing: impl Iterator<Item = (&'o Key, &'o Option<Vec<u8>>)>,
    stored: impl Iterator<Item = sled::Result<(sled::IVec, sled::IVec)>>,
    before: impl Fn(&[u8], &[u8]) -> bool,
    limit: usize,
) -> sled::Result<Vec<Pair>> {
    let (mut fresh, mut writing, mut stored) = (fresh.peekable(), writing.peekable(), stored.peekable());
    let mut page = Vec::new();
    while page.len() < limit {
        let mut first: Option<Key> = None;
        let mut offer = |key: &[u8]| {
            if first.as_deref().is_none_or(|first| before(key, first)) {
                first = Some(key.to_vec());
            }
        };
        if let Some((key, _)) = fresh.peek() {
            offer(key);
        }
        if let Some((key, _)) = writing.peek() {
            offer(key);
        }
        match stored.peek() {
            Some(Ok((key, _))) => offer(key),
            Some(Err(error)) => return Err(error.clone()),
            None => {}
        }
        let Some(key) = first else { break };
        // All three go past the key; the uppermost that has it says its value.
        let newest = fresh.next_if(|(at, _)| **at == key).map(|(_, value)| value.clone());
        let newer = writing.next_if(|(at, _)| **at == key).map(|(_, value)| value.clone());
        let old = stored.next_if(|row| row.as_ref().is_ok_and(|(at, _)| **at == *key));
        let old = || old.and_then(Result::ok).map(|(_, value)| value.to_vec());
        if let Some(value) = newest.or(newer).unwrap_or_else(old) {
            page.push((key, value));
        }
    }
    Ok(page)
}

fn config(path: &Path) -> sled::Config {
    sled::Config::new().path(path).cache_capacity(CACHE_BYTES_MAX)
}

/// sled panics on some damaged files.
fn guarded<T>(work: impl FnOnce() -> sled::Result<T>) -> Result<T, TableError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|error| TableError::Store(error.to_string())),
        Err(_) => Err(TableError::Panicked),
    }
}

/// Before every row, and behind what the table says of itself.
#[must_use]
pub fn first_row() -> Key {
    vec![FIRST_ROW]
}

/// The first key after this one.
#[must_use]
pub fn after(key: &[u8]) -> Key {
    let mut next = key.to_vec();
    next.push(0);
    next
}

/// The first key that does not begin with this prefix; no prefix of a row is all `0xff`.
#[must_use]
pub fn end_of(prefix: &[u8]) -> Key {
    let mut end = prefix.to_vec();
    while let Some(last) = end.last_mut() {
        if *last < 0xff {
            *last += 1;
            return end;
        }
        end.pop();
    }
    vec![0xff; 64]
}

/// Puts a table that was built beside in the place of the old one. Neither may be open.
///
/// # Errors
/// [`TableError::Directory`].
pub fn swap(built: &Path, path: &Path) -> Result<(), TableError> {
    let old = path.with_extension("old");
    wait_until_closed(built)?;
    delete(&old)?;
    if path.exists() {
        rename(path, &old)?;
    }
    rename(built, path)?;
    delete(&old)
}

/// Deletes a table's directory, where there is one.
///
/// # Errors
/// [`TableError::Directory`].
pub fn delete(path: &Path) -> Result<(), TableError> {
    // It may be a file that somebody left there.
    let deleted = match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => {
            wait_until_closed(path)?;
            std::fs::remove_dir_all(path)
        }
        Ok(_) => std::fs::remove_file(path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => Err(error),
    };
    deleted.map_err(directory("delete", path))
}

/// A store that was dropped a moment ago is written to the end by threads of its own, which hold its lock meanwhile.
fn wait_until_closed(path: &Path) -> Result<(), TableError> {
    let file = match std::fs::File::open(path.join("db")) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(directory("open", path)(error)),
    };
    if file.try_lock().is_err() {
        tracing::debug!(store = %path.display(), "waiting until whoever has the store open has closed it");
        file.lock().map_err(directory("lock", path))?;
    }
    Ok(())
}

fn rename(from: &Path, to: &Path) -> Result<(), TableError> {
    std::fs::rename(from, to).map_err(directory("put in place", from))
}

fn directory(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> TableError {
    let path = path.to_owned();
    move |error| TableError::Directory { what, path, reason: error.to_string() }
}
