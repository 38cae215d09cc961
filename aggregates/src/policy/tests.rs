use super::*;
use crate::calendar::Calendar;

const CUSTOMER: PauseCode = PauseCode::Customer;

fn subject(kind: Kind) -> Subject<'static> {
    let category = match kind {
        Kind::Complaint => "complaint.billing.dispute",
        Kind::Fault => "fault.broadband.down",
        Kind::Install => "install.broadband.new",
    };
    Subject {
        kind,
        channel: Channel::Hotline10000,
        tier: Tier::Standard,
        segment: Segment::Public,
        province: "henan",
        rural: false,
        category,
        mass_outage: false,
    }
}

fn target(policy: &Policy, clock: ClockKind, stage: Option<Stage>, subject: &Subject<'_>) -> String {
    policy.lookup(clock, stage, subject).map_or_else(|| "none".to_owned(), |entry| entry.target.to_string())
}

/// A policy that holds what every policy needs, and `rest`, whose first line is line 21.
fn file(rest: &str) -> String {
    let constants = "version = \"t-1\"\ntitle = \"t\"\n[constants]\nurges_to_supervisor = 3\nattempts = 3\nattempt_gap_hours = 2
attempt_days = 2\ndissatisfied_rounds = 2\nreturn_window_hours = 4\nreturns_to_supervisor = 3\nappeal_working_days = 5
reopen_days = 30\nresume_by_working_days = 5\nnotice_at = \"09:00\"\nladder_working_days = [5, 10, 15]\ndraw_percent = 10\n";
    let tree = "category = [{ id = \"fault\", name = \"障碍\" }, { id = \"fault.down\", name = \"不通\" }]\n";
    let (head, body) = constants.split_once("[constants]").unwrap();
    format!("{head}{tree}[constants]{body}\n\n\n{rest}\n")
}

fn parse(rest: &str) -> Result<Policy, PolicyError> {
    Policy::parse(&file(rest))
}

#[test]
fn the_national_policy_holds_the_law() {
    let policy = Policy::cn_national();
    assert_eq!(policy.version, "cn-national-1");
    let town = |kind| subject(kind);
    let country = |kind| Subject { rural: true, ..subject(kind) };
    let both = [PauseCode::Customer, PauseCode::ForceMajeure];
    let none: [PauseCode; 0] = [];
    let cases = [
        (ClockKind::Repair, town(Kind::Fault), "48h", "电信条例第三十二条", &both[..]),
        (ClockKind::Repair, country(Kind::Fault), "72h", "电信条例第三十二条", &both),
        (ClockKind::Restore, town(Kind::Fault), "48h", "电信条例第三十四条", &both),
        (ClockKind::Activation, town(Kind::Install), "25d", "电信条例第三十一条、电信服务规范附录", &both),
        (ClockKind::Activation, country(Kind::Install), "30d", "电信条例第三十一条、电信服务规范附录", &both),
        (
            ClockKind::Answer,
            town(Kind::Complaint),
            "15d",
            "电信服务规范、电信用户申诉处理办法第十条",
            &both[1..],
        ),
        (ClockKind::Appealable, country(Kind::Complaint), "15d", "电信用户申诉处理办法第十条", &none),
        (ClockKind::Appealable, town(Kind::Fault), "15d", "电信用户申诉处理办法第十条", &none),
    ];
    for (clock, subject, target, article, pauses) in cases {
        let entry = policy.floor(clock, &subject).unwrap();
        assert_eq!(entry.target.to_string(), target, "{clock:?}");
        assert_eq!(entry.article.as_deref(), Some(article), "{clock:?}");
        assert_eq!(entry.pauses, pauses, "{clock:?}");
    }
    assert_eq!(policy.floor(ClockKind::Repair, &town(Kind::Complaint)), None);
    assert_eq!(policy.floor(ClockKind::Contact, &town(Kind::Complaint)), None);
}

#[test]
fn the_national_policy_keeps_its_own_law() {
    let policy = Policy::cn_national();
    assert_eq!(policy.check_floor(&policy, &Calendar::cn()), Ok(()));
}

