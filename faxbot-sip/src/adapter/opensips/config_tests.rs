//! Tests of the configuration.

use serde_json::json;

use super::*;

fn config(url: &str) -> OpenSipsConfig {
    OpenSipsConfig::from_url(url).unwrap()
}

#[test]
fn a_url_says_where_the_server_is() {
    let config = config("opensips+http://192.0.2.1:8889/osips?events=udp:127.0.0.1:0&page=50");
    assert_eq!((config.host(), config.port()), ("192.0.2.1", 8889));
    assert_eq!(config.http.path, "/osips");
    assert_eq!(config.page, 50);
    assert_eq!(
        config.events,
        Some(EventSocket::Udp("127.0.0.1:0".parse().unwrap()))
    );
}

#[test]
fn the_defaults_are_those_of_the_server() {
    let config = config("opensips+http://");
    assert_eq!((config.host(), config.port()), ("127.0.0.1", 8888));
    assert_eq!(config.http.path, "/mi");
    assert_eq!(config.dial.to_string(), "sip:{number}@127.0.0.1");
    assert_eq!(config.sender, "sip:faxbot@127.0.0.1");
    assert!(config.http.tls.is_none() && config.events.is_none() && config.mi_datagram.is_none());
}

#[test]
fn https_and_a_realm_change_what_follows_from_them() {
    let config = config("opensips+https://pbx.example:8443/mi?domain=clinic.example");
    assert!(config.http.tls.is_some());
    assert_eq!(config.dial.to_string(), "sip:{number}@clinic.example");
    let value = json!({ "type": "opensips", "host": "::1", "realm": "n/a", "auth": { "user": "n", "secret": "p" } });
    let config = OpenSipsConfig::from_value(&value).unwrap();
    assert_eq!(config.dial.to_string(), "sip:{number}@[::1]");
}

#[test]
fn what_cannot_work_is_refused_with_what_would_be_right() {
    for (option, value, place) in [
        ("events", "udp:pbx.example:8090", "options.events"),
        ("events", "127.0.0.1:8090", "options.events"),
        ("events", "unix:events.sock", "options.events"),
        ("events", "udp:0.0.0.0:8090", "options.events_address"),
        ("events_address", "192.0.2.1:80/x", "options.events_address"),
        ("events_allow", "10.0.0.0/33", "options.events_allow"),
        ("event_names", "E_A B", "options.event_names"),
        ("mi_datagram", "udp:127.0.0.1:0", "options.mi_datagram"),
        ("mi_datagram", "tcp:127.0.0.1:1", "options.mi_datagram"),
        ("dial", "sip:1001@pbx", "options.dial"),
        ("dial", "{number}", "options.dial"),
        ("sender", "clinic", "options.sender"),
        ("max_request_bytes", "100", "options.max_request_bytes"),
        ("path", "mi", "options.path"),
        ("evnts", "udp:127.0.0.1:0", "options.evnts"),
    ] {
        let value = json!({ "type": "opensips", "options": { option: value } });
        let problems = OpenSipsConfig::validate(&value).unwrap_err().to_string();
        assert!(problems.contains(place), "{option}: {problems}");
    }
}

#[test]
fn every_form_of_a_socket_is_read() {
    for (text, wanted) in [
        (
            "udp:127.0.0.1:8090",
            EventSocket::Udp("127.0.0.1:8090".parse().unwrap()),
        ),
        (
            "udp:localhost:0",
            EventSocket::Udp("127.0.0.1:0".parse().unwrap()),
        ),
        (
            "tcp:[::1]:8090",
            EventSocket::Tcp("[::1]:8090".parse().unwrap()),
        ),
        (
            "unix:/run/events.sock",
            EventSocket::Unix("/run/events.sock".into()),
        ),
        (
            "given:rabbitmq:guest@127.0.0.1/faxbot",
            EventSocket::Given("rabbitmq:guest@127.0.0.1/faxbot".to_owned()),
        ),
    ] {
        assert_eq!(event_socket(text), Some(wanted));
    }
}

#[test]
fn no_credential_shows() {
    let config = config("opensips+http://ada:hunter2@127.0.0.1/mi");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn debug_shows_no_password_of_a_broker() {
    let config = config("opensips+http://pbx/mi?events=given:rabbitmq:user:geheim@127.0.0.1/x");
    let Some(EventSocket::Given(socket)) = &config.events else {
        panic!("no socket that is given")
    };
    assert!(socket.contains("geheim"));
    assert!(!format!("{config:?}").contains("geheim"));
}
