//! Problems: the common cause behind several customers' tickets, and its corrective action
//! (domain.md sections 3, 6 and 8).

use jiff::civil::Date;

use crate::ids::{EventId, ProblemId, TicketId, UnitId};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A problem was opened.
    Opened {
        /// Its id.
        problem: ProblemId,
        /// What it is about; no personal data.
        title: String,
        /// Category path.
        category: String,
        /// The unit that owns it.
        owner: UnitId,
    },
    /// A ticket joined.
    TicketJoined {
        /// The ticket.
        ticket: TicketId,
    },
    /// The cause was found.
    CauseFound {
        /// The cause; no personal data.
        cause: String,
    },
    /// A corrective action was planned.
    ActionPlanned {
        /// What will be done; no personal data.
        action: String,
        /// The unit that owns it.
        owner: UnitId,
        /// By when.
        due_on: Date,
    },
    /// The corrective action was carried out; it serves all the problem's tickets.
    ActionCarriedOut {
        /// What proves it.
        evidence: String,
    },
    /// Recurrence was measured: the action failed and the problem is open again, not its tickets.
    ActionFailed {
        /// The measure of recurrence, in words.
        finding: String,
        /// The tickets' events it rests on.
        because: Vec<EventId>,
    },
    /// Closed.
    Closed,
}

/// What may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Open a problem.
    Open {
        /// Its id.
        problem: ProblemId,
        /// Title; required.
        title: String,
        /// Category path, as the policy has it.
        category: String,
        /// The owning unit, as the register has it.
        owner: UnitId,
    },
    /// Let a ticket join.
    JoinTicket {
        /// The ticket.
        ticket: TicketId,
    },
    /// Record the cause.
    FindCause {
        /// The cause; required.
        cause: String,
    },
    /// Plan the corrective action.
    PlanAction {
        /// What will be done; required.
        action: String,
        /// The owning unit, as the register has it.
        owner: UnitId,
        /// By when; not in the past.
        due_on: Date,
    },
    /// Record that the action was carried out.
    CarryOutAction {
        /// What proves it; required.
        evidence: String,
    },
    /// Record that it recurred all the same.
    RecordFailure {
        /// The measure of recurrence; required.
        finding: String,
        /// The events it rests on.
        because: Vec<EventId>,
    },
    /// Close, when the action was carried out.
    Close,
}
