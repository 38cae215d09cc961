//! What an audit finds: a small log with signed heads, tampered with in every way at every degree of skill, many times over.
//!
//! `duban bench tamper` runs it large, the tests run it small. Each attempt follows from seed and number, so that one that was
//! missed can be made again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use duban_aggregates::meta::Meta;
use duban_aggregates::policy::Policy;
use duban_aggregates::sealed::Sealed;
use duban_aggregates::ticket::Event;
use duban_engine::days::Days;
use duban_engine::runner::{Bounds, Rules, Runner};
use duban_engine::time::VirtualClock;
use duban_history::proof::audit::{Audit, AuditDamage};
use duban_history::proof::audit_directory;
use duban_history::proof::kept_heads::KeptHead;
use duban_log::disk::sim::Dice;
use duban_log::disk::{Disk, RealDisk};
use duban_log::tamper::{Files, Skill, Tampering, Target, Way};
use duban_log::{BulkAppend, EventLog, Expected, Options, SegmentedLog};
use duban_projections::{ticket_stream, ticket_to_store};
use duban_sample_tickets::walker::Walker;
use duban_vault::own_ids::OwnIds;
use duban_vault::public_key::PublicKey;
use duban_vault::signing::SigningKey;
use jiff::Timestamp;
use rayon::prelude::*;
use serde::Serialize;

/// Segments this short are many in a small log.
const SEGMENT_BYTES: u64 = 64 << 10;

/// Missed attempts that are told one by one, at most.
const TOLD_MAX: usize = 20;

