//! One table, many values.

use std::time::Duration;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::{
    Secret,
    address::{DialTemplate, NumberFormat},
    redact::MASK,
};

const TABLE: FieldTable = FieldTable::new(
    &["asterisk", "elastix"],
    &[
        Field::new("host", Kind::Host, "where the server listens").default("127.0.0.1"),
        Field::new("port", Kind::Port, "the manager port").default("5038"),
        Field::new("auth.username", Kind::Text, "the manager account")
            .aliases(&["user"])
            .server_name("section of manager.conf")
            .required(),
        Field::new("auth.password", Kind::Secret, "its secret")
            .aliases(&["secret"])
            .required(),
        Field::new("options.connect_timeout", Kind::DURATION, "until logged in").default("15s"),
        Field::new("options.tls", Kind::Bool, "whether the connection is TLS").default("false"),
        Field::new(
            "options.queue",
            Kind::Integer { min: 1, max: 100 },
            "commands waiting",
        )
        .default("10"),
        Field::new(
            "options.login",
            Kind::Enum(&["md5", "plain"]),
            "how to log in",
        )
        .default("md5"),
        Field::new("options.events", Kind::List, "classes of events").default("call,system"),
        Field::new("options.header", Kind::Text, "the header line")
            .default("")
            .may_be_empty(),
        Field::new("options.variables", Kind::Map, "variables of each call"),
        Field::parsed::<DialTemplate>("options.dial", DialTemplate::EXPECTED, "the trunk"),
        Field::deserialised::<NumberFormat>(
            "options.number_format",
            NumberFormat::EXPECTED,
            "how a number fills the dial template",
        )
        .default("e164"),
        Field::new(
            "options.jitter",
            Kind::Number { min: 0.0, max: 1.0 },
            "a part of the wait",
        ),
        Field::new("options.api", Kind::Url, "another way in"),
        Field::new("options.spool", Kind::Path, "a directory").default_note("the system's own"),
    ],
);

const SCHEMES: &[UrlScheme] = &[
    UrlScheme::new("ami", "asterisk"),
    UrlScheme::new("amis", "asterisk").with_options(&[("tls", "true")]),
];

#[derive(Debug, Deserialize)]
struct Config {
    host: String,
    port: u16,
    auth: Auth,
    options: Options,
}

#[derive(Debug, Deserialize)]
struct Auth {
    username: String,
    password: Secret,
}

#[derive(Debug, Deserialize)]
struct Options {
    #[serde(with = "duration")]
    connect_timeout: Duration,
    tls: bool,
    queue: u32,
    login: String,
    events: Vec<String>,
    header: String,
    number_format: NumberFormat,
    dial: Option<DialTemplate>,
}

fn minimal() -> Value {
    json!({ "auth": { "username": "fax", "password": "hunter2" } })
}

fn with(section: &str, key: &str, value: Value) -> Value {
    let mut config = minimal();
    match section {
        "" => config[key] = value,
        section => config[section][key] = value,
    }
    config
}

fn only_problem(config: &Value) -> ConfigError {
    let errors = TABLE.validate(config).unwrap_err();
    assert_eq!(errors.len(), 1, "{errors}");
    errors.first().clone()
}

#[test]
fn the_table_itself_has_no_fault() {
    assert_eq!(TABLE.faults(), Vec::<String>::new());
    const WRONG: FieldTable = FieldTable::new(
        &["x"],
        &[
            Field::new("port", Kind::Port, "").default("0"),
            Field::new("auth.port", Kind::Text, "twice"),
            Field::new("other.x", Kind::Text, "no section"),
        ],
    );
    assert_eq!(WRONG.faults().len(), 4);
}

