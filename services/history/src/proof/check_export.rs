//! Checking a ticket's file with nothing but the file and a public key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use duban_aggregates::office::DayHead;
use duban_codec::{CodecError, Parts, stored_payload};
use duban_log::StreamTip;
use duban_log::tree::{self, Hash};
use duban_vault::public_key::PublicKey;
use serde::Serialize;
use serde_json::Value;

use super::event_lines::EventLines;
use super::export_file::{Completeness, ExportFile, FORMAT, MARK, certificate, hashes, leaf_of, mark};
use super::signed_head::{SignedHeadJson, signed_by};

/// Something in a file that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExportProblem {
    /// The event that it is about, by its revision, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<u64>,
    /// What does not hold.
    pub reason: String,
}

/// What a check came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CheckedExport {
    /// Every event is unaltered and none is left out.
    pub ok: bool,
    /// The ticket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// Events in the file.
    pub events: u64,
    /// The head by which it is proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<SignedHeadJson>,
    /// The ticket is closed with a certificate.
    pub certified: bool,
    /// What does not hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<ExportProblem>,
    /// The events in canonical JSON, as far as they can be read.
    #[serde(skip)]
    pub canonical: Vec<String>,
}

/// Checks a file: the head's signature, every event's place under it, that none is left out, and that nothing else was said.
#[must_use]
pub fn check_export(text: &str, keys: &[PublicKey]) -> CheckedExport {
    let export: ExportFile = match serde_json::from_str(text) {
        Ok(export) => export,
        Err(error) => {
            let reason = format!("the file is no export of a ticket: {error}");
            let problems = vec![ExportProblem { event: None, reason }];
            return CheckedExport { problems, ..CheckedExport::default() };
        }
    };
    let mut check = ExportCheck { export: &export, problems: Vec::new() };
    let canonical = check.all(text, keys);
    let problems = check.problems;
    CheckedExport {
        ok: problems.is_empty(),
        ticket: Some(export.ticket.to_string()),
        events: export.events.len() as u64,
        certified: export.certificate.as_ref().is_some_and(|certificate| certificate.stands),
        head: Some(export.head),
        problems,
        canonical,
    }
}

/// An event as the file has it, and what a log would make of it.
struct CheckedEvent {
    json: String,
    canonical: Value,
    line: String,
    parts: Parts,
    leaf: Hash,
}

struct ExportCheck<'e> {
    export: &'e ExportFile,
    problems: Vec<ExportProblem>,
}

