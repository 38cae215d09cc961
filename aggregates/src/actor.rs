//! Who acts. Actor and unit come from the proven identity, never from a request body (domain.md section 5).

use serde::{Deserialize, Serialize};

use crate::ids::{EmployeeId, UnitId};
use crate::words::Role;

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
