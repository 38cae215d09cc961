//! The binary as a shell sees it: statuses, one object on stdout, words on stderr.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn duban(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_duban")).args(args).output().unwrap()
}

#[track_caller]
fn status(args: &[&str], code: i32) -> Output {
    let output = duban(args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    output
}

/// The answer's one object.
#[track_caller]
fn json(args: &[&str], code: i32) -> Value {
    let args: Vec<&str> = ["--output", "json"].into_iter().chain(args.iter().copied()).collect();
    let output = status(&args, code);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn help_shows_examples_and_wrong_use_is_status_2() {
    for verb in ["import", "verify", "replay", "generate", "history", "erase", "backup", "restore"] {
        let help = String::from_utf8(status(&[verb, "--help"], 0).stdout).unwrap();
        assert!(help.contains("Examples:") && help.contains(&format!("duban {verb}")), "{help}");
    }
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("nowhere");
    let ticket = "0b7c1f6e-2d55-4f3a-9a53-6f8f1a0c2b11";
    for args in [
        &["frobnicate"][..],
        &["import"],
        &["verify", "--data", text(&nowhere)],
        &["replay", "--data", text(&nowhere)],
        &["history", ticket, "--data", text(&nowhere)],
        &["history", ticket],
        &["history", "7", "--data", text(&nowhere)],
        &["history", ticket, "--server", "http://127.0.0.1:1"],
        &["generate", "--data", text(&nowhere), "--tickets", "0", "--seed", "1"],
        &["bench", "replay", "--data", text(&nowhere)],
        &["policy", "check", text(&nowhere)],
        &[
            "policy",
            "try",
            "cn-henan-1",
            "--data",
            text(&nowhere),
            "--from",
            "2026-01-01",
            "--to",
            "2026-02-01",
        ],
        &["import", "--data", text(&nowhere), "--mapping", "no.toml", "no.csv"],
        &["conformance"],
        &["conformance", "--data", text(&nowhere)],
        &["conformance", "--data", text(&nowhere), "--pattern", "conforms"],
        &["export", "--data", text(&nowhere), "--out", "histories.xes"],
        &["export", "--all", "--data", text(&nowhere), "--out", "histories.xes"],
        &["export", ticket, "--all", "--format", "xes", "--data", text(&nowhere), "--out", "histories.xes"],
        &["export", ticket, "--format", "xes", "--data", text(&nowhere), "--out", "histories.xes"],
    ] {
        let output = status(args, 2);
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{args:?}");
    }
    assert!(!nowhere.exists(), "a refused verb leaves nothing behind");
}

#[test]
fn a_generated_log_is_verified_replayed_and_told_and_damage_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let data = text(&data);
    let generated = json(&["generate", "--data", data, "--tickets", "30", "--seed", "5"], 0);
    assert_eq!(generated["tickets"], 30);
    let verified = json(&["verify", "--data", data], 0);
    assert_eq!(verified["ok"], true);
    assert_eq!(
        (&verified["events"], &verified["head"]["size"]),
        (&generated["events"], &generated["events"])
    );

    let replayed = json(&["replay", "--data", data], 0);
    assert_eq!((&replayed["ok"], &replayed["tickets"]), (&Value::Bool(true), &Value::from(30)));
    assert_eq!(replayed["events"], generated["events"]);
    assert_eq!(replayed["differences"], Value::Array(Vec::new()));
    for what in ["replay", "verify"] {
        assert_eq!(json(&["bench", what, "--data", data], 0)["events"], generated["events"]);
    }

    // A head that was kept is found again in a log that has grown, and not in another.
    let head = dir.path().join("head.json");
    std::fs::write(&head, serde_json::to_string(&verified).unwrap()).unwrap();
    json(&["generate", "--data", data, "--tickets", "3", "--seed", "6"], 0);
    assert_eq!(json(&["verify", "--data", data, "--head", text(&head)], 0)["ok"], true);
    let root = if verified["head"]["root"].as_str().unwrap().starts_with('0') { "1" } else { "0" }.repeat(64);
    std::fs::write(&head, format!(r#"{{"size": 7, "root": "{root}"}}"#)).unwrap();
    assert_eq!(json(&["verify", "--data", data, "--head", text(&head)], 1)["ok"], false);
    std::fs::write(&head, format!(r#"{{"size": 99999999, "root": "{root}"}}"#)).unwrap();
    json(&["verify", "--data", data, "--head", text(&head)], 1);
    std::fs::write(&head, "{}").unwrap();
    status(&["verify", "--data", data, "--head", text(&head)], 2);

    status(&["generate", "--data", data, "--tickets", "30", "--seed", "5"], 2);
    flip_a_byte(&Path::new(data).join("log"));
    let damaged = json(&["verify", "--data", data], 1);
    assert_eq!(damaged["ok"], false);
    assert!(damaged["damage"]["reason"].is_string() && damaged["damage"]["offset"].is_u64(), "{damaged}");
}

#[test]
fn a_policy_is_checked_against_the_law_and_tried_on_what_has_happened() {
    let shipped = json(&["policy", "check", "cn-henan-1"], 0);
    assert_eq!((&shipped["ok"], &shipped["policy"]["version"]), (&Value::Bool(true), &"cn-henan-1".into()));
    let dir = tempfile::tempdir().unwrap();
    let draft = dir.path().join("draft.toml");
    let write = |rest: &str| {
        let head = "version = \"draft-1\"\ntitle = \"t\"\nextends = [\"cn-national-1\"]\n";
        std::fs::write(&draft, format!("{head}{rest}")).unwrap();
    };
    write("[[entry]]\nclock = \"repair\"\nkind = \"fault\"\ntarget = \"96h\"\n");
    let lax = json(&["policy", "check", text(&draft)], 1);
    assert_eq!((&lax["ok"], &lax["problem"]["line"]), (&Value::Bool(false), &4.into()));
    assert_eq!(lax["problem"]["article"], "电信条例第三十二条");
    let told = String::from_utf8(status(&["policy", "check", text(&draft)], 1).stdout).unwrap();
    assert!(told.contains("line 4: repair within 96h may end later than 48h (电信条例第三十二条)"), "{told}");
    write("[[entry]]\nclock = \"order\"\ncategory = \"fault.moon\"\ntarget = \"9h\"\n");
    let wrong = json(&["policy", "check", text(&draft)], 1);
    assert_eq!((&wrong["problem"]["line"], &wrong["problem"]["article"]), (&4.into(), &Value::Null));
    status(&["policy", "check", text(&dir.path().join("none.toml"))], 2);

    let data = dir.path().join("data");
    let data = text(&data);
    json(&["generate", "--data", data, "--tickets", "40", "--seed", "5"], 0);
    let always = ["--data", data, "--from", "2000-01-01", "--to", "2100-01-01"];
    let try_it = |policy: &str, code| {
        let args: Vec<&str> = ["policy", "try", policy].into_iter().chain(always).collect();
        json(&args, code)
    };
    let same = try_it("cn-national-1", 0);
    assert_eq!(
        (&same["differ"], &same["due_earlier"], &same["due_later"]),
        (&0.into(), &0.into(), &0.into())
    );
    assert_eq!(same["breached_then"], same["breached_now"]);
    assert!(same["clocks"].as_u64() > Some(200) && same["tickets"] == 40, "{same}");

    // Contact within minutes instead of hours breaches what was met, and nothing else.
    let minutes = ["complaint", "fault", "install"]
        .map(|kind| format!("[[entry]]\nclock = \"contact\"\nkind = \"{kind}\"\ntarget = \"1m\"\n"));
    write(&minutes.concat());
    let strict = try_it(text(&draft), 0);
    assert_eq!(strict["policy"], "draft-1");
    let differences = strict["differences"].as_array().unwrap();
    assert!(!differences.is_empty() && strict["differ"] == differences.len(), "{strict}");
    for difference in differences {
        assert_eq!(difference["clock"], "contact");
        let verdicts = (&difference["then"]["verdict"], &difference["now"]["verdict"]);
        assert_eq!(verdicts.1, "breached", "{difference}");
        assert_ne!(verdicts.0, "breached", "{difference}");
        assert!(difference["now"]["due"].as_str() < difference["then"]["due"].as_str(), "{difference}");
    }
    assert_eq!(strict["due_later"], 0);
    let (then, now) = (strict["breached_then"].as_u64().unwrap(), strict["breached_now"].as_u64().unwrap());
    assert_eq!(now - then, differences.len() as u64);
    // Nothing starts in an empty period, and a draft that breaks the law is not tried.
    let early = ["policy", "try", "cn-henan-1", "--data", data, "--from", "2000-01-01", "--to", "2000-01-02"];
    assert_eq!(json(&early, 0)["clocks"], 0);
    write("[[entry]]\nclock = \"repair\"\nkind = \"fault\"\ntarget = \"96h\"\n");
    let args: Vec<&str> = ["policy", "try", text(&draft)].into_iter().chain(always).collect();
    let refused = String::from_utf8(status(&args, 1).stderr).unwrap();
    assert!(refused.contains("电信条例第三十二条"), "{refused}");
}

/// Flips a byte of an early event in the first segment.
fn flip_a_byte(log: &Path) {
    let mut segments: Vec<_> = std::fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.retain(|path| path.metadata().unwrap().len() > 1 << 20);
    segments.sort();
    let mut bytes = std::fs::read(&segments[0]).unwrap();
    bytes[16 * 1024] ^= 1;
    std::fs::write(&segments[0], bytes).unwrap();
}

#[test]
fn an_imported_ticket_has_a_history_in_text_and_json() {
    let dir = tempfile::tempdir().unwrap();
    let (data, mapping, input) =
        (dir.path().join("data"), dir.path().join("m.toml"), dir.path().join("rows.csv"));
    std::fs::write(
        &mapping,
        "name = \"t\"\n[row]\nkey = \"{k}\"\n[time]\nzone = \"+08:00\"\n\
         taken_in_at = { column = \"at\", formats = [\"%Y-%m-%d %H:%M\"] }\n\
         [ticket]\nkind = \"complaint\"\nchannel = \"web\"\ncategory = \"complaint.other\"\nproduct = \"mobile\"\n\
         description = \"{text}\"\nprovince = \"henan\"\ncity = \"Zhengzhou\"\n",
    )
    .unwrap();
    std::fs::write(&input, "k,at,text\n1,2026-03-02 09:00,网络太慢\n2,2026-13-02 09:00,b\n").unwrap();
    let args = ["import", "--data", text(&data), "--mapping", text(&mapping), text(&input)];
    let answer = json(&args, 1);
    assert_eq!((&answer["read"], &answer["added"], &answer["rejected"]), (&2.into(), &1.into(), &1.into()));
    assert_eq!(answer["errors"][0]["line"], 3);

    let replayed = json(&["replay", "--data", text(&data)], 0);
    assert_eq!(replayed["tickets"], 1);
    let id = ticket_id(text(&data));
    let lines =
        String::from_utf8(status(&["--output", "json", "history", &id, "--data", text(&data)], 0).stdout);
    let lines: Vec<Value> = lines.unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].to_string().contains("网络太慢"), "{}", lines[0]);
    assert_eq!(lines[1]["state"]["state"], "open");
    assert_eq!(lines[1]["state"]["holder"], "investigation");
    let told = String::from_utf8(status(&["history", &id, "--data", text(&data)], 0).stdout).unwrap();
    for part in ["ticket.taken_in.v1", "网络太慢", "（未提供）", "custody 在手时长", "with investigation"]
    {
        assert!(told.contains(part), "{part} is missing:\n{told}");
    }
    status(&["history", &id, "--data", text(&data), "--known-at", "2020-01-01"], 2);
    // As it stood in the year before, by everything known now: nothing had happened.
    status(&["history", &id, "--data", text(&data), "--at", "2025-01-01"], 2);
    status(&["history", &id, "--data", text(&data), "--at", "2026-03-02T09:00"], 0);
    status(&["history", &id, "--data", text(&data), "--revision", "0"], 0);
}

/// Two cases of another system: one in order as far as it goes, one whose reply comes twice.
const STEPS: &str = "case,what,at,who\n\
    1,look,2026-03-02 09:00,e1\n1,send,2026-03-02 10:00,e2\n1,solve,2026-03-02 11:00,e3\n\
    2,look,2026-03-02 09:00,e1\n2,send,2026-03-02 10:00,e2\n2,solve,2026-03-02 11:00,e3\n2,solve,2026-03-02 11:00,e3\n";

#[test]
fn histories_of_ours_and_of_others_are_held_against_the_chain_and_exported_for_other_tools() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let (data, mapping, input) = (at("data"), at("m.toml"), at("rows.csv"));
    json(&["generate", "--data", text(&data), "--tickets", "10", "--seed", "5"], 0);
    std::fs::write(
        &mapping,
        "name = \"elsewhere\"\nrows = \"steps\"\n[time]\nzone = \"+08:00\"\n\
         occurred_at = { column = \"at\", formats = [\"%Y-%m-%d %H:%M\"] }\n\
         [step]\ncase = \"{case}\"\nactivity = \"{what}\"\nresource = \"{who}\"\n\
         stage = { text = \"{what}\", table = \"stage\" }\n\
         [table.stage]\nlook = \"investigate\"\nsend = \"dispatch\"\nsolve = \"reply\"\n",
    )
    .unwrap();
    std::fs::write(&input, STEPS).unwrap();
    let import = ["import", "--data", text(&data), "--mapping", text(&mapping), text(&input)];
    for (added, known) in [(7, 0), (0, 7)] {
        let answer = json(&import, 0);
        assert_eq!((&answer["read"], &answer["histories"]), (&7.into(), &2.into()));
        assert_eq!((&answer["added"], &answer["known"]), (&added.into(), &known.into()));
    }

    let table = json(&["conformance", "--data", text(&data)], 0);
    assert_eq!(
        (&table["ok"], &table["histories"], &table["deviating"]),
        (&true.into(), &12.into(), &1.into())
    );
    let rows = table["patterns"].as_array().unwrap();
    assert_eq!(rows.iter().filter_map(|row| row["histories"].as_u64()).sum::<u64>(), 12);
    let foreign = json(&["conformance", "--data", text(&data), "--origin", "imported/elsewhere"], 0);
    assert_eq!((&foreign["histories"], &foreign["conforming"]), (&2.into(), &1.into()));
    let listed = json(&["conformance", "--data", text(&data), "--histories"], 0);
    assert_eq!((&listed["case"], &listed["pattern"]), (&"2".into(), &"repeated reply".into()));
    assert_eq!(
        listed["deviations"][0],
        serde_json::json!({"how": "repeated", "stage": "reply", "revision": 3})
    );
    let told = String::from_utf8(status(&["conformance", "--data", text(&data)], 0).stdout).unwrap();
    assert!(told.contains("12 histories: 11 conform, 1 deviate") && told.ends_with("ok\n"), "{told}");

    let out = at("histories");
    for (format, streams, cases) in [("xes", "all", 12), ("ocel", "ours", 10), ("ocel", "imported", 2)] {
        let args = [
            "export",
            "--all",
            "--format",
            format,
            "--streams",
            streams,
            "--data",
            text(&data),
            "--out",
            text(&out),
        ];
        let answer = json(&args, 0);
        assert_eq!((&answer["format"], &answer["cases"]), (&format.into(), &cases.into()));
        assert_eq!(answer["bytes"].as_u64(), Some(out.metadata().unwrap().len()));
    }
    let replayed = json(&["replay", "--data", text(&data)], 0);
    assert_eq!((&replayed["ok"], &replayed["tickets"]), (&true.into(), &10.into()));
}

/// The one ticket's id: in the log's bytes, behind its stream's prefix.
fn ticket_id(data: &str) -> String {
    for entry in std::fs::read_dir(Path::new(data).join("log")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        if let Some(at) = bytes.windows(10).position(|window| window == b"complaint-") {
            return String::from_utf8(bytes[at + 10..at + 46].to_vec()).unwrap();
        }
    }
    panic!("no ticket in {data}")
}
