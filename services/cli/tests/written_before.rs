//! Two data directories that an earlier version wrote: what is stored holds from then on, byte by byte and root by root.
//!
//! `city` is the demo's: 59 tickets, every end among them. `generated` holds 141 more, and a month of signed days. The
//! answers beside them are the earlier version's own. Bytes, roots, heads and patterns never change; rows may, where a read
//! model is meant to hold something else: then its version rises and the digest here follows, in one commit that says why.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::path::{Path, PathBuf};
use std::process::Command;

use duban_aggregates::{customer, edition, emergency, notice, office, problem, ticket};
use duban_codec::Stored;
use duban_log::{Direction, Filter, Position, Reader, StreamName};
use serde_json::{Value, json};
use tempfile::TempDir;

const WRITTEN: &[&str] = &["city", "generated"];

/// Events read at a time.
const PAGE: usize = 1024;

struct Before {
    name: &'static str,
    directory: TempDir,
    answers: Value,
}

impl Before {
    fn unpack(name: &'static str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let archive = kept(name, "tar.gz");
        let unpacked =
            Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(directory.path()).status().unwrap();
        assert!(unpacked.success(), "{name} cannot be unpacked");
        let answers = serde_json::from_slice(&std::fs::read(kept(name, "json")).unwrap()).unwrap();
        Self { name, directory, answers }
    }

    fn data(&self) -> &Path {
        self.directory.path()
    }

    /// What a verb answers about the directory, where it says that all is well.
    #[track_caller]
    fn ask(&self, verb: &[&str], more: &[&str]) -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_duban"));
        command.args(["--output", "json"]).args(verb).arg("--data").arg(self.data()).args(more);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {verb:?}: {said}", self.name);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    #[track_caller]
    fn same(&self, answer: &Value, fields: &[&str]) {
        for field in fields {
            assert_eq!(answer[field], self.answers[field], "{}: {field}", self.name);
        }
    }
}

fn kept(name: &str, extension: &str) -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/written_before");
    beside.join(name).with_extension(extension)
}

/// An event's stored bytes, read into the domain's event and written again.
fn stored_again(stream: &StreamName, kind: &str, payload: &[u8]) -> (&'static str, Vec<u8>) {
    fn again<E: Stored>(kind: &str, payload: &[u8]) -> (&'static str, Vec<u8>) {
        E::decode(kind, payload).unwrap().encode()
    }
    match stream.as_str().split('-').next().unwrap() {
        "complaint" | "fault" | "install" => again::<ticket::Event>(kind, payload),
        "customer" => again::<customer::Event>(kind, payload),
        "problem" => again::<problem::Event>(kind, payload),
        "notice" => again::<notice::Event>(kind, payload),
        "office" => again::<office::Event>(kind, payload),
        "policy" => again::<edition::Event>(kind, payload),
        "emergency" => again::<emergency::Event>(kind, payload),
        other => panic!("no stream of this version begins with {other}"),
    }
}

#[test]
fn a_log_written_before_verifies_against_the_heads_it_had_and_was_signed_with() {
    for name in WRITTEN {
        let before = Before::unpack(name);
        let head = kept(name, "json");
        let verified = before.ask(&["verify"], &["--head", head.to_str().unwrap()]);
        before.same(&verified, &["events", "groups", "days", "head", "signed_head"]);
    }
}

#[test]
fn a_log_written_before_folds_into_the_same_rows_and_patterns() {
    for name in WRITTEN {
        let before = Before::unpack(name);
        let rebuilt = before.ask(&["projections", "rebuild", "--all"], &[]);
        let rows: Vec<Value> = rebuilt["projections"]
            .as_array()
            .unwrap()
            .iter()
            .map(|view| json!({"name": view["name"], "rows": view["rows"], "digest": view["after"]}))
            .collect();
        assert_eq!(Value::Array(rows), before.answers["rows"], "{name}");
        let replayed = before.ask(&["replay"], &[]);
        before.same(&replayed, &["events", "tickets"]);
        assert_eq!(replayed["differences"], json!([]), "{name}");
        let patterns = before.ask(&["conformance"], &[]);
        before.same(&patterns, &["patterns"]);
    }
}

#[test]
fn what_was_stored_before_is_what_would_be_stored_now() {
    for name in WRITTEN {
        let before = Before::unpack(name);
        let reader = Reader::open(&before.data().join("log")).unwrap();
        let (mut at, mut events): (Option<Position>, u64) = (None, 0);
        loop {
            let page = reader.read_all(at, Direction::Forward, &Filter::all(), PAGE).unwrap();
            for event in &page.events {
                let again = stored_again(&event.stream, &event.kind, &event.payload);
                assert_eq!(again, (&*event.kind, event.payload.to_vec()), "{name}: {}", event.stream);
                events += 1;
            }
            at = page.next.or(at);
            if page.end {
                break;
            }
        }
        assert_eq!(json!(events), before.answers["events"], "{name}");
    }
}
