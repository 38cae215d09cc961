//! Problems, notices and customers: every success, refusal and repeat.

use jiff::Timestamp;
use jiff::civil::date;
use uuid::Uuid;

use duban_aggregates::calendar::Calendar;
use duban_aggregates::customer::{self, ErasureEvidence};
use duban_aggregates::ids::{
    CommandId, CustomerId, DueNo, EventId, NoticeId, ProblemId, TicketId, stream_event_id,
};
use duban_aggregates::meta::{Context, Meta};
use duban_aggregates::policy::Policy;
use duban_aggregates::rejection::{Missing, Problem as Wrong, Rejection};
use duban_aggregates::words::{Role, Segment, Tier};
use duban_aggregates::{notice, problem};
use duban_sample_tickets::scripted::{a, march};

const TICKET: TicketId = TicketId(Uuid::from_u128(1));

/// A stream's decide and evolve, driven as the runner drives them.
macro_rules! stream {
    ($name:ident, $module:ident :: $state:ident) => {
        struct $name(Option<$module::$state>, u128, Timestamp);

        impl $name {
            fn new() -> Self {
                Self(None, 0, march(2, 9, 0))
            }

            #[track_caller]
            fn check(&mut self, command: $module::Command, then: Result<&[$module::Event], Rejection>) {
                self.1 += 1;
                let command_id = CommandId(Uuid::from_u128(self.1));
                let (policy, calendar) = (Policy::cn_national(), Calendar::cn());
                let context = Context {
                    at: self.2,
                    actor: a(Role::Dispatch),
                    command: command_id,
                    fingerprint: [1; 16],
                    policy: &policy,
                    calendar: &calendar,
                };
                let decided = $module::decide(self.0.as_ref(), &context, command);
                assert_eq!(decided.as_deref(), then.as_deref());
                let first = self.0.as_ref().map_or(0, |state| state.revision + 1);
                for ((index, revision), event) in (0..).zip(first..).zip(decided.unwrap_or_default()) {
                    let meta = Meta {
                        id: stream_event_id(TICKET.0, command_id, index),
                        revision,
                        recorded_at: self.2,
                        occurred_at: self.2,
                        actor: context.actor.clone(),
                        command: command_id,
                        fingerprint: [1; 16],
                    };
                    self.0 = $module::evolve(self.0.take(), &event, &meta);
                    let state = self.0.as_ref().unwrap();
                    assert_eq!((state.revision, state.last_recorded_at), (revision, self.2));
                    let done = state.commands.get(&command_id).unwrap();
                    assert_eq!((done.last_revision, done.fingerprint), (revision, [1; 16]));
                }
            }
        }
    };
}

stream!(Problem, problem::Problem);
stream!(Notice, notice::Notice);
stream!(Customer, customer::Customer);

