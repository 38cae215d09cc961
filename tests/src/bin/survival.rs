//! Kills a server again and again under load and accounts for everything it acknowledged; prints the outcome as JSON and
//! exits with 1 where anything was lost or happened twice.

use std::process::ExitCode;

use clap::Parser;
use duban_tests::place::{PlaceArgs, refused};
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
        kills: arguments.kills,
        clients: arguments.clients,
        seed: arguments.seed,
    };
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