impl ExportCheck<'_> {
    fn wrong(&mut self, event: Option<u64>, reason: impl Into<String>) {
        self.problems.push(ExportProblem { event, reason: reason.into() });
    }

    fn all(&mut self, text: &str, keys: &[PublicKey]) -> Vec<String> {
        let export = self.export;
        if export.format != FORMAT {
            self.wrong(None, format!("its format is {:?} and not {FORMAT:?}", export.format));
        }
        let kind = export.stream.strip_suffix(&format!("-{}", export.ticket));
        if !kind.is_some_and(|kind| ["complaint", "fault", "install"].contains(&kind)) {
            self.wrong(None, "its stream is not that of its ticket");
        }
        let events = self.events();
        match export.head.read() {
            Some(signed) => {
                if let Err(reason) = signed_by(keys, &signed) {
                    self.wrong(None, format!("the head {reason}"));
                }
                if events.len() == export.events.len() {
                    self.proofs(&signed.head, &events);
                    self.certificate(&events);
                    self.written_once(text, &events);
                }
            }
            None => self.wrong(None, "its head is no signed head"),
        }
        events.into_iter().map(|event| event.json).collect()
    }

    /// Reads the events, up to the first that cannot be read.
    fn events(&mut self) -> Vec<CheckedEvent> {
        let export = self.export;
        let marks = STANDARD.decode(&export.marks).unwrap_or_default();
        let mut marks = marks.chunks(MARK);
        let (mut read, mut again, mut events) = (EventLines::default(), EventLines::default(), Vec::new());
        for (n, line) in (0_u64..).zip(&export.events) {
            let event = match read_event(line, &mut read, &mut again) {
                Ok(event) => event,
                Err(reason) => {
                    self.wrong(Some(n), reason);
                    return events;
                }
            };
            if event.parts.stream != export.stream {
                self.wrong(Some(n), format!("is of stream {}", event.parts.stream));
            }
            if event.parts.revision != n {
                self.wrong(
                    Some(n),
                    format!("is missing: event {} stands in its place", event.parts.revision),
                );
            }
            if marks.next() != Some(&mark(&event.leaf, event.parts.position.unwrap_or_default())[..]) {
                self.wrong(
                    Some(n),
                    "does not fit its mark: one of the two was altered, or an event is left out before it",
                );
            }
            events.push(event);
        }
        let (count, wanted) = (events.len() as u64, export.completeness.last_revision.saturating_add(1));
        if count < wanted {
            self.wrong(Some(count), format!("is missing: {count} of {wanted} events are here"));
        } else if count > wanted || marks.next().is_some() {
            self.wrong(None, format!("{wanted} events are told, and {count} or as many marks are here"));
        }
        events
    }

    /// What is signed: that these events are in the log, and that they are all of the stream.
    fn proofs(&mut self, head: &DayHead, events: &[CheckedEvent]) {
        let export = self.export;
        let (Some(nodes), Some(path)) = (hashes(&export.nodes), hashes(&export.completeness.path)) else {
            return self.wrong(None, "its nodes or its path are no hashes in base64");
        };
        let leaf = |event: &CheckedEvent| Some((event.parts.position?, event.leaf));
        let leaves: Vec<_> = events.iter().filter_map(leaf).collect();
        let root = tree::shared_root(&leaves, head.size, &nodes);
        if leaves.len() != events.len() || root != Some(head.root) {
            let reason =
                "the events, where they stand, and the nodes beside them do not make the root that is signed";
            self.wrong(None, reason);
        }
        let Some(last) = events.last() else { return };
        let Completeness { last_revision, index, .. } = export.completeness;
        let tip = StreamTip { revision: last_revision, leaf: last.leaf }.leaf_hash(&export.stream);
        if !tree::verify_inclusion(&tip, index, head.streams, &path, &head.streams_root) {
            let reason = "the stream does not end as the signed root over all streams says: events are left out or altered";
            self.wrong(None, reason);
        }
    }

    fn certificate(&mut self, events: &[CheckedEvent]) {
        let found = certificate(events.iter().map(|event| (event.parts.id, &event.canonical)));
        if found != self.export.certificate {
            self.wrong(None, "its certificate is not the one that the events hold");
        }
        for proof in found.iter().flat_map(|found| proofs(&found.certificate)) {
            if !events.iter().any(|event| event.parts.id.to_string() == proof) {
                let reason = format!("its certificate names event {proof}, which the ticket does not have");
                self.wrong(None, reason);
            }
        }
    }

    /// Whatever else was altered, a blank even, is not what an export writes.
    fn written_once(&mut self, text: &str, events: &[CheckedEvent]) {
        let lines: Vec<_> = events.iter().map(|event| event.line.clone()).collect();
        let again = self.export.render(&lines);
        if again == text {
            return;
        }
        let at = again.lines().zip(text.lines()).take_while(|(again, there)| again == there).count();
        let first = again.lines().position(|line| line == "\"events\":[").map_or(usize::MAX, |line| line + 1);
        let event = at.checked_sub(first).filter(|event| *event < events.len()).map(|event| event as u64);
        let line = at + 1;
        self.wrong(event, format!("line {line} of the file is written otherwise than an export writes it"));
    }
}

/// Reads a line, and writes it again; else why it cannot be read.
fn read_event(line: &Value, lines: &mut EventLines, again: &mut EventLines) -> Result<CheckedEvent, String> {
    let read = |error: CodecError| format!("cannot be read: {}", duban_codec::with_causes(&error));
    let event = lines.expand(line).map_err(|error| error.to_string())?;
    let mut envelope = duban_codec::from_json(&event.to_string()).map_err(read)?;
    if let Some(payload) = &envelope.payload {
        stored_payload(payload).0.clone_into(&mut envelope.r#type);
    }
    let json = duban_codec::to_json(&envelope).map_err(read)?;
    // The codec has just written it.
    let canonical: Value = serde_json::from_str(&json).unwrap_or_default();
    let line = again.shorten(&canonical).map_err(|error| error.to_string())?;
    let (parts, leaf) = leaf_of(envelope).map_err(read)?.ok_or("is of a stream that no log has")?;
    Ok(CheckedEvent { json, canonical, line, parts, leaf })
}

/// The events by which a certificate proves its gates.
fn proofs(certificate: &Value) -> Vec<String> {
    let gates = certificate.get("gates").and_then(Value::as_array).into_iter().flatten();
    let proofs = gates.filter_map(|gate| gate.get("proof")?.as_array()).flatten();
    proofs.filter_map(|proof| proof.as_str().map(str::to_owned)).collect()
}
