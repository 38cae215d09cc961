//! Histories 履历 as readers see them, over gRPC and beside a directory alike: a ticket as it stood, two moments compared, and a
//! verdict drilled down to the events and versions that it rests on.

mod diff;
mod explain;
mod texts;
mod view;
mod words;

pub use self::diff::difference;
pub use self::explain::{explain_clock, explain_verdict};
pub use self::texts::Opener;
pub use self::view::{Shown, order_status};
pub use duban_history::ticket_summary::{state, summary};

use duban_log::Recorded;
use duban_proto::api::v1 as api;
use jiff::Timestamp;

use duban_engine::runner::RunError;

/// As it stood when. Every part that is given must hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AsOf {
    /// After the event of this revision.
    pub revision: Option<u64>,
    /// By what had been recorded up to this moment: what the system knew then.
    pub known_at: Option<Timestamp>,
    /// By what had occurred up to this moment: what was true then.
    pub at: Option<Timestamp>,
}

impl AsOf {
    /// Whether an event counts.
    #[must_use]
    pub fn sees(&self, event: &Recorded) -> bool {
        let by = |limit: Option<Timestamp>, moment: i64| {
            limit.is_none_or(|limit| moment <= limit.as_microsecond())
        };
        self.revision.is_none_or(|revision| event.revision <= revision)
            && by(self.known_at, event.recorded_at)
            && by(self.at, event.occurred_at)
    }

    /// The moment that a state is of, up to which its custody is counted: the one that was asked for, of several the earliest,
    /// never later than now; for a revision, when its event was recorded.
    #[must_use]
    pub fn moment(&self, shown: &Shown, now: Timestamp) -> Timestamp {
        let after = self.revision.map(|_| shown.ticket().last_recorded_at);
        [after, self.known_at, self.at].into_iter().flatten().fold(now, Timestamp::min)
    }

    /// The ticket, folded from those of its events that count; none where none does.
    ///
    /// # Errors
    /// [`RunError::Corrupt`], where one cannot be read.
    pub fn fold(&self, events: &[Recorded]) -> Result<Option<Shown>, RunError> {
        let seen = events.iter().filter(|event| self.sees(event));
        seen.into_iter().try_fold(None, Shown::after)
    }

    /// The state of the ticket that these are the events of; none where nothing had happened.
    ///
    /// # Errors
    /// [`RunError::Corrupt`], where an event cannot be read.
    pub fn ticket(
        &self,
        events: &[Recorded],
        opener: &Opener,
        now: Timestamp,
    ) -> Result<Option<api::Ticket>, RunError> {
        let shown = self.fold(events)?;
        Ok(shown.map(|shown| shown.view(opener, self.moment(&shown, now))))
    }
}
