//! A data directory: the log in `log`, customers' keys in `keys`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use duban_aggregates::calendar::Calendar;
use duban_aggregates::meta::Meta;
use duban_aggregates::policy::Policy;
use duban_aggregates::ticket::{Event, Ticket};
use duban_engine::rules;
use duban_engine::runner::Rules;
pub(crate) use duban_log::BulkAppend as Append;
use duban_log::disk::{Disk, Lock, RealDisk};
use duban_log::{EventLog, NewEvent, Options, Reader, SegmentedLog};
pub(crate) use duban_projections::ticket_stream;
use duban_vault::keys::KeyStore;
use duban_vault::seal::Sealer;
use jiff::Timestamp;

use crate::failure::Failure;

/// Why a data directory cannot be worked on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataError {
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
}

/// Where the log of a data directory lies.
pub(crate) fn log_dir(data: &Path) -> PathBuf {
    data.join("log")
}

/// The log's directory, where there is one.
pub(crate) fn existing_log_dir(data: &Path) -> Result<PathBuf, Failure> {
    let dir = log_dir(data);
    if dir.is_dir() { Ok(dir) } else { Err(Failure::misuse(DataError::NoLog(data.to_owned()))) }
}

/// Opens a log beside whoever writes to it.
pub(crate) fn reader(data: &Path) -> Result<Reader, Failure> {
    Ok(Reader::open(&existing_log_dir(data)?)?)
}

/// A data directory that is written to: the log's lock first, since it covers the keys too.
pub(crate) struct Writer {
    /// The log.
    pub(crate) log: SegmentedLog,
    /// Keys and sealing.
    pub(crate) sealer: Sealer,
}

impl Writer {
    /// Opens a data directory, making one where there is none.
    pub(crate) fn open(data: &Path, master_key: Option<&Path>) -> Result<Self, Failure> {
        std::fs::create_dir_all(data)
            .map_err(|source| Failure::misuse(DataError::Make { path: data.to_owned(), source }))?;
        let log = SegmentedLog::open(&log_dir(data), Options::default())?;
        let keys = KeyStore::open(data, master_key).map_err(Failure::misuse)?;
        Ok(Self { log, sealer: Sealer::new(Arc::new(keys)) })
    }
}

/// Keeps everybody else from writing to a data directory until it is dropped.
pub(crate) fn lock(data: &Path) -> Result<Box<dyn Lock>, Failure> {
    let dir = existing_log_dir(data)?;
    let disk = RealDisk::open(&dir).map_err(Failure::broken)?;
    disk.lock().map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => {
            duban_log::Error::Locked { dir: disk.name(), holder: error.to_string() }.into()
        }
        _ => Failure::broken(error),
    })
}

/// What opens the texts of a data directory; without keys there they stay sealed.
pub(crate) fn opener(data: &Path, master_key: Option<&Path>) -> Result<Option<Sealer>, Failure> {
    if !data.join("keys").is_dir() {
        return Ok(None);
    }
    let keys = KeyStore::open_read_only(data, master_key).map_err(Failure::misuse)?;
    Ok(Some(Sealer::new(Arc::new(keys))))
}

/// The rules of a log that no server has written to: those that ship.
pub(crate) fn rules() -> (Arc<Policy>, Arc<Calendar>) {
    (Policy::cn_national(), Calendar::cn())
}

/// The rules in force in a data directory: its server's, or those that ship.
pub(crate) fn rules_in(data: &Path) -> Result<Rules, Failure> {
    if !log_dir(data).is_dir() {
        return Ok(Rules::cn_national());
    }
    rules_of(&reader(data)?)
}

/// The same, of a log that is open.
pub(crate) fn rules_of(reader: &Reader) -> Result<Rules, Failure> {
    rules::of_reader(reader).map_err(Failure::broken)
}

/// One thread beside the log's own: what a verb awaits, it awaits in order.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::broken)
}

/// A ticket's events as the log keeps them, from its first on, and the ticket after them.
pub(crate) fn stored<'e>(
    history: impl IntoIterator<Item = (&'e Meta, &'e Event)>,
    policy: &Policy,
) -> (Vec<NewEvent>, Option<Ticket>) {
    duban_projections::ticket_to_store(history, &policy.version)
}

/// Appends in the given order, many under way at once.
pub(crate) async fn append_in_order(
    log: &dyn EventLog,
    appends: impl IntoIterator<Item = Append>,
) -> Result<(), Failure> {
    Ok(duban_log::append_in_order(log, appends).await?)
}

/// The log's last recorded moment, below which its clock must not fall.
pub(crate) async fn last_recorded_at(log: &SegmentedLog) -> Result<Timestamp, Failure> {
    Timestamp::from_microsecond(duban_log::last_recorded_at(log).await?).map_err(Failure::broken)
}
