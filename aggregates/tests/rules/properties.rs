//! What holds whatever anybody asks for: random histories by a goal-directed walker, with nonsense in between.

mod clocks;
mod oracle;
mod stuck;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use duban_aggregates::calendar::Calendar;
use duban_aggregates::ids::{CommandId, EmployeeId};
use duban_aggregates::meta::{Context, Meta};
use duban_aggregates::policy::Policy;
use duban_aggregates::rejection::Rejection;
use duban_aggregates::sealed::Sealed;
use duban_aggregates::ticket::state::End;
use duban_aggregates::ticket::{self, Event, Ticket};
use duban_sample_tickets::nonsense;
use duban_sample_tickets::scripted::CUSTOMER;
use duban_sample_tickets::walker::{Prng, Proposal, Walker};

/// What the server's runner does: load, answer a repeat from the ticket's memory, decide, append.
struct Runner {
    history: Vec<(Meta, Event)>,
    policy: Arc<Policy>,
    calendar: Arc<Calendar>,
}

/// Revisions of the first and the last event; none where nothing had to change.
type Answer = Result<Option<(u64, u64)>, Rejection>;

impl Runner {
    fn new() -> Self {
        Self { history: Vec::new(), policy: Policy::cn_national(), calendar: Calendar::cn() }
    }

    fn load(&self) -> Option<Ticket> {
        self.history.iter().fold(None, |ticket, (meta, event)| ticket::evolve(ticket, event, meta))
    }

    fn run(&mut self, ticket: &mut Option<Ticket>, id: CommandId, proposal: &Proposal) -> Answer {
        if let Some(done) = ticket.as_ref().and_then(|ticket| ticket.commands.get(&id)) {
            assert_eq!(done.fingerprint, [4; 16]);
            return Ok(Some((done.first_revision, done.last_revision)));
        }
        let context = Context {
            at: proposal.at,
            actor: proposal.actor.clone(),
            command: id,
            fingerprint: [4; 16],
            policy: &self.policy,
            calendar: &self.calendar,
        };
        let events = ticket::decide(ticket.as_ref(), &context, proposal.command.clone())?;
        let first = u64::try_from(self.history.len()).unwrap();
        let stream = match (ticket.as_ref(), events.first()) {
            (Some(ticket), _) => ticket.id(),
            (None, Some(Event::Intake(duban_aggregates::ticket::intake::Event::TakenIn(intake)))) => {
                intake.ticket
            }
            (None, _) => panic!("a stream begins with its intake"),
        };
        for ((index, revision), event) in (0..).zip(first..).zip(events) {
            let meta = Meta {
                id: ticket::event_id(stream, id, index),
                revision,
                recorded_at: proposal.at,
                occurred_at: event.occurred_at().unwrap_or(proposal.at),
                actor: proposal.actor.clone(),
                command: id,
                fingerprint: [4; 16],
            };
            *ticket = ticket::evolve(ticket.take(), &event, &meta);
            self.history.push((meta, event));
        }
        let last = u64::try_from(self.history.len()).unwrap();
        Ok((last > first).then(|| (first, last - 1)))
    }
}

fn seal(text: &str) -> Sealed {
    Sealed { customer: CUSTOMER, nonce: [0; 12], ciphertext: [text.as_bytes(), &[0; 16]].concat() }
}

#[derive(Default)]
struct Tally {
    commands: u32,
    refused: u32,
    repeated: u32,
    closed: u32,
    reopened: u32,
    followed: usize,
    events: usize,
}

