//! Webhooks: what proves nothing has no effect, what comes twice has one, and no order moves a job
//! back.

use std::sync::Arc;

use faxbot_core::{
    event::EventStream,
    fax::JobStatus,
    id::JobId,
    plugin::{InboundFax, PluginCapability, PluginEvent},
    webhook::{WebhookReply, WebhookRequest},
};

use super::{Entry, FaxFate, FaxWebhooks, Need, QUIET, SOON, World, entry, inbound::bytes};
use crate::conformance::{
    Failure, Verdict, ensure,
    webhook::{answered, garbage, is_taken, orders},
    within,
};

const WEBHOOKS: Need = Need::Webhooks;

pub(super) fn entries() -> Vec<Entry> {
    vec![
        entry!(
            "a request that is not the vendor's is refused and has no effect",
            [; WEBHOOKS],
            tampered
        ),
        entry!(
            "the callbacks of a fax lead to its end",
            [Arrives; WEBHOOKS],
            to_the_end
        ),
        entry!(
            "a callback that comes twice has one effect",
            [Arrives; WEBHOOKS],
            twice
        ),
        entry!(
            "callbacks in any order end alike and never go back",
            [Arrives; WEBHOOKS],
            any_order
        ),
        entry!(
            "a fax that is called back twice comes in once, stored before it is told",
            [; WEBHOOKS],
            received_twice
        ),
        entry!(
            "a fax that is called back many times at once comes in once",
            [; WEBHOOKS],
            received_at_once
        ),
        entry!(
            "what nobody signed is believed only when the vendor says it too",
            [Endless; WEBHOOKS, Need::Unsigned],
            forged
        ),
        entry!(
            "a callback of no meaning harms nothing",
            [; WEBHOOKS],
            no_meaning
        ),
    ]
}

impl World {
    fn webhooks(&self) -> Result<Arc<dyn FaxWebhooks>, Failure> {
        let webhooks = self.setup.webhooks();
        webhooks.ok_or_else(|| Failure::new("the environment makes no webhooks"))
    }

    async fn deliver(&self, what: &str, request: &WebhookRequest) -> Result<WebhookReply, Failure> {
        let webhooks = self.webhooks()?;
        let deliver = webhooks.deliver(&*self.plugin, request.clone());
        answered(what, within(what, SOON, deliver).await?)
    }

    /// A fax that the plugin sent and that is at its end at the vendor, with its callbacks.
    async fn called_back(&self) -> Result<(JobId, Vec<WebhookRequest>), Failure> {
        let webhooks = self.webhooks()?;
        let sent = self.send(FaxFate::Arrives, 1).await?;
        let requests = webhooks.statuses(&sent.job_id).await?;
        ensure!(!requests.is_empty(), "the vendor calls back nothing");
        Ok((sent.job_id, requests))
    }

    /// The faxes that were told to have come in; each must be stored with its pages.
    async fn came_in(
        &self,
        events: &mut EventStream<PluginEvent>,
    ) -> Result<Vec<InboundFax>, Failure> {
        tokio::time::sleep(QUIET).await;
        let mut told = Vec::new();
        while let Some(item) = events.try_recv() {
            if let PluginEvent::FaxReceived(fax) = item?.event {
                told.push(fax);
            }
        }
        let backend = self.plugin.manifest().id.as_str();
        for fax in &told {
            let Some((_, file)) = self.inbound.fax(backend, &fax.id).await? else {
                return Err(Failure::new("a fax is told and not stored"));
            };
            ensure!(!file.bytes.is_empty(), "a fax is stored without its pages");
        }
        Ok(told)
    }

    /// A failure unless exactly this fax came in.
    async fn one_came_in(&self, events: &mut EventStream<PluginEvent>, id: &str) -> Verdict {
        let told = self.came_in(events).await?;
        ensure!(told.len() == 1, "{} faxes of 1 are told", told.len());
        let same = told.iter().all(|fax| fax.id == id);
        ensure!(same, "another fax: {told:?} and not {id}");
        if self.plugin.manifest().can(&PluginCapability::GET_INBOUND) {
            let length = bytes(&self.get(id).await?)?;
            ensure!(length > 0, "its document is empty");
        }
        Ok(())
    }
}

async fn tampered(mut world: World) -> Verdict {
    world.start().await?;
    let mut events = world.subscribe()?;
    let webhooks = world.webhooks()?;
    let (id, request) = webhooks.received(1).await?;
    let tampered = webhooks.tampered(&request);
    ensure!(!tampered.is_empty(), "the environment tampers with nothing");
    for tampered in tampered {
        let reply = world.deliver(&tampered.what, &tampered.request).await?;
        ensure!(
            reply.status.as_u16() == tampered.status,
            "{}: {} and not {}",
            tampered.what,
            reply.status,
            tampered.status
        );
    }
    let told = world.came_in(&mut events).await?.len();
    ensure!(told == 0, "{told} faxes came in");
    // And it was not held against the real one.
    let reply = world.deliver("the genuine request", &request).await?;
    is_taken("the genuine request", &reply)?;
    world.one_came_in(&mut events, &id).await
}

