//! `call.cdr`, one set of messages for each channel (`cdrbuild.cpp`).

use faxbot_core::Timestamp;

use super::{channel::Kind, msg::Msg, world::State};

/// What is counted of a channel.
#[derive(Debug, Clone)]
pub(super) struct Cdr {
    pub number: u32,
    pub start: Timestamp,
    pub ringing: Option<Timestamp>,
    pub answered: Option<Timestamp>,
    pub caller: Option<String>,
    pub called: Option<String>,
    /// The number of the SIP URI.
    pub full: Option<String>,
    /// A leg of `dumb/` is unknown to the first message.
    pub told: bool,
}

impl State {
    /// Begins to count a channel: `operation=initialize`.
    pub(super) fn cdr_open(&mut self, id: &str, caller: Option<&str>, called: Option<&str>) {
        self.cdrs += 1;
        let (number, start) = (self.cdrs, self.now());
        let Some(channel) = self.channel_mut(id) else {
            return;
        };
        let full = channel.dialled.clone();
        let is_sip = channel.kind == Kind::Sip && !channel.incoming;
        channel.cdr = Some(Cdr {
            number,
            start,
            ringing: None,
            answered: None,
            caller: caller.map(str::to_owned),
            called: called.map(str::to_owned),
            full: Some(full).filter(|_| is_sip),
            told: false,
        });
        self.cdr(id, "initialize", None);
    }

    /// Tells what is counted now.
    pub(super) fn cdr(&mut self, id: &str, operation: &str, reason: Option<&str>) {
        self.tell_cdr(id, operation, None, reason);
    }

    /// The same with the status of a message in the place of the channel's own.
    fn tell_cdr(&mut self, id: &str, operation: &str, said: Option<&str>, reason: Option<&str>) {
        let now = self.now();
        let run = self.run_id.to_string();
        let Some(channel) = self.channel_mut(id) else {
            return;
        };
        let Some(cdr) = &mut channel.cdr else { return };
        let first = !std::mem::replace(&mut cdr.told, true);
        let cdr = cdr.clone();
        let blank = first && channel.kind == Kind::Dumb;
        let seconds = |from: Option<Timestamp>, to: Timestamp| match from {
            Some(from) => format!("{:.3}", to.duration_since(from).as_secs_f64()),
            None => "0.000".to_owned(),
        };
        let party = if channel.incoming {
            &cdr.caller
        } else {
            &cdr.called
        };
        let start = cdr.start.as_millisecond();
        let words = |value: &str| {
            if blank {
                "unknown".to_owned()
            } else {
                value.to_owned()
            }
        };
        let direction = if channel.incoming {
            "incoming"
        } else {
            "outgoing"
        };
        let message = Msg::new("call.cdr")
            .with("time", format!("{}.{:03}", start / 1000, start % 1000))
            .with("chan", id)
            .with("cdrid", cdr.number.to_string())
            .with("runid", run)
            .with("operation", operation)
            .with("direction", words(direction))
            .with("duration", seconds(Some(cdr.start), now))
            .with("billtime", seconds(cdr.answered, now))
            .with(
                "ringtime",
                seconds(cdr.ringing, cdr.answered.unwrap_or(now)),
            )
            .with("status", words(said.unwrap_or(&channel.status)))
            .maybe("external", party.clone().filter(|_| !blank))
            .with("cdrwrite", "true")
            .maybe("address", channel.address.clone())
            .maybe("caller", cdr.caller.clone())
            .maybe("called", cdr.called.clone())
            .maybe("calledfull", cdr.full.clone())
            .maybe(
                "billid",
                channel
                    .bill
                    .clone()
                    .filter(|_| !first || channel.incoming && !blank),
            )
            .maybe("reason", reason);
        self.later(message);
    }

    /// It rings or is answered: both legs of the call are told of.
    pub(super) fn cdr_progress(&mut self, id: &str, answered: bool) {
        let now = self.now();
        let status = self.channel(id).map(|channel| channel.status.clone());
        let peer = self.channel(id).and_then(|channel| channel.peer.clone());
        for id in [Some(id.to_owned()), peer].into_iter().flatten() {
            if let Some(cdr) = self.channel_mut(&id).and_then(|c| c.cdr.as_mut()) {
                if answered {
                    cdr.answered.get_or_insert(now);
                } else {
                    cdr.ringing.get_or_insert(now);
                }
            }
            self.tell_cdr(&id, "update", status.as_deref(), None);
        }
    }
}
