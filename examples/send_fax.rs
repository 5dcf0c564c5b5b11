//! Sends a fax, with live progress and the result.
//!
//! ```sh
//! cargo run --example send_fax                                   # a mock Asterisk, nothing to install
//! cargo run --example send_fax -- --server freeswitch            # a mock FreeSWITCH; yate as well
//! cargo run --example send_fax -- --to +493012345678 letter.pdf  # a real server, see below
//! ```
//!
//! The real one is named by the environment: `FAXBOT_AMI=ami://user:secret@host:5038`, or with
//! `--server freeswitch` `FAXBOT_ESL=esl://:ClueCon@host:8021`, or with `--server yate`
//! `FAXBOT_YATE=yate://host:5039`; `FAXBOT_DIAL` (`PJSIP/{number}@trunk`, `sofia/gateway/x/{number}`),
//! `FAXBOT_SPOOL` and `FAXBOT_SPOOL_REMOTE` (one directory as we and as the server see it). The exit
//! status is 0 only on success; Ctrl-C hangs up.
#![allow(
    clippy::print_stdout,
    reason = "an example talks to the person who runs it"
)]

mod servers;

use std::{
    env,
    io::{IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use faxbot_core::{
    Error, ErrorKind, Result,
    document::{Document, FaxImage},
    fax::{FaxPhase, JobStatus},
    id::JobId,
    plugin::{FaxPlugin, Plugin, PluginDeps, SendOptions, StatusResult},
    sip::SipAdapter,
};
use faxbot_providers::{
    document::{PngOptions, RenderConverter, pages_to_png},
    sip_fax::SipFaxPlugin,
};
use serde_json::json;

use servers::{Kind, Mock, Settings, wrong};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/sample.pdf");

/// How often the progress is shown anew.
const REFRESH: Duration = Duration::from_millis(200);

/// What the command line asks for.
#[derive(Debug, PartialEq)]
struct Arguments {
    server: Kind,
    /// A real destination and a file; without them the mock gets the sample.
    real: Option<(String, PathBuf)>,
    /// Where the pages that the mock received go.
    out: PathBuf,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mut server = Kind::default();
        let (mut to, mut file, mut out) = (None, None, PathBuf::from("target/send_fax"));
        while let Some(word) = words.next() {
            match word.as_str() {
                "--server" => server = Kind::parse(&words.next().unwrap_or_default())?,
                "--to" => {
                    to =
                        Some(words.next().ok_or_else(|| {
                            wrong("--to needs a number, an extension or a SIP URI")
                        })?)
                }
                "--out" => {
                    out = words
                        .next()
                        .ok_or_else(|| wrong("--out needs a directory"))?
                        .into()
                }
                option if option.starts_with('-') => {
                    return Err(wrong(
                        "usage: send_fax [--server asterisk|freeswitch|yate] [--to TARGET FILE] [--out DIR]",
                    ));
                }
                _ => file = Some(PathBuf::from(word)),
            }
        }
        let real = match (to, file) {
            (Some(to), Some(file)) => Some((to, file)),
            (None, None) => None,
            _ => return Err(wrong("--to TARGET and FILE belong together")),
        };
        Ok(Self { server, real, out })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let sent = match Arguments::parse(env::args().skip(1)) {
        Ok(arguments) => run(arguments).await,
        Err(error) => Err(error),
    };
    match sent {
        Ok(JobStatus::Success) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            if let Some(text) = error.native_text() {
                eprintln!("the server said: {text}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<JobStatus> {
    let kind = arguments.server;
    let Some((to, file)) = arguments.real else {
        return with_mock(kind, &arguments.out).await;
    };
    let settings = Settings::from_environment(kind).filter(|real| real.spool.is_some());
    let settings = settings.ok_or_else(|| {
        let text = format!(
            "set {} and FAXBOT_SPOOL; the head of this example says how",
            kind.variable()
        );
        Error::new(ErrorKind::Config, "send_fax", text)
    })?;
    let adapter = settings.adapter(kind)?;
    adapter.connect().await?;
    let status = send(Arc::clone(&adapter), &to, &file).await?;
    adapter.disconnect(Duration::from_secs(5)).await?;
    Ok(status)
}

/// The whole way, with a server in this process: real TCP, the real protocol, and the pages that
/// arrived at the other end as pictures.
async fn with_mock(kind: Kind, out: &Path) -> Result<JobStatus> {
    let io = |source: std::io::Error| {
        Error::new(
            ErrorKind::Io,
            "send_fax",
            "a file or a port of this machine",
        )
        .with_source(source)
    };
    let spool = tempfile::tempdir().map_err(io)?;
    let mock = Mock::start(kind, spool.path()).await.map_err(io)?;
    println!("a mock of {} is up", kind.name());

    let adapter = mock.settings(spool.path()).adapter(kind)?;
    adapter.connect().await?;
    // A number that is never given to anybody (reserved for fiction).
    let status = send(Arc::clone(&adapter), "+12025550147", Path::new(SAMPLE)).await?;
    adapter.disconnect(Duration::from_secs(5)).await?;

    for fax in mock.received_faxes() {
        std::fs::create_dir_all(out).map_err(io)?;
        let tiff = out.join("received.tif");
        std::fs::write(&tiff, &fax.tiff).map_err(io)?;
        println!(
            "\nthe mock received {} ({} bytes):",
            tiff.display(),
            fax.tiff.len()
        );
        for page in pages_to_png(&FaxImage::open(&tiff)?, out, &PngOptions::new())? {
            println!("  {}", page.display());
        }
    }
    Ok(status)
}

async fn send(adapter: Arc<dyn SipAdapter>, to: &str, file: &Path) -> Result<JobStatus> {
    let plugin = SipFaxPlugin::new(adapter);
    let converter = Arc::new(RenderConverter::new());
    let config = json!({ "options": { "station_id": "+1 202 555 0100", "header": "Faxbot SDK" } });
    plugin
        .start(config, PluginDeps::current()?.with_documents(converter))
        .await?;
    let started = Instant::now();
    let job = plugin
        .send_fax(to.parse()?, Document::path(file), SendOptions::new())
        .await?
        .job_id;
    let status = follow(&plugin, &job).await?;
    table(&status, started.elapsed());
    plugin.stop().await?;
    Ok(status.status)
}

/// Shows the progress until the job is over; Ctrl-C cancels it.
async fn follow(plugin: &SipFaxPlugin, job: &JobId) -> Result<StatusResult> {
    let mut screen = Screen::new();
    let mut cancelled = false;
    let mut sending_since = None;
    loop {
        let status = plugin.get_status(job).await?;
        let progress = status.detail.progress.as_ref();
        // Ringing and negotiating say nothing about how long a page takes.
        sending_since = match progress.map(|progress| progress.phase) {
            Some(FaxPhase::Transmitting) => sending_since.or_else(|| Some(Instant::now())),
            _ => None,
        };
        let sending = sending_since.map_or(Duration::ZERO, |since| since.elapsed());
        screen.show(&line(&status, sending));
        if status.status.is_final() {
            screen.finish();
            return Ok(status);
        }
        tokio::select! {
            () = tokio::time::sleep(REFRESH) => {}
            signal = tokio::signal::ctrl_c(), if !cancelled => {
                cancelled = signal.is_ok();
                screen.finish();
                println!("cancelling: {:?}", plugin.cancel_fax(job).await?);
            }
        }
    }
}

/// Status, phase, page x of n, time left by how long the pages so far took.
fn line(status: &StatusResult, sending: Duration) -> String {
    let mut text = status.status.to_string();
    let Some(progress) = &status.detail.progress else {
        return text;
    };
    let phase = match progress.phase {
        FaxPhase::Dialing => "dialing",
        FaxPhase::Ringing => "ringing",
        FaxPhase::Negotiating => "negotiating",
        FaxPhase::Transmitting => "transmitting",
        _ => "finished",
    };
    text = format!("{text}: {phase}");
    if let (Some(page), FaxPhase::Transmitting) = (progress.page, progress.phase) {
        text = format!("{text}, page {page} of {}", progress.pages_total);
        let confirmed = progress.pages_confirmed.unwrap_or(0);
        if let Some(left) = sending.checked_div(confirmed) {
            let pages = progress.pages_total.saturating_sub(confirmed);
            text = format!("{text}, about {} s left", (left * pages).as_secs().max(1));
        }
    }
    text
}

fn table(status: &StatusResult, took: Duration) {
    let none = || "-".to_owned();
    println!("\n{:<16}{}", "result", status.status);
    println!("{:<16}{}", "job", status.job_id);
    if let Some(outcome) = &status.detail.outcome {
        let pages = |pages: Option<u32>| pages.map_or_else(none, |pages| pages.to_string());
        println!(
            "{:<16}{} of {}",
            "pages confirmed",
            pages(outcome.pages_confirmed),
            pages(outcome.pages_total)
        );
        println!(
            "{:<16}{}",
            "bit rate",
            outcome
                .bit_rate
                .map_or_else(none, |rate| format!("{rate} bit/s"))
        );
        println!(
            "{:<16}{}",
            "resolution",
            outcome
                .resolution
                .map_or_else(none, |resolution| resolution.to_string())
        );
        println!(
            "{:<16}{}",
            "transport",
            outcome
                .transport
                .map_or_else(none, |transport| format!("{transport:?}"))
        );
        // The person who sent the fax may see who answered.
        println!(
            "{:<16}{}",
            "far end",
            outcome
                .remote_station_id
                .as_ref()
                .map_or_else(none, |id| id.expose().clone())
        );
    }
    println!("{:<16}{}", "calls", status.detail.attempts.len());
    println!("{:<16}{:.1} s", "took", took.as_secs_f64());
    if let Some(error) = &status.error {
        println!("{:<16}{error}", "error");
    }
}

/// One line that is written over on a terminal, a line a change elsewhere.
struct Screen {
    terminal: bool,
    last: String,
}

impl Screen {
    fn new() -> Self {
        Self {
            terminal: std::io::stdout().is_terminal(),
            last: String::new(),
        }
    }

    fn show(&mut self, text: &str) {
        if text == self.last {
            return;
        }
        if self.terminal {
            print!("\r\x1b[2K{text}");
            // A terminal that is gone shows nothing, and nothing is lost.
            let _ = std::io::stdout().flush();
        } else {
            println!("{text}");
        }
        text.clone_into(&mut self.last);
    }

    fn finish(&self) {
        if self.terminal {
            println!();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Arguments> {
        Arguments::parse(words.iter().map(|&word| word.to_owned()))
    }

    #[test]
    fn a_target_and_a_file_belong_together() {
        assert!(parse(&[]).unwrap().real.is_none());
        let real = parse(&["--to", "700", "a.pdf", "--out", "x"]).unwrap();
        assert_eq!(real.real, Some(("700".to_owned(), "a.pdf".into())));
        for bad in [&["--to", "700"][..], &["a.pdf"], &["--to"], &["--frob"]] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn each_server_has_its_name() {
        for kind in Kind::ALL {
            assert_eq!(parse(&["--server", kind.name()]).unwrap().server, kind);
        }
        assert!(parse(&["--server", "exchange"]).is_err());
    }

    #[tokio::test]
    async fn the_sample_arrives_at_each_mock_page_by_page() {
        let sent = Kind::ALL.map(|kind| async move {
            let out = tempfile::tempdir().unwrap();
            let status = with_mock(kind, out.path()).await.unwrap();
            assert_eq!(status, JobStatus::Success, "{kind:?}");
            for page in ["page-001.png", "page-002.png", "page-003.png"] {
                assert!(out.path().join(page).exists(), "{kind:?}: {page}");
            }
        });
        let [asterisk, freeswitch, yate] = sent;
        tokio::join!(asterisk, freeswitch, yate);
    }
}
