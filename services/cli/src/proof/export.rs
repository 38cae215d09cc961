//! One ticket in one file that proves itself: every event unaltered, none left out, as of a signed head.
//!
//! | field | what it is |
//! |---|---|
//! | `format` | `duban ticket export v1` |
//! | `ticket`, `stream` | whose events these are |
//! | `head` | the signed head, bytes in hexadecimal |
//! | `certificate` | the last certificate and the event that holds it, and whether it stands; null where there is none |
//! | `completeness` | how the stream ends, and its path in the tree over streams (`streams_root`), hashes in a row in base64 |
//! | `nodes` | the subtrees beside the events in the tree over all events (`root`), from left to right, in base64 |
//! | `marks` | of each event the first four bytes of its leaf, xor its position, least byte first, in base64: they prove nothing, and tell which event was altered or moved |
//! | `events` | each event's canonical JSON, one a line, told by what is other than in those before it: [`super::lines`] |
//!
//! An event's leaf is the hash of its binary header and its stored bytes, which follow from its canonical JSON; its position is its
//! place in the tree. The file is written in one way only: whoever reads it writes it again and compares. Texts stay sealed.

use std::ops::ControlFlow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use duban_aggregates::ids::TicketId;
use duban_aggregates::intake::Kind;
use duban_aggregates::office;
use duban_aggregates::state::End;
use duban_aggregates::ticket::{self, Ticket};
use duban_codec::{CodecError, Parts};
use duban_log::tree::Hash;
use duban_log::{Direction, Position, Reader, Recorded, StreamName, StreamTree, Whole, leaf_hash};
use duban_proto::event::v1 as pb;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::heads::SignedHeadJson;
use super::lines::Before;
use crate::data;

/// What `format` says.
pub(super) const FORMAT: &str = "duban ticket export v1";

/// Bytes of a leaf that make a mark.
pub(super) const MARK: usize = 4;

/// Events read at a time.
const PAGE: usize = 512;

/// Why a ticket cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// There is no such ticket.
    #[error("there is no ticket {0} here")]
    NoTicket(Uuid),
    /// No head is of it yet.
    #[error(
        "no day has ended since ticket {0} was taken in: it can be exported once a server has closed one, at 00:00 in Shanghai"
    )]
    NoHead(Uuid),
    /// The log is not what its own head says.
    #[error("the log is not what the head of {0} says: `duban verify` tells where")]
    NotTheLog(jiff::civil::Date),
    /// What the JSON says is not all that is stored.
    #[error(
        "event {0} of the ticket cannot be written as JSON without a loss: this program is older than the event"
    )]
    Lossy(u64),
    /// An event cannot be read.
    #[error("event {revision} of the ticket cannot be read")]
    Undecodable {
        /// Its revision.
        revision: u64,
        /// Why.
        source: CodecError,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] duban_log::Error),
}

/// How the stream ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Completeness {
    /// Its last event's revision.
    pub last_revision: u64,
    /// Its place among all streams, by name.
    pub index: u64,
    /// The audit path.
    pub path: String,
}

/// The last certificate of a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateJson {
    /// The event that holds it.
    pub event: String,
    /// The ticket is closed with it; false where it was reopened.
    pub stands: bool,
    /// What it says.
    pub certificate: Value,
}

/// A ticket's file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// [`FORMAT`].
    pub format: String,
    /// The ticket.
    pub ticket: Uuid,
    /// Its stream.
    pub stream: String,
    /// The head by which it is proven.
    pub head: SignedHeadJson,
    /// The last certificate.
    pub certificate: Option<CertificateJson>,
    /// That nothing is left out.
    pub completeness: Completeness,
    /// Subtrees beside the events.
    pub nodes: String,
    /// What tells which event was altered.
    pub marks: String,
    /// The events' lines.
    pub events: Vec<Value>,
}

/// What was exported.
#[derive(Clone, Debug)]
pub struct Exported {
    /// The file.
    pub text: String,
    /// The head by which it is proven.
    pub head: SignedHeadJson,
    /// Events in it.
    pub events: u64,
    /// Events of the ticket that came after the head, and are not in it.
    pub later: u64,
}

