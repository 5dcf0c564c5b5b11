//! Channels of the mock that are dialled, bridged, moved and in a conference behave as those of the
//! recordings do.
#![cfg(test)]

mod client;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::BytesMut;
use client::Client;
use faxbot_sip::protocol::{
    ami::{AmiCodec, Kind, MAX_MESSAGE, Message, Role},
    session::Codec,
};
use faxbot_testkit::{
    replay::Recording,
    server::asterisk::{CallScript, Flavour, MockAsterisk, MockAsteriskBuilder},
};
use tokio::io::DuplexStream;

/// The context of an adapter, as an operator may write it.
fn builder() -> MockAsteriskBuilder {
    let mut builder = MockAsterisk::builder().in_memory();
    let steps: &[(&str, u32, &str, &str)] = &[
        ("park", 1, "Wait", "86400"),
        ("park", 2, "Hangup", ""),
        ("hold", 1, "MusicOnHold", "${FAXBOT_MUSIC}"),
        ("hold", 2, "Hangup", ""),
        ("quiet", 1, "StartMusicOnHold", ""),
        ("quiet", 2, "Wait", "86400"),
        ("quiet", 3, "Hangup", ""),
        ("dial", 1, "Dial", "${TO},${RING},${OPTIONS}"),
        (
            "dial",
            2,
            "Set",
            "DB(next/step)=${DIALSTATUS}|${HANGUPCAUSE}",
        ),
        (
            "dial",
            3,
            "ExecIf",
            "$[\"${STAY}\" = \"1\" & \"${DIALSTATUS}\" != \"ANSWER\"]?Wait(86400)",
        ),
        ("dial", 4, "Hangup", ""),
        ("conference", 1, "ConfBridge", "${ROOM}"),
        ("conference", 2, "Hangup", ""),
        (
            "handler",
            1,
            "Set",
            "DB(end/${UNIQUEID})=${DIALSTATUS}|${HANGUPCAUSE}|${ANSWEREDTIME}",
        ),
        ("handler", 2, "Return", ""),
    ];
    for (exten, priority, application, data) in steps {
        builder = builder.extension("fx", exten, *priority, application, data);
    }
    builder
}

struct Desk {
    mock: MockAsterisk,
    client: Client<DuplexStream>,
}

impl Desk {
    async fn new(builder: MockAsteriskBuilder) -> Self {
        let mock = builder.start().await.unwrap();
        let client = Client::login(mock.connect_duplex()).await;
        Self { mock, client }
    }

    /// Originates a channel into an extension, and waits until it is up.
    async fn call(&mut self, id: &str, to: &str, exten: &str, variables: &[&str]) {
        let mut headers = format!(
            "Context: fx\r\nExten: {exten}\r\nPriority: 1\r\nChannelId: {id}\r\n\
             Variable: CHANNEL(hangup_handler_push)=\"fx,handler,1\"\r\n"
        );
        for variable in variables {
            headers.push_str(&format!("Variable: {}\r\n", variable.replace(',', "\\,")));
        }
        self.client.originate(to, &headers).await;
        loop {
            let response = self.client.until_event("OriginateResponse").await;
            if response.get_str("Uniqueid").unwrap() == id {
                assert_eq!(response.get_str("Response").unwrap(), "Success");
                break;
            }
        }
    }

    /// A call that is bridged with a leg; the answer is the leg's id.
    async fn connected(&mut self, id: &str, variables: &[&str]) -> String {
        let mut all = vec!["TO=PJSIP/2@trunk", "RING=30"];
        all.extend(variables);
        self.call(id, "PJSIP/1@trunk", "dial", &all).await;
        self.until_bridged(id).await
    }

    async fn until_bridged(&mut self, id: &str) -> String {
        let found = self
            .mock
            .wait_until(Duration::from_secs(60), |mock| mock.bridged_with(id).pop());
        found.await.expect("a bridge")
    }

    async fn ok(&mut self, headers: &str) -> String {
        let response = self.client.ask(headers).await;
        let text = response.get_str("Message").unwrap_or_default().into_owned();
        assert_eq!(response.response(), Some(&b"Success"[..]), "{text}");
        text
    }

    async fn refused(&mut self, headers: &str) -> String {
        let response = self.client.ask(headers).await;
        assert_eq!(response.response(), Some(&b"Error"[..]));
        response.get_str("Message").unwrap().into_owned()
    }

