//! Requests of the contract as actions of the manager.

use std::{collections::BTreeMap, time::Duration};

use faxbot_core::{
    Error, ErrorKind, Result,
    address::{Address, FaxTarget},
    fax::{FaxRequest, T38Mode},
    id::CallId,
    sip::{CallPlan, CallRequest, OnAnswer},
};

use super::{
    config::AsteriskConfig,
    dialplan::{DIAL, DIAL_RING, DIAL_TO, PARK_SECONDS},
    outcome::{KEY, KIND, KIND_BRIDGE, KIND_CONNECT, KIND_FAX, OutcomeStore, channel_id, peer_id},
};
use crate::{
    adapter::sip_headers::check,
    protocol::ami::{Action, ActionError},
};

/// What a call may take beside its ring time and its duration before Asterisk itself ends the channel:
/// the limit that is set on answer comes first.
const LIMIT_GRACE: Duration = Duration::from_secs(30);

/// What a fax may take beside its ring time-out before Asterisk itself ends the channel.
const ABSOLUTE_GRACE: Duration = Duration::from_secs(30);

/// The `Originate` of a call.
pub(super) fn make_call(
    config: &AsteriskConfig,
    store: &OutcomeStore,
    control: bool,
    request: &CallRequest,
) -> Result<Action> {
    const OPERATION: &str = "make_call";
    let options = &request.options;
    let first = match &request.plan {
        CallPlan::Dial { to, .. } => to,
        CallPlan::Connect { from, .. } => from,
        _ => return Err(Error::unsupported(OPERATION)),
    };
    let channel = dial_string(config, first, OPERATION)?;
    let mut action = originate(&channel, request.id, options.timeout, OPERATION)?;
    let second = |to: &Address, kind| -> Result<Second> {
        Ok(Second {
            dial: second_party(config, to, OPERATION)?,
            ring: options.timeout,
            context: store.context().filter(|_| control),
            kind,
        })
    };
    action = match &request.plan {
        CallPlan::Connect { to, .. } => second(to, KIND_CONNECT)?.add_to(action),
        CallPlan::Dial { on_answer, .. } => match on_answer {
            OnAnswer::Park => application(action, "Wait", PARK_SECONDS),
            OnAnswer::Extension { extension, context } => action
                .header("Exten", extension)
                .and_then(|action| {
                    action.header("Context", context.as_ref().unwrap_or(&config.context))
                })
                // Without a priority an Async Originate is accepted and the channel stays in nowhere
                // (`03_originate_nonexistent_exten`).
                .and_then(|action| action.header("Priority", "1")),
            OnAnswer::Application { name, data } => application(action, name, data),
            OnAnswer::Bridge(to) => second(to, KIND_BRIDGE)?.add_to(action),
            _ => return Err(Error::unsupported(OPERATION)),
        },
        _ => return Err(Error::unsupported(OPERATION)),
    }
    .map_err(|error| refused(OPERATION, error))?;
    let number = options
        .caller_id
        .as_ref()
        .map(|number| number.e164().to_owned());
    let name = options.caller_id_name.as_deref().unwrap_or("asterisk");
    action = caller_id(action, name, number.as_deref(), OPERATION)?;
    action = handler(action, store, request.id, OPERATION)?;
    for (name, value) in &options.variables {
        if !is_variable_name(name) {
            return Err(invalid(
                OPERATION,
                "a variable name has letters, digits and _ only, and is none of ours (FAXBOT_...)",
            ));
        }
        action = action
            .variable(name, value)
            .map_err(|error| refused(OPERATION, error))?;
    }
    action = sip_headers(action, &channel, &options.headers, OPERATION)?;
    if let Some(limit) = options.max_duration {
        // It counts from the Originate, with the ringing (observed on Asterisk 16.28 and 22.10), and
        // holds if the link is lost before the answer.
        let rings = 1 + u32::from(matches!(request.plan, CallPlan::Connect { .. }));
        let net = options
            .timeout
            .saturating_mul(rings)
            .saturating_add(limit)
            .saturating_add(LIMIT_GRACE);
        action = action
            .variable("TIMEOUT(absolute)", &whole_seconds(net))
            .map_err(|error| refused(OPERATION, error))?;
    }
    Ok(action)
}

/// A second party, called when the first has answered.
struct Second<'a> {
    dial: String,
    ring: Duration,
    /// Our context, where it is there. A channel that `Application: Dial` runs on cannot be sent
    /// anywhere while it is bridged: it is hung up (observed on Asterisk 16.28 and 22.10).
    context: Option<&'a str>,
    kind: &'static str,
}

