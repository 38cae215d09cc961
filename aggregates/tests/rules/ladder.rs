//! What happens by itself: the ladder over holidays, pauses that end, years that are published; once, however late.

use std::sync::Arc;

use jiff::Timestamp;

use duban_aggregates::calendar::Calendar;
use duban_aggregates::ids::{EscalationNo, OrderNo};
use duban_aggregates::ticket::Event;
use duban_aggregates::ticket::clock::{self, Command as Do, Subject};
use duban_aggregates::words::{Answer, ClockKind, Kind, PauseCode, Role, Rung, Stage};
use duban_sample_tickets::scripted::*;

/// A complaint dispatched to the line crew on this day.
fn dispatched(at: Timestamp) -> Office {
    let office = Office { at, ..Office::empty() };
    let office = office.then(a(Role::Desk), take_in(intake(Kind::Complaint, at)));
    [Stage::Investigate, Stage::Dispatch].into_iter().fold(office, Office::pass)
}

/// The ladder of order 1: each rung and its moment.
fn rungs(office: &Office) -> Vec<(Rung, Timestamp)> {
    let order = office.t().clock(ClockKind::Order, Subject::Order(OrderNo(1))).unwrap().start.clock;
    let rung = |event: &Event| match event {
        Event::Clock(
            clock::Event::Escalated { clock, rung, at }
            | clock::Event::EscalationProposed { clock, rung, at, .. },
        ) if *clock == order => Some((*rung, *at)),
        _ => None,
    };
    office.history.iter().filter_map(|(_, event)| rung(event)).collect()
}

/// Lets time pass, and the timer come at each of these moments.
fn ticked(mut office: Office, moments: &[Timestamp]) -> Office {
    for at in moments {
        office = office.until(*at);
        let events = office.try_it(&tick().0, tick().1).unwrap();
        office.record(events);
    }
    office
}

/// Every moment at which something happens by itself up to a last one, found by asking again after each.
fn each_in_time(mut office: Office, last: Timestamp) -> Office {
    loop {
        let due = clock::next_step(office.t(), &office.policy, &office.calendar);
        match due.filter(|due| due.from <= last) {
            Some(due) => office = ticked(office.clone(), &[due.from.max(office.at)]),
            None => return office,
        }
    }
}

fn by_themselves(office: &Office) -> Vec<(String, Timestamp)> {
    let system = office.history.iter().zip(office.names());
    let system = system.filter(|((meta, _), _)| meta.actor.role == Role::Timer);
    system.map(|((meta, _), name)| (name, meta.occurred_at)).collect()
}

#[test]
fn the_ladder_climbs_over_national_day_and_its_shifted_saturday() {
    // Due after four working days: 28, 29, 30 September and, after the holiday, 8 October.
    let office = dispatched(when(2026, 9, 24, 9, 0));
    let due = office.t().clock(ClockKind::Order, Subject::Order(OrderNo(1))).unwrap().start.clone();
    assert_eq!(due.due, when(2026, 10, 9, 0, 0));
    let expected = [
        (Rung::Urge, due.warn_at),
        (Rung::Notice, when(2026, 10, 9, 9, 0)),
        // 9, 10 (a Saturday that is worked), 12, 13, 14.
        (Rung::Criticism, when(2026, 10, 15, 0, 0)),
        (Rung::Listed, when(2026, 10, 22, 0, 0)),
        (Rung::Interview, when(2026, 10, 29, 0, 0)),
    ];
    let last = when(2026, 11, 30, 0, 0);
    let in_time = each_in_time(office.clone(), last);
    let at_once = ticked(office, &[last]);
    for office in [&in_time, &at_once] {
        assert_eq!(rungs(office), expected);
        assert!(check(office, tick(), Ok(&[])).t().escalations.iter().all(|known| known.issued.is_none()));
    }
    assert_eq!(
        by_themselves(&in_time),
        by_themselves(&at_once),
        "however late, the same at the same moments"
    );
    let stamped = at_once.history.iter().filter(|(meta, _)| meta.actor.role == Role::Timer);
    assert!(stamped.clone().all(|(meta, _)| meta.occurred_at <= meta.recorded_at));
    assert!(stamped.map(|(meta, _)| meta.occurred_at).is_sorted(), "in the order of their moments");
}

#[test]
fn a_late_reply_stops_the_ladder_where_it_stands() {
    let office = dispatched(when(2026, 9, 24, 9, 0));
    let office = ticked(office, &[when(2026, 10, 9, 10, 0)]);
    assert_eq!(rungs(&office).len(), 2);
    let replied = office.then(of("line-crew"), accept(1)).then(of("line-crew"), reply(1));
    let later = ticked(replied, &[when(2026, 12, 1, 0, 0)]);
    assert_eq!(rungs(&later).len(), 2, "no proposal about an order that was replied to");
}

