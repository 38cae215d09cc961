//! Drill-down from a verdict to the version of the policy, the version of the calendar, and the events that it rests on.

use std::collections::BTreeSet;

use crate::explain::{self, Involved, TargetFrom, Versions};
use duban_aggregates::ids::{ClockNo, VerdictNo};
use duban_aggregates::meta::Meta;
use duban_aggregates::ticket::{self, Event, Ticket};
use duban_codec::Wire;
use duban_log::Recorded;
use duban_proto::api::v1 as api;

use crate::error::HistoryError;
use crate::folded_ticket;
use crate::text_opener::TextOpener;

/// Explains a clock of the ticket that these are all events of; none where it has no such clock.
///
/// # Errors
/// [`HistoryError::Unreadable`], where an event cannot be read.
pub fn explain_clock(
    events: &[Recorded],
    clock: ClockNo,
    versions: &Versions,
    opener: &TextOpener,
) -> Result<Option<api::ExplainClockResponse>, HistoryError> {
    let history = history(events)?;
    let Some(explained) = explain::clock(&history, clock, versions) else { return Ok(None) };
    let id = |index: usize| history[index].0.id.to_string();
    let mut rests_on = BTreeSet::new();
    for step in &explained.steps {
        rests_on.extend([Some(step.event), step.cause].into_iter().flatten());
    }
    rests_on.extend(explained.decided_by);
    let (recomputed, met_at) = folded_ticket::clock_status(explained.recomputed);
    let ticket = folded(&history);
    let stands = ticket.as_ref().and_then(|ticket| {
        ticket.clocks.iter().find(|known| known.start.clock == clock).map(folded_ticket::clock)
    });
    let start = &explained.start;
    Ok(Some(api::ExplainClockResponse {
        clock: stands,
        target: start.target.to_string(),
        target_from: target_from(explained.target_from).into(),
        warn_percent: start.warn_percent,
        pauses: start.pauses.put(),
        policy_known: explained.policy_known,
        calendar_known: explained.calendar_known,
        steps: explained
            .steps
            .iter()
            .map(|step| api::ClockStep {
                event: id(step.event),
                cause: step.cause.map(id),
                due: step.due.put(),
                recomputed_due: step.recomputed_due.put(),
            })
            .collect(),
        decided_by: explained.decided_by.map(id),
        recomputed: recomputed.into(),
        recomputed_met_at: met_at.put(),
        agrees: explained.differences.is_empty(),
        differences: explained.differences,
        events: shown(events, &rests_on, opener)?,
    }))
}

/// Explains a verdict of the ticket that these are all events of; none where it has no such verdict.
///
/// # Errors
/// [`HistoryError::Unreadable`], where an event cannot be read.
pub fn explain_verdict(
    events: &[Recorded],
    verdict: VerdictNo,
    versions: &Versions,
    opener: &TextOpener,
) -> Result<Option<api::ExplainVerdictResponse>, HistoryError> {
    let history = history(events)?;
    let policies = events.iter().map(policy_version).collect::<Result<Vec<_>, _>>()?;
    let policy_of = |index: usize| policies.get(index).cloned().unwrap_or_default();
    let explained = explain::verdict(&history, verdict, versions, &policy_of);
    let Some(explained) = explained else { return Ok(None) };
    let id = |index: usize| history[index].0.id.to_string();
    let mut rests_on: BTreeSet<usize> = explained.steps.iter().copied().collect();
    rests_on.insert(explained.given);
    rests_on.extend(explained.because.iter().flatten());
    rests_on.extend(explained.involved.iter().map(|why| why.event()));
    let because = match &explained.verdict.finding {
        duban_aggregates::ticket::verdict::Finding::AtFault { because, .. } => because.as_slice(),
        duban_aggregates::ticket::verdict::Finding::NotAtFault { .. } => &[],
    };
    let calendar = versions.calendars.first().map(|calendar| calendar.version.clone());
    Ok(Some(api::ExplainVerdictResponse {
        verdict: Some(folded_ticket::verdict_view(&explained.verdict, opener)),
        given_by: id(explained.given),
        policy: policy_of(explained.given),
        calendar: calendar.unwrap_or_default(),
        versions_known: explained.versions_known,
        involved: explained
            .involved
            .iter()
            .map(|why| api::InvolvedBecause { ground: ground(*why).into(), event: id(why.event()) })
            .collect(),
        because: because.iter().map(ToString::to_string).collect(),
        steps: explained.steps.iter().map(|step| id(*step)).collect(),
        agrees: explained.differences.is_empty(),
        differences: explained.differences,
        events: shown(events, &rests_on, opener)?,
    }))
}

/// What the rules read of stored events.
fn history(events: &[Recorded]) -> Result<Vec<(Meta, Event)>, HistoryError> {
    let read = |recorded: &Recorded| {
        let event = duban_projections::ticket_event(recorded)
            .map_err(|error| HistoryError::unreadable(recorded, &error))?;
        let meta =
            duban_projections::meta(recorded).map_err(|error| HistoryError::unreadable(recorded, &error))?;
        Ok((meta, event))
    };
    events.iter().map(read).collect()
}

fn folded(history: &[(Meta, Event)]) -> Option<Ticket> {
    history.iter().fold(None, |ticket, (meta, event)| ticket::evolve(ticket, event, meta))
}

fn policy_version(recorded: &Recorded) -> Result<String, HistoryError> {
    let metadata = duban_codec::decode_metadata(&recorded.metadata);
    Ok(metadata.map_err(|error| HistoryError::unreadable(recorded, &error))?.policy_version)
}

fn shown(
    events: &[Recorded],
    which: &BTreeSet<usize>,
    opener: &TextOpener,
) -> Result<Vec<api::HistoryEvent>, HistoryError> {
    which.iter().filter_map(|index| events.get(*index)).map(|event| opener.event(event)).collect()
}

fn target_from(from: TargetFrom) -> api::TargetFrom {
    match from {
        TargetFrom::Policy => api::TargetFrom::Policy,
        TargetFrom::Promise => api::TargetFrom::Promise,
        TargetFrom::OutsideBody => api::TargetFrom::OutsideBody,
        TargetFrom::Dispatch => api::TargetFrom::Dispatch,
        TargetFrom::Merge => api::TargetFrom::Merge,
        TargetFrom::AtOnce => api::TargetFrom::AtOnce,
        TargetFrom::Unknown => api::TargetFrom::Unspecified,
    }
}

fn ground(why: Involved) -> api::InvolvedGround {
    match why {
        Involved::Named(_) => api::InvolvedGround::Named,
        Involved::Accepted(_) => api::InvolvedGround::AcceptedOrder,
        Involved::Late(_) => api::InvolvedGround::StageLate,
    }
}
