//! How messages go over gRPC: protobuf, whose refusal says what is wrong with which field of which message.

use std::marker::PhantomData;
use std::sync::Arc;

use prost::Message;
use prost::bytes::Buf;
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic::{Code, Status};
use tonic_prost::ProstEncoder;

/// What prost begins its sentence with.
const PREAMBLE: &str = "failed to decode Protobuf message: ";

/// Bytes that are no message of the type that was to come: the [source](std::error::Error::source) of the status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct MalformedMessage {
    /// The field, from the outermost message in; the message itself where no field is to blame.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

impl MalformedMessage {
    /// `Message.field.inner: what is wrong`, as prost puts it.
    fn of(error: &prost::DecodeError) -> Self {
        let said = error.to_string();
        let said = said.strip_prefix(PREAMBLE).unwrap_or(&said);
        let (path, problem) = said.split_once(": ").unwrap_or(("request", said));
        let field = path.split_once('.').map_or(path, |(_, field)| field);
        Self { field: field.to_owned(), problem: problem.to_owned() }
    }
}

/// Decodes one message.
///
/// # Errors
/// A status whose source is a [`MalformedMessage`]. Whoever asked with it and whoever answered with it call that by different codes;
/// here it is INTERNAL.
pub fn decode<T: Message + Default>(bytes: impl Buf) -> Result<T, Status> {
    T::decode(bytes).map_err(|error| {
        let mut status = Status::new(Code::Internal, error.to_string());
        status.set_source(Arc::new(MalformedMessage::of(&error)));
        status
    })
}

/// The codec of all generated services and clients.
#[derive(Clone, Copy, Debug)]
pub struct NamingCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for NamingCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Message + Send + 'static, U: Message + Default + Send + 'static> Codec for NamingCodec<T, U> {
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = NamingDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        NamingDecoder(PhantomData)
    }
}

/// See [`NamingCodec`].
#[derive(Clone, Copy, Debug)]
pub struct NamingDecoder<U>(PhantomData<U>);

impl<U: Message + Default> Decoder for NamingDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        decode(buffer).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;
    use crate::api::v1::TakeInRequest;

    #[track_caller]
    fn malformed(bytes: &[u8]) -> MalformedMessage {
        let status = decode::<TakeInRequest>(bytes).unwrap_err();
        status.source().and_then(|source| source.downcast_ref()).cloned().unwrap()
    }

    #[test]
    fn a_message_that_cannot_be_read_names_its_field_from_the_outside_in() {
        let mut request =
            TakeInRequest { description: "xx".to_owned(), ..TakeInRequest::default() }.encode_to_vec();
        let at = request.windows(2).position(|two| two == b"xx").unwrap();
        request[at] = 0xff;
        let found = malformed(&request);
        assert_eq!(found.field, "description");
        assert!(found.problem.contains("UTF-8"), "{found}");
    }

    #[test]
    fn bytes_that_are_no_message_at_all_are_malformed() {
        assert!(!malformed(&[0xff]).problem.is_empty());
    }

    #[test]
    fn a_message_comes_back_as_it_was() {
        let request = TakeInRequest { description: "断网".to_owned(), ..TakeInRequest::default() };
        assert_eq!(decode::<TakeInRequest>(request.encode_to_vec().as_slice()).unwrap(), request);
    }
}
