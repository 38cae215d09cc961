//! Backs a server up again and again under load, kills backups midway, restores each and accounts for everything; prints the outcome
//! as JSON and exits with 1 where anything is missing or another.

use std::process::ExitCode;

use clap::Parser;
use duban_tests::backups::{Plan, back_up};
use duban_tests::place::{PlaceArgs, refused};

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
    #[command(flatten)]
    place: PlaceArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let place = match arguments.place.open() {
        Ok(place) => place,
        Err(error) => return refused(&error),
    };
    let plan = Plan {
        program: place.program.clone(),
        directory: place.directory.clone(),
        rounds: arguments.rounds,
        clients: arguments.clients,
        tickets: arguments.tickets,
        seed: arguments.seed,
    };
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
