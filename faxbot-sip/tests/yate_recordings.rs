//! The Yate adapter against what a real Yate said: each recorded call and fax comes to its recorded
//! end.
#![cfg(test)]

mod recorded;

use std::time::Duration;

use faxbot_core::{
    id::CallId,
    sip::{CallRequest, SipAdapter as _},
};
use faxbot_sip::adapter::{
    RawEvents,
    yate::{YateAdapter, YateConfig},
};
use recorded::{LONG, Papers, Told, end, eventually, outcome, yate::Stage};
use tokio::time::{sleep, timeout};

const TO: &str = "+493012345678";

struct Rig {
    stage: Stage,
    adapter: YateAdapter,
    told: Told,
    papers: Papers,
}

impl Rig {
    async fn with(name: &str, change: impl FnOnce(&mut YateConfig)) -> Self {
        let stage = Stage::new(name);
        let papers = Papers::new();
        let mut config =
            YateConfig::from_url("yate://pbx.example?dial=sip/sip:{number}@trunk.example")
                .unwrap()
                .with_spool(papers.spool.path(), "/srv/fax");
        change(&mut config);
        let adapter = YateAdapter::new(config).with_connector(stage.connector());
        let told = Told::listen(adapter.subscribe());
        adapter.connect().await.unwrap();
        Self {
            stage,
            adapter,
            told,
            papers,
        }
    }
}

/// Recording, in which state we hang up, states, end.
#[rustfmt::skip] // One row a line.
const CALLS: &[(&str, usize, Option<&str>, &str, &str)] = &[
    ("sip_out_answered_remote_bye", 0, None, "drce", "Answered OK"),
    ("sip_out_answered_local_drop", 0, Some("c"), "drche", "Answered OK"),
    ("sip_out_no_answer_drop", 0, Some("r"), "drhe", "Cancelled Ringing"),
    ("sip_out_no_answer_maxcall", 0, None, "dre", "NoAnswer Temporarily Unavailable"),
    ("sip_out_peer_silent", 0, None, "de", "NoAnswer Temporarily Unavailable"),
    ("sip_out_call_length_timeout", 0, None, "drce", "Answered Request Timeout"),
    ("sip_out_rejected_404", 0, None, "dre", "Failed sip 404 Not Found"),
    ("sip_out_rejected_480", 0, None, "dre", "NoAnswer sip 480 Temporarily Unavailable"),
    ("sip_out_rejected_486", 0, None, "dre", "Busy sip 486 Busy Here"),
    ("sip_out_rejected_503", 0, None, "dre", "Congestion sip 503 Service Unavailable"),
    ("sip_out_bad_requests", 0, None, "", "Rejected None"),
    ("sip_out_bad_requests", 7, None, "", "Rejected None"),
    ("engine_stop_with_calls", 0, None, "drce", "Answered OK"),
    ("originate_tone", 0, Some(""), "dhe", "Cancelled"),
    ("conference_two_sip_legs", 0, None, "drce", "Answered hangup"),
    ("conference_two_sip_legs", 1, Some("c"), "drche", "Answered"),
    ("call_control_hold_attach_record_conf", 0, Some("c"), "drche", "Answered"),
];

async fn call(name: &str, nth: usize, hangs_up: Option<&str>) -> (String, String) {
    let rig = Rig::with(&format!("yate/{name}"), |_| {}).await;
    let id = CallId::new();
    rig.stage
        .plays(nth, id, hangs_up.is_some().then_some(":call.drop:"));
    let request = CallRequest::dial(TO.parse().unwrap()).with_id(id);
    let call = match rig.adapter.make_call(request).await {
        Ok(call) => call,
        Err(error) => {
            let text = format!("{:?} {:?}", error.kind(), error.native_text());
            return (String::new(), text);
        }
    };
    if let Some(state) = hangs_up {
        let there = || rig.told.states().contains(state) || rig.stage.is_over();
        eventually(
            &format!("the state to hang up in, {name} {:?}", rig.told.states()),
            there,
        )
        .await;
        rig.adapter.hangup(&call.call_ref()).await.unwrap();
    }
    let ended = match timeout(LONG, call.ended()).await {
        Ok(Ok(record)) => end(&record),
        Ok(Err(error)) => format!("{:?}", error.kind()),
        other => format!("{other:?}"),
    };
    eventually("the recording's end", || rig.stage.is_over()).await;
    assert_eq!(rig.told.troubles(), Vec::<String>::new(), "{name}");
    (rig.told.states(), ended)
}