/// One ticket's life: mostly what the departments would do, sometimes anything, by anybody, sometimes twice.
fn live(seed: u64, nonsense_percent: u32, tally: &mut Tally) {
    let mut prng = Prng::new(seed ^ 0x5EED);
    let mut walker = Walker::new(seed);
    let mut runner = Runner::new();
    let mut ticket: Option<Ticket> = None;
    let mut before: Option<(CommandId, Proposal, Answer)> = None;
    for _ in 0..160 {
        let proposed = walker.propose(ticket.as_ref(), CUSTOMER, &seal);
        let nonsense = ticket.as_ref().filter(|_| proposed.is_none() || prng.percent(nonsense_percent));
        let proposal = match (nonsense, proposed) {
            (Some(ticket), proposed) => {
                let at = proposed.map_or_else(|| ticket.last_recorded_at, |proposal| proposal.at);
                if ticket.ended.is_some() && prng.percent(10) {
                    break;
                }
                nonsense::propose(&mut prng, ticket, at)
            }
            (None, Some(mut proposal)) => {
                if prng.percent(nonsense_percent / 3) && !proposal.actor.role.is_system() {
                    // Somebody who may have handled it, in another department's role.
                    proposal.actor.id = EmployeeId(format!("desk-0{}", prng.below(3)));
                }
                proposal
            }
            (None, None) => break,
        };
        let id = CommandId(prng.uuid());
        let was = ticket.clone();
        let length = runner.history.len();
        let answer = runner.run(&mut ticket, id, &proposal);
        tally.commands += 1;
        if answer.is_err() {
            tally.refused += 1;
            assert_eq!(ticket, was, "a refused command leaves no trace");
        }
        // The same command again, now and later, answers the same and changes nothing.
        let first_answer = answer.clone();
        for (id, proposal, expected) in before
            .iter()
            .map(|(id, proposal, answer)| (*id, proposal, answer))
            .chain([(id, &proposal, &answer)])
        {
            if let Ok(Some(_)) = expected {
                let revision = runner.history.len();
                let again = runner.run(&mut ticket, id, proposal);
                assert_eq!((&again, runner.history.len()), (expected, revision), "a repeat");
                tally.repeated += 1;
            }
        }
        oracle::check_step(was.as_ref(), &runner.history, length);
        // The same content under a new id may change something or not; the invariants hold all the same.
        if prng.percent(15) {
            let length = runner.history.len();
            let was = ticket.clone();
            let _ = runner.run(&mut ticket, CommandId(prng.uuid()), &proposal);
            oracle::check_step(was.as_ref(), &runner.history, length);
        }
        before = Some((id, proposal, first_answer));
        if prng.percent(20) {
            assert_eq!(runner.load(), ticket, "folding the whole equals folding step by step");
        }
    }
    let ticket = ticket.unwrap();
    assert_eq!(runner.load().as_ref(), Some(&ticket), "folding the whole equals folding step by step");
    oracle::check_whole(&ticket, &runner.history);
    tally.followed += clocks::follow_the_oracle(&runner.history);
    tally.closed += u32::from(matches!(&ticket.ended, Some(ended) if ended.how == End::Closed));
    tally.reopened += u32::from(ticket.reopened > 0);
    tally.events += runner.history.len();
}

fn live_all(seeds: std::ops::Range<u64>, nonsense_percent: u32) -> Tally {
    let mut tally = Tally::default();
    for seed in seeds {
        let lived = std::panic::catch_unwind(AssertUnwindSafe(|| live(seed, nonsense_percent, &mut tally)));
        assert!(lived.is_ok(), "seed {seed}, {nonsense_percent} % nonsense");
    }
    tally
}

/// Tickets of one test; a longer run sets `DUBAN_WALKS`.
fn walks(usual: u64) -> u64 {
    std::env::var("DUBAN_WALKS").ok().and_then(|walks| walks.parse().ok()).unwrap_or(usual)
}

#[test]
fn invariants_hold_on_tickets_that_are_handled_as_they_should_be() {
    let count = walks(500);
    let tally = live_all(0..count, 3);
    assert!(u64::from(tally.closed) * 100 > count * 80, "{} of {count} closed", tally.closed);
    println!(
        "{} of {count} closed, {} commands, {} refused, {} repeated, {} events, {} times a clock met or cancelled",
        tally.closed, tally.commands, tally.refused, tally.repeated, tally.events, tally.followed
    );
}

#[test]
fn invariants_hold_whatever_anybody_asks_for() {
    let count = walks(500);
    let tally = live_all(10_000..10_000 + count, 45);
    assert!(u64::from(tally.closed) * 100 > count * 10, "{} of {count} closed", tally.closed);
    assert!(tally.refused * 10 > tally.commands, "there is nonsense in it");
    assert!(tally.reopened > 0);
    println!(
        "{} of {count} closed, {} commands, {} refused, {} repeated, {} events, {} times a clock met or cancelled",
        tally.closed, tally.commands, tally.refused, tally.repeated, tally.events, tally.followed
    );
}

#[test]
fn the_walkers_own_histories_are_what_deciding_and_folding_apart_give() {
    let mut walker = Walker::new(77);
    for _ in 0..walks(200) {
        let history = walker.history(CUSTOMER, &seal);
        let mut ticket = None;
        let mut length = 0;
        while length < history.len() {
            let command = history[length].0.command;
            let was: Option<Ticket> = ticket.clone();
            let next =
                length + history[length..].iter().take_while(|(meta, _)| meta.command == command).count();
            for (meta, event) in &history[length..next] {
                ticket = ticket::evolve(ticket, event, meta);
            }
            oracle::check_step(was.as_ref(), &history[..next], length);
            length = next;
        }
        oracle::check_whole(&ticket.unwrap(), &history);
    }
}

#[test]
fn a_seed_decides_the_whole_history() {
    let story = |seed| Walker::new(seed).history(CUSTOMER, &seal);
    assert_eq!(story(5), story(5));
    assert_ne!(story(5), story(6));
}

fn seconds_between(from: Timestamp, to: Timestamp) -> i64 {
    SignedDuration::from_secs(to.as_second() - from.as_second()).as_secs()
}
