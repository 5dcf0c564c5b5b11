use std::{
    num::NonZeroUsize,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use faxbot_core::{
    clock::TokioClock,
    webhook::{DedupeStore, MemoryDeadLetters, MemoryDedupeStore, MemoryInboundStore},
};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Remembers keys in memory, and takes very long to fail for the first one that is done.
#[derive(Debug)]
struct Stuck {
    keys: MemoryDedupeStore,
    dones: AtomicUsize,
}

#[async_trait]
impl DedupeStore for Stuck {
    async fn claim(&self, plugin: &PluginId, key: &str, lease: Duration) -> Result<Claim> {
        self.keys.claim(plugin, key, lease).await
    }

    async fn done(&self, plugin: &PluginId, key: &str) -> Result<()> {
        if self.dones.fetch_add(1, Relaxed) == 0 {
            tokio::time::sleep(LEASE + 10 * SECOND).await;
            return Err(Error::new(ErrorKind::Io, "done", "the disk is gone"));
        }
        self.keys.done(plugin, key).await
    }

    async fn release(&self, plugin: &PluginId, key: &str) -> Result<()> {
        self.keys.release(plugin, key).await
    }
}

/// Its notices are their keys; each takes so long.
struct Slow {
    desk: WebhookDesk,
    takes: Duration,
    handled: AtomicUsize,
}

impl Slow {
    fn new(takes: Duration) -> Arc<Self> {
        let clock = TokioClock::shared();
        let stores = Stores {
            dedupe: Arc::new(Stuck {
                keys: MemoryDedupeStore::new(Arc::clone(&clock)),
                dones: AtomicUsize::new(0),
            }),
            inbound: Arc::new(MemoryInboundStore::new()),
            dead_letters: Arc::new(MemoryDeadLetters::new()),
        };
        let url = "https://fax.example.org/webhooks/slow".parse().unwrap();
        let plugin = PluginId::from_static("slow");
        Arc::new(Self {
            desk: WebhookDesk::new(
                plugin,
                Some(url),
                stores,
                clock,
                EventBus::new(NonZeroUsize::MIN),
            ),
            takes,
            handled: AtomicUsize::new(0),
        })
    }

    /// A request with one notice; whether it was done.
    fn take(self: &Arc<Self>) -> tokio::task::JoinHandle<Result<bool>> {
        let engine = Arc::clone(self);
        tokio::spawn(async move {
            let key = "1/done".to_owned();
            take(engine.as_ref(), key, Authenticity::Signed).await
        })
    }
}

#[async_trait]
impl WebhookEngine for Slow {
    type Notice = String;

    fn desk(&self) -> &WebhookDesk {
        &self.desk
    }

    async fn verify(&self, _: &WebhookRequest, _: &Url, _: Timestamp) -> Option<Authenticity> {
        None
    }

    async fn read(&self, _: &WebhookRequest, _: Authenticity) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn key<'n>(&self, notice: &'n String) -> Option<&'n str> {
        Some(notice)
    }

    async fn handle(&self, _: String, _: Authenticity) -> Result<Handled> {
        self.handled.fetch_add(1, Relaxed);
        tokio::time::sleep(self.takes).await;
        Ok(Handled::Done)
    }

    fn reply(&self) -> WebhookReply {
        WebhookReply::received()
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_late_frees_nobody_elses_claim() {
    let slow = Slow::new(100 * SECOND);
    let first = slow.take();
    tokio::time::sleep(LEASE + 105 * SECOND).await;
    // The lease of the first is over, while its store still tries to remember the key.
    let second = slow.take();
    assert!(first.await.unwrap().is_err());
    // It is late, and the second is at work.
    assert!(!slow.take().await.unwrap().unwrap());
    assert!(second.await.unwrap().unwrap());
    assert_eq!(slow.handled.load(Relaxed), 2);
    assert!(slow.take().await.unwrap().unwrap());
    assert_eq!(slow.handled.load(Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn what_proves_nothing_fills_no_log() {
    let slow = Slow::new(SECOND);
    let left = |refusals: usize| {
        for _ in 0..refusals {
            assert_eq!(slow.desk.refuse().status, 401);
        }
        slow.desk.refused.lock().unwrap().count
    };
    // The first is told of at once, and those after it together.
    assert_eq!(left(1), 0);
    assert_eq!(left(1000), 1000);
    tokio::time::sleep(REFUSED_EVERY).await;
    assert_eq!(left(1), 0);
}
