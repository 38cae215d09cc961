//! Nodes that die, refuse, freeze and change their minds about who leads.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_leader_is_followed_by_another_and_nothing_acknowledged_is_lost() {
    for seed in 1..=3 {
        let cluster = cluster(3, seed).await;
        let log = open(&cluster).await;
        let mut subscription = log.subscribe(None, Filter::all()).await.unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        let (written, kills) =
            tokio::join!(write(&log, seed, || !stop.load(std::sync::atomic::Ordering::SeqCst)), async {
                let mut kills = 0;
                for _ in 0..4 {
                    let events = cluster.counters().events_committed;
                    cluster.wait("writes after an election", |c| c.events_committed >= events + 20).await;
                    let killed = cluster.kill_leader().await;
                    kills += 1;
                    cluster.wait_for_leader().await;
                    cluster.revive(killed);
                }
                stop.store(true, std::sync::atomic::Ordering::SeqCst);
                kills
            });
        println!(
            "seed {seed}: {kills} leaders killed, {} appends acknowledged, {:?}",
            written.len(),
            cluster.counters()
        );
        check(&cluster, &log, &written).await;
        let seen = follow(&mut subscription, written.len()).await;
        assert_eq!(seen, all(&log, Direction::Forward, &Filter::all(), 1000).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_switched_under_load_is_followed() {
    for seed in 1..=2 {
        let cluster = cluster(3, seed).await;
        let logs = [open(&cluster).await, open(&cluster).await, open(&cluster).await];
        let stop = std::sync::atomic::AtomicBool::new(false);
        let go_on = || !stop.load(std::sync::atomic::Ordering::SeqCst);
        let (a, b, c, ()) = tokio::join!(
            write(&logs[0], seed * 10, go_on),
            write(&logs[1], seed * 10 + 1, go_on),
            write(&logs[2], seed * 10 + 2, go_on),
            async {
                for _ in 0..5 {
                    let events = cluster.counters().events_committed;
                    cluster.wait("writes after an election", |c| c.events_committed >= events + 30).await;
                    cluster.switch_leader().await;
                }
                stop.store(true, std::sync::atomic::Ordering::SeqCst);
            }
        );
        let written = [a, b, c].concat();
        println!("seed {seed}: {} appends by three acknowledged, {:?}", written.len(), cluster.counters());
        let last = written.iter().map(|(.., appended)| appended.position).max();
        for log in &logs {
            within("all to have read all", async {
                let mut subscription = log.subscribe(None, Filter::all()).await.unwrap();
                while subscription.position() < last {
                    subscription.next().await.unwrap();
                }
            })
            .await;
            check(&cluster, log, &written).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_connection_that_is_refused_is_made_later() {
    let cluster = cluster(3, 1).await;
    for node in 0..3 {
        cluster.refuse(node).await;
    }
    let short = Options { connect_max: Duration::from_millis(400), ..options() };
    let url = cluster.url();
    let (patient, ()) = tokio::join!(connect(&url, options()), async {
        // By then the patient one has been refused too, again and again.
        match connect(&cluster.url(), short.clone()).await {
            Err(error @ Error::Unavailable { .. }) => println!("{error}"),
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("connected to nobody"),
        }
        for node in 0..3 {
            cluster.accept(node);
        }
    });
    let log = patient.unwrap();
    let done = log.append(&stream("office"), Expected::NoStream, vec![event(1)]).await.unwrap();
    check(&cluster, &log, &[(stream("office"), event(1), done)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_gone_is_unavailable_and_comes_back() {
    let cluster = cluster(3, 1).await;
    let log =
        connect(&cluster.url(), Options { deadline: Duration::from_millis(500), ..options() }).await.unwrap();
    let office = stream("office");
    let first = log.append(&office, Expected::NoStream, vec![event(1)]).await.unwrap();
    for node in 0..3 {
        cluster.kill(node).await;
    }
    for _ in 0..2 {
        let refused = log.append(&office, Expected::Revision(0), vec![event(2)]).await;
        assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
        let refused = log.read_stream(&office, 0, Direction::Forward, 9).await;
        assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
    }
    assert_eq!(log.head().size, 1, "what is known is known");
    for node in 0..3 {
        cluster.revive(node);
    }
    let second = within("the cluster to be back", async {
        loop {
            match log.append(&office, Expected::Revision(0), vec![event(2)]).await {
                Ok(done) => return done,
                Err(Error::Unavailable { .. }) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
    })
    .await;
    check(&cluster, &log, &[(office.clone(), event(1), first), (office, event(2), second)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_freezes_is_left() {
    let cluster = cluster(3, 1).await;
    let log = open(&cluster).await;
    let mut written = write(&log, 1, {
        let mut left = 10;
        move || {
            left -= 1;
            left >= 0
        }
    })
    .await;
    let frozen = cluster.wait_for_leader().await;
    cluster.freeze(frozen);
    let office = stream("office");
    let asked = within("an append", async {
        tokio::join!(log.append(&office, Expected::NoStream, vec![event(7)]), async {
            // The others elect another one, as they do when they hear nothing from it.
            cluster.switch_leader().await
        })
    });
    let (done, _) = asked.await;
    written.push((stream("office"), event(7), done.unwrap()));
    cluster.thaw(frozen);
    check(&cluster, &log, &written).await;
}
