//! Decisions along the chain, stage by stage (domain.md section 3).

use std::collections::BTreeSet;

use super::{
    Answer, Attempt, Cause, Command, Event, Judgement, NamedUnit, NewVerdict, RoundCause, Stage, ends,
};
use crate::actor::Role;
use crate::calendar::local_date;
use crate::gate::{self, Gate};
use crate::ids::{OrderNo, UnitId, VerdictNo};
use crate::install::Milestone;
use crate::intake::Kind;
use crate::order::{self, NewOrder, Part, Status};
use crate::rejection::{Missing, Problem, Rejection};
use crate::sealed::Sealed;
use crate::state::next_number;
use crate::steps::{Steps, attachment, bounded, listed, named, required};
use crate::verdict::{Finding, Verdict};

pub(crate) fn decide(steps: &mut Steps<'_>, command: Command) -> Result<(), Rejection> {
    match command {
        Command::Investigate { cause, facts, units } => investigate(steps, cause, facts, units),
        Command::Dispatch { orders } => dispatch(steps, orders),
        Command::DispatchUrgent { facts, orders } => {
            steps.at_stage(Stage::Investigate)?;
            if !steps.ticket.is_urgent() {
                return Err(Rejection::NotUrgent);
            }
            investigate(steps, Cause::NotYetKnown, facts, Vec::new())?;
            dispatch(steps, orders)
        }
        Command::RecordFeedback { answer, words, recording, investigate_again } => {
            steps.at_stage(Stage::Feedback)?;
            required("words", &words)?;
            recording.iter().try_for_each(|recording| attachment("recording.reference", recording))?;
            steps.push(Event::FeedbackRecorded { answer, words, recording });
            if answer != Answer::Satisfied {
                let stage = if investigate_again { Stage::Investigate } else { Stage::Dispatch };
                open_round(steps, stage, RoundCause::NotSatisfied, None);
            }
            Ok(())
        }
        Command::AttemptContact { recording } => {
            steps.at_stage(Stage::Feedback)?;
            attachment("recording.reference", &recording)?;
            steps.push(Event::ContactAttempted { recording });
            Ok(())
        }
        Command::SignOffUnreachable { reason } => {
            steps.at_stage(Stage::Feedback)?;
            required("reason", &reason)?;
            steps.not_own_work()?;
            let missing = attempts_missing(steps);
            if !missing.is_empty() {
                return Err(Rejection::AttemptsMissing { missing });
            }
            steps.push(Event::UnreachableSignedOff { reason });
            Ok(())
        }
        Command::ConcludeFeedback { ground, offer, appeal_explained } => {
            steps.at_stage(Stage::Feedback)?;
            required("offer", &offer)?;
            attachment("appeal_explained.reference", &appeal_explained)?;
            steps.not_own_work()?;
            let rounds = steps.ticket.dissatisfied_rounds;
            if rounds < steps.context.policy.constants.dissatisfied_rounds {
                return Err(Rejection::TooFewDissatisfiedRounds { rounds });
            }
            steps.push(Event::FeedbackConcluded { ground, offer, appeal_explained });
            Ok(())
        }
        Command::Inspect { judgements, units } => inspect(steps, judgements, units),
        Command::Report { level, summary, reference } => {
            steps.at_stage(Stage::Report)?;
            named("level", &level)?;
            required("summary", &summary)?;
            named("reference", &reference)?;
            routine_for_rule(steps)?;
            let owed: Vec<_> = steps.ticket.receipts_owed().into_iter().map(Missing::Receipt).collect();
            if !owed.is_empty() {
                return Err(Rejection::ReceiptsOwed { missing: owed });
            }
            steps.push(Event::Reported { level, summary, reference });
            Ok(())
        }
        Command::Assess { verdicts, confirmed } => assess(steps, verdicts, confirmed),
        Command::RequestFacts { reason } => {
            steps.at_stage(Stage::Assess)?;
            required("reason", &reason)?;
            open_round(steps, Stage::Investigate, RoundCause::FactsLacking, Some(reason));
            Ok(())
        }
        Command::SendReplyBack { assists, reason } => send_reply_back(steps, assists, reason),
        Command::Close => {
            steps.at_stage(Stage::Close)?;
            let certificate = gate::certify(&steps.ticket)?;
            steps.push(Event::Closed { certificate });
            Ok(())
        }
        Command::Withdraw { .. }
        | Command::ConsentToRejection { .. }
        | Command::Reject { .. }
        | Command::Merge { .. }
        | Command::Reopen { .. } => ends::decide(steps, command),
    }
}

fn investigate(
    steps: &mut Steps<'_>,
    cause: Cause,
    facts: Sealed,
    units: Vec<NamedUnit>,
) -> Result<(), Rejection> {
    steps.at_stage(Stage::Investigate)?;
    required("facts", &facts)?;
    check_cause(steps, &cause)?;
    check_named(steps, &units)?;
    // Survey and resources are an install's investigation.
    let reached = &steps.ticket.install.milestones;
    if steps.ticket.kind() == Kind::Install && !reached.contains_key(&Milestone::ResourcesAssigned) {
        let (now, needed) = (Stage::Investigate, Stage::Investigate);
        return Err(Rejection::OutOfTurn { now, needed, missing: vec![Missing::SurveyAndResources] });
    }
    steps.push(Event::Investigated { cause, facts, units });
    Ok(())
}

