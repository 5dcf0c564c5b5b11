//! The FreeSWITCH adapter against what a real FreeSWITCH said: each recorded call and fax comes to
//! its recorded end.
#![cfg(test)]

mod recorded;

use std::time::Duration;

use faxbot_core::{
    address::Address,
    sip::{CallRequest, CallState, SipAdapter as _},
};
use faxbot_sip::adapter::{
    RawEvents,
    freeswitch::{FreeswitchAdapter, FreeswitchConfig, IncomingPath},
};
use recorded::{LONG, Papers, Told, end, esl::Scene, esl_stage::Stage, eventually, outcome};
use tokio::time::{sleep, timeout};

const TO: &str = "+493012345678";

/// An adapter that is connected to what plays a recording.
struct Rig {
    stage: Stage,
    adapter: FreeswitchAdapter,
    told: Told,
    papers: Papers,
}

impl Rig {
    async fn of(name: &str) -> Self {
        Self::with(name, |_| {}).await
    }

    async fn with(name: &str, change: impl FnOnce(&mut FreeswitchConfig)) -> Self {
        let stage = Stage::new(Scene::load(name));
        let papers = Papers::new();
        let mut config = FreeswitchConfig::from_url(
            "esl://:ClueCon@pbx.example?dial=sofia/gateway/trunk/{number}",
        )
        .unwrap()
        .with_spool(papers.spool.path(), "/srv/fax");
        change(&mut config);
        let adapter = FreeswitchAdapter::new(config).with_connector(stage.connector());
        let told = Told::listen(adapter.subscribe());
        adapter.connect().await.unwrap();
        Self {
            stage,
            adapter,
            told,
            papers,
        }
    }

    /// Nothing but the documented was told, and nothing is left behind.
    async fn settled(&self, name: &str) {
        eventually("the recording's end", || self.stage.is_over()).await;
        // A link that is lost is tried to be made again: the only trouble that there may be.
        let troubles = self.told.troubles();
        let other: Vec<_> = troubles
            .iter()
            .filter(|it| !it.starts_with("connect: "))
            .collect();
        assert!(other.is_empty(), "{name}: {other:?}");
        assert!(self.papers.is_spool_empty(), "{name}");
        assert!(self.adapter.snapshot().calls.is_empty(), "{name}");
    }
}

fn to() -> Address {
    TO.parse().unwrap()
}

/// Recording, which of its calls, whether we hang up and when, states, end.
type CallRow = (
    &'static str,
    usize,
    Option<&'static str>,
    &'static str,
    &'static str,
);

