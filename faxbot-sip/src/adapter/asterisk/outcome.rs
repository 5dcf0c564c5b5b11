//! Outcomes that survive a lost link: what a call's hangup handler leaves in AstDB, and how it is
//! read back.
//!
//! Each call carries `CHANNEL(hangup_handler_push)`; the handler writes one value under our
//! family, keyed by the channel's Uniqueid, which is the `ChannelId` that we chose (observed on
//! Asterisk 16.28 and 22.10, recordings `11_fax_outcome_survives_link_loss` and
//! `11_fax_outcome_read_back`).

use faxbot_core::{
    Timestamp,
    document::Resolution,
    fax::{FailurePhase, FaxFailure, FaxOutcome, FaxTransport},
    id::CallId,
    sip::Causes,
};
use uuid::Uuid;

use super::{books::legs::DialStatus, config::DialplanContext};
use crate::adapter::fax_run::FaxContext;

/// Marks the layout of the value; another version's values are left alone.
const VERSION: &str = "2";

/// The layout before, without the fate of a second party; an upgrade finds its values.
const VERSION_1: &str = "1";

/// The fields behind the version. Free text of the far end stands last, so that nothing in it can
/// move another field.
const FIELDS: &str = "${EPOCH}|${CHANNEL(state)}|${FAXBOT_KIND}|${HANGUPCAUSE}|${DIALSTATUS}|${FAXSTATUS}|${FAXERROR}|${FAXPAGES}|${FAXBITRATE}|${FAXMODE}|${FAXRESOLUTION}|${FAXSTATUSSTRING}|${REMOTESTATIONID}";

/// Stands before the time that the extension was made at.
const MADE_AT: &str = "faxbot made at ";

/// The variable that tells a fax that never began from a plain call.
pub(super) const KIND: &str = "FAXBOT_KIND";

/// Its value for a fax.
pub(super) const KIND_FAX: &str = "fax";

/// Its value for a call that counts as answered when its second party answers.
pub(super) const KIND_CONNECT: &str = "connect";

/// Its value for a call that came to us.
pub(super) const KIND_INCOMING: &str = "incoming";

/// Its value for one that was accepted as a fax.
pub(super) const KIND_RECEIVE: &str = "receive";

/// Its value for a call that is bridged to a second party on answer.
pub(super) const KIND_BRIDGE: &str = "bridge";

/// The variable that has the key of the outcome: `faxbot-` and the id of the call.
pub(super) const KEY: &str = "FAXBOT_ID";

/// Our channel: 43 characters, always. Asterisk compares only as many characters of a live
/// Uniqueid as a new one has, so ids of different lengths could collide (`11_channelid_prefix_conflict`).
pub(super) fn channel_id(id: CallId) -> String {
    format!("faxbot-{}", id.as_uuid())
}

/// The other leg of a Local channel of ours.
pub(super) fn peer_id(id: CallId) -> String {
    format!("fxpeer-{}", id.as_uuid())
}

/// Which leg of our call a Uniqueid names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leg {
    Own(CallId),
    /// The other leg of a Local channel of ours.
    Peer(CallId),
    /// A channel that the server made for the call: the party that `Dial` called.
    Partner(CallId),
}

impl Leg {
    pub(super) fn of(uniqueid: &str) -> Option<Self> {
        let parse = |text: &str| {
            (text.len() == 36)
                .then(|| Uuid::try_parse(text).ok())
                .flatten()
                .map(CallId::from_uuid)
        };
        if let Some(uuid) = uniqueid.strip_prefix("faxbot-") {
            parse(uuid).map(Self::Own)
        } else {
            uniqueid
                .strip_prefix("fxpeer-")
                .and_then(parse)
                .map(Self::Peer)
        }
    }
}

/// Where outcomes are kept on one server.
#[derive(Debug, Clone)]
pub(super) struct OutcomeStore {
    family: String,
    context: Option<String>,
    automatic: bool,
}

impl OutcomeStore {
    pub(super) fn new(instance: &str, context: &DialplanContext) -> Self {
        let (context, automatic) = match context {
            DialplanContext::Auto => (Some(format!("faxbot-{instance}")), true),
            DialplanContext::Named(name) => (Some(name.clone()), false),
            DialplanContext::Off => (None, false),
        };
        Self {
            family: format!("faxbot-{instance}"),
            context,
            automatic,
        }
    }