/// A cause in words, or one that fits the ticket's kind.
pub(crate) fn check_cause(steps: &Steps<'_>, cause: &Cause) -> Result<(), Rejection> {
    match cause {
        Cause::Known(cause) => required("cause", cause),
        Cause::NewOrder if steps.ticket.kind() != Kind::Install => {
            Err(Rejection::invalid("cause", Problem::Unfit("only an install's cause is a new order")))
        }
        Cause::NotYetKnown | Cause::NewOrder => Ok(()),
    }
}

fn check_named(steps: &Steps<'_>, units: &[NamedUnit]) -> Result<(), Rejection> {
    let mut seen = BTreeSet::new();
    for named in units {
        steps.registered("units.unit", named.unit.as_str())?;
        required("units.reason", &named.reason)?;
        if !seen.insert(&named.unit) {
            return Err(Rejection::invalid("units.unit", Problem::Twice(named.unit.to_string())));
        }
    }
    Ok(())
}

fn dispatch(steps: &mut Steps<'_>, orders: Vec<NewOrder>) -> Result<(), Rejection> {
    steps.at_stage(Stage::Dispatch)?;
    if orders.iter().filter(|order| order.part == Part::Lead).count() != 1 {
        return Err(Rejection::invalid("orders", Problem::OneLead));
    }
    let mut units = BTreeSet::new();
    for order in &orders {
        order::check_order(steps, order)?;
        if !units.insert(&order.unit) {
            return Err(Rejection::invalid("orders.unit", Problem::Twice(order.unit.to_string())));
        }
    }
    let first = next_number(steps.ticket.orders.len());
    let numbers = |part| {
        let numbered = (first..).zip(&orders).filter(move |(_, order)| order.part == part);
        numbered.map(|(number, _)| OrderNo(number))
    };
    let assists: Vec<_> = numbers(Part::Assist).collect();
    let Some(lead) = numbers(Part::Lead).next() else {
        return Err(Rejection::invalid("orders", Problem::OneLead));
    };
    steps.push(Event::Dispatched { lead, assists });
    for order in orders {
        order::issue(steps, order, None);
    }
    Ok(())
}

/// What the three attempts still lack: each two hours after the one before it, on two days.
fn attempts_missing(steps: &Steps<'_>) -> Vec<Missing> {
    let constants = &steps.context.policy.constants;
    let gap = jiff::SignedDuration::from_hours(i64::from(constants.attempt_gap_hours));
    let mut counted: Vec<&Attempt> = Vec::new();
    for attempt in &steps.ticket.round.attempts {
        if counted.last().is_none_or(|last| attempt.at.duration_since(last.at) >= gap) {
            counted.push(attempt);
        }
    }
    let days: BTreeSet<_> = counted.iter().map(|attempt| local_date(attempt.at)).collect();
    let made = u32::try_from(counted.len()).unwrap_or(u32::MAX);
    let mut missing = Vec::new();
    if made < constants.attempts {
        missing.push(Missing::Attempts(constants.attempts - made));
    }
    if days.len() < usize::try_from(constants.attempt_days).unwrap_or(usize::MAX) {
        missing.push(Missing::SecondDay);
    }
    missing
}

/// The standing rule covers routine tickets; people may take any.
fn routine_for_rule(steps: &Steps<'_>) -> Result<(), Rejection> {
    if steps.context.actor.role == Role::Rule && !steps.ticket.is_routine() {
        return Err(Rejection::NotRoutine);
    }
    Ok(())
}

const INSPECTED: [Gate; 3] = [Gate::CauseKnown, Gate::ProblemSolved, Gate::ServiceImproved];

fn inspect(
    steps: &mut Steps<'_>,
    judgements: Vec<Judgement>,
    units: Vec<NamedUnit>,
) -> Result<(), Rejection> {
    steps.at_stage(Stage::Inspect)?;
    routine_for_rule(steps)?;
    steps.not_own_work()?;
    check_named(steps, &units)?;
    let mut judged = BTreeSet::new();
    for judgement in &judgements {
        required("judgements.evidence", &judgement.evidence)?;
        if !INSPECTED.contains(&judgement.gate) {
            return Err(Rejection::invalid(
                "judgements.gate",
                Problem::Unfit("inspection judges gates 1 to 3"),
            ));
        }
        if !judged.insert(judgement.gate) {
            let twice = Problem::Twice(judgement.gate.name().to_owned());
            return Err(Rejection::invalid("judgements.gate", twice));
        }
    }
    if let Some(gate) = INSPECTED.into_iter().find(|gate| !judged.contains(gate)) {
        return Err(Rejection::GateUnproved { gate, missing: vec![Missing::Judgement(gate)] });
    }
    let waived = |gate: Gate| steps.ticket.waived.contains_key(&gate);
    let by_rule = steps.context.actor.role == Role::Rule;
    for judgement in judgements.iter().filter(|judgement| judgement.passed && !waived(judgement.gate)) {
        let gate = judgement.gate;
        // The standing rule itself says that routine work needs no measure.
        let missing = if by_rule && gate == Gate::ServiceImproved {
            Vec::new()
        } else {
            gate::inspectable(&steps.ticket, gate)
        };
        if !missing.is_empty() {
            return Err(Rejection::GateUnproved { gate, missing });
        }
    }
    let failed: Vec<Gate> =
        judgements.iter().filter(|judgement| !judgement.passed).map(|judgement| judgement.gate).collect();
    let failed: Vec<Gate> = failed.into_iter().filter(|gate| !waived(*gate)).collect();
    steps.push(Event::Inspected { judgements, units });
    if !failed.is_empty() {
        let stage = if failed.contains(&Gate::CauseKnown) { Stage::Investigate } else { Stage::Dispatch };
        open_round(steps, stage, RoundCause::InspectionFailed, None);
    }
    Ok(())
}

