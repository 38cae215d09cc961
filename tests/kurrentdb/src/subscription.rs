//! Catch-up subscriptions: first what is there, then what comes.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::Stream;
use regex::Regex;
use tokio::sync::watch;
use tonic::Status;

use crate::convert::{Spelling, checkpoint, event};
use crate::core::{Core, Shared, now_ticks};
use crate::log::{Record, Window};
use crate::pb::streams::{ReadResp, read_resp};
use crate::refusals;

/// Events looked at together when the client does not say.
const WINDOW: usize = 32;

/// What a subscription does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// It brings what it should.
    Runs,
    /// It brings nothing any more, and stays open.
    Silent,
    /// It ends as if there were nothing more to come, which the real server does when it shuts down.
    Ends,
    /// It ends with an error.
    Fails,
}

/// A subscription, as the cluster knows it.
#[derive(Debug)]
pub(crate) struct Following {
    pub(crate) node: usize,
    /// The stream, or `$all`.
    pub(crate) source: String,
    pub(crate) flow: watch::Sender<Flow>,
}

/// Which events pass.
#[derive(Debug)]
pub(crate) enum Test {
    Prefixes(Vec<String>),
    Pattern(Regex),
}

impl Test {
    fn passes(&self, text: &str) -> bool {
        match self {
            Self::Prefixes(prefixes) => prefixes.iter().any(|prefix| text.starts_with(prefix.as_str())),
            Self::Pattern(pattern) => pattern.is_match(text),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Sieve {
    pub(crate) test: Test,
    /// Whether streams' names are tested, or else events' types.
    pub(crate) on_streams: bool,
    /// Events looked at together.
    pub(crate) window: Option<usize>,
    /// Windows between two checkpoints.
    pub(crate) windows_per_checkpoint: usize,
}

impl Sieve {
    pub(crate) fn passes(&self, record: &Record) -> bool {
        self.test.passes(if self.on_streams { &record.stream } else { &record.kind })
    }

    fn window(&self) -> usize {
        self.window.unwrap_or(WINDOW).max(1)
    }
}

/// What is followed, and from where on.
#[derive(Debug)]
pub(crate) enum Source {
    /// From this index of the log on.
    All { next: usize, sieve: Option<Sieve>, looked_at: usize },
    /// From this revision on.
    Stream { name: String, next: u64 },
}

pub(crate) struct Subscription {
    shared: Arc<Shared>,
    node: usize,
    number: u64,
    source: Source,
    spelling: Spelling,
    visible: watch::Receiver<usize>,
    flow: watch::Receiver<Flow>,
    queue: VecDeque<ReadResp>,
    live: bool,
    over: bool,
}

impl Subscription {
    pub(crate) fn new(
        shared: Arc<Shared>,
        core: &mut Core,
        node: usize,
        source: Source,
        spelling: Spelling,
    ) -> Self {
        core.following_last += 1;
        let number = core.following_last;
        let first = if core.next_flows.is_empty() { Flow::Runs } else { core.next_flows.remove(0) };
        let (sender, flow) = watch::channel(first);
        let name = match &source {
            Source::All { .. } => "$all".to_owned(),
            Source::Stream { name, .. } => name.clone(),
        };
        core.following.insert(number, Following { node, source: name, flow: sender });
        let subscription_id = core.fresh_id().to_string();
        let confirmation = read_resp::SubscriptionConfirmation { subscription_id };
        let confirmation = ReadResp { content: Some(read_resp::Content::Confirmation(confirmation)) };
        let visible = core.members[node].visible.subscribe();
        shared.count(|counters| counters.subscriptions += 1);
        Self {
            shared,
            node,
            number,
            source,
            spelling,
            visible,
            flow,
            queue: VecDeque::from([confirmation]),
            live: false,
            over: false,
        }
    }

    pub(crate) fn into_stream(self) -> impl Stream<Item = Result<ReadResp, Status>> + Send {
        futures::stream::unfold(self, |mut subscription| async move {
            let item = subscription.next().await?;
            Some((item, subscription))
        })
    }

    async fn next(&mut self) -> Option<Result<ReadResp, Status>> {
        if self.over {
            return None;
        }
        loop {
            let flow = *self.flow.borrow_and_update();
            match flow {
                Flow::Runs => {}
                Flow::Silent => {
                    // The sender lives as long as this does.
                    let _ = self.flow.changed().await;
                    continue;
                }
                Flow::Ends => return None,
                Flow::Fails => {
                    self.over = true;
                    return Some(Err(Status::unknown("Unexpected SubscriptionDropReason: NotFound")));
                }
            }
            if let Some(message) = self.queue.pop_front() {
                return Some(Ok(message));
            }
            self.visible.borrow_and_update();
            let read = {
                let shared = Arc::clone(&self.shared);
                let core = shared.lock();
                self.read(&core)
            };
            match read {
                Err(status) => {
                    self.over = true;
                    return Some(Err(status));
                }
                Ok(()) if !self.queue.is_empty() => {}
                Ok(()) if !self.live => {
                    self.live = true;
                    if self.shared.config.says_caught_up {
                        let caught_up = read_resp::Content::CaughtUp(read_resp::CaughtUp {});
                        self.queue.push_back(ReadResp { content: Some(caught_up) });
                    }
                }
                Ok(()) => {
                    tokio::select! {
                        _ = self.visible.changed() => {}
                        _ = self.flow.changed() => {}
                    }
                }
            }
        }
    }

    /// Puts the next messages into the queue; none when the node shows nothing more.
    fn read(&mut self, core: &Core) -> Result<(), Status> {
        let view = core.members[self.node].view(now_ticks());
        match &mut self.source {
            Source::Stream { name, next } => {
                if core.log.window(name, view) == Window::Deleted {
                    return Err(refusals::stream_deleted(name));
                }
                let events = core.log.readable(name, view, *next..u64::MAX).take(WINDOW);
                for record in events {
                    *next = record.revision + 1;
                    self.queue.push_back(event(&record, self.spelling));
                }
            }
            Source::All { next, sieve, looked_at } => {
                let window = sieve.as_ref().map_or(WINDOW, Sieve::window);
                while self.queue.is_empty() && *next < view.limit {
                    let page = *next..view.limit.min(*next + window);
                    *next = page.end;
                    *looked_at += page.len();
                    for index in page.clone().filter(|index| !view.dropped.contains(index)) {
                        let record = core.log.record(index);
                        if sieve.as_ref().is_none_or(|sieve| sieve.passes(record)) {
                            self.queue.push_back(event(record, self.spelling));
                        }
                    }
                    let Some(sieve) = sieve else { continue };
                    if *looked_at >= window * sieve.windows_per_checkpoint {
                        *looked_at = 0;
                        self.queue.push_back(checkpoint(core.log.record(page.end - 1).position));
                    }
                }
            }
        }
        Ok(())
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.lock().following.remove(&self.number);
    }
}
