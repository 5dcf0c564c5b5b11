//! Placing calls, and hanging them up.

use std::sync::Arc;

use faxbot_core::{
    Effect, Error, ErrorKind, Result,
    address::{Address, SipUri},
    id::{CallId, CallRef},
    sip::{Call, CallPlan, CallRequest, CallState, HangupOutcome},
};

use tracing::{Instrument as _, Span};

use super::{
    KamailioAdapter,
    config::KamailioConfig,
    core::Core,
    desk::MARKS,
    server::{Cancel, Server},
    wire::{Dialog, DialogState, check_text},
};
use crate::adapter::{
    dialogs::{Dialogs, NewOurs, Stage},
    hub::Book as _,
    placing::{Placing, parties},
};

impl KamailioAdapter {
    pub(super) async fn place_call(&self, request: CallRequest) -> Result<Call> {
        const OPERATION: &str = "make_call";
        let core = self.life.core();
        core.hub.require(&request.capabilities(), OPERATION)?;
        let CallPlan::Connect { from, to } = &request.plan else {
            return Err(Error::unsupported(OPERATION));
        };
        let id = request.id;
        let first = uri(&core.config, from, OPERATION)?;
        let second = marked(&core.config, &uri(&core.config, to, OPERATION)?, id);
        self.life.check_up(OPERATION)?;
        let (from, to) = parties(&request, OPERATION)?;
        let new = NewOurs {
            id,
            from,
            to,
            ring_timeout: request.options.timeout,
        };
        let updates = core.hub.change(|state, now| {
            let opened = state.books.open(new, &first, &second, now);
            (opened, Vec::new())
        })?;
        let core = Arc::clone(core);
        let order = async move { request_call(&core, id, &first, &second).await };
        // Who gives up waiting leaves no call that was never asked for in the books.
        let order = order.instrument(Span::current());
        match self.life.see_through(OPERATION, order).await {
            Ok(()) => Ok(Call::new(id, updates)),
            Err(error) => Err(error.with_call_id(id)),
        }
    }
}

/// Asks for a call that is in the books.
async fn request_call(core: &Core, id: CallId, first: &str, second: &str) -> Result<()> {
    const OPERATION: &str = "make_call";
    let mut placing = Placing::new(&core.hub, id);
    // The worker watches the ring time from here on.
    placing.requested()?;
    core.hub.wake();
    let server = match core.server(OPERATION) {
        Ok(server) => server,
        Err(error) => return Err(placing.failed(error)),
    };
    let proxy = core.config.outbound_proxy.as_ref().map(SipUri::expose);
    let body = core.body();
    let done = server
        .bridge(first, second, proxy, body.as_deref(), OPERATION)
        .await;
    match done {
        Ok(()) => {
            placing.taken();
            Ok(())
        }
        Err(error) => Err(placing.failed(error)),
    }
}

/// Where a party is called.
///
/// # Errors
/// `InvalidRequest` for what is no address of SIP.
pub(super) fn uri(
    config: &KamailioConfig,
    address: &Address,
    operation: &'static str,
) -> Result<String> {
    let refused = |message| Error::new(ErrorKind::InvalidRequest, operation, message);
    let text = match address {
        Address::SipUri(uri) => uri.expose().to_owned(),
        Address::Native(native) => {
            let uri = native.expose().as_str();
            let rest = uri
                .strip_prefix("sip:")
                .or_else(|| uri.strip_prefix("sips:"));
            if rest.is_none_or(str::is_empty) || uri.contains(char::is_whitespace) {
                return Err(refused("a native address of kamailio is a sip uri"));
            }
            uri.to_owned()
        }
        Address::PhoneNumber(_) | Address::Extension(_) => {
            let filled = config.dial.fill(address, &config.number_format)?;
            // A `#` or another character of an extension that no user part can hold.
            let uri: SipUri = escaped(&filled)
                .parse()
                .map_err(|_| refused("the dial template makes no sip uri of this address"))?;
            uri.expose().to_owned()
        }
        _ => return Err(refused("an address of this kind cannot be called here")),
    };
    check_text(&text, operation)?;
    Ok(text)
}

/// A `#` is not one of the characters of a user part (RFC 3261 section 25.1), and phones write it.
fn escaped(uri: &str) -> String {
    uri.replace('#', "%23")
}

