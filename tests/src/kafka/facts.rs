//! Facts in, while the server that takes them in is killed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use duban_log::Reader as LogReader;
use duban_proto::event::v1::TicketKind;
use futures::StreamExt;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde::Serialize;
use serde_json::json;
use tokio::time::sleep;
use uuid::Uuid;

use super::seen::{Answers, letters};
use super::{Brokers, Plan, configure};
use crate::commands;
use crate::outside::{self, Served};
use crate::script::Case;

/// What came of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FactsOutcome {
    /// Facts written to Kafka.
    pub facts: u64,
    /// Of these, records that are no facts.
    pub malformed: u64,
    /// Of these, facts of no ticket, or against a rule.
    pub refused: u64,
    /// Tickets that they are about.
    pub tickets: u64,
    /// Good facts that are in the log, each counted once.
    pub taken_in: u64,
    /// Good facts that are in the log more than once.
    pub twice: u64,
    /// Bad ones in the dead-letter topic with their reason, each counted once.
    pub dead_letters: u64,
    /// Copies of dead letters beyond the first, with the same id.
    pub dead_letter_copies: u64,
    /// Times that the server was killed in the middle of it.
    pub consumer_kills: u32,
    /// Seconds from the first fact to the last answer, restarts and all.
    pub seconds: u64,
    /// What is wrong.
    pub problems: Vec<String>,
}

const GROUP: &str = "facts-real";
const INSTALL: &str = "facts.facts.install.v1";
const LINE_TEST: &str = "facts.facts.line-test.v1";
const BILLING: &str = "facts.facts.billing.v1";
const DEAD: &str = "facts.facts.dead-letter.v1";

const MILESTONES: [&str; 5] = ["accepted", "surveyed", "resources_assigned", "visited", "activated"];

/// Facts of one ticket, on average.
const FACTS_A_TICKET: u32 = 10;

/// Departments' calls, and records of other systems, under way at once.
const AT_ONCE: usize = 64;

/// How often one looks how far it is.
const LOOK: Duration = Duration::from_millis(50);

/// A server that answers nothing for so long is stuck.
const SILENCE_MAX: Duration = Duration::from_secs(90);

/// What another system writes, and what must become of it.
#[derive(Clone, Debug)]
struct Written {
    topic: &'static str,
    key: String,
    value: Option<Vec<u8>>,
    /// Why it cannot be taken in; none where it can.
    refused: Option<&'static str>,
}

/// Takes facts in.
pub async fn take_in(plan: &Plan, brokers: &Brokers, say: &impl Fn(&str)) -> FactsOutcome {
    let directory = plan.directory.join("facts");
    let kafka = format!(
        "brokers = \"{}\"\nrelay = false\nprefix = \"facts\"\ngroup = \"{GROUP}\"\n",
        brokers.addresses
    );
    let file = configure(&directory, &kafka);
    let mut served =
        Served::start_with(&plan.program, &directory, vec!["--config".into(), file.into()]).await;
    let mut random = SmallRng::seed_from_u64(plan.seed);
    let (installs, faults) = tickets(plan, &served).await;
    let mut outcome = FactsOutcome { tickets: (installs.len() + faults.len()) as u64, ..Default::default() };
    let facts = facts(plan, &mut random, &installs, &faults);
    outcome.facts = facts.len() as u64;
    let bad = |malformed: bool| {
        let is = |fact: &&Written| fact.refused.is_some_and(|reason| (reason == "MALFORMED") == malformed);
        facts.iter().filter(is).count() as u64
    };
    (outcome.malformed, outcome.refused) = (bad(true), bad(false));
    say(&format!("{} tickets are taken in, {} facts are written", outcome.tickets, outcome.facts));

    let begun = Instant::now();
    let writing = tokio::spawn(write(brokers.addresses.clone(), facts.clone()));
    let topics = [INSTALL, LINE_TEST, BILLING].map(str::to_owned).to_vec();
    let answers = Arc::new(Answers::of(&brokers.addresses, GROUP, topics));
    let done = |goal| answered_by(&answers, goal);
    let (parts, mut begun_again) = (u64::from(plan.consumer_kills) + 1, false);
    for kill in 1..parts {
        let Some(count) = done(outcome.facts * kill / parts * 9 / 10).await else {
            outcome.problems.push("nothing was answered any more".to_owned());
            break;
        };
        served.kill().await;
        if count < outcome.facts {
            outcome.consumer_kills += 1;
        }
        say(&format!("the server was killed after {count} facts were answered"));
        // It takes in what lies there before it serves, and the next kill falls into that.
        served.begin();
        begun_again = true;
    }
    let places = writing.await.expect("the writer does not panic");
    if done(outcome.facts).await.is_none() {
        outcome.problems.push("not everything was answered".to_owned());
    }
    outcome.seconds = begun.elapsed().as_secs();
    if begun_again {
        served.ready().await;
    }
    let stopped = served.stop().await;
    if !stopped.success() {
        outcome.problems.push(format!("the server did not stop as it should: {stopped}"));
    }
    if outcome.consumer_kills != plan.consumer_kills {
        outcome.problems.push("not every kill fell in the middle of it".to_owned());
    }
    outcome.check_log(&outside::data(&directory), &facts, &places);
    outcome.check_letters(&brokers.addresses, &facts, &places);
    outcome
}

