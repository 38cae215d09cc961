//! Foreign histories: every success, refusal and repeat.

use jiff::Timestamp;
use uuid::Uuid;

use duban_aggregates::calendar::Calendar;
use duban_aggregates::ids::{CommandId, HistoryId, stream_event_id};
use duban_aggregates::imported::{self, Attribute, Command, Event, History, Step, VALUE_BYTES_MAX};
use duban_aggregates::meta::{Context, Meta};
use duban_aggregates::policy::Policy;
use duban_aggregates::rejection::{Problem, Rejection};
use duban_aggregates::words::{Role, Stage};
use duban_sample_tickets::scripted::{a, march};

const HISTORY: HistoryId = HistoryId(Uuid::from_u128(9));

fn step() -> Step {
    Step {
        history: HISTORY,
        source: "helpdesk".into(),
        case: "Case1".into(),
        activity: "Resolve ticket".into(),
        occurred_at: march(2, 9, 0),
        stage: Some(Stage::Reply),
        resource: Some("Value 2".into()),
        transition: "complete".into(),
        attributes: vec![Attribute { name: "case:variant".into(), value: String::new() }],
    }
}

#[derive(Default)]
struct Steps {
    history: Option<History>,
    commands: u128,
}

impl Steps {
    #[track_caller]
    fn check(&mut self, by: Role, change: impl FnOnce(&mut Step), then: Result<(), Rejection>) {
        self.commands += 1;
        let (at, mut step): (Timestamp, _) = (march(2, 9, 0), step());
        change(&mut step);
        let command = CommandId(Uuid::from_u128(self.commands));
        let (policy, calendar) = (Policy::cn_national(), Calendar::cn());
        let (actor, fingerprint) = (a(by), [1; 16]);
        let context =
            Context { at, actor: actor.clone(), command, fingerprint, policy: &policy, calendar: &calendar };
        let decided = imported::decide(self.history.as_ref(), &context, Command::Record(step.clone()));
        assert_eq!(decided, then.map(|()| vec![Event::HistoricStep(step)]));
        for event in decided.unwrap_or_default() {
            let revision = self.history.as_ref().map_or(0, |history| history.revision + 1);
            let id = stream_event_id(HISTORY.0, command, 0);
            let Event::HistoricStep(Step { occurred_at, .. }) = &event;
            let (recorded_at, occurred_at) = (at, *occurred_at);
            let meta =
                Meta { id, revision, recorded_at, occurred_at, actor: actor.clone(), command, fingerprint };
            self.history = imported::evolve(self.history.take(), &event, &meta);
            let history = self.history.as_ref().unwrap();
            assert_eq!((history.revision, history.steps), (revision, revision + 1));
            assert_eq!(history.commands.get(&command).unwrap().last_revision, revision);
        }
    }
}

#[test]
fn steps_are_recorded_by_an_import_as_the_source_has_them_also_twice_the_same() {
    let mut steps = Steps::default();
    for by in [Role::Desk, Role::Auditor, Role::Timer] {
        steps.check(by, |_| {}, Err(Rejection::NotYours { whose: "an import".into() }));
    }
    steps.check(Role::Import, |_| {}, Ok(()));
    steps.check(Role::Import, |_| {}, Ok(()));
    // Earlier than what is there: the source's order is the source's.
    steps.check(Role::Import, |step| step.occurred_at = march(1, 9, 0), Ok(()));
    steps.check(Role::Import, |step| (step.stage, step.resource) = (None, None), Ok(()));
}

#[test]
fn a_step_that_names_nothing_or_another_case_is_refused_by_field() {
    let mut steps = Steps::default();
    steps.check(Role::Import, |_| {}, Ok(()));
    let mut refused = |change: fn(&mut Step), field, problem| {
        steps.check(Role::Import, change, Err(Rejection::invalid(field, problem)));
    };
    refused(|step| step.source.clear(), "source", Problem::Required);
    refused(|step| step.case = " ".into(), "case", Problem::Required);
    refused(|step| step.activity.clear(), "activity", Problem::Required);
    refused(|step| step.transition.clear(), "transition", Problem::Required);
    refused(|step| step.resource = Some(String::new()), "resource", Problem::Required);
    refused(|step| step.activity = "x".repeat(257), "activity", Problem::TooLong(256));
    refused(|step| step.occurred_at = march(2, 9, 1), "occurred_at", Problem::InFuture);
    let other = Problem::Unfit("the history is another case's");
    refused(|step| step.case = "Case2".into(), "case", other.clone());
    refused(|step| step.source = "desk".into(), "case", other);
    let long = |step: &mut Step| step.attributes[0].value = "x".repeat(VALUE_BYTES_MAX + 1);
    refused(long, "attributes.value", Problem::TooLong(VALUE_BYTES_MAX));
    let twice = |step: &mut Step| step.attributes.push(step.attributes[0].clone());
    refused(twice, "attributes.name", Problem::Twice("case:variant".into()));
    refused(|step| step.attributes[0].name.clear(), "attributes.name", Problem::Required);
}
