//! The task of a [`Link`](super::Link): connects, runs the connection, and does it again by the
//! policy.
//!
//! | | lost | back | given up, or closed |
//! |---|---|---|---|
//! | request with a byte written | `OutcomeUnknown`, before anything else | never sent again | `Closed`, written |
//! | request queued | `NotSent`, before anything else | never sent | `Closed`, not written |
//! | new request | `NotConnected` | taken after the set-up | `Closed`, not written |
//! | subscription | gone; `Down` tells since when | made by the set-up, part of "connected" | gone |
//! | event read, not taken by the pump | delivered before `Down` | - | delivered before the end |
//!
//! A request is never replayed: only its caller knows whether doing it twice is harmless. The
//! attempts are counted anew only after a connection lasted for the stability window.

use std::{sync::Arc, time::Duration};

use faxbot_core::{clock::later, task::StopToken};
use tokio::sync::mpsc;

use crate::protocol::session::Session;

use super::{
    CloseReport, Connect, LinkError, LinkEvent, LinkOptions, LinkPhase, SessionFactory,
    connection::{Closing, Connection, Ended},
    desk::Desk,
    handle::Shared,
    policy::{Decision, History, decide},
};

pub(super) struct Supervisor<S: Session, F> {
    pub(super) options: LinkOptions,
    pub(super) connector: Box<dyn Connect>,
    pub(super) factory: F,
    pub(super) shared: Arc<Shared<S>>,
    pub(super) events: mpsc::Sender<LinkEvent<S>>,
    pub(super) closing: Closing,
}

/// Marks the link as over however its task ends, an abort included.
pub(super) struct End<S: Session>(pub(super) Arc<Shared<S>>);

impl<S: Session> Drop for End<S> {
    fn drop(&mut self) {
        self.0.enter(LinkPhase::Ended, |state| {
            state.status.last_error.get_or_insert(LinkError::Closed);
        });
    }
}

impl<S: Session, F: SessionFactory<S>> Supervisor<S, F> {
    pub(super) async fn run(mut self, token: StopToken) {
        let _end = End(Arc::clone(&self.shared));
        tokio::select! {
            biased;
            () = token.cancelled() => {}
            report = Box::pin(self.supervise()) => {
                self.shared.enter(LinkPhase::Ended, |state| state.report = Some(report));
            }
        }
    }

    async fn supervise(&mut self) -> CloseReport {
        let mut history = History {
            supervised: self.options.wait_for_server,
            ..History::default()
        };
        let mut generation = 0;
        loop {
            generation += 1;
            history.attempts = history.attempts.saturating_add(1);
            self.shared.enter(LinkPhase::Connecting, |state| {
                state.status.generation = generation;
                state.status.attempts = history.attempts;
            });
            let ended = self.attempt(generation).await;
            let name = self.options.name;
            let reason = ended.reason;
            let report = CloseReport {
                drained: ended.drained,
            };
            tracing::info!(link = name, generation, %reason, "connection over");

            let state = self.shared.state.borrow().status.clone();
            history.ever_logged_in = state.ever_logged_in;
            history.supervised |= state.ever_up;
            let now = self.shared.clock.now();
            let stable = self.options.reconnect.stable_after;
            if ended
                .up_since
                .is_some_and(|since| now.saturating_duration_since(since) >= stable)
            {
                history.attempts = 1;
            }
            let decision = decide(
                &self.options.reconnect,
                history,
                &reason,
                self.shared.random.next_u64(),
            );
            self.shared.enter(
                if decision == Decision::GiveUp {
                    LinkPhase::Closing
                } else {
                    LinkPhase::Waiting
                },
                |state| {
                    state.status.attempts = history.attempts;
                    state.status.last_error = Some(reason.clone());
                },
            );

            let mut news: Vec<_> = ended.backlog.into();
            if ended.announced {
                let at = self.shared.clock.timestamp();
                news.push(LinkEvent::Down {
                    generation,
                    reason: reason.clone(),
                    at,
                });
            }
            match decision {
                Decision::GiveUp => {
                    if !matches!(reason, LinkError::Closed) {
                        tracing::warn!(link = name, %reason, "gave up");
                        news.push(LinkEvent::GaveUp { reason });
                    }
                    self.tell(news).await;
                    return report;
                }
                Decision::Retry { after, critical } => {
                    if critical {
                        tracing::error!(link = name, "credentials that worked are refused");
                    }
                    if !ended.announced {
                        news.push(LinkEvent::AttemptFailed {
                            generation,
                            reason,
                            attempts: history.attempts,
                            retry_after: after,
                            critical,
                        });
                    }
                    if !self.tell(news).await || !self.rest(after).await {
                        return report;
                    }
                }
            }
        }
    }

    async fn attempt(&mut self, generation: u64) -> Ended<S> {
        let clock = &self.shared.clock;
        let ready_by = later(clock.now(), self.options.connect_timeout);
        let mut closing = self.closing.clone();
        let transport = tokio::select! {
            biased;
            _ = closing.wait_for(Option::is_some) => Err(LinkError::Closed),
            opened = self.connector.connect() => opened,
            () = clock.sleep_until(ready_by) => Err(LinkError::ConnectTimeout),
        };
        let transport = match transport {
            Ok(transport) => transport,
            Err(reason) => return Ended::before_it_began(reason),
        };
        let mut random = [0; 32];
        self.shared.random.fill(&mut random);
        let (session, codec) = self.factory.session(random);
        let desk = Desk::new(
            session,
            Arc::clone(&self.shared),
            generation,
            self.events.clone(),
        );
        let connection = Connection {
            io: transport.io,
            buffering: transport.buffering,
            codec,
            desk,
            shared: Arc::clone(&self.shared),
            events: self.events.clone(),
            closing,
            ready_by,
            write_stall: self.options.write_stall,
            pump_stall: self.options.pump_stall,
        };
        connection.run().await
    }

    async fn tell(&mut self, news: Vec<LinkEvent<S>>) -> bool {
        tell(&self.shared, &self.events, &mut self.closing, news).await
    }

    /// Waits before the next attempt; `false` when closed or left meanwhile.
    async fn rest(&mut self, wait: Duration) -> bool {
        let clock = &self.shared.clock;
        let mut closing = self.closing.clone();
        tokio::select! {
            biased;
            _ = closing.wait_for(Option::is_some) => false,
            () = self.events.closed() => false,
            () = clock.sleep_until(later(clock.now(), wait)) => true,
        }
    }
}

/// Hands `news` to the pump in order, however long it takes, except that a close ends in time.
/// `false` if there is nobody to go on for.
pub(super) async fn tell<S: Session>(
    shared: &Shared<S>,
    events: &mpsc::Sender<LinkEvent<S>>,
    closing: &mut Closing,
    news: Vec<LinkEvent<S>>,
) -> bool {
    let out_of_time = async {
        let by = closing
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|by| *by);
        match by {
            Some(by) => shared.clock.sleep_until(by.end).await,
            None => std::future::pending().await,
        }
    };
    let told = async {
        for event in news {
            if events.send(event).await.is_err() {
                return false;
            }
        }
        true
    };
    tokio::select! {
        biased;
        told = told => told,
        () = out_of_time => false,
    }
}
