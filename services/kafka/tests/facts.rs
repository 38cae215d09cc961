//! Facts in, against brokers in this process: once each, in order, and what cannot be taken in is kept with its reason.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use duban_aggregates::ids::TicketId;
use duban_aggregates::words::Kind;
use duban_engine::runner::Bounds;
use duban_engine::sidecar::SidecarHost;
use duban_engine::sidecar::kafka_config::KafkaConfig as Config;
use duban_kafka::{Facts, FactsStatus, Switch, command_id, record_id};
use serde_json::json;
use tokio::task::JoinHandle;

use support::{PATIENCE, Read, World, cluster, read_all, write, writer};

const INSTALL: &str = "duban.facts.install.v1";
const LINE_TEST: &str = "duban.facts.line-test.v1";
const BILLING: &str = "duban.facts.billing.v1";
const DEAD: &str = "duban.facts.dead-letter.v1";

const MILESTONES: [&str; 5] = ["accepted", "surveyed", "resources_assigned", "visited", "activated"];

fn start(config: &Config, host: &SidecarHost) -> (Arc<Facts>, JoinHandle<()>) {
    let facts = Arc::new(Facts::new(Arc::new(config.clone()), host.clone(), Switch::new(true)));
    let running = tokio::spawn({
        let facts = Arc::clone(&facts);
        async move { facts.run().await }
    });
    (facts, running)
}

async fn until(facts: &Facts, reached: impl Fn(&FactsStatus) -> bool) -> FactsStatus {
    let mut status = facts.status();
    match tokio::time::timeout(PATIENCE, status.wait_for(|status| reached(status))).await {
        Ok(status) => status.unwrap().clone(),
        Err(_) => panic!("it stands at {:?}", facts.status().borrow()),
    }
}

async fn stop(host: &SidecarHost, running: JoinHandle<()>) {
    host.drain.start();
    tokio::time::timeout(PATIENCE, running).await.expect("it ends").unwrap();
}

fn milestone(ticket: TicketId, milestone: &str) -> String {
    json!({ "ticket_id": ticket.to_string(), "milestone": milestone, "reference": format!("97-{milestone}") })
        .to_string()
}

fn test(ticket: TicketId, number: u32) -> String {
    let reference = format!("112-{number}");
    json!({ "ticket_id": ticket.to_string(), "passed": number.is_multiple_of(2), "result": "环阻 800 欧", "reference": reference })
        .to_string()
}

