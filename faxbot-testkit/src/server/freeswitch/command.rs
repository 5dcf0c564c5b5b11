//! The commands of a connection (`parse_command` in `mod_event_socket.c`; recordings `01_*`,
//! `02_*`, `04_sendmsg`, `07_*`).

use std::sync::Arc;

use faxbot_sip::protocol::esl::{Frame, encoding, server};
use tokio::sync::oneshot;

use super::{
    api, cause,
    channel::{By, Private},
    connection::{Answer, Connection, Rights},
    expand,
    world::{Session, State, World, dump, fresh},
};
use crate::server::{base::Client, script::ReplyFault};

/// Longest `Reply-Text` (recording `02_large_reply_and_limits`).
const LONGEST_REPLY: usize = 511;

const NOT_FOUND: &str = "-ERR command not found";
const DENIED: &str = "-ERR permission denied";

/// The channel that a connection of the application `socket` has.
#[derive(Debug, Clone)]
pub(super) struct Controls {
    pub id: String,
    pub asynchronous: bool,
    pub full: bool,
    pub connected: bool,
    pub linger: Option<i64>,
}

/// A command as it came.
#[derive(Debug, Clone)]
pub(super) struct Command {
    /// In lower case.
    pub word: String,
    /// Nothing stands behind the word, not even a blank.
    pub bare: bool,
    pub args: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Command {
    pub(super) fn read(frame: &Frame) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let line = frame.command().map(text).unwrap_or_default();
        let (word, args) = line.split_once(' ').unwrap_or((&line, ""));
        let headers = frame.headers();
        Self {
            word: word.to_ascii_lowercase(),
            bare: !line.contains(' '),
            args: args.to_owned(),
            headers: headers
                .map(|(name, value)| (text(name), encoding::decode_text(value).into_owned()))
                .collect(),
            body: text(frame.body()),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter();
        let found = all.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    fn is_api(&self) -> bool {
        matches!(self.word.as_str(), "api" | "bgapi")
    }

    /// What it is called in the record: the API command, or the command itself.
    pub(super) fn action(&self) -> &str {
        if self.is_api() && !self.args.is_empty() {
            return self.args.split(' ').next().unwrap_or_default();
        }
        &self.word
    }

    /// What the record has of it. A password is not kept.
    pub(super) fn seen(&self) -> Vec<(String, String)> {
        let args = match self.word.as_str() {
            "auth" | "userauth" => "***",
            _ if self.is_api() => self.args.split_once(' ').map_or("", |(_, args)| args),
            _ => &self.args,
        };
        let mut all = vec![("Command".to_owned(), self.word.clone())];
        if self.is_api() {
            all.push(("Api-Command".to_owned(), self.action().to_owned()));
        }
        all.push(("Argument".to_owned(), args.to_owned()));
        all.extend(self.headers.iter().cloned());
        if !self.body.is_empty() {
            all.push(("Body".to_owned(), self.body.clone()));
        }
        all
    }

    /// The answer to one that is refused by a script.
    pub(super) fn refused(&self, text: &str) -> Answer {
        let text = if text.starts_with('-') {
            text.to_owned()
        } else {
            format!("-ERR {text}")
        };
        match self.word.as_str() {
            "api" => Answer::bytes(server::api_response(format!("{text}\n").as_bytes()).to_vec()),
            _ => Answer::reply(&text),
        }
    }
}

/// Carries out a command.
pub(super) async fn run(on: &mut Connection, command: &Command) -> Answer {
    if let Some(answer) = first_of_outbound(on, command) {
        return answer;
    }
    let word = command.word.as_str();
    if word.starts_with("exit") || word == "..." {
        return goodbye(on, "+OK bye").await;
    }
    if matches!(on.rights, Rights::None) {
        return login(on, command).await;
    }
    let full = on.controls.as_ref().is_none_or(|controls| controls.full);
    match word {
        "sendmsg" => return sendmsg(on, command).await,
        "getvar" if on.controls.is_some() => return getvar(on, command),
        "myevents" => return myevents(on, command),
        "filter" if !command.args.is_empty() => {
            let mut text = String::new();
            subscription(on, |own| text = own.subscription.filter(&command.args));
            return Answer::reply(&text);
        }
        "resume" if on.controls.is_some() => return Answer::reply("+OK"),
        "divert_events" if on.controls.is_some() => return Answer::reply("+OK events diverted"),
        _ if !full => return Answer::reply(NOT_FOUND),
        "api" if !command.bare => return api_call(on, command).await,
        "bgapi" if !command.bare => return background(on, command),
        "event" | "events" => return event(on, command),
        "sendevent" => return sendevent(on, command),
        _ => {}
    }
    let text = match word {
        "nixevent" => {
            let mut text = "";
            subscription(on, |own| text = own.subscription.nix(&command.args));
            text.to_owned()
        }
        "noevents" => {
            let mut text = "";
            subscription(on, |own| text = own.subscription.none());
            text.to_owned()
        }
        "linger" | "nolinger" => linger(on, command),
        "divert_events" => "-ERR not controlling a session.".to_owned(),
        "log" => {
            let text = log(&command.args);
            on.logs |= text.starts_with('+');
            text
        }
        "nolog" if std::mem::take(&mut on.logs) => "+OK no longer logging".to_owned(),
        "nolog" => "-ERR not loging".to_owned(),
        _ => NOT_FOUND.to_owned(),
    };
    Answer::reply(&text)
}

fn log(args: &str) -> String {
    let level = match args.trim() {
        "" | "debug" => "7",
        "info" => "6",
        "notice" => "5",
        "warning" | "warn" => "4",
        "err" | "error" => "3",
        "crit" => "2",
        "alert" => "1",
        "console" => "0",
        number if number.parse::<u8>().is_ok() => number,
        _ => return "-ERR invalid log level".to_owned(),
    };
    format!("+OK log level {} [{level}]", args.trim())
}

fn subscription(on: &Connection, with: impl FnOnce(&mut Session)) {
    on.world.change(|state| {
        let client: Option<&mut Client<Session>> = state.clients.get_mut(&on.link.number);
        if let Some(client) = client {
            with(&mut client.own);
        }
    });
}

/// The notice behind the reply, and the end.
async fn goodbye(on: &Connection, text: &str) -> Answer {
    let notice = match &on.controls {
        None => server::goodbye(),
        Some(controls) => last_notice(&controls.id),
    };
    Answer {
        close: true,
        ..Answer::bytes([server::reply(text, &[]), notice].concat())
    }
}

/// The last notice of an outbound connection (recording `07_outbound_async_full_linger`).
pub(super) fn last_notice(id: &str) -> bytes::Bytes {
    let text = String::from_utf8_lossy(&server::goodbye()).into_owned();
    let head = format!(
        "Content-Type: text/disconnect-notice\nControlled-Session-UUID: {id}\n\
         Content-Disposition: disconnect\n"
    );
    text.replacen("Content-Type: text/disconnect-notice\n", &head, 1)
        .into()
}

async fn login(on: &mut Connection, command: &Command) -> Answer {
    let world = Arc::clone(&on.world);
    let setup = &world.setup;
    let accepted = match command.word.as_str() {
        "auth" if !command.args.is_empty() => {
            (command.args == setup.password).then_some((Rights::All, Vec::new()))
        }
        "userauth" if !command.args.is_empty() => {
            let args = &command.args;
            let found = setup.users.iter().find(|user| {
                let (name, domain) = user.name.split_once('@').unwrap_or((&user.name, ""));
                let password = &user.password;
                *args == format!("{name}@{domain}:{password}")
                    || *args == format!("{name}:{password}@{domain}")
                    || (domain.is_empty() && *args == format!("{name}:{password}"))
            });
            found.map(|user| {
                let rights = Rights::Some {
                    events: user.events.clone(),
                    api: user.api.clone(),
                };
                let allowed = vec![
                    ("Allowed-Events", user.events.clone()),
                    ("Allowed-API", user.api.clone()),
                    ("Allowed-LOG", "false".to_owned()),
                ];
                (rights, allowed)
            })
        }
        _ => return Answer::reply(NOT_FOUND),
    };
    let Some((rights, allowed)) = accepted else {
        tokio::time::sleep(world.timings.login_failure).await;
        return Answer {
            close: true,
            ..Answer::bytes([server::reply("-ERR invalid", &[]), server::goodbye()].concat())
        };
    };
    on.rights = rights;
    world.changed.notify_waiters();
    let allowed: Vec<(&str, &str)> = allowed.iter().map(|(n, v)| (*n, v.as_str())).collect();
    Answer::bytes(server::reply("+OK accepted", &allowed).to_vec())
}

fn allowed(list: &str, word: &str) -> bool {
    list.split(' ')
        .any(|known| known == "all" || known.eq_ignore_ascii_case(word))
}

fn may(on: &Connection, name: &str) -> bool {
    match &on.rights {
        Rights::All => true,
        Rights::None => false,
        Rights::Some { api, .. } => allowed(api, name),
    }
}

fn split_api(args: &str) -> (&str, &str) {
    args.split_once(' ').unwrap_or((args, ""))
}

async fn api_call(on: &mut Connection, command: &Command) -> Answer {
    let (name, args) = split_api(&command.args);
    if !may(on, name) {
        return Answer::reply(DENIED);
    }
    let world = Arc::clone(&on.world);
    let fault = script_fault(&world, name, args);
    if let Some(ReplyFault::Refuse(text)) = &fault {
        return command.refused(text);
    }
    let text = api::run(&world, name, args).await;
    world.with(|state| api_event(state, name, args));
    Answer {
        fault,
        ..Answer::bytes(server::api_response(text.as_bytes()).to_vec())
    }
}

fn api_event(state: &mut State, name: &str, args: &str) {
    let headers = [("API-Command", name), ("API-Command-Argument", args)];
    let count = if args.is_empty() { 1 } else { 2 };
    let headers = headers.get(..count).unwrap_or_default();
    state.plain_event("API", headers, None);
}

/// What the script of the call says of the reply to its `originate`.
fn script_fault(world: &World, name: &str, args: &str) -> Option<ReplyFault> {
    if !name.eq_ignore_ascii_case("originate") {
        return None;
    }
    let (number, whole) = api::dialled(args)?;
    let mut state = world.lock();
    // A look that takes no script away, unless there will be no call.
    let script = match state.next_calls.front().cloned() {
        Some(script) => {
            if matches!(script.reply, Some(ReplyFault::Refuse(_))) {
                state.next_calls.pop_front();
            }
            script
        }
        None => state.script_for(&number, &whole),
    };
    script.reply
}

fn background(on: &Connection, command: &Command) -> Answer {
    let (name, args) = split_api(&command.args);
    if !may(on, name) {
        return Answer::reply(DENIED);
    }
    let job = command.get("Job-UUID").filter(|text| !text.is_empty());
    let job = job.map_or_else(fresh, str::to_owned);
    let world = Arc::clone(&on.world);
    let fault = script_fault(&world, name, args);
    let reply = server::reply(&format!("+OK Job-UUID: {job}"), &[("Job-UUID", &job)]);
    let (name, args) = (name.to_owned(), args.to_owned());
    let refused = match &fault {
        Some(ReplyFault::Refuse(text)) => Some(text.clone()),
        _ => None,
    };
    let run = Arc::clone(&world);
    world.spawn(async move {
        let text = match refused {
            Some(text) if text.starts_with('-') => format!("{text}\n"),
            Some(text) => format!("-ERR {text}\n"),
            None => api::run(&run, &name, &args).await,
        };
        run.with(|state| {
            api_event(state, &name, &args);
            let mut headers = vec![("Job-UUID", job.as_str()), ("Job-Command", name.as_str())];
            if !args.is_empty() {
                headers.push(("Job-Command-Arg", args.as_str()));
            }
            state.plain_event("BACKGROUND_JOB", &headers, Some(&text));
        });
    });
    let fault = fault.filter(|fault| !matches!(fault, ReplyFault::Refuse(_)));
    Answer {
        fault,
        ..Answer::bytes(reply.to_vec())
    }
}

fn event(on: &Connection, command: &Command) -> Answer {
    if let Rights::Some { events, .. } = &on.rights {
        let mut words = command.args.split(' ').filter(|word| !word.is_empty());
        let known =
            words.all(|word| matches!(word, "plain" | "json" | "xml") || allowed(events, word));
        if !known {
            return Answer::reply(DENIED);
        }
    }
    let mut text = String::new();
    subscription(on, |own| text = own.subscription.event(&command.args));
    Answer::reply(&text)
}

fn myevents(on: &Connection, command: &Command) -> Answer {
    let (id, args) = match &on.controls {
        Some(controls) => (controls.id.clone(), command.args.as_str()),
        None if command.args.is_empty() => return Answer::reply(NOT_FOUND),
        None => {
            let (id, args) = split_api(&command.args);
            (id.to_owned(), args)
        }
    };
    let mut text = "";
    subscription(on, |own| text = own.subscription.only(&id, args));
    Answer::reply(text)
}

fn sendevent(on: &Connection, command: &Command) -> Answer {
    let id = fresh();
    let name = command.args.trim().to_ascii_uppercase();
    on.world.with(|state| {
        let subclass = command.get("Event-Subclass").unwrap_or_default().to_owned();
        state.sequence += 1;
        let mut event = super::event::Event::default();
        if !subclass.is_empty() {
            event.push("Event-Subclass", &subclass);
        }
        event.push("Command", format!("sendevent {}", command.args));
        for (header, value) in &command.headers {
            if !value.is_empty() && header != "Event-Subclass" {
                event.push(header, value);
            }
        }
        event.push("Event-UUID", &id);
        event.push("Event-Name", if name.is_empty() { "CLONE" } else { &name });
        state.about(&mut event, super::event::origin("", ""));
        if !command.body.is_empty() {
            event = event.body(&command.body);
        }
        state.emit(&event);
        if name == "SEND_MESSAGE" || subclass == "SMS::SEND_MESSAGE" {
            state.message_event(command, &event);
        }
    });
    Answer::reply(&format!("+OK {id}"))
}

fn linger(on: &mut Connection, command: &Command) -> String {
    let Some(controls) = on.controls.as_mut() else {
        return "-ERR not controlling a session".to_owned();
    };
    if command.word == "nolinger" {
        controls.linger = None;
        return "+OK no longer lingering".to_owned();
    }
    let seconds: i64 = command.args.trim().parse().unwrap_or(-1);
    controls.linger = Some(seconds);
    if seconds > 0 {
        format!("+OK will linger {seconds} seconds")
    } else {
        "+OK will linger".to_owned()
    }
}

fn getvar(on: &Connection, command: &Command) -> Answer {
    let Some(controls) = &on.controls else {
        return Answer::reply(NOT_FOUND);
    };
    let value = expand::value(&on.world.lock(), &controls.id, command.args.trim());
    let mut value = value.unwrap_or_else(|| NOT_FOUND.to_owned());
    while value.len() > LONGEST_REPLY {
        value.pop();
    }
    Answer::reply(&value)
}

/// The first command of a connection that the mock opened: `connect` is answered with the channel,
/// another one is obeyed and not answered (recording `07_outbound_no_connect_first_command_other`).
fn first_of_outbound(on: &mut Connection, command: &Command) -> Option<Answer> {
    let controls = on.controls.as_mut()?;
    if controls.connected {
        return None;
    }
    controls.connected = true;
    if command.word != "connect" {
        if command.word == "myevents" {
            myevents(on, command);
        }
        return Some(Answer::bytes(Vec::new()));
    }
    let controls = controls.clone();
    let dumped = on.world.with(|state| dump(state, &controls.id))?;
    let mut out = String::new();
    for (name, value) in &dumped.headers {
        out.push_str(&format!("{name}: {}\n", super::event::encoded(value)));
    }
    out.push_str("Content-Type: command/reply\nReply-Text: %2BOK%0A\n");
    let mode = if controls.asynchronous {
        "async"
    } else {
        "static"
    };
    let control = if controls.full {
        "full"
    } else {
        "single-channel"
    };
    out.push_str(&format!("Socket-Mode: {mode}\nControl: {control}\n\n"));
    Some(Answer::bytes(out.into_bytes()))
}

async fn sendmsg(on: &mut Connection, command: &Command) -> Answer {
    let named = Some(command.args.trim()).filter(|id| !id.is_empty());
    let named = named.or_else(|| command.get("session-id"));
    let own = on.controls.as_ref().map(|controls| controls.id.as_str());
    let id = named.or(own).unwrap_or_default().to_owned();
    let world = Arc::clone(&on.world);
    if world.lock().live(&id).is_none() {
        return Answer::reply(&format!("-ERR invalid session id [{id}]"));
    }
    match command.get("call-command").unwrap_or_default() {
        "execute" => {
            let wait = execute(&world, &id, command);
            let waits = on.controls.as_ref().is_some_and(|c| !c.asynchronous);
            if let (true, Some(done)) = (waits, wait) {
                let _gone = done.await;
            }
        }
        "hangup" => {
            let cause = cause::named(command.get("hangup-cause").unwrap_or_default());
            world.with(|state| state.hang_up(&id, cause, By::Here));
        }
        "nomedia" | "unicast" | "xferext" => {}
        _ => {}
    }
    Answer::reply("+OK")
}

/// Puts an application into the queue of a channel.
fn execute(world: &World, id: &str, command: &Command) -> Option<oneshot::Receiver<()>> {
    let body = Some(command.body.as_str()).filter(|body| !body.is_empty());
    let args = command.get("execute-app-arg").or(body).unwrap_or_default();
    let (done, wait) = oneshot::channel();
    let loops = command.get("loops").and_then(|text| text.parse().ok());
    let private = Private {
        name: command.get("execute-app-name")?.to_owned(),
        args: args.to_owned(),
        loops: loops.unwrap_or(1),
        event_uuid: command.get("Event-UUID").map(str::to_owned),
        done: Some(done),
    };
    world.with(|state| state.queue(id, private));
    Some(wait)
}
