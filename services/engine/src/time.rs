//! The one place where the server reads time.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

/// What the server takes for now. Answers are whole microseconds and never decrease, because `recorded_at` is stored so.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;

    /// Completes once [`Clock::now`] has reached `at`.
    fn reached(&self, at: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// A clock that answers the last recorded moment until it has passed it: history never decreases between two runs.
pub struct Floored {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The moment.
    pub floor: Timestamp,
}

impl Clock for Floored {
    fn now(&self) -> Timestamp {
        self.clock.now().max(self.floor)
    }

    fn reached(&self, at: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        if at <= self.floor { Box::pin(std::future::ready(())) } else { self.clock.reached(at) }
    }
}

/// The machine's clock, held back from ever going backwards.
#[derive(Debug)]
pub struct SystemClock {
    highest_us: AtomicI64,
}

/// A suspended machine or a clock set by hand is noticed after this long at the latest.
const NAP_MAX: Duration = Duration::from_secs(30);

impl SystemClock {
    /// A clock that answers `floor` until the machine's clock has passed it. A server passes the last `recorded_at` of
    /// its log, so that a machine clock set back between two runs does not make history decrease.
    #[must_use]
    pub fn starting_at(floor: Timestamp) -> Self {
        Self { highest_us: AtomicI64::new(floor.as_microsecond()) }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::starting_at(Timestamp::UNIX_EPOCH)
    }
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the one place")]
    fn now(&self) -> Timestamp {
        let read_us = Timestamp::now().as_microsecond();
        let highest_us = self.highest_us.fetch_max(read_us, Ordering::AcqRel).max(read_us);
        from_us(highest_us)
    }

    fn reached(&self, at: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            loop {
                let left = at.duration_since(self.now());
                let Ok(left) = Duration::try_from(left) else { return };
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(NAP_MAX)).await;
            }
        })
    }
}

/// A clock that stands still until it is moved; clones are handles on the same clock.
#[derive(Clone, Debug)]
pub struct VirtualClock {
    now: Arc<watch::Sender<Timestamp>>,
}

/// A virtual clock was asked to go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the clock stands at {now} and cannot go back to {asked}")]
pub struct Backwards {
    /// Where the clock stands.
    pub now: Timestamp,
    /// Where it was to go.
    pub asked: Timestamp,
}

impl VirtualClock {
    /// A clock that stands at `start`, cut to microseconds.
    #[must_use]
    pub fn new(start: Timestamp) -> Self {
        Self { now: Arc::new(watch::Sender::new(from_us(start.as_microsecond()))) }
    }

    /// Moves the clock to `at`.
    ///
    /// # Errors
    /// [`Backwards`] when `at` is before where the clock stands; it then stays there.
    pub fn set(&self, at: Timestamp) -> Result<(), Backwards> {
        let at = from_us(at.as_microsecond());
        let mut outcome = Ok(());
        self.now.send_if_modified(|now| {
            if at < *now {
                outcome = Err(Backwards { now: *now, asked: at });
                return false;
            }
            let moved = at > *now;
            *now = at;
            moved
        });
        outcome
    }

    /// Moves the clock forward, at most to the end of the calendar, and answers where it stands then.
    pub fn advance(&self, by: Duration) -> Timestamp {
        let mut stands = Timestamp::MAX;
        self.now.send_modify(|now| {
            let by_us = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
            *now = from_us(now.as_microsecond().saturating_add(by_us));
            stands = *now;
        });
        stands
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        *self.now.borrow()
    }

    fn reached(&self, at: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let mut changes = self.now.subscribe();
        Box::pin(async move {
            // The sender lives as long as `self`, so this cannot fail for want of one.
            let _ = changes.wait_for(|now| *now >= at).await;
        })
    }
}

fn from_us(us: i64) -> Timestamp {
    // Only reachable past the calendar's end, in the year 9999.
    Timestamp::from_microsecond(us).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_system_clock_answers_its_floor_until_the_machine_has_passed_it() {
        let floor = at("2999-01-01T00:00:00.123456Z");
        let clock = SystemClock::starting_at(floor);
        assert_eq!(clock.now(), floor);
        assert_eq!(clock.now(), floor);
    }

    #[test]
    fn the_system_clock_answers_whole_microseconds_and_never_decreases() {
        let clock = SystemClock::default();
        let mut last = clock.now();
        for _ in 0..1000 {
            let now = clock.now();
            assert!(now >= last);
            assert_eq!(now.as_nanosecond() % 1000, 0);
            last = now;
        }
    }

    #[test]
    fn a_virtual_clock_moves_only_forward_and_its_clones_with_it() {
        let clock = VirtualClock::new(at("2015-04-01T00:00:00.1234567Z"));
        let handle = clock.clone();
        assert_eq!(handle.now(), at("2015-04-01T00:00:00.123456Z"));
        assert_eq!(clock.advance(Duration::from_secs(60)), at("2015-04-01T00:01:00.123456Z"));
        assert_eq!(handle.set(at("2015-04-02T00:00:00Z")), Ok(()));
        assert_eq!(clock.now(), at("2015-04-02T00:00:00Z"));
        let refused = handle.set(at("2015-04-01T00:00:00Z")).unwrap_err();
        assert_eq!(refused.now, at("2015-04-02T00:00:00Z"));
        assert_eq!(clock.now(), at("2015-04-02T00:00:00Z"));
    }

    #[test]
    fn a_virtual_clock_stops_at_the_end_of_the_calendar() {
        let clock = VirtualClock::new(at("2015-04-01T00:00:00Z"));
        assert_eq!(clock.advance(Duration::MAX), Timestamp::MAX);
    }

    #[tokio::test]
    async fn waiting_ends_when_the_virtual_clock_arrives() {
        let clock = VirtualClock::new(at("2015-04-01T00:00:00Z"));
        let due = at("2015-04-01T16:00:00Z");
        let waiter = tokio::spawn({
            let clock = clock.clone();
            async move {
                clock.reached(due).await;
                clock.now()
            }
        });
        clock.advance(Duration::from_secs(3600));
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        clock.set(due).unwrap();
        assert_eq!(waiter.await.unwrap(), due);
    }

    #[tokio::test]
    async fn waiting_for_the_past_ends_at_once() {
        let clock = SystemClock::default();
        clock.reached(Timestamp::UNIX_EPOCH).await;
        clock.reached(clock.now()).await;
    }
}
