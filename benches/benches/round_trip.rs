//! A command and its answer over a loopback socket, through the driver, beside an echo of the same
//! bytes over a bare socket.
//!
//! The server is a thread that answers each command as soon as its blank line is there; both
//! clients run on a runtime of one thread. The event socket stands for all protocols: the driver is
//! the same, and its session has the least to do.
#![allow(clippy::print_stdout, reason = "a bench prints its results")]

use std::{
    error::Error,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream as StdStream},
    thread,
    time::{Duration, Instant},
};

use faxbot_core::{clock::TokioClock, random::SystemRandom, task::TaskSet};
use faxbot_sip::{
    driver::{Endpoint, Link, LinkEvent, LinkOptions},
    protocol::esl::{Command, EslCodec, EslConfig, EslSession, Login, MAX_FRAME, Role, server},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const ROUNDS: usize = 20_000;
const RUNS: usize = 5;
/// Requests at once in the second comparison.
const TOGETHER: usize = 64;

/// Answers every command, the login's among them.
fn serve() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        while let Ok((socket, _)) = listener.accept() {
            thread::spawn(move || answer(socket));
        }
    });
    Ok(address)
}

fn answer(mut socket: StdStream) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    socket.write_all(&server::auth_request())?;
    let (mut buffer, mut kept) = ([0; 65_536], Vec::new());
    loop {
        let read = socket.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        kept.extend_from_slice(buffer.get(..read).unwrap_or_default());
        let mut said = Vec::new();
        while let Some(end) = memchr::memmem::find(&kept, b"\n\n") {
            let bytes = if kept.starts_with(b"api") {
                server::api_response(b"+OK")
            } else {
                server::reply("+OK", &[])
            };
            said.extend_from_slice(&bytes);
            kept.drain(..end + 2);
        }
        socket.write_all(&said)?;
    }
}

/// Microseconds of each round, sorted.
async fn bare(address: SocketAddr) -> Result<Vec<f64>> {
    let mut socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let command = Command::api("status", "")?.to_bytes();
    let answer = server::api_response(b"+OK");
    let mut greeting = vec![0; server::auth_request().len()];
    socket.read_exact(&mut greeting).await?;
    let mut buffer = vec![0; answer.len()];
    let mut took = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        socket.write_all(&command).await?;
        socket.read_exact(&mut buffer).await?;
        took.push(start.elapsed().as_secs_f64() * 1e6);
    }
    took.sort_by(f64::total_cmp);
    Ok(took)
}

/// The same through the driver, and then the mean of `TOGETHER` at once.
async fn driven(address: SocketAddr) -> Result<(Vec<f64>, f64)> {
    let tasks = TaskSet::current("bench")?;
    let login = Login::password("ClueCon")?;
    let factory = move |random: [u8; 32]| {
        let mut prefix = [0; 16];
        prefix.copy_from_slice(&random[..16]);
        let session = EslSession::new(login.clone(), EslConfig::new(), prefix);
        (session, EslCodec::new(Role::Client, MAX_FRAME))
    };
    let endpoint = Endpoint::tcp(address.ip().to_string(), address.port());
    let (link, mut events) = Link::start(
        LinkOptions::new("bench"),
        Box::new(endpoint),
        factory,
        TokioClock::shared(),
        SystemRandom::shared(),
        &tasks,
    );
    while let Some(event) = events.recv().await {
        if let LinkEvent::Up { setup, .. } = event {
            setup.ready();
            break;
        }
    }
    let handle = link.handle();
    let patience = Duration::from_secs(10);
    let command = Command::api("status", "")?;
    let mut took = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        handle.request(command.clone(), patience).await?;
        took.push(start.elapsed().as_secs_f64() * 1e6);
    }
    took.sort_by(f64::total_cmp);

    let start = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..TOGETHER {
        let (handle, command) = (handle.clone(), command.clone());
        callers.spawn(async move {
            for _ in 0..ROUNDS / TOGETHER {
                handle.request(command.clone(), patience).await?;
            }
            Ok::<_, faxbot_sip::driver::RequestError>(())
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller??;
    }
    let together = start.elapsed().as_secs_f64() * 1e6 / ROUNDS as f64;
    Ok((took, together))
}

fn at(sorted: &[f64], percent: usize) -> f64 {
    let index = sorted.len() * percent / 100;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

fn main() -> Result<()> {
    // `cargo test --benches` only wants to know that it builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let address = serve()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    println!("Round trips, microseconds; {ROUNDS} a run, the run with the best median of {RUNS}");
    println!("{:<36}{:>8}{:>8}{:>8}", "", "median", "p90", "p99");
    let (mut echo, mut ours, mut together) = (Vec::new(), Vec::new(), f64::INFINITY);
    let better = |new: &[f64], old: &[f64]| old.is_empty() || at(new, 50) < at(old, 50);
    for _ in 0..RUNS {
        let new = runtime.block_on(bare(address))?;
        if better(&new, &echo) {
            echo = new;
        }
        let (new, all) = runtime.block_on(driven(address))?;
        if better(&new, &ours) {
            ours = new;
        }
        together = together.min(all);
    }
    for (name, took) in [("bare socket", &echo), ("through the driver", &ours)] {
        let [median, p90, p99] = [50, 90, 99].map(|percent| at(took, percent));
        println!("{name:<36}{median:>8.1}{p90:>8.1}{p99:>8.1}");
    }
    println!(
        "{:<36}{together:>8.1}",
        format!("{TOGETHER} at once, a request")
    );
    Ok(())
}
