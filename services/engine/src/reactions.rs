//! What one stream must do because of another: a subscriber that sends ordinary commands through the same runner.
//!
//! A reaction's command id follows from the event that caused it and from its target, so that reacting again changes
//! nothing. The checkpoint only saves time: without it everything is reacted to once more, to no effect.

mod checkpoint;
mod shared_checkpoint;
mod standing;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use backon::Retryable;
use duban_aggregates::actor::Actor;
use duban_aggregates::customer::{self, Customer};
use duban_aggregates::ids::{CommandId, CustomerId, EventId, NoticeId, ProblemId, TicketId};
use duban_aggregates::notice::{self, Notice};
use duban_aggregates::problem::{self, Problem};
use duban_aggregates::rejection::Rejection;
use duban_aggregates::ticket::contact::{self, Request};
use duban_aggregates::ticket::intake::{self, Intake, TakenOver};
use duban_aggregates::ticket::state::End;
use duban_aggregates::ticket::{self, Ticket, chain, clock, gate};
use duban_aggregates::words::Role;
use duban_codec::{Lineage, types};
use duban_log::{Delivery, Direction, Filter, Position, Recorded, Registers};
use duban_vault::seal::Sealer;
use futures::StreamExt;
use tokio::sync::watch;
use uuid::Uuid;

use self::checkpoint::Checkpoint;
use self::shared_checkpoint::SharedCheckpoint;
use crate::drain::Drain;
use crate::retry::doubling;
use crate::runner::{Answer, Ask, RunError, Runner};

/// Streams whose events are reacted to at once. One stream's events are reacted to in their order.
const AT_ONCE: usize = 32;

/// Between two tries of a reaction that could not run just now.
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Events read at a time while a source is folded.
const READ_EVENTS: usize = 512;

/// The types that cause something elsewhere.
const CAUSES: &[&str] = &[
    types::TICKET_TAKEN_IN,
    types::TICKET_PROBLEM_JOINED,
    types::TICKET_NOTICE_LINKED,
    types::TICKET_RECEIPT_RECORDED,
    types::CHAIN_FEEDBACK_RECORDED,
    types::CHAIN_CLOSED,
    types::CHAIN_WITHDRAWN,
    types::CHAIN_REJECTED,
    types::CHAIN_MERGED,
    types::CHAIN_REOPENED,
    types::PROBLEM_TICKET_JOINED,
    types::PROBLEM_ACTION_CARRIED_OUT,
    types::PROBLEM_ACTION_FAILED,
    types::CUSTOMER_ERASED,
];

/// The subscriber.
pub struct Reactions {
    runner: Arc<Runner>,
    sealer: Sealer,
    checkpoint: Checkpoint,
    /// Where several servers share one log: how far whichever of them reacts has come.
    shared_checkpoint: Option<SharedCheckpoint>,
    progress: watch::Sender<Progress>,
}

/// How far reactions have come.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// The last position that was reacted to.
    reached: Option<Position>,
    /// Nothing more is reacted to for now, and nobody waits for it.
    stands_still: bool,
}

/// Why a reaction did not come to its end.
enum Halt {
    /// The server is stopping; the checkpoint was not moved.
    Stopping,
    /// It can never succeed: the history of its cause cannot be read.
    Poisoned(RunError),
}

/// The event behind a reaction.
struct Cause<'e> {
    event: &'e Recorded,
    lineage: Lineage,
    drain: &'e Drain,
}

impl Reactions {
    /// Opens the checkpoint below a data directory.
    pub async fn open(data: &Path, runner: Arc<Runner>, sealer: Sealer) -> Self {
        let checkpoint = Checkpoint::open(&data.join("views"), runner.log().head().position).await;
        Self { runner, sealer, checkpoint, shared_checkpoint: None, progress: watch::Sender::default() }
    }

    /// The same on one of several servers over one log: whoever takes over begins where the one before was.
    #[must_use]
    pub fn shared(self, registers: Arc<dyn Registers>) -> Self {
        Self { shared_checkpoint: Some(SharedCheckpoint::new(registers)), ..self }
    }

