//! Policies and calendars that come into force with a start, and emergencies that name one for new tickets.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use duban_client::TokenHolder;
use duban_engine::rules::PolicyConfig;
use duban_proto::api::v1 as api;
use duban_proto::event::v1::event::Payload;
use duban_proto::event::v1::{self as ev, ClockKind, Stage, TicketKind};
use duban_tests::commands as c;
use duban_tests::histories;
use duban_tests::inside::Inside;
use duban_tests::script::Case;
use duban_tests::wire::{Sent, Wire};
use jiff::Timestamp;
use prost::Message;
use uuid::Uuid;

/// The starts of a ticket's clocks.
async fn starts(wire: &Wire, case: &Case) -> Vec<ev::ClockStarted> {
    let shown =
        histories::events(wire, &case.ticket, &case.position()).await.expect("an auditor reads everything");
    let payloads = shown.into_iter().filter_map(|shown| shown.event.and_then(|event| event.payload));
    let start = |payload| match payload {
        Payload::ClockStarted(start) => Some(*start),
        _ => None,
    };
    payloads.filter_map(start).collect()
}

async fn start(wire: &Wire, case: &Case, kind: ClockKind) -> ev::ClockStarted {
    starts(wire, case).await.into_iter().rfind(|start| start.kind() == kind).expect("such a clock")
}

fn hours(target: &ev::ClockStarted) -> Option<u32> {
    match target.target.as_ref()?.target.as_ref()? {
        ev::target::Target::Hours(count) => Some(*count),
        _ => None,
    }
}

fn until(inside: &Inside, moment: &str) -> Duration {
    let moment: Timestamp = moment.parse().expect("a moment");
    let ahead = moment.as_microsecond() - inside.now().as_microsecond();
    Duration::from_micros(u64::try_from(ahead).expect("it lies ahead"))
}

fn file(inside: &Inside, name: &str, text: &str) -> PathBuf {
    let path = inside.directory().join(name);
    std::fs::write(&path, text).expect("there is room for a file");
    path
}

async fn editions(wire: &Wire) -> api::ListPoliciesResponse {
    let auditor = histories::auditor();
    wire.ask("PolicyService/ListPolicies", &auditor, &api::ListPoliciesRequest {})
        .await
        .expect("auditors may")
}