impl Second<'_> {
    fn add_to(self, action: Action) -> std::result::Result<Action, ActionError> {
        let ring = whole_seconds(self.ring);
        let action = action.variable(KIND, self.kind)?;
        match self.context {
            Some(context) => action
                .header("Exten", DIAL)?
                .header("Context", context)?
                .header("Priority", "1")?
                .variable(DIAL_TO, &self.dial)?
                .variable(DIAL_RING, &ring),
            None => application(action, "Dial", &format!("{},{ring}", self.dial)),
        }
    }
}

/// The dial string of a party that `Dial` calls: a comma would end it, and the rest be taken for
/// options.
pub(super) fn second_party(
    config: &AsteriskConfig,
    to: &Address,
    operation: &'static str,
) -> Result<String> {
    let dial = dial_string(config, to, operation)?;
    if dial.is_empty() || dial.contains([',', '"', '\\']) || dial.contains("${") {
        return Err(invalid(
            operation,
            "the dial string of a second party cannot hold commas, quotes, backslashes or ${",
        ));
    }
    Ok(dial)
}

/// Rounded up: a ring time-out of 0 is none.
pub(super) fn whole_seconds(time: Duration) -> String {
    let begun = u64::from(time.subsec_nanos() > 0);
    let seconds = time.as_secs().saturating_add(begun);
    seconds.clamp(1, i32::MAX.unsigned_abs().into()).to_string()
}

/// Headers of the INVITE of our own channel, by a function of `chan_pjsip` (observed on Asterisk
/// 16.28 and 22.10).
fn sip_headers(
    mut action: Action,
    channel: &str,
    headers: &BTreeMap<String, String>,
    operation: &'static str,
) -> Result<Action> {
    let is_pjsip = channel
        .get(..6)
        .is_some_and(|start| start.eq_ignore_ascii_case("PJSIP/"));
    if !headers.is_empty() && !is_pjsip {
        return Err(invalid(
            operation,
            "SIP headers can be set on PJSIP channels only",
        ));
    }
    for (name, value) in headers {
        check(name, value, operation)?;
        action = action
            .variable(&format!("PJSIP_HEADER(add,{name})"), value)
            .map_err(|error| refused(operation, error))?;
    }
    Ok(action)
}

/// The `Originate` of a fax: no dialplan is needed, `SendFAX` runs on the answered channel
/// (observed on Asterisk 22.10, recording `06_fax_t38_app_ok`).
pub(super) fn send_fax(
    config: &AsteriskConfig,
    store: &OutcomeStore,
    request: &FaxRequest,
    file: &str,
) -> Result<Action> {
    const OPERATION: &str = "send_fax";
    let to = match &request.to {
        FaxTarget::PhoneNumber(number) => Address::PhoneNumber(number.clone()),
        FaxTarget::Extension(extension) => Address::Extension(extension.clone()),
        FaxTarget::SipUri(uri) => Address::SipUri(uri.clone()),
        _ => return Err(Error::unsupported(OPERATION)),
    };
    // SendFAX offers what the pages have and does not scale them.
    if request
        .resolution
        .is_some_and(|resolution| resolution != request.image.resolution())
    {
        return Err(invalid(
            OPERATION,
            "the pages have another resolution than the one asked for; convert the document anew",
        ));
    }
    let channel = dial_string(config, &to, OPERATION)?;
    // `z` asks the far end for T.38, `f` lets the session go on in audio when it declines, `F` stays
    // in audio, `s` sends FAXStatus events (`res/res_fax.c`, `fax_exec_options`).
    let options = match request.t38 {
        T38Mode::Prefer => "zfs",
        T38Mode::Require => "zs",
        T38Mode::Disable => "Fs",
        _ => return Err(Error::unsupported(OPERATION)),
    };
    let limit = request
        .ring_timeout
        .saturating_add(request.total_timeout())
        .saturating_add(ABSOLUTE_GRACE);
    let build = || -> std::result::Result<Action, ActionError> {
        let mut action = Action::new("Originate")?;
        action = base(action, &channel, request.id, request.ring_timeout)?;
        action = application(action, "SendFAX", &format!("{file},{options}"))?
            .variable(KIND, KIND_FAX)?
            .variable("TIMEOUT(absolute)", &limit.as_secs().to_string())?
            .variable("FAXOPT(ecm)", if request.ecm { "yes" } else { "no" })?;
        if let Some(station) = &request.station_id {
            action = action.variable("FAXOPT(localstationid)", station.expose())?;
        }
        if let Some(header) = &request.header {
            action = action.variable("FAXOPT(headerinfo)", header.expose())?;
        }
        if let Some(rate) = request.max_rate {
            action = action.variable("FAXOPT(maxrate)", &rate.to_string())?;
        }
        Ok(action)
    };
    let action = build().map_err(|error| refused(OPERATION, error))?;
    handler(action, store, request.id, OPERATION)
}

