//! A vendor in memory: what it was asked, what it answers, and what it knows of its faxes.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use faxbot_core::{
    Effect, Error, ErrorKind, Private, Result, Timestamp,
    address::FaxTarget,
    config::{ConfigErrors, Field, FieldTable, Kind},
    fax::{FailureClass, FailurePhase, FaxFailure, FaxOutcome, FaxPhase, FaxProgress, JobStatus},
    id::JobId,
    plugin::{
        CancelOutcome, InboundFax, InboundQuery, Manifest, Page, PluginCapability, SendOptions,
    },
    webhook::{Authenticity, InboundFile, WebhookPath, WebhookReply, WebhookRequest},
};
use faxbot_providers::cloud::{
    FaxProvider, ProviderContext, cloud_fields,
    fax::{FaxLimits, FaxNotice, FaxReport, Submission, Submitted, Upload},
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use url::Url;

const SECOND: Duration = Duration::from_secs(1);

/// What the vendor does with a submission.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// Takes it.
    Yes,
    /// Takes it, and its answer never comes: the client gives up after so long.
    Lost(Duration),
    /// Does not take it, and its answer never comes.
    Dropped,
    /// Refuses it.
    No(Error),
    /// Takes it at once and answers after so long.
    Late(Duration),
    /// Takes it, and answers an id that is none.
    NoId,
    /// Neither takes it nor answers, ever.
    Never,
}

#[derive(Debug, Clone)]
pub(crate) struct VendorFax {
    pub(crate) label: JobId,
    pub(crate) to: String,
    pub(crate) upload: Upload,
    pub(crate) taken: Instant,
    /// Words, each from so long after it was taken on.
    pub(crate) life: Vec<(Duration, &'static str)>,
}

impl VendorFax {
    pub(crate) fn word(&self) -> &'static str {
        let age = self.taken.elapsed();
        let reached = self.life.iter().rev().find(|(from, _)| *from <= age);
        reached.map_or("queued", |(_, word)| word)
    }

    pub(crate) fn begin(&mut self, word: &'static str) {
        self.life.push((self.taken.elapsed(), word));
    }
}

#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) faxes: BTreeMap<u64, VendorFax>,
    pub(crate) answers: VecDeque<Answer>,
    pub(crate) life: Vec<(Duration, &'static str)>,
    pub(crate) received: HashMap<String, (InboundFax, InboundFile)>,
    /// Questions fail until then.
    pub(crate) down: Option<(Instant, Option<Error>)>,
    /// So long a new fax is in no list.
    pub(crate) list_lag: Duration,
    /// So many answers to `find` fail.
    pub(crate) find_errors: usize,
    pub(crate) cancels: VecDeque<Result<CancelOutcome>>,
    pub(crate) inbound_errors: usize,
    /// Every request, by its name.
    pub(crate) asked: Vec<&'static str>,
    pub(crate) since: Vec<Timestamp>,
    /// The numbers that went with questions for a label.
    pub(crate) sought: Vec<Option<String>>,
    /// Labels do not come back.
    pub(crate) mute: bool,
    /// Uploads are dropped.
    pub(crate) drops_uploads: bool,
    /// A received fax is never fetched to its end.
    pub(crate) inbound_hangs: bool,
    /// Answers about a fax are of another one.
    pub(crate) mixes_up: bool,
    /// How long an answer about a fax takes.
    pub(crate) slow: Duration,
}

/// One account.
#[derive(Debug)]
pub(crate) struct Vendor {
    pub(crate) account: String,
    books: Mutex<Books>,
    pub(crate) limits: Mutex<FaxLimits>,
    pub(crate) parsed: AtomicUsize,
    pub(crate) uploading: AtomicUsize,
    pub(crate) peak: AtomicUsize,
}

static ACCOUNTS: LazyLock<Mutex<HashMap<String, Arc<Vendor>>>> = LazyLock::new(Mutex::default);
static NEXT: AtomicUsize = AtomicUsize::new(0);

pub(crate) fn error(kind: ErrorKind) -> Error {
    Error::new(kind, "test", "test")
}

