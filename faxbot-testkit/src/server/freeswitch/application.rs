//! The applications that a channel can run (`mod_dptools`, `mod_commands`; recordings `03_*`,
//! `04_*`).

use std::time::Duration;

use super::{
    api, bridge,
    call::{Flow, Here, Stop},
    cause,
    channel::By,
    conference, fax, leg, outbound,
    program::Program,
    quoting, recording,
};

/// How an application ended, and its `Application-Response`.
pub(super) struct Done {
    pub flow: Flow,
    pub response: Option<String>,
}

impl Done {
    pub(super) const fn next() -> Self {
        Self {
            flow: Flow::Next,
            response: None,
        }
    }

    pub(super) fn said(response: &str) -> Self {
        Self {
            flow: Flow::Next,
            response: Some(response.to_owned()),
        }
    }
}

impl From<Flow> for Done {
    fn from(flow: Flow) -> Self {
        Self {
            flow,
            response: None,
        }
    }
}

impl From<Option<Stop>> for Done {
    fn from(stop: Option<Stop>) -> Self {
        match stop {
            None | Some(Stop::Break) => Self::next(),
            Some(Stop::Flow(flow)) => flow.into(),
        }
    }
}

/// Runs one on a channel. One that does not exist ends the call (recording `04_sendmsg`).
pub(super) async fn run(here: &mut Here<'_>, name: &str, args: &str) -> Done {
    let (world, id) = (here.world, here.id);
    match name.to_ascii_lowercase().as_str() {
        "park" => return park(here).await,
        "answer" => world.with(|state| leg::answer(state, id)),
        "pre_answer" | "ring_ready" => world.with(|state| api::ring_ready(state, id)),
        "hangup" => {
            world.with(|state| state.hang_up(id, cause::named(args), By::Here));
            return Flow::Ended.into();
        }
        "respond" => {
            let status = args.split(' ').next().and_then(|text| text.parse().ok());
            let cause = cause::of_status(status.unwrap_or(480));
            world.with(|state| state.hang_up(id, cause, By::Here));
            return Flow::Ended.into();
        }
        "redirect" => {
            world.with(|state| state.redirect(id, args));
            return Flow::Ended.into();
        }
        "set" | "export" => {
            let (name, value) = args.split_once('=').unwrap_or((args, ""));
            world.with(|state| state.set_var(id, name, value));
        }
        "unset" => world.with(|state| state.set_var(id, args, "")),
        "multiset" => {
            for (name, value) in quoting::variables(args) {
                world.with(|state| state.set_var(id, &name, &value));
            }
        }
        "db" | "hash" | "sched_hangup" | "sched_transfer" => {
            let args = if name.starts_with("sched_") {
                let (time, rest) = args.split_once(' ').unwrap_or((args, ""));
                format!("{time} {id} {rest}")
            } else {
                args.to_owned()
            };
            Box::pin(api::run(world, name, &args)).await;
        }
        "sleep" => {
            let time = Duration::from_millis(args.trim().parse().unwrap_or(0));
            return here.idle(Some(time)).await.into();
        }
        "echo" | "hold_music" => return here.idle(None).await.into(),
        "playback" | "endless_playback" | "gentones" => {
            return playback(here, name, args).await;
        }
        "hold" => world.with(|state| api::hold(state, id, true)),
        "unhold" => world.with(|state| api::hold(state, id, false)),
        "send_dtmf" => world.with(|state| state.send_digits(id, args)),
        "record_session" => {
            let file = args.split('+').next().unwrap_or_default().trim();
            recording::start(world, id, file);
        }
        "stop_record_session" => {
            recording::stop(world, id, args.trim());
        }
        "record" => {
            recording::start(world, id, args.split(' ').next().unwrap_or_default());
            let stop = here.idle(None).await;
            recording::stop(world, id, args.split(' ').next().unwrap_or_default());
            return stop.into();
        }
        "transfer" => {
            let words = quoting::separate(args, ' ', 3);
            let word = |at: usize| words.get(at).map(String::as_str);
            let exten = word(0).unwrap_or_default();
            return Flow::Go(Program::read(exten, word(1), word(2))).into();
        }
        "bridge" => return bridge::application(here, args).await,
        "conference" if world.has("mod_conference") => return conference::join(here, args).await,
        "txfax" if world.has("mod_spandsp") => return fax::send(here, args).await,
        "rxfax" if world.has("mod_spandsp") => return fax::receive(here, args).await,
        "socket" => return outbound::application(here, args).await,
        "intercept" => {
            let other = args.trim().to_owned();
            return bridge::intercept(here, &other).await;
        }
        "info"
        | "log"
        | "event"
        | "export_vars"
        | "verbose_events"
        | "t38_gateway"
        | "spandsp_start_tone_detect"
        | "start_dtmf"
        | "stop_dtmf" => {}
        _ => {
            world.with(|state| state.hang_up(id, "DESTINATION_OUT_OF_ORDER", By::Here));
            return Flow::Ended.into();
        }
    }
    Done::next()
}

/// `park`: until somebody decides (recording `09_inbound_park_decide`).
pub(super) async fn park(here: &mut Here<'_>) -> Done {
    let (world, id) = (here.world, here.id);
    let time = world.with(|state| {
        state.tell("CHANNEL_PARK", id);
        let text = state.var(id, "park_timeout")?;
        let seconds: u64 = text.split(':').next()?.parse().ok()?;
        Some(Duration::from_secs(seconds))
    });
    let stop = here.idle(time).await;
    world.with(|state| {
        state.tell("CHANNEL_UNPARK", id);
        if stop.is_none() {
            state.hang_up(id, cause::NORMAL, By::Here);
        }
    });
    stop.into()
}

async fn playback(here: &mut Here<'_>, name: &str, args: &str) -> Done {
    let (world, id) = (here.world, here.id);
    let file = args.split('@').next().unwrap_or_default();
    if file.starts_with('/') && world.paths.size(file).is_none() {
        return Done::said("FILE NOT FOUND");
    }
    let more = [("Playback-File-Path", args)];
    world.with(|state| state.tell_with("PLAYBACK_START", "", id, &more));
    let endless = name == "endless_playback"
        || args.contains("loops=-1")
        || args.contains("silence_stream://-1");
    let time = (!endless).then(|| length(args));
    let stop = here.idle(time).await;
    let status = if stop.is_some() { "break" } else { "done" };
    let more = [("Playback-File-Path", args), ("Playback-Status", status)];
    world.with(|state| state.tell_with("PLAYBACK_STOP", "", id, &more));
    Done {
        response: Some("FILE PLAYED".to_owned()),
        ..stop.into()
    }
}

/// How long a tone takes; a file takes a second.
fn length(args: &str) -> Duration {
    let inner = args.split_once("%(").map(|(_, rest)| rest);
    let number = inner.and_then(|rest| rest.split(',').next()).or_else(|| {
        args.strip_prefix("silence_stream://")
            .and_then(|rest| rest.split(',').next())
    });
    let millis = number.and_then(|text| text.trim().parse().ok());
    Duration::from_millis(millis.unwrap_or(1000))
}
