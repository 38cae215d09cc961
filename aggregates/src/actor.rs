//! Who acts. Actor and unit come from the proven identity, never from a request body (domain.md section 5).

use serde::{Deserialize, Serialize};

use crate::ids::{EmployeeId, UnitId};

/// The roles of domain.md section 5, and the system's own identities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Takes customers' calls, tells them the outcome.
    Desk,
    /// Finds the cause.
    Investigation,
    /// Sends orders to units, decides returns and extensions.
    Dispatch,
    /// A member of a responsible unit; acts on its own unit's orders only.
    Unit,
    /// Judges gates 1 to 3.
    Inspection,
    /// Reports to management and outside bodies.
    Reporting,
    /// Gives verdicts and closes.
    Assessment,
    /// 服务监督员: urges, escalates, signs off, waives.
    Supervisor,
    /// Reads everything, changes nothing; may file a finding.
    Auditor,
    /// Subscribes to streams.
    Monitor,
    /// 行风监督员: sees published bulletins only.
    Observer,
    /// Policies and projections; no ticket commands.
    Administrator,
    /// The server's timers.
    Timer,
    /// The standing rule for routine tickets, and reactions to other streams.
    Rule,
    /// Import of earlier records.
    Import,
}

impl Role {
    /// Every role, in the order of domain.md section 5.
    pub const ALL: [Self; 15] = [
        Self::Desk,
        Self::Investigation,
        Self::Dispatch,
        Self::Unit,
        Self::Inspection,
        Self::Reporting,
        Self::Assessment,
        Self::Supervisor,
        Self::Auditor,
        Self::Monitor,
        Self::Observer,
        Self::Administrator,
        Self::Timer,
        Self::Rule,
        Self::Import,
    ];

    /// Whether this is one of the server's own identities rather than a person.
    #[must_use]
    pub fn is_system(self) -> bool {
        matches!(self, Self::Timer | Self::Rule | Self::Import)
    }

    /// Whether people of this role work on tickets: a department's, a unit's or a supervisor's.
    #[must_use]
    pub fn is_department(self) -> bool {
        match self {
            Self::Desk
            | Self::Investigation
            | Self::Dispatch
            | Self::Unit
            | Self::Inspection
            | Self::Reporting
            | Self::Assessment
            | Self::Supervisor => true,
            Self::Auditor
            | Self::Monitor
            | Self::Observer
            | Self::Administrator
            | Self::Timer
            | Self::Rule
            | Self::Import => false,
        }
    }
}

/// A proven identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The employee's number, or the system identity's name.
    pub id: EmployeeId,
    /// What this person may do.
    pub role: Role,
    /// The unit or department this person belongs to.
    pub unit: UnitId,
}
