//! Event logs behind one trait: segmented on disk, on a KurrentDB cluster, and in memory.
//!
//! [`EventLog`] is the trait, [`SegmentedLog`] the log of record, [`kurrentdb::KurrentLog`] the one that several servers share,
//! [`MemoryLog`] the same in memory; all pass [`contract`]. [`Reader`]
//! and [`verify`] read a directory beside a running writer. The log knows nothing of tickets: kinds and tags are text, metadata
//! and payload are bytes.

mod api;
pub mod backup;
pub mod bench;
mod bulk;
pub mod contract;
pub mod disk;
mod error;
mod event;
mod filter;
mod header;
mod hub;
pub mod kurrentdb;
mod memory;
mod reader;
mod registers;
mod segmented;
mod streams;
pub mod tamper;
pub mod tree;
mod verify;
mod witness;

pub use api::{Delivery, EventLog, Feed, Subscription, ends_stream};
pub use bulk::{BulkAppend, append_in_order, last_recorded_at};
pub use error::{Damage, Error};
pub use event::{
    APPEND_BYTES_MAX, Appended, Direction, Expected, Head, KIND_BYTES_MAX, METADATA_BYTES_MAX, NewEvent,
    PAYLOAD_BYTES_MAX, Page, Position, READ_BYTES_MAX, Recorded, STREAM_NAME_BYTES_MAX, StreamName,
    TAG_KEY_BYTES_MAX, TAG_VALUE_BYTES_MAX, TAGS_MAX,
};
pub use filter::Filter;
pub use header::{View, leaf_hash};
pub use memory::MemoryLog;
pub use reader::{Reader, each_part, part_of};
pub use registers::{MemoryRegisters, Register, Registers};
#[doc(hidden)]
pub use segmented::Planted;
pub use segmented::{Fatal, Options, SegmentedLog};
pub use streams::{StreamProof, StreamTip, StreamTree};
pub use verify::{Progress, RecordPlace, Report, scan_sound, verify, verify_on};
pub use witness::{Contradiction, ReadHead, SignedHeads, Witness};
