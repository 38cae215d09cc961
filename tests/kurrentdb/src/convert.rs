//! Between the log's records and the protocol's messages.

use std::collections::HashMap;

use bytes::Bytes;
use tonic::Status;
use uuid::Uuid;

use crate::log::{Expected, Proposal, Record};
use crate::pb::streams::append_req;
use crate::pb::streams::read_resp::{self, read_event};
use crate::pb::streams::{AppendResp, ReadResp, append_resp};
use crate::write::Outcome;
use crate::{pb, refusals};

/// How ids are spelled, and whether positions are told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spelling {
    pub(crate) ids_as_text: bool,
    /// Servers before 22.10 do not say where a stream's events stand in the log.
    pub(crate) positions: bool,
}

pub(crate) fn event(record: &Record, spelling: Spelling) -> ReadResp {
    let position = if spelling.positions { record.position } else { u64::MAX };
    let content_type = if record.json { "application/json" } else { "application/octet-stream" };
    let metadata = HashMap::from([
        ("type".to_owned(), record.kind.clone()),
        ("content-type".to_owned(), content_type.to_owned()),
        ("created".to_owned(), record.created_ticks.to_string()),
    ]);
    let recorded = read_event::RecordedEvent {
        id: Some(id(record.id, spelling.ids_as_text)),
        stream_identifier: Some(identifier(&record.stream)),
        stream_revision: record.revision,
        prepare_position: position,
        commit_position: position,
        metadata,
        custom_metadata: record.metadata.clone(),
        data: record.data.clone(),
    };
    let position = if spelling.positions {
        read_event::Position::CommitPosition(record.position)
    } else {
        read_event::Position::NoPosition(pb::Empty {})
    };
    let event = read_resp::ReadEvent { event: Some(recorded), link: None, position: Some(position) };
    ReadResp { content: Some(read_resp::Content::Event(event)) }
}

pub(crate) fn checkpoint(position: u64) -> ReadResp {
    let checkpoint = read_resp::Checkpoint { commit_position: position, prepare_position: position };
    ReadResp { content: Some(read_resp::Content::Checkpoint(checkpoint)) }
}

pub(crate) fn identifier(stream: &str) -> pb::StreamIdentifier {
    pb::StreamIdentifier { stream_name: Bytes::copy_from_slice(stream.as_bytes()) }
}

pub(crate) fn id(id: Uuid, as_text: bool) -> pb::Uuid {
    let value = if as_text {
        pb::uuid::Value::String(id.to_string())
    } else {
        let (most, least) = id.as_u64_pair();
        pb::uuid::Value::Structured(pb::uuid::Structured {
            most_significant_bits: most.cast_signed(),
            least_significant_bits: least.cast_signed(),
        })
    };
    pb::Uuid { value: Some(value) }
}

pub(crate) fn stream_name(identifier: Option<pb::StreamIdentifier>) -> Result<String, Status> {
    let name = identifier.map(|identifier| identifier.stream_name).unwrap_or_default();
    match String::from_utf8(name.into()) {
        Ok(name) if !name.is_empty() => Ok(name),
        _ => Err(refusals::invalid("the stream's name")),
    }
}

pub(crate) fn proposal(message: append_req::ProposedMessage) -> Result<Proposal, Status> {
    let id = match message.id.and_then(|id| id.value) {
        Some(pb::uuid::Value::Structured(halves)) => Some(Uuid::from_u64_pair(
            halves.most_significant_bits.cast_unsigned(),
            halves.least_significant_bits.cast_unsigned(),
        )),
        Some(pb::uuid::Value::String(text)) => Uuid::try_parse(&text).ok(),
        None => None,
    };
    let property = |key: &str| message.metadata.get(key).cloned().ok_or_else(|| refusals::missing(key));
    Ok(Proposal {
        id: id.ok_or_else(|| refusals::invalid("the event's id"))?,
        kind: property("type")?,
        json: property("content-type")? == "application/json",
        metadata: message.custom_metadata,
        data: message.data,
    })
}

pub(crate) fn appended(outcome: Outcome, expected: Expected, positions: bool) -> AppendResp {
    use append_resp::{success, wrong_expected_version as wrong};

    let empty = pb::Empty {};
    let result = match outcome {
        Outcome::Written { revision, position, .. } => {
            let position = if positions {
                let position =
                    append_resp::Position { commit_position: position, prepare_position: position };
                success::PositionOption::Position(position)
            } else {
                success::PositionOption::NoPosition(empty)
            };
            append_resp::Result::Success(append_resp::Success {
                current_revision_option: Some(success::CurrentRevisionOption::CurrentRevision(revision)),
                position_option: Some(position),
            })
        }
        Outcome::Wrong { current } => {
            use wrong::{
                CurrentRevisionOption, CurrentRevisionOptionOld, ExpectedRevisionOption,
                ExpectedRevisionOptionOld,
            };
            let (new, old) = match expected {
                Expected::Any => (
                    ExpectedRevisionOption::ExpectedAny(empty),
                    Some(ExpectedRevisionOptionOld::AnyOld(empty)),
                ),
                Expected::StreamExists => (
                    ExpectedRevisionOption::ExpectedStreamExists(empty),
                    Some(ExpectedRevisionOptionOld::StreamExistsOld(empty)),
                ),
                Expected::NoStream => (ExpectedRevisionOption::ExpectedNoStream(empty), None),
                Expected::Exact(revision) => (
                    ExpectedRevisionOption::ExpectedRevision(revision),
                    Some(ExpectedRevisionOptionOld::ExpectedRevisionOld(revision)),
                ),
            };
            let (now, then) = match current {
                Some(revision) => (
                    CurrentRevisionOption::CurrentRevision(revision),
                    CurrentRevisionOptionOld::CurrentRevisionOld(revision),
                ),
                None => (
                    CurrentRevisionOption::CurrentNoStream(empty),
                    CurrentRevisionOptionOld::NoStreamOld(empty),
                ),
            };
            append_resp::Result::WrongExpectedVersion(append_resp::WrongExpectedVersion {
                current_revision_option_old: Some(then),
                expected_revision_option_old: old,
                current_revision_option: Some(now),
                expected_revision_option: Some(new),
            })
        }
    };
    AppendResp { result: Some(result) }
}
