//! Orders: returns, assists, recalls, extensions.

use duban_aggregates::ids::{OrderNo, UnitId};
use duban_aggregates::rejection::{Problem, Rejection};
use duban_aggregates::ticket;
use duban_aggregates::ticket::custody::Holder;
use duban_aggregates::ticket::order::{Command, NewOrder, Status};
use duban_aggregates::words::{Channel, Kind, Part, Role, Stage};
use duban_sample_tickets::scripted::*;

const ONE: OrderNo = OrderNo(1);

fn reason() -> duban_aggregates::sealed::Sealed {
    s("不属本单元")
}

fn request_return(order: u32) -> ticket::Command {
    Command::RequestReturn { order: OrderNo(order), reason: reason() }.into()
}

fn grant(order: u32, new: Option<NewOrder>) -> ticket::Command {
    Command::GrantReturn { order: OrderNo(order), replacement: new }.into()
}

fn refuse(order: u32) -> ticket::Command {
    Command::RefuseReturn { order: OrderNo(order), reason: reason() }.into()
}

fn holder(office: &Office) -> Holder {
    office.t().custody.holder().clone()
}

fn unit(name: &str) -> Holder {
    Holder::Unit(name.into())
}

fn in_reply() -> Office {
    Office::at_stage(Kind::Complaint, Stage::Reply)
}

#[test]
fn a_returned_lead_goes_to_dispatch_and_comes_back_or_to_a_new_lead() {
    let office = in_reply();
    assert_eq!(holder(&office), unit("line-crew"));
    let office = check(&office, (of("line-crew"), request_return(1)), Ok(&["ReturnRequested"]));
    assert_eq!(holder(&office), unit("dispatch"));
    check(&office, (of("line-crew"), request_return(1)), Ok(&[]));
    check(&office, (of("line-crew"), accept(1)), Err(Rejection::ReturnPending { order: ONE }));
    check(&office, (of("line-crew"), reply(1)), Err(Rejection::ReturnPending { order: ONE }));
    check(&office, (a(Role::Dispatch), grant(1, None)), Err(Rejection::NewLeadNeeded));
    let same = Rejection::invalid("replacement.unit", Problem::Unfit("it returned the order"));
    let back = Some(new_order("line-crew", Part::Lead));
    check(&office, (a(Role::Dispatch), grant(1, back)), Err(same));
    let part = Rejection::invalid("replacement.part", Problem::Unfit("it takes the other's part"));
    let assist = Some(new_order("power", Part::Assist));
    check(&office, (a(Role::Dispatch), grant(1, assist)), Err(part));

    let refused = check(&office, (a(Role::Dispatch), refuse(1)), Ok(&["ReturnRefused"]));
    assert_eq!(holder(&refused), unit("line-crew"));
    refused.then(of("line-crew"), accept(1));

    let new = Some(new_order("access-network", Part::Lead));
    let then = ["ReturnGranted", "cancelled order", "Issued", "started order"];
    let office = check(&office, (a(Role::Dispatch), grant(1, new)), Ok(&then));
    assert_eq!(holder(&office), unit("access-network"));
    assert_eq!(office.t().involved().len(), 0, "a granted return alone does not involve");
    let office = office.then(of("access-network"), accept(2));
    assert_eq!(office.t().involved(), [UnitId::from("access-network")].into());
}

#[test]
fn returns_come_before_acceptance_and_within_four_hours() {
    let accepted = in_reply().then(of("line-crew"), accept(1));
    check(&accepted, (of("line-crew"), request_return(1)), Err(Rejection::OrderAccepted { order: ONE }));
    let issued = in_reply().t().order(ONE).unwrap().issued_at;
    let until = issued.saturating_add(jiff::SignedDuration::from_hours(4)).unwrap();
    let then = ["warned contact", "breached contact", "ReturnRequested"];
    check(&in_reply().until(until), (of("line-crew"), request_return(1)), Ok(&then));
    let late = in_reply().until(until).wait_minutes(1);
    check(&late, (of("line-crew"), request_return(1)), Err(Rejection::ReturnTooLate { until }));
    let not_asked = Err(Rejection::NoReturnAsked { order: ONE });
    check(&in_reply(), (a(Role::Dispatch), grant(1, None)), not_asked.clone());
    check(&in_reply(), (a(Role::Dispatch), refuse(1)), not_asked);
}

