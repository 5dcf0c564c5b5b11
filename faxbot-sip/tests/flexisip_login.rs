//! Key, bearer and digest at FlexiAPI, and what happens to each when it ends.
#![cfg(test)]
#![cfg(feature = "flexisip")]

mod flexisip_support;

use std::sync::Arc;

use faxbot_core::{Effect, ErrorKind, clock::TokioClock, http::HttpClient, random::SeededRandom};
use faxbot_sip::adapter::flexisip::{FlexiApi, FlexiLogin, Owner};
use faxbot_testkit::server::flexisip::MockFlexisip;
use flexisip_support::{admin, api, digest, end, key};

#[tokio::test(start_paused = true)]
async fn every_request_says_who_asks_and_wants_json() {
    for (login, header) in [
        (key(MockFlexisip::USER_KEY), "x-api-key"),
        (FlexiLogin::bearer("token"), "authorization"),
        (digest(MockFlexisip::PASSWORD), "from"),
    ] {
        let mock = MockFlexisip::new().bearer("token", 2).in_memory();
        let api = api(&mock, &login);
        for _ in 0..2 {
            assert_eq!(api.me().await.unwrap().id, 2);
        }
        for request in mock.requests() {
            assert_eq!(request.header("accept"), Some("application/json"));
            assert_eq!(request.header("content-type"), Some("application/json"));
            assert!(request.header(header).is_some(), "{header}");
        }
        assert!(!format!("{login:?} {api:?}").contains(MockFlexisip::PASSWORD));
    }
}

#[tokio::test(start_paused = true)]
async fn digest_goes_by_each_algorithm_and_counts() {
    for algorithms in [
        &["MD5"][..],
        &["SHA-256"],
        &["MD5", "SHA-256"],
        &["SHA-256", "MD5"],
    ] {
        let mock = MockFlexisip::new().algorithms(algorithms).in_memory();
        let api = api(&mock, &digest(MockFlexisip::PASSWORD));
        for _ in 0..5 {
            api.me().await.unwrap();
        }
        // A challenge, and then one request each.
        assert_eq!(mock.requests().len(), 6);
        assert_eq!(mock.vendor(|it| (it.digests(), it.replays())), (5, 0));
        let strongest = algorithms.iter().max().unwrap();
        let sent = mock.requests();
        let header = sent[5].header("authorization").unwrap();
        assert!(
            header.contains(&format!("algorithm={strongest}")),
            "{header}"
        );
        assert!(header.contains("nc=00000005"), "{header}");
    }
}

#[tokio::test(start_paused = true)]
async fn digest_leaves_the_query_out_as_the_server_compares_the_path() {
    let mock = MockFlexisip::new().in_memory();
    let api = api(&mock, &digest(MockFlexisip::PASSWORD));
    api.call_statistics(Owner::Me, 2).await.unwrap();
    assert_eq!(mock.requests()[1].query("page"), Some("2"));
}

#[tokio::test(start_paused = true)]
async fn many_calls_at_once_are_never_taken_for_replays() {
    let mock = MockFlexisip::new().in_memory();
    let api = api(&mock, &digest(MockFlexisip::PASSWORD));
    for _ in 0..3 {
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let api = api.clone();
            calls.spawn(async move { api.me().await.map(drop) });
        }
        while let Some(done) = calls.join_next().await {
            done.unwrap().unwrap();
        }
    }
    assert_eq!(mock.vendor(|it| (it.digests(), it.replays())), (60, 0));
    assert_eq!(mock.requests().len(), 80);
}

#[tokio::test(start_paused = true)]
async fn a_challenge_that_the_server_forgot_costs_one_more_request() {
    let mock = MockFlexisip::new().in_memory();
    let api = api(&mock, &digest(MockFlexisip::PASSWORD));
    api.me().await.unwrap();
    mock.vendor(|it| it.forget_nonces());
    api.change_password(
        Some(&MockFlexisip::PASSWORD.into()),
        &MockFlexisip::PASSWORD.into(),
    )
    .await
    .unwrap();
    assert_eq!(mock.requests().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn wrong_credentials_are_told_apart_from_missing_rights() {
    use ErrorKind::{Authentication, NotFound, PermissionDenied};
    let mock = MockFlexisip::new().bearer("token", 2).in_memory();
    let nobody = FlexiLogin::digest("nobody@sip.mock.example", "x");
    // What `me` and an admin route answer.
    let rows = [
        (key("wrong"), Authentication, Authentication),
        (key(""), Authentication, Authentication),
        (FlexiLogin::bearer("wrong"), Authentication, Authentication),
        (digest("wrong"), Authentication, Authentication),
        (nobody, NotFound, Authentication),
        (FlexiLogin::None, Authentication, Authentication),
    ];
    for (login, me, admin) in rows {
        let api = api(&mock, &login);
        let error = api.me().await.unwrap_err();
        assert_eq!(end(&error), (me, Effect::NoEffect), "{login:?}");
        let error = api.delete_account(2).await.unwrap_err();
        assert_eq!(end(&error), (admin, Effect::NoEffect), "{login:?}");
    }
    for login in [key(MockFlexisip::USER_KEY)] {
        let error = api(&mock, &login).accounts(1).await.unwrap_err();
        assert_eq!(error.kind(), PermissionDenied);
    }
    // Since 2.1 admin routes take a key alone, whoever asks: before, the others too.
    let login = FlexiLogin::digest("admin@sip.mock.example", MockFlexisip::PASSWORD);
    let error = api(&mock, &login).accounts(1).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.native_code()),
        (Authentication, Some("302"))
    );
    let mock = MockFlexisip::new().of_2_0().in_memory();
    assert_eq!(api(&mock, &login).accounts(1).await.unwrap().total, 2);
}

#[tokio::test(start_paused = true)]
async fn a_blocked_account_and_an_ended_space_are_refused() {
    let mock = MockFlexisip::new().in_memory();
    admin(&mock).block_account(2).await.unwrap();
    let error = api(&mock, &key(MockFlexisip::USER_KEY))
        .me()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert_eq!(error.native_text(), Some("Account blocked"));
    mock.vendor(|it| it.set_expired(true));
    let error = admin(&mock).ping().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
}

#[test]
fn an_account_that_is_no_address_is_refused_before_anything_is_sent() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let _in = runtime.enter();
    let mock = MockFlexisip::new().in_memory();
    for account in ["alice", "a b@c", "a@b\r\nX-Other: c", "@b", "a@"] {
        let http: Arc<dyn HttpClient> = mock.client();
        let login = FlexiLogin::digest(account, "x");
        let made = FlexiApi::new(
            http,
            mock.url(),
            &login,
            TokioClock::shared(),
            SeededRandom::shared(7),
        );
        assert_eq!(
            made.unwrap_err().kind(),
            ErrorKind::InvalidRequest,
            "{account:?}"
        );
    }
}
