//! Generates seeded tickets, serves them, asks for the state after every event and at its moments, compares each with a fresh fold, and
//! prints the outcome as JSON; exits with 1 where one is otherwise.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use duban_tests::inside::Inside;
use duban_tests::pasts;

/// The state at every revision of many random histories equals a fresh fold of that prefix.
#[derive(Debug, Parser)]
struct Arguments {
    /// The binary that generates; the one beside this program, where absent.
    #[arg(long)]
    duban: Option<PathBuf>,
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
    let Arguments { duban, tickets, seed, clients } = Arguments::parse();
    let beside = std::env::current_exe().expect("a program has a path").with_file_name("duban-under-test");
    let program = duban.unwrap_or(beside);
    let inside = Inside::over_prepared(|data| pasts::generate(&program, data, tickets, seed)).await;
    inside.size().await;
    let data = inside.directory().join("data");
    let pasts = pasts::compare(&inside.wire().await, &data, clients).await;
    inside.stop().await;
    println!("{}", serde_json::to_string(&pasts).expect("figures are JSON"));
    if pasts.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