#[test]
fn the_most_specific_entry_sets_the_clock() {
    let policy = Policy::cn_national();
    let fault = subject(Kind::Fault);
    let complaint = subject(Kind::Complaint);
    let repair = |subject: Subject<'_>| target(&policy, ClockKind::Repair, None, &subject);
    assert_eq!(repair(fault), "48h", "nothing of the operator's: the law");
    assert_eq!(repair(Subject { rural: true, ..fault }), "72h");
    assert_eq!(repair(Subject { tier: Tier::Gold, ..fault }), "24h");
    assert_eq!(repair(Subject { tier: Tier::Gold, rural: true, ..fault }), "36h");
    assert_eq!(repair(Subject { tier: Tier::Silver, ..fault }), "48h");
    let green = Subject { segment: Segment::LargeAccount, ..fault };
    assert_eq!(repair(Subject { tier: Tier::Gold, ..green }), "12h", "segment before tier");
    assert_eq!(
        repair(Subject { category: "fault.leased_line.down", ..fault }),
        "12h",
        "everything below a category"
    );
    assert_eq!(
        repair(Subject { category: "fault.leased_lines", ..fault }),
        "48h",
        "but not what only begins like it"
    );

    let dispatch = |subject: Subject<'_>| target(&policy, ClockKind::Stage, Some(Stage::Dispatch), &subject);
    assert_eq!(dispatch(complaint), "4h");
    assert_eq!(dispatch(fault), "1h");
    assert_eq!(dispatch(Subject { channel: Channel::Police110, ..green }), "10m", "channel before segment");
    assert_eq!(dispatch(Subject { mass_outage: true, channel: Channel::Police110, ..fault }), "15m");

    assert_eq!(target(&policy, ClockKind::Contact, None, &complaint), "2h");
    assert_eq!(target(&policy, ClockKind::Contact, None, &Subject { tier: Tier::Gold, ..complaint }), "1h");
    let outside = Subject { channel: Channel::Consumer12315, ..complaint };
    assert_eq!(target(&policy, ClockKind::Outside, None, &outside), "7wd");
    assert_eq!(target(&policy, ClockKind::Repair, None, &complaint), "none");
    assert_eq!(target(&policy, ClockKind::Answer, None, &fault), "none");
}

#[test]
fn every_ticket_has_every_clock_of_its_kind() {
    let policy = Policy::cn_national();
    for kind in [Kind::Complaint, Kind::Fault, Kind::Install] {
        for (rural, tier, segment) in [
            (false, Tier::Standard, Segment::Public),
            (true, Tier::Silver, Segment::Public),
            (true, Tier::Gold, Segment::LargeAccount),
        ] {
            let subject = Subject { rural, tier, segment, ..subject(kind) };
            for stage in Stage::ALL {
                assert!(
                    policy.lookup(ClockKind::Stage, Some(stage), &subject).is_some(),
                    "{stage:?} of {kind:?}"
                );
            }
            let own = match kind {
                Kind::Complaint => vec![ClockKind::Answer],
                Kind::Fault => vec![ClockKind::Repair, ClockKind::Restore],
                Kind::Install => vec![ClockKind::Activation],
            };
            use ClockKind::{Appealable, Closing, Contact, Order, Outside, Ticket};
            for clock in [Order, Contact, Outside, Ticket, Closing, Appealable].into_iter().chain(own) {
                assert!(policy.lookup(clock, None, &subject).is_some(), "{clock:?} of {kind:?}");
            }
        }
    }
}

#[test]
fn a_promised_date_goes_before_the_days_of_an_install() {
    let policy = Policy::cn_national();
    let promised = jiff::civil::date(2026, 3, 1);
    let install = policy.lookup(ClockKind::Activation, None, &subject(Kind::Install)).unwrap();
    assert_eq!(install.target_for(Some(promised)), Target::Day(promised));
    assert_eq!(install.target_for(None), Target::CalendarDays(25));
    let repair = policy.lookup(ClockKind::Repair, None, &subject(Kind::Fault)).unwrap();
    assert_eq!(repair.target_for(Some(promised)), Target::Hours(48));
    assert!(repair.honours(CUSTOMER) && !repair.honours(PauseCode::Resources));
}