fn in_force(editions: &api::ListPoliciesResponse) -> Vec<&str> {
    editions.in_force.iter().map(|came| came.version.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_year_that_is_published_while_the_server_is_down_makes_its_deadlines_certain() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    inside.clock().advance(until(&inside, "2026-12-21T01:00:00Z"));
    let mut case = Case::new("published-year", TicketKind::Complaint);
    case.done(&wire, c::take_in).await;
    let before = start(&wire, &case, ClockKind::Answer).await;
    assert!(before.provisional && before.calendar == "cn-2026.1", "{before:?}");
    // Fifteen days end on Tuesday, 5 January 2027, as far as is known: 24:00 in Shanghai.
    assert_eq!(before.due.map(|due| due.seconds), Some(moment("2027-01-05T16:00:00Z")));

    // New Year's holiday runs through that day, and it is worked for on a Saturday.
    let text = "version = \"cn-2027.1\"\n[[year]]\nyear = 2027\nholidays = [{ name = \"元旦\", off = \"01-01/01-06\", work = [\"01-09\"] }]\n";
    let calendar = file(&inside, "calendar-2027.toml", text);
    let policies = PolicyConfig { calendars: vec![calendar], ..PolicyConfig::default() };
    let hour = Duration::from_secs(3_600);
    let inside = inside.restart_under(hour, policies).await.expect("the calendar can be used");
    let wire = inside.wire().await;
    // Nobody has asked for anything since it says that it is ready.
    let events = histories::events(&wire, &case.ticket, "").await.unwrap();
    let restated = |shown: &api::HistoryEvent| match shown.event.as_ref()?.payload.as_ref()? {
        Payload::ClockRestated(restated) => Some(restated.clone()),
        _ => None,
    };
    let restated: Vec<_> = events.iter().filter_map(restated).collect();
    let of_answer: Vec<_> = restated.iter().filter(|it| it.clock == before.clock).collect();
    assert_eq!(of_answer.len(), 1, "{restated:?}");
    let certain = of_answer[0];
    assert!(!certain.provisional && certain.calendar.as_deref() == Some("cn-2027.1"), "{certain:?}");
    assert_eq!(certain.due.map(|due| due.seconds), Some(moment("2027-01-07T16:00:00Z")));
    let calendars: Vec<_> = editions(&wire).await.calendars.into_iter().map(|came| came.version).collect();
    assert_eq!(calendars, ["cn-2026.1", "cn-2027.1"]);

    // The log remembers it: the file need not be named again, and nothing is restated twice.
    let inside = inside.restart().await;
    let wire = inside.wire().await;
    let again = histories::events(&wire, &case.ticket, "").await.unwrap();
    assert_eq!(again, events);
    let mut next = Case::new("published-year-next", TicketKind::Complaint);
    next.done(&wire, c::take_in).await;
    let next = start(&wire, &next, ClockKind::Answer).await;
    assert!(!next.provisional && next.calendar == "cn-2027.1", "{next:?}");
    inside.stop().await;
}

fn moment(text: &str) -> i64 {
    text.parse::<Timestamp>().expect("a moment").as_second()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_comes_into_force_with_a_start_and_running_clocks_keep_theirs() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let mut old = Case::new("old-policy", TicketKind::Complaint);
    old.bring_to(&wire, Stage::Dispatch).await;
    assert_eq!(in_force(&editions(&wire).await), ["cn-national-1"]);

    let henan = PolicyConfig { in_force: Some("cn-henan-1".into()), ..PolicyConfig::default() };
    let inside = inside.restart_under(Duration::ZERO, henan).await.expect("a policy that ships can be used");
    let wire = inside.wire().await;
    let answer = start(&wire, &old, ClockKind::Answer).await;
    assert_eq!(answer.policy, "cn-national-1");
    old.done(&wire, c::dispatch).await;
    let order = start(&wire, &old, ClockKind::Order).await;
    assert_eq!(order.policy, "cn-henan-1", "what starts now is under what is in force now");
    let mut new = Case::new("new-policy", TicketKind::Complaint);
    new.done(&wire, c::take_in).await;
    let answer = start(&wire, &new, ClockKind::Answer).await;
    let target = answer.target.clone().and_then(|target| target.target);
    assert_eq!(target, Some(ev::target::Target::WorkingDays(5)), "{answer:?}");
    assert_eq!(answer.article.as_deref(), Some("河南省投诉答复时限：五个工作日"));

    // A laxer one is refused with the article, and nothing has changed.
    let lax = "version = \"lax-1\"\ntitle = \"t\"\nextends = [\"cn-henan-1\"]\n[[entry]]\nclock = \"answer\"\nkind = \"complaint\"\ntarget = \"10d\"\n";
    let size = inside.size().await;
    let lax = PolicyConfig { in_force: Some(file(&inside, "lax.toml", lax)), ..PolicyConfig::default() };
    let refused = Inside::start_under(lax).await.err().expect("it is laxer than the law of Henan");
    let said = chain(&refused);
    for part in ["lax.toml is laxer than the law", "line 4", "河南省投诉答复时限：五个工作日"]
    {
        assert!(said.contains(part), "{part} is missing: {said}");
    }

    // Nothing is said: what is in force stays, and so does the log.
    let inside = inside.restart().await;
    assert_eq!(inside.size().await, size);
    let wire = inside.wire().await;
    assert_eq!(in_force(&editions(&wire).await), ["cn-national-1", "cn-henan-1"]);
    let ask = api::GetPolicyRequest { version: "cn-henan-1".into() };
    let told: api::GetPolicyResponse =
        wire.ask("PolicyService/GetPolicy", &histories::auditor(), &ask).await.unwrap();
    assert!(told.text.contains("province = \"henan\""));
    inside.stop().await;
}

fn chain(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        said = format!("{said}: {error}");
        source = error.source();
    }
    said
}

/// A command on an emergency, by a supervisor.
async fn on_emergency(
    wire: &Wire,
    method: &'static str,
    (emergency, command): (Uuid, Uuid),
    body: Vec<u8>,
) -> api::EmergencyCommandResponse {
    let (ticket, command) = (emergency.to_string(), command.to_string());
    let sent = Sent { method, who: TokenHolder::new("supervisor", "supervision"), ticket, command, body };
    let token = wire.token(&sent.who).to_owned();
    let answer = wire.call(sent.method, Some(token.as_str()), sent.body).await.expect("a supervisor may");
    api::EmergencyCommandResponse::decode(answer.as_slice()).expect("an answer")
}

