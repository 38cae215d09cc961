//! The five gates 五不放过, the measures behind the third, and the certificate (domain.md section 6).

use jiff::civil::Date;

use crate::calendar::local_date;
use crate::checks::required;
use crate::ids::{DueNo, EventId, MeasureNo, ProblemId, UnitId};
use crate::meta::Meta;
use crate::rejection::{Missing, Problem, Rejection};
use crate::sealed::Sealed;
use crate::ticket::draft::Draft;
use crate::ticket::order::MeasurePlan;
use crate::ticket::state::{Ticket, index, next_number};
use crate::words::{FeedbackPassed, Gate, Milestone, NotProvidedGround, Role, Stage};

/// How a gate stood when the ticket closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The gate.
    pub gate: Gate,
    /// A supervisor waived it.
    pub waived: bool,
    /// The events that prove it.
    pub proof: Vec<EventId>,
}

/// What a closed ticket shows: each gate and the events that prove it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The round that passed.
    pub round: u32,
    /// How feedback was passed.
    pub feedback: FeedbackPassed,
    /// The five gates in order.
    pub gates: Vec<Held>,
    /// The certificate it supersedes was issued by this event.
    pub supersedes: Option<EventId>,
    /// The service could not be given 无法提供, on this ground.
    pub not_provided: Option<NotProvidedGround>,
}

/// What happened to gates and measures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A measure was planned.
    MeasurePlanned {
        /// Its number.
        measure: MeasureNo,
        /// What will be done.
        text: Sealed,
        /// The unit that owns it.
        owner: UnitId,
        /// By when.
        due_on: Date,
    },
    /// A measure was carried out.
    MeasureCarriedOut {
        /// The measure.
        measure: MeasureNo,
        /// What proves it.
        evidence: Sealed,
    },
    /// No measure is needed.
    NoMeasureNeeded {
        /// Why.
        reason: Sealed,
    },
    /// A problem's corrective action serves this ticket.
    MeasureServed {
        /// The problem.
        problem: ProblemId,
        /// The problem's event that proves the action.
        action: EventId,
    },
    /// A measure did not work, or cannot be carried out: it proves nothing, and another takes its place.
    MeasureFailed {
        /// The measure.
        measure: MeasureNo,
        /// What was found.
        finding: Sealed,
    },
    /// The problem's corrective action that served this ticket has failed.
    ServedActionFailed {
        /// The problem.
        problem: ProblemId,
        /// The problem's event that recorded the failure.
        failure: EventId,
    },
    /// A supervisor waived a gate: 1, 3 or 5.
    Waived {
        /// The gate.
        gate: Gate,
        /// Why.
        reason: Sealed,
    },
}

/// What may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Plan a measure.
    PlanMeasure {
        /// The plan.
        plan: MeasurePlan,
    },
    /// Record that a measure was carried out.
    CarryOutMeasure {
        /// The measure.
        measure: MeasureNo,
        /// What proves it; required.
        evidence: Sealed,
    },
    /// Say that no measure is needed.
    NoMeasureNeeded {
        /// Why; required.
        reason: Sealed,
    },
    /// A problem's corrective action was carried out (a reaction).
    ServeMeasure {
        /// The problem; the ticket joined it.
        problem: ProblemId,
        /// The problem's event that proves the action.
        action: EventId,
    },
    /// Say that a measure failed.
    FailMeasure {
        /// The measure.
        measure: MeasureNo,
        /// What was found; required.
        finding: Sealed,
    },
    /// A problem's corrective action failed (a reaction).
    FailServedAction {
        /// The problem; the ticket joined it.
        problem: ProblemId,
        /// The problem's event that recorded the failure.
        failure: EventId,
    },
    /// Waive gate 1, 3 or 5.
    Waive {
        /// The gate.
        gate: Gate,
        /// Why; required.
        reason: Sealed,
    },
}

/// A measure as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Its number inside the ticket.
    pub number: MeasureNo,
    /// The unit that owns it.
    pub owner: UnitId,
    /// By when.
    pub due_on: Date,
    /// The event by which it was carried out.
    pub carried_out: Option<EventId>,
    /// The event by which it was found to have failed.
    pub failed: Option<EventId>,
}

