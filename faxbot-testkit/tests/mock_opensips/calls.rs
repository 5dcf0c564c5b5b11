//! Calls through the mock, and those that it makes itself.

use std::time::Duration;

use faxbot_testkit::{
    replay::Recording,
    server::opensips::{
        B2bStage, CallScript, MockOpenSips, PassingCall, Phone, Release, ReplyFault, Stage,
        Timings, Tree,
    },
};

use crate::{
    client::{ask, post, refusal, request, result},
    recordings::same_shape,
};

const SOON: Duration = Duration::from_secs(10);

async fn memory() -> MockOpenSips {
    MockOpenSips::builder()
        .in_memory()
        .timings(Timings::quick())
        .start()
        .await
        .unwrap()
}

fn passing() -> PassingCall {
    PassingCall::new("sip:alice@127.0.0.1:25070", "sip:2000@127.0.0.1:25060")
}

async fn reaches(mock: &MockOpenSips, id: &str, stage: Stage) {
    let there = |mock: &MockOpenSips| mock.dialog(id).filter(|dialog| dialog.stage == stage);
    assert!(mock.wait_until(SOON, there).await.is_some(), "{stage:?}");
}

/// A whole answer of a recording, by a text in its request.
fn recorded(name: &str, method: &str, nth: usize) -> Tree {
    let recording = Recording::load_channels(&format!("opensips/{name}")).unwrap();
    let recording = recording.channel("mi_http");
    let is_asked = |chunk: &&faxbot_testkit::replay::Chunk| {
        String::from_utf8_lossy(&chunk.bytes).contains(&format!("\"{method}\""))
    };
    let chunks = recording.chunks();
    let asked = chunks
        .iter()
        .enumerate()
        .filter(|(_, chunk)| is_asked(chunk));
    let (at, _) = asked.clone().nth(nth).unwrap();
    let text = String::from_utf8_lossy(&chunks[at + 1].bytes).into_owned();
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    Tree::parse(body.as_bytes()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_call_is_listed_until_five_seconds_after_its_end() {
    let mock = memory().await;
    let id = mock.call(passing().mark("job-1"));
    reaches(&mock, &id, Stage::Up).await;
    let dialogs = ask(&mock, "dlg_list", "{}").await;
    same_shape(
        "dlg_list",
        &recorded("02_dlg_one_live_dialog", "dlg_list", 2),
        &dialogs,
    );
    let one = ask(&mock, "dlg_list", &format!(r#"{{"callid":"{id}"}}"#)).await;
    let wanted = recorded("02_dlg_one_live_dialog", "dlg_list", 3);
    same_shape("dlg_list of one", &wanted, &one);
    let page = ask(&mock, "dlg_list", r#"{"index":0,"counter":5}"#).await;
    same_shape(
        "a page",
        &recorded("02_dlg_list_200_paging", "dlg_list", 0),
        &page,
    );
    let past = result(&mock, "dlg_list", r#"{"index":-1,"counter":5}"#).await;
    assert_eq!(past.compact(), r#"{"count":1,"Dialogs":[]}"#);
    let context = ask(&mock, "dlg_list_ctx", "{}").await;
    assert!(context.compact().contains(r#"{"job":"job-1"}"#));

    let native = dialogs
        .get("result")
        .unwrap()
        .get("Dialogs")
        .unwrap()
        .values()[0];
    let native = native.get("ID").and_then(Tree::text).unwrap().to_owned();
    let params = format!(r#"["{native}"]"#);
    assert_eq!(result(&mock, "dlg_end_dlg", &params).await, "OK".into());
    let gone = (404, "Requested Dialog not found".to_owned());
    assert_eq!(refusal(&mock, "dlg_end_dlg", &params).await, gone);
    let ended = ask(&mock, "dlg_list", "[]").await;
    same_shape(
        "ended",
        &recorded("02_dlg_list_after_the_call_ended", "dlg_list", 0),
        &ended,
    );
    let over = refusal(&mock, "dlg_list", &format!(r#"{{"callid":"{id}"}}"#)).await;
    assert_eq!(over, (404, "No such dialog".to_owned()));
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(
        result(&mock, "dlg_list", "[]").await.compact(),
        r#"{"Dialogs":[]}"#
    );
}

#[tokio::test(start_paused = true)]
async fn statistics_have_their_traps() {
    let mock = memory().await;
    let id = mock.call(passing());
    reaches(&mock, &id, Stage::Up).await;
    for (names, wanted) in [
        (r#"[["active_dialogs"]]"#, r#"{"dialog:active_dialogs":1}"#),
        (r#"[["dialog:active_dialogs"]]"#, "{}"),
        (
            r#"[["nothing","active_dialogs"]]"#,
            r#"{"dialog:active_dialogs":1}"#,
        ),
    ] {
        assert_eq!(
            result(&mock, "get_statistics", names).await.compact(),
            wanted
        );
    }
}

#[tokio::test(start_paused = true)]
async fn click_to_dial_goes_through_its_states() {
    for (release, states) in [
        (Release::V3_6, [3, 4]),
        (Release::V3_4, [3, 4]),
        (Release::V3_2, [1, 2]),
    ] {
        let mock = MockOpenSips::builder()
            .in_memory()
            .release(release)
            .start()
            .await
            .unwrap();
        let params = r#"{"scenario_id":"job-1","entity1":"caller,sip:2000@127.0.0.1:25080,Front desk",
            "entity2":"callee,sip:3000@127.0.0.1:25084"}"#;
        assert_eq!(
            result(&mock, "b2b_trigger_scenario", params).await,
            "OK".into()
        );
        let state = |list: &Tree| {
            list.get("Tuples").unwrap().values()[0]
                .get("state")
                .and_then(Tree::int)
        };
        let list = result(&mock, "b2b_list", "[]").await;
        assert_eq!(state(&list), Some(states[0]));
        let connected = |mock: &MockOpenSips| {
            mock.b2b_call("job-1")
                .filter(|it| it.stage == B2bStage::Connected)
        };
        let call = mock.wait_until(SOON, connected).await.unwrap();
        let list = ask(&mock, "b2b_list", "[]").await;
        assert_eq!(state(list.get("result").unwrap()), Some(states[1]));
        same_shape(
            "b2b_list",
            &recorded("05_click_to_dial_b2b_ok", "b2b_list", 0),
            &list,
        );
        let entities = ask(&mock, "b2be_list", "[]").await;
        same_shape(
            "b2be_list",
            &recorded("05_click_to_dial_b2b_ok", "b2be_list", 0),
            &entities,
        );
        assert_eq!(
            result(&mock, "dlg_list", "[]").await.compact(),
            r#"{"Dialogs":[]}"#
        );
        let key = format!(r#"["{}"]"#, call.key);
        assert_eq!(result(&mock, "b2b_terminate_call", &key).await, "OK".into());
        assert_eq!(
            result(&mock, "b2b_list", "[]").await.compact(),
            r#"{"Tuples":[]}"#
        );
        let gone = (404, "B2B session not found".to_owned());
        assert_eq!(refusal(&mock, "b2b_terminate_call", &key).await, gone);
    }
}

#[tokio::test(start_paused = true)]
async fn a_party_that_refuses_leaves_nothing_or_a_tuple_that_is_ending() {
    let mock = memory().await;
    mock.on_dial("busy", CallScript::busy());
    mock.phone("desk", Phone::busy());
    let click = |job: &str, first: &str, second: &str| {
        format!(
            r#"["{job}","caller,sip:{first}@127.0.0.1:25080","callee,sip:{second}@127.0.0.1:25084"]"#
        )
    };
    let params = click("first-busy", "desk", "3000");
    assert_eq!(
        result(&mock, "b2b_trigger_scenario", &params).await,
        "OK".into()
    );
    let gone = |mock: &MockOpenSips| mock.b2b_call("first-busy").is_none().then_some(());
    assert!(mock.wait_until(SOON, gone).await.is_some());

    let params = click("second-busy", "2000", "busy");
    assert_eq!(
        result(&mock, "b2b_trigger_scenario", &params).await,
        "OK".into()
    );
    let ending = |mock: &MockOpenSips| {
        mock.b2b_call("second-busy")
            .filter(|it| it.stage == B2bStage::Ending)
    };
    let call = mock.wait_until(SOON, ending).await.unwrap();
    let list = ask(&mock, "b2b_list", "[]").await;
    same_shape(
        "ending",
        &recorded("05_click_to_dial_b2b_second_party_busy", "b2b_list", 0),
        &list,
    );
    let key = format!(r#"{{"key":"{}"}}"#, call.key);
    assert_eq!(result(&mock, "b2b_terminate_call", &key).await, "OK".into());
    assert!(mock.b2b_call("second-busy").is_some());
    let gone = |mock: &MockOpenSips| mock.b2b_call("second-busy").is_none().then_some(());
    assert!(mock.wait_until(SOON, gone).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_call_is_bridged_to_a_third_party_or_lost() {
    let mock = memory().await;
    mock.on_dial("busy", CallScript::busy());
    let params = r#"["job","caller,sip:2000@127.0.0.1:25080","callee,sip:3000@127.0.0.1:25084"]"#;
    assert_eq!(
        result(&mock, "b2b_trigger_scenario", params).await,
        "OK".into()
    );
    let connected = |mock: &MockOpenSips| {
        mock.b2b_call("job")
            .filter(|it| it.stage == B2bStage::Connected)
    };
    let call = mock.wait_until(SOON, connected).await.unwrap();
    let bridge = |uri: &str| format!(r#"{{"dialog_id":"{}","new_uri":"{uri}"}}"#, call.key);
    assert_eq!(
        result(&mock, "b2b_bridge", &bridge("sip:4000@127.0.0.1:25086")).await,
        "OK".into()
    );
    let other = |mock: &MockOpenSips| connected(mock).filter(|it| it.second.contains("4000"));
    assert!(mock.wait_until(SOON, other).await.is_some());
    assert_eq!(
        result(&mock, "b2b_bridge", &bridge("sip:busy@127.0.0.1:25086")).await,
        "OK".into()
    );
    let ending = |mock: &MockOpenSips| {
        mock.b2b_call("job")
            .filter(|it| it.stage == B2bStage::Ending)
    };
    assert!(mock.wait_until(SOON, ending).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn the_rule_for_a_party_says_what_becomes_of_the_reply() {
    let mock = memory().await;
    let params = |to: &str| format!(r#"["{to}","a,sip:1@127.0.0.1:5","b,sip:{to}@127.0.0.1:6"]"#);
    mock.on_dial(
        "no",
        CallScript::answer().reply(ReplyFault::Refuse("no room".to_owned())),
    );
    mock.on_dial("cut", CallScript::answer().reply(ReplyFault::DropBefore));
    let refused = refusal(&mock, "b2b_trigger_scenario", &params("no")).await;
    assert_eq!(refused, (500, "no room".to_owned()));
    assert!(mock.b2b_calls().is_empty());
    assert!(
        post(&mock, &request("b2b_trigger_scenario", &params("cut")))
            .await
            .is_err()
    );
    assert!(mock.b2b_call("cut").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_is_carried_out_later() {
    let mock = memory().await;
    mock.next_is_late("b2b_trigger_scenario", Duration::from_secs(60));
    let params = r#"["late","a,sip:1@127.0.0.1:5","b,sip:2@127.0.0.1:6"]"#;
    assert!(
        post(&mock, &request("b2b_trigger_scenario", params))
            .await
            .is_err()
    );
    assert!(mock.b2b_call("late").is_none());
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert!(mock.b2b_call("late").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_restart_forgets_dialogs_and_the_calls_go_on() {
    let mock = memory().await;
    let id = mock.call(passing());
    reaches(&mock, &id, Stage::Up).await;
    let since = |tree: &Tree| tree.get("Up since").and_then(Tree::text).map(str::to_owned);
    let before = since(&result(&mock, "uptime", "[]").await);
    tokio::time::sleep(Duration::from_secs(3)).await;
    mock.restart(Duration::from_millis(500));
    assert!(post(&mock, &request("uptime", "[]")).await.is_err());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = since(&result(&mock, "uptime", "[]").await);
    assert!(before.is_some() && before != after);
    assert_eq!(
        result(&mock, "dlg_list", "[]").await.compact(),
        r#"{"Dialogs":[]}"#
    );
    assert!(mock.callee_hangs_up(&id));
}

#[tokio::test(start_paused = true)]
async fn modules_that_are_off_take_their_commands_along() {
    let mock = MockOpenSips::builder()
        .in_memory()
        .without("callops")
        .without("b2b_bridge")
        .start()
        .await
        .unwrap();
    let which = result(&mock, "which", "[]").await.compact();
    for (name, there) in [
        ("call_hold", false),
        ("b2b_bridge", false),
        ("b2b_list", true),
        ("dlg_list", true),
    ] {
        assert_eq!(which.contains(&format!("\"{name}\"")), there, "{name}");
    }
    let refused = refusal(&mock, "call_hold", r#"["x"]"#).await;
    assert_eq!(refused, (-32601, "Method not found".to_owned()));
}
