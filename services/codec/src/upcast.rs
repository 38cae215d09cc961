//! Earlier stored types that are read as a present one.
//!
//! Stored events are never rewritten. When the meaning of a type changes, it gets a new name (`order.replied.v2`), its old
//! message stays in the proto, and one row here says how the old bytes become the new ones.

use std::borrow::Cow;

use crate::error::CodecError;

/// From one stored type to a later one.
#[derive(Clone, Copy, Debug)]
pub struct Upcast {
    /// The earlier stored type.
    pub from: &'static str,
    /// The later stored type, itself present or with an upcast of its own.
    pub to: &'static str,
    /// The later payload made of the earlier.
    pub payload: fn(&[u8]) -> Result<Vec<u8>, CodecError>,
}

/// Every upcast. Empty until the first type changes its meaning.
pub const UPCASTS: &[Upcast] = &[];

/// Follows the upcasts of an earlier type to the last.
///
/// # Errors
/// [`CodecError::UnknownType`] where there is none, and whatever an upcast says of its bytes.
pub(crate) fn apply<'a>(
    upcasts: &[Upcast],
    kind: &str,
    payload: &'a [u8],
) -> Result<(&'static str, Cow<'a, [u8]>), CodecError> {
    let find = |kind: &str| upcasts.iter().find(|upcast| upcast.from == kind);
    let mut next = find(kind).ok_or_else(|| CodecError::UnknownType(kind.to_owned()))?;
    let mut bytes = Cow::Owned((next.payload)(payload)?);
    while let Some(further) = find(next.to) {
        bytes = Cow::Owned((further.payload)(&bytes)?);
        next = further;
    }
    Ok((next.to, bytes))
}

#[cfg(test)]
mod tests {
    use duban_aggregates::ids::OrderNo;
    use duban_aggregates::ticket::{self, order};

    use super::*;
    use crate::Stored;

    // Long ago orders were counted from 0, and later under another name.
    const OLD: &[Upcast] = &[
        Upcast { from: "order.signed.v0", to: "order.signed.v1", payload: |bytes| Ok(vec![8, bytes[1] + 1]) },
        Upcast { from: "order.signed.v1", to: "order.accepted.v1", payload: |bytes| Ok(bytes.to_vec()) },
    ];

    #[test]
    fn an_earlier_type_is_read_as_the_present_one_through_every_step() {
        let (kind, payload) = apply(OLD, "order.signed.v0", &[8, 2]).unwrap();
        let read = ticket::Event::decode(kind, &payload).unwrap();
        assert_eq!(read, order::Event::Accepted { order: OrderNo(3) }.into());
        let (kind, payload) = apply(OLD, "order.signed.v1", &[8, 2]).unwrap();
        assert_eq!((kind, payload.as_ref()), ("order.accepted.v1", [8, 2].as_slice()));
    }

    #[test]
    fn a_type_without_an_upcast_is_unknown() {
        let refused = apply(OLD, "order.eaten.v1", &[]).unwrap_err();
        assert_eq!(refused.to_string(), "unknown event type `order.eaten.v1`");
    }

    #[test]
    fn every_upcast_ends_at_a_present_type_and_starts_at_none() {
        for upcast in UPCASTS {
            assert!(!crate::types::ALL.contains(&upcast.from), "{} is present", upcast.from);
            let (mut to, mut steps) = (upcast.to, 0);
            while let Some(next) = UPCASTS.iter().find(|next| next.from == to) {
                (to, steps) = (next.to, steps + 1);
                assert!(steps <= UPCASTS.len(), "{} goes in a circle", upcast.from);
            }
            assert!(crate::types::ALL.contains(&to), "{} ends at {to}", upcast.from);
        }
    }
}
