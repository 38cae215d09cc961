//! Starts a real Kafka and a server beside it, kills both in the middle of it, and accounts for every event out and every fact in; prints
//! the outcome as JSON and exits with 1 where anything is missing, out of order or done twice.

use std::process::ExitCode;

use clap::Parser;
use duban_tests::kafka::{Plan, carry_out};
use duban_tests::place::{PlaceArgs, refused};
use tokio::signal::unix::{SignalKind, signal};

/// Events out and facts in through a real Kafka, whose brokers and whose server are killed.
#[derive(Debug, Parser)]
struct Arguments {
    /// Events to relay, at least.
    #[arg(long, default_value_t = 100_000)]
    events: u64,
    /// Times that a broker is killed while they are relayed.
    #[arg(long, default_value_t = 2)]
    broker_kills: u32,
    /// Times that the relay is killed while they are relayed.
    #[arg(long, default_value_t = 3)]
    relay_kills: u32,
    /// Facts to take in, one in a hundred of them malformed.
    #[arg(long, default_value_t = 20_000)]
    facts: u32,
    /// Times that the server is killed while they are taken in.
    #[arg(long, default_value_t = 5)]
    consumer_kills: u32,
    /// What tickets and facts follow from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
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
        events: arguments.events,
        broker_kills: arguments.broker_kills,
        relay_kills: arguments.relay_kills,
        facts: arguments.facts,
        consumer_kills: arguments.consumer_kills,
        seed: arguments.seed,
    };
    let mut terminated = signal(SignalKind::terminate()).expect("signals can be taken over");
    let mut interrupted = signal(SignalKind::interrupt()).expect("signals can be taken over");
    let outcome = tokio::select! {
        outcome = carry_out(&plan, |how_far| eprintln!("{how_far}")) => outcome,
        // What was started is ended where it is dropped, brokers and servers alike.
        _ = terminated.recv() => return ExitCode::FAILURE,
        _ = interrupted.recv() => return ExitCode::FAILURE,
    };
    println!("{}", serde_json::to_string(&outcome).expect("an outcome is JSON"));
    if outcome.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
