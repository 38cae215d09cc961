//! Erasures that another server over the same log was asked for: each server does them again, which forgets what it kept itself.

use std::time::Duration;

use duban_aggregates::ids::CustomerId;
use duban_log::{Delivery, EventLog, Filter, Recorded};

use crate::seal::Sealer;

/// Between two tries.
const RETRY: Duration = Duration::from_secs(1);

/// Follows events of the type `erased`, whose streams are the customers', until the server stops. What was erased before it began, no
/// server keeps.
pub async fn follow(
    log: &dyn EventLog,
    erased: &'static str,
    sealer: &Sealer,
    stopped: impl Future<Output = ()>,
) {
    let following = async {
        let mut after = log.head().position;
        loop {
            let Ok(mut subscription) = log.subscribe(after, Filter::all().kind(erased)).await else {
                tokio::time::sleep(RETRY).await;
                continue;
            };
            loop {
                match subscription.next().await {
                    Ok(Delivery::Events(events)) => {
                        for event in &events {
                            erase(event, sealer).await;
                        }
                    }
                    Ok(Delivery::CaughtUp(_) | Delivery::Checkpoint(_) | Delivery::FellBehind) => {}
                    Err(duban_log::Error::Closed) => return,
                    Err(error) => {
                        tracing::warn!(%error, "erasures cannot be followed just now: trying again");
                        tokio::time::sleep(RETRY).await;
                        break;
                    }
                }
                after = subscription.position();
            }
        }
    };
    tokio::select! {
        () = stopped => {}
        () = following => {}
    }
}

async fn erase(event: &Recorded, sealer: &Sealer) {
    let id = event.stream.as_str().split_once('-').and_then(|(_, id)| id.parse().ok());
    let Some(customer) = id.map(CustomerId) else { return };
    // What is kept here is forgotten at once, whatever becomes of the rest.
    while let Err(error) = sealer.keys().erase(customer).await {
        tracing::warn!(%customer, %error, "a key that was erased elsewhere cannot be erased again just now: trying again");
        tokio::time::sleep(RETRY).await;
    }
}