#[test]
fn json_and_yaml_give_the_same() {
    let json = r#"{ "type": "elastix", "host": "pbx.example.org", "port": 5039,
        "auth": { "user": "fax", "secret": "hunter2" }, "realm": "n/a",
        "options": { "connect_timeout": "2m", "tls": true, "dial": "PJSIP/{number}@trunk" } }"#;
    let yaml = "type: elastix\nhost: pbx.example.org\nport: 5039\nauth:\n  user: fax\n  secret: \
        hunter2\nrealm: n/a\noptions:\n  connect_timeout: 120\n  tls: yes\n  dial: \
        PJSIP/{number}@trunk\n";
    for value in [
        serde_json::from_str::<Value>(json).unwrap(),
        serde_yaml_ng::from_str::<Value>(yaml).unwrap(),
    ] {
        let config: Config = TABLE.load(&value).unwrap();
        assert_eq!(
            (config.host.as_str(), config.port),
            ("pbx.example.org", 5039)
        );
        assert_eq!(config.auth.username, "fax");
        assert_eq!(config.auth.password.expose(), "hunter2");
        assert_eq!(config.options.connect_timeout, Duration::from_secs(120));
        assert!(config.options.tls);
        assert_eq!(
            config.options.dial.unwrap().to_string(),
            "PJSIP/{number}@trunk"
        );
    }
}

#[test]
fn defaults_of_the_table_are_the_real_ones() {
    let config: Config = TABLE.load(&minimal()).unwrap();
    assert_eq!((config.host.as_str(), config.port), ("127.0.0.1", 5038));
    let options = config.options;
    assert_eq!(options.connect_timeout, Duration::from_secs(15));
    assert_eq!(
        (options.tls, options.queue, options.login.as_str()),
        (false, 10, "md5")
    );
    assert_eq!(options.events, ["call", "system"]);
    assert_eq!(options.header, "");
    assert_eq!(options.number_format, NumberFormat::E164);
    assert!(options.dial.is_none());
}

#[test]
fn names_and_aliases_are_alike_at_the_top_and_in_their_section() {
    for config in [
        json!({ "username": "fax", "password": "hunter2" }),
        json!({ "user": "fax", "auth": { "secret": "hunter2" } }),
        json!({ "auth": { "user": "fax", "password": "hunter2" }, "username": null }),
    ] {
        let config: Config = TABLE.load(&config).unwrap();
        assert_eq!(config.auth.username, "fax");
        assert_eq!(config.auth.password.expose(), "hunter2");
    }
    let top: Config = TABLE.load(&with("", "queue", json!(5))).unwrap();
    assert_eq!(top.options.queue, 5);
    let query: Config = TABLE.load(&with("options", "host", json!("pbx"))).unwrap();
    assert_eq!(query.host, "pbx");
}

#[test]
fn a_field_given_twice_is_an_error() {
    let problem = only_problem(&with("", "user", json!("other")));
    assert_eq!(problem.path, "auth.username");
    assert_eq!(problem.problem, "given already as `user`");
}

#[test]
fn a_number_that_may_be_a_telephones_is_not_told() {
    for number in [
        json!(15_550_104_477_u64),
        json!(-15_550_104_477_i64),
        json!(1e15),
    ] {
        let problem = only_problem(&with("options", "queue", number));
        assert_eq!(
            (problem.path.as_str(), problem.problem.as_str()),
            ("options.queue", "out of range")
        );
    }
}

#[test]
fn every_problem_is_reported_at_once() {
    let errors = TABLE
        .validate(&json!({
            "type": "yate", "port": 70000, "hots": "x",
            "auth": { "user": 7 },
            "options": { "connect_timeout": "soon", "queue": 0, "login": "none", "tls": 1 },
        }))
        .unwrap_err();
    let paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "type",
            "hots",
            "port",
            "auth.user",
            "auth.password",
            "options.connect_timeout",
            "options.tls",
            "options.queue",
            "options.login",
        ]
    );
    let text = errors.to_string();
    assert_eq!(text.lines().count(), 9);
    for line in [
        "type: another type; expected asterisk or elastix",
        "hots: unknown key; expected a known one, the nearest is `host`",
        "port: 70000; expected a number from 1 to 65535",
        "auth.user: a number, not text: put it in quotes; expected text without control characters",
        "auth.password: missing; expected a secret as text without control characters",
        "options.login: not a known word; expected one of md5, plain",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
    }
}

#[test]
fn an_unknown_key_names_the_nearest_known_one() {
    for (section, key, nearest) in [
        ("auth", "usrname", "auth.username"),
        ("auth", "passwort", "auth.password"),
        ("options", "conect_timeout", "options.connect_timeout"),
        ("", "prot", "port"),
    ] {
        let problem = only_problem(&with(section, key, json!("x")));
        assert_eq!(problem.problem, "unknown key");
        assert!(
            problem.expected.contains(&format!("`{nearest}`")),
            "{problem}"
        );
    }
    let problem = only_problem(&with("auth", "a\r\nb", json!("x")));
    assert_eq!(problem.path, "auth.a\\r\\nb");
}

