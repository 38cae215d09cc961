//! A data directory: the log in `log`, customers' keys in `keys`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use duban_aggregates::calendar::Calendar;
use duban_aggregates::ids::TicketId;
use duban_aggregates::intake::Kind;
use duban_aggregates::meta::Meta;
use duban_aggregates::policy::Policy;
use duban_aggregates::ticket::{self, Event, Ticket};
use duban_codec::Lineage;
use duban_log::disk::{Disk, Lock, RealDisk};
use duban_log::{Direction, EventLog, Expected, Filter, NewEvent, Options, Reader, SegmentedLog, StreamName};
use duban_server::rules;
use duban_server::runner::{Aggregate, Rules};
use duban_vault::keys::KeyStore;
use duban_vault::seal::Sealer;
use futures::StreamExt;
use futures::stream::FuturesOrdered;
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

/// The stream of a ticket.
pub(crate) fn ticket_stream(kind: Kind, ticket: TicketId) -> Result<StreamName, duban_log::Error> {
    StreamName::new(format!("{}-{ticket}", kind.name()))
}

/// A ticket's events as the log keeps them, from its first on, and the ticket after them.
pub(crate) fn stored<'e>(
    history: impl IntoIterator<Item = (&'e Meta, &'e Event)>,
    policy: &Policy,
) -> (Vec<NewEvent>, Option<Ticket>) {
    let mut ticket: Option<Ticket> = None;
    let mut events = Vec::new();
    for (meta, event) in history {
        ticket = ticket::evolve(ticket, event, meta);
        let (kind, payload) = duban_codec::encode_ticket(event);
        events.push(NewEvent {
            id: meta.id.0,
            kind: Arc::from(kind),
            occurred_at: meta.occurred_at.as_microsecond(),
            recorded_at: meta.recorded_at.as_microsecond(),
            tags: ticket.as_ref().map(|ticket| ticket.tags(event)).unwrap_or_default(),
            metadata: duban_codec::encode_metadata(meta, &Lineage::default(), &policy.version),
            payload: payload.into(),
        });
    }
    (events, ticket)
}

/// What is appended to one stream.
pub(crate) struct Append {
    pub(crate) stream: StreamName,
    pub(crate) expected: Expected,
    pub(crate) events: Vec<NewEvent>,
}

/// Appends under way at once; no more than the log queues without letting anybody wait.
const AT_ONCE: usize = 2048;

/// Appends in the given order, many under way at once, so that they share syncs: what is durable after a crash is a beginning of them,
/// and one append need not wait for the one before it on its stream.
pub(crate) async fn append_in_order(
    log: &dyn EventLog,
    appends: impl IntoIterator<Item = Append>,
) -> Result<(), Failure> {
    let mut appends = appends.into_iter();
    let mut under_way = FuturesOrdered::new();
    // Unconstrained: where tokio made a task yield in the middle of its sends, they would reach the log in another order.
    tokio::task::unconstrained(async {
        loop {
            while under_way.len() < AT_ONCE
                && let Some(Append { stream, expected, events }) = appends.next()
            {
                under_way.push_back(async move { log.append(&stream, expected, events).await });
            }
            match under_way.next().await {
                Some(appended) => drop(appended?),
                None => return Ok(()),
            }
        }
    })
    .await
}

/// The log's last recorded moment, below which its clock must not fall.
pub(crate) async fn last_recorded_at(log: &SegmentedLog) -> Result<Timestamp, Failure> {
    let page = log.read_all(None, Direction::Backward, &Filter::all(), 1).await?;
    let last = page.events.first().map_or(0, |event| event.recorded_at);
    Timestamp::from_microsecond(last).map_err(Failure::broken)
}
