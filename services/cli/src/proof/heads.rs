//! Heads as they are kept in files: signed or not, alone, in an answer of this program, or as the event that subscribers get.

use std::path::{Path, PathBuf};

pub(crate) use duban_aggregates::office::unhex;
use duban_aggregates::office::{DayHead, Event, SignedHead, hex};
use duban_codec::types;
use duban_log::Head;
use duban_log::tree::Hash;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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

/// A head that was kept elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What to call it: the file it is from.
    pub name: String,
    /// Number of events.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
    /// The signed head, where it is one.
    pub signed: Option<SignedHead>,
}

impl Kept {
    /// A signed head under a name.
    #[must_use]
    pub fn signed(name: &str, signed: SignedHead) -> Self {
        let DayHead { size, root, .. } = signed.head;
        Self { name: name.to_owned(), size, root, signed: Some(signed) }
    }
}

/// Why a head file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// It cannot be read.
    #[error("cannot read the head {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It holds something else.
    #[error(
        "{path} holds no head: it needs {{\"size\": N, \"root\": \"64 hexadecimal digits\"}}, a signed head or an event `office.day_closed.v1`, alone or as \"head\" or \"signed_head\""
    )]
    Form {
        /// The file.
        path: PathBuf,
        /// What was expected where.
        source: Option<serde_json::Error>,
    },
}

/// Reads the heads of a file: one that stands alone, or those inside a larger answer.
///
/// # Errors
/// [`HeadError`] names the file.
pub fn read(path: &Path) -> Result<Vec<Kept>, HeadError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| HeadError::Read { path: path.to_owned(), source })?;
    let form = |source| HeadError::Form { path: path.to_owned(), source };
    let value: Value = serde_json::from_str(&text).map_err(|source| form(Some(source)))?;
    let name = path.display().to_string();
    let within: Vec<_> = ["head", "signed_head"].iter().filter_map(|field| value.get(field)).collect();
    let heads = if within.is_empty() { vec![&value] } else { within };
    heads.into_iter().map(|head| one(&name, head).ok_or_else(|| form(None))).collect()
}

fn one(name: &str, value: &Value) -> Option<Kept> {
    if value.get("type").and_then(Value::as_str) == Some(types::OFFICE_DAY_CLOSED) {
        let parts = duban_codec::from_event(duban_codec::from_json(&value.to_string()).ok()?).ok()?;
        let Event::DayClosed(signed) = duban_codec::decode_office(parts.kind, &parts.payload).ok()?;
        return Some(Kept::signed(name, signed));
    }
    if value.get("signature").is_some() {
        let signed: SignedHeadJson = serde_json::from_value(value.clone()).ok()?;
        return Some(Kept::signed(name, signed.read()?));
    }
    let HeadJson { size, root } = serde_json::from_value(value.clone()).ok()?;
    Some(Kept { name: name.to_owned(), size, root: unhex(&root)?, signed: None })
}

#[cfg(test)]
mod tests {
    use duban_codec::sample::{self, Gen};

    use super::*;

    #[test]
    fn a_head_is_read_alone_signed_as_an_event_or_out_of_a_larger_answer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("head.json");
        let root = "AB".repeat(32);
        for text in [
            format!(r#"{{"size": 7, "root": "{root}"}}"#),
            format!(r#"{{"ok": true, "events": 7, "head": {{"size": 7, "root": "{root}"}}}}"#),
        ] {
            std::fs::write(&path, text).unwrap();
            let kept = read(&path).unwrap();
            assert_eq!((kept.len(), kept[0].size, kept[0].root), (1, 7, [0xAB; 32]));
        }
        let parts = sample::parts(types::OFFICE_DAY_CLOSED, &mut Gen::plain(3)).unwrap();
        let Event::DayClosed(signed) = duban_codec::decode_office(parts.kind, &parts.payload).unwrap();
        let event = duban_codec::to_json(&duban_codec::to_event(&parts.as_stored()).unwrap()).unwrap();
        let json = serde_json::to_string(&SignedHeadJson::from(&signed)).unwrap();
        for text in [event, json.clone(), format!(r#"{{"ticket": "x", "head": {json}}}"#)] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read(&path).unwrap(), [Kept::signed(&path.display().to_string(), signed)]);
        }
        std::fs::write(
            &path,
            format!(r#"{{"head": {{"size": 7, "root": "{root}"}}, "signed_head": {json}}}"#),
        )
        .unwrap();
        assert_eq!(read(&path).unwrap().len(), 2);
        for text in ["{}", "", r#"{"size": 7, "root": "ab"}"#, &json.replace("\"day\"", "\"week\"")] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(read(&path), Err(HeadError::Form { .. })), "{text}");
        }
        assert!(matches!(read(dir.path()), Err(HeadError::Read { .. })));
    }
}