#[test]
fn a_rounds_third_return_is_decided_by_a_supervisor_finally() {
    let mut office = in_reply();
    for _ in 0..2 {
        office = office.then(of("line-crew"), request_return(1));
        let supervisor = Err(Rejection::NotYours { whose: "dispatch".into() });
        check(&office, (a(Role::Supervisor), refuse(1)), supervisor);
        office = office.then(a(Role::Dispatch), refuse(1));
    }
    office = office.then(of("line-crew"), request_return(1));
    let whose = "a supervisor: it is the round's third return".into();
    check(&office, (a(Role::Dispatch), refuse(1)), Err(Rejection::NotYours { whose }));
    let office = check(&office, (a(Role::Supervisor), refuse(1)), Ok(&["ReturnRefused"]));
    check(&office, (of("line-crew"), request_return(1)), Err(Rejection::ReturnsExhausted));
    // A new round counts anew.
    let office = office
        .pass(Stage::Reply)
        .then(a(Role::Desk), feedback(duban_aggregates::words::Answer::Dissatisfied));
    office.pass(Stage::Dispatch).then(of("line-crew"), request_return(2));
}

#[test]
fn a_return_that_was_asked_before_the_third_stays_dispatchs_to_decide() {
    let orders = [("line-crew", Part::Lead), ("power", Part::Assist), ("sales", Part::Assist)];
    let office =
        Office::at_stage(Kind::Complaint, Stage::Dispatch).then(a(Role::Dispatch), dispatch(&orders));
    let office = office
        .then(of("line-crew"), request_return(1))
        .then(of("power"), request_return(2))
        .then(of("sales"), request_return(3));
    let office =
        check(&office, (a(Role::Dispatch), grant(2, None)), Ok(&["ReturnGranted", "cancelled order"]));
    let whose = "a supervisor: it is the round's third return".into();
    check(&office, (a(Role::Dispatch), grant(3, None)), Err(Rejection::NotYours { whose }));
}

#[test]
fn the_lead_replies_last_and_assists_come_until_then() {
    let add =
        |unit| -> ticket::Command { Command::AddAssist { order: new_order(unit, Part::Assist) }.into() };
    let office = in_reply().then(of("line-crew"), accept(1));
    let office = check(&office, (a(Role::Dispatch), add("power")), Ok(&["Issued", "started order"]));
    let unit_has = Err(Rejection::UnitHasOrder { unit: "power".into() });
    check(&office, (a(Role::Dispatch), add("power")), unit_has);
    let lead: ticket::Command = Command::AddAssist { order: new_order("sales", Part::Lead) }.into();
    let one_lead = Err(Rejection::invalid("order.part", Problem::Unfit("a round has one lead")));
    check(&office, (a(Role::Dispatch), lead), one_lead);
    let missing = vec![duban_aggregates::rejection::Missing::AssistReply(OrderNo(2))];
    check(&office, (of("line-crew"), reply(1)), Err(Rejection::AssistOrdersOpen { missing }));

    let wait = |order, assist| -> ticket::Command {
        Command::WaitForAssist { order: OrderNo(order), assist: OrderNo(assist) }.into()
    };
    check(&office, (of("power"), wait(2, 1)), Err(Rejection::WrongPart { order: OrderNo(2) }));
    check(&office, (of("line-crew"), wait(1, 1)), Err(Rejection::WrongPart { order: ONE }));
    let office = check(&office, (of("line-crew"), wait(1, 2)), Ok(&["WaitingForAssist"]));
    check(&office, (of("line-crew"), wait(1, 2)), Ok(&[]));
    assert_eq!(holder(&office), unit("power"));

    let replied = office.clone().then(of("power"), accept(2)).then(of("power"), reply(2));
    assert_eq!(holder(&replied), unit("line-crew"));
    check(&replied, (of("line-crew"), wait(1, 2)), Err(Rejection::OrderEnded { order: OrderNo(2) }));
    check(&replied, (of("power"), reply(2)), Err(Rejection::OrderEnded { order: OrderNo(2) }));
    replied.then(of("line-crew"), reply(1));

    let release: ticket::Command = Command::Release { order: OrderNo(2), reason: reason() }.into();
    let office = check(&office, (a(Role::Dispatch), release.clone()), Ok(&["Released", "cancelled order"]));
    check(&office, (a(Role::Dispatch), release), Ok(&[]));
    let lead: ticket::Command = Command::Release { order: ONE, reason: reason() }.into();
    check(&office, (a(Role::Dispatch), lead), Err(Rejection::WrongPart { order: ONE }));
    assert_eq!(office.t().order(OrderNo(2)).unwrap().status, Status::Released);
    office.then(of("line-crew"), reply(1));
}

