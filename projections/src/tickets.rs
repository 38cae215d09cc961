//! Which tickets are there, where does each stand, and do the counts add up?
//!
//! Open tickets are kept folded; an ended one keeps its row, and is read from the log again where something still
//! happens to it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use duban_aggregates::calendar::Calendar;
use duban_aggregates::chain::Stage;
use duban_aggregates::clock::{DueStep, Step, next_step};
use duban_aggregates::customer;
use duban_aggregates::ids::{CustomerId, TicketId, UnitId};
use duban_aggregates::intake::{Area, Channel, Kind, Severity};
use duban_aggregates::policy::Policy;
use duban_aggregates::state::End;
use duban_aggregates::ticket::Ticket;
use duban_log::{Delivery, Direction, EventLog, Filter, Position, Recorded};
use jiff::Timestamp;
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::{Undecodable, customer_event, customer_of, fold_ticket, ticket_of};

/// A ticket in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its id.
    pub ticket: TicketId,
    /// Complaint, fault or install.
    pub kind: Kind,
    /// Where it came in.
    pub channel: Channel,
    /// Urgency.
    pub severity: Severity,
    /// Where it stands on the chain.
    pub stage: Stage,
    /// How it ended, while it has.
    pub ended: Option<End>,
    /// When it ended last.
    pub ended_at: Option<Timestamp>,
    /// The round.
    pub round: u32,
    /// Who has it: a unit, a department, `customer`, `nobody`.
    pub holder: String,
    /// Units with an order in this round.
    pub units: BTreeSet<UnitId>,
    /// Category path.
    pub category: String,
    /// The customer.
    pub customer: CustomerId,
    /// Keyed hash of the service number.
    pub number_hash: [u8; 16],
    /// Where it is.
    pub area: Area,
    /// The nearest due moment of its running clocks.
    pub next_due: Option<Timestamp>,
    /// Clocks that breached, without withdrawn breaches.
    pub breaches: u32,
    /// Whether it is paused.
    pub paused: bool,
    /// Receipts to outside bodies, or money to the customer, that are owed still.
    pub owes: bool,
    /// When it was taken in.
    pub taken_in_at: Timestamp,
    /// The last event's revision.
    pub revision: u64,
}

impl Row {
    /// The row of a ticket as it stands.
    #[must_use]
    pub fn of(ticket: &Ticket) -> Self {
        let round_units = ticket.orders.iter().filter(|order| order.round == ticket.round.number);
        let running = ticket.clocks.iter().filter(|clock| clock.is_running());
        let breached = ticket.clocks.iter().filter(|clock| clock.is_breached()).count();
        Self {
            ticket: ticket.id(),
            kind: ticket.kind(),
            channel: ticket.intake.channel,
            severity: ticket.intake.severity,
            stage: ticket.stage,
            ended: ticket.ended.as_ref().map(|ended| ended.how.clone()),
            ended_at: ticket.ended.as_ref().map(|ended| ended.at),
            round: ticket.round.number,
            holder: ticket.custody.holder().name().to_owned(),
            units: round_units.map(|order| order.unit.clone()).collect(),
            category: ticket.intake.category.clone(),
            customer: ticket.intake.customer.id,
            number_hash: ticket.intake.service.number_hash,
            area: ticket.intake.area.clone(),
            next_due: running.map(|clock| clock.start.due).min(),
            breaches: u32::try_from(breached).unwrap_or(u32::MAX),
            paused: ticket.pause.is_some(),
            owes: !ticket.receipts_owed().is_empty() || ticket.dues.iter().any(|due| due.settled.is_none()),
            taken_in_at: ticket.intake.taken_in_at,
            revision: ticket.revision,
        }
    }

    /// Whether it is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.ended.is_none()
    }
}

/// Opened + reopened − closed − withdrawn − rejected − merged = open, always (domain.md section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tickets taken in.
    pub opened: u64,
    /// Reopenings.
    pub reopened: u64,
    /// Closings.
    pub closed: u64,
    /// Withdrawals.
    pub withdrawn: u64,
    /// Rejections.
    pub rejected: u64,
    /// Merges.
    pub merged: u64,
    /// Tickets that are open, counted for themselves.
    pub open: u64,
    /// Rounds of all tickets together.
    pub rounds: u64,
}

