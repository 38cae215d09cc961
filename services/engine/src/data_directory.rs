//! A data directory: the log in `log`, customers' keys in `keys`; read beside whoever writes to it, or written to without a runner.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use duban_log::disk::{Disk, Lock, RealDisk};
use duban_log::{Options, Reader, SegmentedLog};
use duban_vault::keys::{KeyStore, KeysError};
use duban_vault::seal::Sealer;

use crate::rules::{self, RulesError};
use crate::runner::Rules;

/// Why a data directory cannot be worked on.
#[derive(Debug, thiserror::Error)]
pub enum DataDirectoryError {
    /// Nothing is there.
    #[error("{0} holds no log: name a data directory that `duban serve`, `import` or `generate` has written")]
    NoLog(PathBuf),
    /// It cannot be made.
    #[error("cannot make {path}")]
    Make {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Its disk fails.
    #[error("cannot lock {path}")]
    Lock {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Its log cannot be opened.
    #[error(transparent)]
    Log(#[from] duban_log::Error),
    /// Its keys cannot be opened.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// What its log says is in force cannot be used.
    #[error(transparent)]
    Rules(#[from] RulesError),
}

impl DataDirectoryError {
    /// Whether it was asked for in a way that cannot work, rather than something being broken.
    #[must_use]
    pub fn is_misuse(&self) -> bool {
        match self {
            Self::NoLog(_) | Self::Make { .. } | Self::Keys(_) => true,
            Self::Log(error) => matches!(error, duban_log::Error::Locked { .. }),
            Self::Lock { .. } | Self::Rules(_) => false,
        }
    }
}

/// Where the log of a data directory lies.
#[must_use]
pub fn log_dir(data: &Path) -> PathBuf {
    data.join("log")
}

/// The log's directory, where there is one.
///
/// # Errors
/// [`DataDirectoryError::NoLog`].
pub fn existing_log_dir(data: &Path) -> Result<PathBuf, DataDirectoryError> {
    let dir = log_dir(data);
    if dir.is_dir() { Ok(dir) } else { Err(DataDirectoryError::NoLog(data.to_owned())) }
}

/// Opens a log beside whoever writes to it.
///
/// # Errors
/// [`DataDirectoryError::NoLog`], [`DataDirectoryError::Log`].
pub fn open_reader(data: &Path) -> Result<Reader, DataDirectoryError> {
    Ok(Reader::open(&existing_log_dir(data)?)?)
}

/// The rules in force in a data directory: its server's, or those that ship.
///
/// # Errors
/// [`DataDirectoryError::Log`], [`DataDirectoryError::Rules`].
pub fn rules_in(data: &Path) -> Result<Rules, DataDirectoryError> {
    if !log_dir(data).is_dir() {
        return Ok(Rules::cn_national());
    }
    Ok(rules::of_reader(&open_reader(data)?)?)
}

/// What opens the texts of a data directory; without keys there they stay sealed.
///
/// # Errors
/// [`DataDirectoryError::Keys`].
pub fn open_texts(data: &Path, master_key: Option<&Path>) -> Result<Option<Sealer>, DataDirectoryError> {
    if !data.join("keys").is_dir() {
        return Ok(None);
    }
    let keys = KeyStore::open_read_only(data, master_key)?;
    Ok(Some(Sealer::new(Arc::new(keys))))
}

/// Keeps everybody else from writing to a data directory until it is dropped.
///
/// # Errors
/// [`duban_log::Error::Locked`], [`DataDirectoryError::Lock`].
pub fn lock(data: &Path) -> Result<Arc<dyn Lock>, DataDirectoryError> {
    let dir = existing_log_dir(data)?;
    let failed = |source| DataDirectoryError::Lock { path: dir.clone(), source };
    let disk = RealDisk::open(&dir).map_err(failed)?;
    disk.lock().map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => {
            duban_log::Error::Locked { dir: disk.name(), holder: error.to_string() }.into()
        }
        _ => failed(error),
    })
}

/// A data directory that is written to by nobody else: the log's lock first, since it covers the keys too.
pub struct WritableDirectory {
    /// The log.
    pub log: SegmentedLog,
    /// Keys and sealing.
    pub sealer: Sealer,
}

impl WritableDirectory {
    /// Opens a data directory, making one where there is none.
    ///
    /// # Errors
    /// [`DataDirectoryError`].
    pub fn open(data: &Path, master_key: Option<&Path>) -> Result<Self, DataDirectoryError> {
        std::fs::create_dir_all(data)
            .map_err(|source| DataDirectoryError::Make { path: data.to_owned(), source })?;
        let log = SegmentedLog::open(&log_dir(data), Options::default())?;
        let keys = KeyStore::open(data, master_key)?;
        Ok(Self { log, sealer: Sealer::new(Arc::new(keys)) })
    }
}
