//! Requests of the contract as one `originate` each.
//!
//! Everything that has to happen is in that line, so that it happens also when the link or this process
//! is gone a moment later: limits, recording, the hook that keeps the outcome.

use std::time::Duration;

use faxbot_core::{
    Error, ErrorKind, Result,
    address::Address,
    fax::{FaxRequest, StationId, T38Mode},
    id::CallId,
    sip::{CallOptions, CallPlan, CallRequest, OnAnswer},
};

use super::{
    config::FreeswitchConfig,
    control::record::PRE_BUFFER,
    dial::{self, dial_string, fax_address, invalid, is_sip, second_party},
    diet::MARK,
    outcome::{Kind, OutcomeStore, channel_uuid, peer_uuid},
};
use crate::{
    adapter::sip_headers,
    protocol::esl::{Command, CommandError, DialString, Leg, VariableError, Variables, argument},
};

/// What a call may take beside its duration, and a fax beside its time-out, before FreeSWITCH itself
/// ends the channel: our own limit comes first.
const LIMIT_GRACE: Duration = Duration::from_secs(30);

/// What the first party of a call hears while the second one rings: it has answered, so that nobody
/// else plays it anything.
pub(super) const RINGBACK: &str = "%(2000,4000,440,480)";

/// Starts of the names of variables that are ours: they say what the call is, where its outcome goes,
/// or run something of the server at an event of the call. `sip_h_` has its own place in the request.
const OWN_VARIABLES: &[&str] = &[
    "absolute_codec_string",
    "api_",
    "bridge_pre_execute",
    "bridge_post_execute",
    "exec_after",
    "execute_on_",
    "export_vars",
    "faxbot_",
    "group_confirm",
    "hangup_after_bridge",
    "hangup_complete_with_xml",
    "ignore_early_media",
    "origination_nested_vars",
    "origination_uuid",
    "originate_",
    "park_after_bridge",
    "record_post_process_exec",
    "session_in_hangup_hook",
    "sip_h_",
    "system_on_",
    "transfer_after_bridge",
];

/// The cause of a call that reached its limit.
const LIMIT_CAUSE: &str = "ALLOTTED_TIMEOUT";

/// Makes the lines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Originator<'a> {
    pub(super) config: &'a FreeswitchConfig,
    pub(super) store: &'a OutcomeStore,
}

/// Variables on their way into a line, with an error that fits.
struct Line {
    variables: Variables,
    operation: &'static str,
}

impl Line {
    fn new(operation: &'static str) -> Self {
        Self {
            variables: Variables::new(),
            operation,
        }
    }

    fn set(self, name: &str, value: &str) -> Result<Self> {
        let operation = self.operation;
        let variables = self.variables.set(name, value);
        Self::with(operation, variables)
    }

    /// A value of ours only: the server expands it.
    fn template(self, name: &str, value: &str) -> Result<Self> {
        let operation = self.operation;
        let variables = self.variables.template(name, value);
        Self::with(operation, variables)
    }

    fn with(operation: &'static str, variables: Result<Variables, VariableError>) -> Result<Self> {
        let variables = variables.map_err(|error| dial::refused(operation, error))?;
        Ok(Self {
            variables,
            operation,
        })
    }

    /// The destination with all that was set: one word of a line.
    fn to(self, leg: Leg) -> String {
        DialString::new(leg)
            .with_variables(self.variables)
            .to_string()
    }

    /// `then` are the words behind the destination, each escaped already.
    fn command(self, leg: Leg, then: &[String]) -> Result<Command> {
        let operation = self.operation;
        let line = format!("{} {}", self.to(leg), then.join(" "));
        Command::bgapi("originate", &line).map_err(|error| refused(operation, error))
    }
}

