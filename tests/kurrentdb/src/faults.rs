//! What can go wrong with a single append.

use std::collections::VecDeque;
use std::time::Duration;

/// What happens to an append instead of what should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is not written, and no answer comes.
    Swallow,
    /// It is written and committed, and no answer comes.
    SwallowAfterCommit,
    /// It is written and committed, and the answer comes that much later.
    DelayAfterCommit(Duration),
    /// It is not written, and the answer is a timeout.
    TimeOut,
    /// It is written and committed, and the answer is a timeout.
    TimeOutAfterCommit,
    /// It is not written, and all connections of the node are reset.
    Reset,
    /// It is written and committed, and all connections of the node are reset.
    ResetAfterCommit,
    /// The answer is that another node leads, with the address of the one that does.
    NotLeader,
    /// The answer is that another node leads, with the address of this one, which need not be right.
    NotLeaderBut(usize),
    /// The answer is that the node is not ready.
    NotReady,
    /// The answer is that the node is too busy.
    TooBusy,
    /// The answer is that the user may not.
    AccessDenied,
}

impl Fault {
    /// Whether the append is carried out nevertheless.
    #[must_use]
    pub fn writes(self) -> bool {
        matches!(
            self,
            Self::SwallowAfterCommit
                | Self::DelayAfterCommit(_)
                | Self::TimeOutAfterCommit
                | Self::ResetAfterCommit
        )
    }
}

#[derive(Debug)]
struct Planned {
    fault: Fault,
    prefix: String,
    times: u32,
}

/// Faults to come, first planned first.
#[derive(Debug, Default)]
pub(crate) struct Plan(VecDeque<Planned>);

impl Plan {
    pub(crate) fn add(&mut self, fault: Fault, prefix: &str, times: u32) {
        if times > 0 {
            self.0.push_back(Planned { fault, prefix: prefix.to_owned(), times });
        }
    }

    pub(crate) fn take(&mut self, stream: &str) -> Option<Fault> {
        let at = self.0.iter().position(|planned| stream.starts_with(&planned.prefix))?;
        let planned = self.0.get_mut(at)?;
        planned.times -= 1;
        let fault = planned.fault;
        if planned.times == 0 {
            self.0.remove(at);
        }
        Some(fault)
    }

    pub(crate) fn left(&self) -> u32 {
        self.0.iter().map(|planned| planned.times).sum()
    }
}
