//! Runs several servers over a fake KurrentDB cluster whose leader changes every second, under load, and accounts for everything that was
//! acknowledged; prints the outcome as JSON and exits with 1 where anything was lost or happened twice.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use duban_tests::together::{Plan, together};

/// Several servers over a cluster whose leader changes again and again; nothing acknowledged may be lost.
#[derive(Debug, Parser)]
struct Arguments {
    /// Servers.
    #[arg(long, default_value_t = 3)]
    servers: usize,
    /// Nodes of the cluster.
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// Clients at work at the same time.
    #[arg(long, default_value_t = 16)]
    clients: u32,
    /// For so many seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The leader changes every so many milliseconds.
    #[arg(long, default_value_t = 1_000)]
    switch_milliseconds: u64,
    /// What everything random follows from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let plan = Plan {
        servers: arguments.servers,
        nodes: arguments.nodes,
        clients: arguments.clients,
        time: Duration::from_secs(arguments.seconds),
        switch_every: Duration::from_millis(arguments.switch_milliseconds),
        seed: arguments.seed,
    };
    let outcome = together(&plan, |switches, acknowledged| {
        if switches % 10 == 0 {
            eprintln!("{switches} leaders, {acknowledged} acknowledged");
        }
    })
    .await;
    println!("{}", serde_json::to_string(&outcome).expect("an outcome is JSON"));
    let sound = outcome.lost == 0 && outcome.twice == 0 && outcome.agreed && outcome.problems.is_empty();
    if sound && outcome.switches > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