    /// The event of that name whose headers have these values, past or to come.
    async fn event(&mut self, name: &str, headers: &[(&str, &str)]) -> Message {
        let is_it = |message: &Message| {
            message.is_event(name)
                && headers
                    .iter()
                    .all(|(key, value)| message.get_str(key).is_some_and(|is| is == *value))
        };
        if let Some(found) = self.client.seen.iter().rev().find(|m| is_it(m)) {
            return found.clone();
        }
        loop {
            let message = self.client.until_event(name).await;
            if is_it(&message) {
                return message;
            }
        }
    }

    async fn hangup_cause(&mut self, id: &str) -> String {
        let hangup = self.event("Hangup", &[("Uniqueid", id)]).await;
        hangup.get_str("Cause").unwrap().into_owned()
    }

    async fn name(&mut self, id: &str) -> String {
        let made = self.event("Newchannel", &[("Uniqueid", id)]).await;
        made.get_str("Channel").unwrap().into_owned()
    }

    /// Lets everything that needs no time happen.
    async fn settle(&mut self) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.ok("Action: Ping\r\n").await;
    }

    fn saw(&self, name: &str, id: &str) -> usize {
        let of = |m: &&Message| m.is_event(name) && m.get_str("Uniqueid").is_some_and(|i| i == id);
        self.client.seen.iter().filter(of).count()
    }
}

/// Event name and header names.
fn shapes<'a>(
    messages: impl IntoIterator<Item = &'a Message>,
) -> BTreeMap<String, BTreeSet<Vec<String>>> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut shapes: BTreeMap<String, BTreeSet<_>> = BTreeMap::new();
    for message in messages {
        if message.kind() != Kind::Event || message.is_event("SuccessfulAuth") {
            continue;
        }
        // `JobID` is of the recorded server's cdr_manager.conf, the video source of an action that
        // the mock does not know.
        let headers = message
            .headers()
            .map(|(name, _)| text(name))
            .filter(|name| !["JobID", "BridgeVideoSource"].contains(&name.as_str()));
        let name = text(message.event().unwrap());
        shapes.entry(name).or_default().insert(headers.collect());
    }
    shapes
}

fn recorded(name: &str) -> (Vec<Message>, Vec<String>) {
    let recording = Recording::load(&format!("asterisk/{name}")).unwrap();
    let mut codec = AmiCodec::new(Role::Client, MAX_MESSAGE);
    let mut input = BytesMut::from(&recording.server_bytes(1)[..]);
    let mut said = Vec::new();
    while let Some(message) = Codec::decode(&mut codec, &mut input).unwrap() {
        said.push(message);
    }
    let asked = String::from_utf8(recording.client_bytes(1).to_vec()).unwrap();
    let asked = asked.split_inclusive("\r\n\r\n").map(str::to_owned);
    (said, asked.collect())
}

#[tokio::test(start_paused = true)]
async fn a_dial_has_the_events_and_headers_of_the_recording() {
    let (expected, asked) = recorded("03_originate_dial_app");
    let mock = MockAsterisk::builder()
        .in_memory()
        .extension("default", "600", 1, "Answer", "")
        .extension("default", "600", 2, "Echo", "")
        .extension("default", "601", 1, "Ringing", "")
        .extension("default", "601", 2, "Wait", "2")
        .extension("default", "601", 3, "Answer", "")
        .extension("default", "601", 4, "Wait", "30")
        .start()
        .await
        .unwrap();
    let mut client = Client::over(mock.connect_duplex());
    client.send(&asked[0]).await;
    client.send(&asked[1]).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    client.send(&asked[2]).await;
    let up = client.until_event("OriginateResponse").await;
    let name = up.get_str("Channel").unwrap().into_owned();
    client
        .send(&format!("Action: Hangup\r\nChannel: {name}\r\n\r\n"))
        .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    client.send("Action: Logoff\r\n\r\n").await;
    client.until_end().await;

    let (expected_shapes, said) = (shapes(&expected), shapes(&client.seen));
    for (name, headers) in &said {
        let known = expected_shapes.get(name);
        let known = known.unwrap_or_else(|| panic!("{name} is not recorded"));
        assert!(headers.is_subset(known), "{name}: {headers:#?} {known:#?}");
    }
    for name in expected_shapes.keys() {
        assert!(said.contains_key(name), "{name} was not said");
    }
    // As often as there, where threads do not decide.
    for name in [
        "Newchannel",
        "DialBegin",
        "DialState",
        "DialEnd",
        "BridgeCreate",
        "BridgeEnter",
        "BridgeLeave",
        "BridgeDestroy",
        "LocalBridge",
        "HangupRequest",
        "Hangup",
        "CoreShowChannel",
    ] {
        let count = |all: &[Message]| all.iter().filter(|m| m.is_event(name)).count();
        assert_eq!(count(&client.seen), count(&expected), "{name}");
    }
    for hangup in client.seen.iter().filter(|m| m.is_event("Hangup")) {
        assert_eq!(hangup.get_str("Cause").unwrap(), "16");
    }
}

