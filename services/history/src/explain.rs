//! Why a verdict is what it is: recomputed from a ticket's events and the versions of policy and calendar that its clocks name,
//! by the tables of domain.md sections 4 and 7 and not by the events that stored the outcome.
//!
//! What a decision stored (`ClockMet`, `ClockBreached`, a due moment, that a verdict became final) is only compared with what comes
//! out here, so that a rule that went wrong, or a log that somebody wrote by hand, is told by a second reading of the same rules.

mod clock;
mod verdict;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use duban_aggregates::calendar::Calendar;
use duban_aggregates::meta::Meta;
use duban_aggregates::policy::Policy;
use duban_aggregates::ticket::Event;

pub use clock::{ClockExplained, Stated, TargetFrom, clock};
pub use verdict::{Involved, VerdictExplained, verdict};

/// The versions of policy and calendar that whoever asks has.
#[derive(Clone, Debug, Default)]
pub struct Versions {
    /// Policies.
    pub policies: Vec<Arc<Policy>>,
    /// Calendars.
    pub calendars: Vec<Arc<Calendar>>,
}

impl Versions {
    /// The policy of a version, where it is here.
    #[must_use]
    pub fn policy(&self, version: &str) -> Option<&Policy> {
        self.policies.iter().find(|policy| policy.version == version).map(|policy| &**policy)
    }

    /// The calendar of a version, where it is here.
    #[must_use]
    pub fn calendar(&self, version: &str) -> Option<&Calendar> {
        self.calendars.iter().find(|calendar| calendar.version == version).map(|calendar| &**calendar)
    }
}

/// The event that brought another one about: the last before it in its command that is not itself a clock's answer. None where
/// time alone did.
fn cause(history: &[(Meta, Event)], at: usize) -> Option<usize> {
    use duban_aggregates::ticket::clock::Event as Clock;
    let by_time = |event: &Event| {
        matches!(
            event,
            Event::Clock(
                Clock::Warned { .. }
                    | Clock::Breached { .. }
                    | Clock::Escalated { .. }
                    | Clock::EscalationProposed { .. }
            )
        )
    };
    let answers = |event: &Event| {
        matches!(
            event,
            Event::Clock(
                Clock::Started(_)
                    | Clock::Met { .. }
                    | Clock::BreachWithdrawn { .. }
                    | Clock::Cancelled { .. }
                    | Clock::Paused { .. }
                    | Clock::Resumed { .. }
                    | Clock::Restated { .. }
            )
        )
    };
    let (meta, event) = history.get(at)?;
    if by_time(event) {
        return None;
    }
    let of_command = (0..at).rev().take_while(|before| history[*before].0.command == meta.command);
    let mut before = of_command.filter(|before| !by_time(&history[*before].1));
    before.find(|before| !answers(&history[*before].1))
}
