//! `duban export --all`: whole histories for process-mining tools, as XES (IEEE 1849) or OCEL 2.0.
//!
//! One history is in memory at a time. Sealed texts are left out: nothing here has a key.

mod ocel;
mod trace;
mod xes;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use duban_log::Reader;
use serde::Serialize;

use crate::args::Output;
use crate::data;
use crate::failure::{Done, Failure};
use crate::output::{self, Progress, count};
use trace::{Origin, Trace};

/// How histories are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// XES, IEEE 1849: a trace a history
    Xes,
    /// OCEL 2.0 in JSON: events about tickets, orders, customers and units
    Ocel,
}

/// Which histories are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Streams {
    /// Tickets of ours
    Ours,
    /// Foreign histories
    Imported,
    /// Both
    #[default]
    All,
}

impl Streams {
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
pub(crate) enum MiningError {
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
pub(crate) struct Written {
    /// Histories.
    pub(crate) cases: u64,
    /// Events of them.
    pub(crate) events: u64,
    /// Objects that events are about; of OCEL only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) objects: Option<u64>,
}

#[derive(Serialize)]
struct Answer<'a> {
    file: &'a Path,
    format: &'static str,
    bytes: u64,
    #[serde(flatten)]
    written: Written,
}

/// Writes all histories of a data directory.
pub(crate) fn run(
    data: &Path,
    out: &Path,
    (format, streams): (Format, Streams),
    output: Output,
) -> Result<Done, Failure> {
    let reader = data::reader(data)?;
    let written = write(&reader, out, format, streams).map_err(|error| match error {
        MiningError::Write { .. } => Failure::misuse(error),
        other => Failure::broken(other),
    })?;
    let bytes = std::fs::metadata(out).map_err(Failure::broken)?.len();
    let format = match format {
        Format::Xes => "xes",
        Format::Ocel => "ocel",
    };
    match output {
        Output::Json => output::json(&Answer { file: out, format, bytes, written })?,
        Output::Text => {
            let objects = written.objects.map(|objects| format!(" about {} objects", count(objects)));
            output::text(&format!(
                "{} events of {} histories{} in {} bytes",
                count(written.events),
                count(written.cases),
                objects.unwrap_or_default(),
                count(bytes)
            ))?;
        }
    }
    Ok(Done::Ok)
}

/// Writes beside the file and puts it in place when it is whole: who finds it finds all of it.
pub(crate) fn write(
    reader: &Reader,
    out: &Path,
    format: Format,
    streams: Streams,
) -> Result<Written, MiningError> {
    let mut beside = out.as_os_str().to_owned();
    beside.push(".part");
    let beside = PathBuf::from(beside);
    let failed = |source| MiningError::Write { path: out.to_owned(), source };
    let mut file = BufWriter::new(File::create(&beside).map_err(failed)?);
    let histories = Histories { reader, streams: trace::streams(reader, |stream| streams.has(stream))? };
    let written = match format {
        Format::Xes => xes::write(&mut file, &histories),
        Format::Ocel => ocel::write(&mut file, &histories),
    };
    let written = written.map_err(|error| error.at(out))?;
    file.flush().map_err(failed)?;
    drop(file);
    std::fs::rename(&beside, out).map_err(failed)?;
    Ok(written)
}

/// Histories to go over, as often as it takes.
struct Histories<'r> {
    reader: &'r Reader,
    streams: Vec<Box<str>>,
}

impl Histories<'_> {
    /// Goes over them, in the order in which they begin in the log.
    fn each(
        &self,
        what: &'static str,
        mut each: impl FnMut(&Trace) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        let progress = Progress::new(what, "histories", self.streams.len() as u64);
        for stream in &self.streams {
            each(&Trace::read(self.reader, stream)?)?;
            progress.add(1);
        }
        Ok(())
    }
}

/// What goes wrong while writing: the file's name is added at the end.
enum WriteError {
    Io(std::io::Error),
    Other(MiningError),
}

impl WriteError {
    fn at(self, path: &Path) -> MiningError {
        match self {
            Self::Io(source) => MiningError::Write { path: path.to_owned(), source },
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

impl From<MiningError> for WriteError {
    fn from(error: MiningError) -> Self {
        Self::Other(error)
    }
}

#[cfg(test)]
mod tests;
