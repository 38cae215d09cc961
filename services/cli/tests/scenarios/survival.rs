//! `kill -9` under load, in the short form: the long one is the program `survival`.

use duban_tests::survival::{Plan, survive};

use crate::program;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_and_nothing_happens_twice_when_the_server_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let plan = Plan {
        program: program().to_owned(),
        directory: directory.path().to_owned(),
        kills: 3,
        clients: 8,
        seed: 7,
    };
    let outcome = survive(&plan, |_, _| {}).await;
    assert_eq!(outcome.problems, Vec::<String>::new());
    assert_eq!((outcome.kills, outcome.lost, outcome.twice), (3, 0, 0), "{outcome:?}");
    assert!(outcome.verified, "{outcome:?}");
    assert!(outcome.acknowledged >= 60, "{outcome:?}");
}
