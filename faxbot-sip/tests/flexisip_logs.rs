//! What the client of FlexiAPI and its adapter log, and what their types show. Alone in its program: a
//! subscriber counts for all threads of one.
#![cfg(test)]
#![cfg(feature = "flexisip")]

mod flexisip_support;

use std::{fmt::Write as _, sync::Arc, time::Duration};

use faxbot_core::{
    Private,
    clock::TokioClock,
    http::ReqwestClient,
    message::{MessageContent, MessageKind},
    random::SeededRandom,
    sip::{SipAdapter as _, SipMessage},
};
use faxbot_sip::adapter::flexisip::{
    AccountUpdate, FlexiApi, FlexisipAdapter, FlexisipConfig, NewAccount, Owner,
};
use faxbot_testkit::{
    fixtures::private,
    logs::{self, Capture},
    server::{
        flexisip::{MockDevice, MockFlexisip},
        http::{Fault, FaultKind},
    },
};
use flexisip_support::{address, digest, key};
use serde_json::json;

#[tokio::test]
async fn no_log_no_error_and_no_debug_form_shows_anything_private() {
    let capture = Capture::global().expect("the first subscriber of this process");
    let mock = MockFlexisip::new().with_daemon().start().await;
    mock.vendor(|it| it.register(2, MockDevice::new("urn:uuid:1", private::CALLER_NAME)));
    let mut shown = String::new();

    for login in [
        digest(MockFlexisip::PASSWORD),
        digest("wrong"),
        key(MockFlexisip::USER_KEY),
        key(MockFlexisip::ADMIN_KEY),
    ] {
        let http = Arc::new(ReqwestClient::builder().build().unwrap());
        let (clock, random) = (TokioClock::shared(), SeededRandom::shared(7));
        let api = FlexiApi::new(http, mock.url(), &login, clock, random).unwrap();
        let mut new = NewAccount::new(private::CALLER_NAME, MockFlexisip::PASSWORD);
        new.phone = Some(Private::new(private::NUMBER.to_owned()));
        new.email = Some(Private::new(private::HEADER.to_owned()));
        write!(shown, "{login:?} {api:?} {new:?}").unwrap();
        let me = api.me().await;
        if let Ok(me) = &me {
            write!(shown, "{:?}", AccountUpdate::of(me)).unwrap();
        }
        write!(shown, "{me:?} {:?}", api.devices(Owner::Me).await).unwrap();
        write!(
            shown,
            "{:?}",
            api.search_by_sip(&address(private::SIP_USER)).await
        )
        .unwrap();
        write!(shown, "{:?}", api.search_by_email(private::HEADER).await).unwrap();
        write!(
            shown,
            "{:?}",
            api.vcard(Owner::Me, private::FILE_NAME).await
        )
        .unwrap();
        write!(shown, "{:?}", api.call_statistics(Owner::Me, 2).await).unwrap();
        write!(
            shown,
            "{:?}",
            api.send_message(private::SIP_USER, "x").await
        )
        .unwrap();
        let refused = api.create_account(&new).await;
        if let Err(error) = &refused {
            let source = std::error::Error::source(error);
            write!(shown, "{error} {source:?}").unwrap();
        }
        write!(shown, "{refused:?}").unwrap();
        let quoting = format!(
            r#"{{"message":"{0} is taken","errors":{{"phone":["{0} is taken"]}}}}"#,
            private::NUMBER
        );
        for fault in [
            FaultKind::Status {
                code: 422,
                retry_after: None,
                body: quoting.clone(),
            },
            FaultKind::Status {
                code: 200,
                retry_after: None,
                body: quoting,
            },
            FaultKind::CutAfterEffect,
            FaultKind::TruncatedBody,
        ] {
            mock.fault(Fault::new(fault));
            let error = api.provision(Owner::Me).await.unwrap_err();
            write!(
                shown,
                "{error} {error:?} {:?}",
                std::error::Error::source(&error)
            )
            .unwrap();
        }
        mock.no_faults();
    }

    let url = mock.url();
    let config = FlexisipConfig::from_value(&json!({
        "type": "flexisip",
        "host": url.host_str(),
        "port": url.port(),
        "realm": MockFlexisip::DOMAIN,
        "auth": { "api_key": MockFlexisip::ADMIN_KEY },
        "options": { "tls": false, "poll": "100ms" },
    }))
    .unwrap();
    write!(shown, "{config:?}").unwrap();
    let adapter = FlexisipAdapter::new(config);
    adapter.connect().await.unwrap();
    for to in [private::NUMBER, "bob"] {
        let content = MessageContent::text(MessageKind::Sip, private::MESSAGE);
        let message = SipMessage::new(to.parse().unwrap(), content);
        write!(shown, "{:?}", adapter.send_message(message).await).unwrap();
    }
    mock.unreachable(true);
    tokio::time::sleep(Duration::from_millis(500)).await;
    write!(shown, "{adapter:?} {:?}", adapter.health_check().await).unwrap();
    adapter.disconnect(Duration::from_secs(1)).await.unwrap();

    let logged = capture.text();
    assert!(logged.contains("answered") && logged.contains("the server is lost"));
    for (what, text) in [("logged", &logged), ("shown", &shown)] {
        let leaks = logs::leaks(text);
        assert!(leaks.is_empty(), "{what}: {leaks:?}");
        // Names that no log of a SIP server can leave out are not among the numbers and secrets.
        for name in [private::SIP_USER, private::CALLER_NAME, private::FILE_NAME] {
            assert!(!text.contains(name), "{what}: {name}");
        }
    }
    let lines = logs::private_lines(&logged);
    assert!(lines.is_empty(), "{lines:#?}");
}
