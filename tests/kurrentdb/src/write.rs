//! The way of a write: admitted, decided, taken by the leader, committed, acknowledged.

use std::future;
use std::sync::Arc;

use tonic::Status;
use uuid::Uuid;

use crate::core::{Acknowledged, Core, Shared};
use crate::faults::Fault;
use crate::link::Line;
use crate::log::{DELETED, Expected, Proposal, Verdict};
use crate::refusals;

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is there; where its last event is.
    Written {
        revision: u64,
        position: u64,
        repeated: bool,
    },
    Wrong {
        current: Option<u64>,
    },
}

/// What the log looks like after a decision.
struct Decided<T> {
    value: T,
    /// The write is there once everything before this index is committed.
    end: usize,
}

impl Shared {
    /// Whether a node may take a request now.
    pub(crate) fn admit(&self, core: &Core, node: usize, leader_only: bool) -> Result<(), Status> {
        match core.leader.filter(|_| core.members[node].alive) {
            None => {
                self.count(|counters| counters.not_ready_answers += 1);
                Err(refusals::not_ready())
            }
            Some(leader) if leader_only && leader != node => {
                self.count(|counters| counters.not_leader_answers += 1);
                Err(refusals::not_leader(core.members[leader].address))
            }
            // Without that header a follower passes writes on.
            Some(_) => Ok(()),
        }
    }

    pub(crate) async fn append(
        self: &Arc<Self>,
        node: usize,
        leader_only: bool,
        stream: &str,
        expected: Expected,
        events: Vec<Proposal>,
    ) -> Result<Outcome, Status> {
        self.count(|counters| counters.appends += 1);
        let fault = self.lock().plan.take(stream);
        if fault.is_some() {
            self.count(|counters| counters.faults += 1);
        }
        if let Some(fault) = fault.filter(|fault| !fault.writes()) {
            return self.refuse(node, fault).await;
        }
        let outcome =
            self.write(node, leader_only, |core| decide_append(core, stream, expected, events)).await?;
        self.count(|counters| match outcome {
            Outcome::Written { repeated: true, .. } => counters.appends_repeated += 1,
            Outcome::Written { .. } => counters.appends_committed += 1,
            Outcome::Wrong { .. } => counters.appends_wrong += 1,
        });
        match fault {
            Some(Fault::SwallowAfterCommit) => future::pending().await,
            Some(Fault::DelayAfterCommit(late)) => {
                tokio::time::sleep(late).await;
                Ok(outcome)
            }
            Some(Fault::TimeOutAfterCommit) => {
                self.count(|counters| counters.timeouts += 1);
                Err(refusals::timed_out())
            }
            Some(Fault::ResetAfterCommit) => self.refuse(node, Fault::Reset).await,
            _ => Ok(outcome),
        }
    }

    async fn refuse(&self, node: usize, fault: Fault) -> Result<Outcome, Status> {
        let status = match fault {
            Fault::Reset => {
                self.cut(node);
                // The connection is gone; nobody hears what is answered.
                future::pending().await
            }
            Fault::TimeOut => {
                self.count(|counters| counters.timeouts += 1);
                refusals::timed_out()
            }
            Fault::NotLeader => {
                self.count(|counters| counters.not_leader_answers += 1);
                let core = self.lock();
                core.leader
                    .map_or_else(refusals::not_ready, |l| refusals::not_leader(core.members[l].address))
            }
            Fault::NotLeaderBut(other) => {
                self.count(|counters| counters.not_leader_answers += 1);
                refusals::not_leader(self.lock().members[other].address)
            }
            Fault::NotReady => refusals::not_ready(),
            Fault::TooBusy => refusals::too_busy(),
            Fault::AccessDenied => refusals::access_denied(),
            _ => future::pending().await,
        };
        Err(status)
    }

    /// Deletes a stream, or buries it; the answer is where that stands in the log.
    pub(crate) async fn delete(
        self: &Arc<Self>,
        node: usize,
        leader_only: bool,
        stream: &str,
        expected: Expected,
        forever: bool,
    ) -> Result<u64, Status> {
        self.write(node, leader_only, |core| decide_delete(core, stream, expected, forever)).await
    }