#[test]
fn categories_units_and_constants_are_read() {
    let policy = Policy::cn_national();
    let down = policy.category("fault.broadband.down").unwrap();
    assert_eq!((down.name.as_str(), down.kind, down.leaf), ("宽带不通", Kind::Fault, true));
    assert!(!policy.category("fault.broadband").unwrap().leaf);
    assert!(policy.category("fault.restore_after_arrears").is_some());
    assert_eq!(policy.category("fault.broad"), None);
    assert!(policy.categories().count() >= 35);

    let crew = policy.unit("line-crew").unwrap();
    assert_eq!((crew.name.as_str(), crew.kind), ("线路维护班", UnitKind::Crew));
    assert_eq!(policy.unit("customer-114").unwrap().kind, UnitKind::Contractor);
    assert!(policy.units().count() >= 20);
    for stage in Stage::ALL {
        assert!(policy.unit(stage.department()).is_some(), "{stage:?}");
    }

    let constants = &policy.constants;
    assert_eq!((constants.attempts, constants.attempt_gap_hours, constants.attempt_days), (3, 2, 2));
    assert_eq!(
        (constants.return_window_hours, constants.reopen_days, constants.appeal_working_days),
        (4, 30, 5)
    );
    assert_eq!(constants.notice_at, jiff::civil::time(9, 0, 0, 0));
}

#[test]
fn bad_files_are_refused_with_their_line() {
    let line = 21;
    let entry = |rest: &str| parse(&format!("[[entry]]\n{rest}")).unwrap_err();
    let down = || "fault.down".to_owned();
    assert_eq!(
        entry("clock = \"repair\"\ncategory = \"fault.up\"\ntarget = \"1h\""),
        PolicyError::UnknownCategory { line, id: "fault.up".into() }
    );
    assert_eq!(
        entry("clock = \"repair\"\ncategory = \"fault.down\"\nkind = \"install\"\ntarget = \"1h\""),
        PolicyError::KindMismatch { line, id: down() }
    );
    assert_eq!(
        entry("clock = \"order\"\nstage = \"reply\"\ntarget = \"1h\""),
        PolicyError::StageUnexpected { line }
    );
    assert_eq!(
        entry("clock = \"order\"\nwarn_percent = 0\ntarget = \"1h\""),
        PolicyError::WarnPercent { line, percent: 0 }
    );
    assert_eq!(
        entry("clock = \"order\"\ntarget = \"2026-03-01\""),
        PolicyError::FixedTarget { line, target: "2026-03-01".parse().unwrap() }
    );
    assert_eq!(entry("clock = \"appealable\"\ntarget = \"5d\""), PolicyError::Statutory { line });
    assert_eq!(
        entry("clock = \"repair\"\npromised = true\ntarget = \"5d\""),
        PolicyError::PromiseUnexpected { line }
    );
    assert_eq!(
        entry("clock = \"order\"\ntarget = \"1h\"\n[[entry]]\nclock = \"order\"\ntarget = \"2h\""),
        PolicyError::SameConditions { line: line + 3, first: line }
    );
    let legal =
        |rest: &str| parse(&format!("[[legal]]\nclock = \"repair\"\ntarget = \"1h\"\n{rest}")).unwrap_err();
    assert_eq!(legal(""), PolicyError::NoArticle { line });
    assert_eq!(legal("article = \"x\"\ntier = \"gold\""), PolicyError::LegalConditions { line });
    let category = |id: &str| Policy::parse(&file("").replace("fault.down", id)).unwrap_err();
    assert_eq!(category("fault.a.b"), PolicyError::CategoryParent { line: 3, id: "fault.a.b".into() });
    assert_eq!(category("outage"), PolicyError::CategoryKind { line: 3, id: "outage".into() });
    assert_eq!(category("fault"), PolicyError::Twice { line: 3, id: "fault".into() });
    assert_eq!(category("fault."), PolicyError::Nameless { line: 3 });
    let changed = |from: &str, to: &str| Policy::parse(&file("").replace(from, to)).unwrap_err();
    assert_eq!(
        changed("draw_percent = 10", "draw_percent = 9"),
        PolicyError::Constant { name: "draw_percent", least: 10 }
    );
    assert_eq!(changed("[5, 10, 15]", "[5, 5, 15]"), PolicyError::Ladder);
    assert_eq!(changed("t-1", ""), PolicyError::NoVersion);
}

#[test]
fn unreadable_files_say_where_and_what() {
    for (rest, what) in [
        ("[[entry]]\nclock = \"repairs\"\ntarget = \"1h\"", "repairs"),
        ("[[entry]]\nclock = \"repair\"\ntarget = \"2 days\"", "`2 days` is no target"),
        ("[[entry]]\nclock = \"repair\"\ntarget = \"2d\"\ncolour = 1", "colour"),
    ] {
        let Err(PolicyError::Syntax(message)) = parse(rest) else { panic!("{rest}") };
        assert!(message.contains(what) && message.contains("line 2"), "{message}");
    }
}

