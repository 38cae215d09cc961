//! Pages of lists. A page's token belongs to its query: it carries a digest of it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use duban_engine::runner::RunError;
use uuid::Uuid;

use super::read::Field;

/// Length of a token before it is written in base64: digest, number, id, part.
const TOKEN_LEN: usize = 8 + 8 + 16 + 4;

/// Where a list goes on: after this entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    /// A moment in microseconds, or a revision.
    pub(crate) number: i64,
    /// What the entry is about.
    pub(crate) id: Uuid,
    /// Which of its parts.
    pub(crate) part: u32,
}

/// A digest of what makes two queries the same.
pub(crate) fn digest(bytes: &[u8]) -> [u8; 8] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut short = [0; 8];
    short.copy_from_slice(&digest.as_ref()[..8]);
    short
}

/// The token of a page.
pub(crate) fn token(query: [u8; 8], at: At) -> String {
    let mut bytes = Vec::with_capacity(TOKEN_LEN);
    bytes.extend(query);
    bytes.extend(at.number.to_be_bytes());
    bytes.extend(at.id.as_bytes());
    bytes.extend(at.part.to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Where a page begins.
pub(crate) fn read_token(text: &str, query: [u8; 8]) -> Field<At> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| foreign())?;
    let bytes: [u8; TOKEN_LEN] = bytes.try_into().map_err(|_| foreign())?;
    let (asked, rest) = bytes.split_at(8);
    let (number, rest) = rest.split_at(8);
    let (id, part) = rest.split_at(16);
    if asked != query {
        return Err(foreign());
    }
    Ok(At {
        number: number.try_into().map(i64::from_be_bytes).map_err(|_| foreign())?,
        id: Uuid::from_slice(id).map_err(|_| foreign())?,
        part: part.try_into().map(u32::from_be_bytes).map_err(|_| foreign())?,
    })
}

/// What is said to a token of another query, or of nobody.
pub(crate) fn foreign() -> RunError {
    RunError::field("page_token", "does not belong to this query: begin at the first page")
}

/// How many a page holds.
pub(crate) fn page_size(asked: u32, default: u32, max: u32) -> usize {
    let size = if asked == 0 { default } else { asked.min(max) };
    usize::try_from(size).unwrap_or(usize::MAX)
}
