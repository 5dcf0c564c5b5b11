//! A listener on a unix-domain socket beside the TCP port.

use std::{io, path::Path, sync::Arc, time::Duration};

use tokio::net::UnixListener;

use super::MockYate;

impl MockYate {
    /// Listens on a unix-domain socket too. While the server is down, a client that connects is
    /// closed at once.
    ///
    /// # Errors
    /// Those of binding the socket.
    pub fn listen_unix(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let listener = UnixListener::bind(path)?;
        let world = Arc::clone(self.world());
        self.world().spawn_free(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) if world.lock().listening => {
                        let job = super::connection::serve(Arc::clone(&world), Box::new(stream));
                        world.spawn_free(job);
                    }
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        });
        Ok(())
    }
}
