//! Events of the server, and what they mean.

use faxbot_core::{
    Private,
    sip::{Causes, Disposition, RawEvent},
};

use super::wire::{dialog::stage, lenient::as_number};
use crate::{
    adapter::{dialogs::Stage, history::Cdr},
    protocol::jsonrpc::Notification,
};

/// The events that tell of calls; without them they are seen by polling alone.
pub(super) const DIALOG: &str = "E_DLG_STATE_CHANGED";
/// Why a call was not answered: `do_accounting("evi", "missed")`.
pub(super) const MISSED: &str = "E_ACC_MISSED_EVENT";
/// How long an answered call was: `do_accounting("evi", "cdr")`.
pub(super) const CDR: &str = "E_ACC_CDR";
pub(super) const HOLD: &str = "E_CALL_HOLD";
pub(super) const TRANSFER: &str = "E_CALL_TRANSFER";
const REGISTERED: &str = "E_UL_AOR_INSERT";
const UNREGISTERED: &str = "E_UL_AOR_DELETE";

/// What the adapter subscribes to, as far as the server publishes it.
pub(super) const WANTED: &[&str] = &[
    DIALOG,
    MISSED,
    CDR,
    HOLD,
    TRANSFER,
    REGISTERED,
    UNREGISTERED,
];

/// What has no form of ours and is passed on as it is.
pub(super) const PASSED_ON: &[&str] = &[
    "E_UA_SESSION",
    "E_UL_CONTACT_INSERT",
    "E_UL_CONTACT_UPDATE",
    "E_UL_CONTACT_DELETE",
    "E_DISPATCHER_STATUS",
    "E_LOAD_BALANCER_STATUS",
    "E_CORE_THRESHOLD",
    "E_CORE_SR_STATUS_CHANGED",
];

/// A call as events name it: the pair survives what the server's own number does not.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Named {
    pub(super) call_id: String,
    pub(super) from_tag: String,
}

/// The meaning of an event.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Meaning {
    /// A dialog moved.
    Moved {
        call: Named,
        to_tag: Option<String>,
        stage: Stage,
    },
    /// A call, or one try of it, was not answered. The script may still call somebody else.
    Missed {
        call: Named,
        why: Why,
        parties: Parties,
    },
    /// The server's record of a call that was answered.
    Cdr { call: Named, cdr: Cdr },
    /// A leg is held, or no longer.
    Hold {
        call_id: String,
        leg: String,
        hold: bool,
        state: LegState,
    },
    /// A transfer goes on.
    Transfer {
        call_id: String,
        /// The Call-ID of the call to the new party.
        new_call_id: String,
        state: TransferState,
        /// `486 Busy Here`.
        status: Option<u16>,
    },
    /// An address of record came or went.
    Presence { aor: Private, there: bool },
    /// Something else.
    Other,
}

/// Who calls whom, where the script adds it to accounting (`extra_fields` of `acc`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Parties {
    pub(super) from: Option<Private>,
    pub(super) to: Option<Private>,
}

/// Why a call was not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Why {
    pub(super) status: Option<u16>,
    pub(super) words: String,
}

impl Why {
    pub(super) fn causes(&self) -> Causes {
        let mut causes = Causes::new();
        if let Some(status) = self.status {
            causes = causes.with_sip_status(status);
        }
        if !self.words.is_empty() {
            causes = causes.with_native(self.words.clone());
        }
        causes
    }

    /// Whether a party answered, or the server knew no other: 487 follows a CANCEL, and 408 a silence.
    pub(super) fn is_an_answer(&self) -> bool {
        !matches!(self.status, None | Some(408 | 487))
    }

    /// The word for the end where the status alone does not give it: 487 is a caller that gave up.
    pub(super) fn disposition(&self) -> Option<Disposition> {
        (self.status == Some(487)).then_some(Disposition::NoAnswer)
    }
}

/// How far the hold of a leg is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LegState {
    Begun,
    Done,
    Failed,
    Other,
}

/// How far a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TransferState {
    /// The call to the new party came.
    Begun,
    Done,
    Failed,
    /// A NOTIFY of the party that transfers.
    Notified,
    Other,
}

/// Reads an event. Its members may come as an object, as an array without names, or not at all
/// (`raise_event`): what is not there makes it [`Meaning::Other`].
pub(super) fn meaning(event: &Notification) -> Meaning {
    read(event).unwrap_or(Meaning::Other)
}

