//! Opened texts in place of sealed ones.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use duban_aggregates::ids::CustomerId;
use duban_aggregates::sealed::Sealed;
use duban_server::seal::Sealer;
use serde_json::Value;
use uuid::Uuid;

/// Opens every sealed text of a JSON; one that cannot be opened becomes null.
pub(super) fn open(json: &mut Value, sealer: Option<&Sealer>) {
    if let Some(sealed) = sealed(json) {
        let text = sealer.and_then(|sealer| sealer.open(&sealed).ok());
        *json = text.map_or(Value::Null, Value::String);
        return;
    }
    match json {
        Value::Object(fields) => fields.values_mut().for_each(|value| open(value, sealer)),
        Value::Array(values) => values.iter_mut().for_each(|value| open(value, sealer)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A sealed text as canonical JSON has it; nothing else has these three fields.
fn sealed(json: &Value) -> Option<Sealed> {
    let fields = json.as_object().filter(|fields| fields.len() == 3)?;
    let bytes = |name| STANDARD.decode(fields.get(name)?.as_str()?).ok();
    Some(Sealed {
        customer: CustomerId(Uuid::from_slice(&bytes("customer")?).ok()?),
        nonce: bytes("nonce")?.try_into().ok()?,
        ciphertext: bytes("ciphertext")?,
    })
}

/// Puts a text where a path of field names and list indexes leads, `units[0].reason`.
pub(super) fn put(json: &mut Value, path: &str, text: Option<&str>) -> bool {
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
        open(&mut json, None);
        assert_eq!(json, json!([{ "text": null }, { "customer": "x", "nonce": 1, "ciphertext": 2 }]));
    }
}
