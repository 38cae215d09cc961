//! What became of each row.

use duban_codec::with_causes;
use serde::Serialize;

use super::ticket_row::{BadRow, RowError};

/// Told how many rows of how many are done.
pub type ImportProgress<'p> = &'p dyn Fn(u64, u64);

/// A rejected row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RejectedRow {
    /// Its line in the input, from 1.
    pub line: u64,
    /// Why.
    pub reason: String,
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// Rows read.
    pub read: u64,
    /// Tickets or steps added; in a dry run, that would be.
    pub added: u64,
    /// Rows whose tickets or steps were there already.
    pub known: u64,
    /// Rows rejected.
    pub rejected: u64,
    /// Each of them, by line.
    pub errors: Vec<RejectedRow>,
    /// Foreign histories that the rows belong to, where they are steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub histories: Option<u64>,
}

/// Counts what becomes of each row.
pub(super) struct Tally {
    pub(super) report: ImportReport,
}

impl Tally {
    pub(super) fn of(rows: usize) -> Self {
        let read = rows as u64;
        Self { report: ImportReport { read, ..ImportReport::default() } }
    }

    pub(super) fn reject(&mut self, line: u64, error: &RowError) {
        self.report.rejected += 1;
        self.report.errors.push(RejectedRow { line, reason: with_causes(error) });
    }

    pub(super) fn done(mut self, bad: Vec<BadRow>) -> ImportReport {
        for BadRow { line, error } in bad {
            self.reject(line, &error);
        }
        self.report.errors.sort_by_key(|rejected| rejected.line);
        self.report
    }
}