/// A question or order with one header or more.
pub(super) fn action(
    name: &str,
    headers: &[(&str, &str)],
    operation: &'static str,
) -> Result<Action> {
    let mut action = Action::new(name).map_err(|error| refused(operation, error))?;
    for (header, value) in headers {
        action = action
            .header(header, value)
            .map_err(|error| refused(operation, error))?;
    }
    Ok(action)
}

fn originate(
    channel: &str,
    id: CallId,
    timeout: Duration,
    operation: &'static str,
) -> Result<Action> {
    Action::new("Originate")
        .and_then(|action| base(action, channel, id, timeout))
        .map_err(|error| refused(operation, error))
}

/// What every Originate has. `Async`, because a synchronous one silences the whole connection until
/// the far end answers (`03_originate_sync`).
fn base(
    action: Action,
    channel: &str,
    id: CallId,
    timeout: Duration,
) -> std::result::Result<Action, ActionError> {
    let timeout = timeout
        .as_millis()
        .clamp(1, u128::from(u32::MAX / 2))
        .to_string();
    let action = action
        .header("Channel", channel)?
        .header("Async", "true")?
        .header("ChannelId", &channel_id(id))?
        .header("Timeout", &timeout)?;
    // Only a Local channel has a second leg; without an id of ours it gets a generated one.
    if is_local(channel) {
        action.header("OtherChannelId", &peer_id(id))
    } else {
        Ok(action)
    }
}

fn application(action: Action, name: &str, data: &str) -> std::result::Result<Action, ActionError> {
    action.header("Application", name)?.header("Data", data)
}

fn handler(
    action: Action,
    store: &OutcomeStore,
    id: CallId,
    operation: &'static str,
) -> Result<Action> {
    match store.handler() {
        Some(handler) => action
            .variable(KEY, &channel_id(id))
            .and_then(|action| action.variable("CHANNEL(hangup_handler_push)", &handler))
            .map_err(|error| refused(operation, error)),
        None => Ok(action),
    }
}

/// `"name" <number>`, the form of chan's own parser; characters that would end a part are refused.
fn caller_id(
    action: Action,
    name: &str,
    number: Option<&str>,
    operation: &'static str,
) -> Result<Action> {
    if name.contains(['"', '<', '>', '\\']) {
        return Err(invalid(
            operation,
            "a caller name cannot hold quotes, backslashes or angle brackets",
        ));
    }
    let text = match number {
        Some(number) => format!("\"{name}\" <{number}>"),
        None => format!("\"{name}\" <>"),
    };
    action
        .header("CallerID", &text)
        .map_err(|error| refused(operation, error))
}

pub(super) fn dial_string(
    config: &AsteriskConfig,
    to: &Address,
    operation: &'static str,
) -> Result<String> {
    match to {
        Address::PhoneNumber(_) | Address::Extension(_) => {
            config.dial.fill(to, &config.number_format)
        }
        Address::SipUri(uri) => match &config.sip_dial {
            Some((before, after)) if !uri.expose().contains([',', '&']) => {
                Ok(format!("{before}{}{after}", uri.expose()))
            }
            Some(_) => Err(invalid(
                operation,
                "a URI with a comma or & cannot be dialled through Asterisk",
            )),
            None => Err(invalid(
                operation,
                "set options.sip_dial (PJSIP/endpoint/{uri}) to dial SIP URIs",
            )),
        },
        Address::Native(native) => Ok(native.expose().clone()),
        _ => Err(Error::unsupported(operation)),
    }
}

fn is_local(channel: &str) -> bool {
    channel
        .get(..6)
        .is_some_and(|start| start.eq_ignore_ascii_case("Local/"))
}

/// A plain variable, with the `_` or `__` that makes it inherited. Functions stay ours: a caller's
/// `SHELL(...)` would run a program.
fn is_variable_name(name: &str) -> bool {
    let bare = name
        .strip_prefix("__")
        .or_else(|| name.strip_prefix('_'))
        .unwrap_or(name);
    // Ours say what the call is, and where its outcome goes.
    let is_ours = bare.starts_with("FAXBOT_") || bare == "DIALSTATUS";
    !is_ours
        && bare.starts_with(|c: char| c.is_ascii_alphabetic())
        && bare.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn invalid(operation: &'static str, message: &str) -> Error {
    Error::new(ErrorKind::InvalidRequest, operation, message)
}

pub(super) fn refused(operation: &'static str, error: ActionError) -> Error {
    Error::new(ErrorKind::InvalidRequest, operation, error.to_string()).with_source(error)
}
