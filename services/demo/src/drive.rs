//! `duban drive`: walks open tickets to closure through gRPC, as the departments would.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use duban_client::{Client, ClientError};
use duban_proto::api::v1 as api;
use serde::Serialize;
use tokio::sync::{Mutex, mpsc};

use crate::walk::walk;

/// What driving did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Driven {
    /// Tickets that were open.
    pub tickets: u64,
    /// Of these, closed with a certificate.
    pub closed: u64,
    /// Commands carried out.
    pub commands: u64,
    /// Commands refused (somebody else was faster).
    pub refused: u64,
    /// Tickets that did not go on, each with its reason.
    pub stuck: Vec<String>,
}

/// Tickets walked at the same time.
const AT_ONCE: usize = 32;

/// Walks all open tickets, or those named.
///
/// # Errors
/// [`ClientError`] when the server cannot be asked at all; a ticket that is stuck stands in [`Driven::stuck`].
pub async fn drive(
    client: &Client,
    named: Option<Vec<String>>,
    progress: impl Fn(u64, u64) + Send + Sync,
) -> Result<Driven, ClientError> {
    let tickets = match named {
        Some(named) => named,
        None => open_tickets(client).await?,
    };
    let total = u64::try_from(tickets.len()).unwrap_or(u64::MAX);
    let (sender, receiver) = mpsc::channel(tickets.len().max(1));
    for ticket in tickets {
        // The channel holds them all.
        let _ = sender.send(ticket).await;
    }
    drop(sender);
    let receiver = Arc::new(Mutex::new(receiver));
    let driven = Arc::new(Mutex::new(Driven { tickets: total, ..Driven::default() }));
    let done = AtomicU64::new(0);
    let workers = (0..AT_ONCE).map(|_| async {
        loop {
            let Some(ticket) = receiver.lock().await.recv().await else { return };
            let outcome = walk(client, &ticket).await;
            let mut driven = driven.lock().await;
            match outcome {
                Ok(walked) => {
                    driven.closed += u64::from(walked.closed);
                    driven.commands += walked.commands;
                    driven.refused += walked.refused;
                }
                Err(error) => driven.stuck.push(format!("{ticket}: {error}")),
            }
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
        }
    });
    futures::future::join_all(workers).await;
    let driven = driven.lock().await.clone();
    Ok(driven)
}

/// The ids of all open tickets, oldest first.
///
/// # Errors
/// [`ClientError::Refused`].
pub async fn open_tickets(client: &Client) -> Result<Vec<String>, ClientError> {
    let filter = api::TicketFilter { states: vec![api::TicketState::Open.into()], ..Default::default() };
    client.tickets(filter).await.map(|rows| rows.into_iter().map(|row| row.ticket_id).collect())
}
