//! What is relayed of a call is what the recordings have of such a call; and `dlg.list`.

use std::time::Duration;

use faxbot_testkit::{
    replay::{Direction, Recording},
    server::kamailio::{CallScript, EventForm, MockKamailio, PassingCall, Phone, Tree},
};

use crate::{
    client::{name, result},
    recordings::same_shape,
};

const ALICE: &str = "sip:alice@127.0.0.1:5091";
const BOB: &str = "sip:port5080@127.0.0.1:5070";
const AGENT: &str = "sip:agent@127.0.0.1:5080";
const CUSTOMER: &str = "<sip:port5081@127.0.0.1:5070?X-Job=job-42>";

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The payloads of the netstrings in a recording.
fn payloads(name: &str) -> Vec<String> {
    let recording = Recording::load_channels(&format!("kamailio/{name}")).unwrap();
    let mut bytes = Vec::new();
    for chunk in recording.channel("evapi").chunks() {
        if chunk.dir == Direction::ToClient {
            bytes.extend_from_slice(&chunk.bytes);
        }
    }
    let mut payloads = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some(colon) = rest.iter().position(|byte| *byte == b':') {
        let length: usize = std::str::from_utf8(&rest[..colon])
            .unwrap()
            .parse()
            .unwrap();
        let end = colon + 1 + length;
        payloads.push(String::from_utf8(rest[colon + 1..end].to_vec()).unwrap());
        rest = &rest[end + 1..];
    }
    payloads
}

/// An event without what differs from call to call: the types of its members, and words of the
/// protocol. Several processes write the recorded ones, so their order says nothing.
fn forms(payloads: &[String]) -> Vec<String> {
    let form = |payload: &String| {
        // What the script pastes in may break the JSON.
        let text = payload.replace(":<null>", ":null").replace("\r\n", " ");
        let tree = Tree::parse(text.as_bytes()).expect("json");
        let words = [
            "event",
            "status",
            "reason",
            "rs",
            "t_reply_code",
            "method",
            "direction",
        ];
        let Tree::Object(members) = &tree else {
            panic!("an object")
        };
        let members = members.iter().map(|(name, value)| match value {
            Tree::Text(text) if words.contains(&name.as_str()) => format!("{name}={text}"),
            Tree::Text(text) if name == "sipfrag" => format!("{name}={text}"),
            Tree::Text(text) if text == "<null>" => format!("{name} unset"),
            Tree::Text(_) => format!("{name} text"),
            Tree::Int(number) if name == "status" => format!("{name}={number}"),
            Tree::Int(_) => format!("{name} number"),
            other => format!("{name} {other:?}"),
        });
        members.collect::<Vec<_>>().join(" ")
    };
    let mut forms: Vec<String> = payloads
        .iter()
        .filter(|payload| name(payload) != "hello")
        .map(form)
        .collect();
    forms.sort();
    forms
}

async fn start() -> MockKamailio {
    MockKamailio::builder().in_memory().start().await.unwrap()
}

fn call(script: CallScript) -> PassingCall {
    PassingCall::new(ALICE, BOB).mark("job-7").taken(script)
}

