//! What auditors do with histories 履历, offline or beside a server: how a ticket stood, what lies between two moments, what a verdict
//! rests on; every ticket folded again; every history held against the chain; proofs that nothing was altered or left out; and whole
//! histories for process-mining tools. It needs neither server nor engine.

pub mod as_of;
pub mod conformance;
pub mod difference;
pub mod error;
pub mod explain;
pub mod explanation;
pub mod folded_ticket;
pub mod process_mining;
pub mod proof;
pub mod read_only_log;
pub mod render;
pub mod replay;
pub mod text_opener;
pub mod ticket_history;
pub mod ticket_summary;
pub mod trial;
