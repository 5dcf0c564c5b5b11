//! How a mocked Kamailio is set up.

use std::{io, path::PathBuf, time::Duration};

use super::{auth::Auth, events::EventForm, methods::dispatcher::Destination, mock::MockKamailio};
use crate::server::{
    http::DigestAlgorithm,
    proxy::Phone,
    script::{CallScript, Timings},
};

/// What the mock's server is.
#[derive(Debug)]
pub(super) struct Setup {
    pub version: String,
    pub timings: Timings,
    pub auth: Auth,
    pub path: String,
    pub elsewhere_status: Option<u16>,
    pub events: EventForm,
    pub evapi: bool,
    pub without: Vec<String>,
    pub uac_registrations: bool,
    pub silent_ends: bool,
    pub ring_timeout: Duration,
    pub answer_timeout: Duration,
    pub linger: Duration,
    pub rules: Vec<(String, CallScript)>,
    pub phones: Vec<(String, Phone)>,
    pub elsewhere: Vec<String>,
    pub destinations: Vec<Destination>,
    pub in_memory: bool,
    pub unix: Option<PathBuf>,
    pub udp: bool,
}

impl Setup {
    pub(super) fn server_header(&self) -> String {
        format!("kamailio ({} (x86_64/linux))", self.version)
    }
}

/// Sets up a [`MockKamailio`].
#[derive(Debug)]
#[must_use]
pub struct MockKamailioBuilder {
    setup: Setup,
}

impl Default for MockKamailioBuilder {
    fn default() -> Self {
        Self {
            setup: Setup {
                version: "5.6.3".to_owned(),
                timings: Timings::default(),
                auth: Auth::Nothing,
                path: "/RPC".to_owned(),
                elsewhere_status: None,
                events: EventForm::default(),
                evapi: true,
                without: Vec::new(),
                uac_registrations: false,
                silent_ends: false,
                ring_timeout: Duration::from_secs(4),
                answer_timeout: Duration::from_millis(2500),
                linger: Duration::from_secs(5),
                rules: Vec::new(),
                phones: Vec::new(),
                elsewhere: Vec::new(),
                destinations: Vec::new(),
                in_memory: false,
                unix: None,
                udp: false,
            },
        }
    }
}

impl MockKamailioBuilder {
    /// The version that it says it has (default 5.6.3).
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.setup.version);
        self
    }

    /// How long things take. Default: [`Timings::quick`].
    pub fn timings(mut self, timings: Timings) -> Self {
        self.setup.timings = timings;
        self
    }

    /// HTTP Basic is asked for.
    pub fn basic(mut self, user: &str, password: &str) -> Self {
        self.setup.auth = Auth::Basic(user.to_owned(), password.to_owned());
        self
    }

    /// A bearer token is asked for.
    pub fn bearer(mut self, token: &str) -> Self {
        self.setup.auth = Auth::Bearer(token.to_owned());
        self
    }

    /// HTTP Digest is asked for; a nonce is good for that time.
    pub fn digest(
        mut self,
        user: &str,
        password: &str,
        algorithm: DigestAlgorithm,
        nonce_lives: Duration,
    ) -> Self {
        self.setup.auth = Auth::Digest {
            user: user.to_owned(),
            password: password.to_owned(),
            algorithm,
            nonce_lives,
        };
        self
    }

    /// The path of JSON-RPC (default `/RPC`).
    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.setup.path);
        self
    }

    /// What a path that is not served gets: a status, and not nothing at all.
    pub fn other_paths_get(mut self, status: u16) -> Self {
        self.setup.elsewhere_status = Some(status);
        self
    }

    /// How the script writes its events. Default: as the recordings have them.
    pub fn events(mut self, form: EventForm) -> Self {
        self.setup.events = form;
        self
    }

    /// The module `evapi` is not loaded.
    pub fn without_evapi(mut self) -> Self {
        self.setup.evapi = false;
        self
    }

    /// A module or a method is not there: `dispatcher.` with its dot, or `dlg.bridge_dlg`.
    pub fn without(mut self, module_or_method: &str) -> Self {
        self.setup.without.push(module_or_method.to_owned());
        self
    }

    /// `uac` has a table of registrations, so that `uac.reg_*` are there.
    pub fn with_uac_registrations(mut self) -> Self {
        self.setup.uac_registrations = true;
        self
    }

    /// A call that `dlg.end_dlg` ends has no `dialog:end`, as in a quarter of cases where the phones
    /// are quick.
    pub fn ends_of_rpc_are_silent(mut self) -> Self {
        self.setup.silent_ends = true;
        self
    }

    /// How long a phone may ring: `fr_inv_timer` (default 4 s, as recorded).
    pub fn ring_timeout(mut self, time: Duration) -> Self {
        self.setup.ring_timeout = time;
        self
    }

    /// How long a silent party is tried: `fr_timer` (default 2.5 s, as recorded).
    pub fn answer_timeout(mut self, time: Duration) -> Self {
        self.setup.answer_timeout = time;
        self
    }

    /// How long a dialog that ended is listed (default 5 s, as recorded).
    pub fn lists_ended_for(mut self, time: Duration) -> Self {
        self.setup.linger = time;
        self
    }

    /// How the party with that number or SIP address takes calls; a `*` at the end stands for
    /// anything, and the last rule that matches counts. Without any rule it answers.
    pub fn on_dial(mut self, pattern: &str, script: CallScript) -> Self {
        self.setup.rules.push((pattern.to_owned(), script));
        self
    }

    /// What the phone with that number or SIP address does when the server itself calls it, or
    /// sends it a message. Without any rule it answers.
    pub fn phone(mut self, pattern: &str, phone: Phone) -> Self {
        self.setup.phones.push((pattern.to_owned(), phone));
        self
    }

    /// A host, with its port, that calls reach past this server.
    pub fn elsewhere(mut self, host: &str) -> Self {
        self.setup.elsewhere.push(host.to_owned());
        self
    }

    /// A destination of `dispatcher`, in that set. Its `duid` is `gw-a`, `gw-b` and so on.
    pub fn destination(mut self, set: i64, uri: &str) -> Self {
        let letters = "abcdefghijklmnopqrstuvwxyz".chars();
        let letter = letters.cycle().nth(self.setup.destinations.len());
        self.setup.destinations.push(Destination {
            set,
            uri: uri.to_owned(),
            state: 'A',
            probed: false,
            priority: 0,
            duid: letter.map(|letter| format!("gw-{letter}")),
        });
        self
    }

    /// A datagram socket of `jsonrpcs` at this path.
    pub fn unix_datagrams(mut self, path: impl Into<PathBuf>) -> Self {
        self.setup.unix = Some(path.into());
        self
    }

    /// A UDP socket of `jsonrpcs` on a free port.
    pub fn udp_datagrams(mut self) -> Self {
        self.setup.udp = true;
        self
    }

    /// No ports: clients come by [`MockKamailio::client`] and [`MockKamailio::connector`] only.
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
    pub async fn start(self) -> io::Result<MockKamailio> {
        MockKamailio::open(self.setup).await
    }
}
