//! `duban keys`: the customers' keys of a data directory, and another master key for them.

use std::path::PathBuf;

use clap::Subcommand;
use duban_vault::keys::rotate::{self, RotationSummary};
use duban_vault::keys::{self, CheckSummary, KeysError};
use serde::Serialize;

use crate::args::{Data, Master, Output};
use crate::data;
use crate::failure::{Done, Failure};
use crate::output::{self, Progress, count};

/// What may be typed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Open every key with the master key, also beside a running server
    Check(CheckArgs),
    /// Wrap every key under another master key, while no server has the directory open
    Rotate(RotateArgs),
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  duban keys check --data ./data\n  duban keys check --data ./data --master-key /run/secrets/duban-master\n\nExit status: 0 every key opens, 1 some do not, 2 wrong use.\nJSON: {\"ok\", \"keys\", \"erased\", \"damaged\": [\"CUSTOMER\", …]}; at most a hundred are named."
)]
struct CheckArgs {
    #[command(flatten)]
    data: Data,
    #[command(flatten)]
    master: Master,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  duban keys rotate --data ./data\n  duban keys rotate --data ./data --new-master-key /run/secrets/duban-master\n  duban keys rotate --data ./data --master-key ./old --new-master-key ./new\n\nThe new master key is read from --new-master-key, and made there where there is no such file; without it one is made in the data\ndirectory, in the place of the old one. Texts are not touched, nor is history: only what wraps the customers' keys. Killed at any\nmoment it leaves a store that opens with the old or with the new master key and holds every key; run it again, or start the server.\nWhat the old master key opened is overwritten. Backups made before still open with the old one: keep it as long as you keep them, and\nback up again. Stop the server first.\nExit status: 0 done, 1 something went wrong on the way, 2 wrong use.\nJSON: {\"ok\", \"keys\", \"erased\", \"master_key\"}; `master_key` is the file to name to the server, null where it lies in the directory."
)]
struct RotateArgs {
    #[command(flatten)]
    data: Data,
    #[command(flatten)]
    master: Master,
    /// The file of the new master key, 32 bytes in base64; made where it is not there
    #[arg(long, value_name = "FILE")]
    new_master_key: Option<PathBuf>,
}

#[derive(Serialize)]
struct CheckAnswer {
    ok: bool,
    keys: u64,
    erased: u64,
    damaged: Vec<String>,
}

#[derive(Serialize)]
struct RotateAnswer<'a> {
    ok: bool,
    keys: u64,
    erased: u64,
    master_key: Option<&'a PathBuf>,
}

/// Runs it.
pub(crate) fn run(args: &Args, output: Output) -> Result<Done, Failure> {
    match &args.verb {
        Verb::Check(args) => check(args, output),
        Verb::Rotate(args) => rotate(args, output),
    }
}

/// A damaged file is what a check finds; anything else about keys and their files is for whoever typed.
fn failed(error: KeysError) -> Failure {
    match error {
        KeysError::Damaged { .. } | KeysError::DamagedKey(_) | KeysError::Crypto => Failure::broken(error),
        other => Failure::misuse(other),
    }
}

fn check(args: &CheckArgs, output: Output) -> Result<Done, Failure> {
    let progress = Progress::new("keys", "keys", 0);
    let told = |done, total| progress.set(done, total);
    let checked = keys::check(&args.data.data, args.master.master_key.as_deref(), &told).map_err(failed)?;
    drop(progress);
    let CheckSummary { keys, erased, damaged } = checked;
    let ok = damaged.is_empty();
    let damaged: Vec<_> = damaged.iter().map(ToString::to_string).collect();
    match output {
        Output::Json => output::json(&CheckAnswer { ok, keys, erased, damaged })?,
        Output::Text => {
            output::text(&format!("{} keys open, {} are erased", count(keys), count(erased)))?;
            for customer in &damaged {
                output::text(&format!("the key of customer {customer} does not open"))?;
            }
            output::text(if ok { "ok" } else { "not ok" })?;
        }
    }
    Ok(Done::holds(ok))
}

fn rotate(args: &RotateArgs, output: Output) -> Result<Done, Failure> {
    let RotateArgs { data, master, new_master_key } = args;
    // The log's lock covers the keys: who has it open has them open too.
    let _alone = data::lock(&data.data)?;
    let progress = Progress::new("keys", "keys", 0);
    let told = |done, total| progress.set(done, total);
    let rotated = rotate::rotate(&data.data, master.master_key.as_deref(), new_master_key.as_deref(), &told);
    drop(progress);
    let RotationSummary { keys, erased } = rotated.map_err(failed)?;
    let master_key = new_master_key.as_ref();
    match output {
        Output::Json => output::json(&RotateAnswer { ok: true, keys, erased, master_key })?,
        Output::Text => {
            output::text(&format!(
                "{} keys are wrapped under the new master key, {} stay erased",
                count(keys),
                count(erased)
            ))?;
            if let Some(path) = master_key {
                output::text(&format!("name it to the server: --master-key {}", path.display()))?;
            }
        }
    }
    Ok(Done::Ok)
}
