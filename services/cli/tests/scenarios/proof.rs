//! What outsiders hold in their hands: a log that was tampered with is found out, and a ticket's file proves itself alone.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use duban_demo::tamper::{self, TamperPlan};
use duban_engine::days::Days;
use duban_engine::runner::{Bounds, Rules, Runner};
use duban_engine::time::VirtualClock;
use duban_history::proof::check_export::CheckedExport;
use duban_history::proof::{check_export, export_ticket};
use duban_log::disk::sim::Dice;
use duban_log::{EventLog, Options, Reader, SegmentedLog};
use duban_proto::event::v1::{Stage, TicketKind};
use duban_tests::inside::Inside;
use duban_tests::script::Case;
use duban_vault::own_ids::OwnIds;
use duban_vault::public_key::PublicKey;
use duban_vault::signing::{KEY_FILE, PUBLIC_FILE, SigningKey};
use serde_json::Value;
use uuid::Uuid;

use crate::program;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_tampers_with_a_log_is_found_out_and_where() {
    let dir = tempfile::tempdir().unwrap();
    let plan = TamperPlan { tickets: 12, attempts: 300, seed: 20_260_302 };
    let report = tamper::run(dir.path(), plan, &|_, _| {}).await.unwrap();
    assert_eq!(report.missed, Vec::<String>::new(), "seed {}", plan.seed);
    assert_eq!((report.found, report.placed), (plan.attempts, plan.attempts), "{report:?}");
    assert_eq!((report.exact, report.kinds.len()), (report.exact_wanted, 11), "{report:?}");
    assert!(report.days > 3 && report.exact_wanted > 90 && report.proven > 100, "{report:?}");
}

fn duban(args: &[&str]) -> Output {
    Command::new(program()).args(["--output", "json"]).args(args).output().expect("the program starts")
}

