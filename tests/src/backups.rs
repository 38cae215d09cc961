//! Back up again and again while a load runs, kill backups midway, and restore each: everything up to its head is there.
//!
//! Clients send real commands and write down every answer. What was acknowledged before a backup began has to be in it, at the
//! position that was answered; every event of it has to be, byte for byte, the one in the log that it was taken from; and a backup that
//! was killed leaves the one before it whole.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use duban_engine::backup::Manifest;
use duban_log::Reader;
use duban_log::tree::Hash;
use duban_proto::event::v1::TicketKind;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use tokio::process::Command;
use tokio::sync::{Mutex, watch};
use uuid::Uuid;

use crate::commands;
use crate::histories;
use crate::outside::{Did, Served, run};
use crate::script::{Case, Make, way};
use crate::wire::Wire;
use duban_client::Refusal;

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The program under test.
    pub program: PathBuf,
    /// Where the server's directory, the backups and what is restored are.
    pub directory: PathBuf,
    /// How often to back up.
    pub rounds: u32,
    /// Clients at work at the same time.
    pub clients: u32,
    /// Tickets in the log before the load begins.
    pub tickets: u32,
    /// What the moments of the backups and kills follow from.
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Backups that came to their end.
    pub backups: u32,
    /// Backups that were killed midway.
    pub killed: u32,
    /// Times that a backup was restored and verified, those after a kill included.
    pub restores: u32,
    /// Commands that the server acknowledged.
    pub acknowledged: u64,
    /// Events in the last backup.
    pub events: u64,
    /// Events compared, over all restores.
    pub compared: u64,
    /// Acknowledged before a backup began, and not in it where the answer said.
    pub lost: u64,
    /// Events that are not, byte for byte, those of the log.
    pub differing: u64,
    /// Sealed segments that a backup found as they were written, over all backups.
    pub kept_segments: u64,
    /// Bytes of the log that backups wrote.
    pub written_bytes: u64,
    /// Bytes of the log that backups found there already.
    pub kept_bytes: u64,
    /// The longest backup, in milliseconds.
    pub backup_milliseconds_max: u64,
    /// The longest restore, in milliseconds.
    pub restore_milliseconds_max: u64,
    /// Tickets whose histories, texts opened, a server over the last restored directory told as the first server did.
    pub retold: u64,
    /// As given.
    pub seed: u64,
    /// Everything that is wrong, in words.
    pub problems: Vec<String>,
}

/// An answer to a command.
#[derive(Clone, Debug)]
struct Acknowledged {
    ticket: String,
    command: String,
    revision: u64,
    position: u64,
}

struct Shared {
    wire: Wire,
    acknowledged: Mutex<Vec<Acknowledged>>,
    answers: watch::Sender<u64>,
    problems: Mutex<Vec<String>>,
    stop: AtomicBool,
}

/// Acknowledgements between two backups: at least, and at most.
const BETWEEN: std::ops::Range<u64> = 10..120;

/// A server that acknowledges nothing for this long is stuck.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Tickets that the server over the restored directory is asked about.
const RETOLD: usize = 20;

/// Carries out a plan.
pub async fn back_up(plan: &Plan, progress: impl Fn(&Outcome)) -> Outcome {
    let mut random = SmallRng::seed_from_u64(plan.seed);
    let mut outcome = Outcome { seed: plan.seed, ..Outcome::default() };
    let data = crate::outside::data(&plan.directory);
    if plan.tickets > 0 {
        let (tickets, seed) = (plan.tickets.to_string(), plan.seed.to_string());
        let data = data.to_string_lossy().into_owned();
        let generated =
            run(&plan.program, ["generate", "--data", &data, "--tickets", &tickets, "--seed", &seed]).await;
        assert_eq!(generated.status, Some(0), "{generated:?}");
    }
    let served = Served::start(&plan.program, &plan.directory).await;
    let shared = Arc::new(Shared {
        wire: served.wire().await,
        acknowledged: Mutex::default(),
        answers: watch::Sender::new(0),
        problems: Mutex::default(),
        stop: AtomicBool::new(false),
    });
    let clients: Vec<_> = (0..plan.clients)
        .map(|number| tokio::spawn(client(Arc::clone(&shared), plan.seed, number)))
        .collect();

    let run = Run { plan, data: &data, to: plan.directory.join("backup") };
    for round in 0..plan.rounds {
        let goal = *shared.answers.borrow() + random.random_range(BETWEEN);
        let mut answers = shared.answers.subscribe();
        let reached = answers.wait_for(|count| *count >= goal);
        if tokio::time::timeout(SILENCE_MAX, reached).await.is_err() {
            outcome.problems.push("the server acknowledged nothing for a long time".into());
            break;
        }
        if round % 2 == 1 {
            // Later backups add little, and take a part of the time that the first one did.
            let within = (outcome.backup_milliseconds_max / 3).max(20);
            run.kill_one(&mut random, within, &mut outcome).await;
        }
        let before = shared.acknowledged.lock().await.clone();
        run.one(&before, &mut outcome).await;
        progress(&outcome);
    }

    shared.stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("a client ends by itself");
    }
    let acknowledged = shared.acknowledged.lock().await.clone();
    outcome.acknowledged = acknowledged.len() as u64;
    run.retell(&shared.wire, &acknowledged, &mut outcome).await;
    outcome.problems.append(&mut *shared.problems.lock().await);
    outcome
}

