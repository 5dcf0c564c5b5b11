//! The mocked FreeSWITCH: calls, their events and outcomes, beside what a real one said.
#![cfg(test)]

mod esl_client;

use std::time::Duration;

use esl_client::Client;
use faxbot_sip::protocol::esl::{Kind, Variables};
use faxbot_testkit::server::freeswitch::{CallScript, MockFreeSwitch, ReplyFault};

const U: &str = "00000032-0000-4000-8000-000000000000";

#[tokio::test(start_paused = true)]
async fn an_answered_call_tells_what_a_real_one_told() {
    let mock = MockFreeSwitch::builder().in_memory().start().await.unwrap();
    let mut client = Client::listen(mock.connect_duplex()).await;
    let said = client
        .originate(
            U,
            ",x_ref=1",
            "sofia/internal/+15557654321@127.0.0.1 &park()",
        )
        .await;
    assert_eq!(said, format!("+OK {U}\n"));
    client.until("CHANNEL_PARK", U).await;
    assert!(mock.far_end_hangs_up(U, 16));
    client.until("CHANNEL_DESTROY", U).await;
    // Recording `03_originate_sip_uas_180_200_bye`.
    assert_eq!(
        client.names(U),
        [
            "CHANNEL_OUTGOING",
            "CHANNEL_CREATE",
            "CHANNEL_ORIGINATE",
            "CHANNEL_PROGRESS",
            "CHANNEL_CALLSTATE",
            "CHANNEL_ANSWER",
            "CHANNEL_CALLSTATE",
            "CALL_UPDATE",
            "BACKGROUND_JOB",
            "CHANNEL_EXECUTE",
            "CHANNEL_PARK",
            "CHANNEL_HANGUP",
            "CHANNEL_UNPARK",
            "CHANNEL_EXECUTE_COMPLETE",
            "CHANNEL_CALLSTATE",
            "CHANNEL_HANGUP_COMPLETE",
            "CHANNEL_DESTROY",
        ]
    );
    let end = client
        .heard
        .iter()
        .find(|e| e.is("CHANNEL_HANGUP_COMPLETE", U));
    let end = end.unwrap();
    for (name, value) in [
        ("Hangup-Cause", "NORMAL_CLEARING"),
        ("variable_sip_term_status", "200"),
        ("variable_proto_specific_hangup_cause", "sip:200"),
        ("variable_sip_hangup_disposition", "recv_bye"),
        ("variable_hangup_cause_q850", "16"),
        ("variable_x_ref", "1"),
        ("Caller-Destination-Number", "+15557654321"),
    ] {
        assert_eq!(end.get(name), value, "{name}");
    }
    mock.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_fax_tells_its_pages_and_leaves_its_outcome() {
    let dir = tempfile::tempdir().unwrap();
    let tiff = faxbot_testkit::conformance::samples::tiff(3).unwrap();
    std::fs::write(dir.path().join("out3.tif"), &tiff).unwrap();
    let mock = MockFreeSwitch::builder()
        .map_path("/spool", dir.path())
        .on_dial("700", CallScript::answer().station("RECEIVER 1"))
        .in_memory()
        .start()
        .await
        .unwrap();
    let mut client = Client::listen(mock.connect_duplex()).await;
    let vars = format!(
        ",origination_nested_vars=true,fax_enable_t38=true,execute_on_fax_phase_d='db insert/pages/{U}/${{fax_document_transferred_pages}}',api_hangup_hook='hash insert/faxbot/{U}/${{fax_success}}|${{fax_result_code}}|${{fax_document_transferred_pages}}|${{hangup_cause}}|${{sip_term_status}}|${{fax_result_text}}|${{fax_remote_station_id}}'"
    );
    client
        .originate(U, &vars, "sofia/gateway/trunk/700 &txfax(/spool/out3.tif)")
        .await;
    client.until("CHANNEL_HANGUP_COMPLETE", U).await;
    let names = client.names(U);
    let fax: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .skip_while(|name| *name != "CUSTOM spandsp::txfaxnegociateresult")
        .collect();
    assert_eq!(
        fax,
        [
            "CUSTOM spandsp::txfaxnegociateresult",
            "CUSTOM spandsp::txfaxpageresult",
            "CHANNEL_EXECUTE",
            "CHANNEL_EXECUTE_COMPLETE",
            "CUSTOM spandsp::txfaxpageresult",
            "CHANNEL_EXECUTE",
            "CHANNEL_EXECUTE_COMPLETE",
            "CUSTOM spandsp::txfaxpageresult",
            "CHANNEL_EXECUTE",
            "CHANNEL_EXECUTE_COMPLETE",
            "CHANNEL_HANGUP",
            "CUSTOM spandsp::txfaxresult",
            "CHANNEL_EXECUTE_COMPLETE",
            "CHANNEL_CALLSTATE",
            "CHANNEL_HANGUP_COMPLETE",
        ]
    );
    let stored = client.api(&format!("hash select/faxbot/{U}")).await;
    assert_eq!(stored, "1|0|3|NORMAL_CLEARING|200|OK|RECEIVER 1");
    assert_eq!(mock.db_get("pages", U).as_deref(), Some("3"));
    let received = mock.received_faxes();
    assert!(received[0].complete && received[0].pages == 3);
    mock.finish().await;
}

#[tokio::test(start_paused = true)]
async fn calls_that_fail_say_their_cause_and_their_status() {
    let mock = MockFreeSwitch::builder()
        .on_dial("602", CallScript::busy())
        .on_dial("603", CallScript::no_answer())
        .on_dial("604", CallScript::rejected(404))
        .on_dial("605", CallScript::no_such_endpoint())
        .in_memory()
        .start()
        .await
        .unwrap();
    let mut client = Client::listen(mock.connect_duplex()).await;
    for (target, cause, kept) in [
        ("sofia/gateway/x/602", "USER_BUSY", Some("USER_BUSY|486|0")),
        ("sofia/internal/603@h", "NO_ANSWER", Some("NO_ANSWER||0")),
        (
            "user/604@fs.example",
            "UNALLOCATED_NUMBER",
            Some("UNALLOCATED_NUMBER|404|0"),
        ),
        ("sofia/nosuch/605@h", "INVALID_PROFILE", None),
        ("sofia/gateway/nosuch/605", "INVALID_GATEWAY", None),
        ("user/605@h", "SUBSCRIBER_ABSENT", None),
        ("nosuch/1", "CHAN_NOT_IMPLEMENTED", None),
        ("error/user_busy", "USER_BUSY", None),
    ] {
        let vars = format!(
            ",origination_nested_vars=true,originate_timeout=3,api_hangup_hook='db insert/faxbot/{U}/${{hangup_cause}}|${{sip_term_status}}|${{answer_epoch}}'"
        );
        let said = client
            .originate(U, &vars, &format!("{target} &park()"))
            .await;
        assert_eq!(said, format!("-ERR {cause}\n"), "{target}");
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(mock.db_get("faxbot", U).as_deref(), kept, "{target}");
        client.api(&format!("db delete/faxbot/{U}")).await;
    }
    mock.finish().await;
}

#[tokio::test(start_paused = true)]
async fn the_order_of_a_busy_call_is_the_recorded_one() {
    let mock = MockFreeSwitch::builder()
        .on_dial("602", CallScript::busy())
        .in_memory()
        .start()
        .await
        .unwrap();
    let mut client = Client::listen(mock.connect_duplex()).await;
    let said = client
        .originate(U, "", "sofia/faxa/602@127.0.0.1 &park()")
        .await;
    assert_eq!(said, "-ERR USER_BUSY\n");
    // Recording `05_fax_busy`, where CHANNEL_DESTROY comes behind the job.
    let mut names = client.names(U);
    names.retain(|name| name != "CHANNEL_DESTROY");
    assert_eq!(
        names,
        [
            "CHANNEL_OUTGOING",
            "CHANNEL_CREATE",
            "CHANNEL_ORIGINATE",
            "CHANNEL_HANGUP",
            "CHANNEL_CALLSTATE",
            "CHANNEL_HANGUP_COMPLETE",
            "BACKGROUND_JOB",
        ]
    );
    mock.finish().await;
}

#[tokio::test(start_paused = true)]
async fn early_media_is_enough_for_an_originate_unless_it_says_otherwise() {
    let second = Duration::from_secs(1);
    let mock = MockFreeSwitch::builder()
        .on_dial("*", CallScript::early_media(second))
        .in_memory()
        .start()
        .await
        .unwrap();
    let mut client = Client::listen(mock.connect_duplex()).await;
    for (vars, answered) in [("", false), (",ignore_early_media=true", true)] {
        let id = format!("{}{}", &U[..35], u8::from(answered));
        client
            .originate(&id, vars, "sofia/gateway/x/1 &park()")
            .await;
        let seen = client.heard.iter().any(|e| e.is("CHANNEL_ANSWER", &id));
        assert_eq!(seen, answered);
        if !answered {
            client.until("CHANNEL_ANSWER", &id).await;
        }
    }
    mock.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_live_uuid_is_refused_on_sofia_and_replaced_on_loopback() {
    let mock = MockFreeSwitch::builder().in_memory().start().await.unwrap();
    let mut client = Client::listen(mock.connect_duplex()).await;
    client.originate(U, "", "sofia/gateway/x/1 &park()").await;
    let line = |target: &str| format!("originate {{origination_uuid={U}}}{target} &park()");
    let again = client.api(&line("sofia/gateway/x/1")).await;
    assert_eq!(again, "-ERR DESTINATION_OUT_OF_ORDER\n");
    let other = client.api(&line("loopback/1/default")).await;
    assert!(other.starts_with("+OK ") && !other.contains(U), "{other}");
    // A loopback channel has two halves.
    assert_eq!(mock.channels().len(), 3);
    mock.finish().await;
}

#[tokio::test(start_paused = true)]
async fn of_legs_that_ring_at_once_the_first_wins_and_of_alternatives_the_next_is_tried() {
    let long = Duration::from_secs(5);
    let mock = MockFreeSwitch::builder()
        .on_dial("1", CallScript::answer().rings(long))
        .on_dial("3", CallScript::busy())
        .in_memory()
        .start()
        .await
        .unwrap();
    let mut client = Client::listen(mock.connect_duplex()).await;
    let [a, b] = ["a", "b"].map(|end| format!("{}{end}", &U[..35]));
    let legs =
        format!("[origination_uuid={a}]sofia/gateway/x/1,[origination_uuid={b}]sofia/gateway/x/2");
    let said = client.api(&format!("originate {legs} &park()")).await;
    assert_eq!(said, format!("+OK {b}\n"));
    let lost = client.until("CHANNEL_HANGUP_COMPLETE", &a).await;
    assert_eq!(lost.get("Hangup-Cause"), "LOSE_RACE");
    let legs =
        format!("[origination_uuid={a}]sofia/gateway/x/3|[origination_uuid=c]sofia/gateway/x/2");
    assert_eq!(
        client.api(&format!("originate {legs} &park()")).await,
        "+OK c\n"
    );
    mock.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_ends_is_gone_for_uuid_exists_before_its_hook_has_run() {
    let mock = MockFreeSwitch::builder().in_memory().start().await.unwrap();
    let mut client = Client::listen(mock.connect_duplex()).await;
    let hook = ",api_hangup_hook='msleep 500'";
    client.originate(U, hook, "sofia/gateway/x/1 &park()").await;
    assert_eq!(
        client.api(&format!("uuid_kill {U} USER_BUSY")).await,
        "+OK\n"
    );
    assert_eq!(client.api(&format!("uuid_exists {U}")).await, "false");
    let rows = client.api(&format!("show channels like {U} as json")).await;
    assert!(rows.starts_with("{\"row_count\":1,"), "{rows}");
    let end = client.until("CHANNEL_HANGUP_COMPLETE", U).await;
    assert_eq!(end.get("variable_sip_hangup_disposition"), "send_bye");
    assert_eq!(end.get("variable_sip_term_status"), "");
    let rows = client.api(&format!("show channels like {U} as json")).await;
    assert_eq!(rows, "{\"row_count\": 0}\n");
    mock.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_loses_calls_and_hash_and_keeps_db() {
    let mock = MockFreeSwitch::builder().in_memory().start().await.unwrap();
    let core = mock.core_uuid();
    let mut client = Client::listen(mock.connect_duplex()).await;
    client.api("hash insert/faxbot/a/1").await;
    client.api("db insert/faxbot/a/1").await;
    client.originate(U, "", "sofia/gateway/x/1 &park()").await;
    mock.restart(Duration::from_secs(1));
    client.until("SHUTDOWN", "").await;
    client.until_end().await;
    assert!(mock.channels().is_empty());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut client = Client::login(mock.connect_duplex()).await;
    let now = client.api("global_getvar core_uuid").await;
    assert!(now != core && now == mock.core_uuid());
    assert_eq!(client.api("hash select/faxbot/a").await, "-ERR no reply\n");
    assert_eq!(client.api("db select/faxbot/a").await, "1");
    mock.finish().await;
}

#[tokio::test(start_paused = true)]
async fn replies_fail_as_scripted() {
    let mock = MockFreeSwitch::builder().in_memory().start().await.unwrap();
    let mut client = Client::login(mock.connect_duplex()).await;
    mock.next_reply("uuid_kill", ReplyFault::Refuse("no".to_owned()));
    assert_eq!(client.api("uuid_kill x").await, "-ERR no\n");
    mock.next_reply("status", ReplyFault::DropAfter);
    assert!(client.api("status").await.starts_with("UP "));
    client.until_end().await;
    let mut client = Client::login(mock.connect_duplex()).await;
    mock.next_reply("originate", ReplyFault::DropBefore);
    let line = format!("bgapi originate {{origination_uuid={U}}}sofia/gateway/x/1 &park()\n\n");
    client.send(&line).await;
    client.until_end().await;
    let up = mock.wait_until(Duration::from_secs(5), |mock| {
        (mock.channels() == [U]).then_some(())
    });
    // The call is made all the same.
    assert!(up.await.is_some());
    mock.drop_links();
    mock.max_sessions(1);
    let mut client = Client::login(mock.connect_duplex()).await;
    let full = client.api("originate sofia/gateway/x/1 &park()").await;
    assert_eq!(full, "-ERR DESTINATION_OUT_OF_ORDER\n");
    mock.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_shuts_down_takes_no_call_and_no_client() {
    let mock = MockFreeSwitch::builder().in_memory().start().await.unwrap();
    let mut client = Client::login(mock.connect_duplex()).await;
    mock.shutting_down(true);
    let said = client.api("originate sofia/gateway/x/1 &park()").await;
    assert_eq!(said, "-ERR DESTINATION_OUT_OF_ORDER\n");
    let mut late = Client::over(mock.connect_duplex());
    assert_eq!(late.frame().await.unwrap().kind(), Kind::Disconnect);
    assert!(late.frame().await.is_none());
    mock.shutting_down(false);
    let said = client.api("originate sofia/gateway/x/1 &park()").await;
    assert!(said.starts_with("+OK "));
    mock.finish().await;
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]
    /// What our own writer escapes arrives as it was.
    #[test]
    fn a_value_that_our_writer_escapes_arrives(value in "[ -~äß]{1,40}") {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let Ok(vars) = Variables::new().set("v", &value) else {
            // Nothing gets this through.
            return Ok(());
        };
        let vars = vars.set("origination_uuid", U).unwrap().set("w", "2").unwrap();
        runtime.block_on(async {
            let mock = MockFreeSwitch::builder().in_memory().start().await.unwrap();
            let mut client = Client::login(mock.connect_duplex()).await;
            let said = client.api(&format!("originate {vars}sofia/gateway/x/1 &park()")).await;
            assert_eq!(said, format!("+OK {U}\n"), "{vars}");
            assert_eq!(mock.channel_variable(U, "v").as_deref(), Some(&*value), "{vars}");
            assert_eq!(mock.channel_variable(U, "w").as_deref(), Some("2"), "{vars}");
            mock.finish().await;
        });
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_may_be_refused_and_a_login_too() {
    let mock = MockFreeSwitch::builder().rejects_addresses().in_memory();
    let mock = mock.start().await.unwrap();
    let mut client = Client::over(mock.connect_duplex());
    assert_eq!(client.frame().await.unwrap().kind(), Kind::Rejection);
    assert_eq!(client.frame().await.unwrap().kind(), Kind::Disconnect);
    assert!(client.frame().await.is_none());
    let mock = MockFreeSwitch::builder()
        .password("secret")
        .user("clinic@fs.example", "s3cret", "CHANNEL_CREATE", "status")
        .in_memory()
        .start()
        .await
        .unwrap();
    let mut client = Client::over(mock.connect_duplex());
    client.frame().await.unwrap();
    assert_eq!(client.ask("auth ClueCon").await, "-ERR invalid");
    client.until_end().await;
    let mut client = Client::over(mock.connect_duplex());
    client.frame().await.unwrap();
    assert_eq!(
        client.ask("userauth clinic:s3cret@fs.example").await,
        "+OK accepted"
    );
    assert!(client.api("status").await.starts_with("UP "));
    assert_eq!(client.api("version").await, "-ERR permission denied");
    assert_eq!(
        client.ask("event plain ALL").await,
        "-ERR permission denied"
    );
    assert!(!mock.transcript().contains("s3cret"));
    mock.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_fax_ends_as_the_recordings_of_failures_do() {
    let dir = tempfile::tempdir().unwrap();
    let tiff = faxbot_testkit::conformance::samples::tiff(5).unwrap();
    std::fs::write(dir.path().join("five.tif"), &tiff).unwrap();
    let mock = MockFreeSwitch::builder()
        .map_path("/spool", dir.path())
        .on_dial("701", CallScript::not_a_fax())
        .on_dial(
            "702",
            CallScript::fax_fails_after(2, "x", "Disconnected after permitted retries"),
        )
        .on_dial("703", CallScript::refuses_t38())
        .in_memory()
        .start()
        .await
        .unwrap();
    let mut client = Client::listen(mock.connect_duplex()).await;
    let t38 = ",fax_enable_t38=true,fax_enable_t38_request=true";
    for (number, file, vars, expected) in [
        ("701", "five", "", "0|2|0|off"),
        ("702", "five", t38, "0|48|2|negotiated"),
        ("703", "five", t38, "1|0|5|refused"),
        ("700", "missing", "", "|||"),
        // Recording `09_fax_start_end_page`.
        ("700", "five", ",fax_start_page=2", "1|0|3|off"),
        (
            "700",
            "five",
            ",fax_start_page=1,fax_end_page=2",
            "1|0|2|off",
        ),
        ("700", "five", ",fax_end_page=0", "1|0|1|off"),
        (
            "700",
            "five",
            ",fax_start_page=3,fax_end_page=1",
            "1|0|1|off",
        ),
        ("700", "five", ",fax_end_page=99", "1|0|5|off"),
        ("700", "five", ",fax_start_page=9", "0|41|0|off"),
    ] {
        let vars = format!(
            "{vars},origination_nested_vars=true,api_hangup_hook='db insert/faxbot/{U}/${{fax_success}}|${{fax_result_code}}|${{fax_document_transferred_pages}}|${{fax_t38_status}}'"
        );
        let target = format!("sofia/gateway/x/{number} &txfax(/spool/{file}.tif)");
        client.originate(U, &vars, &target).await;
        let end = client.until("CHANNEL_HANGUP_COMPLETE", U).await;
        assert_eq!(end.get("Hangup-Cause"), "NORMAL_CLEARING");
        let stored = mock.db_get("faxbot", U).unwrap();
        assert_eq!(stored, expected, "{number} {file} {vars}");
        client.until("CHANNEL_DESTROY", U).await;
    }
    mock.finish().await;
}
