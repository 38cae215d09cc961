//! A server as verbs reach it, by the names that some of them still have for it.

use duban_client::ConnectOptions;
pub(crate) use duban_client::{
    AuthorizedChannel as Authed, Client as Office, ClientError as CallError, Tokens,
};

/// Connects to a server.
///
/// # Errors
/// [`CallError`].
pub(crate) async fn connect(server: &str, tokens: Tokens) -> Result<Office, CallError> {
    Office::connect(&ConnectOptions::new(server), tokens).await
}
