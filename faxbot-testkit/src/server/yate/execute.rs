//! `call.execute`: channels are made and connected (recordings `sip_out_answered_local_drop`,
//! `sip_out_bad_requests`, `fax_ok_3_pages_local`).

use std::sync::Arc;

use super::{
    channel::{Channel, Kind},
    conference,
    dispatch::dispatch,
    fax, leg,
    msg::Msg,
    sip,
    world::{State, World},
};
use crate::server::script::{Ending, ReplyFault};

/// A driver is to take the call.
pub(super) async fn run(world: &Arc<World>, module: &str, msg: &mut Msg) -> bool {
    let Some(from) = msg.channel.clone() else {
        if world.lock().shutting_down {
            return false;
        }
        return match module {
            "dumb" => dumb(world, msg).await,
            "fax" => fax::originate(world, msg).await,
            // The others take only calls that have a channel.
            _ => false,
        };
    };
    if world.lock().channel(&from).is_none() {
        return false;
    }
    let target = msg.text("callto");
    match module {
        "sip" => to_sip(world, &from, &target, msg),
        "fax" => fax::answer(world, &from, &target, msg),
        "conf" => conference::join(world, &from, &target, msg),
        "dumb" => to_dumb(world, &from, msg),
        "tone" => to_sound(world, &from, Kind::Tone, &target, msg),
        "wave" => to_sound(world, &from, Kind::Wave, &target, msg),
        "moh" => to_sound(world, &from, Kind::Moh, &target, msg),
        _ => false,
    }
}

/// A call from nowhere: a `dumb/N`, and what it is connected to.
async fn dumb(world: &Arc<World>, msg: &mut Msg) -> bool {
    let Some(target) = msg.some("target").map(str::to_owned) else {
        return false;
    };
    // Whatever stands behind the slash is the address of the channel, and shows in its status.
    let address = msg.text("callto").split_off("dumb/".len());
    let caller = msg.some("caller").map(str::to_owned);
    let caller = caller.unwrap_or_else(|| format!("dumb/{address}"));
    let id = world.change(|state| {
        let mut channel = state.make(Kind::Dumb, true);
        channel.bill = Some(state.next_bill());
        channel.address = Some(address).filter(|address| !address.is_empty());
        let id = state.add(channel);
        let mut own = Vec::new();
        let names = msg.get("copyparams").unwrap_or_default().split(',');
        for name in names.map(str::trim).filter(|name| !name.is_empty()) {
            own.extend(
                msg.get(name)
                    .map(|value| (name.to_owned(), value.to_owned())),
            );
        }
        state.started(&id, own.clone());
        state.cdr_open(&id, Some(&caller), Some(&target));
        id
    });
    let mut inner = Msg::new("call.route")
        .with("driver", "dumb")
        .with("id", id.clone())
        .with("caller", caller)
        .with("called", target);
    for name in ["callername", "maxcall", "timeout"] {
        inner.copy(msg, name);
    }
    for name in msg.text("copyparams").split(',') {
        inner.copy(msg, name.trim());
    }
    inner.channel = Some(id.clone());
    if connect_to(world, msg, &mut inner).await {
        world.change(|state| state.accepted(&id, &inner));
        for name in ["id", "peerid", "targetid"] {
            msg.copy(&inner, name);
        }
        msg.fault = inner.fault;
        return true;
    }
    msg.copy(&inner, "error");
    msg.copy(&inner, "reason");
    world.change(|state| state.gone(&id, None));
    false
}

/// Routes a new call unless it has a direct target, and hands it on.
pub(super) async fn connect_to(world: &Arc<World>, msg: &Msg, inner: &mut Msg) -> bool {
    match msg.some("direct") {
        Some(direct) => inner.set("callto", direct),
        None => {
            if !dispatch(world, inner).await {
                return false;
            }
            let target = std::mem::take(&mut inner.retval);
            inner.set("callto", target);
        }
    }
    "call.execute".clone_into(&mut inner.name);
    dispatch(world, inner).await
}

