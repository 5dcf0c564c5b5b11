//! What every [`SipAdapter`] owes, whatever server it drives.
//!
//! The environment makes fresh servers and clients and stages what the far end and the network do;
//! the cases look through the trait alone. A case that needs a capability which the adapter does
//! not declare is listed as skipped: `an undeclared capability is unsupported and nothing is sent`
//! asserts the refusal.

mod call;
mod capability;
mod connection;
mod env;
mod event;
mod fault;
mod fax;
mod input;
mod load;
mod lookup;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use faxbot_core::sip::{
    Call, CallRecord, CallRequest, CallState, Capability, ConnectionState, SipAdapter,
};

pub use env::{BadConfig, Disturbance, Fate, Need, SeenRequest, SipAdapterEnv, SipAdapterSetup};

use super::{
    Case, Failure, Verdict, ensure, eventually,
    expect::{error_of, kind_is, names_an_unknown_key},
    within,
};

/// Enough for anything that a server on this machine does.
const SOON: Duration = Duration::from_secs(10);

type Body = fn(World) -> Pin<Box<dyn Future<Output = Verdict> + Send>>;

/// A case, what it needs of the environment, and what the adapter must declare for it.
struct Entry {
    name: &'static str,
    needs: &'static [Need],
    declared: &'static [Capability],
    body: Body,
}

/// `entry!("name", [needs], [capabilities], function)`.
macro_rules! entry {
    ($name:literal, [$($need:expr),*], [$($capability:ident),*], $body:path) => {
        $crate::conformance::sip_adapter::Entry {
            name: $name,
            needs: const { &[$($need),*] },
            declared: const { &[$(faxbot_core::sip::Capability::$capability),*] },
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
    ];
    let case = |entry: Entry| {
        let missing = entry
            .declared
            .iter()
            .find(|capability| !declared.has(**capability));
        if let Some(capability) = missing {
            return Case::skipped(entry.name, format!("{capability:?} is not declared"));
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

    async fn request(&self, fate: Fate) -> Result<CallRequest, Failure> {
        Ok(CallRequest::dial(self.setup.target(fate).await?).with_timeout(Duration::from_secs(30)))
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

async fn ended(call: &Call) -> Result<CallRecord, Failure> {
    Ok(within("the end of a call", SOON, call.ended()).await??)
}
