//! Deadline arithmetic case by case: target, start, pauses, due, warning, and why. Worked out by hand from the
//! State Council's notices; times are civil in Shanghai.

use jiff::Timestamp;
use jiff::civil::DateTime;

use super::*;
use crate::calendar::SHANGHAI;

fn at(text: &str) -> Timestamp {
    let civil: DateTime = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    SHANGHAI.to_timestamp(civil).unwrap()
}

#[derive(Clone, Copy)]
struct Case {
    target: &'static str,
    start: &'static str,
    pauses: &'static [(&'static str, &'static str)],
    due: &'static str,
    warn: &'static str,
    provisional: bool,
    why: &'static str,
}

const fn run(
    target: &'static str,
    start: &'static str,
    due: &'static str,
    warn: &'static str,
    why: &'static str,
) -> Case {
    Case { target, start, pauses: &[], due, warn, provisional: false, why }
}

const fn provisional(case: Case) -> Case {
    Case { provisional: true, ..case }
}

const fn paused(pauses: &'static [(&'static str, &'static str)], case: Case) -> Case {
    Case { pauses, ..case }
}

fn check(cases: &[Case]) {
    let calendar = Calendar::cn();
    let mut wrong = Vec::new();
    for case in cases {
        let pauses: Vec<_> =
            case.pauses.iter().map(|(from, to)| Pause { paused_at: at(from), resumed_at: at(to) }).collect();
        let got = resume(case.target.parse().unwrap(), at(case.start), WARN_PERCENT, &pauses, &calendar);
        let want = Deadline { due: at(case.due), warn_at: at(case.warn), provisional: case.provisional };
        if got != want {
            let civil = |at| SHANGHAI.to_datetime(at);
            wrong.push(format!(
                "{} from {}: {}\n  due {} want {}, warn {} want {}, provisional {}",
                case.target,
                case.start,
                case.why,
                civil(got.due),
                case.due,
                civil(got.warn_at),
                case.warn,
                got.provisional
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[rustfmt::skip]
const HOURS: &[Case] = &[
    run("48h", "2025-09-30T10:00:00", "2025-10-02T10:00:00", "2025-10-02T00:24:00", "hours run through National Day"),
    run("72h", "2025-10-01T00:00:00", "2025-10-04T00:00:00", "2025-10-03T09:36:00", "hours from midnight on a holiday"),
    run("48h", "2026-12-30T23:59:59", "2027-01-01T23:59:59", "2027-01-01T14:23:59", "hours into an unpublished year are final"),
    run("1h", "2024-02-28T23:30:00", "2024-02-29T00:30:00", "2024-02-29T00:18:00", "over midnight into the leap day"),
    run("24h", "2025-02-28T12:00:00", "2025-03-01T12:00:00", "2025-03-01T07:12:00", "over the end of February, onto a Saturday"),
    run("15m", "2025-10-01T00:00:00", "2025-10-01T00:15:00", "2025-10-01T00:12:00", "minutes for a mass outage on a holiday"),
    run("30m", "2025-12-31T23:45:00", "2026-01-01T00:15:00", "2026-01-01T00:09:00", "minutes over the year's border"),
    run("2h", "2025-11-03T09:00:01", "2025-11-03T11:00:01", "2025-11-03T10:36:01", "from the second, not from the minute"),
    run("24h", "2025-03-09T01:30:00", "2025-03-10T01:30:00", "2025-03-09T20:42:00", "no daylight saving in Shanghai"),
    run("1m", "2025-11-03T12:00:00", "2025-11-03T12:01:00", "2025-11-03T12:00:48", "the shortest target"),
    run("16:00/24h", "2025-11-03T15:59:59", "2025-11-04T00:00:00", "2025-11-03T22:23:59", "in before 16:00: the same day"),
    run("16:00/24h", "2025-11-03T16:00:00", "2025-11-04T00:00:00", "2025-11-03T22:24:00", "in by 16:00 includes 16:00:00"),
    run("16:00/24h", "2025-11-03T16:00:01", "2025-11-04T16:00:01", "2025-11-04T11:12:01", "a second later: 24 hours"),
    run("16:00/24h", "2025-11-03T00:00:00", "2025-11-04T00:00:00", "2025-11-03T19:12:00", "midnight opens its day: all of it"),
    run("16:00/24h", "2025-10-01T09:00:00", "2025-10-02T00:00:00", "2025-10-01T21:00:00", "the promise knows no holidays"),
    run("16:00/24h", "2025-11-08T23:59:59", "2025-11-09T23:59:59", "2025-11-09T19:11:59", "late on a Saturday: 24 hours, on Sunday"),
];

#[rustfmt::skip]
const CALENDAR_DAYS: &[Case] = &[
    run("15d", "2025-11-03T09:00:00", "2025-11-19T00:00:00", "2025-11-15T21:00:00", "starting day skipped, last day the 18th"),
    run("15d", "2025-11-03T00:00:00", "2025-11-19T00:00:00", "2025-11-15T19:12:00", "midnight belongs to the day it opens"),
    run("15d", "2025-11-02T23:59:59", "2025-11-18T00:00:00", "2025-11-14T23:59:59", "a second before midnight: a day earlier"),
    run("1d", "2025-11-07T17:00:00", "2025-11-11T00:00:00", "2025-11-10T08:12:00", "ends on Saturday, rolls to Monday"),
    run("1d", "2025-02-28T12:00:00", "2025-03-04T00:00:00", "2025-03-03T07:12:00", "month end and weekend"),
    run("1d", "2024-02-28T12:00:00", "2024-03-01T00:00:00", "2024-02-29T16:48:00", "the leap day is a day"),
    run("15d", "2025-09-15T10:00:00", "2025-10-01T00:00:00", "2025-09-27T21:12:00", "last day 30 September, a working day"),
    run("15d", "2025-09-16T10:00:00", "2025-10-10T00:00:00", "2025-10-05T06:48:00", "ends on National Day, rolls over all eight days"),
    run("15d", "2025-09-23T10:00:00", "2025-10-10T00:00:00", "2025-10-06T16:24:00", "ends on the last day of the holiday"),
    run("15d", "2025-09-24T10:00:00", "2025-10-10T00:00:00", "2025-10-06T21:12:00", "ends on the first working day after it"),
    run("15d", "2025-09-13T10:00:00", "2025-09-29T00:00:00", "2025-09-25T21:12:00", "ends on a Sunday that is worked: no rolling"),
    run("15d", "2025-09-12T10:00:00", "2025-09-29T00:00:00", "2025-09-25T16:24:00", "ends on Saturday, rolls to the Sunday worked"),
    run("15d", "2025-09-26T10:00:00", "2025-10-12T00:00:00", "2025-10-08T21:12:00", "ends on a Saturday that is worked: no rolling"),
    run("15d", "2025-09-27T10:00:00", "2025-10-14T00:00:00", "2025-10-10T16:24:00", "ends on Sunday 12 October, an ordinary one"),
    run("25d", "2026-01-21T08:00:00", "2026-02-25T00:00:00", "2026-02-18T01:36:00", "urban install: first day of Spring Festival, rolls nine days"),
    run("30d", "2026-01-15T08:00:00", "2026-02-15T00:00:00", "2026-02-08T20:48:00", "rural install: Saturday worked before Spring Festival"),
    run("30d", "2026-01-29T08:00:00", "2026-03-01T00:00:00", "2026-02-22T20:48:00", "Saturday worked after Spring Festival, month end"),
    run("30d", "2026-01-30T08:00:00", "2026-03-03T00:00:00", "2026-02-24T16:00:00", "ends on Sunday 1 March"),
    run("15d", "2020-01-16T10:00:00", "2020-02-04T00:00:00", "2020-01-31T06:48:00", "Spring Festival 2020 was prolonged to 2 February"),
    run("7d", "2023-09-22T10:00:00", "2023-10-08T00:00:00", "2023-10-04T21:12:00", "mid-autumn and National Day, then a Saturday worked"),
    run("15d", "2015-08-19T10:00:00", "2015-09-07T00:00:00", "2015-09-03T06:48:00", "victory day 2015: two days, a Saturday, a Sunday worked"),
    run("15d", "2018-12-16T10:00:00", "2019-01-03T00:00:00", "2018-12-30T11:36:00", "New Year 2019 began on 30 December"),
    run("15d", "2018-12-14T10:00:00", "2018-12-30T00:00:00", "2018-12-26T21:12:00", "29 December 2018, a Saturday worked"),
    run("15d", "2025-12-17T09:00:00", "2026-01-05T00:00:00", "2026-01-01T06:36:00", "New Year 2026, then a Sunday worked"),
    run("15d", "2026-12-16T09:00:00", "2027-01-01T00:00:00", "2026-12-28T21:00:00", "last day 31 December: 24:00 is not yet 2027"),
    provisional(run("15d", "2026-12-17T09:00:00", "2027-01-02T00:00:00", "2026-12-29T21:00:00", "1 January 2027 unpublished: assumed worked")),
    provisional(run("15d", "2026-12-18T09:00:00", "2027-01-05T00:00:00", "2027-01-01T11:24:00", "a Saturday of an unpublished year still rolls")),
    run("30d", "2026-12-01T09:00:00", "2027-01-01T00:00:00", "2026-12-25T21:00:00", "thirty days to the very end of the published years"),
    provisional(run("30d", "2026-12-02T09:00:00", "2027-01-02T00:00:00", "2026-12-26T21:00:00", "a day later it is provisional")),
];

#[rustfmt::skip]
const WORKING_DAYS: &[Case] = &[
    run("5wd", "2025-11-03T09:00:00", "2025-11-11T00:00:00", "2025-11-07T21:00:00", "Henan: 4, 5, 6, 7, 10 November"),
    run("5wd", "2025-11-07T10:00:00", "2025-11-15T00:00:00", "2025-11-13T21:12:00", "Friday to Friday; the weekend has no seconds"),
    run("5wd", "2025-11-08T10:00:00", "2025-11-15T00:00:00", "2025-11-14T00:00:00", "from a Saturday: 80 % are exactly four working days"),
    run("7wd", "2025-09-25T09:00:00", "2025-10-12T00:00:00", "2025-10-10T11:24:00", "12315: Sunday 28 and Saturday 11 are worked"),
    run("7wd", "2025-09-28T10:00:00", "2025-10-15T00:00:00", "2025-10-13T11:36:00", "starts on a Sunday worked, which is skipped"),
    run("5wd", "2025-10-03T12:00:00", "2025-10-15T00:00:00", "2025-10-14T00:00:00", "starts in the holiday: 9, 10, 11, 13, 14"),
    run("1wd", "2025-09-30T23:59:59", "2025-10-10T00:00:00", "2025-10-09T19:11:59", "last second before the holiday"),
    run("1wd", "2025-10-01T00:00:00", "2025-10-10T00:00:00", "2025-10-09T19:12:00", "first instant of the holiday"),
    run("1wd", "2025-09-26T15:00:00", "2025-09-29T00:00:00", "2025-09-28T17:24:00", "Friday to a Sunday worked"),
    run("3wd", "2026-02-12T09:00:00", "2026-02-25T00:00:00", "2026-02-24T06:36:00", "13, Saturday 14, then over nine days to the 24th"),
    run("5wd", "2026-02-24T08:00:00", "2026-03-03T00:00:00", "2026-02-28T20:48:00", "25, 26, 27, Saturday 28, 2 March"),
    run("1wd", "2026-02-14T20:00:00", "2026-02-25T00:00:00", "2026-02-24T18:24:00", "evening of the Saturday worked before Spring Festival"),
    run("2wd", "2026-01-01T10:00:00", "2026-01-06T00:00:00", "2026-01-05T14:24:00", "New Year 2026: Sunday 4, Monday 5"),
    run("5wd", "2026-09-18T12:00:00", "2026-09-25T00:00:00", "2026-09-23T21:36:00", "Sunday 20 worked, ends before mid-autumn"),
    run("5wd", "2026-09-28T12:00:00", "2026-10-11T00:00:00", "2026-10-09T21:36:00", "29, 30, 8, 9, Saturday 10 October 2026"),
    run("5wd", "2024-02-06T09:00:00", "2024-02-20T00:00:00", "2024-02-18T21:00:00", "7, 8, 9, Sunday 18 worked, 19"),
    run("7wd", "2023-09-27T09:00:00", "2023-10-13T00:00:00", "2023-10-11T11:24:00", "28, Saturday 7, Sunday 8, 9 to 12 October"),
    run("15wd", "2026-03-02T09:00:00", "2026-03-24T00:00:00", "2026-03-18T21:00:00", "Chongqing: three plain weeks"),
    run("2wd", "2024-02-28T09:00:00", "2024-03-02T00:00:00", "2024-03-01T11:24:00", "the leap day is worked"),
    run("5wd", "2025-12-29T09:00:00", "2026-01-07T00:00:00", "2026-01-05T21:00:00", "over New Year into a published year: 30, 31, 4, 5, 6"),
    run("3wd", "2026-12-28T09:00:00", "2027-01-01T00:00:00", "2026-12-31T06:36:00", "29, 30, 31 December: final"),
    provisional(run("4wd", "2026-12-28T09:00:00", "2027-01-02T00:00:00", "2027-01-01T01:48:00", "the fourth is assumed on 1 January 2027")),
    provisional(run("5wd", "2026-12-31T10:00:00", "2027-01-08T00:00:00", "2027-01-06T21:12:00", "1, 4, 5, 6, 7 January assumed")),
    provisional(run("1wd", "2014-12-31T12:00:00", "2015-01-05T00:00:00", "2015-01-04T16:48:00", "starts in an unpublished year; Sunday 4 January worked")),
];

#[rustfmt::skip]
const FIXED: &[Case] = &[
    run("2025-10-03", "2025-09-20T10:00:00", "2025-10-04T00:00:00", "2025-10-01T06:48:00", "a promised day does not roll"),
    run("2027-01-01", "2026-12-31T00:00:00", "2027-01-02T00:00:00", "2027-01-01T14:24:00", "a promised day is never provisional"),
    run("2025-10-15T10:00:00Z", "2025-10-10T18:00:00", "2025-10-15T18:00:00", "2025-10-14T18:00:00", "an outside body's instant, given in UTC"),
    run("2025-10-10T02:00:00Z", "2025-10-10T18:00:00", "2025-10-10T10:00:00", "2025-10-10T10:00:00", "handed over when already late: warned and breached"),
];

#[rustfmt::skip]
const PAUSES: &[Case] = &[
    paused(&[("2025-11-03T15:00:00", "2025-11-04T15:00:00")],
        run("48h", "2025-11-03T09:00:00", "2025-11-06T09:00:00", "2025-11-05T23:24:00", "hours move by the pause, the warning too")),
    paused(&[("2025-10-01T00:00:00", "2025-10-09T00:00:00")],
        run("48h", "2025-09-30T10:00:00", "2025-10-10T10:00:00", "2025-10-10T00:24:00", "hours paused over all of National Day")),
    paused(&[("2025-11-03T17:00:00", "2025-11-03T19:00:00")],
        run("10h", "2025-11-03T08:00:00", "2025-11-03T20:00:00", "2025-11-03T16:00:00", "a warning given before the pause stays")),
    paused(&[("2025-11-03T16:00:00", "2025-11-03T17:00:00")],
        run("10h", "2025-11-03T08:00:00", "2025-11-03T19:00:00", "2025-11-03T16:00:00", "paused exactly at the warning: it had fallen")),
    paused(&[("2025-11-03T15:59:59", "2025-11-03T17:00:00")],
        run("10h", "2025-11-03T08:00:00", "2025-11-03T19:00:01", "2025-11-03T17:00:01", "paused a second before: one second after resuming")),
    paused(&[("2025-11-03T18:00:00", "2025-11-03T20:00:00")],
        run("10h", "2025-11-03T08:00:00", "2025-11-03T20:00:00", "2025-11-03T16:00:00", "paused exactly at due, which is on time")),
    paused(&[("2025-11-03T09:00:00", "2025-11-03T10:00:00"), ("2025-11-03T12:00:00", "2025-11-03T14:00:00")],
        run("10h", "2025-11-03T08:00:00", "2025-11-03T21:00:00", "2025-11-03T19:00:00", "two pauses add up")),
    paused(&[("2025-11-03T08:00:00", "2025-11-03T08:00:00")],
        run("10h", "2025-11-03T08:00:00", "2025-11-03T18:00:00", "2025-11-03T16:00:00", "a pause of no length")),
    paused(&[("2025-11-03T11:00:00", "2025-11-03T13:00:00")],
        run("16:00/24h", "2025-11-03T10:00:00", "2025-11-04T02:00:00", "2025-11-03T23:12:00", "the promise moves by the pause")),
    paused(&[("2025-11-10T10:00:00", "2025-11-13T09:00:00")],
        run("15d", "2025-11-03T09:00:00", "2025-11-22T00:00:00", "2025-11-18T20:48:00", "eight days left after the 10th, counted from the 13th")),
    paused(&[("2025-11-10T09:00:00", "2025-11-10T15:00:00")],
        run("15d", "2025-11-03T09:00:00", "2025-11-19T00:00:00", "2025-11-15T22:12:00", "within one day: due unchanged, six hours less run")),
    paused(&[("2025-11-10T00:00:00", "2025-11-11T00:00:00")],
        run("15d", "2025-11-03T09:00:00", "2025-11-20T00:00:00", "2025-11-16T21:00:00", "midnight to midnight is one day")),
    paused(&[("2025-09-25T10:00:00", "2025-09-29T10:00:00")],
        run("15d", "2025-09-16T10:00:00", "2025-10-10T00:00:00", "2025-10-06T02:00:00", "six days left to 1 October, not fourteen to the rolled 9th")),
    paused(&[("2025-10-03T09:00:00", "2025-10-05T09:00:00")],
        run("15d", "2025-09-16T10:00:00", "2025-10-10T00:00:00", "2025-10-05T16:24:00", "paused while rolling: nothing was left, rolls again")),
    paused(&[("2025-10-03T09:00:00", "2025-10-13T10:00:00")],
        run("15d", "2025-09-16T10:00:00", "2025-10-14T00:00:00", "2025-10-13T10:00:00", "nothing left: the day of resuming, warned at once")),
    paused(&[("2025-09-30T09:00:00", "2025-10-02T09:00:00"), ("2025-10-04T09:00:00", "2025-10-09T09:00:00")],
        run("15d", "2025-09-16T10:00:00", "2025-10-10T00:00:00", "2025-10-09T09:00:00", "two pauses, the second while rolling")),
    paused(&[("2025-09-29T09:00:00", "2025-10-08T09:00:00")],
        run("15d", "2025-09-16T10:00:00", "2025-10-11T00:00:00", "2025-10-08T09:00:00", "paused over the holiday: 9 and 10 left, the share had run: warned on resuming")),
    paused(&[("2025-11-03T10:00:00", "2025-11-06T10:00:00")],
        run("5wd", "2025-11-03T09:00:00", "2025-11-14T00:00:00", "2025-11-12T21:00:00", "paused on the starting day: all five left")),
    paused(&[("2025-09-29T11:00:00", "2025-10-03T11:00:00")],
        run("5wd", "2025-09-26T09:00:00", "2025-10-12T00:00:00", "2025-10-10T23:36:00", "resumed in the holiday: 9, 10, Saturday 11")),
    paused(&[("2025-10-02T11:00:00", "2025-10-06T11:00:00")],
        run("5wd", "2025-09-26T09:00:00", "2025-10-11T00:00:00", "2025-10-09T21:00:00", "paused and resumed in the holiday: nothing changes")),
    paused(&[("2026-02-13T09:00:00", "2026-02-24T09:00:00")],
        run("5wd", "2026-02-10T09:00:00", "2026-02-27T00:00:00", "2026-02-25T21:00:00", "paused over Spring Festival: two left, 25 and 26")),
    paused(&[("2025-11-10T12:00:00", "2025-11-12T12:00:00")],
        run("5wd", "2025-11-03T09:00:00", "2025-11-13T00:00:00", "2025-11-07T21:00:00", "paused on the last day: none left, the day of resuming")),
    paused(&[("2025-11-10T12:00:00", "2025-11-15T12:00:00")],
        run("5wd", "2025-11-03T09:00:00", "2025-11-18T00:00:00", "2025-11-07T21:00:00", "and that day is a Saturday: Monday")),
    paused(&[("2025-11-04T09:00:00", "2025-11-05T09:00:00"), ("2025-11-07T09:00:00", "2025-11-10T09:00:00")],
        run("5wd", "2025-11-03T09:00:00", "2025-11-13T00:00:00", "2025-11-11T21:00:00", "two pauses: four left, then two")),
    paused(&[("2026-12-28T10:00:00", "2026-12-30T10:00:00")],
        provisional(run("3wd", "2026-12-28T09:00:00", "2027-01-05T00:00:00", "2027-01-04T06:36:00", "the pause moves it into 2027"))),
    paused(&[("2025-11-10T09:00:00", "2025-11-12T09:00:00")],
        run("2025-11-20", "2025-11-03T09:00:00", "2025-11-23T00:00:00", "2025-11-19T11:24:00", "promised day: ten left, to a Saturday, no rolling")),
    paused(&[("2025-10-11T18:00:00", "2025-10-12T18:00:00")],
        run("2025-10-15T10:00:00Z", "2025-10-10T18:00:00", "2025-10-16T18:00:00", "2025-10-15T18:00:00", "a fixed instant moves by the pause")),
];

#[test]
fn hour_targets_run_from_the_second() {
    check(HOURS);
}

#[test]
fn calendar_day_targets_end_at_midnight_and_roll() {
    check(CALENDAR_DAYS);
}

#[test]
fn working_day_targets_know_shifted_weekends() {
    check(WORKING_DAYS);
}

#[test]
fn fixed_targets_stay_where_they_are() {
    check(FIXED);
}

#[test]
fn pauses_move_hours_and_recount_days() {
    check(PAUSES);
}

#[test]
fn exactly_at_due_is_on_time() {
    let calendar = Calendar::cn();
    for (target, start, due) in [
        ("48h", "2025-11-03T09:00:00", "2025-11-05T09:00:00"),
        ("15d", "2025-11-03T09:00:00", "2025-11-19T00:00:00"),
        ("5wd", "2025-11-03T09:00:00", "2025-11-11T00:00:00"),
    ] {
        let deadline = deadline(target.parse().unwrap(), at(start), 80, &calendar);
        let nanosecond = SignedDuration::from_nanos(1);
        assert!(!deadline.is_late(at(due)), "{target}");
        assert!(deadline.is_late(at(due) + nanosecond), "{target}");
        assert!(deadline.is_warned(deadline.warn_at) && !deadline.is_warned(deadline.warn_at - nanosecond));
    }
}

#[test]
fn publishing_the_year_makes_a_provisional_deadline_final() {
    let old = Calendar::cn();
    let year = "version = \"cn-2027.1\"\n[[year]]\nyear = 2027\nholidays = [{ name = \"元旦\", off = \"01-01/01-03\" }]";
    let new = old.extended_by(&Calendar::parse(year).unwrap());
    let start = at("2026-12-17T09:00:00");
    let target = Target::CalendarDays(15);
    assert_eq!(deadline(target, start, 80, &old).due, at("2027-01-02T00:00:00"));
    let restated = deadline(target, start, 80, &new);
    assert_eq!((restated.due, restated.provisional), (at("2027-01-05T00:00:00"), false));
}

#[test]
fn the_share_of_the_warning_is_the_policys() {
    let calendar = Calendar::cn();
    let start = at("2025-11-03T09:00:00");
    let warn = |percent| deadline(Target::Hours(10), start, percent, &calendar).warn_at;
    assert_eq!(warn(50), at("2025-11-03T14:00:00"));
    assert_eq!(warn(100), at("2025-11-03T19:00:00"));
    assert_eq!(warn(250), at("2025-11-03T19:00:00"));
}

#[test]
fn targets_read_back_what_they_print() {
    for text in ["30m", "48h", "15d", "5wd", "16:00/24h", "2026-03-01", "2026-03-01T08:00:00Z"] {
        assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
    }
    for text in [
        "",
        "h",
        "0h",
        "-1h",
        "+1h",
        "1.5h",
        "48 h",
        "5w",
        "24:00/24h",
        "16:00/2d",
        "16:00:30/24h",
        "2026-02-30",
        "99999999999d",
        "7000000h",
    ] {
        assert_eq!(text.parse::<Target>(), Err(TargetError(text.to_owned())));
    }
}

/// Small, seeded, good enough to wander through years and pauses.
struct Wander(u64);

impl Wander {
    fn below(&mut self, limit: u64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((self.0 >> 33) % limit).unwrap()
    }
}

#[test]
fn pauses_never_bring_a_deadline_forward_and_warnings_stay_inside_the_span() {
    let calendar = Calendar::cn();
    let targets: Vec<Target> = ["15m", "48h", "15d", "25d", "5wd", "15wd", "16:00/24h"]
        .iter()
        .map(|it| it.parse().unwrap())
        .collect();
    let mut wander = Wander(7);
    for round in 0..3_000 {
        let target = targets[round % targets.len()];
        let start = plus(at("2024-01-01T00:00:00"), wander.below(1_000 * 86_400));
        let mut pauses: Vec<Pause> = Vec::new();
        let mut last = deadline(target, start, 80, &calendar);
        let mut now = start;
        for _ in 0..3 {
            let room = last.due.duration_since(now).as_secs();
            let Ok(room @ 1..) = u64::try_from(room) else { break };
            let paused_at = plus(now, wander.below(room));
            let resumed_at = plus(paused_at, wander.below(20 * 86_400));
            pauses.push(Pause { paused_at, resumed_at });
            let next = resume(target, start, 80, &pauses, &calendar);
            let case = format!("{target} from {start} with {pauses:?}");
            assert!(next.due >= last.due, "{case}");
            assert!(next.due > resumed_at, "{case}");
            assert!(start <= next.warn_at && next.warn_at <= next.due, "{case}");
            let fallen = last.warn_at <= paused_at;
            assert!(if fallen { next.warn_at == last.warn_at } else { next.warn_at >= resumed_at }, "{case}");
            (last, now) = (next, resumed_at);
        }
    }
}
