//! One client of the mock: login, its actions in order, its events.

use std::{io, sync::Arc};

use bytes::BytesMut;
use faxbot_sip::protocol::{
    ami::{
        AmiCodec, MAX_MESSAGE, Message, Role, key,
        server::{MessageBuilder, banner, refusal},
    },
    session::Codec,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

use super::{
    account::{ACTIONS, Account, Classes},
    actions,
    world::{Session, World, start},
};
use crate::server::{
    base::{Closing, Io},
    link::{Link, Wake},
    record::SeenAction,
    script::ReplyFault,
};

/// What an action answers, and whether the connection goes on.
pub(super) struct Answer {
    pub messages: Vec<MessageBuilder>,
    pub fault: Option<ReplyFault>,
    pub close: bool,
}

impl Answer {
    pub(super) fn one(message: MessageBuilder) -> Self {
        Self {
            messages: vec![message],
            fault: None,
            close: false,
        }
    }
}

/// A response with its `ActionID`.
pub(super) fn response(action: &SeenAction, word: &str) -> MessageBuilder {
    MessageBuilder::response(word).maybe("ActionID", action.get("ActionID"))
}

/// `Success` with a text.
pub(super) fn success(action: &SeenAction, text: &str) -> Answer {
    Answer::one(response(action, "Success").header("Message", text))
}

/// `Error` with a text.
pub(super) fn error(action: &SeenAction, text: &str) -> Answer {
    Answer::one(response(action, "Error").header("Message", text))
}

/// An action that does not exist.
pub(super) fn unknown(action: &SeenAction) -> Answer {
    let text = format!(
        "Invalid/unknown command: {}. Use Action: ListCommands to show available commands.",
        action.name
    );
    error(action, &text)
}

/// Serves one client until it goes or is sent away.
pub(super) async fn serve(world: Arc<World>, mut io: Box<dyn Io>, peer: String) {
    let mut connection = Connection {
        link: Link::open(&world, Session::default()),
        world: Arc::clone(&world),
        peer,
        account: None,
        challenge: None,
        codec: AmiCodec::new(Role::Server, MAX_MESSAGE),
        input: BytesMut::new(),
    };
    // A client that is gone is no fault of the mock.
    let _gone = connection.run(&mut *io).await;
    connection.link.close(&world);
}

struct Connection {
    world: Arc<World>,
    link: Link,
    peer: String,
    account: Option<Account>,
    challenge: Option<String>,
    codec: AmiCodec,
    input: BytesMut,
}

impl Connection {
    async fn run(&mut self, io: &mut dyn Io) -> io::Result<()> {
        let login_by = Instant::now() + self.world.config.timings.login;
        let version = if self.world.v16() { "5.0.4" } else { "11.0.0" };
        self.link.write(io, banner(version).raw()).await?;
        loop {
            while let Some(frame) = Codec::decode(&mut self.codec, &mut self.input)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?
            {
                // Events that were there before the action go out before its answer.
                while let Some(event) = self.link.queued() {
                    self.link.write(io, &event).await?;
                }
                if !self.take(io, &frame).await? {
                    return io.shutdown().await;
                }
            }
            tokio::select! {
                biased;
                wake = self.link.next() => match wake {
                    Wake::Event(event) => self.link.write(io, &event).await?,
                    Wake::Closing(Closing::Drained) => return self.link.drain(io).await,
                    Wake::Closing(_) => return Ok(()),
                },
                read = io.read_buf(&mut self.input) => {
                    if read? == 0 {
                        return Ok(());
                    }
                }
                () = tokio::time::sleep_until(login_by), if self.account.is_none() => {
                    // Silently (recording `01_auth_timeout`).
                    return Ok(());
                }
            }
        }
    }

    /// Carries out one action. False ends the connection.
    async fn take(&mut self, io: &mut dyn Io, frame: &Message) -> io::Result<bool> {
        let now = self.world.now();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = frame
            .headers()
            .map(|(name, value)| (text(name), text(value)));
        let headers: Vec<_> = headers.collect();
        let name = frame.action().map(text).unwrap_or_default();
        let number = self.link.number;
        let (action, fault) = self.world.change(|state| {
            let action = state.record.client(number, name, headers, now);
            let fault = state.take_fault(&action.name);
            (action, fault)
        });
        let mut answer = match (&fault, refusal(frame)) {
            (_, Some(why)) => error(&action, why),
            (Some(ReplyFault::Refuse(text)), None) => error(&action, text),
            _ => self.dispatch(&action).await?,
        };
        let fault = answer.fault.take().or(fault);
        let mut reply = BytesMut::new();
        for message in answer.messages {
            let Ok(message) = message.build() else {
                continue;
            };
            let mut state = self.world.lock();
            state.record.server(message.raw().clone(), Some(number));
            AmiCodec::encode_message(&message, &mut reply);
        }
        let goes_on = self.link.answer(&self.world, io, &reply, fault).await?;
        Ok(goes_on && !answer.close)
    }

    async fn dispatch(&mut self, action: &SeenAction) -> io::Result<Answer> {
        let name = action.name.to_ascii_lowercase();
        if self.world.lock().shutting_down && name != "logoff" {
            return Ok(error(action, "Asterisk is shutting down"));
        }
        match (name.as_str(), &self.account) {
            ("logoff", _) => {
                let goodbye =
                    response(action, "Goodbye").header("Message", "Thanks for all the fish.");
                Ok(Answer {
                    close: true,
                    ..Answer::one(goodbye)
                })
            }
            ("login", Some(_)) => Ok(success(action, "Already authenticated")),
            ("login", None) => self.login(action).await,
            ("challenge", None) => Ok(self.challenge(action)),
            (_, None) => Ok(error(action, "Permission denied")),
            (name, Some(account)) => {
                let account = account.clone();
                if !self.world.config.fax && name.starts_with("fax") {
                    return Ok(unknown(action));
                }
                let Some((_, rights, _)) = ACTIONS
                    .iter()
                    .find(|(known, ..)| known.eq_ignore_ascii_case(name))
                else {
                    return Ok(unknown(action));
                };
                if !rights.is_empty() && !account.write.any(rights) {
                    return Ok(error(action, "Permission denied"));
                }
                match name {
                    "events" => Ok(self.event_mask(action, &account)),
                    "originate" => self.originate(action).await,
                    _ => Ok(actions::run(&self.world, name, action, &account)),
                }
            }
        }
    }

    fn challenge(&mut self, action: &SeenAction) -> Answer {
        if !action
            .get("AuthType")
            .is_some_and(|kind| kind.eq_ignore_ascii_case("MD5"))
        {
            return error(action, "Must specify AuthType");
        }
        let challenge = self
            .challenge
            .get_or_insert_with(|| format!("{}", 100_000_000 + u64::from(self.link.number) * 7_919))
            .clone();
        Answer::one(response(action, "Success").header("Challenge", challenge))
    }

    async fn login(&mut self, action: &SeenAction) -> io::Result<Answer> {
        let world = Arc::clone(&self.world);
        let user = action.get("Username").unwrap_or_default();
        let account = world
            .config
            .accounts
            .iter()
            .find(|account| account.name == user);
        let right = account.is_some_and(|account| {
            let md5 = action
                .get("AuthType")
                .is_some_and(|kind| kind.eq_ignore_ascii_case("MD5"));
            match (&self.challenge, md5) {
                (Some(challenge), true) => {
                    action.get("Key") == Some(&key(challenge.as_bytes(), &account.secret))
                }
                (None, true) => false,
                (_, false) => action.get("Secret") == Some(&account.secret),
            }
        });
        let in_use = account.is_some_and(|account| {
            account.single
                && world
                    .lock()
                    .clients
                    .values()
                    .any(|c| c.own.user.as_ref() == Some(&account.name))
        });
        let (Some(account), true, false) = (account, right, in_use) else {
            let why = if right {
                "Login Already In Use"
            } else {
                "Authentication failed"
            };
            let event = match (account.is_some(), right) {
                (_, true) => "SessionLimit",
                (true, _) => "InvalidPassword",
                (false, _) => "InvalidAccountID",
            };
            self.security(event, user);
            tokio::select! {
                () = tokio::time::sleep(world.config.timings.login_failure) => {}
                _ = self.link.closing() => {}
            }
            return Ok(Answer {
                close: true,
                ..error(action, why)
            });
        };
        self.account = Some(account.clone());
        let mask = account
            .read
            .and(&Classes::mask(action.get("Events").unwrap_or("on")));
        let mut answer = success(action, "Authentication accepted");
        {
            let mut state = world.lock();
            let uptime = world.now().duration_since(state.started).as_secs();
            if state.booted && mask.has("system") {
                answer.messages.push(
                    start("FullyBooted", "system")
                        .header("Uptime", uptime.to_string())
                        .header("LastReload", uptime.to_string())
                        .header("Status", "Fully Booted"),
                );
            }
            if let Some(client) = state.clients.get_mut(&self.link.number) {
                client.own.mask = mask;
                client.own.user = Some(account.name.clone());
            }
        }
        self.security("SuccessfulAuth", user);
        world.changed.notify_waiters();
        Ok(answer)
    }

    fn security(&self, name: &str, account: &str) {
        let now = self.world.now();
        let time = now.to_string().trim_end_matches('Z').to_owned();
        let good = name == "SuccessfulAuth";
        let mut event = start(name, "security")
            .header("EventTV", format!("{time}+0000"))
            .header("Severity", if good { "Informational" } else { "Error" })
            .header("Service", "AMI")
            .header(
                "EventVersion",
                if name == "InvalidPassword" { "2" } else { "1" },
            )
            .header("AccountID", account)
            .header("SessionID", format!("0x7f{:010x}", self.link.number))
            .header("LocalAddress", "IPV4/TCP/127.0.0.1/5038")
            .header("RemoteAddress", format!("IPV4/TCP/{}", self.peer));
        if good {
            event = event.header("UsingPassword", "0");
        }
        let event = event.header("SessionTV", format!("{time}+0000"));
        self.world.change(|state| state.emit("security", event));
    }

    fn event_mask(&self, action: &SeenAction, account: &Account) -> Answer {
        let Some(mask) = action.get("EventMask").filter(|mask| !mask.is_empty()) else {
            return error(action, "Invalid event mask");
        };
        let mask = Classes::mask(mask);
        let word = if mask.is_empty() { "Off" } else { "On" };
        self.world.change(|state| {
            if let Some(client) = state.clients.get_mut(&self.link.number) {
                client.own.mask = account.read.and(&mask);
            }
        });
        Answer::one(response(action, "Success").header("Events", word))
    }

    async fn originate(&mut self, action: &SeenAction) -> io::Result<Answer> {
        let request = match super::originate::Originate::read(&self.world, action) {
            Ok(request) => request,
            Err(why) => return Ok(error(action, &why)),
        };
        let script = self.world.lock().script_of(&request.channel);
        if let Some(ReplyFault::Refuse(text)) = &script.reply {
            return Ok(error(action, text));
        }
        let fault = script.reply.clone();
        let (answered, wait) = tokio::sync::oneshot::channel();
        let is_async = request.is_async;
        let call = super::call::run(Arc::clone(&self.world), request, script, answered);
        self.world.spawn(call);
        let queued = "Originate successfully queued";
        // A synchronous one silences this connection until it is decided (observed on Asterisk 16.28 and 22.10).
        let mut answer = if is_async || wait.await.unwrap_or(false) {
            success(action, queued)
        } else {
            error(action, "Originate failed")
        };
        answer.fault = fault;
        Ok(answer)
    }
}