/// The floor check of one entry against the law of 15 days, or 5 working days in Henan.
fn floor(entry: &str) -> Result<(), FloorError> {
    let legal =
        "[[legal]]\nclock = \"repair\"\ntarget = \"15d\"\npauses = [\"customer\"]\narticle = \"national\"
[[legal]]\nclock = \"repair\"\nprovince = \"henan\"\ntarget = \"5wd\"\narticle = \"henan\"
[[legal]]\nclock = \"activation\"\ntarget = \"25d\"\npromised = true\narticle = \"promise\"\n";
    let policy = parse(&format!("{legal}{entry}")).unwrap();
    policy.check_floor(&policy, &Calendar::cn())
}

#[test]
fn a_policy_laxer_than_the_law_is_refused_with_the_article() {
    let later = |entry: &str| match floor(entry).unwrap_err() {
        FloorError::Later { article, .. } => article,
        other => panic!("{other}"),
    };
    assert_eq!(later("[[entry]]\nclock = \"repair\"\ntarget = \"16d\""), "national");
    // Seven calendar days are mostly later than five working days, and always somewhere.
    assert_eq!(later("[[entry]]\nclock = \"repair\"\ntarget = \"6wd\"\nprovince = \"henan\""), "henan");
    assert_eq!(later("[[entry]]\nclock = \"repair\"\ntarget = \"7d\"\nprovince = \"henan\""), "henan");
    assert_eq!(later("[[entry]]\nclock = \"repair\"\ntarget = \"16:00/361h\""), "national");
    // National 15 days hold everywhere but in Henan; an entry that wins there is measured by Henan's.
    assert_eq!(later("[[entry]]\nclock = \"repair\"\ntarget = \"14d\""), "henan");
    // Ten working days fit into 15 calendar days in plain weeks, but not over Spring Festival.
    let elsewhere = "[[entry]]\nclock = \"repair\"\ntarget = \"5wd\"\n[[entry]]\nclock = \"repair\"\nprovince = \"hunan\"\n";
    assert_eq!(later(&format!("{elsewhere}target = \"10wd\"")), "national");
    assert_eq!(floor(&format!("{elsewhere}target = \"120h\"")), Ok(()));

    assert_eq!(floor("[[entry]]\nclock = \"repair\"\ntarget = \"5wd\""), Ok(()));
    assert_eq!(floor("[[entry]]\nclock = \"repair\"\ntarget = \"24h\""), Ok(()));
    assert_eq!(floor("[[entry]]\nclock = \"contact\"\ntarget = \"90d\""), Ok(()), "no law for this clock");
}

#[test]
fn an_entry_that_never_wins_is_not_measured() {
    let lax = "[[entry]]\nclock = \"repair\"\ntarget = \"90d\"\nkind = \"fault\"\n";
    let strict = "[[entry]]\nclock = \"repair\"\ntarget = \"24h\"\nkind = \"fault\"\nrural = ";
    assert!(floor(lax).is_err());
    assert_eq!(floor(&format!("{lax}{strict}true\n{strict}false")), Ok(()));
    assert!(floor(&format!("{lax}{strict}true\n")).is_err());
}

#[test]
fn a_pause_that_the_law_does_not_honour_is_refused() {
    let entry = "[[entry]]\nclock = \"repair\"\ntarget = \"24h\"\nprovince = \"hunan\"\n";
    assert_eq!(floor(&format!("{entry}pauses = [\"customer\"]")), Ok(()));
    let error = floor(&format!("{entry}pauses = [\"customer\", \"resources\"]")).unwrap_err();
    assert_eq!(
        error,
        FloorError::Pause {
            place: Place::line(36),
            clock: ClockKind::Repair,
            code: PauseCode::Resources,
            article: "national".into()
        }
    );
    assert_eq!(
        error.to_string(),
        "line 36: repair honours pauses for resources, which the law does not (national)"
    );
}

#[test]
fn an_install_must_keep_the_promised_date() {
    let entry = "[[entry]]\nclock = \"activation\"\ntarget = \"20d\"\n";
    assert!(matches!(floor(entry), Err(FloorError::Promise { .. })));
    assert_eq!(floor(&format!("{entry}promised = true")), Ok(()));
}