#[test]
fn a_problem_is_opened_joined_explained_corrected_closed_and_reopened_by_its_failure() {
    use problem::{Command as Do, Event as Then};
    let mut problem = Problem::new();
    let id = ProblemId(Uuid::from_u128(3));
    let open = |title: &str, category: &str, owner: &str| Do::Open {
        problem: id,
        title: title.into(),
        category: category.into(),
        owner: owner.into(),
    };
    let (title, category) = ("郊区光缆屡被挖断", "fault.cable_damage");
    problem.check(Do::Close, Err(Rejection::DoesNotExist));
    problem.check(open("", category, "planning"), Err(Rejection::invalid("title", Wrong::Required)));
    let unknown = |name: &str| Wrong::NotRegistered(name.into());
    problem.check(open(title, "x", "planning"), Err(Rejection::invalid("category", unknown("x"))));
    problem.check(open(title, category, "moon"), Err(Rejection::invalid("owner", unknown("moon"))));
    let opened = Then::Opened {
        problem: id,
        title: title.into(),
        category: category.into(),
        owner: "planning".into(),
    };
    problem.check(open(title, category, "planning"), Ok(&[opened]));
    problem.check(open(title, category, "planning"), Err(Rejection::AlreadyExists));

    problem.check(Do::JoinTicket { ticket: TICKET }, Ok(&[Then::TicketJoined { ticket: TICKET }]));
    problem.check(Do::JoinTicket { ticket: TICKET }, Ok(&[]));
    let cause = || "没有标志桩".to_owned();
    problem.check(Do::FindCause { cause: String::new() }, Err(Rejection::invalid("cause", Wrong::Required)));
    problem.check(Do::FindCause { cause: cause() }, Ok(&[Then::CauseFound { cause: cause() }]));
    problem.check(Do::FindCause { cause: cause() }, Ok(&[]));

    let carry_out = || Do::CarryOutAction { evidence: "验收单 7".into() };
    problem.check(carry_out(), Err(Rejection::ActionMissing));
    problem.check(Do::Close, Err(Rejection::ActionOpen));
    let plan = |action: &str, day| Do::PlanAction {
        action: action.into(),
        owner: "planning".into(),
        due_on: date(2026, 3, day),
    };
    let planned = |action: &str, day| Then::ActionPlanned {
        action: action.into(),
        owner: "planning".into(),
        due_on: date(2026, 3, day),
    };
    problem.check(plan("补桩", 1), Err(Rejection::invalid("due_on", Wrong::NotInFuture)));
    problem.check(plan("补桩", 20), Ok(&[planned("补桩", 20)]));
    problem.check(plan("补桩", 20), Ok(&[]));
    problem.check(plan("补桩并巡检", 21), Ok(&[planned("补桩并巡检", 21)]));
    problem.check(Do::Close, Err(Rejection::ActionOpen));
    problem.check(carry_out(), Ok(&[Then::ActionCarriedOut { evidence: "验收单 7".into() }]));
    problem.check(carry_out(), Ok(&[]));
    assert!(problem.0.as_ref().unwrap().carried_out().is_some());
    problem.check(plan("另一项", 21), Err(Rejection::AlreadyEnded));
    problem.check(Do::Close, Ok(&[Then::Closed]));
    problem.check(Do::Close, Ok(&[]));
    let late = TicketId(Uuid::from_u128(2));
    problem.check(Do::JoinTicket { ticket: late }, Err(Rejection::AlreadyEnded));
    problem.check(Do::FindCause { cause: "别的".into() }, Err(Rejection::AlreadyEnded));

    let fail = |because: Vec<EventId>| Do::RecordFailure { finding: "又断两次".into(), because };
    let many = vec![EventId(Uuid::nil()); 101];
    problem.check(fail(many), Err(Rejection::invalid("because", Wrong::TooMany(100))));
    let failed = Then::ActionFailed { finding: "又断两次".into(), because: Vec::new() };
    problem.check(fail(Vec::new()), Ok(&[failed]));
    problem.check(fail(Vec::new()), Err(Rejection::ActionOpen));
    problem.check(Do::Close, Err(Rejection::ActionOpen));
    problem.check(plan("改走管道", 25), Ok(&[planned("改走管道", 25)]));
}

#[test]
fn a_notice_is_published_linked_extended_and_ended_or_withdrawn_before_it_begins() {
    use notice::{Command as Do, Event as Then};
    let id = NoticeId(Uuid::from_u128(4));
    let (from, until) = (march(2, 12, 0), march(2, 14, 0));
    let publish = |unit: &str, work: &str, until| Do::Publish {
        notice: id,
        unit: unit.into(),
        area: "金水区".into(),
        work: work.into(),
        from,
        until,
    };
    let reason = || "备件未到".to_owned();
    let withdraw = || Do::Withdraw { reason: reason() };
    let mut notice = Notice::new();
    notice.check(Do::End, Err(Rejection::DoesNotExist));
    let unknown = Wrong::NotRegistered("moon".into());
    notice.check(publish("moon", "换板", until), Err(Rejection::invalid("unit", unknown)));
    notice.check(publish("power", " ", until), Err(Rejection::invalid("work", Wrong::Required)));
    let order = Rejection::invalid("until", Wrong::Unfit("it must be later than from"));
    notice.check(publish("power", "换板", from), Err(order));
    let published = Then::Published {
        notice: id,
        unit: "power".into(),
        area: "金水区".into(),
        work: "换板".into(),
        from,
        until,
    };
    notice.check(publish("power", "换板", until), Ok(std::slice::from_ref(&published)));
    notice.check(publish("power", "换板", until), Err(Rejection::AlreadyExists));
    notice.check(Do::LinkFault { ticket: TICKET }, Ok(&[Then::FaultLinked { ticket: TICKET }]));
    notice.check(Do::LinkFault { ticket: TICKET }, Ok(&[]));
    let extend = |until| Do::Extend { until, reason: reason() };
    let earlier = Rejection::invalid("until", Wrong::Unfit("it must be later than the present end"));
    notice.check(extend(march(2, 13, 0)), Err(earlier));
    let later = march(2, 16, 0);
    notice.check(extend(later), Ok(&[Then::Extended { until: later, reason: reason() }]));
    notice.check(extend(later), Ok(&[]));
    notice.2 = from;
    notice.check(withdraw(), Err(Rejection::WorkBegun));
    notice.check(Do::End, Ok(&[Then::Ended]));
    notice.check(Do::End, Ok(&[]));
    notice.check(withdraw(), Err(Rejection::AlreadyEnded));
    notice.check(extend(march(2, 18, 0)), Err(Rejection::AlreadyEnded));
    let late = TicketId(Uuid::from_u128(2));
    notice.check(Do::LinkFault { ticket: late }, Ok(&[Then::FaultLinked { ticket: late }]));

    let mut dropped = Notice::new();
    dropped.check(publish("power", "换板", until), Ok(&[published]));
    dropped.check(withdraw(), Ok(&[Then::Withdrawn { reason: reason() }]));
    dropped.check(withdraw(), Ok(&[]));
    dropped.check(Do::End, Err(Rejection::AlreadyEnded));
    dropped.check(Do::LinkFault { ticket: TICKET }, Err(Rejection::AlreadyEnded));
}

