use duban_aggregates::actor::Actor;
use duban_aggregates::customer::{self, Customer};
use duban_aggregates::ids::{CommandId, CustomerId, TicketId};
use duban_aggregates::office::SignedHead;
use duban_aggregates::words::{Role, Segment, Tier};
use duban_codec::Lineage;
use duban_log::{EventLog, MemoryLog, StreamName};
use duban_vault::own_ids::OwnIds;
use jiff::civil::date;
use uuid::Uuid;

use super::*;
use crate::runner::{Bounds, Rules};
use crate::time::VirtualClock;

const CUSTOMER: CustomerId = CustomerId(Uuid::from_u128(7));

/// 2 March 2026, 10:00 in Shanghai.
const BEGIN: &str = "2026-03-02T02:00:00Z";

struct Place {
    log: Arc<MemoryLog>,
    clock: VirtualClock,
    runner: Arc<Runner>,
    days: Arc<Days>,
    events: u128,
}

impl Place {
    fn new() -> Self {
        let clock = VirtualClock::new(BEGIN.parse().unwrap());
        Self::over(Arc::new(MemoryLog::new()), clock, 0)
    }

    fn over(log: Arc<MemoryLog>, clock: VirtualClock, events: u128) -> Self {
        let shared: Arc<dyn EventLog> = Arc::clone(&log) as _;
        let runner = Runner::new(
            shared,
            Arc::new(clock.clone()),
            Rules::cn_national(),
            OwnIds::new(&[7; 32]),
            Bounds::default(),
        );
        let runner = Arc::new(runner);
        let days = Arc::new(Days::new(Arc::clone(&runner), SigningKey::ephemeral().unwrap()));
        Self { log, clock, runner, days, events }
    }

    /// A server that starts over the same log.
    fn restarted(self) -> Self {
        Self::over(self.log, self.clock, self.events)
    }

    /// Adds an event to the stream of a customer.
    async fn something(&mut self) {
        self.events += 1;
        let ticket = TicketId(Uuid::from_u128(self.events));
        let ask = Ask {
            command: CommandId(Uuid::from_u128(self.events)),
            expected_revision: None,
            fingerprint: [0; 16],
            actor: Actor { id: "e1".into(), role: Role::Desk, unit: "desk".into() },
            lineage: Lineage::default(),
        };
        let command = move |state: Option<&Customer>, _| {
            Ok(match state {
                Some(_) => customer::Command::NoteTicketOpened { ticket },
                None => customer::Command::Register {
                    customer: CUSTOMER,
                    phone_hash: [0; 16],
                    tier: Tier::Standard,
                    segment: Segment::Public,
                },
            })
        };
        self.runner.run(CUSTOMER.0, &ask, command).await.unwrap();
    }

    fn later(&self, hours: u64) {
        self.clock.advance(Duration::from_secs(hours * 3_600));
    }

    /// Every head that was signed, checked against the log as it was then.
    async fn heads(&self) -> Vec<Border> {
        let stream = StreamName::new(office::STREAM).unwrap();
        let events = self.log.read_stream(&stream, 0, Direction::Forward, 1_000).await.unwrap();
        let mut heads = Vec::new();
        for event in events {
            let office::Event::DayClosed(signed) =
                duban_codec::decode_office(&event.kind, &event.payload).unwrap();
            let SignedHead { head, .. } = signed;
            assert!(head.size <= event.position.get(), "it lies behind what it covers");
            assert_eq!(self.log.root_at(head.size).await.unwrap(), head.root);
            let mut streams = StreamTree::default();
            let all = self.log.read_all(None, Direction::Forward, &Filter::all(), 1_000).await.unwrap();
            for event in all.events.iter().filter(|event| event.position.get() < head.size) {
                streams.push(event.stream.as_str(), event.revision, leaf_hash(event));
            }
            assert_eq!((streams.len(), streams.root()), (head.streams, head.streams_root));
            heads.push((head.day, head.size));
        }
        heads
    }
}

fn march(day: i8) -> Date {
    date(2026, 3, day)
}

#[tokio::test]
async fn a_day_is_closed_at_midnight_once_and_one_without_events_is_not() {
    let mut place = Place::new();
    let drain = Drain::default();
    let running = tokio::spawn({
        let (days, drain) = (Arc::clone(&place.days), drain.clone());
        async move { days.run(drain).await }
    });
    place.something().await;
    place.something().await;
    place.clock.set("2026-03-02T15:59:59Z".parse().unwrap()).unwrap();
    place.days.idle().await;
    assert_eq!(place.heads().await, []);
    place.clock.set("2026-03-02T16:00:00Z".parse().unwrap()).unwrap();
    place.days.idle().await;
    assert_eq!(place.heads().await, [(march(2), 2)]);
    place.later(24);
    place.days.idle().await;
    assert_eq!(place.heads().await, [(march(2), 2)], "its own closing is no event of the 3rd");
    place.something().await;
    place.later(24);
    place.days.idle().await;
    assert_eq!(place.heads().await, [(march(2), 2), (march(4), 4)]);
    drain.start();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn after_downtime_every_missed_day_with_events_is_closed_once_by_its_own_border() {
    let mut place = Place::new();
    for hours in [0, 24, 1, 72] {
        place.later(hours);
        place.something().await;
    }
    place.days.catch_up().await;
    let missed = [(march(2), 1), (march(3), 3)];
    assert_eq!(place.heads().await, missed);
    place.days.catch_up().await;
    let mut place = place.restarted();
    place.days.catch_up().await;
    assert_eq!(place.heads().await, missed);
    // What was there today before the missed days were closed, and their closings, are of today.
    place.something().await;
    place.later(24);
    place.days.catch_up().await;
    assert_eq!(place.heads().await, [missed[0], missed[1], (march(6), 7)]);
}

#[tokio::test]
async fn an_event_recorded_before_one_that_stands_before_it_is_of_the_later_day() {
    let mut place = Place::new();
    place.something().await;
    place.later(24);
    place.something().await;
    // Decided on the 2nd, written on the 3rd: its place in the log decides.
    let stream = StreamName::new(format!("customer-{}", Uuid::nil())).unwrap();
    let first = place.log.read_all(None, Direction::Forward, &Filter::all(), 1).await.unwrap();
    let first = first.events.into_iter().next().unwrap();
    let late = duban_log::NewEvent {
        id: Uuid::from_u128(99),
        kind: first.kind,
        occurred_at: first.occurred_at,
        recorded_at: first.recorded_at,
        tags: first.tags,
        metadata: first.metadata,
        payload: first.payload,
    };
    place.log.append(&stream, duban_log::Expected::NoStream, vec![late]).await.unwrap();
    place.later(24);
    place.days.catch_up().await;
    assert_eq!(place.heads().await, [(march(2), 1), (march(3), 3)]);
}
