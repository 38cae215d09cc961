use std::error::Error;

use duban_aggregates::edition::{Edition, InForce};
use jiff::Timestamp;

use super::*;

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn policy(version: &str, rest: &str) -> String {
    format!("version = \"{version}\"\ntitle = \"t\"\nextends = [\"cn-national-1\"]\n{rest}")
}

fn versions(policies: &[Arc<Policy>]) -> Vec<&str> {
    policies.iter().map(|policy| policy.version.as_str()).collect()
}

/// A log's editions, the last of which is in force, with a calendar.
fn editions(known: &[&Policy], calendar: &Calendar) -> Editions {
    let edition = |policy: &&Policy| {
        let (title, emergency) = (policy.title.clone(), policy.emergency);
        (policy.version.clone(), Edition { title, emergency, text: Arc::from(policy.text()) })
    };
    let came = |version: &str| InForce { version: version.to_owned(), since: Timestamp::UNIX_EPOCH };
    Editions {
        editions: known.iter().map(edition).collect(),
        order: known.iter().map(|policy| policy.version.clone()).collect(),
        policies: known.last().map(|policy| came(&policy.version)).into_iter().collect(),
        calendars: vec![came(&calendar.version)],
        calendar: Some(Arc::from(calendar.to_toml())),
        revision: 9,
        last_recorded_at: Timestamp::UNIX_EPOCH,
        commands: duban_aggregates::memory::Memory::default(),
    }
}

#[test]
fn what_ships_is_in_force_where_nobody_says_anything_and_is_written_down() {
    let Wanted { rules, register } = wanted(&PolicyConfig::default(), None).unwrap();
    assert_eq!((rules.policy.version.as_str(), rules.calendar), ("cn-national-1", Calendar::cn()));
    assert_eq!(versions(&register), ["cn-national-1"]);
}

#[test]
fn a_configured_policy_is_in_force_after_those_it_extends_and_the_log_remembers_it() {
    let dir = tempfile::tempdir().unwrap();
    let own = write(dir.path(), "own.toml", &policy("own-1", "").replace("cn-national-1", "cn-henan-1"));
    let flood = write(dir.path(), "flood.toml", &policy("flood-1", "emergency = true"));
    let configured = PolicyConfig { in_force: Some(own), emergencies: vec![flood], calendars: Vec::new() };
    let Wanted { rules, register } = wanted(&configured, None).unwrap();
    assert_eq!(rules.policy.version, "own-1");
    assert_eq!(rules.policy.versions(), ["cn-henan-1", "cn-national-1", "flood-1", "own-1"]);
    assert_eq!(versions(&register), ["cn-national-1", "cn-henan-1", "own-1", "flood-1"]);

    // At the next start nothing needs to be said, and no file to be there.
    let known: Vec<&Policy> = [0, 1, 3, 2].map(|index| &*register[index]).to_vec();
    let editions = editions(&known, &Calendar::cn());
    let Wanted { rules, register } = wanted(&PolicyConfig::default(), Some(&editions)).unwrap();
    assert_eq!((rules.policy.version.as_str(), register.len()), ("own-1", 0));
    assert_eq!(rules.policy.versions(), ["cn-henan-1", "cn-national-1", "flood-1", "own-1"]);
    // Another is named by its version alone, since the log has it.
    let back = PolicyConfig { in_force: Some("cn-henan-1".into()), ..PolicyConfig::default() };
    assert_eq!(wanted(&back, Some(&editions)).unwrap().rules.policy.version, "cn-henan-1");
}

#[test]
fn a_policy_that_cannot_be_used_is_refused_with_its_file_its_line_and_the_article() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |text: &str| {
        let path = write(dir.path(), "p.toml", text);
        let configured = PolicyConfig { in_force: Some(path), ..PolicyConfig::default() };
        let error = wanted(&configured, None).unwrap_err();
        let source = error.source().map(ToString::to_string).unwrap_or_default();
        format!("{error}: {source}")
    };
    let lax =
        refused(&policy("lax-1", "[[entry]]\nclock = \"repair\"\nkind = \"fault\"\ntarget = \"96h\"\n"));
    for part in ["p.toml is laxer than the law", "line 4", "96h", "电信条例第三十二条"] {
        assert!(lax.contains(part), "{part} is missing: {lax}");
    }
    assert!(refused("version = 1").contains("p.toml is no policy"));
    let emergency = refused(&policy("flood-1", "emergency = true"));
    assert!(emergency.contains("flood-1 is an emergency's policy"), "{emergency}");
    let missing = PolicyConfig { in_force: Some("cn-moon-1".into()), ..PolicyConfig::default() };
    assert!(matches!(wanted(&missing, None), Err(RulesError::Read { .. })));
    let plain = PolicyConfig { emergencies: vec!["cn-henan-1".into()], ..PolicyConfig::default() };
    assert!(matches!(wanted(&plain, None), Err(RulesError::NoEmergency { .. })));
    let own = Policy::parse(&policy("own-1", "")).unwrap();
    let known = editions(&[&Policy::cn_national(), &own], &Calendar::cn());
    let path = write(dir.path(), "own.toml", &policy("own-1", "# now with a remark\n"));
    let changed = PolicyConfig { in_force: Some(path), ..PolicyConfig::default() };
    let refused = wanted(&changed, Some(&known)).unwrap_err();
    assert!(refused.to_string().contains("another content under the version `own-1`"), "{refused}");
}

#[test]
fn configured_calendars_lie_over_the_one_that_ships_and_stay_until_more_years_ship() {
    let dir = tempfile::tempdir().unwrap();
    let year = |year: u16| {
        let text = format!(
            "version = \"cn-{year}.1\"\n[[year]]\nyear = {year}\nholidays = [{{ name = \"元旦\", off = \"01-01\" }}]"
        );
        write(dir.path(), &format!("{year}.toml"), &text)
    };
    let configured = PolicyConfig { calendars: vec![year(2027), year(2028)], ..PolicyConfig::default() };
    let calendar = wanted(&configured, None).unwrap().rules.calendar;
    assert_eq!(calendar.version, "cn-2028.1");
    assert!(calendar.published(2015) && calendar.published(2027) && calendar.published(2028));

    let national = Policy::cn_national();
    let known = editions(&[&national], &calendar);
    assert_eq!(of_editions(Some(&known)).unwrap().calendar, calendar, "nothing is said: it stays");
    let old = Calendar::parse("version = \"cn-old\"\n[[year]]\nyear = 2026\n").unwrap();
    let known = editions(&[&national], &old);
    assert_eq!(
        of_editions(Some(&known)).unwrap().calendar,
        Calendar::cn(),
        "what ships has come to know more"
    );
    let more = "year = 2028\nholidays = [\n    { name = \"\", off = \"03-01\" },";
    let again = calendar.to_toml().replace("year = 2028\nholidays = [", more);
    let changed =
        PolicyConfig { calendars: vec![write(dir.path(), "again.toml", &again)], ..PolicyConfig::default() };
    let known = editions(&[&national], &calendar);
    assert!(matches!(wanted(&changed, Some(&known)), Err(RulesError::Changed { .. })));
    let broken = PolicyConfig {
        calendars: vec![write(dir.path(), "b.toml", "version = \"\"")],
        ..PolicyConfig::default()
    };
    assert!(matches!(wanted(&broken, None), Err(RulesError::Calendar { .. })));
}
