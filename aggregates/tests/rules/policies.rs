//! Editions of the policy over one ticket's life, emergencies, the stream of editions, and trials of a draft.

use std::sync::Arc;

use uuid::Uuid;

use duban_aggregates::actor::Actor;
use duban_aggregates::calendar::Calendar;
use duban_aggregates::edition::{self, Command as Do, Editions, Event as Then};
use duban_aggregates::emergency::{self, Emergency, Place};
use duban_aggregates::ids::{CommandId, EmergencyId, OrderNo, stream_event_id};
use duban_aggregates::meta::{Context, Meta};
use duban_aggregates::policy::Policy;
use duban_aggregates::rejection::{Problem, Rejection};
use duban_aggregates::ticket::clock::{Clock, Subject};
use duban_aggregates::words::{ClockKind, Kind, Role, Stage};
use duban_sample_tickets::scripted::*;

fn draft(version: &str, rest: &str) -> Policy {
    let head = format!("version = \"{version}\"\ntitle = \"t\"\nextends = [\"cn-national-1\"]\n");
    Policy::parse(&format!("{head}{rest}")).unwrap()
}

fn clock(office: &Office, kind: ClockKind, subject: Subject) -> Clock {
    office.t().clock(kind, subject).unwrap().clone()
}

fn policy_of(office: &Office, kind: ClockKind, subject: Subject) -> String {
    clock(office, kind, subject).start.policy
}

#[test]
fn a_clock_stays_under_the_edition_that_started_it_and_the_next_one_starts_under_the_new() {
    let mut office = Office::at_stage(Kind::Complaint, Stage::Dispatch);
    let strict = "[constants]\nurges_to_supervisor = 3\nattempts = 3\nattempt_gap_hours = 2\nattempt_days = 2\ndissatisfied_rounds = 2\nreturn_window_hours = 4\nreturns_to_supervisor = 3\nappeal_working_days = 5\nreopen_days = 30\nresume_by_working_days = 5\nnotice_at = \"08:00\"\nladder_working_days = [1, 2, 3]\ndraw_percent = 10\n[[entry]]\nclock = \"order\"\nkind = \"complaint\"\ntarget = \"1wd\"\n";
    let old = Arc::clone(&office.policy);
    office.policy = Arc::new(draft("t-2", strict).knowing([old]));
    let office = office.pass(Stage::Dispatch);
    let order = Subject::Order(OrderNo(1));
    assert_eq!(policy_of(&office, ClockKind::Ticket, Subject::Ticket), "cn-national-1");
    assert_eq!(policy_of(&office, ClockKind::Stage, Subject::Stage(Stage::Dispatch)), "cn-national-1");
    assert_eq!(policy_of(&office, ClockKind::Order, order), "t-2");
    assert_eq!(clock(&office, ClockKind::Order, order).start.target.to_string(), "1wd");
    // The order's ladder climbs by its own edition's days: Monday's order was due on Tuesday.
    let office = check(
        &office.until(march(6, 9, 0)),
        tick(),
        Ok(&[
            "warned contact",
            "breached contact",
            "warned order",
            "escalated order urge",
            "breached order",
            "escalated order notice",
            "EscalationProposed",
            "EscalationProposed",
        ]),
    );
    let notice = office.history.iter().find(|(_, event)| office.name(event) == "escalated order notice");
    assert_eq!(notice.unwrap().0.occurred_at, march(4, 8, 0));
}

