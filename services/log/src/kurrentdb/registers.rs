//! Registers as streams beside the log, of which the servers keep the newest event.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use eventstore::{Client, ReadEvent, ReadStreamOptions, StreamPosition};
use uuid::Uuid;

use super::side_streams::SideStreams;
use super::wire::Raw;
use crate::{Error, Expected, Register, Registers, StreamName};

/// The type of the events.
const KIND: &str = "duban-register-1";

const READING: &str = "read a register";

/// Of a register that is written again, so many values are kept.
const KEPT: u64 = 1;

/// Registers on the log's cluster.
#[derive(Clone)]
pub struct KurrentRegisters(SideStreams);

impl KurrentRegisters {
    /// Registers beside a log.
    #[must_use]
    pub fn new(streams: SideStreams) -> Arc<Self> {
        Arc::new(Self(streams))
    }
}

#[async_trait]
impl Registers for KurrentRegisters {
    async fn read(&self, name: &StreamName) -> Result<Register, Error> {
        let full = self.0.name(name)?;
        let options = ReadStreamOptions::default().position(StreamPosition::End).max_count(1).backwards();
        let answered = self.0.nodes.call(READING, |client: Client| {
            let (options, full) = (options.clone(), full.clone());
            async move {
                let mut stream = match client.read_stream(full, &options).await {
                    Err(eventstore::Error::ResourceDeleted) => return Ok(Register::Erased),
                    opened => opened?,
                };
                loop {
                    match stream.next_read_event().await {
                        Ok(Some(ReadEvent::Event(event))) => {
                            let Some(Raw { revision, data: value, .. }) = Raw::new(event) else { continue };
                            return Ok(Register::Holds { revision, value });
                        }
                        Ok(Some(_)) => {}
                        Err(eventstore::Error::ResourceDeleted) => return Ok(Register::Erased),
                        Ok(None) | Err(eventstore::Error::ResourceNotFound) => return Ok(Register::Empty),
                        Err(error) => return Err(error),
                    }
                }
            }
        });
        answered.await.value.map_err(|failure| failure.during(READING))
    }

    async fn write(&self, name: &StreamName, expected: Expected, value: Bytes) -> Result<u64, Error> {
        // The same value in the same place is the same write, whoever repeats it.
        let mut what = name.as_str().as_bytes().to_vec();
        what.extend(expected.next_revision().to_be_bytes());
        what.extend_from_slice(&value);
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, &what);
        let written = self.0.append(name, expected, id, KIND, &value).await;
        let revision = match written {
            Ok(revision) => revision,
            // It was erased meanwhile: who reads it again is told.
            Err(Error::Invalid { what: "stream", .. }) => {
                return Err(Error::WrongExpected { stream: name.clone(), expected, actual: None });
            }
            Err(error) => return Err(error),
        };
        if revision == KEPT {
            self.0.keep_newest(name, KEPT).await?;
        }
        Ok(revision)
    }

    async fn erase(&self, name: &StreamName) -> Result<bool, Error> {
        if self.read(name).await? == Register::Erased {
            return Ok(false);
        }
        self.0.delete(name).await?;
        // Nobody reads it any more; what is left on the disks goes when they are next tidied up, which an operator does as well.
        if let Err(error) = self.0.scavenge().await {
            tracing::warn!(%error, "no scavenge could be started: what was erased stays on the cluster's disks until there is one");
        }
        Ok(true)
    }
}
