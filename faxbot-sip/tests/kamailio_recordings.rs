//! The adapter against what a real Kamailio said: each recorded call comes to its recorded end, and each
//! recorded answer is read.
#![cfg(test)]
#![cfg(feature = "kamailio")]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::BytesMut;
use faxbot_core::{
    Result,
    clock::TokioClock,
    http::{HttpClient, HttpRequest, HttpResponse},
    id::{CallId, CallRef},
    sip::{Call, CallRecord, CallRequest, HistoryQuery, Lookup, SipAdapter as _},
};
use faxbot_sip::{
    adapter::kamailio::{KamailioAdapter, KamailioConfig},
    driver::{Connect, LinkError, Transport},
    protocol::{
        evapi::{MAX_PAYLOAD, NetstringCodec},
        session::Codec as _,
    },
};
use faxbot_testkit::{
    fixtures,
    replay::{Direction, Recording},
};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt as _,
    time::{Instant, sleep_until, timeout},
};

/// Longer than any recording goes on, on the clock of the tests.
const LONG: Duration = Duration::from_secs(120);

/// An answer of the server.
#[derive(Clone)]
struct Answer {
    at: Duration,
    status: StatusCode,
    body: Value,
}

/// What the real server said, by method and time.
struct Played {
    answers: HashMap<String, Vec<Answer>>,
    /// Since when it is played.
    start: Mutex<Option<Instant>>,
    /// Marks of the recording, and what stands for them.
    marks: Mutex<Vec<(String, String)>>,
}

/// The requests of a recording with their answers.
fn answers(recording: &Recording) -> HashMap<String, Vec<Answer>> {
    let mut all: HashMap<String, Vec<Answer>> = HashMap::new();
    let mut asked: Option<(Duration, Vec<u8>, Vec<u8>)> = None;
    let mut done = Vec::new();
    let has_channels = recording.chunks().iter().any(|it| &*it.channel == "rpc");
    for chunk in recording.chunks() {
        if has_channels && &*chunk.channel != "rpc" {
            continue;
        }
        match (chunk.dir, &mut asked) {
            (Direction::ToServer, _) => {
                done.extend(asked.replace((chunk.t, chunk.bytes.to_vec(), Vec::new())));
            }
            (Direction::ToClient, Some((_, _, answer))) => answer.extend_from_slice(&chunk.bytes),
            (Direction::ToClient, None) => {}
        }
    }
    done.extend(asked);
    for (at, request, answer) in done {
        let body = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            let (head, body) = text.split_once("\r\n\r\n")?;
            Some((head.to_owned(), serde_json::from_str::<Value>(body).ok()?))
        };
        let (Some((_, request)), Some((head, body))) = (body(&request), body(&answer)) else {
            continue;
        };
        let Some(method) = request["method"].as_str() else {
            continue;
        };
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let answer = Answer { at, status, body };
        all.entry(method.to_owned()).or_default().push(answer);
    }
    all
}

impl Played {
    fn new(name: &str) -> Self {
        let load = |name: &str| Recording::load_channels(name).unwrap();
        let mut own = answers(&load(name));
        // What every server is asked first.
        for general in ["kamailio/basics", "kamailio/methods"] {
            for (method, found) in answers(&load(general)) {
                if method != "dlg.list" {
                    own.entry(method).or_insert(found);
                }
            }
        }
        Self {
            answers: own,
            start: Mutex::default(),
            marks: Mutex::default(),
        }
    }

    fn now(&self) -> Duration {
        let start = *self.start.lock().unwrap();
        start.map_or(Duration::ZERO, |start| start.elapsed())
    }

    /// The last answer that the server had given by now.
    fn answer(&self, method: &str) -> Option<Answer> {
        let now = self.now();
        let all = self.answers.get(method)?;
        let before = all.iter().rev().find(|it| it.at <= now);
        match method {
            "dlg.list" => before.cloned(),
            _ => before.or(all.first()).cloned(),
        }
    }

    fn marked(&self, text: String) -> String {
        let marks = self.marks.lock().unwrap();
        marks.iter().fold(text, |text, (job, id)| {
            text.replace(&format!("\"{job}\""), &format!("\"{id}\""))
        })
    }
}

impl std::fmt::Debug for Played {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Played")
    }
}