fn billed(ticket: TicketId, fact: &str, at: &str) -> String {
    json!({ "ticket_id": ticket.to_string(), "fact": fact, "reference": "PAY-1", "occurred_at": at })
        .to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn facts_of_three_systems_become_events_in_order_and_the_rest_is_kept_with_its_reason() {
    let ((_cluster, config), world) = (cluster(3), World::new());
    let (install, fault) = (world.ticket(Kind::Install, 1).await, world.ticket(Kind::Fault, 2).await);
    let (to_install, to_fault, writer) = (install.to_string(), fault.to_string(), writer(&config));
    let mut good = BTreeMap::new();
    for name in MILESTONES {
        let (partition, offset) = write(&writer, INSTALL, &to_install, &milestone(install, name)).await;
        good.insert(
            command_id(world.host.runner.own_ids(), INSTALL, partition, offset),
            "install.milestone_reached.v1",
        );
    }
    for number in 0..10 {
        let (partition, offset) = write(&writer, LINE_TEST, &to_fault, &test(fault, number)).await;
        good.insert(
            command_id(world.host.runner.own_ids(), LINE_TEST, partition, offset),
            "fault.line_tested.v1",
        );
    }
    for (fact, kind) in [("arrears_paid", "fault.arrears_paid.v1"), ("restored", "fault.service_up.v1")] {
        let at = billed(fault, fact, "2026-03-31T10:00:00+08:00");
        let (partition, offset) = write(&writer, BILLING, &to_fault, &at).await;
        good.insert(command_id(world.host.runner.own_ids(), BILLING, partition, offset), kind);
    }
    let mut bad = Vec::new();
    let unknown = TicketId(uuid::Uuid::from_u128(99));
    for (topic, key, value, reason) in [
        (INSTALL, "x", "不是 JSON".to_owned(), "MALFORMED"),
        (LINE_TEST, "x", json!({ "ticket_id": to_fault, "passed": true }).to_string(), "MALFORMED"),
        (LINE_TEST, &*to_fault, test(unknown, 1), "TICKET_UNKNOWN"),
        (INSTALL, &*to_fault, milestone(fault, "accepted"), "WRONG_KIND"),
        (BILLING, &*to_fault, billed(fault, "restored", "2020-01-01T00:00:00Z"), "INVALID_FIELD"),
        (BILLING, &*to_fault, billed(fault, "restored", "2036-01-01T00:00:00Z"), "INVALID_FIELD"),
    ] {
        let (partition, offset) = write(&writer, topic, key, &value).await;
        bad.push((topic, partition, offset, key.to_owned(), value, reason));
    }

    let (facts, running) = start(&config, &world.host);
    until(&facts, |status| (status.taken_in, status.dead_letters) == (17, 6)).await;
    stop(&world.host, running).await;

    let mut happened = world.facts_of(install).await;
    assert!(happened.iter().all(|(_, _, actor)| actor == "install-97"), "{happened:?}");
    happened.extend(world.facts_of(fault).await);
    let tests: Vec<_> = happened.iter().filter(|(kind, ..)| kind == "fault.line_tested.v1").collect();
    assert!(tests.iter().all(|(_, _, actor)| actor == "line-tester-112"), "{tests:?}");
    assert_eq!(happened.len(), good.len());
    for (kind, command, _) in &happened {
        assert_eq!(good[command], kind);
    }

    let dead = read_all(&config, &[DEAD]);
    assert_eq!(dead.len(), bad.len());
    for (topic, partition, offset, key, value, reason) in bad {
        let id = record_id(topic, partition, offset).to_string();
        let letter: &Read = dead.iter().find(|letter| letter.id() == id).unwrap();
        let said = &letter.headers;
        assert_eq!(said["duban_reason"], reason, "{said:?}");
        assert_eq!(
            (&*said["duban_topic"], &*said["duban_partition"], &*said["duban_offset"]),
            (topic, &*partition.to_string(), &*offset.to_string())
        );
        assert_eq!(letter.value.as_deref(), Some(value.as_bytes()));
        assert_eq!(letter.key.as_deref(), Some(key.as_bytes()));
        assert!(!said["duban_detail"].is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_again_changes_nothing() {
    let ((_cluster, config), world) = (cluster(2), World::new());
    let (fault, writer) = (world.ticket(Kind::Fault, 3).await, writer(&config));
    for number in 0..20 {
        write(&writer, LINE_TEST, &fault.to_string(), &test(fault, number)).await;
    }
    let (facts, running) = start(&config, &world.host);
    until(&facts, |status| status.taken_in == 20).await;
    stop(&world.host, running).await;
    let size = world.log.head().size;

    // Another group has committed nothing: it reads everything once more, as after a commit that was lost.
    let again = Config { group: "another".to_owned(), ..config.clone() };
    let host = world.next_life();
    let (facts, running) = start(&again, &host);
    until(&facts, |status| status.taken_in == 20).await;
    stop(&host, running).await;
    assert_eq!(world.log.head().size, size);

    // The first group has committed everything: it reads what is new, and nothing else.
    write(&writer, LINE_TEST, &fault.to_string(), &test(fault, 20)).await;
    let host = world.next_life();
    let (facts, running) = start(&config, &host);
    facts.caught_up(PATIENCE).await;
    assert_eq!(facts.status().borrow().taken_in, 1);
    stop(&host, running).await;
    assert_eq!(world.facts_of(fault).await.len(), 21);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_too_busy_or_killed_keeps_the_order_and_takes_each_fact_in_once() {
    // One command at a time, and none that waits: most of those that are tried side by side are turned away, and tried again.
    let bounds = Bounds { in_flight_max: 1, queued_max: 0, ..Bounds::default() };
    let ((_cluster, config), world) = (cluster(3), World::bounded(bounds));
    let writer = writer(&config);
    let mut installs = Vec::new();
    for seed in 0..20 {
        installs.push(world.ticket(Kind::Install, 100 + seed).await);
    }
    let mut written: BTreeMap<TicketId, Vec<uuid::Uuid>> = BTreeMap::new();
    for name in MILESTONES {
        for install in &installs {
            let value = milestone(*install, name);
            let (partition, offset) = write(&writer, INSTALL, &install.to_string(), &value).await;
            written.entry(*install).or_default().push(command_id(
                world.host.runner.own_ids(),
                INSTALL,
                partition,
                offset,
            ));
        }
    }
    let host = world.next_life();
    let (facts, running) = start(&config, &host);
    until(&facts, |status| status.taken_in > 10).await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());

    let (facts, running) = start(&config, &world.host);
    facts.caught_up(PATIENCE).await;
    stop(&world.host, running).await;
    for (install, commands) in written {
        let happened: Vec<_> =
            world.facts_of(install).await.into_iter().map(|(_, command, _)| command).collect();
        assert_eq!(happened, commands, "a milestone out of order would have been refused");
    }
    assert!(read_all(&config, &[DEAD]).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_waits_for_the_facts_that_lie_there_and_not_for_brokers_that_are_away() {
    let ((cluster, config), world) = (cluster(2), World::new());
    let (fault, writer) = (world.ticket(Kind::Fault, 5).await, writer(&config));
    for number in 0..50 {
        write(&writer, LINE_TEST, &fault.to_string(), &test(fault, number)).await;
    }
    let (facts, running) = start(&config, &world.host);
    facts.caught_up(PATIENCE).await;
    assert_eq!(world.facts_of(fault).await.len(), 50);
    stop(&world.host, running).await;

    cluster.broker_down(-1).unwrap();
    let host = world.next_life();
    let (facts, running) = start(&config, &host);
    facts.caught_up(Duration::from_millis(200)).await;
    cluster.broker_up(-1).unwrap();
    write(&writer, LINE_TEST, &fault.to_string(), &test(fault, 50)).await;
    until(&facts, |status| status.taken_in == 1).await;
    stop(&host, running).await;
    assert_eq!(world.facts_of(fault).await.len(), 51);
}
