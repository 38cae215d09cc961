use std::error::Error;

use super::*;

const WHOLE: &str = r#"
data = "store"
listen = "10.0.0.1:7110"

[tls]
certificate = "tls/cert.pem"
key = "/etc/duban/key.pem"

[auth]
public_key = "idp.pem"
issuer = "https://idp.example"

[keys]
master = "master"
signing = "signing.pem"

[policy]
in_force = "cn-henan-1"
emergencies = ["flood.toml", "cn-emergency-1"]
calendars = ["calendar-2027.toml"]

[limits]
message_bytes_max = 1048576

[log]
level = "debug"
format = "json"
"#;

fn read(text: &str) -> Result<File, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("duban.toml");
    std::fs::write(&path, text).unwrap();
    let mut file = File::read(&path)?;
    // Back to what was written, so that a test need not know the directory.
    if let Some(data) = &mut file.data {
        *data = data.strip_prefix(dir.path()).unwrap().to_owned();
    }
    Ok(file)
}

fn flags(listen: &str) -> Flags {
    Flags { data: Some("d".into()), listen: Some(listen.parse().unwrap()), ..Flags::default() }
}

fn tls() -> Tls {
    Tls { certificate: "c".into(), key: "k".into() }
}

fn auth() -> Auth {
    Auth { public_key: "p".into(), issuer: name(), audience: name() }
}

#[test]
fn a_whole_file_is_read_and_its_paths_are_relative_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("duban.toml");
    std::fs::write(&path, WHOLE).unwrap();
    let config = Config::load(Flags { config: Some(path), ..Flags::default() }).unwrap();
    assert_eq!(config.data, dir.path().join("store"));
    let tls = config.tls.unwrap();
    assert_eq!(tls.certificate, dir.path().join("tls/cert.pem"));
    assert_eq!(tls.key, Path::new("/etc/duban/key.pem"));
    assert_eq!(config.master_key, Some(dir.path().join("master")));
    assert_eq!(config.signing_key, Some(dir.path().join("signing.pem")));
    let Identity::Provider(auth) = config.identity else { panic!("not from the file") };
    assert_eq!(auth.public_key, dir.path().join("idp.pem"));
    assert_eq!(auth.expected(), Expected { issuer: "https://idp.example".into(), audience: "duban".into() });
    let wanted = PolicyConfig {
        in_force: Some("cn-henan-1".into()),
        emergencies: vec![dir.path().join("flood.toml"), "cn-emergency-1".into()],
        calendars: vec![dir.path().join("calendar-2027.toml")],
    };
    assert_eq!(config.policies, wanted, "a policy that ships is named, not a file");
    assert_eq!(config.limits.message_bytes_max, 1 << 20);
    assert_eq!(config.limits.drain(), Duration::from_secs(10));
    assert_eq!(config.log, Log { level: "debug".into(), format: LogFormat::Json });
}

#[test]
fn flags_go_before_the_file() {
    let flags = Flags {
        data: Some("elsewhere".into()),
        listen: Some("127.0.0.1:1".parse().unwrap()),
        master_key: Some("m".into()),
        signing_key: Some("s".into()),
        log_url: Some("esdb://user:secret@one:2113,two:2113".into()),
        policies: PolicyConfig { calendars: vec!["2028.toml".into()], ..PolicyConfig::default() },
        log_level: Some("warn".into()),
        log_format: Some(LogFormat::Text),
        ..Flags::default()
    };
    let config = Config::resolve(read(WHOLE).unwrap(), flags).unwrap();
    assert_eq!(config.data, Path::new("elsewhere"));
    assert_eq!(config.listen.to_string(), "127.0.0.1:1");
    let keys = (config.master_key.clone(), config.signing_key.clone());
    assert_eq!(keys, (Some("m".into()), Some("s".into())));
    assert_eq!(config.policies.in_force, Some("cn-henan-1".into()), "what no flag says is the file's");
    assert_eq!(config.policies.calendars, [Path::new("2028.toml")]);
    assert_eq!(config.log, Log { level: "warn".into(), format: LogFormat::Text });
    let url = config.store.url.clone().unwrap();
    assert_eq!(url.reveal(), "esdb://user:secret@one:2113,two:2113");
    let shown = format!("{url} {config:?} {}", serde_json::to_string(&config).unwrap());
    assert!(!shown.contains("secret") && shown.contains("esdb://one:2113,two:2113"), "{shown}");
}

