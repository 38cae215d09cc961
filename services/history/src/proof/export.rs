//! Writing one ticket into a file that proves itself: every event unaltered, none left out, as of a signed head. What the file holds
//! is in [`super::export_file`].

use std::ops::ControlFlow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use duban_aggregates::office;
use duban_codec::CodecError;
use duban_log::tree::Hash;
use duban_log::{Direction, Reader, Recorded, StreamName, StreamProof, StreamTree, leaf_hash};
use serde_json::Value;
use uuid::Uuid;

use super::event_lines::EventLines;
use super::export_file::{Completeness, ExportFile, FORMAT, certificate, in_a_row, leaf_of, mark};
use super::signed_head::SignedHeadJson;
use crate::ticket_history::ticket_events;

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

/// What was exported.
#[derive(Clone, Debug)]
pub struct ExportedTicket {
    /// The file.
    pub text: String,
    /// The head by which it is proven.
    pub head: SignedHeadJson,
    /// Events in it.
    pub events: u64,
    /// Events of the ticket that came after the head, and are not in it.
    pub later: u64,
}

/// Exports a ticket as of the last day that was closed. `progress` is told up to which event the log was looked at.
///
/// # Errors
/// [`ExportError`].
pub fn export_ticket(
    reader: &Reader,
    id: Uuid,
    progress: impl Fn(u64),
) -> Result<ExportedTicket, ExportError> {
    let (stream, all) = ticket_events(reader, id)?.ok_or(ExportError::NoTicket(id))?;
    let signed = last_head(reader)?.ok_or(ExportError::NoHead(id))?;
    let size = signed.head.size;
    let events: Vec<_> = all.iter().filter(|event| event.position.get() < size).cloned().collect();
    if events.is_empty() {
        return Err(ExportError::NoHead(id));
    }
    let StreamProof { tip, index, path } =
        whole(reader, &stream, &signed.head, progress)?.ok_or(ExportError::NotTheLog(signed.head.day))?;
    let positions: Vec<_> = events.iter().map(|event| event.position.get()).collect();
    let nodes = reader.shared_proof(&positions, size)?;
    let (mut shortened, mut lines, mut marks) = (EventLines::default(), Vec::new(), Vec::new());
    let mut canonical = Vec::new();
    for event in &events {
        let leaf = leaf_hash(event);
        let json = json_of(event, &leaf)?;
        lines.push(shortened.shorten(&json).map_err(|_| ExportError::Lossy(event.revision))?);
        marks.extend_from_slice(&mark(&leaf, event.position.get()));
        canonical.push((event.id, json));
    }
    let export = ExportFile {
        format: FORMAT.to_owned(),
        ticket: id,
        stream: stream.to_string(),
        head: (&signed).into(),
        certificate: certificate(canonical.iter().map(|(id, json)| (*id, json))),
        completeness: Completeness { last_revision: tip.revision, index, path: in_a_row(&path) },
        nodes: in_a_row(&nodes),
        marks: STANDARD.encode(marks),
        events: Vec::new(),
    };
    let count = events.len() as u64;
    let later = all.len() as u64 - count;
    Ok(ExportedTicket { text: export.render(&lines), head: export.head, events: count, later })
}

/// An event's canonical JSON, of which its leaf follows.
fn json_of(event: &Recorded, leaf: &Hash) -> Result<Value, ExportError> {
    let revision = event.revision;
    let undecodable = |source| ExportError::Undecodable { revision, source };
    let envelope = duban_codec::to_event(&duban_projections::stored(event)).map_err(undecodable)?;
    let json = duban_codec::to_json(&envelope).map_err(undecodable)?;
    let again = leaf_of(envelope).map_err(undecodable)?;
    if again.is_none_or(|(_, again)| again != *leaf) {
        return Err(ExportError::Lossy(revision));
    }
    // The codec has just written it.
    Ok(serde_json::from_str(&json).unwrap_or_default())
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
) -> Result<Option<StreamProof>, ExportError> {
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
    Ok(if same { streams.prove(stream.as_str()) } else { None })
}

#[cfg(test)]
mod tests {
    use duban_aggregates::sealed::Sealed;
    use duban_aggregates::ticket::state::End;
    use duban_aggregates::ticket::{self, Ticket};
    use duban_log::Position;
    use duban_projections::{ticket_stream, ticket_to_store};
    use duban_sample_tickets::walker::Walker;

    use super::*;
    use crate::proof::export_file::CertificateJson;

    /// The certificate as the ticket's fold has it.
    fn folded(events: &[Recorded]) -> Option<(String, bool)> {
        let (mut ticket, mut last): (Option<Ticket>, _) = (None, None);
        for event in events {
            let happened = duban_projections::ticket_event(event).unwrap();
            ticket = ticket::evolve(ticket, &happened, &duban_projections::meta(event).unwrap());
            last = ticket.as_ref().and_then(|ticket| ticket.certificate).or(last);
        }
        let stands = ticket.is_some_and(|ticket| ticket.ended.is_some_and(|ended| ended.how == End::Closed));
        last.map(|event| (event.to_string(), stands))
    }

    #[test]
    fn the_certificate_that_the_events_json_says_is_the_one_of_the_fold_after_every_event() {
        let mut walker = Walker::new(11);
        let (mut standing, mut undone) = (0, 0);
        for _ in 0..60 {
            let customer = walker.customer();
            let seal = |text: &str| Sealed { customer, nonce: [0; 12], ciphertext: vec![0; text.len() + 16] };
            let history = walker.history(customer, &seal);
            let (events, ticket) = ticket_to_store(history.iter().map(|(meta, event)| (meta, event)), "");
            let ticket = ticket.unwrap();
            let stream = ticket_stream(ticket.kind(), ticket.id()).unwrap();
            let recorded = |(revision, event): (u64, duban_log::NewEvent)| Recorded {
                position: Position::new(revision),
                stream: stream.clone(),
                revision,
                id: event.id,
                kind: event.kind,
                occurred_at: event.occurred_at,
                recorded_at: event.recorded_at,
                tags: event.tags,
                metadata: event.metadata,
                payload: event.payload,
            };
            let events: Vec<_> = (0..).zip(events).map(recorded).collect();
            let json = |event: &Recorded| (event.id, json_of(event, &leaf_hash(event)).unwrap());
            let json: Vec<_> = events.iter().map(json).collect();
            for end in 1..=events.len() {
                let found = certificate(json[..end].iter().map(|(id, json)| (*id, json)));
                let found = found.map(|CertificateJson { event, stands, .. }| (event, stands));
                assert_eq!(found, folded(&events[..end]));
                standing += u64::from(found.as_ref().is_some_and(|(_, stands)| *stands));
                undone += u64::from(found.is_some_and(|(_, stands)| !stands));
            }
        }
        assert!(standing > 0 && undone > 0, "{standing} {undone}");
    }
}
