//! The difference between two moments of a ticket: every field that differs, in words what that means, and the events between.

mod in_words;

use std::collections::BTreeMap;

use duban_log::Recorded;
use duban_proto::api::v1 as api;
use jiff::Timestamp;
use prost::Message;
use prost_reflect::{DynamicMessage, SerializeOptions};
use serde_json::Value;

use crate::as_of::AsOf;
use crate::error::HistoryError;
use crate::text_opener::TextOpener;

/// What the two states say of themselves, and is no difference.
const OF_THEMSELVES: &str = "as_of";

/// Compares a ticket at two moments, of which the first may not see more than the second; none where nothing had happened at the
/// second. At a moment before the intake there is nothing, and every field of the other one differs.
///
/// # Errors
/// [`HistoryError::FromSeesMore`]; [`HistoryError::Unreadable`], where an event cannot be read.
pub fn difference(
    events: &[Recorded],
    (from, to): (AsOf, AsOf),
    opener: &TextOpener,
    now: Timestamp,
) -> Result<Option<api::DiffTicketResponse>, HistoryError> {
    if events.iter().any(|event| from.sees(event) && !to.sees(event)) {
        return Err(HistoryError::FromSeesMore);
    }
    let before = from.ticket(events, opener, now)?;
    let Some(after) = to.ticket(events, opener, now)? else { return Ok(None) };
    let between = events.iter().filter(|event| to.sees(event) && !from.sees(event));
    Ok(Some(api::DiffTicketResponse {
        changes: changes(before.as_ref(), &after)?,
        words: in_words::changes(&before.clone().unwrap_or_default(), &after),
        events: between.map(|event| opener.event(event)).collect::<Result<_, _>>()?,
        from: before.as_ref().map(point),
        to: Some(point(&after)),
    }))
}

fn point(ticket: &api::Ticket) -> api::Point {
    let revision = ticket.summary.as_ref().map_or(0, |summary| summary.revision);
    api::Point { revision, as_of: ticket.as_of }
}

/// Every field that differs, by its path in the answer `Ticket`.
fn changes(before: Option<&api::Ticket>, after: &api::Ticket) -> Result<Vec<api::FieldChange>, HistoryError> {
    let before = before.map(fields).transpose()?.unwrap_or_default();
    let after = fields(after)?;
    let old: BTreeMap<&str, &str> = before.iter().map(|(path, text)| (&**path, &**text)).collect();
    let new: BTreeMap<&str, &str> = after.iter().map(|(path, text)| (&**path, &**text)).collect();
    let change = |path: &str| api::FieldChange {
        field: path.to_owned(),
        before: old.get(path).map(|text| (*text).to_owned()),
        after: new.get(path).map(|text| (*text).to_owned()),
    };
    let changed = after.iter().filter(|(path, text)| old.get(&**path) != Some(&&**text));
    let gone = before.iter().filter(|(path, _)| !new.contains_key(&**path));
    Ok(changed.chain(gone).map(|(path, _)| change(path)).collect())
}

/// A ticket as canonical JSON has it, field by field with its path: `orders[0].status`. What has its default value is left out.
fn fields(ticket: &api::Ticket) -> Result<Vec<(String, String)>, HistoryError> {
    let unreadable = |reason: String| HistoryError::Unreadable { stream: "the answer".to_owned(), reason };
    let descriptor = duban_codec::descriptors().get_message_by_name("duban.api.v1.Ticket");
    let descriptor = descriptor.ok_or_else(|| unreadable("the contract has no ticket".to_owned()))?;
    let message = DynamicMessage::decode(descriptor, ticket.encode_to_vec().as_slice());
    let message = message.map_err(|error| unreadable(error.to_string()))?;
    let options = SerializeOptions::new().use_proto_field_name(true);
    let json = message.serialize_with_options(serde_json::value::Serializer, &options);
    let mut fields = Vec::new();
    flatten("", &json.map_err(|error| unreadable(error.to_string()))?, &mut fields);
    fields.retain(|(path, _)| path != OF_THEMSELVES);
    Ok(fields)
}

fn flatten(path: &str, value: &Value, into: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(&path, value, into);
            }
        }
        // A list of plain values is one value: its elements have no number of their own.
        Value::Array(elements) if elements.first().is_some_and(Value::is_object) => {
            for (index, element) in elements.iter().enumerate() {
                flatten(&format!("{path}[{index}]"), element, into);
            }
        }
        Value::String(text) => into.push((path.to_owned(), text.clone())),
        Value::Array(_) | Value::Bool(_) | Value::Number(_) | Value::Null => {
            into.push((path.to_owned(), value.to_string()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_told_by_their_paths_with_what_they_were_and_are() {
        let order = |status: api::OrderStatus| api::OrderView {
            order: 1,
            status: status.into(),
            ..Default::default()
        };
        let before = api::Ticket {
            urges: 1,
            orders: vec![order(api::OrderStatus::Issued)],
            missing: vec!["a".into()],
            problem: Some("p".into()),
            ..Default::default()
        };
        let after = api::Ticket {
            urges: 2,
            orders: vec![order(api::OrderStatus::Accepted), order(api::OrderStatus::Issued)],
            missing: vec!["a".into(), "b".into()],
            reopened: 1,
            ..Default::default()
        };
        let found: Vec<_> = changes(Some(&before), &after).unwrap();
        let change = |field: &str, before: Option<&str>, after: Option<&str>| api::FieldChange {
            field: field.to_owned(),
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
        };
        assert_eq!(
            found,
            [
                change("missing", Some(r#"["a"]"#), Some(r#"["a","b"]"#)),
                change("orders[0].status", Some("ORDER_STATUS_ISSUED"), Some("ORDER_STATUS_ACCEPTED")),
                change("orders[1].order", None, Some("1")),
                change("orders[1].status", None, Some("ORDER_STATUS_ISSUED")),
                change("reopened", None, Some("1")),
                change("urges", Some("1"), Some("2")),
                change("problem", Some("p"), None),
            ]
        );
        assert_eq!(changes(Some(&after), &after).unwrap(), []);
    }
}
