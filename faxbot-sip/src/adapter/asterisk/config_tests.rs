//! The configuration from each of its forms, and what is refused.

use serde_json::json;

use super::*;

fn full() -> Value {
    json!({
        "type": "asterisk",
        "host": "pbx.example",
        "port": 5039,
        "auth": { "username": "fax", "password": "s3cret-word" },
        "realm": "n/a",
        "options": {
            "tls": true,
            "dial": "PJSIP/{number}@trunk",
            "number_format": "digits",
            "spool": "/srv/fax",
            "spool_remote": "/var/spool/fax/",
            "connect_timeout": "5s",
            "dialplan_context": "off",
        },
    })
}

#[test]
fn the_table_fits_the_type_and_has_no_faults() {
    assert_eq!(FIELDS.faults(), Vec::<String>::new());
    AsteriskConfig::from_value(&json!({ "user": "fax", "secret": "x" })).unwrap();
}

#[test]
fn json_yaml_and_url_load_alike() {
    let json = AsteriskConfig::from_value(&full()).unwrap();
    let yaml = serde_yaml_ng::to_string(&full()).unwrap();
    let yaml = AsteriskConfig::from_value(&serde_yaml_ng::from_str(&yaml).unwrap()).unwrap();
    let url = "amis://fax:s3cret-word@pbx.example:5039?dial=PJSIP/{number}@trunk&number_format=digits\
               &spool=/srv/fax&spool_remote=/var/spool/fax&connect_timeout=5&dialplan_context=off";
    let url = AsteriskConfig::from_url(url).unwrap();
    for config in [yaml, url] {
        assert_eq!(format!("{config:?}"), format!("{json:?}"));
        assert_eq!(config.password.expose(), "s3cret-word");
        assert_eq!(config.spool, json.spool);
    }
    assert_eq!(json.spool.unwrap().remote, "/var/spool/fax");
    assert_eq!(json.dialplan, DialplanContext::Off);
    assert!(json.tls.is_some());
}

#[test]
fn every_problem_comes_at_once_and_no_secret_with_it() {
    let bad = json!({
        "port": 0,
        "auth": { "username": "fax", "password": "s3cret\r\nAction: x" },
        "options": {
            "dial": "PJSIP/trunk",
            "instance": "a b",
            "spool": "/srv/a,b",
            "tls_key": "/key.pem",
            "conect_timeout": "5s",
        },
    });
    let errors = AsteriskConfig::validate(&bad).unwrap_err();
    let paths: Vec<_> = errors.iter().map(|error| error.path.clone()).collect();
    for path in [
        "port",
        "password",
        "dial",
        "instance",
        "spool_remote",
        "tls_key",
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
    value["auth"]["domain"] = json!("n/a");
    AsteriskConfig::from_value(&value).unwrap();
}
