//! What happens by itself, in time: each due step becomes a `Tick` by `timer`, through the runner like any command
//! (domain.md section 4, design.md section 4).
//!
//! The step's command id follows from ticket, clock, step and moment, and the decision drops what no longer holds: so
//! it is safe to send one twice, from two servers, late, or against a racing command, which does the same by itself.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff};
use duban_aggregates::ids::TicketId;
use duban_aggregates::ticket::clock::{Command, DueStep};
use duban_log::Position;
use duban_projections::{Stopped, Tickets};
use futures::StreamExt;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::drain::Drain;
use crate::retry::doubling;
use crate::runner::{Answer, Ask, RunError, Runner};

/// Steps looked at together: all of them are done before the next are looked for.
const BATCH: usize = 4_096;

/// Tickets ticked at once.
const AT_ONCE: usize = 64;

/// Between two tries of a step that could not be done just now.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// How long the read model may take to show what was just written.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(10);

/// How often a long catch-up says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// A ticket whose step could not be done.
#[derive(Debug)]
struct Held {
    step: DueStep,
    /// None where trying again cannot help before the ticket changes.
    again: Option<Instant>,
    pauses: ExponentialBackoff,
}

/// The timers of one server.
pub struct Timers {
    runner: Arc<Runner>,
    tickets: Arc<Tickets>,
    held: Mutex<HashMap<TicketId, Held>>,
    late_us: AtomicI64,
}

impl Timers {
    /// Timers over the due moments that a read model knows.
    #[must_use]
    pub fn new(runner: Arc<Runner>, tickets: Arc<Tickets>) -> Self {
        Self { runner, tickets, held: Mutex::default(), late_us: AtomicI64::new(0) }
    }

