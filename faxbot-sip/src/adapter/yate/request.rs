//! Requests of the contract as one `call.execute` each.

use std::time::Duration;

use faxbot_core::{
    Error, ErrorKind, Result,
    address::{Address, FaxTarget},
    fax::{FaxRequest, T38Mode},
    id::{CallId, RequestId},
    sip::{CallOptions, CallPlan, CallRequest, OnAnswer},
};
use uuid::Uuid;

use super::{
    config::YateConfig,
    control::{
        desk::{Ordered, Then},
        party::Party,
    },
    server::{message, refused},
};
use crate::{
    adapter::sip_headers,
    protocol::{guard, yate::Command},
};

/// Begins the address of a `dumb` channel of ours: it shows in its status, so that another process, or
/// this one after a lost answer, finds the call (observed on Yate 6.4).
const MARK: &str = "faxbot-";

/// The address of our end of a call.
pub(super) fn mark(id: CallId) -> String {
    format!("{MARK}{}", id.as_uuid())
}

/// The address of our end of the call of another party, for a call: no other process takes it for the
/// call itself.
pub(super) fn second_mark(id: CallId, party: RequestId) -> String {
    format!("{}-{}", mark(id), party.as_uuid())
}

/// The call that an address is our end of.
pub(super) fn marked(address: &str) -> Option<CallId> {
    let uuid = address.strip_prefix(MARK)?;
    (uuid.len() == 36)
        .then(|| Uuid::try_parse(uuid).ok())
        .flatten()
        .map(CallId::from_uuid)
}

/// The target of a `dumb` channel whose far end is named by `direct`: it has to be there, and is not
/// called (recording `sip_out_bad_requests`).
const NOBODY: &str = "faxbot";

/// Parameters of `call.execute` that a variable of the caller's may not be.
const OWN: &[&str] = &[
    "callto",
    "direct",
    "target",
    "id",
    "peerid",
    "targetid",
    "maxcall",
    "timeout",
    "billid",
    "message",
    "caller",
    "callername",
    "called",
    "handlers",
    "error",
    "reason",
    "copyparams",
];

/// Where a call goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// A target of a driver, such as `sip/sip:100@pbx.example`.
    Direct(String),
    /// A number that Yate routes itself.
    Routed(String),
}

/// The target of an address: whatever names a driver is one.
pub(super) fn target(config: &YateConfig, to: &Address, operation: &'static str) -> Result<Target> {
    let text = match to {
        Address::PhoneNumber(_) | Address::Extension(_) => {
            config.dial.fill(to, &config.number_format)?
        }
        Address::SipUri(uri) => match &config.sip_dial {
            Some((before, after)) => format!("{before}{}{after}", uri.expose()),
            None => {
                let message = "set options.sip_dial (sip/{uri}) to call SIP URIs";
                return Err(Error::new(ErrorKind::InvalidRequest, operation, message));
            }
        },
        Address::Native(native) => native.expose().clone(),
        _ => return Err(Error::unsupported(operation)),
    };
    Ok(if text.contains('/') {
        Target::Direct(text)
    } else {
        Target::Routed(text)
    })
}

impl Target {
    pub(super) fn add(&self, command: Command, operation: &'static str) -> Result<Command> {
        let (direct, target) = match self {
            Self::Direct(direct) => (Some(direct.as_str()), NOBODY),
            Self::Routed(target) => (None, target.as_str()),
        };
        let mut command = param(command, "target", target, operation)?;
        if let Some(direct) = direct {
            command = param(command, "direct", direct, operation)?;
        }
        Ok(command)
    }
}

/// The `call.execute` of a call: a `dumb` channel is our end of it.
pub(super) fn make_call(config: &YateConfig, request: &CallRequest) -> Result<Command> {
    const OPERATION: &str = "make_call";
    let to = match &request.plan {
        CallPlan::Dial { to, .. } => to,
        CallPlan::Connect { from, .. } => from,
        _ => return Err(Error::unsupported(OPERATION)),
    };
    let options = &request.options;
    let target = target(config, to, OPERATION)?;
    let callto = format!("dumb/{}", mark(request.id));
    let command = message("call.execute", &[("callto", &callto)], OPERATION)?;
    let mut command = target.add(command, OPERATION)?;
    command = param(command, "maxcall", &millis(options.timeout), OPERATION)?;
    // Of two parties it counts from the answer of the second one.
    let connects = matches!(request.plan, CallPlan::Connect { .. });
    if let Some(limit) = options.max_duration.filter(|_| !connects) {
        command = param(command, "timeout", &millis(limit), OPERATION)?;
    }
    options_of(command, options, OPERATION)
}

