//! `Dial`: legs that ring at once, the bridge of the first that answers, and how both ends end.
//!
//! Each leg runs in its own task. The caller's task holds one end of a switch for each leg: what
//! it sends takes the leg into the bridge, and its drop, for whatever reason, ends the leg.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

use super::{
    Done, FOR_EVER, Legs, Place, Stop, hang_up, live,
    live::tell_half,
    open::{NewLeg, create, dial_string, local_bridge},
    pause,
    ring::{Failure, Ringing, ring},
    up,
};
use crate::server::asterisk::{
    application::Here,
    bridge::stay,
    dialplan::{run_handlers, seconds},
    world::{State, World},
};
use crate::server::{
    party::Party,
    script::{CallScript, Ending},
};

/// What `Dial` sets, and clears before it starts (recording `03_originate_dial_app`).
const RESULTS: [&str; 11] = [
    "DIALSTATUS",
    "DIALEDPEERNUMBER",
    "DIALEDPEERNAME",
    "ANSWEREDTIME",
    "ANSWEREDTIME_MS",
    "DIALEDTIME",
    "DIALEDTIME_MS",
    "RINGTIME",
    "RINGTIME_MS",
    "PROGRESSTIME",
    "PROGRESSTIME_MS",
];

/// Legs of one `Dial`. Asterisk has no limit; this one keeps a test from a slip of its own.
const MAX_LEGS: usize = 64;

/// A leg as its caller sees it.
struct Called {
    id: String,
    target: String,
    /// Gone when the leg is.
    join: Option<oneshot::Sender<watch::Receiver<bool>>>,
}

type News = (usize, Result<(), Failure>);

/// `Dial(tech/target&tech/target,timeout,options)`.
pub(in crate::server::asterisk) async fn dial(here: &mut Here<'_>, data: &str) -> Done {
    let world = Arc::clone(here.world);
    let mut parts = data.splitn(3, ',');
    let targets = parts.next().unwrap_or_default();
    let timeout = seconds(parts.next().unwrap_or_default());
    let options = Options::read(parts.next().unwrap_or_default());
    let timeout = if timeout.is_zero() { FOR_EVER } else { timeout };
    world.change(|state| {
        for name in RESULTS {
            state.set_var(here.id, name, "");
        }
    });
    let start = Instant::now();
    // One report of each leg.
    let (report, mut news) = mpsc::channel(MAX_LEGS);
    let targets = targets.split('&').filter(|target| target.contains('/'));
    let mut legs = Vec::new();
    for target in targets.take(MAX_LEGS) {
        legs.extend(call(&world, here.id, target, legs.len(), &report));
    }
    // No such endpoint: no channel, no event (seen on 16.28 and 22.10).
    let mut last = ("CHANUNAVAIL", 3);
    let mut left = legs.len();
    let answered = loop {
        if left == 0 {
            break None;
        }
        let rest = timeout.saturating_sub(start.elapsed());
        tokio::select! {
            biased;
            stop = pause(here.signal, rest) => {
                return given_up(&world, here.id, &mut legs, stop);
            }
            Some((at, result)) = news.recv() => match result {
                Ok(()) => break legs.get_mut(at).map(|leg| (leg.join.take(), leg.id.clone(), leg.target.clone())),
                Err(failure) => {
                    left -= 1;
                    last = (failure.dial_status(), failure.cause);
                    world.change(|state| failed(state, here.id, legs.get_mut(at), failure.status));
                }
            },
        }
    };
    let Some((Some(join), leg, target)) = answered else {
        let (status, cause) = last;
        world.change(|state| {
            if let Some(channel) = state.channel_mut(here.id) {
                channel.cause = cause;
            }
            state.set_var(here.id, "DIALSTATUS", status);
        });
        return Done::Next;
    };
    let entered = world.change(|state| {
        for other in &mut legs {
            failed(state, here.id, Some(other), "CANCEL");
        }
        connect(&world, state, here.id, &leg, &target)
    });
    let Some((of_leg, mut out)) = entered else {
        return Done::Next;
    };
    let _leg_is_gone = join.send(of_leg);
    let talk = Instant::now();
    let stop = limited(&world, here, &mut out, options.limit).await;
    over(&world, here.id, talk.elapsed(), start.elapsed());
    match stop {
        Some(stop) => Done::Stopped(stop),
        None if options.go_on => Done::Next,
        None => Done::Stopped(Stop::Ended(16)),
    }
}

