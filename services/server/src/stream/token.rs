//! Resume tokens: a position, bound to a filter and to this log.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use duban_log::Position;

use duban_vault::keys::KeyStore;

/// The first byte; another one is another layout.
const VERSION: u8 = 1;
const FILTER_BYTES: usize = 8;
const SEAL_BYTES: usize = 12;
/// Version, position, filter, seal.
const BYTES: usize = 1 + 8 + FILTER_BYTES + SEAL_BYTES;

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// No token of this log.
    Foreign,
    /// It belongs to another filter.
    OtherFilter,
}

impl Unfit {
    pub(super) fn problem(self) -> &'static str {
        match self {
            Self::Foreign => "is no token of this log: begin with `start` or `now`",
            Self::OtherFilter => {
                "belongs to another filter: ask with the filter it came with, or begin with `start` or `now`"
            }
        }
    }
}

/// What a filter is told by.
pub(super) type FilterId = [u8; FILTER_BYTES];

/// A token that stands for a position; none is the log's beginning.
pub(super) fn of(position: Option<Position>, filter: FilterId, keys: &KeyStore) -> String {
    let mut bytes = [0; BYTES];
    bytes[0] = VERSION;
    // Positions count from 0, and a token may stand before the first.
    let after = position.map_or(0, |position| position.get().saturating_add(1));
    bytes[1..9].copy_from_slice(&after.to_be_bytes());
    bytes[9..9 + FILTER_BYTES].copy_from_slice(&filter);
    let seal = keys.stream_seal(&bytes[..9 + FILTER_BYTES]);
    bytes[9 + FILTER_BYTES..].copy_from_slice(&seal[..SEAL_BYTES]);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The position that a token stands for.
pub(super) fn read(token: &str, filter: FilterId, keys: &KeyStore) -> Result<Option<Position>, Unfit> {
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| Unfit::Foreign)?;
    let bytes: [u8; BYTES] = bytes.try_into().map_err(|_| Unfit::Foreign)?;
    let seal = keys.stream_seal(&bytes[..9 + FILTER_BYTES]);
    if bytes[0] != VERSION || bytes[9 + FILTER_BYTES..] != seal[..SEAL_BYTES] {
        return Err(Unfit::Foreign);
    }
    if bytes[9..9 + FILTER_BYTES] != filter {
        return Err(Unfit::OtherFilter);
    }
    let mut after = [0; 8];
    after.copy_from_slice(&bytes[1..9]);
    Ok(u64::from_be_bytes(after).checked_sub(1).map(Position::new))
}
