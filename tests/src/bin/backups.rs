//! Backs a server up again and again under load, kills backups midway, restores each and accounts for everything; prints the outcome
//! as JSON and exits with 1 where anything is missing or another.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use duban_tests::backups::{Plan, back_up};

/// Back up under load, and restore; nothing up to the backup's head may be missing.
#[derive(Debug, Parser)]
struct Arguments {
    /// How often to back up.
    #[arg(long, default_value_t = 100)]
    rounds: u32,
    /// What the moments of the backups and kills follow from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Clients at work at the same time.
    #[arg(long, default_value_t = 16)]
    clients: u32,
    /// Tickets in the log before the load begins.
    #[arg(long, default_value_t = 10_000)]
    tickets: u32,
    /// The binary under test; the one beside this program, where absent.
    #[arg(long)]
    duban: Option<PathBuf>,
    /// Where everything lies; a temporary directory, where absent.
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
        rounds: arguments.rounds,
        clients: arguments.clients,
        tickets: arguments.tickets,
        seed: arguments.seed,
    };
    std::fs::create_dir_all(&plan.directory).expect("the directory can be made");
    let outcome = back_up(&plan, |outcome| {
        if outcome.backups % 10 == 0 {
            let (backups, killed, compared) = (outcome.backups, outcome.killed, outcome.compared);
            eprintln!("{backups} backups, {killed} killed, {compared} events compared");
        }
    })
    .await;
    println!("{}", serde_json::to_string(&outcome).expect("an outcome is JSON"));
    let sound = outcome.lost == 0 && outcome.differing == 0 && outcome.problems.is_empty();
    if sound && outcome.backups == plan.rounds && outcome.retold > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
