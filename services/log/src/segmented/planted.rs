//! Faults to plant in the log, so that the harness of crashes can show that it finds them.

use super::Options;

/// A fault. Each is one that somebody could write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// Groups are written and not synced.
    NoSync,
    /// Appends are acknowledged before their group is synced.
    AcknowledgedBeforeSync,
    /// What is left of a torn group stays where it is.
    TornTailKept,
    /// Zeros where a group should be are taken for the end of the log, whatever lies behind them.
    ZerosAreTheEnd,
    /// What is found on opening is shown without being synced again.
    PublishedBeforeSync,
    /// An append is held against what its stream was before the group that it is in.
    StaleRevision,
    /// A sync that fails is tried again, and success believed.
    SyncErrorForgotten,
}

impl Planted {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::NoSync,
        Self::AcknowledgedBeforeSync,
        Self::TornTailKept,
        Self::ZerosAreTheEnd,
        Self::PublishedBeforeSync,
        Self::StaleRevision,
        Self::SyncErrorForgotten,
    ];
}

impl Options {
    /// Whether this fault is planted.
    pub(crate) fn has(&self, fault: Planted) -> bool {
        cfg!(feature = "planted") && self.planted == Some(fault)
    }
}
