//! Finds what a fax would fail on before one is sent, and says how to mend it.

use std::fmt;

use faxbot_core::{Error, ErrorKind, Result, id::CallId, task::blocking};

use super::{config::Outcomes, core::Core, outcome::keepers, server::Server};
use crate::adapter::spool::Spool;

/// What the probe file holds: the first bytes of a TIFF.
const PROBE: &[u8] = b"II*\0";

const OPERATION: &str = "preflight";

/// One thing that is missing, and how to mend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PreflightProblem {
    /// No `options.spool` is configured.
    NoSpool,
    /// We cannot write to the spool directory.
    SpoolNotWritable,
    /// FreeSWITCH sees no such directory, or may not enter it.
    SpoolNotVisible,
    /// FreeSWITCH sees a directory there without the file that we wrote.
    SpoolElsewhere,
    /// `mod_spandsp` is not loaded.
    NoSpandsp,
    /// Neither `mod_db` nor `mod_hash` is loaded, or not the one that `options.outcomes` names:
    /// nothing is known of calls that end while nobody listens.
    NothingKeepsOutcomes,
    /// What FreeSWITCH sees of the spool could not be found out: the account may not ask.
    NotTested,
}

impl PreflightProblem {
    /// How to mend it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::NoSpool => {
                "set options.spool to a directory that this process and FreeSWITCH share"
            }
            Self::SpoolNotWritable => {
                "create the directory of options.spool and let this process write to it"
            }
            Self::SpoolNotVisible => {
                "set options.spool_remote to the path under which FreeSWITCH sees the directory of options.spool (a mount, a container volume), and let FreeSWITCH's user enter it (chmod g+x)"
            }
            Self::SpoolElsewhere => {
                "options.spool and options.spool_remote are two different directories: make them one"
            }
            Self::NoSpandsp => {
                "load mod_spandsp in modules.conf.xml (package freeswitch-mod-spandsp)"
            }
            Self::NothingKeepsOutcomes => {
                "load mod_db or mod_hash in modules.conf.xml, and let options.outcomes be auto"
            }
            Self::NotTested => {
                "add file_exists and module_exists to esl-allowed-api of the account, so that FreeSWITCH can be asked what it sees"
            }
        }
    }
}

impl fmt::Display for PreflightProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.remedy())
    }
}

/// What [`FreeswitchAdapter::preflight`](super::FreeswitchAdapter::preflight) found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Preflight {
    /// What is missing; empty when nothing was found that a fax would fail on.
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

/// Looks for everything that is missing. Errors are those of the connection.
pub(super) async fn run(core: &Core, server: &Server) -> Result<Preflight> {
    let mut problems = Vec::new();
    if server.has_module("mod_spandsp", OPERATION).await? == Some(false) {
        problems.push(PreflightProblem::NoSpandsp);
    }
    if core.config.outcomes != Outcomes::Off && !is_kept(core, server).await? {
        problems.push(PreflightProblem::NothingKeepsOutcomes);
    }
    match &core.spool {
        None => problems.push(PreflightProblem::NoSpool),
        Some(spool) => problems.extend(spool_problem(server, spool).await?),
    }
    Ok(Preflight { problems })
}

async fn is_kept(core: &Core, server: &Server) -> Result<bool> {
    for keeper in keepers(core.config.outcomes) {
        if server.has_module(keeper.module(), OPERATION).await? != Some(false) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// FreeSWITCH tells whether it sees a file, and no more: whether it may read it, or make one, shows at
/// the first fax.
async fn spool_problem(server: &Server, spool: &Spool) -> Result<Option<PreflightProblem>> {
    let id = CallId::new();
    let put = spool.clone();
    let Ok(probe) = blocking(OPERATION, move || put.put_probe(id, PROBE)).await? else {
        return Ok(Some(PreflightProblem::SpoolNotWritable));
    };
    let path = spool.file(id).remote;
    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
    let found = async {
        if server.sees(&path, OPERATION).await? {
            return Ok(None);
        }
        // `DIRECTORY/.` is seen only by who may enter the directory.
        let entered = server.sees(&format!("{directory}/."), OPERATION).await?;
        Ok(Some(if entered {
            PreflightProblem::SpoolElsewhere
        } else {
            PreflightProblem::SpoolNotVisible
        }))
    };
    let found = found.await;
    // The file goes with it.
    blocking(OPERATION, move || drop(probe)).await?;
    match found {
        Err(error) if Error::kind(&error) == ErrorKind::PermissionDenied => {
            Ok(Some(PreflightProblem::NotTested))
        }
        found => found,
    }
}