fn read(event: &Notification) -> Option<Meaning> {
    let text = |name: &str| event.text(name).map(|text| text.into_owned());
    let some = |name: &str| text(name).filter(|text| !text.is_empty());
    let number = |name: &str| event.get(name).and_then(as_number);
    // `do_accounting` counts any request, a REGISTER or MESSAGE too.
    let of_another = matches!(event.method.as_str(), MISSED | CDR)
        && some("method").is_some_and(|method| !method.eq_ignore_ascii_case("INVITE"));
    if of_another {
        return None;
    }
    let named = || {
        Some(Named {
            call_id: some("callid")?,
            from_tag: text("from_tag").unwrap_or_default(),
        })
    };
    Some(match event.method.as_str() {
        DIALOG => Meaning::Moved {
            call: named()?,
            to_tag: some("to_tag"),
            stage: stage(number("new_state")?)?,
        },
        MISSED => Meaning::Missed {
            call: named()?,
            why: Why {
                status: number("sip_code")
                    .and_then(|code| u16::try_from(code).ok())
                    .filter(|code| (300..700).contains(code)),
                words: text("sip_reason").unwrap_or_default(),
            },
            parties: Parties {
                from: some("from_uri").map(Private::new),
                to: some("to_uri").map(Private::new),
            },
        },
        CDR => {
            let seconds = |name: &str| number(name).and_then(|it| u64::try_from(it).ok());
            // Whole seconds, rounded up; `setuptime` is the time before the answer.
            let billable = seconds("duration")?;
            Meaning::Cdr {
                call: named()?,
                cdr: Cdr {
                    duration_seconds: billable
                        .saturating_add(seconds("setuptime").unwrap_or_default()),
                    billable_seconds: billable,
                    disposition: Disposition::Answered,
                },
            }
        }
        HOLD => Meaning::Hold {
            call_id: some("callid")?,
            leg: some("leg")?,
            hold: some("action")? == "hold",
            state: match some("state")?.as_str() {
                "start" => LegState::Begun,
                "ok" => LegState::Done,
                "fail" => LegState::Failed,
                _ => LegState::Other,
            },
        },
        TRANSFER => Meaning::Transfer {
            call_id: some("callid")?,
            new_call_id: text("transfer_callid").unwrap_or_default(),
            state: match some("state")?.as_str() {
                "start" => TransferState::Begun,
                "ok" => TransferState::Done,
                "fail" => TransferState::Failed,
                "notify" => TransferState::Notified,
                _ => TransferState::Other,
            },
            status: some("status").and_then(|status| status.split(' ').next()?.parse().ok()),
        },
        REGISTERED | UNREGISTERED => Meaning::Presence {
            aor: some("aor")?.into(),
            there: event.method == REGISTERED,
        },
        _ => return None,
    })
}