    /// The AstDB family of our values.
    pub(super) fn family(&self) -> &str {
        &self.family
    }

    pub(super) fn is_off(&self) -> bool {
        self.context.is_none()
    }

    /// Whether the adapter makes the extension itself.
    pub(super) fn is_automatic(&self) -> bool {
        self.automatic
    }

    /// The context that the handler runs in.
    pub(super) fn context(&self) -> Option<&str> {
        self.context.as_deref()
    }

    /// The value of `CHANNEL(hangup_handler_push)`.
    pub(super) fn handler(&self) -> Option<String> {
        self.context
            .as_ref()
            .map(|context| format!("{context},s,1"))
    }

    /// The steps of the extension `s`: application and data, from priority 1 on.
    pub(super) fn steps(&self) -> [(&'static str, String); 2] {
        let set = format!("DB({}/${{FAXBOT_ID}})={VERSION}|{FIELDS}", self.family);
        [("Set", set), ("Return", String::new())]
    }

    /// A third step that never runs. It tells since when the extension is there, to every process
    /// and for exactly as long as the extension itself lives: an outcome that is absent proves only
    /// something for calls that were requested after it.
    pub(super) fn made_at(&self, now: Timestamp) -> (&'static str, String) {
        ("NoOp", format!("{MADE_AT}{}", now.as_second()))
    }

    /// Reads the data of [`made_at`](Self::made_at). Rounded up: it must not lie before the truth.
    pub(super) fn read_made_at(&self, data: &str) -> Option<Timestamp> {
        let seconds: i64 = data.strip_prefix(MADE_AT)?.parse().ok()?;
        Timestamp::from_unix_seconds(seconds.saturating_add(1)).ok()
    }
}

/// What a hangup handler left.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) ended: Option<Timestamp>,
    pub(super) answered: bool,
    pub(super) is_fax: bool,
    /// The call came to us.
    pub(super) incoming: bool,
    pub(super) cause: Option<u16>,
    /// What the dial of the second party came to, where we asked for one.
    pub(super) dial: Option<DialStatus>,
    pub(super) fax: FaxVariables,
}

impl Report {
    /// Reads a value of AstDB. `None` for one that is not of our layout.
    pub(super) fn parse(value: &str) -> Option<Self> {
        let (version, value) = value.split_once('|')?;
        let second = match version {
            VERSION => true,
            VERSION_1 => false,
            _ => return None,
        };
        let mut fields = value.splitn(if second { 13 } else { 12 }, '|');
        let epoch = fields.next()?.parse::<i64>().ok();
        let state = fields.next()?;
        let kind = fields.next()?;
        let cause = fields.next()?.parse().ok();
        let dial_status = if second { fields.next()? } else { "" };
        let mut next = || fields.next().map(str::to_owned);
        let fax = FaxVariables {
            status: next()?,
            error: next()?,
            pages: next()?.parse().ok(),
            bit_rate: next()?.parse().ok(),
            mode: next()?,
            resolution: next()?,
            text: next()?,
            remote_station: next()?,
        };
        Some(Self {
            ended: epoch.and_then(|epoch| Timestamp::from_unix_seconds(epoch).ok()),
            answered: state == "Up" && (kind != KIND_CONNECT || dial_status == "ANSWER"),
            // One that was to be received, and was not answered, never was a fax.
            is_fax: kind == KIND_FAX || (kind == KIND_RECEIVE && state == "Up"),
            incoming: kind == KIND_INCOMING || kind == KIND_RECEIVE,
            cause,
            dial: DialStatus::parse(dial_status)
                .filter(|_| kind == KIND_CONNECT || kind == KIND_BRIDGE),
            fax,
        })
    }

    /// The cause of the channel; 0 says nothing (a normal hang-up is often 0 on the wire). Of a
    /// second party that was not reached `Dial` may know more.
    pub(super) fn causes(&self) -> Causes {
        let said = match self.cause {
            Some(cause) if cause != 0 => Causes::new().with_q850(cause),
            _ => Causes::new(),
        };
        match self.dial {
            Some(status) if said.class().is_none() && !status.causes().is_empty() => {
                status.causes()
            }
            _ => said,
        }
    }
}

