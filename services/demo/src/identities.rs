//! Everybody who may act or look, for development and the demo.

use duban_aggregates::policy::Policy;
use duban_aggregates::words::Role;

/// One identity a role, members and supervisors one a unit of the register.
#[must_use]
pub fn development_identities() -> Vec<(Role, String)> {
    const DEPARTMENTS: [(Role, &str); 10] = [
        (Role::Desk, "desk"),
        (Role::Investigation, "investigation"),
        (Role::Dispatch, "dispatch"),
        (Role::Inspection, "inspection"),
        (Role::Reporting, "reporting"),
        (Role::Assessment, "assessment"),
        (Role::Auditor, "audit"),
        (Role::Monitor, "monitoring"),
        (Role::Observer, "public"),
        (Role::Administrator, "administration"),
    ];
    let policy = Policy::cn_national();
    let units: Vec<_> = policy.units().map(|unit| unit.id.to_string()).collect();
    let of_units = |role| units.iter().map(move |unit| (role, unit.clone()));
    let departments = DEPARTMENTS.into_iter().map(|(role, unit)| (role, unit.to_owned()));
    departments.chain(of_units(Role::Unit)).chain(of_units(Role::Supervisor)).collect()
}
