//! Faxes of `faxchan` (recordings `fax_*`): a channel that reads or writes a TIFF. There is no
//! progress; the result is in `chan.hangup`.

mod receive;
mod send;

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{
    channel::Kind,
    execute,
    msg::Msg,
    world::{State, World},
};

/// After so long without a fax at the other end spandsp gives up (recording
/// `fax_no_fax_at_other_end`).
const SILENCE: Duration = Duration::from_secs(60);

const SILENT: &str = "Timed out waiting for initial communication";

/// The fax of a channel.
#[derive(Debug, Clone)]
pub(super) struct FaxSide {
    pub sends: bool,
    /// It plays the calling side of T.30.
    pub caller: bool,
    pub path: String,
    pub local: Option<String>,
    pub remote: Option<String>,
    /// Pages that the end tells of; absent when 0.
    pub pages: u32,
    /// Known from the answer on.
    pub mode: Option<&'static str>,
    pub digital: bool,
    pub ecm: bool,
    /// The sentence of its end, `eof` for success.
    pub reason: Option<String>,
}

impl FaxSide {
    fn new(sends: bool, path: &str, msg: &Msg) -> Self {
        let caller = match msg.get("faxcaller") {
            Some(_) => msg.flag("faxcaller"),
            None => sends,
        };
        Self {
            sends,
            caller,
            path: path.to_owned(),
            local: msg.some("faxident").map(str::to_owned),
            remote: None,
            pages: 0,
            mode: None,
            digital: msg.get("faxtype") == Some("digital"),
            ecm: msg.get("faxecm").is_none() || msg.flag("faxecm"),
            reason: None,
        }
    }

