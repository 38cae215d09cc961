//! A data directory: the log in `log`, customers' keys in `keys`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use duban_engine::data_directory::log_dir;
use duban_engine::runner::Rules;
use duban_engine::{data_directory, rules};
pub(crate) use duban_log::BulkAppend as Append;
use duban_log::disk::Lock;
use duban_log::{EventLog, Reader};
use duban_vault::seal::Sealer;

use crate::failure::Failure;

/// The log's directory, where there is one.
pub(crate) fn existing_log_dir(data: &Path) -> Result<PathBuf, Failure> {
    Ok(data_directory::existing_log_dir(data)?)
}

/// Opens a log beside whoever writes to it.
pub(crate) fn reader(data: &Path) -> Result<Reader, Failure> {
    Ok(data_directory::open_reader(data)?)
}

/// Keeps everybody else from writing to a data directory until it is dropped.
pub(crate) fn lock(data: &Path) -> Result<Arc<dyn Lock>, Failure> {
    Ok(data_directory::lock(data)?)
}

/// What opens the texts of a data directory; without keys there they stay sealed.
pub(crate) fn opener(data: &Path, master_key: Option<&Path>) -> Result<Option<Sealer>, Failure> {
    Ok(data_directory::open_texts(data, master_key)?)
}

/// The rules in force in a data directory: its server's, or those that ship.
pub(crate) fn rules_in(data: &Path) -> Result<Rules, Failure> {
    Ok(data_directory::rules_in(data)?)
}

/// The same, of a log that is open.
pub(crate) fn rules_of(reader: &Reader) -> Result<Rules, Failure> {
    rules::of_reader(reader).map_err(Failure::broken)
}

/// One thread beside the log's own: what a verb awaits, it awaits in order.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::broken)
}

/// Appends in the given order, many under way at once.
pub(crate) async fn append_in_order(
    log: &dyn EventLog,
    appends: impl IntoIterator<Item = Append>,
) -> Result<(), Failure> {
    Ok(duban_log::append_in_order(log, appends).await?)
}
