//! How far the reactions have come, in a table without rows that may be lost at any time.

use std::path::Path;

use duban_log::Position;
use duban_projections::table::{Table, TableError, Unusable};

const NAME: &str = "reactions-v1";

/// A checkpoint; none where the table cannot be used, which costs time and nothing else.
pub(super) struct Checkpoint {
    table: Option<Table>,
}

impl Checkpoint {
    /// Opens the table below a directory. One that cannot be used is begun again.
    pub(super) async fn open(views: &Path, log_end: Option<Position>) -> Self {
        let path = views.join(NAME);
        let opened = tokio::task::spawn_blocking(move || open_or_begin_again(&path, log_end)).await;
        Self { table: opened.unwrap_or_default() }
    }

    pub(super) fn get(&self) -> Option<Position> {
        self.table.as_ref()?.written()
    }

    pub(super) fn set(&self, position: Position) {
        let Some(table) = &self.table else { return };
        if let Err(error) = table.write(Some(position)) {
            tracing::warn!(
                %error,
                "the reactions' checkpoint cannot be written; after a restart more is reacted to again, to no effect"
            );
        }
    }
}

fn open_or_begin_again(path: &Path, log_end: Option<Position>) -> Option<Table> {
    let unusable = match Table::open(path, NAME, log_end) {
        Ok((table, _)) => return Some(table),
        Err(unusable) => unusable,
    };
    if unusable != Unusable::Missing {
        tracing::warn!(
            store = %path.display(),
            reason = %unusable,
            "the reactions' checkpoint cannot be used: they begin at the beginning of the log, which repeats nothing"
        );
    }
    begin(path).inspect_err(|error| tracing::warn!(%error, "reactions run without a checkpoint")).ok()
}

fn begin(path: &Path) -> Result<Table, TableError> {
    Table::create(path, NAME)
}
