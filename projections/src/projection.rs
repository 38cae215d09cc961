//! What every read model has in common: it is opened or healed, follows the log, is written behind, and says how it stands.

mod behind;
mod compare;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use duban_log::{Delivery, EventLog, Filter, Position, Reader, Recorded};
use parking_lot::RwLock;
use tokio::sync::watch;

use self::behind::{Behind, Turn};
pub use self::compare::{Compared, Rows, compare};
use crate::Undecodable;
use crate::table::{self, Table, TableError, Unusable};

/// Told how many events of how many a rebuild has read, by the projection's name. From several threads.
pub type OnProgress<'p> = &'p (dyn Fn(&'static str, u64, u64) + Sync);

/// Why a read model does not answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Stopped {
    /// A stored event cannot be read.
    #[error("the read model `{0}` stopped: {1}")]
    Poisoned(&'static str, Arc<Undecodable>),
    /// The log cannot be read.
    #[error("the read model `{0}` stopped: {1}")]
    Log(&'static str, Arc<duban_log::Error>),
    /// Its table cannot be read or written.
    #[error("the read model `{0}` stopped: {1}")]
    Table(&'static str, TableError),
    /// Folding panicked; what is on disk is whole, and the next start goes on from there.
    #[error("the read model `{0}` stopped: it panicked, and goes on after a restart of the server")]
    Panicked(&'static str),
    /// It did not get there in time.
    #[error("the read model `{0}` has not reached position {1} in time")]
    Behind(&'static str, Position),
}

/// Why folding does not go on.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// A stored event cannot be read.
    #[error(transparent)]
    Poisoned(#[from] Undecodable),
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] duban_log::Error),
    /// The table cannot be read or written.
    #[error(transparent)]
    Table(#[from] TableError),
}

impl FoldError {
    fn stopped(self, name: &'static str) -> Stopped {
        match self {
            Self::Poisoned(error) => Stopped::Poisoned(name, Arc::new(error)),
            Self::Log(error) => Stopped::Log(name, Arc::new(error)),
            Self::Table(error) => Stopped::Table(name, error),
        }
    }
}

/// How much of a delivery was taken in.
#[derive(Debug, Default)]
pub struct Taken {
    /// Events whose changes, and no other's, are in the table.
    pub events: usize,
    /// Why it is not all of them.
    pub error: Option<FoldError>,
}

/// How events become rows. It reads events and its own rows, nothing else.
#[async_trait]
pub trait Fold: Send + Sync + 'static {
    /// The projection's name: its directory's, and what people call it.
    const NAME: &'static str;

    /// The version of the rows. A table of another is built anew beside it.
    const VERSION: u32;

    /// What else its rows follow from: a table made with other rules is built anew.
    fn rules(&self) -> String;

    /// What people call the row of a key.
    #[must_use]
    fn key_name(key: &[u8]) -> String {
        let (kind, rest) = key.split_first().map_or((0, key), |(kind, rest)| (*kind, rest));
        let rest: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("row {}:{rest} of {}", char::from(kind), Self::NAME)
    }

    /// Takes in a delivery, up to the first event that it cannot.
    async fn take(&self, table: &Table, log: &dyn EventLog, events: &[Recorded]) -> Taken;

    /// Fills an empty table from the whole log, telling how many more events were read.
    ///
    /// # Errors
    /// [`FoldError`].
    fn rebuild(&self, table: &Table, reader: &Reader, read: &(dyn Fn(u64) + Sync)) -> Result<(), FoldError>;
}

/// Where read models live, and the log they are folded from.
#[derive(Clone, Debug)]
pub struct Home {
    /// The directory of all read models.
    pub views: PathBuf,
    /// The log's directory.
    pub log: PathBuf,
}

impl Home {
    /// Where the table of a projection lies: one directory a version, the old one beside the new.
    #[must_use]
    pub fn table<F: Fold>(&self) -> PathBuf {
        self.views.join(format!("{}-v{}", F::NAME, F::VERSION))
    }
}

/// How a read model stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its name.
    pub name: &'static str,
    /// The version of its rows.
    pub version: u32,
    /// How far it has read.
    pub reached: Option<Position>,
    /// How far what it has on disk goes.
    pub written: Option<Position>,
    /// Rows on disk.
    pub rows: u64,
    /// Rows that are changed and not written yet.
    pub unwritten: u64,
    /// Why it was rebuilt when it was opened, where it was.
    pub rebuilt: Option<String>,
    /// Why it does not go on, where it does not.
    pub stopped: Option<String>,
}

/// A read model. It follows the log by itself; questions are asked of it at any time.
pub struct Projection<F> {
    pub(crate) fold: F,
    pub(crate) table: Arc<Table>,
    reached: watch::Sender<Option<Position>>,
    stopped: RwLock<Option<Stopped>>,
    /// Events are being folded. Found so by whoever begins to fold, a panic came between: rows may be changed by half an event.
    folding: AtomicBool,
    rebuilt: Option<String>,
}

impl<F: Fold> Projection<F> {
    /// One that is gone with its owner and follows the log from its beginning.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn temporary(fold: F) -> Result<Self, TableError> {
        Ok(Self::over(fold, Table::temporary()?, None, None))
    }

    /// One that is gone with its owner and has read a whole log, on all cores.
    ///
    /// # Errors
    /// [`FoldError`].
    pub fn of_log(fold: F, reader: &Reader, read: &(dyn Fn(u64) + Sync)) -> Result<Self, FoldError> {
        let table = Table::temporary()?;
        fold.rebuild(&table, reader, read)?;
        table.write(reader.head().position)?;
        Ok(Self::over(fold, table, reader.head().position, None))
    }

    /// Opens its table; where that cannot be used, builds it anew from the log. Reads the disk for as long as it takes.
    ///
    /// # Errors
    /// [`FoldError`], where the log cannot be read or the directory cannot be written.
    pub fn open(fold: F, home: &Home, progress: OnProgress<'_>) -> Result<Self, FoldError> {
        let reader = Reader::open(&home.log)?;
        let path = home.table::<F>();
        match Table::open(&path, &made_with(&fold), reader.head().position) {
            Ok((table, reached)) => {
                let position = reached.map(Position::get);
                tracing::info!(projection = F::NAME, position, rows = table.rows(), "a read model is opened");
                Ok(Self::over(fold, table, reached, None))
            }
            Err(unusable) => Self::heal(fold, home, &reader, &unusable, progress),
        }
    }

    /// The same over a log that is no directory of ours, and ends here: a table that cannot be used is begun again, and follows
    /// the log from its beginning.
    ///
    /// # Errors
    /// [`FoldError::Table`], where the directory cannot be written.
    pub fn open_afar(fold: F, home: &Home, log_end: Option<Position>) -> Result<Self, FoldError> {
        let path = home.table::<F>();
        match Table::open(&path, &made_with(&fold), log_end) {
            Ok((table, reached)) => {
                let position = reached.map(Position::get);
                tracing::info!(projection = F::NAME, position, rows = table.rows(), "a read model is opened");
                Ok(Self::over(fold, table, reached, None))
            }
            Err(unusable) => {
                tracing::warn!(projection = F::NAME, reason = %unusable, "a read model is built anew from the log");
                let table = create(&path, &made_with(&fold))?;
                Ok(Self::over(fold, table, None, Some(unusable.to_string())))
            }
        }
    }

    fn heal(
        fold: F,
        home: &Home,
        reader: &Reader,
        unusable: &Unusable,
        progress: OnProgress<'_>,
    ) -> Result<Self, FoldError> {
        let events = reader.head().size;
        if *unusable == Unusable::Missing && events == 0 {
            let table = create(&home.table::<F>(), &made_with(&fold))?;
            return Ok(Self::over(fold, table, None, None));
        }
        tracing::warn!(projection = F::NAME, reason = %unusable, events, "a read model is built anew from the log");
        let table = match build(&fold, home, reader, progress) {
            Ok(built) => built,
            Err(FoldError::Poisoned(error)) => {
                // Followed in order, it stops at that event and shows everything before it.
                tracing::error!(projection = F::NAME, %error, "a read model cannot be built whole");
                let table = create(&home.table::<F>(), &made_with(&fold))?;
                return Ok(Self::over(fold, table, None, Some(unusable.to_string())));
            }
            Err(error) => return Err(error),
        };
        tracing::info!(projection = F::NAME, rows = table.rows(), "a read model was built anew");
        let reached = table.written();
        Ok(Self::over(fold, table, reached, Some(unusable.to_string())))
    }

    fn over(fold: F, table: Table, reached: Option<Position>, rebuilt: Option<String>) -> Self {
        let (reached, stopped) = (watch::Sender::new(reached), RwLock::new(None));
        Self { fold, table: Arc::new(table), reached, stopped, folding: AtomicBool::new(false), rebuilt }
    }

    /// Follows the log until it is closed, then writes what is left. A poisoned event stops this projection alone, and is
    /// named.
    pub async fn follow(&self, log: Arc<dyn EventLog>) {
        if let Err(stopped) = self.follow_until_stopped(log).await {
            tracing::error!(projection = F::NAME, %stopped, "a read model is frozen; writes go on");
        }
    }

    /// The same; says why it stopped, and goes on where it was when it is called again. Reads that need what it has not taken in are
    /// refused until then.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn follow_until_stopped(&self, log: Arc<dyn EventLog>) -> Result<(), Stopped> {
        let ended = if self.folding.load(Ordering::Acquire) {
            // Nothing of it may reach the disk.
            Err(Stopped::Panicked(F::NAME))
        } else {
            let ended = self.run(&*log).await;
            let left = self.write_rest().await;
            ended.and(left)
        };
        if let Err(stopped) = &ended {
            *self.stopped.write() = Some(stopped.clone());
            // Whoever waits is told now and not when its patience ends.
            self.reached.send_modify(|_| {});
        }
        ended
    }

    async fn run(&self, log: &dyn EventLog) -> Result<(), Stopped> {
        let failed = |error| Stopped::Log(F::NAME, Arc::new(error));
        // Unfiltered, so that a reader who waits for any position is answered at once.
        let mut subscription = log.subscribe(self.reached(), Filter::all()).await.map_err(failed)?;
        let mut behind = Behind::new(Arc::clone(&self.table));
        loop {
            let delivery = tokio::select! {
                delivery = subscription.next() => match delivery {
                    Ok(delivery) => delivery,
                    Err(duban_log::Error::Closed) => {
                        return behind.end().await.map_err(|error| Stopped::Table(F::NAME, error));
                    }
                    Err(error) => return Err(failed(error)),
                },
                turn = behind.turn() => {
                    match turn {
                        Ok(Turn::Write) => behind.write(self.reached()),
                        Ok(Turn::Written) => {}
                        Err(error) => return Err(Stopped::Table(F::NAME, error)),
                    }
                    continue;
                }
            };
            match delivery {
                Delivery::Events(events) => {
                    self.take(log, &events).await?;
                    let made_room = behind.note(self.reached()).await;
                    made_room.map_err(|error| Stopped::Table(F::NAME, error))?;
                }
                Delivery::CaughtUp(position) => {
                    self.goes_on();
                    self.reached.send_replace(position);
                }
                Delivery::Checkpoint(position) => {
                    self.reached.send_replace(Some(position));
                }
                Delivery::FellBehind => {}
            }
        }
    }

    async fn take(&self, log: &dyn EventLog, events: &[Recorded]) -> Result<(), Stopped> {
        self.folding.store(true, Ordering::Release);
        let Taken { events: taken, error } = self.fold.take(&self.table, log, events).await;
        self.folding.store(false, Ordering::Release);
        if let Some(last) = events[..taken].last() {
            self.goes_on();
            self.reached.send_replace(Some(last.position));
        }
        error.map_or(Ok(()), |error| Err(error.stopped(F::NAME)))
    }

    /// What stopped it is over.
    fn goes_on(&self) {
        if self.stopped.read().is_some() {
            tracing::info!(projection = F::NAME, "a read model that had stopped goes on");
            *self.stopped.write() = None;
        }
    }

    /// What the next start begins with.
    async fn write_rest(&self) -> Result<(), Stopped> {
        let (table, reached) = (Arc::clone(&self.table), self.reached());
        if table.unwritten() == 0 && table.written() == reached {
            return Ok(());
        }
        let writing = move || table.write(reached).and_then(|()| table.flush());
        let written = tokio::task::spawn_blocking(writing).await;
        written.unwrap_or(Err(TableError::Panicked)).map_err(|error| Stopped::Table(F::NAME, error))
    }

    /// Waits until everything up to a position is taken in.
    ///
    /// # Errors
    /// [`Stopped`], also when it takes longer than `patience`.
    pub async fn wait_for(&self, position: Position, patience: Duration) -> Result<(), Stopped> {
        let mut reached = self.reached.subscribe();
        let there = |at: &Option<Position>| at.is_some_and(|at| at >= position);
        let ended = |at: &Option<Position>| there(at) || self.stopped.read().is_some();
        let waited = tokio::time::timeout(patience, reached.wait_for(ended)).await;
        match waited {
            Ok(Ok(at)) if there(&at) => Ok(()),
            _ => Err(self.stopped.read().clone().unwrap_or(Stopped::Behind(F::NAME, position))),
        }
    }

    /// Told whenever it has taken in more.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Option<Position>> {
        self.reached.subscribe()
    }

    /// How far it has read.
    #[must_use]
    pub fn reached(&self) -> Option<Position> {
        *self.reached.borrow()
    }

    /// How it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        Standing {
            name: F::NAME,
            version: F::VERSION,
            reached: self.reached(),
            written: self.table.written(),
            rows: self.table.rows(),
            unwritten: self.table.unwritten() as u64,
            rebuilt: self.rebuilt.clone(),
            stopped: self.stopped.read().as_ref().map(ToString::to_string),
        }
    }

    /// SHA-256 over all its rows in order.
    ///
    /// # Errors
    /// [`Stopped::Table`].
    pub fn digest(&self) -> Result<[u8; 32], Stopped> {
        self.ask(Table::digest)
    }

    /// Asks the table.
    pub(crate) fn ask<T>(
        &self,
        question: impl FnOnce(&Table) -> Result<T, TableError>,
    ) -> Result<T, Stopped> {
        question(&self.table).map_err(|error| Stopped::Table(F::NAME, error))
    }
}

