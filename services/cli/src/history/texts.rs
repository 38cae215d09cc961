//! Events of an answer, with opened texts in place of sealed ones.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use duban_proto::api::v1 as api;
use serde_json::Value;
use uuid::Uuid;

use super::state::moments;
use super::{Cause, Entry, HistoryError};

/// Fields of an envelope around its payload.
const AROUND: [&str; 9] =
    ["id", "stream", "revision", "position", "type", "occurredAt", "recordedAt", "metadata", "tags"];

/// Reads an event of an answer.
pub(super) fn entry(from: api::HistoryEvent) -> Result<Entry, HistoryError> {
    let event = from.event.ok_or(HistoryError::Answer("an event is missing"))?;
    let (occurred_at, recorded_at) =
        moments(&event).ok_or(HistoryError::Answer("an event has no moments"))?;
    let json = duban_codec::to_json(&event).ok().and_then(|json| serde_json::from_str(&json).ok());
    let mut json: Value = json.ok_or(HistoryError::Answer("an event is no event of this version"))?;
    if let Some(payload) = payload_mut(&mut json) {
        for text in &from.texts {
            put(payload, &text.path, text.text.as_deref());
        }
    }
    shut(&mut json);
    let metadata = event.metadata.ok_or(HistoryError::Answer("an event has no metadata"))?;
    let uuid = |bytes: &[u8]| Uuid::from_slice(bytes).ok();
    let cause = Cause {
        command: uuid(&metadata.command_id).ok_or(HistoryError::Answer("an event has no command"))?,
        event: metadata.causation.as_deref().and_then(uuid),
        revision: None,
        correlation: metadata.correlation.as_deref().and_then(uuid),
    };
    Ok(Entry {
        id: event.id.parse().map_err(|_| HistoryError::Answer("an event has no id"))?,
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
    json.as_object()?.iter().find(|(name, _)| !AROUND.contains(&name.as_str())).map(|(_, payload)| payload)
}

fn payload_mut(json: &mut Value) -> Option<&mut Value> {
    let fields = json.as_object_mut()?;
    fields.iter_mut().find(|(name, _)| !AROUND.contains(&name.as_str())).map(|(_, payload)| payload)
}

/// Every text that stayed sealed reads null.
fn shut(json: &mut Value) {
    if is_sealed(json) {
        *json = Value::Null;
        return;
    }
    match json {
        Value::Object(fields) => fields.values_mut().for_each(shut),
        Value::Array(values) => values.iter_mut().for_each(shut),
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
        shut(&mut json);
        assert_eq!(json, json!([{ "text": null }, { "customer": "x", "nonce": 1, "ciphertext": 2 }]));
    }
}