impl Counts {
    /// Counts what an event did to a ticket: ends, reopenings and round before it, the ticket after it.
    fn count(&mut self, before: Option<(u32, u32, u32)>, after: &Ticket) {
        let (ends, reopened, round) = before.unwrap_or_default();
        self.opened += u64::from(before.is_none());
        self.reopened += u64::from(after.reopened.saturating_sub(reopened));
        self.rounds += u64::from(after.round.number.saturating_sub(round));
        if after.ends > ends {
            match after.ended.as_ref().map(|ended| &ended.how) {
                Some(End::Closed) | None => self.closed += 1,
                Some(End::Withdrawn) => self.withdrawn += 1,
                Some(End::Rejected) => self.rejected += 1,
                Some(End::Merged(_)) => self.merged += 1,
            }
        }
    }

    fn add(&mut self, other: Self) {
        let Self { opened, reopened, closed, withdrawn, rejected, merged, open, rounds } = other;
        self.opened += opened;
        self.reopened += reopened;
        self.closed += closed;
        self.withdrawn += withdrawn;
        self.rejected += rejected;
        self.merged += merged;
        self.open += open;
        self.rounds += rounds;
    }

    /// Whether the equation holds.
    #[must_use]
    pub fn add_up(&self) -> bool {
        self.opened + self.reopened == self.open + self.closed + self.withdrawn + self.rejected + self.merged
    }
}

/// Where a list goes on: after this ticket.
pub type Key = (Timestamp, TicketId);

/// Which way a list goes, by the moment of intake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    OldestFirst,
    /// Newest first.
    NewestFirst,
}

/// A condition on rows.
pub type Wanted<'w> = &'w (dyn Fn(&Row) -> bool + Send + Sync);

/// The projection cannot go on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Stopped {
    /// A stored event cannot be read.
    #[error("the ticket list stopped: {0}")]
    Poisoned(Arc<Undecodable>),
    /// The log cannot be read.
    #[error("the ticket list stopped: {0}")]
    Log(Arc<duban_log::Error>),
    /// It did not get there in time.
    #[error("the ticket list has not reached position {0} in time")]
    Behind(Position),
}

#[derive(Default)]
struct State {
    rows: HashMap<TicketId, Row>,
    by_time: BTreeSet<Key>,
    folded: HashMap<TicketId, Ticket>,
    by_matter: HashMap<(CustomerId, [u8; 16]), Vec<TicketId>>,
    by_customer: HashMap<CustomerId, Vec<TicketId>>,
    by_phone: HashMap<[u8; 16], CustomerId>,
    counts: Counts,
    due: BTreeSet<(DueStep, TicketId)>,
    next_due: HashMap<TicketId, DueStep>,
}

/// The read model. Queries are answered from memory.
pub struct Tickets {
    policy: Arc<Policy>,
    calendar: Arc<Calendar>,
    state: RwLock<State>,
    reached: watch::Sender<Option<Position>>,
    stopped: RwLock<Option<Stopped>>,
}

impl Tickets {
    /// An empty one. What happens by itself, and when, follows from the policy's constants and the calendar.
    #[must_use]
    pub fn new(policy: Arc<Policy>, calendar: Arc<Calendar>) -> Self {
        let (reached, stopped) = (watch::Sender::new(None), RwLock::new(None));
        Self { policy, calendar, state: RwLock::default(), reached, stopped }
    }

    /// Follows the log until it is closed. A poisoned event stops this projection alone, and is named.
    pub async fn follow(&self, log: Arc<dyn EventLog>) {
        if let Err(stopped) = self.run(&*log).await {
            tracing::error!(%stopped, "the ticket list is frozen; writes go on");
            *self.stopped.write() = Some(stopped);
            // Whoever waits is told now and not when its patience ends.
            self.reached.send_modify(|_| {});
        }
    }

    async fn run(&self, log: &dyn EventLog) -> Result<(), Stopped> {
        let failed = |error| Stopped::Log(Arc::new(error));
        // Unfiltered, so that a reader who waits for any position is answered at once.
        let mut subscription = log.subscribe(None, Filter::all()).await.map_err(failed)?;
        loop {
            let delivery = match subscription.next().await {
                Ok(delivery) => delivery,
                Err(duban_log::Error::Closed) => return Ok(()),
                Err(error) => return Err(failed(error)),
            };
            match delivery {
                Delivery::Events(events) => {
                    self.take(log, &events).await?;
                    if let Some(last) = events.last() {
                        self.reached.send_replace(Some(last.position));
                    }
                }
                Delivery::CaughtUp(position) => {
                    self.reached.send_replace(position);
                }
                Delivery::Checkpoint(position) => {
                    self.reached.send_replace(Some(position));
                }
                Delivery::FellBehind => {}
            }
        }
    }

