//! Histories that auditors can trust: every past, two moments compared, verdicts recomputed, findings, replay beside the live read
//! models.

use std::path::Path;
use std::process::{Command, Output};

use duban_aggregates::ids::EventId;
use duban_client::{TokenHolder, Tokens};
use duban_proto::api::v1 as api;
use duban_proto::event::v1::{self as ev, Stage, TicketKind};
use duban_tests::commands as c;
use duban_tests::histories::{self, auditor};
use duban_tests::inside::Inside;
use duban_tests::pasts;
use duban_tests::refusal::refused;
use duban_tests::script::Case;
use duban_tests::wire::{Sent, Wire};
use prost::Message;
use serde_json::Value;
use tonic::{Code, Status};

use crate::program;

const MINUTE: std::time::Duration = std::time::Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn the_state_at_every_revision_and_moment_is_a_fresh_fold_of_what_it_sees() {
    let tickets = std::env::var("DUBAN_PASTS").ok().and_then(|text| text.parse().ok()).unwrap_or(15);
    let inside = Inside::over_prepared(|data| pasts::generate(program(), data, tickets, 7)).await;
    inside.size().await;
    let data = inside.directory().join("data");
    let pasts = pasts::compare(&inside.wire().await, &data, 2).await;
    assert_eq!(pasts.told, Vec::<String>::new());
    assert!(pasts.ok && pasts.tickets == tickets && pasts.revisions > 20 * tickets, "{pasts:?}");
    inside.stop().await;
}

