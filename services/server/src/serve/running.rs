//! A server that serves, until it is stopped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use duban_aggregates::actor::Actor;
use duban_engine::Engine;
use duban_engine::days::Days;
use duban_engine::lease::Lease;
use duban_engine::runner::Runner;
use duban_engine::tasks::TaskStates;
use duban_engine::time::{Clock, SystemClock};
use duban_engine::timers::Timers;
use duban_engine::views::Views;
use tokio::sync::watch;

use super::{ServeError, Serving};
use crate::shutdown::{Ended, Signals};

/// How long a throw-away token is valid.
const TOKEN_VALID_FOR: Duration = Duration::from_hours(24);

/// A server that serves.
pub struct Running {
    engine: Engine,
    serving: Serving,
    signals: Option<Signals>,
}

impl Running {
    pub(super) fn new(engine: Engine, serving: Serving) -> Self {
        Self { engine, serving, signals: None }
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.serving.addr
    }

    /// A token that proves an actor, valid for a day. Development only.
    ///
    /// # Errors
    /// [`ServeError::NoTokens`] where an identity provider proves callers.
    pub fn mint(&self, actor: &Actor) -> Result<String, ServeError> {
        let issuer = self.serving.issuer.as_ref().ok_or(ServeError::NoTokens)?;
        Ok(issuer.mint(actor, SystemClock::default().now(), TOKEN_VALID_FOR)?.text)
    }

    /// How its background tasks stand, as it changes.
    #[must_use]
    pub fn tasks(&self) -> watch::Receiver<TaskStates> {
        self.engine.tasks().watch()
    }

    /// The runner below the services, for what runs in the same process.
    #[must_use]
    pub fn runner(&self) -> &Arc<Runner> {
        self.engine.runner()
    }

    /// The read models.
    #[must_use]
    pub fn views(&self) -> &Views {
        self.engine.views()
    }

    /// What happens by itself.
    #[must_use]
    pub fn timers(&self) -> &Arc<Timers> {
        self.engine.timers()
    }

    /// The office's days.
    #[must_use]
    pub fn days(&self) -> &Arc<Days> {
        self.engine.days()
    }

    /// Who of several servers does what needs one only; a server that is alone always does.
    #[must_use]
    pub fn lease(&self) -> &Arc<Lease> {
        self.engine.lease()
    }

    /// Waits until everything that is to happen by itself now has happened: see [`Engine::settled`].
    pub async fn settled(&self) {
        self.engine.settled().await;
    }

    /// Stops: takes nothing new, finishes what is under way, closes the log.
    ///
    /// # Errors
    /// What serving failed with.
    pub async fn stop(self) -> Result<(), ServeError> {
        // Nobody listens where it has ended by itself, and then there is nothing to stop.
        let _ = self.serving.stop.send(()).await;
        self.ended().await.map(|_| ())
    }

    /// Takes over SIGTERM and SIGINT from here on. A process calls it before it says that it is ready, so that no signal
    /// meets the default action.
    ///
    /// # Errors
    /// [`ServeError::Signals`].
    pub fn heed_signals(&mut self) -> Result<(), ServeError> {
        self.signals = Some(Signals::take_over().map_err(ServeError::Signals)?);
        Ok(())
    }

    /// Serves until SIGTERM or SIGINT, or until a task fails without which there is no server, then stops; a second signal cuts off what
    /// is under way.
    ///
    /// # Errors
    /// What serving failed with.
    pub async fn until_told_to_stop(mut self) -> Result<Ended, ServeError> {
        let mut signals = match self.signals.take() {
            Some(signals) => signals,
            None => Signals::take_over().map_err(ServeError::Signals)?,
        };
        let stop = self.serving.stop.clone();
        let ended = self.ended();
        tokio::pin!(ended);
        loop {
            tokio::select! {
                ended = &mut ended => return ended,
                // Two requests wait at the most, and the second cuts off already.
                () = signals.next() => drop(stop.try_send(())),
            }
        }
    }

    async fn ended(self) -> Result<Ended, ServeError> {
        let Self { engine, serving, .. } = self;
        let mut outcome = serving.ended;
        let outcome = tokio::select! {
            outcome = &mut outcome => outcome.ok(),
            _ = engine.tasks().failed() => {
                // Where serving itself failed, nobody listens, and there is no outcome.
                let _ = serving.stop.send(()).await;
                outcome.await.ok()
            }
        };
        engine.stop().await?;
        match engine.tasks().failure() {
            Some(failure) => Err(failure.into()),
            None => Ok(outcome.unwrap_or(Ended::Cut)),
        }
    }
}