#[test]
fn unknown_fields_are_named_wherever_they_are() {
    for (text, field) in [
        ("lisen = 1", "lisen"),
        ("[limits]\nqueue = 1", "queue"),
        ("[tls]\ncertificate = 'a'\nkey = 'b'\ncipher = 'c'", "cipher"),
        ("[kafka]\nbrokers = 'b'\nreply = true", "reply"),
    ] {
        let error = read(text).unwrap_err();
        assert!(matches!(error, ConfigError::UnknownField { .. }), "{error:?}");
        let source = error.source().unwrap().to_string();
        assert!(source.contains(&format!("`{field}`")), "{source}");
        assert!(source.contains("line"), "{source}");
    }
}

#[test]
fn wrong_types_broken_syntax_and_missing_files_are_refused() {
    for text in ["listen = 'nowhere'", "listen = ", "[tls]\nkey = 'k'", "[log]\nformat = 'xml'"] {
        assert!(matches!(read(text), Err(ConfigError::Invalid { .. })), "{text}");
    }
    let missing = Flags { config: Some("/nonexistent.toml".into()), ..Flags::default() };
    assert!(matches!(Config::load(missing), Err(ConfigError::Read { .. })));
}

#[test]
fn an_address_that_others_reach_needs_tls_and_identity_and_is_told_what_to_add() {
    for listen in ["0.0.0.0:7110", "10.1.2.3:7110", "[::]:7110", "[::ffff:10.1.2.3]:7110"] {
        let resolve = |tls, auth| Config::resolve(File { tls, auth, ..File::default() }, flags(listen));
        let neither = resolve(None, None).unwrap_err();
        assert!(matches!(neither, ConfigError::NoTlsNoAuth(_)));
        for needed in ["tls.certificate", "tls.key", "auth.public_key"] {
            assert!(neither.to_string().contains(needed));
        }
        assert!(matches!(resolve(None, Some(auth())), Err(ConfigError::NoTls(_))));
        assert!(matches!(resolve(Some(tls()), None), Err(ConfigError::NoAuth)));
        resolve(Some(tls()), Some(auth())).unwrap();
    }
}

#[test]
fn development_mode_stays_on_loopback_and_alone() {
    let dev = |listen, auth| {
        Config::resolve(File { auth, ..File::default() }, Flags { dev: true, ..flags(listen) })
    };
    for listen in ["127.0.0.1:0", "[::1]:0", "[::ffff:127.0.0.1]:0"] {
        assert_eq!(dev(listen, None).unwrap().identity, Identity::Dev);
    }
    assert!(matches!(dev("0.0.0.0:0", None), Err(ConfigError::DevNotLoopback(_))));
    assert!(matches!(dev("127.0.0.1:0", Some(auth())), Err(ConfigError::DevWithAuth)));
}

#[test]
fn loopback_without_development_mode_still_needs_identity_but_no_tls() {
    assert!(matches!(Config::resolve(File::default(), flags("127.0.0.1:0")), Err(ConfigError::NoAuth)));
    Config::resolve(File { auth: Some(auth()), ..File::default() }, flags("127.0.0.1:0")).unwrap();
}

