use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use duban_log::{
    Appended, Error, EventLog, Expected, Feed, Head, MemoryLog, NewEvent, Page, StreamName, Subscription,
};
use duban_vault::keys::KeyStore;

use super::*;
use crate::runner::{Bounds, Rules};
use crate::tasks::{EndsWith, Supervisor, Task};
use crate::time::VirtualClock;

/// A log in memory whose first subscriptions cannot be read.
struct Unreadable {
    inner: MemoryLog,
    breaks: AtomicU32,
}

struct Broken;

#[async_trait]
impl Feed for Broken {
    async fn next(&mut self) -> Result<Delivery, Error> {
        Err(Error::Io { doing: "read".to_owned(), source: std::io::Error::other("bad sector") })
    }

    fn position(&self) -> Option<Position> {
        None
    }
}

#[async_trait]
impl EventLog for Unreadable {
    async fn append(&self, s: &StreamName, e: Expected, events: Vec<NewEvent>) -> Result<Appended, Error> {
        self.inner.append(s, e, events).await
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
        let left = |breaks: u32| breaks.checked_sub(1);
        match self.breaks.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left) {
            Ok(_) => Ok(Subscription::new(Broken)),
            Err(_) => self.inner.subscribe(after, filter).await,
        }
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

#[tokio::test]
async fn a_log_that_cannot_be_read_for_a_while_is_reacted_to_when_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let log = Arc::new(Unreadable { inner: MemoryLog::new(), breaks: AtomicU32::new(2) });
    let clock = VirtualClock::new("2026-03-02T01:00:00Z".parse().unwrap());
    let runner = Runner::new(
        Arc::clone(&log) as Arc<dyn EventLog>,
        Arc::new(clock),
        Rules::cn_national(),
        duban_vault::own_ids::OwnIds::new(&[7; 32]),
        Bounds::default(),
    );
    let runner = Arc::new(runner);
    let id = Uuid::from_u128(42);
    let ask = Ask {
        command: CommandId(Uuid::from_u128(1)),
        expected_revision: None,
        fingerprint: [0; 16],
        actor: Actor { id: "s-1".into(), role: Role::Supervisor, unit: "line-crew".into() },
        lineage: Lineage::default(),
    };
    let open = |_: Option<&Problem>, _| {
        Ok(problem::Command::Open {
            problem: ProblemId(id),
            title: "电源老化".into(),
            category: "fault.broadband.down".into(),
            owner: "line-crew".into(),
        })
    };
    let position = runner.run(id, &ask, open).await.unwrap().position;

    let sealer = Sealer::new(Arc::new(KeyStore::open(dir.path(), None).unwrap()));
    let reactions = Arc::new(Reactions::open(dir.path(), runner, sealer).await);
    let drain = Drain::default();
    let tasks = Supervisor::new(drain.clone());
    tasks.spawn(Task::Reactions, {
        let (reactions, drain) = (Arc::clone(&reactions), drain.clone());
        move || {
            let (reactions, drain) = (Arc::clone(&reactions), drain.clone());
            async move { reactions.run(drain).await.map_err(Into::into) }
        }
    });
    reactions.reached(position).await;
    assert_eq!(log.breaks.load(Ordering::SeqCst), 0);
    assert_eq!(reactions.after(), Some(position), "not past the end, as where reactions have stopped");
    drain.start();
    tasks.ended(EndsWith::Drain).await;
}

#[tokio::test]
async fn a_checkpoint_is_kept_and_a_damaged_store_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    let views = dir.path().join("views");
    let (end, shorter) = (Some(Position::new(80)), Some(Position::new(70)));
    let checkpoint = Checkpoint::open(&views, end).await;
    assert_eq!(checkpoint.get(), None);
    checkpoint.set(Position::new(77));
    drop(checkpoint);
    let checkpoint = Checkpoint::open(&views, end).await;
    assert_eq!(checkpoint.get(), Some(Position::new(77)));
    drop(checkpoint);
    let checkpoint = Checkpoint::open(&views, shorter).await;
    assert_eq!(checkpoint.get(), None, "it belongs to another log");
    checkpoint.set(Position::new(60));
    drop(checkpoint);

    std::fs::write(views.join("reactions-v1/conf"), b"nothing that sled has written").unwrap();
    let checkpoint = Checkpoint::open(&views, end).await;
    assert_eq!(checkpoint.get(), None, "reactions begin at the beginning");
    checkpoint.set(Position::new(5));
    assert_eq!(checkpoint.get(), Some(Position::new(5)));
}
