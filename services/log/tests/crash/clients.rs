//! Clients that append to streams, two calls at a time for the same place now and then, and what they know afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use duban_log::contract::{all, event, is, stream};
use duban_log::disk::Disk;
use duban_log::disk::sim::{Dice, SimDisk};
use duban_log::{Direction, Error, EventLog, Expected, Filter, Options, Reader, Recorded, SegmentedLog};

/// What a scenario found wrong.
pub(crate) type Wrong = String;

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

/// Segments so short that a scenario goes over several, and what the log does where its disk fails.
pub(crate) fn small(fatal: &Arc<AtomicU64>) -> Options {
    let fatal = Arc::clone(fatal);
    Options {
        segment_bytes_min: 16 << 10,
        segment_bytes_max: 64 << 10,
        group_bytes_max: 8 << 10,
        fatal: Arc::new(move |_| {
            fatal.fetch_add(1, Ordering::SeqCst);
        }),
        ..Options::default()
    }
}

pub(crate) fn dyn_disk(disk: &SimDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

/// What a client knows of its stream: what was acknowledged, in order, and what may or may not follow on it.
#[derive(Default, Clone, Debug)]
pub(crate) struct Client {
    pub(crate) acknowledged: Vec<u64>,
    /// One of these, or nothing.
    pub(crate) pending: Vec<Vec<u64>>,
}

pub(crate) type Clients = BTreeMap<u64, Client>;

pub(crate) fn name(n: u64) -> duban_log::StreamName {
    stream(&format!("complaint-{n}"))
}

/// Several clients append to a stream each until the log fails or they have done enough.
pub(crate) async fn load(
    log: Arc<SegmentedLog>,
    disk: SimDisk,
    clients: Clients,
    dice: &mut Dice,
    appends: u64,
) -> Result<Clients, Wrong> {
    let mut known = clients;
    let mut tasks = Vec::new();
    for n in 0..6 {
        let client = known.remove(&n).unwrap_or_default();
        let (log, disk, dice) = (Arc::clone(&log), disk.clone(), Dice::new(dice.roll()));
        tasks.push(tokio::spawn(async move {
            let client = one(&log, &disk, n, client, dice, appends).await?;
            Ok::<_, Wrong>((n, client))
        }));
    }
    let mut done = Clients::new();
    for task in tasks {
        let (n, client) = task.await.map_err(|e| e.to_string())??;
        done.insert(n, client);
    }
    Ok(done)
}

async fn one(
    log: &SegmentedLog,
    disk: &SimDisk,
    n: u64,
    mut client: Client,
    mut dice: Dice,
    appends: u64,
) -> Result<Client, Wrong> {
    let name = name(n);
    for _ in 0..appends {
        let expected = Expected::after((client.acknowledged.len() as u64).checked_sub(1));
        let mut numbers = || -> Vec<u64> { (0..=dice.below(3)).map(|_| dice.below(1 << 40)).collect() };
        let (one, two) = (numbers(), numbers());
        let append =
            |numbers: &[u64]| log.append(&name, expected, numbers.iter().copied().map(event).collect());
        let answers = if dice.below(3) == 0 {
            let (first, second) = tokio::join!(append(&one), append(&two));
            vec![(one, first), (two, second)]
        } else {
            vec![(one.clone(), append(&one).await)]
        };
        let mut ended = false;
        let mut won = 0;
        for (numbers, answer) in answers {
            match answer {
                Ok(done) => {
                    won += 1;
                    client.acknowledged.extend(numbers);
                    if done.last_revision + 1 != client.acknowledged.len() as u64 {
                        return Err(format!(
                            "client {n} was told {done:?} for {} events",
                            client.acknowledged.len()
                        ));
                    }
                }
                // Somebody was first, so this one must never be found.
                Err(Error::WrongExpected { .. }) => {}
                // A disk without power cannot reserve either. Nothing is written then.
                Err(Error::Full) => ended = true,
                Err(Error::Closed) => {
                    client.pending.push(numbers);
                    ended = true;
                }
                Err(other) => return Err(format!("client {n}: {other:?}")),
            }
        }
        if won > 1 {
            return Err(format!("client {n}: two appends at one revision were acknowledged"));
        }
        if won == 1 {
            // They were for the place that is taken.
            client.pending.clear();
        }
        if ended {
            break;
        }
        if dice.below(40) == 0 {
            let seen = beside(disk);
            // Where the disk keeps its promises.
            if disk.broken().is_none() {
                seen?;
            }
        }
    }
    Ok(client)
}

/// A reader beside the writer sees nothing that a power loss now could take away.
fn beside(disk: &SimDisk) -> Result<(), Wrong> {
    let reader = Reader::open_on(dyn_disk(disk)).map_err(|e| format!("a reader beside the log: {e}"))?;
    let seen = reader.head();
    if disk.holder().map_err(|e| e.to_string())?.is_none() {
        // Its writer is dead: what is there is the log, and whoever opens it next syncs it.
        return Ok(());
    }
    let kept =
        Reader::open_on(dyn_disk(&disk.durable())).map_err(|e| format!("after the worst power loss: {e}"))?;
    if kept.head().size < seen.size {
        return Err(format!("a reader saw {} events, of which {} are durable", seen.size, kept.head().size));
    }
    match kept.root_at(seen.size) {
        Ok(root) if root == seen.root => Ok(()),
        other => Err(format!("a reader saw other events than are durable: {other:?}")),
    }
}

/// Everything acknowledged is there, nothing twice, nothing half, nothing refused; what was asked for and not answered is there whole or
/// not at all. What is there now was seen, and must stay.
pub(crate) async fn check(log: &SegmentedLog, clients: &mut Clients) -> Result<u64, Wrong> {
    let mut found = 0;
    for (n, client) in clients {
        let events = log
            .read_stream(&name(*n), 0, Direction::Forward, usize::MAX)
            .await
            .map_err(|e| format!("client {n}: {e}"))?;
        client.found(*n, &events)?;
        found += events.len() as u64;
    }
    let whole = all(log, Direction::Forward, &Filter::all(), 100).await.map_err(|e| e.to_string())?;
    let head = log.head();
    if whole.len() as u64 != found || head.size != found {
        return Err(format!("{found} events in streams, {} in all, {} in the head", whole.len(), head.size));
    }
    if log.root_at(head.size).await.map_err(|e| e.to_string())? != head.root {
        return Err("the head's root is not the tree's".to_owned());
    }
    Ok(found)
}

impl Client {
    fn found(&mut self, n: u64, events: &[Recorded]) -> Result<(), Wrong> {
        let are = |numbers: &[u64], from: usize| {
            events.len() == from + numbers.len()
                && (from as u64..).zip(&events[from..]).zip(numbers).all(|((revision, recorded), number)| {
                    is(recorded, &event(*number)) && recorded.revision == revision
                })
        };
        let had = self.acknowledged.len();
        if events.len() < had {
            return Err(format!("client {n} was acknowledged {had} events and finds {}", events.len()));
        }
        let first = &events[..had];
        if !(0..).zip(first).zip(&self.acknowledged).all(|((revision, recorded), number)| {
            is(recorded, &event(*number)) && recorded.revision == revision
        }) {
            return Err(format!("client {n} finds other events than were acknowledged"));
        }
        let pending = std::mem::take(&mut self.pending);
        if events.len() > had {
            let Some(found) = pending.into_iter().find(|numbers| are(numbers, had)) else {
                return Err(format!("client {n} finds {} events more than it may", events.len() - had));
            };
            self.acknowledged.extend(found);
        }
        Ok(())
    }
}