#[test]
fn a_corrected_category_restates_a_clock_by_the_edition_that_started_it() {
    let mut office = Office::at_stage(Kind::Fault, Stage::Dispatch);
    let before = clock(&office, ClockKind::Repair, Subject::Ticket).start;
    let other =
        "[[entry]]\nclock = \"repair\"\nkind = \"fault\"\ncategory = \"fault.mobile\"\ntarget = \"40h\"\n";
    let longer = "[[entry]]\nclock = \"repair\"\nkind = \"fault\"\ntarget = \"12h\"\n";
    let first = draft("t-1", longer);
    let old = Arc::clone(&office.policy);
    office.policy = Arc::new(draft("t-2", other).knowing([old, Arc::new(first)]));
    assert_eq!((before.policy.as_str(), before.target.to_string().as_str()), ("cn-national-1", "48h"));
    let correct = duban_aggregates::ticket::intake::Command::CorrectFact {
        corrects: office.event("TakenIn"),
        fact: duban_aggregates::ticket::intake::Fact::Category { category: "fault.mobile".into() },
        occurred_at: None,
        reason: s("登记有误"),
    };
    let office = office.then(a(Role::Desk), correct.into());
    // The new edition has 40 hours for it, the clock's own 48: nothing is restated, and never to an earlier moment.
    assert_eq!(clock(&office, ClockKind::Repair, Subject::Ticket).start, before);
}

#[test]
fn a_ticket_taken_in_under_an_emergency_keeps_its_policy_and_others_keep_theirs() {
    let book = Policy::cn_national().knowing([Policy::shipped_as("cn-emergency-1").unwrap()]);
    let mut office = Office::empty();
    office.policy = Arc::new(book.led_by("cn-emergency-1").unwrap());
    let mut office = office.then(a(Role::Desk), take_in(intake(Kind::Fault, march(2, 9, 0))));
    let repair = clock(&office, ClockKind::Repair, Subject::Ticket).start;
    assert_eq!((repair.policy.as_str(), repair.target.to_string().as_str()), ("cn-emergency-1", "24h"));
    // The emergency is over: the policy in force leads again, and the ticket keeps the one it was taken in under.
    office.policy = Arc::new(book.clone());
    let office = office.pass(Stage::Investigate);
    let dispatch = clock(&office, ClockKind::Stage, Subject::Stage(Stage::Dispatch)).start;
    assert_eq!((dispatch.policy.as_str(), dispatch.target.to_string().as_str()), ("cn-emergency-1", "15m"));

    let mut before = Office::new(Kind::Fault);
    before.policy = Arc::new(book.led_by("cn-emergency-1").unwrap());
    assert_eq!(policy_of(&before, ClockKind::Repair, Subject::Ticket), "cn-national-1");
}

/// A stream of its own, driven as the runner drives it.
struct Stream<S> {
    state: Option<S>,
    commands: u128,
    policy: Arc<Policy>,
}

impl<S> Stream<S> {
    fn new() -> Self {
        let known = ["cn-emergency-1", "cn-henan-1"].map(|version| Policy::shipped_as(version).unwrap());
        let policy = Policy::cn_national().knowing(known);
        Self { state: None, commands: 0, policy: Arc::new(policy) }
    }

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "stories read better without references")]
    fn check<C, E: Clone + PartialEq + std::fmt::Debug>(
        &mut self,
        by: Role,
        command: C,
        (decide, evolve): (
            impl Fn(Option<&S>, &Context<'_>, C) -> Result<Vec<E>, Rejection>,
            impl Fn(Option<S>, &E, &Meta) -> Option<S>,
        ),
        then: Result<&[E], Rejection>,
    ) {
        self.commands += 1;
        let command_id = CommandId(Uuid::from_u128(self.commands));
        let calendar = Calendar::cn();
        let actor: Actor = a(by);
        let at = march(2, 9, i8::try_from(self.commands).unwrap());
        let fingerprint = [1; 16];
        let (policy, calendar) = (&*self.policy, &*calendar);
        let context =
            Context { at, actor: actor.clone(), command: command_id, fingerprint, policy, calendar };
        let decided = decide(self.state.as_ref(), &context, command);
        assert_eq!(decided.as_deref(), then.as_deref());
        for (index, event) in (0..).zip(decided.unwrap_or_default()) {
            let meta = Meta {
                id: stream_event_id(edition::ID, command_id, index),
                revision: u64::from(index),
                recorded_at: at,
                occurred_at: at,
                actor: actor.clone(),
                command: command_id,
                fingerprint,
            };
            self.state = evolve(self.state.take(), &event, &meta);
        }
    }
}