#[tokio::test(start_paused = true)]
async fn calls_of_others_are_told_as_recorded() {
    let answered = || CallScript::answer().rings(ms(300));
    for (name, call) in [
        (
            "end_bye_by_callee",
            call(answered().hangs_up_after(ms(800))),
        ),
        ("end_bye_by_caller", call(answered()).hung_up_after(ms(800))),
        (
            "end_cancel_while_ringing",
            call(CallScript::no_answer()).cancelled_after(ms(500)),
        ),
        ("end_no_answer_timeout", call(CallScript::no_answer())),
        ("end_peer_silent", call(CallScript::unreachable())),
        ("end_peer_port_closed", call(CallScript::unreachable())),
        (
            "end_rejected_404",
            call(CallScript::rejected(404).rings(ms(200))),
        ),
        (
            "end_rejected_480",
            call(CallScript::rejected(480).rings(ms(200))),
        ),
        ("end_rejected_486", call(CallScript::busy().rings(ms(200)))),
        (
            "end_rejected_503",
            call(CallScript::congestion().rings(ms(200))),
        ),
    ] {
        let mock = start().await;
        mock.call(call);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(forms(&payloads(name)), forms(&mock.relayed()), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn dialogs_that_the_server_ends_are_told_as_recorded() {
    for (name, script, method) in [
        ("end_rpc_end_dlg", CallScript::answer(), "dlg.end_dlg"),
        (
            "end_rpc_terminate_dlg",
            CallScript::answer(),
            "dlg.terminate_dlg",
        ),
        (
            "end_rpc_end_dlg_while_ringing",
            CallScript::no_answer(),
            "dlg.end_dlg",
        ),
    ] {
        let mock = start().await;
        let id = mock.call(call(script));
        tokio::time::sleep(ms(500)).await;
        let dialog = mock.dialog(&id).unwrap();
        let params = match method {
            "dlg.end_dlg" => format!("[{}, {}]", dialog.h_entry, dialog.h_id),
            _ => {
                let to = dialog.to_tag.unwrap();
                format!(r#"["{id}", "{}", "{to}"]"#, dialog.from_tag)
            }
        };
        assert_eq!(result(&mock, method, &params).await, Tree::Object(vec![]));
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(forms(&payloads(name)), forms(&mock.relayed()), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn click_to_dial_is_told_as_recorded() {
    let answered = || CallScript::answer().hangs_up_after(ms(1000));
    for (name, phone, script, to) in [
        (
            "ctd_bridge_ok_with_job_header",
            Phone::answers(),
            answered(),
            CUSTOMER,
        ),
        (
            "ctd_pjsua_agent",
            Phone::answers().tells_of_ringing(),
            answered(),
            CUSTOMER,
        ),
        ("ctd_agent_busy", Phone::busy(), answered(), CUSTOMER),
        (
            "ctd_agent_no_answer",
            Phone::no_answer(),
            answered(),
            CUSTOMER,
        ),
        ("ctd_agent_silent", Phone::silent(), answered(), CUSTOMER),
        (
            "ctd_customer_busy",
            Phone::answers(),
            CallScript::busy(),
            "sip:port5081@127.0.0.1:5070",
        ),
        (
            "ctd_refer_refused",
            Phone::answers().refuses_transfer(603),
            answered(),
            CUSTOMER,
        ),
        (
            "ctd_direct_refer_target",
            Phone::answers().calls_elsewhere(),
            answered(),
            CUSTOMER,
        ),
    ] {
        let mock = start().await;
        mock.next_phone(phone);
        mock.next_call(script);
        let params = format!(r#"["{AGENT}", "{to}", "."]"#);
        result(&mock, "dlg.bridge_dlg", &params).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(forms(&payloads(name)), forms(&mock.relayed()), "{name}");
    }
}

/// The last answer to `dlg.list` with a dialog of that state.
fn recorded_dialog(name: &str, state: i64) -> Tree {
    let recording = Recording::load_channels(&format!("kamailio/{name}")).unwrap();
    let mut chunks = recording.channel("rpc").chunks().to_vec();
    chunks.retain(|chunk| chunk.dir == Direction::ToClient);
    let bodies = chunks.iter().filter_map(|chunk| {
        let text = std::str::from_utf8(&chunk.bytes).ok()?;
        Tree::parse(text.split_once("\r\n\r\n")?.1.as_bytes())
    });
    let dialogs: Vec<Tree> = bodies
        .filter_map(|body| body.get("result").cloned())
        .flat_map(|result| result.values().into_iter().cloned().collect::<Vec<_>>())
        .filter(|dialog| dialog.get("state").and_then(Tree::int) == Some(state))
        .collect();
    dialogs.last().expect("a dialog of that state").clone()
}

#[tokio::test(start_paused = true)]
async fn dialogs_are_listed_as_recorded() {
    for (state, recording, script, after) in [
        (
            2,
            "end_cancel_while_ringing",
            CallScript::no_answer(),
            ms(500),
        ),
        (4, "end_rpc_end_dlg", CallScript::answer(), ms(500)),
        (
            5,
            "end_bye_by_callee",
            CallScript::answer().hangs_up_after(ms(100)),
            ms(500),
        ),
        (5, "end_rejected_486", CallScript::busy(), ms(500)),
    ] {
        let mock = start().await;
        mock.call(call(script));
        tokio::time::sleep(after).await;
        let list = result(&mock, "dlg.list", "[]").await;
        let recorded = recorded_dialog(recording, state);
        let mocked = list.values()[0];
        same_shape(recording, &recorded, mocked);
        for name in [
            "state", "ref", "dflags", "lifetime", "end_ts", "start_ts", "timeout",
        ] {
            let zero = |tree: &Tree| tree.get(name).and_then(Tree::int) == Some(0);
            assert_eq!(zero(&recorded), zero(mocked), "{recording} {name}");
        }
        for name in ["state", "ref", "dflags", "lifetime"] {
            assert_eq!(recorded.get(name), mocked.get(name), "{recording} {name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_shipped_script_tells_of_the_agents_phone_too() {
    let mock = MockKamailio::builder().events(EventForm::Versioned);
    let mock = mock.in_memory().start().await.unwrap();
    mock.next_phone(Phone::busy());
    let params = format!(r#"["{AGENT}", "{CUSTOMER}", "."]"#);
    result(&mock, "dlg.bridge_dlg", &params).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let relayed = mock.relayed();
    let names: Vec<&str> = relayed.iter().map(|event| name(event)).collect();
    assert_eq!(names, ["leg", "leg_reply", "leg_reply"]);
    assert!(
        relayed
            .iter()
            .all(|event| event.starts_with("{\"faxbot\":1,"))
    );
    assert!(
        relayed[2].contains("\"method\":\"INVITE\",\"code\":486,"),
        "{}",
        relayed[2]
    );

    mock.message_in("sip:bob@127.0.0.1", "line\r\n\"two\"");
    mock.register("bob", "sip:bob@127.0.0.1:5092", Duration::from_secs(1));
    tokio::time::sleep(Duration::from_secs(2)).await;
    mock.destination_is("sip:127.0.0.1:5080", false);
    let relayed = mock.relayed();
    let names: Vec<&str> = relayed[3..].iter().map(|event| name(event)).collect();
    assert_eq!(names, ["message", "usrloc", "usrloc", "dst_down"]);
    let message = Tree::parse(relayed[3].as_bytes()).unwrap();
    assert_eq!(message.get("body64"), Some(&"bGluZQ0KInR3byI=".into()));
    assert!(
        relayed[5].contains("\"action\":\"expired\""),
        "{}",
        relayed[5]
    );
}