/// Takes tickets in, half installs and half faults.
async fn tickets(plan: &Plan, served: &Served) -> (Vec<String>, Vec<String>) {
    let wire = served.wire().await;
    let count = (plan.facts / FACTS_A_TICKET).max(4);
    let cases = (0..count).map(|number| {
        let kind = if number % 2 == 0 { TicketKind::Install } else { TicketKind::Fault };
        let mut case = Case::new(&format!("facts-{}-{number}", plan.seed), kind);
        let wire = wire.clone();
        async move {
            case.done(&wire, commands::take_in).await;
            (kind, case.ticket)
        }
    });
    let taken: Vec<_> = futures::stream::iter(cases).buffer_unordered(AT_ONCE).collect().await;
    let of = |wanted| {
        let mut of: Vec<_> =
            taken.iter().filter(|(kind, _)| *kind == wanted).map(|(_, ticket)| ticket.clone()).collect();
        of.sort_unstable();
        of
    };
    (of(TicketKind::Install), of(TicketKind::Fault))
}

/// So many records: installs' milestones in turn, tests and payments, one in a hundred malformed, one in five hundred refused.
fn facts(plan: &Plan, random: &mut SmallRng, installs: &[String], faults: &[String]) -> Vec<Written> {
    let mut next: BTreeMap<&str, usize> = BTreeMap::new();
    (0..plan.facts)
        .map(|number| {
            let (install, fault) = (
                &installs[random.random_range(0..installs.len())],
                &faults[random.random_range(0..faults.len())],
            );
            match number % 500 {
                250 => refused(number, install, fault),
                at if at % 100 == 99 => malformed(number, fault),
                _ => good(number, random, &mut next, install, fault),
            }
        })
        .collect()
}

fn good<'t>(
    number: u32,
    random: &mut SmallRng,
    next: &mut BTreeMap<&'t str, usize>,
    install: &'t str,
    fault: &str,
) -> Written {
    let reference = format!("N-{number}");
    let reached = next.entry(install).or_default();
    let (topic, ticket, value) = if random.random_bool(0.5)
        && let Some(milestone) = MILESTONES.get(*reached)
    {
        *reached += 1;
        (INSTALL, install, json!({ "ticket_id": install, "milestone": milestone, "reference": reference }))
    } else if random.random_bool(0.2) {
        let fact = if random.random_bool(0.5) { "arrears_paid" } else { "restored" };
        (BILLING, fault, json!({ "ticket_id": fault, "fact": fact, "reference": reference }))
    } else {
        let passed = random.random_bool(0.7);
        let value =
            json!({ "ticket_id": fault, "passed": passed, "result": "环阻 800 欧", "reference": reference });
        (LINE_TEST, fault, value)
    };
    Written { topic, key: ticket.to_owned(), value: Some(value.to_string().into()), refused: None }
}

