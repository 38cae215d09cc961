//! One command's way: load, dedupe, decide, append, and once more where somebody else was faster
//! (design.md section 1, "The decider" and "Dedupe").

mod aggregate;
mod ask;
mod beside;
mod emergencies;
mod error;
mod stream_cache;

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use duban_aggregates::calendar::Calendar;
use duban_aggregates::customer::Customer;
use duban_aggregates::edition::Editions;
use duban_aggregates::emergency::Emergency;
use duban_aggregates::ids::{TicketId, stream_event_id};
use duban_aggregates::meta::{Context, Meta};
use duban_aggregates::notice::Notice;
use duban_aggregates::office::Office;
use duban_aggregates::policy::Policy;
use duban_aggregates::problem::Problem;
use duban_aggregates::rejection::Rejection;
use duban_aggregates::ticket::{self, Ticket};
use duban_aggregates::words::Kind;
use duban_log::{Appended, Direction, EventLog, Expected, NewEvent, Recorded, StreamName};
use duban_vault::own_ids::OwnIds;
use jiff::Timestamp;
use tokio::sync::Semaphore;
use uuid::Uuid;

pub use self::aggregate::{Aggregate, Tags};
pub use self::ask::{Answer, Ask};
pub use self::emergencies::Emergencies;
pub use self::error::{FieldProblem, RunError};
use self::stream_cache::{FoldedStream, StreamCache};
use crate::time::Clock;

/// How often a command is decided, at most, where somebody else is faster each time.
const ATTEMPTS_MAX: usize = 3;
const CONFLICT_PAUSE_FIRST: Duration = Duration::from_millis(2);

/// Events read at a time while a stream is folded.
const READ_EVENTS: usize = 512;

/// The rules in force.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Policy.
    pub policy: Arc<Policy>,
    /// Working-day calendar.
    pub calendar: Arc<Calendar>,
}

impl Rules {
    /// The national policy and calendar that ship.
    #[must_use]
    pub fn cn_national() -> Self {
        Self { policy: Policy::cn_national(), calendar: Calendar::cn() }
    }
}

/// How much the runner takes on.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Commands decided and appended at once.
    pub in_flight_max: usize,
    /// Commands waiting for their turn beside those; the next one is refused with RESOURCE_EXHAUSTED.
    pub queued_max: usize,
    /// Streams of each kind kept folded.
    pub hot_streams_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { in_flight_max: 1_024, queued_max: 8_192, hot_streams_max: 16_384 }
    }
}

/// The runner. One for the whole server; it serialises per stream and never across streams.
pub struct Runner {
    log: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
    rules: Rules,
    own_ids: OwnIds,
    /// Whether nobody else writes to the log, so that what is kept folded is never out of date.
    alone: bool,
    admission: Semaphore,
    turns: Semaphore,
    tickets: StreamCache<Ticket>,
    problems: StreamCache<Problem>,
    notices: StreamCache<Notice>,
    customers: StreamCache<Customer>,
    office: StreamCache<Office>,
    editions: StreamCache<Editions>,
    declared: StreamCache<Emergency>,
    emergencies: Emergencies,
}

/// What a decision came to.
enum Decided<E> {
    /// It was done before, or what it asks for holds already: the answer is at this revision.
    Held(u64),
    /// It adds these events, decided under this policy.
    Adds { at: Timestamp, events: Vec<E>, policy: Arc<Policy> },
}

/// What came of an attempt.
enum Tried {
    /// It was decided by the stream as it is, which the log has confirmed.
    Appended(Answer),
    /// It adds nothing, by the stream as it was folded.
    Held(Answer),
}

impl Tried {
    fn answer(self) -> Answer {
        match self {
            Self::Appended(answer) | Self::Held(answer) => answer,
        }
    }
}

