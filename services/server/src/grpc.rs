//! The public services, one file each: request in, command out. No file here knows a rule.

mod assessment;
mod audit;
mod board;
mod call;
mod command;
mod conformance;
mod customer;
mod desk;
mod dispatch;
mod emergency;
mod error;
mod fault;
mod feedback;
mod history;
mod inspection;
mod install;
mod investigation;
mod notice;
mod page;
mod policy;
mod problem;
mod read;
mod reply;
mod report;
mod rows;
mod supervision;
mod take_in;

pub(crate) use self::error::{fault, informed, later, refused};

pub use self::call::CallLayer;
pub use self::command::Api;
pub use self::rows::rows;
