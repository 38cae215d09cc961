//! Read models, one file per question. Each folds the log's events and nothing else, so each can be dropped and rebuilt.

pub mod conformance;
mod customers;
mod decode;
mod encode;
mod projection;
pub mod table;
mod tickets;

pub use conformance::{Conformance, ConformanceFold};
pub use customers::{CustomerFold, Customers};
pub use decode::{Undecodable, meta, stored, ticket_event, ticket_of, ticket_stream, ticket_streams, viewed};
pub use encode::{ticket_tags, ticket_to_store};
pub use projection::{
    Compared, Fold, FoldError, Home, Inspected, OnProgress, Projection, Rebuilt, Rows, Standing, Stopped,
    Taken, compare, inspect, rebuild,
};
pub use tickets::{
    Among, Counts, Ends, InHand, InStage, Kept, Listed, OpenOrder, Order, Outside, Place, Query, Row,
    TicketFold, Tickets, Work, WorkPlace,
};
