//! Appending: the servers decide, and know a repeat by its events' ids.

use std::time::Duration;

use eventstore::{AppendToStreamOptions, CurrentRevision, ExpectedRevision};
use tokio::time::{Instant, timeout};

use super::engine::{Engine, damaged};
use super::nodes::{Answered, Failure};
use super::reads::is_too_large;
use super::wire::to_server;
use crate::memory::check_append;
use crate::{APPEND_BYTES_MAX, Appended, Direction, Error, Expected, NewEvent, Position, StreamName};

/// How long an append waits for the tree to have it until the follower is asked to look what it misses.
const NUDGE_AFTER: Duration = Duration::from_millis(250);

const DOING: &str = "append";

impl Engine {
    pub(super) async fn append(
        &self,
        stream: &StreamName,
        expected: Expected,
        events: Vec<NewEvent>,
    ) -> Result<Appended, Error> {
        check_append(stream, &events)?;
        let name = self.names.writable(stream)?;
        let published = self.shared.published();
        if published.closed {
            return Err(Error::Closed);
        }
        damaged(&published)?;
        let first_revision = expected.next_revision();
        let last_revision = first_revision.saturating_add(events.len() as u64 - 1);
        if i64::try_from(last_revision).is_err() {
            // The servers count in signed integers, and take the largest ones for something else.
            let actual = self.last_revision(&name).await?;
            return Err(Error::WrongExpected { stream: stream.clone(), expected, actual });
        }
        let data: Vec<_> =
            events.iter().map(|event| to_server(event, &*self.transcode)).collect::<Result<_, _>>()?;
        let options = AppendToStreamOptions::default().deadline(self.nodes.options.attempt_max);
        let options = options.expected_revision(match expected {
            Expected::NoStream => ExpectedRevision::NoStream,
            Expected::Revision(revision) => ExpectedRevision::Exact(revision),
        });
        let in_tree = self.shared.wait_for(stream, last_revision);
        let asked = self.nodes.call(DOING, |client| {
            let (options, name, data) = (options.clone(), name.clone(), data.clone());
            async move { client.append_to_stream(name, &options, data).await }
        });
        let Answered { value, attempts } = asked.await;
        let told = match value {
            Ok(written) => Some(written.position.commit).filter(|&commit| commit != 0).map(Position::new),
            Err(Failure::Answer(eventstore::Error::WrongExpectedVersion { current, .. })) => {
                // The servers know repeats. Should they ever not, an earlier attempt of ours is known by its ids.
                if attempts == 1 || !self.are_there(&name, first_revision, &events).await? {
                    let actual = match current {
                        CurrentRevision::Current(revision) => Some(revision),
                        CurrentRevision::NoStream => None,
                    };
                    return Err(Error::WrongExpected { stream: stream.clone(), expected, actual });
                }
                None
            }
            Err(failure) if is_too_large(&failure) => {
                let bytes = events.iter().map(|e| e.payload.len() + e.metadata.len()).sum();
                return Err(Error::TooLarge { what: "append as JSON", bytes, max: APPEND_BYTES_MAX });
            }
            Err(failure) => return Err(failure.during(DOING)),
        };
        let position = self.wait_until_in_tree(&name, last_revision, in_tree, told).await?;
        Ok(Appended { first_revision, last_revision, position })
    }

    async fn wait_until_in_tree(
        &self,
        name: &str,
        revision: u64,
        mut in_tree: tokio::sync::oneshot::Receiver<Position>,
        told: Option<Position>,
    ) -> Result<Position, Error> {
        let until = Instant::now() + self.nodes.options.deadline;
        let mut published = self.shared.listen_to_head();
        let mut old = told;
        let mut wait = NUDGE_AFTER;
        loop {
            let passed = async {
                let Some(old) = old else { return std::future::pending().await };
                // The sender lives as long as the engine.
                let _ = published.wait_for(|head| *head >= Some(old)).await;
                old
            };
            let position = timeout(wait.min(until.saturating_duration_since(Instant::now())), async {
                tokio::select! {
                    biased;
                    Ok(position) = &mut in_tree => position,
                    // What was written long ago went by before anybody waited for it.
                    position = passed => position,
                }
            });
            if let Ok(position) = position.await {
                return Ok(position);
            }
            damaged(&self.shared.published())?;
            if Instant::now() >= until {
                let reason = "it was written, and the log could not be followed up to it".to_owned();
                return Err(Error::Unavailable { doing: DOING.to_owned(), reason });
            }
            self.nudge.notify_one();
            wait = wait.saturating_mul(2);
            if old.is_none() {
                // Written long ago, and older servers do not say where.
                let (page, _) = self.nodes.stream_page(name, Some(revision), Direction::Forward, 1).await?;
                old = match page.first().map(|raw| raw.commit) {
                    Some(Some(commit)) => Some(Position::new(commit)),
                    // At or before the log's end, which is what whoever waits for this position needs.
                    Some(None) => self.shared.state.read().head().position,
                    None => None,
                };
            }
        }
    }

    async fn are_there(&self, name: &str, first: u64, events: &[NewEvent]) -> Result<bool, Error> {
        let (there, _) = self.nodes.stream_page(name, Some(first), Direction::Forward, events.len()).await?;
        Ok(there.iter().map(|raw| raw.id).eq(events.iter().map(|event| event.id)))
    }

    async fn last_revision(&self, name: &str) -> Result<Option<u64>, Error> {
        let (last, _) = self.nodes.stream_page(name, None, Direction::Backward, 1).await?;
        Ok(last.first().map(|raw| raw.revision))
    }
}
