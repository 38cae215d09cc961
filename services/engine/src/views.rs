//! The read models of a server: opened or healed before it is ready, each following the log by itself.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use duban_log::{EventLog, Position, Reader};
use duban_projections::{
    Compared, Conformance, ConformanceFold, CustomerFold, Customers, Fold, FoldError, Home, Inspected,
    OnProgress, Projection, Rebuilt, Standing, Stopped, TicketFold, Tickets, rebuild,
};

use parking_lot::Mutex;

use crate::runner::Rules;

/// How long a question waits for a position, where the caller's own deadline is not nearer.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How often the server says how far it is, while it is not ready yet.
pub const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// Told how far a read model is that is built anew. Called from several threads.
pub trait Progress: Send + Sync {
    /// So many events of so many are read.
    fn built(&self, projection: &'static str, done: u64, total: u64);
}

/// A line in the log every few seconds.
#[derive(Default)]
pub struct ToldInTheLog {
    said: Mutex<Option<Instant>>,
}

impl Progress for ToldInTheLog {
    fn built(&self, projection: &'static str, done: u64, total: u64) {
        let mut said = self.said.lock();
        if said.get_or_insert_with(Instant::now).elapsed() >= PROGRESS_EVERY {
            *said = Some(Instant::now());
            tracing::info!(projection, done, total, "building a read model anew");
        }
    }
}

/// All read models.
#[derive(Clone)]
pub struct Views {
    /// Tickets.
    pub tickets: Arc<Tickets>,
    /// Customers' phones.
    pub customers: Arc<Customers>,
    /// Histories held against the chain.
    pub conformance: Arc<Conformance>,
}

/// Where the read models of a data directory live, and its log.
#[must_use]
pub fn home(data: &Path) -> Home {
    Home { views: data.join("views"), log: data.join("log") }
}

fn ticket_fold(rules: &Rules) -> TicketFold {
    TicketFold::new(Arc::clone(&rules.policy), Arc::clone(&rules.calendar))
}

impl Views {
    /// Opens them; what cannot be used is built anew from the log. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// [`FoldError`], where the log cannot be read or the directory cannot be written.
    pub fn open(data: &Path, rules: &Rules, progress: OnProgress<'_>) -> Result<Self, FoldError> {
        let home = home(data);
        Ok(Self {
            tickets: Arc::new(Projection::open(ticket_fold(rules), &home, progress)?),
            customers: Arc::new(Projection::open(CustomerFold, &home, progress)?),
            conformance: Arc::new(Projection::open(ConformanceFold, &home, progress)?),
        })
    }

    /// The same over a log that is no directory here: what cannot be used follows it from its beginning.
    ///
    /// # Errors
    /// [`FoldError`], where the directory cannot be written.
    pub fn open_afar(data: &Path, rules: &Rules, log_end: Option<Position>) -> Result<Self, FoldError> {
        let home = home(data);
        Ok(Self {
            tickets: Arc::new(Projection::open_afar(ticket_fold(rules), &home, log_end)?),
            customers: Arc::new(Projection::open_afar(CustomerFold, &home, log_end)?),
            conformance: Arc::new(Projection::open_afar(ConformanceFold, &home, log_end)?),
        })
    }

    /// Waits until all of them have taken in everything up to a position.
    ///
    /// # Errors
    /// [`Stopped`], also when it takes longer than `patience`.
    pub async fn wait_for(&self, position: Position, patience: Duration) -> Result<(), Stopped> {
        self.tickets.wait_for(position, patience).await?;
        self.customers.wait_for(position, patience).await?;
        self.conformance.wait_for(position, patience).await
    }

    /// Waits until the lists of tickets and customers have taken in everything up to a position.
    ///
    /// # Errors
    /// [`Stopped`], also when it takes longer than `patience`.
    pub async fn lists_have(&self, position: Position, patience: Duration) -> Result<(), Stopped> {
        self.tickets.wait_for(position, patience).await?;
        self.customers.wait_for(position, patience).await
    }

    /// Waits until each has taken in the log as it is now. One that cannot go on has said so, and stops nobody.
    pub async fn caught_up(&self, log: &dyn EventLog) {
        let Some(head) = log.head().position else { return };
        catch_up(&self.tickets, head).await;
        catch_up(&self.customers, head).await;
        catch_up(&self.conformance, head).await;
    }

    /// How they stand.
    #[must_use]
    pub fn standings(&self) -> Vec<Standing> {
        vec![self.tickets.standing(), self.customers.standing(), self.conformance.standing()]
    }
}

async fn catch_up<F: Fold>(view: &Projection<F>, head: Position) {
    loop {
        match view.wait_for(head, PROGRESS_EVERY).await {
            Err(Stopped::Behind(..)) => {
                let reached = view.reached().map(Position::get);
                tracing::info!(projection = F::NAME, reached, head = head.get(), "reading the log");
            }
            Ok(())
            | Err(Stopped::Poisoned(..) | Stopped::Log(..) | Stopped::Table(..) | Stopped::Panicked(..)) => {
                return;
            }
        }
    }
}

/// Looks at what lies in a data directory, which nobody else has open.
#[must_use]
pub fn inspect(data: &Path, rules: &Rules, log_end: Option<Position>) -> Vec<Inspected> {
    let home = home(data);
    vec![
        duban_projections::inspect(&ticket_fold(rules), &home, log_end),
        duban_projections::inspect(&CustomerFold, &home, log_end),
        duban_projections::inspect(&ConformanceFold, &home, log_end),
    ]
}

/// The names of all read models.
pub const NAMES: &[&str] = &[TicketFold::NAME, CustomerFold::NAME, ConformanceFold::NAME];

/// Builds a read model anew from a log that nobody writes to, compares it with the one that was there, and puts it in its
/// place. None where there is no read model of that name.
///
/// # Errors
/// [`FoldError`].
pub async fn rebuild_named(
    name: &str,
    data: &Path,
    rules: &Rules,
    log: Arc<dyn EventLog>,
    progress: OnProgress<'_>,
) -> Option<Result<Rebuilt, FoldError>> {
    let home = home(data);
    match name {
        TicketFold::NAME => Some(rebuild(|| ticket_fold(rules), &home, log, progress).await),
        CustomerFold::NAME => Some(rebuild(|| CustomerFold, &home, log, progress).await),
        ConformanceFold::NAME => Some(rebuild(|| ConformanceFold, &home, log, progress).await),
        _ => None,
    }
}

/// Compares every row of every read model of a data directory, which nobody else has open, with what a new fold of the log gives;
/// changes nothing.
///
/// # Errors
/// [`FoldError`].
pub async fn compare(
    data: &Path,
    rules: &Rules,
    reader: &Reader,
    log: &dyn EventLog,
    progress: OnProgress<'_>,
) -> Result<Vec<Compared>, FoldError> {
    let home = home(data);
    Ok(vec![
        duban_projections::compare(|| ticket_fold(rules), &home, reader, log, progress).await?,
        duban_projections::compare(|| CustomerFold, &home, reader, log, progress).await?,
        duban_projections::compare(|| ConformanceFold, &home, reader, log, progress).await?,
    ])
}