impl Originator<'_> {
    /// The `originate` of a call. `recording` is the file of one that is recorded from its answer on,
    /// as the server names it.
    pub(super) fn make_call(
        &self,
        request: &CallRequest,
        recording: Option<&str>,
    ) -> Result<Command> {
        const OPERATION: &str = "make_call";
        let options = &request.options;
        let first = match &request.plan {
            CallPlan::Dial { to, .. } => to,
            CallPlan::Connect { from, .. } => from,
            _ => return Err(Error::unsupported(OPERATION)),
        };
        let leg = dial::leg(self.config, first, OPERATION)?;
        let then = self.once_answered(request, recording)?;
        let mut line = self.base(request.id, Kind::of(request), options.timeout, OPERATION)?;
        line = self.caller_id(line, options)?;
        if matches!(
            request.plan,
            CallPlan::Connect { .. }
                | CallPlan::Dial {
                    on_answer: OnAnswer::Bridge(_),
                    ..
                }
        ) {
            line = line
                .set("hangup_after_bridge", "true")?
                .set("call_timeout", &whole_seconds(options.timeout))?
                .set("transfer_ringback", RINGBACK)?;
        }
        line = limits(line, request)?;
        if recording.is_some() {
            line = line.set(PRE_BUFFER, "0")?;
        }
        if let (Some(file), CallPlan::Dial { .. }) = (recording, &request.plan) {
            let start = format!("record_session {}", recordable(file, OPERATION)?);
            line = line.set("execute_on_answer_record", &start)?;
        }
        if !options.headers.is_empty() && !is_sip(&dial_string(self.config, first, OPERATION)?) {
            return Err(invalid(
                OPERATION,
                "SIP headers can be set on channels of sofia/ and user/ only",
            ));
        }
        for (name, value) in &options.headers {
            sip_headers::check(name, value, OPERATION)?;
            line = line.set(&format!("sip_h_{name}"), value)?;
        }
        for (name, value) in &options.variables {
            check_variable(name, value, OPERATION)?;
            line = line.set(name, value)?;
        }
        line.command(leg, &then)
    }

    /// What the answered channel does: the words behind the destination.
    fn once_answered(&self, request: &CallRequest, recording: Option<&str>) -> Result<Vec<String>> {
        const OPERATION: &str = "make_call";
        let application = |name: &str, data: &str| vec![argument(&format!("&{name}({data})"))];
        let on_answer = match &request.plan {
            CallPlan::Connect { to, .. } => {
                let mut second = Line::new(OPERATION);
                if let Some(limit) = request.options.max_duration {
                    second = second.set("execute_on_answer_limit", &hang_up_after(limit))?;
                }
                if let Some(file) = recording {
                    // Our own channel is recorded, from the answer of the second one on.
                    let uuid = channel_uuid(request.id);
                    let start =
                        format!("uuid_record {uuid} start {}", recordable(file, OPERATION)?);
                    second = second.set("api_on_answer_record", &start)?;
                }
                return self.bridge(request.id, to, second);
            }
            CallPlan::Dial { on_answer, .. } => on_answer,
            _ => return Err(Error::unsupported(OPERATION)),
        };
        Ok(match on_answer {
            OnAnswer::Park => application("park", ""),
            OnAnswer::Bridge(to) => self.bridge(request.id, to, Line::new(OPERATION))?,
            OnAnswer::Extension { extension, context } => {
                let context = context.as_deref().unwrap_or(&self.config.context);
                check_word(extension, OPERATION)?;
                check_word(context, OPERATION)?;
                vec![
                    extension.clone(),
                    self.config.dialplan.clone(),
                    context.to_owned(),
                ]
            }
            OnAnswer::Application { name, data } => {
                let known = |b: u8| b.is_ascii_alphanumeric() || b"_-:.".contains(&b);
                if name.is_empty() || !name.bytes().all(known) {
                    return Err(invalid(
                        OPERATION,
                        "the name of an application has letters, digits and _ only",
                    ));
                }
                // The server cuts at the first one (`originate_function` in `mod_commands.c`).
                if data.contains(')') || data.chars().any(char::is_control) {
                    return Err(invalid(
                        OPERATION,
                        "the arguments of an application cannot hold a closing parenthesis or control characters",
                    ));
                }
                application(name, data)
            }
            _ => return Err(Error::unsupported(OPERATION)),
        })
    }

    fn bridge(&self, id: CallId, to: &Address, second: Line) -> Result<Vec<String>> {
        let operation = second.operation;
        let leg = second_party(self.config, to, operation)?;
        let second = second
            .set("origination_uuid", &peer_uuid(id))?
            .set(MARK, &self.config.instance)?;
        Ok(vec![format!("&bridge({})", second.to(leg))])
    }

    /// The `originate` of a fax: no dialplan is needed, `txfax` runs on the answered channel (recording
    /// `09_hook_recommended_line`). `file` is as the server names it.
    pub(super) fn send_fax(&self, request: &FaxRequest, file: &str) -> Result<Command> {
        const OPERATION: &str = "send_fax";
        // The server finds out in 6 s of a call (recording `09_fax_start_end_page`).
        request.check()?;
        // txfax offers what the pages have and does not scale them.
        if request
            .resolution
            .is_some_and(|resolution| resolution != request.image.resolution())
        {
            return Err(invalid(
                OPERATION,
                "the pages have another resolution than the one asked for; convert the document anew",
            ));
        }
        let leg = dial::leg(self.config, &fax_address(&request.to), OPERATION)?;
        let mut line = self.base(
            request.id,
            Kind::of_fax(request),
            request.ring_timeout,
            OPERATION,
        )?;
        let station = request.station_id.as_ref();
        for (name, value) in self.fax_variables(station, request.t38, OPERATION)? {
            line = line.set(name, &value)?;
        }
        let header = request.header.as_ref().map_or("", |header| header.expose());
        line = line
            .set("fax_header", &fax_text(header))?
            .set("fax_use_ecm", if request.ecm { "true" } else { "false" })?;
        if let Some(rate) = request.max_rate {
            line = line.set("fax_disable_v17", without_v17(rate, OPERATION)?)?;
        }
        if request.first_page > 1 {
            // It counts from 0 (recording `09_fax_start_end_page`).
            let page = request.first_page.saturating_sub(1);
            line = line.set("fax_start_page", &page.to_string())?;
        }
        if !self.config.fax_codecs.is_empty() {
            line = line.set("absolute_codec_string", &self.config.fax_codecs)?;
        }
        let limit = request.total_timeout().saturating_add(LIMIT_GRACE);
        line = line.set("execute_on_answer_limit", &hang_up_after(limit))?;
        if request.t38 == T38Mode::Require {
            line = line.template("execute_on_fax_phase_b", T38_OR_NOTHING)?;
        }
        if let Some(hook) = self.store.pages_hook(&channel_uuid(request.id)) {
            line = line.template("execute_on_fax_phase_d", &hook)?;
        }
        let file = fax_file(file, OPERATION)?;
        line.command(leg, &[argument(&format!("&txfax({file})"))])
    }

    /// What an incoming call is given before `rxfax` runs on it, for `uuid_setvar`: names and values.
    pub(super) fn receive_fax(&self, uuid: &str) -> Result<Vec<(&'static str, String)>> {
        const OPERATION: &str = "accept";
        let mut all = self.fax_variables(None, T38Mode::Prefer, OPERATION)?;
        // The sender asks for T.38; asking it back at the same time would cross.
        all.retain(|(name, _)| *name != "fax_enable_t38_request");
        all.push((MARK, self.config.instance.clone()));
        all.extend(
            self.store
                .hook(Kind::Receive, uuid)
                .map(|hook| ("api_hangup_hook", hook)),
        );
        all.extend(
            self.store
                .pages_hook(uuid)
                .map(|hook| ("execute_on_fax_phase_d", hook)),
        );
        Ok(all)
    }

    /// What an incoming call is given when it is accepted as a call.
    pub(super) fn accept(&self, uuid: &str) -> Vec<(&'static str, String)> {
        let hook = self.store.hook(Kind::Incoming, uuid);
        let mark = [(MARK, self.config.instance.clone())];
        let hook = hook.map(|hook| ("api_hangup_hook", hook));
        mark.into_iter().chain(hook).collect()
    }

    /// The dial string of the party that an incoming call is bridged to.
    pub(super) fn second_party(
        &self,
        id: CallId,
        to: &Address,
        operation: &'static str,
    ) -> Result<String> {
        let leg = second_party(self.config, to, operation)?;
        let line = Line::new(operation).set("origination_uuid", &peer_uuid(id))?;
        Ok(line.to(leg))
    }

    fn fax_variables(
        &self,
        station: Option<&StationId>,
        t38: T38Mode,
        operation: &'static str,
    ) -> Result<Vec<(&'static str, String)>> {
        let t38 = match t38 {
            T38Mode::Prefer | T38Mode::Require => "true",
            T38Mode::Disable => "false",
            _ => return Err(Error::unsupported(operation)),
        };
        let station = station.or(self.config.station_id.as_ref());
        let station = station.map_or("", |station| station.expose());
        Ok(vec![
            ("fax_enable_t38", t38.to_owned()),
            ("fax_enable_t38_request", t38.to_owned()),
            ("fax_ident", fax_text(station)),
            // It would write station ids into the server's log.
            ("fax_verbose", "false".to_owned()),
        ])
    }

    /// What every `originate` has.
    fn base(
        &self,
        id: CallId,
        kind: Kind,
        ring: Duration,
        operation: &'static str,
    ) -> Result<Line> {
        let uuid = channel_uuid(id);
        let mut line = Line::new(operation)
            .set("origination_uuid", &uuid)?
            .set("originate_timeout", &whole_seconds(ring))?
            // Else early media counts as the answer (recording `03_early_media_progress_media`).
            .set("ignore_early_media", "true")?;
        if let Some(music) = &self.config.music {
            // What FreeSWITCH plays to whoever is left on hold.
            line = line.set("hold_music", music)?;
        }
        for (name, value) in &self.config.variables {
            line = line.set(name, value)?;
        }
        line = line
            .set(MARK, &self.config.instance)?
            // Parties that the channel is bridged to, in a dialplan too.
            .set("export_vars", MARK)?;
        match self.store.hook(kind, &uuid) {
            Some(hook) => line.template("api_hangup_hook", &hook),
            None => Ok(line),
        }
    }

    fn caller_id(&self, line: Line, options: &CallOptions) -> Result<Line> {
        let name = options.caller_id_name.as_deref();
        let name = name.unwrap_or(&self.config.caller_name);
        // `$` becomes `%` in a caller id (recording `09_hook_hostile_values`).
        let bad = |c: char| c.is_control() || matches!(c, '"' | '<' | '>' | '\\' | '$');
        if name.contains(bad) {
            return Err(invalid(
                line.operation,
                "a caller name cannot hold quotes, backslashes, angle brackets, $ or control characters",
            ));
        }
        let mut line = line
            .set("origination_caller_id_name", name)?
            // What a party sees that this channel is bridged to.
            .set("effective_caller_id_name", name)?;
        if let Some(number) = &options.caller_id {
            line = line
                .set("origination_caller_id_number", number.e164())?
                .set("effective_caller_id_number", number.e164())?;
        }
        Ok(line)
    }
}

