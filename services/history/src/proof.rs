//! What outsiders can hold against a log: signed heads, the audit of a whole log by them, and exports of single tickets that prove
//! themselves. What checks such an export is small enough to be read, in the order that the crate's README gives.

pub mod audit;
pub mod audit_cluster;
pub mod check_export;
mod event_lines;
pub mod export;
pub mod export_file;
pub mod kept_heads;
pub mod signed_head;

pub use self::audit::audit_directory;
pub use self::audit_cluster::audit_cluster;
pub use self::check_export::check_export;
pub use self::export::export_ticket;
