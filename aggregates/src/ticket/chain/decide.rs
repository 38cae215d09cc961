//! Decisions along the chain, stage by stage (domain.md section 3).

use std::collections::BTreeSet;

use super::{Attempt, Cause, Command, Event, Judgement, NamedUnit, NewVerdict, ends, table};
use crate::calendar::local_date;
use crate::checks::{bounded, listed, named, required};
use crate::ids::{OrderNo, UnitId, VerdictNo};
use crate::rejection::{Missing, Problem, Rejection};
use crate::sealed::Sealed;
use crate::ticket::draft::{Draft, attachment};
use crate::ticket::gate;
use crate::ticket::order::{self, NewOrder, Status};
use crate::ticket::state::next_number;
use crate::ticket::verdict::{Finding, Verdict};
use crate::words::{Answer, Gate, Kind, Milestone, Part, Role, RoundCause, Stage};

pub(crate) fn decide(draft: &mut Draft<'_>, command: Command) -> Result<(), Rejection> {
    // No stage is skipped: what completes one is taken at it, and nowhere else.
    if let Some(stage) = table::completed_by(&command) {
        // An end leaves the verdicts that were to be given.
        if stage != Stage::Assess || !draft.ticket.owes_assessment() {
            draft.at_stage(stage)?;
        }
    }
    match command {
        Command::Investigate { cause, facts, units } => investigate(draft, cause, facts, units),
        Command::Dispatch { orders } => dispatch(draft, orders),
        Command::DispatchUrgent { facts, orders } => {
            draft.at_stage(Stage::Investigate)?;
            if !draft.ticket.is_urgent() {
                return Err(Rejection::NotUrgent);
            }
            investigate(draft, Cause::NotYetKnown, facts, Vec::new())?;
            dispatch(draft, orders)
        }
        Command::RecordFeedback { answer, words, recording, investigate_again } => {
            required("words", &words)?;
            not_provided_consented(draft)?;
            if answer == Answer::Declined && recording.is_none() {
                return Err(Rejection::invalid("recording", Problem::Required));
            }
            recording.iter().try_for_each(|recording| attachment("recording.reference", recording))?;
            draft.push(Event::FeedbackRecorded { answer, words, recording });
            if matches!(answer, Answer::BasicallySatisfied | Answer::Dissatisfied) {
                let stage = if investigate_again { Stage::Investigate } else { Stage::Dispatch };
                open_round(draft, stage, RoundCause::NotSatisfied, None);
            }
            Ok(())
        }
        Command::AttemptContact { recording } => {
            draft.at_stage(Stage::Feedback)?;
            attachment("recording.reference", &recording)?;
            draft.push(Event::ContactAttempted { recording });
            Ok(())
        }
        Command::SignOffUnreachable { reason } => {
            draft.at_stage(Stage::Feedback)?;
            required("reason", &reason)?;
            draft.not_own_work()?;
            not_provided_consented(draft)?;
            let missing = attempts_missing(draft);
            if !missing.is_empty() {
                return Err(Rejection::AttemptsMissing { missing });
            }
            draft.push(Event::UnreachableSignedOff { reason });
            Ok(())
        }
        Command::SignOffDeclined { reason } => {
            draft.at_stage(Stage::Feedback)?;
            required("reason", &reason)?;
            draft.not_own_work()?;
            if !matches!(draft.ticket.round.answer, Some((Answer::Declined, _))) {
                return Err(Rejection::NotDeclined);
            }
            draft.push(Event::DeclinedSignedOff { reason });
            Ok(())
        }
        Command::SignOffNobodyToAsk { reason } => {
            draft.at_stage(Stage::Feedback)?;
            required("reason", &reason)?;
            draft.not_own_work()?;
            not_provided_consented(draft)?;
            if draft.ticket.intake.somebody_to_ask() {
                return Err(Rejection::SomebodyToAsk);
            }
            draft.push(Event::NobodyToAskSignedOff { reason });
            Ok(())
        }
        Command::ConsentToNotProvided { reason } => {
            draft.at_stage(Stage::Feedback)?;
            required("reason", &reason)?;
            draft.no_part_at_all()?;
            match &draft.ticket.round.not_provided {
                None => return Err(Rejection::ServiceProvided),
                Some(known) if known.consent.is_some() => {}
                Some(_) => draft.push(Event::NotProvidedConsented { reason }),
            }
            Ok(())
        }
        Command::ConcludeFeedback { ground, offer, appeal_explained } => {
            draft.at_stage(Stage::Feedback)?;
            required("offer", &offer)?;
            attachment("appeal_explained.reference", &appeal_explained)?;
            draft.not_own_work()?;
            not_provided_consented(draft)?;
            let rounds = draft.ticket.dissatisfied_rounds;
            if rounds < draft.context.policy.constants.dissatisfied_rounds {
                return Err(Rejection::TooFewDissatisfiedRounds { rounds });
            }
            draft.push(Event::FeedbackConcluded { ground, offer, appeal_explained });
            Ok(())
        }
        Command::Inspect { judgements, units } => inspect(draft, judgements, units),
        Command::Report { level, summary, reference } => {
            named("level", &level)?;
            required("summary", &summary)?;
            named("reference", &reference)?;
            routine_for_rule(draft)?;
            receipts_given(draft)?;
            draft.push(Event::Reported { level, summary, reference });
            Ok(())
        }
        Command::Assess { verdicts, confirmed } => assess(draft, verdicts, confirmed),
        Command::RequestFacts { reason } => {
            draft.at_stage(Stage::Assess)?;
            required("reason", &reason)?;
            open_round(draft, Stage::Investigate, RoundCause::FactsLacking, Some(reason));
            Ok(())
        }
        Command::OpenNextRound { stage, reason } => {
            draft.between(Stage::Report, Stage::Close)?;
            required("reason", &reason)?;
            if !matches!(stage, Stage::Investigate | Stage::Dispatch) {
                return Err(Rejection::invalid(
                    "stage",
                    Problem::Unfit("a round opens at investigate or dispatch"),
                ));
            }
            open_round(draft, stage, RoundCause::MatterReturned, Some(reason));
            Ok(())
        }
        Command::SendReplyBack { assists, reason } => send_reply_back(draft, assists, reason),
        Command::Close => {
            // A body whose request came after the report still gets its receipt.
            receipts_given(draft)?;
            let certificate = gate::certify(&draft.ticket)?;
            draft.push(Event::Closed { certificate });
            Ok(())
        }
        Command::Withdraw { .. }
        | Command::ConsentToRejection { .. }
        | Command::Reject { .. }
        | Command::Merge { .. }
        | Command::Reopen { .. } => ends::decide(draft, command),
    }
}