async fn to_the_end(mut world: World) -> Verdict {
    world.start().await?;
    let (job, requests) = world.called_back().await?;
    for request in &requests {
        is_taken("a callback", &world.deliver("a callback", request).await?)?;
    }
    world.until(&job, &[JobStatus::Success]).await.map(drop)
}

async fn twice(mut world: World) -> Verdict {
    world.start().await?;
    let mut events = world.subscribe()?;
    let (job, requests) = world.called_back().await?;
    for request in &requests {
        for what in ["a callback", "the same callback"] {
            is_taken(what, &world.deliver(what, request).await?)?;
        }
    }
    world.until(&job, &[JobStatus::Success]).await?;
    tokio::time::sleep(QUIET).await;
    let mut told = 0;
    while let Some(item) = events.try_recv() {
        if let PluginEvent::JobStatusChanged { job_id, status, .. } = item?.event {
            ensure!(job_id == job, "an event of another job");
            told += usize::from(status == JobStatus::Success);
        }
    }
    ensure!(told == 1, "the success is told {told} times");
    Ok(())
}

async fn any_order(mut world: World) -> Verdict {
    world.start().await?;
    let (_, requests) = world.called_back().await?;
    for order in orders(requests.len()) {
        let (job, requests) = world.called_back().await?;
        let mut before = world.status(&job).await?.status;
        for at in &order {
            let Some(request) = requests.get(*at) else {
                continue;
            };
            is_taken("a callback", &world.deliver("a callback", request).await?)?;
            let now = world.status(&job).await?.status;
            ensure!(
                place(&now) >= place(&before),
                "a job went from {before:?} to {now:?} in the order {order:?}"
            );
            before = now;
        }
        world.until(&job, &[JobStatus::Success]).await?;
    }
    Ok(())
}

/// How far a job is.
fn place(status: &JobStatus) -> u8 {
    match status {
        JobStatus::Queued => 0,
        JobStatus::Preparing => 1,
        JobStatus::Dispatching => 2,
        JobStatus::InProgress => 3,
        JobStatus::OutcomeUnknown => 4,
        JobStatus::Success => 6,
        _ => 5,
    }
}

async fn received_twice(mut world: World) -> Verdict {
    world.start().await?;
    let mut events = world.subscribe()?;
    let (id, request) = world.webhooks()?.received(2).await?;
    for what in ["a fax", "the same fax"] {
        is_taken(what, &world.deliver(what, &request).await?)?;
    }
    world.one_came_in(&mut events, &id).await
}

async fn received_at_once(mut world: World) -> Verdict {
    world.start().await?;
    let mut events = world.subscribe()?;
    let webhooks = world.webhooks()?;
    let (id, request) = webhooks.received(1).await?;
    let mut deliveries = Vec::new();
    for _ in 0..8 {
        let (webhooks, plugin, request) = (
            Arc::clone(&webhooks),
            Arc::clone(&world.plugin),
            request.clone(),
        );
        deliveries.push(tokio::spawn(async move {
            webhooks.deliver(&*plugin, request).await
        }));
    }
    for delivery in deliveries {
        let reply = answered(
            "one of eight",
            within("one of eight", SOON, delivery).await??,
        )?;
        // Who comes while another is at it is asked to come again.
        ensure!(
            reply.status.is_success() || reply.status.as_u16() == 503,
            "{}",
            reply.status
        );
    }
    let reply = world.deliver("the last one", &request).await?;
    is_taken("the last one", &reply)?;
    world.one_came_in(&mut events, &id).await
}

async fn forged(mut world: World) -> Verdict {
    world.start().await?;
    let mut events = world.subscribe()?;
    let sent = world.send(FaxFate::Endless, 1).await?;
    world.until(&sent.job_id, &[JobStatus::InProgress]).await?;
    let forged = world.webhooks()?.forged(&sent.job_id);
    ensure!(!forged.is_empty(), "the environment forges nothing");
    for (what, request) in forged {
        // How it is answered says nothing: the vendor may be asked first.
        world.deliver(&what, &request).await?;
        let told = world.came_in(&mut events).await?.len();
        ensure!(told == 0, "{what}: {told} faxes came in");
        let status = world.status(&sent.job_id).await?.status;
        ensure!(status == JobStatus::InProgress, "{what}: {status:?}");
    }
    Ok(())
}

async fn no_meaning(mut world: World) -> Verdict {
    world.start().await?;
    let mut events = world.subscribe()?;
    let webhooks = world.webhooks()?;
    let (id, good) = webhooks.received(1).await?;
    for (at, body) in garbage(&good.body).into_iter().enumerate() {
        let what = format!("garbage {at}");
        let reply = world.deliver(&what, &webhooks.genuine(body)).await?;
        ensure!(!reply.status.is_server_error(), "{what}: {}", reply.status);
    }
    let told = world.came_in(&mut events).await?.len();
    ensure!(told == 0, "{told} faxes came in");
    is_taken("a good one", &world.deliver("a good one", &good).await?)?;
    world.one_came_in(&mut events, &id).await
}
