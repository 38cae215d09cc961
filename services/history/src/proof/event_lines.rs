//! The events of an export, each told by what is other than in those before it: most of what surrounds an event is.
//!
//! A line is a merge patch (RFC 7396): what it does not name is as it was, what it says is null is not there, objects are patched,
//! everything else takes the place of what was. It is held against what is expected of an event:
//!
//! - `stream`, `recordedAt`, `metadata` as in the event before; `revision` and `position` one more;
//! - `tags` as in the event before; an object names those that changed, a list is all of them;
//! - `occurredAt` as its own `recordedAt`, and `id` as it follows from stream, command and the event's place in it, where they are
//!   left out;
//! - `fingerprint` in `metadata` as the `commandId`, where it is left out: so it is in what the server does by itself;
//! - `type` is never told: it follows from the payload's field;
//! - the payload, under its field, as the last one under that field.
//!
//! What comes of it is the event's canonical JSON.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use duban_aggregates::ids::{CommandId, stream_event_id};
use serde_json::{Map, Value, json};
use uuid::Uuid;

type Fields = Map<String, Value>;

/// What surrounds a payload. Everything else in an event is its payload.
const ENVELOPE_FIELDS: [&str; 9] =
    ["id", "stream", "revision", "position", "type", "occurredAt", "recordedAt", "metadata", "tags"];

const COMMAND: &str = "commandId";
const FINGERPRINT: &str = "fingerprint";

/// The events so far, as far as the next is told by them.
#[derive(Debug, Default)]
pub(super) struct EventLines {
    around: Fields,
    payloads: HashMap<String, Value>,
    /// Events of the last command.
    of_command: u32,
}

/// A line that tells no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not told as an export tells events")]
pub(super) struct NotAnEventLine;

impl EventLines {
    /// The line of the next event, from its canonical JSON.
    pub(super) fn shorten(&mut self, event: &Value) -> Result<String, NotAnEventLine> {
        let event = event.as_object().ok_or(NotAnEventLine)?;
        let (field, payload) = payload_of(event)?;
        let mut around: Fields = event.clone();
        around.remove(field);
        leave_fingerprint_out(&mut around);
        let of_command = self.place_in_command(&around);
        let mut line = Fields::new();
        for (name, value) in &around {
            let left_out = match name.as_str() {
                "type" => true,
                "id" => value.as_str().map(str::to_owned) == id(&around, of_command),
                "occurredAt" => around.get("recordedAt") == Some(value),
                _ => false,
            };
            if left_out {
                continue;
            }
            let change = match (name.as_str(), self.expected(name)) {
                ("tags", Some(before)) => changed_tags(&before, value),
                (_, Some(before)) => difference(&before, value),
                (_, None) => Some(value.clone()),
            };
            line.extend(change.map(|change| (name.clone(), change)));
        }
        for name in ENVELOPE_FIELDS.iter().filter(|name| !around.contains_key(**name)) {
            if self.expected(name).is_some() {
                line.insert((*name).to_owned(), Value::Null);
            }
        }
        let before = self.payloads.get(field).cloned().unwrap_or_else(|| json!({}));
        line.insert(field.to_owned(), difference(&before, payload).unwrap_or_else(|| json!({})));
        self.payloads.insert(field.to_owned(), payload.clone());
        (self.around, self.of_command) = (around, of_command);
        Ok(Value::Object(line).to_string())
    }

