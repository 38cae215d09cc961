//! Verdicts, appeals and penalties (domain.md section 7).

use jiff::Timestamp;

use crate::checks::{named, required};
use crate::ids::{EmployeeId, EventId, UnitId, VerdictNo};
use crate::meta::Meta;
use crate::rejection::Rejection;
use crate::sealed::Sealed;
use crate::ticket::chain::NewVerdict;
use crate::ticket::draft::Draft;
use crate::ticket::state::{Ticket, index};
use crate::words::Stage;

/// What assessment found about a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The unit is at fault.
    AtFault {
        /// The rule of the assessment rule set 考核办法.
        rule: String,
        /// Points deducted.
        points: u32,
        /// Money deducted, in fen.
        penalty_fen: u64,
        /// The events that the deduction points at.
        because: Vec<EventId>,
        /// In words.
        reason: Sealed,
    },
    /// The unit is not at fault.
    NotAtFault {
        /// Why.
        reason: Sealed,
    },
}

impl Finding {
    /// Whether anything has to be carried out.
    #[must_use]
    pub fn has_penalty(&self) -> bool {
        matches!(self, Self::AtFault { points, penalty_fen, .. } if *points > 0 || *penalty_fen > 0)
    }
}

/// What happened to verdicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The unit accepts.
    Accepted {
        /// The verdict.
        verdict: VerdictNo,
    },
    /// The unit appeals.
    Appealed {
        /// The verdict.
        verdict: VerdictNo,
        /// Why.
        grounds: Sealed,
    },
    /// Another assessor granted the appeal: the verdict is reversed.
    AppealGranted {
        /// The verdict.
        verdict: VerdictNo,
        /// Why.
        reason: Sealed,
    },
    /// Another assessor refused the appeal.
    AppealRefused {
        /// The verdict.
        verdict: VerdictNo,
        /// Why.
        reason: Sealed,
    },
    /// Accepted, decided, or 5 working days passed without an appeal.
    BecameFinal {
        /// The verdict.
        verdict: VerdictNo,
    },
    /// Points when final, money when the payroll reference is recorded.
    PenaltyCarriedOut {
        /// The verdict.
        verdict: VerdictNo,
        /// The payroll reference, for money.
        payroll_reference: Option<String>,
    },
    /// A reversal after closing: the certificate gets an erratum and stays closed.
    ErratumRecorded {
        /// The verdict.
        verdict: VerdictNo,
        /// Why.
        reason: Sealed,
    },
}

/// What may be asked of verdicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Accept a verdict (the unit's supervisor or member).
    Accept {
        /// The verdict.
        verdict: VerdictNo,
    },
    /// Appeal a verdict within 5 working days.
    Appeal {
        /// The verdict.
        verdict: VerdictNo,
        /// Why; required.
        grounds: Sealed,
    },
    /// Decide an appeal.
    DecideAppeal {
        /// The verdict.
        verdict: VerdictNo,
        /// Granted reverses the verdict.
        granted: bool,
        /// Why; required.
        reason: Sealed,
    },
    /// Record that a penalty was carried out.
    CarryOutPenalty {
        /// The verdict.
        verdict: VerdictNo,
        /// The payroll reference; required for money.
        payroll_reference: String,
    },
    /// Reverse a final verdict, also after closing.
    Reverse {
        /// The verdict.
        verdict: VerdictNo,
        /// Why; required.
        reason: Sealed,
    },
}

/// A verdict as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Its number inside the ticket.
    pub number: VerdictNo,
    /// On whom.
    pub unit: UnitId,
    /// What was found.
    pub finding: Finding,
    /// The event that gave it.
    pub given: EventId,
    /// When it was given; the window for an appeal opens here.
    pub given_at: Timestamp,
    /// Who gave it: an appeal is decided by somebody else.
    pub assessor: EmployeeId,
    /// An appeal waits for its decision.
    pub appealed: bool,
    /// An appeal was refused; there is no second.
    pub appeal_refused: bool,
    /// No appeal is possible any more.
    pub is_final: bool,
    /// An appeal was granted, or it was reversed later: it carries no penalty.
    pub reversed: bool,
    /// A later round's verdict on the same unit took its place.
    pub superseded: bool,
    /// The event by which its penalty was carried out.
    pub carried_out: Option<EventId>,
}

