//! What the README says of the lines that an auditor reads, counted.

use std::path::{Path, PathBuf};

/// Rows of the README's table: file and lines.
fn rows(readme: &str) -> Vec<(&str, usize)> {
    let row = |line| {
        let (path, rest) = str::strip_prefix(line, "| `")?.split_once("` | ")?;
        let (lines, _) = rest.split_once(" |")?;
        Some((path, lines.parse().ok()?))
    };
    readme.lines().filter_map(row).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file without its tests.
fn code(path: &str) -> String {
    let text = std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.lines().take_while(|line| *line != "#[cfg(test)]").map(|line| format!("{line}\n")).collect()
}

fn readme() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"))
        .expect("the crate has its README")
}

/// What a file may grow or shrink by before the README must say so.
const TOLERATED: usize = 10;

#[test]
fn the_lines_that_check_export_runs_are_counted_as_the_readme_says() {
    let readme = readme();
    let rows = rows(&readme);
    assert!(rows.len() > 10, "{rows:?}");
    let mut sum = 0;
    for (path, said) in rows {
        let lines = code(path).lines().count();
        sum += lines;
        assert!(lines.abs_diff(said) <= TOLERATED, "{path} has {lines} lines: write that into README.md");
    }
    let (_, after) = readme.split_once(" fewer than ").unwrap();
    let (most, _) = after.split_once(" lines without their tests").unwrap();
    let most: usize = most.replace(',', "").parse().unwrap();
    assert!(sum < most && most - sum <= 200, "they are {sum} lines in all: write that into README.md");
    assert!(most <= 3_000, "{sum} lines are more than an afternoon");
}

#[test]
fn what_is_read_uses_nothing_of_this_crate_that_is_not_read() {
    let readme = readme();
    let listed: Vec<_> = rows(&readme).into_iter().map(|(path, _)| path).collect();
    let ours = listed.iter().filter(|path| path.starts_with("services/history/"));
    for path in ours {
        let code = code(path);
        let used = code.lines().filter_map(|line| line.trim_start().strip_prefix("use "));
        for used in used {
            if let Some(module) = used.strip_prefix("super::") {
                let module = module.split(':').next().unwrap_or_default();
                let file = format!("services/history/src/proof/{module}.rs");
                assert!(listed.contains(&&*file), "{path} uses {file}, which the README does not list");
            }
            assert!(!used.starts_with("crate::"), "{path} uses {used}");
            for heavy in ["duban_projections", "tokio", "duban_aggregates::ticket"] {
                assert!(!used.starts_with(heavy), "{path} uses {used}");
            }
        }
    }
}
