//! `duban bench`: what this machine does. Every figure stands beside the raw syncs of the same run, without which it says nothing.

use std::path::PathBuf;
use std::time::Duration;

use duban_demo::fanout::{self, FanoutPlan};
use duban_demo::tamper::{self, TamperPlan};
use serde::Serialize;

use crate::args::{Data, Output};
use crate::data;
use crate::failure::{Done, Failure};
use crate::output::{self, Progress, count, rate};

/// What may be typed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Appends at 1, 64 and 1,024 writers, beside raw syncs, in a new directory
    #[command(
        after_help = "Examples:\n  duban bench log --data ./bench\n  duban bench log --data ./bench --seconds 10\n\nThe directory must be empty or new; what was written stays there.\nJSON: {\"syncs_overwriting_per_second\", \"syncs_extending_per_second\", \"appends\": [{\"writers\", \"per_second\", \"p50_us\", \"p99_us\"}],\n\"scanned_events_per_second\", \"verified_bytes_per_second\"}"
    )]
    Log {
        #[command(flatten)]
        data: Data,
        /// How long each figure is measured
        #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
        seconds: u64,
    },
    /// Decoding and folding all events of a log, on all cores
    #[command(
        after_help = "Examples:\n  duban generate --data ./gen --tickets 20000 --seed 1\n  duban bench replay --data ./gen\n\nJSON: {\"events\", \"tickets\", \"events_per_second\"}"
    )]
    Replay {
        #[command(flatten)]
        data: Data,
    },
    /// Subscribers on one server: everybody gets every event, in order, once, and the writer goes on
    #[command(
        after_help = "Examples:\n  duban bench fanout\n  duban bench fanout --subscribers 100 --stalled 10 --events 20000 --seed 7\n\nJSON: {\"ok\", \"subscribers\", \"stalled\", \"events\", \"seed\", \"delivered\", \"delivered_per_second\", \"resumed\", \"gaps\", \"copies\",\n\"different\", \"fell_behind\", \"still_stalled\", \"appended_per_second_alone\", \"appended_per_second_with_stalled\",\n\"appended_per_second_with_all\", \"append_p99_us_alone\", \"append_p99_us_with_all\"}"
    )]
    Fanout {
        /// Subscribers, the stalled ones among them
        #[arg(long, value_name = "N", default_value_t = 1_000)]
        subscribers: usize,
        /// Subscribers that read nothing until everything is written
        #[arg(long, value_name = "N", default_value_t = 50)]
        stalled: usize,
        /// Events that everybody gets
        #[arg(long, value_name = "N", default_value_t = 200_000)]
        events: u64,
        /// How often a subscriber goes away at a random point and comes back, at the most
        #[arg(long, value_name = "N", default_value_t = 3)]
        disconnects: u32,
        /// Where they go away follows from this
        #[arg(long, value_name = "S", default_value_t = 1)]
        seed: u64,
    },
    /// Tampering with a log that has signed heads: every attempt must be found, and its place named
    #[command(
        after_help = "Examples:\n  duban bench tamper\n  duban bench tamper --attempts 100000 --seed 7\n\nBits are flipped, events dropped, swapped and rewritten, the log is cut off; with nothing made good again, with checksums and roots\nof the groups made good, and with everything up to the end of the log. Exit status 1 where one attempt passes or is misplaced.\nJSON: {\"ok\", \"seed\", \"attempts\", \"found\", \"placed\", \"exact\", \"exact_wanted\", \"kinds\", \"range_max\", \"range_median\", \"events\", \"proven\", \"days\",\n\"missed\": [\"…\"]}"
    )]
    Tamper {
        /// How often
        #[arg(long, value_name = "N", default_value_t = 10_000)]
        attempts: u64,
        /// Tickets in the log
        #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..=10_000))]
        tickets: u64,
        /// What is done follows from this
        #[arg(long, value_name = "S", default_value_t = 1)]
        seed: u64,
    },
    /// Verifying a log, on all cores
    #[command(
        after_help = "Examples:\n  duban generate --data ./gen --tickets 20000 --seed 1\n  duban bench verify --data ./gen\n\nJSON: {\"events\", \"bytes\", \"events_per_second\", \"bytes_per_second\"}"
    )]
    Verify {
        #[command(flatten)]
        data: Data,
    },
}