/// The options that count here.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    /// `g`: the caller goes on when the other party hangs up.
    go_on: bool,
    /// `S(seconds)` or `L(milliseconds)`: the longest talk.
    limit: Option<Duration>,
}

impl Options {
    fn read(text: &str) -> Self {
        let mut options = Self::default();
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            rest = rest.get(letter.len_utf8()..).unwrap_or_default();
            let mut argument = "";
            if let Some(inner) = rest.strip_prefix('(') {
                (argument, rest) = inner.split_once(')').unwrap_or((inner, ""));
            }
            match letter {
                'g' => options.go_on = true,
                'S' => options.limit = Some(seconds(argument)),
                'L' => {
                    let first = argument.split(':').next().and_then(|ms| ms.parse().ok());
                    options.limit = first.map(Duration::from_millis);
                }
                _ => {}
            }
        }
        options
    }
}

/// Makes a leg and lets it ring. `None` when there is no such endpoint.
fn call(
    world: &Arc<World>,
    by: &str,
    target: &str,
    at: usize,
    report: &mpsc::Sender<News>,
) -> Option<Called> {
    let (legs, script) = world.change(|state| {
        let script = state.script_of(target);
        (script.ending != Ending::NoEndpoint)
            .then(|| (leg_channels(world, state, by, target), script))
    })?;
    let (join, joined) = oneshot::channel();
    let called = Called {
        id: legs.id.clone(),
        target: target.to_owned(),
        join: Some(join),
    };
    let task = leg(Leg {
        world: Arc::clone(world),
        legs,
        by: by.to_owned(),
        target: target.to_owned(),
        script,
        at,
        report: report.clone(),
        joined,
    });
    world.spawn(task);
    Some(called)
}

/// The channels of a leg, with all that is told of them before they ring (recordings
/// `03_originate_dial_app`, `04_pjsip_rejected_486`).
fn leg_channels(world: &World, state: &mut State, by: &str, target: &str) -> Legs {
    let Some(caller) = state.channel(by) else {
        return create(world, state, &NewLeg::to(target));
    };
    let linked = caller.linked.clone();
    let (context, exten, priority) = (
        caller.context.clone(),
        caller.exten.clone(),
        caller.priority,
    );
    let party = caller
        .caller
        .clone()
        .filter(|party| !party.number.is_empty());
    let inherited: Vec<_> = caller
        .inherited
        .iter()
        .filter_map(|(name, on)| Some((name.clone(), caller.vars.get(name)?.clone(), *on)))
        .collect();
    let legs = create(
        world,
        state,
        &NewLeg {
            linked: Some(&linked),
            by: Some(by),
            ..NewLeg::to(target)
        },
    );
    let string = dial_string(target);
    for id in std::iter::once(&legs.id).chain(&legs.other) {
        for (name, value, on) in &inherited {
            state.set_var(id, name, value);
            if let Some(channel) = state.channel_mut(id).filter(|_| *on) {
                channel.inherited.insert(name.clone(), true);
            }
        }
        state.set_var(id, "DIALEDPEERNUMBER", string);
    }
    // The leg is where its caller is, and has the caller's extension as its number.
    let own = Party {
        name: String::new(),
        number: exten.clone(),
    };
    if let Some(channel) = state.channel_mut(&legs.id) {
        (channel.context, channel.exten) = (context, exten.clone());
        channel.priority = priority;
        channel.caller = Some(own.clone());
        channel.connected.clone_from(&party);
        channel.application = "AppDial".to_owned();
        channel.data = "(Outgoing Line)".to_owned();
    }
    app_dial(state, &legs.id, &exten);
    let presentation = [("CID-CallingPres", "0 (Presentation Allowed, Not Screened)")];
    state.channel_event("NewCallerid", "call", &legs.id, &presentation);
    if party.is_some() {
        state.channel_event("NewConnectedLine", "call", &legs.id, &[]);
    }
    if let Some(other) = &legs.other {
        if let Some(channel) = state.channel_mut(other) {
            channel.caller.clone_from(&party);
            channel.connected = Some(own);
        }
        if party.is_some() {
            state.channel_event("NewCallerid", "call", other, &presentation);
        }
        state.channel_event("NewConnectedLine", "call", other, &[]);
        local_bridge(state, &legs.id, other, target);
    }
    state.dial_event("DialBegin", Some(by), &legs.id, ("DialString", string));
    legs
}