type Decide<S, C, E> = fn(Option<&S>, &Context<'_>, C) -> Result<Vec<E>, Rejection>;
type Evolve<S, E> = fn(Option<S>, &E, &Meta) -> Option<S>;

const EDITIONS: (Decide<Editions, Do, Then>, Evolve<Editions, Then>) = (edition::decide, edition::evolve);

fn registered(policy: &Policy) -> Then {
    Then::Registered {
        version: policy.version.clone(),
        title: policy.title.clone(),
        emergency: policy.emergency,
        text: policy.text().to_owned(),
    }
}

#[test]
fn editions_are_registered_once_and_come_into_force_in_their_order() {
    let mut stream = Stream::<Editions>::new();
    let national = Policy::cn_national();
    let emergency = Policy::shipped_as("cn-emergency-1").unwrap();
    let register = |policy: &Arc<Policy>| Do::Register { policy: Arc::clone(policy) };
    let put = |version: &str| Do::PutIntoForce { version: version.into() };
    let force = |version: &str| Then::CameIntoForce { version: version.into() };
    let unknown = |version: &str| Rejection::invalid("version", Problem::NotRegistered(version.into()));
    let not_yours = || Rejection::NotYours { whose: "the server, when it starts".into() };
    stream.check(Role::Administrator, register(&national), EDITIONS, Err(not_yours()));
    stream.check(Role::Rule, put("cn-national-1"), EDITIONS, Err(unknown("cn-national-1")));
    stream.check(Role::Rule, register(&national), EDITIONS, Ok(&[registered(&national)]));
    stream.check(Role::Rule, register(&national), EDITIONS, Ok(&[]));
    stream.check(Role::Rule, put("cn-national-1"), EDITIONS, Ok(&[force("cn-national-1")]));
    stream.check(Role::Rule, put("cn-national-1"), EDITIONS, Ok(&[]));

    let own = Arc::new(draft("own-1", "[[entry]]\nclock = \"contact\"\nkind = \"fault\"\ntarget = \"1h\"\n"));
    stream.check(Role::Rule, register(&own), EDITIONS, Ok(&[registered(&own)]));
    let changed =
        Arc::new(draft("own-1", "[[entry]]\nclock = \"contact\"\nkind = \"fault\"\ntarget = \"3h\"\n"));
    let why = "the log has another content under the version `own-1`: give the changed file a new version";
    let refused = Rejection::invalid("version", Problem::Unusable(why.into()));
    stream.check(Role::Rule, register(&changed), EDITIONS, Err(refused));
    let lax =
        Arc::new(draft("lax-1", "[[entry]]\nclock = \"answer\"\nkind = \"complaint\"\ntarget = \"30d\"\n"));
    let why = lax.check_law(&Calendar::cn()).unwrap_err().to_string();
    assert!(why.contains("电信用户申诉处理办法第十条"), "{why}");
    let refused = Rejection::invalid("policy", Problem::Unusable(why));
    stream.check(Role::Rule, register(&lax), EDITIONS, Err(refused));
    stream.check(Role::Rule, put("own-1"), EDITIONS, Ok(&[force("own-1")]));

    stream.check(Role::Rule, register(&emergency), EDITIONS, Ok(&[registered(&emergency)]));
    let never = Problem::Unfit("it is an emergency's, which is never in force");
    let refused = Rejection::invalid("version", never);
    stream.check(Role::Rule, put("cn-emergency-1"), EDITIONS, Err(refused));

    let editions = stream.state.as_ref().unwrap();
    let read = editions.read().unwrap();
    assert_eq!(read.keys().collect::<Vec<_>>(), ["cn-emergency-1", "cn-national-1", "own-1"]);
    assert_eq!(read["own-1"], own, "an edition is read from the log as it was written");
    let in_force: Vec<_> = editions.policies.iter().map(|edition| edition.version.as_str()).collect();
    assert_eq!(in_force, ["cn-national-1", "own-1"]);
    assert!(editions.policies.is_sorted_by_key(|edition| edition.since));
}

#[test]
fn a_calendar_comes_into_force_whole_and_never_changes_under_its_version() {
    let mut stream = Stream::<Editions>::new();
    let put = |calendar: &Arc<Calendar>| Do::PutCalendarIntoForce { calendar: Arc::clone(calendar) };
    let came = |calendar: &Calendar| Then::CalendarCameIntoForce {
        version: calendar.version.clone(),
        text: calendar.to_toml(),
    };
    let year = |off: &str| {
        let text = format!(
            "version = \"cn-2027.1\"\n[[year]]\nyear = 2027\nholidays = [{{ name = \"元旦\", off = \"{off}\" }}]"
        );
        Arc::new(Calendar::cn().extended_by(&Calendar::parse(&text).unwrap()))
    };
    let (first, changed) = (year("01-01"), year("01-02"));
    stream.check(Role::Rule, put(&Calendar::cn()), EDITIONS, Ok(&[came(&Calendar::cn())]));
    stream.check(Role::Rule, put(&Calendar::cn()), EDITIONS, Ok(&[]));
    stream.check(Role::Rule, put(&first), EDITIONS, Ok(&[came(&first)]));
    let why =
        "the log has another content under the version `cn-2027.1`: give the changed file a new version";
    let refused = Rejection::invalid("version", Problem::Unusable(why.into()));
    stream.check(Role::Rule, put(&changed), EDITIONS, Err(refused));
    let editions = stream.state.as_ref().unwrap();
    assert_eq!(editions.read_calendar().unwrap().as_ref(), Some(&*first));
}

#[test]
fn an_emergency_is_declared_with_an_emergencys_policy_and_ends_once() {
    use emergency::{Command, Event};
    let id = EmergencyId(Uuid::from_u128(5));
    let by: (Decide<Emergency, Command, Event>, Evolve<Emergency, Event>) =
        (emergency::decide, emergency::evolve);
    let place = || Place { province: Some("henan".into()), city: Some("郑州".into()), district: None };
    let declare = |policy: &str, reason: &str| Command::Declare {
        emergency: id,
        policy: policy.into(),
        place: place(),
        reason: reason.into(),
    };
    let end = |reason: &str| Command::End { reason: reason.into() };
    let mut stream = Stream::<Emergency>::new();
    let required = |field| Err(Rejection::invalid(field, Problem::Required));
    stream.check(Role::Supervisor, end("雨停"), by, Err(Rejection::DoesNotExist));
    stream.check(Role::Supervisor, declare("cn-emergency-1", ""), by, required("reason"));
    stream.check(Role::Supervisor, declare("", "暴雨"), by, required("policy"));
    let unknown = Rejection::invalid("policy", Problem::NotRegistered("moon-1".into()));
    stream.check(Role::Supervisor, declare("moon-1", "暴雨"), by, Err(unknown));
    let plain = Rejection::invalid("policy", Problem::Unfit("its file does not say `emergency = true`"));
    stream.check(Role::Supervisor, declare("cn-henan-1", "暴雨"), by, Err(plain));
    let (policy, reason) = ("cn-emergency-1".to_owned(), "暴雨".to_owned());
    let declared = Event::Declared { emergency: id, policy, place: place(), reason };
    stream.check(Role::Supervisor, declare("cn-emergency-1", "暴雨"), by, Ok(&[declared]));
    stream.check(Role::Supervisor, declare("cn-emergency-1", "暴雨"), by, Err(Rejection::AlreadyExists));
    assert_eq!(stream.state.as_ref().unwrap().until, None);
    stream.check(Role::Supervisor, end(""), by, required("reason"));
    stream.check(Role::Supervisor, end("雨停"), by, Ok(&[Event::Ended { reason: "雨停".into() }]));
    stream.check(Role::Supervisor, end("雨停"), by, Ok(&[]));
    assert!(stream.state.as_ref().unwrap().until > Some(stream.state.as_ref().unwrap().since));

    let area = intake(Kind::Fault, march(2, 9, 0)).area;
    assert!(place().holds(&area) && Place::default().holds(&area));
    assert!(!Place { city: Some("洛阳".into()), ..place() }.holds(&area));
}
