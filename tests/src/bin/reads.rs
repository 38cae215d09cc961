//! Writes through gRPC, reads each write back at once from the read models, and prints the outcome as JSON; exits with 1
//! where a read was stale.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use duban_tests::outside::Served;
use duban_tests::reads::read_own_writes;

/// Every write is followed by a read with its position; none may be stale.
#[derive(Debug, Parser)]
struct Arguments {
    /// The binary to start; the one beside this program, where absent.
    #[arg(long)]
    duban: Option<PathBuf>,
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
    let beside = std::env::current_exe().expect("a program has a path").with_file_name("duban-under-test");
    let directory = tempfile::tempdir().expect("there is room for temporary files");
    let served = Served::start(&arguments.duban.unwrap_or(beside), directory.path()).await;
    let reads = read_own_writes(&served.url, &served.tokens(), arguments.writes, arguments.clients).await;
    println!("{}", serde_json::to_string(&reads).expect("a measurement is JSON"));
    if reads.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
