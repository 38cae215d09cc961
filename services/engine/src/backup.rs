//! Backups: the log and the keys of a data directory in another directory, and the way back.
//!
//! ```text
//! backup.json        what the backup holds: the log's head, every file with its size and SHA-256, the moment
//! log/*.seg          the log, of each file the first so many bytes: `duban verify` reads it like any other
//! keys/*             customers' keys, wrapped; the public key of heads; secrets only where they were asked for
//! ```
//!
//! `backup.json` is what counts: it is put in place, at once, after everything that it names is synced. A backup that is cut short leaves
//! the one before it as it was. Read models are not backed up: they are built from the log.

mod restore;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use duban_aggregates::office::{hex, unhex};
use duban_log::backup::{Copied, Copy, Piece, backup_on};
use duban_log::disk::{Disk, RealDisk};
use duban_log::{Head, Position};
use duban_vault::keys::KeysError;
use duban_vault::keys::backup::{self as key_files, KeyFile};
use duban_vault::keys::write_whole;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::restore::{RestoreError, Restored, restore};

const MANIFEST: &str = "backup.json";
/// Where a backup has begun and no list says yet what it holds.
const BEGUN: &str = "backup.begun";
const FORMAT: &str = "duban backup v1";

/// What a backup holds, as `backup.json` says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// `duban backup v1`.
    pub format: String,
    /// When it was made.
    pub made_at: Timestamp,
    /// The log's head.
    pub head: ManifestHead,
    /// The log's files, in order.
    pub log: Vec<LogFile>,
    /// Files of `keys`.
    pub keys: Vec<NamedFile>,
}

/// The log's head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestHead {
    /// Number of events.
    pub size: u64,
    /// RFC 6962 root over them, in hexadecimal.
    pub root: String,
}

/// A file of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogFile {
    /// Its name.
    pub file: String,
    /// How much of it is the backup, from its start, in bytes.
    pub bytes: u64,
    /// SHA-256 over these, in hexadecimal.
    pub sha256: String,
    /// Nothing is added to it any more.
    pub sealed: bool,
}

/// A file, whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedFile {
    /// Its name.
    pub file: String,
    /// Its size, in bytes.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

/// What a backup came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackedUp {
    /// What it holds now.
    pub manifest: Manifest,
    /// Sealed segments that were there already and are as they were written.
    pub kept_segments: u64,
    /// Bytes of the log that were there already.
    pub kept_bytes: u64,
    /// Bytes of the log that were written.
    pub written_bytes: u64,
    /// Whether secrets are in it.
    pub with_secrets: bool,
}

