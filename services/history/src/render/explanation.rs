//! What lies between two moments, and what a verdict rests on: for people and for programs.

use duban_proto::api::v1 as api;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::UnreadableAnswer;
use super::event::{EventEntry, entries};
use super::lines::local;
use super::state::{Clock, lower, moment};

/// What was explained.
pub(super) enum Explanation {
    Clock(api::ExplainClockResponse),
    Verdict(api::ExplainVerdictResponse),
}

/// An explanation, with the events that it names.
pub(super) struct Explained {
    pub(super) entries: Vec<EventEntry>,
    answer: Explanation,
}

impl Explained {
    pub(super) fn read(mut answer: Explanation, known: &[(Uuid, u64)]) -> Result<Self, UnreadableAnswer> {
        let events = match &mut answer {
            Explanation::Clock(clock) => std::mem::take(&mut clock.events),
            Explanation::Verdict(verdict) => std::mem::take(&mut verdict.events),
        };
        Ok(Self { entries: entries(events, known)?, answer })
    }

    /// Whether what is stored is what comes out again.
    pub(super) fn agrees(&self) -> bool {
        match &self.answer {
            Explanation::Clock(clock) => clock.agrees,
            Explanation::Verdict(verdict) => verdict.agrees,
        }
    }

    /// The revision of an event that is named by its id.
    fn revision(&self, id: &str) -> Option<u64> {
        let id: Uuid = id.parse().ok()?;
        self.entries.iter().find(|entry| entry.id == id).map(|entry| entry.revision)
    }

    fn named(&self, id: &str) -> String {
        let id_of: Option<Uuid> = id.parse().ok();
        let entry = self.entries.iter().find(|entry| Some(entry.id) == id_of);
        entry.map_or_else(
            || format!("event {id}, which is not here"),
            |entry| format!("event {} ({})", entry.revision, entry.kind),
        )
    }

    pub(super) fn json(&self) -> Value {
        match &self.answer {
            Explanation::Clock(clock) => json!({ "clock": self.clock_json(clock) }),
            Explanation::Verdict(verdict) => json!({ "verdict": self.verdict_json(verdict) }),
        }
    }

    fn clock_json(&self, of: &api::ExplainClockResponse) -> Value {
        let view = of.clock.clone().unwrap_or_default();
        let steps = of.steps.iter().map(|step| {
            json!({
                "revision": self.revision(&step.event),
                "event": step.event,
                "cause": step.cause.as_deref().and_then(|cause| self.revision(cause)),
                "due": moment(step.due.as_ref()),
                "recomputed_due": moment(step.recomputed_due.as_ref()),
            })
        });
        json!({
            "clock": Clock::of(&view),
            "policy": view.policy,
            "policy_known": of.policy_known,
            "calendar": view.calendar,
            "calendar_known": of.calendar_known,
            "article": view.article,
            "target": of.target,
            "target_from": lower(of.target_from().as_str_name(), "TARGET_FROM_"),
            "warn_percent": of.warn_percent,
            "pauses": of.pauses().map(|code| lower(code.as_str_name(), "PAUSE_CODE_")).collect::<Vec<_>>(),
            "steps": steps.collect::<Vec<_>>(),
            "decided_by": of.decided_by.as_deref().and_then(|event| self.revision(event)),
            "recomputed": lower(of.recomputed().as_str_name(), "CLOCK_STATUS_"),
            "recomputed_met_at": moment(of.recomputed_met_at.as_ref()),
            "agrees": of.agrees,
            "differences": of.differences,
        })
    }

    fn verdict_json(&self, of: &api::ExplainVerdictResponse) -> Value {
        let view = of.verdict.clone().unwrap_or_default();
        let revisions =
            |ids: &[String]| -> Vec<Option<u64>> { ids.iter().map(|id| self.revision(id)).collect() };
        let involved = of.involved.iter().map(|why| {
            let ground = lower(why.ground().as_str_name(), "INVOLVED_GROUND_");
            json!({ "ground": ground, "revision": self.revision(&why.event) })
        });
        json!({
            "verdict": view.verdict,
            "unit": view.unit,
            "status": lower(view.status().as_str_name(), "VERDICT_STATUS_"),
            "at_fault": view.at_fault,
            "rule": view.rule,
            "points": view.points,
            "penalty_fen": view.penalty_fen,
            "reason": view.reason,
            "carried_out": view.carried_out,
            "given_by": self.revision(&of.given_by),
            "policy": of.policy,
            "calendar": of.calendar,
            "versions_known": of.versions_known,
            "involved": involved.collect::<Vec<_>>(),
            "because": revisions(&of.because),
            "steps": revisions(&of.steps),
            "agrees": of.agrees,
            "differences": of.differences,
        })
    }
}

/// An explanation for people.
pub(super) fn lines(explained: &Explained) -> Vec<String> {
    let (mut lines, differences) = match &explained.answer {
        Explanation::Clock(clock) => (clock_lines(explained, clock), &clock.differences),
        Explanation::Verdict(verdict) => (verdict_lines(explained, verdict), &verdict.differences),
    };
    lines.extend(differences.iter().map(|difference| format!("differs: {difference}")));
    lines.push(if explained.agrees() { "ok: it agrees" } else { "not ok: it does not agree" }.to_owned());
    lines
}

