//! How a mock is set up.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpSocket},
    sync::mpsc,
    task::JoinSet,
};

use super::{
    MockAsterisk,
    account::Account,
    connection,
    dialplan::{Dialplan, Step},
    files::Paths,
    script::{CallScript, Flavour, Timings},
    world::{Config, Job, World},
};

/// Sets up a [`MockAsterisk`].
#[derive(Debug)]
#[must_use]
pub struct MockAsteriskBuilder {
    config: Config,
    dialplan: Dialplan,
    rules: Vec<(String, CallScript)>,
    in_memory: bool,
}

impl Default for MockAsteriskBuilder {
    fn default() -> Self {
        Self {
            config: Config {
                accounts: Vec::new(),
                flavour: Flavour::V22,
                timings: Timings::quick(),
                paths: Paths::default(),
                fax: true,
                status_events: false,
                music: true,
                cdr: true,
                boot: Duration::ZERO,
            },
            dialplan: Dialplan::default(),
            rules: Vec::new(),
            in_memory: false,
        }
    }
}

impl MockAsteriskBuilder {
    /// Adds an account. Without any, `faxbot` with the secret `s3cret` may do everything.
    pub fn account(mut self, account: Account) -> Self {
        self.config.accounts.push(account);
        self
    }

    /// Which release it speaks like. Default: Asterisk 22.
    pub const fn flavour(mut self, flavour: Flavour) -> Self {
        self.config.flavour = flavour;
        self
    }

    /// How long things take. Default: [`Timings::quick`].
    pub const fn timings(mut self, timings: Timings) -> Self {
        self.config.timings = timings;
        self
    }

    /// The directory that the server sees as `server` is `here` on this machine. Paths that no
    /// mapping names are the same on both.
    pub fn map_path(mut self, server: &str, here: impl Into<PathBuf>) -> Self {
        let server = server.trim_end_matches('/').to_owned();
        self.config.paths.maps.push((server, here.into()));
        self
    }

    /// The server may see its files and not read them, as with wrong permissions.
    pub const fn files_unreadable(mut self) -> Self {
        self.config.paths.unreadable = true;
        self
    }

    /// No `res_fax`: fax actions are unknown, `SendFAX` is no application.
    pub const fn without_fax(mut self) -> Self {
        self.config.fax = false;
        self
    }

    /// Sends `FAXStatus` events, as with `statusevents=yes` in `res_fax.conf`. Default: only with
    /// the option `s` of `SendFAX`.
    pub const fn status_events(mut self) -> Self {
        self.config.status_events = true;
        self
    }

    /// Whether `Cdr` events are sent, as with `cdr_manager.conf`. Default: yes.
    pub const fn cdr(mut self, yes: bool) -> Self {
        self.config.cdr = yes;
        self
    }

    /// The operator's context for incoming calls: `AGI(agi:async)` for any number, then `Hangup`.
    pub fn incoming_context(self, context: &str) -> Self {
        self.extension(context, "_[+0-9]!", 1, "AGI", "agi:async")
            .extension(context, "_[+0-9]!", 2, "Hangup", "")
    }

    /// No music on hold is installed: `MusicOnHold` returns at once, as a real server without sound
    /// files does.
    pub const fn without_music(mut self) -> Self {
        self.config.music = false;
        self
    }

    /// After a restart, time between listening and `FullyBooted`. Default: none.
    pub const fn boot_time(mut self, time: Duration) -> Self {
        self.config.boot = time;
        self
    }

    /// A step of the operator's dialplan; it survives reloads.
    pub fn extension(
        mut self,
        context: &str,
        exten: &str,
        priority: u32,
        application: &str,
        data: &str,
    ) -> Self {
        let step = Step {
            application: application.to_owned(),
            data: data.to_owned(),
            run_time: false,
        };
        self.dialplan.add(context, exten, priority, step, true);
        self
    }

    /// What happens to calls to a number, or to a whole dial string; a `*` at the end stands for
    /// anything, and the last rule that matches counts. Without any rule the far end answers.
    pub fn on_dial(mut self, pattern: &str, script: CallScript) -> Self {
        self.rules.push((pattern.to_owned(), script));
        self
    }

    /// No TCP port: clients come by [`MockAsterisk::connect_duplex`] only.
    pub const fn in_memory(mut self) -> Self {
        self.in_memory = true;
        self
    }

    /// Starts it on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// Those of binding the port.
    ///
    /// # Cancel safety
    /// Nothing was started before it resolves.
    pub async fn start(self) -> io::Result<MockAsterisk> {
        crate::logs::to_directory();
        let mut config = self.config;
        if config.accounts.is_empty() {
            config.accounts.push(Account::new("faxbot", "s3cret"));
        }
        let (listener, address) = if self.in_memory {
            (None, None)
        } else {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
            let address = listener.local_addr()?;
            (Some(listener), Some(address))
        };
        let (jobs, queue) = mpsc::unbounded_channel();
        let world = Arc::new(World::new(config, self.dialplan, self.rules, jobs));
        let root = tokio::spawn(root(Arc::clone(&world), listener, address, queue));
        Ok(MockAsterisk {
            world,
            address,
            root: root.abort_handle(),
            verified: false,
        })
    }
}

/// Accepts clients while the server listens, and owns every task of the mock: they end with it.
async fn root(
    world: Arc<World>,
    mut listener: Option<TcpListener>,
    address: Option<SocketAddr>,
    mut jobs: mpsc::UnboundedReceiver<Job>,
) {
    let mut tasks = JoinSet::new();
    loop {
        let changed = world.changed.notified();
        let mut retry = false;
        if let Some(address) = address {
            if !world.lock().listening {
                // A stopped server refuses connections.
                listener = None;
            } else if listener.is_none() {
                listener = listen(address).ok();
                retry = listener.is_none();
            }
        }
        tokio::select! {
            Some(job) = jobs.recv() => {
                tasks.spawn(job);
            }
            Some((stream, peer)) = accept(listener.as_ref()) => {
                let peer = format!("{}/{}", peer.ip(), peer.port());
                tasks.spawn(connection::serve(Arc::clone(&world), stream, peer));
            }
            Some(_ended) = tasks.join_next() => {}
            () = changed => {}
            // Somebody else may hold the port for a moment.
            () = tokio::time::sleep(Duration::from_millis(20)), if retry => {}
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> Option<(tokio::net::TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await.ok(),
        None => std::future::pending().await,
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    // Links of the run before may linger in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(128)
}
