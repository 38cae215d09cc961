//! Clocks 时限: which events start, meet, pause and cancel them (domain.md section 4). The rules are in [`table`].

use jiff::Timestamp;

use crate::calendar::Target;
use crate::ids::{ClockNo, EscalationNo, OrderNo, RequestNo};
use crate::sealed::Sealed;
use crate::ticket::intake::Attachment;
use crate::words::{ClockKind, PauseCode, Rung, Stage};

mod correct;
mod decide;
mod due;
mod follow;
mod run;
pub mod table;
pub mod trigger;

pub use decide::resume;
pub(crate) use decide::{decide, pause};
pub(crate) use due::fall_due;
pub use due::{DueStep, Step, next_step, next_steps};
pub(crate) use follow::{entry, follow, outside_or_statutory, wake};
pub use follow::{entry_of, restated, start};
pub(crate) use run::apply;
pub use run::{Clock, Escalation, Pause, Status};
pub use trigger::Trigger;

/// What a clock is about, beside its ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// The ticket as a whole.
    Ticket,
    /// A stage.
    Stage(Stage),
    /// An order.
    Order(OrderNo),
    /// An outside body's request.
    Request(RequestNo),
}

/// Everything fixed when a clock starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Its number inside the ticket.
    pub clock: ClockNo,
    /// Which clock.
    pub kind: ClockKind,
    /// What it is about.
    pub subject: Subject,
    /// From when it counts.
    pub started_at: Timestamp,
    /// Exactly at this moment is on time.
    pub due: Timestamp,
    /// When the warning falls.
    pub warn_at: Timestamp,
    /// The target the policy set.
    pub target: Target,
    /// The share of the span after which it warns, in percent.
    pub warn_percent: u32,
    /// The pause codes it honours.
    pub pauses: Vec<PauseCode>,
    /// The article it rests on, where statutory.
    pub article: Option<String>,
    /// The calendar of a year it runs through is not published yet.
    pub provisional: bool,
    /// The policy's version.
    pub policy: String,
    /// The calendar's version.
    pub calendar: String,
}

/// What happened to clocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A clock started.
    Started(Box<Start>),
    /// Its share of the span has passed; stamped with that moment.
    Warned {
        /// The clock.
        clock: ClockNo,
        /// The moment.
        at: Timestamp,
    },
    /// Met on time; final.
    Met {
        /// The clock.
        clock: ClockNo,
        /// When what it waited for happened.
        at: Timestamp,
    },
    /// Due passed; final; stamped with the due moment.
    Breached {
        /// The clock.
        clock: ClockNo,
        /// The due moment.
        due: Timestamp,
    },
    /// A fact later proved on time; the breach stands beside it.
    BreachWithdrawn {
        /// The clock.
        clock: ClockNo,
        /// When it really happened.
        at: Timestamp,
    },
    /// What it waited for will not come: a new round, another order, the ticket's end.
    Cancelled {
        /// The clock.
        clock: ClockNo,
    },
    /// It stands still while the ticket is paused.
    Paused {
        /// The clock.
        clock: ClockNo,
    },
    /// It goes on with a new due moment.
    Resumed {
        /// The clock.
        clock: ClockNo,
        /// From when it runs again: now, or the resume-by moment.
        at: Timestamp,
        /// The new due moment.
        due: Timestamp,
        /// The new warning moment.
        warn_at: Timestamp,
        /// Whether the calendar of a year it runs through is not published yet.
        provisional: bool,
    },
    /// A correction, an extension, a merge or a published calendar moved the due moment.
    Restated {
        /// The clock.
        clock: ClockNo,
        /// The new due moment.
        due: Timestamp,
        /// The new warning moment.
        warn_at: Timestamp,
        /// Whether the calendar of a year it runs through is not published yet.
        provisional: bool,
        /// The calendar's version, where a published year is the reason: the target then stays what it was.
        calendar: Option<String>,
    },
    /// The ticket stands still.
    TicketPaused {
        /// Why.
        code: PauseCode,
        /// What proves it.
        evidence: Sealed,
        /// The document, where there is one.
        attachment: Option<Attachment>,
        /// When it ends by itself.
        resume_by: Timestamp,
    },
    /// The ticket goes on.
    TicketResumed {
        /// From when it goes on: now, or the resume-by moment.
        at: Timestamp,
        /// The pause ended by itself at its resume-by moment.
        by_itself: bool,
    },
    /// A unit was urged 催办 by a supervisor.
    Urged {
        /// The order urged.
        order: OrderNo,
        /// In words.
        words: Sealed,
    },
    /// One of the ladder's first two rungs, which happen by themselves: 催办 and 催办通知书 to whoever has the work.
    Escalated {
        /// The clock.
        clock: ClockNo,
        /// The rung: urge or notice.
        rung: Rung,
        /// When it fell due.
        at: Timestamp,
    },
    /// A rung of the ladder is due; a supervisor decides.
    EscalationProposed {
        /// Its number inside the ticket.
        escalation: EscalationNo,
        /// The breached clock.
        clock: ClockNo,
        /// The rung.
        rung: Rung,
        /// When the rung fell due.
        at: Timestamp,
    },
    /// The supervisor issued it.
    EscalationIssued {
        /// The proposal.
        escalation: EscalationNo,
        /// In words.
        words: Sealed,
    },
    /// The supervisor declined it.
    EscalationDeclined {
        /// The proposal.
        escalation: EscalationNo,
        /// Why.
        reason: Sealed,
    },
}

/// What may be asked of clocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Stop the clocks that honour the code. Desk and dispatch only, never the holder.
    Pause {
        /// Why.
        code: PauseCode,
        /// What proves it; required.
        evidence: Sealed,
        /// The document, where there is one.
        attachment: Option<Attachment>,
        /// When it ends by itself; 5 working days, where absent.
        resume_by: Option<Timestamp>,
    },
    /// Go on.
    Resume,
    /// Urge a unit.
    Urge {
        /// The order.
        order: OrderNo,
        /// In words; required.
        words: Sealed,
    },
    /// Propose a rung of the ladder by hand.
    ProposeEscalation {
        /// The breached clock.
        clock: ClockNo,
        /// The rung.
        rung: Rung,
    },
    /// Issue a proposed escalation.
    IssueEscalation {
        /// The proposal.
        escalation: EscalationNo,
        /// In words; required.
        words: Sealed,
    },
    /// Decline a proposed escalation.
    DeclineEscalation {
        /// The proposal.
        escalation: EscalationNo,
        /// Why; required.
        reason: Sealed,
    },
    /// A step's moment has come (the timer). Everything that is due by now happens; what no longer holds does not.
    Tick(DueStep),
}
