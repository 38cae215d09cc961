//! The office's days: at 00:00 in Shanghai the day that is over is closed with a signed head of the log, and after a time without
//! a server every day that was missed (design.md section 3).
//!
//! An event belongs to the latest day on which it, or any event before it in the log, was recorded. A head covers the events
//! of its day and all before, so its `DayClosed` lies behind them. What is decided in a day's last instant and written
//! after its head was made belongs to the next. Days without events are not closed.

use std::sync::Arc;
use std::time::Duration;

use duban_aggregates::calendar::{add_days, local_date, start_of_day};
use duban_aggregates::office::{self, Command, DayHead, Office};
use duban_log::{Direction, Filter, Head, Position, Recorded, StreamTree, leaf_hash};
use duban_vault::signing::SigningKey;
use jiff::Timestamp;
use jiff::civil::Date;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use crate::drain::Drain;
use crate::runner::{Ask, RunError, Runner};

/// Events read at a time.
const READ_EVENTS: usize = 1_024;

/// How often a long look at the log says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// A day, and how many events belong to it and those before.
type Border = (Date, u64);

/// The days of one server.
pub struct Days {
    runner: Arc<Runner>,
    key: SigningKey,
    streams: Mutex<Reached>,
    /// The day up to which all before were looked at.
    looked_at: watch::Sender<Date>,
}

/// How every stream ends, up to a size of the log. Built when the first day is closed, by one look at the whole log (about a
/// second a million events), and kept: about 150 bytes a stream.
#[derive(Default)]
struct Reached {
    streams: StreamTree,
    mark: Mark,
}

/// A place in the log: so many events lie up to this position.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    size: u64,
    position: Option<Position>,
}

impl Days {
    /// Days of a runner's log, signed with a key.
    #[must_use]
    pub fn new(runner: Arc<Runner>, key: SigningKey) -> Self {
        Self { runner, key, streams: Mutex::default(), looked_at: watch::Sender::new(Date::MIN) }
    }

    /// The key that signs.
    #[must_use]
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// Closes the days that were over before the server started. What cannot be done now is left to [`Days::run`].
    pub async fn catch_up(&self) {
        if let Err(error) = self.close_over().await {
            tracing::warn!(%error, "the days that are over cannot be closed just now");
        }
    }

    /// Closes each day when it is over, until the server stops.
    ///
    /// # Errors
    /// Why a day that is over cannot be closed just now.
    pub async fn run(&self, drain: Drain) -> Result<(), RunError> {
        while !drain.is_started() {
            match self.close_over().await {
                Ok(()) => {}
                Err(RunError::Unavailable(duban_log::Error::Closed)) => break,
                Err(error) => return Err(error),
            }
            tokio::select! {
                () = drain.started() => break,
                () = self.midnight() => {}
            }
        }
        // Nothing more will be closed, and nobody waits for it.
        self.looked_at.send_replace(Date::MAX);
        Ok(())
    }

    /// Waits until every day that is over was looked at.
    pub async fn idle(&self) {
        let mut looked_at = self.looked_at.subscribe();
        // The sender lives as long as `self`.
        let _ = looked_at.wait_for(|day| *day >= local_date(self.runner.clock().now())).await;
    }

    /// Waits for the end of the day that was looked at last.
    async fn midnight(&self) {
        let today = *self.looked_at.borrow();
        self.runner.clock().reached(start_of_day(add_days(today, 1))).await;
    }

    async fn close_over(&self) -> Result<(), RunError> {
        let today = local_date(self.runner.clock().now());
        let closed = self.close_before(today).await;
        // Also where that failed for good: waiting would not change it.
        if !closed.as_ref().is_err_and(RunError::is_passing) {
            self.looked_at.send_replace(today);
        }
        closed
    }

    async fn close_before(&self, today: Date) -> Result<(), RunError> {
        let last = |office: Option<&Office>| office.map(|office| office.last.head);
        let last = self.runner.view(office::ID, last).await?;
        for border in self.borders(last, today).await? {
            self.close(border).await?;
        }
        Ok(())
    }

    /// The days that are over and not closed, and have events that are not the office's own.
    async fn borders(&self, last: Option<DayHead>, today: Date) -> Result<Vec<Border>, RunError> {
        let (mut day, mut size) = last.map_or((Date::MIN, 0), |last| (add_days(last.day, 1), last.size));
        let (mut borders, mut any) = (Vec::new(), false);
        let known = self.streams.lock().await.mark;
        let mut pages = Pages::after(&self.runner, size, known);
        while day < today
            && let Some(events) = pages.next().await?
        {
            for event in events {
                let recorded_on = recorded_on(&event).max(day);
                if recorded_on > day {
                    borders.extend(std::mem::take(&mut any).then_some((day, size)));
                    day = recorded_on;
                }
                if day >= today {
                    break;
                }
                any |= event.stream.as_str() != office::STREAM;
                size += 1;
            }
        }
        borders.extend((any && day < today).then_some((day, size)));
        Ok(borders)
    }