/// The call goes on over SIP.
fn to_sip(world: &Arc<World>, from: &str, target: &str, msg: &mut Msg) -> bool {
    let Some((user, address)) = sip::parts(target) else {
        return false;
    };
    let made = world.change(|state| {
        let mut script = state.script_for(&user, target);
        if let Some(ReplyFault::Refuse(text)) = &script.reply {
            msg.set("error", "failure");
            msg.set("reason", text.clone());
            return None;
        }
        if script.ending == Ending::NoEndpoint {
            return None;
        }
        // A far end without T.38 refuses an INVITE for nothing else.
        if msg.get("media") == Some("false") && !script.fax.t38 {
            script.ending = Ending::Rejected(488);
        }
        msg.fault.clone_from(&script.reply);
        // RTP could go past the engine: that is settled here.
        msg.clear("rtp_forward");
        let mut channel = state.make(Kind::Sip, false);
        channel.address = Some(address.clone());
        channel.target = Some(from.to_owned());
        channel.domain = msg.get("domain").map(str::to_owned);
        channel.dialled.clone_from(&user);
        let call = 102_693_291 + channel.serial * 7_919;
        channel.dialog = Some(format!("sip/{call}@127.0.0.1:5095/{}/", call * 3));
        channel.script = Some(script.clone());
        let dialog = format!("{call}@127.0.0.1:5095");
        let id = state.add(channel);
        state.rtp(&id, "created");
        let mut own = vec![("caller".to_owned(), msg.text("caller"))];
        for name in ["callername", "called", "billid"] {
            own.extend(
                msg.get(name)
                    .map(|value| (name.to_owned(), value.to_owned())),
            );
        }
        for (name, value) in [
            ("callto", target),
            ("calledfull", user.as_str()),
            ("sip_callid", dialog.as_str()),
            ("connection_id", "general"),
        ] {
            own.push((name.to_owned(), value.to_owned()));
        }
        state.started(&id, own);
        state.connect(from, &id, &[from, &id], msg.get("reason"));
        state.cdr(from, "update", None);
        state.cdr_open(&id, msg.get("caller"), msg.get("called"));
        Some((id, script))
    });
    let Some((id, script)) = made else {
        return false;
    };
    msg.set("peerid", id.clone());
    msg.set("targetid", id.clone());
    world.spawn(leg::run(Arc::clone(world), id, script));
    true
}

/// The call waits at a `dumb/N` for what a client does with it.
fn to_dumb(world: &Arc<World>, from: &str, msg: &mut Msg) -> bool {
    let address = msg.text("callto").split_off("dumb/".len());
    let id = world.change(|state| {
        let mut channel = state.make(Kind::Dumb, false);
        channel.address = Some(address).filter(|address| !address.is_empty());
        channel.target = Some(from.to_owned());
        let id = state.add(channel);
        let mut own = Vec::new();
        for name in ["caller", "callername", "called", "billid", "callto"] {
            own.extend(
                msg.get(name)
                    .map(|value| (name.to_owned(), value.to_owned())),
            );
        }
        state.started(&id, own);
        state.connect(from, &id, &[from, &id], msg.get("reason"));
        state.cdr(from, "update", None);
        state.cdr_open(&id, msg.get("caller"), msg.get("called"));
        id
    });
    msg.set("peerid", id.clone());
    msg.set("targetid", id);
    if msg.get("autoring").is_none() {
        msg.set("autoring", "true");
    }
    true
}

/// The call hears a tone, a file or music.
fn to_sound(world: &Arc<World>, from: &str, kind: Kind, target: &str, msg: &mut Msg) -> bool {
    let rest = target.split_once('/').map_or("", |(_, rest)| rest);
    let address = match kind {
        Kind::Wave => match rest.split_once('/') {
            Some(("play", path)) if world.config.paths.size(path).is_some() => path,
            Some(("record", path)) => path,
            _ => return false,
        },
        _ => rest,
    };
    if address.is_empty() {
        return false;
    }
    let id = world.change(|state| {
        let mut channel = state.make(kind, true);
        channel.address = Some(address.to_owned());
        channel.bill = Some(state.next_bill());
        let id = state.add(channel);
        state.connect(from, &id, &[&id, from], msg.get("reason"));
        state.cdr(from, "update", None);
        id
    });
    msg.set("peerid", id);
    true
}

impl State {
    /// `chan.startup`.
    pub(super) fn started(&mut self, id: &str, own: Vec<(String, String)>) {
        let Some(channel) = self.channel(id) else {
            return;
        };
        let msg = Msg::new("chan.startup").all(channel.complete()).all(own);
        self.later(msg);
    }

    /// `maxcall` and `timeout` of a call, in ms.
    pub(super) fn limits(&mut self, id: &str, msg: &Msg) {
        let now = self.now();
        let at = |name: &str| {
            let ms: i64 = msg.get(name)?.trim().parse().ok()?;
            let until = now.as_millisecond().checked_add(ms)?;
            faxbot_core::Timestamp::from_unix_milliseconds(until)
                .ok()
                .filter(|_| ms > 0)
        };
        if let Some(channel) = self.channel_mut(id) {
            let answered = channel.answered;
            channel.answer_by = at("maxcall").filter(|_| !answered);
            channel.over_at = at("timeout");
        }
    }

