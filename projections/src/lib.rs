//! Read models, one file per question. Each folds the log's events and nothing else, so each can be dropped and rebuilt.

mod decode;
pub mod table;
mod tickets;

pub use decode::{
    Undecodable, customer_event, customer_of, fold_ticket, meta, stored, ticket_event, ticket_of,
};
pub use tickets::{Counts, Key, Order, Row, Stopped, Tickets, Wanted};