fn made_with<F: Fold>(fold: &F) -> String {
    format!("{} v{}, {}", F::NAME, F::VERSION, fold.rules())
}

fn create(path: &Path, made_with: &str) -> Result<Table, TableError> {
    if let Some(views) = path.parent() {
        std::fs::create_dir_all(views).map_err(|error| TableError::Directory {
            what: "make",
            path: views.to_owned(),
            reason: error.to_string(),
        })?;
    }
    Table::create(path, made_with)
}

/// Builds a table beside the one that is there, and puts it in its place.
fn build<F: Fold>(
    fold: &F,
    home: &Home,
    reader: &Reader,
    progress: OnProgress<'_>,
) -> Result<Table, FoldError> {
    let path = home.table::<F>();
    let beside = path.with_extension("building");
    let total = reader.head().size;
    let done = std::sync::atomic::AtomicU64::new(0);
    let read = |more| {
        let done = done.fetch_add(more, std::sync::atomic::Ordering::Relaxed) + more;
        progress(F::NAME, done, total);
    };
    let table = create(&beside, &made_with(fold))?;
    fold.rebuild(&table, reader, &read)?;
    table.write(reader.head().position)?;
    table.flush()?;
    drop(table);
    table::swap(&beside, &path)?;
    let opened = Table::open(&path, &made_with(fold), reader.head().position);
    let unusable = |unusable: Unusable| TableError::Store(format!("what was just built: {unusable}"));
    Ok(opened.map_err(unusable)?.0)
}