/// Takes tickets in and walks them, one after the other, until it is told to stop.
async fn client(shared: Arc<Shared>, seed: u64, number: u32) {
    const KINDS: [TicketKind; 3] = [TicketKind::Complaint, TicketKind::Fault, TicketKind::Install];
    for round in 0_usize.. {
        let kind = KINDS[(round + number as usize) % KINDS.len()];
        let mut case = Case::new(&format!("backups-{seed}-{number}-{round}"), kind);
        let steps = way(kind).into_iter().flat_map(|(_, commands)| commands);
        for make in std::iter::once(commands::take_in as Make).chain(steps) {
            if shared.stop.load(Ordering::Relaxed) {
                return;
            }
            let sent = make(&mut case);
            match shared.wire.send(&sent).await {
                Ok(answer) => {
                    let position = answer.position.parse().expect("a position of this log is a number");
                    let (ticket, command, revision) = (sent.ticket, sent.command, answer.revision);
                    let acknowledged = Acknowledged { ticket, command, revision, position };
                    shared.acknowledged.lock().await.push(acknowledged);
                    shared.answers.send_modify(|count| *count += 1);
                }
                Err(status) => {
                    let refusal = Refusal::from(&status);
                    let problem = format!("{} of {} was refused: {refusal:?}", sent.method, sent.ticket);
                    shared.problems.lock().await.push(problem);
                    return;
                }
            }
        }
    }
}

struct Run<'p> {
    plan: &'p Plan,
    data: &'p Path,
    to: PathBuf,
}

/// An event as it lies in a log, and what tells whose it is.
#[derive(PartialEq, Eq)]
struct Lying {
    leaf: Hash,
    metadata: Vec<u8>,
    payload: Vec<u8>,
    stream: String,
    revision: u64,
}