impl Runner {
    /// A runner over a log.
    #[must_use]
    pub fn new(
        log: Arc<dyn EventLog>,
        clock: Arc<dyn Clock>,
        rules: Rules,
        own_ids: OwnIds,
        bounds: Bounds,
    ) -> Self {
        let permits = |count: usize| Semaphore::new(count.clamp(1, Semaphore::MAX_PERMITS));
        Self {
            log,
            clock,
            rules,
            own_ids,
            alone: true,
            admission: permits(bounds.in_flight_max.saturating_add(bounds.queued_max)),
            turns: permits(bounds.in_flight_max),
            tickets: StreamCache::new(bounds.hot_streams_max),
            problems: StreamCache::new(bounds.hot_streams_max),
            notices: StreamCache::new(bounds.hot_streams_max),
            customers: StreamCache::new(bounds.hot_streams_max),
            office: StreamCache::new(1),
            editions: StreamCache::new(1),
            declared: StreamCache::new(bounds.hot_streams_max),
            emergencies: Emergencies::default(),
        }
    }

    /// The ids of what happens by itself.
    #[must_use]
    pub fn own_ids(&self) -> &OwnIds {
        &self.own_ids
    }

    /// The same beside other servers over one log. What is kept folded may then be out of date at any time: it serves to decide
    /// what is appended, where the expected revision tells, and nothing is refused or answered by it before the log was asked.
    #[must_use]
    pub fn beside_others(self) -> Self {
        Self { alone: false, ..self }
    }

    /// The log below.
    #[must_use]
    pub fn log(&self) -> &Arc<dyn EventLog> {
        &self.log
    }

    /// The server's clock.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The emergencies that last.
    #[must_use]
    pub fn emergencies(&self) -> &Emergencies {
        &self.emergencies
    }

    /// Runs a command on a ticket that exists. `make` may be called again where the ticket has gone on meanwhile.
    ///
    /// # Errors
    /// See [`RunError`]; after an error the ticket is as it was, but for [`RunError::Unavailable`], where a repeat tells.
    pub async fn ticket<C: Into<ticket::Command>>(
        &self,
        ticket: TicketId,
        ask: &Ask,
        mut make: impl FnMut(&Ticket) -> Result<C, RunError> + Send,
    ) -> Result<Answer, RunError> {
        let make = move |state: Option<&Ticket>, _: Timestamp| match state {
            Some(ticket) => make(ticket).map(Into::into),
            None => Err(Rejection::TicketUnknown.into()),
        };
        self.run(ticket.0, ask, make).await
    }

    /// Runs a command on any stream, also one that does not exist yet. `make` is told the moment at which it is decided.
    ///
    /// # Errors
    /// See [`RunError`].
    pub async fn run<A: Aggregate>(
        &self,
        id: Uuid,
        ask: &Ask,
        mut make: impl FnMut(Option<&A>, Timestamp) -> Result<A::Command, RunError> + Send,
    ) -> Result<Answer, RunError>
    where
        Self: Holds<A>,
    {
        let _admitted = self.admission.try_acquire().map_err(|_| RunError::Overloaded)?;
        let slot = self.hot().of(&id);
        // Calls on one stream wait for each other here, and only then for a turn: a crowd at one ticket takes one.
        let mut slot = slot.lock().await;
        let _turn = self.turns.acquire().await.map_err(|_| RunError::Overloaded)?;
        let (mut fresh, mut pauses) = (self.alone, None);
        loop {
            if slot.is_none() {
                *slot = Some(self.load(id).await?);
                fresh = true;
            }
            match self.attempt(id, &mut slot, ask, &mut make).await {
                Ok(Tried::Appended(answer)) => return Ok(answer),
                // Somebody else was faster, or an append of ours that was given up was written after all: look again.
                Err(conflict @ RunError::Conflict { .. }) if slot.is_none() => {
                    let Some(pause) = pauses.get_or_insert_with(|| retries().build()).next() else {
                        return Err(conflict);
                    };
                    tokio::time::sleep(pause).await;
                }
                // By a state that may be out of date: it stands only where the stream has not gone on since.
                tried if !fresh && slot.is_some() => {
                    fresh = true;
                    if !self.catch_up(id, &mut slot).await? {
                        return tried.map(Tried::answer);
                    }
                }
                tried => return tried.map(Tried::answer),
            }
        }
    }

