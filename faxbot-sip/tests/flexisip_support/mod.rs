//! A mocked account manager and clients of it, without a socket.
#![allow(dead_code, reason = "each test target uses its part")]

use std::sync::Arc;

use faxbot_core::{
    Effect, Error, ErrorKind, clock::TokioClock, http::HttpClient, random::SeededRandom,
};
use faxbot_sip::adapter::flexisip::{FlexiApi, FlexiLogin, FlexisipAdapter, FlexisipConfig};
use faxbot_testkit::server::{flexisip::MockFlexisip, http::MockHttp};

pub(crate) type Mock = MockHttp<MockFlexisip>;

pub(crate) fn api(mock: &Mock, login: &FlexiLogin) -> FlexiApi {
    let http: Arc<dyn HttpClient> = mock.client();
    FlexiApi::new(
        http,
        mock.url(),
        login,
        TokioClock::shared(),
        SeededRandom::shared(7),
    )
    .unwrap()
}

pub(crate) fn key(key: &str) -> FlexiLogin {
    FlexiLogin::api_key(key)
}

/// A client of the admin.
pub(crate) fn admin(mock: &Mock) -> FlexiApi {
    api(mock, &key(MockFlexisip::ADMIN_KEY))
}

/// A client of the account without rights.
pub(crate) fn user(mock: &Mock) -> FlexiApi {
    api(mock, &key(MockFlexisip::USER_KEY))
}

pub(crate) fn address(user: &str) -> String {
    format!("{user}@{}", MockFlexisip::DOMAIN)
}

/// The account without rights, by its password.
pub(crate) fn digest(password: &str) -> FlexiLogin {
    FlexiLogin::digest(address(MockFlexisip::USER), password)
}

/// `credentials` as they stand in a URL, up to the `@`.
pub(crate) fn config(mock: &Mock, credentials: &str) -> FlexisipConfig {
    let url = mock.url();
    let (host, port) = (url.host_str().unwrap(), url.port().unwrap());
    let domain = MockFlexisip::DOMAIN;
    FlexisipConfig::from_url(&format!(
        "flexisip://{credentials}{host}:{port}?tls=false&poll=100ms&request_timeout=1s&domain={domain}"
    ))
    .unwrap()
}

pub(crate) fn adapter(mock: &Mock, credentials: &str) -> FlexisipAdapter {
    FlexisipAdapter::with_http(
        config(mock, credentials),
        mock.client(),
        TokioClock::shared(),
    )
}

pub(crate) fn end(error: &Error) -> (ErrorKind, Effect) {
    (error.kind(), error.effect())
}