/// What is tried.
#[derive(Clone, Copy, Debug)]
pub struct TamperPlan {
    /// Tickets in the log.
    pub tickets: u64,
    /// How often it is tampered with.
    pub attempts: u64,
    /// The tickets, and what is done to them, follow from this.
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TamperReport {
    /// Every attempt was found, and its place named.
    pub ok: bool,
    /// As planned.
    pub seed: u64,
    /// As planned.
    pub attempts: u64,
    /// Attempts that an audit said something about.
    pub found: u64,
    /// Attempts whose first event that is not as it was lies where the audit said.
    pub placed: u64,
    /// Attempts on bytes alone whose very record was named.
    pub exact: u64,
    /// Attempts on bytes alone that touched a record.
    pub exact_wanted: u64,
    /// How many attempts of each kind.
    pub kinds: BTreeMap<String, u64>,
    /// The widest and the median range between which the first touched event must lie, in events.
    pub range_max: u64,
    /// The median of them.
    pub range_median: u64,
    /// Events in the log, and those that the kept head answers for.
    pub events: u64,
    /// Those that the kept head answers for.
    pub proven: u64,
    /// Days that are closed in it.
    pub days: u64,
    /// What was missed or misplaced.
    pub missed: Vec<String>,
}

/// Why it could not be tried.
#[derive(Debug, thiserror::Error)]
pub enum TamperError {
    /// The log.
    #[error(transparent)]
    Log(#[from] duban_log::Error),
    /// The log's directory.
    #[error("the log's directory cannot be used")]
    Directory(#[from] std::io::Error),
    /// The key.
    #[error(transparent)]
    Key(#[from] duban_vault::signing::SigningError),
    /// The log is not whole before anybody tampers with it, or no day is closed in it.
    #[error("the log that was to be tampered with is not whole: {0}")]
    NotWhole(String),
}

/// Writes a log into a directory and tampers with copies of it; `progress` is told how many attempts were made, of how many.
///
/// # Errors
/// [`TamperError`]; what was missed is in the report instead.
pub async fn run(
    dir: &Path,
    plan: TamperPlan,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<TamperReport, TamperError> {
    let key = SigningKey::ephemeral()?;
    let public = key.public();
    write(dir, plan, key).await?;
    let disk: Arc<dyn Disk> = Arc::new(Files::copy(&RealDisk::open(dir)?)?);
    let whole = audit_directory(&disk, 1, &[], &[public], &|_, _, _| {})?;
    let (true, Some(signed)) = (whole.ok(), whole.last) else {
        return Err(TamperError::NotWhole(format!("{whole:?}")));
    };
    let kept = KeptHead::signed("head.json", signed);
    let again = audit_directory(&disk, 1, std::slice::from_ref(&kept), &[public], &|_, _, _| {})?;
    if !again.ok() || again.proven != kept.size {
        return Err(TamperError::NotWhole(format!("{again:?}")));
    }
    let case = Case { target: Target::new(Files::copy(&*disk)?)?, kept, public, seed: plan.seed };
    let done = AtomicU64::new(0);
    let tried: Vec<_> = (0..plan.attempts)
        .into_par_iter()
        .map(|n| {
            let tried = case.attempt(n);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, plan.attempts);
            tried
        })
        .collect::<Result<_, _>>()?;
    Ok(report(plan, &whole, case.kept.size, &tried))
}

/// Tells tickets' stories in the order of time, each command a group of its own, and closes every day when it is over.
async fn write(dir: &Path, plan: TamperPlan, key: SigningKey) -> Result<(), TamperError> {
    let options =
        Options { segment_bytes_min: SEGMENT_BYTES, segment_bytes_max: SEGMENT_BYTES, ..Options::default() };
    let log: Arc<dyn EventLog> = Arc::new(SegmentedLog::open(dir, options)?);
    let policy = Policy::cn_national();
    let mut walker = Walker::new(plan.seed);
    let mut told: Vec<(Timestamp, BulkAppend)> = Vec::new();
    for _ in 0..plan.tickets {
        let customer = walker.customer();
        // Nobody opens these texts.
        let seal = |text: &str| Sealed { customer, nonce: [0; 12], ciphertext: vec![0; text.len() + 16] };
        told.extend(story(&walker.history(customer, &seal), &policy)?);
    }
    told.sort_by_key(|(at, _)| *at);
    let begin = told.first().map_or(Timestamp::UNIX_EPOCH, |(at, _)| *at);
    let clock = VirtualClock::new(begin);
    let bounds = Bounds::default();
    let runner = Runner::new(
        Arc::clone(&log),
        Arc::new(clock.clone()),
        Rules::cn_national(),
        OwnIds::new(&[7; 32]),
        bounds,
    );
    let days = Days::new(Arc::new(runner), key);
    for (at, BulkAppend { stream, expected, events }) in told {
        if clock.set(at).is_ok() {
            days.catch_up().await;
        }
        log.append(&stream, expected, events).await?;
    }
    clock.advance(std::time::Duration::from_secs(24 * 3_600));
    days.catch_up().await;
    Ok(log.close().await?)
}

fn story(
    history: &[(Meta, Event)],
    policy: &Policy,
) -> Result<Vec<(Timestamp, BulkAppend)>, duban_log::Error> {
    let (mut events, ticket) =
        ticket_to_store(history.iter().map(|(meta, event)| (meta, event)), &policy.version);
    let Some(ticket) = ticket else { return Ok(Vec::new()) };
    let stream = ticket_stream(ticket.kind(), ticket.id())?;
    let mut appends = Vec::new();
    for command in history.chunk_by(|(one, _), (two, _)| one.command == two.command) {
        let first = &command[0].0;
        let rest = events.split_off(command.len());
        let events = std::mem::replace(&mut events, rest);
        let expected = Expected::after(first.revision.checked_sub(1));
        // Events of one moment stay in the order of their stream.
        appends.push((first.recorded_at, BulkAppend { stream: stream.clone(), expected, events }));
    }
    Ok(appends)
}

struct Case {
    target: Target,
    kept: KeptHead,
    public: PublicKey,
    seed: u64,
}

/// An attempt, and what an audit said.
struct Tried {
    number: u64,
    deed: Tampering,
    ok: bool,
    found: Option<AuditDamage>,
}

impl Case {
    fn attempt(&self, number: u64) -> Result<Tried, duban_log::Error> {
        let mut dice = Dice::new(
            self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ number.wrapping_mul(0xD1B5_4A32_D192_ED03),
        );
        let pick = |list: u64, n: u64| usize::try_from(n % list).unwrap_or(0);
        let way = Way::ALL[pick(5, number)];
        let skill = [Skill::Bytes, Skill::Groups, Skill::Everything][pick(3, number / 5)];
        let (files, deed) = self.target.tampered(way, skill, self.kept.size, &mut dice);
        let disk: Arc<dyn Disk> = Arc::new(files);
        // A head that was kept is enough; half of the auditors have the key, too.
        let keys: &[PublicKey] = if dice.below(2) == 0 { &[self.public] } else { &[] };
        let audit = audit_directory(&disk, 1, std::slice::from_ref(&self.kept), keys, &|_, _, _| {})?;
        Ok(Tried { number, deed, ok: audit.ok(), found: audit.damage })
    }
}

impl Tried {
    fn is_found(&self) -> bool {
        !self.ok && self.found.is_some()
    }

    fn is_placed(&self) -> bool {
        self.found.as_ref().is_some_and(|found| (found.since..found.until).contains(&self.deed.position))
    }

    /// Whether the very record was named; none where no record was touched that no longer fits.
    fn is_exact(&self) -> Option<bool> {
        let (segment, offset) = self.deed.place.as_ref()?;
        Some(self.found.as_ref().is_some_and(|found| {
            (&found.segment, found.offset, found.position) == (segment, *offset, self.deed.position)
        }))
    }
}

fn report(plan: TamperPlan, whole: &Audit, proven: u64, tried: &[Tried]) -> TamperReport {
    let count = |holds: &dyn Fn(&Tried) -> bool| tried.iter().filter(|tried| holds(tried)).count() as u64;
    let mut kinds = BTreeMap::new();
    for Tried { deed, .. } in tried {
        *kinds.entry(format!("{:?}, {:?} made good", deed.way, deed.skill)).or_insert(0) += 1;
    }
    let ranges = tried.iter().filter_map(|tried| tried.found.as_ref()).map(|found| found.until - found.since);
    let mut ranges: Vec<_> = ranges.collect();
    ranges.sort_unstable();
    let bad = |tried: &&Tried| !tried.is_found() || !tried.is_placed() || tried.is_exact() == Some(false);
    let missed: Vec<_> = tried
        .iter()
        .filter(bad)
        .take(TOLD_MAX)
        .map(|Tried { number, deed, found, .. }| format!("attempt {number}: {deed:?}: {found:?}"))
        .collect();
    TamperReport {
        ok: missed.is_empty(),
        seed: plan.seed,
        attempts: plan.attempts,
        found: count(&Tried::is_found),
        placed: count(&Tried::is_placed),
        exact: count(&|tried| tried.is_exact() == Some(true)),
        exact_wanted: count(&|tried| tried.is_exact().is_some()),
        kinds,
        range_max: ranges.last().copied().unwrap_or(0),
        range_median: ranges.get(ranges.len() / 2).copied().unwrap_or(0),
        events: whole.report.events,
        proven,
        days: whole.days,
        missed,
    }
}
