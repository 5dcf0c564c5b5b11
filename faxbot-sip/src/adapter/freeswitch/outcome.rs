//! Outcomes that survive a lost link: what the hang-up hook of a channel leaves at the server, where,
//! and how it is read back.
//!
//! The `originate` of each call carries `api_hangup_hook`, which inserts one value into `mod_db` (or
//! `mod_hash`, which a restart empties) under the uuid that we chose. It needs nothing in the server's
//! configuration (recordings `09_hook_recommended_line`, `09_hook_hash_outcomes`,
//! `09_outcome_after_restart`). The event of the same end has the same variables, so that both are
//! read here.

use std::borrow::Cow;

use faxbot_core::{
    Timestamp,
    fax::{FaxRequest, T38Mode},
    id::CallId,
    sip::{CallPlan, CallRequest, Causes, Disposition, OnAnswer},
};
use uuid::Uuid;

use super::{causes, config::Outcomes, fax_values::FaxValues};
use crate::adapter::books::Report;

/// Marks the layout of the value; another version's values are left alone.
const VERSION: &str = "1";

/// The variables behind version and kind. What the far end chose stands last: a `|` in it moves no
/// other field, and where `db select` cuts, at 255 bytes, nothing else is lost.
const FIELDS: [&str; 21] = [
    "start_epoch",
    "answer_epoch",
    "bridge_epoch",
    "end_epoch",
    "hangup_cause",
    "sip_term_status",
    "sip_hangup_disposition",
    "originate_disposition",
    "last_bridge_proto_specific_hangup_cause",
    "last_app",
    "fax_success",
    "fax_result_code",
    "fax_document_transferred_pages",
    "fax_document_total_pages",
    "fax_start_page",
    "fax_transfer_rate",
    "fax_ecm_used",
    "fax_t38_status",
    "fax_image_resolution",
    "fax_bad_rows",
    "fax_remote_station_id",
];

/// Separates the fields.
const BETWEEN: char = '|';

/// Bytes of one parameter of `db select`'s answer (`mod_db.c`, `db_api_function`; recording
/// `09_hook_quoting`).
#[cfg(test)]
const MAX_SELECTED: usize = 255;

/// What a call is, as far as its outcome has to be read by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// One party.
    Single,
    /// One party that is then bridged to another; answered with the first.
    Bridge,
    /// Two parties; answered when the second one answers.
    Connect,
    /// A fax that is sent.
    Fax,
    /// A fax that is sent over T.38 or not at all.
    FaxByT38,
    /// A call that came to us.
    Incoming,
    /// One that was accepted as a fax.
    Receive,
}

impl Kind {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Single, "call"),
        (Self::Bridge, "bridge"),
        (Self::Connect, "connect"),
        (Self::Fax, "fax"),
        (Self::FaxByT38, "t38"),
        (Self::Incoming, "in"),
        (Self::Receive, "rx"),
    ];

    /// What the request of a call makes of it.
    pub(super) fn of(request: &CallRequest) -> Self {
        match &request.plan {
            CallPlan::Connect { .. } => Self::Connect,
            CallPlan::Dial {
                on_answer: OnAnswer::Bridge(_),
                ..
            } => Self::Bridge,
            _ => Self::Single,
        }
    }

    /// The word of it in a hook.
    pub(super) fn word(self) -> &'static str {
        let known = Self::ALL.iter().find(|(kind, _)| *kind == self);
        known.map_or("", |(_, word)| word)
    }

    pub(super) fn parse(word: &str) -> Option<Self> {
        let known = Self::ALL.iter().find(|(_, known)| *known == word);
        known.map(|(kind, _)| *kind)
    }

    /// What the request of a fax makes of it.
    pub(super) fn of_fax(request: &FaxRequest) -> Self {
        match request.t38 {
            T38Mode::Require => Self::FaxByT38,
            _ => Self::Fax,
        }
    }

    /// What the hook of a live channel says that it is.
    pub(super) fn of_hook(hook: &str) -> Option<Self> {
        let mut fields = hook
            .split_once(&format!("/{VERSION}{BETWEEN}"))?
            .1
            .split(BETWEEN);
        Self::parse(fields.next()?)
    }

    /// Whether the call came to us.
    pub(super) fn is_incoming(self) -> bool {
        matches!(self, Self::Incoming | Self::Receive)
    }
}

/// Our own channel: its uuid is that of the call.
pub(super) fn channel_uuid(id: CallId) -> String {
    id.as_uuid().to_string()
}

/// The call whose own channel this would be: any uuid may be one of ours.
pub(super) fn call_of(uuid: &str) -> Option<CallId> {
    (uuid.len() == 36)
        .then(|| Uuid::try_parse(uuid).ok())
        .flatten()
        .map(CallId::from_uuid)
}

/// Namespace of the channels of second parties, made once for this purpose: another process finds
/// them by it.
const SECOND: Uuid = Uuid::from_u128(0x8d5e_6d1c_51a0_4b1f_9a53_0c5c_52ef_7b64);

