//! What becomes of each failure, and of each refusal that was recorded.

use faxbot_core::{Effect, Error, ErrorKind, http::HttpResponse};
use http::{HeaderMap, StatusCode, header::CONTENT_LENGTH};

use super::failure::Call;
use crate::protocol::jsonrpc::{AnswerError, RpcError};

const BOTH: [Call; 2] = [
    Call {
        operation: "hangup",
        acts: false,
    },
    Call {
        operation: "hangup",
        acts: true,
    },
];

#[test]
fn each_refusal_has_its_kind_and_happened_certainly_not() {
    use ErrorKind as E;
    let rows = [
        (-32601, "Method not found", E::Unsupported),
        (500, "Method Not Found", E::Unsupported),
        (-32602, "Invalid params", E::InvalidRequest),
        (-32600, "Invalid Request", E::InvalidRequest),
        (-32700, "Parse error", E::InvalidRequest),
        (400, "Need a Callid ,from tag ,to tag", E::InvalidRequest),
        (500, "Invalid parameters", E::InvalidRequest),
        (401, "Unauthorized", E::Authentication),
        (403, "Forbidden", E::PermissionDenied),
        (404, "Dialog not found", E::NotFound),
        (404, "Requested Dialog not found", E::NotFound),
        (481, "Call/Transaction Does Not Exist", E::NotFound),
        (500, "AOR not found in location table", E::NotFound),
        (476, "Unresolvable destination", E::Rejected),
        (480, "Temporarily Unavailable", E::Rejected),
        (491, "Request Pending", E::Rejected),
        (500, "Failed to initialize scenario", E::Rejected),
        (200, "Contacts already synced", E::Rejected),
        (0, "", E::Rejected),
    ];
    for (code, message, kind) in rows {
        for call in BOTH {
            let failure = call.refused(RpcError::new(code, message), None);
            assert_eq!(failure.refused().map(|it| it.code), Some(code));
            assert_eq!((failure.kind(), failure.effect()), (kind, Effect::NoEffect));
            assert_eq!(failure.is_unknown_method(), kind == E::Unsupported);
            let error = failure.into_error();
            assert_eq!(
                (error.kind(), error.effect()),
                (kind, Effect::NoEffect),
                "{code}"
            );
            assert_eq!(error.native_code(), Some(code.to_string().as_str()));
            assert_eq!(error.native_text().unwrap_or_default(), message);
        }
    }
}

#[test]
fn a_time_out_of_the_server_itself_tells_nothing_of_an_act() {
    for call in BOTH {
        let error = call
            .refused(RpcError::new(408, "Timeout"), None)
            .into_error();
        let effect = if call.acts {
            Effect::Unknown
        } else {
            Effect::NoEffect
        };
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, effect));
    }
}

#[test]
fn a_server_that_lost_its_answer_tells_nothing_of_an_act() {
    use ErrorKind as E;
    let (null, param) = (
        "Command handler returned null",
        "Failed to handle parameter",
    );
    let rows = [
        (-32000, Some(null), false),
        (-32000, None, false),
        (-32000, Some(param), true),
        (-32603, None, false),
        (-32603, Some(param), false),
    ];
    for (code, data, certain) in rows {
        for call in BOTH {
            let mut refused = RpcError::new(code, "Server error");
            if let Some(data) = data {
                refused = refused.with_data(data);
            }
            let failure = call.refused(refused, None);
            let (kind, effect) = if certain || !call.acts {
                (E::Rejected, Effect::NoEffect)
            } else {
                (E::OutcomeUnknown, Effect::Unknown)
            };
            assert_eq!(
                (failure.kind(), failure.effect()),
                (kind, effect),
                "{code} {data:?}, acts: {}",
                call.acts
            );
            let error = failure.into_error();
            assert_eq!((error.kind(), error.effect()), (kind, effect));
            assert_eq!(error.native_code(), Some(code.to_string().as_str()));
        }
    }
}

#[test]
fn a_status_whose_body_was_cut_is_not_taken_for_a_wrong_path() {
    for status in [400, 404, 410] {
        for (body, announced, cut) in [("", "0", false), ("", "87", true), ("{\"json", "", true)] {
            let mut headers = HeaderMap::new();
            if !announced.is_empty() {
                headers.insert(CONTENT_LENGTH, announced.parse().unwrap());
            }
            for complete in [true, false] {
                let response = HttpResponse::new(StatusCode::from_u16(status).unwrap(), body)
                    .with_headers(headers.clone())
                    .with_complete(complete);
                for call in BOTH {
                    let error = call.status(&response).into_error();
                    let says_so = error.message() == "the server's answer was cut";
                    assert_eq!(says_so, cut && !complete, "{status} {body:?} {announced}");
                    assert_eq!(error.effect(), Effect::NoEffect);
                    assert_eq!(error.native_code(), Some(status.to_string().as_str()));
                    if says_so {
                        assert_eq!(error.kind(), ErrorKind::Protocol);
                    }
                }
            }
        }
    }
}

#[test]
fn a_status_without_an_answer_is_no_refusal_of_a_call() {
    use ErrorKind as E;
    let rows = [
        (202, E::Protocol, E::Protocol, true),
        (400, E::InvalidRequest, E::InvalidRequest, false),
        (401, E::Authentication, E::Authentication, false),
        (403, E::PermissionDenied, E::PermissionDenied, false),
        (404, E::Protocol, E::Protocol, false),
        (405, E::Rejected, E::Rejected, false),
        (500, E::ServerBusy, E::OutcomeUnknown, true),
        (503, E::ServerBusy, E::OutcomeUnknown, true),
    ];
    for (status, read, act, unknown) in rows {
        let response = HttpResponse::new(StatusCode::from_u16(status).unwrap(), "");
        for (call, kind) in BOTH.into_iter().zip([read, act]) {
            let failure = call.status(&response);
            assert!(failure.refused().is_none());
            assert_eq!(
                (failure.http_status(), failure.kind()),
                (Some(status), kind)
            );
            let unknown = unknown && call.acts;
            assert_eq!(failure.effect() == Effect::Unknown, unknown, "{status}");
            let error = failure.into_error();
            assert_eq!(error.native_code(), Some(status.to_string().as_str()));
        }
    }
}

#[test]
fn what_is_no_answer_leaves_an_act_unknown() {
    for (call, kind) in BOTH
        .into_iter()
        .zip([ErrorKind::Protocol, ErrorKind::OutcomeUnknown])
    {
        let failure = call.no_answer(AnswerError::MissingId);
        assert_eq!(failure.to_string(), AnswerError::MissingId.to_string());
        let error = failure.into_error();
        let effect = if call.acts {
            Effect::Unknown
        } else {
            Effect::NoEffect
        };
        assert_eq!((error.kind(), error.effect()), (kind, effect));
    }
}

#[test]
fn nothing_that_the_server_said_shows() {
    let refused = RpcError::new(404, "no sip:+15551234567").with_data("+15551234567");
    let failure = BOTH[0].refused(refused, None);
    let mut shown = format!("{failure} {failure:?}");
    let error = Error::from(failure);
    assert_eq!(
        error.native_text(),
        Some("no sip:+15551234567: +15551234567")
    );
    shown += &format!("{error} {error:?}");
    assert!(!shown.contains("555"), "{shown}");
}
