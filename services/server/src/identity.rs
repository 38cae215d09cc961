//! Who calls: signed tokens (JWT, EdDSA) from the operator's identity provider, or throw-away ones for development.
//!
//! The actor in every event comes from here and from nowhere else; no request body names one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use duban_aggregates::actor::Actor;
use duban_aggregates::ids::{EmployeeId, UnitId};
use duban_aggregates::words::Role;
use duban_engine::time::Clock;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tonic::{Code, Status};

use crate::access::refusal;

/// How far the issuer's clock may be ahead of ours or behind it.
const LEEWAY_SECONDS: i64 = 30;
/// Longer tokens are not looked at.
const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Verified tokens remembered, so that a busy caller costs one signature check and not one a request.
const REMEMBERED_MAX: usize = 4096;
/// Employee numbers and unit ids are stored in every event; longer ones are someone's mistake.
const NAME_BYTES_MAX: usize = 64;
const ED25519_KEY_LEN: usize = 32;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Claims {
    /// Employee number.
    sub: String,
    /// One of domain.md section 5, in snake case.
    role: Role,
    /// Unit or department.
    unit: String,
    /// Seconds since 1970 from which the token is void.
    exp: i64,
    /// Seconds since 1970 before which the token is not valid yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    iss: String,
    // A string or a list of strings; the library compares it.
    #[serde(default, skip_deserializing)]
    aud: String,
}

/// What tokens must say about where they come from and for whom they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The `iss` claim.
    pub issuer: String,
    /// The `aud` claim.
    pub audience: String,
}

impl Default for Expected {
    fn default() -> Self {
        Self { issuer: "duban".to_owned(), audience: "duban".to_owned() }
    }
}

/// Why keys or tokens cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The key file cannot be read.
    #[error("reading {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The key file holds no Ed25519 public key.
    #[error(
        "{path} holds neither an Ed25519 public key in PEM (`openssl pkey -in private.pem -pubout`) nor a JWK set with one"
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// A token was to be made with a private key that is none.
    #[error("not an Ed25519 private key")]
    NotAPrivateKey,
    /// The token could not be signed.
    #[error("signing a token")]
    Sign(#[source] jsonwebtoken::errors::Error),
}

/// Why a caller is not let in. Every message says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// No `authorization` header, or more than one.
    #[error("send exactly one header `authorization: Bearer TOKEN`")]
    NoToken,
    /// The header is something else.
    #[error("the authorization header must read `Bearer TOKEN`")]
    NotBearer,
    /// Not a token of the form expected.
    #[error("the token is malformed: send a signed JWT with sub, role, unit, exp, iss and aud ({0})")]
    Malformed(String),
    /// Signed in another way, or not at all.
    #[error("the token must be signed with EdDSA (Ed25519)")]
    Algorithm,
    /// Signed with a key that this server does not know.
    #[error("the token is not signed by a key this server trusts: ask your identity provider for a new one")]
    Signature,
    /// The time is up.
    #[error("the token expired at {0}: ask your identity provider for a new one")]
    Expired(jiff::Timestamp),
    /// Not valid yet.
    #[error("the token is not valid before {0}: wait, or check the issuer's clock")]
    Early(jiff::Timestamp),
    /// From another issuer.
    #[error("the token must come from issuer `{0}`")]
    Issuer(String),
    /// For another audience.
    #[error("the token must be made for audience `{0}`")]
    Audience(String),
    /// The server's own identities are never a caller's.
    #[error("role `{0}` is the server's own and no token may claim it")]
    Reserved(&'static str),
}

impl Unproven {
    fn reason(&self) -> &'static str {
        match self {
            Self::NoToken | Self::NotBearer => "TOKEN_MISSING",
            Self::Malformed(_) => "TOKEN_MALFORMED",
            Self::Algorithm => "TOKEN_ALGORITHM",
            Self::Signature => "TOKEN_SIGNATURE",
            Self::Expired(_) => "TOKEN_EXPIRED",
            Self::Early(_) => "TOKEN_NOT_YET_VALID",
            Self::Issuer(_) => "TOKEN_ISSUER",
            Self::Audience(_) => "TOKEN_AUDIENCE",
            Self::Reserved(_) => "ROLE_RESERVED",
        }
    }
}

impl From<Unproven> for Status {
    fn from(why: Unproven) -> Self {
        refusal(Code::Unauthenticated, why.reason(), why.to_string(), [])
    }
}

/// Checks tokens. Share it in an [`Arc`].
pub struct Verifier {
    keys: Vec<TrustedKey>,
    expected: Expected,
    validation: Validation,
    clock: Arc<dyn Clock>,
    remembered: Mutex<HashMap<[u8; 32], Proven>>,
}

struct TrustedKey {
    /// A key without an id is tried for every token.
    id: Option<String>,
    key: DecodingKey,
}

#[derive(Clone)]
struct Proven {
    actor: Actor,
    not_before: Option<i64>,
    expires: i64,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("keys", &self.keys.len()).field("expected", &self.expected).finish()
    }
}