fn duban(args: &[&str], code: i32) -> Output {
    let output = Command::new(program()).args(args).output().expect("the program starts");
    assert_eq!(output.status.code(), Some(code), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn json(args: &[&str], code: i32) -> Vec<Value> {
    let args: Vec<&str> = ["--output", "json"].into_iter().chain(args.iter().copied()).collect();
    let text = String::from_utf8(duban(&args, code).stdout).expect("it is text");
    text.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("plain ASCII")
}

/// A token file as the command line reads it.
fn keep(tokens: &Tokens, path: &Path) {
    tokens.write(path).expect("it is written");
}

async fn ask<A: Message + Default>(wire: &Wire, method: &str, request: &impl Message) -> Result<A, Status> {
    wire.ask(&format!("HistoryService/{method}"), &auditor(), request).await
}

/// A fault that waited an hour for dispatch and an hour at its unit, and whose customer is satisfied.
async fn satisfied(inside: &Inside, name: &str) -> Case {
    let wire = inside.wire().await;
    let mut case = Case::new(name, TicketKind::Fault);
    case.bring_to(&wire, Stage::Dispatch).await;
    inside.clock().advance(60 * MINUTE);
    case.done(&wire, c::dispatch).await;
    inside.clock().advance(60 * MINUTE);
    for make in [c::accept as duban_tests::script::Make, c::line_test, c::service_up, c::reply, c::feedback] {
        case.done(&wire, make).await;
        inside.clock().advance(MINUTE);
    }
    // The standing rule goes on with what is routine.
    inside.size().await;
    case
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_and_a_server_tell_the_same_past_and_its_custody_adds_up_to_the_moment_asked_for() {
    let inside = Inside::start().await;
    let case = satisfied(&inside, "history-custody").await;
    inside.size().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("tokens");
    keep(inside.tokens(), &file);
    let (data, url) = (inside.directory().join("data"), inside.url());
    let here = ["--data", text(&data)];
    let there = ["--server", &url, "--tokens", text(&file)];
    let histories = |at: &[&str], code: i32| {
        let both = [&here[..], &there[..]]
            .map(|place| json(&[&["history", &case.ticket], place, at].concat(), code));
        assert_eq!(both[0], both[1], "{at:?}");
        both[0].clone()
    };
    let seconds = |answer: &[Value]| -> u64 {
        let custody = answer.last().unwrap()["state"]["custody"].as_array().unwrap().clone();
        custody.iter().map(|stretch| stretch["seconds"].as_u64().unwrap()).sum()
    };
    let events = histories(&["--known-at", "2026-03-02T11:05"], 0);
    // The state of the revision that dispatch recorded is of that moment: an hour after the intake, whatever came later.
    let dispatched =
        events.iter().find(|event| event["type"] == "chain.dispatched.v1").expect("it was dispatched");
    let revision = dispatched["revision"].as_str().unwrap().to_owned();
    let past = histories(&["--revision", &revision], 0);
    assert_eq!((seconds(&past), past.len() as u64), (3_600, revision.parse::<u64>().unwrap() + 2));
    assert_eq!(past.last().unwrap()["state"]["as_of"], dispatched["recordedAt"]);
    for (at, expected) in [
        ("2026-03-02T09:00:00", 0),
        ("2026-03-02T09:30:00", 1_800),
        ("2026-03-02T10:59:59", 7_199),
        ("2026-03-02T11:02:00", 7_320),
    ] {
        for flag in ["--known-at", "--at"] {
            let past = histories(&[flag, at], 0);
            assert_eq!(seconds(&past), expected, "{flag} {at}");
            let custody = &past.last().unwrap()["state"]["custody"];
            for stretch in custody.as_array().unwrap() {
                let moment =
                    |field: &str| -> jiff::Timestamp { stretch[field].as_str().unwrap().parse().unwrap() };
                let long = moment("until").as_second() - moment("from").as_second();
                assert_eq!(stretch["seconds"].as_u64(), u64::try_from(long).ok(), "{stretch}");
            }
        }
    }
    // Every event has its actor, its department, its place in the log and what led to it.
    for (index, event) in events[..events.len() - 1].iter().enumerate() {
        // Canonical JSON leaves a zero out.
        assert_eq!(event["revision"].as_str().unwrap_or("0"), index.to_string());
        assert!(event["position"].is_string() && event["cause"]["command"].is_string(), "{event}");
        assert!(event["metadata"]["actorId"].is_string() && event["metadata"]["unit"].is_string());
    }
    for place in [&here[..], &there[..]] {
        let told = duban(&[&["history", &case.ticket], place].concat(), 0).stdout;
        let told = String::from_utf8(told).unwrap();
        for part in ["custody 在手时长", "access-network", "█", "in all", "position, cause:", "with event"]
        {
            assert!(told.contains(part), "{part} is missing:\n{told}");
        }
    }
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_moments_are_compared_in_words_fields_and_events() {
    let inside = Inside::start().await;
    let case = satisfied(&inside, "history-diff").await;
    let wire = inside.wire().await;
    let events = histories::events(&wire, &case.ticket, "").await.unwrap();
    let at = |kind: &str| {
        let found = events.iter().filter_map(|event| event.event.as_ref()).find(|event| event.r#type == kind);
        found.expect("it happened").clone()
    };
    let (issued, replied) = (at("order.issued.v1").revision, at("order.replied.v1").revision);
    let revision = |revision| Some(api::Moment { revision: Some(revision), ..Default::default() });
    let request = |from: Option<api::Moment>, to: Option<api::Moment>| api::DiffTicketRequest {
        ticket_id: case.ticket.clone(),
        min_position: String::new(),
        from,
        to,
    };
    let asked = request(revision(issued), revision(replied));
    let answer: api::DiffTicketResponse = ask(&wire, "DiffTicket", &asked).await.unwrap();
    let revisions: Vec<u64> =
        answer.events.iter().filter_map(|event| event.event.as_ref()).map(|event| event.revision).collect();
    assert_eq!(revisions, (issued + 1..=replied).collect::<Vec<_>>());
    let words = answer.words.join("\n");
    for part in [
        "stage: reply → feedback",
        "held by: access-network → desk",
        "order 1 (lead) of access-network: issued → replied",
        "service has been up since 2026-03-02 11:02:00",
        "the last line test passed",
        "(repair): running → met",
        "access-network had it for 3780 s more",
    ] {
        assert!(words.contains(part), "{part} is missing:\n{words}");
    }
    let field = |name: &str| answer.changes.iter().find(|change| change.field == name).cloned();
    let stage = field("summary.stage").expect("it moved on");
    assert_eq!(
        (stage.before.as_deref(), stage.after.as_deref()),
        (Some("STAGE_REPLY"), Some("STAGE_FEEDBACK"))
    );
    assert_eq!(field("last_test_passed").unwrap().after.as_deref(), Some("true"));
    assert_eq!(field("summary.category"), None, "it is what it was");
    assert_eq!(answer.from.map(|point| point.revision), Some(issued));

    // Before the intake there was nothing; now is what it is; at one moment nothing lies between.
    let early = api::Moment { known_at: Some(prost_types::Timestamp::default()), ..Default::default() };
    let whole: api::DiffTicketResponse = ask(&wire, "DiffTicket", &request(Some(early), None)).await.unwrap();
    assert_eq!((whole.from, whole.events.len()), (None, events.len()));
    assert!(whole.words[0].starts_with("the fault was taken in"), "{:?}", whole.words);
    let same: api::DiffTicketResponse =
        ask(&wire, "DiffTicket", &request(revision(3), revision(3))).await.unwrap();
    assert_eq!((same.changes.len(), same.words.len(), same.events.len()), (0, 0, 0));
    let backwards = request(revision(3), revision(2));
    let backwards = ask::<api::DiffTicketResponse>(&wire, "DiffTicket", &backwards).await;
    let backwards = refused(backwards, "a difference backwards");
    assert_eq!((backwards.code, backwards.field_names()), (Code::InvalidArgument, vec!["from"]));
    let none = ask::<api::DiffTicketResponse>(&wire, "DiffTicket", &request(None, None)).await;
    assert_eq!(refused(none, "a difference from nowhere").field_names(), ["from"]);

    // The command line says the same beside the server.
    inside.size().await;
    let data = inside.directory().join("data");
    let (from, to) = (issued.to_string(), replied.to_string());
    let told = json(&["history", &case.ticket, "--data", text(&data), "--diff", &from, &to], 0);
    let difference = &told.last().unwrap()["difference"];
    assert_eq!((told.len(), &difference["from"]["revision"]), (revisions.len() + 1, &issued.into()));
    assert_eq!(difference["words"], Value::from(answer.words));
    assert_eq!(difference["changes"].as_array().unwrap().len(), answer.changes.len());
    duban(&["history", &case.ticket, "--data", text(&data), "--diff", &to, &from], 2);
    duban(&["history", &case.ticket, "--data", text(&data), "--diff", "known:2026-03-02T10:30", "now"], 0);
    inside.stop().await;
}

fn at_fault(case: &mut Case, points: u32, because: Vec<String>) -> Sent {
    let command = case.next_id();
    let reason = "未提前扩容".into();
    let finding = api::finding::Finding::AtFault(api::AtFault {
        rule: "考核办法-3.2".into(),
        points,
        penalty_fen: 0,
        because,
        reason,
    });
    let unit = case.lead().into();
    let request = api::AssessRequest {
        ticket_id: case.ticket.clone(),
        command_id: command.clone(),
        verdicts: vec![api::NewVerdict { unit, finding: Some(api::Finding { finding: Some(finding) }) }],
        ..Default::default()
    };
    case.sent("AssessmentService/Assess", TokenHolder::new("assessment", "assessment"), &command, &request)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_drills_down_to_its_versions_and_events_and_comes_out_again() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let mut case = Case::new("history-explain", TicketKind::Complaint);
    case.bring_to(&wire, Stage::Reply).await;
    // The unit lets its order's deadline pass.
    inside.clock().advance(30 * 24 * 60 * MINUTE);
    inside.size().await;
    for make in
        [c::accept as duban_tests::script::Make, c::reply, c::feedback, c::no_measure, c::inspect, c::report]
    {
        case.done(&wire, make).await;
    }
    let events = histories::events(&wire, &case.ticket, "").await.unwrap();
    let state = case.state(&wire).await.unwrap();
    let order = state.clocks.iter().find(|clock| clock.kind() == ev::ClockKind::Order).expect("it ran");
    assert_eq!(order.status(), api::ClockStatus::Breached);
    let breach = events
        .iter()
        .filter_map(|event| event.event.as_ref())
        .find(|event| matches!(&event.payload, Some(ev::event::Payload::ClockBreached(breach)) if breach.clock == order.clock))
        .expect("it is recorded");

    // A deduction points at what happened on its own ticket, and at nothing else.
    let elsewhere = EventId(uuid_of("elsewhere")).to_string();
    let foreign = at_fault(&mut case, 2, vec![breach.id.clone(), elsewhere.clone()]);
    let foreign = refused(wire.send(&foreign).await, "a deduction that points elsewhere");
    assert_eq!((foreign.code, foreign.reason.as_str()), (Code::FailedPrecondition, "FOREIGN_EVENT"));
    assert!(foreign.message.contains(&elsewhere), "{}", foreign.message);
    let assessed = at_fault(&mut case, 2, vec![breach.id.clone()]);
    wire.send(&assessed).await.unwrap();
    case.done(&wire, c::accept_verdict).await;

    let request = api::ExplainClockRequest {
        ticket_id: case.ticket.clone(),
        min_position: String::new(),
        clock: order.clock,
    };
    let clock: api::ExplainClockResponse = ask(&wire, "ExplainClock", &request).await.unwrap();
    assert_eq!(clock.differences, Vec::<String>::new());
    assert!(clock.agrees && clock.policy_known && clock.calendar_known, "{clock:?}");
    assert_eq!(
        (clock.recomputed(), clock.target_from()),
        (api::ClockStatus::Breached, api::TargetFrom::Policy)
    );
    let of_clock = clock.clock.as_ref().expect("as it stands");
    assert_eq!((&of_clock.policy, &of_clock.calendar), (&order.policy, &order.calendar));
    assert_eq!(clock.steps.last().map(|step| step.recomputed_due == step.due), Some(true));
    let named = |id: &str| {
        let mut found = clock.events.iter().filter_map(|event| event.event.as_ref());
        found.find(|event| event.id == id).expect("what is named is shown").r#type.clone()
    };
    let kinds: Vec<String> = clock.steps.iter().map(|step| named(&step.event)).collect();
    assert!(
        kinds.contains(&"clock.started.v1".to_owned()) && kinds.contains(&"clock.breached.v1".to_owned())
    );
    assert_eq!(clock.steps[0].cause.as_deref().map(named).as_deref(), Some("order.issued.v1"));

    let request = api::ExplainVerdictRequest {
        ticket_id: case.ticket.clone(),
        min_position: String::new(),
        verdict: 1,
    };
    let verdict: api::ExplainVerdictResponse = ask(&wire, "ExplainVerdict", &request).await.unwrap();
    assert!(verdict.agrees && verdict.versions_known, "{:?}", verdict.differences);
    assert_eq!((verdict.because.as_slice(), verdict.steps.len()), (&[breach.id.clone()][..], 3));
    let grounds: Vec<_> = verdict.involved.iter().map(api::InvolvedBecause::ground).collect();
    assert!(grounds.contains(&api::InvolvedGround::AcceptedOrder), "{grounds:?}");
    assert_eq!(
        verdict.verdict.as_ref().map(|verdict| (verdict.points, verdict.carried_out)),
        Some((2, true))
    );
    assert!(!verdict.policy.is_empty() && !verdict.calendar.is_empty());

    let unknown = api::ExplainClockRequest {
        clock: 999,
        ..api::ExplainClockRequest { ticket_id: case.ticket.clone(), ..Default::default() }
    };
    let unknown =
        refused(ask::<api::ExplainClockResponse>(&wire, "ExplainClock", &unknown).await, "a clock 999");
    assert_eq!((unknown.code, unknown.reason.as_str()), (Code::NotFound, "UNKNOWN_CLOCK"));
    let unknown = api::ExplainVerdictRequest { verdict: 7, ..request };
    let unknown =
        refused(ask::<api::ExplainVerdictResponse>(&wire, "ExplainVerdict", &unknown).await, "a verdict 7");
    assert_eq!((unknown.code, unknown.reason.as_str()), (Code::NotFound, "UNKNOWN_VERDICT"));

    inside.size().await;
    let data = inside.directory().join("data");
    let history =
        |what: &str, code| json(&["history", &case.ticket, "--data", text(&data), "--explain", what], code);
    for number in 1..=state.clocks.len() {
        let told = history(&format!("clock:{number}"), 0);
        let told = &told.last().unwrap()["clock"];
        assert_eq!(
            (&told["agrees"], &told["recomputed"]),
            (&true.into(), &told["clock"]["status"]),
            "{told}"
        );
    }
    let told = history("verdict:1", 0);
    let told = &told.last().unwrap()["verdict"];
    assert_eq!((&told["agrees"], &told["because"][0]), (&true.into(), &breach.revision.into()), "{told}");
    history("clock:999", 2);
    history("order:1", 2);
    inside.stop().await;
}

fn uuid_of(name: &str) -> uuid::Uuid {
    duban_tests::script::id(name, "event").parse().expect("a UUID")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditors_finding_is_an_event_that_histories_show_and_a_supervisor_reopens_on() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let mut case = Case::new("history-finding", TicketKind::Complaint);
    case.close(&wire).await;
    let command = case.next_id();
    let filed = api::FileFindingRequest {
        ticket_id: case.ticket.clone(),
        command_id: command.clone(),
        finding: "录音与答复不符".into(),
        ..Default::default()
    };
    let filed = case.sent("AuditService/FileFinding", auditor(), &command, &filed);
    let answer = wire.send(&filed).await.expect("an auditor files a finding, also on a closed ticket");
    let state = case.state(&wire).await.unwrap();
    let events = histories::events(&wire, &case.ticket, &answer.position).await.unwrap();
    let finding = events.last().expect("it is the last");
    let event = finding.event.as_ref().expect("an envelope");
    assert_eq!((event.r#type.as_str(), event.revision), ("ticket.finding_filed.v1", answer.revision));
    assert_eq!(finding.texts[0].text.as_deref(), Some("录音与答复不符"));
    assert_eq!(event.metadata.as_ref().map(ev::Metadata::role), Some(ev::Role::Auditor));
    assert_eq!(state.open_finding.as_deref(), Some(event.id.as_str()));
    inside.size().await;
    let data = inside.directory().join("data");
    let told = json(&["history", &case.ticket, "--data", text(&data)], 0);
    assert_eq!(told.last().unwrap()["state"]["open_finding"], event.id);
    assert!(told[told.len() - 2].to_string().contains("录音与答复不符"));

    let reopen = |case: &mut Case, who: TokenHolder| {
        let command = case.next_id();
        let request = api::ReopenRequest {
            ticket_id: case.ticket.clone(),
            command_id: command.clone(),
            because: ev::ReopenCause::AuditFinding.into(),
            reason: "按审计意见重办".into(),
            ..Default::default()
        };
        case.sent("DeskService/Reopen", who, &command, &request)
    };
    let desk = reopen(&mut case, TokenHolder::new("desk", "desk"));
    assert_eq!(refused(wire.send(&desk).await, "the desk's reopening").code, Code::PermissionDenied);
    let supervisor = reopen(&mut case, TokenHolder::new("supervisor", "supervision"));
    let answer = wire.send(&supervisor).await.expect("a supervisor reopens on it");
    let request = api::GetTicketRequest {
        ticket_id: case.ticket.clone(),
        min_position: answer.position,
        ..Default::default()
    };
    let reopened: api::GetTicketResponse = ask(&wire, "GetTicket", &request).await.unwrap();
    let reopened = reopened.ticket.unwrap();
    assert_eq!((reopened.open_finding, reopened.reopened), (None, 1));
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_holds_every_row_of_the_live_read_models_against_a_new_fold() {
    let inside = Inside::over_prepared(|data| pasts::generate(program(), data, 40, 3)).await;
    inside.size().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("tokens");
    keep(inside.tokens(), &file);
    let (data, url) = (inside.directory().join("data"), inside.url());

    // Beside the server its store is not ours to open; its lists are compared instead.
    let replay = |more: &[&str], code| {
        let args = [&["replay", "--data", text(&data)], more].concat();
        json(&args, code).pop().expect("one object")
    };
    let beside = replay(&[], 0);
    assert!(beside["read_models"].as_array().unwrap().iter().all(|model| model["compared"] == false));
    let listed = replay(&["--server", &url, "--tokens", text(&file)], 0);
    let tickets = &listed["read_models"][0];
    assert_eq!(
        (&tickets["name"], &tickets["compared"], &tickets["rows"]),
        (&"tickets".into(), &true.into(), &40.into())
    );
    let kept = elsewhere.path().join("kept");
    inside.stop_and(|data| copy(&data.join("data"), &kept)).await;

    let replay = |data: &Path, code| json(&["replay", "--data", text(data)], code).pop().expect("one object");
    let whole = replay(&kept, 0);
    let models = whole["read_models"].as_array().unwrap();
    assert_eq!(models.len(), duban_engine::views::NAMES.len());
    for model in models {
        assert_eq!((&model["compared"], &model["differences"]), (&true.into(), &0.into()), "{whole}");
    }
    assert!(models[0]["rows"].as_u64() > Some(40 * 4), "every row, the indexes too: {whole}");
    let again = replay(&kept, 0);
    assert_eq!(again["read_models"], whole["read_models"], "nothing was changed");

    // Read models of another log are sound in themselves, and not this log's.
    let other = elsewhere.path().join("other");
    pasts::generate(program(), &other, 80, 4);
    copy(&kept.join("views"), &other.join("views"));
    let told = replay(&other, 1);
    assert_eq!(told["ok"], false);
    assert!(told["read_models"][0]["differences"].as_u64() > Some(40), "{told}");
    assert!(told["differences"][0].as_str().unwrap().starts_with("read model tickets: row"), "{told}");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory to copy into");
    for entry in std::fs::read_dir(from).expect("a directory to copy") {
        let entry = entry.expect("a readable directory");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a kind of file").is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copied file");
        }
    }
}
