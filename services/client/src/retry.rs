//! What is worth sending again, and when.

use std::time::Duration;

use backon::ExponentialBuilder;
use bytes::Buf;
use prost::encoding::{DecodeContext, decode_key, skip_field};
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// How often and how fast the same request is sent again. It never goes beyond the call's deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Before the first repeat; each further one waits twice as long, with jitter.
    pub delay_min: Duration,
    /// The longest wait, unless the server asks for a longer one.
    pub delay_max: Duration,
    /// Repeats of one call.
    pub repeats_max: usize,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { delay_min: Duration::from_millis(50), delay_max: Duration::from_secs(2), repeats_max: 8 }
    }
}

impl RetryPolicy {
    /// Nothing is sent twice.
    pub const NEVER: Self = Self { delay_min: Duration::ZERO, delay_max: Duration::ZERO, repeats_max: 0 };

    pub(crate) fn backoff(self) -> ExponentialBuilder {
        ExponentialBuilder::default()
            .with_min_delay(self.delay_min)
            .with_max_delay(self.delay_max)
            .with_max_times(self.repeats_max)
            .with_jitter()
    }
}

/// Whether the same request may be answered otherwise a little later.
///
/// A command that names the revision on which it decides is not sent again after ABORTED: the stream has gone on, and only its
/// sender can look again.
pub(crate) fn passes(status: &Status, body: &[u8]) -> bool {
    match status.code() {
        Code::Unavailable => true,
        Code::Aborted => !names_revision(body),
        Code::ResourceExhausted => asked_for(status).is_some(),
        _ => false,
    }
}

/// How long the server asks to be left alone.
pub(crate) fn asked_for(status: &Status) -> Option<Duration> {
    status.get_details_retry_info().and_then(|info| info.retry_delay)
}

/// `expected_revision`, in every command.
const EXPECTED_REVISION: u32 = 3;

/// Before every message on the wire: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

fn names_revision(body: &[u8]) -> bool {
    let Some(mut message) = body.get(PREFIX_BYTES..) else { return false };
    while message.has_remaining() {
        let Ok((field, wire)) = decode_key(&mut message) else { return false };
        if field == EXPECTED_REVISION {
            return true;
        }
        if skip_field(wire, field, &mut message, DecodeContext::default()).is_err() {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use duban_proto::api::v1::CloseRequest;
    use prost::Message;
    use prost_types::{FileDescriptorSet, field_descriptor_proto::Type};
    use tonic_types::ErrorDetails;

    use super::*;

    fn framed(message: &impl Message) -> Vec<u8> {
        let mut bytes = vec![0; PREFIX_BYTES];
        message.encode(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_conflict_is_tried_again_unless_the_sender_named_its_revision() {
        let mut close = CloseRequest { ticket_id: "t".into(), command_id: "c".into(), ..Default::default() };
        assert!(passes(&Status::aborted("gone on"), &framed(&close)));
        close.expected_revision = Some(0);
        assert!(!passes(&Status::aborted("gone on"), &framed(&close)));
        assert!(passes(&Status::unavailable("lost"), &framed(&close)));
    }

    #[test]
    fn a_full_server_is_asked_again_when_it_says_when() {
        assert!(!passes(&Status::resource_exhausted("too large"), &[]));
        let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(200)));
        let busy = Status::with_error_details(Code::ResourceExhausted, "busy", details);
        assert!(passes(&busy, &[]));
        assert_eq!(asked_for(&busy), Some(Duration::from_millis(200)));
    }

    #[test]
    fn every_command_of_the_contract_has_its_expected_revision_where_it_is_looked_for() {
        let set = FileDescriptorSet::decode(duban_proto::FILE_DESCRIPTOR_SET).unwrap();
        let messages = set.file.iter().flat_map(|file| &file.message_type);
        let mut commands = 0;
        for message in messages {
            for field in message.field.iter().filter(|field| field.name() == "expected_revision") {
                let place = u32::try_from(field.number()).unwrap();
                assert_eq!((place, field.r#type()), (EXPECTED_REVISION, Type::Uint64), "{}", message.name());
                commands += 1;
            }
        }
        assert!(commands > 50, "{commands} commands");
    }
}
