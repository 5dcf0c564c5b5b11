//! JSON-RPC: round trips by `Rpc` over HTTP and over datagrams, each beside its bare transport with
//! `serde_json`, and what a dialog of a list costs to read.
#![allow(clippy::print_stdout, reason = "a bench prints its results")]

mod list;
mod server;

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use divan::{AllocProfiler, Bencher, black_box};
use faxbot_core::{
    clock::TokioClock,
    http::{ApiClient, ReqwestClient},
    random::SystemRandom,
    task::TaskSet,
};
use faxbot_sip::{
    driver::{DatagramOptions, DatagramPeer, Rpc},
    protocol::jsonrpc::{Params, Request},
};
use serde::Deserialize;
use serde_json::json;
use tokio::{net::UdpSocket, task::JoinSet};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const ROUNDS: usize = 5_000;
const RUNS: usize = 7;
/// Requests at once in the second comparison.
const TOGETHER: usize = 16;
const PATIENCE: Duration = Duration::from_secs(10);

/// What a round trip comes back with.
#[derive(Deserialize)]
struct Answer {
    result: Counts,
    id: u32,
}

#[derive(Deserialize)]
struct Counts {
    all: u64,
}

/// One request of one client.
trait Client: Clone + Send + Sync + 'static {
    fn ask(&self, number: u32) -> impl Future<Output = Result<u64>> + Send;
}

#[derive(Clone)]
struct Ours(Rpc);

impl Client for Ours {
    async fn ask(&self, _number: u32) -> Result<u64> {
        let request = Request::new("dlg.stats_active", Params::list(["a"]))?;
        let counts: Counts = self.0.read("bench", request, PATIENCE).await?;
        Ok(counts.all)
    }
}

fn body(number: u32) -> Result<Vec<u8>> {
    let method = "dlg.stats_active";
    let request = json!({"jsonrpc": "2.0", "method": method, "params": ["a"], "id": number});
    Ok(serde_json::to_vec(&request)?)
}

fn checked(bytes: &[u8], number: u32) -> Result<u64> {
    let answer: Answer = serde_json::from_slice(bytes)?;
    if answer.id != number {
        return Err("another id".into());
    }
    Ok(answer.result.all)
}

/// reqwest and `serde_json` without anything between.
#[derive(Clone)]
struct Bare {
    client: reqwest::Client,
    url: String,
}

impl Client for Bare {
    async fn ask(&self, number: u32) -> Result<u64> {
        let post = self.client.post(&self.url).timeout(PATIENCE);
        let post = post.header("content-type", "application/json");
        let response = post.body(body(number)?).send().await?;
        checked(&response.bytes().await?, number)
    }
}

/// A socket for each caller.
struct BareUdp {
    to: std::net::SocketAddr,
    socket: UdpSocket,
}

#[derive(Clone)]
struct Udp(Arc<BareUdp>);

impl Client for Udp {
    async fn ask(&self, number: u32) -> Result<u64> {
        self.0.socket.send_to(&body(number)?, self.0.to).await?;
        let mut buffer = [0; 2048];
        let received = self.0.socket.recv_from(&mut buffer);
        let (length, _) = tokio::time::timeout(PATIENCE, received).await??;
        checked(buffer.get(..length).unwrap_or_default(), number)
    }
}

/// Microseconds of each round, sorted.
async fn rounds(client: &impl Client) -> Result<Vec<f64>> {
    let mut took = Vec::with_capacity(ROUNDS);
    for number in 0..ROUNDS {
        let start = Instant::now();
        black_box(client.ask(u32::try_from(number)?).await?);
        took.push(start.elapsed().as_secs_f64() * 1e6);
    }
    took.sort_by(f64::total_cmp);
    Ok(took)
}

