//! How a mocked OpenSIPS is set up.

use std::{io, path::PathBuf, time::Duration};

use super::{mock::MockOpenSips, which::Release};
use crate::server::{
    proxy::Phone,
    script::{CallScript, Timings},
};

/// What the mock's server is.
#[derive(Debug)]
pub(super) struct Setup {
    pub release: Release,
    pub version: Option<String>,
    pub timings: Timings,
    pub root: String,
    pub body_limit: Option<usize>,
    pub reply_limit: Option<usize>,
    pub without: Vec<String>,
    pub accounting: bool,
    pub server_address: bool,
    pub event_param: bool,
    pub reliable: bool,
    pub unnamed_as_object: bool,
    pub ring_timeout: Duration,
    pub answer_timeout: Duration,
    pub linger: Duration,
    pub rules: Vec<(String, CallScript)>,
    pub phones: Vec<(String, Phone)>,
    pub in_memory: bool,
    pub unix: Option<PathBuf>,
    pub udp: bool,
}

impl Setup {
    pub(super) fn version(&self) -> &str {
        self.version.as_deref().unwrap_or(self.release.version())
    }

    /// Longest body of a request over HTTP: `receive_buf_size`, which is new in 3.6. Older releases
    /// take what comes at once.
    pub(super) fn body_limit(&self) -> usize {
        self.body_limit.unwrap_or(match self.release {
            Release::V3_6 => 1024,
            Release::V3_4 | Release::V3_2 => 16 * 1024,
        })
    }

    pub(super) fn is_off(&self, module_or_command: &str) -> bool {
        self.without.iter().any(|off| off == module_or_command)
    }
}

/// Sets up a [`MockOpenSips`].
#[derive(Debug)]
#[must_use]
pub struct MockOpenSipsBuilder {
    setup: Setup,
}

impl Default for MockOpenSipsBuilder {
    fn default() -> Self {
        Self {
            setup: Setup {
                release: Release::default(),
                version: None,
                timings: Timings::default(),
                root: "mi".to_owned(),
                body_limit: None,
                reply_limit: None,
                without: Vec::new(),
                accounting: true,
                server_address: true,
                event_param: false,
                reliable: false,
                unnamed_as_object: false,
                ring_timeout: Duration::from_secs(4),
                answer_timeout: Duration::from_secs(4),
                linger: Duration::from_secs(5),
                rules: Vec::new(),
                phones: Vec::new(),
                in_memory: false,
                unix: None,
                udp: false,
            },
        }
    }
}

impl MockOpenSipsBuilder {
    /// The release (default 3.6): its commands, its parameters, its numbers.
    pub fn release(mut self, release: Release) -> Self {
        self.setup.release = release;
        self
    }

    /// The version that it says it has, where it is not that of the release.
    pub fn version(mut self, version: &str) -> Self {
        self.setup.version = Some(version.to_owned());
        self
    }

    /// How long things take. Default: [`Timings::quick`].
    pub fn timings(mut self, timings: Timings) -> Self {
        self.setup.timings = timings;
        self
    }

    /// The first element of the path (default `mi`): `root` of `mi_http`.
    pub fn root(mut self, root: &str) -> Self {
        root.clone_into(&mut self.setup.root);
        self
    }

    /// Longest body of a request over HTTP, in bytes: `receive_buf_size` of `httpd` (1,024 unless
    /// the administrator raised it; releases before 3.6 do not have it).
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.setup.body_limit = Some(bytes);
        self
    }

    /// Longest reply over HTTP, in bytes: `buf_size` of `httpd`. A longer one is 500.
    pub fn reply_limit(mut self, bytes: usize) -> Self {
        self.setup.reply_limit = Some(bytes);
        self
    }

    /// A module or a command is not there: `callops`, or `b2b_bridge`.
    pub fn without(mut self, module_or_command: &str) -> Self {
        self.setup.without.push(module_or_command.to_owned());
        self
    }

    /// The script does not do any accounting: the events of `acc` are there and never come.
    pub fn without_accounting(mut self) -> Self {
        self.setup.accounting = false;
        self
    }

    /// `b2b_logic` has no `server_address`: scenarios fail and leave a dead tuple.
    pub fn without_server_address(mut self) -> Self {
        self.setup.server_address = false;
        self
    }

    /// Events over TCP have their name as a member: `event_param` of `event_stream`.
    pub fn event_param(mut self) -> Self {
        self.setup.event_param = true;
        self
    }

    /// Events over TCP have an id and want an answer: `reliable_mode` of `event_stream`.
    pub fn reliable(mut self) -> Self {
        self.setup.reliable = true;
        self
    }

    /// Values without a name come as an object with empty names, not as an array: the real server
    /// does the one or the other.
    pub fn unnamed_as_object(mut self) -> Self {
        self.setup.unnamed_as_object = true;
        self
    }

    /// How long a phone may ring: `fr_inv_timeout` (default 4 s).
    pub fn ring_timeout(mut self, time: Duration) -> Self {
        self.setup.ring_timeout = time;
        self
    }

    /// How long a silent party is tried: `fr_timeout` (default 4 s, as recorded).
    pub fn answer_timeout(mut self, time: Duration) -> Self {
        self.setup.answer_timeout = time;
        self
    }

    /// How long a dialog that ended is listed, and a tuple that is ending (default 5 s).
    pub fn lists_ended_for(mut self, time: Duration) -> Self {
        self.setup.linger = time;
        self
    }

    /// How the party with that number or SIP address takes calls; a `*` at the end stands for
    /// anything, and the last rule that matches counts. Without any rule it answers. The reply of
    /// the script is that to `b2b_trigger_scenario`.
    pub fn on_dial(mut self, pattern: &str, script: CallScript) -> Self {
        self.setup.rules.push((pattern.to_owned(), script));
        self
    }

    /// What the phone with that number or SIP address does when the server calls it first, or sends
    /// it a message. Without any rule it answers.
    pub fn phone(mut self, pattern: &str, phone: Phone) -> Self {
        self.setup.phones.push((pattern.to_owned(), phone));
        self
    }

    /// A unix socket of `mi_datagram` at this path.
    pub fn unix_datagrams(mut self, path: impl Into<PathBuf>) -> Self {
        self.setup.unix = Some(path.into());
        self
    }

    /// A UDP socket of `mi_datagram` on a free port.
    pub fn udp_datagrams(mut self) -> Self {
        self.setup.udp = true;
        self
    }

    /// No ports: clients come by [`MockOpenSips::client`] only. Events go to real sockets, unless
    /// [`MockOpenSips::events_at`] takes them.
    pub fn in_memory(mut self) -> Self {
        self.setup.in_memory = true;
        self
    }

    /// Starts it on free ports of 127.0.0.1.
    ///
    /// # Errors
    /// Those of binding its sockets.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn start(self) -> io::Result<MockOpenSips> {
        MockOpenSips::open(self.setup).await
    }
}