    /// The next event's JSON, from its line. Its type is left out.
    pub(super) fn expand(&mut self, line: &Value) -> Result<Value, NotAnEventLine> {
        let line = line.as_object().ok_or(NotAnEventLine)?;
        let (field, change) = payload_of(line)?;
        let mut around = Fields::new();
        for name in ENVELOPE_FIELDS {
            let value = match (name, self.expected(name), line.get(name)) {
                ("type", _, Some(_)) => return Err(NotAnEventLine),
                (_, before, None) => before,
                (_, _, Some(Value::Null)) => None,
                ("tags", Some(before), Some(change @ Value::Object(_))) => {
                    Some(patched_tags(&before, change)?)
                }
                ("tags", _, Some(whole)) => Some(whole.clone()),
                (_, before, Some(change)) => Some(patched(before, change)),
            };
            around.extend(value.map(|value| (name.to_owned(), value)));
        }
        if let (None, Some(at)) = (around.get("occurredAt"), around.get("recordedAt")) {
            around.insert("occurredAt".to_owned(), at.clone());
        }
        let of_command = self.place_in_command(&around);
        if !around.contains_key("id") {
            let id = id(&around, of_command).ok_or(NotAnEventLine)?;
            around.insert("id".to_owned(), id.into());
        }
        let payload = patched(self.payloads.get(field).cloned(), change);
        self.payloads.insert(field.to_owned(), payload.clone());
        let mut event = around.clone();
        event.insert(field.to_owned(), payload);
        if let Some(metadata) = event.get_mut("metadata").and_then(Value::as_object_mut)
            && let (false, Some(command)) =
                (metadata.contains_key(FINGERPRINT), metadata.get(COMMAND).cloned())
        {
            metadata.insert(FINGERPRINT.to_owned(), command);
        }
        (self.around, self.of_command) = (around, of_command);
        Ok(Value::Object(event))
    }

    /// What a field is where nothing is told of it.
    fn expected(&self, name: &str) -> Option<Value> {
        match name {
            _ if self.around.is_empty() || !carried(name) => None,
            // A number that is 0 is absent in canonical JSON.
            "revision" | "position" => {
                let before =
                    self.around.get(name).map_or(Some(0), |value| value.as_str()?.parse::<u64>().ok());
                Some(before?.checked_add(1)?.to_string().into())
            }
            _ => self.around.get(name).cloned(),
        }
    }

    fn place_in_command(&self, around: &Fields) -> u32 {
        let command = |fields: &Fields| fields.get("metadata")?.get(COMMAND).cloned();
        let same = command(around).is_some() && command(around) == command(&self.around);
        if same { self.of_command.saturating_add(1) } else { 0 }
    }
}

/// Whether an event has a field as the one before it, unless something else is told.
fn carried(name: &str) -> bool {
    !matches!(name, "id" | "type" | "occurredAt")
}

fn leave_fingerprint_out(around: &mut Fields) {
    if let Some(metadata) = around.get_mut("metadata").and_then(Value::as_object_mut)
        && metadata.get(FINGERPRINT) == metadata.get(COMMAND)
    {
        metadata.remove(FINGERPRINT);
    }
}

fn payload_of(event: &Fields) -> Result<(&str, &Value), NotAnEventLine> {
    let mut payloads = event.iter().filter(|(name, _)| !ENVELOPE_FIELDS.contains(&name.as_str()));
    match (payloads.next(), payloads.next()) {
        (Some((field, payload)), None) if payload.is_object() => Ok((field, payload)),
        _ => Err(NotAnEventLine),
    }
}

/// The id of the event with this place in its command.
fn id(around: &Fields, of_command: u32) -> Option<String> {
    let (_, stream) = around.get("stream")?.as_str()?.split_once('-')?;
    let command = STANDARD.decode(around.get("metadata")?.get(COMMAND)?.as_str()?).ok()?;
    let command = CommandId(Uuid::from_slice(&command).ok()?);
    Some(stream_event_id(Uuid::parse_str(stream).ok()?, command, of_command).to_string())
}

