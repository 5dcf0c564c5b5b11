//! Webhooks: of faxes that we sent, and of faxes that came in.

use std::sync::Arc;

use async_trait::async_trait;
use faxbot_core::{
    DocumentReason, Error, Result, Timestamp,
    plugin::{InboundFax, PluginEvent},
    webhook::{Authenticity, InboundFile, WebhookReply, WebhookRequest},
};
use url::Url;

use super::{FaxNotice, FaxProvider, FaxReport, document::is_sound, table::Entry, worker::Shared};
use crate::cloud::webhook::{Handled, WebhookDesk, WebhookEngine};

#[async_trait]
impl<P: FaxProvider> WebhookEngine for Shared<P> {
    type Notice = FaxNotice;

    fn desk(&self) -> &WebhookDesk {
        &self.desk
    }

    async fn verify(
        &self,
        request: &WebhookRequest,
        url: &Url,
        now: Timestamp,
    ) -> Option<Authenticity> {
        self.provider.verify(request, url, now).await
    }

    async fn read(&self, request: &WebhookRequest, _: Authenticity) -> Result<Vec<FaxNotice>> {
        self.provider.read_webhook(request).await
    }

    fn key<'n>(&self, notice: &'n FaxNotice) -> Option<&'n str> {
        match notice {
            FaxNotice::Sent { key, .. } | FaxNotice::Received { key, .. } => Some(key),
            FaxNotice::Ignored => None,
        }
    }

    async fn handle(&self, notice: FaxNotice, authenticity: Authenticity) -> Result<Handled> {
        match notice {
            FaxNotice::Sent { report, .. } => self.sent(&report, authenticity).await,
            FaxNotice::Received { sid, fax, .. } => {
                let told = fax.filter(|_| authenticity.is_proof());
                self.received(&sid, told.map(|fax| *fax), authenticity)
                    .await
            }
            FaxNotice::Ignored => Ok(Handled::Done),
        }
    }

    fn reply(&self) -> WebhookReply {
        self.provider.reply()
    }
}

impl<P: FaxProvider> Shared<P> {
    async fn sent(&self, told: &FaxReport, authenticity: Authenticity) -> Result<Handled> {
        // Of somebody else's fax, or of one that was forgotten.
        let Some(entry) = self.entry_of(told) else {
            return Ok(Handled::Done);
        };
        if authenticity.is_proof() {
            self.tell(&entry, told, authenticity);
            return Ok(Handled::Done);
        }
        if entry.lock().job.record().status.is_final() {
            return Ok(Handled::Done);
        }
        let report = self.ask(self.provider.status(&told.sid)).await?;
        let same = report.sid == told.sid && self.tell(&entry, &report, Authenticity::Fetched);
        Ok(if same && report.word == told.word {
            Handled::Done
        } else {
            Handled::Contradicted
        })
    }

    /// Tells a job what is known to be true. Answers whether it is of this job.
    pub(super) fn tell(&self, entry: &Entry, report: &FaxReport, proof: Authenticity) -> bool {
        let mine = self.change(entry, Some(proof), |state, now| state.job.told(report, now));
        entry.wake.notify_one();
        mine
    }

    /// The job that a report is of, by our label or by the provider's id.
    fn entry_of(&self, report: &FaxReport) -> Option<Arc<Entry>> {
        let is_mine = |entry: &Entry| entry.lock().job.is_mine(report);
        let labelled = report.job_id.as_ref().and_then(|id| self.job(id));
        labelled
            .filter(|entry| is_mine(entry))
            .or_else(|| self.table.all(is_mine).into_iter().next())
    }

    async fn received(
        &self,
        sid: &str,
        told: Option<(InboundFax, InboundFile)>,
        authenticity: Authenticity,
    ) -> Result<Handled> {
        let whole = told.filter(|(_, file)| is_sound(&file.content_type, &file.bytes));
        let (mut fax, file, proof) = match whole {
            Some((fax, file)) => (fax, file, authenticity),
            None => {
                let (fax, file) = self.fetch_inbound(sid).await?;
                (fax, file, Authenticity::Fetched)
            }
        };
        fax.backend = self.backend.as_str().to_owned();
        fax.authenticity = Some(proof);
        fax.provider_sid.get_or_insert_with(|| sid.to_owned());
        self.inbound.put_fax(&fax, &file).await?;
        tracing::info!(plugin = %self.backend, pages = fax.pages, bytes = file.bytes.len(), "a fax was received");
        Ok(Handled::Stored(Box::new(PluginEvent::FaxReceived(fax))))
    }

    /// A received fax from the provider's own host, with pages that are such.
    pub(super) async fn fetch_inbound(&self, id: &str) -> Result<(InboundFax, InboundFile)> {
        let (fax, file) = self.ask(self.provider.inbound(id)).await?;
        if is_sound(&file.content_type, &file.bytes) {
            Ok((fax, file))
        } else {
            Err(Error::document(
                "get_inbound",
                DocumentReason::Damaged,
                "the pages of a received fax did not come whole",
            ))
        }
    }
}