/// Why a benchmark cannot run.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not empty: name a new directory, since measuring writes there")]
struct NotEmpty(PathBuf);

#[derive(Serialize)]
struct Appends {
    writers: usize,
    per_second: u64,
    p50_us: u64,
    p99_us: u64,
}

#[derive(Serialize)]
struct LogFigures {
    syncs_overwriting_per_second: u64,
    syncs_extending_per_second: u64,
    appends: Vec<Appends>,
    scanned_events_per_second: u64,
    verified_bytes_per_second: u64,
}

#[derive(Serialize)]
struct ReplayFigures {
    events: u64,
    tickets: u64,
    events_per_second: u64,
}

#[derive(Serialize)]
struct VerifyFigures {
    events: u64,
    bytes: u64,
    events_per_second: u64,
    bytes_per_second: u64,
}

/// Runs it.
pub(crate) fn run(args: &Args, output: Output) -> Result<Done, Failure> {
    match &args.what {
        What::Log { data, seconds } => log(data, Duration::from_secs(*seconds), output),
        What::Replay { data } => replay(data, output),
        What::Fanout { subscribers, stalled, events, disconnects, seed } => {
            let plan = FanoutPlan {
                subscribers: *subscribers,
                stalled: *stalled,
                events: *events,
                disconnects_max: *disconnects,
                seed: *seed,
            };
            fanout(plan, output)
        }
        What::Tamper { attempts, tickets, seed } => {
            tamper(TamperPlan { tickets: *tickets, attempts: *attempts, seed: *seed }, output)
        }
        What::Verify { data } => verify(data, output),
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "figures for people to read")]
fn whole(figure: f64) -> u64 {
    figure.round() as u64
}

fn log(data: &Data, each: Duration, output: Output) -> Result<Done, Failure> {
    let dir = &data.data;
    if dir.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Failure::misuse(NotEmpty(dir.clone())));
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::broken)?;
    let figures = runtime.block_on(duban_log::bench::run(dir, each))?;
    let appends = figures.appends.iter().map(|figure| Appends {
        writers: figure.writers,
        per_second: whole(figure.per_second),
        p50_us: whole(figure.p50_us),
        p99_us: whole(figure.p99_us),
    });
    let answer = LogFigures {
        syncs_overwriting_per_second: whole(figures.syncs_overwriting_per_second),
        syncs_extending_per_second: whole(figures.syncs_extending_per_second),
        appends: appends.collect(),
        scanned_events_per_second: whole(figures.scanned_per_second),
        verified_bytes_per_second: whole(figures.verified_bytes_per_second),
    };
    if output == Output::Json {
        output::json(&answer)?;
        return Ok(Done::Ok);
    }
    let line = |what: &str, figure: u64, unit: &str| {
        output::text(&format!("{what:<44} {:>12} {unit}", count(figure)))
    };
    line("raw fdatasync, overwriting 4 KiB", answer.syncs_overwriting_per_second, "/s")?;
    line("raw fdatasync, extending by 4 KiB", answer.syncs_extending_per_second, "/s")?;
    for Appends { writers, per_second, p50_us, p99_us } in &answer.appends {
        let what =
            format!("append of {} bytes, {} writers", duban_log::bench::EVENT_BYTES, count(*writers as u64));
        line(&what, *per_second, &format!("/s  p50 {} µs  p99 {} µs", count(*p50_us), count(*p99_us)))?;
    }
    line("scan, all cores", answer.scanned_events_per_second, "events/s")?;
    line("verify, all cores", answer.verified_bytes_per_second / 1_000_000, "MB/s")?;
    Ok(Done::Ok)
}

