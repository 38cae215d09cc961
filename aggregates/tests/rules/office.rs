//! The office's days: every success, refusal and repeat, and the words that are signed.

use jiff::Timestamp;
use jiff::civil::date;
use uuid::Uuid;

use duban_aggregates::calendar::Calendar;
use duban_aggregates::ids::{CommandId, stream_event_id};
use duban_aggregates::meta::{Context, Meta};
use duban_aggregates::office::{self, Command, DayHead, Event, ID, Office, SignedHead};
use duban_aggregates::policy::Policy;
use duban_aggregates::rejection::{Problem, Rejection};
use duban_aggregates::words::Role;
use duban_sample_tickets::scripted::{a, march};

fn head(day: i8, size: u64) -> SignedHead {
    let head = DayHead { day: date(2026, 3, day), size, root: [1; 32], streams: 3, streams_root: [0xAB; 32] };
    SignedHead { head, key: [7; 16], signature: [9; 64] }
}

struct Days {
    office: Option<Office>,
    commands: u128,
}

impl Days {
    #[track_caller]
    fn check(&mut self, by: Role, at: Timestamp, head: SignedHead, then: Result<bool, Rejection>) {
        self.commands += 1;
        let command = CommandId(Uuid::from_u128(self.commands));
        let (policy, calendar) = (Policy::cn_national(), Calendar::cn());
        let (actor, fingerprint) = (a(by), [1; 16]);
        let context =
            Context { at, actor: actor.clone(), command, fingerprint, policy: &policy, calendar: &calendar };
        let decided = office::decide(self.office.as_ref(), &context, Command::CloseDay(head));
        let wanted = then.map(|adds| if adds { vec![Event::DayClosed(head)] } else { Vec::new() });
        assert_eq!(decided, wanted);
        for event in decided.unwrap_or_default() {
            let revision = self.office.as_ref().map_or(0, |office| office.revision + 1);
            let id = stream_event_id(ID, command, 0);
            let meta = Meta {
                id,
                revision,
                recorded_at: at,
                occurred_at: at,
                actor: actor.clone(),
                command,
                fingerprint,
            };
            self.office = office::evolve(self.office.take(), &event, &meta);
            let office = self.office.as_ref().unwrap();
            assert_eq!((office.last, office.revision, office.last_recorded_at), (head, revision, at));
            assert_eq!(office.commands.get(&command).unwrap().last_revision, revision);
        }
    }
}

#[test]
fn days_are_closed_by_the_timer_in_order_once_and_when_they_are_over() {
    let mut days = Days { office: None, commands: 0 };
    let unfit = |field, why| Err(Rejection::invalid(field, Problem::Unfit(why)));
    let midnight = march(3, 0, 0);
    days.check(
        Role::Supervisor,
        midnight,
        head(2, 5),
        Err(Rejection::NotYours { whose: "the timer".into() }),
    );
    days.check(Role::Timer, march(2, 23, 59), head(2, 5), unfit("day", "it is not over"));
    days.check(Role::Timer, midnight, head(2, 0), unfit("size", "a day without events is not closed"));
    days.check(Role::Timer, midnight, head(2, 5), Ok(true));
    days.check(Role::Timer, midnight, head(2, 5), Ok(false));
    days.check(Role::Timer, midnight, head(2, 6), Ok(false));
    let later = march(9, 0, 0);
    days.check(Role::Timer, later, head(5, 5), unfit("size", "the day closed last has as many events"));
    days.check(Role::Timer, later, head(5, 9), Ok(true));
    days.check(Role::Timer, later, head(4, 9), unfit("day", "a later one is closed"));
    days.check(Role::Timer, later, head(8, 10), Ok(true));
}

#[test]
fn what_is_signed_are_lines_that_anybody_can_write_down() {
    let signed = head(2, 2224);
    let root = "01".repeat(32);
    let streams_root = "ab".repeat(32);
    let key = "07".repeat(16);
    let lines = format!(
        "duban day head v1\nday 2026-03-02\nsize 2224\nroot {root}\nstreams 3\nstreams_root {streams_root}\nkey {key}\n"
    );
    assert_eq!(signed.head.statement(&signed.key), lines);
}