impl Verifier {
    /// Trusts the keys of `path`: an Ed25519 public key in PEM, or a JWK set.
    ///
    /// Tokens run by real time: give the system's clock, also when tickets run on a virtual one.
    ///
    /// # Errors
    /// [`IdentityError::Read`], or [`IdentityError::NoKey`] when the file holds no usable key.
    pub fn from_file(path: &Path, expected: Expected, clock: Arc<dyn Clock>) -> Result<Self, IdentityError> {
        let bytes =
            std::fs::read(path).map_err(|source| IdentityError::Read { path: path.to_owned(), source })?;
        let keys = trusted_keys(&bytes);
        if keys.is_empty() {
            return Err(IdentityError::NoKey { path: path.to_owned() });
        }
        Ok(Self::new(keys, expected, clock))
    }

    fn new(keys: Vec<TrustedKey>, expected: Expected, clock: Arc<dyn Clock>) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&expected.issuer]);
        validation.set_audience(&[&expected.audience]);
        // The library would ask the machine's clock; ours is asked below.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Self { keys, expected, validation, clock, remembered: Mutex::new(HashMap::new()) }
    }

    /// Who sent these headers.
    ///
    /// # Errors
    /// [`Unproven`] says what is wrong with the token.
    pub fn authenticate(&self, headers: &HeaderMap) -> Result<Actor, Unproven> {
        let mut sent = headers.get_all(AUTHORIZATION).iter();
        // Two headers may be read differently by a proxy in front of us and by us, so neither is believed.
        let (Some(value), None) = (sent.next(), sent.next()) else { return Err(Unproven::NoToken) };
        let value = value.to_str().map_err(|_| Unproven::NotBearer)?;
        let (scheme, token) = value.split_once(' ').ok_or(Unproven::NotBearer)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Unproven::NotBearer);
        }
        self.verify(token.trim())
    }

    /// Whom this token proves.
    ///
    /// # Errors
    /// [`Unproven`] says what is wrong with it.
    pub fn verify(&self, token: &str) -> Result<Actor, Unproven> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Unproven::Malformed(format!("it is longer than {TOKEN_BYTES_MAX} bytes")));
        }
        // Remembered by digest, so that no usable token lies about in memory.
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        let remembered = self.remembered.lock().get(&fingerprint).cloned();
        if let Some(proven) = remembered {
            self.in_time(&proven)?;
            return Ok(proven.actor);
        }
        let proven = self.prove(token)?;
        self.in_time(&proven)?;
        let actor = proven.actor.clone();
        let mut remembered = self.remembered.lock();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(fingerprint, proven);
        Ok(actor)
    }

    fn prove(&self, token: &str) -> Result<Proven, Unproven> {
        let header = jsonwebtoken::decode_header(token).map_err(|e| self.explain(&e))?;
        if header.alg != Algorithm::EdDSA {
            return Err(Unproven::Algorithm);
        }
        let mut outcome = Err(Unproven::Signature);
        for trusted in &self.keys {
            // A token that names its key is checked against that one; without a name every key may have signed it.
            if let (Some(wanted), Some(id)) = (&header.kid, &trusted.id)
                && wanted != id
            {
                continue;
            }
            outcome = jsonwebtoken::decode::<Claims>(token, &trusted.key, &self.validation)
                .map_err(|e| self.explain(&e))
                .and_then(|token| proven(token.claims));
            if outcome != Err(Unproven::Signature) {
                break;
            }
        }
        outcome
    }

    fn in_time(&self, proven: &Proven) -> Result<(), Unproven> {
        let moment = |seconds| jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
        let now = self.clock.now().as_second();
        if now >= proven.expires.saturating_add(LEEWAY_SECONDS) {
            return Err(Unproven::Expired(moment(proven.expires)));
        }
        match proven.not_before {
            Some(from) if now < from.saturating_sub(LEEWAY_SECONDS) => Err(Unproven::Early(moment(from))),
            _ => Ok(()),
        }
    }

    fn explain(&self, error: &jsonwebtoken::errors::Error) -> Unproven {
        match error.kind() {
            ErrorKind::InvalidSignature => Unproven::Signature,
            ErrorKind::InvalidAlgorithm => Unproven::Algorithm,
            ErrorKind::InvalidIssuer => Unproven::Issuer(self.expected.issuer.clone()),
            ErrorKind::InvalidAudience => Unproven::Audience(self.expected.audience.clone()),
            // An unknown algorithm, `none` among them, is refused while the header is read.
            ErrorKind::Json(e) if e.to_string().contains("unknown variant `none`") => Unproven::Algorithm,
            _ => Unproven::Malformed(error.to_string()),
        }
    }
}

fn proven(claims: Claims) -> Result<Proven, Unproven> {
    for (claim, text) in [("sub", &claims.sub), ("unit", &claims.unit)] {
        let fit = !text.is_empty() && text.len() <= NAME_BYTES_MAX && !text.chars().any(char::is_control);
        if !fit {
            return Err(Unproven::Malformed(format!("{claim} must have 1 to {NAME_BYTES_MAX} bytes")));
        }
    }
    // Timers and rules act inside the server. Whoever could claim them could write what nobody did.
    match claims.role {
        Role::Timer => return Err(Unproven::Reserved("timer")),
        Role::Rule => return Err(Unproven::Reserved("rule")),
        _ => {}
    }
    let actor = Actor { id: EmployeeId(claims.sub), role: claims.role, unit: UnitId(claims.unit) };
    Ok(Proven { actor, not_before: claims.nbf, expires: claims.exp })
}

