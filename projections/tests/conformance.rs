//! Conformance over seeded and broken histories: what the rules wrote conforms, what they would not have written is found, however the
//! read model was fed.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use duban_aggregates::actor::Actor;
use duban_aggregates::ids::{CommandId, HistoryId, stream_event_id};
use duban_aggregates::imported::{self, Step};
use duban_aggregates::meta::Meta;
use duban_aggregates::sealed::Sealed;
use duban_aggregates::ticket::chain::Event as ChainEvent;
use duban_aggregates::ticket::{self, Event, Ticket};
use duban_aggregates::words::{Role, Stage};
use duban_codec::Lineage;
use duban_log::{EventLog, Expected, NewEvent, Options, SegmentedLog, StreamName};
use duban_projections::conformance::{CONFORMS, How, Wanted};
use duban_projections::{Conformance, ConformanceFold, Home, Projection, rebuild};
use duban_sample_tickets::walker::Walker;
use jiff::Timestamp;
use uuid::Uuid;

/// Events of a story that are appended together.
const FEW: usize = 5;

/// What happened to one ticket.
type Story = Vec<(Meta, Event)>;

fn stories(seed: u64, tickets: usize) -> Vec<Story> {
    let mut walker = Walker::new(seed);
    let story = |_| {
        let customer = walker.customer();
        // Only its length matters here.
        walker.history(customer, &move |text| Sealed {
            customer,
            nonce: [0; 12],
            ciphertext: vec![1; text.len() + 16],
        })
    };
    (0..tickets).map(story).collect()
}

fn stream_of(story: &Story) -> StreamName {
    let ticket: Option<Ticket> =
        story.iter().fold(None, |ticket, (meta, event)| ticket::evolve(ticket, event, meta));
    let ticket = ticket.unwrap();
    StreamName::new(format!("{}-{}", ticket.kind().name(), ticket.id())).unwrap()
}

fn stored(meta: &Meta, (kind, payload): (&'static str, Vec<u8>)) -> NewEvent {
    NewEvent {
        id: meta.id.0,
        kind: kind.into(),
        occurred_at: meta.occurred_at.as_microsecond(),
        recorded_at: meta.recorded_at.as_microsecond(),
        tags: Vec::new(),
        metadata: duban_codec::encode_metadata(meta, &Lineage::default(), ""),
        payload: payload.into(),
    }
}

/// A log on disk with the read model beside it.
struct Office {
    dir: tempfile::TempDir,
    next: BTreeMap<StreamName, u64>,
    untold: Vec<(StreamName, Vec<NewEvent>)>,
    steps: u128,
}

impl Office {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir, next: BTreeMap::new(), untold: Vec::new(), steps: 0 }
    }

    fn home(&self) -> Home {
        Home { views: self.dir.path().join("views"), log: self.dir.path().join("log") }
    }

    fn log(&self) -> SegmentedLog {
        SegmentedLog::open(&self.home().log, Options::default()).unwrap()
    }

    /// Stories, a few events of each in turn.
    fn tell(&mut self, stories: &[Story]) {
        let longest = stories.iter().map(Vec::len).max().unwrap_or_default();
        let streams: Vec<_> = stories.iter().map(stream_of).collect();
        for from in (0..longest).step_by(FEW) {
            for (story, stream) in stories.iter().zip(&streams) {
                let few = story.iter().skip(from).take(FEW);
                let few: Vec<_> =
                    few.map(|(meta, event)| stored(meta, duban_codec::encode_ticket(event))).collect();
                if !few.is_empty() {
                    self.untold.push((stream.clone(), few));
                }
            }
        }
    }

    /// A step of a foreign history, so many seconds after some moment.
    fn step(&mut self, case: u128, second: i64, stage: Option<Stage>, by: &str) {
        let history = HistoryId(Uuid::from_u128(case));
        let occurred_at = Timestamp::from_second(1_262_304_000 + second).unwrap();
        let step = Step {
            history,
            source: "elsewhere".into(),
            case: format!("Case{case}"),
            activity: "whatever".into(),
            occurred_at,
            stage,
            resource: Some(by.to_owned()),
            transition: "complete".into(),
            attributes: Vec::new(),
        };
        self.steps += 1;
        let command = CommandId(Uuid::from_u128(self.steps));
        let meta = Meta {
            id: stream_event_id(history.0, command, 0),
            revision: 0,
            recorded_at: Timestamp::from_second(1_767_225_600).unwrap(),
            occurred_at,
            actor: Actor { id: "import".into(), role: Role::Import, unit: "import".into() },
            command,
            fingerprint: [0; 16],
        };
        let stream = StreamName::new(format!("imported-{history}")).unwrap();
        let event = imported::Event::HistoricStep(step);
        self.untold.push((stream, vec![stored(&meta, duban_codec::encode_imported(&event))]));
    }

    /// Appends what was told, each event at whatever revision its stream has come to, and lets the read model follow, as a server
    /// would that is started then.
    async fn follow(&mut self) -> Conformance {
        let log = self.log();
        for (stream, events) in std::mem::take(&mut self.untold) {
            let next = self.next.entry(stream.clone()).or_default();
            let expected = Expected::after(next.checked_sub(1));
            *next += events.len() as u64;
            log.append(&stream, expected, events).await.unwrap();
        }
        let conformance = Projection::open(ConformanceFold, &self.home(), &|_, _, _| ()).unwrap();
        log.close().await.unwrap();
        conformance.follow(Arc::new(log)).await;
        assert_eq!(conformance.standing().stopped, None);
        conformance
    }

    /// Builds the read model anew and holds it against the one that followed.
    async fn check_rebuilt(&self) {
        let log = self.log();
        log.close().await.unwrap();
        let rebuilt = rebuild(|| ConformanceFold, &self.home(), Arc::new(log), &|_, _, _| ()).await.unwrap();
        assert_eq!(rebuilt.before, Ok(rebuilt.after));
    }
}

