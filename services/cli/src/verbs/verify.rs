//! `duban verify`: reads a log again, whole, also beside a running server, and holds signed heads against it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use duban_history::proof::audit::{Audit, AuditDamage, AuditPhase};
use duban_history::proof::kept_heads::{KeptHead, read_heads};
use duban_history::proof::signed_head::{HeadJson, SignedHeadJson};
use duban_history::proof::{audit_cluster, audit_directory};
use duban_log::disk::{Disk, RealDisk};
use duban_vault::public_key::PublicKey;
use serde::Serialize;

use crate::afar;
use crate::args::{Logged, Output};
use crate::data;
use crate::failure::{Done, Failure};
use crate::output::{self, Progress, count, rate};

/// What may be typed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  duban verify --data ./data\n  duban verify --data ./data --head head.json --key signing.pub\n  duban verify --data ./data --head monday.json --head friday.json\n  duban verify --log esdb://one:2113,two:2113,three:2113 --key signing.pub\n\nA head file holds {\"size\", \"root\"}, a signed head, or the event office.day_closed.v1 as subscribers get it (duban watch --type office.),\nalone, or as `head` or `signed_head` of a larger object, as this verb, `demo` and `export` print it. Its size may be smaller than the\nlog's: the log must have had that root when it was that long. Two heads that the log holds are consistent with each other.\nThe days' heads in the log are held against it as well. Their signatures are checked with the keys that are named; a key that lies\nin the data directory proves nothing against whoever can write there, so take a copy of keys/signing.pub away and name that.\n`proven` counts the events that a head kept elsewhere, or signed with a key that was named, answers for. Damage is named by where it\nshows, and by `since` and `until`, between which the first event lies that is not as it was: nothing narrower can be known.\nExit status: 0 everything is as it was written, 1 it is not, 2 wrong use.\nJSON: {\"ok\", \"events\", \"groups\", \"bytes\", \"head\": {\"size\", \"root\"}, \"days\", \"proven\", \"signed_head\": {\"day\", \"size\", \"root\", \"streams\",\n\"streams_root\", \"key\", \"signature\"}, \"damage\": {\"segment\", \"offset\", \"position\", \"reason\", \"since\", \"until\"}, \"problems\": [\"…\"]}"
)]
pub(crate) struct Args {
    #[command(flatten)]
    log: Logged,
    /// A head that was kept elsewhere: the log must hold what it says; any number of them
    #[arg(long, value_name = "FILE")]
    head: Vec<PathBuf>,
    /// The public key with which heads must be signed, in PEM; any number of them
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
}

#[derive(Serialize)]
struct Answer {
    ok: bool,
    events: u64,
    groups: u64,
    bytes: u64,
    head: HeadJson,
    days: u64,
    proven: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_head: Option<SignedHeadJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    damage: Option<AuditDamage>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
}

/// Runs it.
pub(crate) fn run(args: &Args, output: Output) -> Result<Done, Failure> {
    let mut kept = Vec::new();
    for path in &args.head {
        kept.extend(read_heads(path).map_err(Failure::misuse)?);
    }
    let keys = args.key.iter().map(|path| PublicKey::read(path)).collect::<Result<Vec<_>, _>>();
    let keys = keys.map_err(Failure::misuse)?;
    let (audit, took) = match (&args.log.data, &args.log.log) {
        (Some(data), _) => in_directory(data, &kept, &keys)?,
        (None, Some(url)) => on_cluster(url, &kept, &keys)?,
        // The command line asks for one of them.
        (None, None) => return Err(Failure::misuse("name --data DIR or --log URL")),
    };
    let ok = audit.ok();
    let Audit { report, damage, problems, days, last, proven } = audit;
    let answer = Answer {
        ok,
        events: report.events,
        groups: report.groups,
        bytes: report.bytes,
        head: report.head.into(),
        days,
        proven,
        signed_head: last.as_ref().map(SignedHeadJson::from),
        damage,
        problems,
    };
    match output {
        Output::Json => output::json(&answer)?,
        Output::Text => {
            let per_second = rate(report.bytes, took) / 1_000_000;
            output::text(&format!(
                "{} events in {} groups, {} bytes, {per_second} MB/s",
                count(report.events),
                count(report.groups),
                count(report.bytes)
            ))?;
            show(&answer, !keys.is_empty())?;
        }
    }
    Ok(Done::holds(answer.ok))
}

fn in_directory(data: &Path, kept: &[KeptHead], keys: &[PublicKey]) -> Result<(Audit, Duration), Failure> {
    let dir = data::existing_log_dir(data)?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(&dir).map_err(Failure::broken)?);
    let progress = Progress::new("verify", "bytes", 0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (took, against) = (OnceLock::new(), OnceLock::new());
    let telling = |phase, done, total| match phase {
        AuditPhase::Log => progress.set(done, total),
        AuditPhase::Heads => {
            took.get_or_init(|| progress.elapsed());
            against.get_or_init(|| Progress::new("heads", "events", total)).set(done, total);
        }
    };
    let audit = audit_directory(&disk, threads, kept, keys, &telling)?;
    let took = took.get().copied().unwrap_or_else(|| progress.elapsed());
    Ok((audit, took))
}

fn on_cluster(url: &str, kept: &[KeptHead], keys: &[PublicKey]) -> Result<(Audit, Duration), Failure> {
    afar::runtime()?.block_on(async {
        let log = afar::connect(url).await?.log;
        let progress = Progress::new("verify", "events", log.head().size);
        let telling = |done, total| progress.set(done, total);
        let audit = audit_cluster(&*log, kept, keys, &telling).await?;
        let took = progress.elapsed();
        log.close().await?;
        Ok((audit, took))
    })
}

fn show(answer: &Answer, with_keys: bool) -> Result<(), Failure> {
    output::text(&format!("head {} {}", answer.head.size, answer.head.root))?;
    if answer.days > 0 {
        let signatures =
            if with_keys { "signed as they must be" } else { "signatures not looked at without --key" };
        output::text(&format!("{} days closed, {signatures}", count(answer.days)))?;
    }
    output::text(&format!("{} events proven by heads", count(answer.proven)))?;
    if let Some(AuditDamage { segment, offset, position, reason, since, until }) = &answer.damage {
        output::text(&format!("damaged: {segment} at byte {offset}, position {position}: {reason}"))?;
        output::text(&format!(
            "the first event that is not as it was lies at position {since} or behind, before {until}"
        ))?;
    }
    for problem in &answer.problems {
        output::text(problem)?;
    }
    output::text(if answer.ok { "ok" } else { "not ok" })
}