    /// Decides once, by what is folded. The slot is empty afterwards where the stream has to be read again.
    async fn attempt<A: Aggregate>(
        &self,
        id: Uuid,
        slot: &mut Option<FoldedStream<A>>,
        ask: &Ask,
        make: &mut (impl FnMut(Option<&A>, Timestamp) -> Result<A::Command, RunError> + Send),
    ) -> Result<Tried, RunError> {
        self.fall_due(id, slot, ask).await?;
        let Some(folded) = slot.as_ref() else { return Err(RunError::Conflict { actual: None }) };
        let (at, events, policy) = match self.decide(folded, ask, make)? {
            Decided::Held(revision) => return self.held(folded, revision).await.map(Tried::Held),
            Decided::Adds { at, events, policy } => (at, events, policy),
        };
        // The slot stays empty while the append is under way: a call dropped there leaves nothing stale, and whoever
        // comes next reads the log, where the expected revision decides.
        let Some(folded) = slot.take() else { return Err(RunError::Conflict { actual: None }) };
        let (answer, folded) = self.append(id, folded, ask, at, (events, &policy.version)).await?;
        *slot = Some(folded);
        Ok(Tried::Appended(answer))
    }

    /// What a stream is, folded from the log where it is not hot.
    ///
    /// # Errors
    /// [`RunError::Unavailable`] and [`RunError::Corrupt`].
    pub async fn view<A: Aggregate, T>(
        &self,
        id: Uuid,
        see: impl FnOnce(Option<&A>) -> T + Send,
    ) -> Result<T, RunError>
    where
        Self: Holds<A>,
    {
        let slot = self.hot().of(&id);
        let mut slot = slot.lock().await;
        if slot.is_some() && !self.alone {
            self.catch_up(id, &mut slot).await?;
        }
        let folded = match &mut *slot {
            Some(folded) => folded,
            empty => empty.insert(self.load(id).await?),
        };
        Ok(see(folded.state.as_ref()))
    }

    /// The stream of a ticket, whatever its kind; none where there is no such ticket.
    ///
    /// # Errors
    /// [`RunError::Unavailable`].
    pub async fn locate(&self, ticket: TicketId) -> Result<Option<StreamName>, RunError> {
        self.find::<Ticket>(ticket.0).await
    }

    /// What has happened by itself up to now is recorded first, by the timer, so that whoever comes late finds it there
    /// (domain.md section 4).
    async fn fall_due<A: Aggregate>(
        &self,
        id: Uuid,
        slot: &mut Option<FoldedStream<A>>,
        ask: &Ask,
    ) -> Result<(), RunError> {
        let Some(state) = slot.as_ref().and_then(|folded| folded.state.as_ref()) else { return Ok(()) };
        if state.done(ask.command).is_some() {
            return Ok(());
        }
        let at = self.clock.now().max(state.last_recorded_at());
        let Some((due, command)) = state.overdue(&self.rules, at) else { return Ok(()) };
        let tick = Ask::tick(&self.own_ids, id, due);
        if tick.command == ask.command || state.done(tick.command).is_some() {
            return Ok(());
        }
        let policy = &self.rules.policy;
        let events = A::decide(Some(state), &self.context(&tick, at, policy), command)?;
        if let Some(folded) = slot.take_if(|_| !events.is_empty()) {
            let (_, folded) = self.append(id, folded, &tick, at, (events, &policy.version)).await?;
            *slot = Some(folded);
        }
        Ok(())
    }

