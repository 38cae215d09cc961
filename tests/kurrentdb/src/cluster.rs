//! What a test does with a cluster.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::core::{Core, Member, Progress, Shared};
use crate::link::Line;
use crate::listening::{reserve, serve};
use crate::log::{Expected, Proposal, Record};
use crate::write::Outcome;
use crate::{Config, Counters, Fault, Flow, Lag};

/// Nothing that a test waits for takes this long.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A running cluster; it is gone when this is dropped. Nodes are numbered from 0.
#[derive(Debug)]
pub struct Cluster {
    shared: Arc<Shared>,
    replicator: JoinHandle<()>,
}

/// A subscription that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// For [`Cluster::flow`].
    pub number: u64,
    /// The node that serves it.
    pub node: usize,
    /// The stream, or `$all`.
    pub source: String,
}

impl Cluster {
    /// Opens a cluster on free loopback ports and elects its first leader.
    ///
    /// # Errors
    /// When no port can be opened.
    #[expect(
        clippy::unused_async,
        reason = "only a runtime can run a cluster, and whoever can wait is on one"
    )]
    pub async fn start(config: Config) -> io::Result<Self> {
        let nodes = config.nodes;
        let shared = Arc::new(Shared::new(config));
        let mut sockets = Vec::new();
        {
            let mut core = shared.lock();
            for _ in 0..nodes {
                let socket = reserve(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
                let member = Member {
                    address: socket.local_addr()?,
                    instance: core.fresh_id(),
                    alive: true,
                    seems_alive: true,
                    visible: watch::Sender::new(0),
                    lag: Lag::None,
                    dropped: HashSet::new(),
                    line: watch::Sender::new(Line::Up),
                    server: None,
                    reserved: None,
                };
                core.members.push(member);
                sockets.push(socket);
            }
            shared.elect(&mut core);
        }
        for (node, socket) in sockets.into_iter().enumerate() {
            serve(&shared, node, socket)?;
        }
        let replicator = tokio::spawn(Arc::clone(&shared).replicate());
        Ok(Self { shared, replicator })
    }

    /// A connection string that names every node.
    #[must_use]
    pub fn url(&self) -> String {
        self.connection_string(self.shared.lock().members.iter())
    }

    /// A connection string that names one node, whatever the others are.
    #[must_use]
    pub fn url_of(&self, node: usize) -> String {
        self.connection_string(std::iter::once(&self.shared.lock().members[node]))
    }

    fn connection_string<'a>(&self, members: impl Iterator<Item = &'a Member>) -> String {
        let hosts: Vec<_> = members.map(|member| member.address.to_string()).collect();
        // Clients look around for half a second between attempts if nobody tells them how fast things go here.
        let pause = (self.shared.config.election.as_millis() / 2).clamp(10, 500);
        format!("esdb://{}?tls=false&discoveryInterval={pause}", hosts.join(","))
    }

    /// Where a node listens.
    #[must_use]
    pub fn address(&self, node: usize) -> SocketAddr {
        self.shared.lock().members[node].address
    }

    /// How many nodes there are, dead or alive.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.shared.config.nodes
    }

    /// TokenHolder leads now.
    #[must_use]
    pub fn leader(&self) -> Option<usize> {
        self.shared.lock().leader
    }

    /// Nodes that are alive and do not lead.
    #[must_use]
    pub fn followers(&self) -> Vec<usize> {
        let core = self.shared.lock();
        (0..core.members.len())
            .filter(|node| core.members[*node].alive && core.leader != Some(*node))
            .collect()
    }

    /// Waits until somebody leads.
    ///
    /// # Panics
    /// When nobody does for a long time.
    pub async fn wait_for_leader(&self) -> usize {
        let settled = |progress: &Progress| progress.leader.is_some();
        let progress = within(&self.shared.progress, settled, "a leader").await;
        progress.leader.expect("that is what was waited for")
    }

    /// Kills a node as `kill -9` would: its connections are reset, and its port refuses new ones. If it led, its writes that are not
    /// committed yet may be lost.
    ///
    /// # Panics
    /// When its port cannot be held for it.
    pub async fn kill(&self, node: usize) {
        {
            let mut core = self.shared.lock();
            core.members[node].alive = false;
            let led = core.leader == Some(node);
            core.members[node].seems_alive = led;
            if led || (core.leader.is_some() && !core.has_majority()) {
                self.shared.depose(&mut core);
            }
        }
        self.shared.cut(node);
        self.refuse(node).await;
        // Whoever came in between.
        self.shared.cut(node);
    }

    /// Kills the leader, waiting for one if there is none; returns who it was.
    pub async fn kill_leader(&self) -> usize {
        let leader = self.wait_for_leader().await;
        self.kill(leader).await;
        leader
    }

    /// Starts a node that was killed, on its old port.
    ///
    /// # Panics
    /// When it cannot listen there.
    pub fn revive(&self, node: usize) {
        {
            let mut core = self.shared.lock();
            core.members[node].alive = true;
            core.members[node].seems_alive = true;
            let committed = core.committed;
            core.members[node].show(committed);
            if core.leader.is_none() {
                self.shared.call_election(&core);
            }
        }
        self.accept(node);
        self.shared.wake.notify_one();
    }

    /// Lets another node lead if there is one, after a time without any leader; connections stay. Returns who leads then.
    ///
    /// # Panics
    /// When nobody leads for a long time.
    pub async fn switch_leader(&self) -> usize {
        self.depose_leader();
        self.wait_for_leader().await
    }

    /// From now on nobody leads, until the election.
    pub fn depose_leader(&self) {
        self.shared.depose(&mut self.shared.lock());
    }

    /// Lets a node refuse new connections; those that it has stay, and the other nodes see nothing wrong with it.
    ///
    /// # Panics
    /// When its port cannot be held for it.
    pub async fn refuse(&self, node: usize) {
        let server = self.shared.lock().members[node].server.take();
        let Some(server) = server else { return };
        server.abort();
        // It was aborted, which is what it answers.
        let _ = server.await;
        let mut core = self.shared.lock();
        let held = reserve(core.members[node].address).expect("nobody else takes the port of a fake node");
        core.members[node].reserved = Some(held);
    }

    /// Lets a node accept connections again.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn accept(&self, node: usize) {
        let held = self.shared.lock().members[node].reserved.take();
        let Some(held) = held else { return };
        serve(&self.shared, node, held).expect("a fake node listens on the port that was held for it");
    }

    /// Resets a node's connections; it accepts new ones.
    pub fn cut(&self, node: usize) {
        self.shared.cut(node);
    }

    /// Lets a node's connections, also those to come, stay open without a byte passing. The other nodes see nothing wrong with it.
    pub fn freeze(&self, node: usize) {
        self.shared.lock().members[node].line.send_replace(Line::Frozen);
    }

    /// Lets the bytes of a frozen node pass.
    pub fn thaw(&self, node: usize) {
        self.shared.lock().members[node].line.send_replace(Line::Up);
    }

    /// Sets how far a node is behind when it follows.
    pub fn lag(&self, node: usize, lag: Lag) {
        let mut core = self.shared.lock();
        let committed = core.committed;
        let member = &mut core.members[node];
        member.lag = lag;
        if lag == Lag::None {
            member.show(committed);
        }
    }

    /// Lets the leader take writes and never commit them, until they are released, lost or kept.
    pub fn hold_commits(&self) {
        self.shared.lock().held = true;
    }

    /// Commits what was held, and goes on as before.
    pub fn release_commits(&self) {
        let mut core = self.shared.lock();
        core.held = false;
        let end = core.log.len();
        self.shared.commit(&mut core, end);
    }

    /// How many events the leader has taken that are not committed.
    #[must_use]
    pub fn uncommitted(&self) -> usize {
        let core = self.shared.lock();
        core.log.len() - core.committed
    }

    /// Lets something happen to so many of the next appends.
    pub fn fault(&self, fault: Fault, times: u32) {
        self.fault_on("", fault, times);
    }

    /// Lets something happen to so many of the next appends to streams with a prefix.
    pub fn fault_on(&self, prefix: &str, fault: Fault, times: u32) {
        self.shared.lock().plan.add(fault, prefix, times);
    }

    /// How many faults are still to come.
    #[must_use]
    pub fn faults_left(&self) -> u32 {
        self.shared.lock().plan.left()
    }

    /// Subscriptions that are open.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<Followed> {
        let core = self.shared.lock();
        let followed = |(number, following): (&u64, &crate::subscription::Following)| Followed {
            number: *number,
            node: following.node,
            source: following.source.clone(),
        };
        core.following.iter().map(followed).collect()
    }

    /// Sets what a subscription does from now on. One that is gone already does nothing.
    pub fn flow(&self, number: u64, flow: Flow) {
        if let Some(following) = self.shared.lock().following.get(&number) {
            following.flow.send_replace(flow);
        }
    }

    /// Sets what all open subscriptions do from now on; returns how many those are.
    pub fn flow_all(&self, flow: Flow) -> usize {
        let core = self.shared.lock();
        for following in core.following.values() {
            following.flow.send_replace(flow);
        }
        core.following.len()
    }

    /// Sets what so many of the next subscriptions do from their beginning.
    pub fn flow_next(&self, flow: Flow, times: usize) {
        self.shared.lock().next_flows.extend(std::iter::repeat_n(flow, times));
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        *self.shared.counters.borrow()
    }

    /// Waits until what happened is enough.
    ///
    /// # Panics
    /// When it never is.
    pub async fn wait(&self, what: &str, enough: impl Fn(&Counters) -> bool) -> Counters {
        within(&self.shared.counters, enough, what).await
    }

    /// Waits until the leader has taken at least so many events that are not committed.
    ///
    /// # Panics
    /// When it never does.
    pub async fn wait_for_uncommitted(&self, events: usize) {
        let enough = |progress: &Progress| progress.taken - progress.committed >= events;
        within(&self.shared.progress, enough, "writes that are not committed").await;
    }

    /// Writes an event as another client would; returns its revision.
    ///
    /// # Panics
    /// When there is no leader, or the stream is under a tombstone.
    pub async fn put(&self, stream: &str, kind: &str, data: impl Into<Bytes>) -> u64 {
        let (leader, id) = {
            let mut core = self.shared.lock();
            (core.led, core.fresh_id())
        };
        let (kind, data) = (kind.to_owned(), data.into());
        let event = Proposal { id, kind, json: true, metadata: Bytes::new(), data };
        match self.shared.append(leader, false, stream, Expected::Any, vec![event]).await {
            Ok(Outcome::Written { revision, .. }) => revision,
            other => panic!("{stream} could not be written: {other:?}"),
        }
    }

    /// Everything that is committed, in order, whether readable or not; the cluster's own events among it.
    #[must_use]
    pub fn committed(&self) -> Vec<Arc<Record>> {
        let core = self.shared.lock();
        (0..core.committed).map(|index| Arc::clone(core.log.record(index))).collect()
    }

    /// Everything that is on a node's disk, in order, whether readable or not: what a scavenge has left.
    #[must_use]
    pub fn on_disk(&self, node: usize) -> Vec<Arc<Record>> {
        let core = self.shared.lock();
        let there = |index: &usize| !core.members[node].dropped.contains(index);
        (0..core.committed).filter(there).map(|index| Arc::clone(core.log.record(index))).collect()
    }

    /// What is wrong with the log: acknowledged writes that are not where their answers said, and events out of order. Nothing,
    /// unless the cluster itself is broken.
    #[must_use]
    pub fn audit(&self) -> Vec<String> {
        audit(&self.shared.lock())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.replicator.abort();
        let mut core = self.shared.lock();
        for member in &mut core.members {
            if let Some(server) = member.server.take() {
                server.abort();
            }
            member.line.send_replace(Line::Cut);
        }
    }
}