    /// Reacts until the server stops or the log is closed. Called again after an error, it goes on where it was.
    ///
    /// # Errors
    /// [`RunError`], where the log or a cause in it cannot be read; commands go on.
    pub async fn run(&self, drain: Drain) -> Result<(), RunError> {
        if let Some(shared) = &self.shared_checkpoint {
            let theirs = shared.read().await;
            self.progress.send_modify(|progress| progress.reached = progress.reached.max(theirs));
        }
        let ended = match self.follow(&drain).await {
            Ok(()) | Err(Halt::Stopping) => Ok(()),
            Err(Halt::Poisoned(error)) => Err(error),
        };
        if !matches!(ended, Err(RunError::Unavailable(_))) {
            self.progress.send_modify(|progress| progress.stands_still = true);
        }
        ended
    }

    /// Waits until everything up to a position was reacted to, or nothing more is.
    pub async fn reached(&self, position: Position) {
        let mut progress = self.progress.subscribe();
        let there = |at: &Progress| at.stands_still || at.reached.is_some_and(|reached| reached >= position);
        // The sender lives as long as `self`.
        let _ = progress.wait_for(there).await;
    }

    /// The last position that was reacted to; without a usable store, what this run knows of itself.
    fn after(&self) -> Option<Position> {
        self.checkpoint.get().max(self.progress.borrow().reached)
    }

    async fn follow(&self, drain: &Drain) -> Result<(), Halt> {
        let unavailable = |error| Halt::Poisoned(RunError::Unavailable(error));
        let log = self.runner.log();
        // Unfiltered, so that whoever waits for a position hears of it also where nothing up to it causes anything.
        let mut subscription = log.subscribe(self.after(), Filter::all()).await.map_err(unavailable)?;
        loop {
            let delivery = tokio::select! {
                () = drain.started() => return Err(Halt::Stopping),
                delivery = subscription.next() => delivery,
            };
            let reached = match delivery {
                Ok(Delivery::Events(events)) => {
                    self.react_all(&events, drain).await?;
                    events.last().map(|event| event.position)
                }
                Ok(Delivery::CaughtUp(position)) => position,
                Ok(Delivery::Checkpoint(position)) => Some(position),
                Ok(Delivery::FellBehind) => None,
                Err(duban_log::Error::Closed) => return Ok(()),
                Err(error) => return Err(unavailable(error)),
            };
            if let Some(position) = reached {
                self.checkpoint.set(position);
                self.progress.send_replace(Progress { reached: Some(position), stands_still: false });
                if let Some(shared) = &self.shared_checkpoint {
                    shared.set(position).await;
                }
            }
        }
    }

    /// Streams side by side, each stream's events in their order: an end must not overtake its beginning.
    async fn react_all(&self, events: &[Recorded], drain: &Drain) -> Result<(), Halt> {
        let mut streams: Vec<Vec<&Recorded>> = Vec::new();
        for event in events.iter().filter(|event| CAUSES.contains(&&*event.kind)) {
            match streams
                .iter_mut()
                .find(|stream| stream.first().is_some_and(|first| first.stream == event.stream))
            {
                Some(stream) => stream.push(event),
                None => streams.push(vec![event]),
            }
        }
        let reacting: Vec<_> = streams.into_iter().map(|stream| self.react_in_order(stream, drain)).collect();
        let mut reacting = futures::stream::iter(reacting).buffer_unordered(AT_ONCE);
        while let Some(outcome) = reacting.next().await {
            outcome?;
        }
        Ok(())
    }

    async fn react_in_order(&self, stream: Vec<&Recorded>, drain: &Drain) -> Result<(), Halt> {
        for event in stream {
            self.react(event, drain).await?;
        }
        Ok(())
    }

    async fn react(&self, event: &Recorded, drain: &Drain) -> Result<(), Halt> {
        let poisoned =
            |reason: String| Halt::Poisoned(RunError::Corrupt { stream: event.stream.to_string(), reason });
        let metadata =
            duban_codec::decode_metadata(&event.metadata).map_err(|error| poisoned(error.to_string()))?;
        let lineage = Lineage {
            correlation: Some(metadata.lineage.correlation.unwrap_or(metadata.command.0)),
            causation: Some(EventId(event.id)),
            trace_context: metadata.lineage.trace_context,
        };
        let cause = Cause { event, lineage, drain };
        if let Some(ticket) = duban_projections::ticket_of(event) {
            let happened =
                duban_projections::ticket_event(event).map_err(|error| poisoned(error.to_string()))?;
            return Box::pin(self.on_ticket(&cause, ticket, happened)).await;
        }
        match &*event.kind {
            types::PROBLEM_TICKET_JOINED
            | types::PROBLEM_ACTION_CARRIED_OUT
            | types::PROBLEM_ACTION_FAILED => {
                let happened = duban_codec::decode_problem(&event.kind, &event.payload);
                let happened = happened.map_err(|error| poisoned(error.to_string()))?;
                self.on_problem(&cause, happened).await
            }
            types::CUSTOMER_ERASED => self.on_erased(&cause).await,
            _ => Ok(()),
        }
    }