#[test]
fn keys_of_other_types_are_ignored() {
    let config = json!({
        "username": "fax", "password": "hunter2",
        "realm": "n/a", "token": 7, "auth": { "domain": null, "role": [] },
    });
    assert!(TABLE.validate(&config).is_ok());
    assert!(TABLE.examine(&config).value.get("realm").is_none());
}

#[test]
fn values_out_of_range_or_of_the_wrong_form_are_refused() {
    for (section, key, value) in [
        ("", "port", json!(0)),
        ("", "port", json!(65536)),
        ("", "port", json!(-1)),
        ("", "port", json!("50.38")),
        ("", "port", json!(5038.5)),
        ("", "host", json!("")),
        ("", "host", json!("pbx:5038")),
        ("", "host", json!("user@pbx")),
        ("", "host", json!("a b")),
        ("auth", "username", json!("")),
        ("auth", "username", json!("fax\r\nAction: Logoff")),
        ("auth", "password", json!("a\nb")),
        ("auth", "password", json!(["hunter2"])),
        ("options", "connect_timeout", json!("0s")),
        ("options", "connect_timeout", json!(-3)),
        ("options", "connect_timeout", json!(u64::MAX)),
        ("options", "dial", json!("PJSIP/trunk")),
        ("options", "number_format", json!({ "national": {} })),
        ("options", "variables", json!({ "a": 1 })),
        ("options", "variables", json!({ "a": "x\ny" })),
        ("options", "jitter", json!(1.5)),
        ("options", "api", json!("not a url")),
        ("options", "events", json!([1])),
        ("", "auth", json!("fax")),
    ] {
        let config = with(section, key, value);
        assert!(TABLE.validate(&config).is_err(), "{config}");
    }
    for value in [json!(null), json!([]), json!("x"), json!(7)] {
        assert!(TABLE.validate(&value).is_err());
    }
}

#[test]
fn numbers_and_booleans_may_be_text() {
    let config = json!({
        "user": "fax", "secret": "hunter2", "port": "5039",
        "options": { "tls": "Yes", "queue": "7", "login": "PLAIN", "connect_timeout": "7" },
    });
    let config: Config = TABLE.load(&config).unwrap();
    assert_eq!(
        (config.port, config.options.tls, config.options.queue),
        (5039, true, 7)
    );
    assert_eq!(config.options.login, "plain");
    assert_eq!(config.options.connect_timeout, Duration::from_secs(7));
}

#[test]
fn rules_of_the_owner_join_the_list() {
    let rule = |value: &Value| {
        let local = value["host"] == json!("127.0.0.1");
        local
            .then(|| ConfigError::new("host", "this machine", "another"))
            .into_iter()
            .collect()
    };
    let errors = TABLE
        .load_with::<Config>(&with("", "port", json!(0)), rule)
        .unwrap_err();
    assert_eq!(errors.len(), 2);
}

#[test]
fn a_url_gives_the_same_value() {
    let url = "amis://fax:p%40ss%23%2B+@pbx.example.org:5039?connect_timeout=2m&header=+49%2030";
    let config: Config = TABLE.load(&from_url_text(url, SCHEMES).unwrap()).unwrap();
    assert_eq!(
        (config.host.as_str(), config.port),
        ("pbx.example.org", 5039)
    );
    assert_eq!(config.auth.username, "fax");
    assert_eq!(config.auth.password.expose(), "p@ss#++");
    assert_eq!(config.options.connect_timeout, Duration::from_secs(120));
    assert_eq!(config.options.header, "+49 30");
    assert!(config.options.tls);
    let short: Config = TABLE
        .load(&from_url_text("ami://fax:hunter2@[::1]", SCHEMES).unwrap())
        .unwrap();
    assert_eq!((short.host.as_str(), short.port), ("::1", 5038));
    let sections = from_url_text("ami://fax@pbx?auth.password=p%2B&queue=5", SCHEMES).unwrap();
    let config: Config = TABLE.load(&sections).unwrap();
    assert_eq!(config.auth.password.expose(), "p+");
    assert_eq!(config.options.queue, 5);
}

