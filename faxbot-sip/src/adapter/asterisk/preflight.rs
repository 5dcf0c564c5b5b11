//! Finds what a fax would fail on before one is sent, and says how to mend it.

use std::{fmt, time::Duration};

use faxbot_core::{Error, ErrorKind, Result, clock::SharedClock, id::CallId, task::blocking};

use super::{
    config::AsteriskConfig,
    core::Core,
    outcome::channel_id,
    request::action,
    server::{Extent, Presence, Server},
};
use crate::adapter::spool::Spool;

/// What the probe file holds: the first bytes of a TIFF, so that what Asterisk reads is what a fax
/// starts with.
const PROBE: &[u8] = b"II*\0";

/// How long the extension may take to run. It has two steps and no channel to dial.
const PROBE_LIMIT: Duration = Duration::from_secs(5);

const OPERATION: &str = "preflight";

/// How often the result is asked for.
const PROBE_EVERY: Duration = Duration::from_millis(50);

/// One thing that is missing, and how to mend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PreflightProblem {
    /// No `options.spool` is configured.
    NoSpool,
    /// We cannot write to the spool directory.
    SpoolNotWritable,
    /// Asterisk sees no such directory.
    SpoolNotVisible,
    /// Asterisk may not enter the directory, or sees the file that we wrote and may not read it.
    SpoolNotReadable,
    /// Asterisk sees a directory there without the file that we wrote, or another file.
    SpoolElsewhere,
    /// Asterisk may not make files in the directory: no fax can be received. Looked for where
    /// `options.incoming_context` is configured.
    SpoolNotWritableByAsterisk,
    /// `res_fax` is not loaded.
    NoResFax,
    /// No fax technology module (`res_fax_spandsp`) is loaded.
    NoFaxTechnology,
    /// The account may not originate calls.
    MayNotOriginate,
    /// The account may not add extensions, and `dialplan_context` is `auto`.
    MayNotAddExtensions,
    /// The context that `dialplan_context` names has no extension `s`.
    NoDialplanContext,
    /// What Asterisk sees of the spool could not be found out, because no extension could be run.
    NotTested,
}

impl PreflightProblem {
    /// How to mend it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::NoSpool => {
                "set options.spool to a directory that this process and Asterisk share"
            }
            Self::SpoolNotWritable => {
                "create the directory of options.spool and let this process write to it"
            }
            Self::SpoolNotVisible => {
                "set options.spool_remote to the path under which Asterisk sees the directory of options.spool (a mount, a container volume)"
            }
            Self::SpoolNotReadable => {
                "set options.spool_group to a group of Asterisk's user, and let that group enter the directory (chmod g+x)"
            }
            Self::SpoolElsewhere => {
                "options.spool and options.spool_remote are two different directories: make them one"
            }
            Self::SpoolNotWritableByAsterisk => {
                "let Asterisk's user make files in the directory of options.spool, where received faxes go (a common group, chmod g+w)"
            }
            Self::NoResFax => "load res_fax.so in modules.conf",
            Self::NoFaxTechnology => {
                "load res_fax_spandsp.so in modules.conf (package asterisk-modules on Debian)"
            }
            Self::MayNotOriginate => "give the manager account the write class originate",
            Self::MayNotAddExtensions => {
                "give the manager account the write class system, or name a context of your dialplan in options.dialplan_context"
            }
            Self::NoDialplanContext => {
                "add the context of options.dialplan_context to the dialplan; the snippet is in the adapter's documentation"
            }
            Self::NotTested => {
                "give the manager account the write classes system and originate, so that Asterisk can be asked what it sees"
            }
        }
    }
}

impl fmt::Display for PreflightProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.remedy())
    }
}

/// What [`AsteriskAdapter::preflight`](super::AsteriskAdapter::preflight) found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Preflight {
    /// What is missing; empty when a fax can be sent.
    pub problems: Vec<PreflightProblem>,
}

impl Preflight {
    /// Whether nothing is missing.
    pub fn is_ready(&self) -> bool {
        self.problems.is_empty()
    }
}

impl fmt::Display for Preflight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_ready() {
            return f.write_str("ready to fax");
        }
        for (index, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if index > 0 { "; " } else { "" })?;
        }
        Ok(())
    }
}