    async fn on_ticket(&self, cause: &Cause<'_>, ticket: TicketId, event: ticket::Event) -> Result<(), Halt> {
        match event {
            ticket::Event::Intake(intake::Event::TakenIn(intake)) => self.taken_in(cause, &intake).await,
            ticket::Event::Intake(intake::Event::ProblemJoined { problem: ProblemId(id) }) => {
                self.problem(cause, id, || problem::Command::JoinTicket { ticket }).await
            }
            ticket::Event::Intake(intake::Event::NoticeLinked { notice: NoticeId(id) }) => {
                let command = || notice::Command::LinkFault { ticket };
                self.send(cause, id, "notice", |ask| async move {
                    self.runner.run(id, &ask, |_: Option<&Notice>, _| Ok(command())).await
                })
                .await
            }
            // A routine report that waited for a receipt goes on when it was given.
            ticket::Event::Chain(chain::Event::FeedbackRecorded { .. })
            | ticket::Event::Contact(contact::Event::ReceiptRecorded { .. }) => {
                self.standing_rule(cause, ticket).await
            }
            ticket::Event::Chain(chain::Event::Reopened { .. }) => {
                self.note(cause, ticket, customer::Command::NoteTicketOpened { ticket }).await
            }
            ticket::Event::Chain(chain::Event::Merged { into }) => {
                self.hand_over(cause, ticket, into).await?;
                self.note(cause, ticket, customer::Command::NoteTicketEnded { ticket }).await
            }
            ticket::Event::Chain(
                chain::Event::Closed { .. } | chain::Event::Withdrawn { .. } | chain::Event::Rejected { .. },
            ) => self.note(cause, ticket, customer::Command::NoteTicketEnded { ticket }).await,
            // The subscription brings nothing else.
            _ => Ok(()),
        }
    }

    async fn taken_in(&self, cause: &Cause<'_>, intake: &Intake) -> Result<(), Halt> {
        let ticket = intake.ticket;
        for who in intake.people() {
            let register = || customer::Command::Register {
                customer: who.id,
                phone_hash: who.phone_hash,
                tier: who.tier,
                segment: who.segment,
            };
            self.customer(cause, who.id, "register", register).await?;
            let opened = || customer::Command::NoteTicketOpened { ticket };
            self.customer(cause, who.id, "customer", opened).await?;
        }
        Ok(())
    }

    /// Tells the ticket's customer, and its reporter.
    async fn note(
        &self,
        cause: &Cause<'_>,
        ticket: TicketId,
        command: customer::Command,
    ) -> Result<(), Halt> {
        let whose = |ticket: Option<&Ticket>| {
            let people = ticket.map(|ticket| ticket.intake.people()).unwrap_or_default();
            people.into_iter().map(|person| person.id).collect::<Vec<_>>()
        };
        for person in self.seen(cause, ticket, whose).await? {
            self.customer(cause, person, "customer", || command.clone()).await?;
        }
        Ok(())
    }

    async fn on_problem(&self, cause: &Cause<'_>, event: problem::Event) -> Result<(), Halt> {
        let Some(id) = id_of(cause.event) else { return Ok(()) };
        let problem = ProblemId(id);
        let (action, tickets) = match event {
            // Who joins late is served by what was done already.
            problem::Event::TicketJoined { ticket } => {
                let done = |problem: Option<&Problem>| problem.and_then(Problem::carried_out);
                match self.patiently(cause, || self.runner.view(id, done)).await? {
                    Some(action) => (action, vec![ticket]),
                    None => return Ok(()),
                }
            }
            problem::Event::ActionCarriedOut { .. } => {
                let joined = |problem: Option<&Problem>| {
                    problem.map(|problem| problem.tickets.iter().copied().collect::<Vec<_>>())
                };
                let tickets = self.patiently(cause, || self.runner.view(id, joined)).await?;
                (EventId(cause.event.id), tickets.unwrap_or_default())
            }
            problem::Event::ActionFailed { .. } => return self.action_failed(cause, id).await,
            _ => return Ok(()),
        };
        for ticket in tickets {
            self.ticket(cause, ticket, "serve", |_| Ok(gate::Command::ServeMeasure { problem, action }))
                .await?;
        }
        Ok(())
    }