fn app_dial(state: &mut State, id: &str, exten: &str) {
    let headers = [
        ("Extension", exten),
        ("Application", "AppDial"),
        ("AppData", "(Outgoing Line)"),
    ];
    state.channel_event("Newexten", "dialplan", id, &headers);
}

/// A leg that is not to be answered any more: `DialEnd`, and its task learns of it.
fn failed(state: &mut State, by: &str, leg: Option<&mut Called>, status: &str) {
    if let Some((leg, _join)) = leg.and_then(|leg| leg.join.take().map(|join| (leg, join))) {
        let header = ("DialStatus", status);
        state.dial_event("DialEnd", Some(by), &leg.id, header);
    }
}

/// The time of the `Dial` is over, or the caller is wanted elsewhere.
fn given_up(world: &World, id: &str, legs: &mut [Called], stop: Option<Stop>) -> Done {
    let status = if stop.is_some() { "CANCEL" } else { "NOANSWER" };
    world.change(|state| {
        for leg in legs {
            failed(state, id, Some(leg), status);
        }
        state.set_var(id, "DIALSTATUS", status);
        // Seen on 16.28; 22.10 has cause 0.
        let ends = matches!(stop, Some(Stop::Here(_) | Stop::Far(_)));
        if let Some(channel) = state.channel_mut(id).filter(|_| ends && world.v16()) {
            channel.cause = 16;
        }
    });
    stop.into()
}

/// A leg answered: the caller is answered, too, and both go into a new bridge. The answer is what
/// tells the leg and the caller to leave it.
fn connect(
    world: &World,
    state: &mut State,
    id: &str,
    leg: &str,
    target: &str,
) -> Option<(watch::Receiver<bool>, watch::Receiver<bool>)> {
    let name = state.channel(leg)?.name.clone();
    state.set_var(id, "DIALSTATUS", "ANSWER");
    state.set_var(id, "DIALEDPEERNAME", &name);
    state.set_var(id, "DIALEDPEERNUMBER", dial_string(target));
    if let Some(channel) = state.channel_mut(leg) {
        channel.exten = String::new();
        channel.priority = 1;
    }
    state.dial_event("DialEnd", Some(id), leg, ("DialStatus", "ANSWER"));
    if state.channel(id).is_some_and(|channel| channel.state != 6) {
        state.set_state(id, 6, world.now());
        state.device(id, "INUSE");
    }
    let bridge = state.create_bridge(None);
    app_dial(state, leg, "");
    let of_leg = state.enter(&bridge, leg)?;
    let own = state.enter(&bridge, id)?;
    Some((of_leg, own))
}

/// In the bridge, at most for the longest talk.
async fn limited(
    world: &Arc<World>,
    here: &mut Here<'_>,
    out: &mut watch::Receiver<bool>,
    limit: Option<Duration>,
) -> Option<Stop> {
    let id = here.id.to_owned();
    let late = async {
        tokio::time::sleep(limit.unwrap_or(FOR_EVER)).await;
        world.lock().put_out(&id);
        std::future::pending::<Option<Stop>>().await
    };
    tokio::select! {
        stop = stay(world, here.id, out, here.signal, |_| {}) => stop,
        stop = late => stop,
    }
}

