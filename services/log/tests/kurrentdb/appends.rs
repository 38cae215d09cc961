//! Single appends that go wrong, before and after they are written.

use duban_fake_kurrentdb::Fault;

use super::*;

async fn check_fault(fault: Fault, times: u32, config: Config) {
    let cluster = Cluster::start(config).await.unwrap();
    let log = open(&cluster).await;
    let office = stream("office");
    let mut written = Vec::new();
    for n in 0..5_u64 {
        cluster.fault(fault, times);
        let (expected, new) = (Expected::after(n.checked_sub(1)), event(n));
        let done = within("an append", log.append(&office, expected, vec![new.clone()])).await;
        let done = done.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_eq!(cluster.faults_left(), 0, "{fault:?}");
        // Whoever heard no answer asks again, and is told the same.
        let again = log.append(&office, expected, vec![new.clone()]).await.unwrap();
        assert_eq!(again, done, "{fault:?}");
        written.push((office.clone(), new, done));
    }
    let counters = cluster.counters();
    println!("{fault:?}: {} appends arrived for 5, {} repeated", counters.appends, counters.appends_repeated);
    assert_eq!(counters.faults, u64::from(times) * 5);
    check(&cluster, &log, &written).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_whose_outcome_is_not_known_is_answered_as_if_nothing_had_happened() {
    for fault in [
        Fault::TimeOutAfterCommit,
        Fault::SwallowAfterCommit,
        Fault::ResetAfterCommit,
        Fault::DelayAfterCommit(Duration::from_secs(1)),
    ] {
        for (seed, repeats_have_positions) in [(1, true), (2, false)] {
            let config = Config { nodes: 3, seed, repeats_have_positions, ..Config::default() };
            check_fault(fault, 1, config).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_that_did_not_happen_is_made() {
    for fault in [Fault::TimeOut, Fault::Swallow, Fault::Reset, Fault::NotReady, Fault::TooBusy] {
        check_fault(fault, 2, Config { nodes: 3, ..Config::default() }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_says_that_another_one_leads_is_believed_and_not_for_ever() {
    for fault in [Fault::NotLeader, Fault::NotLeaderBut(0), Fault::NotLeaderBut(1), Fault::NotLeaderBut(2)] {
        check_fault(fault, 3, Config { nodes: 3, ..Config::default() }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_known_node_is_enough_to_find_the_leader() {
    let cluster = cluster(3, 1).await;
    let follower = cluster.followers()[0];
    let log = connect(&cluster.url_of(follower), options()).await.unwrap();
    let mut written = Vec::new();
    for n in 0..20_u64 {
        if n % 5 == 4 {
            cluster.switch_leader().await;
        }
        let done =
            log.append(&stream("office"), Expected::after(n.checked_sub(1)), vec![event(n)]).await.unwrap();
        written.push((stream("office"), event(n), done));
    }
    check(&cluster, &log, &written).await;
    assert!(cluster.counters().not_leader_answers > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_is_lost_with_its_leader_is_made_again_and_one_that_was_kept_is_not() {
    for tail in [duban_fake_kurrentdb::Tail::Lost, duban_fake_kurrentdb::Tail::Kept] {
        let cluster = Cluster::start(Config { nodes: 3, tail, ..Config::default() }).await.unwrap();
        let log = open(&cluster).await;
        cluster.hold_commits();
        let office = stream("office");
        let (done, ()) =
            tokio::join!(log.append(&office, Expected::NoStream, vec![event(1), event(2)]), async {
                cluster.wait_for_uncommitted(2).await;
                cluster.kill_leader().await;
                cluster.release_commits();
                cluster.wait_for_leader().await;
            });
        let done = done.unwrap();
        assert_eq!((done.first_revision, done.last_revision), (0, 1));
        assert_eq!(log.head().size, 2, "{tail:?}");
        assert_eq!(cluster.audit(), Vec::<String>::new());
        let lost = cluster.counters().events_truncated;
        assert_eq!(lost > 0, tail == duban_fake_kurrentdb::Tail::Lost, "{tail:?}: {lost} lost");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_is_a_conflict_also_after_an_attempt_whose_outcome_is_not_known() {
    let cluster = cluster(3, 1).await;
    let (one, other) = (open(&cluster).await, open(&cluster).await);
    let office = stream("office");
    one.append(&office, Expected::NoStream, vec![event(1)]).await.unwrap();
    cluster.fault(Fault::TimeOut, 1);
    let (lost, won) = tokio::join!(one.append(&office, Expected::Revision(0), vec![event(2)]), async {
        cluster.wait("the fault", |c| c.faults == 1).await;
        other.append(&office, Expected::Revision(0), vec![event(3)]).await
    });
    // Either may have been the first; the other is told so.
    match (lost, won) {
        (Ok(done), Err(Error::WrongExpected { actual, .. }))
        | (Err(Error::WrongExpected { actual, .. }), Ok(done)) => {
            assert_eq!((done.last_revision, actual), (1, Some(1)));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_servers_or_the_log_do_not_take_is_refused_at_once() {
    let cluster = cluster(1, 1).await;
    let log = open(&cluster).await;
    cluster.fault(Fault::AccessDenied, 1);
    let refused = log.append(&stream("office"), Expected::NoStream, vec![event(1)]).await;
    assert!(refused.as_ref().is_err_and(|e| e.to_string().contains("denied")), "{refused:?}");
    assert_eq!(cluster.counters().appends, 1, "it was not asked again");
    let refused = log.append(&stream("elsewhere-1"), Expected::NoStream, vec![event(1)]).await;
    assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    assert_eq!(log.head().size, 0);
}
