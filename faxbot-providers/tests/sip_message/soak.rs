//! A thousand messages, and a fifth of them goes wrong.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use faxbot_core::{Error, ErrorKind, message::MessageState};
use faxbot_testkit::{
    fake::MessageScript,
    random::{Seed, TestRng},
};

use super::Rig;

const SENDS: usize = 1000;

#[tokio::test(start_paused = true)]
async fn a_thousand_messages_are_each_sent_once_and_told_as_they_ended() {
    let rig = Arc::new(Rig::new().await);
    let mut random = TestRng::new(Seed::fresh());
    let later = Duration::from_secs(30);
    let mut faults = BTreeMap::new();
    for n in 0..SENDS {
        let to = (2000 + n).to_string();
        let (fault, script) = match random.index(25) {
            0 => ("refused", MessageScript::rejected("403")),
            1 => ("lost", MessageScript::lost_reply()),
            2 => ("hangs", MessageScript::hangs()),
            3 => {
                let message = "there is no connection";
                let error = Error::new(ErrorKind::NotConnected, "send_message", message);
                ("not connected", MessageScript::error(error))
            }
            4 => {
                let script = MessageScript::told(MessageState::HandedOver);
                ("late no", script.later(later, MessageState::Failed))
            }
            _ => ("none", MessageScript::told(MessageState::HandedOver)),
        };
        rig.adapter.script_messages_to(&to, script);
        faults.insert(to, fault);
    }

    let mut sends = tokio::task::JoinSet::new();
    for to in faults.keys().cloned() {
        let rig = Arc::clone(&rig);
        sends.spawn(async move {
            let sent = rig.send(&to, &to).await;
            (to, sent)
        });
    }
    let sent = sends.join_all().await;
    tokio::time::sleep(2 * later).await;

    let mut asked: BTreeMap<String, u32> = BTreeMap::new();
    for message in rig.adapter.messages() {
        *asked.entry(message.content.text).or_default() += 1;
    }
    assert!(
        asked.values().all(|times| *times == 1),
        "a message was sent twice"
    );
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for (to, result) in &sent {
        let fault = faults[to];
        *counts.entry(fault).or_default() += 1;
        let kind = result.as_ref().err().map(Error::kind);
        let id = match result {
            Ok(sent) => &sent.message_id,
            Err(error) => match error.message_id() {
                Some(id) => id,
                // Nothing was written, so there is nothing to ask for.
                None => {
                    assert_eq!(
                        (fault, kind),
                        ("not connected", Some(ErrorKind::NotConnected))
                    );
                    continue;
                }
            },
        };
        let (expected, state) = match fault {
            "refused" => (Some(ErrorKind::Rejected), MessageState::Failed),
            "lost" | "hangs" => (
                Some(ErrorKind::OutcomeUnknown),
                MessageState::OutcomeUnknown,
            ),
            "late no" => (None, MessageState::Failed),
            _ => (None, MessageState::HandedOver),
        };
        assert_eq!(kind, expected, "{fault}");
        assert_eq!(rig.status(id).await, state, "{fault}");
    }
    assert_eq!(counts.len(), 6, "{counts:?}");
    assert!(counts["none"] > 700, "{counts:?}");
}
