//! Events out, while brokers and the relay are killed.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use duban_log::Reader as LogReader;
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use uuid::Uuid;

use super::seen::{Reader, Seen, hash};
use super::{Brokers, Plan, configure};
use crate::outside::{self, Served};

/// What came of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RelayOutcome {
    /// Events in the log.
    pub events: u64,
    /// Streams in the log.
    pub streams: u64,
    /// Events that a reader of Kafka saw, each counted once.
    pub seen: u64,
    /// Copies beyond the first, which a reader passes over by their ids.
    pub copies: u64,
    /// Times that a broker was killed in the middle of it.
    pub broker_kills: u32,
    /// Times that the relay was killed in the middle of it.
    pub relay_kills: u32,
    /// Seconds from the first start of the relay to the last event seen, restarts and all.
    pub seconds: u64,
    /// What is wrong.
    pub problems: Vec<String>,
}

/// Events a ticket has, at least, on average.
const EVENTS_A_TICKET: u64 = 50;

/// How often one looks how far it is.
const LOOK: Duration = Duration::from_millis(5);

/// A relay from which nothing comes for so long is stuck.
const SILENCE_MAX: Duration = Duration::from_secs(90);

const TOPICS: [&str; 4] = ["complaint", "fault", "install", "office"];

/// What happens in the middle of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    Broker(u32),
    Relay,
}

/// The relay first and last, brokers between.
fn blows(plan: &Plan) -> Vec<Blow> {
    let (mut brokers, mut relays) = (0, 0);
    let mut blows = Vec::new();
    while brokers < plan.broker_kills || relays < plan.relay_kills {
        if relays < plan.relay_kills {
            relays += 1;
            blows.push(Blow::Relay);
        }
        if brokers < plan.broker_kills {
            brokers += 1;
            blows.push(Blow::Broker(1 + (brokers + u32::try_from(plan.seed % 3).unwrap_or(0)) % 3));
        }
    }
    blows
}

/// Relays a log of at least so many events.
pub async fn relay(plan: &Plan, brokers: &Arc<Brokers>, say: &impl Fn(&str)) -> RelayOutcome {
    let directory = plan.directory.join("relay");
    let file = configure(&directory, &format!("brokers = \"{}\"\nfacts = false\n", brokers.addresses));
    let data = outside::data(&directory);
    let tickets = (plan.events / EVENTS_A_TICKET).max(1).to_string();
    let seed = plan.seed.to_string();
    let generate =
        ["generate", "--tickets", &tickets, "--seed", &seed, "--data"].map(std::ffi::OsString::from);
    let generated = outside::run(&plan.program, generate.into_iter().chain([data.clone().into()])).await;
    let written = generated.count("events");
    let mut outcome = RelayOutcome::default();
    if written < plan.events {
        outcome.problems.push(format!("{tickets} tickets had {written} events, {} are wanted", plan.events));
        return outcome;
    }
    say(&format!("{written} events wait in a log"));

    let reader = Reader::start(&brokers.addresses, TOPICS.map(|topic| format!("duban.{topic}.v1")).into());
    let begun = Instant::now();
    let mut served =
        Served::start_with(&plan.program, &directory, vec!["--config".into(), file.into()]).await;
    let (blows, mut returning) = (blows(plan), None);
    let parts = blows.len() as u64 + 1;
    for (part, blow) in (1..).zip(&blows) {
        // Once so many have come, and some from this very life of the relay.
        let goal = (written * part / parts / 2).max(reader.distinct() + written / parts / 16);
        if !seen_by(&reader, goal).await {
            outcome.problems.push(format!("nothing came any more after {} events", reader.distinct()));
            break;
        }
        match blow {
            Blow::Relay => {
                served.kill().await;
                if reader.distinct() < written {
                    outcome.relay_kills += 1;
                }
                say(&format!("the relay was killed after {} events were seen", reader.distinct()));
                served.restart().await;
            }
            Blow::Broker(number) => {
                came_back(returning.take()).await;
                brokers.kill(*number);
                if reader.distinct() < written {
                    outcome.broker_kills += 1;
                }
                say(&format!("broker {number} was killed after {} events were seen", reader.distinct()));
                // Away for a while, in which the others have to do; then it comes back, while the next blow falls.
                seen_by(&reader, (reader.distinct() + written / parts / 8).min(written)).await;
                let (brokers, number) = (Arc::clone(brokers), *number);
                returning = Some(tokio::task::spawn_blocking(move || brokers.up(number)));
            }
        }
    }
    came_back(returning).await;
    let expected = loop {
        let expected = expected(&data);
        let all = expected.ids.len() as u64;
        if !seen_by(&reader, all).await || reader.distinct() >= self::expected(&data).ids.len() as u64 {
            break expected;
        }
    };
    outcome.seconds = begun.elapsed().as_secs();
    let stopped = served.stop().await;
    if !stopped.success() {
        outcome.problems.push(format!("the server did not stop as it should: {stopped}"));
    }
    let seen = reader.end();
    outcome.check(plan, &expected, seen);
    outcome
}