#[track_caller]
fn answer(args: &[&str], code: i32) -> Value {
    let output = duban(args);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one object")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("plain ASCII")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_ticket_is_exported_beside_the_server_and_checked_with_nothing_but_the_key() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let mut closed = Case::new("proof-1", TicketKind::Fault);
    closed.close(&wire).await;
    let mut open = Case::new("proof-2", TicketKind::Complaint);
    open.bring_to(&wire, Stage::Reply).await;
    inside.size().await;
    let (data, elsewhere) = (inside.directory().join("data"), tempfile::tempdir().unwrap());
    let (file, public) = (elsewhere.path().join("ticket.json"), elsewhere.path().join("signing.pub"));
    let exporting = ["export", &closed.ticket, "--data", text(&data), "--out", text(&file)];
    let early = duban(&exporting);
    assert_eq!(early.status.code(), Some(2), "no day has ended");
    assert!(String::from_utf8_lossy(&early.stderr).contains("no day has ended"));
    inside.clock().set("2026-03-02T16:00:00Z".parse().unwrap()).expect("it is earlier");
    inside.size().await;
    let exported = answer(&exporting, 0);
    assert_eq!((&exported["later"], &exported["head"]["day"]), (&0.into(), &"2026-03-02".into()));
    std::fs::copy(data.join(PUBLIC_FILE), &public).unwrap();

    // What comes after the head is said to be left out; the file stays what it was.
    inside.clock().advance(std::time::Duration::from_secs(20 * 24 * 3_600));
    inside.size().await;
    let later = elsewhere.path().join("open.json");
    let exported = answer(&["export", &open.ticket, "--data", text(&data), "--out", text(&later)], 0);
    assert!(exported["later"].as_u64() > Some(0), "its deadlines fell due today: {exported}");
    inside.stop().await;
    assert!(!data.exists(), "the server and its directory are gone");

    let checked = answer(&["check-export", text(&file), "--key", text(&public)], 0);
    assert_eq!((&checked["ok"], &checked["certified"]), (&true.into(), &true.into()));
    assert_eq!(checked["ticket"], closed.ticket);
    let checked = answer(&["check-export", text(&later), "--key", text(&public)], 0);
    assert_eq!((&checked["ok"], &checked["certified"]), (&true.into(), &false.into()));

    let refused = |file: &Path| answer(&["check-export", text(file), "--key", text(&public)], 1);
    let whole = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, whole.replacen("\"actorId\":\"", "\"actorId\":\"x", 1)).unwrap();
    let told = refused(&file);
    assert_eq!((&told["ok"], &told["problems"][0]["event"]), (&false.into(), &0.into()), "{told}");
    std::fs::write(&file, whole.replace('\n', "")).unwrap();
    assert!(refused(&file)["problems"][0]["reason"].as_str().unwrap().contains("written otherwise"));
    std::fs::write(&file, b"\xFF\xFE").unwrap();
    assert_eq!(refused(&file)["ok"], false);
    let other = elsewhere.path().join("other.pub");
    std::fs::write(&other, SigningKey::ephemeral().unwrap().public().to_pem()).unwrap();
    answer(&["check-export", text(&later), "--key", text(&other)], 1);
    for wrong in [&["check-export", text(&later)][..], &["check-export", text(&data), "--key", text(&public)]]
    {
        assert_eq!(duban(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

/// A generated log whose days are closed, its reader, its tickets and the key's public part.
async fn generated(data: &Path, tickets: &str) -> (Reader, Vec<Uuid>, PublicKey) {
    answer(&["generate", "--data", text(data), "--tickets", tickets, "--seed", "11"], 0);
    let log: Arc<dyn EventLog> =
        Arc::new(SegmentedLog::open(&data.join("log"), Options::default()).expect("the log opens"));
    let clock = VirtualClock::new("2027-01-01T00:00:00Z".parse().expect("a moment"));
    let runner = Runner::new(
        Arc::clone(&log),
        Arc::new(clock),
        Rules::cn_national(),
        OwnIds::new(&[7; 32]),
        Bounds::default(),
    );
    let key = SigningKey::load_or_make(data, None).expect("a key is made");
    assert!(data.join(KEY_FILE).exists());
    let public = key.public();
    Days::new(Arc::new(runner), key).catch_up().await;
    log.close().await.expect("the log closes");
    let reader = Reader::open(&data.join("log")).expect("the log is read");
    let mut tickets = BTreeSet::new();
    let each = |view: &duban_log::View<'_>| {
        tickets.extend(
            view.stream.split_once('-').map(|(_, id)| Uuid::parse_str(id).expect("tickets have ids")),
        );
        Ok::<_, duban_log::Error>(std::ops::ControlFlow::Continue(()))
    };
    reader.scan(each).expect("the log is whole");
    (reader, tickets.into_iter().collect(), public)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_ticket_of_a_log_proves_itself_in_little_and_no_character_and_no_event_is_spared() {
    let data = tempfile::tempdir().unwrap();
    let (reader, tickets, public) = generated(data.path(), "60").await;
    assert_eq!(tickets.len(), 60);
    let fails = |text: &str| {
        let checked = check_export(text, &[public]);
        assert_eq!(checked.ok, checked.problems.is_empty());
        (!checked.ok).then_some(checked)
    };
    for (n, ticket) in tickets.iter().enumerate() {
        let whole = export_ticket(&reader, *ticket, |_| ()).unwrap();
        assert_eq!(fails(&whole.text), None, "{ticket}");
        assert!(whole.text.len() < 100_000 && whole.later == 0, "{ticket}: {} bytes", whole.text.len());
        if n % 15 != 0 {
            continue;
        }
        for event in 0..whole.events {
            let without = without(&whole.text, event);
            let told = fails(&without).unwrap_or_else(|| panic!("{ticket} passes without event {event}"));
            assert!(told.problems.iter().any(|problem| problem.event == Some(event)), "{told:?}");
        }
        let mut dice = Dice::new(n as u64);
        for _ in 0..100 {
            let (altered, line) = altered(&whole.text, &mut dice);
            let told = fails(&altered)
                .unwrap_or_else(|| panic!("{ticket} passes with another character: {altered}"));
            // The event is named, unless what is left is no JSON at all.
            let named = |event| told.problems.iter().any(|problem| problem.event == Some(event));
            assert!(told.ticket.is_none() || line.is_none_or(named), "{line:?}: {:?}", told.problems);
        }
    }
}

/// The file without one of its events, and otherwise as an export writes it.
fn without(text: &str, event: u64) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    let first =
        lines.iter().position(|line| *line == "\"events\":[").expect("events have lines of their own") + 1;
    lines.remove(first + usize::try_from(event).expect("it is small"));
    let last = lines.len() - 2;
    let end = lines[last].trim_end_matches(',');
    lines[last] = end;
    lines.join("\n") + "\n"
}

/// The file with one character that is another; and the event that it stood in, if it did.
fn altered(text: &str, dice: &mut Dice) -> (String, Option<u64>) {
    let characters: Vec<char> = text.chars().collect();
    let at = usize::try_from(dice.below(characters.len() as u64)).expect("it is small");
    let others: Vec<char> =
        "0123456789abcdefABCDEF \"{}[]:,\\\n甲".chars().filter(|c| *c != characters[at]).collect();
    let other = others[usize::try_from(dice.below(others.len() as u64)).expect("it is small")];
    let line = characters[..at].iter().filter(|c| **c == '\n').count();
    let first =
        text.lines().position(|line| line == "\"events\":[").expect("events have lines of their own") + 1;
    let events = text.lines().count() - 1 - first;
    let event = line.checked_sub(first).filter(|event| *event < events).map(|event| event as u64);
    let altered = characters[..at].iter().chain([&other]).chain(&characters[at + 1..]).collect();
    (altered, event)
}

#[test]
fn a_check_says_what_does_not_hold_of_a_file_that_is_none() {
    for text in ["", "{}", "[]", "{\"format\":\"duban ticket export v1\"}"] {
        let CheckedExport { ok, problems, .. } = check_export(text, &[]);
        assert!(!ok && problems[0].reason.contains("no export of a ticket"), "{problems:?}");
    }
}