    /// How late the last step was done, after its moment.
    #[must_use]
    pub fn late(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.late_us.load(Ordering::Relaxed)).unwrap_or(0))
    }

    /// Does everything that fell due while nobody was there. What cannot be done now is left to [`Timers::run`].
    pub async fn catch_up(&self) {
        let (began, mut said, mut done) = (Instant::now(), Instant::now(), 0);
        loop {
            match self.tick_all().await {
                Ok(0) => break,
                Ok(ticked) => done += ticked,
                Err(stopped) => {
                    tracing::error!(%stopped, "what fell due while the server was down cannot be told yet");
                    break;
                }
            }
            if said.elapsed() >= PROGRESS_EVERY {
                said = Instant::now();
                tracing::info!(done, "catching up with what fell due");
            }
        }
        if done > 0 {
            let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(tickets = done, took_ms, "what fell due while the server was down has happened");
        }
    }

    /// Ticks in time until the server stops.
    ///
    /// # Errors
    /// [`Stopped`], where the read model cannot tell what is due. Commands find what fell due themselves meanwhile.
    pub async fn run(&self, drain: Drain) -> Result<(), Stopped> {
        let mut progress = self.tickets.progress();
        loop {
            progress.borrow_and_update();
            if self.tick_all().await? > 0 {
                if drain.is_started() {
                    return Ok(());
                }
                continue;
            }
            tokio::select! {
                () = drain.started() => return Ok(()),
                next = self.next() => next?,
                changed = progress.changed() => if changed.is_err() { return Ok(()) },
            }
        }
    }

    /// Whether nothing is due that could be done now.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let held = self.held.lock().len();
        let due = self.tickets.due_by(self.runner.clock().now(), held + 1);
        // A read model that cannot tell stops the timers, and then nothing can be done.
        !due.unwrap_or_default().into_iter().any(|(ticket, step)| self.may_try(ticket, step))
    }

    /// Waits until nothing is due that could be done now.
    pub async fn idle(&self) {
        let mut progress = self.tickets.progress();
        while !self.is_idle() {
            // A step that is given up moves no read model.
            let _ = tokio::time::timeout(RETRY_FIRST, progress.changed()).await;
        }
    }

    /// Waits for the next moment at which there is something to do.
    async fn next(&self) -> Result<(), Stopped> {
        let now = self.runner.clock().now();
        let again = self.held.lock().values().filter_map(|held| held.again).min();
        let retry = async {
            match again {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let due = async {
            // What is overdue still is held, and waits for its retry.
            match self.tickets.next_due_after(now)? {
                Some(at) => self.runner.clock().reached(at).await,
                None => std::future::pending().await,
            }
            Ok(())
        };
        tokio::select! {
            () = retry => Ok(()),
            due = due => due,
        }
    }

    /// Does one batch of what is due, and waits until the read model shows it. Answers how many tickets it went to.
    async fn tick_all(&self) -> Result<usize, Stopped> {
        let now = self.runner.clock().now();
        let held = self.held.lock().len();
        let due = self.tickets.due_by(now, BATCH + held)?;
        let due: Vec<_> = due.into_iter().filter(|(ticket, step)| self.may_try(*ticket, *step)).collect();
        let ticks: Vec<_> = due.iter().map(|&(ticket, step)| self.tick(ticket, step, now)).collect();
        let mut ticking = futures::stream::iter(ticks).buffer_unordered(AT_ONCE);
        let mut last: Option<Position> = None;
        while let Some(position) = ticking.next().await {
            last = last.max(position);
        }
        drop(ticking);
        let Some(last) = last else { return Ok(due.len()) };
        if let Err(stopped) = self.tickets.wait_for(last, FOLLOWS_WITHIN).await {
            tracing::warn!(%stopped, "what was ticked does not show yet");
        }
        self.left_over(&due);
        Ok(due.len())
    }

    fn may_try(&self, ticket: TicketId, step: DueStep) -> bool {
        match self.held.lock().get(&ticket) {
            Some(held) if held.step == step => held.again.is_some_and(|again| again <= Instant::now()),
            _ => true,
        }
    }

    fn tick(&self, ticket: TicketId, due: DueStep, now: Timestamp) -> impl Future<Output = Option<Position>> {
        let ask = Ask::tick(self.runner.own_ids(), ticket.0, due);
        async move {
            match self.runner.ticket(ticket, &ask, |_| Ok(Command::Tick(due))).await {
                Ok(Answer { position, .. }) => {
                    if due.from > Timestamp::MIN {
                        let late_us = now.as_microsecond().saturating_sub(due.from.as_microsecond());
                        self.late_us.store(late_us, Ordering::Relaxed);
                    }
                    Some(position)
                }
                Err(error) => {
                    self.hold(ticket, due, &error);
                    None
                }
            }
        }
    }

    /// One ticket that cannot be ticked stops no other. It is said once, and tried again where that may help.
    fn hold(&self, ticket: TicketId, step: DueStep, error: &RunError) {
        let mut held = self.held.lock();
        let known = held.remove(&ticket).filter(|held| held.step == step);
        let mut pauses = known.map_or_else(|| doubling(RETRY_FIRST, RETRY_MAX).build(), |held| held.pauses);
        let again = error.is_passing().then(|| Instant::now() + pauses.next().unwrap_or(RETRY_MAX));
        held.insert(ticket, Held { step, again, pauses });
        if again.is_some() {
            tracing::warn!(%ticket, ?step, %error, "a step that is due cannot be done just now: trying again");
        } else {
            tracing::error!(%ticket, ?step, %error, "a step that is due cannot be done: it waits until the ticket changes");
        }
    }

    /// What was ticked and is due all the same would be ticked for ever: it waits until the ticket changes.
    fn left_over(&self, ticked: &[(TicketId, DueStep)]) {
        let mut held = self.held.lock();
        for (ticket, step) in ticked {
            // A read model that cannot say so will not hand it out again either.
            let still = self.tickets.due_of(*ticket).is_ok_and(|due| due == Some(*step));
            match held.get(ticket) {
                Some(known) if known.step == *step => {}
                _ if still => {
                    tracing::error!(%ticket, ?step, "a step that was done is due all the same: it waits until the ticket changes");
                    let pauses = doubling(RETRY_FIRST, RETRY_MAX).build();
                    held.insert(*ticket, Held { step: *step, again: None, pauses });
                }
                _ => {
                    held.remove(ticket);
                }
            }
        }
    }
}
