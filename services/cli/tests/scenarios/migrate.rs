//! A whole log to a cluster and back: the same events, ids, times, size and root.

use std::path::Path;
use std::process::Stdio;

use duban_fake_kurrentdb::{Cluster, Config};
use duban_log::{Direction, Filter, Reader};
use duban_tests::outside::{Did, run};
use serde_json::Value;
use tokio::process::Command;
use uuid::Uuid;

use crate::program;

async fn duban(arguments: &[&str]) -> Did {
    run(program(), arguments).await
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a temporary path is text")
}

fn ids(data: &Path) -> Vec<(Uuid, u64, i64, i64)> {
    let reader = Reader::open(&data.join("log")).expect("there is a log");
    let page = reader.read_all(None, Direction::Forward, &Filter::all(), usize::MAX).expect("it can be read");
    page.events.iter().map(|event| (event.id, event.revision, event.occurred_at, event.recorded_at)).collect()
}

fn is_of_the_log(stream: &str) -> bool {
    duban_engine::cluster::STREAM_PREFIXES.iter().any(|prefix| stream.starts_with(prefix))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demos_log_goes_to_a_cluster_stopped_on_its_way_and_back_and_is_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let (data, back) = (directory.path().join("demo"), directory.path().join("back"));
    let played = duban(&["demo", "--data", path(&data)]).await;
    assert!(played.ok(), "{played:?}");
    let cluster = Cluster::start(Config { nodes: 3, ..Config::default() }).await.unwrap();
    let url = cluster.url();

    let mut stopped = Command::new(program())
        .args(["migrate", "--from", path(&data), "--to", &url])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let arrived = || cluster.committed().iter().filter(|event| is_of_the_log(&event.stream)).count();
    while arrived() < 100 {
        let before = cluster.counters().appends_committed;
        cluster.wait("more of the log", |counters| counters.appends_committed > before).await;
    }
    stopped.kill().await.unwrap();
    let begun = arrived();

    let there = duban(&["migrate", "--from", path(&data), "--to", &url]).await;
    assert!(there.ok(), "{there:?}");
    let (events, copied) = (there.count("events"), there.count("copied"));
    assert!(copied > 0 && copied < events, "{begun} were there: {there:?}");
    assert!(there.count("keys") > 0);
    let again = duban(&["migrate", "--from", path(&data), "--to", &url]).await;
    assert!(again.ok() && again.count("copied") == 0, "{again:?}");
    let returned = duban(&["migrate", "--from", &url, "--to", path(&back)]).await;
    assert!(returned.ok() && returned.count("copied") == events, "{returned:?}");
    assert_eq!(returned.count("keys"), there.count("keys"));

    let key = data.join("keys/signing.pub");
    let mut heads = Vec::new();
    for place in [["--data", path(&data)], ["--log", &url], ["--data", path(&back)]] {
        let verified = duban(&["verify", place[0], place[1], "--key", path(&key)]).await;
        assert!(verified.ok(), "{verified:?}");
        assert_eq!(verified.json["head"]["size"], Value::from(events));
        heads.push((
            verified.json["head"].clone(),
            verified.json["days"].clone(),
            verified.json["proven"].clone(),
        ));
    }
    assert!(heads.iter().all(|head| *head == heads[0]), "{heads:?}");
    assert_eq!(ids(&data), ids(&back));

    // Another log is never written over, nor mixed with.
    let other = directory.path().join("other");
    let generated = duban(&["generate", "--data", path(&other), "--tickets", "3", "--seed", "5"]).await;
    assert_eq!(generated.status, Some(0), "{generated:?}");
    let refused = duban(&["migrate", "--from", path(&other), "--to", &url]).await;
    assert_eq!(refused.status, Some(2), "{refused:?}");
    let refused = duban(&["migrate", "--from", path(&data), "--to", path(&other)]).await;
    assert_eq!(refused.status, Some(2), "{refused:?}");
}
