//! What the adapter asks Asterisk for when a call is placed, and that nothing else can be smuggled in.
#![cfg(test)]
#![cfg(feature = "asterisk")]

mod asterisk_support;

use std::{collections::BTreeMap, time::Duration};

use asterisk_support::{Rig, channel_id, dial};
use faxbot_core::{
    ErrorKind,
    address::Address,
    fax::{HeaderText, StationId},
    sip::{CallRequest, OnAnswer, SipAdapter},
};
use faxbot_sip::adapter::asterisk::AsteriskAdapter;
use proptest::prelude::*;

#[tokio::test(start_paused = true)]
async fn a_call_names_its_channel_its_ring_time_and_its_caller() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let request = dial("+15551230001")
        .with_timeout(Duration::from_secs(20))
        .with_caller_id("+15551230009".parse().unwrap());
    let id = request.id;
    adapter.make_call(request).await.unwrap();
    let seen = rig.originates().pop().unwrap();
    for (header, value) in [
        ("Channel", "PJSIP/+15551230001@trunk"),
        ("ChannelId", channel_id(id).as_str()),
        ("Timeout", "20000"),
        ("Async", "true"),
        ("CallerID", "\"asterisk\" <+15551230009>"),
        ("Application", "Wait"),
    ] {
        assert_eq!(seen.get(header), Some(value), "{header}");
    }
    assert_eq!(seen.get("OtherChannelId"), None);
    assert_eq!(rig.mock.channels(), [channel_id(id)]);
}

#[tokio::test(start_paused = true)]
async fn both_legs_of_a_local_channel_have_ids_of_one_length() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let request = CallRequest::dial(Address::native("Local/601@default"));
    let id = request.id;
    adapter.make_call(request).await.unwrap();
    let seen = rig.originates().pop().unwrap();
    let other = seen.get("OtherChannelId").unwrap();
    assert_eq!(other.len(), channel_id(id).len());
    assert!(other.ends_with(&id.as_uuid().to_string()));
}

#[tokio::test(start_paused = true)]
async fn an_extension_has_its_context_and_a_priority() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let request = dial("+15551230001").on_answer(OnAnswer::Extension {
        extension: "600".into(),
        context: None,
    });
    adapter.make_call(request).await.unwrap();
    let seen = rig.originates().pop().unwrap();
    assert_eq!(seen.get("Exten"), Some("600"));
    assert_eq!(seen.get("Context"), Some("default"));
    assert_eq!(seen.get("Priority"), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn every_call_carries_the_hangup_handler_as_one_quoted_value() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    adapter
        .make_call(dial("+15551230001").with_variable("NOTE", "a,b=\"c\\"))
        .await
        .unwrap();
    let seen = rig.originates().pop().unwrap();
    let variables: Vec<_> = seen.all("Variable").collect();
    assert_eq!(
        variables[1],
        "CHANNEL(hangup_handler_push)=faxbot-faxbot\\,s\\,1"
    );
    assert_eq!(
        Some(variables[0]),
        seen.get("ChannelId")
            .map(|id| format!("FAXBOT_ID={id}"))
            .as_deref()
    );
    assert_eq!(variables.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_caller_may_set_variables_and_no_functions() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    for name in [
        "SHELL(reboot)",
        "CHANNEL(hangup_handler_push)",
        "",
        "_",
        "1A",
        "A B",
        "A=B",
        "A,B",
        // Ours.
        "FAXBOT_KIND",
        "__FAXBOT_MUSIC",
        "DIALSTATUS",
    ] {
        let request = dial("+15551230001").with_variable(name, "x");
        let error = adapter.make_call(request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{name:?}");
    }
    assert!(rig.originates().is_empty());
    let request = dial("+15551230001").with_variable("__DEEP_1", "x");
    adapter.make_call(request).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_sip_uri_needs_its_dial_string() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let error = adapter.make_call(dial("sip:fax@example.net")).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidRequest);

    let adapter =
        rig.adapter_with(|config| config.sip_dial = Some(("PJSIP/out/".into(), String::new())));
    adapter.connect().await.unwrap();
    adapter
        .make_call(dial("sip:fax@example.net"))
        .await
        .unwrap();
    let seen = rig.originates().pop().unwrap();
    assert_eq!(seen.get("Channel"), Some("PJSIP/out/sip:fax@example.net"));
}

/// Text with everything that has a meaning in the protocol or the dialplan.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\r\n".to_owned()),
        Just("\r\n\r\nAction: Command\r\nCommand: core stop now\r\n\r\n".to_owned()),
        Just("\nVariable: X=1".to_owned()),
        Just("\0".to_owned()),
        Just("${SHELL(id)}".to_owned()),
        Just(")=x,CHANNEL(hangup_handler_wipe)=".to_owned()),
        Just("\"<>\\,&|^~/".to_owned()),
        "[a-zA-Z0-9 +*#_.-]{0,12}",
        "\\PC{0,6}",
    ];
    proptest::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