/// The last values of a channel's fax variables.
///
/// They are preset to failure when `SendFAX` starts, and say FAILED again when the far end hangs up
/// first, before they say SUCCESS: only the last value counts, once the channel is gone (observed on
/// Asterisk 22.10, recording `06_fax_t38_app_ok`).
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct FaxVariables {
    pub(super) status: String,
    pub(super) error: String,
    pub(super) pages: Option<u32>,
    pub(super) bit_rate: Option<u32>,
    pub(super) mode: String,
    pub(super) resolution: String,
    pub(super) text: String,
    pub(super) remote_station: String,
}

impl FaxVariables {
    /// Takes a `VarSet`. Answers whether it was one of ours.
    pub(super) fn set(&mut self, variable: &str, value: &str) -> bool {
        match variable {
            "FAXSTATUS" => value.clone_into(&mut self.status),
            "FAXERROR" => value.clone_into(&mut self.error),
            "FAXPAGES" => self.pages = value.parse().ok(),
            "FAXBITRATE" => self.bit_rate = value.parse().ok(),
            "FAXMODE" => value.clone_into(&mut self.mode),
            "FAXRESOLUTION" => value.clone_into(&mut self.resolution),
            "FAXSTATUSSTRING" => value.clone_into(&mut self.text),
            "REMOTESTATIONID" => value.clone_into(&mut self.remote_station),
            _ => return false,
        }
        true
    }

    /// Whether `SendFAX` ran at all.
    pub(super) fn ran(&self) -> bool {
        !self.status.is_empty()
    }

    /// The outcome of a call whose last values these are.
    pub(super) fn outcome(&self, causes: &Causes, context: FaxContext) -> FaxOutcome {
        let total = context.pages_total;
        let mut outcome = if self.status.eq_ignore_ascii_case("SUCCESS") {
            FaxOutcome::succeeded(self.pages, total)
        } else {
            let pages = if self.ran() { self.pages } else { Some(0) };
            FaxOutcome::failed(self.failure(causes, context), pages, total)
        };
        if !self.remote_station.is_empty() {
            outcome = outcome.with_remote_station_id(self.remote_station.clone());
        }
        if let Some(rate) = self.bit_rate.filter(|&rate| self.ran() && rate > 0) {
            outcome = outcome.with_bit_rate(rate);
        }
        if let Some(resolution) = resolution(&self.resolution) {
            outcome = outcome.with_resolution(resolution);
        }
        outcome = match self.mode.as_str() {
            "T38" => outcome.with_transport(FaxTransport::T38),
            "audio" => outcome.with_transport(FaxTransport::Audio),
            _ => outcome,
        };
        if let Some(ecm) = context.ecm {
            outcome = outcome.with_ecm(ecm);
        }
        match context.duration_seconds {
            Some(seconds) => outcome.with_duration_seconds(seconds),
            None => outcome,
        }
    }

    fn failure(&self, causes: &Causes, context: FaxContext) -> FaxFailure {
        let phase = match (self.ran(), self.pages) {
            (false, _) => FailurePhase::BeforeAnswer,
            (true, Some(pages)) if pages > 0 => FailurePhase::Transmission,
            (true, _) if context.fax_seen => FailurePhase::Transmission,
            (true, _) => FailurePhase::Negotiation,
        };
        let mut failure = if !self.ran() {
            FaxFailure::from_causes(causes)
        } else {
            let seen = context.fax_seen || !self.remote_station.is_empty();
            FaxFailure::from_fax_error(&self.error, &self.text, phase, seen).with_causes(causes)
        };
        if context.hung_up_by_us {
            failure.class = faxbot_core::fax::FailureClass::Cancelled;
        }
        failure
    }
}

/// `FAXRESOLUTION` is in pixels per metre, across by down: `8031x7700` is 204x196 dpi.
fn resolution(text: &str) -> Option<Resolution> {
    let down: f64 = text.split_once('x')?.1.parse().ok()?;
    Resolution::from_lines_per_inch(down * 0.0254)
}

