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
//! | `events` | each event's canonical JSON, one a line, told by what is other than in those before it: [`super::event_lines`] |
//!
//! An event's leaf is the hash of its binary header and its stored bytes, which follow from its canonical JSON; its position is its
//! place in the tree. The file is written in one way only: whoever reads it writes it again and compares. Texts stay sealed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use duban_codec::{CodecError, Parts};
use duban_log::tree::Hash;
use duban_log::{Position, Recorded, StreamName, leaf_hash};
use duban_proto::event::v1 as pb;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::signed_head::SignedHeadJson;

/// What `format` says.
pub(super) const FORMAT: &str = "duban ticket export v1";

/// Bytes of a leaf that make a mark.
pub(super) const MARK: usize = 4;

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
pub struct ExportFile {
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

impl ExportFile {
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
pub(super) fn in_a_row(hashes: &[Hash]) -> String {
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

/// The last certificate of a ticket, told with the event that holds it: of the events' canonical JSON, each with its id.
///
/// Only closing gives a certificate, and only reopening undoes that; a test holds this against the ticket's fold.
pub(super) fn certificate<'e>(events: impl Iterator<Item = (Uuid, &'e Value)>) -> Option<CertificateJson> {
    let mut last: Option<CertificateJson> = None;
    for (id, event) in events {
        if let Some(certificate) = event.pointer("/chainClosed/certificate") {
            let (event, certificate) = (id.to_string(), certificate.clone());
            last = Some(CertificateJson { event, stands: true, certificate });
        } else if let (Some(last), Some(_)) = (&mut last, event.get("chainReopened")) {
            last.stands = false;
        }
    }
    last
}
