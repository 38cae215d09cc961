//! Subscribers get every event, in order, once: filtered, cut off, resumed, stalled, through restarts.

use std::time::Duration;

use duban_client::TokenHolder;
use duban_demo::fanout::{self, FanoutPlan};
use duban_log::Filter;
use duban_proto::api::v1::stream_service_client::StreamServiceClient;
use duban_proto::api::v1::subscribe_request::From;
use duban_proto::api::v1::{SlaFilter, StreamFilter, StreamNews, SubscribeRequest, SubscribeResponse};
use duban_proto::event::v1::{Event, Stage, TicketKind};
use duban_tests::commands as c;
use duban_tests::inside::Inside;
use duban_tests::script::Case;
use tonic::{Code, Request, Status, Streaming};

async fn subscribe(
    inside: &Inside,
    who: &TokenHolder,
    from: From,
    filter: StreamFilter,
) -> Result<Streaming<SubscribeResponse>, Status> {
    let mut client =
        StreamServiceClient::connect(inside.url()).await.expect("a server that is ready answers");
    let heartbeat = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    let mut request = Request::new(SubscribeRequest { from: Some(from), filter: Some(filter), heartbeat });
    let bearer = format!("Bearer {}", inside.token(who)).parse().expect("a token is plain ASCII");
    request.metadata_mut().insert("authorization", bearer);
    Ok(client.subscribe(request).await?.into_inner())
}

fn monitor(inside: &Inside) -> TokenHolder {
    inside.who("monitor")
}

/// Reads until everything was brought; answers the events and the last token.
async fn to_the_end(mut stream: Streaming<SubscribeResponse>) -> (Vec<Event>, String) {
    let mut events = Vec::new();
    loop {
        let message = stream.message().await.expect("the stream goes on").expect("it has no end");
        let news = message.news();
        events.extend(message.events);
        if news == StreamNews::CaughtUp {
            return (events, message.token);
        }
    }
}

async fn from_start(inside: &Inside, filter: StreamFilter) -> Vec<Event> {
    let stream = subscribe(inside, &monitor(inside), From::Start(true), filter).await.expect("a monitor may");
    to_the_end(stream).await.0
}

async fn something_happens(inside: &Inside) -> Vec<Case> {
    let wire = inside.wire().await;
    let mut cases = Vec::new();
    for (kind, stage) in [
        (TicketKind::Complaint, Stage::Close),
        (TicketKind::Fault, Stage::Reply),
        (TicketKind::Install, Stage::Feedback),
    ] {
        let mut case = Case::new(&format!("streams-{kind:?}"), kind);
        case.bring_to(&wire, stage).await;
        cases.push(case);
    }
    inside.clock().advance(Duration::from_secs(40 * 24 * 3_600));
    inside.size().await;
    cases
}

fn ids(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.id.as_str()).collect()
}

