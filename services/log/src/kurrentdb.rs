//! The log on an EventStoreDB or KurrentDB cluster.
//!
//! Events lie there as JSON, so that the server's own user interface, its category streams and other clients can read them; a
//! [`Transcode`] gives that JSON and takes it back to the very bytes that the other engines keep, since the tree's leaves are made
//! of those.

mod transcode;

pub use transcode::{Json, Plain, Reason, Stored, Transcode};