/// What lies in the directory of a projection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// The projection.
    pub name: &'static str,
    /// The version of its rows.
    pub version: u32,
    /// How far the log was folded into it, and how many rows it has; or why it will be built anew.
    pub found: Result<(Option<Position>, u64), Unusable>,
}

/// Looks at a projection's table, reading it through. Nobody else may have it open.
pub fn inspect<F: Fold>(fold: &F, home: &Home, log_end: Option<Position>) -> Inspected {
    let opened = Table::open(&home.table::<F>(), &made_with(fold), log_end);
    let found = opened.map(|(table, reached)| (reached, table.rows()));
    Inspected { name: F::NAME, version: F::VERSION, found }
}

/// What a rebuild of a table says: what was there, and what is there now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// The projection.
    pub name: &'static str,
    /// The digest of what was there, brought up to the log's end; none where it could not be used, and why.
    pub before: Result<[u8; 32], String>,
    /// The digest of what is there now.
    pub after: [u8; 32],
    /// Rows now.
    pub rows: u64,
}

/// Builds a read model anew beside the one that is there, compares both, and swaps them. Nobody else may have it open.
///
/// # Errors
/// [`FoldError`].
pub async fn rebuild<F: Fold>(
    make: impl Fn() -> F,
    home: &Home,
    log: Arc<dyn EventLog>,
    progress: OnProgress<'_>,
) -> Result<Rebuilt, FoldError> {
    let reader = Reader::open(&home.log)?;
    let fold = make();
    let before = match Table::open(&home.table::<F>(), &made_with(&fold), reader.head().position) {
        Ok((table, reached)) => {
            let old = Projection::over(fold, table, reached, None);
            old.follow(log).await;
            match old.stopped.read().as_ref() {
                Some(stopped) => Err(stopped.to_string()),
                None => old.digest().map_err(|stopped| stopped.to_string()),
            }
        }
        Err(unusable) => Err(unusable.to_string()),
    };
    let table = build(&make(), home, &reader, progress)?;
    Ok(Rebuilt { name: F::NAME, before, after: table.digest()?, rows: table.rows() })
}
