//! Ids of what happens by itself: ticks, reactions, days, facts from other systems (design.md section 1, "Dedupe").
//!
//! Such a command has the same id however often it is sent, and by whichever server of a log; and no caller can work it out, or
//! whoever sent something under it first would keep the real one from ever happening.

use aws_lc_rs::hmac;
use uuid::Uuid;

/// Makes them, under a key that all servers of a log share, that backups carry and that is never rotated.
#[derive(Clone, Debug)]
pub struct OwnIds(hmac::Key);

impl OwnIds {
    /// Under this key.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    pub(crate) fn of(key: &hmac::Key) -> Self {
        Self(key.clone())
    }

    /// The id of the command that follows from `cause`, an id, a stream or a name of ours, in the way that `what` says.
    #[must_use]
    pub fn command(&self, cause: &[u8], what: &[u8]) -> Uuid {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"own command\0");
        // Lengths go in, so that no two pairs run together.
        context.update(&u64::try_from(cause.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(cause);
        context.update(what);
        let mut id = [0; 16];
        id.copy_from_slice(&context.sign().as_ref()[..16]);
        uuid::Builder::from_custom_bytes(id).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::OwnIds;

    #[test]
    fn an_id_follows_from_key_cause_and_what_alone() {
        let ids = OwnIds::new(&[7; 32]);
        assert_eq!(ids.command(b"ticket", b"warn 1"), OwnIds::new(&[7; 32]).command(b"ticket", b"warn 1"));
        for other in [
            ids.command(b"ticket", b"warn 2"),
            ids.command(b"ticketwarn", b" 1"),
            OwnIds::new(&[8; 32]).command(b"ticket", b"warn 1"),
        ] {
            assert_ne!(other, ids.command(b"ticket", b"warn 1"));
        }
    }
}