#[tokio::test(start_paused = true)]
async fn events_of_bridges_conferences_and_hold_have_the_recorded_headers() {
    let mut desk = Desk::new(builder()).await;
    let leg = desk.connected("own", &[]).await;
    assert!(desk.mock.far_end_holds("own", true));
    assert!(desk.mock.far_end_holds("own", false));
    desk.call("other", "PJSIP/3@trunk", "park", &[]).await;
    desk.ok("Action: Bridge\r\nChannel1: own\r\nChannel2: other\r\n")
        .await;
    desk.until_bridged("other").await;
    desk.ok("Action: BridgeList\r\n").await;
    let item = desk.client.until_event("BridgeListItem").await;
    let bridge = item.get_str("BridgeUniqueid").unwrap().into_owned();
    desk.ok(&format!(
        "Action: BridgeInfo\r\nBridgeUniqueid: {bridge}\r\n"
    ))
    .await;
    desk.ok("Action: Redirect\r\nChannel: own\r\nContext: fx\r\nExten: quiet\r\nPriority: 1\r\n")
        .await;
    desk.call("user", "PJSIP/4@trunk", "conference", &["ROOM=8000"])
        .await;
    desk.settle().await;
    let name = desk.name("user").await;
    for action in [
        "ConfbridgeListRooms",
        "ConfbridgeList",
        "ConfbridgeMute",
        "ConfbridgeUnmute",
        "ConfbridgeStartRecord",
        "ConfbridgeStopRecord",
        "ConfbridgeKick",
        "CoreShowChannels",
        "Status",
    ] {
        let headers = if action == "Status" || action == "CoreShowChannels" {
            String::new()
        } else {
            format!("Conference: 8000\r\nChannel: {name}\r\n")
        };
        desk.ok(&format!("Action: {action}\r\nActionID: 1\r\n{headers}"))
            .await;
        desk.settle().await;
    }
    assert_eq!(desk.hangup_cause(&leg).await, "16");

    let mut known: BTreeMap<String, BTreeSet<Vec<String>>> = BTreeMap::new();
    for name in [
        "05_bridge_action",
        "05_confbridge",
        "05_hold_unhold",
        "05_moh_app",
        "05_redirect",
        "05_redirect_both_legs",
        "03_originate_bridged_dial",
        "03_originate_dial_app",
        "04_pjsip_call_local_hangup",
    ] {
        for (name, headers) in shapes(&recorded(name).0) {
            known.entry(name).or_default().extend(headers);
        }
    }
    let without_id = |headers: &Vec<String>| {
        let mut headers = headers.clone();
        headers.retain(|header| header != "ActionID");
        headers
    };
    let mut compared = 0;
    for (name, headers) in shapes(&desk.client.seen) {
        if name.starts_with("HangupHandler") || name == "UserEvent" {
            continue;
        }
        let known: BTreeSet<_> = known[&name].iter().map(without_id).collect();
        for said in headers {
            assert!(known.contains(&without_id(&said)), "{name}: {said:#?}");
            compared += 1;
        }
    }
    assert!(compared > 30, "{compared}");
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_fails_tells_why_and_goes_on_at_the_next_step() {
    // What becomes of the leg, `DialEnd`, `DIALSTATUS` and the cause that the leg leaves.
    for (script, end, next, cause) in [
        (CallScript::busy(), "BUSY", "BUSY|17", "17"),
        (CallScript::rejected(404), "NOANSWER", "CHANUNAVAIL|1", "1"),
        (CallScript::rejected(480), "NOANSWER", "NOANSWER|19", "19"),
        (
            CallScript::congestion(),
            "CONGESTION",
            "CONGESTION|34",
            "34",
        ),
        (CallScript::no_answer(), "NOANSWER", "NOANSWER|0", "16"),
        (CallScript::rings_for_ever(), "NOANSWER", "NOANSWER|0", "16"),
        (CallScript::unreachable(), "NOANSWER", "NOANSWER|0", "16"),
        (CallScript::no_such_endpoint(), "", "CHANUNAVAIL|3", "3"),
    ] {
        let mut desk = Desk::new(builder().on_dial("2", script)).await;
        let to = ["TO=PJSIP/2@trunk", "RING=5"];
        desk.call("own", "PJSIP/1@trunk", "dial", &to).await;
        assert_eq!(desk.hangup_cause("own").await, cause, "{next}");
        assert_eq!(desk.mock.db_get("next", "step").unwrap(), next);
        let ends: Vec<_> = desk
            .client
            .seen
            .iter()
            .filter(|m| m.is_event("DialEnd") && m.get("Uniqueid").is_some())
            .map(|m| m.get_str("DialStatus").unwrap().into_owned())
            .collect();
        let expected = if end.is_empty() { vec![] } else { vec![end] };
        assert_eq!(ends, expected);
        // Not answered: no time of an answer.
        let handler = desk.mock.db_get("end", "own").unwrap();
        assert!(handler.ends_with('|'), "{handler}");
        desk.settle().await;
        assert!(desk.mock.channels().is_empty(), "{next}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_stays_after_a_failed_dial_when_a_step_says_so() {
    let mut desk = Desk::new(builder().on_dial("2", CallScript::busy())).await;
    let to = ["TO=PJSIP/2@trunk", "RING=5", "STAY=1"];
    desk.call("own", "PJSIP/1@trunk", "dial", &to).await;
    desk.settle().await;
    assert_eq!(desk.mock.channels(), ["own"]);
    desk.ok("Action: CoreShowChannels\r\n").await;
    let shown = desk.client.until_event("CoreShowChannel").await;
    for (header, value) in [("Context", "fx"), ("Exten", "dial"), ("Priority", "3")] {
        assert_eq!(shown.get_str(header).unwrap(), value);
    }
}

#[tokio::test(start_paused = true)]
async fn a_leg_belongs_to_its_caller_and_either_end_takes_the_other_along() {
    for flavour in [Flavour::V22, Flavour::V16] {
        for who in ["own", "leg"] {
            for by_action in [false, true] {
                let mut desk = Desk::new(builder().flavour(flavour)).await;
                let leg = desk
                    .connected("own", &["__DEEP=1", "_ONCE=2", "NOT=3"])
                    .await;
                let made = desk.event("Newchannel", &[("Uniqueid", &leg)]).await;
                assert_eq!(made.get_str("Linkedid").unwrap(), "own");
                for (name, value) in [("DEEP", "1"), ("ONCE", "2"), ("NOT", "")] {
                    let get = format!("Action: Getvar\r\nChannel: {leg}\r\nVariable: {name}\r\n");
                    let got = desk.client.ask(&get).await;
                    assert_eq!(got.get_str("Value").unwrap(), value, "{name}");
                }
                let ends = if who == "own" { "own" } else { leg.as_str() };
                if by_action {
                    desk.ok(&format!("Action: Hangup\r\nChannel: {ends}\r\n"))
                        .await;
                } else {
                    assert!(desk.mock.far_end_hangs_up(ends, 0));
                }
                assert_eq!(desk.hangup_cause("own").await, "16");
                assert_eq!(desk.hangup_cause(&leg).await, "16");
                assert_eq!(desk.mock.db_get("next", "step"), None, "no further step");
                assert_eq!(desk.saw("BridgeLeave", &leg), 1);
                assert_eq!(desk.saw("HangupRequest", ends), usize::from(!by_action));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn with_the_option_g_the_caller_goes_on_when_the_far_end_hangs_up() {
    let script = CallScript::answer().hangs_up_after(Duration::from_secs(7));
    let mut desk = Desk::new(builder().on_dial("2", script)).await;
    desk.connected("own", &["OPTIONS=g", "STAY=1"]).await;
    assert_eq!(desk.hangup_cause("own").await, "16");
    assert_eq!(desk.mock.db_get("next", "step").unwrap(), "ANSWER|16");
    assert_eq!(desk.mock.db_get("end", "own").unwrap(), "ANSWER|16|7");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_hangs_up_while_the_leg_rings_cancels_it() {
    for (flavour, cause) in [(Flavour::V22, "0"), (Flavour::V16, "16")] {
        let script = CallScript::no_answer();
        let mut desk = Desk::new(builder().flavour(flavour).on_dial("2", script)).await;
        let to = ["TO=PJSIP/2@trunk&PJSIP/2@second", "RING=60"];
        desk.call("own", "PJSIP/1@trunk", "dial", &to).await;
        desk.settle().await;
        assert_eq!(desk.mock.channels().len(), 3, "both legs ring");
        desk.mock.far_end_hangs_up("own", 0);
        assert_eq!(desk.hangup_cause("own").await, cause);
        desk.settle().await;
        assert!(desk.mock.channels().is_empty());
        let cancelled = |m: &&Message| {
            m.is_event("DialEnd") && m.get_str("DialStatus").is_some_and(|s| s == "CANCEL")
        };
        assert_eq!(desk.client.seen.iter().filter(cancelled).count(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_of_several_legs_to_answer_is_the_one() {
    let slow = CallScript::answer().rings(Duration::from_secs(9));
    let mut desk = Desk::new(
        builder()
            .on_dial("5", slow)
            .on_dial("6", CallScript::answer().rings(Duration::from_secs(2))),
    )
    .await;
    let to = ["TO=PJSIP/5@trunk&PJSIP/6@trunk", "RING=30"];
    desk.call("own", "PJSIP/1@trunk", "dial", &to).await;
    let leg = desk.until_bridged("own").await;
    desk.settle().await;
    assert_eq!(desk.mock.channels(), ["own".to_owned(), leg.clone()]);
    let begun = desk.event("DialBegin", &[("DestUniqueid", &leg)]).await;
    assert_eq!(begun.get_str("DialString").unwrap(), "6@trunk");
}

#[tokio::test(start_paused = true)]
async fn two_bridged_channels_are_held_and_bridged_again() {
    let mut desk = Desk::new(builder()).await;
    let leg = desk.connected("own", &[]).await;
    let both = format!(
        "Action: Redirect\r\nChannel: own\r\nExtraChannel: {leg}\r\nContext: fx\r\nExten: hold\r\n\
         Priority: 1\r\n"
    );
    assert_eq!(desk.ok(&both).await, "Dual Redirect successful");
    desk.settle().await;
    for id in ["own", &leg] {
        assert_eq!(desk.saw("MusicOnHoldStart", id), 1);
        assert_eq!(desk.saw("BridgeLeave", id), 1);
        assert_eq!(desk.saw("Hangup", id), 0);
    }
    let bridge = format!("Action: Bridge\r\nChannel1: own\r\nChannel2: {leg}\r\n");
    assert_eq!(desk.ok(&bridge).await, "Channels have been bridged");
    assert_eq!(desk.until_bridged("own").await, leg);
    desk.settle().await;
    for id in ["own", &leg] {
        assert_eq!(desk.saw("MusicOnHoldStop", id), 1);
        assert_eq!(desk.saw("BridgeEnter", id), 2);
    }
    // The other one goes on behind the step it was taken from, which is `Hangup`.
    desk.mock.far_end_hangs_up("own", 0);
    assert_eq!(desk.hangup_cause(&leg).await, "16");
    let gone = desk.refused(&bridge).await;
    assert_eq!(gone, "Channel1 does not exist: own");
    assert!(desk.mock.channels().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_of_two_that_is_moved_alone_leaves_the_other_to_its_end() {
    for moved in ["own", "leg"] {
        let mut desk = Desk::new(builder()).await;
        let leg = desk.connected("own", &[]).await;
        let (stays, ends) = if moved == "own" {
            ("own", leg.as_str())
        } else {
            (leg.as_str(), "own")
        };
        let redirect = format!(
            "Action: Redirect\r\nChannel: {stays}\r\nContext: fx\r\nExten: park\r\nPriority: 1\r\n"
        );
        assert_eq!(desk.ok(&redirect).await, "Redirect successful");
        assert_eq!(desk.hangup_cause(ends).await, "16");
        desk.settle().await;
        assert_eq!(desk.mock.channels(), [stays]);
    }
}

#[tokio::test(start_paused = true)]
async fn two_calls_become_one_and_the_legs_of_both_end() {
    let mut desk = Desk::new(builder()).await;
    let one = desk.connected("own-1", &[]).await;
    let two = desk.connected("own-2", &[]).await;
    desk.ok("Action: Bridge\r\nChannel1: own-1\r\nChannel2: own-2\r\n")
        .await;
    desk.settle().await;
    assert_eq!(desk.mock.bridged_with("own-1"), ["own-2"]);
    for leg in [&one, &two] {
        assert_eq!(desk.hangup_cause(leg).await, "16");
    }
    let entered = [("Uniqueid", "own-2"), ("Linkedid", "own-1")];
    desk.event("BridgeEnter", &entered).await;
    desk.ok("Action: Hangup\r\nChannel: own-2\r\n").await;
    assert_eq!(desk.hangup_cause("own-1").await, "16");
}

#[tokio::test(start_paused = true)]
async fn a_conference_is_joined_listed_muted_recorded_locked_and_ended() {
    let mut desk = Desk::new(builder()).await;
    assert_eq!(
        desk.refused("Action: ConfbridgeListRooms\r\n").await,
        "No active conferences."
    );
    for id in ["a", "b"] {
        desk.call(id, "PJSIP/1@trunk", "conference", &["ROOM=r"])
            .await;
        desk.event("ConfbridgeJoin", &[("Uniqueid", id)]).await;
    }
    let (a, b) = (desk.name("a").await, desk.name("b").await);
    let act =
        |name: &str, rest: &str| format!("Action: Confbridge{name}\r\nConference: r\r\n{rest}");
    let on = |name: &str| format!("Channel: {name}\r\n");
    desk.ok("Action: ConfbridgeListRooms\r\n").await;
    let room = desk.client.until_event("ConfbridgeListRooms").await;
    assert_eq!(room.get_str("Parties").unwrap(), "2");
    assert_eq!(desk.ok(&act("Mute", &on(&a))).await, "User muted");
    desk.event("ConfbridgeMute", &[("Uniqueid", "a")]).await;
    desk.ok(&act("List", "")).await;
    let listed = desk.client.until_event("ConfbridgeList").await;
    assert_eq!(listed.get_str("Muted").unwrap(), "Yes");
    assert_eq!(desk.ok(&act("Unmute", &on(&a))).await, "User unmuted");
    assert_eq!(
        desk.refused(&act("Mute", &on("a"))).await,
        "No Channel by that name found in Conference.",
        "a Uniqueid is not known there"
    );
    assert_eq!(
        desk.refused("Action: ConfbridgeLock\r\nConference: none\r\n")
            .await,
        "No Conference by that name found."
    );
    desk.ok(&act("StartRecord", "")).await;
    let record = desk.event("ConfbridgeRecord", &[]).await;
    assert_eq!(record.get_str("BridgeNumChannels").unwrap(), "4");
    assert_eq!(
        desk.refused(&act("StartRecord", "")).await,
        "Conference is already being recorded."
    );
    desk.ok(&act("StopRecord", "")).await;
    desk.refused(&act("StopRecord", "")).await;

    desk.ok(&act("Lock", "")).await;
    desk.call("late", "PJSIP/1@trunk", "conference", &["ROOM=r"])
        .await;
    assert_eq!(desk.hangup_cause("late").await, "0");
    assert_eq!(desk.saw("ConfbridgeJoin", "late"), 0);
    desk.ok(&act("Unlock", "")).await;

    assert_eq!(desk.ok(&act("Kick", &on(&b))).await, "User kicked");
    assert_eq!(desk.hangup_cause("b").await, "16");
    // Out of it by a Redirect, and with it the conference is over.
    desk.ok("Action: Redirect\r\nChannel: a\r\nContext: fx\r\nExten: park\r\nPriority: 1\r\n")
        .await;
    desk.event("ConfbridgeEnd", &[("Conference", "r")]).await;
    desk.settle().await;
    assert_eq!(desk.mock.channels(), ["a"]);
    desk.ok(
        "Action: Redirect\r\nChannel: a\r\nContext: fx\r\nExten: conference\r\nPriority: 1\r\n",
    )
    .await;
    desk.settle().await;
    let all = desk.ok(&act("Kick", &on("all"))).await;
    assert_eq!(all, "All participants kicked");
    assert_eq!(desk.hangup_cause("a").await, "16");
}

#[tokio::test(start_paused = true)]
async fn the_recording_of_a_conference_is_a_file_with_the_time_in_its_name_or_not() {
    let spool = tempfile::tempdir().unwrap();
    for stamped in [true, false] {
        let mut builder = builder().map_path("/rec", spool.path());
        if !stamped {
            builder = builder
                .extension(
                    "fx",
                    "named",
                    1,
                    "Set",
                    "CONFBRIDGE(bridge,record_file_timestamp)=no",
                )
                .extension(
                    "fx",
                    "named",
                    2,
                    "Set",
                    "CONFBRIDGE(user,talk_detection_events)=yes",
                )
                .extension("fx", "named", 3, "ConfBridge", "${ROOM}");
        }
        let mut desk = Desk::new(builder).await;
        let exten = if stamped { "conference" } else { "named" };
        desk.call("a", "PJSIP/1@trunk", exten, &["ROOM=r"]).await;
        desk.event("ConfbridgeJoin", &[]).await;
        assert_eq!(desk.mock.far_end_talks("a", true), !stamped);
        desk.ok("Action: ConfbridgeStartRecord\r\nConference: r\r\nRecordFile: /rec/c.wav\r\n")
            .await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        desk.mock.far_end_hangs_up("a", 0);
        desk.event("ConfbridgeEnd", &[]).await;
        desk.settle().await;
        let mut files = std::fs::read_dir(spool.path()).unwrap();
        let file = files.next().unwrap().unwrap();
        assert_eq!(file.metadata().unwrap().len(), 44 + 2 * 16_000);
        assert_eq!(file.file_name() == "c.wav", !stamped);
        std::fs::remove_file(file.path()).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_limit_ends_the_channel_wherever_it_is() {
    // In `Wait` the cause is 0, in a bridge 16.
    let mut desk = Desk::new(builder()).await;
    desk.call("own", "PJSIP/1@trunk", "park", &[]).await;
    let limit = "Action: AbsoluteTimeout\r\nChannel: own\r\nTimeout: 5\r\n";
    let start = tokio::time::Instant::now();
    assert_eq!(desk.ok(limit).await, "Timeout Set");
    assert_eq!(desk.hangup_cause("own").await, "0");
    assert_eq!(start.elapsed().as_secs(), 5);
    assert_eq!(desk.refused(limit).await, "No such channel");
    let leg = desk.connected("own", &["TIMEOUT(absolute)=4"]).await;
    assert_eq!(desk.hangup_cause(&leg).await, "16");
    let none = "Action: AbsoluteTimeout\r\nChannel: own\r\nTimeout: 0\r\n";
    assert_eq!(desk.refused(none).await, "No timeout specified");

    // It counts from the request on, and ends the ringing as a ring time-out does.
    let mut desk = Desk::new(builder().on_dial("1", CallScript::no_answer())).await;
    let headers = "Application: Wait\r\nData: 9\r\nChannelId: rings\r\n\
                   Variable: TIMEOUT(absolute)=3\r\n";
    desk.client.originate("PJSIP/1@trunk", headers).await;
    let response = desk.client.until_event("OriginateResponse").await;
    assert_eq!(response.get_str("Reason").unwrap(), "3");
    assert_eq!(desk.hangup_cause("rings").await, "19");
}

#[tokio::test(start_paused = true)]
async fn the_far_end_holds_and_its_party_hears_music() {
    let mut desk = Desk::new(builder()).await;
    let leg = desk.connected("own", &[]).await;
    assert!(desk.mock.far_end_holds(&leg, true));
    desk.event("Hold", &[("Uniqueid", &leg)]).await;
    desk.event("MusicOnHoldStart", &[("Uniqueid", "own")]).await;
    assert!(desk.mock.far_end_holds(&leg, false));
    desk.event("Unhold", &[("Uniqueid", &leg)]).await;
    desk.event("MusicOnHoldStop", &[("Uniqueid", "own")]).await;
    assert!(!desk.mock.far_end_holds("nobody", true));
}

#[tokio::test(start_paused = true)]
async fn without_music_a_hold_by_music_alone_is_over_at_once() {
    let mut desk = Desk::new(builder().without_music()).await;
    desk.call("own", "PJSIP/1@trunk", "hold", &[]).await;
    assert_eq!(desk.hangup_cause("own").await, "16");
    desk.call("quiet", "PJSIP/1@trunk", "quiet", &[]).await;
    desk.settle().await;
    assert_eq!(desk.mock.channels(), ["quiet"]);
    assert_eq!(desk.saw("MusicOnHoldStart", "quiet"), 0);
}

#[tokio::test(start_paused = true)]
async fn early_media_is_progress_without_ringing_and_no_answer_yet() {
    let script = CallScript::early_media(Duration::from_secs(5));
    let mut desk = Desk::new(builder().on_dial("1", script)).await;
    let start = tokio::time::Instant::now();
    desk.call("own", "PJSIP/1@trunk", "park", &[]).await;
    assert_eq!(start.elapsed().as_secs(), 5);
    let progress = [("DestUniqueid", "own"), ("DialStatus", "PROGRESS")];
    let event = desk.event("DialState", &progress).await;
    assert_eq!(event.get_str("DestChannelStateDesc").unwrap(), "Down");
    assert_eq!(desk.saw("Newstate", "own"), 1, "only that it is up");
    // Until the ring time-out there is no answer.
    desk.mock
        .on_dial("1", CallScript::no_answer().with_early_media());
    let headers = "Application: Echo\r\nTimeout: 2000\r\n";
    desk.client.originate("PJSIP/1@trunk", headers).await;
    let response = desk.client.until_event("OriginateResponse").await;
    assert_eq!(response.get_str("Reason").unwrap(), "3");
}

#[tokio::test(start_paused = true)]
async fn a_channel_is_sent_to_a_missing_extension_and_ends() {
    let mut desk = Desk::new(builder()).await;
    desk.call("own", "PJSIP/1@trunk", "park", &[]).await;
    desk.ok("Action: Redirect\r\nChannel: own\r\nContext: fx\r\nExten: none\r\nPriority: 1\r\n")
        .await;
    assert_eq!(desk.hangup_cause("own").await, "0");
    let gone = desk
        .refused(
            "Action: Redirect\r\nChannel: own\r\nContext: fx\r\nExten: park\r\nPriority: 1\r\n",
        )
        .await;
    assert_eq!(gone, "Channel does not exist: own");
}

#[tokio::test(start_paused = true)]
async fn a_dialplan_that_goes_round_and_round_ends() {
    let round = builder()
        .extension("fx", "round", 1, "Goto", "round,2")
        .extension("fx", "round", 2, "GotoIf", "$[1 = 1]?1:3");
    let mut desk = Desk::new(round).await;
    desk.call("own", "PJSIP/1@trunk", "round", &[]).await;
    assert_eq!(desk.hangup_cause("own").await, "0");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_bridged_calls_leave_nothing_behind() {
    const CALLS: usize = 1000;
    let mut desk = Desk::new(builder()).await;
    // As an adapter on a busy server asks for it.
    desk.client
        .ask("Action: Events\r\nEventMask: call\r\n")
        .await;
    let start = std::time::Instant::now();
    for n in 0..CALLS {
        let headers = format!(
            "Context: fx\r\nExten: dial\r\nPriority: 1\r\nChannelId: own-{n:04}\r\n\
             Variable: TO=PJSIP/2@trunk\r\n"
        );
        desk.client.originate("PJSIP/1@trunk", &headers).await;
    }
    desk.settle().await;
    assert_eq!(desk.mock.channels().len(), 2 * CALLS);
    for n in 0..CALLS {
        desk.mock.far_end_hangs_up(&format!("own-{n:04}"), 0);
    }
    desk.settle().await;
    assert!(desk.mock.channels().is_empty());
    desk.client.send("Action: BridgeList\r\n\r\n").await;
    let end = desk.client.until_event("BridgeListComplete").await;
    assert_eq!(end.get_str("ListItems").unwrap(), "0");
    // Far above what it takes, and far below what a search through all channels would take.
    assert!(start.elapsed() < Duration::from_secs(60));
}
