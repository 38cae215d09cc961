//! Reads of a stream and of everything, page by page.

use eventstore::{Client, ReadAllOptions, ReadEvent, ReadStreamOptions, ResolvedEvent, StreamPosition};

use super::nodes::{Failure, Nodes};
use super::wire::Raw;
use crate::{Direction, Error, Position, READ_BYTES_MAX};

/// Most events that are asked for at once: such a page comes well within the time that one attempt has.
pub(super) const PAGE: usize = 500;

/// Part of `$all`, with whatever else the cluster keeps there.
#[derive(Debug)]
pub(super) struct AllPage {
    /// Events beyond the bound; none for what is no event (any more).
    pub(super) events: Vec<(Position, Option<Raw>)>,
    /// Whether there is no more in that direction.
    pub(super) end: bool,
}

impl Nodes {
    /// Reads up to so many events of a stream, and about [`READ_BYTES_MAX`], from a revision on, and answers whether it ended because they
    /// are so large; backward, none means from its end. One that does not exist, or was
    /// deleted, is empty.
    pub(super) async fn stream_page(
        &self,
        name: &str,
        from: Option<u64>,
        direction: Direction,
        count: usize,
    ) -> Result<(Vec<Raw>, bool), Error> {
        let position = from.map_or(StreamPosition::End, StreamPosition::Position);
        let options = ReadStreamOptions::default().position(position).max_count(count);
        let options = match direction {
            Direction::Forward => options.forwards(),
            Direction::Backward => options.backwards(),
        };
        let answered = self.call("read a stream", |client: Client| {
            let options = options.clone();
            async move {
                let (mut events, mut bytes) = (Vec::new(), 0);
                let mut stream = match client.read_stream(name, &options).await {
                    Err(eventstore::Error::ResourceDeleted) => return Ok((events, false)),
                    opened => opened?,
                };
                loop {
                    match stream.next_read_event().await {
                        Ok(Some(ReadEvent::Event(event))) => {
                            if let Some(raw) = Raw::new(event) {
                                bytes += raw.bytes();
                                events.push(raw);
                            }
                            if bytes >= READ_BYTES_MAX {
                                return Ok((events, true));
                            }
                        }
                        Ok(Some(_)) => {}
                        // Only here it is said by a node that may know: to a request as a whole it can mean "not leader".
                        Ok(None)
                        | Err(eventstore::Error::ResourceNotFound | eventstore::Error::ResourceDeleted) => {
                            return Ok((events, false));
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
        });
        answered.await.value.map_err(|failure| failure.during("read a stream"))
    }

    /// Reads up to so many events of everything, beyond a position.
    pub(super) async fn all_page(
        &self,
        from: Option<Position>,
        direction: Direction,
        count: usize,
    ) -> Result<AllPage, Error> {
        let forward = direction == Direction::Forward;
        let at = |p: Position| eventstore::Position { commit: p.get(), prepare: p.get() };
        let position = match from {
            Some(from) => StreamPosition::Position(at(from)),
            None if forward => StreamPosition::Start,
            None => StreamPosition::End,
        };
        // Forward, the event at the position is read too, and is not wanted.
        let asked = count.saturating_add(usize::from(forward && from.is_some()));
        let options = ReadAllOptions::default().position(position).max_count(asked);
        let options = if forward { options.forwards() } else { options.backwards() };
        let answered = self.call("read all", |client: Client| {
            let options = options.clone();
            async move {
                let mut events = Vec::new();
                let mut stream = client.read_all(&options).await?;
                while let Some(event) = stream.next().await? {
                    events.push(event);
                }
                Ok(events)
            }
        });
        let read = answered.await.value.map_err(|failure| failure.during("read all"))?;
        let end = read.len() < asked;
        let beyond = |position: Position| match (from, forward) {
            (None, _) => true,
            (Some(from), true) => position > from,
            (Some(from), false) => position < from,
        };
        let events = read
            .into_iter()
            .filter_map(|event| position_of(&event).map(|position| (position, Raw::new(event))))
            .filter(|(position, _)| beyond(*position))
            .collect();
        Ok(AllPage { events, end })
    }
}

/// Where an event is in `$all`.
pub(super) fn position_of(resolved: &ResolvedEvent) -> Option<Position> {
    let recorded = || resolved.link.as_ref().or(resolved.event.as_ref()).map(|event| event.position.commit);
    resolved.commit_position.or_else(recorded).filter(|&commit| commit != u64::MAX).map(Position::new)
}

/// Whether an answer says that an append is larger than the servers take.
pub(super) fn is_too_large(failure: &Failure) -> bool {
    matches!(failure, Failure::Answer(eventstore::Error::Grpc { message, .. })
        if message.to_ascii_lowercase().contains("maximum append size"))
}