#[async_trait]
impl HttpClient for Played {
    async fn execute(&self, request: HttpRequest) -> Result<HttpResponse> {
        let asked: Value = serde_json::from_slice(&request.body).unwrap();
        let method = asked["method"].as_str().unwrap();
        let (status, mut body) = match self.answer(method) {
            Some(answer) => (answer.status, answer.body),
            // Of no recording: it was asked when all was over.
            None if method == "tm.cancel" => {
                let error = json!({ "code": 400, "message": "Transaction not found" });
                let body = json!({ "jsonrpc": "2.0", "error": error });
                (StatusCode::BAD_REQUEST, body)
            }
            None => (StatusCode::OK, json!({ "jsonrpc": "2.0", "result": [] })),
        };
        body["id"] = asked["id"].clone();
        Ok(HttpResponse::new(status, self.marked(body.to_string())))
    }
}

/// When, and what.
type Timed = (Duration, Vec<u8>);

/// The events of the recording, at their times, on the first connection; a later one gets none.
#[derive(Debug)]
struct Events {
    played: Arc<Played>,
    chunks: Mutex<Option<Vec<Timed>>>,
}

impl Events {
    fn of(recording: &Recording, played: &Arc<Played>) -> Self {
        let events = recording.channel("evapi");
        // Of two clients, who get the same, the first.
        let conn = events.chunks().first().map(|chunk| chunk.conn);
        let chunks = events.chunks().iter();
        let chunks = chunks.filter(|it| it.dir == Direction::ToClient && Some(it.conn) == conn);
        Self {
            played: Arc::clone(played),
            chunks: Mutex::new(Some(chunks.map(|it| (it.t, it.bytes.to_vec())).collect())),
        }
    }
}

#[async_trait]
impl Connect for Events {
    async fn connect(&self) -> Result<Transport, LinkError> {
        let (mut server, client) = tokio::io::duplex(1 << 20);
        let chunks = self.chunks.lock().unwrap().take().unwrap_or_default();
        let played = Arc::clone(&self.played);
        tokio::spawn(async move {
            let start = loop {
                if let Some(start) = *played.start.lock().unwrap() {
                    break start;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            };
            let (mut codec, mut input) = (NetstringCodec::new(MAX_PAYLOAD), BytesMut::new());
            for (at, bytes) in chunks {
                sleep_until(start + at).await;
                input.extend_from_slice(&bytes);
                while let Some(payload) = codec.decode(&mut input).unwrap() {
                    let text = String::from_utf8_lossy(&payload).into_owned();
                    let frame = NetstringCodec::encode(played.marked(text).as_bytes());
                    if server.write_all(&frame).await.is_err() {
                        return;
                    }
                }
            }
            // It stays open.
            tokio::time::sleep(LONG * 10).await;
        });
        Ok(Transport::new(client))
    }
}

struct Rig {
    played: Arc<Played>,
    adapter: KamailioAdapter,
    recording: Recording,
}

impl Rig {
    async fn new(name: &str) -> Self {
        let name = format!("kamailio/{name}");
        let recording = Recording::load_channels(&name).unwrap();
        let played = Arc::new(Played::new(&name));
        let config = KamailioConfig::from_url(
            "kamailio+http://127.0.0.1:5070/RPC?controller=sip:ctd@127.0.0.1&poll=500ms",
        )
        .unwrap();
        let adapter = KamailioAdapter::with_clock(config, TokioClock::shared())
            .with_http(played.clone())
            .with_connector(Arc::new(Events::of(&recording, &played)));
        adapter.connect().await.unwrap();
        Self {
            played,
            adapter,
            recording,
        }
    }

    fn start(&self) {
        *self.played.start.lock().unwrap() = Some(Instant::now());
    }