fn tag<'e>(event: &'e Event, key: &str) -> Option<&'e str> {
    event.tags.iter().find(|tag| tag.key == key).map(|tag| tag.value.as_str())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_filter_brings_what_a_look_at_everything_brings() {
    let inside = Inside::start().await;
    let cases = something_happens(&inside).await;
    let all = from_start(&inside, StreamFilter::default()).await;
    let log = inside.log();
    let stored = log.read_all(None, duban_log::Direction::Forward, &Filter::all(), 10_000).await.unwrap();
    let stored: Vec<String> = stored.events.iter().map(|event| event.id.to_string()).collect();
    assert_eq!(ids(&all), stored, "everything, in the log's order, once");

    type Holds = Box<dyn Fn(&Event) -> bool>;
    let ticket = cases[1].ticket.clone();
    let looks: Vec<(StreamFilter, Holds)> = vec![
        (
            StreamFilter { kinds: vec![TicketKind::Fault.into()], ..Default::default() },
            Box::new(|event| event.stream.starts_with("fault-")),
        ),
        (
            StreamFilter { types: vec!["clock.".into()], ..Default::default() },
            Box::new(|event| event.r#type.starts_with("clock.")),
        ),
        (
            StreamFilter { types: vec!["order.issued.v1".into(), "chain.".into()], ..Default::default() },
            Box::new(|event| event.r#type == "order.issued.v1" || event.r#type.starts_with("chain.")),
        ),
        (
            StreamFilter { units: vec!["access-network".into()], ..Default::default() },
            Box::new(|event| tag(event, "unit") == Some("access-network")),
        ),
        (
            StreamFilter { ticket_ids: vec![ticket.clone()], ..Default::default() },
            Box::new(move |event| event.stream.ends_with(&ticket)),
        ),
        (
            StreamFilter { sla: SlaFilter::Breaches.into(), ..Default::default() },
            Box::new(|event| event.r#type.starts_with("clock.breach")),
        ),
        (
            StreamFilter { sla: SlaFilter::Warnings.into(), ..Default::default() },
            Box::new(|event| ["clock.warned.v1", "clock.escalated.v1"].contains(&event.r#type.as_str())),
        ),
        (
            StreamFilter {
                sla: SlaFilter::Escalations.into(),
                kinds: vec![TicketKind::Fault.into()],
                ..Default::default()
            },
            Box::new(|event| event.r#type.starts_with("clock.escal") && event.stream.starts_with("fault-")),
        ),
        (
            StreamFilter { sla: SlaFilter::Receipts.into(), ..Default::default() },
            Box::new(|event| ["ticket.taken_in.v1", "chain.closed.v1"].contains(&event.r#type.as_str())),
        ),
    ];
    for (filter, holds) in looks {
        let expected: Vec<&str> =
            ids(&all).into_iter().zip(&all).filter(|(_, event)| holds(event)).map(|(id, _)| id).collect();
        assert!(!expected.is_empty(), "{filter:?} is tried on something");
        assert_eq!(ids(&from_start(&inside, filter.clone()).await), expected, "{filter:?}");
    }
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_goes_on_after_a_restart_and_fits_its_filter_and_its_log_alone() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let mut case = Case::new("streams-resume", TicketKind::Complaint);
    case.bring_to(&wire, Stage::Reply).await;
    inside.size().await;
    let breaches = StreamFilter { sla: SlaFilter::Breaches.into(), ..Default::default() };
    let who = monitor(&inside);
    let stream = subscribe(&inside, &who, From::Start(true), breaches.clone()).await.unwrap();
    let (before, token) = to_the_end(stream).await;
    assert!(before.is_empty());

    let inside = inside.restart_later(Duration::from_secs(40 * 24 * 3_600)).await;
    let stream = subscribe(&inside, &who, From::Token(token.clone()), breaches.clone()).await.unwrap();
    let (after, later) = to_the_end(stream).await;
    assert_eq!(ids(&after), ids(&from_start(&inside, breaches.clone()).await), "no gap and no copy");
    assert!(!after.is_empty());
    let stream = subscribe(&inside, &who, From::Token(later.clone()), breaches.clone()).await.unwrap();
    assert!(to_the_end(stream).await.0.is_empty());

    let refused =
        |outcome: Result<Streaming<SubscribeResponse>, Status>| outcome.map(|_| ()).expect_err("a refusal");
    let other = StreamFilter { sla: SlaFilter::Warnings.into(), ..Default::default() };
    let status = refused(subscribe(&inside, &who, From::Token(later.clone()), other).await);
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("token belongs to another filter"), "{status:?}");
    let mut changed = later.clone().into_bytes();
    changed[5] = if changed[5] == b'A' { b'B' } else { b'A' };
    let changed = String::from_utf8(changed).unwrap();
    let status = refused(subscribe(&inside, &who, From::Token(changed), breaches.clone()).await);
    assert!(status.message().contains("no token of this log"), "{status:?}");
    let elsewhere = Inside::start().await;
    let status = refused(subscribe(&elsewhere, &who, From::Token(later), breaches.clone()).await);
    assert_eq!(status.code(), Code::InvalidArgument);
    let unknown = StreamFilter { types: vec!["clock".into()], ..Default::default() };
    let status = refused(subscribe(&inside, &who, From::Start(true), unknown).await);
    assert!(status.message().contains("filter.types"), "{status:?}");
    elsewhere.stop().await;
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn units_follow_their_own_orders_and_nobody_follows_without_a_role_for_it() {
    let inside = Inside::start().await;
    something_happens(&inside).await;
    let unit = TokenHolder::unit("access-network");
    let stream = subscribe(&inside, &unit, From::Start(true), StreamFilter::default()).await.unwrap();
    let (own, _) = to_the_end(stream).await;
    assert!(!own.is_empty() && own.iter().all(|event| tag(event, "unit") == Some("access-network")));
    let others = StreamFilter { units: vec!["line-crew".into()], ..Default::default() };
    let status = subscribe(&inside, &unit, From::Start(true), others).await.err().unwrap();
    assert_eq!(status.code(), Code::PermissionDenied);
    for role in ["observer", "administrator"] {
        let status = subscribe(&inside, &inside.who(role), From::Start(true), StreamFilter::default()).await;
        assert_eq!(status.err().unwrap().code(), Code::PermissionDenied, "{role}");
    }
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_moves_the_token_over_what_does_not_pass_and_a_stop_ends_the_stream_at_once() {
    let inside = Inside::start().await;
    let none = StreamFilter { types: vec!["verdict.appealed.v1".into()], ..Default::default() };
    let who = monitor(&inside);
    let mut stream = subscribe(&inside, &who, From::Now(true), none.clone()).await.unwrap();
    let first = stream.message().await.unwrap().unwrap();
    assert_eq!(first.news(), StreamNews::CaughtUp);
    let wire = inside.wire().await;
    let mut case = Case::new("streams-heartbeat", TicketKind::Complaint);
    case.done(&wire, c::take_in).await;
    inside.size().await;
    let beat = stream.message().await.unwrap().unwrap();
    assert_eq!(beat.news(), StreamNews::Heartbeat);
    assert_ne!(beat.token, first.token, "it stands after what did not pass");
    let stop = tokio::spawn(inside.stop());
    let ended = loop {
        match stream.message().await {
            Ok(Some(message)) => assert!(message.events.is_empty()),
            Ok(None) => panic!("a stream ends with a status"),
            Err(status) => break status,
        }
    };
    assert_eq!(ended.code(), Code::Unavailable, "{ended:?}");
    stop.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_subscribers_get_twenty_thousand_events_each_in_order_once_though_ten_stall() {
    let directory = tempfile::tempdir().unwrap();
    let seed = 42;
    let plan = FanoutPlan { subscribers: 100, stalled: 10, events: 20_000, disconnects_max: 4, seed };
    let report = fanout::run(directory.path(), plan, &|_, _| {}).await.unwrap();
    assert!(report.ok, "seed {seed}: {report:?}");
    assert_eq!(report.still_stalled, 10);
    assert!(report.resumed > 50, "{report:?}");
    assert!(report.fell_behind >= 10, "whoever stalled was told: {report:?}");
}
