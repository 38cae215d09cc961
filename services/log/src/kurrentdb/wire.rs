//! An event as it lies on the server, and back.

use std::sync::Arc;

use bytes::Bytes;
use eventstore::{EventData, ResolvedEvent};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::transcode::{Json, Reason, Stored, Transcode};
use crate::header;
use crate::tree::Hash;
use crate::{Damage, Error, NewEvent, Position, Recorded, StreamName};

const OCCURRED_AT: &str = "occurredAtMicroseconds";
const RECORDED_AT: &str = "recordedAtMicroseconds";
const TAGS: &str = "tags";

/// An event as the server gave it, nothing read yet.
#[derive(Debug, Clone)]
pub(super) struct Raw {
    /// Where it is in `$all`; reads of a stream need not say.
    pub(super) commit: Option<u64>,
    /// The stream's whole name there.
    pub(super) stream: String,
    pub(super) revision: u64,
    pub(super) id: Uuid,
    pub(super) kind: String,
    pub(super) data: Bytes,
    pub(super) metadata: Bytes,
}

impl Raw {
    pub(super) fn bytes(&self) -> usize {
        self.data.len() + self.metadata.len()
    }

    /// None for a link, whose event is gone.
    pub(super) fn new(resolved: ResolvedEvent) -> Option<Self> {
        let commit = resolved.commit_position;
        let event = resolved.event?;
        Some(Self {
            commit: commit.filter(|&commit| commit != u64::MAX),
            stream: event.stream_id,
            revision: event.revision,
            id: event.id,
            kind: event.event_type,
            data: event.data,
            metadata: event.custom_metadata,
        })
    }
}

/// What the server is given of an event.
pub(super) fn to_server(event: &NewEvent, transcode: &dyn Transcode) -> Result<EventData, Error> {
    let refused = |reason: Reason| Error::invalid("event", format!("has no JSON form: {reason}"));
    let stored = Stored { metadata: event.metadata.clone(), payload: event.payload.clone() };
    let json = transcode.to_json(&event.kind, &stored).map_err(refused)?;
    // The leaves are made of these bytes: what would come back otherwise must not be written.
    if transcode.to_stored(&event.kind, json.clone()).map_err(refused)? != stored {
        return Err(refused("its bytes do not come back from it".into()));
    }
    let Json { data, mut metadata } = json;
    let tags =
        event.tags.iter().map(|(k, v)| Value::from(vec![Value::from(&**k), Value::from(&**v)])).collect();
    for (key, value) in [
        // As text, as 64-bit integers are in canonical JSON: a reader's numbers may be floats.
        (OCCURRED_AT, Value::from(event.occurred_at.to_string())),
        (RECORDED_AT, Value::from(event.recorded_at.to_string())),
        (TAGS, Value::Array(tags)),
    ] {
        if metadata.insert(key.to_owned(), value).is_some() {
            return Err(refused(format!("its metadata says {key}").into()));
        }
    }
    let data: &RawValue = serde_json::from_slice(&data).map_err(|e| refused(e.into()))?;
    EventData::json(&*event.kind, &data)
        .and_then(|data| data.id(event.id).metadata_as_json(&metadata))
        .map_err(|e| refused(e.into()))
}

/// What the server gave, read, with its leaf.
pub(super) fn from_server(
    raw: Raw,
    position: Position,
    namespace: &str,
    transcode: &dyn Transcode,
) -> Result<(Recorded, Hash), Error> {
    let (stream, revision) = (raw.stream.clone(), raw.revision);
    let read = move || -> Result<Recorded, Reason> {
        let name = raw.stream.strip_prefix(namespace).ok_or("its stream is not the log's")?;
        let mut metadata: Map<String, Value> = serde_json::from_slice(&raw.metadata)?;
        let mut take =
            |key: &str| metadata.remove(key).ok_or_else(|| format!("its metadata does not say {key}"));
        let number = |value: Value| -> Result<i64, Reason> {
            Ok(value.as_str().ok_or("its metadata has a time that is not text")?.parse()?)
        };
        let (occurred_at, recorded_at) = (number(take(OCCURRED_AT)?)?, number(take(RECORDED_AT)?)?);
        let tags: Vec<(Arc<str>, Arc<str>)> = serde_json::from_value::<Vec<(String, String)>>(take(TAGS)?)?
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()))
            .collect();
        let Stored { metadata, payload } =
            transcode.to_stored(&raw.kind, Json { data: raw.data, metadata })?;
        let event =
            NewEvent { id: raw.id, kind: raw.kind.into(), occurred_at, recorded_at, tags, metadata, payload };
        event.check()?;
        Ok(Recorded::new(position.get(), StreamName::new(name)?, raw.revision, event))
    };
    let recorded = read().map_err(|reason| Damage {
        segment: "$all".to_owned(),
        offset: position.get(),
        position,
        reason: format!("event {revision} of {stream} is none of the log's: {reason}"),
    })?;
    let leaf = header::leaf_hash(&recorded);
    Ok((recorded, leaf))
}