/// Ends a fax that has to go over T.38 when the machines agree and it was refused: FreeSWITCH itself
/// goes on in audio. Where it was not refused the end is a day away, that of every other limit before.
const T38_OR_NOTHING: &str =
    "sched_hangup +${cond(${fax_t38_status} == refused ? 0 : 86400)} SERVICE_NOT_IMPLEMENTED";

/// The limit of a call, which counts from its answer and holds without us.
fn limits(line: Line, request: &CallRequest) -> Result<Line> {
    let Some(limit) = request.options.max_duration else {
        return Ok(line);
    };
    let limit = match request.plan {
        // The second party has the limit itself; this is the net below it.
        CallPlan::Connect { .. } => request
            .options
            .timeout
            .saturating_add(limit)
            .saturating_add(LIMIT_GRACE),
        _ => limit,
    };
    line.set("execute_on_answer_limit", &hang_up_after(limit))
}

pub(super) fn hang_up_after(limit: Duration) -> String {
    format!("sched_hangup +{} {LIMIT_CAUSE}", whole_seconds(limit))
}

/// Text for `fax_ident` and `fax_header`, which `txfax` percent-decodes. Encoded, whatever it holds
/// passes. An empty text is a NUL: a variable that is not set would let the server's own
/// (`spandsp.conf.xml`) be sent, and an empty one cannot be set by `originate`.
fn fax_text(text: &str) -> String {
    if text.is_empty() {
        return "%00".to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'+' | b'-' | b'.' | b'_' => out.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// What is offered at most: with V.17 14,400 bit/s, without it 9,600 (V.29). There is no other choice.
fn without_v17(rate: u32, operation: &'static str) -> Result<&'static str> {
    match rate {
        14_400.. => Ok("false"),
        9_600.. => Ok("true"),
        _ => Err(invalid(
            operation,
            "FreeSWITCH cannot offer less than 9600 bit/s; ask for 9600 or 14400",
        )),
    }
}

/// The file of a fax: a directory that was configured, and a name of ours.
pub(super) fn fax_file<'a>(file: &'a str, operation: &'static str) -> Result<&'a str> {
    if file.is_empty() || file.contains(|c: char| c.is_control() || "()$'\"\\".contains(c)) {
        return Err(invalid(
            operation,
            "the path of the pages cannot hold parentheses, $, quotes or backslashes",
        ));
    }
    Ok(file)
}

/// The file of a recording, which `record_session` takes up to the first blank.
pub(super) fn recordable<'a>(file: &'a str, operation: &'static str) -> Result<&'a str> {
    if file.is_empty() || file.contains(|c: char| c.is_control() || " ()${}[],'\"\\".contains(c)) {
        return Err(invalid(
            operation,
            "the path of recordings cannot hold blanks, brackets, commas, $, quotes or backslashes",
        ));
    }
    Ok(file)
}

/// An extension or a context. `undef` would take the argument away, and FreeSWITCH with it; `&`
/// begins an application (`originate_function` in `mod_commands.c`).
pub(super) fn check_word(word: &str, operation: &'static str) -> Result<()> {
    let known = |b: u8| b.is_ascii_alphanumeric() || b"*#_.+-@".contains(&b);
    if word.is_empty() || word.eq_ignore_ascii_case("undef") || !word.bytes().all(known) {
        return Err(invalid(
            operation,
            "an extension and its context have letters, digits and *#_.+-@ only",
        ));
    }
    Ok(())
}

fn check_variable(name: &str, value: &str, operation: &'static str) -> Result<()> {
    let lower = name.to_ascii_lowercase();
    if OWN_VARIABLES.iter().any(|own| lower.starts_with(own)) {
        return Err(invalid(
            operation,
            "this variable is set by the adapter, or would run something at the server",
        ));
    }
    if value.is_empty() {
        // FreeSWITCH has no empty variables.
        return Err(invalid(operation, "a variable cannot be empty"));
    }
    Ok(())
}

/// Rounded up: a time-out of 0 is none.
pub(super) fn whole_seconds(time: Duration) -> String {
    let begun = u64::from(time.subsec_nanos() > 0);
    let seconds = time.as_secs().saturating_add(begun);
    seconds.clamp(1, i32::MAX.unsigned_abs().into()).to_string()
}

fn refused(operation: &'static str, error: CommandError) -> Error {
    Error::new(ErrorKind::InvalidRequest, operation, error.to_string()).with_source(error)
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
