//! Sound files and digits of a call (recordings `call_control_hold_attach_record_conf`,
//! `sip_in_cancel_and_dtmf_info`).

use std::{sync::Arc, time::Duration};

use faxbot_core::Timestamp;
use tokio::time::sleep;

use super::{
    channel::{Channel, Kind, Media},
    modules,
    msg::Msg,
    world::{State, World},
};
use crate::server::sound;

/// Bytes of a second of bare samples: 8,000 of 16 bits.
const RATE: u64 = 16_000;

/// Longest text of digits that is kept for a channel.
const MAX_KEPT: usize = 4096;

/// `chan.attach`: a source to hear, a consumer that listens. What works is not told by the answer
/// but by `chan.notify`, unless `single` asks for it; only music answers true.
pub(super) fn attach(world: &Arc<World>, module: &str, msg: &mut Msg) -> bool {
    let Some(id) = msg.channel.clone() else {
        return false;
    };
    let source = msg.text("source");
    let consumer = msg.text("consumer");
    match module {
        "wave" => {
            let plays = source.strip_prefix("wave/play/");
            let records = consumer.strip_prefix("wave/record/");
            if let Some(path) = plays {
                play(world, &id, path, msg);
                msg.clear("source");
            }
            if let Some(path) = records {
                listen(world, &id, path, msg);
                msg.clear("consumer");
            }
            let rest = msg.some("source").is_some() || msg.some("consumer").is_some();
            (plays.is_some() || records.is_some()) && !rest && msg.flag("single")
        }
        "tone" => {
            if source.starts_with("tone/") {
                msg.clear("source");
            }
            false
        }
        "moh" => source.starts_with("moh/") && consumer.is_empty(),
        _ => false,
    }
}

fn play(world: &Arc<World>, id: &str, path: &str, msg: &Msg) {
    // A file that is not there is over at once, as far as anybody is told.
    let bytes = world.config.paths.size(path).unwrap_or_default();
    let time = Duration::from_millis(bytes.saturating_mul(1000) / RATE);
    if let Some(notify) = msg.some("notify") {
        let job = played(Arc::clone(world), id.to_owned(), notify.to_owned(), time);
        world.spawn(job);
    }
}

fn listen(world: &Arc<World>, id: &str, path: &str, msg: &Msg) {
    let most = msg.get("maxlen").and_then(|text| text.parse::<u64>().ok());
    let media = (path != "-").then(|| begin(world, path, false, most));
    replace(world, id, false, media);
    let full = most.map(|bytes| Duration::from_millis(bytes.saturating_mul(1000) / RATE));
    if let Some((notify, time)) = msg.some("notify").zip(full) {
        let (id, notify, path) = (id.to_owned(), notify.to_owned(), path.to_owned());
        world.spawn(recorded(Arc::clone(world), id, notify, path, time));
    }
}

/// A file is played to its end.
async fn played(world: Arc<World>, id: String, notify: String, time: Duration) {
    sleep(time).await;
    world.act(|state| state.notify(&id, &notify, "eof"));
}

/// A recording is full.
async fn recorded(world: Arc<World>, id: String, notify: String, path: String, time: Duration) {
    sleep(time).await;
    world.act(|state| {
        let now = state.now();
        let Some(channel) = state.channel_mut(&id) else {
            return;
        };
        let Some(at) = channel
            .recordings
            .iter()
            .position(|media| media.path == path)
        else {
            return;
        };
        let media = channel.recordings.remove(at);
        state
            .finished
            .push((media.path, now.duration_since(media.since)));
        state.notify(&id, &notify, "maxlen");
    });
    write_finished(&world);
}

fn begin(world: &Arc<World>, path: &str, of_call: bool, most: Option<u64>) -> Media {
    // The file is there at once; nobody asks whether that worked.
    let _made = world.config.paths.make_parent(path);
    let _made = sound::leave(&world.config.paths, path, Duration::ZERO);
    Media {
        path: path.to_owned(),
        of_call,
        since: world.now(),
        most,
    }
}