impl Verdict {
    /// It counts: neither reversed nor superseded.
    #[must_use]
    pub fn is_standing(&self) -> bool {
        !self.reversed && !self.superseded
    }

    /// It becomes final by itself unless somebody appeals in time.
    #[must_use]
    pub fn awaits_appeal(&self) -> bool {
        !self.is_final && !self.superseded && !self.appealed
    }

    /// A penalty that was imposed and not carried out.
    #[must_use]
    pub fn owes_penalty(&self) -> bool {
        self.is_standing() && self.finding.has_penalty() && self.carried_out.is_none()
    }
}

impl Ticket {
    /// It ended while it was assessed, and its verdicts are to be given all the same.
    #[must_use]
    pub fn owes_assessment(&self) -> bool {
        !self.is_open() && self.stage == Stage::Assess
    }

    /// The verdict that settles a unit's part: the last one that was not superseded. A reversed one settles too.
    #[must_use]
    pub fn verdict_on(&self, unit: &UnitId) -> Option<&Verdict> {
        self.verdicts.iter().rev().find(|verdict| verdict.unit == *unit && !verdict.superseded)
    }
}

/// Takes a new verdict in, in the place of an earlier one on the same unit.
pub(crate) fn give(ticket: &mut Ticket, new: &NewVerdict, meta: &Meta) {
    for earlier in ticket.verdicts.iter_mut().filter(|earlier| earlier.unit == new.unit) {
        earlier.superseded = true;
    }
    ticket.verdicts.push(Verdict {
        number: new.verdict,
        unit: new.unit.clone(),
        finding: new.finding.clone(),
        given: meta.id,
        given_at: meta.recorded_at,
        assessor: meta.actor.id.clone(),
        appealed: false,
        appeal_refused: false,
        // There is nothing to appeal against.
        is_final: matches!(new.finding, Finding::NotAtFault { .. }),
        reversed: false,
        superseded: false,
        carried_out: None,
    });
}

pub(crate) fn apply(ticket: &mut Ticket, event: &Event, meta: &Meta) {
    let mut change = |verdict: &VerdictNo, change: &dyn Fn(&mut Verdict)| {
        if let Some(verdict) = index(verdict.0).and_then(|index| ticket.verdicts.get_mut(index)) {
            change(verdict);
        }
    };
    match event {
        // `BecameFinal` follows.
        Event::Accepted { .. } => {}
        Event::Appealed { verdict, .. } => change(verdict, &|verdict| verdict.appealed = true),
        Event::AppealGranted { verdict, .. } => {
            change(verdict, &|verdict| {
                verdict.appealed = false;
                verdict.reversed = true;
            });
            ticket.judged(meta);
        }
        Event::AppealRefused { verdict, .. } => {
            change(verdict, &|verdict| {
                verdict.appealed = false;
                verdict.appeal_refused = true;
            });
            ticket.judged(meta);
        }
        Event::BecameFinal { verdict } => change(verdict, &|verdict| verdict.is_final = true),
        Event::PenaltyCarriedOut { verdict, .. } => {
            change(verdict, &|verdict| verdict.carried_out = Some(meta.id));
        }
        Event::ErratumRecorded { verdict, .. } => {
            change(verdict, &|verdict| verdict.reversed = true);
            ticket.judged(meta);
        }
    }
}