/// What Asterisk told of the probe file and of the directory it is in.
struct Seen {
    exists: bool,
    size: Option<usize>,
    directory: bool,
    /// `DIRECTORY/.` is seen only by who may enter the directory.
    enters: bool,
    /// A file that Asterisk was to make is there.
    writes: bool,
    start: String,
}

impl Seen {
    fn parse(value: &str) -> Self {
        let mut parts = value.splitn(6, '|');
        let mut part = || parts.next().unwrap_or_default();
        Self {
            exists: part() == "1",
            size: part().parse().ok(),
            directory: part() == "1",
            enters: part() == "1",
            writes: part() == "1",
            start: part().to_owned(),
        }
    }

    fn problem(&self, receives: bool) -> Option<PreflightProblem> {
        if !self.exists {
            return Some(match (self.directory, self.enters) {
                (false, _) => PreflightProblem::SpoolNotVisible,
                (true, false) => PreflightProblem::SpoolNotReadable,
                (true, true) => PreflightProblem::SpoolElsewhere,
            });
        }
        if self.start.is_empty() {
            return Some(PreflightProblem::SpoolNotReadable);
        }
        if self.size != Some(PROBE.len()) || self.start != "II" {
            return Some(PreflightProblem::SpoolElsewhere);
        }
        (receives && !self.writes).then_some(PreflightProblem::SpoolNotWritableByAsterisk)
    }
}

/// Looks for everything that is missing. Errors are those of the connection.
pub(super) async fn run(core: &Core, server: &Server) -> Result<Preflight> {
    let (config, store, clock) = (&core.config, &core.store, &core.clock);
    let mut problems = Vec::new();
    for (module, problem) in [
        ("res_fax", PreflightProblem::NoResFax),
        ("res_fax_spandsp", PreflightProblem::NoFaxTechnology),
    ] {
        if server.has_module(module, OPERATION).await? == Some(false) {
            problems.push(problem);
        }
    }
    let outcomes = match server.extensions(store, Extent::Handler, OPERATION).await {
        _ if store.is_off() => None,
        Ok(Presence::Present { .. }) if store.is_automatic() => {
            permitted(server.may_add(store, OPERATION).await)?
                .is_none()
                .then_some(PreflightProblem::MayNotAddExtensions)
        }
        Ok(Presence::Present { .. }) => None,
        Ok(Presence::Absent) if !store.is_automatic() => Some(PreflightProblem::NoDialplanContext),
        Err(error) if error.kind() != ErrorKind::PermissionDenied => return Err(error),
        // Ours is missing, or the account may not look: the adapter makes it before every call.
        _ if store.is_automatic() => {
            let made = server.make_extensions(store, clock.timestamp(), OPERATION);
            permitted(made.await)?
                .is_none()
                .then_some(PreflightProblem::MayNotAddExtensions)
        }
        _ => None,
    };
    problems.extend(outcomes);
    match &core.spool {
        None => problems.push(PreflightProblem::NoSpool),
        Some(spool) => problems.extend(spool_problem(server, config, spool, clock).await?),
    }
    Ok(Preflight { problems })
}

async fn spool_problem(
    server: &Server,
    config: &AsteriskConfig,
    spool: &Spool,
    clock: &SharedClock,
) -> Result<Option<PreflightProblem>> {
    let id = CallId::new();
    let put = spool.clone();
    let Ok(probe) = blocking(OPERATION, move || put.put_probe(id, PROBE)).await? else {
        return Ok(Some(PreflightProblem::SpoolNotWritable));
    };
    let receives = config.incoming_context.is_some();
    // Under a name that a sweep takes, if we die before.
    let written = spool.file(CallId::new());
    let files = Files {
        read: &spool.file(id).remote,
        write: receives.then_some(written.remote.as_str()),
    };
    let found = ask(server, config, id, files, clock).await;
    // Its file goes with it, and that of Asterisk.
    let removed = blocking(OPERATION, move || {
        drop(probe);
        !receives || std::fs::remove_file(&written.local).is_ok() || !written.local.exists()
    })
    .await?;
    Ok(match found? {
        Err(problem) => Some(problem),
        Ok(seen) => seen
            .problem(receives)
            .or((!removed).then_some(PreflightProblem::SpoolNotWritable)),
    })
}

