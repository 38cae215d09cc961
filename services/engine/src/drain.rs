//! The word that the server stops, for every part of it.

use std::future::Future;

use tokio::sync::watch;

/// Tells every part of the server that it is stopping. Clones are handles on the same one.
///
/// Streams that would live for ever (subscriptions) select on [`Drain::started`] and end with UNAVAILABLE, so that their
/// readers go on elsewhere from the last resume token.
#[derive(Clone, Debug)]
pub struct Drain {
    started: watch::Sender<bool>,
}

impl Default for Drain {
    fn default() -> Self {
        Self { started: watch::Sender::new(false) }
    }
}

impl Drain {
    /// Starts to stop; once is enough.
    pub fn start(&self) {
        self.started.send_replace(true);
    }

    /// Whether the server is stopping.
    #[must_use]
    pub fn is_started(&self) -> bool {
        *self.started.borrow()
    }

    /// Completes once the server is stopping.
    pub fn started(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut started = self.started.subscribe();
        // Without this handle a caller that dropped every Drain would be told of a stop that nobody asked for.
        let keep = self.started.clone();
        async move {
            let _ = started.wait_for(|started| *started).await;
            drop(keep);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_outlives_the_handle_it_came_from() {
        let drain = Drain::default();
        let waiting = tokio::spawn(drain.clone().started());
        drain.start();
        waiting.await.unwrap();
        drain.started().await;
    }
}
