//! Raw gRPC: any method by its path, with any bytes, as anybody or nobody.
//!
//! The generated clients cannot send what a broken caller sends, and cannot be looped over; this can.

use std::time::Duration;

use bytes::{Buf, BufMut};
use duban_proto::api::v1::CommandResponse;
use http::uri::PathAndQuery;
use prost::Message;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use duban_client::{TokenHolder, Tokens};

/// The package of all our services.
pub const PACKAGE: &str = "duban.api.v1";

/// Longer than any answer may take; a test that hangs says so instead of hanging.
const DEADLINE: Duration = Duration::from_secs(30);

/// A command as it goes over the wire, ready to be sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// `Service/Method`, without the package.
    pub method: &'static str,
    /// TokenHolder sends it.
    pub who: TokenHolder,
    /// The ticket it is about.
    pub ticket: String,
    /// Its id.
    pub command: String,
    /// The request, encoded.
    pub body: Vec<u8>,
}

/// A connection, and tokens to use on it.
#[derive(Clone, Debug)]
pub struct Wire {
    channel: Channel,
    tokens: Tokens,
}

impl Wire {
    /// Connects.
    ///
    /// # Errors
    /// What the connection says, where nobody listens.
    pub async fn connect(url: &str, tokens: Tokens) -> Result<Self, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(url.to_owned())?.timeout(DEADLINE);
        Ok(Self { channel: endpoint.connect().await?, tokens })
    }

    /// The tokens.
    #[must_use]
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Somebody's token.
    #[must_use]
    pub fn token(&self, who: &TokenHolder) -> &str {
        self.tokens.text(who).unwrap_or_else(|| panic!("there is no token for {who:?}"))
    }

    /// Sends a command and reads its answer.
    ///
    /// # Errors
    /// The server's status.
    pub async fn send(&self, sent: &Sent) -> Result<CommandResponse, Status> {
        let answer = self.call(sent.method, Some(self.token(&sent.who)), sent.body.clone()).await?;
        CommandResponse::decode(answer.as_slice()).map_err(|error| Status::data_loss(error.to_string()))
    }

    /// Sends a read, or any other request, as somebody.
    ///
    /// # Errors
    /// The server's status.
    pub async fn ask<A: Message + Default>(
        &self,
        method: &str,
        who: &TokenHolder,
        request: &impl Message,
    ) -> Result<A, Status> {
        let answer = self.call(method, Some(self.token(who)), request.encode_to_vec()).await?;
        A::decode(answer.as_slice()).map_err(|error| Status::data_loss(error.to_string()))
    }

    /// Sends bytes to `Service/Method` under this token, or under none.
    ///
    /// # Errors
    /// The server's status.
    pub async fn call(&self, method: &str, token: Option<&str>, body: Vec<u8>) -> Result<Vec<u8>, Status> {
        let path: PathAndQuery = format!("/{PACKAGE}.{method}").parse().expect("a method's name is a path");
        let mut request = Request::new(body);
        if let Some(token) = token {
            let value: MetadataValue<Ascii> =
                format!("Bearer {token}").parse().expect("a token is plain ASCII");
            request.metadata_mut().insert("authorization", value);
        }
        let mut grpc = tonic::client::Grpc::new(self.channel.clone()).max_decoding_message_size(64 << 20);
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        grpc.unary(request, path, Raw).await.map(tonic::Response::into_inner)
    }
}

/// Whether this status leaves it open what became of the command: the connection broke, or nobody listens.
#[must_use]
pub fn is_broken(status: &Status) -> bool {
    use tonic::Code;
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled | Code::DeadlineExceeded)
        || (status.code() == Code::Internal && status.message().contains("h2"))
}

/// Bytes as they are.
#[derive(Clone, Copy, Debug, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut bytes = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut bytes);
        Ok(Some(bytes))
    }
}