    /// Folds a delivery. Rows change once for each ticket in it; what was counted is counted event by event.
    async fn take(&self, log: &dyn EventLog, events: &[Recorded]) -> Result<(), Stopped> {
        let poisoned = |error| Stopped::Poisoned(Arc::new(error));
        let mut touched: HashMap<TicketId, Ticket> = HashMap::new();
        let mut counted = Counts::default();
        for event in events {
            let Some(id) = ticket_of(event) else {
                self.take_customer(event)?;
                continue;
            };
            let known = touched.remove(&id).or_else(|| self.state.write().folded.remove(&id));
            let before = match known {
                Some(ticket) => Some(ticket),
                None if event.revision == 0 => None,
                None => reread(log, event).await?,
            };
            let milestones =
                before.as_ref().map(|ticket| (ticket.ends, ticket.reopened, ticket.round.number));
            if let Some(ticket) = fold_ticket(before, event).map_err(poisoned)? {
                counted.count(milestones, &ticket);
                touched.insert(id, ticket);
            }
        }
        let mut state = self.state.write();
        state.counts.add(counted);
        for ticket in touched.into_values() {
            let due = next_step(&ticket, &self.policy, &self.calendar);
            state.put(ticket, due);
        }
        Ok(())
    }

    /// A customer may be registered before a first ticket; after an erasure the phone is a stranger's.
    fn take_customer(&self, event: &Recorded) -> Result<(), Stopped> {
        let Some(customer) = customer_of(event) else { return Ok(()) };
        let decoded = customer_event(event).map_err(|error| Stopped::Poisoned(Arc::new(error)))?;
        match decoded {
            customer::Event::Registered { phone_hash, .. } => {
                self.state.write().by_phone.entry(phone_hash).or_insert(customer);
            }
            customer::Event::Erased { .. } => {
                self.state.write().by_phone.retain(|_, known| *known != customer);
            }
            customer::Event::TierChanged { .. }
            | customer::Event::TicketOpened { .. }
            | customer::Event::TicketEnded { .. } => {}
        }
        Ok(())
    }

    /// Waits until everything up to a position is taken in.
    ///
    /// # Errors
    /// [`Stopped`], also when it takes longer than `patience`.
    pub async fn wait_for(&self, position: Position, patience: Duration) -> Result<(), Stopped> {
        let mut reached = self.reached.subscribe();
        let there = |at: &Option<Position>| at.is_some_and(|at| at >= position);
        let ended = |at: &Option<Position>| there(at) || self.stopped.read().is_some();
        let waited = tokio::time::timeout(patience, reached.wait_for(ended)).await;
        match waited {
            Ok(Ok(at)) if there(&at) => Ok(()),
            _ => Err(self.stopped.read().clone().unwrap_or(Stopped::Behind(position))),
        }
    }

    /// Tickets on which something happens by itself up to a moment: the first step of each, the earliest first.
    #[must_use]
    pub fn due_by(&self, at: Timestamp, limit: usize) -> Vec<(TicketId, DueStep)> {
        let state = self.state.read();
        let due = state.due.iter().take_while(|(step, _)| step.from <= at);
        due.map(|(step, ticket)| (*ticket, *step)).take(limit).collect()
    }

    /// The first moment after this one at which something happens.
    #[must_use]
    pub fn next_due_after(&self, at: Timestamp) -> Option<Timestamp> {
        use std::ops::Bound::{Excluded, Unbounded};
        // No step and no ticket sorts after these.
        let last = DueStep { from: at, step: Step::Resume };
        let state = self.state.read();
        let mut later = state.due.range((Excluded((last, TicketId(uuid::Uuid::max()))), Unbounded));
        later.next().map(|(step, _)| step.from)
    }

    /// The first thing that happens on a ticket by itself.
    #[must_use]
    pub fn due_of(&self, ticket: TicketId) -> Option<DueStep> {
        self.state.read().next_due.get(&ticket).copied()
    }

