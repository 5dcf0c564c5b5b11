//! Typed calls of OpenSIPS's own, beside [`SipAdapter`](faxbot_core::sip::SipAdapter).

use std::{collections::BTreeMap, sync::Arc};

use faxbot_core::{Error, Result, address::Address};
use serde_json::{Value, json};

use super::{
    OpenSipsAdapter, message,
    message::Pong,
    server::{listed, named, plain, refused},
    target::invalid,
    wire::{
        b2b::Tuple,
        dialog::Dialog,
        lenient::as_number,
        routing::{
            Balanced, BalancerList, Dispatcher, DispatcherList, DispatcherState, Trunk, TrunkList,
        },
        server::ServerVersion,
        users::{Contact, ContactList, LocationDump, Registration},
    },
};
use crate::protocol::jsonrpc::{Params, Request};

/// Each answers `Unsupported` where the server does not have the command, `NotConnected` without a
/// connection, and otherwise as its own `Errors` say. What only reads has no effect.
impl OpenSipsAdapter {
    /// The version of the server.
    ///
    /// # Errors
    /// `NotConnected`, `Timeout` and their like.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn server_version(&self) -> Result<ServerVersion> {
        self.server("server_version")?
            .version("server_version")
            .await
    }

    /// The commands that the server has (`which`).
    ///
    /// # Errors
    /// `NotConnected`, `Timeout` and their like.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn commands(&self) -> Result<Vec<String>> {
        self.server("commands")?.commands("commands").await
    }

    /// The sets of parameters that a command takes; none for a command that is not there.
    ///
    /// # Errors
    /// `NotConnected`, `Timeout` and their like.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn recipes(&self, command: &str) -> Result<Vec<Vec<String>>> {
        self.server("recipes")?.recipes(command, "recipes").await
    }

    /// The dialogs of the server (`dlg_list`), those among them that are over for some seconds; each once.
    ///
    /// More than `options.page` of them come in several answers, each of another moment. While dialogs come
    /// and go between them all is asked for again, three times at most; after that, and where as many
    /// came as went, one that is up may be missing.
    ///
    /// # Errors
    /// `Unsupported` without the module `dialog`.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn dialogs(&self) -> Result<Vec<Dialog>> {
        const OPERATION: &str = "dialogs";
        let server = self.server(OPERATION)?;
        let all = self.core.steady_dialogs(&server, OPERATION).await?;
        Ok(all.into_iter().map(Dialog::from).collect())
    }

    /// The calls of two legs (`b2b_list`).
    ///
    /// # Errors
    /// `Unsupported` without the module `b2b_logic`.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn b2b_calls(&self) -> Result<Vec<Tuple>> {
        const OPERATION: &str = "b2b_calls";
        let all = self.server(OPERATION)?.tuples(OPERATION).await?;
        Ok(all.into_iter().map(Tuple::from).collect())
    }

    /// Statistics by name (`active_dialogs` or `dialog:active_dialogs`), group (`dialog:`) or all
    /// (`all`).
    ///
    /// # Errors
    /// `NotFound` if one of the names is not known: the server would only leave it out.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn statistics(&self, names: &[&str]) -> Result<BTreeMap<String, i64>> {
        const OPERATION: &str = "statistics";
        let answer = self.server(OPERATION)?.statistics(names, OPERATION).await?;
        let numbers = answer
            .into_iter()
            .filter_map(|(name, value)| Some((name, as_number(&value)?)));
        Ok(numbers.collect())
    }

    /// Everybody who is registered at the server (`ul_dump`).
    ///
    /// # Errors
    /// `Unsupported` without the module `usrloc`.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn registrations(&self) -> Result<Vec<Registration>> {
        const OPERATION: &str = "registrations";
        let request = plain("ul_dump", OPERATION)?;
        let dump: LocationDump = self.server(OPERATION)?.read(request, OPERATION).await?;
        Ok(dump.into_all())
    }

    /// Where one address of record can be reached (`ul_show_contact`); nowhere if it is not registered.
    ///
    /// # Errors
    /// `Unsupported` without the module `usrloc`.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn contacts(&self, table: &str, aor: &str) -> Result<Vec<Contact>> {
        const OPERATION: &str = "contacts";
        let values = [("table_name", json!(table)), ("aor", json!(aor))];
        let request = named("ul_show_contact", values, OPERATION)?;
        match self
            .server(OPERATION)?
            .read::<ContactList>(request, OPERATION)
            .await
        {
            Ok(list) => Ok(list.contacts),
            Err(refusal) if refusal.code == Some(404) => Ok(Vec::new()),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// The destinations of the dispatcher (`ds_list`).
    ///
    /// # Errors
    /// `Unsupported` without the module `dispatcher`.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn dispatchers(&self) -> Result<Vec<Dispatcher>> {
        const OPERATION: &str = "dispatchers";
        let request = plain("ds_list", OPERATION)?;
        let list: DispatcherList = self.server(OPERATION)?.read(request, OPERATION).await?;
        Ok(list.into_all())
    }

    /// Takes a destination of the dispatcher out of use, or into it (`ds_set_state`).
    ///
    /// # Errors
    /// `NotFound` for a set or destination that is not there; `InvalidRequest` for a state that cannot be
    /// set.
    ///
    /// # Cancel safety
    /// A request that was written is not undone. It may be repeated.
    pub async fn set_dispatcher_state(
        &self,
        set: i64,
        uri: &str,
        state: &DispatcherState,
    ) -> Result<()> {
        const OPERATION: &str = "set_dispatcher_state";
        let Some(letter) = state.letter() else {
            return Err(invalid(
                OPERATION,
                "a state of the server's own cannot be set",
            ));
        };
        let values = [json!(letter), json!(set), json!(uri)];
        let request = listed("ds_set_state", values, OPERATION)?;
        self.server(OPERATION)?
            .act::<Value>(request, OPERATION)
            .await?;
        Ok(())
    }

    /// The destinations of the load balancer and what they have room for (`lb_list`).
    ///
    /// # Errors
    /// `Unsupported` without the module `load_balancer`.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn load_balancers(&self) -> Result<Vec<Balanced>> {
        const OPERATION: &str = "load_balancers";
        let request = plain("lb_list", OPERATION)?;
        let list: BalancerList = self.server(OPERATION)?.read(request, OPERATION).await?;
        Ok(list.destinations)
    }

    /// Takes a destination of the load balancer out of use, or into it (`lb_status`).
    ///
    /// # Errors
    /// `NotFound` for a number that is not there.
    ///
    /// # Cancel safety
    /// A request that was written is not undone. It may be repeated.
    pub async fn set_load_balancer_enabled(&self, id: i64, enabled: bool) -> Result<()> {
        const OPERATION: &str = "set_load_balancer_enabled";
        let values = [json!(id), json!(i64::from(enabled))];
        let request = listed("lb_status", values, OPERATION)?;
        self.server(OPERATION)?
            .act::<Value>(request, OPERATION)
            .await?;
        Ok(())
    }

    /// The trunks that the server registers at (`reg_list`).
    ///
    /// # Errors
    /// `Unsupported` without the module `uac_registrant`.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn trunks(&self) -> Result<Vec<Trunk>> {
        const OPERATION: &str = "trunks";
        let request = plain("reg_list", OPERATION)?;
        let list: TrunkList = self.server(OPERATION)?.read(request, OPERATION).await?;
        Ok(list.into_all())
    }

    /// Asks a party whether it is there (OPTIONS, by `t_uac_dlg`). Over HTTP every other request of every
    /// client waits until it answers: configure `options.mi_datagram`.
    ///
    /// # Errors
    /// `Timeout` when nobody answers; `InvalidRequest`; `Unsupported` without the module `tm`.
    ///
    /// # Cancel safety
    /// A request that was written is not undone; the server waits for the answer all the same.
    pub async fn options_ping(&self, to: &Address) -> Result<Pong> {
        const OPERATION: &str = "options_ping";
        let (core, server) = (Arc::clone(&self.core), self.server(OPERATION)?);
        let to = to.clone();
        let order = Box::pin(async move { message::ping(&core, &server, &to).await });
        self.life.see_through(OPERATION, order).await
    }

    /// Any command of the management interface. `acts` says whether it has an effect at the server: then
    /// no answer means that nobody knows whether it happened.
    ///
    /// Commands that send SIP requests keep all others waiting over HTTP. What the answer holds may be
    /// personal.
    ///
    /// # Errors
    /// `Unsupported` for a command that the server does not have; `InvalidRequest` for parameters that are
    /// none of its recipes; the server's own code is in
    /// [`native_code`](faxbot_core::Error::native_code).
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn rpc(&self, method: &str, params: Params, acts: bool) -> Result<Value> {
        const OPERATION: &str = "rpc";
        let request =
            Request::new(method.to_owned(), params).map_err(|error| refused(OPERATION, error))?;
        let server = self.server(OPERATION)?;
        let answer = if acts {
            server.act(request, OPERATION).await
        } else {
            server.read(request, OPERATION).await
        };
        answer.map_err(Error::from)
    }
}