fn declared(emergency: Uuid, command: Uuid, city: &str) -> Vec<u8> {
    let place = ev::EmergencyPlace { city: Some(city.into()), ..Default::default() };
    let request = api::DeclareEmergencyRequest {
        emergency_id: emergency.to_string(),
        command_id: command.to_string(),
        expected_revision: None,
        policy: "cn-emergency-1".into(),
        place: Some(place),
        reason: "暴雨内涝".into(),
    };
    request.encode_to_vec()
}

async fn taken_in(wire: &Wire, name: &str) -> (Case, ev::ClockStarted) {
    let mut case = Case::new(name, TicketKind::Fault);
    case.done(wire, c::take_in).await;
    let repair = start(wire, &case, ClockKind::Repair).await;
    (case, repair)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emergency_names_the_policy_of_new_tickets_where_it_holds_until_it_ends() {
    let policies = PolicyConfig { emergencies: vec!["cn-emergency-1".into()], ..PolicyConfig::default() };
    let inside = Inside::start_under(policies).await.expect("a policy that ships can be used");
    let wire = inside.wire().await;
    let (before, repair) = taken_in(&wire, "before-the-flood").await;
    assert_eq!((repair.policy.as_str(), hours(&repair)), ("cn-national-1", Some(48)));

    let ids: Vec<Uuid> = (1..=6).map(Uuid::from_u128).collect();
    let here = on_emergency(
        &wire,
        "EmergencyService/DeclareEmergency",
        (ids[0], ids[1]),
        declared(ids[0], ids[1], "样例市"),
    )
    .await;
    let again = on_emergency(
        &wire,
        "EmergencyService/DeclareEmergency",
        (ids[0], ids[1]),
        declared(ids[0], ids[1], "样例市"),
    )
    .await;
    assert_eq!(here, again, "a repeat adds nothing");
    on_emergency(
        &wire,
        "EmergencyService/DeclareEmergency",
        (ids[2], ids[3]),
        declared(ids[2], ids[3], "别的市"),
    )
    .await;
    let (mut during, repair) = taken_in(&wire, "in-the-flood").await;
    assert_eq!((repair.policy.as_str(), hours(&repair)), ("cn-emergency-1", Some(24)));

    // It lasts over a restart, at which nobody says anything about policies.
    let inside = inside.restart().await;
    let wire = inside.wire().await;
    let listed: api::ListEmergenciesResponse = wire
        .ask("EmergencyService/ListEmergencies", &histories::auditor(), &api::ListEmergenciesRequest {})
        .await
        .unwrap();
    let lasting: Vec<_> = listed.emergencies.iter().map(|one| one.emergency_id.clone()).collect();
    assert_eq!(lasting, [ids[0].to_string(), ids[2].to_string()]);
    let (_, repair) = taken_in(&wire, "in-the-flood-still").await;
    assert_eq!(repair.policy, "cn-emergency-1");

    let end = api::EndEmergencyRequest {
        emergency_id: ids[0].to_string(),
        command_id: ids[4].to_string(),
        expected_revision: None,
        reason: "积水已退".into(),
    };
    on_emergency(&wire, "EmergencyService/EndEmergency", (ids[0], ids[4]), end.encode_to_vec()).await;
    let (_, repair) = taken_in(&wire, "after-the-flood").await;
    assert_eq!(
        (repair.policy.as_str(), hours(&repair)),
        ("cn-national-1", Some(48)),
        "the other city's goes on elsewhere"
    );

    // Clocks that run keep theirs, and a ticket keeps the policy that it was taken in under.
    assert_eq!(start(&wire, &before, ClockKind::Repair).await.policy, "cn-national-1");
    during.done(&wire, c::investigate).await;
    during.done(&wire, c::dispatch).await;
    let order = start(&wire, &during, ClockKind::Order).await;
    assert_eq!((order.policy.as_str(), hours(&order)), ("cn-emergency-1", Some(12)));
    let ended: api::GetEmergencyResponse = wire
        .ask(
            "EmergencyService/GetEmergency",
            &histories::auditor(),
            &api::GetEmergencyRequest { emergency_id: ids[0].to_string(), min_position: String::new() },
        )
        .await
        .unwrap();
    assert!(ended.until.is_some() && ended.since.is_some(), "{ended:?}");
    // Nothing that happened by itself meanwhile is false.
    let size = inside.size().await;
    let inside = inside.restart().await;
    assert_eq!(inside.size().await, size);
    inside.stop().await;
}
