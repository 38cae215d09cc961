//! Events of an answer, with opened texts in place of sealed ones, and what led to each.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use duban_proto::api::v1 as api;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::UnreadableAnswer;
use super::state::moments;

/// What led to an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Cause {
    /// The command behind it; events of one command happened together.
    pub(super) command: Uuid,
    /// The event that the command answers to, where it was no person's: in this stream by its revision, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) revision: Option<u64>,
    /// What started the whole line of events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) correlation: Option<Uuid>,
}

/// An event, its texts opened.
#[derive(Clone, Debug)]
pub struct EventEntry {
    pub(super) id: Uuid,
    pub(super) revision: u64,
    pub(super) position: Option<u64>,
    pub(super) occurred_at: Timestamp,
    pub(super) recorded_at: Timestamp,
    /// The stored type.
    pub(super) kind: String,
    /// Who, in which department, as what.
    pub(super) actor: String,
    pub(super) unit: String,
    pub(super) role: String,
    pub(super) cause: Cause,
    /// The envelope, as in canonical JSON but for the order of its fields.
    pub(super) json: Value,
}

impl EventEntry {
    /// The line of JSON: the envelope, and what led to it.
    #[must_use]
    pub fn line(&self) -> Value {
        let mut line = self.json.clone();
        if let (Some(fields), Ok(cause)) = (line.as_object_mut(), serde_json::to_value(&self.cause)) {
            fields.insert("cause".to_owned(), cause);
        }
        line
    }
}

/// Reads the events of an answer. A cause in this ticket's own stream is named by its revision.
pub(super) fn entries(
    events: Vec<api::HistoryEvent>,
    known: &[(Uuid, u64)],
) -> Result<Vec<EventEntry>, UnreadableAnswer> {
    let mut entries = events.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    for entry in &mut entries {
        let caused_by = entry.cause.event;
        entry.cause.revision =
            known.iter().find(|(id, _)| Some(*id) == caused_by).map(|(_, revision)| *revision);
    }
    Ok(entries)
}

/// Fields of an envelope around its payload.
const ENVELOPE_FIELDS: [&str; 9] =
    ["id", "stream", "revision", "position", "type", "occurredAt", "recordedAt", "metadata", "tags"];

/// Reads an event of an answer.
fn entry(from: api::HistoryEvent) -> Result<EventEntry, UnreadableAnswer> {
    let event = from.event.ok_or(UnreadableAnswer("an event is missing"))?;
    let (occurred_at, recorded_at) = moments(&event).ok_or(UnreadableAnswer("an event has no moments"))?;
    let json = duban_codec::to_json(&event).ok().and_then(|json| serde_json::from_str(&json).ok());
    let mut json: Value = json.ok_or(UnreadableAnswer("an event is no event of this version"))?;
    if let Some(payload) = payload_mut(&mut json) {
        for text in &from.texts {
            put(payload, &text.path, text.text.as_deref());
        }
    }
    null_sealed(&mut json);
    let metadata = event.metadata.ok_or(UnreadableAnswer("an event has no metadata"))?;
    let uuid = |bytes: &[u8]| Uuid::from_slice(bytes).ok();
    let cause = Cause {
        command: uuid(&metadata.command_id).ok_or(UnreadableAnswer("an event has no command"))?,
        event: metadata.causation.as_deref().and_then(uuid),
        revision: None,
        correlation: metadata.correlation.as_deref().and_then(uuid),
    };
    Ok(EventEntry {
        id: event.id.parse().map_err(|_| UnreadableAnswer("an event has no id"))?,
        revision: event.revision,
        position: event.position,
        occurred_at,
        recorded_at,
        kind: event.r#type,
        role: metadata.role().as_str_name().trim_start_matches("ROLE_").to_ascii_lowercase(),
        actor: metadata.actor_id,
        unit: metadata.unit,
        cause,
        json,
    })
}

/// The payload of an envelope: its one field that every envelope has not.
pub(super) fn payload(json: &Value) -> Option<&Value> {
    json.as_object()?
        .iter()
        .find(|(name, _)| !ENVELOPE_FIELDS.contains(&name.as_str()))
        .map(|(_, payload)| payload)
}

fn payload_mut(json: &mut Value) -> Option<&mut Value> {
    let fields = json.as_object_mut()?;
    fields.iter_mut().find(|(name, _)| !ENVELOPE_FIELDS.contains(&name.as_str())).map(|(_, payload)| payload)
}

/// Every text that stayed sealed reads null.
fn null_sealed(json: &mut Value) {
    if is_sealed(json) {
        *json = Value::Null;
        return;
    }
    match json {
        Value::Object(fields) => fields.values_mut().for_each(null_sealed),
        Value::Array(values) => values.iter_mut().for_each(null_sealed),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A sealed text as canonical JSON has it; nothing else has these three fields.
fn is_sealed(json: &Value) -> bool {
    let Some(fields) = json.as_object().filter(|fields| fields.len() == 3) else { return false };
    let bytes = |name: &str| STANDARD.decode(fields.get(name)?.as_str()?).ok();
    bytes("customer").is_some_and(|id| id.len() == 16)
        && bytes("nonce").is_some_and(|nonce| nonce.len() == 12)
        && bytes("ciphertext").is_some()
}

/// Puts a text where a path of field names and list indexes leads, `units[0].reason`.
fn put(json: &mut Value, path: &str, text: Option<&str>) -> bool {
    let mut at = json;
    for step in path.split(['.', '[']) {
        let next = match step.strip_suffix(']') {
            Some(index) => index.parse::<usize>().ok().and_then(|index| at.get_mut(index)),
            None => at.get_mut(camel(step)),
        };
        let Some(next) = next else { return false };
        at = next;
    }
    *at = text.map_or(Value::Null, |text| Value::String(text.to_owned()));
    true
}

/// A field's name in JSON.
fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sealed_json() -> Value {
        let bytes = |bytes: &[u8]| STANDARD.encode(bytes);
        json!({ "customer": bytes(&[1; 16]), "nonce": bytes(&[2; 12]), "ciphertext": bytes(&[3; 20]) })
    }

    #[test]
    fn texts_are_put_where_their_paths_lead() {
        let mut json =
            json!({ "customer": { "name": sealed_json() }, "namedUnits": [{ "reason": sealed_json() }] });
        assert!(put(&mut json, "customer.name", Some("甲")));
        assert!(put(&mut json, "named_units[0].reason", None));
        assert!(!put(&mut json, "named_units[1].reason", None));
        assert_eq!(json, json!({ "customer": { "name": "甲" }, "namedUnits": [{ "reason": null }] }));
    }

    #[test]
    fn what_cannot_be_opened_is_null() {
        let mut json = json!([{ "text": sealed_json() }, { "customer": "x", "nonce": 1, "ciphertext": 2 }]);
        null_sealed(&mut json);
        assert_eq!(json, json!([{ "text": null }, { "customer": "x", "nonce": 1, "ciphertext": 2 }]));
    }
}