/// What an Originate of ours may hold, and how often at most.
fn check(rig: &Rig, seen_before: usize, variables: usize) -> Result<(), TestCaseError> {
    let actions = rig.mock.actions();
    let new = actions.get(seen_before..).unwrap_or_default();
    let mut originates = 0;
    for action in new {
        match action.name.as_str() {
            "Originate" => originates += 1,
            "ShowDialPlan" | "FAXSessions" | "FAXSession" | "CoreShowChannels" | "DBGet"
            | "Ping" => continue,
            other => prop_assert!(false, "an action that nobody asked for: {other}"),
        }
        let mut count = BTreeMap::<_, usize>::new();
        for (name, _) in &action.headers {
            *count.entry(name.as_str()).or_default() += 1;
        }
        for (name, times) in count {
            let most = match name {
                "Variable" => variables,
                "Action" | "ActionID" | "Channel" | "Async" | "ChannelId" | "OtherChannelId"
                | "Timeout" | "CallerID" | "Application" | "Data" | "Exten" | "Context"
                | "Priority" => 1,
                other => return Err(TestCaseError::fail(format!("a header {other}"))),
            };
            prop_assert!(times <= most, "{name} {times} times");
        }
    }
    prop_assert!(originates <= 1, "{originates} calls for one request");
    Ok(())
}

async fn place_calls(
    rig: &Rig,
    adapter: &AsteriskAdapter,
    texts: &[String],
) -> Result<(), TestCaseError> {
    let [a, b, c] = texts else {
        return Ok(());
    };
    let mut named = dial("+15551230001").with_variable(a.clone(), b.clone());
    named.options.caller_id_name = Some(c.clone());
    let mut requests = vec![
        named,
        dial("+15551230001").with_variable("SAFE", b.clone()),
        dial("+15551230001").on_answer(OnAnswer::Extension {
            extension: a.clone(),
            context: Some(b.clone()),
        }),
        dial("+15551230001").on_answer(OnAnswer::Application {
            name: a.clone(),
            data: c.clone(),
        }),
    ];
    requests.push(CallRequest::dial(Address::native(a.clone())));
    let native = |text: &String| Address::native(text.clone());
    requests.push(CallRequest::connect(native(a), native(b)));
    requests.push(dial("+15551230001").on_answer(OnAnswer::Bridge(native(c))));
    requests.push(dial("+15551230001").with_header(a.clone(), b.clone()));
    requests.push(dial("+15551230001").with_header("X-Case", b.clone()));
    for request in requests {
        let before = rig.mock.actions().len();
        let id = request.id;
        let placed = adapter.make_call(request).await;
        check(rig, before, 5)?;
        if placed.is_ok() {
            let _ended = adapter.hangup(&id.into()).await;
        }
    }
    let before = rig.mock.actions().len();
    let mut fax = rig.fax("+15551230001", 1);
    fax.header = a.parse::<HeaderText>().ok();
    fax.station_id = b.parse::<StationId>().ok();
    let id = fax.id;
    let placed = adapter.send_fax(fax).await;
    check(rig, before, 9)?;
    if placed.is_ok() {
        let _ended = adapter.hangup(&id.into()).await;
    }
    Ok(())
}

#[test]
fn no_text_makes_a_second_action_or_header() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let (rig, adapter) = runtime.block_on(async {
        let rig = Rig::new().await;
        let adapter = rig.connected().await;
        (rig, adapter)
    });
    let config = ProptestConfig::with_cases(64);
    proptest!(config, |(texts in proptest::collection::vec(hostile(), 3))| {
        runtime.block_on(place_calls(&rig, &adapter, &texts))?;
    });
}
