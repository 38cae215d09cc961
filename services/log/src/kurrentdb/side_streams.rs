//! Streams on the log's cluster that are not in the log: what is small, has one newest value, and may be forgotten.

use std::sync::Arc;

use bytes::Bytes;
use eventstore::operations::{Client as Operations, OperationalOptions};
use eventstore::{
    AppendToStreamOptions, CurrentRevision, EventData, ExpectedRevision, StreamMetadataBuilder,
    TombstoneStreamOptions,
};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::names::Names;
use super::nodes::{Failure, Nodes};
use crate::{Direction, Error, Expected, StreamName};

/// Streams beside the log. Nothing here is in the tree, in reads or in subscriptions.
#[derive(Clone)]
pub struct SideStreams {
    pub(super) nodes: Arc<Nodes>,
    names: Names,
}

/// An event in such a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SideEvent {
    /// Place in its stream.
    pub revision: u64,
    /// Its id.
    pub id: Uuid,
    /// Its type.
    pub kind: String,
    /// Its JSON.
    pub data: Bytes,
}

impl SideStreams {
    pub(super) fn new(nodes: Arc<Nodes>, names: Names) -> Self {
        Self { nodes, names }
    }

    pub(super) fn name(&self, stream: &StreamName) -> Result<String, Error> {
        let full = self.names.full(stream);
        if self.names.ours(&full) || full.starts_with('$') {
            return Err(Error::invalid("stream name", format!("{stream} is the log's, or the servers' own")));
        }
        Ok(full)
    }

    /// The stream's newest event; none when it has none, or was deleted.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a stream of the log, [`Error::Unavailable`].
    pub async fn last(&self, stream: &StreamName) -> Result<Option<SideEvent>, Error> {
        let name = self.name(stream)?;
        let (page, _) = self.nodes.stream_page(&name, None, Direction::Backward, 1).await?;
        Ok(page.into_iter().next().map(|raw| SideEvent {
            revision: raw.revision,
            id: raw.id,
            kind: raw.kind,
            data: raw.data,
        }))
    }

    /// Appends one event, given as JSON; answers its revision. Repeated with the same id and expectation, it answers the same.
    ///
    /// # Errors
    /// [`Error::WrongExpected`]; [`Error::Invalid`] for a stream of the log, one that was deleted, or what is no JSON;
    /// [`Error::Unavailable`], after which it may or may not have been written.
    pub async fn append(
        &self,
        stream: &StreamName,
        expected: Expected,
        id: Uuid,
        kind: &str,
        data: &[u8],
    ) -> Result<u64, Error> {
        let name = self.name(stream)?;
        let json: &RawValue =
            serde_json::from_slice(data).map_err(|e| Error::invalid("event", format!("is no JSON: {e}")))?;
        let event = EventData::json(kind, &json).map_err(|e| Error::invalid("event", e.to_string()))?.id(id);
        let options = AppendToStreamOptions::default()
            .deadline(self.nodes.options.attempt_max)
            .expected_revision(match expected {
                Expected::NoStream => ExpectedRevision::NoStream,
                Expected::Revision(revision) => ExpectedRevision::Exact(revision),
            });
        let asked = self.nodes.call("append beside the log", |client| {
            let (options, name, event) = (options.clone(), name.clone(), event.clone());
            async move { client.append_to_stream(name, &options, event).await }
        });
        match asked.await.value {
            Ok(written) => Ok(written.next_expected_version),
            Err(Failure::Answer(eventstore::Error::WrongExpectedVersion { current, .. })) => {
                let actual = match current {
                    CurrentRevision::Current(revision) => Some(revision),
                    CurrentRevision::NoStream => None,
                };
                Err(Error::WrongExpected { stream: stream.clone(), expected, actual })
            }
            Err(Failure::Answer(eventstore::Error::ResourceDeleted)) => {
                Err(Error::invalid("stream", format!("{stream} was deleted")))
            }
            Err(failure) => Err(failure.during("append beside the log")),
        }
    }

    /// Lets the servers keep only so many of the stream's newest events.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a stream of the log, [`Error::Unavailable`].
    pub async fn keep_newest(&self, stream: &StreamName, count: u64) -> Result<(), Error> {
        let name = self.name(stream)?;
        let metadata = StreamMetadataBuilder::new().max_count(count).build();
        let options = AppendToStreamOptions::default().deadline(self.nodes.options.attempt_max);
        let asked = self.nodes.call("bound a stream", |client| {
            let (options, name, metadata) = (options.clone(), name.clone(), metadata.clone());
            async move { client.set_stream_metadata(name, &options, &metadata).await }
        });
        asked.await.value.map(|_| ()).map_err(|failure| failure.during("bound a stream"))
    }

    /// Deletes the stream for good: it is never read or written again. Its bytes go with the next [`SideStreams::scavenge`]. Deleting it
    /// again does nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a stream of the log, [`Error::Unavailable`].
    pub async fn delete(&self, stream: &StreamName) -> Result<(), Error> {
        let name = self.name(stream)?;
        let options = TombstoneStreamOptions::default().deadline(self.nodes.options.attempt_max);
        let asked = self.nodes.call("delete a stream", |client| {
            let (options, name) = (options.clone(), name.clone());
            async move { client.tombstone_stream(name, &options).await }
        });
        match asked.await.value {
            Ok(_) | Err(Failure::Answer(eventstore::Error::ResourceDeleted)) => Ok(()),
            Err(failure) => Err(failure.during("delete a stream")),
        }
    }

    /// Starts to take what was deleted off the disk of the node that leads. Each node does it for itself: whoever runs the cluster
    /// does it on all.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn scavenge(&self) -> Result<(), Error> {
        let asked = self.nodes.call("start a scavenge", |client| async move {
            Operations::from(client).start_scavenge(1, 0, &OperationalOptions::default()).await
        });
        match asked.await.value {
            // One is at work already.
            Ok(_) | Err(Failure::Answer(eventstore::Error::ResourceAlreadyExists)) => Ok(()),
            Err(failure) => Err(failure.during("start a scavenge")),
        }
    }
}
