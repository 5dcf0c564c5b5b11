//! Webhooks: what proves nothing has no effect, what comes twice has one, and no order moves a message
//! back.

use std::sync::Arc;

use faxbot_core::{
    message::MessageState,
    plugin::PluginEvent,
    webhook::{WebhookReply, WebhookRequest},
};

use super::{
    Entry, MessageFate, MessageWebhooks, Need, QUIET, SOON, STATUS, TEXT, World, entry, forward,
};
use crate::conformance::{
    Failure, Verdict, ensure,
    webhook::{answered, garbage, is_taken, orders},
    within,
};

const DELIVERED: Need = Need::Fate(MessageFate::Delivered);

pub(super) fn entries() -> Vec<Entry> {
    vec![
        entry!(
            "a request that is not the vendor's is refused and has no effect",
            [Need::Webhooks],
            tampered
        ),
        entry!(
            "the callbacks of a message lead to its end",
            [Need::Webhooks, STATUS, DELIVERED],
            to_the_end
        ),
        entry!(
            "a callback that comes twice has one effect",
            [Need::Webhooks, STATUS, DELIVERED],
            twice
        ),
        entry!(
            "callbacks in any order end alike and never go back",
            [Need::Webhooks, STATUS, DELIVERED],
            any_order
        ),
        entry!(
            "a message that is called back twice comes in once",
            [Need::Webhooks],
            received_twice
        ),
        entry!(
            "a message that is called back many times at once comes in once",
            [Need::Webhooks],
            received_at_once
        ),
        entry!(
            "what nobody signed is believed only when the vendor says it too",
            [
                Need::Webhooks,
                Need::Unsigned,
                STATUS,
                Need::Fate(MessageFate::HandedOver)
            ],
            forged
        ),
        entry!(
            "a callback of no meaning harms nothing",
            [Need::Webhooks],
            no_meaning
        ),
    ]
}

impl World {
    fn webhooks(&self) -> Result<Arc<dyn MessageWebhooks>, Failure> {
        let webhooks = self.setup.webhooks();
        webhooks.ok_or_else(|| Failure::new("the environment makes no webhooks"))
    }

    async fn deliver(&self, what: &str, request: &WebhookRequest) -> Result<WebhookReply, Failure> {
        let webhooks = self.webhooks()?;
        let deliver = webhooks.deliver(&*self.plugin, request.clone());
        answered(what, within(what, SOON, deliver).await?)
    }

    /// A message that the plugin sent and that is at its end at the vendor, with its callbacks.
    async fn called_back(&self) -> Result<(String, Vec<WebhookRequest>), Failure> {
        let webhooks = self.webhooks()?;
        let (_, sent) = self.send(MessageFate::Delivered, TEXT).await?;
        let requests = webhooks.statuses(&sent.message_id).await?;
        ensure!(!requests.is_empty(), "the vendor calls back nothing");
        Ok((sent.message_id, requests))
    }

    /// A callback of a message that comes in.
    async fn incoming(&self, text: &str) -> Result<WebhookRequest, Failure> {
        let from = self.target(self.plain()).await?;
        self.webhooks()?.received(&from, text).await
    }

    /// How many messages came in, by the store and by the events.
    async fn came_in(
        &self,
        events: &mut faxbot_core::event::EventStream<PluginEvent>,
    ) -> Result<(usize, usize), Failure> {
        tokio::time::sleep(QUIET).await;
        let mut told = 0;
        while let Some(item) = events.try_recv() {
            told += usize::from(matches!(item?.event, PluginEvent::MessageReceived(_)));
        }
        Ok((self.stored().await?.len(), told))
    }
}

async fn tampered(mut world: World) -> Verdict {
    world.start().await?;
    let mut events = world.subscribe()?;
    let request = world.incoming("genuine").await?;
    let tampered = world.webhooks()?.tampered(&request);
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
    let came_in = world.came_in(&mut events).await?;
    ensure!(came_in == (0, 0), "{came_in:?} messages came in");
    // And it was not held against the real one.
    let reply = world.deliver("the genuine request", &request).await?;
    is_taken("the genuine request", &reply)?;
    let came_in = world.came_in(&mut events).await?;
    ensure!(came_in == (1, 1), "{came_in:?} messages of 1 came in");
    Ok(())
}

