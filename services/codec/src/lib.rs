//! Domain events to stored bytes, to canonical JSON, and back: the only crate that speaks both.
//!
//! - [`Stored`] is the way of a payload: domain event ↔ stored type and protobuf. `events.rs` is its table.
//! - [`encode_metadata`] and [`decode_meta`] are the way of what surrounds it.
//! - [`to_event`] and [`from_event`] put both into the envelope that is streamed, published and exported, [`to_json`] and
//!   [`from_json`] are its canonical JSON; [`payload_to_json`] and [`metadata_to_json`] are that of its parts, for engines that
//!   keep them apart.
//! - [`Wire`] reads a field of what callers send, by name: `OrderNo::take(request.order, "order")`.
//! - [`sample`] makes events for tests.
//!
//! Whatever is unknown, a type, a field, a value, is an error: a reader that passed over it would fold a wrong state.

mod enums;
mod envelope;
mod error;
mod events;
mod json;
mod messages;
pub mod sample;
mod upcast;
mod wire;

use duban_aggregates::{customer, edition, emergency, imported, notice, office, problem, ticket};

pub use self::envelope::{
    Lineage, Metadata, Parts, StoredEvent, decode_meta, decode_metadata, encode_metadata, from_event,
    to_event,
};
pub use self::error::{CodecError, Malformed, Problem, with_causes};
pub use self::events::{Stored, payload, stored_payload, types};
pub use self::json::{
    descriptors, from_json, metadata_from_json, metadata_to_json, payload_from_json, payload_to_json,
    to_json, to_json_pretty,
};
pub use self::upcast::{UPCASTS, Upcast};
pub use self::wire::{Message, Wire};

macro_rules! by_name {
    ($($encode:ident $decode:ident $stream:ident;)*) => {$(
        #[doc = concat!("[`Stored::encode`] of a ", stringify!($stream), "'s event.")]
        #[must_use]
        pub fn $encode(event: &$stream::Event) -> (&'static str, Vec<u8>) {
            event.encode()
        }

        #[doc = concat!("[`Stored::decode`] of a ", stringify!($stream), "'s event.")]
        ///
        /// # Errors
        /// An unknown type, an unknown field, or bytes that are none of ours.
        pub fn $decode(kind: &str, payload: &[u8]) -> Result<$stream::Event, CodecError> {
            Stored::decode(kind, payload)
        }
    )*};
}

by_name! {
    encode_ticket decode_ticket ticket;
    encode_problem decode_problem problem;
    encode_notice decode_notice notice;
    encode_customer decode_customer customer;
    encode_office decode_office office;
    encode_edition decode_edition edition;
    encode_emergency decode_emergency emergency;
    encode_imported decode_imported imported;
}