#[test]
fn a_lead_is_recalled_only_with_a_new_lead_and_a_replied_order_never() {
    let recall = |order, replacement| -> ticket::Command {
        Command::Recall { order: OrderNo(order), reason: reason(), replacement }.into()
    };
    let office = in_reply();
    check(&office, (a(Role::Dispatch), recall(1, None)), Err(Rejection::NewLeadNeeded));
    let new = || Some(new_order("access-network", Part::Lead));
    let then = ["Recalled", "cancelled order", "Issued", "started order"];
    let moved = check(&office, (a(Role::Dispatch), recall(1, new())), Ok(&then));
    assert_eq!(moved.t().lead().unwrap().number, OrderNo(2));
    check(&moved, (a(Role::Dispatch), recall(1, new())), Err(Rejection::OrderEnded { order: ONE }));

    let office = office
        .then(of("line-crew"), accept(1))
        .then(a(Role::Dispatch), Command::AddAssist { order: new_order("power", Part::Assist) }.into());
    let taken = Some(new_order("power", Part::Lead));
    check(
        &office,
        (a(Role::Dispatch), recall(1, taken)),
        Err(Rejection::UnitHasOrder { unit: "power".into() }),
    );
    let then = ["Recalled", "cancelled order"];
    check(&office, (a(Role::Dispatch), recall(2, None)), Ok(&then));
    let office = office.then(of("power"), accept(2)).then(of("power"), reply(2));
    check(&office, (a(Role::Dispatch), recall(2, None)), Err(Rejection::OrderEnded { order: OrderNo(2) }));
}

fn ask(order: u32, until: jiff::Timestamp) -> ticket::Command {
    Command::AskExtension { order: OrderNo(order), until, reason: s("等备件") }.into()
}

fn grant_extension(order: u32) -> ticket::Command {
    Command::GrantExtension { order: OrderNo(order), until: None }.into()
}

#[test]
fn extensions_are_asked_and_granted_before_due() {
    let office = in_reply();
    let due = office.t().clocks.last().unwrap().start.due;
    assert_eq!(due, march(7, 0, 0), "four working days");
    let early =
        Err(Rejection::invalid("until", Problem::Unfit("it must be later than the present due moment")));
    check(&office, (of("line-crew"), ask(1, due)), early);
    let until = march(10, 0, 0);
    let nothing_asked = Rejection::NoExtensionAsked { order: ONE };
    check(&office, (a(Role::Dispatch), grant_extension(1)), Err(nothing_asked.clone()));
    let refuse: ticket::Command = Command::RefuseExtension { order: ONE, reason: s("不予延期") }.into();
    check(&office, (a(Role::Dispatch), refuse.clone()), Err(nothing_asked));
    let office = check(&office, (of("line-crew"), ask(1, until)), Ok(&["ExtensionAsked"]));
    check(&office, (of("line-crew"), ask(1, until)), Ok(&[]));
    let refused = check(&office, (a(Role::Dispatch), refuse), Ok(&["ExtensionRefused"]));
    assert_eq!(refused.t().order(ONE).unwrap().extension_asked, None);
    let then = ["ExtensionGranted", "restated order"];
    let granted = check(&office, (a(Role::Dispatch), grant_extension(1)), Ok(&then));
    let order = granted.t().clocks.iter().find(|clock| clock.start.due == until);
    assert!(order.is_some_and(duban_aggregates::ticket::clock::Clock::is_running));
    let late = office.until(due).wait_minutes(1);
    check(&late, (a(Role::Dispatch), grant_extension(1)), Err(Rejection::PastDue { order: ONE }));
    check(&late, (of("line-crew"), ask(1, until)), Err(Rejection::PastDue { order: ONE }));
}

