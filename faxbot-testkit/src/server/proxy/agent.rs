//! Click-to-dial: the proxy calls a phone itself, and asks it to call somebody else (recordings
//! `ctd_*` of Kamailio).

use std::time::Duration;

use tokio::time::Instant;

use super::{
    call::PassingCall,
    happening::Happening,
    phone::{OnRefer, Phone, PickUp},
    uri::Target,
    world::{ProxyWorld, Step},
};
use crate::server::script::Ending;

/// From the BYE to the phone's own INVITE (PJSUA: one, recording `ctd_pjsua_agent`).
const TRANSFER: Duration = Duration::from_millis(2);

/// CSeq of the INVITE to a phone (observed on Kamailio 5.6.3 and 6.1).
const FIRST_CSEQ: u32 = 10;

/// The proxy's call to a phone.
#[derive(Debug)]
pub(in crate::server) struct Leg {
    call_id: String,
    phone: Phone,
    agent: Target,
    to: Option<Target>,
    refer_to: String,
    told: bool,
    /// It answered, or came to nothing: there is no INVITE any more that could be taken back.
    is_final: bool,
}

#[derive(Debug, Clone, Copy)]
pub(in crate::server) enum AgentStep {
    Rings(u16),
    Answers,
    /// The leg comes to nothing.
    Ends(u16),
    /// The server gives up a phone that is not there.
    IsGone,
    Transfers,
    /// The call past the proxy has this status at last.
    Elsewhere(u16),
}

impl ProxyWorld {
    /// Rings `from`, and asks it to call `to` when it answers. Nothing tells how that goes.
    pub(in crate::server) fn connect(&mut self, from: &str, to: &str, at: Instant) {
        let Some(agent) = Target::parse(from) else {
            return;
        };
        if agent.host.ends_with(".invalid") {
            return;
        }
        let number = self.next_serial();
        let phone = self.rung(&agent);
        let call_id = format!("79d9e2f45e{number:06x}-10211@127.0.0.1");
        let leg = Leg {
            call_id,
            phone,
            agent,
            to: Target::parse(to),
            refer_to: to.to_owned(),
            told: false,
            is_final: false,
        };
        self.local(&leg, "INVITE");
        let rings = at + self.setup.timings.setup;
        let ends = rings + leg.phone.ring.unwrap_or(self.setup.timings.ring);
        let last = match leg.phone.pick_up {
            // Not heard of again: its INVITE comes to nothing without a reply.
            PickUp::Silent => (at + self.setup.answer_timeout, AgentStep::IsGone),
            PickUp::Answers => (ends, AgentStep::Answers),
            PickUp::Rejects(status) => (ends, AgentStep::Ends(status)),
            // The CANCEL is answered.
            PickUp::RingsOn => {
                let cancelled = rings + self.setup.ring_timeout;
                (cancelled, AgentStep::Ends(487))
            }
        };
        if leg.phone.pick_up != PickUp::Silent {
            self.plan(rings, Step::Leg(number, AgentStep::Rings(180)));
        }
        self.plan(last.0, Step::Leg(number, last.1));
        self.legs.insert(number, leg);
    }

    fn reply(&mut self, leg: &Leg, method: &'static str, status: u16) {
        self.happened.push(Happening::LegReply {
            method,
            call_id: leg.call_id.clone(),
            status,
        });
    }

    fn local(&mut self, leg: &Leg, method: &'static str) {
        self.happened.push(Happening::Local {
            method: method.into(),
            call_id: leg.call_id.clone(),
            ruri: leg.agent.full.clone(),
            from: self.setup.controller.clone(),
            to: leg.agent.full.clone(),
            refer_to: (method == "REFER").then(|| leg.refer_to.clone()),
        });
    }