    /// Lets the leader decide and take a write, and waits until it is committed.
    async fn write<T>(
        self: &Arc<Self>,
        node: usize,
        leader_only: bool,
        decide: impl FnOnce(&mut Core) -> Result<Decided<T>, Status>,
    ) -> Result<T, Status> {
        let mut progress = self.progress.subscribe();
        let (decided, epoch, taken) = {
            let mut core = self.lock();
            self.admit(&core, node, leader_only)?;
            let before = core.log.len();
            let decided = decide(&mut core)?;
            let taken = before..core.log.len();
            if !taken.is_empty() {
                core.maybe_note_statistics();
                self.publish(&core);
                if self.config.replication.end.is_zero() {
                    let end = core.log.len();
                    self.commit(&mut core, end);
                } else {
                    self.wake.notify_one();
                }
            }
            (decided, core.epoch, taken)
        };
        let Decided { value, end } = decided;
        let settled = progress.wait_for(|progress| progress.epoch != epoch || progress.committed >= end);
        let settled = tokio::time::timeout(self.config.commit_timeout, settled).await;
        let committed = matches!(settled, Ok(Ok(progress)) if progress.epoch == epoch);
        if !committed {
            // Taken, and not known to be committed: it may be there later, or never.
            self.count(|counters| counters.timeouts += 1);
            return Err(refusals::timed_out());
        }
        let mut core = self.lock();
        for index in taken {
            let record = Arc::clone(core.log.record(index));
            let (stream, revision, id) = (Arc::clone(&record.stream), record.revision, record.id);
            core.acknowledged.push(Acknowledged { stream, revision, id, index });
        }
        Ok(value)
    }

    /// Resets all connections of a node; new ones are accepted.
    pub(crate) fn cut(&self, node: usize) {
        let line = &mut self.lock().members[node].line;
        line.send_replace(Line::Cut);
        *line = tokio::sync::watch::Sender::new(Line::Up);
    }
}

fn decide_append(
    core: &mut Core,
    stream: &str,
    expected: Expected,
    events: Vec<Proposal>,
) -> Result<Decided<Outcome>, Status> {
    let ids: Vec<Uuid> = events.iter().map(|event| event.id).collect();
    let (last, repeated) = match core.log.check(stream, expected, &ids) {
        Verdict::Deleted => return Err(refusals::stream_deleted(stream)),
        Verdict::Wrong { current } => return Ok(Decided { value: Outcome::Wrong { current }, end: 0 }),
        Verdict::Repeat { last } => (Some(last), true),
        Verdict::Write { again } => {
            if again {
                begin_again(core, stream);
            }
            (core.write(stream, events).last(), false)
        }
    };
    let Some(last) = last else {
        // Nothing to write: the answer is where the stream is.
        let revision = core.log.entries(stream, core.log.len()).len().saturating_sub(1) as u64;
        return Ok(Decided { value: Outcome::Written { revision, position: 0, repeated }, end: 0 });
    };
    let record = core.log.record(last);
    let outcome = Outcome::Written { revision: record.revision, position: record.position, repeated };
    Ok(Decided { value: outcome, end: last + 1 })
}

/// A stream that was deleted shows what is written from now on, and nothing that was before.
fn begin_again(core: &mut Core, stream: &str) {
    let length = core.log.entries(stream, core.log.len()).len();
    let mut described = core.log.metadata_with(stream, length as u64);
    described.id = core.fresh_id();
    core.write(&format!("$${stream}"), vec![described]);
}

fn decide_delete(
    core: &mut Core,
    stream: &str,
    expected: Expected,
    forever: bool,
) -> Result<Decided<u64>, Status> {
    match core.log.check(stream, expected, &[]) {
        Verdict::Deleted => return Err(refusals::stream_deleted(stream)),
        Verdict::Wrong { current } => return Err(refusals::wrong_expected(stream, expected, current)),
        Verdict::Repeat { .. } | Verdict::Write { .. } => {}
    }
    let id = core.fresh_id();
    let written = if forever {
        let now_ticks = crate::core::now_ticks();
        let Core { log, random, .. } = core;
        let written = log.bury(stream, id, now_ticks, random);
        core.tail.push(written.end);
        written
    } else {
        let mut described = core.log.metadata_with(stream, DELETED);
        described.id = id;
        core.write(&format!("$${stream}"), vec![described])
    };
    let position = core.log.record(written.start).position;
    Ok(Decided { value: position, end: written.end })
}