/// `chan.record`: records a call. `call=-` is no recorder and changes nothing; `wave/record/-`
/// replaces the one that runs by one without a file (`wavefile.cpp`).
pub(super) fn record(world: &Arc<World>, msg: &Msg) -> bool {
    let Some(id) = msg.channel.clone() else {
        return false;
    };
    let target = msg.text("call");
    let Some(path) = target.strip_prefix("wave/record/") else {
        return false;
    };
    let most = msg.get("maxlen").and_then(|text| text.parse().ok());
    let media = (path != "-").then(|| begin(world, path, true, most));
    replace(world, &id, true, media);
    true
}

/// What was recorded before ends.
fn replace(world: &Arc<World>, id: &str, of_call: bool, media: Option<Media>) {
    world.change(|state| {
        let now = state.now();
        let Some(channel) = state.channel_mut(id) else {
            return;
        };
        let all = std::mem::take(&mut channel.recordings);
        let (old, on): (Vec<_>, Vec<_>) = all.into_iter().partition(|it| it.of_call == of_call);
        channel.recordings = on;
        channel.recordings.extend(media);
        let ended = old
            .into_iter()
            .map(|it| (it.path, now.duration_since(it.since)));
        state.finished.extend(ended);
    });
    write_finished(world);
}

/// Recordings that run when their channel ends.
pub(super) fn left_behind(channel: &Channel, now: Timestamp) -> Vec<(String, Duration)> {
    let all = channel.recordings.iter();
    all.map(|media| (media.path.clone(), now.duration_since(media.since)))
        .collect()
}

/// Leaves the files of recordings that are over.
pub(super) fn write_finished(world: &Arc<World>) {
    let finished = world.change(|state| std::mem::take(&mut state.finished));
    for (path, length) in finished {
        // Nobody asks whether it is there.
        let _written = sound::leave(&world.config.paths, &path, length);
    }
}

/// Digits for the far end of a SIP leg: of the one that the sender is connected to, else of the
/// one that the message names (`Driver::received` in `engine/Channel.cpp`). A message in the name
/// of a SIP leg so goes to its partner, and not to its own far end.
pub(super) fn send_digits(world: &Arc<World>, module: &str, msg: &Msg) -> bool {
    let to = modules::destination(module, msg).to_owned();
    let text = msg.text("text");
    world.change(|state| {
        if !state
            .channel(&to)
            .is_some_and(|channel| channel.kind == Kind::Sip)
        {
            return false;
        }
        if let Some(sent) = state.digits.entry(&to).filter(|sent| sent.len() < MAX_KEPT) {
            sent.push_str(&text);
        }
        true
    })
}

impl State {
    fn notify(&mut self, id: &str, target: &str, reason: &str) {
        if self.channel(id).is_none() {
            return;
        }
        let msg = Msg::new("chan.notify")
            .with("id", id)
            .with("targetid", target)
            .with("reason", reason);
        self.later(msg);
    }

    /// Recordings of calls that nobody is told of end when they are full too.
    pub(super) fn full_recordings(&mut self) {
        let now = self.now();
        for id in self.ids() {
            let Some(channel) = self.channel_mut(&id) else {
                continue;
            };
            let is_full = |media: &Media| {
                let bytes = now
                    .duration_since(media.since)
                    .as_secs()
                    .saturating_mul(RATE);
                media
                    .most
                    .is_some_and(|most| bytes > most.saturating_add(RATE))
            };
            let all = std::mem::take(&mut channel.recordings);
            let (full, on): (Vec<_>, Vec<_>) = all.into_iter().partition(is_full);
            channel.recordings = on;
            let ended = full
                .into_iter()
                .map(|it| (it.path, now.duration_since(it.since)));
            self.finished.extend(ended);
        }
    }
}
