//! Plays the client's side of a recording against the mock, and makes what both servers said
//! comparable.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::BytesMut;
use faxbot_sip::protocol::{
    session::Codec as _,
    yate::{Frame, Kind, MAX_LINE, Role, YateCodec},
};
use faxbot_testkit::{
    replay::{Direction, Recording},
    server::yate::MockYate,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, sleep_until},
};

/// Values that differ from run to run, or that only a real SIP stack has.
const VOLATILE: [&str; 29] = [
    "time",
    "callid",
    "sip_callid",
    "sip_contact",
    "sip_from",
    "sip_to",
    "sip_uri",
    "sip_user-agent",
    "device",
    "xsip_dlgtag",
    "cdrid",
    "runid",
    "duration",
    "billtime",
    "ringtime",
    "formats",
    "faxident",
    "faxident_local",
    "faxident_remote",
    "antiloop",
    "ip_port",
    "local_cseq",
    "sip_refer-to",
    "diverter",
    "caller",
    "rtp_rfc2833",
    "rtp_port",
    "sip_content-type",
    "transport",
];

/// Something that a test does at a moment of the recording.
pub(crate) type Act = (f64, Box<dyn Fn(&MockYate)>);

pub(crate) fn act(at: f64, does: impl Fn(&MockYate) + 'static) -> Act {
    (at, Box::new(does))
}

/// Frames of one side.
pub(crate) fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut codec = YateCodec::new(Role::Client, MAX_LINE);
    let mut input = BytesMut::from(bytes);
    let mut all = Vec::new();
    while let Some(frame) = codec.decode(&mut input).unwrap() {
        all.push(frame);
    }
    all
}

/// Channel ids by the order in which they came, each driver for itself: what the mock calls them.
#[derive(Default)]
pub(crate) struct Names(BTreeMap<String, String>);

impl Names {
    fn of(text: &str) -> Self {
        let mut ids = Vec::new();
        for (driver, number, _) in tokens(text) {
            if !ids.contains(&(driver, number)) {
                ids.push((driver, number));
            }
        }
        ids.sort_unstable();
        let mut counts = BTreeMap::new();
        let mut names = BTreeMap::new();
        for (driver, number) in ids {
            let count = counts.entry(driver).or_insert(0);
            *count += 1;
            names.insert(format!("{driver}/{number}"), format!("{driver}/{count}"));
        }
        Self(names)
    }

    fn rename(&self, text: &str) -> String {
        let mut out = String::new();
        let mut from = 0;
        for (driver, number, at) in tokens(text) {
            let old = format!("{driver}/{number}");
            out.push_str(&text[from..at]);
            out.push_str(self.0.get(&old).unwrap_or(&old));
            from = at + old.len();
        }
        out.push_str(&text[from..]);
        out
    }
}

/// `sip/12` and its like, with where they stand.
fn tokens(text: &str) -> Vec<(&'static str, u32, usize)> {
    let mut all = Vec::new();
    for driver in ["dumb", "sip", "fax", "conf", "tone"] {
        let start = format!("{driver}/");
        for (at, _) in text.match_indices(&start) {
            let digits: String = text[at + start.len()..]
                .chars()
                .take_while(char::is_ascii_digit)
                .collect();
            let after = text[at + start.len() + digits.len()..].chars().next();
            // A call id begins like a channel.
            let ends = after.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '@' && c != '/');
            if let Ok(number) = digits.parse()
                && ends
            {
                all.push((driver, number, at));
            }
        }
    }
    all.sort_by_key(|(_, _, at)| *at);
    all
}

/// Lines of messages in a form that two runs share. CDRs and RTP are left out.
pub(crate) fn shape(bytes: &[u8]) -> Vec<String> {
    lines(bytes, |name| name != "call.cdr" && name != "chan.rtp")
}

/// The same of CDRs.
pub(crate) fn cdrs(bytes: &[u8]) -> Vec<String> {
    lines(bytes, |name| name == "call.cdr")
}

