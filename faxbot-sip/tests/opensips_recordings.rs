//! The adapter against what a real OpenSIPS said: each recorded call comes to its recorded end, and each
//! recorded answer is read.
#![cfg(test)]
#![cfg(feature = "opensips")]

use std::{
    collections::{BTreeMap, HashMap},
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
    sip::{CallRecord, CallRequest, CallState, Disposition, HistoryQuery, SipAdapter as _},
};
use faxbot_sip::{
    adapter::opensips::{OpenSipsAdapter, OpenSipsConfig},
    protocol::{
        jsonrpc::{EventCodec, MAX_EVENT, Notification},
        session::Codec as _,
    },
};
use faxbot_testkit::{
    fixtures,
    replay::{Direction, Recording},
};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

/// What is asked at the beginning, as the recorded server answered it.
const GENERAL: &str = "opensips/01_version_uptime_ps_which";

/// An answer of the server.
#[derive(Debug, Clone)]
struct Answer {
    at: Duration,
    body: Value,
}

/// The requests of a recording over HTTP, with their answers.
fn exchanges(recording: &Recording) -> Vec<(Value, Answer)> {
    let mut open: HashMap<u64, (Duration, Vec<u8>, Vec<u8>)> = HashMap::new();
    let mut done = Vec::new();
    let http = recording.channel("mi_http");
    for chunk in http.chunks() {
        let conn = u64::from(chunk.conn);
        match chunk.dir {
            Direction::ToServer => {
                done.extend(open.insert(conn, (chunk.t, chunk.bytes.to_vec(), Vec::new())));
            }
            Direction::ToClient => {
                if let Some((_, _, answer)) = open.get_mut(&conn) {
                    answer.extend_from_slice(&chunk.bytes);
                }
            }
        }
    }
    done.extend(open.into_values());
    let body = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (_, body) = text.split_once("\r\n\r\n")?;
        serde_json::from_str::<Value>(body).ok()
    };
    let mut found: Vec<_> = done
        .into_iter()
        .filter_map(|(at, request, answer)| {
            let (request, body) = (body(&request)?, body(&answer)?);
            request["method"]
                .is_string()
                .then_some((request, Answer { at, body }))
        })
        .collect();
    found.sort_by_key(|(_, answer)| answer.at);
    found
}

/// The events of a recording, by datagrams or else by the first stream.
fn events(recording: &Recording) -> Vec<(Duration, Notification)> {
    let datagrams = recording.channel("event_datagram");
    if !datagrams.chunks().is_empty() {
        let chunks = datagrams.chunks().iter();
        return chunks
            .filter_map(|it| Some((it.t, Notification::parse(&it.bytes)?)))
            .collect();
    }
    let stream = recording.channel("event_stream");
    let mut found = Vec::new();
    let mut links: BTreeMap<u64, (EventCodec, BytesMut)> = BTreeMap::new();
    for chunk in stream
        .chunks()
        .iter()
        .filter(|it| it.dir == Direction::ToServer)
    {
        let link = links.entry(u64::from(chunk.conn));
        let (codec, input) = link.or_insert_with(|| (EventCodec::new(MAX_EVENT), BytesMut::new()));
        input.extend_from_slice(&chunk.bytes);
        while let Some(frame) = codec.decode(input).unwrap() {
            found.extend(Notification::parse(&frame).map(|event| (chunk.t, event)));
        }
    }
    found
}

/// What the real server said, by method and time.
struct Played {
    answers: HashMap<String, Vec<Answer>>,
    start: Mutex<Option<Instant>>,
    /// Scenarios of the recording, and what stands for them.
    marks: Mutex<Vec<(String, String)>>,
}

impl Played {
    fn of(recording: &Recording) -> Self {
        let mut answers: HashMap<String, Vec<Answer>> = HashMap::new();
        for (request, answer) in exchanges(recording) {
            let method = request["method"].as_str().unwrap().to_owned();
            // Of lists the whole one is played.
            let part = matches!(method.as_str(), "dlg_list" | "b2b_list")
                && request["params"].get("callid").is_some();
            if !part && answer.body.get("result").is_some() {
                answers.entry(method).or_default().push(answer);
            }
        }
        for (request, answer) in exchanges(&Recording::load_channels(GENERAL).unwrap()) {
            let method = request["method"].as_str().unwrap();
            if request.get("params").is_none() && !answers.contains_key(method) {
                answers.insert(method.to_owned(), vec![answer]);
            }
        }
        Self {
            answers,
            start: Mutex::default(),
            marks: Mutex::default(),
        }
    }

