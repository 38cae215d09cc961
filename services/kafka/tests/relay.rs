//! Events out, against brokers in this process: whole, in order, through errors, kills and other servers' turns.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use std::sync::Arc;

use duban_engine::sidecar::SidecarHost;
use duban_engine::sidecar::kafka_config::KafkaConfig as Config;
use duban_kafka::{Relay, RelayStatus, Switch};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use tokio::task::JoinHandle;

use support::{OUT, PATIENCE, World, check_whole, cluster, read_all};

fn start(config: &Config, host: &SidecarHost, switch: &Switch) -> (Arc<Relay>, JoinHandle<()>) {
    let relay = Arc::new(Relay::new(Arc::new(config.clone()), host.clone(), switch.clone()));
    let running = tokio::spawn({
        let relay = Arc::clone(&relay);
        async move { relay.run().await }
    });
    (relay, running)
}

async fn until(relay: &Relay, reached: impl Fn(&RelayStatus) -> bool) -> RelayStatus {
    let mut status = relay.status();
    let waited = tokio::time::timeout(PATIENCE, status.wait_for(|status| reached(status))).await;
    match waited {
        Ok(status) => status.unwrap().clone(),
        Err(_) => panic!("it stands at {:?}", relay.status().borrow()),
    }
}

/// Everything in the log has arrived, and Kafka was told so.
async fn whole(relay: &Relay, world: &World) -> RelayStatus {
    let head = world.log.head().position;
    until(relay, |status| status.reached == head).await
}

async fn stop(host: &SidecarHost, running: JoinHandle<()>) {
    host.drain.start();
    tokio::time::timeout(PATIENCE, running).await.expect("a relay ends").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_log_arrives_in_order_and_then_what_is_written_and_a_stop_leaves_nothing_to_send_again() {
    let ((_cluster, config), world) = (cluster(4), World::new());
    world.fill(1, 25, 1_500).await;
    let (relay, running) = start(&config, &world.host, &Switch::new(true));
    assert_eq!(whole(&relay, &world).await.relayed, 1_500);
    world.fill(2, 10, 300).await;
    whole(&relay, &world).await;
    stop(&world.host, running).await;
    let status = relay.status().borrow().clone();
    assert_eq!((status.kept, status.lag(), status.running), (world.log.head().position, 0, false));

    let host = world.next_life();
    let (relay, running) = start(&config, &host, &Switch::new(true));
    until(&relay, |status| status.running).await;
    world.fill(3, 3, 20).await;
    assert_eq!(whole(&relay, &world).await.relayed, 20, "it goes on where the other stopped");
    stop(&host, running).await;

    let read = read_all(&config, &OUT);
    assert_eq!(check_whole(&world.events().await, &read), 0, "nothing was sent twice");
    for record in &read {
        let said = &record.headers;
        let event =
            duban_codec::from_json(std::str::from_utf8(record.value.as_ref().unwrap()).unwrap()).unwrap();
        assert_eq!(
            (&event.id, &event.stream, &event.r#type),
            (&said["ce_id"], &said["ce_subject"], &said["ce_type"])
        );
        assert_eq!(said["content-type"], "application/json");
        let key = String::from_utf8(record.key.clone().unwrap()).unwrap();
        assert!(event.stream.ends_with(&key), "{key}");
        let kind = event.stream.split('-').next().unwrap();
        assert_eq!(record.topic, format!("duban.{}.v1", if kind == "customer" { "office" } else { kind }));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_was_killed_is_gone_on_with_from_behind_and_nothing_is_missing_or_out_of_order() {
    let ((_cluster, config), world) = (cluster(4), World::new());
    world.fill(1, 25, 6_000).await;
    for _ in 0..4 {
        let host = world.next_life();
        let (relay, running) = start(&config, &host, &Switch::new(true));
        // In the middle of it: nothing is flushed, and how far it came is kept once a second at most.
        until(&relay, |status| status.relayed > 0).await;
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
    }
    let (relay, running) = start(&config, &world.host, &Switch::new(true));
    whole(&relay, &world).await;
    stop(&world.host, running).await;
    let copies = check_whole(&world.events().await, &read_all(&config, &OUT));
    assert!(copies > 0, "a killed relay sends again what it does not know to have arrived");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_that_fail_for_a_while_are_waited_for() {
    use RDKafkaRespErr::{
        RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
    };
    let ((cluster, config), world) = (cluster(4), World::new());
    world.fill(1, 25, 3_000).await;
    cluster
        .request_errors(RDKafkaApiKey::InitProducerId, &[RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS; 2]);
    cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[
            RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
            RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
            RD_KAFKA_RESP_ERR__TRANSPORT,
            RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
            RD_KAFKA_RESP_ERR__TRANSPORT,
            RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        ],
    );
    let (relay, running) = start(&config, &world.host, &Switch::new(true));
    until(&relay, |status| status.relayed > 0).await;
    cluster.broker_down(-1).unwrap();
    world.fill(2, 5, 200).await;
    cluster.broker_up(-1).unwrap();
    whole(&relay, &world).await;
    stop(&world.host, running).await;
    assert_eq!(relay.status().borrow().failures, 0, "one producer bears all of it");
    check_whole(&world.events().await, &read_all(&config, &OUT));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_that_can_never_go_on_is_replaced_and_the_order_holds() {
    use RDKafkaRespErr::{RD_KAFKA_RESP_ERR_INVALID_RECORD, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED};
    let ((cluster, config), world) = (cluster(4), World::new());
    world.fill(1, 25, 3_000).await;
    let (relay, running) = start(&config, &world.host, &Switch::new(true));
    whole(&relay, &world).await;
    for (seed, error) in
        [(2, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED), (3, RD_KAFKA_RESP_ERR_INVALID_RECORD)]
    {
        cluster.request_errors(RDKafkaApiKey::Produce, &[error]);
        world.fill(seed, 25, 1_000).await;
        whole(&relay, &world).await;
    }
    let status = whole(&relay, &world).await;
    assert!(status.failures >= 1, "{status:?}");
    assert_eq!(status.trouble, None);
    stop(&world.host, running).await;
    check_whole(&world.events().await, &read_all(&config, &OUT));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_relay_goes_on_where_another_was_turned_off() {
    let ((_cluster, config), world) = (cluster(2), World::new());
    let (one, other) = (Switch::new(true), Switch::new(false));
    let (first, running_first) = start(&config, &world.host, &one);
    let (second, running_second) = start(&config, &world.host, &other);
    world.fill(1, 9, 400).await;
    whole(&first, &world).await;
    assert!(!second.status().borrow().running);
    one.set(false);
    until(&first, |status| !status.running).await;
    other.set(true);
    world.fill(2, 9, 100).await;
    assert_eq!(whole(&second, &world).await.relayed, 100);
    world.host.drain.start();
    running_first.await.unwrap();
    running_second.await.unwrap();
    assert_eq!(check_whole(&world.events().await, &read_all(&config, &OUT)), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_log_has_published_is_not_gone_on_with() {
    let ((_cluster, config), world) = (cluster(2), World::new());
    world.fill(1, 9, 100).await;
    let (relay, running) = start(&config, &world.host, &Switch::new(true));
    whole(&relay, &world).await;
    stop(&world.host, running).await;

    let other = World::new();
    other.fill(9, 9, 200).await;
    let (relay, running) = start(&config, &other.host, &Switch::new(true));
    let status = until(&relay, |status| status.trouble.is_some()).await;
    assert!(status.trouble.unwrap().contains("another log's"));
    stop(&other.host, running).await;
    assert_eq!(read_all(&config, &OUT).len(), 100);
}