/// How far it is: bytes done, and in all.
pub type Told<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is no log there.
    #[error("{0} holds no log: name a data directory that `duban serve`, `import` or `generate` has written")]
    NoLog(PathBuf),
    /// The destination holds something else.
    #[error(
        "{0} is not empty and holds no backup: name an empty or a new directory, or the one of an earlier backup"
    )]
    NotABackup(PathBuf),
    /// The destination lies in the data directory, or is it.
    #[error("{0} lies in the data directory itself: a backup belongs elsewhere, best on another machine")]
    Inside(PathBuf),
    /// The list of a backup cannot be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The log cannot be copied.
    #[error(transparent)]
    Log(#[from] duban_log::backup::BackupError),
    /// The keys cannot be read.
    #[error("the keys cannot be copied")]
    Keys(#[from] KeysError),
    /// A file cannot be written.
    #[error("cannot {doing} {path}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Why the list of a backup is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// There is none.
    #[error("{0} holds no whole backup: there is no {MANIFEST} in it")]
    Missing(PathBuf),
    /// It is not of the form expected.
    #[error("{path} is not the list of a backup of this version")]
    Form {
        /// The file.
        path: PathBuf,
        /// What was expected where.
        source: Option<serde_json::Error>,
    },
    /// It cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupError + use<> {
    let path = path.to_owned();
    move |source| BackupError::Io { doing, path, source }
}

impl Manifest {
    /// Reads the list of the backup in a directory; none where no backup was finished there.
    ///
    /// # Errors
    /// [`ManifestError::Form`], [`ManifestError::Read`].
    pub fn read(dir: &Path) -> Result<Option<Self>, ManifestError> {
        let path = dir.join(MANIFEST);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(ManifestError::Read { path, source }),
        };
        let form = |source| ManifestError::Form { path: path.clone(), source };
        let manifest: Self = serde_json::from_slice(&text).map_err(|source| form(Some(source)))?;
        if manifest.format != FORMAT || manifest.copy().is_none() {
            return Err(form(None));
        }
        Ok(Some(manifest))
    }

    /// The log's part; none where something is no hexadecimal of its length.
    fn copy(&self) -> Option<Copy> {
        let piece = |it: &LogFile| {
            let sha256 = unhex(&it.sha256)?;
            Some(Piece { file: it.file.clone(), bytes: it.bytes, sha256, sealed: it.sealed })
        };
        let size = self.head.size;
        let head =
            Head { position: size.checked_sub(1).map(Position::new), size, root: unhex(&self.head.root)? };
        Some(Copy { head, pieces: self.log.iter().map(piece).collect::<Option<_>>()? })
    }

    fn of(copy: &Copy, keys: &[KeyFile], made_at: Timestamp) -> Self {
        let log = |piece: &Piece| LogFile {
            file: piece.file.clone(),
            bytes: piece.bytes,
            sha256: hex(&piece.sha256),
            sealed: piece.sealed,
        };
        let key = |file: &KeyFile| NamedFile {
            file: file.name.clone(),
            bytes: file.bytes.len() as u64,
            sha256: sha256(&file.bytes),
        };
        Self {
            format: FORMAT.to_owned(),
            made_at,
            head: ManifestHead { size: copy.head.size, root: hex(&copy.head.root) },
            log: copy.pieces.iter().map(log).collect(),
            keys: keys.iter().map(key).collect(),
        }
    }

    /// Whether something in it is secret by itself.
    fn holds_secrets(&self) -> bool {
        self.keys.iter().any(|file| key_files::SECRETS.contains(&file.file.as_str()))
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

/// Backs a data directory up into another directory, beside the server that has it open. What was acknowledged before it began is in it. The
/// log is copied first, so that every key that the copy needs is there when the keys are; a key that was erased is not in it.
///
/// # Errors
/// [`BackupError`]; the backup that was there before is as it was then.
pub fn backup(
    data: &Path,
    to: &Path,
    with_secrets: bool,
    now: Timestamp,
    told: Told<'_>,
) -> Result<BackedUp, BackupError> {
    let log = data.join("log");
    if !log.is_dir() {
        return Err(BackupError::NoLog(data.to_owned()));
    }
    let root = begin(data, to)?;
    let before = Manifest::read(to)?;
    let keys_dir = to.join("keys");
    let keys = RealDisk::create(&keys_dir).map_err(failed("make", &keys_dir))?.private();
    // What the last one left undone, if it was cut short.
    match &before {
        Some(before) if next_counts(&keys, before).map_err(failed("read", &keys_dir))? => {
            key_files::commit(&keys, &names(before)).map_err(failed("finish", &keys_dir))?;
        }
        Some(_) | None => key_files::discard_staged(&keys).map_err(failed("clear", &keys_dir))?,
    }

    let open = |dir: &Path| RealDisk::open(dir).map_err(failed("open", dir));
    let source: Arc<dyn Disk> = Arc::new(open(&log)?);
    let log_to = to.join("log");
    let dest: Arc<dyn Disk> = Arc::new(RealDisk::create(&log_to).map_err(failed("make", &log_to))?);
    let known = before.as_ref().and_then(Manifest::copy);
    let copied = backup_on(&source, &dest, known.as_ref(), told)?;
    let Copied { copy: copy_of_log, kept_segments, kept_bytes, written_bytes } = copied;

    let files = key_files::read_for_backup(&data.join("keys"), with_secrets)?;
    key_files::stage(&keys, &files).map_err(failed("write", &keys_dir))?;
    let manifest = Manifest::of(&copy_of_log, &files, now);
    commit(&root, &manifest).map_err(failed("write", &to.join(MANIFEST)))?;
    key_files::commit(&keys, &names(&manifest)).map_err(failed("finish", &keys_dir))?;
    let with_secrets = manifest.holds_secrets();
    Ok(BackedUp { manifest, kept_segments, kept_bytes, written_bytes, with_secrets })
}

/// Makes the destination, or looks whether it is one.
fn begin(data: &Path, to: &Path) -> Result<RealDisk, BackupError> {
    let root = RealDisk::create(to).map_err(failed("make", to))?;
    let real = |path: &Path| fs::canonicalize(path).map_err(failed("find", path));
    if real(to)?.starts_with(real(data)?) {
        // It was made just now, or was there before; only what is empty goes.
        let _ = fs::remove_dir(to);
        return Err(BackupError::Inside(to.to_owned()));
    }
    let names = root.list().map_err(failed("list", to))?;
    let ours = |name: &str| names.iter().any(|known| known == name);
    if !names.is_empty() && !ours(MANIFEST) && !ours(BEGUN) {
        return Err(BackupError::NotABackup(to.to_owned()));
    }
    if names.is_empty() {
        let mark = || {
            write_whole(&root, BEGUN, b"a backup has begun here; it is none until backup.json is there\n")?;
            root.sync_dir()
        };
        mark().map_err(failed("write in", to))?;
    }
    Ok(root)
}

/// Puts the list in its place, at once.
fn commit(root: &dyn Disk, manifest: &Manifest) -> io::Result<()> {
    let text = serde_json::to_string_pretty(manifest).map_err(io::Error::other)? + "\n";
    let scratch = format!("{MANIFEST}.new");
    write_whole(root, &scratch, text.as_bytes())?;
    root.sync_dir()?;
    root.rename(&scratch, MANIFEST)?;
    root.sync_dir()?;
    if root.list()?.iter().any(|name| name == BEGUN) {
        root.remove(BEGUN)?;
    }
    Ok(())
}

fn names(manifest: &Manifest) -> Vec<String> {
    manifest.keys.iter().map(|file| file.file.clone()).collect()
}

/// Whether the files that lie ready are those that the list names: it was cut short after the list was put in place.
fn next_counts(keys: &dyn Disk, manifest: &Manifest) -> io::Result<bool> {
    for file in &manifest.keys {
        if let Some(next) = key_files::read_whole(keys, &key_files::staged_name(&file.file))?
            && sha256(&next) != file.sha256
        {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