#[test]
fn an_extension_never_passes_an_outside_or_statutory_deadline() {
    let statutory = march(18, 0, 0);
    let until = march(18, 0, 1);
    let past = |latest| Err(Rejection::PastOutsideDeadline { latest });
    check(&in_reply(), (of("line-crew"), ask(1, until)), past(statutory));
    let outside = march(9, 0, 0);
    let add = duban_aggregates::ticket::intake::Command::AddOutsideRequest {
        body: Channel::Consumer12315,
        number: "12315-1".into(),
        handed_over_at: None,
        due: Some(outside),
    };
    let office = in_reply().then(a(Role::Desk), add.into());
    check(&office, (of("line-crew"), ask(1, march(10, 0, 0))), past(outside));
}

#[test]
fn dispatchs_deadline_may_be_shorter_than_policys_never_longer() {
    let office = Office::at_stage(Kind::Complaint, Stage::Dispatch);
    let with = |due| -> ticket::Command {
        let order = NewOrder { due: Some(due), ..new_order("line-crew", Part::Lead) };
        duban_aggregates::ticket::chain::Command::Dispatch { orders: vec![order] }.into()
    };
    let latest = march(7, 0, 0);
    check(&office, (a(Role::Dispatch), with(march(8, 0, 0))), Err(Rejection::LongerThanPolicy { latest }));
    check(
        &office,
        (a(Role::Dispatch), with(office.at)),
        Err(Rejection::invalid("due", Problem::NotInFuture)),
    );
    let office = office.then(a(Role::Dispatch), with(march(4, 12, 0)));
    assert_eq!(office.t().clocks.last().unwrap().start.due, march(4, 12, 0));
}

#[test]
fn a_dispatch_names_one_lead_registered_units_and_each_once() {
    let office = Office::at_stage(Kind::Complaint, Stage::Dispatch);
    let refused = |orders: &[(&str, Part)], problem| {
        check(&office, (a(Role::Dispatch), dispatch(orders)), Err(problem));
    };
    refused(&[], Rejection::invalid("orders", Problem::OneLead));
    refused(&[("power", Part::Assist)], Rejection::invalid("orders", Problem::OneLead));
    let two = [("power", Part::Lead), ("sales", Part::Lead)];
    refused(&two, Rejection::invalid("orders", Problem::OneLead));
    let unknown = Problem::NotRegistered("moon".into());
    refused(&[("moon", Part::Lead)], Rejection::invalid("unit", unknown));
    let twice = [("power", Part::Lead), ("power", Part::Assist)];
    refused(&twice, Rejection::invalid("orders.unit", Problem::Twice("power".into())));
}

#[test]
fn a_unit_acts_on_its_own_orders_only() {
    let office = in_reply();
    let theirs = || Err(Rejection::NotYours { whose: "line-crew".into() });
    check(&office, (of("power"), accept(1)), theirs());
    check(&office, (of("power"), request_return(1)), theirs());
    check(&office, (of("power"), ask(1, march(9, 0, 0))), theirs());
    check(&office, (of("line-crew"), reply(1)), Err(Rejection::OrderNotAccepted { order: ONE }));
    let office = office.then(of("line-crew"), accept(1));
    check(&office, (of("power"), reply(1)), theirs());
    check(&office, (of("line-crew"), accept(9)), Err(Rejection::UnknownOrder { order: OrderNo(9) }));
}

#[test]
fn a_faults_lead_reply_needs_service_up_and_a_passing_test_and_an_installs_activation() {
    use duban_aggregates::rejection::Missing::{Activation, PassingTest, ServiceUp};
    let unproved = |missing| Err(Rejection::ReplyUnproved { missing });
    let fault = Office::at_stage(Kind::Fault, Stage::Reply).then(of("line-crew"), accept(1));
    check(&fault, (of("line-crew"), reply(1)), unproved(vec![ServiceUp, PassingTest]));
    let up = fault.proved();
    let broken_again = up.clone().then(of("line-crew"), test(false));
    check(&broken_again, (of("line-crew"), reply(1)), unproved(vec![PassingTest]));
    up.then(of("line-crew"), reply(1));
    let install = Office::at_stage(Kind::Install, Stage::Reply).then(of("line-crew"), accept(1));
    check(&install, (of("line-crew"), reply(1)), unproved(vec![Activation]));
    install.proved().then(of("line-crew"), reply(1));
}
