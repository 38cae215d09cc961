//! Generates seeded tickets, serves them, asks for the state after every event and at its moments, compares each with a fresh fold, and
//! prints the outcome as JSON; exits with 1 where one is otherwise.

use std::process::ExitCode;

use clap::Parser;
use duban_tests::inside::Inside;
use duban_tests::pasts;
use duban_tests::place::{ProgramArgs, refused};

/// The state at every revision of many random histories equals a fresh fold of that prefix.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    program: ProgramArgs,
    /// Tickets, each with a history of its own.
    #[arg(long, default_value_t = 1_000)]
    tickets: u64,
    /// The histories follow from this.
    #[arg(long, default_value_t = 20_260_302)]
    seed: u64,
    /// Clients at work at the same time.
    #[arg(long, default_value_t = 4)]
    clients: usize,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { program, tickets, seed, clients } = Arguments::parse();
    let program = match program.find() {
        Ok(program) => program,
        Err(error) => return refused(&error),
    };
    let inside = Inside::over_prepared(|data| pasts::generate(&program, data, tickets, seed)).await;
    inside.size().await;
    let data = inside.directory().join("data");
    let pasts = pasts::compare(&inside.wire().await, &data, clients).await;
    inside.stop().await;
    println!("{}", serde_json::to_string(&pasts).expect("figures are JSON"));
    if pasts.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