#[test]
fn a_wrong_url_is_refused_without_its_secret() {
    for url in [
        "esl://fax:hunter2@pbx",
        "ami://fax:hunter2#x@pbx",
        "ami://fax:hunter2%zz@pbx",
        "ami://fax:hunter2%ff@pbx",
        "ami://fax:hunter2@pbx:99999",
        "ami://fax:hunter2@pbx?tls=true&tls=false",
        "amis://fax:hunter2@pbx?tls=false",
        "hunter2",
    ] {
        let errors = from_url_text(url, SCHEMES).unwrap_err();
        assert!(!format!("{errors} {errors:?}").contains("hunter2"), "{url}");
    }
    let unknown = from_url_text("ami://fax:hunter2@pbx/path?x=hunter2", SCHEMES).unwrap();
    let errors = TABLE.validate(&unknown).unwrap_err();
    assert_eq!(errors.len(), 2);
    assert!(!errors.to_string().contains("hunter2"));
}

#[test]
fn the_documentation_has_a_row_a_field() {
    let table = TABLE.markdown();
    assert_eq!(table.lines().count(), 2 + TABLE.fields().len());
    let row = "| `auth.username` (`user`) | text | required | section of manager.conf | the manager account |";
    assert!(table.lines().any(|line| line == row), "{table}");
    assert!(
        table.contains("| `options.login` | `md5`, `plain` | `md5` |"),
        "{table}"
    );
}

#[test]
fn a_loaded_secret_does_not_show() {
    let config: Config = TABLE.load(&minimal()).unwrap();
    let shown = format!("{config:?} {:?}", TABLE.examine(&minimal()));
    assert!(!shown.contains("hunter2") && shown.contains(MASK));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("auth".to_owned()),
        Just("options".to_owned()),
        Just("port".to_owned()),
        Just("user".to_owned()),
        Just("password".to_owned()),
        Just("connect_timeout".to_owned()),
        Just("number_format".to_owned()),
        ".{0,8}",
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_value_is_loaded_or_refused_on_lines_of_its_own(value in any_json()) {
        if let Err(errors) = TABLE.load::<Config>(&value) {
            prop_assert_eq!(errors.to_string().lines().count(), errors.len());
        }
    }

    #[test]
    fn what_was_loaded_loads_again(
        user in "[ -~]{0,12}", secret in "\\PC{0,12}", port in any::<u32>(), wait in any::<u64>(),
    ) {
        let given = json!({
            "user": user, "secret": secret, "port": port, "options": { "connect_timeout": wait },
        });
        let examined = TABLE.examine(&given);
        if examined.problems.is_empty() {
            let again = TABLE.examine(&examined.value);
            prop_assert_eq!(again.problems, []);
            prop_assert_eq!(again.value, examined.value);
        }
    }

    #[test]
    fn a_secret_is_in_no_error(secret in "[a-z]{20}", place in 0..6u8) {
        let config = match place {
            0 => json!({ "type": secret }),
            1 => json!({ "port": secret }),
            2 => json!({ "auth": secret }),
            3 => json!({ "options": { "login": secret, "connect_timeout": secret, "tls": secret } }),
            4 => json!({ "secret": format!("{secret}\n") }),
            _ => json!({ "options": { "api": secret, "number_format": secret, "dial": secret } }),
        };
        let errors = TABLE.validate(&config).unwrap_err();
        let error = crate::Error::from(errors.clone());
        let shown = format!("{errors} {errors:?} {error} {error:?}");
        prop_assert!(!shown.contains(&secret));
    }

    #[test]
    fn user_and_secret_survive_the_url(user in "\\PC{1,12}", secret in "\\PC{1,12}") {
        let mut url = ::url::Url::parse("ami://pbx").unwrap();
        url.set_username(&user.replace('%', "%25")).unwrap();
        url.set_password(Some(&secret.replace('%', "%25"))).unwrap();
        let value = from_url(&url, SCHEMES).unwrap();
        prop_assert_eq!(&value["auth"]["username"], &user);
        prop_assert_eq!(&value["auth"]["password"], &secret);
    }
}
