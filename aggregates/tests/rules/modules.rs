//! Which modules need which: what the ticket needs needs no ticket.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The modules of this crate that each module names, apart from tests. `ticket` is one, with all that is in it.
fn modules_of_the_rules() -> BTreeMap<String, BTreeSet<String>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files(&source) {
        let shown = file.strip_prefix(&source).unwrap().with_extension("").to_string_lossy().into_owned();
        let parts: Vec<&str> = shown.split('/').collect();
        if parts.contains(&"tests") || parts == ["lib"] {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        names.entry(parts[0].to_owned()).or_default().extend(named_in(&code));
    }
    let modules: BTreeSet<String> = names.keys().cloned().collect();
    for (module, named) in &mut names {
        named.remove(module);
        let elsewhere: Vec<_> = named.difference(&modules).collect();
        assert!(elsewhere.is_empty(), "{module} names {elsewhere:?}, which no file on the top holds");
    }
    names
}

/// What follows `crate::`: a module, or a list that begins with modules.
fn named_in(code: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        text.trim_start()
            .chars()
            .take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_')
            .collect()
    };
    let mut named = BTreeSet::new();
    for path in code.split("crate::").skip(1) {
        let Some(list) = path.strip_prefix('{') else {
            named.insert(word(path));
            continue;
        };
        let mut depth = 0;
        let ours = |letter: char| {
            depth += i32::from(letter == '{') - i32::from(letter == '}');
            (depth == 0 && letter == ',') || depth < 0
        };
        let mut parts = list.split(ours);
        named.extend(parts.by_ref().map(word).take_while(|name| !name.is_empty()));
    }
    named.into_iter().filter(|name| name.chars().all(|letter| !letter.is_uppercase())).collect()
}

#[test]
fn modules_of_the_rules_form_no_circle_outside_the_ticket() {
    let mut names = modules_of_the_rules();
    assert!(names.contains_key("ticket") && names.len() > 15, "the modules were found: {names:?}");
    assert_eq!(names["words"], BTreeSet::new(), "the words import nothing of ours");
    // Whoever names nobody that is left is in no circle.
    while let Some(free) = names.iter().find(|(_, named)| named.is_empty()).map(|(name, _)| name.clone()) {
        names.remove(&free);
        for named in names.values_mut() {
            named.remove(&free);
        }
    }
    assert!(names.is_empty(), "these modules name each other in a circle: {names:#?}");
}
