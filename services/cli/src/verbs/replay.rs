//! `duban replay`: folds every ticket again, on all cores, and compares with the read models.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use duban_engine::runner::Rules;
use duban_engine::views;
use duban_history::replay::{self, FoldedLog, ReadModel, ReplayError};
use duban_log::Reader;
use duban_log::disk::{Disk, RealDisk};
use duban_projections::Tickets;
use duban_proto::api::v1 as api;
use serde::Serialize;

use crate::args::{Data, Output};
use crate::data;
use crate::departments::{self, CallError, Tokens};
use crate::failure::{Done, Failure};
use crate::output::{self, Progress, count, rate};
use crate::progress::Bars;

/// Tickets asked for at a time.
const PAGE: u32 = 1_000;

/// What may be typed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  duban replay --data ./data\n  duban replay --data ./data --server http://127.0.0.1:7110 --tokens ./tokens\n\nIt reads beside a running server, up to the last whole group. The read models on disk are compared row by row, which only works while no\nserver has them open; of a server that is named every ticket is compared as its lists show it. Nothing is changed.\nExit status: 0 no differences, 1 some, 2 wrong use.\nJSON: {\"ok\", \"events\", \"tickets\", \"events_per_second\", \"differences\": [text],\n\"read_models\": [{\"name\", \"compared\", \"rows\", \"differences\", \"why\"}]}"
)]
pub(crate) struct Args {
    #[command(flatten)]
    data: Data,
    /// The server that runs on this directory, to compare what its lists show
    #[arg(long, value_name = "URL", requires = "tokens")]
    server: Option<String>,
    /// Tokens, one `ROLE UNIT TOKEN` a line; the auditor's is used
    #[arg(long, value_name = "FILE", requires = "server")]
    tokens: Option<PathBuf>,
}

#[derive(Serialize)]
struct Answer {
    ok: bool,
    events: u64,
    tickets: u64,
    events_per_second: u64,
    differences: Vec<String>,
    read_models: Vec<ReadModel>,
}

/// Runs it.
pub(crate) fn run(args: &Args, output: Output) -> Result<Done, Failure> {
    let data = &args.data.data;
    let reader = Arc::new(data::reader(data)?);
    let progress = Progress::new("replay", "events", reader.head().size);
    let mut folded = replay::fold(&reader, &|more| progress.add(more)).map_err(failed)?;
    let events_per_second = rate(folded.events, progress.elapsed());
    drop(progress);
    // The read model stops at what it cannot decode, and would only repeat what is listed already.
    let mut read_models = Vec::new();
    if folded.differences.is_empty() {
        let rules = data::rules_of(&reader)?;
        let tickets = again(&reader, &rules, &mut folded)?;
        read_models = match (&args.server, &args.tokens) {
            (Some(server), Some(tokens_file)) => {
                of_server((server, tokens_file), data, &reader, &tickets, &mut folded)?
            }
            _ => on_disk(data, rules, &reader, &mut folded)?,
        };
    }
    let answer = Answer {
        ok: folded.differences.is_empty(),
        events: folded.events,
        tickets: folded.tickets.len() as u64,
        events_per_second,
        differences: folded.differences.lines(),
        read_models,
    };
    match output {
        Output::Json => output::json(&answer)?,
        Output::Text => show(&answer)?,
    }
    Ok(Done::holds(answer.ok))
}

fn show(answer: &Answer) -> Result<(), Failure> {
    output::text(&format!(
        "{} events of {} tickets folded at {} events/s",
        count(answer.events),
        count(answer.tickets),
        count(answer.events_per_second)
    ))?;
    for ReadModel { name, compared, rows, differences, why } in &answer.read_models {
        let why = why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        let found = if *compared {
            format!("{} rows compared, {differences} differ", count(*rows))
        } else {
            "not compared".to_owned()
        };
        output::text(&format!("read model {name}: {found}{why}"))?;
    }
    for difference in &answer.differences {
        output::text(difference)?;
    }
    output::text(if answer.ok { "ok" } else { "not ok" })
}

fn failed(error: ReplayError) -> Failure {
    match error {
        ReplayError::Log(error) => error.into(),
        other => Failure::broken(other),
    }
}

/// Folds a second time, as the read model does.
fn again(reader: &Arc<Reader>, rules: &Rules, folded: &mut FoldedLog) -> Result<Tickets, Failure> {
    let progress = Progress::new("read model", "events", reader.head().size);
    let rules = (Arc::clone(&rules.policy), Arc::clone(&rules.calendar));
    let read = Box::new(move |more| progress.add(more));
    let compared = replay::compare_with_read_model(reader, rules, folded, read);
    data::runtime()?.block_on(compared).map_err(failed)
}

/// The rows on disk, where nobody else has them open.
fn on_disk(
    data: &Path,
    Rules { policy, calendar }: Rules,
    reader: &Arc<Reader>,
    folded: &mut FoldedLog,
) -> Result<Vec<ReadModel>, Failure> {
    let disk = RealDisk::open(&data::existing_log_dir(data)?).map_err(Failure::broken)?;
    let _lock = match disk.lock() {
        Ok(lock) => lock,
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            let why = "somebody has the directory open: name the server with --server and --tokens";
            return Ok(replay::left_out(why));
        }
        Err(error) => return Err(Failure::broken(error)),
    };
    let bars = Bars::default();
    let progress = Progress::new("read models", "events", 0);
    let (home, rules) = (views::home(data), (policy, calendar));
    let building = |name, done, total| bars.show(name, done, total);
    let read = Box::new(move |more| progress.add(more));
    let differences = &mut folded.differences;
    let compared = replay::compare_on_disk(&home, rules, reader, differences, &building, read);
    data::runtime()?.block_on(compared).map_err(failed)
}

/// The tickets as a server's lists show them.
fn of_server(
    server: (&str, &Path),
    data: &Path,
    reader: &Reader,
    tickets: &Tickets,
    folded: &mut FoldedLog,
) -> Result<Vec<ReadModel>, Failure> {
    let listed = data::runtime()?.block_on(listed(server, reader))?;
    let progress = Progress::new("tickets", "tickets", listed.len() as u64);
    let log = data::existing_log_dir(data)?;
    let reopen = || Reader::open(&log);
    let compared = replay::compare_with_lists(listed, tickets, &reopen, &mut folded.differences, &|more| {
        progress.add(more);
    });
    compared.map_err(failed)
}

/// Every ticket in the server's list, which has taken in everything that we have read.
async fn listed(
    (server, tokens): (&str, &Path),
    reader: &Reader,
) -> Result<Vec<api::TicketSummary>, Failure> {
    let failed = |error: CallError| match error {
        CallError::Refused(_) => Failure::broken(error),
        other => Failure::misuse(other),
    };
    let tokens = Tokens::read(tokens).map_err(failed)?;
    let office = departments::connect(server, tokens).await.map_err(failed)?;
    let mut history = office.history().map_err(failed)?;
    let head = reader.head().position;
    let min_position = head.map(|position| position.to_string()).unwrap_or_default();
    let (mut tickets, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = api::ListTicketsRequest {
            min_position: min_position.clone(),
            page_size: PAGE,
            page_token,
            ..Default::default()
        };
        let page = history.list_tickets(request).await.map_err(|status| failed(status.into()))?.into_inner();
        tickets.extend(page.tickets);
        if page.next_page_token.is_empty() {
            return Ok(tickets);
        }
        page_token = page.next_page_token;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_read_models_that_are_compared_are_those_of_a_server() {
        assert_eq!(replay::READ_MODELS, views::NAMES);
    }
}
