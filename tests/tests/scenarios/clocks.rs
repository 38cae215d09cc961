//! What happens by itself: once each, at its moment, whether the server was there or not, and whoever races it.

use std::time::Duration;

use duban_proto::api::v1 as api;
use duban_proto::event::v1::event::Payload;
use duban_proto::event::v1::{self as ev, ClockKind, Stage, TicketKind};
use duban_tests::commands as c;
use duban_tests::histories;
use duban_tests::inside::Inside;
use duban_tests::script::Case;
use duban_tests::wire::Wire;
use futures::StreamExt;
use futures::stream;

const SECOND: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_micros(1);

async fn events(wire: &Wire, case: &Case) -> Vec<ev::Event> {
    let shown =
        histories::events(wire, &case.ticket, &case.position()).await.expect("an auditor reads everything");
    shown.into_iter().filter_map(|shown| shown.event).collect()
}

async fn clock(wire: &Wire, case: &Case, kind: ClockKind) -> api::ClockView {
    let state = case.state(wire).await.expect("the desk reads everything");
    state.clocks.into_iter().rfind(|clock| clock.kind() == kind).expect("such a clock")
}

fn micros(at: &prost_types::Timestamp) -> i64 {
    at.seconds * 1_000_000 + i64::from(at.nanos / 1_000)
}

/// How long from now until a moment.
fn until(inside: &Inside, at: &prost_types::Timestamp) -> Duration {
    Duration::from_micros(u64::try_from(micros(at) - inside.now().as_microsecond()).expect("it lies ahead"))
}

fn breaches(events: &[ev::Event], clock: u32) -> Vec<&ev::Event> {
    let of =
        |event: &&ev::Event| matches!(&event.payload, Some(Payload::ClockBreached(it)) if it.clock == clock);
    events.iter().filter(of).collect()
}

fn actor(event: &ev::Event) -> &str {
    &event.metadata.as_ref().expect("every event has metadata").actor_id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_passed_while_the_server_was_down_is_breached_before_it_is_ready_and_a_late_reply_finds_it()
 {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let mut case = Case::new("late-reply", TicketKind::Complaint);
    case.bring_to(&wire, Stage::Reply).await;
    case.done(&wire, c::accept).await;
    let order = clock(&wire, &case, ClockKind::Order).await;
    let due = order.due.expect("a clock has a due moment");

    let down = until(&inside, &due) + SECOND;
    let inside = inside.restart_later(down).await;
    let wire = inside.wire().await;
    // Nobody has asked for anything since it says that it is ready.
    let before = events(&wire, &case).await;
    let found = breaches(&before, order.clock);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].occurred_at, Some(due), "stamped with the due moment");
    assert_eq!(actor(found[0]), "timer");
    assert_eq!(micros(found[0].recorded_at.as_ref().unwrap()), micros(&due) + 1_000_000);

    let replied = case.done(&wire, c::reply).await;
    let after = events(&wire, &case).await;
    assert_eq!(breaches(&after, order.clock).len(), 1);
    assert!(breaches(&after, order.clock)[0].revision < replied.revision);
    assert_eq!(clock(&wire, &case, ClockKind::Order).await.status(), api::ClockStatus::Breached);

    // Again down, again up: nothing happens twice.
    let size = inside.size().await;
    let inside = inside.restart().await;
    assert_eq!(inside.size().await, size);
    inside.stop().await;
}