/// No receipt to an outside body is owed.
fn receipts_given(draft: &Draft<'_>) -> Result<(), Rejection> {
    let missing: Vec<_> = draft.ticket.receipts_owed().into_iter().map(Missing::Receipt).collect();
    if missing.is_empty() { Ok(()) } else { Err(Rejection::ReceiptsOwed { missing }) }
}

/// Before the customer is told that the service cannot be given, a supervisor consents to that.
fn not_provided_consented(draft: &Draft<'_>) -> Result<(), Rejection> {
    match &draft.ticket.round.not_provided {
        Some(known) if known.consent.is_none() => Err(Rejection::ConsentMissing),
        _ => Ok(()),
    }
}

fn investigate(
    draft: &mut Draft<'_>,
    cause: Cause,
    facts: Sealed,
    units: Vec<NamedUnit>,
) -> Result<(), Rejection> {
    required("facts", &facts)?;
    check_cause(draft, &cause)?;
    check_named(draft, &units)?;
    // Survey and resources are an install's investigation, unless its findings say why there will be none.
    let reached = &draft.ticket.install.milestones;
    let possible = !matches!(cause, Cause::Known(_));
    if draft.ticket.kind() == Kind::Install
        && possible
        && !reached.contains_key(&Milestone::ResourcesAssigned)
    {
        let (now, needed) = (Stage::Investigate, Stage::Investigate);
        return Err(Rejection::OutOfTurn { now, needed, missing: vec![Missing::SurveyAndResources] });
    }
    draft.push(Event::Investigated { cause, facts, units });
    Ok(())
}