#[test]
fn the_refusal_gives_a_start_for_which_the_deadline_is_late() {
    let policy = parse(
        "[[legal]]\nclock = \"repair\"\ntarget = \"15d\"\narticle = \"条例\"\n[[entry]]\nclock = \"repair\"\ntarget = \"10wd\"",
    );
    let error = policy.as_ref().unwrap().check_floor(&policy.clone().unwrap(), &Calendar::cn()).unwrap_err();
    let FloorError::Later { start, target, floor, .. } = &error else { panic!("{error}") };
    let calendar = Calendar::cn();
    let due = |target| crate::calendar::deadline(target, *start, 80, &calendar).due;
    assert!(due(*target) > due(*floor));
    let text = error.to_string();
    assert!(
        text.starts_with("line 25: repair within 10wd may end later than 15d (条例), for instance"),
        "{text}"
    );
}

#[test]
fn every_policy_that_ships_keeps_the_law_and_what_it_promises() {
    let shipped: Vec<_> = Policy::shipped().collect();
    let versions: Vec<_> = shipped.iter().map(|policy| policy.version.as_str()).collect();
    assert_eq!(
        versions,
        ["cn-national-1", "cn-henan-1", "cn-chongqing-1", "operator-promise-1", "cn-emergency-1"]
    );
    for policy in &shipped {
        assert_eq!(policy.check_law(&Calendar::cn()), Ok(()), "{}", policy.version);
        assert_eq!(policy.emergency, policy.version == "cn-emergency-1");
        assert_eq!(policy.units().count(), shipped[0].units().count(), "the register is the national one");
    }
}

#[test]
fn the_floor_of_a_province_is_its_own_entry_be_it_earlier_or_later_else_the_national_one() {
    let complaint = |province| Subject { province, ..subject(Kind::Complaint) };
    let gold = |province| Subject { tier: Tier::Gold, ..complaint(province) };
    let answer = |policy: &Policy, subject: Subject<'_>| target(policy, ClockKind::Answer, None, &subject);
    let floor = |policy: &Policy, province| {
        let entry = policy.floor(ClockKind::Answer, &complaint(province)).unwrap();
        (entry.target.to_string(), entry.article.clone().unwrap())
    };
    let [henan, chongqing] =
        ["cn-henan-1", "cn-chongqing-1"].map(|version| Policy::shipped_as(version).unwrap());
    assert_eq!(floor(&henan, "henan"), ("5wd".into(), "河南省投诉答复时限：五个工作日".into()));
    assert_eq!(floor(&chongqing, "chongqing"), ("15wd".into(), "重庆市投诉答复时限：十五个工作日".into()));
    for (policy, province) in [(&henan, "hubei"), (&henan, "chongqing"), (&chongqing, "henan")] {
        assert_eq!(floor(policy, province).0, "15d", "{province}");
    }
    assert_eq!([answer(&henan, complaint("henan")), answer(&henan, complaint("hubei"))], ["5wd", "15d"]);
    assert_eq!([answer(&henan, gold("henan")), answer(&henan, gold("hubei"))], ["3wd", "7d"]);
    let both = "version = \"b\"\ntitle = \"b\"\nextends = [\"cn-henan-1\", \"cn-chongqing-1\"]\n";
    let both = Policy::parse(both).unwrap();
    assert_eq!(
        ["henan", "chongqing", "hubei"].map(|province| floor(&both, province).0),
        ["5wd", "15wd", "15d"]
    );
    assert_eq!(both.check_law(&Calendar::cn()), Ok(()));
}

#[test]
fn the_operators_promise_is_the_same_day_or_a_day_and_money_that_is_never_paid_twice() {
    let promise = Policy::shipped_as("operator-promise-1").unwrap();
    for subject in [
        subject(Kind::Install),
        Subject { tier: Tier::Gold, ..subject(Kind::Install) },
        Subject { segment: Segment::LargeAccount, rural: true, ..subject(Kind::Install) },
    ] {
        assert_eq!(target(&promise, ClockKind::Activation, None, &subject), "16:00/24h");
    }
    assert_eq!(
        target(&promise, ClockKind::Repair, None, &subject(Kind::Fault)),
        "48h",
        "the rest is national"
    );
    let money = promise.promise.unwrap();
    assert_eq!([0, 500, 2_000, 9_000].map(|law| money.late_install(law)), [2_000, 1_500, 0, 0]);
    let repair = [(0, 0), (1, 0), (3, 330), (9, 0), (10, 0), (11, 0), (u32::MAX, 0), (2, 5_000)];
    let owed = repair.map(|(days, law)| money.late_repair(days, law));
    assert_eq!(owed, [0, 1_000, 2_670, 9_000, 10_000, 10_000, 10_000, 0]);
    assert_eq!(Policy::cn_national().promise, None);
}

