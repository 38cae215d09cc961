//! Heads as they are printed and kept, and whether a key signed one.

use duban_aggregates::office::{DayHead, SignedHead, hex, unhex};
use duban_log::Head;
use duban_vault::public_key::PublicKey;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// A head as it is printed and kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadJson {
    /// Number of events.
    pub size: u64,
    /// RFC 6962 root over them, in hexadecimal.
    pub root: String,
}

impl From<Head> for HeadJson {
    fn from(head: Head) -> Self {
        Self { size: head.size, root: hex(&head.root) }
    }
}

/// A signed head as it is printed and kept; bytes in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedHeadJson {
    /// The day that it closed.
    pub day: Date,
    /// Number of events.
    pub size: u64,
    /// RFC 6962 root over them.
    pub root: String,
    /// Number of streams.
    pub streams: u64,
    /// RFC 6962 root over the streams, sorted by name.
    pub streams_root: String,
    /// Which key signed.
    pub key: String,
    /// Ed25519 over the statement.
    pub signature: String,
}

impl From<&SignedHead> for SignedHeadJson {
    fn from(signed: &SignedHead) -> Self {
        let SignedHead { head: DayHead { day, size, root, streams, streams_root }, key, signature } = signed;
        Self {
            day: *day,
            size: *size,
            root: hex(root),
            streams: *streams,
            streams_root: hex(streams_root),
            key: hex(key),
            signature: hex(signature),
        }
    }
}

impl SignedHeadJson {
    /// The head itself; none where something is no hexadecimal of its length.
    #[must_use]
    pub fn read(&self) -> Option<SignedHead> {
        let head = DayHead {
            day: self.day,
            size: self.size,
            root: unhex(&self.root)?,
            streams: self.streams,
            streams_root: unhex(&self.streams_root)?,
        };
        Some(SignedHead { head, key: unhex(&self.key)?, signature: unhex(&self.signature)? })
    }
}

/// Whether one of these keys signed a head; else why not.
pub(super) fn signed_by(keys: &[PublicKey], signed: &SignedHead) -> Result<(), String> {
    match keys.iter().find(|key| key.id() == signed.key) {
        Some(key) if key.signed(signed) => Ok(()),
        Some(_) => Err("is not what its key signed".to_owned()),
        None => Err(format!("is signed with the key {}, which is none of those given", hex(&signed.key))),
    }
}
