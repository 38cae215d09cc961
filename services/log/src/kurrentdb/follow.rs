//! A subscription to everything of the log's from a position on, which goes on whatever becomes of nodes, connections and clients.
//!
//! It is held by a task, so that waiting for it can be given up at any time without losing anything. It ends or is silent as it likes:
//! whoever waits here asks the log's end now and then, and takes a new one from where the last event was. What comes twice by that
//! is dropped; in order and without gaps it comes from the servers.

use std::sync::Arc;
use std::time::Duration;

use backon::ExponentialBackoff;
use eventstore::{StreamPosition, SubscribeToAllOptions, SubscriptionEvent, SubscriptionFilter};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::guard::guarded;
use super::nodes::{Link, Nodes, REDIRECTS_MAX};
use super::reads::{PAGE, position_of};
use super::wire::Raw;
use crate::{Direction, Position};

/// Events that the servers look at for one checkpoint.
const WINDOW: u32 = 256;
/// What a task may have ready that nobody has asked for yet.
const READY_MAX: usize = 256;
/// Events from the end that are looked at first.
const LOOK_BACK_FIRST: usize = 8;
/// Foreign events looked through for one of the log's until it is easier to subscribe anew.
const LOOK_BACK_MAX: usize = 4 * PAGE;
/// Silence that is looked into while it is not known whether everything was brought: older servers do not say so.
const QUIET: Duration = Duration::from_millis(200);

/// What is followed.
#[derive(Debug)]
pub(super) enum Item {
    Event(Position, Raw),
    /// Nothing of the log's is before here that was not brought.
    Passed(Position),
    /// Everything that there was has been brought.
    CaughtUp,
}

/// Why a subscription is over.
struct Broken {
    reason: String,
    /// Whether the client knows a better node by now, as it does when it was told who leads.
    redirected: bool,
}

struct Pump {
    items: mpsc::Receiver<Result<Item, Broken>>,
    task: AbortHandle,
    link: Arc<Link>,
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(super) struct Follow {
    nodes: Arc<Nodes>,
    prefixes: Arc<[String]>,
    after: Option<Position>,
    /// How far it is known that nothing is missing: `after`, or a checkpoint beyond it.
    passed: Option<Position>,
    pump: Option<Pump>,
    dropped: watch::Receiver<u64>,
    nudge: Arc<Notify>,
    heard: Instant,
    caught_up: bool,
    redirects: u32,
    pauses: ExponentialBackoff,
    /// When it may subscribe again.
    not_before: Instant,
    /// Why it last had to.
    reason: Option<String>,
}

impl Follow {
    pub(super) fn new(nodes: Arc<Nodes>, prefixes: Arc<[String]>, after: Option<Position>) -> Self {
        let (dropped, now, pauses) = (nodes.dropped(), Instant::now(), nodes.options.pauses());
        let nudge = Arc::new(Notify::new());
        let (pump, heard, not_before) = (None, now, now);
        Self {
            nodes,
            prefixes,
            after,
            passed: after,
            pump,
            dropped,
            nudge,
            heard,
            caught_up: false,
            redirects: 0,
            pauses,
            not_before,
            reason: None,
        }
    }

    /// Why the last subscription is over, if nothing came since.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Notified, it looks whether it misses something.
    pub(super) fn nudge(&self) -> Arc<Notify> {
        Arc::clone(&self.nudge)
    }

    /// Waits for what comes next, for ever. Cancel safe.
    pub(super) async fn next(&mut self) -> Item {
        loop {
            if self.pump.is_none() {
                sleep_until(self.not_before).await;
                self.subscribe();
            }
            let Some(pump) = &mut self.pump else { continue };
            let silence = if self.caught_up { self.nodes.options.silence } else { QUIET };
            let reason = tokio::select! {
                biased;
                item = pump.items.recv() => match item {
                    Some(Ok(item)) => match self.take(item) {
                        Some(item) => return item,
                        None => continue,
                    },
                    Some(Err(broken)) => {
                        let link = Arc::clone(&pump.link);
                        self.leave(&link, broken)
                    }
                    None => "the subscription's task is gone".to_owned(),
                },
                _ = self.dropped.changed() => "its client was thrown away".to_owned(),
                () = self.nudge.notified() => {
                    // While events come, what is missed may just be on its way.
                    if self.heard.elapsed() < QUIET {
                        continue;
                    }
                    match self.look().await {
                        Some(reason) => reason,
                        None => continue,
                    }
                }
                () = sleep_until(self.heard + silence) => match self.look().await {
                    Some(reason) => reason,
                    None if self.caught_up => continue,
                    None => {
                        self.caught_up = true;
                        return Item::CaughtUp;
                    }
                },
            };
            tracing::info!(after = self.after.map(Position::get), reason, "following the log's servers anew");
            self.reason = Some(reason);
            self.pump = None;
            self.dropped.mark_unchanged();
            self.not_before = self.after_a_pause();
        }
    }

    fn after_a_pause(&mut self) -> Instant {
        // They never end.
        Instant::now() + self.pauses.next().unwrap_or(self.nodes.options.pause_max)
    }

