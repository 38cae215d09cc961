//! A real Kafka, a server beside it, and both of them killed again and again: nothing may be missing, and nothing done twice.

mod brokers;
mod facts;
mod out;
mod seen;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

pub use self::facts::{FactsOutcome, take_in};
pub use self::out::{RelayOutcome, relay};
pub use brokers::Brokers;

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The program under test.
    pub program: PathBuf,
    /// Where servers and brokers keep what is theirs.
    pub directory: PathBuf,
    /// Events to relay, at least.
    pub events: u64,
    /// Times that a broker is killed while they are relayed.
    pub broker_kills: u32,
    /// Times that the server is killed while they are relayed.
    pub relay_kills: u32,
    /// Facts to take in.
    pub facts: u32,
    /// Times that the server is killed while they are taken in.
    pub consumer_kills: u32,
    /// What tickets and facts follow from.
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Whether everything is as it must be.
    pub ok: bool,
    /// Events out.
    pub relay: RelayOutcome,
    /// Facts in.
    pub facts: FactsOutcome,
    /// As given.
    pub seed: u64,
}

/// Carries a plan out; `say` is told how far it is.
pub async fn carry_out(plan: &Plan, say: impl Fn(&str)) -> Outcome {
    let brokers = Arc::new(Brokers::start(&plan.directory.join("kafka")));
    say(&format!("three brokers are up: {}", brokers.addresses));
    let relay = relay(plan, &brokers, &say).await;
    let facts = take_in(plan, &brokers, &say).await;
    let ok = relay.problems.is_empty() && facts.problems.is_empty();
    Outcome { ok, relay, facts, seed: plan.seed }
}

/// Writes a server's configuration; answers its path.
fn configure(directory: &Path, kafka: &str) -> PathBuf {
    std::fs::create_dir_all(directory).expect("the directory can be made");
    let path = directory.join("duban.toml");
    std::fs::write(&path, format!("[kafka]\n{kafka}")).expect("the directory can be written");
    path
}