/// Many tickets, taken in at the same moment.
async fn many(wire: &Wire, name: &str, count: usize) -> Vec<Case> {
    let take = |number: usize| {
        let wire = wire.clone();
        async move {
            let mut case = Case::new(&format!("{name}-{number}"), TicketKind::Complaint);
            case.done(&wire, c::take_in).await;
            case
        }
    };
    stream::iter(0..count).map(take).buffer_unordered(64).collect().await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_deadlines_in_one_moment_are_each_breached_once() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let mut cases = many(&wire, "one-moment", 2_000).await;
    let contact = clock(&wire, &cases[0], ClockKind::Contact).await;
    let due = contact.due.unwrap();
    inside.clock().advance(until(&inside, &due) + TICK);
    // Some are asked for something while the timer goes round: they find their breach there.
    let (asked, left) = cases.split_at_mut(200);
    stream::iter(asked.iter_mut())
        .for_each_concurrent(32, |case| async {
            case.done(&wire, c::investigate).await;
        })
        .await;
    inside.size().await;
    for case in asked.iter().chain(left.iter()) {
        let events = events(&wire, case).await;
        let found = breaches(&events, contact.clock);
        assert_eq!(found.len(), 1, "{}", case.name);
        assert_eq!((found[0].occurred_at, actor(found[0])), (Some(due), "timer"));
    }
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_at_due_is_on_time_and_a_microsecond_later_is_late_whoever_is_faster() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let mut on_time = many(&wire, "exactly-at-due", 150).await;
    let mut late = many(&wire, "a-microsecond-late", 150).await;
    let contact = clock(&wire, &late[0], ClockKind::Contact).await;
    let due = contact.due.unwrap();
    inside.clock().advance(until(&inside, &due));
    stream::iter(on_time.iter_mut())
        .for_each_concurrent(32, |case| async {
            case.done(&wire, c::contact).await;
        })
        .await;
    inside.clock().advance(TICK);
    // The timer has the same to do at the same moment.
    stream::iter(late.iter_mut())
        .for_each_concurrent(32, |case| async {
            case.done(&wire, c::contact).await;
        })
        .await;
    inside.size().await;
    let met = |events: &[ev::Event]| {
        let of = |event: &&ev::Event| matches!(&event.payload, Some(Payload::ClockMet(it)) if it.clock == contact.clock);
        events.iter().filter(of).count()
    };
    for case in &on_time {
        let events = events(&wire, case).await;
        assert_eq!((met(&events), breaches(&events, contact.clock).len()), (1, 0), "{}", case.name);
    }
    for case in &late {
        let events = events(&wire, case).await;
        let found = breaches(&events, contact.clock);
        assert_eq!((met(&events), found.len()), (0, 1), "{}", case.name);
        assert_eq!(actor(found[0]), "timer");
        let (_, answer) = case.done.last().unwrap();
        assert!(found[0].revision < answer.revision, "the call finds the breach there");
    }
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ladder_climbs_by_itself_through_restarts_and_stops_at_the_reply() {
    const DAY: Duration = Duration::from_secs(24 * 3_600);
    let mut inside = Inside::start().await;
    let wire = inside.wire().await;
    let mut case = Case::new("ladder", TicketKind::Complaint);
    case.bring_to(&wire, Stage::Reply).await;
    case.done(&wire, c::accept).await;
    let order = clock(&wire, &case, ClockKind::Order).await.clock;
    for _ in 0..30 {
        inside = inside.restart_later(DAY).await;
    }
    let wire = inside.wire().await;
    let all = events(&wire, &case).await;
    let rungs: Vec<ev::Rung> = all
        .iter()
        .filter_map(|event| match &event.payload {
            Some(Payload::ClockEscalated(it)) if it.clock == order => Some(it.rung()),
            Some(Payload::ClockEscalationProposed(it)) if it.clock == order => Some(it.rung()),
            _ => None,
        })
        .collect();
    assert_eq!(
        rungs,
        [ev::Rung::Urge, ev::Rung::Notice, ev::Rung::Criticism, ev::Rung::Listed, ev::Rung::Interview]
    );
    let by_timer = all.iter().filter(|event| event.r#type.starts_with("clock.escal"));
    assert!(by_timer.clone().all(|event| actor(event) == "timer"));
    case.done(&wire, c::reply).await;
    let size = inside.size().await;
    let proposals = case.state(&wire).await.unwrap().escalations.len();
    assert!(size > 0 && proposals >= 3);
    inside.stop().await;
}
