//! What happened so far.

/// What the cluster has seen and done since it was started. Tests assert on these, and wait for them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections accepted by any node.
    pub connections: u64,
    /// Times that a node was asked who is in the cluster.
    pub gossips: u64,
    /// Appends that arrived whole.
    pub appends: u64,
    /// Appends that were written and acknowledged, or would have been had their answer not been swallowed.
    pub appends_committed: u64,
    /// Appends that were known by their ids and answered again.
    pub appends_repeated: u64,
    /// Appends at a revision where the stream was not.
    pub appends_wrong: u64,
    /// Requests that were sent to a node that is not the leader and must be.
    pub not_leader_answers: u64,
    /// Requests while there was no leader.
    pub not_ready_answers: u64,
    /// Writes that were answered with a timeout, whatever became of them.
    pub timeouts: u64,
    /// Faults of [`crate::Fault`] that were carried out.
    pub faults: u64,
    /// Events that clients wrote and that are committed; the cluster's own events do not count.
    pub events_committed: u64,
    /// Events that a leader had taken and that were lost with it.
    pub events_truncated: u64,
    /// Reads of a stream or of all.
    pub reads: u64,
    /// Subscriptions begun.
    pub subscriptions: u64,
    /// Times that a leader was elected, the first included.
    pub elections: u64,
    /// Scavenges that ended.
    pub scavenges: u64,
    /// Events that scavenges took away, summed over nodes.
    pub events_scavenged: u64,
}