fn malformed(number: u32, fault: &str) -> Written {
    let whole =
        json!({ "ticket_id": fault, "passed": true, "result": "通", "reference": format!("M-{number}") });
    let with = |name: &str, value: serde_json::Value| {
        let mut changed = whole.clone();
        changed[name] = value;
        changed.to_string().into_bytes()
    };
    let value = match number / 100 % 6 {
        0 => Some(b"\xff\xfe not JSON".to_vec()),
        1 => Some(whole.to_string().into_bytes()[..40].to_vec()),
        2 => Some(with("passed", json!("yes"))),
        3 => Some(with("more", json!(1))),
        4 => Some(with("ticket_id", json!("no ticket"))),
        _ => None,
    };
    Written { topic: LINE_TEST, key: fault.to_owned(), value, refused: Some("MALFORMED") }
}

fn refused(number: u32, install: &str, fault: &str) -> Written {
    let reference = format!("R-{number}");
    let unknown = Uuid::from_u128(u128::from(number) + 1).to_string();
    let (topic, key, value, reason) = match number / 500 % 3 {
        0 => {
            let value =
                json!({ "ticket_id": unknown, "passed": true, "result": "通", "reference": reference });
            (LINE_TEST, unknown.as_str(), value, "TICKET_UNKNOWN")
        }
        1 => {
            let value = json!({ "ticket_id": fault, "milestone": "accepted", "reference": reference });
            (INSTALL, fault, value, "WRONG_KIND")
        }
        _ => {
            let value = json!({ "ticket_id": install, "fact": "restored", "reference": reference });
            (BILLING, install, value, "WRONG_KIND")
        }
    };
    Written { topic, key: key.to_owned(), value: Some(value.to_string().into()), refused: Some(reason) }
}

/// Writes everything, in order per key; answers where each lies.
async fn write(brokers: String, facts: Vec<Written>) -> Vec<(i32, i64)> {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random")
        .create()
        .expect("a producer can be made");
    let sent = facts.iter().map(|fact| {
        let mut record: FutureRecord<'_, str, [u8]> = FutureRecord::to(fact.topic).key(&fact.key);
        record.payload = fact.value.as_deref();
        // Handed over here, in order; what is awaited is the answer.
        producer.send_result(record).map_err(|(error, _)| error).expect("the producer has room")
    });
    let mut places = Vec::with_capacity(facts.len());
    // Not collected at once: the producer's queue is bounded.
    let mut under_way = std::collections::VecDeque::new();
    for delivery in sent {
        under_way.push_back(delivery);
        if under_way.len() >= AT_ONCE * 16
            && let Some(first) = under_way.pop_front()
        {
            places.push(first.await);
        }
    }
    for delivery in under_way {
        places.push(delivery.await);
    }
    let delivered =
        places.into_iter().map(|answer| answer.ok().and_then(Result::ok).expect("brokers take the facts"));
    delivered.map(|delivered| (delivered.partition, delivered.offset)).collect()
}

/// Waits until so many records are answered; how many, or none where it goes no further.
async fn answered_by(answers: &Arc<Answers>, goal: u64) -> Option<u64> {
    let (mut last, mut since) = (0, Instant::now());
    loop {
        let answers = Arc::clone(answers);
        let count = tokio::task::spawn_blocking(move || answers.count());
        let count = count.await.expect("asking does not panic").unwrap_or(last);
        if count >= goal {
            return Some(count);
        }
        if count > last {
            (last, since) = (count, Instant::now());
        }
        if since.elapsed() > SILENCE_MAX {
            return None;
        }
        sleep(LOOK).await;
    }
}

