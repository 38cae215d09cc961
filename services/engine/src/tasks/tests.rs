//! What becomes of tasks that fail, on time that is moved by hand.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// Any one that begins again, and the one that does not.
const RESTARTED: Task = Task::Timers;
const FATAL: Task = Task::Serving;

fn supervisor() -> (Supervisor, Drain) {
    let drain = Drain::default();
    (Supervisor::new(drain.clone()), drain)
}

/// Runs until the server stops.
async fn well(drain: Drain) -> Result<(), TaskError> {
    drain.started().await;
    Ok(())
}

async fn until(supervisor: &Supervisor, task: Task, is: impl Fn(&TaskState) -> bool) -> TaskState {
    let mut states = supervisor.watch();
    let found = states.wait_for(|states| states.get(&task).is_some_and(&is)).await.unwrap();
    found[&task].clone()
}

/// Fails so often in a way, then runs well.
fn failing(
    supervisor: &Supervisor,
    drain: &Drain,
    times: u32,
    fail: fn() -> Result<(), TaskError>,
) -> Arc<AtomicU32> {
    let begun = Arc::new(AtomicU32::new(0));
    supervisor.spawn(RESTARTED, {
        let (begun, drain) = (Arc::clone(&begun), drain.clone());
        move || {
            let (nth, drain) = (begun.fetch_add(1, Ordering::SeqCst), drain.clone());
            async move { if nth < times { fail() } else { well(drain).await } }
        }
    });
    begun
}

