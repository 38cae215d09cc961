//! Domain events to stored bytes, to canonical JSON, and back.
