//! What the engine says of itself: `engine.status`, `engine.command`, `chan.control` (recordings
//! `engine_timer_and_status`, `handshake`).

use std::{fmt::Write as _, sync::Arc};

use super::{
    modules,
    msg::Msg,
    world::{NODE, SIP_ADDRESS, State, World},
};

/// Loaded modules, those of fax among them.
const LOADED: [&str; 17] = [
    "moh",
    "msgsniff",
    "fileinfo",
    "extmodule",
    "pbx",
    "conference*",
    "faxchan",
    "tonedetect",
    "ysipchan",
    "wavefile",
    "regexroute",
    "dumbchan",
    "cdrbuild",
    "rmanager",
    "yrtpchan",
    "tonegen",
    "callfork*",
];

/// A module adds its line. Only the one that was asked for by its name ends the message, and the
/// SIP driver does not even then.
pub(super) fn run(world: &Arc<World>, module: &str, msg: &mut Msg) -> bool {
    let wanted = msg.text("module");
    if modules::prefix(&wanted) == module {
        return of_channel(world, &wanted, msg);
    }
    if !wanted.is_empty() && wanted != module {
        return false;
    }
    let details = msg.get("details").is_none() || msg.flag("details");
    let line = world.lock().module_status(module, details);
    msg.retval.push_str(&line);
    msg.retval.push_str("\r\n");
    wanted == module && module != "sip"
}

/// The status of one channel (`Channel::msgStatus` in `engine/Channel.cpp`).
fn of_channel(world: &Arc<World>, id: &str, msg: &mut Msg) -> bool {
    let state = world.lock();
    let Some(channel) = state.channel(id) else {
        return false;
    };
    let peer = channel.peer.as_ref();
    let peer = peer.map_or_else(String::new, |peer| format!(",peerid={peer}"));
    let direction = if channel.incoming {
        "incoming"
    } else {
        "outgoing"
    };
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    msg.retval = format!(
        "name={id},type=channel;module={}{peer},status={},direction={direction},answered={},\
         targetid={},address={},billid={}\r\n",
        channel.kind.module(),
        channel.status,
        channel.answered,
        text(&channel.target),
        text(&channel.address),
        text(&channel.bill),
    );
    for (name, value) in channel.complete() {
        msg.set(&name, value);
    }
    true
}

impl State {
    fn module_status(&self, module: &str, details: bool) -> String {
        let ids: Vec<String> = self
            .ids()
            .into_iter()
            .filter(|id| modules::prefix(id) == module)
            .collect();
        let (total, chans) = (self.total(module), ids.len());
        let counts = format!("routed=0,routing=0,total={total},chans={chans}");
        let format = "format=Status|Address|Peer";
        let mut line = match module {
            "engine" => return self.engine_status(),
            "cdrbuild" => {
                let all = self.ids();
                let cdrs = all
                    .iter()
                    .filter_map(|id| self.channel(id)?.cdr.as_ref())
                    .count();
                format!(
                    "name=cdrbuild,type=cdr,format=Status|Caller|Called|BillId|Duration;\
                     cdrs={cdrs},hungup=0;"
                )
            }
            "moh" => format!("name=moh,type=misc;sources=0,chans={chans}"),
            "callfork" => "name=callfork,type=misc;total=0,forks=0".to_owned(),
            "tone" => format!("name=tone,type=misc;tones={chans},chans={chans}"),
            "yrtp" => "name=yrtp,type=misc;chans=0,mirrors=0".to_owned(),
            "dumb" => format!("name=dumb,type=misc,{format};{counts}"),
            "regexroute" => {
                "name=regexroute,type=route;sections=1,extra=0,variables=0,processing=0".to_owned()
            }
            "wave" => format!("name=wave,type=misc,{format};play=0,record=0,{counts}"),
            "sip" => format!("name=sip,type=varchans,{format};{counts},transactions={total}"),
            "tonedetect" => "name=tonedetect,type=misc;count=0".to_owned(),
            "fax" => format!("name=fax,{format};{counts}"),
            "conf" => format!(
                "name=conf,type=misc,{format};{counts},rooms={}",
                self.rooms.len()
            ),
            "extmodule" => {
                let scripts = self.clients.len();
                format!("name=extmodule,type=misc;scripts={scripts},chans=0")
            }
            _ => format!("name={module},type=misc;"),
        };
        let mut before = ';';
        if details && matches!(module, "dumb" | "wave" | "sip" | "fax" | "conf") {
            for channel in ids.iter().filter_map(|id| self.channel(id)) {
                let address = channel.address.as_deref().unwrap_or_default();
                let peer = channel.peer.as_deref().unwrap_or_default();
                let (id, status) = (&channel.id, &channel.status);
                let _infallible = write!(line, "{before}{id}={status}|{address}|{peer}");
                before = ',';
            }
        }
        line
    }

    fn engine_status(&self) -> String {
        let messages = self.requests;
        let refuses = if self.shutting_down {
            "reject"
        } else {
            "accept"
        };
        format!(
            "name=engine,type=system,version=6.4.1,revision=1647cdc467274b293c040d5b4d8880cea2b18072,\
             githash=1647cdc467274b293c040d5b4d8880cea2b18072,nodename={NODE};plugins=18,inuse=0,\
             handlers=165,hooks=3,messages=0,maxqueue=6,messageage=60,messagerate=1,maxmsgrate=28,\
             enqueued={messages},dequeued={messages},dispatched={messages},supervised=false,\
             runattempt=0,lastsignal=0,threads=7,workers=1,mutexes=71,semaphores=1,\
             acceptcalls={refuses},congestion=0;sharedpath=/usr/share/yate,\
             configpath=/var/lib/pbx/conf,usercfgpath=/root/.yate,modulepath=/usr/lib/yate/modules,\
             workpath=/var/spool/fax"
        )
    }
}

/// Commands belong to the console; of those here only the list of modules answers.
pub(super) fn command(msg: &mut Msg, fax: bool) -> bool {
    if msg.get("line") != Some("module list") {
        return false;
    }
    let loaded = LOADED
        .iter()
        .filter(|name| fax || !matches!(**name, "faxchan" | "tonedetect"));
    msg.retval = loaded.copied().collect::<Vec<_>>().join("\t");
    msg.retval.push_str("\r\n");
    true
}

/// `chan.control`: what is known of the dialog of a SIP leg.
pub(super) fn control(world: &Arc<World>, module: &str, msg: &mut Msg) -> bool {
    if module == "sip" && msg.get("timeout").is_some() {
        // It takes, and says nothing of it (`Channel::msgControl`).
        let target = modules::destination(module, msg).to_owned();
        world.change(|state| state.limits(&target, msg));
        return false;
    }
    if module != "sip" || msg.get("operation") != Some("query") {
        return false;
    }
    let state = world.lock();
    let Some(channel) = state.channel(modules::destination(module, msg)) else {
        return false;
    };
    let dialog = channel.dialog.as_deref().unwrap_or_default();
    let call_id = dialog.split('/').nth(1).unwrap_or_default().to_owned();
    let address = channel.address.clone().unwrap_or_default();
    let uri = format!("sip:{}@{address}", channel.dialled);
    let caller = channel.cdr.as_ref().and_then(|cdr| cdr.caller.clone());
    drop(state);
    msg.set("sip_uri", uri.clone());
    msg.set("sip_callid", call_id);
    let from = format!("<sip:{}@{SIP_ADDRESS}>", caller.unwrap_or_default());
    msg.set("sip_from", from);
    msg.set("sip_to", format!("<{uri}>"));
    msg.set("local_cseq", "1");
    true
}
