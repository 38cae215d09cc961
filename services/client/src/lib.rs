//! The Rust client of a duban server.
//!
//! ```no_run
//! # async fn example() -> Result<(), duban_client::ClientError> {
//! use duban_client::{Client, ConnectOptions, Tokens};
//!
//! let tokens = Tokens::read("./tokens".as_ref())?;
//! let options = ConnectOptions::new("https://duban.example:7110").ca_file("./ca.pem");
//! let client = Client::connect(&options, tokens).await?;
//! let ticket = client.ticket("0198b7c2-0000-7000-8000-000000000001", "").await?;
//! # let _ = ticket;
//! # Ok(())
//! # }
//! ```
//!
//! - [`Client`] is a connection with the tokens that may be used on it; every generated client of [`duban_proto`] runs over an
//!   [`AuthorizedChannel`] of it.
//! - Whatever passes is sent again, the same bytes under the same command id, until it is answered or the deadline comes: a lost
//!   connection, UNAVAILABLE, ABORTED, and RESOURCE_EXHAUSTED where the server said when ([`RetryPolicy`]).
//! - [`Subscription`] follows the log and goes on after its last token, whatever comes between.
//! - [`Refusal`] is what a server says that refuses: its reason, the stage now and needed, what is missing.

mod channel;
mod client;
mod command_id;
mod connection;
mod error;
mod refusal;
mod retry;
mod subscription;
mod tokens;

pub use self::channel::AuthorizedChannel;
pub use self::client::Client;
pub use self::command_id::{random_command_id, step_command_id};
pub use self::connection::ConnectOptions;
pub use self::error::ClientError;
pub use self::refusal::{Refusal, Violation};
pub use self::retry::RetryPolicy;
pub use self::subscription::{Interruption, StartAt, Subscription};
pub use self::tokens::{Bearer, TokenHolder, Tokens};