fn audit(core: &Core) -> Vec<String> {
    let mut wrong = Vec::new();
    for acknowledged in &core.acknowledged {
        let found = (acknowledged.index < core.committed).then(|| core.log.record(acknowledged.index));
        let same = found.is_some_and(|record| {
            record.id == acknowledged.id
                && record.stream == acknowledged.stream
                && record.revision == acknowledged.revision
        });
        if !same {
            wrong.push(format!("acknowledged {acknowledged:?}, there is {found:?}"));
        }
    }
    let (mut next, mut position) = (HashMap::new(), None);
    for record in (0..core.committed).map(|index| core.log.record(index)) {
        if position.is_some_and(|position| position >= record.position) {
            wrong.push(format!("{record:?} lies before what it follows"));
        }
        position = Some(record.position);
        if record.revision == crate::log::DELETED {
            continue;
        }
        let expected = next.entry(Arc::clone(&record.stream)).or_insert(0);
        if record.revision != *expected {
            wrong.push(format!("{record:?} should be at {expected}"));
        }
        *expected = record.revision + 1;
    }
    wrong
}

async fn within<T: Copy + std::fmt::Debug>(
    sender: &watch::Sender<T>,
    enough: impl Fn(&T) -> bool,
    what: &str,
) -> T {
    let mut receiver = sender.subscribe();
    let waited = tokio::time::timeout(WAIT_MAX, receiver.wait_for(|value| enough(value))).await;
    match waited {
        Ok(Ok(value)) => *value,
        Ok(Err(_)) | Err(_) => panic!("waited in vain for {what}: {:?}", *sender.borrow()),
    }
}
