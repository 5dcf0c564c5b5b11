//! How a mock is set up.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use tokio::{sync::mpsc, task::JoinSet};

use super::{
    base::{Job, Server, Shared},
    door::Door,
    files::Paths,
    mock::Mock,
    script::{CallScript, Timings},
};

/// Sets up a [`Mock`].
#[derive(Debug)]
#[must_use]
pub struct MockBuilder<S: Server> {
    pub(super) own: S::Setup,
    shared: Shared,
}

impl<S: Server> Default for MockBuilder<S> {
    fn default() -> Self {
        Self {
            own: S::Setup::default(),
            shared: Shared {
                timings: None,
                paths: Paths::default(),
                rules: Vec::new(),
                in_memory: false,
            },
        }
    }
}

impl<S: Server> MockBuilder<S> {
    /// How long things take. Default: [`Timings::quick`].
    pub fn timings(mut self, timings: Timings) -> Self {
        self.shared.timings = Some(timings);
        self
    }

    /// The directory that the server sees as `server` is `here` on this machine. Paths that no
    /// mapping names are the same on both.
    pub fn map_path(mut self, server: &str, here: impl Into<PathBuf>) -> Self {
        let server = server.trim_end_matches('/').to_owned();
        self.shared.paths.maps.push((server, here.into()));
        self
    }

    /// The server may see its files and not read them, as with wrong permissions.
    pub fn files_unreadable(mut self) -> Self {
        self.shared.paths.unreadable = true;
        self
    }

    /// What happens to calls to a number, or to a whole dial string; a `*` at the end stands for
    /// anything, and the last rule that matches counts. Without any rule the far end answers.
    pub fn on_dial(mut self, pattern: &str, script: CallScript) -> Self {
        self.shared.rules.push((pattern.to_owned(), script));
        self
    }

    /// No TCP port: clients come by [`Mock::connect_duplex`] only.
    pub fn in_memory(mut self) -> Self {
        self.shared.in_memory = true;
        self
    }

    /// Starts it on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// Those of binding the port.
    ///
    /// # Cancel safety
    /// Nothing was started before it resolves.
    pub async fn start(self) -> io::Result<Mock<S>> {
        crate::logs::to_directory();
        let door = if self.shared.in_memory {
            None
        } else {
            Some(Door::open(("127.0.0.1", 0)).await?)
        };
        let address = door.as_ref().map(Door::address);
        let (jobs, queue) = mpsc::unbounded_channel();
        let world = Arc::new(S::open(self.own, self.shared, jobs));
        world.opened();
        let root = tokio::spawn(root(Arc::clone(&world), door, queue));
        Ok(Mock::new(world, address, root.abort_handle()))
    }
}

/// Accepts clients while the server listens, and owns every task of the mock: they end with it.
async fn root<S: Server>(
    world: Arc<S>,
    mut door: Option<Door>,
    mut jobs: mpsc::UnboundedReceiver<Job>,
) {
    let mut tasks = JoinSet::new();
    loop {
        let changed = world.base().changed.notified();
        let mut retry = false;
        if let Some(door) = &mut door {
            if world.base().lock().listening {
                retry = door.reopen().is_err();
            } else {
                // A stopped server refuses connections.
                door.shut();
            }
        }
        let accepted = async {
            match &door {
                Some(door) => door.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(job) = jobs.recv() => {
                tasks.spawn(job);
            }
            (stream, peer) = accepted => {
                let peer = format!("{}/{}", peer.ip(), peer.port());
                tasks.spawn(Arc::clone(&world).serve(Box::new(stream), peer));
            }
            Some(_ended) = tasks.join_next() => {}
            () = changed => {}
            // Somebody else may hold the port for a moment.
            () = tokio::time::sleep(Duration::from_millis(20)), if retry => {}
        }
    }
}
