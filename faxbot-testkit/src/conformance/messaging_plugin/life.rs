//! Manifest, configuration, start and stop.

use faxbot_core::{
    ErrorKind,
    plugin::{Manifest, PluginCapability, PluginCondition, PluginDeps},
    task::TaskSet,
    webhook::WebhookRequest,
};
use http::Method;

use super::{Entry, Need, SOON, TEXT, World, entry, error_of, kind_is, names_an_unknown_key};
use crate::conformance::{Failure, Verdict, ensure, within};

pub(super) fn entries() -> Vec<Entry> {
    vec![
        entry!(
            "the manifest names a messaging plugin and loads again",
            [],
            manifest
        ),
        entry!("a good configuration has no problem", [], good_config),
        entry!(
            "every problem of a configuration is reported at once",
            [],
            bad_configs
        ),
        entry!(
            "an unknown key is a problem that names the key",
            [],
            unknown_key
        ),
        entry!(
            "a plugin that does not run is in an invalid state",
            [],
            not_started
        ),
        entry!(
            "a second start is an invalid state and harms nothing",
            [],
            start_twice
        ),
        entry!(
            "a second stop does nothing, and a start after it works",
            [],
            stop_twice
        ),
        entry!("stop leaves no task", [], no_task),
        entry!(
            "what is known of a message outlives a stop",
            [super::STATUS],
            outlives
        ),
        entry!(
            "a message that was taken when the plugin stops is not sent again",
            [Need::Fate(super::MessageFate::Slow)],
            stop_under_way
        ),
        entry!(
            "what the manifest does not name is unsupported",
            [],
            undeclared
        ),
        entry!("health always answers", [], health),
    ]
}

async fn manifest(world: World) -> Verdict {
    let manifest = world.plugin.manifest();
    ensure!(
        manifest.can(&PluginCapability::SEND_MESSAGE),
        "send_message is not in the manifest"
    );
    ensure!(
        manifest.categories.iter().any(|word| word == "messaging"),
        "the categories are {:?}",
        manifest.categories
    );
    for capability in world.env.capabilities() {
        ensure!(
            manifest.can(&capability),
            "{} is not in the manifest",
            capability.as_str()
        );
    }
    let text = serde_json::to_string(manifest)?;
    let again: Manifest = serde_json::from_str(&text)?;
    ensure!(
        serde_json::to_string(&again)? == text,
        "another manifest after loading: {text}"
    );
    Ok(())
}

async fn good_config(world: World) -> Verdict {
    Ok(world.plugin.validate_config(&world.env.good_config())?)
}

async fn bad_configs(world: World) -> Verdict {
    let bad = world.env.bad_configs();
    ensure!(!bad.is_empty(), "the environment has no bad configuration");
    for bad in bad {
        let Err(errors) = world.plugin.validate_config(&bad.config) else {
            return Err(Failure::new(format!(
                "no problem where {:?} are wrong",
                bad.paths
            )));
        };
        for path in &bad.paths {
            let found = errors.iter().any(|error| error.path == *path);
            ensure!(found, "{path} is not reported: {errors:?}");
        }
        let deps = world.setup.deps(PluginDeps::current()?);
        let error = error_of("start", world.plugin.start(bad.config, deps).await)?;
        kind_is("a start with it", &error, &[ErrorKind::Config])?;
        ensure!(
            error.config_errors().is_some(),
            "the error of start does not hold the problems"
        );
    }
    Ok(())
}

async fn unknown_key(world: World) -> Verdict {
    names_an_unknown_key(world.env.good_config(), |config| {
        world.plugin.validate_config(config)
    })
}

async fn not_started(mut world: World) -> Verdict {
    for round in ["before the start", "after the stop"] {
        let to = world.target(world.plain()).await?;
        let sent = world.try_send(&to, world.text(TEXT)).await?;
        kind_is(round, &error_of(round, sent)?, &[ErrorKind::InvalidState])?;
        let can = |capability| world.plugin.manifest().can(&capability);
        if can(PluginCapability::GET_MESSAGE_STATUS) {
            let status = world.plugin.get_message_status("1").await;
            kind_is(round, &error_of(round, status)?, &[ErrorKind::InvalidState])?;
        }
        if can(PluginCapability::LIST_CONVERSATIONS) {
            let list = world.plugin.list_conversations(10).await;
            kind_is(round, &error_of(round, list)?, &[ErrorKind::InvalidState])?;
        }
        if round == "before the start" {
            world.start().await?;
            within("stop", SOON, world.plugin.stop()).await??;
        }
    }
    let asked = world.setup.submissions();
    ensure!(asked == 0, "{asked} messages were sent");
    Ok(())
}

