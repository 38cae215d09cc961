//! The three brokers, by the same script that starts them for development.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::repository::root;

/// Ports that one cluster takes.
const PORTS: u16 = 6;

/// Brokers that run, and are stopped when this is dropped.
#[derive(Debug)]
pub struct Brokers {
    directory: PathBuf,
    /// Where clients begin.
    pub addresses: String,
}

impl Brokers {
    /// Makes a cluster in a directory and starts it.
    #[must_use]
    pub fn start(directory: &Path) -> Self {
        let mut brokers = Self { directory: directory.to_owned(), addresses: String::new() };
        let port = free_ports();
        let directory = brokers.directory.clone();
        brokers.addresses =
            brokers.script(&["start".as_ref(), directory.as_os_str(), port.to_string().as_ref()]);
        brokers
    }

    /// Ends one as a crash would.
    pub fn kill(&self, number: u32) {
        self.script(&["kill".as_ref(), self.directory.as_os_str(), number.to_string().as_ref()]);
    }

    /// Starts one again.
    pub fn up(&self, number: u32) {
        self.script(&["up".as_ref(), self.directory.as_os_str(), number.to_string().as_ref()]);
    }

    fn script(&self, arguments: &[&std::ffi::OsStr]) -> String {
        let done = Command::new(root().join("deploy/dev/kafka"))
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .expect("the script is there and can be run");
        assert!(done.status.success(), "deploy/dev/kafka {arguments:?} failed");
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        // Not through `script`: this may be the way out of a panic.
        let stopped = Command::new(root().join("deploy/dev/kafka")).arg("stop").arg(&self.directory).status();
        if !stopped.is_ok_and(|status| status.success()) {
            eprintln!("the brokers in {} could not be stopped", self.directory.display());
        }
    }
}

/// The first of six free ports in a row, below those that the system hands out by itself.
fn free_ports() -> u16 {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    // Begun at a place of this process's own, so that two that look at once do not find the same.
    let begin = 20_000 + u16::try_from(std::process::id() % 1_000).unwrap_or(0) * 10;
    (begin..begin + 2_000)
        .step_by(usize::from(PORTS))
        .find(|first| (*first..first + PORTS).all(free))
        .expect("there are six free ports in a row")
}
