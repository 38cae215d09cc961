use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use duban_engine::time::VirtualClock;
use http::HeaderValue;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn clock() -> VirtualClock {
    VirtualClock::new("2015-04-01T09:00:00Z".parse().unwrap())
}

fn desk() -> Actor {
    Actor { id: "10086".into(), role: Role::Desk, unit: "desk".into() }
}

fn headers(value: &str) -> HeaderMap {
    HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(value).unwrap())])
}

fn issuer() -> TokenIssuer {
    TokenIssuer::throw_away().unwrap()
}

/// A token of `issuer` with the claims of [`desk`] after `change`.
fn token(issuer: &TokenIssuer, change: impl FnOnce(&mut serde_json::Value)) -> String {
    let mut claims = serde_json::json!({
        "sub": "10086", "role": "desk", "unit": "desk", "iss": "duban", "aud": "duban",
        "exp": clock().now().as_second() + 3600,
    });
    change(&mut claims);
    jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &issuer.signing).unwrap()
}

#[track_caller]
fn refused(change: impl FnOnce(&mut serde_json::Value)) -> Unproven {
    let issuer = issuer();
    issuer.verifier(Arc::new(clock())).verify(&token(&issuer, change)).unwrap_err()
}

#[test]
fn a_minted_token_proves_its_actor() {
    let (issuer, clock) = (issuer(), clock());
    let verifier = issuer.verifier(Arc::new(clock.clone()));
    let token = issuer.mint(&desk(), clock.now(), HOUR).unwrap();
    for _ in 0..2 {
        assert_eq!(verifier.authenticate(&headers(&format!("Bearer {}", token.text))), Ok(desk()));
    }
}

#[test]
fn every_callers_role_gets_a_development_token_and_every_unit_a_member() {
    let (issuer, clock) = (issuer(), clock());
    let verifier = issuer.verifier(Arc::new(clock.clone()));
    let tokens = issuer.mint_all(&["line-crew".into(), "access".into()], clock.now(), HOUR).unwrap();
    assert_eq!(tokens.len(), Role::ALL.len() - 3 + 2);
    for token in tokens {
        assert_eq!(verifier.verify(&token.text), Ok(token.actor));
    }
}

#[test]
fn a_token_is_refused_once_its_time_is_up_also_when_it_was_known() {
    let (issuer, clock) = (issuer(), clock());
    let verifier = issuer.verifier(Arc::new(clock.clone()));
    let token = issuer.mint(&desk(), clock.now(), HOUR).unwrap();
    verifier.verify(&token.text).unwrap();
    clock.advance(HOUR + Duration::from_secs(29));
    verifier.verify(&token.text).unwrap();
    clock.advance(Duration::from_secs(1));
    let expired = Unproven::Expired("2015-04-01T10:00:00Z".parse().unwrap());
    assert_eq!(verifier.verify(&token.text), Err(expired));
}

#[test]
fn a_token_is_refused_before_its_time() {
    let from = clock().now().as_second() + 60;
    assert!(matches!(refused(|claims| claims["nbf"] = from.into()), Unproven::Early(_)));
}

#[test]
fn a_token_of_another_key_is_refused() {
    let verifier = issuer().verifier(Arc::new(clock()));
    assert_eq!(verifier.verify(&token(&issuer(), |_| {})), Err(Unproven::Signature));
}

