//! Writes through gRPC, reads each write back at once from the read models, and prints the outcome as JSON; exits with 1
//! where a read was stale.

use std::process::ExitCode;

use clap::Parser;
use duban_tests::outside::Served;
use duban_tests::place::{PlaceArgs, refused};
use duban_tests::reads::read_own_writes;

/// Every write is followed by a read with its position; none may be stale.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    place: PlaceArgs,
    /// Writes, each with its read.
    #[arg(long, default_value_t = 10_000)]
    writes: u64,
    /// Clients at work at the same time.
    #[arg(long, default_value_t = 16)]
    clients: u32,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let place = match arguments.place.open() {
        Ok(place) => place,
        Err(error) => return refused(&error),
    };
    let served = Served::start(&place.program, &place.directory).await;
    let reads = read_own_writes(&served.url, &served.tokens(), arguments.writes, arguments.clients).await;
    println!("{}", serde_json::to_string(&reads).expect("a measurement is JSON"));
    if reads.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