/// A cause in words, or one that fits the ticket's kind.
pub(crate) fn check_cause(draft: &Draft<'_>, cause: &Cause) -> Result<(), Rejection> {
    match cause {
        Cause::Known(cause) => required("cause", cause),
        Cause::NewOrder if draft.ticket.kind() != Kind::Install => {
            Err(Rejection::invalid("cause", Problem::Unfit("only an install's cause is a new order")))
        }
        Cause::NotYetKnown | Cause::NewOrder => Ok(()),
    }
}

fn check_named(draft: &Draft<'_>, units: &[NamedUnit]) -> Result<(), Rejection> {
    let mut seen = BTreeSet::new();
    for named in units {
        draft.registered("units.unit", named.unit.as_str())?;
        required("units.reason", &named.reason)?;
        if !seen.insert(&named.unit) {
            return Err(Rejection::invalid("units.unit", Problem::Twice(named.unit.to_string())));
        }
    }
    Ok(())
}

fn dispatch(draft: &mut Draft<'_>, orders: Vec<NewOrder>) -> Result<(), Rejection> {
    if orders.iter().filter(|order| order.part == Part::Lead).count() != 1 {
        return Err(Rejection::invalid("orders", Problem::OneLead));
    }
    let mut units = BTreeSet::new();
    for order in &orders {
        order::check_order(draft, order)?;
        if !units.insert(&order.unit) {
            return Err(Rejection::invalid("orders.unit", Problem::Twice(order.unit.to_string())));
        }
    }
    let first = next_number(draft.ticket.orders.len());
    let numbers = |part| {
        let numbered = (first..).zip(&orders).filter(move |(_, order)| order.part == part);
        numbered.map(|(number, _)| OrderNo(number))
    };
    let assists: Vec<_> = numbers(Part::Assist).collect();
    let Some(lead) = numbers(Part::Lead).next() else {
        return Err(Rejection::invalid("orders", Problem::OneLead));
    };
    draft.push(Event::Dispatched { lead, assists });
    for order in orders {
        order::issue(draft, order, None);
    }
    Ok(())
}