    /// Told whenever it has taken in more.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Option<Position>> {
        self.reached.subscribe()
    }

    /// How far it has read.
    #[must_use]
    pub fn reached(&self) -> Option<Position> {
        *self.reached.borrow()
    }

    /// A ticket's row.
    #[must_use]
    pub fn get(&self, ticket: TicketId) -> Option<Row> {
        self.state.read().rows.get(&ticket).cloned()
    }

    /// Up to `limit` rows after `after` that are wanted, and where to go on, where there may be more.
    #[must_use]
    pub fn list(
        &self,
        wanted: Wanted<'_>,
        order: Order,
        after: Option<Key>,
        limit: usize,
    ) -> (Vec<Row>, Option<Key>) {
        let state = self.state.read();
        let keys: Box<dyn Iterator<Item = &Key>> = match (order, after) {
            (Order::OldestFirst, None) => Box::new(state.by_time.iter()),
            (Order::NewestFirst, None) => Box::new(state.by_time.iter().rev()),
            (Order::OldestFirst, Some(after)) => {
                use std::ops::Bound::{Excluded, Unbounded};
                Box::new(state.by_time.range((Excluded(after), Unbounded)))
            }
            (Order::NewestFirst, Some(after)) => Box::new(state.by_time.range(..after).rev()),
        };
        let mut rows = Vec::new();
        for (_, ticket) in keys {
            let Some(row) = state.rows.get(ticket).filter(|row| wanted(row)) else { continue };
            if rows.len() == limit {
                let last: Option<&Row> = rows.last();
                let next = last.map(|row| (row.taken_in_at, row.ticket));
                return (rows, next);
            }
            rows.push(row.clone());
        }
        (rows, None)
    }

    /// The counts.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.state.read().counts
    }

    /// Who has this phone, by its keyed hash.
    #[must_use]
    pub fn customer_by_phone(&self, phone_hash: &[u8; 16]) -> Option<CustomerId> {
        self.state.read().by_phone.get(phone_hash).copied()
    }

    /// Tickets of a customer on a service and category, newest last.
    #[must_use]
    pub fn same_matter(&self, customer: CustomerId, number_hash: [u8; 16], category: &str) -> Vec<Row> {
        let state = self.state.read();
        let tickets = state.by_matter.get(&(customer, number_hash)).map_or(&[][..], Vec::as_slice);
        let rows = tickets.iter().filter_map(|ticket| state.rows.get(ticket));
        rows.filter(|row| row.category == category).cloned().collect()
    }
}

impl Tickets {
    /// All tickets of a customer, in the order of their recording.
    #[must_use]
    pub fn of_customer(&self, customer: CustomerId) -> Vec<Row> {
        let state = self.state.read();
        let tickets = state.by_customer.get(&customer).map_or(&[][..], Vec::as_slice);
        tickets.iter().filter_map(|ticket| state.rows.get(ticket)).cloned().collect()
    }
}

impl State {
    fn put(&mut self, ticket: Ticket, due: Option<DueStep>) {
        let id = ticket.id();
        let was = match due {
            Some(due) => self.next_due.insert(id, due),
            None => self.next_due.remove(&id),
        };
        if was != due {
            was.map(|was| self.due.remove(&(was, id)));
            self.due.extend(due.map(|due| (due, id)));
        }
        let row = Row::of(&ticket);
        let is_open = row.is_open();
        let before = self.rows.get(&id).map(Row::is_open);
        if before.is_none() {
            self.by_time.insert((row.taken_in_at, id));
            self.by_matter.entry((row.customer, row.number_hash)).or_default().push(id);
            self.by_customer.entry(row.customer).or_default().push(id);
            self.by_phone.entry(ticket.intake.customer.phone_hash).or_insert(row.customer);
        }
        match (before.unwrap_or(false), is_open) {
            (false, true) => self.counts.open += 1,
            (true, false) => self.counts.open -= 1,
            (true, true) | (false, false) => {}
        }
        if is_open {
            self.folded.insert(id, ticket);
        }
        self.rows.insert(id, row);
    }
}

/// Folds an ended ticket again, up to the event before this one.
async fn reread(log: &dyn EventLog, event: &Recorded) -> Result<Option<Ticket>, Stopped> {
    const PAGE: usize = 512;
    let mut ticket = None;
    let mut from = 0;
    while from < event.revision {
        let limit = usize::try_from(event.revision - from).map_or(PAGE, |left| left.min(PAGE));
        let read = log.read_stream(&event.stream, from, Direction::Forward, limit).await;
        let page = read.map_err(|error| Stopped::Log(Arc::new(error)))?;
        if page.is_empty() {
            break;
        }
        for recorded in &page {
            from = recorded.revision + 1;
            ticket = fold_ticket(ticket, recorded).map_err(|error| Stopped::Poisoned(Arc::new(error)))?;
        }
    }
    Ok(ticket)
}