/// The channel of the second party that our own is bridged to.
pub(super) fn peer_uuid(id: CallId) -> String {
    Uuid::new_v5(&SECOND, id.as_uuid().as_bytes()).to_string()
}

/// The module that keeps outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Keeper {
    /// `mod_db`: what it has survives a crash.
    Db,
    /// `mod_hash`: memory.
    Hash,
}

impl Keeper {
    /// The module as `module_exists` knows it.
    pub(super) fn module(self) -> &'static str {
        match self {
            Self::Db => "mod_db",
            Self::Hash => "mod_hash",
        }
    }

    /// The API command, which is an application too.
    fn command(self) -> &'static str {
        match self {
            Self::Db => "db",
            Self::Hash => "hash",
        }
    }
}

/// The modules that may keep outcomes, the best first.
pub(super) fn keepers(outcomes: Outcomes) -> &'static [Keeper] {
    match outcomes {
        Outcomes::Auto => &[Keeper::Db, Keeper::Hash],
        Outcomes::Db => &[Keeper::Db],
        Outcomes::Hash => &[Keeper::Hash],
        Outcomes::Off => &[],
    }
}

/// A command with its arguments.
pub(super) type Words = (&'static str, String);

/// Where outcomes are kept on one server.
#[derive(Debug, Clone)]
pub(super) struct OutcomeStore {
    keeper: Option<Keeper>,
    realm: String,
    pages: String,
}

impl OutcomeStore {
    /// `None` keeps nothing.
    pub(super) fn new(instance: &str, keeper: Option<Keeper>) -> Self {
        Self {
            keeper,
            realm: format!("faxbot-{instance}"),
            // Not below the realm's name: another instance may be called so.
            pages: format!("faxpages-{instance}"),
        }
    }

    /// What keeps them, if anything does.
    pub(super) fn keeper(&self) -> Option<Keeper> {
        self.keeper
    }

    /// The value of `api_hangup_hook`, for `uuid_setvar` as it is and for an `originate` as a template.
    /// `uuid` is the channel's.
    pub(super) fn hook(&self, kind: Kind, uuid: &str) -> Option<String> {
        let command = self.keeper?.command();
        let mut hook = format!(
            "{command} insert/{}/{uuid}/{VERSION}{BETWEEN}{}",
            self.realm,
            kind.word()
        );
        for name in FIELDS {
            hook.push(BETWEEN);
            hook.push_str(&format!("${{{name}}}"));
        }
        Some(hook)
    }

    /// The value of `execute_on_fax_phase_d`: keeps how many pages were confirmed so far, also when the
    /// server is killed (recording `09_outcome_after_restart`).
    pub(super) fn pages_hook(&self, uuid: &str) -> Option<String> {
        let command = self.keeper?.command();
        Some(format!(
            "{command} insert/{}/{uuid}/${{fax_document_transferred_pages}}",
            self.pages
        ))
    }

    /// Asks for the outcome of a channel.
    pub(super) fn select(&self, uuid: &str) -> Option<Words> {
        self.words("select", &self.realm, uuid)
    }

    /// Asks for the pages of a channel.
    pub(super) fn select_pages(&self, uuid: &str) -> Option<Words> {
        self.words("select", &self.pages, uuid)
    }

    /// Forgets the outcome of a channel. `mod_hash` says `-ERR Not found` where there is none.
    pub(super) fn delete(&self, uuid: &str) -> Option<Words> {
        self.words("delete", &self.realm, uuid)
    }

    /// Forgets the pages of a channel.
    pub(super) fn delete_pages(&self, uuid: &str) -> Option<Words> {
        self.words("delete", &self.pages, uuid)
    }

    /// Asks for the uuids of all that is kept, outcomes and pages, for [`listed`](Self::listed): at
    /// most 4 KB of each with `mod_db`.
    pub(super) fn lists(&self) -> Vec<Words> {
        match self.keeper {
            None => Vec::new(),
            Some(Keeper::Db) => [&self.realm, &self.pages]
                .map(|realm| ("db", format!("list/{realm}")))
                .into(),
            Some(Keeper::Hash) => vec![("hash_dump", "db".to_owned())],
        }
    }

    /// The uuids in the answer to [`list`](Self::list); others' keys are left out.
    pub(super) fn listed(&self, answer: &str) -> Vec<Uuid> {
        let keys: Vec<&str> = match self.keeper {
            None => return Vec::new(),
            // The list is cut anywhere: half a uuid is none.
            Some(Keeper::Db) => answer.split(',').collect(),
            Some(Keeper::Hash) => {
                let starts = [&self.realm, &self.pages].map(|realm| format!("D/{realm}_"));
                let ours = |line| {
                    starts
                        .iter()
                        .find_map(|start| str::strip_prefix(line, start))
                };
                let lines = answer.lines().filter_map(ours);
                lines.filter_map(|line| line.split('/').next()).collect()
            }
        };
        let uuid = |key: &str| {
            let key = key.trim();
            (key.len() == 36).then(|| Uuid::try_parse(key).ok())?
        };
        keys.into_iter().filter_map(uuid).collect()
    }

    fn words(&self, verb: &str, realm: &str, uuid: &str) -> Option<Words> {
        let command = self.keeper?.command();
        Some((command, format!("{verb}/{realm}/{uuid}")))
    }
}

/// Reads what [`OutcomeStore::pages_hook`] kept.
pub(super) fn parse_pages(value: &str) -> Option<u32> {
    value.trim().parse().ok()
}

/// The end of a channel of ours, as its hook or its event told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) kind: Kind,
    pub(super) started: Option<Timestamp>,
    /// When the channel itself was answered.
    picked_up: Option<Timestamp>,
    /// When it was bridged to the second party.
    bridged: Option<Timestamp>,
    pub(super) ended: Option<Timestamp>,
    /// Why the channel ended.
    causes: Causes,
    /// Why the second party was not reached, where one was called.
    second: Option<Causes>,
    pub(super) fax: FaxValues,
}