/// What begins when a call is answered.
pub(super) fn once_answered(config: &YateConfig, request: &CallRequest) -> Result<Ordered> {
    const OPERATION: &str = "make_call";
    let options = &request.options;
    let party = |to: &Address| {
        let target = target(config, to, OPERATION)?;
        let party = Party::new(
            request.id,
            &target,
            options.timeout,
            Some(options),
            OPERATION,
        )?;
        Ok::<_, Error>(Some(Then::Party(Box::new(party))))
    };
    let mut limit = None;
    let then = match &request.plan {
        CallPlan::Connect { to, .. } => {
            limit = options.max_duration;
            party(to)?
        }
        CallPlan::Dial { on_answer, .. } => match on_answer {
            OnAnswer::Park => None,
            OnAnswer::Bridge(to) => party(to)?,
            OnAnswer::Extension { extension, context } => {
                if extension.is_empty() {
                    let message = "an extension is a number that yate routes";
                    return Err(Error::new(ErrorKind::InvalidRequest, OPERATION, message));
                }
                // Nothing in them may break a line.
                let context = context.clone();
                let routed = [Some(extension), context.as_ref()];
                for text in routed.into_iter().flatten() {
                    message("call.route", &[("called", text)], OPERATION)?;
                }
                Some(Then::Extension(extension.clone(), context))
            }
            _ => return Err(Error::unsupported(OPERATION)),
        },
        _ => return Err(Error::unsupported(OPERATION)),
    };
    Ok(Ordered::once_answered(then, options.record, limit))
}

/// The caller, the headers and the variables of a call.
pub(super) fn options_of(
    mut command: Command,
    options: &CallOptions,
    operation: &'static str,
) -> Result<Command> {
    if let Some(number) = &options.caller_id {
        command = param(command, "caller", number.e164(), operation)?;
    }
    if let Some(name) = &options.caller_id_name {
        command = param(command, "callername", name, operation)?;
    }
    // What is not named is dropped in silence (observed on Yate 6.4.1).
    let mut copied = Vec::new();
    for (name, value) in &options.headers {
        sip_headers::check(name, value, operation)?;
        let name = format!("osip_{name}");
        command = param(command, &name, value, operation)?;
        copied.push(name);
    }
    for (name, value) in &options.variables {
        guard::name(name.as_bytes()).map_err(|source| {
            let message =
                "the name of a variable has letters, digits and punctuation of ASCII only";
            Error::new(ErrorKind::InvalidRequest, operation, message).with_source(source)
        })?;
        let lower = name.to_ascii_lowercase();
        if OWN.contains(&lower.as_str()) || lower.starts_with("osip_") {
            let message = "this parameter is set by the adapter";
            return Err(Error::new(ErrorKind::InvalidRequest, operation, message));
        }
        if name.contains(',') {
            let message = "the name of a variable cannot hold a comma";
            return Err(Error::new(ErrorKind::InvalidRequest, operation, message));
        }
        command = param(command, name, value, operation)?;
        copied.push(name.clone());
    }
    if !copied.is_empty() {
        command = param(command, "copyparams", &copied.join(","), operation)?;
    }
    Ok(command)
}

/// The `call.execute` of a fax: a `fax` channel that reads `file`, as Yate sees it.
pub(super) fn send_fax(config: &YateConfig, request: &FaxRequest, file: &str) -> Result<Command> {
    const OPERATION: &str = "send_fax";
    if request
        .resolution
        .is_some_and(|resolution| resolution != request.image.resolution())
    {
        let message =
            "the pages have another resolution than the one asked for; convert the document anew";
        return Err(Error::new(ErrorKind::InvalidRequest, OPERATION, message));
    }
    let fax_target: &FaxTarget = &request.to;
    let target = target(config, &fax_target.clone().into(), OPERATION)?;
    // Two slashes: the path is absolute.
    let callto = format!("fax/send/{file}");
    let command = message("call.execute", &[("callto", &callto)], OPERATION)?;
    let mut command = match &target {
        Target::Direct(direct) => param(command, "direct", direct, OPERATION)?,
        Target::Routed(number) => param(command, "target", number, OPERATION)?,
    };
    let station = request.station_id.as_ref().or(config.station_id.as_ref());
    if let Some(station) = station {
        command = param(command, "faxident", station.expose(), OPERATION)?;
    }
    // `switch` begins in audio and asks for T.38 when it was answered; `analog` does not ask, but goes
    // along with a far end that does; `digital` offers nothing else in its INVITE, which many refuse with
    // 488 (observed on Yate 6.4.1 and FreeSWITCH 1.10.12). There is no word against T.38.
    let kind = match request.t38 {
        T38Mode::Prefer => "switch",
        T38Mode::Require => "digital",
        T38Mode::Disable => "analog",
        _ => return Err(Error::unsupported(OPERATION)),
    };
    // No time limits: `faxchan` ignores them, and ours are in `fax_limits`.
    let ecm = if request.ecm { "true" } else { "false" };
    for (name, value) in [("faxtype", kind), ("faxecm", ecm)] {
        command = param(command, name, value, OPERATION)?;
    }
    Ok(command)
}

fn param(command: Command, name: &str, value: &str, operation: &'static str) -> Result<Command> {
    command
        .param(name, value)
        .map_err(|error| refused(operation, error))
}

/// Yate counts in milliseconds; 0 would be no limit.
pub(super) fn millis(time: Duration) -> String {
    time.as_millis().clamp(1, 86_400_000).to_string()
}