    /// What it adds to messages about its channel.
    pub(super) fn state(&self) -> Vec<(String, String)> {
        let pages = Some(self.pages.to_string()).filter(|_| self.pages > 0);
        let truth = |yes: bool| Some(yes.to_string());
        [
            ("reason", self.reason.clone()),
            ("faxident_local", self.local.clone()),
            ("faxident_remote", self.remote.clone()),
            ("faxpages", pages),
            ("faxtype", self.mode.map(str::to_owned)),
            ("faxecm", truth(self.ecm)),
            ("faxcaller", truth(self.caller)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
    }
}

/// What its sound or image is like, for the leg that takes the call.
fn formats(digital: bool) -> Vec<(String, String)> {
    let all: &[(&str, &str)] = if digital {
        &[
            ("media", "false"),
            ("media_image", "true"),
            ("formats_image", "t38"),
            ("transport_image", "udptl"),
            ("t38version", "0"),
            ("osdp_image_T38FaxVersion", "0"),
        ]
    } else {
        &[("media", "true"), ("formats", "alaw,mulaw")]
    };
    all.iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// Whether it sends, and the path of `fax/send/PATH`; two slashes for an absolute one.
fn target(callto: &str) -> Option<(bool, &str)> {
    let (method, path) = callto.strip_prefix("fax/")?.split_once('/')?;
    let sends = match method {
        "send" | "transmit" => true,
        "receive" => false,
        _ => return None,
    };
    (!path.is_empty()).then_some((sends, path))
}

/// A call of a fax from nowhere.
pub(super) async fn originate(world: &Arc<World>, msg: &mut Msg) -> bool {
    let callto = msg.text("callto");
    let Some((sends, path)) = target(&callto) else {
        return false;
    };
    if sends && world.config.paths.size(path).is_none() {
        msg.set("error", "noroute");
        msg.set("reason", "File not found");
        return false;
    }
    let called = msg.some("target").map(str::to_owned);
    if called.is_none() && msg.some("direct").is_none() {
        return false;
    }
    let mut side = FaxSide::new(sends, path, msg);
    side.caller = msg.get("faxcaller").is_none() || msg.flag("faxcaller");
    let digital = side.digital;
    let caller = msg.get("caller").map(str::to_owned);
    let (id, complete) = world.change(|state| {
        let mut channel = state.make(Kind::Fax, true);
        channel.address = Some(path.to_owned());
        channel.bill = Some(state.next_bill());
        channel.fax = Some(side);
        let complete = channel.complete();
        let id = state.add(channel);
        state.started(&id, Vec::new());
        state.cdr_open(&id, caller.as_deref(), called.as_deref());
        (id, complete)
    });
    let mut inner = Msg::new("call.route")
        .all(complete)
        .all(formats(digital))
        .maybe("caller", caller)
        .maybe("called", called);
    inner.channel = Some(id.clone());
    if execute::connect_to(world, msg, &mut inner).await {
        // The answer has no id: the channel is known by its path.
        msg.fault = inner.fault.take();
        let begins = world.change(|state| {
            inner.copy(msg, "maxcall");
            inner.copy(msg, "timeout");
            state.accepted(&id, &inner);
            let peer = state.channel(&id).and_then(|channel| channel.peer.clone());
            let kind = peer.and_then(|peer| Some(state.channel(&peer)?.kind));
            !matches!(kind, Some(Kind::Sip | Kind::Fax))
        });
        if begins {
            begin(world, &id);
        }
        return true;
    }
    world.change(|state| state.gone(&id, None));
    false
}

/// A fax answers a call.
pub(super) fn answer(world: &Arc<World>, from: &str, callto: &str, msg: &mut Msg) -> bool {
    let Some((sends, path)) = target(callto) else {
        return false;
    };
    if sends && world.config.paths.size(path).is_none() {
        msg.set("error", "noroute");
        msg.set("reason", "File not found");
        return false;
    }
    let mut side = FaxSide::new(sends, path, msg);
    let image = msg.get("media_image").is_some();
    side.digital |= image;
    let digital = side.digital;
    let id = world.change(|state| {
        let mut channel = state.make(Kind::Fax, false);
        channel.address = Some(path.to_owned());
        channel.fax = Some(side);
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
        if let Some(channel) = state.channel_mut(&id) {
            channel.target = Some(from.to_owned());
            channel.answered = true;
            "answered".clone_into(&mut channel.status);
        }
        state.fax_mode(&id);
        if let Some(channel) = state.channel(&id) {
            let msg = Msg::new("call.answered")
                .all(channel.complete())
                .all(formats(digital));
            state.later(msg);
        }
        let waited = state.partner_answered(from);
        state.cdr_progress(&id, true);
        if waited
            && state
                .channel(from)
                .is_some_and(|channel| channel.kind == Kind::Sip)
        {
            state.updated(from, "cdrbuild", &[]);
        }
        id
    });
    msg.set("peerid", id.clone());
    msg.set("targetid", id.clone());
    begin(world, &id);
    true
}

/// The call of a fax is answered.
pub(super) fn begin(world: &Arc<World>, id: &str) {
    world.change(|state| state.fax_mode(id));
    world.spawn(run(Arc::clone(world), id.to_owned()));
}

/// Who is at the other end.
enum Other {
    /// A far end of a call that the engine made.
    FarEnd(String),
    /// A caller from outside.
    Caller(String),
    /// A fax of this engine.
    Fax(String),
    Nobody,
}

async fn run(world: Arc<World>, id: String) {
    let (other, side) = {
        let state = world.lock();
        let Some(channel) = state.channel(&id) else {
            return;
        };
        let Some(side) = channel.fax.clone() else {
            return;
        };
        let peer = channel.peer.clone().unwrap_or_default();
        let other = match state.channel(&peer) {
            Some(found) if found.kind == Kind::Fax => Other::Fax(peer),
            Some(found) if found.kind == Kind::Sip && found.incoming => Other::Caller(peer),
            Some(found) if found.kind == Kind::Sip => Other::FarEnd(peer),
            _ => Other::Nobody,
        };
        (other, side)
    };
    match (other, side.sends) {
        (Other::FarEnd(peer) | Other::Caller(peer), true) => {
            send::to_far_end(&world, &id, &peer, &side).await;
        }
        (Other::Fax(peer), sends) => {
            let (from, to) = if sends { (id, peer) } else { (peer, id) };
            send::to_own_fax(&world, &from, &to).await;
        }
        (Other::Caller(peer), false) => receive::from_caller(&world, &id, &peer, &side).await,
        (Other::FarEnd(_) | Other::Nobody, _) => silence(&world, &id).await,
    }
}

/// Nothing that is a fax is at the other end.
async fn silence(world: &Arc<World>, id: &str) {
    sleep(SILENCE).await;
    world.act(|state| {
        if let Some(side) = state.side(id) {
            side.ecm = false;
        }
        state.fax_ends(id, Some(SILENT), 0, None);
    });
}

impl State {
    fn side(&mut self, id: &str) -> Option<&mut FaxSide> {
        self.channel_mut(id)?.fax.as_mut()
    }

    /// Whether the fax still runs.
    fn runs(&self, id: &str) -> bool {
        let side = self.channel(id).and_then(|channel| channel.fax.as_ref());
        side.is_some_and(|side| side.reason.is_none())
    }

    fn fax_mode(&mut self, id: &str) {
        if let Some(side) = self.side(id) {
            side.mode = Some(if side.digital { "digital" } else { "analog" });
        }
    }

    /// What the end of a fax tells.
    fn result(&mut self, id: &str, reason: Option<&str>, pages: u32, remote: Option<&str>) {
        if let Some(side) = self.side(id) {
            side.reason = reason.map(str::to_owned);
            side.pages = pages;
            side.remote = remote.filter(|it| !it.is_empty()).map(str::to_owned);
        }
    }

    /// A fax ends its call.
    fn fax_ends(&mut self, id: &str, reason: Option<&str>, pages: u32, remote: Option<&str>) {
        self.result(id, reason, pages, remote);
        let peer = self.unlink(id);
        if let Some(peer) = &peer {
            self.disconnected(peer, &[], reason.map(|text| ("reason", text)));
        }
        self.gone(id, None);
        if let Some(peer) = peer {
            self.left_alone(&peer, reason, None);
        }
    }
}