#[test]
fn a_virtual_clock_needs_development_mode_and_every_server_a_data_directory() {
    let file = File { auth: Some(auth()), ..File::default() };
    let virtual_clock = Flags { virtual_clock: true, ..flags("127.0.0.1:0") };
    assert!(matches!(Config::resolve(file, virtual_clock), Err(ConfigError::VirtualClockWithoutDev)));
    let dev = Flags { dev: true, ..Flags::default() };
    assert!(matches!(Config::resolve(File::default(), dev), Err(ConfigError::NoData)));
}

#[test]
fn limits_out_of_range_are_named() {
    for (text, named) in [
        ("message_bytes_max = 10", "limits.message_bytes_max"),
        ("streams_per_connection_max = 0", "limits.streams_per_connection_max"),
        ("commands_in_flight_max = 0", "limits.commands_in_flight_max"),
        ("commands_queued_max = 0", "limits.commands_queued_max"),
        ("drain_seconds_max = 0", "limits.drain_seconds_max"),
    ] {
        let file = read(&format!("[limits]\n{text}")).unwrap();
        match Config::resolve(file, Flags { dev: true, ..flags("127.0.0.1:0") }) {
            Err(ConfigError::Limit { field, .. }) => assert_eq!(field, named),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_default_address_is_the_one_documented() {
    let dev = Flags { dev: true, data: Some("d".into()), ..Flags::default() };
    assert_eq!(Config::resolve(File::default(), dev).unwrap().listen.to_string(), LISTEN_DEFAULT);
}

#[test]
fn kafka_takes_brokers_names_and_what_is_about_the_connection_and_nothing_that_promises_rest_on() {
    let whole = r#"
[kafka]
brokers = "k1:9092,k2:9092"
facts = false
prefix = "henan"
partitions = 6
retention_days = 90

[kafka.topics]
facts_line_test = "tester.results"

[kafka.properties]
"security.protocol" = "SASL_SSL"
"sasl.password" = "hush"
"#;
    let kafka = read(whole).unwrap().kafka.unwrap();
    assert_eq!((&*kafka.brokers, kafka.relay, kafka.facts), ("k1:9092,k2:9092", true, false));
    assert_eq!((&*kafka.prefix, kafka.partitions, kafka.retention_days), ("henan", 6, Some(90)));
    assert_eq!(kafka.topics.facts_line_test.as_deref(), Some("tester.results"));
    let shown = shown_as(&kafka);
    assert!(!shown.contains("hush") && shown.contains("SASL_SSL"), "{shown}");

    assert!(matches!(
        read("[kafka]\nbrokers = \"b\"\nreply = true\n"),
        Err(ConfigError::UnknownField { .. })
    ));
    assert!(matches!(read("[kafka]\nrelay = true\n"), Err(ConfigError::Invalid { .. })));
    let resolved = |kafka| {
        let file = File { auth: Some(auth()), kafka: Some(kafka), ..File::default() };
        Config::resolve(file, flags("127.0.0.1:7110"))
    };
    assert_eq!(resolved(kafka.clone()).unwrap().kafka, Some(kafka));
    assert!(matches!(resolved(KafkaConfig::at(" ")), Err(ConfigError::Kafka(KafkaConfigError::NoBrokers))));
    let none = KafkaConfig { partitions: 0, ..KafkaConfig::at("b") };
    assert!(matches!(
        resolved(none),
        Err(ConfigError::Kafka(KafkaConfigError::Limit { field: "kafka.partitions", .. }))
    ));
    for property in ["acks", "enable.idempotence", "group.id", "message.timeout.ms", "enable.auto.commit"] {
        let properties = [(property.to_owned(), "0".to_owned())].into();
        let refused = resolved(KafkaConfig { properties, ..KafkaConfig::at("b") });
        assert!(
            matches!(refused, Err(ConfigError::Kafka(KafkaConfigError::Property(named))) if named == property)
        );
    }
}

/// As a program would print it.
fn shown_as(kafka: &KafkaConfig) -> String {
    serde_json::to_string(kafka).unwrap()
}