fn assess(
    steps: &mut Steps<'_>,
    verdicts: Vec<(UnitId, Finding)>,
    confirmed: Vec<VerdictNo>,
) -> Result<(), Rejection> {
    steps.at_stage(Stage::Assess)?;
    routine_for_rule(steps)?;
    steps.not_own_work()?;
    let involved = steps.ticket.involved();
    let mut settled = BTreeSet::new();
    for verdict in &confirmed {
        let found = crate::state::index(verdict.0).and_then(|index| steps.ticket.verdicts.get(index));
        let found = found.ok_or(Rejection::UnknownVerdict { verdict: *verdict })?;
        if found.superseded {
            return Err(Rejection::VerdictGone { verdict: *verdict });
        }
        if !settled.insert(found.unit.clone()) {
            return Err(Rejection::invalid("confirmed", Problem::Twice(found.unit.to_string())));
        }
    }
    for (unit, finding) in &verdicts {
        check_finding(steps, finding)?;
        if !involved.contains(unit) {
            return Err(Rejection::NotInvolved { unit: unit.clone() });
        }
        if !settled.insert(unit.clone()) {
            return Err(Rejection::invalid("verdicts.unit", Problem::Twice(unit.to_string())));
        }
        // A reversed penalty was given back: it is not repeated by a new one.
        let carried_out = |earlier: &&Verdict| earlier.carried_out.is_some() && !earlier.reversed;
        let carried_out = steps.ticket.verdict_on(unit).filter(carried_out);
        if let Some(earlier) = carried_out {
            return Err(Rejection::PenaltyAlreadyCarriedOut { verdict: earlier.number });
        }
    }
    let missing: Vec<_> = involved.difference(&settled).cloned().map(Missing::Verdict).collect();
    if !missing.is_empty() {
        return Err(Rejection::VerdictsMissing { missing });
    }
    let first = next_number(steps.ticket.verdicts.len());
    let numbered = (first..).zip(verdicts);
    let verdicts =
        numbered.map(|(number, (unit, finding))| NewVerdict { verdict: VerdictNo(number), unit, finding });
    let verdicts = verdicts.collect();
    steps.push(Event::Assessed { verdicts, confirmed });
    Ok(())
}

fn check_finding(steps: &Steps<'_>, finding: &Finding) -> Result<(), Rejection> {
    match finding {
        Finding::NotAtFault { reason } => required("verdicts.reason", reason),
        Finding::AtFault { rule, because, reason, .. } => {
            named("verdicts.rule", rule)?;
            bounded("verdicts.reason", reason)?;
            listed("verdicts.because", because)?;
            // Every deduction points at its events.
            if finding.has_penalty() && because.is_empty() {
                return Err(Rejection::invalid("verdicts.because", Problem::Required));
            }
            steps.own_events(because)
        }
    }
}

/// Before feedback the desk sends the lead's reply back, and assists' where it names them: same round, new clocks.
fn send_reply_back(steps: &mut Steps<'_>, assists: Vec<OrderNo>, reason: Sealed) -> Result<(), Rejection> {
    steps.at_stage(Stage::Feedback)?;
    required("reason", &reason)?;
    let lead = steps.ticket.lead().map(|lead| lead.number).ok_or(Rejection::NoReplyYet)?;
    let mut orders = vec![lead];
    for order in assists {
        let known = steps.order(order)?;
        if known.part != Part::Assist {
            return Err(Rejection::WrongPart { order });
        }
        if known.status != Status::Replied || known.round != steps.ticket.round.number {
            return Err(Rejection::OrderEnded { order });
        }
        if orders.contains(&order) {
            return Err(Rejection::invalid("assists", Problem::Twice(order.to_string())));
        }
        orders.push(order);
    }
    steps.push(Event::ReplySentBack { orders: orders.clone(), reason });
    for order in orders {
        order::start_clock(steps, order, None);
    }
    Ok(())
}

/// Opens the next round.
pub(crate) fn open_round(steps: &mut Steps<'_>, stage: Stage, because: RoundCause, reason: Option<Sealed>) {
    let round = steps.ticket.round.number + 1;
    steps.push(Event::RoundOpened { round, stage, because, reason });
}
