//! Which tickets are there, where does each stand, who has what to do, and do the counts add up?

mod counts;
mod fold;
mod keys;
mod list;
mod row;

use std::collections::{BTreeMap, BTreeSet};

use duban_aggregates::ids::{CustomerId, OrderNo, TicketId};
use duban_aggregates::ticket::clock::DueStep;
use duban_aggregates::words::{Kind, Stage};
use jiff::Timestamp;

pub use self::counts::Counts;
pub use self::fold::TicketFold;
use self::fold::{read_counts, read_row, read_seconds};
pub use self::keys::Place;
use self::keys::Span;
pub use self::list::{Among, Listed, Order, Query};
pub use self::row::{Ends, Kept, OpenOrder, Outside, Row};
use crate::projection::{Projection, Stopped};
use crate::table::{Pair, Table, TableError};

/// The read model of tickets.
pub type Tickets = Projection<TicketFold>;

/// Rows read at a time while something is summed up over an index.
const PAGE: usize = 1_024;

/// Where a worklist goes on: after this entry.
pub type WorkPlace = (Place, OrderNo);

/// An entry of a worklist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// The ticket.
    pub row: Row,
    /// The order to reply to; none where the ticket waits for its stage's department.
    pub order: Option<OpenOrder>,
}

/// Tickets in one stage of the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InStage {
    /// How many.
    pub tickets: u64,
    /// When the oldest was taken in.
    pub oldest: Option<Timestamp>,
    /// Since when that one is in the stage which entered it first.
    pub waiting_since: Option<Timestamp>,
    /// How many were taken in since each of the moments asked for, and not since the one before.
    pub by_age: Vec<u64>,
}

/// What a holder has and had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InHand {
    /// Tickets it has now.
    pub tickets: u64,
    /// Since when the one that it has had for longest.
    pub since: Option<Timestamp>,
    /// Whole seconds that it had tickets before they went on, and up to now those that it has.
    pub seconds: i64,
}

impl Tickets {
    /// A ticket's row.
    ///
    /// # Errors
    /// [`Stopped::Table`].
    pub fn get(&self, ticket: TicketId) -> Result<Option<Row>, Stopped> {
        self.ask(|table| row_of(table, ticket))
    }

    /// Every ticket that has a row.
    ///
    /// # Errors
    /// [`Stopped::Table`].
    pub fn ids(&self) -> Result<BTreeSet<TicketId>, Stopped> {
        let mut tickets = BTreeSet::new();
        self.ask(|table| {
            each(table, &Span::rows(), |(key, _)| {
                tickets.insert(keys::ticket_of(&key).ok_or_else(foreign)?);
                Ok(())
            })
        })?;
        Ok(tickets)
    }

    /// The counts.
    ///
    /// # Errors
    /// [`Stopped::Table`].
    pub fn counts(&self) -> Result<Counts, Stopped> {
        self.ask(read_counts)
    }

    /// Tickets on which something happens by itself up to a moment: the first step of each, the earliest first.
    ///
    /// # Errors
    /// [`Stopped::Table`].
    pub fn due_by(&self, at: Timestamp, limit: usize) -> Result<Vec<(TicketId, DueStep)>, Stopped> {
        let due = |(key, _): &Pair| Some((keys::ticket_of(key)?, keys::step_of(key)?));
        self.ask(|table| {
            let Span { from, to } = Span::steps_by(at);
            table.page(&from, &to, false, limit)?.iter().map(|pair| due(pair).ok_or_else(foreign)).collect()
        })
    }

    /// The first moment after this one at which something happens.
    ///
    /// # Errors
    /// [`Stopped::Table`].
    pub fn next_due_after(&self, at: Timestamp) -> Result<Option<Timestamp>, Stopped> {
        self.ask(|table| {
            let Span { from, to } = Span::steps_after(at);
            let first = table.page(&from, &to, false, 1)?.into_iter().next();
            first.map(|(key, _)| keys::step_of(&key).map(|step| step.from).ok_or_else(foreign)).transpose()
        })
    }

    /// The first thing that happens on a ticket by itself.
    ///
    /// # Errors
    /// [`Stopped::Table`].
    pub fn due_of(&self, ticket: TicketId) -> Result<Option<DueStep>, Stopped> {
        Ok(self.get(ticket)?.and_then(|row| row.next_step))
    }

    /// Tickets of a customer on a service and category, newest last.
    ///
    /// # Errors
    /// [`Stopped::Table`].
    pub fn same_matter(
        &self,
        customer: CustomerId,
        number_hash: [u8; 16],
        category: &str,
    ) -> Result<Vec<Row>, Stopped> {
        let same = |row: &Row| row.customer == customer && row.category == category;
        Ok(self.list(&Query::of(Among::Service(number_hash)), &same)?.rows)
    }

    /// All tickets of a customer, newest last.
    ///
    /// # Errors
    /// [`Stopped::Table`].
    pub fn of_customer(&self, customer: CustomerId) -> Result<Vec<Row>, Stopped> {
        Ok(self.list(&Query::of(Among::Customer(customer)), &|_| true)?.rows)
    }