    /// Takes back the INVITE to a phone (`tm.cancel`). False where it had its final answer; `None` for one
    /// that is not there.
    pub(in crate::server) fn cancel_leg(
        &mut self,
        call_id: &str,
        cseq: u32,
        is_told: bool,
    ) -> Option<bool> {
        let is_it = |leg: &Leg| leg.call_id == call_id && cseq == FIRST_CSEQ;
        let number = *self.legs.iter().find(|(_, leg)| is_it(leg))?.0;
        if self.legs.get(&number).is_some_and(|leg| leg.is_final) {
            return Some(false);
        }
        let leg = self.legs.remove(&number)?;
        if is_told && leg.phone.pick_up != PickUp::Silent {
            self.reply(&leg, "INVITE", 487);
        }
        Some(true)
    }

    pub(super) fn agent_step(&mut self, number: u64, step: AgentStep, at: Instant) {
        let Some(mut leg) = self.legs.remove(&number) else {
            return;
        };
        match step {
            AgentStep::IsGone => {}
            AgentStep::Rings(status) => {
                self.reply(&leg, "INVITE", status);
                self.legs.insert(number, leg);
            }
            AgentStep::Ends(status) => self.reply(&leg, "INVITE", status),
            AgentStep::Answers => {
                leg.is_final = true;
                self.reply(&leg, "INVITE", 200);
                self.local(&leg, "REFER");
                let accepts = match leg.phone.on_refer {
                    OnRefer::Refuses(status) => status,
                    _ => 202,
                };
                self.reply(&leg, "REFER", accepts);
                // The BYE comes with the answer to REFER, whatever that is.
                self.local(&leg, "BYE");
                self.reply(&leg, "BYE", 200);
                match leg.phone.on_refer {
                    OnRefer::Refuses(_) | OnRefer::Drops => return,
                    OnRefer::Calls | OnRefer::CallsElsewhere => {
                        self.plan(at + TRANSFER, Step::Leg(number, AgentStep::Transfers));
                    }
                }
                self.legs.insert(number, leg);
            }
            AgentStep::Transfers => {
                self.notify(&leg, "active;expires=60", 100);
                self.transfer(number, &leg, at);
                self.legs.insert(number, leg);
            }
            AgentStep::Elsewhere(status) => {
                self.legs.insert(number, leg);
                self.told_phone(number, status);
            }
        }
    }

    fn transfer(&mut self, number: u64, leg: &Leg, at: Instant) {
        let Some(to) = &leg.to else {
            return;
        };
        let past = leg.phone.on_refer == OnRefer::CallsElsewhere
            || self.setup.elsewhere.contains(&to.host);
        if past {
            let script = self.script(&to.uri);
            let after = self.setup.timings.setup + script.ring.unwrap_or(self.setup.timings.ring);
            let status = match script.ending {
                Ending::Answer => 200,
                Ending::Busy => 486,
                Ending::Rejected(status) => status,
                Ending::NoEndpoint => 404,
                Ending::Congestion => 503,
                _ => 408,
            };
            return self.plan(at + after, Step::Leg(number, AgentStep::Elsewhere(status)));
        }
        let mut call = PassingCall::new(&leg.agent.uri, &to.uri);
        if leg.phone.copies_headers
            && let Some(mark) = to.header(self.setup.mark)
        {
            call = call.mark(mark);
        }
        call.referred_by = Some(self.setup.controller.clone());
        call.hangs_up = leg.phone.hangs_up;
        call.leg = Some(number);
        self.place(call, at);
    }

    fn notify(&mut self, leg: &Leg, state: &'static str, status: u16) {
        if leg.phone.notifies {
            self.happened.push(Happening::Notify {
                call_id: leg.call_id.clone(),
                state,
                status,
            });
        }
    }

    /// The phone's own call has this status, and it tells the proxy.
    pub(super) fn told_phone(&mut self, number: u64, status: u16) {
        let Some(mut leg) = self.legs.remove(&number) else {
            return;
        };
        if status < 200 {
            if leg.phone.notifies_ringing {
                self.notify(&leg, "active;expires=599", status);
            }
            self.legs.insert(number, leg);
        } else if !leg.told {
            leg.told = true;
            self.notify(&leg, "terminated;reason=noresource", status);
        }
    }
}
