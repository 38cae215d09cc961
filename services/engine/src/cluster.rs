//! A log on a cluster that several servers share, and the registers beside it.

use std::sync::Arc;

use duban_log::kurrentdb::{KurrentLog, KurrentRegisters, Options};
use duban_log::{EventLog, Registers};

use crate::transcode::CanonicalJson;

/// With what the names of the log's streams begin (domain.md section 8), on a cluster that holds other streams too.
pub const STREAM_PREFIXES: &[&str] = &[
    "complaint-",
    "fault-",
    "install-",
    "problem-",
    "notice-",
    "letter-",
    "visit-",
    "draw",
    "hotspot-",
    "bulletin-",
    "emergency",
    "unit-",
    "call-audit-",
    "customer-",
    "office",
    "policy",
    "imported-",
];

/// A log that several servers share, and what lies beside it.
#[derive(Clone)]
pub struct SharedLog {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// The registers beside it.
    pub registers: Arc<dyn Registers>,
}

/// Opens the log of an EventStoreDB or KurrentDB cluster, reading it through once.
///
/// # Errors
/// As the log's engine says.
pub async fn connect(url: &str) -> Result<SharedLog, duban_log::Error> {
    let options = Options::new(STREAM_PREFIXES.iter().copied());
    let log = KurrentLog::connect(url, options, Arc::new(CanonicalJson)).await?;
    let registers: Arc<dyn Registers> = KurrentRegisters::new(log.side_streams());
    Ok(SharedLog { log: Arc::new(log), registers })
}

#[cfg(test)]
mod tests {
    use duban_aggregates::customer::Customer;
    use duban_aggregates::notice::Notice;
    use duban_aggregates::office::Office;
    use duban_aggregates::problem::Problem;
    use duban_aggregates::ticket::Ticket;

    use super::*;
    use crate::runner::Aggregate;

    #[test]
    fn every_stream_that_the_runner_writes_is_one_of_the_logs_and_no_register_is() {
        fn of<A: Aggregate>() -> Vec<String> {
            let name = |prefix: &&str| if A::ALONE { (*prefix).to_owned() } else { format!("{prefix}-x") };
            A::PREFIXES.iter().map(name).collect()
        }
        let ours = |name: &String| STREAM_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        let all = [of::<Ticket>(), of::<Problem>(), of::<Notice>(), of::<Customer>(), of::<Office>()];
        for name in all.concat() {
            assert!(ours(&name), "{name}");
        }
        assert!(!ours(&"duban-lease".to_owned()));
    }
}
