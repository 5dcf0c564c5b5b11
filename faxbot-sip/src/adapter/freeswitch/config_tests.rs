//! The configuration from each of its forms, and what is refused.

use serde_json::json;

use super::*;

fn full() -> Value {
    json!({
        "type": "freeswitch",
        "host": "pbx.example",
        "port": 8022,
        "auth": { "password": "s3cret-word" },
        "options": {
            "dial": "sofia/gateway/trunk/{number}",
            "extension_dial": "user/{number}@pbx.example",
            "number_format": "digits",
            "spool": "/srv/fax",
            "spool_remote": "/var/spool/fax/",
            "connect_timeout": "5s",
            "outcomes": "hash",
            "incoming": "socket",
            "incoming_listen": "0.0.0.0:8084",
            "incoming_allow": "10.1.0.0/16,10.2.0.1",
        },
    })
}

#[test]
fn the_table_fits_the_type_and_has_no_faults() {
    assert_eq!(FIELDS.faults(), Vec::<String>::new());
    let config = FreeswitchConfig::from_value(&json!({ "apikey": "ClueCon" })).unwrap();
    assert_eq!((config.host.as_str(), config.port), ("127.0.0.1", 8021));
    assert_eq!(config.incoming, IncomingPath::Off);
    assert_eq!(config.user, None);
}

#[test]
fn json_yaml_and_url_load_alike() {
    let json = FreeswitchConfig::from_value(&full()).unwrap();
    let yaml = serde_yaml_ng::to_string(&full()).unwrap();
    let yaml = FreeswitchConfig::from_value(&serde_yaml_ng::from_str(&yaml).unwrap()).unwrap();
    let url = "esl://:s3cret-word@pbx.example:8022?dial=sofia/gateway/trunk/{number}\
               &extension_dial=user/{number}@pbx.example&number_format=digits\
               &spool=/srv/fax&spool_remote=/var/spool/fax&connect_timeout=5&outcomes=hash\
               &incoming=socket&incoming_listen=0.0.0.0:8084&incoming_allow=10.1.0.0/16,10.2.0.1";
    let url = FreeswitchConfig::from_url(url).unwrap();
    for config in [yaml, url] {
        assert_eq!(format!("{config:?}"), format!("{json:?}"));
        assert_eq!(config.password.expose(), "s3cret-word");
        assert_eq!(config.spool, json.spool);
    }
    assert_eq!(json.spool.unwrap().remote, "/var/spool/fax");
    assert_eq!(json.outcomes, Outcomes::Hash);
    assert_eq!(
        json.incoming,
        IncomingPath::Socket {
            listen: "0.0.0.0:8084".parse().unwrap(),
            allow: AllowList::parse(["10.1.0.0/16", "10.2.0.1"]).unwrap(),
        }
    );
}

#[test]
fn a_user_of_the_directory_has_a_domain_and_other_names_are_ignored() {
    for (url, user) in [
        ("esl://:ClueCon@host", None),
        ("esl://admin:ClueCon@host", None),
        (
            "esl://fax@pbx.example:ClueCon@host",
            Some(("fax", "pbx.example")),
        ),
        (
            "esl://fax%40pbx.example:ClueCon@host",
            Some(("fax", "pbx.example")),
        ),
    ] {
        let config = FreeswitchConfig::from_url(url).unwrap();
        let user = user.map(|(user, domain)| (user.to_owned(), domain.to_owned()));
        assert_eq!(config.user, user, "{url}");
        assert_eq!(config.host, "host");
        assert_eq!(config.password.expose(), "ClueCon");
    }
}

#[test]
fn every_problem_comes_at_once_and_no_secret_with_it() {
    let bad = json!({
        "port": 0,
        "auth": { "password": "s3cret\n\nexit" },
        "options": {
            "dial": "sofia/gateway/trunk",
            "extension_dial": "user/{number},x",
            "sip_dial": "sofia/external/{uri}|x",
            "instance": "a b",
            "context": "undef",
            "variables": { "x": "${hostname}" },
            "spool": "/srv/a)b",
            "recordings": "/srv/a b",
            "tls_key": "/key.pem",
            "incoming": "socket",
            "incoming_allow": ["everybody"],
            "fax_codecs": "PCMU, PCMA",
            "conect_timeout": "5s",
        },
    });
    let errors = FreeswitchConfig::validate(&bad).unwrap_err();
    let paths: Vec<_> = errors.iter().map(|error| error.path.clone()).collect();
    for path in [
        "port",
        "password",
        ".dial",
        "extension_dial",
        "sip_dial",
        "instance",
        "context",
        "variables",
        "spool_remote",
        "recordings",
        "tls_key",
        "incoming_listen",
        "incoming_allow",
        "fax_codecs",
        "conect_timeout",
    ] {
        assert!(
            paths.iter().any(|it| it.ends_with(path)),
            "{path} in {paths:?}"
        );
    }
    let text = format!("{errors} {errors:?}");
    assert!(
        !text.contains("s3cret") && text.contains("connect_timeout"),
        "{text}"
    );
}

#[test]
fn what_other_types_use_is_ignored() {
    let mut value = full();
    value["realm"] = json!("x");
    value["auth"]["username"] = json!("n/a");
    value["auth"]["domain"] = json!("pbx.example");
    assert_eq!(FreeswitchConfig::from_value(&value).unwrap().user, None);
}
