//! The way back: beside the place where the data directory is to be, verified there whole, and only then given its name.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use duban_log::Damage;
use duban_log::backup::restore_on;
use duban_log::disk::{Disk, RealDisk};
use duban_vault::keys::backup::{self as key_files, SECRETS};
use duban_vault::keys::write_whole;

use super::{MANIFEST, Manifest, ManifestError, NamedFile, Told, sha256};

/// In a directory that is being restored.
const MARK: &str = "restoring";
const CUSTOMERS: &str = "customers";

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What the backup said it holds, which is what there is now.
    pub manifest: Manifest,
    /// Files that have to be put there, or named to the server, before it can open texts or sign heads.
    pub missing: Vec<PathBuf>,
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// There is no backup, or its list cannot be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Something is there.
    #[error("{0} is not empty: restore into a new directory, and put it in its place afterwards")]
    NotEmpty(PathBuf),
    /// Something is in the way beside it.
    #[error("{0} is in the way, and is none of ours: move it")]
    InTheWay(PathBuf),
    /// The backup's log is not what it was.
    #[error(transparent)]
    Log(#[from] duban_log::backup::RestoreError),
    /// A key file is not what it was.
    #[error("the backup's keys are not as they were written: {file}: {reason}")]
    Keys {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file cannot be read or written.
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

impl RestoreError {
    /// The place where the backup's log is damaged, where that is why.
    #[must_use]
    pub fn damage(&self) -> Option<&Damage> {
        match self {
            Self::Log(duban_log::backup::RestoreError::Damaged { damage, .. }) => damage.as_ref(),
            Self::Log(duban_log::backup::RestoreError::Log(duban_log::Error::Damaged(damage))) => {
                Some(damage)
            }
            _ => None,
        }
    }

    /// Whether the backup is to blame, rather than this machine.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        let damaged = matches!(self, Self::Log(duban_log::backup::RestoreError::Damaged { .. }));
        damaged || matches!(self, Self::Keys { .. }) || self.damage().is_some()
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RestoreError + use<> {
    let path = path.to_owned();
    move |source| RestoreError::Io { doing, path, source }
}

/// Restores a backup into a directory that is not there or empty. Everything is copied beside it and looked at: every checksum, and the whole
/// log with its tree, which must have the head that the backup says. Only then does the directory get its name.
///
/// # Errors
/// [`RestoreError`]; the directory is as it was then.
pub fn restore(from: &Path, data: &Path, threads: usize, told: Told<'_>) -> Result<Restored, RestoreError> {
    let data =
        &if data.exists() { fs::canonicalize(data).map_err(failed("find", data))? } else { data.to_owned() };
    let manifest = Manifest::read(from)?.ok_or_else(|| ManifestError::Missing(from.to_owned()))?;
    let form = || ManifestError::Form { path: from.join(MANIFEST), source: None };
    let copy_of_log = manifest.copy().ok_or_else(form)?;
    if fs::read_dir(data).is_ok_and(|mut names| names.next().is_some()) || data.is_file() {
        return Err(RestoreError::NotEmpty(data.to_owned()));
    }
    let beside = beside(data)?;
    let (log, keys) = (beside.join("log"), beside.join("keys"));
    let made = |dir: &Path| RealDisk::create(dir).map_err(failed("make", dir));
    let to: Arc<dyn Disk> = Arc::new(made(&log)?);
    let source: Arc<dyn Disk> =
        Arc::new(RealDisk::open(&from.join("log")).map_err(failed("open", &from.join("log")))?);
    let keys_to = made(&keys)?.private();
    // The small and precious first: a backup that lost its keys is told before an hour of copying.
    put_keys(&from.join("keys"), &manifest, &keys_to)?;
    restore_on(&source, &copy_of_log, &to, threads, told)?;
    fs::remove_file(beside.join(MARK)).map_err(failed("remove", &beside.join(MARK)))?;
    sync(&beside)?;
    if data.exists() {
        fs::remove_dir(data).map_err(failed("replace", data))?;
    }
    fs::rename(&beside, data).map_err(failed("make", data))?;
    sync(parent(data))?;
    let there = |name: &str| manifest.keys.iter().any(|file| file.file == name);
    let missing =
        SECRETS.iter().filter(|name| !there(name)).map(|name| data.join("keys").join(name)).collect();
    Ok(Restored { manifest, missing })
}

/// An empty directory beside the one that is asked for, so that it can take its name at once.
fn beside(data: &Path) -> Result<PathBuf, RestoreError> {
    let mut name = data.file_name().unwrap_or(data.as_os_str()).to_owned();
    name.push(".restoring");
    let beside = data.with_file_name(name);
    if beside.exists() {
        // One that was cut short is begun again; what is not ours is left alone.
        if !beside.join(MARK).exists() && fs::read_dir(&beside).is_ok_and(|mut names| names.next().is_some())
        {
            return Err(RestoreError::InTheWay(beside));
        }
        fs::remove_dir_all(&beside).map_err(failed("clear", &beside))?;
    }
    let disk = RealDisk::create(&beside).map_err(failed("make", &beside))?;
    let mark = || {
        write_whole(&disk, MARK, b"a backup is being restored here; it is not whole yet\n")?;
        disk.sync_dir()
    };
    mark().map_err(failed("write in", &beside))?;
    Ok(beside)
}

fn put_keys(from: &Path, manifest: &Manifest, to: &RealDisk) -> Result<(), RestoreError> {
    let source = match RealDisk::open(from) {
        Ok(source) => source,
        Err(_) if manifest.keys.is_empty() => return Ok(()),
        Err(e) => return Err(failed("open", from)(e)),
    };
    for file in &manifest.keys {
        let bytes = whole(&source, file, from)?;
        if file.file == CUSTOMERS {
            key_files::check_bytes(&bytes, &from.join(CUSTOMERS))
                .map_err(|error| RestoreError::Keys { file: file.file.clone(), reason: error.to_string() })?;
        }
        write_whole(to, &file.file, &bytes).map_err(failed("write", &from.join(&file.file)))?;
    }
    to.sync_dir().map_err(failed("sync", from))
}

/// The bytes that the list names, from where they are; a backup that was cut short after its list was put in place has them in waiting.
pub(super) fn whole(source: &dyn Disk, file: &NamedFile, from: &Path) -> Result<Vec<u8>, RestoreError> {
    let name = &file.file;
    if name.contains(['/', '\\']) || name.starts_with('.') {
        return Err(RestoreError::Keys { file: name.clone(), reason: "is no name of a key file".to_owned() });
    }
    let mut reason = "the file is missing".to_owned();
    for name in [name.clone(), key_files::staged_name(name)] {
        if let Some(bytes) =
            key_files::read_whole(source, &name).map_err(failed("read", &from.join(&name)))?
        {
            if bytes.len() as u64 == file.bytes && sha256(&bytes) == file.sha256 {
                return Ok(bytes);
            }
            let found = key_files::check_bytes(&bytes, &from.join(&name));
            reason = match found {
                Err(damage) if file.file == CUSTOMERS => damage.to_string(),
                _ => "its checksum is not the one it was written with".to_owned(),
            };
        }
    }
    Err(RestoreError::Keys { file: file.file.clone(), reason })
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync(dir: &Path) -> Result<(), RestoreError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed("sync", dir))
}
