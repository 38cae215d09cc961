//! What only faults 障碍 have: line tests, repair, service up, the customer's own terminal, payment of arrears.

use jiff::Timestamp;

use crate::checks::{bounded, named, required};
use crate::ids::EventId;
use crate::meta::Meta;
use crate::rejection::{Missing, Rejection};
use crate::sealed::Sealed;
use crate::ticket::draft::Draft;
use crate::ticket::state::{FactKind, Ticket};
use crate::words::Kind;

/// A fact about a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The 112 line tester's result.
    LineTested {
        /// Whether the line is sound.
        passed: bool,
        /// The tester's own number for the test.
        reference: String,
        /// What was measured.
        result: Sealed,
    },
    /// The repair was made.
    Repaired {
        /// What was done.
        work: Sealed,
    },
    /// The customer's service is up.
    ServiceUp,
    /// Whether the customer's own terminal was the cause.
    TerminalJudged {
        /// It was.
        customers_own: bool,
    },
    /// The arrears were paid; service must be restored within 48 hours.
    ArrearsPaid {
        /// The payment's own number.
        reference: String,
    },
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A fact was recorded.
    FactRecorded {
        /// The fact.
        fact: Fact,
        /// When it happened.
        occurred_at: Timestamp,
        /// What proves an earlier moment.
        evidence: Option<Sealed>,
    },
}

/// What may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Record a fact.
    RecordFact {
        /// The fact.
        fact: Fact,
        /// When it happened; now, where absent.
        occurred_at: Option<Timestamp>,
        /// What proves an earlier moment; required for one.
        evidence: Option<Sealed>,
    },
}

/// A fault's facts as they are known now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultState {
    /// The last line test: whether it passed, and its event.
    pub last_test: Option<(bool, EventId)>,
    /// The event that recorded service up, and when it was up.
    pub service_up: Option<(Timestamp, EventId)>,
    /// The customer's own terminal was the cause.
    pub customers_own_terminal: bool,
    terminal_judged: Option<EventId>,
    /// When the ticket was reopened last on the customer's word: what happened before proves nothing any more.
    doubted_at: Option<Timestamp>,
}

impl FaultState {
    /// What a lead's reply, and gate 2, still lack.
    #[must_use]
    pub fn missing(&self) -> Vec<Missing> {
        let mut missing = Vec::new();
        if self.service_up.is_none() {
            missing.push(Missing::ServiceUp);
        }
        if !matches!(self.last_test, Some((true, _))) {
            missing.push(Missing::PassingTest);
        }
        missing
    }

    /// A reopened fault has to be proved repaired again.
    pub(crate) fn doubt(&mut self, at: Timestamp) {
        self.last_test = None;
        self.service_up = None;
        self.doubted_at = Some(at);
    }

    /// Whether what happened then may prove the repair; a fact from before the reopening is recorded and proves nothing.
    #[must_use]
    pub fn may_prove(&self, occurred_at: Timestamp) -> bool {
        self.doubted_at.is_none_or(|doubted| occurred_at >= doubted)
    }
}

pub(crate) fn apply(ticket: &mut Ticket, event: &Event, meta: &Meta) {
    let Event::FactRecorded { fact, occurred_at, .. } = event;
    set(ticket, fact, *occurred_at, meta.id);
    ticket.fact(fact.kind(), meta);
}

impl Fact {
    pub(crate) fn kind(&self) -> FactKind {
        match self {
            Self::LineTested { .. } => FactKind::LineTested,
            Self::Repaired { .. } => FactKind::Repaired,
            Self::ServiceUp => FactKind::ServiceUp,
            Self::TerminalJudged { .. } => FactKind::TerminalJudged,
            Self::ArrearsPaid { .. } => FactKind::ArrearsPaid,
        }
    }
}

/// Takes a correction in. A fact that a later one has superseded stays superseded.
pub(crate) fn correct(
    ticket: &mut Ticket,
    corrects: EventId,
    fact: &Fact,
    occurred_at: Timestamp,
    by: EventId,
) {
    let state = &ticket.fault;
    let stands = match fact {
        Fact::LineTested { .. } => state.last_test.is_some_and(|(_, event)| event == corrects),
        Fact::ServiceUp => state.service_up.is_some_and(|(_, event)| event == corrects),
        Fact::TerminalJudged { .. } => state.terminal_judged == Some(corrects),
        Fact::Repaired { .. } | Fact::ArrearsPaid { .. } => false,
    };
    if stands {
        // Corrected to a moment before the reopening, it is no proof any more.
        match fact {
            Fact::LineTested { .. } => ticket.fault.last_test = None,
            Fact::ServiceUp => ticket.fault.service_up = None,
            Fact::Repaired { .. } | Fact::TerminalJudged { .. } | Fact::ArrearsPaid { .. } => {}
        }
        set(ticket, fact, occurred_at, by);
    }
}

fn set(ticket: &mut Ticket, fact: &Fact, occurred_at: Timestamp, by: EventId) {
    let state = &mut ticket.fault;
    let proves = state.may_prove(occurred_at);
    match fact {
        Fact::LineTested { passed, .. } if proves => state.last_test = Some((*passed, by)),
        Fact::ServiceUp if proves => state.service_up = Some((occurred_at, by)),
        Fact::LineTested { .. } | Fact::ServiceUp => {}
        Fact::TerminalJudged { customers_own } => {
            state.customers_own_terminal = *customers_own;
            state.terminal_judged = Some(by);
        }
        Fact::Repaired { .. } | Fact::ArrearsPaid { .. } => {}
    }
}

pub(crate) fn decide(draft: &mut Draft<'_>, command: Command) -> Result<(), Rejection> {
    let Command::RecordFact { fact, occurred_at, evidence } = command;
    draft.open()?;
    if draft.ticket.kind() != Kind::Fault {
        return Err(Rejection::WrongKind);
    }
    check(&fact)?;
    evidence.iter().try_for_each(|evidence| bounded("evidence", evidence))?;
    let occurred_at = draft.fact_time(occurred_at, evidence.as_ref().is_some_and(|text| !text.is_empty()))?;
    draft.push(Event::FactRecorded { fact, occurred_at, evidence });
    Ok(())
}

/// A fact is well-formed.
pub(crate) fn check(fact: &Fact) -> Result<(), Rejection> {
    match fact {
        Fact::LineTested { reference, result, .. } => {
            named("reference", reference)?;
            required("result", result)
        }
        Fact::Repaired { work } => required("work", work),
        Fact::ArrearsPaid { reference } => named("reference", reference),
        Fact::ServiceUp | Fact::TerminalJudged { .. } => Ok(()),
    }
}
