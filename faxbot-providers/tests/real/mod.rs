//! Real Asterisk instances for tests: each test starts its own by `scripts/real-servers/asterisk.sh`
//! and takes it away again. Shared by the tests of several crates.
#![allow(
    dead_code,
    reason = "each test program includes this module and uses its own part of it"
)]

pub(crate) mod link;
pub(crate) mod pages;
pub(crate) mod party;
pub(crate) mod party_caller;
pub(crate) mod party_media;
mod party_scenario;
pub(crate) mod party_sipp;
pub(crate) mod relay;

use std::{
    collections::HashMap,
    fs,
    future::Future,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        Once,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use faxbot_core::sip::SipAdapter as _;
use faxbot_sip::adapter::asterisk::{AsteriskAdapter, AsteriskConfig};
use serde_json::{Value, json};

const SCRIPT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../scripts/real-servers/asterisk.sh"
);

/// Media time runs this many times as fast, at both ends of a fax. Timers of calls, of the manager
/// and of this SDK keep the real time.
pub(crate) const PACE: &str = "pace=10";

/// How long a fax of these tests takes at most at that pace, on a machine that has other work.
pub(crate) const FAX_LIMIT: Duration = Duration::from_secs(120);

/// How long anything else may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Which Asterisk a test runs against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V16,
    V22,
}

impl Version {
    fn word(self) -> &'static str {
        match self {
            Self::V16 => "16",
            Self::V22 => "22",
        }
    }

    /// `TechCause`, the SIP status behind a cause, came with a later version than 16.
    pub(crate) fn tells_sip_status(self) -> bool {
        self == Self::V22
    }
}

/// What phones talk with.
pub(crate) trait SipServer {
    /// Where it takes SIP over UDP.
    fn sip_port(&self) -> u16;

    /// Whether it stays in the way of a call by `Record-Route`, and the other side is somebody else.
    fn is_proxy(&self) -> bool {
        false
    }
}

impl SipServer for Asterisk {
    fn sip_port(&self) -> u16 {
        Self::sip_port(self)
    }
}

/// Makes a test of each version of each case.
#[macro_export]
macro_rules! on_both_versions {
    ($($case:ident),* $(,)?) => {
        mod asterisk_16 {
            $(
                #[tokio::test]
                #[ignore = "needs Asterisk 16: scripts/real-servers/asterisk.sh install"]
                async fn $case() {
                    Box::pin(super::$case($crate::real::Version::V16)).await;
                }
            )*
        }
        mod asterisk_22 {
            $(
                #[tokio::test]
                #[ignore = "needs Asterisk 22: scripts/real-servers/asterisk.sh install"]
                async fn $case() {
                    Box::pin(super::$case($crate::real::Version::V22)).await;
                }
            )*
        }
    };
}

/// One running Asterisk. Dropping it kills and deletes it, also when the test failed.
#[derive(Debug)]
pub(crate) struct Asterisk {
    version: Version,
    name: String,
    facts: HashMap<String, String>,
    started: Option<Instant>,
}

impl Asterisk {
    /// Starts a new one with options of the script.
    pub(crate) async fn start(version: Version, options: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        static LEFTOVERS: Once = Once::new();
        LEFTOVERS.call_once(|| {
            show_log();
            remove_leftovers();
        });
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut asterisk = Self {
            version,
            name: format!("test-{}-{number}", std::process::id()),
            facts: HashMap::new(),
            started: None,
        };
        asterisk.start_again(options).await;
        asterisk
    }

    /// Starts it after [`kill`](Self::kill): the same ports, spool and AstDB.
    pub(crate) async fn start_again(&mut self, options: &[&str]) {
        // Asterisk tells its start in whole seconds: two runs must not begin in one.
        if let Some(started) = self.started {
            let since = started.elapsed();
            tokio::time::sleep(Duration::from_millis(1100).saturating_sub(since)).await;
        }
        self.started = Some(Instant::now());
        let text = self.script("start", options).await;
        self.facts = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) {
        self.script("kill", &[]).await;
    }