/// Lets an extension of the run time look at the file, because only the Asterisk process itself
/// knows what it may read: `STAT` asked through the manager answers an empty value (observed on
/// Asterisk 22.10, recording `11_preflight_stat_by_runtime_extension`).
async fn ask(
    server: &Server,
    config: &AsteriskConfig,
    id: CallId,
    files: Files<'_>,
    clock: &SharedClock,
) -> Result<Result<Seen, PreflightProblem>> {
    let path = files.read;
    let written = files.write.unwrap_or(path);
    let (context, family) = (
        format!("faxbot-preflight-{}", config.instance),
        format!("faxbot-{}-probe", config.instance),
    );
    // One extension a question: two processes may ask at once.
    let extension = id.as_uuid().simple().to_string();
    let directory = path
        .rsplit_once('/')
        .map_or(".", |(directory, _)| directory);
    let look = format!(
        "DB({family}/{extension})=${{STAT(e,{path})}}|${{STAT(s,{path})}}|${{STAT(e,{directory})}}|${{STAT(e,{directory}/.)}}|${{STAT(e,{written})}}|${{FILE({path},0,2)}}"
    );
    let make = files.write.map(|path| format!("FILE({path})=II"));
    let question = Question {
        server,
        context: &context,
        extension: &extension,
        family: &family,
    };
    let seen = question.ask(id, make.as_deref(), &look, clock).await;
    // Also after a failure: what is left in the dialplan stays until a reload.
    let removed = question.remove().await;
    let seen = seen?;
    removed?;
    Ok(seen)
}

/// What Asterisk is to read, and to make, as it sees them.
struct Files<'a> {
    read: &'a str,
    write: Option<&'a str>,
}

struct Question<'a> {
    server: &'a Server,
    context: &'a str,
    extension: &'a str,
    family: &'a str,
}

impl Question<'_> {
    async fn ask(
        &self,
        id: CallId,
        make: Option<&str>,
        look: &str,
        clock: &SharedClock,
    ) -> Result<Result<Seen, PreflightProblem>> {
        let Self {
            server,
            context,
            extension,
            family,
        } = *self;
        // `FILE` answers nothing when it cannot write: the step after it runs all the same.
        let make = make.map_or(("NoOp", ""), |make| ("Set", make));
        let steps = [make, ("Set", look), ("Hangup", "")];
        for (priority, (application, data)) in ["1", "2", "3"].into_iter().zip(steps) {
            let added = server
                .add_step(context, extension, priority, application, data, OPERATION)
                .await;
            if permitted(added)?.is_none() {
                return Ok(Err(PreflightProblem::NotTested));
            }
        }
        let channel = format!("Local/{extension}@{context}/n");
        let headers = [
            ("Channel", channel.as_str()),
            ("ChannelId", &channel_id(id)),
            ("Application", "Wait"),
            ("Data", "0"),
            ("Async", "true"),
            ("Timeout", "3000"),
        ];
        let originated = server
            .order(action("Originate", &headers, OPERATION)?, OPERATION)
            .await;
        if permitted(originated)?.is_none() {
            return Ok(Err(PreflightProblem::MayNotOriginate));
        }
        let seen = wait_for(server, family, extension, clock).await?;
        Ok(seen.ok_or(PreflightProblem::NotTested))
    }

    /// Nothing is left behind: first the extension, so that nothing is written any more.
    async fn remove(&self) -> Result<()> {
        let headers = [("Context", self.context), ("Extension", self.extension)];
        let remove = action("DialplanExtensionRemove", &headers, OPERATION)?;
        self.server.ask(remove, OPERATION).await?;
        let forgotten = self
            .server
            .forget(self.family, self.extension, OPERATION)
            .await;
        permitted(forgotten).map(drop)
    }
}

async fn wait_for(
    server: &Server,
    family: &str,
    key: &str,
    clock: &SharedClock,
) -> Result<Option<Seen>> {
    let until = clock.now() + PROBE_LIMIT;
    loop {
        if let Some(value) = server.database(family, key, OPERATION).await? {
            return Ok(Some(Seen::parse(&value)));
        }
        if clock.now() >= until {
            return Ok(None);
        }
        clock.sleep_until(clock.now() + PROBE_EVERY).await;
    }
}

/// `None` for what the account may not do; other errors pass.
fn permitted<T>(result: Result<T, Error>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(None),
        Err(error) => Err(error),
    }
}
