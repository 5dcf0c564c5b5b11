//! The worker of one adapter: it sets connections up, asks about calls that say nothing, and hangs up
//! what was not there yet.

use std::sync::Arc;

use faxbot_core::{Error, ErrorKind, Result, id::CallId, task::TaskSet};
use tracing::Instrument as _;

use super::{
    abilities::Abilities,
    control::{answer::once_answered, party::hang_up_left, rooms},
    core::{Core, HANGUP},
    incoming::decide,
    message::{self, Means},
    server::{Channel, Server},
    state::Task,
};
use crate::{
    adapter::{
        books::Todo,
        hub::{Turn, call_span},
        spool,
    },
    driver::{Handle, Setup},
    protocol::yate::YateSession,
};

const CONNECT: &str = "connect";

/// Serves the books as long as the adapter runs.
pub(super) async fn work(core: Arc<Core>, handle: Handle<YateSession>) {
    let server = Server::new(handle, core.config.request_timeout);
    // What begins with answers takes as long as people take. It ends with the worker.
    let Ok(begun) = TaskSet::current(CONNECT) else {
        return;
    };
    loop {
        match core.hub.turn() {
            Turn::SetUp(setup) => set_up(&core, setup).await,
            Turn::Do(Task::Books(Todo::Answered(id))) => {
                let begin = once_answered(Arc::clone(&core), server.clone(), id);
                begun.spawn_until_stopped(begin.instrument(call_span(core.hub.name, Some(id))));
            }
            Turn::Do(Task::Books(todo)) => carry_out(&core, &server, todo).await,
            Turn::Do(Task::Left) => hang_up_left(&core, &server).await,
            Turn::Rest(until) => core.hub.rest(until).await,
        }
    }
}

async fn carry_out(core: &Core, server: &Server, todo: Todo) {
    match todo {
        Todo::Settle(id) => {
            let span = call_span(core.hub.name, Some(id));
            finish(core, id).instrument(span).await;
        }
        Todo::Check(id) => check(core, server, id).await,
        Todo::HangUp(id) => {
            let Some(channel) = core.hub.state().books.own_channel(id) else {
                return;
            };
            let done = server.hang_up(&channel, HANGUP).await;
            core.hub.note(|state, now| match done {
                Ok(()) => state.books.hung_up(id),
                // What fails is tried again when the channel is seen again.
                Err(_) => state.books.unsure(id, now),
            });
        }
        Todo::Reloaded => {
            if let Err(error) = learn(core, server).await {
                tracing::debug!(%error, "yate: what it can do now was not told");
            }
        }
        Todo::Announce(id) => decide::announce(core, id),
        Todo::Overdue(id) => decide::overdue(core, server, id).await,
        Todo::Refuse => decide::refuse(core, server).await,
        // Begun by the worker itself.
        Todo::Answered(_) => {}
    }
}

/// One list answers for all calls that wait for one.
async fn check(core: &Core, server: &Server, id: CallId) {
    let mut asked = vec![id];
    core.hub.state().work.retain(|todo| match todo {
        Task::Books(Todo::Check(other)) => {
            asked.push(*other);
            false
        }
        _ => true,
    });
    // A check that fails is due again by itself.
    if let Ok(list) = channels(core, server, "lookup").await {
        core.hub
            .events(|state, now| state.books.in_list(&list, &asked, now));
    }
}

/// Ends a call by what events told. Yate keeps nothing of a call that is over.
async fn finish(core: &Core, id: CallId) {
    // The pages first: whoever hears the outcome may rely on their being gone.
    let is_fax = core.hub.state().books.is_fax(id);
    if is_fax {
        spool::clear(core.spool.as_ref(), id).await;
    }
    core.hub.events(|state, now| {
        state.books.paths.retain(|_, call| *call != id);
        state.books.over(id, now);
        state.books.notices.over(id);
        state.books.finish(id, None, now)
    });
}

/// Everything that makes a connection "connected": which run of the engine this is, what it can do, the
/// calls that ended meanwhile, leftovers.
async fn set_up(core: &Core, setup: Setup<YateSession>) {
    // What the engine asks is answered from now on: it waits.
    core.asked.answers_by(setup.handle().clone());
    let server = Server::new(setup.handle().clone(), core.config.request_timeout);
    match prepare(core, &server).await {
        Ok(()) => {
            core.hub.connected(setup);
        }
        Err(error) => {
            tracing::warn!(%error, "yate: the connection could not be set up");
            setup.fail(error);
        }
    }
}

async fn prepare(core: &Core, server: &Server) -> Result<()> {
    learn(core, server).await?;
    let ours = core.hub.state().books.live();
    let list = channels(core, server, CONNECT).await?;
    core.hub
        .events(|state, now| state.books.in_list(&list, &ours, now));
    rooms::refresh(core, server, CONNECT).await?;
    hang_up_left(core, server).await;
    // Pages of a fax whose process is gone: nobody follows it, but Yate may still send it.
    if list.iter().all(|it| !it.leg.native.starts_with("fax/")) {
        let keep = core.hub.state().books.live().into_iter().collect();
        spool::tidy(&core.hub, core.spool.as_ref(), keep).await;
    }
    Ok(())
}

/// The channels that are up, and who calls where one waits for us that we do not know. A route may have
/// led a call to any driver: those of our calls are asked too, or they would look as if they were over.
pub(super) async fn channels(
    core: &Core,
    server: &Server,
    operation: &'static str,
) -> Result<Vec<Channel>> {
    let more = core.hub.state().books.more_modules();
    let mut list = server.channels(operation).await?;
    for module in more {
        list.extend(server.items(&module, operation).await?);
    }
    let strangers = core.hub.state().books.has_strangers(&list);
    if strangers {
        server.parties(&mut list, operation).await?;
    }
    Ok(list)
}

/// Finds out what the server can do for us.
async fn learn(core: &Core, server: &Server) -> Result<()> {
    let modules = server.modules(CONNECT).await?;
    let has = |name: &str| {
        modules
            .as_ref()
            .is_none_or(|modules| modules.iter().any(|module| module == name))
    };
    // Without it no call has an end of ours.
    if !has("dumbchan") {
        let message = "yate has no module dumbchan, which calls begin from; load it in yate.conf";
        return Err(Error::new(ErrorKind::Config, CONNECT, message));
    }
    let messages = has("ysipchan");
    let means = if messages {
        message::means(server, CONNECT).await?
    } else {
        Means::Execute
    };
    core.learn(Abilities {
        fax: has("faxchan"),
        messages,
        means,
        cdr: has("cdrbuild"),
        control: has("pbx"),
        music: has(core.config.music_module()),
        rooms: has("conference"),
        files: has("wavefile"),
    });
    Ok(())
}
