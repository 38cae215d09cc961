//! Writing behind: rows that changed are written together, a moment later, while folding goes on.

use std::sync::Arc;
use std::time::Duration;

use duban_log::Position;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::table::{Table, TableError};

/// A row waits at most this long before it is written. Rows that change more often than that are written once.
const WRITE_AFTER: Duration = Duration::from_millis(200);

/// With so many unwritten rows writing begins at once.
const WRITE_AT: usize = 4_096;

/// With so many, while others are being written, the fold waits for the disk: this bounds the memory.
const FRESH_MAX: usize = 65_536;

/// What there is to do.
pub(super) enum Turn {
    /// It is time to write.
    Write,
    /// A write has ended.
    Written,
}

/// What is to be written of a table, and when.
pub(super) struct Behind {
    table: Arc<Table>,
    since: Option<Instant>,
    writing: Option<JoinHandle<Result<(), TableError>>>,
}

impl Behind {
    pub(super) fn new(table: Arc<Table>) -> Self {
        Self { table, since: None, writing: None }
    }

    /// Rows have changed, and the log was folded up to here. Waits where too many are unwritten.
    pub(super) async fn note(&mut self, reached: Option<Position>) -> Result<(), TableError> {
        let fresh = self.table.fresh();
        if fresh == 0 {
            return Ok(());
        }
        self.since.get_or_insert_with(Instant::now);
        if fresh >= FRESH_MAX {
            self.end().await?;
        }
        if fresh >= WRITE_AT && self.writing.is_none() {
            self.write(reached);
        }
        Ok(())
    }

    /// Waits until there is something to do. Cancel safe.
    pub(super) async fn turn(&mut self) -> Result<Turn, TableError> {
        if self.writing.is_some() {
            self.end().await?;
            return Ok(Turn::Written);
        }
        match self.since {
            Some(since) => tokio::time::sleep_until(since + WRITE_AFTER).await,
            None => std::future::pending().await,
        }
        Ok(Turn::Write)
    }

    /// Begins to write; the one before has ended.
    pub(super) fn write(&mut self, reached: Option<Position>) {
        debug_assert!(self.writing.is_none(), "one write at a time");
        self.since = None;
        // Here and not on the other thread: what changes before that thread begins lies beyond `reached`.
        self.table.seal(reached);
        let table = Arc::clone(&self.table);
        self.writing = Some(tokio::task::spawn_blocking(move || table.write_sealed()));
    }

    /// Waits for the write that is under way. Cancel safe: what is not awaited to its end is awaited again.
    pub(super) async fn end(&mut self) -> Result<(), TableError> {
        let Some(writing) = &mut self.writing else { return Ok(()) };
        let written = writing.await;
        self.writing = None;
        written.unwrap_or(Err(TableError::Panicked))
    }
}
