//! A TCP connection that a test can cut.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// Forwards connections to a port of this machine until it is cut.
#[derive(Debug)]
pub(crate) struct CuttableLink {
    port: u16,
    whole: watch::Sender<bool>,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl CuttableLink {
    pub(crate) async fn to(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (whole, state) = watch::channel(true);
        let accepted = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&accepted);
        let task = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                let mut state = state.clone();
                tokio::spawn(async move {
                    // A link that is cut lets nobody in: the connection is closed at once.
                    let forward = async {
                        if let Ok(mut far) = TcpStream::connect(("127.0.0.1", target)).await {
                            let _ = copy_bidirectional(&mut near, &mut far).await;
                        }
                    };
                    tokio::select! {
                        biased;
                        _ = state.wait_for(|whole| !whole) => {}
                        () = forward => {}
                    }
                });
            }
        });
        Self {
            port,
            whole,
            accepted,
            task,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How many connections were opened so far.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Ends all connections, and those that are tried from now on.
    pub(crate) fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Lets connections through again.
    pub(crate) fn mend(&self) {
        self.whole.send_replace(true);
    }
}

impl Drop for CuttableLink {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}