    /// What a unit or department has to do, the nearest due moment first, after an entry; and where to go on, where there is
    /// more.
    ///
    /// # Errors
    /// [`Stopped::Table`].
    pub fn worklist(
        &self,
        unit: &str,
        after: Option<WorkPlace>,
        limit: usize,
    ) -> Result<(Vec<Work>, Option<WorkPlace>), Stopped> {
        self.ask(|table| {
            let span = Span::to_do(unit);
            let from = after.map_or(span.from, |entry| keys::after_work(unit, entry));
            let mut entries = table.page(&from, &span.to, false, limit.saturating_add(1))?;
            let more = entries.len() > limit;
            entries.truncate(limit);
            let last = entries.last().filter(|_| more);
            let next = last.map(|(key, _)| keys::work_of(key).ok_or_else(foreign)).transpose()?;
            let work = |(key, _): &Pair| {
                let ((_, ticket), order) = keys::work_of(key).ok_or_else(foreign)?;
                // A ticket that changes between the two reads shows as it stands now.
                let Some(row) = row_of(table, ticket)? else { return Ok(None) };
                let order = row.orders.iter().find(|open| open.order == order).cloned();
                Ok(Some(Work { row, order }))
            };
            let work: Result<Vec<_>, TableError> =
                entries.iter().filter_map(|e| work(e).transpose()).collect();
            Ok((work?, next))
        })
    }

    /// How many tickets are in each stage, by kind, and how old they are. Ages are counted from the intake, between the
    /// moments given, the latest first.
    ///
    /// # Errors
    /// [`Stopped::Table`].
    pub fn chain_board(&self, since: &[Timestamp]) -> Result<BTreeMap<(Stage, Kind), InStage>, Stopped> {
        let mut board: BTreeMap<_, InStage> = BTreeMap::new();
        self.ask(|table| {
            each(table, &Span::on_chain(), |(key, value)| {
                let (stage, kind, taken_in) = keys::on_chain(&key).ok_or_else(foreign)?;
                let entered = keys::since(&value).ok_or_else(foreign)?;
                let cell = board.entry((stage, kind)).or_default();
                cell.tickets += 1;
                cell.oldest = Some(cell.oldest.map_or(taken_in, |oldest| oldest.min(taken_in)));
                cell.waiting_since = Some(cell.waiting_since.map_or(entered, |first| first.min(entered)));
                cell.by_age.resize(since.len() + 1, 0);
                cell.by_age[since.iter().take_while(|since| taken_in < **since).count()] += 1;
                Ok(())
            })
        })?;
        Ok(board)
    }

    /// Who has how many tickets, and had tickets for how long, up to a moment.
    ///
    /// # Errors
    /// [`Stopped::Table`].
    pub fn custody(&self, now: Timestamp) -> Result<BTreeMap<String, InHand>, Stopped> {
        let mut holders: BTreeMap<String, InHand> = BTreeMap::new();
        self.ask(|table| {
            each(table, &Span::custody(), |(key, value)| {
                let holder = keys::holder_of(&key).ok_or_else(foreign)?;
                holders.entry(holder).or_default().seconds += read_seconds(&value)?;
                Ok(())
            })?;
            each(table, &Span::in_hand(), |(key, value)| {
                let holder = keys::holder_of(&key).ok_or_else(foreign)?;
                let since = keys::since(&value).ok_or_else(foreign)?;
                let it = holders.entry(holder).or_default();
                it.tickets += 1;
                it.since = Some(it.since.map_or(since, |first| first.min(since)));
                it.seconds += (now.as_second() - since.as_second()).max(0);
                Ok(())
            })
        })?;
        Ok(holders)
    }

    /// Tickets with an outside body's number.
    ///
    /// # Errors
    /// [`Stopped::Table`].
    pub fn with_outside_number(&self, number: &str) -> Result<BTreeSet<TicketId>, Stopped> {
        let mut tickets = BTreeSet::new();
        self.ask(|table| {
            each(table, &Span::outside(number), |(key, _)| {
                tickets.insert(keys::ticket_of(&key).ok_or_else(foreign)?);
                Ok(())
            })
        })?;
        Ok(tickets)
    }
}

fn row_of(table: &Table, ticket: TicketId) -> Result<Option<Row>, TableError> {
    table.get(&keys::row(ticket))?.map(|bytes| read_row(&bytes)).transpose()
}

/// Goes over a span page by page: whoever changes rows meanwhile waits for a page and not for all of it.
fn each(
    table: &Table,
    span: &Span,
    mut of: impl FnMut(Pair) -> Result<(), TableError>,
) -> Result<(), TableError> {
    let mut from = span.from.clone();
    loop {
        let page = table.page(&from, &span.to, false, PAGE)?;
        let full = page.len() == PAGE;
        if let Some((last, _)) = page.last() {
            from = crate::table::after(last);
        }
        page.into_iter().try_for_each(&mut of)?;
        if !full {
            return Ok(());
        }
    }
}

fn foreign() -> TableError {
    TableError::Row("a key is not one of this version's".to_owned())
}