/// What `Dial` leaves after a talk.
fn over(world: &World, id: &str, talk: Duration, all: Duration) {
    world.change(|state| {
        for (name, value) in [
            ("ANSWEREDTIME", talk.as_secs().to_string()),
            ("ANSWEREDTIME_MS", talk.as_millis().to_string()),
            ("DIALEDTIME", all.as_secs().to_string()),
            ("DIALEDTIME_MS", all.as_millis().to_string()),
            ("DIALSTATUS", "ANSWER".to_owned()),
        ] {
            state.set_var(id, name, &value);
        }
    });
}

struct Leg {
    world: Arc<World>,
    legs: Legs,
    by: String,
    target: String,
    script: CallScript,
    at: usize,
    report: mpsc::Sender<News>,
    joined: oneshot::Receiver<watch::Receiver<bool>>,
}

/// The life of a leg.
async fn leg(leg: Leg) {
    let Leg {
        world,
        legs,
        by,
        target,
        script,
        at,
        report,
        mut joined,
    } = leg;
    let Some(mut signal) = world.lock().channel(&legs.id).map(|c| c.signal.subscribe()) else {
        return;
    };
    let ringing = Ringing {
        legs: &legs,
        // The caller has the clock.
        timeout: FOR_EVER,
        by: Some(&by),
        target: &target,
    };
    let result = tokio::select! {
        biased;
        // Nobody waits for it any longer: cause 0 on 22.10, 16 on 16.28.
        _gone = &mut joined => Err(Failure::cancelled(world.far_cause().unwrap_or(0))),
        result = ring(&world, &ringing, &script, &mut signal) => result,
    };
    if let Err(failure) = result {
        return unanswered(&world, &legs, failure, (at, &report), joined).await;
    }
    world.change(|state| up(&world, state, &legs));
    let _caller_is_gone = report.send((at, Ok(()))).await;
    drop(report);
    let stop = match joined.await {
        Ok(out) => {
            let place = Place::Bridge { out, next: None };
            live(&world, &legs.id, place, &script, &mut signal).await
        }
        Err(_) => Stop::Ended(16),
    };
    hang_up(&world, &legs, &stop).await;
}

/// The end of a leg that was not answered.
async fn unanswered(
    world: &Arc<World>,
    legs: &Legs,
    failure: Failure,
    (at, report): (usize, &mpsc::Sender<News>),
    joined: oneshot::Receiver<watch::Receiver<bool>>,
) {
    let cancelled = failure.status == "CANCEL";
    let v16 = world.v16();
    world.change(|state| {
        let Some(channel) = state.channel_mut(&legs.id) else {
            return;
        };
        channel.cause = failure.cause;
        channel.tech_cause = failure.sip.filter(|_| !v16 && legs.other.is_none());
        let told = channel.end_told;
        tell_half(state, &legs.id, failure.cause);
        if !cancelled && !told {
            let cause = Some(failure.cause).filter(|_| !v16);
            state.hangup_request("HangupRequest", &legs.id, cause);
        }
        if let Some(other) = legs.scripted() {
            if let Some(channel) = state.channel_mut(other) {
                channel.cause = failure.cause;
            }
            state.hangup_request("SoftHangupRequest", other, Some(16));
        }
    });
    if !cancelled {
        let _caller_is_gone = report.send((at, Err(failure))).await;
        // `DialEnd` comes before `Hangup`.
        let _never_sent = joined.await;
    }
    run_handlers(world, &legs.id).await;
    world.change(|state| {
        for id in std::iter::once(legs.id.as_str()).chain(legs.scripted()) {
            state.hangup_event(id);
            state.device(id, "NOT_INUSE");
            state.remove(id);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_arguments_in_brackets() {
        let read = Options::read("tgS(5)T");
        assert!(read.go_on);
        assert_eq!(read.limit, Some(Duration::from_secs(5)));
        let read = Options::read("L(60000:5000)m(g)");
        assert_eq!(read.limit, Some(Duration::from_secs(60)));
        assert!(!read.go_on, "`g` in brackets is an argument");
        assert_eq!(Options::read(""), Options::default());
    }
}
