//! Where a service is, as tickets, policies and emergencies name it.

use serde::{Deserialize, Serialize};

/// Where the service is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Area {
    /// Province, as policies name it (`henan`).
    pub province: String,
    /// City.
    pub city: String,
    /// District or county.
    pub district: String,
    /// Rural areas have longer statutory limits.
    pub rural: bool,
}