/// The merge patch that makes one value out of another; none where they are the same.
fn difference(before: &Value, now: &Value) -> Option<Value> {
    let (Value::Object(was), Value::Object(is)) = (before, now) else {
        return (before != now).then(|| now.clone());
    };
    let mut patch = Fields::new();
    for (name, value) in is {
        let change = was.get(name).map_or_else(|| Some(value.clone()), |was| difference(was, value));
        patch.extend(change.map(|change| (name.clone(), change)));
    }
    patch.extend(was.keys().filter(|name| !is.contains_key(*name)).map(|name| (name.clone(), Value::Null)));
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// Applies a merge patch.
fn patched(before: Option<Value>, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut fields = match before {
        Some(Value::Object(fields)) => fields,
        _ => Fields::new(),
    };
    for (name, change) in patch {
        if change.is_null() {
            fields.remove(name);
        } else {
            let value = patched(fields.remove(name), change);
            fields.insert(name.clone(), value);
        }
    }
    Value::Object(fields)
}

/// What changed in tags: those that are others, by key; or all of them, where their order does not follow from that.
fn changed_tags(before: &Value, now: &Value) -> Option<Value> {
    if before == now {
        return None;
    }
    let pairs = |tags: &Value| tags.as_array().map(|tags| tags.iter().filter_map(pair).collect::<Vec<_>>());
    let (was, is) = (pairs(before)?, pairs(now)?);
    let gone = was.iter().filter(|(key, _)| !is.iter().any(|(other, _)| other == key));
    let gone = gone.map(|(key, _)| (key.clone(), Value::Null));
    let changed =
        is.iter().filter(|tag| !was.contains(tag)).map(|(key, value)| (key.clone(), value.clone().into()));
    let patch: Fields = gone.chain(changed).collect();
    let patch = Value::Object(patch);
    Some(if patched_tags(before, &patch).as_ref() == Ok(now) { patch } else { now.clone() })
}

/// Changed tags stay where they were, new ones come last.
fn patched_tags(before: &Value, patch: &Value) -> Result<Value, NotAnEventLine> {
    let mut tags: Vec<_> = before.as_array().ok_or(NotAnEventLine)?.iter().filter_map(pair).collect();
    for (key, value) in patch.as_object().ok_or(NotAnEventLine)? {
        let known = tags.iter().position(|(other, _)| other == key);
        match (known, value) {
            (Some(at), Value::Null) => drop(tags.remove(at)),
            (Some(at), Value::String(value)) => tags[at].1.clone_from(value),
            (None, Value::String(value)) => tags.push((key.clone(), value.clone())),
            _ => return Err(NotAnEventLine),
        }
    }
    Ok(tags.into_iter().map(|(key, value)| json!({ "key": key, "value": value })).collect())
}

fn pair(tag: &Value) -> Option<(String, String)> {
    let text = |field| tag.get(field).and_then(Value::as_str).map(str::to_owned);
    // An empty value is absent in canonical JSON.
    Some((text("key")?, text("value").unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use duban_codec::sample::{self, Gen};
    use duban_codec::types;

    use super::*;

    #[test]
    fn events_in_any_order_are_told_by_those_before_them_and_come_out_as_they_were() {
        let mut g = Gen::wild(7);
        for _ in 0..20 {
            let (mut written, mut read) = (EventLines::default(), EventLines::default());
            for _ in 0..60 {
                let kind = g.pick(types::ALL);
                let parts = sample::parts(kind, &mut g).unwrap();
                let event =
                    duban_codec::to_json(&duban_codec::to_event(&parts.as_stored()).unwrap()).unwrap();
                let mut event: Value = serde_json::from_str(&event).unwrap();
                if g.below(2) == 0 {
                    event["metadata"][FINGERPRINT] = event["metadata"][COMMAND].clone();
                }
                let line = written.shorten(&event).unwrap();
                let again = read.expand(&serde_json::from_str(&line).unwrap()).unwrap();
                event.as_object_mut().unwrap().remove("type");
                assert_eq!(again["metadata"], event["metadata"], "{line}");
                let tags = |event: &Value| -> Vec<_> {
                    event["tags"].as_array().into_iter().flatten().filter_map(pair).collect()
                };
                assert_eq!(tags(&again), tags(&event), "{line}");
                let without = |event: &Value| {
                    let mut event = event.clone();
                    event.as_object_mut().unwrap().remove("tags");
                    event
                };
                assert_eq!(without(&again), without(&event), "{line}");
            }
        }
    }

    #[test]
    fn what_tells_no_event_is_refused() {
        for line in ["7", "{}", r#"{"a":{},"b":{}}"#, r#"{"a":7}"#, r#"{"type":"x","a":{}}"#, r#"{"a":{}}"#] {
            assert_eq!(
                EventLines::default().expand(&serde_json::from_str(line).unwrap()),
                Err(NotAnEventLine),
                "{line}"
            );
        }
    }
}