    fn decide<A: Aggregate>(
        &self,
        folded: &FoldedStream<A>,
        ask: &Ask,
        make: &mut impl FnMut(Option<&A>, Timestamp) -> Result<A::Command, RunError>,
    ) -> Result<Decided<A::Event>, RunError> {
        let state = folded.state.as_ref();
        if let Some(done) = state.and_then(|state| state.done(ask.command)) {
            if done.fingerprint != ask.fingerprint {
                return Err(RunError::CommandIdReused);
            }
            return Ok(Decided::Held(done.last_revision));
        }
        let revision = state.map(Aggregate::revision);
        let as_seen = ask.expected_revision.is_none() || ask.expected_revision == revision;
        if revision.is_some() && !as_seen {
            return Err(RunError::Conflict { actual: revision });
        }
        let now = self.clock.now();
        let at = state.map_or(now, |state| now.max(state.last_recorded_at()));
        let stage = state.and_then(Aggregate::stage);
        let command = make(state, at).map_err(|error| error.at_stage(stage))?;
        let policy = A::policy(state, &command, &self.rules, &self.emergencies);
        let context = self.context(ask, at, &policy);
        let events = A::decide(state, &context, command)
            .map_err(|rejection| RunError::Rejected { stage, rejection: Box::new(rejection) })?;
        // Asked of nothing at all, a stream that is not there is said to be unknown rather than gone on.
        if !as_seen {
            return Err(RunError::Conflict { actual: None });
        }
        match revision {
            Some(revision) if events.is_empty() => Ok(Decided::Held(revision)),
            None if events.is_empty() => Err(Rejection::DoesNotExist.into()),
            _ => Ok(Decided::Adds { at, events, policy }),
        }
    }

    fn context<'c>(&'c self, ask: &Ask, at: Timestamp, policy: &'c Policy) -> Context<'c> {
        Context {
            at,
            actor: ask.actor.clone(),
            command: ask.command,
            fingerprint: ask.fingerprint,
            policy,
            calendar: &self.rules.calendar,
        }
    }

    /// The answer to a command that adds nothing.
    async fn held<A: Aggregate>(&self, folded: &FoldedStream<A>, revision: u64) -> Result<Answer, RunError> {
        let last = folded.state.as_ref().map(Aggregate::revision) == Some(revision);
        if let Some(position) = folded.position.filter(|_| last) {
            return Ok(Answer { revision, position });
        }
        let Some(stream) = &folded.stream else { return Err(Rejection::DoesNotExist.into()) };
        let found = self.log.read_stream(stream, revision, Direction::Forward, 1).await?;
        let position = found.first().map(|event| event.position).ok_or_else(|| RunError::Corrupt {
            stream: stream.to_string(),
            reason: format!("revision {revision} was folded and cannot be read"),
        })?;
        Ok(Answer { revision, position })
    }

    /// Encodes, folds and appends what was decided. The state is moved through, never copied.
    async fn append<A: Aggregate>(
        &self,
        id: Uuid,
        folded: FoldedStream<A>,
        ask: &Ask,
        at: Timestamp,
        (events, policy_version): (Vec<A::Event>, &str),
    ) -> Result<(Answer, FoldedStream<A>), RunError> {
        let expected = Expected::after(folded.state.as_ref().map(Aggregate::revision));
        let mut state = folded.state;
        let mut stored = Vec::with_capacity(events.len());
        for (index, event) in (0u32..).zip(events) {
            let meta = Meta {
                id: stream_event_id(id, ask.command, index),
                revision: expected.next_revision() + u64::from(index),
                recorded_at: at,
                occurred_at: A::occurred_at(&event).unwrap_or(at),
                actor: ask.actor.clone(),
                command: ask.command,
                fingerprint: ask.fingerprint,
            };
            state = A::evolve(state, &event, &meta);
            let (kind, payload) = A::encode(&event);
            stored.push(NewEvent {
                id: meta.id.0,
                kind: Arc::from(kind),
                occurred_at: meta.occurred_at.as_microsecond(),
                recorded_at: meta.recorded_at.as_microsecond(),
                tags: state.as_ref().map(|state| state.tags(&event)).unwrap_or_default(),
                metadata: duban_codec::encode_metadata(&meta, &ask.lineage, policy_version),
                payload: payload.into(),
            });
        }
        let stream = match (folded.stream, &state) {
            (Some(stream), _) => stream,
            (None, Some(state)) => stream_of::<A>(state.prefix(), id)?,
            (None, None) => return Err(Rejection::DoesNotExist.into()),
        };
        let sent = (!self.alone).then(|| stored.clone());
        let Appended { last_revision, position, .. } = self.log.append(&stream, expected, stored).await?;
        if let Some(sent) = sent {
            self.confirm(&stream, expected.next_revision(), &sent).await?;
        }
        if let Some(state) = &state {
            state.written(&self.rules, &self.emergencies);
        }
        let answer = Answer { revision: last_revision, position };
        Ok((answer, FoldedStream { stream: Some(stream), state, position: Some(position) }))
    }

