//! A reader of a server's events that goes on where it was, whatever comes between.

use std::fmt;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use duban_proto::api::v1::stream_service_client::StreamServiceClient;
use duban_proto::api::v1::subscribe_request::From;
use duban_proto::api::v1::{StreamFilter, SubscribeRequest, SubscribeResponse};
use tonic::{Code, Status, Streaming};

use crate::{AuthorizedChannel, Client, ClientError, RetryPolicy, retry};

/// Between two tries to reach the server.
const DELAY_MIN: Duration = Duration::from_millis(200);
const DELAY_MAX: Duration = Duration::from_secs(10);

/// Where a subscription begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// At the first event.
    Beginning,
    /// After the last event that there is when the server is asked.
    Now,
    /// After what a token stands for.
    Token(String),
}

/// Why a stream broke, and what is done about it.
#[derive(Clone, Debug)]
pub struct Interruption {
    /// What the server or the connection said.
    pub why: String,
    /// When it is tried again.
    pub again_after: Duration,
}

type Tell = Box<dyn FnMut(&Interruption) + Send>;

/// A stream of events that resumes after its last token when the connection breaks or the server restarts: no event is lost, none
/// comes twice.
///
/// Every message carries the token after it, and says where `news` is set that everything was brought (`CAUGHT_UP`), that the reader
/// is too slow (`FELL_BEHIND`), that nothing passed the filter for a while (`CHECKPOINT`), or that the stream is alive (`HEARTBEAT`).
pub struct Subscription {
    service: StreamServiceClient<AuthorizedChannel>,
    filter: Option<StreamFilter>,
    heartbeat: Option<Duration>,
    from: From,
    stream: Option<Streaming<SubscribeResponse>>,
    backoff: ExponentialBackoff,
    resumed: u64,
    tell: Option<Tell>,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = self.stream.is_some();
        f.debug_struct("Subscription").field("from", &self.from).field("open", &open).finish_non_exhaustive()
    }
}

impl Subscription {
    /// Follows a server as a role in a unit; it is asked with the first message.
    ///
    /// # Errors
    /// [`ClientError::NoToken`].
    pub fn new(client: &Client, role: &str, unit: &str, start_at: StartAt) -> Result<Self, ClientError> {
        // It tries again by itself, and tells so.
        let channel = client.channel(role, unit)?.with_retry(RetryPolicy::NEVER);
        let from = match start_at {
            StartAt::Beginning => From::Start(true),
            StartAt::Now => From::Now(true),
            StartAt::Token(token) => From::Token(token),
        };
        Ok(Self {
            service: StreamServiceClient::new(channel),
            filter: None,
            heartbeat: None,
            from,
            stream: None,
            backoff: backoff(),
            resumed: 0,
            tell: None,
        })
    }

    /// Only these events.
    #[must_use]
    pub fn filter(mut self, filter: StreamFilter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// How long the stream may say nothing.
    #[must_use]
    pub fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.heartbeat = Some(heartbeat);
        self
    }

    /// Told whenever the stream breaks, before it is tried again.
    #[must_use]
    pub fn on_interruption(mut self, tell: impl FnMut(&Interruption) + Send + 'static) -> Self {
        self.tell = Some(Box::new(tell));
        self
    }

    /// The next message. May be dropped while it waits without losing one.
    ///
    /// # Errors
    /// [`ClientError::Refused`] where trying again is of no use: the token expired, or does not belong to this log.
    pub async fn message(&mut self) -> Result<SubscribeResponse, ClientError> {
        loop {
            match self.advance().await {
                Ok(Some(message)) => {
                    self.backoff = backoff();
                    self.from = From::Token(message.token.clone());
                    return Ok(message);
                }
                // The server ended it in good order.
                Ok(None) => self.interrupted(&Status::unavailable("the stream ended")).await?,
                Err(status) => self.interrupted(&status).await?,
            }
        }
    }

    /// The token after the last message, or that it began with.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        match &self.from {
            From::Token(token) => Some(token),
            From::Start(_) | From::Now(_) => None,
        }
    }

    /// How often it went on after a break.
    #[must_use]
    pub fn resumed(&self) -> u64 {
        self.resumed
    }

    /// Breaks the stream off, with whatever is on its way; the next message comes after the last one.
    pub fn disconnect(&mut self) {
        self.resumed += u64::from(self.stream.take().is_some());
    }

    async fn advance(&mut self) -> Result<Option<SubscribeResponse>, Status> {
        if self.stream.is_none() {
            let heartbeat = self.heartbeat.and_then(|heartbeat| heartbeat.try_into().ok());
            let (from, filter) = (Some(self.from.clone()), self.filter.clone());
            let request = SubscribeRequest { from, filter, heartbeat };
            self.stream = Some(self.service.subscribe(request).await?.into_inner());
        }
        match &mut self.stream {
            Some(stream) => stream.message().await,
            None => Ok(None),
        }
    }

    async fn interrupted(&mut self, status: &Status) -> Result<(), ClientError> {
        self.disconnect();
        if !passes(status.code()) {
            return Err(status.clone().into());
        }
        let again_after = self.backoff.next().unwrap_or(DELAY_MAX);
        let again_after = again_after.max(retry::asked_for(status).unwrap_or_default());
        if let Some(tell) = &mut self.tell {
            tell(&Interruption { why: status.message().to_owned(), again_after });
        }
        tokio::time::sleep(again_after).await;
        Ok(())
    }
}

fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(DELAY_MIN)
        .with_max_delay(DELAY_MAX)
        .without_max_times()
        .with_jitter()
        .build()
}

/// Whether the same may work a little later; a stream that breaks says so in many ways.
fn passes(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::Unknown
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Internal
    )
}
