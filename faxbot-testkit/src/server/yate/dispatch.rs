//! How a message goes through its handlers: modules of the engine and clients by their priority,
//! then copies for those who watch.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use faxbot_sip::protocol::yate::server;
use tokio::sync::oneshot;

use super::{
    connection::Waiting,
    handlers, modules,
    msg::Msg,
    world::{Config, State, World},
};

/// What a client answered to a request.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub processed: bool,
    /// `None` leaves it.
    pub name: Option<String>,
    pub retval: Option<String>,
    /// A name without a value takes the parameter away.
    pub params: Vec<(String, Option<String>)>,
}

#[derive(Debug)]
enum Handler {
    Module(&'static str),
    Client(u32),
}

impl State {
    /// Whether a client watches or handles messages of that name.
    pub(super) fn is_wanted(&self, name: &str) -> bool {
        self.clients.values().any(|client| {
            let own = &client.own;
            own.watches(name) || own.installs.iter().any(|it| it.name == name)
        })
    }

    /// Sends the copies for those who watch.
    pub(super) fn tell(&mut self, msg: &Msg, processed: bool) {
        let to: Vec<u32> = self
            .clients
            .iter()
            .filter(|(number, client)| {
                let own = msg.owner == Some(**number) && !client.own.selfwatch;
                client.own.watches(&msg.name) && !own
            })
            .map(|(number, _)| *number)
            .collect();
        if to.is_empty() {
            return;
        }
        let line = server::watched(processed, &msg.name, &msg.retval, &msg.pairs());
        self.record.server(line.clone(), None);
        for number in to {
            if let Some(client) = self.clients.get(&number) {
                let _gone = client.events.send(line.clone());
            }
        }
    }

    /// Tells of a queued message that nobody has to be asked about.
    fn tell_event(&mut self, config: &Config, mut msg: Msg) {
        let mut processed = false;
        for (module, priority) in handlers::of(&msg.name) {
            if !config.has(module) {
                continue;
            }
            msg.track(module, *priority);
            processed = modules::takes_event(self, module, &mut msg);
            if processed {
                break;
            }
        }
        self.tell(&msg, processed);
    }

    /// Tells all that is queued.
    pub(super) fn tell_queued(&mut self, config: &Config) {
        while let Some(msg) = self.next_queued() {
            self.tell_event(config, msg);
        }
    }

    fn handlers(&self, config: &Config, msg: &Msg) -> Vec<Handler> {
        let mut all: Vec<(u32, Handler)> = handlers::of(&msg.name)
            .iter()
            .filter(|(module, _)| config.has(module))
            .map(|(module, priority)| (*priority, Handler::Module(module)))
            .collect();
        for (number, client) in &self.clients {
            for install in &client.own.installs {
                let filter = install.filter.as_ref();
                let passes = filter.is_none_or(|(name, value)| {
                    msg.get(name).unwrap_or_default() == value.as_str()
                });
                if install.name == msg.name && passes {
                    all.push((install.priority, Handler::Client(*number)));
                }
            }
        }
        // The sort is stable: of one priority the modules of the engine are asked first.
        all.sort_by_key(|(priority, _)| *priority);
        all.into_iter().map(|(_, handler)| handler).collect()
    }

    fn priority(&self, name: &str, module: &str) -> u32 {
        let all = handlers::of(name).iter();
        let mut found = all.filter(|(known, _)| *known == module);
        found.next().map_or(100, |(_, priority)| *priority)
    }
}

impl Config {
    /// Whether a module is loaded.
    fn has(&self, module: &str) -> bool {
        self.fax || !matches!(module, "fax" | "tonedetect")
    }
}

impl World {
    /// Changes the state, then dispatches what the engine has queued by it.
    pub(super) fn act<T>(self: &Arc<Self>, with: impl FnOnce(&mut State) -> T) -> T {
        let result = with(&mut self.lock());
        self.flush();
        result
    }

    /// Dispatches what is queued.
    pub(super) fn flush(self: &Arc<Self>) {
        let mut asked = Vec::new();
        self.change(|state| {
            while let Some(msg) = state.next_queued() {
                let installed = state
                    .handlers(&self.config, &msg)
                    .iter()
                    .any(|handler| matches!(handler, Handler::Client(_)));
                if installed {
                    asked.push(msg);
                } else {
                    state.tell_event(&self.config, msg);
                }
            }
        });
        for mut msg in asked {
            // Another worker of the engine takes the next messages meanwhile.
            let world = Arc::clone(self);
            self.spawn(async move {
                dispatch(&world, &mut msg).await;
                world.flush();
            });
        }
    }
}

/// Sends a message through its handlers, and tells who watches. Whether one took it.
pub(super) fn dispatch<'a>(
    world: &'a Arc<World>,
    msg: &'a mut Msg,
) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
    Box::pin(async move {
        let processed = through(world, msg).await;
        world.change(|state| state.tell(msg, processed));
        processed
    })
}

async fn through(world: &Arc<World>, msg: &mut Msg) -> bool {
    // A masquerade gives the message another name, whose handlers come then.
    for _ in 0..4 {
        let name = msg.name.clone();
        let handlers = world.lock().handlers(&world.config, msg);
        for handler in handlers {
            let processed = match handler {
                Handler::Module(module) => {
                    let priority = world.lock().priority(&name, module);
                    let generates = name != "xsip.generate" || world.config.generate;
                    if generates {
                        msg.track(module, priority);
                    }
                    modules::handle(world, module, msg).await
                }
                Handler::Client(number) => ask(world, number, msg).await,
            };
            if processed {
                return true;
            }
            if msg.name != name {
                break;
            }
        }
        if msg.name == name {
            return false;
        }
    }
    false
}

/// Asks a client to handle a message, and waits for the answer as long as it may take.
async fn ask(world: &Arc<World>, number: u32, msg: &mut Msg) -> bool {
    world.flush();
    let now = world.now();
    let waits = world.change(|state| {
        state.requests += 1;
        let id = format!("0x7f08333dab00.{}", 910_413_445 + state.requests * 7919);
        let client = state.clients.get_mut(&number)?;
        let own = &mut client.own;
        let reentrant = msg.owner == Some(number) && !own.reenter;
        if reentrant || own.waiting.len() >= own.max_queue {
            return None;
        }
        let time = u64::try_from(now.as_second()).unwrap_or_default();
        let line = server::request(&id, time, &msg.name, &msg.retval, &msg.pairs());
        let (answer, waits) = oneshot::channel();
        let name = msg.name.clone();
        own.waiting.insert(id.clone(), Waiting { name, answer });
        let timeout = own.timeout;
        let _gone = client.events.send(line.clone());
        state.record.server(line, Some(number));
        Some((id, waits, timeout))
    });
    let Some((id, waits, timeout)) = waits else {
        return false;
    };
    let answer = match u64::try_from(timeout) {
        Ok(ms) if ms > 0 => tokio::time::timeout(Duration::from_millis(ms), waits).await,
        // 0 and less wait for ever.
        _ => Ok(waits.await),
    };
    let Ok(Ok(answer)) = answer else {
        world.change(|state| {
            if let Some(client) = state.clients.get_mut(&number) {
                client.own.waiting.remove(&id);
            }
        });
        return false;
    };
    if let Some(name) = answer.name {
        msg.name = name;
    }
    if let Some(retval) = answer.retval {
        msg.retval = retval;
    }
    for (name, value) in answer.params {
        match value {
            Some(value) => msg.set(&name, value),
            None => msg.clear(&name),
        }
    }
    answer.processed
}