/// Exports a ticket as of the last day that was closed.
///
/// # Errors
/// [`ExportError`].
pub fn export(reader: &Reader, id: Uuid, progress: impl Fn(u64)) -> Result<Exported, ExportError> {
    let (stream, all) = events_of(reader, id)?;
    let signed = last_head(reader)?.ok_or(ExportError::NoHead(id))?;
    let size = signed.head.size;
    let events: Vec<_> = all.iter().filter(|event| event.position.get() < size).cloned().collect();
    if events.is_empty() {
        return Err(ExportError::NoHead(id));
    }
    let Whole { tip, index, path } =
        whole(reader, &stream, &signed.head, progress)?.ok_or(ExportError::NotTheLog(signed.head.day))?;
    let positions: Vec<_> = events.iter().map(|event| event.position.get()).collect();
    let nodes = reader.shared_proof(&positions, size)?;
    let (mut before, mut lines, mut marks) = (Before::default(), Vec::new(), Vec::new());
    for event in &events {
        let leaf = leaf_hash(event);
        lines.push(line(&mut before, event, &leaf)?);
        marks.extend_from_slice(&mark(&leaf, event.position.get()));
    }
    let undecodable = |revision, source| ExportError::Undecodable { revision, source };
    let told = certificate(events.iter().map(duban_projections::stored))
        .map_err(|(at, source)| undecodable(at, source))?;
    let export = Export {
        format: FORMAT.to_owned(),
        ticket: id,
        stream: stream.to_string(),
        head: (&signed).into(),
        certificate: told,
        completeness: Completeness { last_revision: tip.revision, index, path: in_a_row(&path) },
        nodes: in_a_row(&nodes),
        marks: STANDARD.encode(marks),
        events: Vec::new(),
    };
    let count = events.len() as u64;
    let later = all.len() as u64 - count;
    Ok(Exported { text: export.render(&lines), head: export.head, events: count, later })
}

impl Export {
    /// The file, of these lines of events.
    pub(super) fn render(&self, events: &[String]) -> String {
        let Self { format, ticket, stream, head, certificate, completeness, nodes, marks, events: _ } = self;
        let fields = [
            ("format", json(format)),
            ("ticket", json(&ticket.to_string())),
            ("stream", json(stream)),
            ("head", json(head)),
            ("certificate", json(certificate)),
            ("completeness", json(completeness)),
            ("nodes", json(nodes)),
            ("marks", json(marks)),
        ];
        let fields: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\":{value},\n")).collect();
        format!("{{\n{}\"events\":[\n{}\n]}}\n", fields.concat(), events.join(",\n"))
    }
}

fn json(value: &impl Serialize) -> String {
    // Plain structs with names for keys: nothing in them can fail.
    serde_json::to_string(value).unwrap_or_default()
}

/// Hashes in a row.
fn in_a_row(hashes: &[Hash]) -> String {
    STANDARD.encode(hashes.concat())
}

/// The hashes of a row; none where it is something else.
pub(super) fn hashes(row: &str) -> Option<Vec<Hash>> {
    let bytes = STANDARD.decode(row).ok()?;
    let (hashes, rest) = bytes.as_chunks::<32>();
    rest.is_empty().then(|| hashes.to_vec())
}

/// What tells an event with its place from others.
pub(super) fn mark(leaf: &Hash, position: u64) -> [u8; MARK] {
    let place = position.to_le_bytes();
    std::array::from_fn(|n| leaf[n] ^ place[n])
}

/// An event's line, of which its leaf follows.
fn line(before: &mut Before, event: &Recorded, leaf: &Hash) -> Result<String, ExportError> {
    let revision = event.revision;
    let undecodable = |source| ExportError::Undecodable { revision, source };
    let envelope = duban_codec::to_event(&duban_projections::stored(event)).map_err(undecodable)?;
    let json = duban_codec::to_json(&envelope).map_err(undecodable)?;
    let again = leaf_of(envelope).map_err(undecodable)?;
    if again.is_none_or(|(_, again)| again != *leaf) {
        return Err(ExportError::Lossy(revision));
    }
    // The codec has just written it.
    let json = serde_json::from_str(&json).unwrap_or_default();
    before.shorten(&json).map_err(|_| ExportError::Lossy(revision))
}

