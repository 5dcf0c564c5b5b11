//! Calls that a real Asterisk 16 and 22 sends through a real Kamailio 5.6 and 6.1: both adapters have
//! one form of their records.

use std::time::Duration;

use crate::{
    real::{
        self, Asterisk, LIMIT,
        party::{Party, PartyBuilder},
        party_caller::register,
        within,
    },
    server::{Kamailio, Version},
    watch::{only_record, wait_none, wait_one},
};
use faxbot_core::{
    Private, Timestamp,
    address::PhoneNumber,
    sip::{
        AdapterKind, CallRecord, CallRequest, CallState, Disposition, HangupOutcome,
        SipAdapter as _,
    },
};
use serde_json::json;

crate::on_both_kamailios!(
    an_answered_call_has_one_form_of_record,
    a_call_that_is_not_answered_has_one_form_of_record,
);

/// What happens to the call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    WeHangUpAtAsterisk,
    WeHangUpAtKamailio,
    ThePhoneHangsUp,
    Busy,
    WeGiveUp,
}

/// One call of Asterisk by way of Kamailio, as both adapters recorded it: Asterisk's and Kamailio's.
async fn records(version: Version, phone: PartyBuilder, end: End) -> (CallRecord, CallRecord) {
    let asterisk = match version {
        Version::V5_6 => real::Version::V16,
        Version::V6_1 => real::Version::V22,
    };
    let (asterisk, kamailio) = tokio::join!(
        Asterisk::start(asterisk, &[]),
        Kamailio::start(version, &[])
    );
    let config = asterisk.config(&json!({ "sip_dial": "PJSIP/out/{uri}" }));
    let placing = real::connected(config).await;
    let proxy = kamailio.adapter().await;
    let phone = phone.start(&kamailio).await;
    assert_eq!(register(&kamailio, "desk", phone.port(), 60).await, 200);
    let desk = kamailio.uri_of("desk");
    let caller: PhoneNumber = "+15551230001".parse().unwrap();
    let request = CallRequest::dial(desk.parse().unwrap()).with_caller_id(caller);
    let call = placing.make_call(request).await.unwrap();
    match end {
        End::Busy => {}
        End::WeGiveUp => {
            phone.wait_ringing().await;
            wait_one(&proxy, CallState::Ringing).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            placing.hangup(&call.call_ref()).await.unwrap();
        }
        _ => {
            within("the call is answered", LIMIT, call.answered())
                .await
                .unwrap();
            let seen = wait_one(&proxy, CallState::Connected).await;
            let at_asterisk = placing.get_status(&call.call_ref()).await.unwrap();
            assert_eq!(at_asterisk.state, seen.state);
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            match end {
                End::WeHangUpAtAsterisk => {
                    placing.hangup(&call.call_ref()).await.unwrap();
                }
                End::WeHangUpAtKamailio => {
                    let outcome = proxy.hangup(&seen.id.unwrap().into()).await.unwrap();
                    assert_eq!(outcome, HangupOutcome::Requested);
                }
                _ => phone.hang_up(),
            }
        }
    }
    let record = within("the call ends", LIMIT, call.ended()).await.unwrap();
    assert_eq!(only_record(&placing).await, record);
    wait_none(&proxy).await;
    (record, only_record(&proxy).await)
}

/// The members of a record; those of its causes are the ones that are known.
fn form(record: &CallRecord) -> Vec<String> {
    let value = serde_json::to_value(record).unwrap();
    let members = value.as_object().unwrap();
    let causes = members["causes"].as_object().unwrap();
    let known = ["sip_status", "q850", "native"];
    assert!(causes.keys().all(|name| known.contains(&name.as_str())));
    members.keys().cloned().collect()
}

/// Without a port, which has no place in `To` (RFC 3261 section 19.1.1): Asterisk leaves it out there.
fn user_and_host(uri: Option<&Private>) -> &str {
    let uri = uri.unwrap().expose();
    let (before, port) = uri.rsplit_once(':').unwrap();
    if port.parse::<u16>().is_ok() {
        before
    } else {
        uri
    }
}

/// To the second: both clocks are this machine's, and Kamailio's list has whole seconds.
fn same_moment(one: Option<Timestamp>, other: Option<Timestamp>) {
    let (Some(one), Some(other)) = (one, other) else {
        assert_eq!(one, other);
        return;
    };
    let apart = one.as_millisecond().abs_diff(other.as_millisecond());
    assert!(apart < 1_500, "{one} and {other}");
}

fn one_form(asterisk: &CallRecord, kamailio: &CallRecord) {
    assert_eq!(
        (&asterisk.server, &kamailio.server),
        (&AdapterKind::ASTERISK, &AdapterKind::KAMAILIO)
    );
    assert_eq!(form(asterisk), form(kamailio));
    let columns = |record: &CallRecord| record.to_csv().split(',').count();
    assert_eq!(columns(asterisk), columns(kamailio));
    assert_eq!(asterisk.direction, kamailio.direction);
    let called = user_and_host(asterisk.to.as_ref());
    assert_eq!(called, user_and_host(kamailio.to.as_ref()));
    // Each as its server names it: a number, and a URI.
    for record in [asterisk, kamailio] {
        let from = record.from.as_ref().map(|from| from.expose().as_str());
        assert!(
            from.is_some_and(|from| from.contains("15551230001")),
            "{from:?}"
        );
    }
    same_moment(Some(asterisk.start), Some(kamailio.start));
    same_moment(asterisk.answer, kamailio.answer);
    same_moment(asterisk.end, kamailio.end);
    for (one, other) in [
        (asterisk.duration_seconds, kamailio.duration_seconds),
        (asterisk.billable_seconds, kamailio.billable_seconds),
    ] {
        assert!(one.unwrap().abs_diff(other.unwrap()) <= 1);
    }
    assert_eq!(asterisk.disposition, kamailio.disposition);
}

async fn an_answered_call_has_one_form_of_record(version: Version) {
    for end in [
        End::WeHangUpAtAsterisk,
        End::WeHangUpAtKamailio,
        End::ThePhoneHangsUp,
    ] {
        let (asterisk, kamailio) = records(version, Party::answers(), end).await;
        one_form(&asterisk, &kamailio);
        assert_eq!(asterisk.disposition, Disposition::Answered);
        assert!(asterisk.answer.is_some() && kamailio.answer.is_some());
    }
}

async fn a_call_that_is_not_answered_has_one_form_of_record(version: Version) {
    let (asterisk, kamailio) = records(version, Party::refuses(486), End::Busy).await;
    one_form(&asterisk, &kamailio);
    assert_eq!(asterisk.disposition, Disposition::Busy);
    let (asterisk, kamailio) = records(version, Party::rings(), End::WeGiveUp).await;
    one_form(&asterisk, &kamailio);
    assert_eq!(asterisk.disposition, Disposition::Cancelled);
}