/// A broker that was started again has to be there before the next one goes.
async fn came_back(returning: Option<JoinHandle<()>>) {
    if let Some(returning) = returning {
        returning.await.expect("a broker that was killed can be started again");
    }
}

/// Waits until the reader has seen so many events; false where nothing comes any more.
async fn seen_by(reader: &Reader, goal: u64) -> bool {
    let (mut last, mut since) = (reader.distinct(), Instant::now());
    while reader.distinct() < goal {
        if reader.distinct() > last {
            (last, since) = (reader.distinct(), Instant::now());
        }
        if since.elapsed() > SILENCE_MAX {
            return false;
        }
        sleep(LOOK).await;
    }
    true
}

/// What lies in the log.
#[derive(Default)]
struct InLog {
    ids: HashMap<Uuid, u64>,
    streams: HashMap<String, Vec<Uuid>>,
}

fn expected(data: &Path) -> InLog {
    let log = LogReader::open(&data.join("log")).expect("a log can be read beside its server");
    let mut all = InLog::default();
    log.scan(|view| {
        let event = view.to_recorded()?;
        let stored = duban_projections::stored(&event);
        let json = duban_codec::to_event(&stored).and_then(|envelope| duban_codec::to_json(&envelope));
        all.ids.insert(event.id, hash(json.expect("every event has its JSON").as_bytes()));
        all.streams.entry(event.stream.to_string()).or_default().push(event.id);
        Ok::<_, duban_log::Error>(ControlFlow::Continue(()))
    })
    .expect("a log can be read beside its server");
    all
}

impl RelayOutcome {
    fn check(&mut self, plan: &Plan, expected: &InLog, seen: Seen) {
        self.events = expected.ids.len() as u64;
        self.streams = expected.streams.len() as u64;
        self.seen = seen.values.len() as u64;
        self.copies = seen.copies;
        self.problems.extend(seen.problems);
        if (self.broker_kills, self.relay_kills) != (plan.broker_kills, plan.relay_kills) {
            self.problems.push("not every kill fell in the middle of it".to_owned());
        }
        let missing = expected.ids.keys().filter(|id| !seen.values.contains_key(*id)).count();
        if missing > 0 {
            self.problems.push(format!("{missing} events are missing"));
        }
        let other =
            expected.ids.iter().filter(|(id, value)| seen.values.get(*id).is_some_and(|it| it != *value));
        let other = other.count();
        if other > 0 {
            self.problems.push(format!("{other} events are not as the log has them"));
        }
        for (stream, ids) in &seen.streams {
            // What was written after the log was looked at, while the server stopped, may have come too.
            let of_log = expected.streams.get(stream).map_or(&[][..], Vec::as_slice);
            let both = of_log.len().min(ids.len());
            if of_log[..both] != ids[..both] {
                self.problems.push(format!("the events of {stream} came out of order"));
            }
        }
    }
}
