//! Custody 在手时长: who had the ticket, second by second (domain.md section 4).
//!
//! Boundaries are the recorded moments cut to whole seconds, so the parts add up to the open time exactly.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::chain::Stage;
use crate::clock::PauseCode;
use crate::ids::UnitId;
use crate::order::Status;
use crate::ticket::Ticket;

/// Who has a ticket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// A department or a responsible unit.
    Unit(UnitId),
    /// The customer, while the ticket is paused for them.
    Customer,
    /// A third party, while the ticket is paused for it.
    ThirdParty,
    /// Force majeure, while the ticket is paused for it.
    ForceMajeure,
    /// Nobody: the ticket has ended and was not reopened.
    Nobody,
}

impl Holder {
    /// The holder's name as it stands in histories.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Unit(unit) => unit.as_str(),
            Self::Customer => "customer",
            Self::ThirdParty => "third_party",
            Self::ForceMajeure => "force_majeure",
            Self::Nobody => "nobody",
        }
    }
}

/// A stretch of time in one holder's hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Who.
    pub holder: Holder,
    /// From this second on (since the epoch).
    pub from_second: i64,
}

/// The ticket's stretches, in order; the last is open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Custody {
    stretches: Vec<Stretch>,
}

impl Custody {
    /// Notes who has the ticket from this moment on.
    pub(crate) fn observe(&mut self, holder: Holder, at: Timestamp) {
        let from_second = at.as_second();
        match self.stretches.last_mut() {
            Some(last) if last.holder == holder => {}
            // A holder of no whole second had the ticket for none: the next one takes the place.
            Some(last) if last.from_second == from_second => {
                last.holder = holder;
                self.join_equal_neighbours();
            }
            _ => self.stretches.push(Stretch { holder, from_second }),
        }
    }

    fn join_equal_neighbours(&mut self) {
        if let [.., before, last] = self.stretches.as_slice()
            && before.holder == last.holder
        {
            self.stretches.pop();
        }
    }

    /// The stretches, in order.
    #[must_use]
    pub fn stretches(&self) -> &[Stretch] {
        &self.stretches
    }

    /// Who has the ticket.
    #[must_use]
    pub fn holder(&self) -> &Holder {
        self.stretches.last().map_or(&Holder::Nobody, |stretch| &stretch.holder)
    }

    /// Seconds by holder up to `now`, without the time between an end and a reopening.
    #[must_use]
    pub fn seconds(&self, now: Timestamp) -> BTreeMap<Holder, i64> {
        let ends = self.stretches.iter().skip(1).map(|next| next.from_second);
        let mut sums = BTreeMap::new();
        for (stretch, end) in self.stretches.iter().zip(ends.chain([now.as_second()])) {
            if stretch.holder != Holder::Nobody {
                *sums.entry(stretch.holder.clone()).or_insert(0) += (end - stretch.from_second).max(0);
            }
        }
        sums
    }
}

/// Who has the ticket now.
pub(crate) fn holder(ticket: &Ticket) -> Holder {
    if ticket.ended.is_some() {
        return Holder::Nobody;
    }
    match ticket.pause.as_ref().map(|pause| pause.code) {
        Some(PauseCode::Customer) => return Holder::Customer,
        Some(PauseCode::ThirdParty) => return Holder::ThirdParty,
        Some(PauseCode::ForceMajeure) => return Holder::ForceMajeure,
        // Without resources the ticket stays with its unit.
        Some(PauseCode::Resources) | None => {}
    }
    let department = |stage: Stage| Holder::Unit(stage.department().into());
    match ticket.lead() {
        Some(lead) if ticket.stage == Stage::Reply => {
            if lead.status == Status::ReturnAsked {
                return department(Stage::Dispatch);
            }
            let assist =
                lead.waits_for.and_then(|assist| ticket.order(assist)).filter(|assist| assist.is_open());
            Holder::Unit(assist.unwrap_or(lead).unit.clone())
        }
        _ => department(ticket.stage),
    }
}