    /// What failed proves no gate of a ticket that is open still.
    async fn action_failed(&self, cause: &Cause<'_>, id: Uuid) -> Result<(), Halt> {
        let (problem, failure) = (ProblemId(id), EventId(cause.event.id));
        let joined = |problem: Option<&Problem>| {
            problem.map(|problem| problem.tickets.iter().copied().collect::<Vec<_>>())
        };
        for ticket in self.patiently(cause, || self.runner.view(id, joined)).await?.unwrap_or_default() {
            self.ticket(cause, ticket, "failed", |_| {
                Ok(gate::Command::FailServedAction { problem, failure })
            })
            .await?;
        }
        Ok(())
    }

    /// The event says that it was asked for; whatever came between, the key is gone after this.
    async fn on_erased(&self, cause: &Cause<'_>) -> Result<(), Halt> {
        let Some(id) = id_of(cause.event) else { return Ok(()) };
        let erase = || async move { self.sealer.keys().erase(CustomerId(id)).await.map_err(RunError::from) };
        self.patiently(cause, erase).await.map(|_| ())
    }

    /// The ticket that goes on takes over what the merged one owed, and its deadlines as they ran when it was merged.
    async fn hand_over(&self, cause: &Cause<'_>, from: TicketId, into: TicketId) -> Result<(), Halt> {
        let before = self.patiently(cause, || self.before(cause.event)).await?;
        let Some(before) = before else { return Ok(()) };
        let owed = before.requests.iter().filter(|request| Request::is_owed(request));
        let requests: Vec<_> = owed.map(|request| request.outside.clone()).collect();
        let running =
            before.clocks.iter().filter(|it| it.is_live() && it.start.subject == clock::Subject::Ticket);
        let deadlines: Vec<_> =
            running.map(|clock| TakenOver { clock: clock.start.kind, due: clock.start.due }).collect();
        let (mut into, mut been) = (into, vec![from]);
        // It goes on to where its target was merged to meanwhile; two that were merged into each other end it.
        while !been.contains(&into) {
            let next = |ticket: Option<&Ticket>| {
                let ended = ticket.and_then(|ticket| ticket.ended.as_ref());
                let taken = ticket.is_some_and(|ticket| ticket.merged_from.contains(&from));
                match ended.map(|ended| &ended.how) {
                    Some(End::Merged(next)) if !taken => Some(*next),
                    _ => None,
                }
            };
            self.ticket(cause, into, "merge", |_| {
                let (requests, deadlines) = (requests.clone(), deadlines.clone());
                Ok(intake::Command::ReceiveMerge { from, requests, deadlines })
            })
            .await?;
            let Some(next) = self.seen(cause, into, next).await? else { return Ok(()) };
            been.push(into);
            into = next;
        }
        tracing::error!(%from, %into, "tickets were merged into each other: what they owe has no ticket that goes on");
        Ok(())
    }

    /// A ticket as it was before an event of its own.
    async fn before(&self, event: &Recorded) -> Result<Option<Ticket>, RunError> {
        let mut ticket = None;
        let mut from = 0;
        loop {
            let page =
                self.runner.log().read_stream(&event.stream, from, Direction::Forward, READ_EVENTS).await?;
            for recorded in page.iter().take_while(|recorded| recorded.revision < event.revision) {
                ticket = crate::runner::fold(ticket, recorded)?;
            }
            match page.last() {
                Some(last) if last.revision < event.revision => from = last.revision + 1,
                _ => return Ok(ticket),
            }
        }
    }

    async fn seen<T: Send>(
        &self,
        cause: &Cause<'_>,
        ticket: TicketId,
        see: impl Fn(Option<&Ticket>) -> T + Copy + Send,
    ) -> Result<T, Halt> {
        self.patiently(cause, || self.runner.view(ticket.0, see)).await
    }

