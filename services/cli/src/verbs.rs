//! The verbs, a file each: what may be typed, one call, and what it prints.

pub(crate) mod backup;
pub(crate) mod bench;
pub(crate) mod check_export;
pub(crate) mod conformance;
pub(crate) mod demo;
pub(crate) mod drive;
pub(crate) mod erase;
pub(crate) mod export;
pub(crate) mod generate;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod keys;
pub(crate) mod migrate;
pub(crate) mod policy;
pub(crate) mod projections;
pub(crate) mod replay;
pub(crate) mod serve;
pub(crate) mod verify;
pub(crate) mod watch;