#[test]
fn a_file_takes_over_what_it_extends_and_puts_its_own_in_place_of_it() {
    let text = "version = \"x\"\ntitle = \"x\"\nextends = [\"cn-national-1\"]\n[[entry]]\nclock = \"contact\"\nkind = \"complaint\"\ntarget = \"1h\"\n[[category]]\nid = \"fault.satellite\"\nname = \"卫星\"\n";
    let policy = Policy::parse(text).unwrap();
    let national = Policy::cn_national();
    let contact = |policy: &Policy| target(policy, ClockKind::Contact, None, &subject(Kind::Complaint));
    assert_eq!((contact(&policy), contact(&national)), ("1h".to_owned(), "2h".to_owned()));
    assert_eq!((&policy.constants, policy.entries.len()), (&national.constants, national.entries.len()));
    assert_eq!(policy.categories().count(), national.categories().count() + 1);
    assert_eq!((policy.text(), policy.extends.as_slice()), (text, ["cn-national-1".to_owned()].as_slice()));
    let refused = |text: &str| Policy::parse(text).unwrap_err();
    assert_eq!(
        refused(&text.replace("cn-national-1", "moon-1")),
        PolicyError::UnknownBase { version: "moon-1".into() }
    );
    assert_eq!(refused("version = \"x\"\ntitle = \"x\"\n"), PolicyError::NoConstants);
    // Where an entry of the extended edition is what breaks a limit, it is named there.
    let province = "[[legal]]\nclock = \"answer\"\nkind = \"complaint\"\nprovince = \"hunan\"\ntarget = \"3d\"\narticle = \"湖南\"\n";
    let error = Policy::parse(&format!("{text}{province}")).unwrap().check_law(&Calendar::cn()).unwrap_err();
    assert_eq!(error.article(), "湖南");
    let edition = error.place().and_then(|place| place.edition.as_deref());
    assert_eq!(edition, Some("cn-national-1"), "{error}");
    assert!(error.to_string().contains(" of cn-national-1: answer"), "{error}");
}

#[test]
fn no_file_makes_the_national_law_laxer_or_leaves_it_out() {
    let base = "version = \"x\"\ntitle = \"x\"\nextends = [\"cn-national-1\"]\n";
    let law = |rest: &str| Policy::parse(&format!("{base}{rest}")).unwrap().check_law(&Calendar::cn());
    let answer = "[[legal]]\nclock = \"answer\"\nkind = \"complaint\"\narticle = \"自定\"\n";
    assert_eq!(law(&format!("{answer}target = \"15d\"\npauses = [\"force_majeure\"]")), Ok(()));
    let later = law(&format!("{answer}target = \"20d\"")).unwrap_err();
    assert_eq!(later.article(), "电信服务规范、电信用户申诉处理办法第十条", "{later}");
    let pause = law(&format!("{answer}target = \"10d\"\npauses = [\"customer\"]")).unwrap_err();
    assert!(matches!(pause, FloorError::Pause { code: PauseCode::Customer, .. }), "{pause}");
    // A province's own limit may be the later one.
    assert_eq!(
        law(&format!("{answer}province = \"chongqing\"\ntarget = \"15wd\"\npauses = [\"force_majeure\"]")),
        Ok(())
    );
    let alone = Policy::parse(&file("")).unwrap().check_law(&Calendar::cn()).unwrap_err();
    assert!(matches!(alone, FloorError::Missing { .. }), "{alone}");
    assert!(alone.to_string().contains("extend cn-national-1"), "{alone}");
}

#[test]
fn editions_are_found_by_their_version_whichever_is_in_front() {
    let old = Policy::parse(&file("").replace("t-1", "old")).unwrap();
    let new = Policy::cn_national().knowing([Arc::new(old)]);
    let found =
        |policy: &Policy, version: &str| policy.edition(version).map(|edition| edition.version.clone());
    for version in ["old", "cn-national-1", "cn-henan-1"] {
        assert_eq!(found(&new, version).as_deref(), Some(version));
    }
    assert_eq!(found(&new, "moon-1"), None);
    assert_eq!(new.versions(), ["cn-national-1", "old"]);
    let led = new.led_by("old").unwrap();
    assert_eq!((led.version.as_str(), led.versions()), ("old", vec!["cn-national-1", "old"]));
    assert_eq!(found(&led, "cn-national-1").as_deref(), Some("cn-national-1"));
    assert_eq!(new.led_by("moon-1"), None);
}