/// Points are carried out when the verdict is final; money when the payroll reference is recorded.
pub(crate) fn become_final(draft: &mut Draft<'_>, verdict: VerdictNo) {
    draft.push(Event::BecameFinal { verdict });
    let found = draft.ticket.verdict(verdict);
    let points_only = found.is_some_and(|verdict| {
        verdict.owes_penalty() && matches!(verdict.finding, Finding::AtFault { penalty_fen: 0, .. })
    });
    if points_only {
        draft.push(Event::PenaltyCarriedOut { verdict, payroll_reference: None });
    }
}

pub(crate) fn decide(draft: &mut Draft<'_>, command: Command) -> Result<(), Rejection> {
    match command {
        Command::Accept { verdict } => {
            let found = contestable(draft, verdict)?;
            if found.is_final {
                return Ok(());
            }
            if found.appealed {
                return Err(Rejection::AppealPending { verdict });
            }
            draft.push(Event::Accepted { verdict });
            become_final(draft, verdict);
        }
        Command::Appeal { verdict, grounds } => {
            required("grounds", &grounds)?;
            let found = contestable(draft, verdict)?;
            if found.is_final {
                return Err(Rejection::VerdictFinal { verdict });
            }
            if !found.appealed {
                draft.push(Event::Appealed { verdict, grounds });
            }
        }
        Command::DecideAppeal { verdict, granted, reason } => {
            required("reason", &reason)?;
            let found = standing(draft, verdict)?;
            if !found.appealed {
                return Err(Rejection::NoAppeal { verdict });
            }
            if found.assessor.is_same(&draft.context.actor.id) {
                return Err(Rejection::OwnWork);
            }
            draft.not_own_work()?;
            if granted {
                draft.push(Event::AppealGranted { verdict, reason });
            } else {
                draft.push(Event::AppealRefused { verdict, reason });
            }
            become_final(draft, verdict);
        }
        Command::CarryOutPenalty { verdict, payroll_reference } => {
            named("payroll_reference", &payroll_reference)?;
            let found = standing(draft, verdict)?;
            if !matches!(found.finding, Finding::AtFault { penalty_fen: 1.., .. }) {
                return Err(Rejection::NoPenalty { verdict });
            }
            if !found.is_final {
                return Err(Rejection::VerdictNotFinal { verdict });
            }
            if found.carried_out.is_none() {
                let payroll_reference = Some(payroll_reference);
                draft.push(Event::PenaltyCarriedOut { verdict, payroll_reference });
            }
        }
        Command::Reverse { verdict, reason } => {
            required("reason", &reason)?;
            let found = find(draft, verdict)?;
            if found.reversed {
                return Ok(());
            }
            if found.superseded {
                return Err(Rejection::VerdictGone { verdict });
            }
            if matches!(found.finding, Finding::NotAtFault { .. }) {
                return Err(Rejection::NoPenalty { verdict });
            }
            // Before it is final there is the appeal.
            if !found.is_final {
                return Err(Rejection::VerdictNotFinal { verdict });
            }
            if found.assessor.is_same(&draft.context.actor.id) {
                return Err(Rejection::OwnWork);
            }
            draft.not_own_work()?;
            draft.push(Event::ErratumRecorded { verdict, reason });
        }
    }
    Ok(())
}

/// The verdict that the actor's own unit may accept or appeal.
fn contestable<'s>(draft: &'s Draft<'_>, verdict: VerdictNo) -> Result<&'s Verdict, Rejection> {
    let found = standing(draft, verdict)?;
    draft.own_unit(&found.unit)?;
    Ok(found)
}

fn standing<'s>(draft: &'s Draft<'_>, verdict: VerdictNo) -> Result<&'s Verdict, Rejection> {
    let found = find(draft, verdict)?;
    if found.is_standing() { Ok(found) } else { Err(Rejection::VerdictGone { verdict }) }
}

fn find<'s>(draft: &'s Draft<'_>, verdict: VerdictNo) -> Result<&'s Verdict, Rejection> {
    let found = draft.ticket.verdict(verdict);
    found.ok_or(Rejection::UnknownVerdict { verdict })
}
