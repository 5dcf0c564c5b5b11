//! What every [`SipAdapter`] owes, whatever server it drives.
//!
//! The environment makes fresh servers and clients and stages what the far end and the network do;
//! the cases look through the trait alone. A case that needs a capability which the adapter does
//! not declare is listed as skipped: `an undeclared capability is unsupported and nothing is sent`
//! asserts the refusal.
//!
//! Calls are placed by `Dial`. An adapter that has only `Connect`, as those of proxies, places them
//! from a party that answers ([`SipAdapterSetup::first_party`]) to the one of the case.

mod call;
mod capability;
mod conference;
mod connection;
mod control;
mod env;
mod event;
mod fault;
mod fax;
mod history;
mod incoming;
mod input;
mod load;
mod lookup;
mod media;
mod message;
mod party;
mod passing;
mod plan;
mod receive;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use faxbot_core::{
    ErrorKind,
    address::Address,
    event::EventStream,
    id::CallRef,
    sip::{
        Call, CallRecord, CallRequest, CallState, CallStatus, Capabilities, Capability,
        ConnectionState, HangupOutcome, SipAdapter, SipEvent,
    },
};

pub use env::{BadConfig, Disturbance, Fate, Need, SeenRequest, SipAdapterEnv, SipAdapterSetup};
pub use party::{Caller, CallerSees, FarEnd, StagedCaller};

use super::{
    Case, Failure, Verdict, ensure, eventually,
    expect::{error_of, kind_is, names_an_unknown_key},
    within,
};

/// Enough for anything that a server on this machine does.
const SOON: Duration = Duration::from_secs(10);

type Body = fn(World) -> Pin<Box<dyn Future<Output = Verdict> + Send>>;

/// Something that the adapter must declare.
#[derive(Debug, Clone, Copy)]
enum Wants {
    /// It can place calls, in one way or the other.
    Calls,
    /// This capability.
    Declared(Capability),
}

impl Wants {
    /// Why the adapter does not declare it, if it does not.
    fn lacks(self, declared: &Capabilities) -> Option<String> {
        match self {
            Self::Calls => {
                let places = [Capability::Dial, Capability::Connect];
                let any = places.into_iter().any(|way| declared.has(way));
                (!any).then(|| "neither Dial nor Connect is declared".to_owned())
            }
            Self::Declared(capability) => {
                let has = declared.has(capability);
                (!has).then(|| format!("{capability:?} is not declared"))
            }
        }
    }
}

/// A case, what it needs of the environment, and what the adapter must declare for it.
struct Entry {
    name: &'static str,
    needs: &'static [Need],
    wants: &'static [Wants],
    body: Body,
}

/// `Calls`, or a capability.
macro_rules! wants {
    (Calls) => {
        $crate::conformance::sip_adapter::Wants::Calls
    };
    ($capability:ident) => {
        $crate::conformance::sip_adapter::Wants::Declared(faxbot_core::sip::Capability::$capability)
    };
}
use wants;

/// `entry!("name", [needs], [Calls or capabilities], function)`.
macro_rules! entry {
    ($name:literal, [$($need:expr),*], [$($wanted:ident),*], $body:path) => {
        $crate::conformance::sip_adapter::Entry {
            name: $name,
            needs: const { &[$($need),*] },
            wants: const { &[$($crate::conformance::sip_adapter::wants!($wanted)),*] },
            body: |world| Box::pin($body(world)),
        }
    };
}
use entry;

/// The cases for one adapter.
pub fn cases(env: Arc<dyn SipAdapterEnv>) -> Vec<Case> {
    let name = env.name();
    let declared = env.capabilities();
    let entries = [
        connection::entries(),
        capability::entries(),
        call::entries(),
        lookup::entries(),
        event::entries(),
        load::entries(),
        fault::entries(),
        input::entries(),
        fax::entries(),
        plan::entries(),
        incoming::entries(),
        receive::entries(),
        control::entries(),
        conference::entries(),
        media::entries(),
        message::entries(),
        history::entries(),
        passing::entries(),
    ];
    let case = |entry: Entry| {
        if let Some(reason) = entry.wants.iter().find_map(|want| want.lacks(&declared)) {
            return Case::skipped(entry.name, reason);
        }
        if let Some(reason) = entry.needs.iter().find_map(|need| env.lacks(need)) {
            return Case::skipped(entry.name, reason);
        }
        let env = Arc::clone(&env);
        Case::on_runtime(entry.name, move || async move {
            let setup = env.setup().await?;
            let adapter = setup.adapter().await?;
            (entry.body)(World {
                env,
                setup,
                adapter,
            })
            .await
        })
    };
    entries
        .into_iter()
        .flatten()
        .map(|entry| case(entry).in_suite(&name))
        .collect()
}