    async fn close(&self, (day, size): Border) -> Result<(), RunError> {
        let root = self.runner.log().root_at(size).await?;
        let (streams, streams_root) = self.streams_at(size).await?;
        let head = DayHead { day, size, root, streams, streams_root };
        let signed = self.key.sign(head).map_err(|error| RunError::Unavailable(unsigned(&error)))?;
        let ask = Ask::close_day(self.runner.own_ids(), day);
        self.runner.run(office::ID, &ask, |_: Option<&Office>, _| Ok(Command::CloseDay(signed))).await?;
        tracing::info!(%day, size, streams, "a day is closed");
        Ok(())
    }

    /// Number of streams, and the root over them, when the log had this size.
    async fn streams_at(&self, size: u64) -> Result<(u64, [u8; 32]), RunError> {
        let mut kept = self.streams.lock().await;
        // Taken out, so that a call that is dropped or fails leaves nothing half grown.
        let Reached { mut streams, mut mark } = std::mem::take(&mut *kept);
        if mark.size > size {
            (streams, mark) = (StreamTree::default(), Mark::default());
        }
        let mut pages = Pages::after(&self.runner, mark.size, mark);
        let mut said = Instant::now();
        while mark.size < size {
            let Some(events) = pages.next().await? else { break };
            for event in events {
                if mark.size == size {
                    break;
                }
                streams.push(event.stream.as_str(), event.revision, leaf_hash(&event));
                mark = Mark { size: mark.size + 1, position: Some(event.position) };
            }
            if said.elapsed() >= PROGRESS_EVERY {
                said = Instant::now();
                tracing::info!(at = mark.size, size, "reading how every stream ends, to close a day");
            }
        }
        let hashing = move || {
            let root = streams.root();
            (streams, root)
        };
        let hashed = tokio::task::spawn_blocking(hashing).await;
        let (streams, root) = hashed.map_err(|error| RunError::Unavailable(unsigned(&error)))?;
        let count = streams.len();
        *kept = Reached { streams, mark };
        Ok((count, root))
    }
}

fn unsigned(error: &dyn std::error::Error) -> duban_log::Error {
    let source = std::io::Error::other(error.to_string());
    duban_log::Error::Io { doing: "sign a day's head".to_owned(), source }
}

fn recorded_on(event: &Recorded) -> Date {
    local_date(Timestamp::from_microsecond(event.recorded_at).unwrap_or(Timestamp::MAX))
}

/// The events of a log from a leaf on, page by page, up to what its tree holds at the beginning.
struct Pages<'r> {
    runner: &'r Runner,
    from: Option<Position>,
    /// Events that come before those asked for.
    skip: u64,
    until: Head,
    end: bool,
}

impl<'r> Pages<'r> {
    /// Begins after so many events: from a mark that lies before, or from the beginning, where positions do not count events.
    fn after(runner: &'r Runner, size: u64, known: Mark) -> Self {
        let until = runner.log().head();
        // Positions are in order and no two are the same: where the last one is less than their number by one, each counts.
        let counted = until.position.is_some_and(|last| last.get().checked_add(1) == Some(until.size));
        let (from, skip) = if counted {
            (size.checked_sub(1).map(Position::new), 0)
        } else {
            let known = if known.size <= size { known } else { Mark::default() };
            (known.position, size - known.size)
        };
        Self { runner, from, skip, until, end: until.position.is_none() }
    }

    async fn next(&mut self) -> Result<Option<Vec<Recorded>>, RunError> {
        if self.end {
            return Ok(None);
        }
        let log = self.runner.log();
        let page = log.read_all(self.from, Direction::Forward, &Filter::all(), READ_EVENTS).await?;
        (self.from, self.end) = (page.next.or(self.from), page.end || page.next >= self.until.position);
        let mut events = page.events;
        // What was appended since is not in that tree; the next look finds it.
        events.retain(|event| Some(event.position) <= self.until.position);
        let skipped = events.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
        events.drain(..skipped);
        self.skip -= skipped as u64;
        Ok(Some(events))
    }
}

#[cfg(test)]
mod tests;
