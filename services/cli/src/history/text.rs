//! A history for people.

use jiff::Timestamp;
use jiff::fmt::strtime;
use serde_json::Value;

use super::remote::payload;
use super::state::{State, Stretch};
use super::{Entry, History, office};

/// Width of the longest custody bar.
const BAR: u64 = 40;

/// Fields that say nothing to people.
const SILENT: [&str; 2] = ["phoneHash", "numberHash"];

pub(super) fn lines(history: &History) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in &history.entries {
        event(entry, history.erased, &mut lines);
    }
    lines.push(String::new());
    state(&history.state, &mut lines);
    lines
}

fn local(at: Timestamp) -> String {
    let at = office().to_datetime(at);
    strtime::format("%Y-%m-%d %H:%M:%S", at).unwrap_or_else(|_| at.to_string())
}

fn event(entry: &Entry, erased: bool, lines: &mut Vec<String>) {
    let of = |field: &str| {
        let metadata = entry.json.get("metadata");
        metadata.and_then(|metadata| metadata.get(field)).and_then(Value::as_str).unwrap_or("?").to_owned()
    };
    let role = of("role").trim_start_matches("ROLE_").to_ascii_lowercase();
    let (recorded, occurred) = (local(entry.recorded_at), local(entry.occurred_at));
    let occurred = if recorded == occurred { String::new() } else { format!("  (happened {occurred})") };
    let who = format!("{} of {}, {role}", of("actorId"), of("unit"));
    lines.push(format!("{:>4}  {recorded}  {:<32} {who}{occurred}", entry.revision, entry.kind));
    if let Some(payload) = payload(&entry.json) {
        fields("", payload, erased, lines);
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
            for (name, value) in inner.iter().filter(|(name, _)| !SILENT.contains(&name.as_str())) {
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

fn state(state: &State, lines: &mut Vec<String>) {
    let State { ticket, revision, kind, category, stage, round, holder, .. } = state;
    let ended = state.ended_at.map_or(String::new(), |at| format!(" {}", local(at)));
    lines.push(format!("{kind} {ticket}, {category}"));
    lines.push(format!("{}{ended}: {stage}, round {round}, with {holder}, revision {revision}", state.state));
    if let Some(at) = state.taken_in_at {
        lines.push(format!("taken in {}", local(at)));
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
    custody(&state.custody, lines);
}

fn section(title: &str, lines: &mut Vec<String>, rows: impl Iterator<Item = String>) {
    let mut rows = rows.peekable();
    if rows.peek().is_some() {
        lines.push(String::new());
        lines.push(title.to_owned());
        lines.extend(rows);
    }
}

fn custody(stretches: &[Stretch], lines: &mut Vec<String>) {
    let held: Vec<&Stretch> = stretches.iter().filter(|stretch| stretch.holder != "nobody").collect();
    let total: u64 = held.iter().map(|stretch| stretch.seconds).sum();
    let longest = held.iter().map(|stretch| stretch.seconds).max().unwrap_or(0).max(1);
    let rows = held.iter().map(|stretch| {
        // At least a trace of whoever had it at all.
        let width = (stretch.seconds * BAR).div_ceil(longest);
        let bar = "█".repeat(usize::try_from(width).unwrap_or(0));
        let from = stretch.from.map_or_else(String::new, local);
        format!("  {from}  {:<20} {:>14}  {bar}", stretch.holder, duration(stretch.seconds))
    });
    let sum = format!("  {:<19}  {:<20} {:>14}", "", "in all", duration(total));
    section("custody 在手时长", lines, rows.chain([sum]));
}

/// `1d 02:03:04`.
fn duration(seconds: u64) -> String {
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