/// Takes the first such event out of a story.
fn without(story: &mut Story, is: impl Fn(&Event) -> bool) -> bool {
    let at = story.iter().position(|(_, event)| is(event));
    at.map(|at| story.remove(at)).is_some()
}

fn chain(is: impl Fn(&ChainEvent) -> bool) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::Chain(event) if is(event))
}

#[tokio::test]
async fn whatever_the_rules_wrote_conforms_and_the_table_adds_up_at_every_point() {
    let mut office = Office::new();
    let stories = stories(7, 100);
    office.tell(&stories);
    let all = std::mem::take(&mut office.untold);
    let half = all.len() / 2;
    for part in [&all[..half], &all[half..]] {
        office.untold = part.to_vec();
        let patterns = office.follow().await.patterns(None).unwrap();
        assert!(patterns.add_up());
        assert_eq!(patterns.conforming(), patterns.histories, "{:?}", patterns.counted);
        assert_eq!(patterns.histories, office.next.len() as u64);
    }
    let rounds = stories.iter().flatten();
    let rounds =
        rounds.filter(|(_, event)| chain(|event| matches!(event, ChainEvent::RoundOpened { .. }))(event));
    assert!(rounds.count() > 25, "going back is among it");
    office.check_rebuilt().await;
}

#[tokio::test]
async fn what_the_rules_would_not_have_written_is_found_by_stage_and_event() {
    let mut office = Office::new();
    let mut stories = stories(11, 120);
    let mut broken: BTreeMap<Uuid, (How, Stage)> = BTreeMap::new();
    let id = |story: &Story| {
        let (_, id) = stream_of(story)
            .as_str()
            .split_once('-')
            .map(|(kind, id)| (kind.to_owned(), id.to_owned()))
            .unwrap();
        id.parse::<Uuid>().unwrap()
    };
    for (number, story) in stories.iter_mut().enumerate() {
        let of = id(story);
        let found = match number % 6 {
            // The findings are left out; whoever is dispatched to goes past them.
            0 if without(story, chain(|event| matches!(event, ChainEvent::Investigated { .. }))) => {
                let dispatched = story
                    .iter()
                    .any(|(_, event)| chain(|event| matches!(event, ChainEvent::Dispatched { .. }))(event));
                dispatched.then_some((How::Skipped, Stage::Investigate))
            }
            // A passed inspection is left out.
            1 => {
                let last = story.iter().rposition(|(_, event)| {
                    chain(|event| matches!(event, ChainEvent::Inspected { .. }))(event)
                });
                let reported = story
                    .iter()
                    .any(|(_, event)| chain(|event| matches!(event, ChainEvent::Closed { .. }))(event));
                let rounds_after = |at: usize| {
                    story[at..].iter().any(|(_, event)| {
                        chain(|event| {
                            matches!(event, ChainEvent::RoundOpened { .. } | ChainEvent::Inspected { .. })
                        })(event)
                    })
                };
                match last {
                    Some(at) if reported && !rounds_after(at + 1) => {
                        story.remove(at);
                        Some((How::Skipped, Stage::Inspect))
                    }
                    _ => None,
                }
            }
            // The report is written twice.
            2 => {
                let reported = story.iter().position(|(_, event)| {
                    chain(|event| matches!(event, ChainEvent::Reported { .. }))(event)
                });
                reported.map(|at| {
                    story.insert(at, story[at].clone());
                    (How::Repeated, Stage::Report)
                })
            }
            // Whoever dispatched has inspected.
            3 => {
                let by = story
                    .iter()
                    .find(|(_, event)| chain(|event| matches!(event, ChainEvent::Dispatched { .. }))(event));
                let by = by.map(|(meta, _)| meta.actor.clone()).filter(|actor| !actor.role.is_system());
                let inspected = story
                    .iter_mut()
                    .find(|(_, event)| chain(|event| matches!(event, ChainEvent::Inspected { .. }))(event));
                match (by, inspected) {
                    (Some(by), Some((meta, _))) => {
                        meta.actor = by;
                        Some((How::OwnWork, Stage::Inspect))
                    }
                    _ => None,
                }
            }
            // A round is not said to be opened: what follows is done again.
            4 => without(
                story,
                chain(|event| matches!(event, ChainEvent::RoundOpened { stage: Stage::Investigate, .. })),
            )
            .then_some(())
            .and_then(|()| {
                let investigated = story.iter().filter(|(_, event)| {
                    chain(|event| matches!(event, ChainEvent::Investigated { .. }))(event)
                });
                (investigated.count() > 1).then_some((How::Repeated, Stage::Investigate))
            }),
            _ => None,
        };
        if let Some(found) = found {
            broken.insert(of, found);
        }
    }
    let kinds: std::collections::BTreeSet<_> = broken.values().copied().collect();
    assert_eq!(kinds.len(), 5, "every way is among them: {kinds:?}");
    office.tell(&stories);
    let conformance = office.follow().await;
    for (id, (how, stage)) in &broken {
        let history = conformance.history(*id).unwrap().unwrap();
        let found = history.deviations();
        assert!(
            found.iter().any(|found| (found.how, found.stage) == (*how, *stage)),
            "{id}: {how:?} {stage:?} in {found:?}"
        );
    }
    // Stories in which nothing was touched conform still.
    let patterns = conformance.patterns(None).unwrap();
    assert!(patterns.add_up());
    let deviating = all(&conformance, &Wanted::default());
    assert!(broken.keys().all(|id| deviating.contains(id)));
    assert_eq!(patterns.histories - patterns.conforming(), deviating.len() as u64);
    // Each pattern lists as many histories as it counts; together they are all that deviate.
    let mut listed = 0;
    for counted in patterns.counted.iter().filter(|counted| counted.pattern != CONFORMS) {
        let wanted = Wanted {
            origin: Some(counted.origin.clone()),
            pattern: Some(counted.pattern.clone()),
            ..Wanted::default()
        };
        let of_pattern = all(&conformance, &wanted);
        assert_eq!(of_pattern.len() as u64, counted.histories, "{counted:?}");
        listed += of_pattern.len();
    }
    assert_eq!(listed, deviating.len());
    let own_work = Wanted { how: Some(How::OwnWork), stage: Some(Stage::Inspect), ..Wanted::default() };
    let wanted = broken.iter().filter(|(_, what)| **what == (How::OwnWork, Stage::Inspect));
    assert!(wanted.into_iter().all(|(id, _)| all(&conformance, &own_work).contains(id)));
    drop(conformance);
    office.check_rebuilt().await;
}

