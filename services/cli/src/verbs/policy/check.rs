//! `duban policy check`: is a file a consistent policy, and does it keep the law?

use std::path::PathBuf;

use duban_aggregates::policy::Policy;
use duban_engine::runner::Rules;
use serde::Serialize;

use super::files::{Files, Wrong};
use crate::args::Output;
use crate::data;
use crate::failure::{Done, Failure};
use crate::output::{self, count};

/// What may be typed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  duban policy check promise.toml\n  duban policy check cn-henan-1\n  duban policy check draft.toml --base province.toml --calendar calendar-2027.toml\n  duban policy check draft.toml --data ./data\n\nA policy keeps the law where no deadline of it may end later than the province's, else the national limit, whenever it starts, and\nno pause stops a clock that the law lets run. Editions that it extends are sought among --base, those of --data, and those that ship.\nExit status: 0 it may be put into force, 1 it may not, 2 wrong use.\nJSON: {\"ok\", \"policy\": {\"version\", \"title\", \"emergency\", \"extends\", \"entries\", \"limits\"}, \"problem\": {\"reason\", \"line\", \"edition\", \"article\"}}"
)]
pub(crate) struct Args {
    #[command(flatten)]
    files: Files,
    /// A data directory, whose editions it may extend
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Serialize)]
struct Answer {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<Told>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

#[derive(Serialize)]
struct Told {
    version: String,
    title: String,
    emergency: bool,
    extends: Vec<String>,
    entries: usize,
    limits: usize,
}

#[derive(Serialize)]
struct Problem {
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    /// The edition that the line is of, where that is one that the file extends.
    #[serde(skip_serializing_if = "Option::is_none")]
    edition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    article: Option<String>,
}

/// Runs it.
pub(crate) fn run(args: &Args, output: Output) -> Result<Done, Failure> {
    let Rules { policy, calendar } = match &args.data {
        Some(data) => data::rules_of(&data::reader(data)?)?,
        None => Rules::cn_national(),
    };
    let draft = args.files.read(&policy, &calendar)?;
    let answer = match &draft.policy {
        Ok(policy) => Answer { ok: true, policy: Some(told(policy)), problem: None },
        Err(wrong) => Answer { ok: false, policy: None, problem: Some(problem(wrong)) },
    };
    match output {
        Output::Json => output::json(&answer)?,
        Output::Text => {
            let name = args.files.name();
            if let Some(Told { version, title, extends, entries, limits, .. }) = &answer.policy {
                let extends = if extends.is_empty() { "nothing".to_owned() } else { extends.join(", ") };
                let (entries, limits) = (count(*entries as u64), count(*limits as u64));
                output::text(&format!(
                    "{version} {title}: extends {extends}; {entries} entries within {limits} limits of the law"
                ))?;
            }
            match &answer.problem {
                Some(problem) => output::text(&format!("{name}: {}\nnot ok", problem.reason))?,
                None => output::text("ok")?,
            }
        }
    }
    Ok(Done::holds(answer.ok))
}

fn told(policy: &Policy) -> Told {
    let (entries, limits) = policy.sizes();
    let Policy { version, title, emergency, extends, .. } = policy.clone();
    Told { version, title, emergency, extends, entries, limits }
}

fn problem(wrong: &Wrong) -> Problem {
    let reason = wrong.to_string();
    match wrong {
        Wrong::Inconsistent(error) => Problem { reason, line: error.line(), edition: None, article: None },
        Wrong::Lax(error) => {
            let place = error.place();
            let edition = place.and_then(|place| place.edition.as_deref()).map(str::to_owned);
            let line = place.map(|place| place.line);
            Problem { reason, line, edition, article: Some(error.article().to_owned()) }
        }
    }
}
