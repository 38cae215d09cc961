//! What the design says about the house, read from the house.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};
use duban_tests::repository::{files, root};

fn metadata() -> Metadata {
    let mut command = MetadataCommand::new();
    command.manifest_path(root().join("Cargo.toml")).no_deps();
    command.other_options(["--offline".to_owned()]);
    command.exec().expect("cargo describes the workspace")
}

/// What each crate of ours needs to be built, apart from its tests.
fn needed(metadata: &Metadata) -> BTreeMap<String, BTreeSet<String>> {
    let direct = |package: &cargo_metadata::Package| -> BTreeSet<String> {
        let dependencies = package.dependencies.iter();
        let built = dependencies.filter(|dependency| dependency.kind != DependencyKind::Development);
        built.map(|dependency| dependency.name.clone()).collect()
    };
    metadata.packages.iter().map(|package| (package.name.to_string(), direct(package))).collect()
}

#[test]
fn dependencies_point_one_way() {
    let order: &[(&str, &[&str])] = &[
        ("duban-proto", &[]),
        ("duban-aggregates", &[]),
        ("duban-sample-tickets", &["duban-aggregates"]),
        ("duban-log", &[]),
        ("duban-vault", &["duban-aggregates", "duban-log"]),
        ("duban-fake-kurrentdb", &[]),
        ("duban-client", &["duban-proto"]),
        ("duban-codec", &["duban-proto", "duban-aggregates"]),
        ("duban-projections", &["duban-proto", "duban-aggregates", "duban-codec", "duban-log"]),
        (
            "duban-history",
            &[
                "duban-proto",
                "duban-aggregates",
                "duban-codec",
                "duban-log",
                "duban-vault",
                "duban-projections",
            ],
        ),
        (
            "duban-engine",
            &["duban-aggregates", "duban-codec", "duban-projections", "duban-log", "duban-vault"],
        ),
        (
            "duban-import",
            &[
                "duban-aggregates",
                "duban-codec",
                "duban-log",
                "duban-vault",
                "duban-projections",
                "duban-engine",
            ],
        ),
        (
            "duban-server",
            &[
                "duban-engine",
                "duban-proto",
                "duban-aggregates",
                "duban-codec",
                "duban-log",
                "duban-vault",
                "duban-projections",
                "duban-history",
            ],
        ),
    ];
    let needed = needed(&metadata());
    let services: Vec<&str> = order.iter().map(|(name, _)| *name).collect();
    let beyond_the_server = ["duban-kafka", "duban-report"];
    let with_a_server = ["duban-demo"];
    for (name, dependencies) in &needed {
        let ours: BTreeSet<&str> =
            dependencies.iter().map(String::as_str).filter(|name| needed.contains_key(*name)).collect();
        let allowed: BTreeSet<&str> = match order.iter().find(|(known, _)| known == name) {
            Some((_, allowed)) => allowed.iter().copied().collect(),
            None if beyond_the_server.contains(&name.as_str()) => {
                services.iter().copied().filter(|name| *name != "duban-server").collect()
            }
            None if with_a_server.contains(&name.as_str()) => services.iter().copied().collect(),
            None if name == "duban" => {
                services.iter().copied().chain(beyond_the_server).chain(with_a_server).collect()
            }
            // Whoever runs the program gets it as a path: nothing is linked against it.
            None if name == "duban-tests" => {
                needed.keys().map(String::as_str).filter(|name| *name != "duban").collect()
            }
            None => panic!("{name} has no place in the order of crates"),
        };
        let wrong: Vec<_> = ours.difference(&allowed).collect();
        assert!(wrong.is_empty(), "{name} may not depend on {wrong:?}");
    }
}

#[test]
fn the_rules_know_no_runtime_no_clock_and_no_chance() {
    let pure = ["jiff", "serde", "sha2", "thiserror", "toml", "uuid"];
    let needed = needed(&metadata());
    let wrong: Vec<_> =
        needed["duban-aggregates"].iter().filter(|name| !pure.contains(&name.as_str())).collect();
    assert!(wrong.is_empty(), "the rules depend on {wrong:?}");
    for file in files(&root().join("aggregates").join("src")) {
        let text = std::fs::read_to_string(&file).unwrap();
        for impure in [
            "SystemTime",
            "Instant::now",
            "Timestamp::now",
            "Zoned::now",
            "new_v4",
            "now_v7",
            "rand::",
            "tokio::",
        ] {
            assert!(!text.contains(impure), "{} reads {impure}", file.display());
        }
    }
}

#[test]
fn no_source_file_is_longer_than_can_be_read() {
    const LINES_MAX: usize = 600;
    for file in sources() {
        let lines = std::fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines, more than {LINES_MAX}", file.display());
    }
}

#[test]
fn nothing_is_left_undone_switched_off_or_waited_out() {
    // In two pieces, so that this list does not find itself.
    let nowhere = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("dbg", "!("),
        concat!("#[ig", "nore"),
        concat!("FIX", "ME"),
    ];
    let not_in_tests = [concat!("thread::", "sleep("), concat!("std::thread::", "sleep")];
    for file in sources() {
        let text = std::fs::read_to_string(&file).unwrap();
        let shown = file.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        for never in nowhere {
            assert!(!text.contains(never), "{shown} has {never}");
        }
        if shown.contains("tests") {
            for never in not_in_tests {
                assert!(!text.contains(never), "{shown} waits with {never}");
            }
        }
        let named_so = text.contains(concat!("fn te", "st_"));
        assert!(!named_so, "{shown} has a test whose name begins with `test`: a name is a sentence");
    }
}

#[test]
fn the_top_level_holds_what_a_reader_expects() {
    let crates = ["proto", "services", "aggregates", "projections", "tests"];
    let beside = ["deploy", "docs", "target"];
    let pages = [
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "clippy.toml",
        "rustfmt.toml",
        "rust-toolchain.toml",
        "deny.toml",
        "buf.yaml",
        "buf.gen.yaml",
        "Dockerfile",
    ];
    for entry in std::fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let expected = name.starts_with('.')
            || crates.contains(&name.as_str())
            || beside.contains(&name.as_str())
            || pages.contains(&name.as_str());
        assert!(expected, "{name} does not belong on the top level");
    }
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    for package in metadata().packages {
        let manifest = std::fs::read_to_string(&package.manifest_path).unwrap();
        let takes = manifest.contains("[lints]\nworkspace = true");
        assert!(takes, "{} has lints of its own", package.name);
    }
}

fn sources() -> impl Iterator<Item = std::path::PathBuf> {
    let rust = |file: &std::path::PathBuf| file.extension().is_some_and(|extension| extension == "rs");
    let made = |file: &std::path::PathBuf| file.components().any(|part| part.as_os_str() == "golden");
    files(root()).into_iter().filter(rust).filter(move |file| !made(file))
}