#[track_caller]
fn reason(state: &TaskState) -> &str {
    match state {
        TaskState::Restarting { reason, .. } | TaskState::Failed { reason } => reason,
        TaskState::Running | TaskState::Ended => panic!("{state:?} has no reason"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_panics_is_seen_to_have_and_begins_again() {
    let (supervisor, drain) = supervisor();
    let begun = failing(&supervisor, &drain, 1, || panic!("the table is {}", "gone"));
    let state = until(&supervisor, RESTARTED, |state| !state.is_running()).await;
    assert_eq!(reason(&state), "it panicked: the table is gone");
    until(&supervisor, RESTARTED, TaskState::is_running).await;
    assert_eq!(begun.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_panics_before_it_has_begun_is_caught_too() {
    let (supervisor, _drain) = supervisor();
    supervisor.spawn(RESTARTED, || -> std::future::Ready<Result<(), TaskError>> { panic!("at once") });
    let again = |state: &TaskState| matches!(state, TaskState::Restarting { failures: 2, .. });
    assert_eq!(reason(&until(&supervisor, RESTARTED, again).await), "it panicked: at once");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_returns_an_error_is_named_with_its_causes() {
    let (supervisor, drain) = supervisor();
    failing(&supervisor, &drain, 1, || {
        let source = std::io::Error::other("no space left");
        Err(Box::new(duban_log::Error::Io { doing: "write".to_owned(), source }))
    });
    let state = until(&supervisor, RESTARTED, |state| !state.is_running()).await;
    assert_eq!(reason(&state), "cannot write: no space left");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_ends_by_itself_has_failed() {
    let (supervisor, drain) = supervisor();
    let begun = failing(&supervisor, &drain, 1, || Ok(()));
    let state = until(&supervisor, RESTARTED, |state| !state.is_running()).await;
    assert_eq!(reason(&state), "it ended although the server goes on");
    until(&supervisor, RESTARTED, TaskState::is_running).await;
    assert_eq!(begun.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_while_a_task_fails_in_a_row_and_never_beyond_their_bound() {
    let (supervisor, drain) = supervisor();
    let began = Instant::now();
    let begun = failing(&supervisor, &drain, 20, || Err("again".into()));
    let state =
        until(&supervisor, RESTARTED, |state| matches!(state, TaskState::Restarting { failures: 20, .. }))
            .await;
    let TaskState::Restarting { since, .. } = state else { unreachable!("waited for") };
    assert_eq!(since, began, "it has been down since its first failure");
    // 50 ms, 100 ms, … 25.6 s, then 30 s each, with as much again at random.
    let waited = began.elapsed();
    assert!(waited > Duration::from_secs(300) && waited < Duration::from_secs(700), "{waited:?}");
    until(&supervisor, RESTARTED, TaskState::is_running).await;
    assert_eq!(begun.load(Ordering::SeqCst), 21);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_runs_for_a_while_between_failures_is_begun_again_soon() {
    let (supervisor, _drain) = supervisor();
    let begun = Arc::new(AtomicU32::new(0));
    supervisor.spawn(RESTARTED, {
        let begun = Arc::clone(&begun);
        move || {
            begun.fetch_add(1, Ordering::SeqCst);
            async {
                tokio::time::sleep(STEADY_AFTER * 2).await;
                Err("the connection is gone".into())
            }
        }
    });
    let began = Instant::now();
    let mut states = supervisor.watch();
    states.wait_for(|_| begun.load(Ordering::SeqCst) == 20).await.unwrap();
    let each = began.elapsed() / 19;
    assert!(each <= STEADY_AFTER * 2 + PAUSE_FIRST * 4, "{each:?}");
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_failure_stops_the_server_does_so_once_and_does_not_begin_again() {
    let (supervisor, drain) = supervisor();
    let mut states = supervisor.watch();
    failing(&supervisor, &drain, 0, || Ok(()));
    supervisor.spawn(FATAL, || async { Err("the address is gone".into()) });
    let failure = supervisor.failed().await;
    assert_eq!(failure.to_string(), "serving failed: the address is gone");
    let fatal = states.wait_for(|states| matches!(states.get(&FATAL), Some(TaskState::Failed { .. }))).await;
    assert_eq!(reason(&fatal.unwrap()[&FATAL]), "the address is gone");
    // Whoever supervises stops the server then; what still runs ends with it.
    drain.start();
    supervisor.ended(EndsWith::Drain).await;
    assert!(matches!(supervisor.state(RESTARTED), Some(TaskState::Ended)));
    assert_eq!(supervisor.failure().unwrap().task, FATAL);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_waits_for_no_pause_and_begins_nothing_again() {
    let (supervisor, drain) = supervisor();
    let begun = failing(&supervisor, &drain, u32::MAX, || Err("again".into()));
    until(&supervisor, RESTARTED, |state| matches!(state, TaskState::Restarting { failures: 9, .. })).await;
    let before = Instant::now();
    drain.start();
    supervisor.ended(EndsWith::Drain).await;
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(begun.load(Ordering::SeqCst), 9);
}

#[tokio::test(start_paused = true)]
async fn what_fails_while_the_server_stops_is_said_and_no_more() {
    let (supervisor, drain) = supervisor();
    supervisor.spawn(RESTARTED, {
        let drain = drain.clone();
        move || {
            let started = drain.started();
            async move {
                started.await;
                Err("could not be finished".into())
            }
        }
    });
    drain.start();
    supervisor.ended(EndsWith::Drain).await;
    let state = supervisor.state(RESTARTED).unwrap();
    assert_eq!(reason(&state), "could not be finished");
    assert!(supervisor.failure().is_none());
}

#[tokio::test]
async fn what_ends_with_the_log_is_not_waited_for_before() {
    let (supervisor, drain) = supervisor();
    let (close, closed) = tokio::sync::watch::channel(false);
    supervisor.spawn(Task::TicketView, move || {
        let mut closed = closed.clone();
        async move { closed.wait_for(|closed| *closed).await.map(drop).map_err(Into::into) }
    });
    drain.start();
    supervisor.ended(EndsWith::Drain).await;
    assert!(supervisor.state(Task::TicketView).unwrap().is_running());
    close.send_replace(true);
    supervisor.ended(EndsWith::Log).await;
    assert!(matches!(supervisor.state(Task::TicketView), Some(TaskState::Ended)));
}