async fn start_twice(mut world: World) -> Verdict {
    world.start().await?;
    let deps = world.setup.deps(PluginDeps::current()?);
    let config = world.setup.config(world.env.good_config());
    let again = world.plugin.start(config, deps).await;
    let error = error_of("a second start", again)?;
    kind_is("a second start", &error, &[ErrorKind::InvalidState])?;
    world.send(world.plain(), TEXT).await.map(drop)
}

async fn stop_twice(mut world: World) -> Verdict {
    within("stop", SOON, world.plugin.stop()).await??;
    world.start().await?;
    within("stop", SOON, world.plugin.stop()).await??;
    within("stop", SOON, world.plugin.stop()).await??;
    world.start().await?;
    world.send(world.plain(), TEXT).await.map(drop)
}

async fn no_task(mut world: World) -> Verdict {
    world.start().await?;
    world.send(world.plain(), TEXT).await?;
    within("stop", SOON, world.plugin.stop()).await??;
    let tasks = world.tasks.as_ref().map_or(0, TaskSet::len);
    ensure!(tasks == 0, "{tasks} tasks are left");
    Ok(())
}

async fn outlives(mut world: World) -> Verdict {
    world.start().await?;
    let (_, sent) = world.send(world.plain(), TEXT).await?;
    within("stop", SOON, world.plugin.stop()).await??;
    world.start().await?;
    world.status(&sent.message_id).await.map(drop)
}

async fn stop_under_way(mut world: World) -> Verdict {
    world.start().await?;
    let to = world.target(super::MessageFate::Slow).await?;
    let plugin = std::sync::Arc::clone(&world.plugin);
    let send = {
        let (plugin, to, content) = (plugin.clone(), to.clone(), world.text(TEXT));
        tokio::spawn(async move { plugin.send_message(to, content).await })
    };
    let begun = || !world.setup.texts_to(&to).is_empty();
    crate::conformance::eventually("the provider was asked", SOON, begun).await?;
    within("stop", 2 * SOON, plugin.stop()).await??;
    let answer = within("the answer", SOON, send).await??;
    if let Err(error) = answer {
        kind_is(
            "a message under way at a stop",
            &error,
            &[ErrorKind::OutcomeUnknown],
        )?;
    }
    world.start().await?;
    tokio::time::sleep(super::QUIET).await;
    let asked = world.setup.texts_to(&to).len();
    ensure!(asked == 1, "it was sent {asked} times");
    Ok(())
}

async fn undeclared(mut world: World) -> Verdict {
    world.start().await?;
    let can = |capability| world.plugin.manifest().can(&capability);
    let unsupported = &[ErrorKind::Unsupported];
    if !can(PluginCapability::GET_MESSAGE_STATUS) {
        let what = "get_message_status";
        let answer = world.plugin.get_message_status("1").await;
        kind_is(what, &error_of(what, answer)?, unsupported)?;
    }
    if !can(PluginCapability::LIST_CONVERSATIONS) {
        let what = "list_conversations";
        let answer = world.plugin.list_conversations(10).await;
        kind_is(what, &error_of(what, answer)?, unsupported)?;
    }
    if !can(PluginCapability::SEND_REPLY) {
        let what = "send_reply";
        let answer = world.plugin.send_reply("1", world.text(TEXT)).await;
        kind_is(what, &error_of(what, answer)?, unsupported)?;
    }
    if !can(PluginCapability::HANDLE_WEBHOOK) {
        let what = "handle_webhook";
        let request = WebhookRequest::new(Method::POST, "/webhooks/x");
        let answer = world.plugin.handle_webhook(request).await;
        kind_is(what, &error_of(what, answer)?, unsupported)?;
    }
    let asked = world.setup.submissions();
    ensure!(asked == 0, "{asked} messages were sent");
    Ok(())
}

async fn health(mut world: World) -> Verdict {
    let health = world.plugin.health_check().await?;
    ensure!(
        health.status == PluginCondition::Unknown,
        "before the start: {health:?}"
    );
    world.start().await?;
    let health = world.plugin.health_check().await?;
    ensure!(
        health.status != PluginCondition::Critical,
        "started and idle: {health:?}"
    );
    within("stop", SOON, world.plugin.stop()).await??;
    world.plugin.health_check().await?;
    Ok(())
}