#[tokio::test(start_paused = true)]
async fn recorded_calls_come_to_their_recorded_ends() {
    let mut wrong = Vec::new();
    for (name, nth, hangs_up, states, expected) in CALLS {
        let (went, ended) = call(name, *nth, *hangs_up).await;
        if (went.as_str(), ended.as_str()) != (*states, *expected) {
            wrong.push(format!(
                "    ({name:?}, {nth}, {hangs_up:?}, {went:?}, {ended:?}),"
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Recording, pages that we sent, whether we cancel, outcome.
#[rustfmt::skip] // One row a line.
const FAXES: &[(&str, u32, bool, &str)] = &[
    ("fax_ok_1_page_local", 1, false, "Success 1/1 Audio"),
    ("fax_ok_3_pages_local", 3, false, "Success 3/3 Audio"),
    ("fax_ok_1_page_over_sip", 1, false, "Success 1/1 Audio"),
    ("fax_t38_over_sip", 1, false, "Success 1/1 T38"),
    ("fax_ok_no_ecm", 1, false, "Success 1/1 Audio"),
    ("fax_busy", 1, false, "Rejected None"),
    ("fax_bad_method", 1, false, "Rejected None"),
    ("fax_file_missing", 1, false, "Rejected Some(\"File not found\")"),
    ("fax_no_fax_at_other_end", 1, false, "Failed 0/1 NoAnswer Negotiation t30 2"),
    ("fax_not_a_tiff", 1, false, "Failed 0/1 Unknown Negotiation"),
    ("fax_dropped_mid_page", 3, true, "Failed 0/3 Cancelled Negotiation"),
];

async fn fax(name: &str, pages: u32, cancels: bool) -> String {
    let rig = Rig::with(&format!("yate/{name}"), |_| {}).await;
    let id = CallId::new();
    rig.stage.plays(0, id, cancels.then_some(":call.drop:"));
    let request = rig.papers.fax(TO, pages).with_id(id);
    let sent = match rig.adapter.send_fax(request).await {
        Ok(sent) => sent,
        Err(error) => {
            assert!(rig.papers.is_spool_empty(), "{name}");
            return format!("{:?} {:?}", error.kind(), error.native_text());
        }
    };
    if cancels {
        sleep(Duration::from_secs(13)).await;
        sent.cancel().await.unwrap();
    }
    let ended = match timeout(LONG, sent.result()).await {
        Ok(Ok(ended)) => outcome(&ended),
        other => format!("{other:?}"),
    };
    eventually("the recording's end", || rig.stage.is_over()).await;
    assert_eq!(rig.told.troubles(), Vec::<String>::new(), "{name}");
    assert!(rig.papers.is_spool_empty(), "{name}");
    ended
}

#[tokio::test(start_paused = true)]
async fn recorded_faxes_come_to_their_recorded_outcomes() {
    let mut wrong = Vec::new();
    for (name, pages, cancels, expected) in FAXES {
        let ended = fax(name, *pages, *cancels).await;
        if ended != *expected {
            wrong.push(format!("    ({name:?}, {pages}, {cancels}, {ended:?}),"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn everything_that_an_engine_ever_said_is_taken_without_trouble() {
    let mut names = recorded::names("yate");
    names.push("bursts/yate_burst_200_calls".to_owned());
    names.push("bursts/yate_burst_100_calls".to_owned());
    for name in names {
        for raw in [RawEvents::Off, RawEvents::All] {
            let rig = Rig::with(&name, |config| {
                config.raw_events = raw;
                config.incoming = true;
                config.cdr = true;
            })
            .await;
            rig.stage.plays_all().await;
            sleep(Duration::from_secs(1)).await;
            assert_eq!(rig.told.troubles(), Vec::<String>::new(), "{name}");
        }
    }
}
