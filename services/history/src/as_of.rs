//! A ticket as it stood: after an event, by what was known, by what was true.

use duban_log::Recorded;
use duban_proto::api::v1 as api;
use jiff::Timestamp;

use crate::error::HistoryError;
use crate::folded_ticket::FoldedTicket;
use crate::text_opener::TextOpener;

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
    pub fn moment(&self, folded: &FoldedTicket, now: Timestamp) -> Timestamp {
        let after = self.revision.map(|_| folded.ticket().last_recorded_at);
        [after, self.known_at, self.at].into_iter().flatten().fold(now, Timestamp::min)
    }

    /// The ticket, folded from those of its events that count; none where none does.
    ///
    /// # Errors
    /// [`HistoryError::Unreadable`], where one cannot be read.
    pub fn fold(&self, events: &[Recorded]) -> Result<Option<FoldedTicket>, HistoryError> {
        let seen = events.iter().filter(|event| self.sees(event));
        seen.into_iter().try_fold(None, FoldedTicket::after)
    }

    /// The state of the ticket that these are the events of; none where nothing had happened.
    ///
    /// # Errors
    /// [`HistoryError::Unreadable`], where an event cannot be read.
    pub fn ticket(
        &self,
        events: &[Recorded],
        opener: &TextOpener,
        now: Timestamp,
    ) -> Result<Option<api::Ticket>, HistoryError> {
        let folded = self.fold(events)?;
        Ok(folded.map(|folded| folded.view(opener, self.moment(&folded, now))))
    }
}
