//! The API commands (`mod_commands` and others), word for word as the recordings have them
//! (`02_api_commands`, `04_*`, `09_*`).

mod control;
mod core;
mod show;
mod store;
mod uuid;

use std::{future::Future, pin::Pin, sync::Arc};

pub(super) use control::{hold, ring_ready};

use super::{conference, originate, quoting, world::World};

const NO_CHANNEL: &str = "-ERR No such channel!\n";

/// Runs one, and waits for it.
pub(super) fn run<'a>(
    world: &'a Arc<World>,
    name: &'a str,
    args: &'a str,
) -> Pin<Box<dyn Future<Output = String> + Send + 'a>> {
    Box::pin(async move {
        let lower = name.to_ascii_lowercase();
        if let Some(text) = core::run(world, &lower, args).await {
            return text;
        }
        if let Some(text) = store::run(world, &lower, args) {
            return text;
        }
        if let Some(text) = uuid::run(world, &lower, args) {
            return text;
        }
        if let Some(text) = control::run(world, &lower, args).await {
            return text;
        }
        match lower.as_str() {
            "show" => show::run(world, args),
            "originate" => originate::originate(world, args).await,
            "conference" if world.has("mod_conference") => conference::command(world, args).await,
            "chat" if world.has("mod_sms") || world.has("mod_sofia") => {
                world.with(|state| state.chat(args).to_owned())
            }
            _ => format!("-ERR {name} Command not found!\n"),
        }
    })
}

/// The number and the whole dial string of an `originate`, for the script of the call.
pub(super) fn dialled(args: &str) -> Option<(String, String)> {
    let argv = quoting::separate(args, ' ', 10);
    let mut rest = argv.first()?.as_str();
    while let Some((_, after)) = quoting::brackets(rest, '{', '}') {
        rest = after;
    }
    while let Some((_, after)) = quoting::brackets(rest, '[', ']') {
        rest = after;
    }
    let number = rest.rsplit('/').next()?.split('@').next()?;
    let number = match rest.strip_prefix("loopback/") {
        Some(rest) => rest.split('/').next()?,
        None => number,
    };
    Some((number.to_owned(), rest.to_owned()))
}

/// The words of a command; quotes are honoured.
fn words(args: &str, most: usize) -> Vec<String> {
    quoting::separate(args, ' ', most)
}