    /// What has come already.
    pub(super) fn ready(&mut self) -> Option<Item> {
        loop {
            let item = self.pump.as_mut()?.items.try_recv().ok()?;
            match item {
                Ok(item) => {
                    if let Some(item) = self.take(item) {
                        return Some(item);
                    }
                }
                Err(broken) => {
                    let link = Arc::clone(&self.pump.take()?.link);
                    let reason = self.leave(&link, broken);
                    tracing::info!(reason, "the subscription to the log's servers is over");
                    return None;
                }
            }
        }
    }

    /// Throws the client away, unless it was sent to another node, and not again and again.
    fn leave(&mut self, link: &Arc<Link>, broken: Broken) -> String {
        self.redirects += 1;
        if !broken.redirected || self.redirects >= REDIRECTS_MAX {
            self.redirects = 0;
            self.nodes.discard(link);
        }
        broken.reason
    }

    /// Nothing for what was brought before.
    fn take(&mut self, item: Item) -> Option<Item> {
        self.heard = Instant::now();
        self.pauses = self.nodes.options.pauses();
        self.redirects = 0;
        self.reason = None;
        match item {
            Item::Event(position, _) if Some(position) <= self.after => return None,
            Item::Event(position, _) => {
                self.after = Some(position);
                self.passed = self.passed.max(self.after);
            }
            Item::Passed(position) if Some(position) <= self.passed => return None,
            Item::Passed(position) => self.passed = Some(position),
            Item::CaughtUp if self.caught_up => return None,
            Item::CaughtUp => self.caught_up = true,
        }
        Some(item)
    }

    /// Looks from the log's end backward for an event that should have come. Says why to subscribe anew, if so.
    async fn look(&mut self) -> Option<String> {
        let (mut from, mut looked) = (None, 0);
        loop {
            // Mostly the first few tell.
            let count = if from.is_none() { LOOK_BACK_FIRST } else { PAGE };
            let page = match self.nodes.all_page(from, Direction::Backward, count).await {
                Ok(page) => page,
                Err(error) => return Some(error.to_string()),
            };
            for (position, raw) in &page.events {
                if Some(*position) <= self.passed {
                    self.heard = Instant::now();
                    return None;
                }
                if raw.as_ref().is_some_and(|raw| self.prefixes.iter().any(|p| raw.stream.starts_with(&**p)))
                {
                    return Some(format!("it was silent while {position} was written"));
                }
                from = Some(*position);
            }
            looked += page.events.len();
            if page.end {
                self.heard = Instant::now();
                return None;
            }
            if looked >= LOOK_BACK_MAX {
                return Some("it is not known whether it misses something".to_owned());
            }
        }
    }

    fn subscribe(&mut self) {
        let link = match self.nodes.link() {
            Ok(link) => link,
            Err(reason) => {
                tracing::warn!(reason, "no client for the log's servers can be made");
                self.not_before = self.after_a_pause();
                return;
            }
        };
        let filter = self
            .prefixes
            .iter()
            .fold(SubscriptionFilter::on_stream_name().max(WINDOW), SubscriptionFilter::add_prefix);
        // From the last event, never from a checkpoint: that it was the end of a page is all that is known of it.
        let position = self.after.map_or(StreamPosition::Start, |p| {
            StreamPosition::Position(eventstore::Position { commit: p.get(), prepare: p.get() })
        });
        let options = SubscribeToAllOptions::default().position(position).filter(filter);
        let (sender, items) = mpsc::channel(READY_MAX);
        let client = link.client.clone();
        let broken = |reason| Broken { reason, redirected: false };
        let task = tokio::spawn(async move {
            let mut subscription = client.subscribe_to_all(&options).await;
            loop {
                let next = tokio::select! {
                    next = guarded(subscription.next_subscription_event()) => next,
                    () = sender.closed() => return,
                };
                let item = match next {
                    Ok(Ok(SubscriptionEvent::EventAppeared(event))) => match position_of(&event) {
                        Some(position) => match Raw::new(event) {
                            Some(raw) => Ok(Item::Event(position, raw)),
                            None => continue,
                        },
                        None => Err(broken("an event came without its position".to_owned())),
                    },
                    Ok(Ok(SubscriptionEvent::Checkpoint(position))) => {
                        Ok(Item::Passed(Position::new(position.commit)))
                    }
                    Ok(Ok(SubscriptionEvent::CaughtUp)) => Ok(Item::CaughtUp),
                    Ok(Ok(_)) => continue,
                    Ok(Err(error)) => Err(Broken {
                        redirected: matches!(error, eventstore::Error::NotLeaderException(_)),
                        reason: error.to_string(),
                    }),
                    Err(gone) => Err(broken(gone.to_string())),
                };
                let failed = item.is_err();
                if sender.send(item).await.is_err() || failed {
                    return;
                }
            }
        });
        self.heard = Instant::now();
        self.pump = Some(Pump { items, task: task.abort_handle(), link });
    }
}