/// What a log keeps of an envelope, and the leaf of that; none where no log would take its stream.
pub(super) fn leaf_of(envelope: pb::Event) -> Result<Option<(Parts, Hash)>, CodecError> {
    let parts = duban_codec::from_event(envelope)?;
    let Ok(stream) = StreamName::new(parts.stream.as_str()) else { return Ok(None) };
    let recorded = Recorded {
        position: Position::new(parts.position.unwrap_or_default()),
        stream,
        revision: parts.revision,
        id: parts.id,
        kind: parts.kind.into(),
        occurred_at: parts.occurred_at,
        recorded_at: parts.recorded_at,
        tags: parts.tags.clone(),
        metadata: parts.metadata.clone(),
        payload: parts.payload.clone(),
    };
    let leaf = leaf_hash(&recorded);
    Ok(Some((parts, leaf)))
}

/// The last certificate of a ticket's events, told with the event that holds it.
///
/// # Errors
/// The revision of the event that cannot be read, and why.
pub(super) fn certificate<'e>(
    events: impl Iterator<Item = duban_codec::StoredEvent<'e>>,
) -> Result<Option<CertificateJson>, (u64, CodecError)> {
    let (mut ticket, mut told): (Option<Ticket>, _) = (None, None);
    for event in events {
        let undecodable = |source| (event.revision, source);
        let decoded = duban_codec::decode_ticket(event.kind, event.payload).map_err(undecodable)?;
        let meta = duban_codec::decode_meta(&event).map_err(undecodable)?;
        let before = ticket.as_ref().and_then(|ticket| ticket.certificate);
        ticket = ticket::evolve(ticket, &decoded, &meta);
        let now = ticket.as_ref().and_then(|ticket| ticket.certificate);
        if now != before && now == Some(meta.id) {
            let envelope = duban_codec::to_event(&event).map_err(undecodable)?;
            let json = duban_codec::to_json(&envelope).map_err(undecodable)?;
            // The codec has just written it.
            let json: Value = serde_json::from_str(&json).unwrap_or_default();
            told = json.pointer("/chainClosed/certificate").cloned().map(|held| (meta.id, held));
        }
    }
    let stands = ticket.is_some_and(|ticket| ticket.ended.is_some_and(|ended| ended.how == End::Closed));
    Ok(told.map(|(event, certificate)| CertificateJson { event: event.to_string(), stands, certificate }))
}

/// The streams that a ticket may have.
pub(super) fn streams(id: Uuid) -> Result<Vec<StreamName>, duban_log::Error> {
    [Kind::Complaint, Kind::Fault, Kind::Install]
        .into_iter()
        .map(|kind| data::ticket_stream(kind, TicketId(id)))
        .collect()
}

fn events_of(reader: &Reader, id: Uuid) -> Result<(StreamName, Vec<Recorded>), ExportError> {
    for stream in streams(id)? {
        let mut events = Vec::new();
        loop {
            let page = reader.read_stream(&stream, events.len() as u64, Direction::Forward, PAGE)?;
            let more = page.len() == PAGE;
            events.extend(page);
            if !more {
                break;
            }
        }
        if !events.is_empty() {
            return Ok((stream, events));
        }
    }
    Err(ExportError::NoTicket(id))
}

fn last_head(reader: &Reader) -> Result<Option<office::SignedHead>, ExportError> {
    let stream = StreamName::new(office::STREAM)?;
    let last = reader.read_stream(&stream, u64::MAX, Direction::Backward, 1)?;
    let Some(event) = last.first() else { return Ok(None) };
    match duban_codec::decode_office(&event.kind, &event.payload) {
        Ok(office::Event::DayClosed(signed)) => Ok(Some(signed)),
        Err(source) => Err(ExportError::Undecodable { revision: event.revision, source }),
    }
}

/// How a stream ends at a head, by one look at all events below it; none where the log is not what the head says.
fn whole(
    reader: &Reader,
    stream: &StreamName,
    head: &office::DayHead,
    progress: impl Fn(u64),
) -> Result<Option<Whole>, ExportError> {
    let mut streams = StreamTree::default();
    let mut at = 0;
    reader.scan(|view| {
        at = view.position.get();
        if at >= head.size {
            return Ok::<_, duban_log::Error>(ControlFlow::Break(()));
        }
        if at.is_multiple_of(4_096) {
            progress(at);
        }
        streams.push(view.stream, view.revision, view.leaf_hash());
        Ok(ControlFlow::Continue(()))
    })?;
    let same = reader.root_at(head.size)? == head.root
        && (streams.len(), streams.root()) == (head.streams, head.streams_root);
    Ok(if same { streams.whole(stream.as_str()) } else { None })
}
