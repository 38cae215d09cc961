//! An SLA monitor: it follows everything that happens, is cut off more than once, and goes on after its token.

use std::time::Duration;

use duban_client::{StartAt, Subscription};
use duban_proto::api::v1::StreamNews;
use duban_proto::event::v1::Event;

use super::{DemoError, World};

/// The longest that a message which must come may take; a server that has it sends it at once.
const PATIENCE: Duration = Duration::from_secs(30);

/// A subscriber, with everything that it was told.
pub(super) struct Monitor {
    /// None while it is cut off.
    stream: Option<Subscription>,
    token: String,
    told: Vec<Event>,
}

impl Monitor {
    /// Subscribes to everything, from the first event on.
    ///
    /// # Errors
    /// [`DemoError::Call`].
    pub(super) fn from_start(world: &World) -> Result<Self, DemoError> {
        let stream = subscribe(world, StartAt::Beginning)?;
        Ok(Self { stream: Some(stream), token: String::new(), told: Vec::new() })
    }

    /// Loses its connection, and whatever was on its way there.
    pub(super) fn cut_off(&mut self) {
        self.stream = None;
    }

    /// Subscribes again, after the last message that it has taken in.
    ///
    /// # Errors
    /// [`DemoError::Call`].
    pub(super) fn resume(&mut self, world: &World) -> Result<(), DemoError> {
        self.stream = Some(subscribe(world, StartAt::Token(self.token.clone()))?);
        Ok(())
    }

    /// Takes in one message.
    ///
    /// # Errors
    /// [`DemoError::Stream`] where none comes.
    pub(super) async fn message(&mut self) -> Result<StreamNews, DemoError> {
        let stream = self.stream.as_mut().ok_or_else(|| DemoError::Stream("it is cut off".into()))?;
        let message = tokio::time::timeout(PATIENCE, stream.message())
            .await
            .map_err(|_| DemoError::Stream(format!("nothing came for {} s", PATIENCE.as_secs())))??;
        let news = message.news();
        self.token = message.token;
        self.told.extend(message.events);
        Ok(news)
    }

    /// Takes in everything that there is now.
    ///
    /// # Errors
    /// [`DemoError::Stream`].
    pub(super) async fn catch_up(&mut self) -> Result<(), DemoError> {
        while self.message().await? != StreamNews::CaughtUp {}
        Ok(())
    }

    /// Takes in messages until an event has come, and answers it.
    ///
    /// # Errors
    /// [`DemoError::Stream`] where it does not come.
    pub(super) async fn until(&mut self, which: impl Fn(&Event) -> bool) -> Result<Event, DemoError> {
        let mut looked_at = 0;
        loop {
            if let Some(event) = self.told[looked_at..].iter().find(|event| which(event)) {
                return Ok(event.clone());
            }
            looked_at = self.told.len();
            self.message().await?;
        }
    }

    /// Everything that it was told is everything that there is, in order, once: compared with a reader that was never
    /// cut off, and with the number of events in the log. Answers how many.
    ///
    /// # Errors
    /// [`DemoError::Stream`] where an event is missing, comes twice, or out of order.
    pub(super) async fn has_missed_nothing(mut self, world: &World, size: u64) -> Result<u64, DemoError> {
        self.catch_up().await?;
        let mut whole = Self::from_start(world)?;
        whole.catch_up().await?;
        let count = u64::try_from(whole.told.len()).unwrap_or(u64::MAX);
        if count != size {
            return Err(DemoError::Stream(format!(
                "a reader from the start got {count} events, and the log has {size}"
            )));
        }
        let apart = self.told.iter().zip(&whole.told).position(|(left, right)| left != right);
        if let Some(index) = apart {
            return Err(DemoError::Stream(format!(
                "event {index} is another after being cut off and resumed"
            )));
        }
        if self.told.len() != whole.told.len() {
            let resumed = self.told.len();
            return Err(DemoError::Stream(format!("{resumed} events came after being resumed, not {count}")));
        }
        Ok(count)
    }
}

fn subscribe(world: &World, start_at: StartAt) -> Result<Subscription, DemoError> {
    Ok(Subscription::new(&world.client, "monitor", "monitoring", start_at)?)
}
