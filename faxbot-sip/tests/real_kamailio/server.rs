//! Real Kamailio instances: each test starts its own by `scripts/real-servers/kamailio.sh` and takes it
//! away again.
#![allow(dead_code, reason = "not every module of the tests uses all of it")]

use std::{
    collections::HashMap,
    fs,
    path::Path,
    process::{Command, Output},
    sync::{
        Once,
        atomic::{AtomicU32, Ordering},
    },
};

use faxbot_core::sip::SipAdapter as _;
use faxbot_sip::adapter::kamailio::{KamailioAdapter, KamailioConfig};
use serde_json::{Value, json};

use crate::real::{SipServer, show_log};

const SCRIPT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../scripts/real-servers/kamailio.sh"
);

/// Which Kamailio a test runs against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V5_6,
    V6_1,
}

impl Version {
    fn word(self) -> &'static str {
        match self {
            Self::V5_6 => "5.6",
            Self::V6_1 => "6.1",
        }
    }
}

/// Makes a test of each version of each case.
#[macro_export]
macro_rules! on_both_kamailios {
    ($($case:ident),* $(,)?) => {
        mod kamailio_5_6 {
            $(
                #[tokio::test]
                #[ignore = "needs Kamailio 5.6: scripts/real-servers/kamailio.sh install"]
                async fn $case() {
                    Box::pin(super::$case($crate::server::Version::V5_6)).await;
                }
            )*
        }
        mod kamailio_6_1 {
            $(
                #[tokio::test]
                #[ignore = "needs Kamailio 6.1: scripts/real-servers/kamailio.sh install"]
                async fn $case() {
                    Box::pin(super::$case($crate::server::Version::V6_1)).await;
                }
            )*
        }
    };
}

/// One running Kamailio. Dropping it kills and deletes it, also when the test failed.
#[derive(Debug)]
pub(crate) struct Kamailio {
    version: Version,
    name: String,
    facts: HashMap<String, String>,
}

impl Kamailio {
    /// Starts a new one with options of the script.
    pub(crate) async fn start(version: Version, options: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        static LEFTOVERS: Once = Once::new();
        LEFTOVERS.call_once(|| {
            show_log();
            remove_leftovers();
        });
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut kamailio = Self {
            version,
            name: format!("test-{}-{number}", std::process::id()),
            facts: HashMap::new(),
        };
        kamailio.start_again(options).await;
        kamailio
    }

    /// Starts it after [`kill`](Self::kill): the same ports; without options the same configuration.
    pub(crate) async fn start_again(&mut self, options: &[&str]) {
        let text = self.script("start", options).await;
        self.facts = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
    }

    /// SIGKILL to all its processes.
    pub(crate) async fn kill(&mut self) {
        self.script("kill", &[]).await;
    }

    pub(crate) fn sip_port(&self) -> u16 {
        self.port("FAXBOT_KAMAILIO_SIP_PORT")
    }

    pub(crate) fn rpc_port(&self) -> u16 {
        self.port("FAXBOT_KAMAILIO_RPC_PORT")
    }

    pub(crate) fn evapi_port(&self) -> u16 {
        self.port("FAXBOT_KAMAILIO_EVAPI_PORT")
    }

    /// The URL that the script prints, with the credentials and the events.
    pub(crate) fn url(&self) -> &str {
        self.fact("FAXBOT_KAMAILIO")
    }

    /// The socket of JSON-RPC in datagrams, as the configuration names it.
    pub(crate) fn rpc_socket(&self) -> String {
        match self.fact("FAXBOT_KAMAILIO_DGRAM") {
            "" => format!("udp:{}", self.fact("FAXBOT_KAMAILIO_DGRAM_UDP")),
            path => path.to_owned(),
        }
    }

    /// A path for our own socket that the server, in its chroot, finds under the same name.
    pub(crate) fn reply_socket(&self) -> Option<String> {
        let socket = self.fact("FAXBOT_KAMAILIO_DGRAM");
        (!socket.is_empty()).then(|| format!("{socket}-own"))
    }

    /// A SIP URI of a user at this server.
    pub(crate) fn uri_of(&self, user: &str) -> String {
        format!("sip:{user}@127.0.0.1:{}", self.sip_port())
    }

    /// A configuration with events and fast polls. `options` go over the defaults of the tests; `null`
    /// takes one away.
    pub(crate) fn config(&self, options: &Value) -> KamailioConfig {
        let mut config = json!({
            "type": "kamailio",
            "port": self.rpc_port(),
            "realm": format!("127.0.0.1:{}", self.sip_port()),
            "options": {
                "events": format!("127.0.0.1:{}", self.evapi_port()),
                "poll": "200ms",
            },
        });
        for (name, value) in options.as_object().into_iter().flatten() {
            if value.is_null() {
                config["options"].as_object_mut().unwrap().remove(name);
            } else {
                config["options"][name] = value.clone();
            }
        }
        KamailioConfig::from_value(&config).unwrap()
    }

    /// A configuration without events: everything is seen by polling.
    pub(crate) fn polling(&self) -> KamailioConfig {
        self.config(&json!({ "events": null }))
    }

    /// A configuration with events.
    pub(crate) fn config_with_events(&self) -> KamailioConfig {
        self.config(&json!({}))
    }

    /// An adapter with events that is connected.
    pub(crate) async fn adapter(&self) -> KamailioAdapter {
        connected(self.config_with_events()).await
    }

    fn fact(&self, name: &str) -> &str {
        self.facts
            .get(name)
            .unwrap_or_else(|| panic!("kamailio.sh did not print {name}"))
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

impl SipServer for Kamailio {
    fn sip_port(&self) -> u16 {
        Self::sip_port(self)
    }

    fn is_proxy(&self) -> bool {
        true
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(log) = self.facts.get("FAXBOT_KAMAILIO_LOG")
        {
            let text = fs::read_to_string(log).unwrap_or_default();
            let lines: Vec<_> = text.lines().collect();
            let tail = lines.len().saturating_sub(20);
            eprintln!("the end of the log of {}:", self.name);
            for line in &lines[tail..] {
                eprintln!("  {line}");
            }
        }
        let _ = Command::new(SCRIPT)
            .args(["remove", self.version.word(), &self.name])
            .output();
    }
}

/// An adapter that is connected.
pub(crate) async fn connected(config: KamailioConfig) -> KamailioAdapter {
    let adapter = KamailioAdapter::new(config);
    adapter.connect().await.unwrap();
    adapter
}

fn text_of(arguments: &[&str], output: Output) -> String {
    assert!(
        output.status.success(),
        "kamailio.sh {arguments:?}: {}\n{}",
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
