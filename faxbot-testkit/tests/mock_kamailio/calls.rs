//! Calls that pass through, and calls that the server starts.

use std::time::Duration;

use faxbot_testkit::server::kamailio::{CallScript, MockKamailio, PassingCall, Phone, Stage, Tree};

use crate::client::{ask, event, name, result};

const ALICE: &str = "sip:alice@127.0.0.1:5091";
const BOB: &str = "sip:600@127.0.0.1:5070";
const AGENT: &str = "sip:agent@127.0.0.1:5080";

async fn start() -> MockKamailio {
    MockKamailio::builder().in_memory().start().await.unwrap()
}

fn states(list: &Tree) -> Vec<i64> {
    let all = list.values();
    all.iter()
        .map(|one| one.get("state").unwrap().int().unwrap())
        .collect()
}

/// The names of the events so far; that of a progress with its status.
fn told(mock: &MockKamailio) -> Vec<String> {
    let named = |event: &String| {
        let name = name(event);
        let status = Tree::parse(event.as_bytes());
        let status = status.and_then(|event| event.get("status")?.int());
        status.map_or_else(|| name.to_owned(), |status| format!("{name} {status}"))
    };
    mock.relayed().iter().map(named).collect()
}

#[tokio::test(start_paused = true)]
async fn an_answered_call_lives_ages_and_ends() {
    let mock = start().await;
    let call = PassingCall::new(ALICE, BOB)
        .mark("job-7")
        .taken(CallScript::answer().hangs_up_after(Duration::from_secs(3)));
    let id = mock.call(call);
    let list = result(&mock, "dlg.list", "[]").await;
    assert_eq!(states(&list), [1]);
    let one = list.values()[0].clone();
    assert_eq!(one.get("start_ts"), Some(&Tree::Int(0)));
    assert_eq!(one.get("callee").unwrap().get("tag"), Some(&Tree::Null));
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(states(&result(&mock, "dlg.list", "[]").await), [2]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let list = result(&mock, "dlg.list", "[]").await;
    assert_eq!(states(&list), [4]);
    assert_ne!(list.values()[0].get("start_ts"), Some(&Tree::Int(0)));
    assert_eq!(mock.dialog(&id).unwrap().stage, Stage::Up);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let active = result(&mock, "dlg.stats_active", "[]").await;
    assert_eq!(active.get("all"), Some(&Tree::Int(0)));
    assert_eq!(states(&result(&mock, "dlg.list", "[]").await), [5]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(states(&result(&mock, "dlg.list", "[]").await), [0; 0]);
    assert_eq!(
        told(&mock),
        [
            "call:new",
            "call:progress 180",
            "call:progress 200",
            "dialog:start",
            "dialog:end",
            "call:bye"
        ]
    );
    let end = &mock.relayed()[4];
    assert!(
        end.contains("\"lifetime\":3,\"method\":\"BYE\",\"by\":\"sip:600@"),
        "{end}"
    );
    assert!(end.contains("\"job\":\"job-7\""), "{end}");
}

#[tokio::test(start_paused = true)]
async fn calls_that_come_to_nothing_are_told_with_their_cause() {
    for (script, cause, rs, rings) in [
        (CallScript::busy(), "486", "486", true),
        (CallScript::rejected(404), "404", "404", true),
        (CallScript::congestion(), "503", "<null>", true),
        (CallScript::no_answer(), "408", "<null>", true),
        (CallScript::unreachable(), "408", "<null>", false),
    ] {
        let mock = start().await;
        mock.call(PassingCall::new(ALICE, BOB).taken(script));
        // Past every time-out, and before the ended ones are forgotten.
        tokio::time::sleep(Duration::from_millis(4500)).await;
        let expected: &[&str] = match rings {
            true => &[
                "call:new",
                "call:progress 180",
                "call:failed",
                "dialog:failed",
            ],
            false => &["call:new", "call:failed", "dialog:failed"],
        };
        assert_eq!(told(&mock), expected, "{cause}");
        let relayed = mock.relayed();
        let [.., failed, dialog] = relayed.as_slice() else {
            panic!("events")
        };
        assert!(
            failed.contains(&format!("\"status\":\"{cause}\"")),
            "{failed}"
        );
        assert!(dialog.contains(&format!("\"rs\":\"{rs}\"")), "{dialog}");
        let list = result(&mock, "dlg.list", "[]").await;
        assert_eq!(states(&list), [5], "{cause}");
        assert_eq!(list.values()[0].get("start_ts"), Some(&Tree::Int(0)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_is_taken_back() {
    let mock = start().await;
    let call = PassingCall::new(ALICE, BOB).taken(CallScript::no_answer());
    mock.call(call.cancelled_after(Duration::from_millis(500)));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        told(&mock)[2..],
        ["call:cancel", "call:failed", "dialog:failed"]
    );
}

#[tokio::test(start_paused = true)]
async fn an_answered_dialog_is_ended_once_and_a_ringing_one_rings_on() {
    let mock = start().await;
    let id = mock.call(PassingCall::new(ALICE, BOB));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let dialog = mock.dialog(&id).unwrap();
    let end = format!("[{}, {}]", dialog.h_entry, dialog.h_id);
    assert_eq!(
        result(&mock, "dlg.end_dlg", &end).await,
        Tree::Object(vec![])
    );
    assert_eq!(
        told(&mock)[4..],
        ["local:request", "local:request", "dialog:end"]
    );
    assert!(mock.relayed()[6].contains("\"lifetime\":<null>,\"method\":\"OPTIONS\""));
    let again = format!(r#"{{"jsonrpc":"2.0","method":"dlg.end_dlg","params":{end},"id":9}}"#);
    let (status, answer) = ask(&mock, &again).await.unwrap();
    assert_eq!(status, 404);
    assert_eq!(
        answer.get("error").unwrap().get("message"),
        Some(&"Dialog not found".into())
    );

    let id = mock.call(PassingCall::new(ALICE, BOB).taken(CallScript::no_answer()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = told(&mock).len();
    let dialog = mock.dialog(&id).unwrap();
    let end = format!("[{}, {}]", dialog.h_entry, dialog.h_id);
    assert_eq!(
        result(&mock, "dlg.end_dlg", &end).await,
        Tree::Object(vec![])
    );
    assert_eq!(told(&mock)[before..], ["dialog:failed"]);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(
        told(&mock)[before..],
        ["dialog:failed", "call:failed", "dialog:failed"]
    );
}

#[tokio::test(start_paused = true)]
async fn click_to_dial_makes_a_new_dialog_with_the_mark() {
    let mock = start().await;
    let mut link = mock.connect_evapi();
    assert_eq!(name(&event(&mut link).await.unwrap()), "hello");
    let params = format!(r#"["{AGENT}", "<{BOB}?X-Job=job-42>", "."]"#);
    assert_eq!(
        result(&mock, "dlg.bridge_dlg", &params).await,
        Tree::Object(vec![])
    );
    let mut names = Vec::new();
    while names.last().is_none_or(|last| last != "dialog:start") {
        names.push(name(&event(&mut link).await.unwrap()).to_owned());
    }
    assert_eq!(
        names,
        [
            "local:request",
            "local:request",
            "local:request",
            "bridge:notify",
            "call:new",
            "call:progress",
            "call:progress",
            "dialog:start"
        ]
    );
    let dialogs = mock.dialogs();
    assert_eq!(dialogs.len(), 1);
    assert_eq!(dialogs[0].mark.as_deref(), Some("job-42"));
    assert_eq!(dialogs[0].from_uri, AGENT);
}

#[tokio::test(start_paused = true)]
async fn click_to_dial_fails_in_silence() {
    for (phone, more) in [
        (Phone::busy(), 0),
        (Phone::no_answer(), 0),
        (Phone::silent(), 0),
        (Phone::answers().refuses_transfer(603), 2),
        (Phone::answers().drops_transfer(), 2),
        (Phone::answers().calls_elsewhere(), 4),
    ] {
        let mock = start().await;
        mock.phone("agent", phone.clone());
        let params = format!(r#"["{AGENT}", "{BOB}", "."]"#);
        result(&mock, "dlg.bridge_dlg", &params).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(mock.relayed().len(), 1 + more, "{phone:?}");
        assert_eq!(mock.dialogs().len(), 0, "{phone:?}");
    }
    for params in [
        r#"["not a uri", "sip:x@y"]"#,
        r#"["sip:a@no.such.host.invalid", "sip:x@y"]"#,
    ] {
        let mock = start().await;
        result(&mock, "dlg.bridge_dlg", params).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(mock.relayed().len(), 0, "{params}");
    }
}
