//! A history for people.

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::Offset;
use serde_json::Value;
use uuid::Uuid;

use super::custody_bar;
use super::event::{EventEntry, payload};
use super::state::TicketState;

/// The office's zone; it has kept the same offset since 1991.
pub const SHANGHAI: Offset = Offset::constant(8);

/// Fields that say nothing to people.
const NOT_FOR_PEOPLE: [&str; 2] = ["phoneHash", "numberHash"];

/// Every event: when, what, who, where in the log, and what led to it.
pub(super) fn event_lines(entries: &[EventEntry], erased: bool) -> Vec<String> {
    let mut lines = Vec::new();
    let mut first = None;
    for entry in entries {
        let together = match first {
            Some((command, revision)) if command == entry.cause.command => Some(revision),
            _ => {
                first = Some((entry.cause.command, entry.revision));
                None
            }
        };
        event(entry, together, erased, &mut lines);
    }
    lines
}

/// How the ticket stands.
pub(super) fn state_lines(of: &TicketState) -> Vec<String> {
    let mut lines = Vec::new();
    state(of, &mut lines);
    lines
}

/// A moment in Shanghai.
#[must_use]
pub fn local(at: Timestamp) -> String {
    let at = SHANGHAI.to_datetime(at);
    strtime::format("%Y-%m-%d %H:%M:%S", at).unwrap_or_else(|_| at.to_string())
}

fn event(entry: &EventEntry, together: Option<u64>, erased: bool, lines: &mut Vec<String>) {
    let EventEntry { revision, kind, actor, unit, role, .. } = entry;
    let (recorded, occurred) = (local(entry.recorded_at), local(entry.occurred_at));
    let occurred = if recorded == occurred { String::new() } else { format!("  (happened {occurred})") };
    lines.push(format!("{revision:>4}  {recorded}  {kind:<32} {actor} of {unit}, {role}{occurred}"));
    let position = entry.position.map_or_else(|| "?".to_owned(), |position| position.to_string());
    lines.push(format!("      {:<28} {position}, {}", "position, cause:", cause(entry, together)));
    if let Some(payload) = payload(&entry.json) {
        fields("", payload, erased, lines);
    }
}

fn cause(entry: &EventEntry, together: Option<u64>) -> String {
    let cause = &entry.cause;
    if let Some(revision) = together {
        return format!("with event {revision}");
    }
    let command = |id: Uuid| format!("command {id}");
    match (cause.event, cause.revision) {
        (Some(_), Some(revision)) => format!("event {revision} by {}", command(cause.command)),
        (Some(event), None) => format!("event {event} elsewhere by {}", command(cause.command)),
        (None, _) if entry.role == "timer" => "its time had come".to_owned(),
        (None, _) => command(cause.command),
    }
}

fn fields(path: &str, json: &Value, erased: bool, lines: &mut Vec<String>) {
    let mut say = |value: &str| {
        for (row, text) in value.lines().enumerate() {
            let name = if row == 0 { format!("{path}:") } else { String::new() };
            lines.push(format!("      {name:<28} {text}"));
        }
    };
    match json {
        Value::Object(inner) => {
            for (name, value) in inner.iter().filter(|(name, _)| !NOT_FOR_PEOPLE.contains(&name.as_str())) {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                fields(&path, value, erased, lines);
            }
        }
        Value::Array(inner) => {
            for (index, value) in inner.iter().enumerate() {
                fields(&format!("{path}[{index}]"), value, erased, lines);
            }
        }
        Value::Null if erased => say("(erased 已删除)"),
        Value::Null => say("(sealed)"),
        Value::String(text) => say(text),
        Value::Bool(_) | Value::Number(_) => say(&json.to_string()),
    }
}

fn state(state: &TicketState, lines: &mut Vec<String>) {
    let TicketState { ticket, revision, kind, category, stage, round, holder, .. } = state;
    let ended = state.ended_at.map_or(String::new(), |at| format!(" {}", local(at)));
    lines.push(format!("{kind} {ticket}, {category}"));
    lines.push(format!("{}{ended}: {stage}, round {round}, with {holder}, revision {revision}", state.state));
    if let Some(at) = state.taken_in_at {
        lines.push(format!("taken in {}", local(at)));
    }
    if let Some(at) = state.as_of {
        lines.push(format!("as of {}", local(at)));
    }
    if let Some(finding) = &state.open_finding {
        lines.push(format!("an auditor's finding is open: event {finding}; a supervisor may reopen on it"));
    }
    section(
        "orders",
        lines,
        state.orders.iter().map(|order| {
            format!(
                "{:>3}  round {}  {:<7} {:<20} {}",
                order.order, order.round, order.part, order.unit, order.status
            )
        }),
    );
    section(
        "clocks",
        lines,
        state.clocks.iter().map(|clock| {
            let due = clock.due.map_or_else(String::new, local);
            format!("{:>3}  {:<12} {:<17} due {due}", clock.clock, clock.kind, clock.status)
        }),
    );
    section(
        "gates 五不放过",
        lines,
        state.gates.iter().map(|gate| {
            let mark = if gate.holds { "holds" } else { "open" };
            let waived = if gate.waived { " (waived)" } else { "" };
            let missing = if gate.missing.is_empty() {
                String::new()
            } else {
                format!(": {}", gate.missing.join("; "))
            };
            format!("  {:<24} {mark}{waived}{missing}", gate.gate)
        }),
    );
    section(
        "verdicts",
        lines,
        state.verdicts.iter().map(|verdict| {
            let found = if verdict.at_fault {
                format!("at fault, {} points, {} fen", verdict.points, verdict.penalty_fen)
            } else {
                "not at fault".to_owned()
            };
            format!("{:>3}  {:<20} {found}, {}", verdict.verdict, verdict.unit, verdict.status)
        }),
    );
    section("custody 在手时长", lines, custody_bar::lines(&state.custody).into_iter());
}

fn section(title: &str, lines: &mut Vec<String>, rows: impl Iterator<Item = String>) {
    let mut rows = rows.peekable();
    if rows.peek().is_some() {
        lines.push(String::new());
        lines.push(title.to_owned());
        lines.extend(rows);
    }
}

/// `1d 02:03:04`.
pub(super) fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let days = if days == 0 { String::new() } else { format!("{days}d ") };
    format!("{days}{hours:02}:{minutes:02}:{:02}", seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_count_days_only_where_there_are_some() {
        for (seconds, text) in [(0, "00:00:00"), (3_725, "01:02:05"), (93_784, "1d 02:03:04")] {
            assert_eq!(duration(seconds), text);
        }
    }
}
