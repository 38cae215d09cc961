//! All of it at once, in an order that follows from a seed.

use std::sync::atomic::{AtomicBool, Ordering};

use duban_fake_kurrentdb::{Fault, Flow, Lag};

use super::*;

const BLOWS: u32 = 15;

async fn strike(cluster: &Cluster, dice: &mut SmallRng) -> &'static str {
    let node = dice.random_range(0..cluster.nodes());
    match dice.random_range(0..8) {
        0 => {
            let killed = cluster.kill_leader().await;
            cluster.wait_for_leader().await;
            cluster.revive(killed);
            "the leader killed"
        }
        1 => {
            cluster.switch_leader().await;
            "the leader switched"
        }
        2 => {
            let frozen = cluster.wait_for_leader().await;
            cluster.freeze(frozen);
            cluster.switch_leader().await;
            cluster.thaw(frozen);
            "the leader frozen and left"
        }
        3 => {
            cluster.cut(node);
            "connections cut"
        }
        4 => {
            cluster.lag(node, Lag::Time(Duration::from_millis(dice.random_range(0..20))));
            "a node lags when it follows"
        }
        5 => {
            cluster.flow_all([Flow::Ends, Flow::Fails, Flow::Silent][dice.random_range(0..3)]);
            "subscriptions ended, failed or silent"
        }
        6 => {
            let faults = [Fault::SwallowAfterCommit, Fault::TimeOutAfterCommit, Fault::ResetAfterCommit];
            cluster.fault(faults[dice.random_range(0..3)], 2);
            "answers lost"
        }
        _ => {
            let faults =
                [Fault::NotLeader, Fault::NotLeaderBut(node), Fault::TooBusy, Fault::TimeOut, Fault::Reset];
            cluster.fault(faults[dice.random_range(0..5)], 2);
            "appends refused"
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_together_nothing_is_lost_twice_or_out_of_order() {
    for seed in 1..=3 {
        let cluster = cluster(3, seed).await;
        let logs = [open(&cluster).await, open(&cluster).await, open(&cluster).await];
        let mut subscription = logs[2].subscribe(None, Filter::all()).await.unwrap();
        let stop = AtomicBool::new(false);
        let go_on = || !stop.load(Ordering::SeqCst);
        let (one, two, struck) =
            tokio::join!(write(&logs[0], seed * 10, go_on), write(&logs[1], seed * 10 + 1, go_on), async {
                let mut dice = SmallRng::seed_from_u64(seed);
                let mut struck = Vec::new();
                for _ in 0..BLOWS {
                    let events = cluster.counters().events_committed;
                    cluster.wait("writes after a blow", |c| c.events_committed >= events + 10).await;
                    struck.push(strike(&cluster, &mut dice).await);
                }
                stop.store(true, Ordering::SeqCst);
                struck
            });
        let written = [one, two].concat();
        let seen = follow(&mut subscription, written.len()).await;
        println!("seed {seed}: {} acknowledged, {struck:?}, {:?}", written.len(), cluster.counters());
        assert!(seen.is_sorted_by(|a, b| a.position < b.position), "seed {seed}");
        assert_eq!(
            seen,
            all(&logs[2], Direction::Forward, &Filter::all(), 1000).await.unwrap(),
            "seed {seed}"
        );
        check(&cluster, &logs[2], &written).await;
    }
}
