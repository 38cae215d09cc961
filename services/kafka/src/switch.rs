//! On or off, from outside, at any time.

use std::future::Future;

use duban_engine::drain::Drain;
use tokio::sync::watch;

/// Turns a part on and off. Clones are handles on the same one.
#[derive(Clone, Debug)]
pub struct Switch(watch::Sender<bool>);

impl Switch {
    /// A switch.
    #[must_use]
    pub fn new(on: bool) -> Self {
        Self(watch::Sender::new(on))
    }

    /// Turns it. A part that is turned off finishes what is under way, and goes on from there when it is turned on again.
    pub fn set(&self, on: bool) {
        self.0.send_replace(on);
    }

    /// Whether it is on.
    #[must_use]
    pub fn is_on(&self) -> bool {
        *self.0.borrow()
    }

    /// Completes once it is on; false where the server stops before that.
    pub(crate) async fn on(&self, drain: &Drain) -> bool {
        let mut turned = self.0.subscribe();
        tokio::select! {
            biased;
            () = drain.started() => false,
            on = turned.wait_for(|on| *on) => on.is_ok(),
        }
    }

    /// Completes once it is off, or the server stops.
    pub(crate) fn off(&self, drain: &Drain) -> impl Future<Output = ()> + Send + use<> {
        let (mut turned, keep, draining) = (self.0.subscribe(), self.0.clone(), drain.started());
        async move {
            tokio::select! {
                () = draining => {}
                _ = turned.wait_for(|on| !*on) => {}
            }
            drop(keep);
        }
    }
}
