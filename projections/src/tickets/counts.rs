//! Reconciliation: opened + reopened − closed − withdrawn − rejected − merged = open, always (domain.md section 3).

use serde::{Deserialize, Serialize};

use super::row::Row;

/// How many tickets came and how they ended. It is the sum of what each ticket adds, so it can be taken apart again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Tickets taken in.
    pub opened: u64,
    /// Reopenings.
    pub reopened: u64,
    /// Closings.
    pub closed: u64,
    /// Withdrawals.
    pub withdrawn: u64,
    /// Rejections.
    pub rejected: u64,
    /// Merges.
    pub merged: u64,
    /// Tickets that are open, counted for themselves.
    pub open: u64,
    /// Rounds of all tickets together.
    pub rounds: u64,
}

impl Counts {
    /// What one ticket adds.
    #[must_use]
    pub fn of(row: &Row) -> Self {
        let ends = row.kept.ends;
        Self {
            opened: 1,
            reopened: row.reopened.into(),
            closed: ends.closed.into(),
            withdrawn: ends.withdrawn.into(),
            rejected: ends.rejected.into(),
            merged: ends.merged.into(),
            open: row.is_open().into(),
            rounds: row.round.into(),
        }
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.each(other, |a, b| a + b)
    }

    /// Takes away what was added before.
    #[must_use]
    pub(super) fn minus(self, other: Self) -> Self {
        self.each(other, u64::saturating_sub)
    }

    fn each(self, other: Self, of: impl Fn(u64, u64) -> u64) -> Self {
        let Self { opened, reopened, closed, withdrawn, rejected, merged, open, rounds } = other;
        Self {
            opened: of(self.opened, opened),
            reopened: of(self.reopened, reopened),
            closed: of(self.closed, closed),
            withdrawn: of(self.withdrawn, withdrawn),
            rejected: of(self.rejected, rejected),
            merged: of(self.merged, merged),
            open: of(self.open, open),
            rounds: of(self.rounds, rounds),
        }
    }

    /// Whether the equation holds.
    #[must_use]
    pub fn add_up(&self) -> bool {
        self.opened + self.reopened == self.open + self.closed + self.withdrawn + self.rejected + self.merged
    }
}
