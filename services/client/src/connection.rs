//! How a server is reached.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use crate::{ClientError, RetryPolicy};

/// A connection that is silent for so long is asked whether it still lives, and given up after as long again.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// How a server is reached.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    url: String,
    ca_file: Option<PathBuf>,
    deadline: Duration,
    retry: RetryPolicy,
    windows_bytes: Option<(u32, u32)>,
    lazy: bool,
}

impl ConnectOptions {
    /// A server at `http://HOST:PORT`, or at `https://HOST:PORT` with a certificate that the system trusts.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            ca_file: None,
            deadline: Duration::from_secs(30),
            retry: RetryPolicy::default(),
            windows_bytes: None,
            lazy: false,
        }
    }

    /// Trusts the certificates in this PEM file, and no others.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// How long a call may take, repeats included; 30 s where not said. Streams end when they end.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How often and how fast the same is sent again.
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// How many bytes a whole connection, and one stream of it, may be sent ahead of what is read.
    #[must_use]
    pub fn windows_bytes(mut self, connection: u32, stream: u32) -> Self {
        self.windows_bytes = Some((connection, stream));
        self
    }

    /// Connects with the first call; until then nothing is known of the server.
    #[must_use]
    pub fn lazy(mut self) -> Self {
        self.lazy = true;
        self
    }

    pub(crate) fn settings(&self) -> (Duration, RetryPolicy) {
        (self.deadline, self.retry)
    }

    /// A channel.
    pub(crate) async fn channel(&self) -> Result<Channel, ClientError> {
        let endpoint = self.endpoint()?;
        if self.lazy {
            return Ok(endpoint.connect_lazy());
        }
        endpoint.connect().await.map_err(|source| ClientError::Connect { url: self.url.clone(), source })
    }

    fn endpoint(&self) -> Result<Endpoint, ClientError> {
        let url = || self.url.clone();
        let mut endpoint = Endpoint::from_shared(url())
            .map_err(|source| ClientError::Address { url: url(), source })?
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE)
            .tcp_nodelay(true);
        if let Some((connection, stream)) = self.windows_bytes {
            endpoint = endpoint.initial_connection_window_size(connection).initial_stream_window_size(stream);
        }
        if endpoint.uri().scheme_str() != Some("https") {
            return match self.ca_file {
                None => Ok(endpoint),
                Some(_) => Err(ClientError::NotProtected { url: url() }),
            };
        }
        let tls = match &self.ca_file {
            Some(path) => ClientTlsConfig::new().ca_certificate(certificates(path)?),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        endpoint.tls_config(tls).map_err(|source| ClientError::Certificates { url: url(), source })
    }
}

fn certificates(path: &Path) -> Result<Certificate, ClientError> {
    let pem = std::fs::read(path).map_err(|source| ClientError::CaFile { path: path.to_owned(), source })?;
    Ok(Certificate::from_pem(pem))
}