#[test]
fn an_end_stops_the_ladder_and_a_supervisors_own_proposal_is_not_made_twice() {
    let office = dispatched(when(2026, 9, 24, 9, 0));
    let office = ticked(office, &[when(2026, 10, 9, 10, 0)]);
    let order = office.t().clock(ClockKind::Order, Subject::Order(OrderNo(1))).unwrap().start.clock;
    let by_hand = Do::ProposeEscalation { clock: order, rung: Rung::Listed };
    let office = office.then(a(Role::Supervisor), by_hand.into());
    let office = ticked(office, &[when(2026, 10, 29, 0, 0)]);
    let proposed: Vec<Rung> = rungs(&office).into_iter().map(|(rung, _)| rung).collect();
    assert_eq!(proposed, [Rung::Urge, Rung::Notice, Rung::Listed, Rung::Criticism, Rung::Interview]);
    let decline = Do::DeclineEscalation { escalation: EscalationNo(1), reason: s("已约谈") };
    let office = office.then(a(Role::Supervisor), decline.into());
    check(&office, tick(), Ok(&[]));

    let early = dispatched(when(2026, 9, 24, 9, 0));
    let withdrawn =
        duban_aggregates::ticket::chain::Command::Withdraw { recording: rec(), reason: s("不用了") };
    let ended = early.then(a(Role::Desk), withdrawn.into());
    assert_eq!(clock::next_step(ended.t(), &ended.policy, &ended.calendar), None);
}

#[test]
fn a_pause_that_ended_while_nobody_looked_is_followed_by_the_breach_that_it_leads_to() {
    let office = dispatched(when(2026, 3, 2, 9, 0));
    let pause = Do::Pause {
        code: PauseCode::Customer,
        evidence: s("客户出差"),
        attachment: Some(rec()),
        resume_by: Some(when(2026, 3, 5, 12, 0)),
    };
    let paused = office.then(a(Role::Desk), pause.into());
    let last = when(2026, 4, 1, 0, 0);
    let (in_time, at_once) = (each_in_time(paused.clone(), last), ticked(paused, &[last]));
    assert_eq!(by_themselves(&in_time), by_themselves(&at_once));
    let happened = by_themselves(&at_once);
    let at =
        |name: &str| happened.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("{name}")).1;
    assert_eq!(at("TicketResumed"), when(2026, 3, 5, 12, 0));
    // Four working days from 2 March are used up on the 6th; three that it stood still come on top, and a weekend.
    assert_eq!(at("breached order"), when(2026, 3, 12, 0, 0));
    assert!(at("TicketResumed") < at("warned order"));
}

#[test]
fn a_year_that_is_published_makes_its_deadlines_certain_before_anything_else_and_never_earlier() {
    // 15 calendar days from 28 December reach into a year that is not published.
    let office = dispatched(when(2026, 12, 28, 9, 0));
    let start = |office: &Office| {
        office.t().clock(ClockKind::Order, Subject::Order(OrderNo(1))).unwrap().start.clone()
    };
    let before = start(&office);
    assert!(before.provisional);
    let published = |holidays: &str| {
        let year = format!("version = \"cn-2027.1\"\n[[year]]\nyear = 2027\nholidays = [{holidays}]\n");
        Arc::new(Calendar::cn().extended_by(&Calendar::parse(&year).unwrap()))
    };
    check(&office, tick(), Ok(&[]));
    let holidays = published("{ name = \"元旦\", off = \"01-01/01-03\" }");
    let mut known = Office { calendar: holidays, ..office.clone() };
    // Looked at long after the provisional moment: it is stated again first, so that nothing false is breached.
    known = ticked(known, &[when(2027, 1, 5, 0, 0)]);
    let after = start(&known);
    assert!(after.due > before.due && !after.provisional);
    assert_eq!(
        (after.target, after.policy),
        (before.target, before.policy),
        "under the original policy's version"
    );
    assert_ne!(after.calendar, before.calendar);
    check(&known, tick(), Ok(&[]));

    let weekend_worked = published("{ name = \"元旦\", off = \"01-04\", work = [\"01-02\", \"01-03\"] }");
    let earlier = ticked(Office { calendar: weekend_worked, ..office }, &[when(2026, 12, 30, 0, 0)]);
    assert_eq!(start(&earlier).due, before.due, "what was promised as the last moment stays");
    assert!(!start(&earlier).provisional);
}

#[test]
fn the_third_dissatisfied_round_has_its_own_clocks_and_the_old_ones_press_nobody() {
    let office = Office::at_stage(Kind::Complaint, Stage::Feedback);
    let office = office.then(a(Role::Desk), feedback(Answer::Dissatisfied));
    let late = ticked(office, &[when(2026, 6, 1, 0, 0)]);
    let pressed: Vec<String> =
        late.names().into_iter().filter(|name| name.starts_with("escalated")).collect();
    assert_eq!(pressed, ["escalated stage dispatch urge", "escalated stage dispatch notice"]);
}