fn fanout(plan: FanoutPlan, output: Output) -> Result<Done, Failure> {
    let dir = tempfile::tempdir().map_err(Failure::broken)?;
    let progress = Progress::new("fan-out", "deliveries", 0);
    let showing = |done, total| progress.set(done, total);
    let report =
        data::runtime()?.block_on(fanout::run(dir.path(), plan, &showing)).map_err(Failure::broken)?;
    drop(progress);
    if output == Output::Json {
        output::json(&report)?;
        return Ok(Done::holds(report.ok));
    }
    let line = |what: &str, figure: u64| output::text(&format!("{what:<52} {:>14}", count(figure)));
    line("subscribers", report.subscribers as u64)?;
    line("of them stalled until everything was written", report.still_stalled)?;
    line("events received, all together", report.delivered)?;
    line("a second", report.delivered_per_second)?;
    line("went away and came back with a token", report.resumed)?;
    line("gaps", report.gaps)?;
    line("copies", report.copies)?;
    line("subscribers whose events differ from the log", report.different)?;
    line("events appended a second, nobody subscribed", report.appended_per_second_alone)?;
    line("the same, with the stalled subscribers", report.appended_per_second_with_stalled)?;
    line("the same, with all subscribers", report.appended_per_second_with_all)?;
    line("an append's p99 in µs, nobody subscribed", report.append_p99_us_alone)?;
    line("the same, with all subscribers", report.append_p99_us_with_all)?;
    Ok(Done::holds(report.ok))
}

fn tamper(plan: TamperPlan, output: Output) -> Result<Done, Failure> {
    let dir = tempfile::tempdir().map_err(Failure::broken)?;
    let progress = Progress::new("tamper", "attempts", plan.attempts);
    let showing = |done, total| progress.set(done, total);
    let report =
        data::runtime()?.block_on(tamper::run(dir.path(), plan, &showing)).map_err(Failure::broken)?;
    let took = progress.elapsed();
    drop(progress);
    if output == Output::Json {
        output::json(&report)?;
        return Ok(Done::holds(report.ok));
    }
    let line = |what: &str, figure: u64| output::text(&format!("{what:<64} {:>12}", count(figure)));
    line("events in the log", report.events)?;
    line("of them under the head that was kept", report.proven)?;
    line("days closed in it", report.days)?;
    for (kind, attempts) in &report.kinds {
        line(kind, *attempts)?;
    }
    line("attempts", report.attempts)?;
    line("found", report.found)?;
    line("whose first touched event lies where the audit said", report.placed)?;
    line("on single records", report.exact_wanted)?;
    line("whose very record was named", report.exact)?;
    line("events between which the first touched one must lie, median", report.range_median)?;
    line("the same, at the most", report.range_max)?;
    line("attempts a second", rate(report.attempts, took))?;
    for missed in &report.missed {
        output::text(&format!("missed: {missed}"))?;
    }
    Ok(Done::holds(report.ok))
}

fn replay(data: &Data, output: Output) -> Result<Done, Failure> {
    let reader = data::reader(&data.data)?;
    let progress = Progress::new("replay", "events", reader.head().size);
    let folded = duban_history::replay::fold(&reader, &|more| progress.add(more)).map_err(Failure::broken)?;
    let took = progress.elapsed();
    drop(progress);
    let answer = ReplayFigures {
        events: folded.events,
        tickets: folded.tickets.len() as u64,
        events_per_second: rate(folded.events, took),
    };
    match output {
        Output::Json => output::json(&answer)?,
        Output::Text => output::text(&format!(
            "{} events of {} tickets folded at {} events/s",
            count(answer.events),
            count(answer.tickets),
            count(answer.events_per_second)
        ))?,
    }
    Ok(Done::holds(folded.differences.is_empty()))
}

fn verify(data: &Data, output: Output) -> Result<Done, Failure> {
    let dir = data::existing_log_dir(&data.data)?;
    let progress = Progress::new("verify", "bytes", 0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let report = duban_log::verify(&dir, threads, &|done, total| progress.set(done, total))?;
    let took = progress.elapsed();
    drop(progress);
    let answer = VerifyFigures {
        events: report.events,
        bytes: report.bytes,
        events_per_second: rate(report.events, took),
        bytes_per_second: rate(report.bytes, took),
    };
    match output {
        Output::Json => output::json(&answer)?,
        Output::Text => output::text(&format!(
            "{} events, {} bytes verified at {} events/s, {} MB/s",
            count(answer.events),
            count(answer.bytes),
            count(answer.events_per_second),
            count(answer.bytes_per_second / 1_000_000)
        ))?,
    }
    Ok(Done::holds(report.ok))
}