    /// A call that came to the engine has found its partner. One that names no target is answered
    /// at once, unless the message says otherwise (`Channel::callAccept` in `engine/Channel.cpp`).
    pub(super) fn accepted(&mut self, id: &str, msg: &Msg) {
        self.limits(id, msg);
        let Some(channel) = self.channel_mut(id).filter(|channel| !channel.answered) else {
            return;
        };
        let is_sip = channel.kind == Kind::Sip;
        let no_target = msg.some("targetid").is_none() && msg.get("autoanswer").is_none();
        if msg.flag("autoanswer") || no_target {
            channel.answered = true;
            channel.answer_by = None;
            "answered".clone_into(&mut channel.status);
        } else if msg.flag("autoring") && is_sip {
            "ringing".clone_into(&mut channel.status);
            channel.response = Some((180, sip::phrase(180).to_owned()));
        } else {
            return;
        }
        if is_sip {
            self.updated(id, "cdrbuild", &[]);
        }
    }

    /// Connects two channels; whoever they were connected to before is left alone and ends.
    /// `order` is that of their `chan.connected`.
    pub(super) fn connect(
        &mut self,
        from: &str,
        to: &str,
        order: &[&str; 2],
        reason: Option<&str>,
    ) {
        let mut left = Vec::new();
        for id in [from, to] {
            let Some(old) = self.channel_mut(id).and_then(|c| c.peer.take()) else {
                continue;
            };
            if let Some(channel) = self.channel_mut(&old) {
                channel.peer = None;
            }
            self.disconnected(&old, &[], reason.map(|word| ("reason", word)));
            left.push(old);
        }
        let bill = self.channel(from).and_then(|channel| channel.bill.clone());
        for (id, other) in [(from, to), (to, from)] {
            if let Some(channel) = self.channel_mut(id) {
                channel.peer = Some(other.to_owned());
                // What the far end said last belongs to the call before.
                channel.response = channel.response.take().filter(|_| !channel.answered);
                if id == to && channel.bill.is_none() {
                    channel.bill.clone_from(&bill);
                }
                if channel.incoming && !channel.answered && channel.kind == Kind::Sip {
                    "routed".clone_into(&mut channel.status);
                }
            }
        }
        for id in order {
            // Music is no channel of a driver, and nothing is told of it.
            let Some(channel) = self.channel(id).filter(|it| it.kind != Kind::Moh) else {
                continue;
            };
            let msg = Msg::new("chan.connected")
                .all(channel.complete())
                .maybe("reason", reason);
            self.later(msg);
        }
        let call = self
            .channel(to)
            .is_some_and(|channel| channel.kind.is_call());
        for (id, other) in [(from, to), (to, from)] {
            if let Some(channel) = self.channel_mut(id) {
                channel.last_peer = Some(other.to_owned());
                accept(channel, other, call);
            }
        }
        for old in left {
            self.left_alone(&old, reason, None);
        }
    }

    /// `chan.rtp`, which the engine dispatches at once.
    pub(super) fn rtp(&mut self, id: &str, status: &str) {
        if !self.is_wanted("chan.rtp") {
            return;
        }
        let Some(channel) = self.channel(id).filter(|c| c.kind == Kind::Sip) else {
            return;
        };
        let direction = if channel.incoming {
            "incoming"
        } else {
            "outgoing"
        };
        let mut msg = Msg::new("chan.rtp")
            .with("id", id)
            .with("module", "sip")
            .with("call_direction", direction)
            .maybe("call_address", channel.address.clone())
            .with("call_status", channel.status.clone())
            .with("call_billid", channel.bill.clone().unwrap_or_default())
            .with("media", "audio")
            .with("transport", "RTP/AVP");
        if status == "terminated" {
            msg = msg.with("terminate", "true");
        }
        msg.track("yrtp", 100);
        msg.set("status", status);
        self.tell(&msg, true);
    }
}

/// An incoming call has its partner.
fn accept(channel: &mut Channel, other: &str, call: bool) {
    if !channel.incoming || channel.answered {
        return;
    }
    if call {
        channel.target = Some(other.to_owned());
    }
    if channel.kind == Kind::Sip {
        "accepted".clone_into(&mut channel.status);
    }
}