pub(crate) fn apply(ticket: &mut Ticket, event: &Event, meta: &Meta) {
    match event {
        Event::MeasurePlanned { measure, owner, due_on, .. } => {
            ticket.measures.push(Measure {
                number: *measure,
                owner: owner.clone(),
                due_on: *due_on,
                carried_out: None,
                failed: None,
            });
            ticket.handled(meta);
        }
        Event::MeasureCarriedOut { measure, .. } => {
            let found = index(measure.0).and_then(|index| ticket.measures.get_mut(index));
            if let Some(measure) = found {
                measure.carried_out = Some(meta.id);
            }
            ticket.handled(meta);
        }
        Event::NoMeasureNeeded { .. } => {
            ticket.no_measure = Some(meta.id);
            ticket.handled(meta);
        }
        Event::MeasureServed { .. } => ticket.served = Some(meta.id),
        Event::MeasureFailed { measure, .. } => {
            let found = index(measure.0).and_then(|index| ticket.measures.get_mut(index));
            if let Some(measure) = found {
                measure.failed = Some(meta.id);
            }
        }
        Event::ServedActionFailed { .. } => ticket.served = None,
        Event::Waived { gate, .. } => {
            ticket.waived.insert(*gate, meta.id);
        }
    }
}

/// What gates 1 to 3 ask of the record when they are inspected.
#[must_use]
pub fn inspectable(ticket: &Ticket, gate: Gate) -> Vec<Missing> {
    match gate {
        Gate::CauseKnown if ticket.cause.is_none() => vec![Missing::Cause],
        Gate::ProblemSolved => ticket.service_missing(),
        Gate::ServiceImproved if !improvement_named(ticket) => vec![Missing::Measure],
        _ => Vec::new(),
    }
}

fn improvement_named(ticket: &Ticket) -> bool {
    ticket.measures.iter().any(|measure| measure.failed.is_none())
        || ticket.no_measure.is_some()
        || ticket.served.is_some()
}

/// What a gate still lacks; nothing where it holds or is waived.
#[must_use]
pub fn missing(ticket: &Ticket, gate: Gate) -> Vec<Missing> {
    if ticket.waived.contains_key(&gate) {
        return Vec::new();
    }
    let mut missing = Vec::new();
    match gate {
        Gate::CauseKnown => missing.extend(ticket.cause.is_none().then_some(Missing::Cause)),
        Gate::ProblemSolved => {
            missing.extend(ticket.round.passed.is_none().then_some(Missing::Feedback));
            missing.extend(ticket.service_missing());
            let unsettled = (1u32..).zip(&ticket.dues).filter(|(_, due)| due.is_owed());
            missing.extend(unsettled.map(|(number, _)| Missing::Settlement(DueNo(number))));
        }
        Gate::ServiceImproved => {
            missing.extend((!improvement_named(ticket)).then_some(Missing::Measure));
            // A problem's corrective action serves all its tickets.
            let open = ticket.measures.iter().filter(|it| it.carried_out.is_none() && it.failed.is_none());
            let open = open.filter(|_| ticket.served.is_none());
            missing.extend(open.map(|measure| Missing::MeasureCarriedOut(measure.number)));
        }
        Gate::ResponsibilitySettled => {
            for unit in ticket.involved() {
                match ticket.verdict_on(&unit) {
                    None => missing.push(Missing::Verdict(unit)),
                    Some(verdict) if !verdict.is_final => missing.push(Missing::FinalVerdict(verdict.number)),
                    Some(_) => {}
                }
            }
        }
        Gate::PenaltyCarriedOut => {
            let open = ticket.verdicts.iter().filter(|verdict| verdict.owes_penalty());
            missing.extend(open.map(|verdict| Missing::Penalty(verdict.number)));
        }
    }
    let judged = matches!(gate, Gate::CauseKnown | Gate::ProblemSolved | Gate::ServiceImproved);
    if judged && ticket.round.inspection.is_none() {
        missing.push(Missing::Judgement(gate));
    }
    missing
}

/// What all five gates still lack.
#[must_use]
pub fn all_missing(ticket: &Ticket) -> Vec<Missing> {
    Gate::ALL.into_iter().flat_map(|gate| missing(ticket, gate)).collect()
}

/// The events that prove a gate.
fn proof(ticket: &Ticket, gate: Gate) -> Vec<EventId> {
    let mut proof: Vec<EventId> = ticket.waived.get(&gate).copied().into_iter().collect();
    match gate {
        Gate::CauseKnown => proof.extend(ticket.cause),
        Gate::ProblemSolved => {
            proof.extend(ticket.round.reply);
            proof.extend(ticket.round.passed.map(|(_, event)| event));
            proof.extend(ticket.fault.service_up.map(|(_, event)| event));
            proof.extend(ticket.fault.last_test.map(|(_, event)| event));
            proof.extend(ticket.install.milestones.get(&Milestone::Activated).map(|(_, event)| *event));
            proof.extend(ticket.dues.iter().filter_map(|due| due.settled));
        }
        Gate::ServiceImproved => {
            let standing = ticket.measures.iter().filter(|measure| measure.failed.is_none());
            proof.extend(standing.filter_map(|measure| measure.carried_out));
            proof.extend(ticket.no_measure);
            proof.extend(ticket.served);
        }
        Gate::ResponsibilitySettled => {
            proof.extend(
                ticket.verdicts.iter().filter(|verdict| verdict.is_standing()).map(|verdict| verdict.given),
            );
        }
        Gate::PenaltyCarriedOut => {
            proof.extend(ticket.verdicts.iter().filter_map(|verdict| verdict.carried_out));
        }
    }
    if matches!(gate, Gate::CauseKnown | Gate::ProblemSolved | Gate::ServiceImproved) {
        proof.extend(ticket.round.inspection);
    }
    proof
}

