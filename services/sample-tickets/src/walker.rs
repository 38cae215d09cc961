//! Seeded, realistic histories. A [`Walker`] plays the departments, the units and the customer of one ticket after another: rounds,
//! returns, pauses, breaches, appeals and ends included.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use duban_aggregates::actor::Actor;
use duban_aggregates::calendar::Calendar;
use duban_aggregates::ids::{CommandId, CustomerId, TicketId};
use duban_aggregates::meta::{Context, Meta};
use duban_aggregates::policy::Policy;
use duban_aggregates::sealed::Sealed;
use duban_aggregates::ticket::{self, Command, Event, Ticket};

mod office;
mod walk;

pub use office::{actor, attachment, member};

/// Seals a text under the ticket's customer.
pub type Seal<'s> = &'s dyn Fn(&str) -> Sealed;

/// SplitMix64: small, fast, and good enough to vary a story.
#[derive(Clone, Debug)]
pub struct Prng(u64);

impl Prng {
    /// A stream of numbers that the seed decides.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        u32::try_from(self.bits() % u64::from(bound.max(1))).unwrap_or(0)
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, share: u32) -> bool {
        self.below(100) < share
    }

    /// One of a list, which is not empty.
    pub fn pick<'l, T: ?Sized>(&mut self, list: &[&'l T]) -> &'l T {
        let index = self.below(u32::try_from(list.len()).unwrap_or(u32::MAX));
        list[usize::try_from(index).unwrap_or(0)]
    }

    /// Sixteen bytes.
    pub fn bytes(&mut self) -> [u8; 16] {
        ((u128::from(self.bits()) << 64) | u128::from(self.bits())).to_le_bytes()
    }

    /// A random id.
    pub fn uuid(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes(self.bytes()).into_uuid()
    }
}

/// What somebody does next.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What.
    pub command: Command,
}

/// Plays one ticket after another.
#[derive(Clone, Debug)]
pub struct Walker {
    prng: Prng,
    at: Timestamp,
    policy: Arc<Policy>,
    calendar: Arc<Calendar>,
}

/// The first day of a walker that was given none: Monday, 2 March 2026, 08:00 in Shanghai.
const FIRST_SECOND: i64 = 1_772_409_600;

/// No story is longer than this many commands.
const COMMANDS_MAX: u32 = 600;

impl Walker {
    /// A walker under the national policy, from 2 March 2026 on.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::starting(seed, Timestamp::from_second(FIRST_SECOND).unwrap_or(Timestamp::UNIX_EPOCH))
    }

    /// A walker whose first ticket comes in at `at`, and each later one up to ten minutes after the one before it.
    #[must_use]
    pub fn starting(seed: u64, at: Timestamp) -> Self {
        Self { prng: Prng::new(seed), at, policy: Policy::cn_national(), calendar: Calendar::cn() }
    }

    /// A random customer id.
    pub fn customer(&mut self) -> CustomerId {
        CustomerId(self.prng.uuid())
    }

    /// One ticket's whole story: most are closed, some end otherwise, a few stay open.
    pub fn history(&mut self, customer: CustomerId, seal: Seal<'_>) -> Vec<(Meta, Event)> {
        let mut history = Vec::with_capacity(96);
        let mut ticket = None;
        for _ in 0..COMMANDS_MAX {
            let Some(proposal) = self.propose(ticket.as_ref(), customer, seal) else { break };
            let before = history.len();
            ticket = self.play(ticket, proposal, &mut history);
            // A story in which nothing happens any more is over.
            if history.len() == before && self.prng.percent(20) {
                break;
            }
        }
        history
    }

    /// What somebody does next on this ticket; `None` when its story is over.
    pub fn propose(
        &mut self,
        ticket: Option<&Ticket>,
        customer: CustomerId,
        seal: Seal<'_>,
    ) -> Option<Proposal> {
        match ticket {
            None => {
                self.at = after(self.at, i64::from(self.prng.below(600)));
                Some(office::take_in(&mut self.prng, customer, self.at, seal))
            }
            Some(ticket) => walk::next(&mut self.prng, ticket, &self.policy, &self.calendar, seal),
        }
    }

    /// Decides and folds without copying the ticket. What was refused, or changed nothing, is folded anew.
    fn play(
        &mut self,
        ticket: Option<Ticket>,
        proposal: Proposal,
        history: &mut Vec<(Meta, Event)>,
    ) -> Option<Ticket> {
        let Proposal { at, actor, command } = proposal;
        let command_id = CommandId(self.prng.uuid());
        let context = Context {
            at,
            actor,
            command: command_id,
            fingerprint: *command_id.0.as_bytes(),
            policy: &self.policy,
            calendar: &self.calendar,
        };
        let stream = ticket.as_ref().map_or_else(|| new_ticket(&command), Ticket::id);
        let first = ticket.as_ref().map_or(0, |ticket| ticket.revision + 1);
        let advanced = match ticket {
            Some(ticket) => ticket::advance(ticket, &context, command),
            None => ticket::decide(None, &context, command).ok().map(|events| (None, events)),
        };
        let Some((advanced, events)) = advanced else {
            return history.iter().fold(None, |ticket, (meta, event)| ticket::evolve(ticket, event, meta));
        };
        let before = history.len();
        for ((index, revision), event) in (0..).zip(first..).zip(events) {
            let meta = Meta {
                id: ticket::event_id(stream, command_id, index),
                revision,
                recorded_at: at,
                occurred_at: event.occurred_at().unwrap_or(at),
                actor: context.actor.clone(),
                command: command_id,
                fingerprint: context.fingerprint,
            };
            history.push((meta, event));
        }
        advanced.or_else(|| {
            history[before..].iter().fold(None, |ticket, (meta, event)| ticket::evolve(ticket, event, meta))
        })
    }
}

fn new_ticket(command: &Command) -> TicketId {
    match command {
        Command::Intake(duban_aggregates::ticket::intake::Command::TakeIn { intake, .. }) => intake.ticket,
        _ => TicketId(Uuid::nil()),
    }
}

/// So many seconds later.
#[must_use]
pub fn after(at: Timestamp, seconds: i64) -> Timestamp {
    at.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}