    fn result(&self, method: &str) -> Value {
        let start = *self.start.lock().unwrap();
        let now = start.map_or(Duration::ZERO, |start| start.elapsed());
        let all = self.answers.get(method);
        let before = all.and_then(|all| all.iter().rev().find(|it| it.at <= now));
        match (method, before.or(all.and_then(|all| all.first()))) {
            ("dlg_list", _) if before.is_none() => json!({ "count": 0, "Dialogs": [] }),
            ("b2b_list", _) if before.is_none() => json!({ "Tuples": [] }),
            ("subscribers_list", _) => self.subscribed(),
            ("which", Some(answer)) => {
                // Recorded on a server without click-to-dial.
                let mut all = answer.body["result"].clone();
                let more = [
                    "b2b_trigger_scenario",
                    "b2b_list",
                    "b2b_terminate_call",
                    "b2b_bridge",
                ];
                all.as_array_mut().unwrap().extend(more.map(Value::from));
                all
            }
            (_, Some(answer)) => answer.body["result"].clone(),
            _ => json!("OK"),
        }
    }

    /// Everything that was asked for.
    fn subscribed(&self) -> Value {
        let published = self.answers["events_list"][0].body["result"]["Events"].clone();
        let names = published.as_array().unwrap().iter();
        let of = |event: &Value| json!({ "name": event["name"], "Subscribers": [{ "socket": SOCKET, "ttl": 600 }] });
        json!({ "Events": names.map(of).collect::<Vec<_>>() })
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
        let result = self.result(asked["method"].as_str().unwrap());
        let body = json!({ "jsonrpc": "2.0", "result": result, "id": asked["id"] }).to_string();
        let marks = self.marks.lock().unwrap();
        let body = marks.iter().fold(body, |text, (job, id)| {
            text.replace(&format!("\"{job}\""), &format!("\"{id}\""))
        });
        Ok(HttpResponse::new(StatusCode::OK, body))
    }
}

const SOCKET: &str = "udp:127.0.0.1:28090";

/// Plays a recording to an adapter, and gives it when all is over. `wanted` names our own call.
async fn play(name: &str, wanted: Option<&str>) -> (OpenSipsAdapter, Option<CallRecord>) {
    let recording = Recording::load_channels(name).unwrap();
    let played = Arc::new(Played::of(&recording));
    let told = events(&recording);
    let url = format!("opensips+http://127.0.0.1:8888/mi?poll=500ms&events=given:{SOCKET}");
    let config = OpenSipsConfig::from_url(&url).unwrap();
    let adapter = OpenSipsAdapter::with_clock(config, TokioClock::shared())
        .with_http(Arc::clone(&played) as Arc<dyn HttpClient>);
    adapter.connect().await.unwrap();
    let start = Instant::now();
    *played.start.lock().unwrap() = Some(start);
    let mut call = None;
    if let Some(scenario) = wanted {
        let id = CallId::new();
        let mark = (scenario.to_owned(), id.as_uuid().to_string());
        played.marks.lock().unwrap().push(mark);
        let (from, to) = ("sip:2000@127.0.0.1:25080", "sip:3000@127.0.0.1:25084");
        let request = CallRequest::connect(from.parse().unwrap(), to.parse().unwrap()).with_id(id);
        call = Some(adapter.make_call(request).await.unwrap());
    }
    for (at, event) in told {
        sleep_until(start + at).await;
        let params: Vec<_> = event.params.clone();
        let object: serde_json::Map<_, _> = params.into_iter().collect();
        let text = json!({ "method": event.method, "params": object }).to_string();
        adapter.event(text.as_bytes());
    }
    let record = match call {
        Some(call) => {
            let ended = tokio::time::timeout(Duration::from_secs(200), call.ended());
            Some(ended.await.expect("it never ends").unwrap())
        }
        None => {
            tokio::time::sleep(Duration::from_secs(15)).await;
            None
        }
    };
    (adapter, record)
}