impl FactsOutcome {
    /// Every good fact is in the log once, and in a ticket those of one topic stand in the order of their partition.
    fn check_log(&mut self, data: &Path, facts: &[Written], places: &[(i32, i64)]) {
        let keys =
            duban_vault::keys::KeyStore::open_read_only(data, None).expect("the server's keys can be read");
        let ids = keys.own_ids();
        let mut expected: BTreeMap<(&str, &str), Vec<(i64, Uuid)>> = BTreeMap::new();
        for (fact, (partition, offset)) in facts.iter().zip(places).filter(|(fact, _)| fact.refused.is_none())
        {
            let command = duban_kafka::command_id(&ids, fact.topic, *partition, *offset);
            expected.entry((&fact.key, fact.topic)).or_default().push((*offset, command));
        }
        let good: HashSet<Uuid> = expected.values().flatten().map(|(_, command)| *command).collect();
        let mut topic_of: HashMap<Uuid, &str> = HashMap::new();
        for ((_, topic), commands) in &expected {
            topic_of.extend(commands.iter().map(|(_, command)| (*command, *topic)));
        }
        let mut happened: BTreeMap<(String, &str), Vec<Uuid>> = BTreeMap::new();
        let log = LogReader::open(&data.join("log")).expect("the log can be read");
        log.scan(|view| {
            if !view.kind.starts_with("fault.") && !view.kind.starts_with("install.") {
                return Ok::<_, duban_log::Error>(ControlFlow::Continue(()));
            }
            let metadata = duban_codec::decode_metadata(view.metadata).expect("every event has its metadata");
            let (_, ticket) = view.stream.split_once('-').expect("a ticket's stream has its id");
            match topic_of.get(&metadata.command.0) {
                Some(topic) => {
                    happened.entry((ticket.to_owned(), topic)).or_default().push(metadata.command.0);
                }
                None => self.problems.push(format!("{} of {ticket} comes of no good fact", view.kind)),
            }
            Ok(ControlFlow::Continue(()))
        })
        .expect("the log can be read");
        let all = happened.values().map(Vec::len).sum::<usize>() as u64;
        let once: HashSet<Uuid> = happened.values().flatten().copied().collect();
        (self.taken_in, self.twice) = (once.len() as u64, all - once.len() as u64);
        let missing = good.difference(&once).count();
        if missing > 0 || self.twice > 0 {
            self.problems.push(format!("{missing} good facts are missing, {} are there twice", self.twice));
        }
        for ((ticket, topic), mut commands) in expected {
            commands.sort_unstable();
            let commands: Vec<_> = commands.into_iter().map(|(_, command)| command).collect();
            if happened.get(&(ticket.to_owned(), topic)) != Some(&commands) {
                self.problems.push(format!("the facts of {topic} are not in their order in {ticket}"));
            }
        }
    }

    /// Every bad record is in the dead-letter topic, as it came, with its reason and its place.
    fn check_letters(&mut self, brokers: &str, facts: &[Written], places: &[(i32, i64)]) {
        let (mut letters, copies) = letters(brokers, DEAD);
        self.dead_letter_copies = copies;
        for (fact, (partition, offset)) in facts.iter().zip(places) {
            let Some(reason) = fact.refused else { continue };
            let id = duban_kafka::record_id(fact.topic, *partition, *offset).to_string();
            let place = (fact.topic.to_owned(), partition.to_string(), offset.to_string());
            match letters.remove(&id) {
                Some(letter)
                    if letter.reason == reason && letter.place == place && letter.value == fact.value =>
                {
                    self.dead_letters += 1;
                }
                Some(letter) => {
                    self.problems.push(format!("a dead letter is not as it must be, {reason}: {letter:?}"));
                }
                None => self.problems.push(format!("no dead letter for {place:?}, {reason}")),
            }
        }
        if !letters.is_empty() {
            self.problems.push(format!("{} dead letters are of good facts", letters.len()));
        }
    }
}