/// The certificate of a ticket whose gates hold.
pub(crate) fn certify(ticket: &Ticket) -> Result<Certificate, Rejection> {
    let missing = all_missing(ticket);
    let Some((feedback, _)) = ticket.round.passed.filter(|_| missing.is_empty()) else {
        return Err(Rejection::GatesOpen { missing });
    };
    let held = |gate| Held { gate, waived: ticket.waived.contains_key(&gate), proof: proof(ticket, gate) };
    Ok(Certificate {
        round: ticket.round.number,
        feedback,
        gates: Gate::ALL.into_iter().map(held).collect(),
        supersedes: ticket.certificate,
        not_provided: ticket.round.not_provided.map(|known| known.ground),
    })
}

pub(crate) fn decide(draft: &mut Draft<'_>, command: Command) -> Result<(), Rejection> {
    draft.open()?;
    match command {
        Command::PlanMeasure { plan: wanted } => {
            let wanted = check_plan(draft, wanted)?;
            plan(draft, wanted);
        }
        Command::CarryOutMeasure { measure, evidence } => {
            required("evidence", &evidence)?;
            let found = index(measure.0).and_then(|index| draft.ticket.measures.get(index));
            let found = found.ok_or(Rejection::UnknownMeasure { measure })?;
            if draft.context.actor.role == Role::Unit {
                draft.own_unit(&found.owner)?;
            }
            if found.failed.is_some() {
                return Err(Rejection::MeasureFailed { measure });
            }
            if found.carried_out.is_none() {
                draft.push(Event::MeasureCarriedOut { measure, evidence });
            }
        }
        Command::NoMeasureNeeded { reason } => {
            required("reason", &reason)?;
            if draft.ticket.no_measure.is_none() {
                draft.push(Event::NoMeasureNeeded { reason });
            }
        }
        Command::ServeMeasure { problem, action } => {
            if draft.ticket.problem != Some(problem) {
                return Err(Rejection::NotInProblem);
            }
            if draft.ticket.served.is_none() {
                draft.push(Event::MeasureServed { problem, action });
            }
        }
        Command::FailMeasure { measure, finding } => {
            required("finding", &finding)?;
            let found = index(measure.0).and_then(|index| draft.ticket.measures.get(index));
            if found.ok_or(Rejection::UnknownMeasure { measure })?.failed.is_none() {
                // What did not work is for others to say than for those who did it.
                draft.not_own_work()?;
                draft.push(Event::MeasureFailed { measure, finding });
            }
        }
        Command::FailServedAction { problem, failure } => {
            if draft.ticket.problem != Some(problem) {
                return Err(Rejection::NotInProblem);
            }
            if draft.ticket.served.is_some() {
                draft.push(Event::ServedActionFailed { problem, failure });
            }
        }
        Command::Waive { gate, reason } => {
            required("reason", &reason)?;
            if matches!(gate, Gate::ProblemSolved | Gate::ResponsibilitySettled) {
                return Err(Rejection::NeverWaived { gate });
            }
            if draft.ticket.waived.contains_key(&gate) {
                return Ok(());
            }
            draft.between(Stage::Inspect, Stage::Close)?;
            draft.no_part_at_all()?;
            draft.push(Event::Waived { gate, reason });
        }
    }
    Ok(())
}

/// A measure has an owner in the register and a date that has not passed.
pub(crate) fn check_plan(draft: &Draft<'_>, plan: MeasurePlan) -> Result<MeasurePlan, Rejection> {
    required("measure.text", &plan.text)?;
    draft.registered("measure.owner", plan.owner.as_str())?;
    if plan.due_on < local_date(draft.at()) {
        return Err(Rejection::invalid("measure.due_on", Problem::NotInFuture));
    }
    Ok(plan)
}

pub(crate) fn plan(draft: &mut Draft<'_>, plan: MeasurePlan) {
    let measure = MeasureNo(next_number(draft.ticket.measures.len()));
    let MeasurePlan { text, owner, due_on } = plan;
    draft.push(Event::MeasurePlanned { measure, text, owner, due_on });
}