impl Vendor {
    pub(crate) fn new() -> Arc<Self> {
        faxbot_testkit::logs::to_directory();
        let account = format!("account-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut limits = FaxLimits::new(1000);
        limits.pages = Some(10);
        limits.urls = true;
        let vendor = Arc::new(Self {
            account: account.clone(),
            books: Mutex::new(Books {
                life: vec![
                    (Duration::ZERO, "queued"),
                    (10 * SECOND, "sending"),
                    (60 * SECOND, "done"),
                ],
                ..Books::default()
            }),
            limits: Mutex::new(limits),
            parsed: AtomicUsize::new(0),
            uploading: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
        });
        ACCOUNTS.lock().unwrap().insert(account, vendor.clone());
        vendor
    }

    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut Books) -> R) -> R {
        change(&mut self.books.lock().unwrap())
    }

    pub(crate) fn answer(&self, answer: Answer) {
        self.with(|books| books.answers.push_back(answer));
    }

    pub(crate) fn life(&self, life: &[(u64, &'static str)]) {
        let life = life
            .iter()
            .map(|(at, word)| (SECOND * u32::try_from(*at).unwrap(), *word));
        self.with(|books| books.life = life.collect());
    }

    /// The faxes that it took, by their labels.
    pub(crate) fn taken(&self) -> Vec<JobId> {
        self.with(|books| books.faxes.values().map(|fax| fax.label.clone()).collect())
    }

    pub(crate) fn asked(&self, what: &str) -> usize {
        self.with(|books| books.asked.iter().filter(|asked| **asked == what).count())
    }

    pub(crate) fn only(&self) -> (String, VendorFax) {
        self.with(|books| {
            assert_eq!(books.faxes.len(), 1);
            let (sid, fax) = books.faxes.iter().next().unwrap();
            (sid.to_string(), fax.clone())
        })
    }

    /// The only fax has this word from now on.
    pub(crate) fn says(&self, word: &'static str) {
        self.with(|books| books.faxes.values_mut().for_each(|fax| fax.begin(word)));
    }

    pub(crate) fn down_for(&self, time: Duration) {
        let until = Instant::now() + time;
        self.with(|books| books.down = Some((until, None)));
    }

    pub(crate) fn begin(&self) {
        let now = self.uploading.fetch_add(1, Ordering::SeqCst) + 1;
        self.peak.fetch_max(now, Ordering::SeqCst);
    }

    pub(crate) fn end(&self) {
        self.uploading.fetch_sub(1, Ordering::SeqCst);
    }

    fn take(&self, fax: &Submission) -> String {
        self.with(|books| {
            let sid = 1000 + u64::try_from(books.faxes.len()).unwrap();
            books.faxes.insert(
                sid,
                VendorFax {
                    label: fax.job_id.clone(),
                    to: fax.to.expose().clone(),
                    upload: match books.drops_uploads {
                        true => Upload::Url("https://example.org".parse().unwrap()),
                        false => fax.upload.clone(),
                    },
                    taken: Instant::now(),
                    life: books.life.clone(),
                },
            );
            sid.to_string()
        })
    }

    fn ask(&self, what: &'static str) -> Result<()> {
        self.with(|books| {
            books.asked.push(what);
            match &books.down {
                Some((until, error_)) if Instant::now() < *until => Err(error_
                    .clone()
                    .unwrap_or_else(|| error(ErrorKind::NotConnected))),
                _ => Ok(()),
            }
        })
    }

    pub(crate) fn report(&self, sid: &str) -> Option<FaxReport> {
        self.with(|books| {
            let fax = books.faxes.get(&sid.parse().ok()?)?;
            let label = (!books.mute).then(|| fax.label.clone());
            Some(report(sid, label, fax.word()))
        })
    }
}

/// What a word of the vendor means.
pub(crate) fn report(sid: &str, label: Option<JobId>, word: &str) -> FaxReport {
    let failure = |class, phase| FaxFailure::new(class, phase).with_native(Some(word.into()), None);
    let (status, outcome) = match word {
        "queued" => (JobStatus::Queued, None),
        "sending" => (JobStatus::InProgress, None),
        "done" => (
            JobStatus::Success,
            Some(FaxOutcome::succeeded(Some(2), Some(2))),
        ),
        "busy" => {
            let failure = failure(FailureClass::Busy, FailurePhase::BeforeAnswer);
            (
                JobStatus::Failed,
                Some(FaxOutcome::failed(failure, Some(0), Some(2))),
            )
        }
        "failed" => (JobStatus::Failed, None),
        "cancelled" => (JobStatus::Cancelled, None),
        "partial" => (JobStatus::OutcomeUnknown, None),
        word => (JobStatus::Other(word.to_owned()), None),
    };
    let mut report = FaxReport::new(sid, status, word);
    report.job_id = label;
    report.outcome = outcome;
    report.raw = json!({"id": sid, "word": word});
    if word == "sending" {
        let mut progress = FaxProgress::new(2);
        progress.phase = FaxPhase::Transmitting;
        progress.page = Some(1);
        report.progress = Some(progress);
    }
    report
}

/// The vendor's client; `FULL` is whether the manifest names everything.
#[derive(Debug)]
pub(crate) struct Scripted<const FULL: bool>(Arc<Vendor>);

#[async_trait]
impl<const FULL: bool> FaxProvider for Scripted<FULL> {
    const FIELDS: FieldTable = cloud_fields!(
        fax,
        ["scripted"],
        [Field::new("auth.account", Kind::Text, "which account").required()]
    );
    const WEBHOOK_PATH: WebhookPath = WebhookPath::Secret;

    fn manifest() -> Manifest {
        let capabilities = [
            PluginCapability::SEND_FAX,
            PluginCapability::GET_STATUS,
            PluginCapability::CANCEL_FAX,
            PluginCapability::LIST_INBOUND,
            PluginCapability::GET_INBOUND,
            PluginCapability::HANDLE_WEBHOOK,
        ];
        let count = if FULL { capabilities.len() } else { 2 };
        let id = "scripted".parse().unwrap();
        Manifest::new(id, "Scripted", &["outbound"], &capabilities[..count])
    }

    fn validate(config: &Value) -> Result<(), ConfigErrors> {
        Self::FIELDS.validate(config)
    }

    fn build(config: &Value, context: ProviderContext) -> Result<Self> {
        assert!(!format!("{context:?}").contains("hush"));
        let account = Self::FIELDS.examine(config).value;
        let account = account["auth"]["account"].as_str().unwrap().to_owned();
        Ok(Self(ACCOUNTS.lock().unwrap()[&account].clone()))
    }

    fn limits(&self) -> FaxLimits {
        self.0.limits.lock().unwrap().clone()
    }

    fn prepare(&self, to: &FaxTarget, options: &SendOptions) -> Result<Private> {
        if options.t38.is_some() {
            let message = "t38: the vendor decides that";
            return Err(Error::new(ErrorKind::InvalidRequest, "send_fax", message));
        }
        Ok(Private::new(to.expose().replace('+', "00")))
    }

    async fn submit(&self, fax: &Submission) -> Result<Submitted> {
        let vendor = &self.0;
        let answer = vendor.with(|books| {
            books.asked.push("submit");
            books.answers.pop_front().unwrap_or(Answer::Yes)
        });
        vendor.begin();
        sleep(SECOND).await;
        let result = match answer {
            Answer::Yes => Ok(Submitted::new(vendor.take(fax))),
            Answer::Lost(after) => {
                vendor.take(fax);
                sleep(after).await;
                Err(error(ErrorKind::Timeout))
            }
            Answer::Dropped => Err(error(ErrorKind::OutcomeUnknown)),
            Answer::No(error) => Err(error),
            Answer::Late(after) => {
                let sid = vendor.take(fax);
                sleep(after).await;
                Ok(Submitted::new(sid))
            }
            Answer::NoId => {
                vendor.take(fax);
                Ok(Submitted::new(""))
            }
            Answer::Never => std::future::pending().await,
        };
        vendor.end();
        result
    }

    async fn status(&self, sid: &str) -> Result<FaxReport> {
        self.0.ask("status")?;
        let (slow, mixes_up) = self.0.with(|books| (books.slow, books.mixes_up));
        sleep(slow.max(SECOND / 10)).await;
        if mixes_up {
            return Ok(report("4711", None, "busy"));
        }
        self.0.report(sid).ok_or_else(|| error(ErrorKind::NotFound))
    }

    async fn find(
        &self,
        job: &JobId,
        to: Option<&Private>,
        since: Timestamp,
    ) -> Result<Option<FaxReport>> {
        let to = to.map(|to| to.expose().clone());
        self.0.ask("find")?;
        sleep(SECOND / 10).await;
        let found = self.0.with(|books| {
            books.since.push(since);
            books.sought.push(to);
            if books.find_errors > 0 {
                books.find_errors -= 1;
                return Err(error(ErrorKind::Protocol));
            }
            let listed = |fax: &VendorFax| fax.taken.elapsed() >= books.list_lag;
            let mut faxes = books.faxes.iter();
            let found = faxes.find(|(_, fax)| fax.label == *job && listed(fax));
            Ok(found.map(|(sid, _)| sid.to_string()))
        })?;
        Ok(found.and_then(|sid| self.0.report(&sid)))
    }

    async fn cancel(&self, sid: &str) -> Result<CancelOutcome> {
        self.0.ask("cancel")?;
        sleep(SECOND / 10).await;
        self.0.with(|books| {
            let scripted = books.cancels.pop_front();
            let fax = books.faxes.get_mut(&sid.parse().unwrap()).unwrap();
            let answer = scripted.unwrap_or(Ok(CancelOutcome::Requested))?;
            if fax.word() == "done" {
                return Ok(CancelOutcome::TooLate);
            }
            if matches!(answer, CancelOutcome::Requested | CancelOutcome::Cancelled) {
                let at = fax.taken.elapsed() + SECOND;
                fax.life.retain(|(from, _)| *from < at);
                fax.life.push((at, "cancelled"));
            }
            Ok(answer)
        })
    }

    async fn delete_file(&self, sid: &str) -> Result<()> {
        self.0.ask("delete_file")?;
        match self.0.report(sid) {
            Some(_) => Ok(()),
            None => Err(error(ErrorKind::NotFound)),
        }
    }

    async fn list_inbound(&self, _: &InboundQuery) -> Result<Page<InboundFax>> {
        self.0.ask("list_inbound")?;
        let faxes = self.0.with(|books| {
            let faxes = books.received.values().map(|(fax, _)| fax.clone());
            faxes.collect()
        });
        Ok(Page::last(faxes))
    }

    async fn inbound(&self, sid: &str) -> Result<(InboundFax, InboundFile)> {
        self.0.ask("inbound")?;
        if self.0.with(|books| books.inbound_hangs) {
            std::future::pending::<()>().await;
        }
        sleep(2 * SECOND).await;
        self.0.with(|books| {
            if books.inbound_errors > 0 {
                books.inbound_errors -= 1;
                return Err(error(ErrorKind::Timeout).with_effect(Effect::NoEffect));
            }
            let fax = books.received.get(sid).cloned();
            fax.ok_or_else(|| error(ErrorKind::NotFound))
        })
    }

    async fn verify(
        &self,
        request: &WebhookRequest,
        url: &Url,
        _: Timestamp,
    ) -> Option<Authenticity> {
        assert!(url.as_str().ends_with("/hush"));
        match request.header("x-proof")? {
            "signed" => Some(Authenticity::Signed),
            "secret" => Some(Authenticity::SecretUrl),
            "basic" => Some(Authenticity::BasicAuth),
            _ => None,
        }
    }

    async fn read_webhook(&self, request: &WebhookRequest) -> Result<Vec<FaxNotice>> {
        self.0.parsed.fetch_add(1, Ordering::SeqCst);
        let bad = |_| error(ErrorKind::Protocol);
        let notices: Vec<Value> = serde_json::from_slice(&request.body).map_err(bad)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let notice = |value: &Value| {
            let sid = text(&value["sid"]);
            if let Some(pages) = value["pages"].as_str() {
                let fax = InboundFax::new(&sid, "wrong", Timestamp::UNIX_EPOCH);
                let file = InboundFile::new("application/pdf", pages.to_owned());
                return FaxNotice::received(sid, Some((fax, file)));
            }
            match value["word"].as_str() {
                Some(word) => {
                    let label = value["label"].as_str().map(|label| label.parse().unwrap());
                    FaxNotice::sent(report(&sid, label, word))
                }
                None if sid.is_empty() => FaxNotice::Ignored,
                None => FaxNotice::received(sid, None),
            }
        };
        Ok(notices.iter().map(notice).collect())
    }

    fn reply(&self) -> WebhookReply {
        WebhookReply::json(http::StatusCode::OK, r#"{"vendor":"happy"}"#)
    }
}