    /// A command of the console.
    pub(crate) async fn console(&self, command: &str) -> String {
        self.script("cli", &[command]).await
    }

    pub(crate) fn version(&self) -> Version {
        self.version
    }

    pub(crate) fn ami_port(&self) -> u16 {
        self.port("FAXBOT_ASTERISK_AMI_PORT")
    }

    pub(crate) fn ami_tls_port(&self) -> u16 {
        self.port("FAXBOT_ASTERISK_AMI_TLS_PORT")
    }

    pub(crate) fn ami_tls_ca(&self) -> &str {
        self.fact("FAXBOT_ASTERISK_AMI_TLS_CA")
    }

    pub(crate) fn sip_port(&self) -> u16 {
        self.port("FAXBOT_ASTERISK_SIP_PORT")
    }

    /// The directory of pages as we see it.
    pub(crate) fn spool(&self) -> PathBuf {
        self.fact("FAXBOT_SPOOL").into()
    }

    /// The same directory as Asterisk sees it.
    pub(crate) fn spool_remote(&self) -> &str {
        self.fact("FAXBOT_SPOOL_REMOTE")
    }

    /// Where recordings with a relative name go, as we see it.
    pub(crate) fn monitor(&self) -> PathBuf {
        self.fact("FAXBOT_ASTERISK_MONITOR").into()
    }

    /// The same directory as Asterisk sees it.
    pub(crate) fn monitor_remote(&self) -> &str {
        self.fact("FAXBOT_ASTERISK_MONITOR_REMOTE")
    }

    /// The group of Asterisk's user, as a number.
    pub(crate) fn group(&self) -> &str {
        self.fact("FAXBOT_ASTERISK_GROUP")
    }

    /// A configuration for the account with all rights. `options` go over the defaults of the tests.
    pub(crate) fn config(&self, options: &Value) -> AsteriskConfig {
        self.config_of("faxbot", "s3cret", self.ami_port(), options)
    }

    pub(crate) fn config_of(
        &self,
        user: &str,
        secret: &str,
        port: u16,
        options: &Value,
    ) -> AsteriskConfig {
        let mut config = json!({
            "type": "asterisk",
            "port": port,
            "auth": { "username": user, "password": secret },
            "options": {
                "dial": self.fact("FAXBOT_DIAL"),
                "spool": self.fact("FAXBOT_SPOOL"),
                "spool_remote": self.fact("FAXBOT_SPOOL_REMOTE"),
                "fax_poll": "100ms",
            },
        });
        for (name, value) in options.as_object().into_iter().flatten() {
            config["options"][name] = value.clone();
        }
        AsteriskConfig::from_value(&config).unwrap()
    }

    /// An adapter with all rights that is connected.
    pub(crate) async fn adapter(&self) -> AsteriskAdapter {
        connected(self.config(&json!({}))).await
    }

    /// Faxes that arrived here and are over: the TIFF and the words beside it.
    pub(crate) fn received(&self) -> Vec<Received> {
        let mut received: Vec<_> = fs::read_dir(self.fact("FAXBOT_ASTERISK_RECEIVED"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|it| it == "status"))
            .filter_map(|path| {
                let status = fs::read_to_string(&path).unwrap();
                // The name is there before its content.
                (!status.trim().is_empty()).then(|| Received {
                    tiff: path.with_extension("tif"),
                    status: status.trim().to_owned(),
                })
            })
            .collect();
        received.sort_by(|a, b| a.tiff.cmp(&b.tiff));
        received
    }

    /// Waits until as many faxes arrived and are over.
    pub(crate) async fn wait_received(&self, count: usize) -> Vec<Received> {
        until("the receiver has its faxes", FAX_LIMIT, async || {
            let received = self.received();
            (received.len() >= count).then_some(received)
        })
        .await
    }

