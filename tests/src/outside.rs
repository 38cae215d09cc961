//! The built program: its verbs, and a server that can be killed like any other process.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use crate::wire::Wire;
use duban_client::Tokens;

/// Longer than any start may take, also one that rebuilds its read models.
const START_MAX: Duration = Duration::from_secs(60);

/// The name of the token file, beside the data.
const TOKENS: &str = "tokens";

/// A server in a process of its own, over a directory that outlives it.
#[derive(Debug)]
pub struct Served {
    program: PathBuf,
    directory: PathBuf,
    arguments: Vec<OsString>,
    /// Where it listens.
    pub url: String,
    child: Child,
}

impl Served {
    /// Starts a server over `directory/data` and waits until it serves.
    pub async fn start(program: &Path, directory: &Path) -> Self {
        Self::start_with(program, directory, Vec::new()).await
    }

    /// The same, with more arguments.
    pub async fn start_with(program: &Path, directory: &Path, arguments: Vec<OsString>) -> Self {
        let child = spawn(program, directory, &arguments);
        let (program, directory) = (program.to_owned(), directory.to_owned());
        let mut served = Self { program, directory, arguments, url: String::new(), child };
        served.ready().await;
        served
    }

    /// Its data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        data(&self.directory)
    }

    /// The tokens it gave out at its start.
    #[must_use]
    pub fn tokens(&self) -> Tokens {
        Tokens::read(&self.directory.join(TOKENS)).expect("the server wrote its token file")
    }

    /// A connection.
    pub async fn wire(&self) -> Wire {
        Wire::connect(&self.url, self.tokens()).await.expect("a server that is ready answers")
    }

    /// Ends it as a crash would: no handler runs, nothing is flushed.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("a child of ours can be killed");
    }

    /// Asks it to stop, and waits until it has.
    pub async fn stop(&mut self) -> ExitStatus {
        let pid = self.child.id().expect("it runs").to_string();
        let asked = Command::new("kill").arg(pid).status().await.expect("there is a `kill`");
        assert!(asked.success(), "a child of ours can be asked to stop");
        self.child.wait().await.expect("a child of ours is waited for")
    }

    /// Starts it again over the same directory.
    pub async fn restart(&mut self) {
        self.begin();
        self.ready().await;
    }

    /// Starts it again, and does not wait: it may be killed before it serves.
    pub fn begin(&mut self) {
        self.child = spawn(&self.program, &self.directory, &self.arguments);
        self.url.clear();
    }

    /// Waits until it serves, once after a start.
    pub async fn ready(&mut self) {
        let out = self.child.stdout.take().expect("its output is a pipe that nobody has taken");
        self.url = url(out, &self.directory).await;
    }
}

/// The data directory of a server in this directory.
#[must_use]
pub fn data(directory: &Path) -> PathBuf {
    directory.join("data")
}

fn spawn(program: &Path, directory: &Path, arguments: &[OsString]) -> Child {
    // What it says goes to a file beside the data, where a test may look for what should not be said.
    let said = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(directory.join("server.log"))
        .expect("the directory of a test can be written");
    Command::new(program)
        .args(["serve", "--dev", "--listen", "127.0.0.1:0", "--data"])
        .arg(data(directory))
        .arg("--tokens")
        .arg(directory.join(TOKENS))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(said)
        .kill_on_drop(true)
        .spawn()
        .expect("the program under test starts")
}

/// Where a server serves, once it says so.
async fn url(out: ChildStdout, directory: &Path) -> String {
    let mut lines = BufReader::new(out).lines();
    let ready = async {
        while let Some(line) = lines.next_line().await.expect("its output is text") {
            if let Some(address) = line.strip_prefix("ready ") {
                return Some(address.trim().to_owned());
            }
        }
        None
    };
    let address = tokio::time::timeout(START_MAX, ready).await.expect("a server is ready in time");
    let Some(address) = address else {
        let said = std::fs::read_to_string(directory.join("server.log")).unwrap_or_default();
        panic!("the server ended before it was ready; it said:\n{said}");
    };
    // Whatever it prints later must not block it.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    if address.contains("://") { address } else { format!("http://{address}") }
}

/// What a verb did.
#[derive(Clone, Debug)]
pub struct Did {
    /// Its exit status; none where it was killed.
    pub status: Option<i32>,
    /// The last line of its output that is JSON.
    pub json: Value,
    /// Its whole output.
    pub out: String,
    /// What it said besides.
    pub said: String,
}

/// Runs `duban --output json VERB…` to its end.
pub async fn run<I, S>(program: &Path, arguments: I) -> Did
where
    I: IntoIterator<Item = S>,
    S: AsRef<std::ffi::OsStr>,
{
    let Output { status, stdout, stderr } = Command::new(program)
        .args(["--output", "json"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .expect("the program under test runs");
    let out = String::from_utf8_lossy(&stdout).into_owned();
    let json = serde_json::from_str(&out)
        .ok()
        .or_else(|| out.lines().rev().find_map(|line| serde_json::from_str(line).ok()))
        .unwrap_or(Value::Null);
    Did { status: status.code(), json, out, said: String::from_utf8_lossy(&stderr).into_owned() }
}

impl Did {
    /// A whole number of its answer.
    #[track_caller]
    #[must_use]
    pub fn count(&self, key: &str) -> u64 {
        self.json[key].as_u64().unwrap_or_else(|| panic!("no `{key}` in {self:?}"))
    }

    /// Whether its answer says `ok` and its exit status says the same.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.status == Some(0) && self.json["ok"] == Value::Bool(true)
    }
}