    /// The Call-ID of the first call that passed.
    fn first_call(&self) -> String {
        for chunk in self.recording.channel("evapi").chunks() {
            let text = String::from_utf8_lossy(&chunk.bytes).into_owned();
            if let Some((_, rest)) = text.split_once(r#""event":"call:new","callid":""#) {
                return rest.split_once('"').unwrap().0.to_owned();
            }
        }
        panic!("{} has no call", self.recording.name());
    }
}

fn word(record: &CallRecord) -> String {
    let status = record.causes.sip_status;
    let status = status.map_or_else(String::new, |status| format!(" {status}"));
    format!("{:?}{status}", record.disposition)
}

/// Recording, and the end of the call that others placed in it.
#[rustfmt::skip] // One row a line.
const PASSING: &[(&str, &str)] = &[
    ("end_bye_by_callee", "Answered"),
    ("end_bye_by_caller", "Answered"),
    ("end_cancel_while_ringing", "Cancelled 487"),
    ("end_dlg_briefing_and_refer", "Answered"),
    ("end_no_answer_timeout", "NoAnswer 408"),
    ("end_peer_port_closed", "NoAnswer 408"),
    ("end_peer_silent", "NoAnswer 408"),
    ("end_rejected_404", "Failed 404"),
    ("end_rejected_480", "NoAnswer 480"),
    ("end_rejected_486", "Busy 486"),
    ("end_rejected_503", "Congestion 503"),
    ("end_rpc_end_dlg", "Answered"),
    // The RPC ended nothing, though an event says so: the phone rings on until nobody took it.
    ("end_rpc_end_dlg_while_ringing", "NoAnswer 408"),
    ("end_rpc_terminate_dlg", "Answered"),
    ("usrloc_call_registered", "Answered"),
];

#[tokio::test(start_paused = true)]
async fn each_recorded_call_of_others_comes_to_its_end() {
    let mut wrong = Vec::new();
    for (name, wanted) in PASSING {
        let rig = Rig::new(name).await;
        rig.start();
        tokio::time::sleep(Duration::from_secs(30)).await;
        let call = CallRef::native(rig.first_call());
        let found = match rig.adapter.lookup(&call).await.unwrap() {
            Lookup::Ended(record) => word(&record),
            other => format!("{other:?}"),
        };
        if found != *wanted {
            wrong.push(format!("{name}: {found}, not {wanted}"));
        }
        let history = rig.adapter.get_call_history(HistoryQuery::default());
        let ids: Vec<_> = history
            .await
            .unwrap()
            .items
            .iter()
            .map(|it| it.id)
            .collect();
        let mut once = ids.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), ids.len(), "{name}: a call ended twice");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Recording, and the end of the call that `dlg.bridge_dlg` was asked for in it.
#[rustfmt::skip] // One row a line.
const OURS: &[(&str, &str)] = &[
    ("ctd_agent_busy", "NoAnswer"),
    ("ctd_agent_no_answer", "NoAnswer"),
    ("ctd_agent_silent", "NoAnswer"),
    ("ctd_bridge_ok", "Answered"),
    ("ctd_bridge_ok_with_job_header", "Answered"),
    ("ctd_customer_busy", "Busy 486"),
    ("ctd_direct_refer_target", "OutcomeUnknown"),
    ("ctd_local_request_dlg_manage", "Answered"),
    ("ctd_own_sdp", "Answered"),
    ("ctd_pjsua_agent", "Answered"),
    ("ctd_refer_refused", "OutcomeUnknown"),
    ("ctd_via_outbound_proxy", "Answered"),
    ("ctd_without_local_route", "Answered"),
];

/// First and second party of a request of a recording.
fn parties(recording: &Recording) -> Vec<(String, String)> {
    let chunks = recording.channel("rpc");
    let asked = chunks.chunks().iter().filter_map(|chunk| {
        let text = String::from_utf8_lossy(&chunk.bytes).into_owned();
        let body: Value = serde_json::from_str(text.split_once("\r\n\r\n")?.1).ok()?;
        let is_it = body["method"] == "dlg.bridge_dlg";
        is_it.then(|| body["params"].clone())
    });
    let texts = asked.map(|params| {
        let text = |at: usize| params[at].as_str().unwrap().to_owned();
        (text(0), text(1))
    });
    texts.collect()
}

/// Asks for a call of a recording, with our own mark.
async fn place(rig: &Rig, first: &str, second: &str) -> Call {
    let inside = second.trim_start_matches('<').trim_end_matches('>');
    let (to, job) = match inside.split_once("?X-Job=") {
        Some((to, job)) => (to, Some(job.to_owned())),
        None => (inside, None),
    };
    let id = CallId::new();
    if let Some(job) = job {
        let mark = (job, id.as_uuid().to_string());
        rig.played.marks.lock().unwrap().push(mark);
    }
    let request = CallRequest::connect(first.parse().unwrap(), to.parse().unwrap())
        .with_id(id)
        .with_timeout(Duration::from_secs(8));
    rig.adapter.make_call(request).await.unwrap()
}

async fn outcome(call: &Call) -> String {
    match timeout(LONG, call.ended()).await {
        Ok(Ok(record)) => word(&record),
        Ok(Err(error)) => format!("{:?}", error.kind()),
        Err(_) => "never".to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn each_recorded_click_to_dial_comes_to_its_end() {
    let mut wrong = Vec::new();
    for (name, wanted) in OURS {
        let rig = Rig::new(name).await;
        let (first, second) = parties(&rig.recording).remove(0);
        rig.start();
        let call = place(&rig, &first, &second).await;
        let found = outcome(&call).await;
        if found != *wanted {
            wrong.push(format!("{name}: {found}, not {wanted}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn twenty_recorded_calls_at_once_are_told_apart() {
    let rig = Rig::new("ctd_20_at_once").await;
    let parties = parties(&rig.recording);
    assert_eq!(parties.len(), 20);
    rig.start();
    let mut calls = Vec::new();
    for (first, second) in parties {
        calls.push(place(&rig, &first, &second).await);
    }
    for (number, call) in calls.iter().enumerate() {
        // `job-7` is also the mark of a dialog that the recording before left behind.
        if number != 7 {
            assert_eq!(outcome(call).await, "Answered", "{number}");
        }
    }
}

#[test]
fn every_recorded_event_is_framed() {
    let mut frames = 0;
    for name in fixtures::all_names().unwrap() {
        if !name.contains("kamailio") {
            continue;
        }
        let recording = Recording::load_channels(&name).unwrap();
        let events = match &name {
            name if name.ends_with("evapi_events") => recording,
            _ => recording.channel("evapi"),
        };
        for conn in events.connections() {
            let (mut codec, mut input) = (NetstringCodec::new(MAX_PAYLOAD), BytesMut::new());
            input.extend_from_slice(&events.server_bytes(conn));
            while let Some(frame) = codec.decode(&mut input).expect(&name) {
                assert!(frame.starts_with(b"{\"event\":"), "{name}");
                frames += 1;
            }
            assert!(input.is_empty(), "{name}");
        }
    }
    assert!(frames > 300, "{frames}");
}

#[tokio::test(start_paused = true)]
async fn every_recorded_list_is_read() {
    let mut dialogs = 0;
    for name in fixtures::names().unwrap() {
        let Some(short) = name.strip_prefix("kamailio/") else {
            continue;
        };
        let lists = answers(&Recording::load_channels(&name).unwrap());
        let Some(lists) = lists.get("dlg.list") else {
            continue;
        };
        let rig = Rig::new(short).await;
        for list in lists {
            *rig.played.start.lock().unwrap() = Instant::now().checked_sub(list.at);
            let rows = list.body["result"].as_array().map_or(0, Vec::len);
            let read = rig.adapter.dialogs().await.unwrap();
            assert_eq!(read.len(), rows, "{name}");
            assert!(read.iter().all(|it| it.handle.is_some()), "{name}");
            dialogs += rows;
        }
    }
    assert!(dialogs > 300, "{dialogs}");
}

#[tokio::test(start_paused = true)]
async fn recorded_answers_about_the_server_are_read() {
    let basics = Rig::new("basics").await;
    basics.start();
    let statistics = basics.adapter.statistics().await.unwrap();
    assert!(statistics.values.len() > 50);
    assert_eq!(statistics.get("core:fwd_requests"), Some(0));
    let destinations = basics.adapter.destinations().await.unwrap();
    assert_eq!(destinations.len(), 3);
    let usrloc = Rig::new("usrloc").await;
    let at = |micros| Instant::now().checked_sub(Duration::from_micros(micros));
    *usrloc.played.start.lock().unwrap() = at(515_500);
    let registered = usrloc.adapter.registrations().await.unwrap();
    assert_eq!(registered.len(), 1);
    assert_eq!(registered[0].aor.expose(), "alice");
    *usrloc.played.start.lock().unwrap() = at(516_500);
    let one = usrloc.adapter.registration("alice").await.unwrap();
    assert_eq!(one.as_ref(), registered.first());
    let dispatcher = Rig::new("dispatcher").await;
    dispatcher.start();
    assert_eq!(dispatcher.adapter.destinations().await.unwrap().len(), 3);
}
