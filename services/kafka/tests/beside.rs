//! Kafka beside a whole server: its turn in the start, from ready on, and at the stop.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use std::sync::Arc;

use duban_aggregates::words::Kind;
use duban_engine::runner::Bounds;
use duban_engine::sidecar::Sidecar;
use duban_engine::time::VirtualClock;
use duban_engine::views::Progress;
use duban_kafka::Kafka;
use duban_log::{EventLog, Options, SegmentedLog};
use duban_server::config::{Config, File, Flags};
use duban_server::serve::Server;
use serde_json::json;

use support::{OUT, PATIENCE, World, check_whole, cluster, events, read_all, write, writer};

struct Untold;

impl Progress for Untold {
    fn built(&self, _: &'static str, _: u64, _: u64) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn facts_that_lie_there_are_taken_in_before_it_is_ready_and_all_is_relayed_before_it_ends() {
    let (_cluster, kafka) = cluster(3);
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_owned();
    let log: Arc<dyn EventLog> = Arc::new(SegmentedLog::open(&data.join("log"), Options::default()).unwrap());
    let world = World::over(log, directory, Bounds::default());
    let fault = world.ticket(Kind::Fault, 7).await;
    world.log.close().await.unwrap();
    let World { log, host, directory: _directory } = world;
    drop((log, host));

    let writer = writer(&kafka);
    for number in 0..30 {
        let test = json!({ "ticket_id": fault.to_string(), "passed": true, "result": "通", "reference": number.to_string() });
        write(&writer, "duban.facts.line-test.v1", &fault.to_string(), &test.to_string()).await;
    }
    let flags = Flags {
        data: Some(data),
        listen: Some(([127, 0, 0, 1], 0).into()),
        dev: true,
        virtual_clock: true,
        ..Flags::default()
    };
    let config = Config::resolve(File { kafka: Some(kafka.clone()), ..File::default() }, flags).unwrap();
    let beside = Kafka::new(kafka.clone());
    let clock = Arc::new(VirtualClock::new("2026-04-01T01:00:00Z".parse().unwrap()));
    let other_hand: Arc<dyn Sidecar> = beside.clone();
    let running = Server::new(config, clock)
        .progress(Arc::new(Untold))
        .sidecar(Some(other_hand))
        .start()
        .await
        .unwrap();

    let log = Arc::clone(running.runner().log());
    let tested = |all: &[duban_log::Recorded]| {
        all.iter().filter(|event| &*event.kind == "fault.line_tested.v1").count()
    };
    assert_eq!(tested(&events(&*log).await), 30, "it is ready, and every fact is there");
    assert_eq!(beside.facts().unwrap().status().borrow().taken_in, 30);
    running.settled().await;
    let head = log.head().position;
    let relay = async {
        loop {
            match beside.relay() {
                Some(relay) => break relay,
                None => tokio::task::yield_now().await,
            }
        }
    };
    let relay = tokio::time::timeout(PATIENCE, relay).await.expect("it relays once it is ready");
    let mut status = relay.status();
    let whole = status.wait_for(|status| status.reached == head);
    tokio::time::timeout(PATIENCE, whole).await.expect("all of it arrives").unwrap();
    running.stop().await.unwrap();

    let status = relay.status().borrow().clone();
    assert_eq!(
        (status.running, status.kept, status.lag()),
        (false, head, 0),
        "nothing is left to send again"
    );
    assert_eq!(check_whole(&events(&*log).await, &read_all(&kafka, &OUT)), 0);
}
