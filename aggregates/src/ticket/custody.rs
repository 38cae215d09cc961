//! Custody 在手时长: who had the ticket, second by second (domain.md section 4).
//!
//! Boundaries are the recorded moments cut to whole seconds, so the parts add up to the open time exactly.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::ids::UnitId;
use crate::ticket::Ticket;
use crate::ticket::chain::table::InHandOf;
use crate::ticket::order::Status;
use crate::words::{PauseCode, Stage};

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

/// A stretch as it counts up to some moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Who.
    pub holder: Holder,
    /// From this second on (since the epoch).
    pub from_second: i64,
    /// Up to this second.
    pub until_second: i64,
    /// It goes on: it ended then only because nothing later was asked for.
    pub is_open: bool,
}

impl Held {
    /// How long, in seconds. Nobody's time counts nothing, so that the seconds add up to the open time.
    #[must_use]
    pub fn seconds(&self) -> i64 {
        if self.holder == Holder::Nobody { 0 } else { self.until_second - self.from_second }
    }
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

    /// The stretches as they count up to a moment: what begins after it is left out, and what goes on beyond it ends there.
    #[must_use]
    pub fn up_to(&self, moment: Timestamp) -> Vec<Held> {
        let end = moment.as_second();
        let nexts = self.stretches.iter().skip(1).map(|next| Some(next.from_second));
        let begun = self.stretches.iter().zip(nexts.chain([None])).filter(|(it, _)| it.from_second <= end);
        let held = begun.map(|(stretch, next)| Held {
            holder: stretch.holder.clone(),
            from_second: stretch.from_second,
            until_second: next.map_or(end, |next| next.min(end)),
            is_open: next.is_none_or(|next| next > end),
        });
        held.collect()
    }

    /// Seconds by holder up to `now`, without the time between an end and a reopening.
    #[must_use]
    pub fn seconds(&self, now: Timestamp) -> BTreeMap<Holder, i64> {
        let mut sums = BTreeMap::new();
        for held in self.up_to(now).into_iter().filter(|held| held.holder != Holder::Nobody) {
            *sums.entry(held.holder.clone()).or_insert(0) += held.seconds();
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
        Some(lead) if ticket.stage.row().in_hand_of == InHandOf::LeadUnit => {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn custody_up_to_a_moment_ends_there_and_leaves_out_what_began_later() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let unit = |name: &str| Holder::Unit(name.into());
        let mut custody = Custody::default();
        let story =
            [(100, unit("desk")), (150, Holder::Customer), (200, Holder::Nobody), (260, unit("desk"))];
        for (second, holder) in story.clone() {
            custody.observe(holder, at(second));
        }
        let whole = custody.up_to(at(300));
        assert_eq!(whole.iter().map(Held::seconds).collect::<Vec<_>>(), [50, 50, 0, 40]);
        assert_eq!(whole.iter().map(|held| held.is_open).collect::<Vec<_>>(), [false, false, false, true]);
        for (moment, seconds) in
            [(99, 0), (100, 0), (160, 60), (200, 100), (230, 100), (261, 101), (300, 140)]
        {
            let held = custody.up_to(at(moment));
            assert_eq!(held.iter().map(Held::seconds).sum::<i64>(), seconds, "up to {moment}");
            assert_eq!(custody.seconds(at(moment)).values().sum::<i64>(), seconds);
            assert!(held.iter().all(|held| held.until_second <= moment));
            assert_eq!(held.iter().filter(|held| held.is_open).count(), usize::from(moment >= 100));
        }
        assert_eq!(
            custody.up_to(at(160))[1],
            Held { holder: story[1].1.clone(), from_second: 150, until_second: 160, is_open: true }
        );
    }
}
