//! The emergencies that last, and the policy that each names for new tickets (domain.md section 9).

use std::sync::Arc;

use duban_aggregates::area::Area;
use duban_aggregates::emergency::Emergency;
use duban_aggregates::policy::Policy;
use parking_lot::RwLock;

use super::Rules;

#[derive(Clone, Debug)]
struct Lasting {
    emergency: Emergency,
    /// The rules in force, with the emergency's edition in front.
    policy: Arc<Policy>,
}

/// The emergencies that last, the one declared first coming first. A ticket whose intake is decided after an emergency's
/// declaration was answered is under it.
#[derive(Debug, Default)]
pub struct Emergencies {
    lasting: RwLock<Vec<Lasting>>,
}

impl Emergencies {
    /// Takes note of how an emergency stands.
    pub fn note(&self, emergency: &Emergency, rules: &Rules) {
        let mut lasting = self.lasting.write();
        lasting.retain(|known| known.emergency.id != emergency.id);
        if emergency.until.is_some() {
            return;
        }
        let Some(policy) = rules.policy.led_by(&emergency.policy) else {
            // It was known when the emergency was declared, and the log keeps it.
            tracing::error!(emergency = %emergency.id, policy = emergency.policy, "an emergency's policy is not known");
            return;
        };
        lasting.push(Lasting { emergency: emergency.clone(), policy: Arc::new(policy) });
        lasting.sort_by_key(|known| (known.emergency.since, known.emergency.id));
    }

    /// The policy for a ticket that is taken in somewhere now: the last declared emergency's that holds there.
    #[must_use]
    pub fn policy_for(&self, area: &Area) -> Option<Arc<Policy>> {
        let lasting = self.lasting.read();
        let holds = lasting.iter().rev().find(|known| known.emergency.place.holds(area));
        holds.map(|known| Arc::clone(&known.policy))
    }

    /// The emergencies that last.
    #[must_use]
    pub fn lasting(&self) -> Vec<Emergency> {
        self.lasting.read().iter().map(|known| known.emergency.clone()).collect()
    }

    /// The hook of [`Aggregate::written`](super::Aggregate::written).
    pub(super) fn written(emergency: &Emergency, rules: &Rules, emergencies: &Self) {
        emergencies.note(emergency, rules);
    }
}
