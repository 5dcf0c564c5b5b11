//! One client of the mock: login, its commands in order, its events (recordings `01_*`, `02_*`).

use std::{io, sync::Arc};

use bytes::BytesMut;
use faxbot_sip::protocol::{
    esl::{EslCodec, Frame, MAX_FRAME, Role, server},
    session::Codec,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

use super::{
    command::{self, Controls},
    world::{Session, World},
};
use crate::server::{
    base::{Closing, Io},
    link::{Link, Wake},
    script::ReplyFault,
};

/// What a command answers, and whether the connection goes on.
pub(super) struct Answer {
    pub reply: Vec<u8>,
    pub fault: Option<ReplyFault>,
    pub close: bool,
}

impl Answer {
    pub(super) fn reply(text: &str) -> Self {
        Self::bytes(server::reply(text, &[]).to_vec())
    }

    pub(super) const fn bytes(reply: Vec<u8>) -> Self {
        Self {
            reply,
            fault: None,
            close: false,
        }
    }
}

/// What a client may do.
#[derive(Debug, Clone)]
pub(super) enum Rights {
    /// It has not logged in.
    None,
    All,
    /// These events and commands, with a blank between.
    Some {
        events: String,
        api: String,
    },
}

/// Serves one client until it goes or is sent away.
pub(super) async fn serve(world: Arc<World>, mut io: Box<dyn Io>) {
    let mut connection = Connection::new(&world, None);
    // A client that is gone is no fault of the mock.
    let _gone = connection.greet(&mut *io).await;
    connection.link.close(&world);
}

pub(super) struct Connection {
    pub world: Arc<World>,
    pub link: Link,
    pub rights: Rights,
    /// The channel that the application `socket` lent, for a connection that the mock opened.
    pub controls: Option<Controls>,
    /// Whether it asked for log lines; none are sent.
    pub logs: bool,
    codec: EslCodec,
    input: BytesMut,
}

impl Connection {
    pub(super) fn new(world: &Arc<World>, controls: Option<Controls>) -> Self {
        let rights = match controls {
            Some(_) => Rights::All,
            None => Rights::None,
        };
        Self {
            world: Arc::clone(world),
            link: Link::open(world, Session::default()),
            rights,
            controls,
            logs: false,
            codec: EslCodec::new(Role::Server, MAX_FRAME),
            input: BytesMut::new(),
        }
    }

    async fn greet(&mut self, io: &mut dyn Io) -> io::Result<()> {
        if self.world.setup.rejects {
            self.link.write(io, &server::rejection()).await?;
            return io.shutdown().await;
        }
        if self.world.lock().shutting_down {
            self.link.write(io, &server::shutdown()).await?;
            return io.shutdown().await;
        }
        self.link.write(io, &server::auth_request()).await?;
        self.run(io).await
    }

    /// Takes commands and sends events until the end.
    pub(super) async fn run(&mut self, io: &mut dyn Io) -> io::Result<()> {
        let login_by = Instant::now() + self.world.timings.login;
        loop {
            while let Some(frame) = Codec::decode(&mut self.codec, &mut self.input)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?
            {
                if !self.take(io, &frame).await? {
                    return io.shutdown().await;
                }
            }
            // Commands that are there are answered before any event, and an unfinished one holds
            // all events (recording `02_partial_command_blocks_events`).
            let whole = self.input.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
            let waits = matches!(self.rights, Rights::None);
            let over = self.link.closing_later();
            tokio::select! {
                biased;
                read = io.read_buf(&mut self.input) => {
                    if read? == 0 {
                        return Ok(());
                    }
                }
                wake = self.link.next(), if whole => match wake {
                    Wake::Event(event) => self.link.write(io, &event).await?,
                    Wake::Closing(Closing::Drained) => return self.link.drain(io).await,
                    Wake::Closing(_) => return Ok(()),
                },
                _ = over, if !whole => return Ok(()),
                () = tokio::time::sleep_until(login_by), if waits => {
                    self.link.write(io, &server::goodbye()).await?;
                    return io.shutdown().await;
                }
            }
        }
    }

    /// Carries out one command. False ends the connection.
    async fn take(&mut self, io: &mut dyn Io, frame: &Frame) -> io::Result<bool> {
        let command = command::Command::read(frame);
        let now = self.world.now();
        let number = self.link.number;
        let fault = self.world.change(|state| {
            let headers = command.seen();
            state
                .record
                .client(number, command.action().to_owned(), headers, now);
            state.take_fault(command.action())
        });
        let mut answer = match &fault {
            Some(ReplyFault::Refuse(text)) => command.refused(text),
            _ => {
                // A server that stops does not wait for a command that takes its time.
                let over = self.link.closing_later();
                tokio::select! {
                    biased;
                    answer = command::run(self, &command) => answer,
                    _ = over => return Ok(false),
                }
            }
        };
        let fault = answer.fault.take().or(fault);
        if answer.reply.is_empty() && fault.is_none() {
            return Ok(!answer.close);
        }
        let reply = bytes::Bytes::from(answer.reply);
        self.world.lock().record.server(reply.clone(), Some(number));
        let goes_on = self.link.answer(&self.world, io, &reply, fault).await?;
        Ok(goes_on && !answer.close)
    }
}