fn lying(data: &Path, size: u64) -> Result<Vec<Lying>, duban_log::Error> {
    let mut events = Vec::new();
    Reader::open(&data.join("log"))?.scan(|view| {
        if view.position.get() >= size {
            return Ok::<_, duban_log::Error>(ControlFlow::Break(()));
        }
        events.push(Lying {
            leaf: view.leaf_hash(),
            metadata: view.metadata.to_vec(),
            payload: view.payload.to_vec(),
            stream: view.stream.to_owned(),
            revision: view.revision,
        });
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(events)
}

fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Run<'_> {
    async fn verb(&self, arguments: &[&std::ffi::OsStr]) -> Did {
        run(&self.plan.program, arguments).await
    }

    /// A backup from its beginning to its end, and all that it has to hold.
    async fn one(&self, before: &[Acknowledged], outcome: &mut Outcome) {
        let begun = Instant::now();
        let did = self
            .verb(&[
                "backup".as_ref(),
                "--data".as_ref(),
                self.data.as_os_str(),
                "--to".as_ref(),
                self.to.as_os_str(),
            ])
            .await;
        if !did.ok() {
            outcome.problems.push(format!("backup: {} {}", did.out, did.said));
            return;
        }
        outcome.backup_milliseconds_max = outcome.backup_milliseconds_max.max(milliseconds(begun));
        outcome.backups += 1;
        outcome.kept_segments += did.count("kept_segments");
        outcome.kept_bytes += did.count("kept_bytes");
        outcome.written_bytes += did.count("written_bytes");
        self.restored(before, outcome).await;
    }

    /// A backup that is killed somewhere on its way. What the one before it held is restored all the same.
    async fn kill_one(&self, random: &mut SmallRng, within_milliseconds: u64, outcome: &mut Outcome) {
        let mut child = Command::new(&self.plan.program)
            .args(["backup", "--data"])
            .arg(self.data)
            .arg("--to")
            .arg(&self.to)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the program under test starts");
        // Any moment of it: inside a write, a sync, or between two.
        let moment = Duration::from_micros(random.random_range(0..1_000 * within_milliseconds));
        if let Ok(ended) = tokio::time::timeout(moment, child.wait()).await {
            if !ended.expect("a child of ours ends").success() {
                outcome.problems.push("a backup failed before it was killed".into());
            }
        } else {
            child.kill().await.expect("a child of ours can be killed");
            outcome.killed += 1;
        }
        if self.to.join("backup.json").exists() {
            self.restored(&[], outcome).await;
        }
    }

    /// Restores what there is, and holds it against the log that it was taken from and against what was acknowledged.
    async fn restored(&self, before: &[Acknowledged], outcome: &mut Outcome) {
        let manifest = match Manifest::read(&self.to) {
            Ok(Some(manifest)) => manifest,
            other => {
                outcome.problems.push(format!("the backup says nothing of itself: {other:?}"));
                return;
            }
        };
        let restored = self.plan.directory.join("restored");
        let begun = Instant::now();
        let did = self
            .verb(&[
                "restore".as_ref(),
                "--from".as_ref(),
                self.to.as_os_str(),
                "--data".as_ref(),
                restored.as_os_str(),
            ])
            .await;
        outcome.restore_milliseconds_max = outcome.restore_milliseconds_max.max(milliseconds(begun));
        if !did.ok() {
            outcome.problems.push(format!("restore: {} {}", did.out, did.said));
            return;
        }
        outcome.restores += 1;
        let verified = self.verb(&["verify".as_ref(), "--data".as_ref(), restored.as_os_str()]).await;
        let says = (&verified.json["head"]["size"], &verified.json["head"]["root"]);
        let told = (&manifest.head.size.into(), &manifest.head.root.as_str().into());
        if !verified.ok() || says != told {
            outcome.problems.push(format!("verify: {} instead of {:?}", verified.out, manifest.head));
        }
        match (lying(self.data, manifest.head.size), lying(&restored, u64::MAX)) {
            (Ok(here), Ok(there)) => compare(&here, &there, before, outcome),
            (here, there) => {
                let problem = here.err().or(there.err()).map(|error| error.to_string());
                outcome.problems.push(format!("a log cannot be read: {problem:?}"));
            }
        }
        outcome.events = manifest.head.size;
        std::fs::remove_dir_all(&restored).expect("what was restored can be removed");
    }

    /// The last backup with its secrets, restored and served: it tells what the first server tells.
    async fn retell(&self, wire: &Wire, acknowledged: &[Acknowledged], outcome: &mut Outcome) {
        let again = self.plan.directory.join("again");
        let verbs: [&[&std::ffi::OsStr]; 2] = [
            &[
                "backup".as_ref(),
                "--with-secrets".as_ref(),
                "--data".as_ref(),
                self.data.as_os_str(),
                "--to".as_ref(),
                self.to.as_os_str(),
            ],
            &["restore".as_ref(), "--from".as_ref(), self.to.as_os_str(), "--data".as_ref()],
        ];
        let data = crate::outside::data(&again);
        let restore: Vec<_> = verbs[1].iter().copied().chain([data.as_os_str()]).collect();
        std::fs::create_dir_all(&again).expect("the directory can be made");
        for verb in [verbs[0], &restore] {
            let did = self.verb(verb).await;
            if !did.ok() {
                outcome.problems.push(format!("the last one: {} {}", did.out, did.said));
                return;
            }
        }
        let mut served = Served::start(&self.plan.program, &again).await;
        let other = served.wire().await;
        let mut tickets: Vec<_> = acknowledged.iter().map(|one| one.ticket.as_str()).collect();
        tickets.sort_unstable();
        tickets.dedup();
        for ticket in tickets.into_iter().take(RETOLD) {
            match (histories::events(wire, ticket, "").await, histories::events(&other, ticket, "").await) {
                (Ok(here), Ok(there)) if opened(&here) && here == there => outcome.retold += 1,
                (here, there) => {
                    let counts = (here.map(|events| events.len()), there.map(|events| events.len()));
                    outcome.problems.push(format!("{ticket} is told otherwise: {counts:?}"));
                }
            }
        }
        served.kill().await;
    }
}

/// Whether its texts are told, so that what is compared is not two refusals.
fn opened(events: &[duban_proto::api::v1::HistoryEvent]) -> bool {
    let texts = events.iter().flat_map(|event| &event.texts);
    texts.clone().count() > 0 && texts.clone().all(|text| text.text.is_some())
}

fn compare(here: &[Lying], there: &[Lying], before: &[Acknowledged], outcome: &mut Outcome) {
    if here.len() != there.len() {
        outcome.problems.push(format!("{} events were restored of {}", there.len(), here.len()));
    }
    outcome.compared += there.len() as u64;
    let differing = here.iter().zip(there).filter(|(here, there)| here != there).count();
    outcome.differing += (differing + here.len().abs_diff(there.len())) as u64;
    for one in before {
        let found = usize::try_from(one.position).ok().and_then(|at| there.get(at));
        let stands = found.is_some_and(|event| {
            let command = duban_codec::decode_metadata(&event.metadata).map(|metadata| metadata.command.0);
            event.revision == one.revision
                && event.stream.ends_with(&one.ticket)
                && command.is_ok_and(|command| Uuid::try_parse(&one.command) == Ok(command))
        });
        if !stands {
            outcome.lost += 1;
            outcome.problems.push(format!("{one:?} was acknowledged before, and is not there"));
        }
    }
}