/// Reads many, in order, on several cores when there is enough to do.
pub(super) async fn from_server_all(
    raws: Vec<(Raw, Position)>,
    namespace: &Arc<str>,
    transcode: &Arc<dyn Transcode>,
) -> Result<Vec<(Recorded, Hash)>, Error> {
    const WORTH_A_CORE: usize = 64;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let part = raws.len().div_ceil(cores).max(WORTH_A_CORE);
    if raws.len() <= part {
        return raws.into_iter().map(|(raw, at)| from_server(raw, at, namespace, &**transcode)).collect();
    }
    let (mut raws, mut tasks) = (raws, Vec::new());
    while !raws.is_empty() {
        let rest = raws.split_off(part.min(raws.len()));
        let part = std::mem::replace(&mut raws, rest);
        let (namespace, transcode) = (Arc::clone(namespace), Arc::clone(transcode));
        tasks.push(tokio::task::spawn_blocking(move || {
            part.into_iter()
                .map(|(raw, at)| from_server(raw, at, &namespace, &*transcode))
                .collect::<Result<Vec<_>, _>>()
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        let part = task.await.map_err(|e| Error::io("read events")(std::io::Error::other(e)))?;
        all.extend(part?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::super::Plain;
    use super::*;
    use crate::contract::{event, is};

    fn raw(new: &NewEvent) -> Raw {
        let stored = Stored { metadata: new.metadata.clone(), payload: new.payload.clone() };
        let Json { data, mut metadata } = Plain.to_json(&new.kind, &stored).unwrap();
        metadata.insert(OCCURRED_AT.to_owned(), new.occurred_at.to_string().into());
        metadata.insert(RECORDED_AT.to_owned(), new.recorded_at.to_string().into());
        let tags: Vec<_> = new.tags.iter().map(|(k, v)| vec![k.to_string(), v.to_string()]).collect();
        metadata.insert(TAGS.to_owned(), tags.into());
        Raw {
            commit: Some(7),
            stream: "x-office".to_owned(),
            revision: 3,
            id: new.id,
            kind: new.kind.to_string(),
            data,
            metadata: serde_json::to_vec(&metadata).unwrap().into(),
        }
    }

    #[test]
    fn what_is_none_of_the_logs_is_named() {
        let raw = raw(&event(5));
        let (recorded, _) = from_server(raw.clone(), Position::new(7), "x-", &Plain).unwrap();
        assert!(is(&recorded, &event(5)) && recorded.stream.as_str() == "office" && recorded.revision == 3);
        let check = |raw: Raw, reason: &str| match from_server(raw, Position::new(7), "x-", &Plain) {
            Err(Error::Damaged(damage)) => {
                assert_eq!((&*damage.segment, damage.position), ("$all", Position::new(7)));
                assert!(damage.reason.contains(reason), "{damage}");
            }
            other => panic!("{other:?}"),
        };
        check(Raw { stream: "office".to_owned(), ..raw.clone() }, "stream");
        check(Raw { metadata: Bytes::from_static(b"{}"), ..raw.clone() }, "occurredAtMicroseconds");
        check(Raw { metadata: Bytes::new(), ..raw.clone() }, "EOF");
        check(Raw { data: Bytes::from_static(b"{}"), ..raw.clone() }, "bytes");
        check(Raw { kind: String::new(), ..raw }, "empty");
    }
}