fn or_unknown(at: Option<&prost_types::Timestamp>) -> String {
    moment(at).map_or_else(|| "unknown".to_owned(), local)
}

fn known(known: bool) -> &'static str {
    if known { "" } else { " (not here)" }
}

fn clock_lines(explained: &Explained, of: &api::ExplainClockResponse) -> Vec<String> {
    let view = of.clock.clone().unwrap_or_default();
    let Clock { clock, kind, status, .. } = Clock::of(&view);
    let from = lower(of.target_from().as_str_name(), "TARGET_FROM_").replace('_', " ");
    let mut lines = vec![
        format!("clock {clock} ({kind}): {status}"),
        format!("  target        {}, set by: {from}", of.target),
        format!("  policy        {}{}", view.policy, known(of.policy_known)),
        format!("  calendar      {}{}", view.calendar, known(of.calendar_known)),
        format!("  warns after   {} %", of.warn_percent),
    ];
    lines.extend(view.article.iter().map(|article| format!("  article       {article}")));
    lines.push(format!("  counts from   {}", or_unknown(view.started_at.as_ref())));
    for step in &of.steps {
        let cause = step.cause.as_deref().map_or_else(
            || "its time had come".to_owned(),
            |cause| format!("because of {}", explained.named(cause)),
        );
        let (due, again) = (or_unknown(step.due.as_ref()), or_unknown(step.recomputed_due.as_ref()));
        lines.push(format!("  {}: {cause}; due {due}, recomputed {again}", explained.named(&step.event)));
    }
    let recomputed = lower(of.recomputed().as_str_name(), "CLOCK_STATUS_").replace('_', " ");
    let at =
        of.recomputed_met_at.as_ref().map_or_else(String::new, |at| format!(" {}", or_unknown(Some(at))));
    let by = of.decided_by.as_deref().map_or_else(|| "time".to_owned(), |event| explained.named(event));
    lines.push(format!("  recomputed    {recomputed}{at}, decided by {by}"));
    lines
}

fn verdict_lines(explained: &Explained, of: &api::ExplainVerdictResponse) -> Vec<String> {
    let view = of.verdict.clone().unwrap_or_default();
    let status = lower(view.status().as_str_name(), "VERDICT_STATUS_");
    let mut lines = vec![format!("verdict {} on {}: {status}", view.verdict, view.unit)];
    if view.at_fault {
        let carried_out = if view.carried_out { "carried out" } else { "not carried out" };
        lines.push(format!(
            "  at fault by {}: {} points, {} fen, {carried_out}",
            view.rule, view.points, view.penalty_fen
        ));
    } else {
        lines.push("  not at fault".to_owned());
    }
    lines.push(format!("  given by      {}", explained.named(&of.given_by)));
    lines.push(format!("  policy        {}{}", of.policy, known(of.versions_known)));
    lines.push(format!("  calendar      {}{}", of.calendar, known(of.versions_known)));
    for why in &of.involved {
        let ground = lower(why.ground().as_str_name(), "INVOLVED_GROUND_").replace('_', " ");
        lines.push(format!("  involved      {ground}: {}", explained.named(&why.event)));
    }
    lines.extend(of.because.iter().map(|event| format!("  points at     {}", explained.named(event))));
    lines.extend(of.steps.iter().map(|event| format!("  since         {}", explained.named(event))));
    lines
}

#[derive(Serialize)]
struct Change<'c> {
    field: &'c str,
    before: Option<&'c str>,
    after: Option<&'c str>,
}

fn point(point: Option<&api::Point>) -> Value {
    point.map_or(
        Value::Null,
        |point| json!({ "revision": point.revision, "as_of": moment(point.as_of.as_ref()) }),
    )
}

pub(super) fn difference_json(answer: &api::DiffTicketResponse) -> Value {
    let changes = answer.changes.iter().map(|change| Change {
        field: &change.field,
        before: change.before.as_deref(),
        after: change.after.as_deref(),
    });
    json!({ "difference": {
        "from": point(answer.from.as_ref()),
        "to": point(answer.to.as_ref()),
        "words": answer.words,
        "changes": changes.collect::<Vec<_>>(),
    }})
}

pub(super) fn difference_lines(answer: &api::DiffTicketResponse) -> Vec<String> {
    let end = |point: Option<&api::Point>| {
        point.map_or_else(
            || "before the intake".to_owned(),
            |point| format!("revision {}, {}", point.revision, or_unknown(point.as_of.as_ref())),
        )
    };
    let mut lines =
        vec![format!("from {}", end(answer.from.as_ref())), format!("to   {}", end(answer.to.as_ref()))];
    if answer.changes.is_empty() {
        lines.push("nothing differs".to_owned());
    }
    lines.extend(answer.words.iter().map(|words| format!("  {words}")));
    if !answer.changes.is_empty() {
        lines.extend([String::new(), "fields".to_owned()]);
    }
    let or_none = |text: Option<&str>| text.unwrap_or("–").to_owned();
    lines.extend(answer.changes.iter().map(|change| {
        let (before, after) = (or_none(change.before.as_deref()), or_none(change.after.as_deref()));
        format!("  {:<36} {before} → {after}", change.field)
    }));
    lines
}
