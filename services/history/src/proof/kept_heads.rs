//! Heads that were kept elsewhere, as files hold them: signed or not, alone, in an answer of this program, or as the event that subscribers get.

use std::path::{Path, PathBuf};

use duban_aggregates::office::{DayHead, Event, SignedHead, unhex};
use duban_codec::types;
use duban_log::tree::Hash;
use serde_json::Value;

use super::signed_head::{HeadJson, SignedHeadJson};

/// A head that was kept elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptHead {
    /// What to call it: the file it is from.
    pub name: String,
    /// Number of events.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
    /// The signed head, where it is one.
    pub signed: Option<SignedHead>,
}

impl KeptHead {
    /// A signed head under a name.
    #[must_use]
    pub fn signed(name: &str, signed: SignedHead) -> Self {
        let DayHead { size, root, .. } = signed.head;
        Self { name: name.to_owned(), size, root, signed: Some(signed) }
    }
}

/// Why a head file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HeadFileError {
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
/// [`HeadFileError`] names the file.
pub fn read_heads(path: &Path) -> Result<Vec<KeptHead>, HeadFileError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| HeadFileError::Read { path: path.to_owned(), source })?;
    let form = |source| HeadFileError::Form { path: path.to_owned(), source };
    let value: Value = serde_json::from_str(&text).map_err(|source| form(Some(source)))?;
    let name = path.display().to_string();
    let within: Vec<_> = ["head", "signed_head"].iter().filter_map(|field| value.get(field)).collect();
    let heads = if within.is_empty() { vec![&value] } else { within };
    heads.into_iter().map(|head| one(&name, head).ok_or_else(|| form(None))).collect()
}

fn one(name: &str, value: &Value) -> Option<KeptHead> {
    if value.get("type").and_then(Value::as_str) == Some(types::OFFICE_DAY_CLOSED) {
        let parts = duban_codec::from_event(duban_codec::from_json(&value.to_string()).ok()?).ok()?;
        let Event::DayClosed(signed) = duban_codec::decode_office(parts.kind, &parts.payload).ok()?;
        return Some(KeptHead::signed(name, signed));
    }
    if value.get("signature").is_some() {
        let signed: SignedHeadJson = serde_json::from_value(value.clone()).ok()?;
        return Some(KeptHead::signed(name, signed.read()?));
    }
    let HeadJson { size, root } = serde_json::from_value(value.clone()).ok()?;
    Some(KeptHead { name: name.to_owned(), size, root: unhex(&root)?, signed: None })
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
            let kept = read_heads(&path).unwrap();
            assert_eq!((kept.len(), kept[0].size, kept[0].root), (1, 7, [0xAB; 32]));
        }
        let parts = sample::parts(types::OFFICE_DAY_CLOSED, &mut Gen::plain(3)).unwrap();
        let Event::DayClosed(signed) = duban_codec::decode_office(parts.kind, &parts.payload).unwrap();
        let event = duban_codec::to_json(&duban_codec::to_event(&parts.as_stored()).unwrap()).unwrap();
        let json = serde_json::to_string(&SignedHeadJson::from(&signed)).unwrap();
        for text in [event, json.clone(), format!(r#"{{"ticket": "x", "head": {json}}}"#)] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read_heads(&path).unwrap(), [KeptHead::signed(&path.display().to_string(), signed)]);
        }
        std::fs::write(
            &path,
            format!(r#"{{"head": {{"size": 7, "root": "{root}"}}, "signed_head": {json}}}"#),
        )
        .unwrap();
        assert_eq!(read_heads(&path).unwrap().len(), 2);
        for text in ["{}", "", r#"{"size": 7, "root": "ab"}"#, &json.replace("\"day\"", "\"week\"")] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(read_heads(&path), Err(HeadFileError::Form { .. })), "{text}");
        }
        assert!(matches!(read_heads(dir.path()), Err(HeadFileError::Read { .. })));
    }
}
