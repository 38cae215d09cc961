//! Where a harness runs: with which program, and in which directory.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use tempfile::TempDir;

/// The program that cargo puts beside a harness.
const PROGRAM: &str = "duban";

/// Which program is under test.
#[derive(Debug, clap::Args)]
pub struct ProgramArgs {
    /// The program under test, as `target/debug/duban`; the one beside this harness, where absent
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// Which program is under test, and where everything lies.
#[derive(Debug, clap::Args)]
pub struct PlaceArgs {
    #[command(flatten)]
    program: ProgramArgs,
    /// Where everything lies; a temporary directory, where absent
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// A program to run, and a directory to run it in, which goes with this where it is temporary.
#[derive(Debug)]
pub struct Place {
    /// The program.
    pub program: PathBuf,
    /// The directory.
    pub directory: PathBuf,
    _temporary: Option<TempDir>,
}

/// Why a harness cannot run.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// It was never built, or lies elsewhere.
    #[error("there is no {0}: build it with `cargo build -p duban`, or name another with --program")]
    Missing(PathBuf),
    /// What it would show is not of these sources.
    #[error("{program} is older than {newer}: build it again with `cargo build -p duban`")]
    Stale {
        /// The program.
        program: PathBuf,
        /// What was changed since.
        newer: PathBuf,
    },
    /// A file or the directory cannot be used.
    #[error("{path} cannot be used")]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl ProgramArgs {
    /// The program, which is there and not older than what it is made of.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub fn find(self) -> Result<PathBuf, PlaceError> {
        let own = std::env::current_exe()
            .map_err(|source| PlaceError::Unusable { path: PathBuf::from(PROGRAM), source })?;
        let program = self.program.unwrap_or_else(|| own.with_file_name(PROGRAM));
        check(&program, &own)?;
        Ok(program)
    }
}

impl PlaceArgs {
    /// The program, and the directory, made where it is not there.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub fn open(self) -> Result<Place, PlaceError> {
        let program = self.program.find()?;
        let unusable = |path: &Path| {
            let path = path.to_owned();
            |source| PlaceError::Unusable { path, source }
        };
        let Some(directory) = self.directory else {
            let temporary = tempfile::tempdir().map_err(unusable(&std::env::temp_dir()))?;
            let directory = temporary.path().to_owned();
            return Ok(Place { program, directory, _temporary: Some(temporary) });
        };
        std::fs::create_dir_all(&directory).map_err(unusable(&directory))?;
        Ok(Place { program, directory, _temporary: None })
    }
}

/// Says why a harness cannot run, and with which status it ends.
#[must_use]
pub fn refused(error: &PlaceError) -> ExitCode {
    let why = error.source().map(|why| format!(": {why}")).unwrap_or_default();
    eprintln!("{error}{why}");
    ExitCode::from(2)
}

fn check(program: &Path, harness: &Path) -> Result<(), PlaceError> {
    let Ok(built_at) = modified_at(program) else { return Err(PlaceError::Missing(program.to_owned())) };
    let sources = sources(program).unwrap_or_else(|| vec![harness.to_owned()]);
    // One that is gone tells nothing: what named it was changed, too.
    let newer = |source: &PathBuf| modified_at(source).is_ok_and(|changed_at| changed_at > built_at);
    match sources.into_iter().find(newer) {
        Some(newer) => Err(PlaceError::Stale { program: program.to_owned(), newer }),
        None => Ok(()),
    }
}

fn modified_at(path: &Path) -> std::io::Result<SystemTime> {
    std::fs::metadata(path)?.modified()
}

/// What a program was made of, as cargo writes it beside it: `PROGRAM: FILE FILE …`, blanks in names behind a backslash.
fn sources(program: &Path) -> Option<Vec<PathBuf>> {
    let text = std::fs::read_to_string(program.with_extension("d")).ok()?;
    let (_, listed) = text.split_once(": ")?;
    let mut sources = vec![String::new()];
    let mut letters = listed.trim_end().chars();
    while let Some(letter) = letters.next() {
        match (letter, sources.last_mut()) {
            (' ', _) => sources.push(String::new()),
            ('\\', Some(name)) => name.extend(letters.next()),
            (letter, Some(name)) => name.push(letter),
            (_, None) => {}
        }
    }
    Some(sources.into_iter().filter(|name| !name.is_empty()).map(PathBuf::from).collect())
}

#[cfg(test)]
mod tests {
    use std::fs::{File, write};
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_program_that_is_missing_or_older_than_a_file_it_is_made_of_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let (program, harness, source) = (path("duban"), path("harness"), path("a file.rs"));
        assert!(matches!(check(&program, &harness), Err(PlaceError::Missing(_))));
        for file in [&program, &harness, &source] {
            write(file, "").unwrap();
        }
        let now = SystemTime::now();
        let set = |path: &Path, at| File::options().write(true).open(path).unwrap().set_modified(at).unwrap();
        set(&program, now);
        set(&source, now - Duration::from_secs(9));
        let listed = format!("{}: {}\n", program.display(), source.display()).replace("a file", "a\\ file");
        write(path("duban.d"), listed).unwrap();
        // A harness that was built again says nothing of the program.
        set(&harness, now + Duration::from_secs(9));
        check(&program, &harness).unwrap();
        set(&source, now + Duration::from_secs(9));
        let refused = check(&program, &harness).unwrap_err();
        assert!(refused.to_string().contains("a file.rs"), "{refused}");
        // Without the list the harness is all there is to go by.
        std::fs::remove_file(path("duban.d")).unwrap();
        assert!(matches!(check(&program, &harness), Err(PlaceError::Stale { .. })));
        set(&harness, now);
        check(&program, &harness).unwrap();
    }

    #[test]
    fn a_directory_that_is_named_is_made_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let own = std::env::current_exe().unwrap();
        let named = dir.path().join("in/here");
        let arguments =
            PlaceArgs { program: ProgramArgs { program: Some(own) }, directory: Some(named.clone()) };
        drop(arguments.open().unwrap());
        assert!(named.is_dir());
    }
}
