//! A ticket's history out of a log, beside whoever writes to it: what a server would answer.

use std::sync::Arc;

use crate::explain::Versions;
use duban_aggregates::calendar::Calendar;
use duban_aggregates::ids::{ClockNo, TicketId, VerdictNo};
use duban_aggregates::policy::Policy;
use duban_log::{Direction, Reader, Recorded, StreamName};
use duban_projections::ticket_streams;
use duban_proto::api::v1 as api;
use jiff::Timestamp;
use uuid::Uuid;

use crate::as_of::AsOf;
use crate::difference::difference;
use crate::error::HistoryError;
use crate::explanation::{explain_clock, explain_verdict};
use crate::text_opener::TextOpener;

/// Events read at a time.
const PAGE: usize = 512;

/// Why there is no history.
#[derive(Debug, thiserror::Error)]
pub enum TicketHistoryError {
    /// No stream is of this ticket.
    #[error("there is no ticket {0} here")]
    NoTicket(Uuid),
    /// None of its events counts.
    #[error("ticket {0} has no event up to there: ask for a later moment or revision")]
    Nothing(Uuid),
    /// It has no such clock.
    #[error("ticket {0} has no clock {1}")]
    NoClock(Uuid, ClockNo),
    /// It has no such verdict.
    #[error("ticket {0} has no verdict {1}")]
    NoVerdict(Uuid, VerdictNo),
    /// It cannot be shown.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] duban_log::Error),
}

impl TicketHistoryError {
    /// Whether another question would have been answered.
    #[must_use]
    pub fn is_misuse(&self) -> bool {
        match self {
            Self::NoTicket(_) | Self::Nothing(_) | Self::NoClock(..) | Self::NoVerdict(..) => true,
            Self::History(error) => matches!(error, HistoryError::FromSeesMore),
            Self::Log(_) => false,
        }
    }
}

/// A ticket's events as they lie in a log, and what opens their texts.
#[derive(Debug)]
pub struct TicketHistory {
    ticket: Uuid,
    events: Vec<Recorded>,
    opener: TextOpener,
    /// A log written under a virtual clock may be ahead of this machine.
    now: Timestamp,
}

impl TicketHistory {
    /// Reads all events of a ticket.
    ///
    /// # Errors
    /// [`TicketHistoryError::NoTicket`], [`TicketHistoryError::Log`].
    pub fn read(
        reader: &Reader,
        ticket: Uuid,
        opener: TextOpener,
        now: Timestamp,
    ) -> Result<Self, TicketHistoryError> {
        let (_, events) = ticket_events(reader, ticket)?.ok_or(TicketHistoryError::NoTicket(ticket))?;
        let recorded = events.last().and_then(|last| Timestamp::from_microsecond(last.recorded_at).ok());
        let now = recorded.map_or(now, |recorded| now.max(recorded));
        Ok(Self { ticket, events, opener, now })
    }

    /// Every event, with its texts as far as they can be opened.
    ///
    /// # Errors
    /// [`HistoryError::Unreadable`].
    pub fn events(&self) -> Result<Vec<api::HistoryEvent>, TicketHistoryError> {
        let events = self.events.iter().map(|event| self.opener.event(event));
        Ok(events.collect::<Result<_, _>>()?)
    }

    /// The ticket as it stood.
    ///
    /// # Errors
    /// [`TicketHistoryError::Nothing`], [`HistoryError::Unreadable`].
    pub fn ticket(&self, as_of: AsOf) -> Result<api::Ticket, TicketHistoryError> {
        let ticket = as_of.ticket(&self.events, &self.opener, self.now)?;
        ticket.ok_or(TicketHistoryError::Nothing(self.ticket))
    }

    /// What lies between two moments.
    ///
    /// # Errors
    /// [`TicketHistoryError::Nothing`], [`HistoryError`].
    pub fn difference(&self, from: AsOf, to: AsOf) -> Result<api::DiffTicketResponse, TicketHistoryError> {
        let answer = difference(&self.events, (from, to), &self.opener, self.now)?;
        answer.ok_or(TicketHistoryError::Nothing(self.ticket))
    }

    /// What a clock's verdict rests on, by the policies and the calendar that are known.
    ///
    /// # Errors
    /// [`TicketHistoryError::NoClock`], [`HistoryError::Unreadable`].
    pub fn explain_clock(
        &self,
        clock: ClockNo,
        policy: &Policy,
        calendar: &Arc<Calendar>,
    ) -> Result<api::ExplainClockResponse, TicketHistoryError> {
        let answer = explain_clock(&self.events, clock, &versions(policy, calendar), &self.opener)?;
        answer.ok_or(TicketHistoryError::NoClock(self.ticket, clock))
    }

    /// What a verdict on a unit rests on, by the policies and the calendar that are known.
    ///
    /// # Errors
    /// [`TicketHistoryError::NoVerdict`], [`HistoryError::Unreadable`].
    pub fn explain_verdict(
        &self,
        verdict: VerdictNo,
        policy: &Policy,
        calendar: &Arc<Calendar>,
    ) -> Result<api::ExplainVerdictResponse, TicketHistoryError> {
        let answer = explain_verdict(&self.events, verdict, &versions(policy, calendar), &self.opener)?;
        answer.ok_or(TicketHistoryError::NoVerdict(self.ticket, verdict))
    }
}

fn versions(policy: &Policy, calendar: &Arc<Calendar>) -> Versions {
    Versions { policies: policy.editions(), calendars: vec![Arc::clone(calendar)] }
}

/// A ticket's stream and all its events; none where there is no such ticket.
pub(crate) fn ticket_events(
    reader: &Reader,
    ticket: Uuid,
) -> Result<Option<(StreamName, Vec<Recorded>)>, duban_log::Error> {
    for stream in ticket_streams(TicketId(ticket))? {
        let mut events = Vec::new();
        loop {
            let page = reader.read_stream(&stream, events.len() as u64, Direction::Forward, PAGE)?;
            let more = !duban_log::ends_stream(&page, PAGE);
            events.extend(page);
            if !more {
                break;
            }
        }
        if !events.is_empty() {
            return Ok(Some((stream, events)));
        }
    }
    Ok(None)
}