async fn to_the_end(mut world: World) -> Verdict {
    world.start().await?;
    let (id, requests) = world.called_back().await?;
    for request in &requests {
        is_taken("a callback", &world.deliver("a callback", request).await?)?;
    }
    let status = world.until(&id, MessageState::Delivered).await?;
    ensure!(status.message_id == id, "the status of another message");
    Ok(())
}

async fn twice(mut world: World) -> Verdict {
    world.start().await?;
    let mut events = world.subscribe()?;
    let (id, requests) = world.called_back().await?;
    for request in &requests {
        for what in ["a callback", "the same callback"] {
            is_taken(what, &world.deliver(what, request).await?)?;
        }
    }
    world.until(&id, MessageState::Delivered).await?;
    tokio::time::sleep(QUIET).await;
    let mut told = 0;
    while let Some(item) = events.try_recv() {
        if let PluginEvent::MessageStatusChanged(status) = item?.event
            && status.message_id == id
        {
            told += usize::from(status.status == MessageState::Delivered);
        }
    }
    ensure!(told == 1, "delivered is told {told} times");
    Ok(())
}

async fn any_order(mut world: World) -> Verdict {
    world.start().await?;
    let (_, requests) = world.called_back().await?;
    for order in orders(requests.len()) {
        let (id, requests) = world.called_back().await?;
        let mut before = world.status(&id).await?.status;
        for at in &order {
            let Some(request) = requests.get(*at) else {
                continue;
            };
            is_taken("a callback", &world.deliver("a callback", request).await?)?;
            let now = world.status(&id).await?.status;
            forward(before, now)?;
            before = now;
        }
        world
            .until(&id, MessageState::Delivered)
            .await
            .map_err(|why| Failure::new(format!("in the order {order:?}: {why:?}")))?;
    }
    Ok(())
}

async fn received_twice(mut world: World) -> Verdict {
    world.start().await?;
    let mut events = world.subscribe()?;
    let request = world.incoming(TEXT).await?;
    for what in ["a message", "the same message"] {
        is_taken(what, &world.deliver(what, &request).await?)?;
    }
    let came_in = world.came_in(&mut events).await?;
    ensure!(came_in == (1, 1), "{came_in:?} messages of 1 came in");
    Ok(())
}

async fn received_at_once(mut world: World) -> Verdict {
    world.start().await?;
    let mut events = world.subscribe()?;
    let request = world.incoming(TEXT).await?;
    let webhooks = world.webhooks()?;
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
    let mut taken = 0;
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
        taken += usize::from(reply.status.is_success());
    }
    ensure!(taken >= 1, "none of eight was taken");
    let reply = world.deliver("the last one", &request).await?;
    is_taken("the last one", &reply)?;
    let came_in = world.came_in(&mut events).await?;
    ensure!(came_in == (1, 1), "{came_in:?} messages of 1 came in");
    Ok(())
}

async fn forged(mut world: World) -> Verdict {
    world.start().await?;
    let mut events = world.subscribe()?;
    let webhooks = world.webhooks()?;
    let (_, sent) = world.send(MessageFate::HandedOver, TEXT).await?;
    let forged = webhooks.forged(&sent.message_id);
    ensure!(!forged.is_empty(), "the environment forges nothing");
    for (what, request) in forged {
        // How it is answered says nothing: the vendor may be asked first.
        world.deliver(&what, &request).await?;
        let came_in = world.came_in(&mut events).await?;
        ensure!(came_in == (0, 0), "{what}: {came_in:?} messages came in");
        let status = world.status(&sent.message_id).await?.status;
        let open = [
            MessageState::Queued,
            MessageState::Sent,
            MessageState::HandedOver,
        ];
        ensure!(open.contains(&status), "{what}: {status:?}");
    }
    Ok(())
}

async fn no_meaning(mut world: World) -> Verdict {
    world.start().await?;
    let mut events = world.subscribe()?;
    let good = world.incoming("good").await?;
    let webhooks = world.webhooks()?;
    for (at, body) in garbage(&good.body).into_iter().enumerate() {
        let what = format!("garbage {at}");
        let reply = world.deliver(&what, &webhooks.genuine(body)).await?;
        ensure!(!reply.status.is_server_error(), "{what}: {}", reply.status);
    }
    let came_in = world.came_in(&mut events).await?;
    ensure!(came_in == (0, 0), "{came_in:?} messages came in");
    is_taken("a good one", &world.deliver("a good one", &good).await?)?;
    let came_in = world.came_in(&mut events).await?;
    ensure!(came_in == (1, 1), "{came_in:?} messages of 1 came in");
    Ok(())
}
