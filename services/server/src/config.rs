//! What an operator decides: a TOML file, flags over it, and the refusals that keep an open door from being served.

mod store;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use duban_engine::rules::PolicyConfig;
use duban_engine::sidecar::kafka_config::{KafkaConfig, KafkaConfigError};
use serde::{Deserialize, Serialize};

pub use self::store::{Store, Url};
use crate::identity::Expected;

/// Where the server listens when nothing else is said.
pub const LISTEN_DEFAULT: &str = "127.0.0.1:7110";

/// The file's form. Unknown fields are refused: a misspelt limit must not be a limit that is not there.
///
/// Paths in it are relative to the file's directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    /// The data directory.
    pub data: Option<PathBuf>,
    /// Address and port.
    pub listen: Option<SocketAddr>,
    /// `[tls]`
    pub tls: Option<Tls>,
    /// `[auth]`
    pub auth: Option<Auth>,
    /// `[keys]`
    pub keys: Keys,
    /// `[policy]`
    pub policy: PolicyConfig,
    /// `[limits]`
    pub limits: Limits,
    /// `[log]`
    pub log: Log,
    /// `[kafka]`
    pub kafka: Option<KafkaConfig>,
    /// `[store]`
    pub store: Store,
}

/// `[tls]`: both files PEM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain, the server's own first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// `[auth]`: whose tokens are believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// An Ed25519 public key in PEM, or a JWK set.
    pub public_key: PathBuf,
    /// The `iss` that tokens must carry.
    #[serde(default = "name")]
    pub issuer: String,
    /// The `aud` that tokens must carry.
    #[serde(default = "name")]
    pub audience: String,
}

fn name() -> String {
    "duban".to_owned()
}

/// `[keys]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    /// The master key: 32 bytes in base64. Without it one is kept beside the data, with a warning.
    pub master: Option<PathBuf>,
    /// The key that signs the days' heads: an Ed25519 private key in PKCS#8 PEM. Without it one is made beside the data.
    pub signing: Option<PathBuf>,
}

/// `[limits]`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The largest request and answer, in bytes.
    pub message_bytes_max: usize,
    /// Requests that one connection may have under way.
    pub streams_per_connection_max: u32,
    /// Subscriptions open at once, over all connections; the next one is refused with RESOURCE_EXHAUSTED.
    pub subscriptions_max: usize,
    /// Commands being decided at once, over all connections.
    pub commands_in_flight_max: usize,
    /// Commands waiting for their turn; the next one is refused with RESOURCE_EXHAUSTED.
    pub commands_queued_max: usize,
    /// How long requests under way may take to finish after the server was told to stop.
    pub drain_seconds_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: 4 << 20,
            streams_per_connection_max: 1024,
            subscriptions_max: 4096,
            commands_in_flight_max: 1024,
            commands_queued_max: 8192,
            drain_seconds_max: 10,
        }
    }
}

impl Limits {
    /// [`Limits::drain_seconds_max`] as a duration.
    #[must_use]
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds_max)
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line, for machines.
    Json,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter like `info,duban_server=debug`. The variable `DUBAN_LOG`
    /// goes before it.
    pub level: String,
    /// `text` or `json`.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

/// What flags say; each goes before the file. Paths are relative to where the command runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--config FILE`
    pub config: Option<PathBuf>,
    /// `--data DIR`
    pub data: Option<PathBuf>,
    /// `--listen ADDR`
    pub listen: Option<SocketAddr>,
    /// `--dev`
    pub dev: bool,
    /// `--virtual-clock`
    pub virtual_clock: bool,
    /// `--master-key FILE`
    pub master_key: Option<PathBuf>,
    /// `--signing-key FILE`
    pub signing_key: Option<PathBuf>,
    /// `--log URL`
    pub log_url: Option<String>,
    /// `--policy`, `--emergency-policy` and `--calendar`
    pub policies: PolicyConfig,
    /// `--log-level LEVEL`
    pub log_level: Option<String>,
    /// `--log-format text|json`
    pub log_format: Option<LogFormat>,
}

/// Who proves callers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// A throw-away key, made at the start. Loopback only.
    Dev,
    /// The operator's identity provider.
    Provider(Auth),
}

/// A configuration that may be served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Config {
    /// The data directory.
    pub data: PathBuf,
    /// Address and port.
    pub listen: SocketAddr,
    /// TLS, which only a loopback address may go without.
    pub tls: Option<Tls>,
    /// Who proves callers.
    pub identity: Identity,
    /// Time stands still until it is moved by hand; development only.
    pub virtual_clock: bool,
    /// The master key's file, if it is kept elsewhere.
    pub master_key: Option<PathBuf>,
    /// The file of the key that signs the days' heads, if it is kept elsewhere.
    pub signing_key: Option<PathBuf>,
    /// What is to be in force.
    pub policies: PolicyConfig,
    /// Limits.
    pub limits: Limits,
    /// Logging.
    pub log: Log,
    /// Kafka beside the log.
    pub kafka: Option<KafkaConfig>,
    /// Where the log is.
    pub store: Store,
}