impl PartialEq for Proven {
    fn eq(&self, other: &Self) -> bool {
        self.actor == other.actor && self.expires == other.expires && self.not_before == other.not_before
    }
}

fn trusted_keys(bytes: &[u8]) -> Vec<TrustedKey> {
    let keys = if let Ok(set) = serde_json::from_slice::<JwkSet>(bytes) {
        set.keys
            .iter()
            .filter(|jwk| {
                matches!(&jwk.algorithm, AlgorithmParameters::OctetKeyPair(p) if p.curve == EllipticCurve::Ed25519)
            })
            .filter_map(|jwk| {
                let key = DecodingKey::from_jwk(jwk).ok()?;
                Some(TrustedKey { id: jwk.common.key_id.clone(), key })
            })
            .collect()
    } else {
        DecodingKey::from_ed_pem(bytes).map(|key| vec![TrustedKey { id: None, key }]).unwrap_or_default()
    };
    // A key of another curve in the same wrapping would only be noticed as a bad signature on every token.
    keys.into_iter().filter(|trusted| trusted.key.as_bytes().len() == ED25519_KEY_LEN).collect()
}

/// Makes tokens. A server that is not under development never has one.
pub struct TokenIssuer {
    signing: EncodingKey,
    public: Vec<u8>,
    expected: Expected,
}

/// A token ready to be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Whom it proves.
    pub actor: Actor,
    /// What follows `authorization: Bearer `.
    pub text: String,
}

impl std::fmt::Debug for TokenIssuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenIssuer").field("expected", &self.expected).finish_non_exhaustive()
    }
}

impl TokenIssuer {
    /// An issuer whose key is made now, lives in memory and dies with it. For `--dev`, the demo and tests.
    ///
    /// # Errors
    /// [`IdentityError::NotAPrivateKey`] when the operating system gives no randomness.
    pub fn throw_away() -> Result<Self, IdentityError> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
            .map_err(|_| IdentityError::NotAPrivateKey)?;
        let pair =
            Ed25519KeyPair::from_pkcs8(document.as_ref()).map_err(|_| IdentityError::NotAPrivateKey)?;
        Ok(Self {
            signing: EncodingKey::from_ed_der(document.as_ref()),
            public: pair.public_key().as_ref().to_vec(),
            expected: Expected::default(),
        })
    }

    /// A verifier that trusts this issuer alone.
    #[must_use]
    pub fn verifier(&self, clock: Arc<dyn Clock>) -> Verifier {
        let key = TrustedKey { id: None, key: DecodingKey::from_ed_der(&self.public) };
        Verifier::new(vec![key], self.expected.clone(), clock)
    }

    /// A token that proves `actor` until `valid_for` after `now`.
    ///
    /// # Errors
    /// [`IdentityError::Sign`] when the library cannot sign.
    pub fn mint(
        &self,
        actor: &Actor,
        now: jiff::Timestamp,
        valid_for: Duration,
    ) -> Result<Token, IdentityError> {
        let valid_for = i64::try_from(valid_for.as_secs()).unwrap_or(i64::MAX);
        let claims = Claims {
            sub: actor.id.0.clone(),
            role: actor.role,
            unit: actor.unit.0.clone(),
            exp: now.as_second().saturating_add(valid_for),
            nbf: None,
            iss: self.expected.issuer.clone(),
            aud: self.expected.audience.clone(),
        };
        let text = jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &self.signing)
            .map_err(IdentityError::Sign)?;
        Ok(Token { actor: actor.clone(), text })
    }

    /// One token for every role that a caller may have, one for a member of each of `units`, valid for `valid_for`.
    /// The employee is `dev-ROLE` in the department of the role's name; a unit's member is `dev-UNIT`.
    ///
    /// # Errors
    /// [`IdentityError::Sign`] when the library cannot sign.
    pub fn mint_all(
        &self,
        units: &[UnitId],
        now: jiff::Timestamp,
        valid_for: Duration,
    ) -> Result<Vec<Token>, IdentityError> {
        let departments = Role::ALL
            .into_iter()
            .filter(|role| !matches!(role, Role::Timer | Role::Rule | Role::Unit))
            .map(|role| (role, UnitId::from(role_name(role))));
        let members = units.iter().map(|unit| (Role::Unit, unit.clone()));
        departments
            .chain(members)
            .map(|(role, unit)| {
                let actor = Actor { id: EmployeeId(format!("dev-{unit}")), role, unit };
                self.mint(&actor, now, valid_for)
            })
            .collect()
    }
}

/// A role's name in tokens, logs and refusals.
#[must_use]
pub fn role_name(role: Role) -> &'static str {
    role.name()
}

#[cfg(test)]
mod tests;