fn lines(bytes: &[u8], wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let names = Names::of(&String::from_utf8_lossy(bytes));
    let mut bills = Vec::new();
    let mut all = Vec::new();
    for frame in frames(bytes) {
        let Some(message) = frame.message() else {
            continue;
        };
        if !wanted(&message.name()) {
            continue;
        }
        let kind = match frame.kind() {
            Kind::Request => "asks".to_owned(),
            Kind::Answer => format!("answers {}", message.is_processed()),
            _ => format!("tells {}", message.is_processed()),
        };
        let mut line = format!("{kind} {} {:?}", message.name(), message.retval());
        for param in message.params() {
            let (name, value) = (param.name(), param.text().unwrap_or_default());
            if name == "rtp_stats" {
                // Only where sound has flowed.
                continue;
            }
            let value = match &*name {
                "billid" => {
                    let known = bills.iter().position(|bill| *bill == value);
                    let at = known.unwrap_or_else(|| {
                        bills.push(value.clone().into_owned());
                        bills.len() - 1
                    });
                    format!("run-{at}")
                }
                name if VOLATILE.contains(&name) => "*".to_owned(),
                _ => value.into_owned(),
            };
            line.push_str(&format!(" {name}={value}"));
        }
        all.push(names.rename(&line));
    }
    all
}

/// What the recorded server said in CDRs.
pub(crate) fn recorded_cdrs(name: &str) -> Vec<String> {
    let recording = Recording::load(&format!("yate/{name}")).unwrap();
    cdrs(&recording.server_bytes(1))
}

/// What the recorded server said.
pub(crate) fn recorded(name: &str) -> Vec<String> {
    let recording = Recording::load(&format!("yate/{name}")).unwrap();
    shape(&recording.server_bytes(1))
}

/// Plays the client's side at the recorded times, and what the test does beside it. The answer is
/// all that the mock said until the client left.
pub(crate) async fn play(mock: &MockYate, name: &str, acts: Vec<Act>) -> Vec<u8> {
    let recording = Recording::load(&format!("yate/{name}")).unwrap();
    let server = recording.server_bytes(1);
    let names = Names::of(&String::from_utf8_lossy(&server));
    let asked = asked(&server);
    let mut steps: Vec<(f64, Option<String>, Option<Act>)> = recording
        .chunks_of(1, Direction::ToServer)
        .map(|chunk| {
            let text = String::from_utf8_lossy(&chunk.bytes);
            (chunk.t.as_secs_f64(), Some(names.rename(&text)), None)
        })
        .collect();
    steps.extend(acts.into_iter().map(|act| (act.0, None, Some(act))));
    steps.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut reader, mut writer) = tokio::io::split(mock.connect_duplex());
    let said = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&said);
    let reading = tokio::spawn(async move {
        let mut buffer = vec![0; 65536];
        while let Ok(count @ 1..) = reader.read(&mut buffer).await {
            heard.lock().unwrap().extend_from_slice(&buffer[..count]);
        }
    });
    let start = Instant::now();
    for (at, text, act) in steps {
        sleep_until(start + Duration::from_secs_f64(at)).await;
        if let Some(mut text) = text {
            let own = self::asked(&said.lock().unwrap());
            for (old, new) in asked.iter().zip(&own) {
                text = text.replace(old, new);
            }
            // A server that stops closes before the client is through.
            let _gone = writer.write_all(text.as_bytes()).await;
        }
        if let Some((_, does)) = act {
            does(mock);
        }
    }
    reading.await.unwrap();
    Arc::into_inner(said).unwrap().into_inner().unwrap()
}

/// The ids of the server's requests in their order.
fn asked(bytes: &[u8]) -> Vec<String> {
    let all = frames(bytes)
        .into_iter()
        .filter(|it| it.kind() == Kind::Request);
    all.map(|it| String::from_utf8_lossy(it.message().unwrap().id()).into_owned())
        .collect()
}

/// As [`same`] for messages whose order is left to chance on a real server.
pub(crate) fn alike(name: &str, mut want: Vec<String>, mut got: Vec<String>, skips: &[&str]) {
    want.sort();
    got.sort();
    same(name, want, got, skips);
}

/// Fails at the first line that is another one.
pub(crate) fn same(name: &str, mut want: Vec<String>, mut got: Vec<String>, skips: &[&str]) {
    for side in [&mut want, &mut got] {
        side.retain(|line| !skips.iter().any(|skip| line.contains(skip)));
    }
    for (at, (want, got)) in want.iter().zip(&got).enumerate() {
        assert_eq!(got, want, "{name}, line {at}");
    }
    assert_eq!(
        got.len(),
        want.len(),
        "{name}: {:#?}",
        &got[want.len().min(got.len())..]
    );
}