/// The URI with our id as a header: phones copy it into the INVITE that they send to it
/// (RFC 3261 section 19.1.5; observed with PJSUA2 2.15).
fn marked(config: &KamailioConfig, uri: &str, id: CallId) -> String {
    let first = if uri.contains('?') { '&' } else { '?' };
    format!("<{uri}{first}{}={}>", config.job_header, id.as_uuid())
}

/// Hangs up a call that is answered. Of one that rings only the server's own call to a first party can be
/// taken back: `dlg.end_dlg` says yes to any other, and the phone rings on (observed on Kamailio 5.6.3).
pub(super) async fn hang_up(core: &Core, call: &CallRef) -> Result<HangupOutcome> {
    const OPERATION: &str = "hangup";
    let known = {
        let state = core.hub.state();
        let dialogs = &state.books.dialogs;
        let id = dialogs.find(call);
        let at = id.and_then(|id| {
            let calls = dialogs.calls();
            Some((calls.state(id)?, calls.is_answered(id), id))
        });
        match at {
            Some(at) => Some(at),
            None if dialogs.record(call).is_some() => return Ok(HangupOutcome::Ended),
            None => None,
        }
    };
    let server = core.server(OPERATION)?;
    let Some((state, answered, id)) = known else {
        return hang_up_unknown(&server, call).await;
    };
    if state == CallState::HangingUp {
        return Ok(HangupOutcome::Requested);
    }
    if !answered {
        return cancel(core, &server, id).await;
    }
    // Before the order: the end that follows is ours even if its event overtakes the answer.
    let is_up = {
        let mut state = core.hub.state();
        state.books.dialogs.hung_up_by_us(id, true);
        is_up(&state.books.dialogs, id)
    };
    if !is_up {
        // The phone told that it is answered, and the server did not yet: it is ended when it does.
        core.hub.events(|state, now| {
            state.books.dialogs.hang_up_when_there(id);
            state.books.poll_soon();
            state.books.dialogs.hanging_up(id, now)
        });
        return Ok(HangupOutcome::Requested);
    }
    match core.end_dialog(&server, id, OPERATION).await {
        Ok(()) => {
            core.hub.events(|state, now| {
                state.books.poll_soon();
                state.books.dialogs.hanging_up(id, now)
            });
            Ok(HangupOutcome::Requested)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // It ended meanwhile, by somebody else, or the server was restarted.
            core.hub.state().books.dialogs.hung_up_by_us(id, false);
            let restarted = core.is_other_run(&server, OPERATION).await;
            core.hub.note(|state, _| state.books.poll_soon());
            // A poll may have noticed it before.
            if restarted? || core.hub.state().books.forgot() {
                let message = "the server was restarted and forgot the call";
                let error = Error::new(ErrorKind::OutcomeUnknown, OPERATION, message);
                return Err(error.with_call_id(id));
            }
            Ok(HangupOutcome::Ended)
        }
        Err(error) => {
            if error.effect() == Effect::NoEffect {
                core.hub.state().books.dialogs.hung_up_by_us(id, false);
            }
            Err(error.with_call_id(id))
        }
    }
}

/// Takes back the server's own call to the first party. The call of its phone to the second cannot be
/// taken back from here.
async fn cancel(core: &Core, server: &Server<'_>, id: CallId) -> Result<HangupOutcome> {
    const OPERATION: &str = "hangup";
    let leg = core.hub.state().books.ringing_leg(id);
    let Some(call_id) = leg else {
        return Ok(HangupOutcome::CannotCancelRinging);
    };
    // Before the order: its end may be told before the answer.
    core.hub.state().books.dialogs.hung_up_by_us(id, true);
    match server.cancel(&call_id, OPERATION).await {
        Ok(Cancel::Sent) => {
            core.hub.events(|state, now| {
                state.books.cancelled(id, now);
                // Should the phone have answered at the same moment.
                state.books.dialogs.hang_up_when_there(id);
                state.books.dialogs.hanging_up(id, now)
            });
            Ok(HangupOutcome::Requested)
        }
        Ok(Cancel::TooLate | Cancel::Gone) => {
            core.hub.state().books.dialogs.hung_up_by_us(id, false);
            Ok(HangupOutcome::CannotCancelRinging)
        }
        Err(error) => {
            if error.effect() == Effect::NoEffect {
                core.hub.state().books.dialogs.hung_up_by_us(id, false);
            }
            Err(error.with_call_id(id))
        }
    }
}

/// Whether the server showed the dialog of a call as answered.
fn is_up(dialogs: &Dialogs, id: CallId) -> bool {
    let seen = dialogs.seen(id);
    seen.is_some_and(|seen| seen.stage >= Stage::Answered)
}