/// The ids of all that are wanted, by pages of three.
fn all(conformance: &Conformance, wanted: &Wanted) -> Vec<Uuid> {
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let (page, next) = conformance.deviating(wanted, after, 3).unwrap();
        assert!(page.len() <= 3);
        ids.extend(page.iter().map(|history| history.id));
        assert!(ids.is_sorted());
        match next {
            Some(next) => after = Some(next),
            None => return ids,
        }
    }
}

#[tokio::test]
async fn foreign_steps_are_taken_in_the_order_of_their_moments_however_late_they_come_in() {
    let mut office = Office::new();
    // Case 1 as it was; case 2 the same, recorded the other way round; case 3 with its middle a delivery later.
    let chain = [Stage::Investigate, Stage::Dispatch, Stage::Reply, Stage::Feedback];
    let steps: Vec<(i64, Stage)> = (0..).zip(chain).collect();
    steps.iter().for_each(|(second, stage)| office.step(1, *second, Some(*stage), "e1"));
    steps.iter().rev().for_each(|(second, stage)| office.step(2, *second, Some(*stage), "e1"));
    office.step(3, 0, Some(Stage::Investigate), "e1");
    office.step(3, 3, Some(Stage::Feedback), "e1");
    office.step(3, 4, None, "e1");
    office.step(4, 0, Some(Stage::Close), "e1");
    let conformance = office.follow().await;
    let pattern = |conformance: &Conformance, case| {
        conformance.history(Uuid::from_u128(case)).unwrap().unwrap().pattern().to_string()
    };
    assert_eq!([1, 2].map(|case| pattern(&conformance, case)), [CONFORMS, CONFORMS]);
    assert_eq!(pattern(&conformance, 3), "skipped dispatch, reply");
    let counts = conformance.patterns(Some("imported/elsewhere")).unwrap();
    assert_eq!((counts.histories, counts.conforming(), counts.counted.len()), (4, 2, 3));
    drop(conformance);
    office.step(3, 1, Some(Stage::Dispatch), "e2");
    office.step(3, 2, Some(Stage::Reply), "e2");
    office.step(3, 5, Some(Stage::Inspect), "e2");
    let conformance = office.follow().await;
    assert_eq!(pattern(&conformance, 3), "own work inspect");
    let history = conformance.history(Uuid::from_u128(3)).unwrap().unwrap();
    // The event of the stream, not the place among moments.
    assert_eq!(history.deviations()[0].revision, 5);
    assert_eq!(history.case.as_deref(), Some("Case3"));
    let counts = conformance.patterns(None).unwrap();
    assert!(counts.add_up());
    assert_eq!((counts.histories, counts.conforming(), counts.counted.len()), (4, 2, 3));
    assert_eq!(conformance.patterns(Some("fault")).unwrap().histories, 0);
    drop(conformance);
    office.check_rebuilt().await;
}
