//! The mocked FreeSWITCH: calls, their events and outcomes, beside what a real one said.
#![cfg(test)]

mod esl_client;

use std::time::Duration;

use esl_client::Client;
use faxbot_testkit::server::freeswitch::{CallScript, MockFreeSwitch};

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