/// Sends the hang-up that is owed to a call since before its dialog was there.
pub(super) async fn hang_up_late(core: &Core, id: CallId) {
    const OPERATION: &str = "hangup";
    let Ok(server) = core.server(OPERATION) else {
        return;
    };
    let is_due = {
        let dialogs = &core.hub.state().books.dialogs;
        // An event or a list shows it as answered, and asks again.
        dialogs.owes_hang_up(id) && is_up(dialogs, id)
    };
    if !is_due {
        return;
    }
    match core.end_dialog(&server, id, OPERATION).await {
        Ok(()) => core.hub.note(|state, _| {
            state.books.dialogs.hung_up(id);
            state.books.poll_soon();
        }),
        // It ended meanwhile.
        Err(error) if error.kind() == ErrorKind::NotFound => core.hub.note(|state, _| {
            state.books.dialogs.hung_up(id);
            state.books.poll_soon();
        }),
        Err(error) => {
            // It is tried again with the next list that shows it.
            tracing::warn!(%error, call_id = %id, adapter = core.hub.name, "a call could not be hung up");
        }
    }
}

/// Hangs up a dialog that the books do not have.
async fn hang_up_unknown(server: &Server<'_>, call: &CallRef) -> Result<HangupOutcome> {
    const OPERATION: &str = "hangup";
    let found = find(server, call, OPERATION).await?;
    let found = found.and_then(|dialog| Some((dialog.state, dialog.handle?)));
    let Some((state, handle)) = found else {
        let error = Error::new(ErrorKind::NotFound, OPERATION, "no such call");
        return Err(match call.id {
            Some(id) => error.with_call_id(id),
            None => error,
        });
    };
    match state {
        DialogState::Unconfirmed | DialogState::Early => Ok(HangupOutcome::CannotCancelRinging),
        _ => {
            server.end(handle, OPERATION).await?;
            Ok(HangupOutcome::Requested)
        }
    }
}

/// The live dialog that a reference names at the server: by our id in it, or by its Call-ID.
pub(super) async fn find(
    server: &Server<'_>,
    call: &CallRef,
    operation: &'static str,
) -> Result<Option<Dialog>> {
    if let Some(id) = call.id {
        let dialogs = server.dialogs(operation).await?;
        let mut live = dialogs
            .into_iter()
            .filter(|dialog| dialog.state != DialogState::Deleted);
        return Ok(live.find(|dialog| dialog.mark(MARKS) == Some(id)));
    }
    match &call.native {
        Some(call_id) => server.dialog(call_id, None, operation).await,
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> KamailioConfig {
        KamailioConfig::from_url("kamailio+http://127.0.0.1:5070?realm=sip.example").unwrap()
    }

    #[test]
    fn a_party_is_called_at_a_sip_uri() {
        for (address, wanted) in [
            ("1001", "sip:1001@sip.example"),
            ("*7#", "sip:*7%23@sip.example"),
            ("+493012345678", "sip:+493012345678@sip.example"),
            (
                "sip:bob@h:5080;transport=tcp",
                "sip:bob@h:5080;transport=tcp",
            ),
            ("native:sip:bob@h?X-A=1", "sip:bob@h?X-A=1"),
        ] {
            let address: Address = address.parse().unwrap();
            assert_eq!(uri(&config(), &address, "make_call").unwrap(), wanted);
        }
    }

    #[test]
    fn nothing_that_could_leave_its_place_is_an_address() {
        for bad in [
            "PJSIP/1001",
            "sip:",
            "sip:a@h\r\nX: y",
            "sip:a@h>",
            "<sip:a@h>",
            "sip:a b@h",
            "tel:1",
        ] {
            let error = uri(&config(), &Address::native(bad), "make_call").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{bad:?}");
            assert!(!error.message().contains("a@h"));
        }
    }

    #[test]
    fn the_second_party_carries_our_id() {
        let id = CallId::from_uuid(uuid::Uuid::from_u128(7));
        assert_eq!(
            marked(&config(), "sip:2000@h;user=phone", id),
            "<sip:2000@h;user=phone?X-Job=00000000-0000-0000-0000-000000000007>"
        );
        assert_eq!(
            marked(&config(), "sip:2000@h?X-A=1", id),
            "<sip:2000@h?X-A=1&X-Job=00000000-0000-0000-0000-000000000007>"
        );
    }
}