/// Why a configuration is refused. Every message says what to change.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("reading the configuration {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file has a field that does not exist.
    #[error("the configuration {path} has an unknown field")]
    UnknownField {
        /// The file.
        path: PathBuf,
        /// Line, column and the fields that exist.
        source: Box<toml::de::Error>,
    },
    /// The file is not TOML of the form expected.
    #[error("the configuration {path} is not valid")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line, column and what was expected.
        source: Box<toml::de::Error>,
    },
    /// No data directory.
    #[error("no data directory: give --data DIR, or `data` in the configuration")]
    NoData,
    /// Development mode on an address that others can reach.
    #[error(
        "--dev hands out tokens for every role and listens on a loopback address only, not on {0}: drop --dev and configure [tls] and [auth], or listen on 127.0.0.1"
    )]
    DevNotLoopback(SocketAddr),
    /// Development mode and an identity provider.
    #[error("--dev makes its own key, and [auth] names another: drop one of them")]
    DevWithAuth,
    /// Virtual time on a real server.
    #[error("--virtual-clock is for development: add --dev or drop it")]
    VirtualClockWithoutDev,
    /// Nobody could prove who they are.
    #[error(
        "no way to prove who calls: set auth.public_key in the configuration, or try the server out with --dev"
    )]
    NoAuth,
    /// Tokens and customers' names would cross the network in the clear.
    #[error(
        "{0} can be reached from outside: set tls.certificate and tls.key in the configuration, or listen on 127.0.0.1"
    )]
    NoTls(SocketAddr),
    /// Neither TLS nor identity on an address that others can reach.
    #[error(
        "{0} can be reached from outside: set tls.certificate, tls.key and auth.public_key in the configuration, or listen on 127.0.0.1"
    )]
    NoTlsNoAuth(SocketAddr),
    /// What Kafka's section says.
    #[error(transparent)]
    Kafka(#[from] KafkaConfigError),
    /// A limit that makes no sense.
    #[error("{field} is {value}, and must be from {min} to {max}")]
    Limit {
        /// Its name in the file.
        field: &'static str,
        /// What was given.
        value: u64,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
}

impl Config {
    /// Reads the file that the flags name, if any, puts the flags over it, and checks the whole.
    ///
    /// # Errors
    /// [`ConfigError`] says what to change.
    pub fn load(flags: Flags) -> Result<Self, ConfigError> {
        let file = flags.config.as_deref().map(File::read).transpose()?.unwrap_or_default();
        Self::resolve(file, flags)
    }

    /// Puts `flags` over `file` and checks the whole.
    ///
    /// # Errors
    /// [`ConfigError`] says what to change.
    pub fn resolve(file: File, flags: Flags) -> Result<Self, ConfigError> {
        let data = flags.data.or(file.data).ok_or(ConfigError::NoData)?;
        let listen = flags.listen.or(file.listen).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 7110)));
        // An IPv4 address written as IPv6 is the same address.
        let loopback = listen.ip().to_canonical().is_loopback();
        let identity = match (flags.dev, file.auth) {
            (true, Some(_)) => return Err(ConfigError::DevWithAuth),
            (true, None) if !loopback => return Err(ConfigError::DevNotLoopback(listen)),
            (true, None) => Identity::Dev,
            (false, Some(auth)) => Identity::Provider(auth),
            (false, None) if !loopback && file.tls.is_none() => return Err(ConfigError::NoTlsNoAuth(listen)),
            (false, None) => return Err(ConfigError::NoAuth),
        };
        if !loopback && file.tls.is_none() {
            return Err(ConfigError::NoTls(listen));
        }
        if flags.virtual_clock && !flags.dev {
            return Err(ConfigError::VirtualClockWithoutDev);
        }
        file.limits.check()?;
        file.kafka.as_ref().map_or(Ok(()), KafkaConfig::check)?;
        Ok(Self {
            data,
            listen,
            tls: file.tls,
            identity,
            virtual_clock: flags.virtual_clock,
            master_key: flags.master_key.or(file.keys.master),
            signing_key: flags.signing_key.or(file.keys.signing),
            policies: flags.policies.over(file.policy),
            limits: file.limits,
            log: Log {
                level: flags.log_level.unwrap_or(file.log.level),
                format: flags.log_format.unwrap_or(file.log.format),
            },
            kafka: file.kafka,
            store: Store { url: flags.log_url.map(Url::from).or(file.store.url) },
        })
    }
}

impl Auth {
    /// What tokens must say about where they come from and for whom they are.
    #[must_use]
    pub fn expected(&self) -> Expected {
        Expected { issuer: self.issuer.clone(), audience: self.audience.clone() }
    }
}

impl File {
    /// Reads a configuration file; its paths are then relative to where the command runs.
    ///
    /// # Errors
    /// [`ConfigError::Read`], [`ConfigError::UnknownField`], [`ConfigError::Invalid`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let mut file: Self = toml::from_str(&text).map_err(|source| {
            let (path, source) = (path.to_owned(), Box::new(source));
            if source.message().starts_with("unknown field") {
                ConfigError::UnknownField { path, source }
            } else {
                ConfigError::Invalid { path, source }
            }
        })?;
        let dir = path.parent().unwrap_or(Path::new(""));
        let paths = [
            file.data.as_mut(),
            file.keys.master.as_mut(),
            file.keys.signing.as_mut(),
            file.auth.as_mut().map(|auth| &mut auth.public_key),
        ];
        let tls = file.tls.iter_mut().flat_map(|tls| [&mut tls.certificate, &mut tls.key]);
        for path in paths.into_iter().flatten().chain(tls).chain(file.policy.files()) {
            *path = dir.join(&path);
        }
        Ok(file)
    }
}

impl Limits {
    fn check(&self) -> Result<(), ConfigError> {
        let wide = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let limits = [
            ("limits.message_bytes_max", wide(self.message_bytes_max), 64 << 10, 64 << 20),
            ("limits.streams_per_connection_max", u64::from(self.streams_per_connection_max), 1, 1 << 20),
            ("limits.commands_in_flight_max", wide(self.commands_in_flight_max), 1, 1 << 20),
            ("limits.commands_queued_max", wide(self.commands_queued_max), 1, 1 << 24),
            ("limits.drain_seconds_max", self.drain_seconds_max, 1, 3600),
        ];
        for (field, value, min, max) in limits {
            if !(min..=max).contains(&value) {
                return Err(ConfigError::Limit { field, value, min, max });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