#[cfg(test)]
mod tests {
    use faxbot_core::fax::{FailureClass, OutcomeStatus};

    use super::*;

    const OK: &str = "1|1795248360|Up|fax|16|SUCCESS|HANGUP|3|14400|T38|8031x7700|OK|+49 30 | 1";

    fn context(pages: u32) -> FaxContext {
        FaxContext {
            pages_total: Some(pages),
            ..FaxContext::default()
        }
    }

    #[test]
    fn a_value_is_read_back_whole_whatever_the_far_end_calls_itself() {
        let report = Report::parse(OK).unwrap();
        assert!(report.answered);
        assert_eq!(report.causes(), Causes::new().with_q850(16));
        assert_eq!(report.fax.remote_station, "+49 30 | 1");
        let outcome = report.fax.outcome(&report.causes(), context(3));
        assert!(outcome.is_success());
        assert_eq!(outcome.resolution, Some(Resolution::Fine));
        assert_eq!(outcome.transport, Some(FaxTransport::T38));
        assert_eq!(outcome.bit_rate, Some(14_400));
    }

    #[test]
    fn values_of_another_layout_are_left_alone() {
        for value in [
            "",
            "1",
            "1|2",
            "3|1795248360|Up|fax|16||SUCCESS|||||||",
            "SUCCESS|HANGUP|1|14400|RECEIVER|OK",
        ] {
            assert!(Report::parse(value).is_none(), "{value:?}");
        }
    }

    #[test]
    fn a_call_that_was_never_answered_fails_by_its_cause() {
        let report = Report::parse("1|1795248360|Ringing|fax|17||||||||").unwrap();
        assert!(!report.answered);
        let outcome = report.fax.outcome(&report.causes(), context(3));
        assert_eq!(outcome.class(), Some(FailureClass::Busy));
        assert_eq!(outcome.pages_confirmed, Some(0));
    }

    #[test]
    fn a_failure_in_the_middle_keeps_the_confirmed_pages() {
        let report =
            Report::parse("1|1795248360|Up|fax|16|FAILED|The call dropped prematurely|1|14400|T38|8031x7700|The call dropped prematurely|X").unwrap();
        let outcome = report.fax.outcome(&report.causes(), context(3));
        assert_eq!(
            (outcome.status, outcome.pages_confirmed),
            (OutcomeStatus::Failed, Some(1))
        );
        assert_eq!(outcome.class(), Some(FailureClass::CommError));
        let whole = report.fax.outcome(&report.causes(), context(1));
        assert!(
            whole.is_success(),
            "all pages were confirmed before the line dropped"
        );
    }

    #[test]
    fn the_word_hangup_is_no_failure_of_a_fax_that_succeeded() {
        let mut fax = FaxVariables::default();
        for (variable, value) in [
            ("FAXSTATUS", "FAILED"),
            ("FAXERROR", "INIT_ERROR"),
            ("FAXSTATUS", "FAILED"),
            ("FAXERROR", "HANGUP"),
            ("FAXPAGES", "1"),
            ("FAXSTATUS", "SUCCESS"),
        ] {
            assert!(fax.set(variable, value));
        }
        assert!(!fax.set("CHANNEL", "x"));
        assert!(fax.outcome(&Causes::new(), context(1)).is_success());
    }

    #[test]
    fn our_ids_have_one_length_and_are_found_again() {
        let id = CallId::new();
        assert_eq!(channel_id(id).len(), peer_id(id).len());
        assert_eq!(Leg::of(&channel_id(id)), Some(Leg::Own(id)));
        assert_eq!(Leg::of(&peer_id(id)), Some(Leg::Peer(id)));
        for other in ["1795248360.17", "faxbot-", "faxbot-abc", "<unknown>", ""] {
            assert_eq!(Leg::of(other), None);
        }
    }

    #[test]
    fn the_extension_fits_a_line_of_the_protocol() {
        let store = OutcomeStore::new(&"i".repeat(24), &DialplanContext::Auto);
        assert!(store.steps().iter().all(|(_, data)| data.len() < 900));
    }
}
