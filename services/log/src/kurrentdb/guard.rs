//! What keeps the client crate from harming us: it panics on answers it does not know, and its subscriptions spin when they end.
//!
//! When the server ends a subscription in good order, as it does when it shuts down, `Subscription::next_subscription_event` of
//! eventstore 4.0.0 takes the end for an unknown message, warns, and asks again, within one poll and for ever: no timeout fires,
//! no abort reaches it, the thread is lost and a core burns. The warning is the only call out of that loop. So its futures are polled
//! under a subscriber of our own, which counts those warnings and, when a single poll has too many, unwinds out of it. The future
//! and all that it holds is dropped then, and the caller is told that it is gone.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::LazyLock;
use std::task::Poll;

use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

/// A poll that has more warnings than this spins. Each is a message of a kind that the crate does not know, at best.
const WARNINGS_A_POLL_MAX: u32 = 64;

/// The future was dropped in the middle: it spun, or it panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Gone {
    /// It spun, which it does when a subscription has ended.
    #[error("the subscription ended")]
    Ended,
    /// It panicked, which the process' panic hook has reported.
    #[error("the client gave up on an answer that it does not understand")]
    Panicked,
}

thread_local! {
    static WARNINGS: Cell<u32> = const { Cell::new(0) };
}

static LISTENER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Listener));

/// Runs a future of the client crate. What the crate logs goes nowhere: failures are reported by whoever sees them returned.
pub(super) async fn guarded<F: Future>(future: F) -> Result<F::Output, Gone> {
    // Boxed, so that it is dropped here even after it unwound, and so that callers' futures stay small.
    let mut future = Box::pin(future);
    poll_fn(|context| {
        WARNINGS.set(0);
        let poll = || tracing::dispatcher::with_default(&LISTENER, || future.as_mut().poll(context));
        match catch_unwind(AssertUnwindSafe(poll)) {
            Ok(poll) => poll.map(Ok),
            Err(payload) => {
                Poll::Ready(Err(payload.downcast_ref::<Gone>().copied().unwrap_or(Gone::Panicked)))
            }
        }
    })
    .await
}

struct Listener;

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN && metadata.target() == "eventstore::commands"
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }

    fn event(&self, _event: &Event<'_>) {
        let warnings = WARNINGS.get() + 1;
        WARNINGS.set(warnings);
        if warnings > WARNINGS_A_POLL_MAX {
            // Unwinds without the panic hook: this is no fault, and nothing is printed.
            resume_unwind(Box::new(Gone::Ended));
        }
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_neither_spins_nor_panics_goes_through() {
        let gone = guarded(async {
            for _ in 0..1000 {
                tracing::warn!(target: "eventstore::commands", "unknown");
                tokio::task::yield_now().await;
            }
            7
        });
        assert_eq!(gone.await, Ok(7));
    }

    #[tokio::test]
    async fn what_warns_for_ever_within_one_poll_is_dropped() {
        let held = std::sync::Arc::new(());
        let inside = std::sync::Arc::clone(&held);
        let gone = guarded(async move {
            let _inside = inside;
            tokio::task::yield_now().await;
            loop {
                tracing::warn!(target: "eventstore::commands", "unknown");
            }
        });
        let gone: Result<(), _> = gone.await;
        assert_eq!(gone, Err(Gone::Ended));
        assert_eq!(std::sync::Arc::strong_count(&held), 1);
    }

    #[tokio::test]
    async fn what_panics_is_dropped() {
        let gone: Result<(), _> = guarded(async { panic!("an answer of another kind") }).await;
        assert_eq!(gone, Err(Gone::Panicked));
    }
}
