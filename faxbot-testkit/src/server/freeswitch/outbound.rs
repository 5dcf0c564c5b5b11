//! The application `socket`: the mock is the client, and the application on the other side gives
//! the commands (recordings `07_*`).

use std::{io, sync::Arc, time::Duration};

use faxbot_sip::protocol::esl::server;
use tokio::{net::TcpStream, sync::oneshot};

use super::{
    MockFreeSwitch,
    application::Done,
    call::{Flow, Here, Stop},
    command::{Controls, last_notice},
    connection::Connection,
    world::World,
};
use crate::server::base::Io;

/// How long the events of the end are waited for where nothing lingers.
const LAST_EVENTS: Duration = Duration::from_millis(100);

/// How long a connection is tried.
const PATIENCE: Duration = Duration::from_secs(5);

impl MockFreeSwitch {
    /// The application `socket` opens a link in memory from now on, and hands it to this: for a
    /// paused clock. The answer is false when nobody takes it.
    pub fn on_socket(
        &self,
        take: impl Fn(tokio::io::DuplexStream) -> bool + Send + Sync + 'static,
    ) {
        self.world()
            .change(|state| state.sockets = Some(Arc::new(take)));
    }
}

async fn connect(world: &World, address: &str) -> Option<Box<dyn Io>> {
    let taker = world.lock().sockets.clone();
    if let Some(take) = taker {
        let (near, far) = tokio::io::duplex(64 * 1024);
        return take(far).then(|| Box::new(near) as Box<dyn Io>);
    }
    let stream = TcpStream::connect(address);
    let stream = tokio::time::timeout(PATIENCE, stream).await.ok()?.ok()?;
    Some(Box::new(stream))
}

/// Runs `socket(host:port [async] [full])`. Without anybody there the call goes on, which is its
/// end when nothing follows.
pub(super) async fn application(here: &mut Here<'_>, args: &str) -> Done {
    let (world, id) = (here.world, here.id);
    let mut words = args.split(' ').filter(|word| !word.is_empty());
    let address = words.next().unwrap_or_default();
    let address = if address.contains(':') {
        address.to_owned()
    } else {
        format!("{address}:8084")
    };
    let words: Vec<&str> = words.collect();
    let Some(io) = connect(world, &address).await else {
        return Done::next();
    };
    let controls = Controls {
        id: id.to_owned(),
        asynchronous: words.contains(&"async"),
        full: words.contains(&"full"),
        connected: false,
        linger: None,
    };
    let (over, ended) = oneshot::channel();
    let served = serve(Arc::clone(world), io, controls, over);
    world.spawn_free(served);
    tokio::select! {
        biased;
        _ = ended => {
            // The application has closed the connection; what it queued is dropped.
            if let Some(channel) = world.lock().channels.get_mut(id) {
                channel.private.clear();
            }
            Done::next()
        }
        stop = here.idle(None) => match stop {
            Some(Stop::Flow(flow)) => flow.into(),
            Some(Stop::Break) | None => Flow::Next.into(),
        },
    }
}

async fn serve(
    world: Arc<World>,
    mut io: Box<dyn Io>,
    controls: Controls,
    over: oneshot::Sender<()>,
) {
    let id = controls.id.clone();
    let mut connection = Connection::new(&world, Some(controls));
    let told = world.lock().channels.get(&id).map(|c| c.told.subscribe());
    let gone = async {
        let Some(mut told) = told else { return };
        // The sender goes with the channel.
        while told.changed().await.is_ok() {}
    };
    tokio::select! {
        biased;
        _closed = connection.run(&mut *io) => {}
        () = gone => {
            let _gone = last(&world, &mut connection, &mut *io, &id).await;
        }
    }
    let _not_waiting = over.send(());
    connection.link.close(&world);
}

/// The channel is gone: the notice, and what lingers behind it.
async fn last(
    world: &Arc<World>,
    connection: &mut Connection,
    io: &mut dyn Io,
    id: &str,
) -> io::Result<()> {
    let linger = connection.controls.as_ref().and_then(|c| c.linger);
    match linger {
        None => {
            tokio::time::sleep(LAST_EVENTS.min(world.timings.ending)).await;
        }
        Some(seconds) => {
            while let Some(event) = connection.link.queued() {
                connection.link.write(io, &event).await?;
            }
            let notice = server::linger(id, seconds);
            connection.link.write(io, &notice).await?;
            let time = u64::try_from(seconds).map_or(super::call::FOR_EVER, Duration::from_secs);
            let run = tokio::time::timeout(time, connection.run(io)).await;
            if run.is_ok() {
                return Ok(());
            }
        }
    }
    while let Some(event) = connection.link.queued() {
        connection.link.write(io, &event).await?;
    }
    connection.link.write(io, &last_notice(id)).await?;
    tokio::io::AsyncWriteExt::shutdown(io).await
}
