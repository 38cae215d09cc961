//! The public contract of duban: events and services, and the types generated from them.
//!
//! `duban/event/v1` says what happened: it is stored, streamed and published. `duban/api/v1` says what may be asked,
//! one service a department. The generated Rust is what `build.rs` makes of those files; only the codec is written by hand.

pub mod codec;

/// What happened.
pub mod event {
    /// Package `duban.event.v1`.
    #[allow(missing_docs, clippy::all, clippy::pedantic, clippy::restriction)]
    pub mod v1 {
        tonic::include_proto!("duban.event.v1");
    }
}

/// What may be asked.
pub mod api {
    /// Package `duban.api.v1`.
    #[allow(missing_docs, clippy::all, clippy::pedantic, clippy::restriction)]
    pub mod v1 {
        tonic::include_proto!("duban.api.v1");
    }
}

/// The encoded `google.protobuf.FileDescriptorSet` of both packages and what they import, with comments: for gRPC
/// reflection and for canonical JSON.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/duban.binpb"));