    async fn customer(
        &self,
        cause: &Cause<'_>,
        customer: CustomerId,
        what: &'static str,
        command: impl Fn() -> customer::Command + Send + Sync,
    ) -> Result<(), Halt> {
        let command = &command;
        self.send(cause, customer.0, what, |ask| async move {
            self.runner.run(customer.0, &ask, |_: Option<&Customer>, _| Ok(command())).await
        })
        .await
    }

    async fn problem(
        &self,
        cause: &Cause<'_>,
        problem: Uuid,
        command: impl Fn() -> problem::Command + Send + Sync,
    ) -> Result<(), Halt> {
        let command = &command;
        self.send(cause, problem, "problem", |ask| async move {
            self.runner.run(problem, &ask, |_: Option<&Problem>, _| Ok(command())).await
        })
        .await
    }

    async fn ticket<C: Into<ticket::Command>>(
        &self,
        cause: &Cause<'_>,
        ticket: TicketId,
        what: &'static str,
        command: impl Fn(&Ticket) -> Result<C, RunError> + Send + Sync,
    ) -> Result<(), Halt> {
        let command = &command;
        self.send(cause, ticket.0, what, |ask| async move { self.runner.ticket(ticket, &ask, command).await })
            .await
    }

    /// Sends a command until it was done or refused. A refusal means that it no longer holds.
    async fn send<F: Future<Output = Result<Answer, RunError>>>(
        &self,
        cause: &Cause<'_>,
        target: Uuid,
        what: &'static str,
        run: impl Fn(Ask) -> F,
    ) -> Result<(), Halt> {
        let ask = self.ask(cause, target, what);
        match self.patiently(cause, || run(ask.clone())).await {
            Ok(_) => Ok(()),
            Err(Halt::Poisoned(
                refused @ (RunError::Rejected { .. } | RunError::Fields { .. } | RunError::Keys(_)),
            )) => {
                let (event, reason) = (cause.event.id, refused.to_string());
                let merged_on = matches!(&refused, RunError::Rejected { rejection, .. }
                    if matches!(**rejection, Rejection::MergedOn { .. }));
                if what == "merge" && !merged_on {
                    tracing::error!(%event, %target, reason, "what a merged ticket owes could not be handed over");
                    return Ok(());
                }
                tracing::info!(%event, %target, reaction = what, reason, "a reaction was refused: it no longer holds");
                Ok(())
            }
            // Whoever guessed the id and used it first stops this one reaction, and no other.
            Err(Halt::Poisoned(RunError::CommandIdReused)) => {
                let event = cause.event.id;
                tracing::error!(%event, %target, reaction = what, "a reaction's command id was used by somebody else");
                Ok(())
            }
            Err(halt) => Err(halt),
        }
    }

    /// The same command however often its cause is reacted to.
    fn ask(&self, cause: &Cause<'_>, target: Uuid, what: &'static str) -> Ask {
        let mut name = target.as_bytes().to_vec();
        name.extend(what.as_bytes());
        let command = self.runner.own_ids().command(cause.event.id.as_bytes(), &name);
        Ask {
            command: CommandId(command),
            expected_revision: None,
            fingerprint: self.sealer.keys().fingerprint(command.as_bytes()),
            actor: Actor { id: "rule".into(), role: Role::Rule, unit: "rule".into() },
            lineage: cause.lineage.clone(),
        }
    }

    /// Tries again while the server could not just now; never swallowed, and given up only when the server stops.
    async fn patiently<T, F: Future<Output = Result<T, RunError>>>(
        &self,
        cause: &Cause<'_>,
        run: impl Fn() -> F,
    ) -> Result<T, Halt> {
        let closed = |error: &RunError| matches!(error, RunError::Unavailable(duban_log::Error::Closed));
        let trying = run
            .retry(doubling(RETRY_FIRST, RETRY_MAX))
            .when(|error| error.is_passing() && !closed(error))
            .notify(|error, _| {
                tracing::warn!(event = %cause.event.id, %error, "a reaction could not run just now: trying again");
            });
        let outcome = tokio::select! {
            biased;
            outcome = trying => outcome,
            () = cause.drain.started() => return Err(Halt::Stopping),
        };
        outcome.map_err(|error| if closed(&error) { Halt::Stopping } else { Halt::Poisoned(error) })
    }
}

/// The id behind an event's stream.
fn id_of(event: &Recorded) -> Option<Uuid> {
    event.stream.as_str().split_once('-').and_then(|(_, id)| id.parse().ok())
}

#[cfg(test)]
mod tests;
