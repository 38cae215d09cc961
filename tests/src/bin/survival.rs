//! Kills a server again and again under load and accounts for everything it acknowledged; prints the outcome as JSON and
//! exits with 1 where anything was lost or happened twice.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use duban_tests::survival::{Plan, survive};

/// Kill the server under load; nothing acknowledged may be lost.
#[derive(Debug, Parser)]
struct Arguments {
    /// How often to kill.
    #[arg(long, default_value_t = 200)]
    kills: u32,
    /// What the moments of the kills follow from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Clients at work at the same time.
    #[arg(long, default_value_t = 16)]
    clients: u32,
    /// The binary under test; the one beside this program, where absent.
    #[arg(long)]
    duban: Option<PathBuf>,
    /// Where the server keeps its data; a temporary directory, where absent.
    #[arg(long)]
    directory: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let beside = std::env::current_exe().expect("a program has a path").with_file_name("duban-under-test");
    let temporary = tempfile::tempdir().expect("there is room for temporary files");
    let plan = Plan {
        binary: arguments.duban.unwrap_or(beside),
        directory: arguments.directory.unwrap_or_else(|| temporary.path().to_owned()),
        kills: arguments.kills,
        clients: arguments.clients,
        seed: arguments.seed,
    };
    std::fs::create_dir_all(&plan.directory).expect("the directory can be made");
    let outcome = survive(&plan, |kills, acknowledged| {
        if kills % 10 == 0 {
            eprintln!("{kills} kills, {acknowledged} acknowledged");
        }
    })
    .await;
    println!("{}", serde_json::to_string(&outcome).expect("an outcome is JSON"));
    let sound = outcome.lost == 0 && outcome.twice == 0 && outcome.verified && outcome.problems.is_empty();
    if sound && outcome.kills == plan.kills { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
