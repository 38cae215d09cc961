//! Whole histories for process-mining tools, as XES (IEEE 1849) or OCEL 2.0.
//!
//! One history is in memory at a time. Sealed texts are left out: nothing here has a key.

mod ocel;
mod trace;
mod xes;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use duban_log::Reader;
use serde::Serialize;

use trace::{Origin, Trace};

/// How histories are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// XES, IEEE 1849: a trace a history.
    Xes,
    /// OCEL 2.0 in JSON: events about tickets, orders, customers and units.
    Ocel,
}

/// Which histories are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HistorySelection {
    /// Tickets of ours.
    Ours,
    /// Foreign histories.
    Imported,
    /// Both.
    #[default]
    All,
}

impl HistorySelection {
    /// Whether a stream is one of them.
    fn has(self, stream: &str) -> bool {
        match Origin::of(stream) {
            Some(Origin::Ours) => self != Self::Imported,
            Some(Origin::Foreign) => self != Self::Ours,
            None => false,
        }
    }
}

/// Why histories cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ProcessMiningError {
    /// The file.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The log.
    #[error(transparent)]
    Log(#[from] duban_log::Error),
    /// A stored event.
    #[error("event {revision} of {stream} cannot be read")]
    Event {
        /// Its stream.
        stream: String,
        /// Its revision.
        revision: u64,
        /// Why.
        source: Box<duban_codec::CodecError>,
    },
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ExportedHistories {
    /// Bytes of the file.
    pub bytes: u64,
    /// Histories.
    pub cases: u64,
    /// Events of them.
    pub events: u64,
    /// Objects that events are about; of OCEL only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<u64>,
}

/// How far it is: what is done, how many histories, and of how many.
pub type ExportProgress<'p> = &'p dyn Fn(&'static str, u64, u64);

/// Writes the histories of a log into a file: part it, and into its place when it is whole. Who finds it finds all of it.
///
/// # Errors
/// [`ProcessMiningError`].
pub fn export_histories(
    reader: &Reader,
    out: &Path,
    format: ExportFormat,
    selection: HistorySelection,
    progress: ExportProgress<'_>,
) -> Result<ExportedHistories, ProcessMiningError> {
    let mut part = out.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let failed = |source| ProcessMiningError::Write { path: out.to_owned(), source };
    let mut file = BufWriter::new(File::create(&part).map_err(failed)?);
    let streams = trace::streams(reader, |stream| selection.has(stream))?;
    let histories = Histories { reader, streams, progress };
    let written = match format {
        ExportFormat::Xes => xes::write(&mut file, &histories),
        ExportFormat::Ocel => ocel::write(&mut file, &histories),
    };
    let mut written = written.map_err(|error| error.at(out))?;
    file.flush().map_err(failed)?;
    written.bytes = file.get_ref().metadata().map_err(failed)?.len();
    drop(file);
    std::fs::rename(&part, out).map_err(failed)?;
    Ok(written)
}

/// Histories to go over, as often as it takes.
struct Histories<'r> {
    reader: &'r Reader,
    streams: Vec<Box<str>>,
    progress: ExportProgress<'r>,
}

impl Histories<'_> {
    /// Goes over them, in the order in which they begin in the log.
    fn each(
        &self,
        what: &'static str,
        mut each: impl FnMut(&Trace) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        let total = self.streams.len() as u64;
        for (done, stream) in (1..).zip(&self.streams) {
            each(&Trace::read(self.reader, stream)?)?;
            (self.progress)(what, done, total);
        }
        Ok(())
    }
}

/// What goes wrong while writing: the file's name is added at the end.
enum WriteError {
    Io(std::io::Error),
    Other(ProcessMiningError),
}

impl WriteError {
    fn at(self, path: &Path) -> ProcessMiningError {
        match self {
            Self::Io(source) => ProcessMiningError::Write { path: path.to_owned(), source },
            Self::Other(other) => other,
        }
    }
}

impl From<std::io::Error> for WriteError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<serde_json::Error> for WriteError {
    fn from(error: serde_json::Error) -> Self {
        Self::Io(error.into())
    }
}

impl From<ProcessMiningError> for WriteError {
    fn from(error: ProcessMiningError) -> Self {
        Self::Other(error)
    }
}

#[cfg(test)]
mod tests;
