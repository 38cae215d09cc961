//! What a server stands on: the log, the customers' keys, and the key that signs; opened in one order.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use duban_log::{EventLog, Options, Registers, SegmentedLog};
use duban_vault::keys::{KeyStore, KeysError};
use duban_vault::seal::Sealer;
use duban_vault::signing::{SigningError, SigningKey};

use crate::cluster::SharedLog;

/// Why a server has nothing to stand on.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The data directory cannot be made.
    #[error("cannot make the data directory {path}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The log cannot be opened or read.
    #[error("the log cannot be opened")]
    Log(#[from] duban_log::Error),
    /// The key store cannot be opened.
    #[error("the key store cannot be opened")]
    Keys(#[from] KeysError),
    /// The key that signs the days' heads cannot be had.
    #[error("the days' heads cannot be signed")]
    Signing(#[from] SigningError),
    /// Opening ended badly.
    #[error("opening the data directory ended badly")]
    Panicked(#[from] tokio::task::JoinError),
}

/// Where a server's data lies.
#[derive(Clone, Debug)]
pub struct Places {
    /// The data directory.
    pub data: PathBuf,
    /// The file of the master key, where it is kept elsewhere.
    pub master_key: Option<PathBuf>,
    /// The file of the key that signs, where it is kept elsewhere.
    pub signing_key: Option<PathBuf>,
}

/// The log and the keys, open.
pub struct Storage {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// The customers' keys.
    pub sealer: Sealer,
    /// The key that signs.
    pub signing: SigningKey,
    /// What servers over one log agree in; none where this server is alone with its log.
    pub registers: Option<Arc<dyn Registers>>,
}

impl Storage {
    /// Opens a data directory. The log first: its lock covers the keys too.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn open(places: &Places) -> Result<Self, StorageError> {
        let Places { data, master_key, signing_key } = places.clone();
        let opening = move || {
            make_directory(&data)?;
            let log = SegmentedLog::open(&data.join("log"), Options::default())?;
            let keys = KeyStore::open(&data, master_key.as_deref())?;
            let signing = SigningKey::load_or_make(&data, signing_key.as_deref())?;
            say_key(&signing);
            Ok(Self { log: Arc::new(log), sealer: Sealer::new(Arc::new(keys)), signing, registers: None })
        };
        tokio::task::spawn_blocking(opening).await?
    }

    /// The same over a log that several servers share; the directory holds the server's own read models.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn open_on(places: &Places, shared: SharedLog) -> Result<Self, StorageError> {
        make_directory(&places.data)?;
        let SharedLog { log, registers } = shared;
        let keys =
            KeyStore::open_remote(Arc::clone(&registers), &places.data, places.master_key.as_deref()).await?;
        let signing = SigningKey::load_or_make(&places.data, places.signing_key.as_deref())?;
        if places.signing_key.is_none() {
            tracing::warn!(
                "each server signs days' heads with a key of its own: give all of them one, as keys.signing, or keep every public key"
            );
        }
        say_key(&signing);
        Ok(Self { log, sealer: Sealer::new(Arc::new(keys)), signing, registers: Some(registers) })
    }
}

fn make_directory(data: &Path) -> Result<(), StorageError> {
    std::fs::create_dir_all(data).map_err(|source| StorageError::Directory { path: data.to_owned(), source })
}

fn say_key(signing: &SigningKey) {
    let id = signing.public().id();
    tracing::info!(key = %duban_aggregates::office::hex(&id), "days' heads are signed by this key");
}
