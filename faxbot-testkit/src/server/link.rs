//! The server's end of one connection: what is queued for the client, how the link ends, and what
//! goes wrong with a reply.

use std::{io, ops::DerefMut};

use bytes::Bytes;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::{mpsc, watch},
};

use super::{
    base::{Base, Client, Closing, Common},
    script::ReplyFault,
};

pub(super) struct Link {
    /// Numbered from 1 in the order they were opened.
    pub number: u32,
    queue: mpsc::UnboundedReceiver<Bytes>,
    told: watch::Receiver<Closing>,
}

/// What a connection that waits is woken by.
pub(super) enum Wake {
    Event(Bytes),
    Closing(Closing),
}

impl Link {
    /// Takes a client in.
    pub(super) fn open<S, C>(base: &Base<S>, own: C) -> Self
    where
        S: DerefMut<Target = Common<C>>,
    {
        let (events, queue) = mpsc::unbounded_channel();
        let closing = watch::Sender::new(Closing::No);
        let told = closing.subscribe();
        let number = base.change(|state| {
            if !state.listening {
                // It stopped after the link was taken in.
                closing.send_replace(Closing::Cut);
            }
            state.client_number += 1;
            let number = state.client_number;
            state.record.note(&format!("connection {number} opened"));
            let client = Client {
                own,
                events,
                closing,
            };
            state.clients.insert(number, client);
            number
        });
        Self {
            number,
            queue,
            told,
        }
    }

    /// The client is gone.
    pub(super) fn close<S, C>(&self, base: &Base<S>)
    where
        S: DerefMut<Target = Common<C>>,
    {
        base.change(|state| {
            state.clients.remove(&self.number);
            let note = format!("connection {} closed", self.number);
            state.record.note(&note);
        });
    }

    /// Resolves when the link is to end.
    pub(super) async fn closing(&self) -> Closing {
        closing(self.told.clone()).await
    }

    /// As [`closing`](Self::closing), for a wait that does not borrow the link.
    pub(super) fn closing_later(&self) -> impl Future<Output = Closing> + use<> {
        closing(self.told.clone())
    }

    /// What is queued for the client now.
    pub(super) fn queued(&mut self) -> Option<Bytes> {
        self.queue.try_recv().ok()
    }

    /// The next event, or the end, which comes first.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn next(&mut self) -> Wake {
        let closing = closing(self.told.clone());
        tokio::select! {
            biased;
            closing = closing => Wake::Closing(closing),
            Some(event) = self.queue.recv() => Wake::Event(event),
        }
    }

    pub(super) async fn write(
        &mut self,
        io: &mut (impl AsyncWrite + Unpin + ?Sized),
        bytes: &[u8],
    ) -> io::Result<()> {
        let cut = async {
            let cut = self.told.wait_for(|closing| *closing == Closing::Cut).await;
            drop(cut);
        };
        tokio::select! {
            biased;
            // A client that does not read must not keep the link from being cut.
            () = cut => Err(io::ErrorKind::ConnectionAborted.into()),
            done = io.write_all(bytes) => done,
        }
    }

    /// Writes what is queued, then ends the link.
    pub(super) async fn drain(
        &mut self,
        io: &mut (impl AsyncWrite + Unpin + ?Sized),
    ) -> io::Result<()> {
        while let Some(event) = self.queued() {
            io.write_all(&event).await?;
        }
        io.shutdown().await
    }

    /// Sends a reply as far as its fault lets it. False ends the connection.
    pub(super) async fn answer<S, C>(
        &mut self,
        base: &Base<S>,
        io: &mut (impl AsyncWrite + Unpin + ?Sized),
        reply: &[u8],
        fault: Option<ReplyFault>,
    ) -> io::Result<bool>
    where
        S: DerefMut<Target = Common<C>>,
    {
        match fault {
            Some(ReplyFault::Slow(time)) => {
                tokio::select! {
                    () = tokio::time::sleep(time) => {}
                    _ = self.closing() => return Ok(false),
                }
                self.write(io, reply).await?;
            }
            Some(ReplyFault::DropBefore) => {
                base.lock().record.note("link dropped before the reply");
                return Ok(false);
            }
            Some(ReplyFault::DropAfter) => {
                self.write(io, reply).await?;
                base.lock().record.note("link dropped after the reply");
                return Ok(false);
            }
            Some(ReplyFault::Garbage(bytes)) => self.write(io, &bytes).await?,
            Some(ReplyFault::Silent) => {}
            Some(ReplyFault::Refuse(_)) | None => self.write(io, reply).await?,
        }
        Ok(true)
    }
}

async fn closing(mut told: watch::Receiver<Closing>) -> Closing {
    let closing = told.wait_for(|closing| *closing != Closing::No).await;
    closing.map_or(Closing::Cut, |closing| *closing)
}