/// A fresh server and one adapter for it, not connected.
struct World {
    env: Arc<dyn SipAdapterEnv>,
    setup: Box<dyn SipAdapterSetup>,
    adapter: Arc<dyn SipAdapter>,
}

impl World {
    async fn connect(&self) -> Verdict {
        within("connect", SOON, self.adapter.connect()).await??;
        self.is_in(ConnectionState::Connected)
    }

    fn is_in(&self, state: ConnectionState) -> Verdict {
        let now = self.adapter.connection().state;
        ensure!(now == state, "the connection is {now:?} and not {state:?}");
        Ok(())
    }

    async fn wait_for(&self, state: ConnectionState) -> Verdict {
        let adapter = &self.adapter;
        eventually(&format!("connection {state:?}"), SOON, || {
            adapter.connection().state == state
        })
        .await
    }

    /// A call to this party, in the way that the adapter has.
    async fn call_to(&self, to: Address) -> Result<CallRequest, Failure> {
        if self.env.capabilities().has(Capability::Dial) {
            return Ok(CallRequest::dial(to));
        }
        Ok(CallRequest::connect(self.setup.first_party().await?, to))
    }

    async fn request(&self, fate: Fate) -> Result<CallRequest, Failure> {
        let request = self.call_to(self.setup.target(fate).await?).await?;
        Ok(request.with_timeout(Duration::from_secs(30)))
    }

    /// Hangs up a call of whatever state. One that cannot be taken back while it rings is hung up
    /// when it is answered.
    async fn end(&self, call: &CallRef) -> Result<(), Failure> {
        let end = async {
            loop {
                match self.adapter.hangup(call).await {
                    Ok(HangupOutcome::CannotCancelRinging) => {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    Ok(_) => return Ok(()),
                    Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                    Err(error) => return Err(error.into()),
                }
            }
        };
        within("hangup", SOON, end).await?
    }

    async fn dial(&self, fate: Fate) -> Result<Call, Failure> {
        let request = self.request(fate).await?;
        Ok(within("make_call", SOON, self.adapter.make_call(request)).await??)
    }

    /// Dials and waits for the answer.
    async fn answered(&self) -> Result<Call, Failure> {
        let call = self.dial(Fate::Answers).await?;
        within("the answer", SOON, call.answered()).await??;
        Ok(call)
    }

    /// Hangs up and waits for the end.
    async fn hang_up(&self, call: &Call) -> Result<CallRecord, Failure> {
        within("hangup", SOON, self.adapter.hangup(&call.call_ref())).await??;
        let record = ended(call).await?;
        ensure!(
            call.state() == CallState::Terminated,
            "hung up, and {}",
            call.state()
        );
        Ok(record)
    }

    /// How many requests of that name the server was asked.
    fn asked(&self, name: &str) -> usize {
        let seen = self.setup.requests();
        seen.iter().filter(|seen| seen.name == name).count()
    }

    /// The server was asked for so many calls and faxes.
    fn asked_for(&self, calls: usize) -> Verdict {
        let asked = self.asked(self.setup.call_request());
        ensure!(asked == calls, "{asked} calls were asked for");
        Ok(())
    }

    /// One call from begin to end: the adapter works.
    async fn works(&self) -> Verdict {
        let call = self.answered().await?;
        self.hang_up(&call).await.map(drop)
    }

    async fn status(&self, call: &CallRef) -> Result<CallStatus, Failure> {
        Ok(self.adapter.get_status(call).await?)
    }

    /// The call is in this state, or soon will be.
    async fn comes_to(&self, call: &CallRef, state: CallState) -> Verdict {
        let look = async {
            loop {
                if self.status(call).await?.state == state {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within(&format!("a call that is {state}"), SOON, look).await?
    }

    async fn disconnect(&self) -> Verdict {
        within(
            "disconnect",
            SOON,
            self.adapter.disconnect(Duration::from_secs(2)),
        )
        .await??;
        self.is_in(ConnectionState::Disconnected)
    }
}

/// The next event that `pick` wants; the others are passed over.
async fn event<T>(
    what: &str,
    events: &mut EventStream<SipEvent>,
    mut pick: impl FnMut(SipEvent) -> Option<T>,
) -> Result<T, Failure> {
    let next = async {
        loop {
            let Some(Ok(stamped)) = events.recv().await else {
                return Err(Failure::new("the events ended, or some were lost"));
            };
            if let Some(found) = pick(stamped.event) {
                return Ok(found);
            }
        }
    };
    within(what, SOON, next).await?
}

async fn ended(call: &Call) -> Result<CallRecord, Failure> {
    Ok(within("the end of a call", SOON, call.ended()).await??)
}