#[rustfmt::skip] // One row a line.
const CALLS: &[CallRow] = &[
    ("03_originate_loopback_answer_plain", 0, None, "drce", "Answered NORMAL_CLEARING"),
    ("03_originate_loopback_answer_json", 0, None, "drce", "Answered NORMAL_CLEARING"),
    ("03_originate_loopback_answer_xml", 0, None, "drce", "Answered NORMAL_CLEARING"),
    ("03_originate_sip_uas_180_200_bye", 0, None, "drce", "Answered sip 200 NORMAL_CLEARING"),
    ("03_originate_sip_gateway_to_dialplan_internal", 0, None, "drce", "Answered sip 200 NORMAL_CLEARING"),
    ("03_originate_sip_uas_183_early_media_we_hang_up", 0, Some("c"), "drche", "Answered NORMAL_CLEARING"),
    ("03_originate_cancel_while_ringing", 0, Some("r"), "drhe", "Cancelled ORIGINATOR_CANCEL"),
    ("03_early_media_progress_media", 0, None, "drce", "Answered NORMAL_CLEARING"),
    ("03_originate_api_blocking_vs_bgapi", 0, None, "drce", "Answered NORMAL_CLEARING"),
    ("03_bridge_two_loopback_legs", 0, None, "drce", "Answered NORMAL_CLEARING"),
    ("03_originate_failures_loopback_and_bad_dialstrings", 0, None, "de", "Busy USER_BUSY"),
    ("03_originate_failures_loopback_and_bad_dialstrings", 1, None, "de", "Failed UNALLOCATED_NUMBER"),
    ("03_originate_failures_loopback_and_bad_dialstrings", 2, None, "de", "Congestion NORMAL_CIRCUIT_CONGESTION"),
    ("03_originate_failures_loopback_and_bad_dialstrings", 3, None, "de", "Failed CALL_REJECTED"),
    ("03_originate_failures_loopback_and_bad_dialstrings", 4, None, "dre", "NoAnswer NO_ANSWER"),
    ("03_originate_failures_loopback_and_bad_dialstrings", 5, None, "de", "Failed NO_ROUTE_DESTINATION"),
    ("03_originate_failures_loopback_and_bad_dialstrings", 6, None, "de", "Congestion sip 503 NORMAL_TEMPORARY_FAILURE"),
    ("03_originate_failures_loopback_and_bad_dialstrings", 7, None, "", "Rejected Some(\"INVALID_PROFILE\")"),
    ("03_originate_failures_loopback_and_bad_dialstrings", 8, None, "", "Rejected Some(\"INVALID_GATEWAY\")"),
    ("03_originate_failures_loopback_and_bad_dialstrings", 9, None, "", "Rejected Some(\"CHAN_NOT_IMPLEMENTED\")"),
    ("03_originate_failures_loopback_and_bad_dialstrings", 10, None, "e", "NoAnswer SUBSCRIBER_ABSENT"),
    ("03_originate_failures_loopback_and_bad_dialstrings", 11, None, "e", "NoAnswer USER_NOT_REGISTERED"),
    ("03_originate_failures_loopback_and_bad_dialstrings", 12, None, "e", "Busy USER_BUSY"),
    ("03_originate_failures_loopback_and_bad_dialstrings", 15, None, "drce", "Answered NORMAL_CLEARING"),
    ("03_originate_failures_loopback_and_bad_dialstrings", 16, None, "drce", "Answered NORMAL_CLEARING"),
    ("04_call_control", 0, Some("c"), "dche", "Answered NORMAL_CLEARING"),
    ("04_sendmsg", 0, None, "dce", "Answered CALL_REJECTED"),
    ("04_sendmsg", 1, None, "dce", "Answered DESTINATION_OUT_OF_ORDER"),
    ("04_conference", 0, None, "dce", "Answered NORMAL_CLEARING"),
    ("04_conference", 1, None, "dce", "Answered NORMAL_CLEARING"),
    ("02_partial_command_blocks_events", 0, None, "drce", "Answered NORMAL_CLEARING"),
    ("02_two_clients_same_events", 0, None, "drce", "Answered NORMAL_CLEARING"),
    ("02_api_blocks_events_and_later_commands", 0, None, "drce", "Answered NORMAL_CLEARING"),
];

async fn call(row: &CallRow) -> (String, String) {
    let (name, request, hangs_up, ..) = *row;
    let rig = Rig::of(name).await;
    let gates: &[&str] = if hangs_up.is_some() {
        &["uuid_kill"]
    } else {
        &[]
    };
    let request = rig.stage.plays(request, gates);
    let call = CallRequest::dial(to()).with_id(request.id);
    let call = match rig.adapter.make_call(call).await {
        Ok(call) => call,
        Err(error) => {
            return (
                String::new(),
                format!("{:?} {:?}", error.kind(), error.native_text()),
            );
        }
    };
    if let Some(state) = hangs_up {
        eventually("the state to hang up in", || {
            rig.told.states().contains(state)
        })
        .await;
        rig.adapter.hangup(&call.call_ref()).await.unwrap();
    }
    let record = timeout(LONG, call.ended()).await;
    let ended = match record {
        Ok(Ok(record)) => end(&record),
        other => format!("{other:?}"),
    };
    rig.settled(name).await;
    (rig.told.states(), ended)
}