#[test]
fn a_customers_key_is_erased_when_no_ticket_receipt_or_due_is_open() {
    use customer::{Command as Do, Event as Then};
    let id = CustomerId(Uuid::from_u128(7));
    let (standard, public) = (Tier::Standard, Segment::Public);
    let register = |customer| Do::Register { customer, phone_hash: [2; 16], tier: standard, segment: public };
    let mut customer = Customer::new();
    let opened = || Do::NoteTicketOpened { ticket: TICKET };
    customer.check(opened(), Err(Rejection::DoesNotExist));
    let registered = Then::Registered { customer: id, phone_hash: [2; 16], tier: standard, segment: public };
    customer.check(register(id), Ok(&[registered]));
    customer.check(register(id), Ok(&[]));
    customer.check(register(CustomerId(Uuid::nil())), Err(Rejection::AlreadyExists));
    let tier = |reason: &str| Do::ChangeTier { tier: Tier::Gold, segment: public, reason: reason.into() };
    let changed = Then::TierChanged { tier: Tier::Gold, segment: public, reason: "年度评定".into() };
    customer.check(tier(""), Err(Rejection::invalid("reason", Wrong::Required)));
    customer.check(tier("年度评定"), Ok(&[changed]));
    customer.check(tier("年度评定"), Ok(&[]));
    customer.check(opened(), Ok(&[Then::TicketOpened { ticket: TICKET }]));
    customer.check(opened(), Ok(&[]));
    let erase = |ended: &[TicketId], open: &[Missing]| {
        let evidence = ErasureEvidence { ended: ended.iter().copied().collect(), open: open.to_vec() };
        Do::Erase { reason: "本人申请".into(), evidence }
    };
    let waits_for = |missing: &[Missing]| Err(Rejection::CustomerHasOpenCases { missing: missing.to_vec() });
    let end = Missing::EndOf(TICKET);
    customer.check(erase(&[], &[]), waits_for(std::slice::from_ref(&end)));
    customer.check(erase(&[], std::slice::from_ref(&end)), waits_for(&[end]));
    let due = Missing::SettlementOn(TICKET, DueNo(1));
    customer.check(erase(&[TICKET], std::slice::from_ref(&due)), waits_for(std::slice::from_ref(&due)));
    let ended = || Do::NoteTicketEnded { ticket: TICKET };
    customer.check(ended(), Ok(&[Then::TicketEnded { ticket: TICKET }]));
    customer.check(ended(), Ok(&[]));
    customer.check(erase(&[], std::slice::from_ref(&due)), waits_for(std::slice::from_ref(&due)));
    customer.check(erase(&[], &[]), Ok(&[Then::Erased { reason: "本人申请".into() }]));
    customer.check(erase(&[], &[due]), Ok(&[]));
    customer.check(opened(), Err(Rejection::AlreadyEnded));
    customer.check(tier("年度评定"), Err(Rejection::AlreadyEnded));
}
