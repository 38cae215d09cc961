//! Histories under another policy.

use duban_aggregates::calendar::Calendar;
use duban_aggregates::ids::OrderNo;
use duban_aggregates::policy::Policy;
use duban_aggregates::ticket::clock::{Clock, Status, Subject};
use duban_aggregates::words::{ClockKind, Kind, PauseCode, Role, Stage};
use duban_sample_tickets::scripted::*;

use super::{Trial, Under};

fn draft(version: &str, rest: &str) -> Policy {
    let head = format!("version = \"{version}\"\ntitle = \"t\"\nextends = [\"cn-national-1\"]\n");
    Policy::parse(&format!("{head}{rest}")).unwrap()
}

fn clock(office: &Office, kind: ClockKind, subject: Subject) -> Clock {
    office.t().clock(kind, subject).unwrap().clone()
}

fn trial(office: &Office, policy: &Policy) -> Trial {
    let calendar = Calendar::cn();
    let under = Under { policy, calendar: &calendar };
    let mut trial = Trial::default();
    for (meta, event) in &office.history {
        trial.take(event, meta, under);
    }
    trial.until(office.at, under);
    trial
}

#[test]
fn a_history_under_its_own_policy_has_the_clocks_that_it_had() {
    for kind in [Kind::Complaint, Kind::Fault, Kind::Install] {
        for stage in Stage::ALL {
            let office = Office::at_stage(kind, stage);
            let tried = trial(&office, &office.policy);
            assert_eq!(tried.ticket().unwrap().clocks, office.t().clocks, "{kind:?} at {stage:?}");
        }
        let office = Office::closed(kind).until(march(30, 9, 0));
        assert_eq!(trial(&office, &office.policy).ticket().unwrap().clocks, office.t().clocks, "{kind:?}");
    }
}

#[test]
fn a_stricter_draft_breaches_what_was_met_and_a_pause_that_it_does_not_honour_runs_on() {
    let pause = duban_aggregates::ticket::clock::Command::Pause {
        code: PauseCode::Customer,
        evidence: s("客户出差"),
        attachment: None,
        resume_by: Some(march(4, 9, 0)),
    };
    let office = Office::at_stage(Kind::Fault, Stage::Reply).then(a(Role::Desk), pause.into());
    let office = office.until(march(4, 10, 0)).pass(Stage::Reply);
    let order = Subject::Order(OrderNo(1));
    assert!(matches!(clock(&office, ClockKind::Repair, Subject::Ticket).status, Status::Met { .. }));
    assert!(matches!(clock(&office, ClockKind::Order, order).status, Status::Met { .. }));
    let same = trial(&office, &office.policy);
    assert_eq!(same.ticket().unwrap().clocks, office.t().clocks);

    let rest = "[[entry]]\nclock = \"repair\"\nkind = \"fault\"\nrural = false\ntarget = \"24h\"\npauses = [\"force_majeure\"]\n";
    let tried = trial(&office, &draft("t-2", rest));
    let repair = tried.ticket().unwrap().clock(ClockKind::Repair, Subject::Ticket).unwrap();
    assert_eq!((repair.start.target.to_string().as_str(), repair.start.due), ("24h", march(3, 9, 0)));
    assert!(repair.is_breached(), "{repair:?}");
    let order = tried.ticket().unwrap().clock(ClockKind::Order, order).unwrap();
    assert!(matches!(order.status, Status::Met { .. }), "the order's entry is the national one: {order:?}");
}