/// What the three attempts still lack: each two hours after the one before it, on two days.
fn attempts_missing(draft: &Draft<'_>) -> Vec<Missing> {
    let constants = &draft.context.policy.constants;
    let gap = jiff::SignedDuration::from_hours(i64::from(constants.attempt_gap_hours));
    let mut counted: Vec<&Attempt> = Vec::new();
    for attempt in &draft.ticket.round.attempts {
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
fn routine_for_rule(draft: &Draft<'_>) -> Result<(), Rejection> {
    if draft.context.actor.role == Role::Rule && !draft.ticket.is_routine() {
        return Err(Rejection::NotRoutine);
    }
    Ok(())
}

const INSPECTED: [Gate; 3] = [Gate::CauseKnown, Gate::ProblemSolved, Gate::ServiceImproved];

fn inspect(
    draft: &mut Draft<'_>,
    judgements: Vec<Judgement>,
    units: Vec<NamedUnit>,
) -> Result<(), Rejection> {
    routine_for_rule(draft)?;
    draft.not_own_work()?;
    check_named(draft, &units)?;
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
    let waived = |gate: Gate| draft.ticket.waived.contains_key(&gate);
    let by_rule = draft.context.actor.role == Role::Rule;
    for judgement in judgements.iter().filter(|judgement| judgement.passed && !waived(judgement.gate)) {
        let gate = judgement.gate;
        // The standing rule itself says that routine work needs no measure.
        let missing = if by_rule && gate == Gate::ServiceImproved {
            Vec::new()
        } else {
            gate::inspectable(&draft.ticket, gate)
        };
        if !missing.is_empty() {
            return Err(Rejection::GateUnproved { gate, missing });
        }
    }
    let failed: Vec<Gate> =
        judgements.iter().filter(|judgement| !judgement.passed).map(|judgement| judgement.gate).collect();
    let failed: Vec<Gate> = failed.into_iter().filter(|gate| !waived(*gate)).collect();
    draft.push(Event::Inspected { judgements, units });
    if !failed.is_empty() {
        let stage = if failed.contains(&Gate::CauseKnown) { Stage::Investigate } else { Stage::Dispatch };
        open_round(draft, stage, RoundCause::InspectionFailed, None);
    }
    Ok(())
}

fn assess(
    draft: &mut Draft<'_>,
    verdicts: Vec<(UnitId, Finding)>,
    confirmed: Vec<VerdictNo>,
) -> Result<(), Rejection> {
    routine_for_rule(draft)?;
    draft.not_own_work()?;
    let involved = draft.ticket.involved();
    let mut settled = BTreeSet::new();
    for verdict in &confirmed {
        let found = draft.ticket.verdict(*verdict);
        let found = found.ok_or(Rejection::UnknownVerdict { verdict: *verdict })?;
        if found.superseded {
            return Err(Rejection::VerdictGone { verdict: *verdict });
        }
        if !settled.insert(found.unit.clone()) {
            return Err(Rejection::invalid("confirmed", Problem::Twice(found.unit.to_string())));
        }
    }
    for (unit, finding) in &verdicts {
        check_finding(draft, finding)?;
        if !involved.contains(unit) {
            return Err(Rejection::NotInvolved { unit: unit.clone() });
        }
        if !settled.insert(unit.clone()) {
            return Err(Rejection::invalid("verdicts.unit", Problem::Twice(unit.to_string())));
        }
        // A reversed penalty was given back: it is not repeated by a new one.
        let carried_out = |earlier: &&Verdict| earlier.carried_out.is_some() && !earlier.reversed;
        let carried_out = draft.ticket.verdict_on(unit).filter(carried_out);
        if let Some(earlier) = carried_out {
            return Err(Rejection::PenaltyAlreadyCarriedOut { verdict: earlier.number });
        }
    }
    let missing: Vec<_> = involved.difference(&settled).cloned().map(Missing::Verdict).collect();
    if !missing.is_empty() {
        return Err(Rejection::VerdictsMissing { missing });
    }
    let first = next_number(draft.ticket.verdicts.len());
    let numbered = (first..).zip(verdicts);
    let verdicts =
        numbered.map(|(number, (unit, finding))| NewVerdict { verdict: VerdictNo(number), unit, finding });
    let verdicts = verdicts.collect();
    draft.push(Event::Assessed { verdicts, confirmed });
    Ok(())
}

fn check_finding(draft: &Draft<'_>, finding: &Finding) -> Result<(), Rejection> {
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
            draft.own_events(because)
        }
    }
}

/// Before feedback the desk sends the lead's reply back, and assists' where it names them: same round, new clocks.
fn send_reply_back(draft: &mut Draft<'_>, assists: Vec<OrderNo>, reason: Sealed) -> Result<(), Rejection> {
    draft.at_stage(Stage::Feedback)?;
    required("reason", &reason)?;
    let lead = draft.ticket.lead().map(|lead| lead.number).ok_or(Rejection::NoReplyYet)?;
    let mut orders = vec![lead];
    for order in assists {
        let known = draft.order(order)?;
        if known.part != Part::Assist {
            return Err(Rejection::WrongPart { order });
        }
        if known.status != Status::Replied || known.round != draft.ticket.round.number {
            return Err(Rejection::OrderEnded { order });
        }
        if orders.contains(&order) {
            return Err(Rejection::invalid("assists", Problem::Twice(order.to_string())));
        }
        orders.push(order);
    }
    draft.push(Event::ReplySentBack { orders: orders.clone(), reason });
    for order in orders {
        order::start_clock(draft, order, None);
    }
    Ok(())
}

/// Opens the next round.
pub(crate) fn open_round(draft: &mut Draft<'_>, stage: Stage, because: RoundCause, reason: Option<Sealed>) {
    let round = draft.ticket.round.number + 1;
    draft.push(Event::RoundOpened { round, stage, because, reason });
}
