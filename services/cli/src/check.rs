//! `duban verify`: reads a log again, whole, also beside a running server.

use std::path::{Path, PathBuf};

use duban_log::{Head, Report};
use serde::{Deserialize, Serialize};

use crate::args::{Data, Output};
use crate::data;
use crate::failure::{Done, Failure};
use crate::output::{self, Progress, count, rate};

/// What may be typed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  duban verify --data ./data\n  duban verify --data ./data --head head.json\n\nThe head file holds {\"size\", \"root\"}, as this verb and `demo` print it, alone or as `head` of a larger object. Its size may be\nsmaller than the log's: the log must have had that root when it was that long.\nExit status: 0 everything is as it was written, 1 it is not, 2 wrong use.\nJSON: {\"ok\", \"events\", \"groups\", \"bytes\", \"head\": {\"size\", \"root\"}, \"damage\": {\"segment\", \"offset\", \"position\", \"reason\"}}"
)]
pub(crate) struct Args {
    #[command(flatten)]
    data: Data,
    /// A head that was kept elsewhere: the log must hold what it says
    #[arg(long, value_name = "FILE")]
    head: Option<PathBuf>,
}

/// A head as it is printed and kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HeadJson {
    /// Number of events.
    pub(crate) size: u64,
    /// RFC 6962 root over them, in hexadecimal.
    pub(crate) root: String,
}

impl From<Head> for HeadJson {
    fn from(head: Head) -> Self {
        Self { size: head.size, root: hex(&head.root) }
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[derive(Serialize)]
struct Answer {
    ok: bool,
    events: u64,
    groups: u64,
    bytes: u64,
    head: HeadJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    damage: Option<DamageJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    head_problem: Option<String>,
}

#[derive(Serialize)]
struct DamageJson {
    segment: String,
    offset: u64,
    position: u64,
    reason: String,
}

/// Why a head file cannot be used.
#[derive(Debug, thiserror::Error)]
enum HeadError {
    #[error("cannot read the head {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error(
        "{path} holds no head: it needs {{\"size\": N, \"root\": \"64 hexadecimal digits\"}}, alone or as \"head\""
    )]
    Form { path: PathBuf, source: Option<serde_json::Error> },
}

/// The file's form: a head, or something that has one.
#[derive(Deserialize)]
#[serde(untagged)]
enum HeadFile {
    Within { head: HeadJson },
    Alone(HeadJson),
}

fn read_head(path: &Path) -> Result<HeadJson, HeadError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| HeadError::Read { path: path.to_owned(), source })?;
    let file = serde_json::from_str(&text)
        .map_err(|source| HeadError::Form { path: path.to_owned(), source: Some(source) })?;
    let mut head = match file {
        HeadFile::Within { head } | HeadFile::Alone(head) => head,
    };
    head.root.make_ascii_lowercase();
    if head.root.len() == 64 && head.root.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(head)
    } else {
        Err(HeadError::Form { path: path.to_owned(), source: None })
    }
}

/// Runs it.
pub(crate) fn run(args: &Args, output: Output) -> Result<Done, Failure> {
    let expected = args.head.as_deref().map(read_head).transpose().map_err(Failure::misuse)?;
    let dir = data::existing_log_dir(&args.data.data)?;
    let progress = Progress::new("verify", "bytes", 0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let report = duban_log::verify(&dir, threads, &|done, total| progress.set(done, total))?;
    let took = progress.elapsed();
    drop(progress);
    let head_problem = match &expected {
        Some(expected) if report.ok => against(&args.data.data, expected, &report)?,
        _ => None,
    };
    let Report { ok, events, groups, bytes, head, damage } = report;
    let damage = damage.map(|damage| DamageJson {
        segment: damage.segment,
        offset: damage.offset,
        position: damage.position.get(),
        reason: damage.reason,
    });
    let ok = ok && head_problem.is_none();
    let answer = Answer { ok, events, groups, bytes, head: head.into(), damage, head_problem };
    match output {
        Output::Json => output::json(&answer)?,
        Output::Text => {
            let per_second = rate(bytes, took) / 1_000_000;
            output::text(&format!(
                "{} events in {} groups, {} bytes, {per_second} MB/s",
                count(events),
                count(groups),
                count(bytes)
            ))?;
            output::text(&format!("head {} {}", answer.head.size, answer.head.root))?;
            if let Some(DamageJson { segment, offset, position, reason }) = &answer.damage {
                output::text(&format!("damaged: {segment} at byte {offset}, position {position}: {reason}"))?;
            }
            if let Some(problem) = &answer.head_problem {
                output::text(&format!("head: {problem}"))?;
            }
            output::text(if answer.ok { "ok" } else { "not ok" })?;
        }
    }
    Ok(Done::holds(answer.ok))
}

/// What stands against a head that was kept elsewhere.
fn against(data: &Path, expected: &HeadJson, report: &Report) -> Result<Option<String>, Failure> {
    if expected.size > report.head.size {
        let (kept, here) = (expected.size, report.head.size);
        return Ok(Some(format!("the kept head has {kept} events and the log {here}: events are missing")));
    }
    let root = if expected.size == report.head.size {
        report.head.root
    } else {
        data::reader(data)?.root_at(expected.size)?
    };
    let root = hex(&root);
    if root == expected.root {
        return Ok(None);
    }
    let size = expected.size;
    Ok(Some(format!("at {size} events the log's root is {root} and not {}: it was rewritten", expected.root)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_alone_or_out_of_a_larger_answer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("head.json");
        let root = "AB".repeat(32);
        let head = HeadJson { size: 7, root: root.to_lowercase() };
        for text in [
            format!(r#"{{"size": 7, "root": "{root}"}}"#),
            format!(r#"{{"ok": true, "events": 7, "head": {{"size": 7, "root": "{root}"}}}}"#),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read_head(&path).unwrap(), head);
        }
        for text in ["{}", "", r#"{"size": 7, "root": "ab"}"#] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(read_head(&path), Err(HeadError::Form { .. })), "{text}");
        }
        assert!(matches!(read_head(dir.path()), Err(HeadError::Read { .. })));
    }
}