impl Ended {
    /// Reads a kept value. `None` for one that is not of our layout.
    pub(super) fn parse(value: &str) -> Option<Self> {
        let mut fields = value.splitn(FIELDS.len() + 2, BETWEEN);
        if fields.next()? != VERSION {
            return None;
        }
        let kind = Kind::parse(fields.next()?)?;
        let values: Vec<&str> = fields.collect();
        // Only what may be cut may be missing: the far end's words.
        if values.len() + 1 < FIELDS.len() {
            return None;
        }
        Some(Self::read(kind, |name| {
            let at = FIELDS.iter().position(|field| *field == name)?;
            values.get(at).map(|value| Cow::Borrowed(*value))
        }))
    }

    /// Reads the variables of a channel that ended, by their names: those of `CHANNEL_HANGUP_COMPLETE`
    /// (`variable_hangup_cause` is `hangup_cause` here).
    pub(super) fn read<'a>(kind: Kind, get: impl Fn(&str) -> Option<Cow<'a, str>>) -> Self {
        let text = |name: &str| get(name).unwrap_or_default();
        let time = |name: &str| {
            // 0 stands for never.
            let seconds = text(name).trim().parse().ok().filter(|&it: &i64| it > 0)?;
            Timestamp::from_unix_seconds(seconds).ok()
        };
        let status = causes::sip_status(&text("sip_term_status"));
        let mut fax = FaxValues::default();
        for name in FIELDS {
            if let Some(value) = get(name) {
                fax.set(name, &value);
            }
        }
        Self {
            kind,
            started: time("start_epoch"),
            picked_up: time("answer_epoch"),
            bridged: time("bridge_epoch"),
            ended: time("end_epoch"),
            causes: causes::causes(&text("hangup_cause"), status),
            second: second_causes(
                &text("originate_disposition"),
                &text("last_bridge_proto_specific_hangup_cause"),
            ),
            fax: fax.of_kind(kind, time("answer_epoch").is_some()),
        }
    }

    /// When the call was answered: with two parties by the second one.
    pub(super) fn answered_at(&self) -> Option<Timestamp> {
        match self.kind {
            Kind::Connect => self.bridged,
            _ => self.picked_up,
        }
    }

    /// Why the call ended: a second party that was not reached says why, else the channel does.
    pub(super) fn causes(&self) -> Causes {
        let two = matches!(self.kind, Kind::Connect | Kind::Bridge);
        match &self.second {
            Some(second) if two && self.bridged.is_none() => second.clone(),
            _ => self.causes.clone(),
        }
    }

    /// The report for the books.
    pub(super) fn report(self) -> Report {
        let causes = self.causes();
        let answered_at = self.answered_at();
        let left = self.kind == Kind::Connect
            && self.picked_up.is_some()
            && answered_at.is_none()
            && causes::class(&causes).is_none();
        let is_fax = match self.kind {
            Kind::Fax | Kind::FaxByT38 => true,
            // One that was to be received, and was not answered, never was a fax.
            Kind::Receive => self.picked_up.is_some(),
            _ => false,
        };
        Report {
            answered: answered_at.is_some(),
            answered_at,
            causes,
            ended: self.ended,
            // The first party hung up while the second rang.
            disposition: left.then_some(Disposition::NoAnswer),
            fax: is_fax.then(|| Box::new(self.fax) as _),
        }
    }
}

/// `originate_disposition` of the channel that called a second party: the name of a cause, or what
/// `switch_ivr_originate` says before there is one.
fn second_causes(disposition: &str, protocol: &str) -> Option<Causes> {
    match disposition.trim() {
        "" | "SUCCESS" | "success" | "failure" | "call accepted" => None,
        name => Some(causes::causes(name, causes::sip_status(protocol))),
    }
}

#[cfg(test)]
#[path = "outcome_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "recorded_tests.rs"]
mod recorded;