/// The event as it came.
pub(super) fn raw(event: &Notification) -> RawEvent {
    let fields = event.params.iter().map(|(name, value)| {
        let text = match value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Null => String::new(),
            other => other.to_string(),
        };
        (name.clone(), Private::new(text))
    });
    RawEvent::new(event.method.clone(), fields.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(method: &str, params: &str) -> Meaning {
        let text = format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}}}"#);
        meaning(&Notification::parse(text.as_bytes()).unwrap())
    }

    fn named(call_id: &str, from_tag: &str) -> Named {
        Named {
            call_id: call_id.to_owned(),
            from_tag: from_tag.to_owned(),
        }
    }

    #[test]
    fn a_dialog_moves_through_its_states() {
        // Recording `03_events_datagram_calls`.
        for (new, stage) in [
            (2, Stage::Early),
            (3, Stage::Answered),
            (4, Stage::Up),
            (5, Stage::Over),
        ] {
            let params = format!(
                r#"{{"id":"138.f54baf61","db_id":"9006931948639","callid":"caller-bye@rig","from_tag":"4d484378c",
                "to_tag":"ae5bfd5902","old_state":1,"new_state":{new}}}"#
            );
            let wanted = Meaning::Moved {
                call: named("caller-bye@rig", "4d484378c"),
                to_tag: Some("ae5bfd5902".to_owned()),
                stage,
            };
            assert_eq!(told(DIALOG, &params), wanted);
        }
        let params =
            r#"{"callid":"timeout@rig","from_tag":"a6","to_tag":null,"old_state":1,"new_state":5}"#;
        assert!(matches!(
            told(DIALOG, params),
            Meaning::Moved { to_tag: None, .. }
        ));
    }

    #[test]
    fn accounting_tells_why_a_call_was_not_answered_and_how_long_one_was() {
        let params = r#"{"method":"INVITE","from_tag":"ee39756ca1","to_tag":"434c33ef1e","callid":"busy@rig",
            "sip_code":"486","sip_reason":"Busy Here","time":1795245219,"setuptime":0,"created":1795245219}"#;
        let Meaning::Missed { call, why, .. } = told(MISSED, params) else {
            panic!("not missed")
        };
        assert_eq!(call, named("busy@rig", "ee39756ca1"));
        assert_eq!(why.causes().sip_status, Some(486));
        assert_eq!(why.causes().native.as_deref(), Some("Busy Here"));
        assert_eq!(why.disposition(), None);
        let params = r#"{"method":"INVITE","from_tag":"7d6bfbf2ec","to_tag":"a54f1d2591","callid":"lifetime@rig",
            "sip_code":"200","sip_reason":"OK","time":1795246002,"duration":3,"ms_duration":2290,"setuptime":2,
            "created":1795246002}"#;
        let Meaning::Cdr { cdr, .. } = told(CDR, params) else {
            panic!("no record")
        };
        assert_eq!((cdr.duration_seconds, cdr.billable_seconds), (5, 3));
    }

    #[test]
    fn accounting_of_other_requests_is_no_call() {
        for method in ["REGISTER", "MESSAGE", "BYE"] {
            let params = format!(
                r#"{{"method":"{method}","callid":"a@rig","from_tag":"b","sip_code":"404","duration":3}}"#
            );
            assert_eq!(told(MISSED, &params), Meaning::Other, "{method}");
            assert_eq!(told(CDR, &params), Meaning::Other, "{method}");
        }
        let params = r#"{"callid":"a@rig","from_tag":"b","sip_code":"404"}"#;
        assert!(matches!(told(MISSED, params), Meaning::Missed { .. }));
    }

    #[test]
    fn a_caller_that_gave_up_was_not_answered() {
        let params = r#"{"callid":"cancel@rig","from_tag":"43c7","sip_code":"487","sip_reason":"Request Terminated"}"#;
        let Meaning::Missed { why, .. } = told(MISSED, params) else {
            panic!("not missed")
        };
        assert_eq!(why.disposition(), Some(Disposition::NoAnswer));
    }

    #[test]
    fn hold_and_transfer_tell_how_far_they_are() {
        // Recordings `06_call_hold_unhold` and `06_call_transfer_target_busy`.
        let params = r#"{"callid":"hold@rig","leg":"caller","action":"unhold","state":"fail"}"#;
        let wanted = Meaning::Hold {
            call_id: "hold@rig".to_owned(),
            leg: "caller".to_owned(),
            hold: false,
            state: LegState::Failed,
        };
        assert_eq!(told(HOLD, params), wanted);
        let params = r#"{"callid":"tbusy@rig","leg":"callee","transfer_callid":"b4ea239544@rig",
            "destination":"sip:xbusy@127.0.0.1:25060","state":"fail","status":"486 Busy Here"}"#;
        let wanted = Meaning::Transfer {
            call_id: "tbusy@rig".to_owned(),
            new_call_id: "b4ea239544@rig".to_owned(),
            state: TransferState::Failed,
            status: Some(486),
        };
        assert_eq!(told(TRANSFER, params), wanted);
        let params = r#"{"callid":"t@rig","leg":"","transfer_callid":"n@rig","destination":"","state":"start","status":""}"#;
        assert!(matches!(
            told(TRANSFER, params),
            Meaning::Transfer {
                state: TransferState::Begun,
                status: None,
                ..
            }
        ));
    }

    #[test]
    fn what_is_unknown_or_has_no_names_means_nothing() {
        for (method, params) in [
            (DIALOG, r#"["x","y"]"#),
            (DIALOG, r#"{"":"17","":"z"}"#),
            (DIALOG, r#"{"callid":"a","from_tag":"b","new_state":6}"#),
            (DIALOG, r#"{"callid":"","from_tag":"b","new_state":4}"#),
            ("E_MY_EVENT", r#"{"who":"alice","number":42}"#),
            (HOLD, "{}"),
        ] {
            assert_eq!(told(method, params), Meaning::Other, "{method} {params}");
        }
        let bare =
            Notification::parse(br#"{"jsonrpc":"2.0","method":"E_DLG_STATE_CHANGED"}"#).unwrap();
        assert_eq!(meaning(&bare), Meaning::Other);
    }

    #[test]
    fn a_registration_is_presence() {
        let told = told(REGISTERED, r#"{"domain":"location","aor":"bob"}"#);
        assert!(matches!(told, Meaning::Presence { there: true, .. }));
    }
}
