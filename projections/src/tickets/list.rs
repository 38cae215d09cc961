//! Lists of tickets: the narrowest index that a query names is walked, and every other condition is a test of its rows.

use duban_aggregates::ids::CustomerId;
use jiff::Timestamp;

use super::keys::{self, Index, Place, Span};
use super::row::Row;
use super::{Tickets, foreign, row_of};
use crate::projection::Stopped;
use crate::table;

/// Rows read at a time.
const PAGE: usize = 256;

/// Among which tickets to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Among {
    /// All of them.
    All,
    /// A customer's.
    Customer(CustomerId),
    /// A service's, by the keyed hash of its number.
    Service([u8; 16]),
}

/// Which way a list goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By intake, oldest first.
    OldestFirst,
    /// By intake, newest first.
    NewestFirst,
    /// By the nearest due moment; open tickets only, and those without a running clock last. Only among all tickets.
    DueFirst,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Where to look.
    pub among: Among,
    /// Which way.
    pub order: Order,
    /// Taken in at this moment or later.
    pub from: Option<Timestamp>,
    /// Taken in before this moment.
    pub to: Option<Timestamp>,
    /// Where the page before ended.
    pub after: Option<Place>,
    /// Rows at most.
    pub limit: usize,
}

impl Query {
    /// Everything there is, oldest first.
    #[must_use]
    pub fn of(among: Among) -> Self {
        Self { among, order: Order::OldestFirst, from: None, to: None, after: None, limit: usize::MAX }
    }

    fn index(&self) -> Index {
        match (self.order, self.among) {
            (Order::DueFirst, _) => Index::by_due(),
            (_, Among::All) => Index::by_intake(),
            (_, Among::Customer(customer)) => Index::of_customer(customer),
            (_, Among::Service(number_hash)) => Index::of_service(&number_hash),
        }
    }

    fn span(&self) -> Span {
        let index = self.index();
        let beyond = index.beyond(self.after, self.order == Order::NewestFirst);
        match self.order {
            Order::DueFirst => beyond,
            Order::OldestFirst | Order::NewestFirst => index.between(beyond, self.from, self.to),
        }
    }

    fn wants(&self, row: &Row) -> bool {
        let taken_in = row.taken_in_at;
        let of_those = match self.among {
            Among::All => true,
            Among::Customer(customer) => customer == row.customer,
            Among::Service(number_hash) => number_hash == row.number_hash,
        };
        of_those && self.from.is_none_or(|from| taken_in >= from) && self.to.is_none_or(|to| taken_in < to)
    }

    /// Where a page that ends with this row goes on.
    fn place(&self, row: &Row) -> Place {
        let at = match self.order {
            Order::DueFirst => row.next_due.unwrap_or(keys::NEVER),
            Order::OldestFirst | Order::NewestFirst => row.taken_in_at,
        };
        (at, row.ticket)
    }
}

/// A page of tickets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The rows.
    pub rows: Vec<Row>,
    /// Where to go on, where there is more.
    pub next: Option<Place>,
}

impl Tickets {
    /// Tickets that are wanted, in order.
    ///
    /// # Errors
    /// [`Stopped::Table`].
    pub fn list(&self, query: &Query, wanted: &dyn Fn(&Row) -> bool) -> Result<Listed, Stopped> {
        let mut rows = Vec::new();
        let mut next = None;
        self.walk(query, &mut |row| {
            if !wanted(&row) {
                return true;
            }
            if rows.len() == query.limit {
                next = rows.last().map(|last| query.place(last));
                return false;
            }
            rows.push(row);
            true
        })?;
        Ok(Listed { rows, next })
    }

    /// How many tickets are wanted, in all pages.
    ///
    /// # Errors
    /// [`Stopped::Table`].
    pub fn count(&self, query: &Query, wanted: &dyn Fn(&Row) -> bool) -> Result<u64, Stopped> {
        let mut found = 0;
        self.walk(&Query { after: None, ..query.clone() }, &mut |row| {
            found += u64::from(wanted(&row));
            true
        })?;
        Ok(found)
    }

    /// Goes over the rows of a query until told to stop.
    fn walk(&self, query: &Query, of: &mut dyn FnMut(Row) -> bool) -> Result<(), Stopped> {
        let backwards = query.order == Order::NewestFirst;
        let Span { mut from, mut to } = query.span();
        self.ask(|table| {
            loop {
                let page = table.page(&from, &to, backwards, PAGE)?;
                for (key, _) in &page {
                    let ticket = keys::ticket_of(key).ok_or_else(foreign)?;
                    let Some(row) = row_of(table, ticket)?.filter(|row| query.wants(row)) else { continue };
                    if !of(row) {
                        return Ok(());
                    }
                }
                match page.last() {
                    Some((last, _)) if page.len() == PAGE && backwards => to = last.clone(),
                    Some((last, _)) if page.len() == PAGE => from = table::after(last),
                    _ => return Ok(()),
                }
            }
        })
    }
}
