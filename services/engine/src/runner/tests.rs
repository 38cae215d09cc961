use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use async_trait::async_trait;
use duban_aggregates::actor::Actor;
use duban_aggregates::ids::{CommandId, ProblemId};
use duban_aggregates::problem::Command;
use duban_aggregates::words::Role;
use duban_codec::Lineage;
use duban_log::{Error, Filter, Head, MemoryLog, Page, Position, Subscription};
use duban_vault::own_ids::OwnIds;

use super::*;
use crate::time::VirtualClock;

const PROBLEM: Uuid = Uuid::from_u128(42);

/// A log in memory whose appends wait for leave, and whose answers may get lost.
struct Slow {
    inner: MemoryLog,
    leave: Semaphore,
    lose_answers: AtomicBool,
    appends: AtomicU32,
}

impl Slow {
    fn new(leave: usize) -> Arc<Self> {
        let (lose_answers, appends) = (AtomicBool::new(false), AtomicU32::new(0));
        Arc::new(Self { inner: MemoryLog::new(), leave: Semaphore::new(leave), lose_answers, appends })
    }
}

#[async_trait]
impl EventLog for Slow {
    async fn append(
        &self,
        stream: &StreamName,
        expected: Expected,
        events: Vec<NewEvent>,
    ) -> Result<Appended, Error> {
        self.appends.fetch_add(1, Ordering::SeqCst);
        let appended = self.inner.append(stream, expected, events).await?;
        // Written, and not answered yet: whoever gives up here does not undo it.
        self.leave.acquire().await.unwrap().forget();
        if self.lose_answers.load(Ordering::SeqCst) { Err(Error::Closed) } else { Ok(appended) }
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        from: u64,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Recorded>, Error> {
        self.inner.read_stream(stream, from, direction, limit).await
    }

    async fn read_all(
        &self,
        from: Option<Position>,
        direction: Direction,
        filter: &Filter,
        limit: usize,
    ) -> Result<Page, Error> {
        self.inner.read_all(from, direction, filter, limit).await
    }

    async fn subscribe(&self, after: Option<Position>, filter: Filter) -> Result<Subscription, Error> {
        self.inner.subscribe(after, filter).await
    }

    fn head(&self) -> Head {
        self.inner.head()
    }

    async fn root_at(&self, size: u64) -> Result<[u8; 32], Error> {
        self.inner.root_at(size).await
    }

    async fn inclusion_proof(&self, leaf: u64, size: u64) -> Result<Vec<[u8; 32]>, Error> {
        self.inner.inclusion_proof(leaf, size).await
    }

    async fn consistency_proof(&self, old: u64, size: u64) -> Result<Vec<[u8; 32]>, Error> {
        self.inner.consistency_proof(old, size).await
    }

    async fn close(&self) -> Result<(), Error> {
        self.inner.close().await
    }
}

fn clock() -> VirtualClock {
    VirtualClock::new("2026-03-02T01:00:00Z".parse().unwrap())
}

fn runner(log: Arc<dyn EventLog>, bounds: Bounds) -> Runner {
    Runner::new(log, Arc::new(clock()), Rules::cn_national(), OwnIds::new(&[7; 32]), bounds)
}

fn ask(command: u128, request: u8) -> Ask {
    Ask {
        command: CommandId(Uuid::from_u128(command)),
        expected_revision: None,
        fingerprint: [request; 16],
        actor: Actor { id: "s-1".into(), role: Role::Supervisor, unit: "line-crew".into() },
        lineage: Lineage::default(),
    }
}

async fn open(runner: &Runner, ask: &Ask) -> Result<Answer, RunError> {
    open_as(runner, ask, PROBLEM).await
}

async fn open_as(runner: &Runner, ask: &Ask, id: Uuid) -> Result<Answer, RunError> {
    let command = |_: Option<&Problem>, _| {
        Ok(Command::Open {
            problem: ProblemId(id),
            title: "电源老化".into(),
            category: "fault.broadband.down".into(),
            owner: "line-crew".into(),
        })
    };
    runner.run(id, ask, command).await
}

async fn find(runner: &Runner, ask: &Ask, cause: &str) -> Result<Answer, RunError> {
    let command = |_: Option<&Problem>, _| Ok(Command::FindCause { cause: cause.to_owned() });
    runner.run(PROBLEM, ask, command).await
}

#[tokio::test]
async fn a_repeat_answers_what_the_first_answered_also_after_other_events_and_from_the_log_alone() {
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
    let first = runner(Arc::clone(&log), Bounds::default());
    let opened = open(&first, &ask(1, 1)).await.unwrap();
    let found = find(&first, &ask(2, 2), "雷击").await.unwrap();
    assert_eq!((opened.revision, found.revision), (0, 1));
    for runner in [&first, &runner(Arc::clone(&log), Bounds::default())] {
        assert_eq!(open(runner, &ask(1, 1)).await.unwrap(), opened);
        assert_eq!(find(runner, &ask(2, 2), "雷击").await.unwrap(), found);
        // The same asked by another command holds already: the answer is where the stream is.
        assert_eq!(find(runner, &ask(3, 3), "雷击").await.unwrap(), found);
    }
    assert_eq!(log.head().size, 2);
}

#[tokio::test]
async fn a_command_id_on_another_request_is_refused_and_so_is_a_rule_without_a_trace() {
    let runner = runner(Arc::new(MemoryLog::new()), Bounds::default());
    assert!(matches!(find(&runner, &ask(1, 1), "x").await, Err(RunError::Rejected { .. })));
    open(&runner, &ask(1, 1)).await.unwrap();
    assert!(matches!(find(&runner, &ask(1, 2), "x").await, Err(RunError::CommandIdReused)));
    let again = open(&runner, &ask(2, 2)).await.unwrap_err();
    assert!(matches!(again, RunError::Rejected { rejection, .. } if *rejection == Rejection::AlreadyExists));
    find(&runner, &ask(2, 3), "x").await.unwrap();
}

#[tokio::test]
async fn whoever_was_slower_looks_again_and_decides_again() {
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
    let (one, two) = (runner(Arc::clone(&log), Bounds::default()), runner(log, Bounds::default()));
    open(&one, &ask(1, 1)).await.unwrap();
    for number in 0..20u8 {
        // Each has folded the stream as it was before the other wrote.
        let runner = if number % 2 == 0 { &two } else { &one };
        let answer =
            find(runner, &ask(10 + u128::from(number), number), &format!("原因{number}")).await.unwrap();
        assert_eq!(answer.revision, 1 + u64::from(number));
    }
}

#[tokio::test]
async fn an_expected_revision_is_kept_to() {
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
    let (one, two) = (runner(Arc::clone(&log), Bounds::default()), runner(log, Bounds::default()));
    let seen = |command, revision| Ask { expected_revision: Some(revision), ..ask(command, 9) };
    assert!(matches!(find(&one, &seen(1, 0), "x").await, Err(RunError::Rejected { .. })), "it is not there");
    assert!(matches!(open(&one, &seen(2, 0)).await, Err(RunError::Conflict { actual: None })));
    open(&one, &ask(3, 1)).await.unwrap();
    find(&two, &ask(4, 2), "雷击").await.unwrap();
    // `one` believes in revision 0 still; the log knows better.
    let refused = find(&one, &seen(5, 0), "水浸").await.unwrap_err();
    assert!(matches!(refused, RunError::Conflict { actual: Some(1) }), "{refused}");
    find(&one, &seen(6, 1), "水浸").await.unwrap();
}

#[tokio::test]
async fn a_call_given_up_in_the_middle_leaves_nothing_stale_and_its_repeat_finds_it() {
    let log = Slow::new(1);
    let runner = Arc::new(runner(log.clone(), Bounds::default()));
    open(&runner, &ask(1, 1)).await.unwrap();
    let given_up = tokio::spawn({
        let runner = Arc::clone(&runner);
        async move { find(&runner, &ask(2, 2), "雷击").await }
    });
    while log.appends.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    given_up.abort();
    assert!(given_up.await.unwrap_err().is_cancelled());
    log.leave.add_permits(10);
    let answer = find(&runner, &ask(2, 2), "雷击").await.unwrap();
    assert_eq!((answer.revision, log.head().size), (1, 2));
    assert_eq!(find(&runner, &ask(3, 3), "水浸").await.unwrap().revision, 2);
}

#[tokio::test]
async fn an_answer_that_was_lost_is_found_by_repeating_the_command() {
    let log = Slow::new(100);
    let runner = runner(log.clone(), Bounds::default());
    log.lose_answers.store(true, Ordering::SeqCst);
    assert!(matches!(open(&runner, &ask(1, 1)).await, Err(RunError::Unavailable(_))));
    log.lose_answers.store(false, Ordering::SeqCst);
    assert_eq!(open(&runner, &ask(1, 1)).await.unwrap().revision, 0);
    assert_eq!(log.head().size, 1);
}

#[tokio::test]
async fn more_than_the_server_takes_on_is_refused_at_once() {
    let log = Slow::new(0);
    let bounds = Bounds { in_flight_max: 1, queued_max: 1, hot_streams_max: 16 };
    let runner = Arc::new(runner(log.clone(), bounds));
    let spawn = |command: u128| {
        let runner = Arc::clone(&runner);
        tokio::spawn(async move { open_as(&runner, &ask(command, 1), Uuid::from_u128(command)).await })
    };
    let (one, two) = (spawn(1), spawn(2));
    while log.appends.load(Ordering::SeqCst) < 1 || runner.admission.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    assert!(matches!(open(&runner, &ask(3, 1)).await, Err(RunError::Overloaded)));
    assert_eq!(log.appends.load(Ordering::SeqCst), 1, "the second waits for its turn");
    log.leave.add_permits(10);
    one.await.unwrap().unwrap();
    two.await.unwrap().unwrap();
    open(&runner, &ask(3, 1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_on_one_stream_from_many_sides_all_come_through_with_a_cache_of_two() {
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
    let runner = Arc::new(runner(Arc::clone(&log), Bounds { hot_streams_max: 2, ..Bounds::default() }));
    for stream in 0..4 {
        open_as(&runner, &ask(stream, 1), Uuid::from_u128(1000 + stream)).await.unwrap();
    }
    let tasks: Vec<_> = (0..200u128)
        .map(|number| {
            let runner = Arc::clone(&runner);
            tokio::spawn(async move {
                let command =
                    |_: Option<&Problem>, _| Ok(Command::FindCause { cause: format!("原因{number}") });
                runner.run(Uuid::from_u128(1000 + number % 4), &ask(100 + number, 1), command).await
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(log.head().size, 204);
}

#[tokio::test]
async fn recorded_time_never_decreases_inside_a_stream() {
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
    let ahead = clock();
    ahead.advance(std::time::Duration::from_secs(3600));
    let bounds = Bounds::default();
    let later =
        Runner::new(Arc::clone(&log), Arc::new(ahead), Rules::cn_national(), OwnIds::new(&[7; 32]), bounds);
    open(&later, &ask(1, 1)).await.unwrap();
    find(&runner(Arc::clone(&log), bounds), &ask(2, 2), "雷击").await.unwrap();
    let events =
        log.read_stream(&stream_name("problem", PROBLEM).unwrap(), 0, Direction::Forward, 9).await.unwrap();
    assert_eq!(events[1].recorded_at, events[0].recorded_at);
}

/// Two servers over one log, each with the problem folded.
async fn beside() -> (Arc<dyn EventLog>, Runner, Runner) {
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
    let beside = || runner(Arc::clone(&log), Bounds::default()).beside_others();
    let (one, two) = (beside(), beside());
    open(&one, &ask(1, 1)).await.unwrap();
    two.view(PROBLEM, |problem: Option<&Problem>| assert!(problem.is_some())).await.unwrap();
    (log, one, two)
}

async fn cause(runner: &Runner) -> Option<String> {
    runner.view(PROBLEM, |problem: Option<&Problem>| problem.and_then(|it| it.cause.clone())).await.unwrap()
}

#[tokio::test]
async fn beside_others_nothing_is_shown_held_or_refused_by_what_is_out_of_date() {
    let (log, one, two) = beside().await;
    find(&one, &ask(2, 2), "雷击").await.unwrap();
    assert_eq!(cause(&two).await.as_deref(), Some("雷击"), "a question is answered by the log as it is");
    find(&two, &ask(3, 3), "水浸").await.unwrap();
    // `one` has 雷击 folded, by which this would hold already.
    let again = find(&one, &ask(4, 4), "雷击").await.unwrap();
    assert_eq!((again.revision, log.head().size), (3, 4));
    // What the other has seen is expected here, though nothing of it is folded yet.
    let seen = |command, revision| Ask { expected_revision: Some(revision), ..ask(command, 9) };
    assert_eq!(find(&two, &seen(5, 3), "鼠害").await.unwrap().revision, 4);
    let refused = find(&one, &seen(6, 3), "x").await.unwrap_err();
    assert!(matches!(refused, RunError::Conflict { actual: Some(4) }), "{refused}");
}

#[tokio::test]
async fn beside_others_a_stream_that_was_not_there_is_looked_for_again() {
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
    let beside = || runner(Arc::clone(&log), Bounds::default()).beside_others();
    let (one, two) = (beside(), beside());
    assert!(matches!(find(&two, &ask(1, 1), "x").await, Err(RunError::Rejected { .. })));
    open(&one, &ask(2, 2)).await.unwrap();
    assert_eq!(find(&two, &ask(3, 3), "x").await.unwrap().revision, 1);
    let again = open(&two, &ask(4, 4)).await.unwrap_err();
    assert!(matches!(again, RunError::Rejected { rejection, .. } if *rejection == Rejection::AlreadyExists));
}

#[tokio::test]
async fn beside_others_a_command_that_another_has_carried_out_answers_what_it_answered_there() {
    let (log, one, two) = beside().await;
    let found = find(&one, &ask(2, 2), "雷击").await.unwrap();
    find(&one, &ask(3, 3), "水浸").await.unwrap();
    assert_eq!(find(&two, &ask(2, 2), "雷击").await.unwrap(), found);
    assert!(matches!(find(&two, &ask(3, 9), "y").await, Err(RunError::CommandIdReused)));
    assert_eq!(log.head().size, 3);
}

/// A log that knows events by their ids, as some engines do: a repeated append is answered like the first.
struct Idempotent(MemoryLog);

#[async_trait]
impl EventLog for Idempotent {
    async fn append(
        &self,
        stream: &StreamName,
        expected: Expected,
        events: Vec<NewEvent>,
    ) -> Result<Appended, Error> {
        let kept =
            self.0.read_stream(stream, expected.next_revision(), Direction::Forward, events.len()).await?;
        if kept.len() == events.len() && kept.iter().zip(&events).all(|(kept, event)| kept.id == event.id) {
            let last = kept.last().unwrap();
            return Ok(Appended {
                first_revision: expected.next_revision(),
                last_revision: last.revision,
                position: last.position,
            });
        }
        self.0.append(stream, expected, events).await
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        from: u64,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Recorded>, Error> {
        self.0.read_stream(stream, from, direction, limit).await
    }

    async fn read_all(
        &self,
        from: Option<Position>,
        direction: Direction,
        filter: &Filter,
        limit: usize,
    ) -> Result<Page, Error> {
        self.0.read_all(from, direction, filter, limit).await
    }

    async fn subscribe(&self, after: Option<Position>, filter: Filter) -> Result<Subscription, Error> {
        self.0.subscribe(after, filter).await
    }

    fn head(&self) -> Head {
        self.0.head()
    }

    async fn root_at(&self, size: u64) -> Result<[u8; 32], Error> {
        self.0.root_at(size).await
    }

    async fn inclusion_proof(&self, leaf: u64, size: u64) -> Result<Vec<[u8; 32]>, Error> {
        self.0.inclusion_proof(leaf, size).await
    }

    async fn consistency_proof(&self, old: u64, size: u64) -> Result<Vec<[u8; 32]>, Error> {
        self.0.consistency_proof(old, size).await
    }

    async fn close(&self) -> Result<(), Error> {
        self.0.close().await
    }
}

#[tokio::test]
async fn beside_others_what_another_decided_for_the_same_command_is_folded_and_not_what_was_decided_here() {
    let log: Arc<dyn EventLog> = Arc::new(Idempotent(MemoryLog::new()));
    let (here, there) = (clock(), clock());
    let beside = |clock: &VirtualClock| {
        let clock: Arc<dyn Clock> = Arc::new(clock.clone());
        Runner::new(Arc::clone(&log), clock, Rules::cn_national(), OwnIds::new(&[7; 32]), Bounds::default())
            .beside_others()
    };
    let (one, two) = (beside(&here), beside(&there));
    open(&one, &ask(1, 1)).await.unwrap();
    two.view(PROBLEM, |problem: Option<&Problem>| assert!(problem.is_some())).await.unwrap();
    there.advance(std::time::Duration::from_secs(60));
    let answers =
        (find(&one, &ask(2, 2), "雷击").await.unwrap(), find(&two, &ask(2, 2), "雷击").await.unwrap());
    assert_eq!((answers.0, log.head().size), (answers.1, 2));
    let recorded = |problem: Option<&Problem>| problem.map(|it| it.last_recorded_at);
    assert_eq!(two.view(PROBLEM, recorded).await.unwrap(), Some(here.now()), "the other's moment counts");
}
