//! The repository, wherever it lies.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The root of the workspace.
#[must_use]
pub fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        here.parent().expect("the tests lie in the workspace").to_owned()
    })
}

/// Data that lies beside the repository, where it does.
#[must_use]
pub fn beside(name: &str) -> Option<PathBuf> {
    let path = root().parent()?.join("shared").join("data").join(name);
    path.is_file().then_some(path)
}

/// All files below a directory, in order; in the repository without the build's and what tools keep out of sight.
#[must_use]
pub fn files(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![below.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).expect("a directory of ours can be read") {
            let path = entry.expect("a directory of ours can be read").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let of_tools = directory.starts_with(root()) && name.starts_with('.');
            let skipped = of_tools || (name == "target" && directory == root());
            if path.is_dir() && !skipped {
                directories.push(path);
            } else if path.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