    fn fact(&self, name: &str) -> &str {
        self.facts
            .get(name)
            .unwrap_or_else(|| panic!("asterisk.sh did not print {name}"))
    }

    fn port(&self, name: &str) -> u16 {
        self.fact(name).parse().unwrap()
    }

    async fn script(&self, command: &str, more: &[&str]) -> String {
        let mut arguments = vec![command, self.version.word(), &self.name];
        arguments.extend(more);
        let output = tokio::process::Command::new(SCRIPT)
            .args(&arguments)
            .output()
            .await
            .unwrap();
        text_of(&arguments, output)
    }
}

impl Drop for Asterisk {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(log) = self.facts.get("FAXBOT_ASTERISK_LOG")
        {
            let text = fs::read_to_string(log).unwrap_or_default();
            let lines: Vec<_> = text.lines().collect();
            let tail = lines.len().saturating_sub(40);
            eprintln!("the end of the log of {}:", self.name);
            for line in &lines[tail..] {
                eprintln!("  {line}");
            }
        }
        // An orderly stop waits for calls; the one that a test killed cannot be killed again.
        for command in ["kill", "remove"] {
            let _ = Command::new(SCRIPT)
                .args([command, self.version.word(), &self.name])
                .output();
        }
    }
}

/// A fax that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) tiff: PathBuf,
    /// `FAXSTATUS|FAXERROR|FAXPAGES|FAXBITRATE|REMOTESTATIONID|FAXSTATUSSTRING`.
    pub(crate) status: String,
}

impl Received {
    pub(crate) fn pages(&self) -> u32 {
        self.status.split('|').nth(2).unwrap().parse().unwrap()
    }

    pub(crate) fn is_success(&self) -> bool {
        self.status.starts_with("SUCCESS|")
    }
}

/// Two instances: the trunk of the first leads to the second.
pub(crate) async fn sender_and_receiver(version: Version) -> (Asterisk, Asterisk) {
    let receiver = Asterisk::start(version, &[PACE]).await;
    let trunk = format!("trunk=127.0.0.1:{}", receiver.sip_port());
    let sender = Asterisk::start(version, &[&trunk, PACE]).await;
    (sender, receiver)
}

/// An adapter that is connected.
pub(crate) async fn connected(config: AsteriskConfig) -> AsteriskAdapter {
    let adapter = AsteriskAdapter::new(config);
    adapter.connect().await.unwrap();
    adapter
}

/// Asks again and again until there is an answer.
pub(crate) async fn until<T>(
    what: &str,
    limit: Duration,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < end, "waited for too long: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits for a future, with a word for the failure.
pub(crate) async fn within<T>(what: &str, limit: Duration, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(limit, Box::pin(future)).await {
        Ok(answer) => answer,
        Err(_) => panic!("waited for too long: {what}"),
    }
}

fn text_of(arguments: &[&str], output: Output) -> String {
    assert!(
        output.status.success(),
        "asterisk.sh {arguments:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Takes away what test programs left that were killed.
fn remove_leftovers() {
    let arguments = ["status"];
    let output = Command::new(SCRIPT).args(arguments).output().unwrap();
    for line in text_of(&arguments, output).lines() {
        let mut words = line.split(' ');
        let (Some(version), Some(name)) = (words.next(), words.next()) else {
            continue;
        };
        let owner = name
            .strip_prefix("test-")
            .and_then(|rest| rest.split_once('-'));
        if owner.is_some_and(|(pid, _)| !Path::new("/proc").join(pid).exists()) {
            let _ = Command::new(SCRIPT)
                .args(["remove", version, name])
                .output();
        }
    }
}

/// What the adapter logs goes to the output of the test, which is shown when it fails.
pub(crate) fn show_log() {
    // Where the logs of the whole run are searched, they all go there.
    faxbot_testkit::logs::to_directory();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| "faxbot_sip=debug,faxbot_providers=debug".into());
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_test_writer()
        .try_init();
}