/// A Call-ID, how its call ended, and the status of SIP that said so.
type End = (&'static str, Disposition, Option<u16>);

#[tokio::test(start_paused = true)]
async fn every_recorded_call_of_others_comes_to_its_recorded_end() {
    use Disposition::{Answered, Busy, Failed, NoAnswer, Unknown};
    let table: &[(&str, &[End])] = &[
        (
            "opensips/03_events_datagram_calls",
            &[
                ("caller-bye@rig", Answered, None),
                ("callee-bye@rig", Answered, None),
                ("busy@rig", Busy, Some(486)),
                ("notfound@rig", Failed, Some(404)),
                ("cancel@rig", NoAnswer, Some(487)),
                ("timeout@rig", NoAnswer, Some(408)),
                ("mi-end@rig", Answered, None),
            ],
        ),
        (
            "opensips/03_events_dialog_lifetime_over",
            &[("lifetime@rig", Answered, None)],
        ),
        (
            "opensips/03_events_custom_and_states",
            &[("raise@rig", Unknown, None)],
        ),
        (
            "opensips/06_call_hold_unhold",
            &[("hold@rig", Answered, None)],
        ),
        (
            "opensips/06_call_transfer_blind_callee",
            &[("blind@rig", Answered, None)],
        ),
        (
            "opensips/06_call_transfer_target_busy",
            &[
                ("tbusy@rig", Answered, None),
                ("b4ea239544@rig", Unknown, None),
            ],
        ),
        (
            "opensips/02_dlg_list_after_the_call_ended",
            &[("busy-linger@rig", Unknown, None)],
        ),
    ];
    for (name, calls) in table {
        let (adapter, _) = play(name, None).await;
        let history = adapter
            .get_call_history(HistoryQuery::default())
            .await
            .unwrap();
        for (call, disposition, status) in *calls {
            let native = CallRef::native(*call);
            let of_call = |record: &&CallRecord| {
                record
                    .channels
                    .iter()
                    .any(|channel| channel.expose() == call)
            };
            let records: Vec<_> = history.items.iter().filter(of_call).collect();
            assert_eq!(records.len(), 1, "{name} {call}");
            assert_eq!(records[0].disposition, *disposition, "{name} {call}");
            assert_eq!(records[0].causes.sip_status, *status, "{name} {call}");
            let at = adapter.get_status(&native).await.unwrap().state;
            assert_eq!(at, CallState::Terminated, "{name} {call}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_hundred_recorded_calls_by_datagram_and_by_stream_all_end_with_their_reason() {
    for name in [
        "bursts/opensips_03_burst_200_calls_datagram",
        "bursts/opensips_03_burst_200_calls_stream",
    ] {
        if Recording::load_channels(name).is_err() {
            // Not in the published package.
            continue;
        }
        let (adapter, _) = play(name, None).await;
        let query = |limit| {
            let mut query = HistoryQuery::default();
            query.limit = limit;
            query
        };
        let history = adapter.get_call_history(query(1_000)).await.unwrap();
        assert_eq!(history.items.len(), 200, "{name}");
        let unknown = |it: &&CallRecord| it.disposition == Disposition::Unknown;
        assert_eq!(history.items.iter().filter(unknown).count(), 0, "{name}");
        assert!(adapter.snapshot().calls.is_empty(), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_recorded_list_is_read() {
    let names = fixtures::names().unwrap();
    let mut read = 0;
    for name in names.iter().filter(|name| name.starts_with("opensips/")) {
        let Ok(recording) = Recording::load_channels(name) else {
            continue;
        };
        for (request, answer) in exchanges(&recording) {
            let method = request["method"].as_str().unwrap().to_owned();
            if answer.body.get("result").is_none() || request["params"].get("callid").is_some() {
                continue;
            }
            let played = Arc::new(Played::of(&recording));
            let mut one = HashMap::from([(method.clone(), vec![answer.clone()])]);
            for (method, answers) in &played.answers {
                one.entry(method.clone()).or_insert_with(|| answers.clone());
            }
            let of_one = Played {
                answers: one,
                start: Mutex::new(Some(Instant::now() - Duration::from_secs(3_600))),
                marks: Mutex::default(),
            };
            let url = "opensips+http://127.0.0.1:8888/mi";
            let config = OpenSipsConfig::from_url(url).unwrap();
            let adapter = OpenSipsAdapter::with_clock(config, TokioClock::shared())
                .with_http(Arc::new(of_one) as Arc<dyn HttpClient>);
            let done = match method.as_str() {
                "dlg_list" | "b2b_list" | "ul_dump" | "ds_list" | "lb_list" | "reg_list"
                | "list_all_profiles" | "ua_session_list" | "get_statistics" => {
                    adapter.connect().await.unwrap();
                    match method.as_str() {
                        "dlg_list" => adapter.dialogs().await.map(|all| all.len()),
                        "b2b_list" => adapter.b2b_calls().await.map(|all| all.len()),
                        "ul_dump" => adapter.registrations().await.map(|all| all.len()),
                        "ds_list" => adapter.dispatchers().await.map(|all| all.len()),
                        "lb_list" => adapter.load_balancers().await.map(|all| all.len()),
                        "reg_list" => adapter.trunks().await.map(|all| all.len()),
                        "list_all_profiles" => adapter.profiles().await.map(|all| all.len()),
                        "ua_session_list" => adapter.sessions().await.map(|all| all.len()),
                        _ => Ok(0),
                    }
                }
                _ => continue,
            };
            done.unwrap_or_else(|error| panic!("{name} {method}: {error}"));
            read += 1;
        }
    }
    assert!(read > 50, "{read}");
}