#[tokio::test(start_paused = true)]
async fn recorded_calls_come_to_their_recorded_ends() {
    let mut wrong = Vec::new();
    for row in CALLS {
        let (states, ended) = call(row).await;
        if (states.as_str(), ended.as_str()) != (row.3, row.4) {
            wrong.push(format!(
                "    ({:?}, {}, {:?}, {states:?}, {ended:?}),",
                row.0, row.1, row.2
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Recording, which of its faxes, how many pages we sent, whether we cancel, outcome, pages told of.
type FaxRow = (&'static str, usize, u32, bool, &'static str, &'static [u32]);

#[rustfmt::skip] // One row a line.
const FAXES: &[FaxRow] = &[
    ("05_fax_t38_ok_3pages", 0, 3, false, "Success 3/3 T38 14400", &[1, 2, 3]),
    ("05_fax_t38_ok_3pages_json", 0, 3, false, "Success 3/3 T38 14400", &[1, 2, 3]),
    ("05_fax_sip_audio_ok_3pages", 0, 3, false, "Success 3/3 Audio 14400", &[1, 2, 3]),
    ("05_fax_loopback_ok_3pages", 0, 3, false, "Success 3/3 Audio 14400", &[1, 2, 3]),
    ("05_fax_t38_refused_488_audio_fallback", 0, 3, false, "Success 3/3 Audio 14400", &[1, 2, 3]),
    ("05_fax_answer_but_no_fax", 0, 3, false, "Failed 0/3 NoAnswer Negotiation t30 2", &[]),
    ("05_fax_answer_then_hangup", 0, 3, false, "Failed 0/3 NotAFax Negotiation sip 200 t30 49", &[]),
    ("05_fax_busy", 0, 3, false, "Failed 0/3 Busy BeforeAnswer sip 486", &[]),
    ("05_fax_no_answer", 0, 3, false, "Failed 0/3 NoAnswer BeforeAnswer", &[]),
    ("05_fax_missing_file", 0, 3, false, "Failed 0/3 LocalConfig Negotiation", &[]),
    ("05_fax_we_cancel_mid_page", 0, 3, true, "Failed 0/3 Cancelled Transmission t30 49", &[]),
    ("09_fax_progress_late_subscriber", 0, 3, false, "Success 3/3 T38 14400", &[1, 2, 3]),
];

/// `link_lost`: the link is cut at the answer and mended when all is over, so that the outcome is what
/// the hook left.
async fn fax(row: &FaxRow, link_lost: bool) -> (String, Vec<u32>) {
    let (name, request, pages, cancels, ..) = *row;
    let rig = Rig::of(name).await;
    let gates: &[&str] = if cancels { &["uuid_kill"] } else { &[] };
    let request = rig.stage.plays(request, gates);
    let sent = rig.papers.fax(TO, pages).with_id(request.id);
    let sent = rig.adapter.send_fax(sent).await.unwrap();
    if cancels {
        eventually("an answer", || rig.told.states().contains('c')).await;
        sleep(Duration::from_secs(8)).await;
        sent.cancel().await.unwrap();
    }
    if link_lost {
        let answered = || rig.told.states().contains('c') || rig.stage.is_over();
        eventually("an answer", answered).await;
        rig.stage.cut();
        eventually("the recording's end", || rig.stage.is_over()).await;
        rig.stage.mend();
    }
    let ended = match timeout(LONG, sent.result()).await {
        Ok(Ok(ended)) => outcome(&ended),
        other => format!("{other:?}"),
    };
    rig.settled(name).await;
    (ended, rig.told.pages())
}

#[tokio::test(start_paused = true)]
async fn recorded_faxes_come_to_their_recorded_outcomes() {
    let mut wrong = Vec::new();
    for row in FAXES {
        let (ended, pages) = fax(row, false).await;
        if ended != row.4 || pages != row.5 {
            let (name, nth, sent, cancels, ..) = row;
            wrong.push(format!(
                "    ({name:?}, {nth}, {sent}, {cancels}, {ended:?}, &{pages:?}),"
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn recorded_faxes_whose_link_was_lost_come_to_the_same_outcomes() {
    let mut wrong = Vec::new();
    for row in FAXES.iter().filter(|row| !row.3) {
        let (ended, _) = fax(row, true).await;
        if ended != row.4 {
            wrong.push(format!("{}: {ended:?} instead of {:?}", row.0, row.4));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// What hooks left, read after the link was lost: recording, call, pages, outcome.
/// Some recorded hooks had fewer variables than ours: a missing file (109, 1206) cannot be told from a
/// hang-up there.
#[rustfmt::skip] // One row a line.
const KEPT: &[(&str, &str, u32, &str)] = &[
    ("09_hook_hash_outcomes", "101", 3, "Success 3/3 T38 14400"),
    ("09_hook_hash_outcomes", "102", 3, "Failed 0/3 Busy BeforeAnswer sip 486"),
    ("09_hook_hash_outcomes", "103", 3, "Failed 0/3 NoAnswer BeforeAnswer"),
    ("09_hook_hash_outcomes", "104", 3, "Failed 0/3 InvalidNumber BeforeAnswer sip 404"),
    ("09_hook_hash_outcomes", "105", 3, "Failed 0/3 Congestion BeforeAnswer sip 503"),
    ("09_hook_hash_outcomes", "108", 3, "Failed 0/3 NotAFax Negotiation sip 200 t30 49"),
    ("09_hook_hash_outcomes", "109", 3, "Failed 0/3 Unknown BeforeAnswer"),
    ("09_hook_hash_outcomes", "110", 3, "Failed 0/3 CommError Transmission t30 49"),
    ("09_hook_hash_outcomes", "111", 3, "Failed 0/3 Unknown BeforeAnswer"),
    ("09_hook_hash_outcomes", "112", 3, "Failed 0/3 NotAFax Negotiation sip 200 t30 49"),
    ("09_hook_hash_outcomes", "113", 3, "Success 3/3 T38 14400"),
    ("09_hook_hash_outcomes", "114", 3, "Success 3/3 T38 14400"),
    ("09_hook_hash_outcomes", "115", 3, "Failed 0/3 InvalidNumber BeforeAnswer sip 404"),
    ("09_hook_link_lost_mid_fax", "200", 3, "Success 3/3 T38 14400"),
    ("09_hook_more_variables", "1001", 1, "Success 1/1"),
    ("09_hook_more_variables", "1002", 3, "Failed 0/3 LocalConfig Negotiation"),
    ("09_hook_more_variables", "1003", 3, "Failed 0/3 Busy BeforeAnswer sip 486"),
    ("09_hook_more_variables", "1004", 3, "Failed 0/3 Unknown BeforeAnswer"),
    ("09_hook_more_variables", "1005", 3, "Failed 0/3 NoAnswer BeforeAnswer"),
    ("09_hook_more_variables", "1006", 3, "Failed 0/3 NotAFax Negotiation sip 200 t30 49"),
    ("09_hook_more_variables", "1007", 3, "Failed 0/3 NotAFax Negotiation t30 49"),
    ("09_hook_more_variables", "1008", 3, "Failed 0/3 Congestion BeforeAnswer sip 503"),
    ("09_hook_recommended_line", "1201", 3, "Success 3/3"),
    ("09_hook_recommended_line", "1202", 3, "Failed 0/3 Busy BeforeAnswer sip 486"),
    ("09_hook_recommended_line", "1203", 3, "Failed 0/3 Rejected BeforeAnswer sip 603"),
    ("09_hook_recommended_line", "1204", 3, "Failed 0/3 NoAnswer BeforeAnswer"),
    ("09_hook_recommended_line", "1205", 3, "Failed 0/3 NotAFax Negotiation sip 200 t30 49"),
    ("09_hook_recommended_line", "1206", 3, "Failed 0/3 NotAFax Negotiation t30 49"),
    ("09_hook_recommended_line", "1207", 3, "Success 3/3"),
    ("09_hook_recommended_line", "1208", 3, "Failed 0/3 Rejected BeforeAnswer sip 603"),
    ("09_outcome_after_restart", "501", 1, "Success 1/1 T38 14400"),
    ("09_outcome_after_restart", "502", 3, "Unknown 2/3"),
    ("09_outcome_after_restart", "503", 3, "Unknown -/3"),
    ("09_outcome_after_restart", "504", 3, "Unknown -/3"),
];

/// The link is lost while the fax runs, and the server may be another run when it is back: the outcome
/// is what the recorded hook left, or unknown where it left nothing.
async fn kept(name: &str, digits: &str, pages: u32) -> String {
    let rig = Rig::of(name).await;
    let scene = rig.stage.scene();
    let request = &scene.requests[scene.request(digits)];
    let sent = rig.papers.fax(TO, pages).with_id(request.id);
    let sent = rig.adapter.send_fax(sent).await.unwrap();
    rig.stage.up(&request.uuid, "ACTIVE");
    sleep(Duration::from_secs(2)).await;
    rig.stage.cut();
    sleep(Duration::from_secs(20)).await;
    let left = scene.kept(request);
    let restarted = name == "09_outcome_after_restart";
    if restarted {
        rig.stage.restarts();
    }
    match &left {
        Some(variables) => rig.stage.down(&request.uuid, variables),
        None => rig.stage.gone(&request.uuid, scene.kept_pages(request)),
    }
    rig.stage.mend();
    let ended = timeout(LONG, sent.result()).await;
    match ended {
        Ok(Ok(ended)) => outcome(&ended),
        other => format!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn recorded_hooks_tell_the_outcome_after_a_lost_link() {
    let mut wrong = Vec::new();
    for (name, digits, pages, expected) in KEPT {
        let ended = kept(name, digits, *pages).await;
        if ended != *expected {
            wrong.push(format!("    ({name:?}, {digits:?}, {pages}, {ended:?}),"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Everything of a recording at once, while its calls are in the books.
async fn flooded(name: &str, raw: RawEvents) -> Rig {
    let rig = Rig::with(name, |config| {
        config.raw_events = raw;
        config.incoming = IncomingPath::Park;
    })
    .await;
    for request in &rig.stage.scene().requests {
        let call = CallRequest::dial(to()).with_id(request.id);
        // The same id twice is refused.
        let _ = rig.adapter.make_call(call).await;
        rig.stage.up(&request.uuid, "DOWN");
    }
    rig.stage.plays_all().await;
    sleep(Duration::from_secs(1)).await;
    rig
}

#[tokio::test(start_paused = true)]
async fn everything_that_a_server_ever_said_is_taken_without_trouble() {
    let mut names = recorded::names("freeswitch");
    names.push("bursts/freeswitch_06_burst_200_calls_json".to_owned());
    for name in names {
        for raw in [RawEvents::Off, RawEvents::All] {
            let name = name.strip_prefix("freeswitch/").unwrap_or(&name);
            let rig = flooded(name, raw).await;
            let troubles = rig.told.troubles();
            let known = |text: &&String| !text.starts_with("connect: ");
            let others: Vec<_> = troubles.iter().filter(known).collect();
            assert!(others.is_empty(), "{name}: {others:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_call_of_two_hundred_at_once_is_lost() {
    for name in ["burst_200_calls", "06_burst_200_calls_json"] {
        let name = format!("bursts/freeswitch_{name}");
        let rig = flooded(&name, RawEvents::Off).await;
        let scene = rig.stage.scene();
        assert_eq!(scene.requests.len(), 200, "{name}");
        let live = rig.adapter.snapshot().calls;
        let state_of = |id| {
            let call = live.iter().find(|call| call.id == Some(id));
            call.map(|call| call.state)
        };
        // The recordings are cut before the calls are answered.
        let rang = scene.seen("CHANNEL_PROGRESS");
        assert!(rang.len() > 100, "{name}");
        assert!(scene.seen("CHANNEL_ANSWER").is_empty(), "{name}");
        for request in &scene.requests {
            let expected = if rang.contains(&request.uuid) {
                CallState::Ringing
            } else {
                CallState::Dialing
            };
            assert_eq!(
                state_of(request.id),
                Some(expected),
                "{name} {}",
                request.uuid
            );
        }
    }
}