#[test]
fn changed_claims_are_refused() {
    let issuer = issuer();
    let token = token(&issuer, |_| {});
    let parts: Vec<_> = token.split('.').collect();
    let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    let forged = URL_SAFE_NO_PAD.encode(claims.replace(r#""role":"desk""#, r#""role":"supervisor""#));
    assert_ne!(forged, parts[1]);
    let forged = [parts[0], &forged, parts[2]].join(".");
    assert_eq!(issuer.verifier(Arc::new(clock())).verify(&forged), Err(Unproven::Signature));
}

#[test]
fn an_unsigned_token_and_one_signed_otherwise_are_refused() {
    let issuer = issuer();
    let verifier = issuer.verifier(Arc::new(clock()));
    let token = token(&issuer, |_| {});
    let claims = token.split('.').nth(1).unwrap();
    let none = format!("{}.{claims}.", URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"none"}"#));
    assert_eq!(verifier.verify(&none), Err(Unproven::Algorithm));
    // The classic confusion: the public key used as the secret of a symmetric signature.
    let claims: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    let secret = EncodingKey::from_secret(&issuer.public);
    let symmetric = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &secret).unwrap();
    assert_eq!(verifier.verify(&symmetric), Err(Unproven::Algorithm));
}

#[test]
fn another_issuer_audience_or_a_missing_claim_is_refused() {
    assert_eq!(refused(|claims| claims["iss"] = "other".into()), Unproven::Issuer("duban".into()));
    assert_eq!(refused(|claims| claims["aud"] = "other".into()), Unproven::Audience("duban".into()));
    for claim in ["sub", "role", "unit", "exp", "iss", "aud"] {
        let why = refused(|claims| drop(claims.as_object_mut().unwrap().remove(claim)));
        assert!(matches!(why, Unproven::Malformed(_)), "{claim}: {why:?}");
    }
}

#[test]
fn an_audience_may_be_one_of_a_list() {
    let issuer = issuer();
    let token = token(&issuer, |claims| claims["aud"] = serde_json::json!(["billing", "duban"]));
    assert_eq!(issuer.verifier(Arc::new(clock())).verify(&token), Ok(desk()));
}

#[test]
fn unknown_roles_and_unfit_names_are_refused() {
    for (claim, value) in [
        ("role", "god".to_owned()),
        ("sub", String::new()),
        ("unit", String::new()),
        ("sub", "x".repeat(65)),
        ("unit", "a\nb".into()),
    ] {
        let why = refused(|claims| claims[claim] = value.clone().into());
        assert!(matches!(why, Unproven::Malformed(_)), "{claim}: {why:?}");
    }
}

#[test]
fn nobody_may_claim_to_be_the_server_itself() {
    assert_eq!(refused(|claims| claims["role"] = "timer".into()), Unproven::Reserved("timer"));
    assert_eq!(refused(|claims| claims["role"] = "rule".into()), Unproven::Reserved("rule"));
}

#[test]
fn missing_doubled_and_other_authorization_headers_say_what_to_send() {
    let verifier = issuer().verifier(Arc::new(clock()));
    assert_eq!(verifier.authenticate(&HeaderMap::new()), Err(Unproven::NoToken));
    let mut doubled = headers("Bearer a");
    doubled.append(AUTHORIZATION, HeaderValue::from_static("Bearer b"));
    assert_eq!(verifier.authenticate(&doubled), Err(Unproven::NoToken));
    assert_eq!(verifier.authenticate(&headers("Basic dXNlcjpwYXNz")), Err(Unproven::NotBearer));
    assert_eq!(verifier.authenticate(&headers("Bearer")), Err(Unproven::NotBearer));
    for junk in ["Bearer x", "Bearer a.b.c", "Bearer ...", &format!("Bearer {}", "x".repeat(9000))] {
        assert!(matches!(verifier.authenticate(&headers(junk)), Err(Unproven::Malformed(_))), "{junk}");
    }
}

/// SubjectPublicKeyInfo of an Ed25519 key, as openssl writes it.
fn pem(issuer: &TokenIssuer) -> String {
    let mut der = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    der.extend(&issuer.public);
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
}

fn from_file(text: &str) -> Result<Verifier, IdentityError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    Verifier::from_file(file.path(), Expected::default(), Arc::new(clock()))
}

#[test]
fn a_public_key_in_pem_is_trusted() {
    let issuer = issuer();
    let verifier = from_file(&pem(&issuer)).unwrap();
    assert_eq!(verifier.verify(&token(&issuer, |_| {})), Ok(desk()));
}

#[test]
fn a_jwk_set_is_trusted_key_by_key() {
    let (one, two) = (issuer(), issuer());
    let jwk = |id: &str, issuer: &TokenIssuer| serde_json::json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": URL_SAFE_NO_PAD.encode(&issuer.public)});
    let set = serde_json::json!({"keys": [jwk("one", &one), jwk("two", &two)]});
    let verifier = from_file(&set.to_string()).unwrap();
    assert_eq!(verifier.verify(&token(&two, |_| {})), Ok(desk()));
    let claims = token(&two, |_| {});
    let claims: serde_json::Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims.split('.').nth(1).unwrap()).unwrap()).unwrap();
    let sign = |kid: &str| {
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, &claims, &two.signing).unwrap()
    };
    assert_eq!(verifier.verify(&sign("two")), Ok(desk()));
    assert_eq!(verifier.verify(&sign("one")), Err(Unproven::Signature));
    assert_eq!(verifier.verify(&sign("three")), Err(Unproven::Signature));
}

#[test]
fn a_file_without_a_usable_key_is_refused_by_name() {
    let x25519 = serde_json::json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}]}).to_string();
    for text in ["", "hello", r#"{"keys": []}"#, &x25519] {
        assert!(matches!(from_file(text), Err(IdentityError::NoKey { .. })), "{text}");
    }
    let missing = Verifier::from_file(Path::new("/nonexistent"), Expected::default(), Arc::new(clock()));
    assert!(matches!(missing, Err(IdentityError::Read { .. })));
}
