//! Manifest, configuration, start and stop.

use faxbot_core::{
    ErrorKind,
    fax::JobStatus,
    id::JobId,
    plugin::{
        CancelOutcome, InboundQuery, Manifest, PluginCapability, PluginCondition, PluginDeps,
        SendOptions,
    },
    webhook::WebhookRequest,
};
use http::Method;

use super::{Entry, FaxFate, SOON, World, entry, error_of, kind_is, names_an_unknown_key};
use crate::conformance::{Failure, Verdict, ensure, within};

pub(super) fn entries() -> Vec<Entry> {
    vec![
        entry!(
            "the manifest names a fax plugin and loads again",
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
            [Arrives],
            start_twice
        ),
        entry!(
            "a second stop does nothing, and a start after it works",
            [Arrives],
            stop_twice
        ),
        entry!("stop leaves no task", [Endless], no_task),
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
    for (capability, what) in [
        (PluginCapability::SEND_FAX, "send_fax"),
        (PluginCapability::GET_STATUS, "get_status"),
    ] {
        ensure!(manifest.can(&capability), "{what} is not in the manifest");
    }
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
        let to = world.target(FaxFate::Arrives).await?;
        let sent = world
            .plugin
            .send_fax(to, world.setup.document(1)?, SendOptions::new())
            .await;
        kind_is(round, &error_of(round, sent)?, &[ErrorKind::InvalidState])?;
        let job = JobId::new();
        kind_is(
            round,
            &error_of(round, world.plugin.get_status(&job).await)?,
            &[ErrorKind::InvalidState],
        )?;
        if round == "before the start" {
            world.start().await?;
            within("stop", SOON, world.plugin.stop()).await??;
        }
    }
    let asked = world.setup.submissions();
    ensure!(asked == 0, "{asked} faxes were sent");
    Ok(())
}

async fn start_twice(mut world: World) -> Verdict {
    world.start().await?;
    let again = world.start().await;
    ensure!(again.is_err(), "a second start succeeded");
    let deps = world.setup.deps(PluginDeps::current()?);
    let config = world.setup.config(world.env.good_config());
    let again = world.plugin.start(config, deps).await;
    let error = error_of("a second start", again)?;
    kind_is("a second start", &error, &[ErrorKind::InvalidState])?;
    let sent = world.send(FaxFate::Arrives, 1).await?;
    world
        .until(&sent.job_id, &[JobStatus::Success])
        .await
        .map(drop)
}

async fn stop_twice(mut world: World) -> Verdict {
    within("stop", SOON, world.plugin.stop()).await??;
    world.start().await?;
    within("stop", SOON, world.plugin.stop()).await??;
    within("stop", SOON, world.plugin.stop()).await??;
    world.start().await?;
    let sent = world.send(FaxFate::Arrives, 1).await?;
    world
        .until(&sent.job_id, &[JobStatus::Success])
        .await
        .map(drop)
}

async fn no_task(mut world: World) -> Verdict {
    world.start().await?;
    world.send(FaxFate::Endless, 1).await?;
    within("stop", SOON, world.plugin.stop()).await??;
    let tasks = world
        .tasks
        .as_ref()
        .map_or(0, faxbot_core::task::TaskSet::len);
    ensure!(tasks == 0, "{tasks} tasks are left");
    Ok(())
}

async fn undeclared(mut world: World) -> Verdict {
    world.start().await?;
    let can = |capability| world.plugin.manifest().can(&capability);
    if !can(PluginCapability::LIST_INBOUND) {
        let error = error_of(
            "list_inbound",
            world.plugin.list_inbound(InboundQuery::default()).await,
        )?;
        kind_is("list_inbound", &error, &[ErrorKind::Unsupported])?;
    }
    if !can(PluginCapability::GET_INBOUND) {
        let error = error_of("get_inbound", world.plugin.get_inbound("1").await)?;
        kind_is("get_inbound", &error, &[ErrorKind::Unsupported])?;
    }
    if !can(PluginCapability::HANDLE_WEBHOOK) {
        let request = WebhookRequest::new(Method::POST, "/webhooks/x");
        let answer = world.plugin.handle_webhook(request).await;
        let error = error_of("handle_webhook", answer)?;
        kind_is("handle_webhook", &error, &[ErrorKind::Unsupported])?;
    }
    if !can(PluginCapability::CANCEL_FAX) {
        let outcome = world.plugin.cancel_fax(&JobId::new()).await?;
        ensure!(outcome == CancelOutcome::Unsupported, "{outcome:?}");
    }
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