/// Microseconds of a request where so many are asked at once.
async fn together(client: &impl Client) -> Result<f64> {
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..TOGETHER {
        let client = client.clone();
        callers.spawn(async move {
            for number in 0..ROUNDS / TOGETHER {
                let number = u32::try_from(number).unwrap_or_default();
                client.ask(number).await?;
            }
            Ok::<_, Box<dyn Error + Send + Sync>>(())
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller??;
    }
    Ok(start.elapsed().as_secs_f64() * 1e6 / ROUNDS as f64)
}

fn at(sorted: &[f64], percent: usize) -> f64 {
    let index = sorted.len() * percent / 100;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

/// The best of the runs of one client.
struct Best {
    name: &'static str,
    took: Vec<f64>,
    together: Option<f64>,
}

impl Best {
    fn new(name: &'static str) -> Self {
        let (took, together) = (Vec::new(), None);
        Self {
            name,
            took,
            together,
        }
    }

    async fn run(&mut self, client: &impl Client, many: bool) -> Result<()> {
        let took = rounds(client).await?;
        if self.took.is_empty() || at(&took, 50) < at(&self.took, 50) {
            self.took = took;
        }
        if many {
            let new = together(client).await?;
            self.together = Some(self.together.map_or(new, |old| old.min(new)));
        }
        Ok(())
    }

    fn print(&self, of: &Self) {
        let [median, p90, p99] = [50, 90, 99].map(|percent| at(&self.took, percent));
        let ratio = median / at(&of.took, 50);
        let many = self
            .together
            .map_or(String::new(), |it| format!("{it:>10.1}"));
        let name = self.name;
        println!("{name:<32}{median:>8.1}{p90:>8.1}{p99:>8.1}{ratio:>8.2}{many}");
    }
}

async fn round_trips() -> Result<()> {
    let tasks = TaskSet::current("bench")?;
    let url = format!("http://{}/RPC", server::http()?);
    // Nothing here is TLS, but reqwest wants to know.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(tls);
    let client = client.build()?;
    let bare = Bare {
        client,
        url: url.clone(),
    };
    let http = Arc::new(ReqwestClient::new()?);
    let (clock, random) = (TokioClock::shared(), SystemRandom::shared());
    let api = ApiClient::new(http, url.parse()?, Arc::clone(&clock), Arc::clone(&random))?;
    let ours = Ours(Rpc::http(api, url.parse()?));
    let to = server::udp()?;
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    let udp = Udp(Arc::new(BareUdp { to, socket }));
    let options = DatagramOptions::new();
    let datagram = Ours(Rpc::datagram(
        DatagramPeer::Udp(to),
        options,
        clock,
        random,
        &tasks,
    )?);

    let mut best = [
        Best::new("reqwest and serde_json"),
        Best::new("Rpc over HTTP"),
        Best::new("udp socket and serde_json"),
        Best::new("Rpc over UDP"),
    ];
    for _ in 0..RUNS {
        let [a, b, c, d] = &mut best;
        a.run(&bare, true).await?;
        b.run(&ours, true).await?;
        // Who waits at one socket without ids cannot ask twice at once.
        c.run(&udp, false).await?;
        d.run(&datagram, true).await?;
    }
    println!("Round trips, microseconds; {ROUNDS} a run, the run with the best median of {RUNS}");
    let many = format!("{TOGETHER} at once");
    println!(
        "{:<32}{:>8}{:>8}{:>8}{:>8}{many:>11}",
        "", "median", "p90", "p99", "ratio"
    );
    let [a, b, c, d] = &best;
    for (shown, of) in [(a, a), (b, a), (c, c), (d, c)] {
        shown.print(of);
    }
    Ok(())
}

fn main() -> Result<()> {
    // `cargo test --benches` only wants to know that it builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(round_trips())?;
    println!();
    list::compare()?;
    divan::main();
    Ok(())
}

#[divan::bench(args = list::CASES, types = [list::Decoded, list::Apart, list::Typed, list::Tree])]
fn read<R: list::Reader>(bencher: Bencher<'_, '_>, case: &str) {
    let body = list::body(case).unwrap_or_default();
    bencher.bench(|| R::read(black_box(&body)));
}