    /// Folds a stream from the log.
    async fn load<A: Aggregate>(&self, id: Uuid) -> Result<FoldedStream<A>, RunError> {
        let folded = FoldedStream { stream: self.find::<A>(id).await?, state: None, position: None };
        self.fold_on(folded).await
    }

    /// Folds what has come to a stream since.
    async fn fold_on<A: Aggregate>(&self, mut folded: FoldedStream<A>) -> Result<FoldedStream<A>, RunError> {
        let Some(stream) = &folded.stream else { return Ok(folded) };
        let mut from = folded.state.as_ref().map_or(0, |state| state.revision() + 1);
        loop {
            let page = self.log.read_stream(stream, from, Direction::Forward, READ_EVENTS).await?;
            let Some(last) = page.last() else { return Ok(folded) };
            from = last.revision + 1;
            folded.position = Some(last.position);
            for recorded in &page {
                folded.state = fold(folded.state, recorded)?;
            }
            if duban_log::ends_stream(&page, READ_EVENTS) {
                return Ok(folded);
            }
        }
    }

    /// An id is one stream's, whatever its kind.
    async fn find<A: Aggregate>(&self, id: Uuid) -> Result<Option<StreamName>, RunError> {
        for prefix in A::PREFIXES {
            let stream = stream_of::<A>(prefix, id)?;
            if !self.log.read_stream(&stream, 0, Direction::Forward, 1).await?.is_empty() {
                return Ok(Some(stream));
            }
        }
        Ok(None)
    }
}

/// Which hot streams the runner has for an aggregate.
pub trait Holds<A: Aggregate> {
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "callers name the aggregate, never the cache")]
    fn hot(&self) -> &StreamCache<A>;
}

macro_rules! holds {
    ($($aggregate:ty => $field:ident),* $(,)?) => {$(
        impl Holds<$aggregate> for Runner {
            #[allow(private_interfaces, reason = "callers name the aggregate, never the cache")]
            fn hot(&self) -> &StreamCache<$aggregate> {
                &self.$field
            }
        }
    )*};
}

holds! {
    Ticket => tickets,
    Problem => problems,
    Notice => notices,
    Customer => customers,
    Office => office,
    Editions => editions,
    Emergency => declared,
}

/// Folds one stored event.
///
/// # Errors
/// [`RunError::Corrupt`] when it cannot be decoded: an unknown type or field is never passed over.
pub fn fold<A: Aggregate>(state: Option<A>, recorded: &Recorded) -> Result<Option<A>, RunError> {
    let corrupt = |reason: String| RunError::Corrupt { stream: recorded.stream.to_string(), reason };
    let event = A::decode(&recorded.kind, &recorded.payload).map_err(|error| corrupt(error.to_string()))?;
    let meta = duban_projections::meta(recorded).map_err(|error| corrupt(error.to_string()))?;
    Ok(A::evolve(state, &event, &meta))
}

/// The stream of a ticket.
///
/// # Errors
/// None in practice: a kind and a UUID always make a name.
pub fn ticket_stream(kind: Kind, ticket: TicketId) -> Result<StreamName, RunError> {
    stream_name(kind.name(), ticket.0)
}

fn stream_of<A: Aggregate>(prefix: &str, id: Uuid) -> Result<StreamName, RunError> {
    if A::ALONE { Ok(StreamName::new(prefix)?) } else { stream_name(prefix, id) }
}

fn stream_name(prefix: &str, id: Uuid) -> Result<StreamName, RunError> {
    Ok(StreamName::new(format!("{prefix}-{id}"))?)
}

/// A little while, longer and less alike with every attempt.
fn retries() -> ExponentialBuilder {
    let builder = ExponentialBuilder::default().with_min_delay(CONFLICT_PAUSE_FIRST);
    builder.with_max_times(ATTEMPTS_MAX - 1).with_jitter()
}

#[cfg(test)]
mod tests;
