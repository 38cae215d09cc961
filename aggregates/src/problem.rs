//! Problems: the common cause behind several customers' tickets, and its corrective action
//! (domain.md sections 3, 6 and 8).

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::Date;

use crate::calendar::local_date;
use crate::checks::{described, listed, named, registered};
use crate::ids::{EventId, ProblemId, TicketId, UnitId};
use crate::memory::Memory;
use crate::meta::{Context, Meta};
use crate::rejection::{Problem as Wrong, Rejection};

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

/// A corrective action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// What will be done.
    pub action: String,
    /// The unit that owns it.
    pub owner: UnitId,
    /// By when.
    pub due_on: Date,
    /// The event that proves it; tickets are served by it.
    pub carried_out: Option<EventId>,
}

/// A problem, folded from its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its id.
    pub id: ProblemId,
    /// What it is about.
    pub title: String,
    /// Category path.
    pub category: String,
    /// The unit that owns it.
    pub owner: UnitId,
    /// Tickets that joined.
    pub tickets: BTreeSet<TicketId>,
    /// The cause, as it is known now.
    pub cause: Option<String>,
    /// The corrective action; gone once it failed.
    pub action: Option<Action>,
    /// How often an action failed.
    pub failures: u32,
    /// Closed.
    pub closed: bool,
    /// The last event's revision.
    pub revision: u64,
    /// The last event's recorded moment.
    pub last_recorded_at: Timestamp,
    /// Commands and what they did.
    pub commands: Memory,
}

impl Problem {
    /// The event that proves the corrective action, where it was carried out and has not failed.
    #[must_use]
    pub fn carried_out(&self) -> Option<EventId> {
        self.action.as_ref()?.carried_out
    }
}

/// Folds one event. Nothing comes of an event before `Opened`.
#[must_use]
pub fn evolve(problem: Option<Problem>, event: &Event, meta: &Meta) -> Option<Problem> {
    let mut problem = match (problem, event) {
        (Some(problem), _) => problem,
        (None, Event::Opened { problem, title, category, owner }) => Problem {
            id: *problem,
            title: title.clone(),
            category: category.clone(),
            owner: owner.clone(),
            tickets: BTreeSet::new(),
            cause: None,
            action: None,
            failures: 0,
            closed: false,
            revision: meta.revision,
            last_recorded_at: meta.recorded_at,
            commands: Memory::default(),
        },
        (None, _) => return None,
    };
    match event {
        Event::Opened { .. } => {}
        Event::TicketJoined { ticket } => {
            problem.tickets.insert(*ticket);
        }
        Event::CauseFound { cause } => problem.cause = Some(cause.clone()),
        Event::ActionPlanned { action, owner, due_on } => {
            problem.action = Some(Action {
                action: action.clone(),
                owner: owner.clone(),
                due_on: *due_on,
                carried_out: None,
            });
        }
        Event::ActionCarriedOut { .. } => {
            if let Some(action) = &mut problem.action {
                action.carried_out = Some(meta.id);
            }
        }
        Event::ActionFailed { .. } => {
            problem.action = None;
            problem.failures += 1;
            problem.closed = false;
        }
        Event::Closed => problem.closed = true,
    }
    problem.revision = meta.revision;
    problem.last_recorded_at = meta.recorded_at;
    problem.commands.note(meta);
    Some(problem)
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

/// Decides a command: the events it adds, none where what it asks for already holds.
///
/// # Errors
/// A [`Rejection`] that states the fact against it.
pub fn decide(
    problem: Option<&Problem>,
    context: &Context<'_>,
    command: Command,
) -> Result<Vec<Event>, Rejection> {
    let Some(known) = problem else {
        let Command::Open { problem, title, category, owner } = command else {
            return Err(Rejection::DoesNotExist);
        };
        named("title", &title)?;
        if context.policy.category(&category).is_none() {
            return Err(Rejection::invalid("category", Wrong::NotRegistered(category)));
        }
        registered(context, "owner", owner.as_str())?;
        return Ok(vec![Event::Opened { problem, title, category, owner }]);
    };
    let event = match command {
        Command::Open { .. } => return Err(Rejection::AlreadyExists),
        Command::JoinTicket { ticket } if known.tickets.contains(&ticket) => None,
        Command::JoinTicket { ticket } => {
            not_closed(known)?;
            Some(Event::TicketJoined { ticket })
        }
        Command::FindCause { cause } => {
            described("cause", &cause)?;
            not_closed(known)?;
            (known.cause.as_ref() != Some(&cause)).then_some(Event::CauseFound { cause })
        }
        Command::PlanAction { action, owner, due_on } => plan_action(known, context, action, owner, due_on)?,
        Command::CarryOutAction { evidence } => {
            described("evidence", &evidence)?;
            let action = known.action.as_ref().ok_or(Rejection::ActionMissing)?;
            action.carried_out.is_none().then_some(Event::ActionCarriedOut { evidence })
        }
        Command::RecordFailure { finding, because } => {
            described("finding", &finding)?;
            listed("because", &because)?;
            known.carried_out().ok_or(Rejection::ActionOpen)?;
            Some(Event::ActionFailed { finding, because })
        }
        Command::Close => {
            known.carried_out().ok_or(Rejection::ActionOpen)?;
            (!known.closed).then_some(Event::Closed)
        }
    };
    Ok(event.into_iter().collect())
}

/// A plan may be replaced until it is carried out; after that only a failure makes room for another.
fn plan_action(
    known: &Problem,
    context: &Context<'_>,
    action: String,
    owner: UnitId,
    due_on: Date,
) -> Result<Option<Event>, Rejection> {
    described("action", &action)?;
    registered(context, "owner", owner.as_str())?;
    if let Some(planned) = &known.action {
        if (&planned.action, &planned.owner, planned.due_on) == (&action, &owner, due_on) {
            return Ok(None);
        }
        if planned.carried_out.is_some() {
            return Err(Rejection::AlreadyEnded);
        }
    }
    if due_on < local_date(context.at) {
        return Err(Rejection::invalid("due_on", Wrong::NotInFuture));
    }
    Ok(Some(Event::ActionPlanned { action, owner, due_on }))
}

fn not_closed(problem: &Problem) -> Result<(), Rejection> {
    if problem.closed { Err(Rejection::AlreadyEnded) } else { Ok(()) }
}
