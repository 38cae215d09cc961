//! Kafka beside the log: events out, facts in (design.md section 4).
//!
//! [`Relay`] publishes every event of the log, at least once and in order per stream, with ids on which readers dedupe. [`Facts`] turns
//! what other systems say into ordinary commands, once each. [`Kafka`] is both, as a server runs them: it implements
//! [`duban_engine::sidecar::Sidecar`], and each part has a [`Switch`], for servers of which only one relays at a time.
//!
//! Neither ever gives up: while brokers are away, both wait, say so, and go on where they were. Nothing of Kafka's holds up commands.

mod client;
mod error;
mod facts;
mod relay;
mod switch;
mod topics;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use duban_engine::sidecar::kafka_config::KafkaConfig;
use duban_engine::sidecar::{Sidecar, SidecarHost};
use duban_engine::tasks::Task;
use parking_lot::Mutex;

pub use self::error::KafkaError;
pub use self::facts::{Facts, FactsStatus, Reason, Source, command_id, record_id};
pub use self::relay::{Relay, RelayStatus};
pub use self::switch::Switch;
pub use self::topics::Names;

/// Both parts, beside a server.
pub struct Kafka {
    config: Arc<KafkaConfig>,
    relay_switch: Switch,
    facts_switch: Switch,
    facts: Mutex<Option<Arc<Facts>>>,
    relay: Mutex<Option<Arc<Relay>>>,
}

impl Kafka {
    /// Takes the configuration; nothing is connected yet.
    #[must_use]
    pub fn new(config: KafkaConfig) -> Arc<Self> {
        let (relay_switch, facts_switch) = (Switch::new(config.relay), Switch::new(config.facts));
        Arc::new(Self {
            config: Arc::new(config),
            relay_switch,
            facts_switch,
            facts: Mutex::default(),
            relay: Mutex::default(),
        })
    }

    /// Turns the relay on and off.
    #[must_use]
    pub fn relay_switch(&self) -> &Switch {
        &self.relay_switch
    }

    /// Turns the taking in of facts on and off.
    #[must_use]
    pub fn facts_switch(&self) -> &Switch {
        &self.facts_switch
    }

    /// The relay, once the server is ready.
    #[must_use]
    pub fn relay(&self) -> Option<Arc<Relay>> {
        self.relay.lock().clone()
    }

    /// The taking in of facts, once the server has read its log.
    #[must_use]
    pub fn facts(&self) -> Option<Arc<Facts>> {
        self.facts.lock().clone()
    }
}

#[async_trait]
impl Sidecar for Kafka {
    async fn before_timers(&self, host: &SidecarHost) {
        if !self.facts_switch.is_on() {
            return;
        }
        let facts = Arc::new(Facts::new(Arc::clone(&self.config), host.clone(), self.facts_switch.clone()));
        *self.facts.lock() = Some(Arc::clone(&facts));
        host.tasks.spawn(Task::KafkaFacts, {
            let facts = Arc::clone(&facts);
            move || {
                let facts = Arc::clone(&facts);
                async move {
                    facts.run().await;
                    Ok(())
                }
            }
        });
        facts.caught_up(Duration::from_secs(self.config.facts_wait_seconds_max)).await;
    }

    fn start(&self, host: &SidecarHost) {
        let relay = Relay::new(Arc::clone(&self.config), host.clone(), self.relay_switch.clone());
        let relay = Arc::new(relay);
        *self.relay.lock() = Some(Arc::clone(&relay));
        host.tasks.spawn(Task::KafkaRelay, move || {
            let relay = Arc::clone(&relay);
            async move {
                relay.run().await;
                Ok(())
            }
        });
    }

    fn leads(&self, leads: bool) {
        self.relay_switch.set(leads && self.config.relay);
    }
}
