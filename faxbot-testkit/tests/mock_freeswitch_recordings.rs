//! The mocked FreeSWITCH answers the commands of recordings as the real one did.
#![cfg(test)]

mod esl_client;

use std::{collections::BTreeMap, time::Duration};

use bytes::BytesMut;
use esl_client::Client;
use faxbot_sip::protocol::{
    esl::{EslCodec, Frame, Kind, MAX_FRAME, Role},
    session::Codec,
};
use faxbot_testkit::{
    replay::{Direction, Recording},
    server::freeswitch::{CallScript, MockFreeSwitch, Timings},
};

/// The frames of one side of a connection, with the time of their last byte.
fn frames(recording: &Recording, conn: u32, dir: Direction) -> Vec<(Duration, Frame)> {
    let role = match dir {
        Direction::ToServer => Role::Server,
        Direction::ToClient => Role::Client,
    };
    let mut codec = EslCodec::new(role, MAX_FRAME);
    let mut input = BytesMut::new();
    let mut all = Vec::new();
    for chunk in recording.chunks_of(conn, dir) {
        input.extend_from_slice(&chunk.bytes);
        while let Some(frame) = Codec::decode(&mut codec, &mut input).unwrap() {
            all.push((chunk.t, frame));
        }
    }
    all
}

/// Uuids and what else a server draws or counts are all the same.
fn leveled(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let uuid = rest.get(..36).is_some_and(|head| {
            head.char_indices().all(|(at, c)| match at {
                8 | 13 | 18 | 23 => c == '-',
                _ => c.is_ascii_hexdigit(),
            })
        });
        if uuid {
            out.push('U');
            rest = &rest[36..];
        } else {
            let c = rest.chars().next().unwrap();
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// The bodies of background jobs whose uuid the client chose.
fn jobs(frames: &[(Duration, Frame)]) -> BTreeMap<String, String> {
    let events = frames.iter().filter_map(|(_, frame)| frame.event().ok()?);
    events
        .filter(|event| event.name().as_deref() == Some("BACKGROUND_JOB"))
        .map(|event| {
            let body = String::from_utf8_lossy(event.body().unwrap_or_default()).into_owned();
            (event.text("Job-UUID").unwrap().into_owned(), leveled(&body))
        })
        .collect()
}

fn mock() -> faxbot_testkit::server::freeswitch::MockFreeSwitchBuilder {
    let second = Duration::from_secs(1);
    let ends = CallScript::answer().rings(Duration::from_millis(200));
    MockFreeSwitch::builder()
        .timings(
            Timings::quick()
                .login_failure(Duration::ZERO)
                .login(Duration::from_secs(25)),
        )
        .on_dial("602", CallScript::busy())
        .on_dial("603", CallScript::no_answer())
        .on_dial("604", CallScript::rejected(404))
        .on_dial("loopback/605*", CallScript::congestion())
        .on_dial("606", ends.hangs_up_after(second))
        .on_dial("608", CallScript::rejected(603))
        .on_dial("sofia/internal/nobody@*", CallScript::rejected(503))
        .extension("default", "600", "answer,echo")
        .extension("default", "800", "conference:room1@default")
        .on_dial("810", CallScript::answer().hangs_up_after(8 * second))
        .on_dial("99999", CallScript::no_such_endpoint())
        .in_memory()
}

/// Plays the client's side of the first connection at its own pace; the differences.
async fn differences(name: &str, left_out: &[&str]) -> Vec<String> {
    let recording = Recording::load(&format!("freeswitch/{name}")).unwrap();
    let commands = frames(&recording, 1, Direction::ToServer);
    let said = frames(&recording, 1, Direction::ToClient);
    let mut answers = said
        .iter()
        .filter(|(_, frame)| matches!(frame.kind(), Kind::Reply | Kind::ApiResponse));
    let mock = mock().start().await.unwrap();
    for user in [
        "nobody@fs.example",
        "nosuchprofile",
        "nosuch",
        "nope",
        "gone",
    ] {
        mock.no_endpoint(user);
    }
    let mut client = Client::over(mock.connect_duplex());
    client.frame().await.unwrap();
    let began = tokio::time::Instant::now();
    let mut found = Vec::new();
    for (at, command) in &commands {
        tokio::time::sleep_until(began + *at).await;
        let line = String::from_utf8_lossy(command.command().unwrap()).into_owned();
        let (_, expected) = answers.next().expect("an answer in the recording");
        let shown = String::from_utf8_lossy(command.raw());
        client.send(&shown).await;
        let answer = client.answer().await;
        let (is, was) = (leveled(&answer), leveled(&expected.text()));
        let skips = left_out.iter().any(|start| match start.strip_suffix('$') {
            Some(whole) => line == whole,
            None => line.starts_with(start),
        });
        if is != was && !skips {
            found.push(format!("{line}\n  is  {is:?}\n  was {was:?}"));
        }
    }
    // Whatever is still to come has come by then.
    let last = jobs(&said);
    let mut mine = BTreeMap::new();
    let patience = Duration::from_secs(10);
    while let Ok(Some(heard)) = tokio::time::timeout(patience, client.next()).await {
        if heard.get("Event-Name") == "BACKGROUND_JOB" {
            mine.insert(heard.get("Job-UUID").to_owned(), leveled(&heard.body));
        }
    }
    for (job, was) in last {
        // Those with a uuid of the server's own are not found again.
        let Some(is) = mine.get(&job) else { continue };
        if *is != was && !was.starts_with("UP ") {
            found.push(format!("job {job}\n  is  {is:?}\n  was {was:?}"));
        }
    }
    found
}

#[tokio::test(start_paused = true)]
async fn the_commands_of_recordings_are_answered_as_they_were() {
    // What is not modelled, or says something of that machine.
    for (name, left_out) in [
        ("01_auth_ok", &["api status"][..]),
        ("01_commands_before_auth", &[]),
        ("09_hook_recommended_line", &[]),
        (
            "09_uuid_live_ended_unknown_duplicate",
            &["api show", "api uuid_dump"],
        ),
        ("02_event_subscriptions", &[]),
        ("02_bgapi", &[]),
        ("02_filters_effect", &[]),
        ("02_max_sessions_and_pause", &[]),
        (
            "02_api_commands",
            &[
                "api status",
                "API status",
                "Api Status",
                "api uptime",
                "api global_getvar",
                "api show",
                "api sofia status",
                "api sofia xmlstatus",
                "api sofia jsonstatus",
                "api sofia_contact",
                "api expand",
                "api str",
                "api time_test",
                "api md5",
                "api url_",
                "api regex",
                "api cond",
                "api json",
                "api acl",
                "api user_data",
                "api xml",
                "api console",
                "api help",
                "api list_users",
                "api event_sink",
                "api file_exists",
                "api system",
                "api stun",
                "api coalesce",
                "api interface_ip",
                "api complete",
            ],
        ),
        ("03_originate_variable_quoting", &[]),
        // The user has a loopback channel there, where a uuid in use is another one.
        (
            "03_originate_failures_loopback_and_bad_dialstrings",
            &["api originate {origination_uuid="],
        ),
        ("03_originate_sip_uas_180_200_bye", &[]),
        ("04_call_control", &["api uuid_dump", "api show"]),
        ("04_sendmsg", &[]),
        (
            "04_conference",
            &[
                "api conference json_list",
                "api conference room1 xml_list",
                "api conference$",
            ],
        ),
        ("04_chat_message_out_and_in", &[]),
        ("09_hook_quoting", &[]),
    ] {
        let found = differences(name, left_out).await;
        assert!(found.is_empty(), "{name}: {}", found.join("\n"));
    }
}
