//! JSON-RPC over unix-domain and UDP datagrams, and datagrams that others send to us.
#![cfg(test)]
#![cfg(all(unix, feature = "rpc"))]

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use faxbot_core::{
    Effect, ErrorKind,
    clock::TokioClock,
    random::{SeededRandom, SystemRandom},
    task::TaskSet,
};
use faxbot_sip::{
    driver::{AllowList, DatagramOptions, DatagramPeer, Datagrams, Rpc, RpcFailure},
    protocol::jsonrpc::{
        MAX_REQUEST, Notification, Params, Request, RpcError,
        server::{self, Asked},
    },
};
use serde_json::{Value, json};
use tokio::net::{UdpSocket, UnixDatagram};

const SECOND: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_millis(150);

type End = Result<Value, (ErrorKind, Effect)>;

const REFUSED: End = Err((ErrorKind::NotConnected, Effect::NoEffect));
const UNKNOWN: End = Err((ErrorKind::OutcomeUnknown, Effect::Unknown));
const LATE: End = Err((ErrorKind::Timeout, Effect::NoEffect));

fn end(result: Result<Value, RpcFailure>) -> End {
    result.map_err(|failure| {
        let error = failure.into_error();
        (error.kind(), error.effect())
    })
}

fn request(n: u64) -> Request {
    Request::new("echo", Params::list([n])).unwrap()
}

async fn act(rpc: &Rpc, n: u64, limit: Duration) -> End {
    end(rpc.act("hangup", request(n), limit).await)
}

async fn read(rpc: &Rpc, n: u64, limit: Duration) -> End {
    end(rpc.read("lookup", request(n), limit).await)
}

/// A server of either kind, which answers from a socket that is not the one it is asked at: the
/// real ones may.
enum Server {
    Unix(UnixDatagram, UnixDatagram, PathBuf),
    Udp(UdpSocket, UdpSocket),
}

enum From {
    Unix(PathBuf),
    Udp(SocketAddr),
}

impl Server {
    fn unix(path: &Path) -> Self {
        let _left = fs::remove_file(path);
        let socket = UnixDatagram::bind(path).unwrap();
        Self::Unix(socket, UnixDatagram::unbound().unwrap(), path.to_owned())
    }

    async fn udp() -> Self {
        let bind = || UdpSocket::bind("127.0.0.1:0");
        Self::Udp(bind().await.unwrap(), bind().await.unwrap())
    }

    fn peer(&self) -> DatagramPeer {
        match self {
            Self::Unix(_, _, path) => DatagramPeer::Unix(path.clone()),
            Self::Udp(socket, _) => DatagramPeer::Udp(socket.local_addr().unwrap()),
        }
    }

    async fn asked(&self) -> (Vec<u8>, From) {
        let mut buffer = vec![0; 70_000];
        let (length, from) = match self {
            Self::Unix(socket, ..) => {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                // Without a name no answer could come.
                (length, From::Unix(from.as_pathname().unwrap().to_owned()))
            }
            Self::Udp(socket, _) => {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                (length, From::Udp(from))
            }
        };
        buffer.truncate(length);
        (buffer, from)
    }

    async fn call(&self) -> (Asked, From) {
        let (bytes, from) = self.asked().await;
        (Asked::parse(&bytes).unwrap(), from)
    }

    async fn say(&self, bytes: &[u8], to: &From) {
        match (self, to) {
            (Self::Unix(_, answer, _), From::Unix(to)) => answer.send_to(bytes, to).await,
            (Self::Udp(_, answer), From::Udp(to)) => answer.send_to(bytes, to).await,
            _ => unreachable!(),
        }
        .unwrap();
    }

    async fn answer(&self, asked: &Asked, to: &From) {
        self.say(&ok(asked), to).await;
    }

    /// Answers whatever comes by its parameter.
    fn serve(self) -> tokio::task::JoinHandle<()> {
        tokio::spawn(async move {
            loop {
                let (asked, from) = self.call().await;
                self.answer(&asked, &from).await;
            }
        })
    }
}

fn ok(asked: &Asked) -> bytes::Bytes {
    server::result(asked.id.as_ref(), asked.at(0).unwrap())
}

struct Stage {
    tasks: TaskSet,
    folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        Self {
            tasks: TaskSet::current("test").unwrap(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Both kinds of server.
    async fn servers(&self) -> [Server; 2] {
        [Server::unix(&self.path("server")), Server::udp().await]
    }

    fn options(&self, to: &DatagramPeer) -> DatagramOptions {
        match to {
            DatagramPeer::Unix(_) => {
                DatagramOptions::new().with_own(DatagramPeer::Unix(self.path("client")))
            }
            _ => DatagramOptions::new(),
        }
    }

    fn rpc(&self, to: DatagramPeer) -> Rpc {
        let options = self.options(&to);
        self.rpc_with(to, options)
    }

    fn rpc_with(&self, to: DatagramPeer, options: DatagramOptions) -> Rpc {
        let random = SeededRandom::shared(7);
        Rpc::datagram(to, options, TokioClock::shared(), random, &self.tasks).unwrap()
    }
}

#[tokio::test]
async fn requests_and_answers_of_both_kinds_pass_up_to_their_limits() {
    let stage = Stage::new();
    for server in stage.servers().await {
        let rpc = stage.rpc(server.peer());
        let serving = server.serve();
        assert_eq!(act(&rpc, 7, SECOND).await, Ok(json!(7)));
        let frame = request(7).max_len() - "7".len() + "\"\"".len();
        let text = "x".repeat(MAX_REQUEST - frame);
        let long = Request::new("echo", Params::list([text.clone()])).unwrap();
        assert_eq!(long.max_len(), MAX_REQUEST);
        assert_eq!(end(rpc.read("lookup", long, SECOND).await), Ok(json!(text)));
        serving.abort();
    }
}

#[tokio::test]
async fn answers_in_any_order_reach_their_own_requests() {
    let stage = Stage::new();
    for server in stage.servers().await {
        let rpc = stage.rpc(server.peer());
        let calls: Vec<_> = (0..8)
            .map(|n| {
                let rpc = rpc.clone();
                tokio::spawn(async move { act(&rpc, n, 5 * SECOND).await })
            })
            .collect();
        let mut asked = Vec::new();
        for _ in 0..8 {
            asked.push(server.call().await);
        }
        // A parse error of somebody else's, an empty one, an answer that nobody asked for.
        let (_, to) = &asked[0];
        for stray in ["400 Parse_error", "", "[]", r#"{"result":1,"id":5}"#] {
            server.say(stray.as_bytes(), to).await;
        }
        for (asked, from) in asked.iter().rev() {
            server.answer(asked, from).await;
            server.answer(asked, from).await;
        }
        for (n, call) in (0..).zip(calls) {
            assert_eq!(call.await.unwrap(), Ok(json!(n)));
        }
        tokio::time::sleep(MOMENT).await;
        assert_eq!(rpc.dropped(), 12);
    }
}

/// What a server sends for what it was asked.
type Answer = fn(&Asked) -> Vec<u8>;

#[tokio::test]
async fn refusals_and_what_is_no_answer_end_as_over_http() {
    let stage = Stage::new();
    for server in stage.servers().await {
        let rpc = stage.rpc(server.peer());
        let answers: [(Answer, End); 3] = [
            (
                |it| server::error(it.id.as_ref(), &RpcError::new(404, "no")).to_vec(),
                Err((ErrorKind::NotFound, Effect::NoEffect)),
            ),
            (|it| json!({"id": it.id}).to_string().into_bytes(), UNKNOWN),
            (
                |it| {
                    json!({"id": it.id, "result": 1, "error": {}})
                        .to_string()
                        .into_bytes()
                },
                UNKNOWN,
            ),
        ];
        for (answer, want) in answers {
            let call = act(&rpc, 1, SECOND);
            let reply = async {
                let (asked, from) = server.call().await;
                server.say(&answer(&asked), &from).await;
            };
            assert_eq!(tokio::join!(call, reply).0, want);
        }
    }
}

#[tokio::test]
async fn a_late_answer_is_nobodys_and_silence_ends_in_time() {
    let stage = Stage::new();
    for server in stage.servers().await {
        let rpc = stage.rpc(server.peer());
        let begun = Instant::now();
        let (acting, reading) = (act(&rpc, 1, MOMENT), read(&rpc, 2, MOMENT));
        assert_eq!(tokio::join!(acting, reading), (UNKNOWN, LATE));
        assert!(begun.elapsed() >= MOMENT && begun.elapsed() < 10 * MOMENT);
        let late = [server.call().await, server.call().await];
        let next = act(&rpc, 3, 5 * SECOND);
        let reply = async {
            for (asked, from) in &late {
                server.answer(asked, from).await;
            }
            let (asked, from) = server.call().await;
            server.answer(&asked, &from).await;
        };
        assert_eq!(tokio::join!(next, reply).0, Ok(json!(3)));
        assert_eq!(rpc.dropped(), 2);
    }
}

#[tokio::test]
async fn a_place_is_kept_by_who_left_and_one_too_many_is_not_sent() {
    let stage = Stage::new();
    for server in stage.servers().await {
        let options = stage.options(&server.peer()).with_max_waiting(2);
        let rpc = stage.rpc_with(server.peer(), options);
        let full = Err((ErrorKind::Overloaded, Effect::NoEffect));
        for n in [1, 2] {
            let dropped = tokio::time::timeout(MOMENT / 3, act(&rpc, n, 5 * SECOND)).await;
            assert!(dropped.is_err());
        }
        assert_eq!(act(&rpc, 3, SECOND).await, full);
        for _ in [1, 2] {
            let (asked, from) = server.call().await;
            server.answer(&asked, &from).await;
        }
        tokio::time::sleep(MOMENT).await;
        let reply = async {
            let (asked, from) = server.call().await;
            assert_eq!(asked.at(0), Some(&json!(4)));
            server.answer(&asked, &from).await;
        };
        assert_eq!(tokio::join!(act(&rpc, 4, SECOND), reply).0, Ok(json!(4)));
    }
}

#[tokio::test]
async fn an_answer_over_the_limit_is_dropped() {
    let stage = Stage::new();
    for server in stage.servers().await {
        let options = stage.options(&server.peer()).with_max_answer_bytes(2000);
        let rpc = stage.rpc_with(server.peer(), options);
        let reply = async {
            let (asked, from) = server.call().await;
            let long = json!("x".repeat(2000));
            server
                .say(&server::result(asked.id.as_ref(), &long), &from)
                .await;
        };
        assert_eq!(tokio::join!(read(&rpc, 1, 2 * MOMENT), reply).0, LATE);
        assert_eq!(rpc.dropped(), 1);
    }
}

#[tokio::test]
async fn a_socket_of_the_server_that_vanishes_and_returns_is_found_again() {
    let stage = Stage::new();
    let path = stage.path("server");
    let rpc = stage.rpc(DatagramPeer::Unix(path.clone()));
    // Not there yet.
    assert_eq!(act(&rpc, 1, SECOND).await, REFUSED);
    let serving = Server::unix(&path).serve();
    assert_eq!(act(&rpc, 2, SECOND).await, Ok(json!(2)));
    // Stopped, and its file left behind.
    serving.abort();
    let _ = serving.await;
    assert_eq!(act(&rpc, 3, SECOND).await, REFUSED);
    fs::remove_file(&path).unwrap();
    assert_eq!(act(&rpc, 4, SECOND).await, REFUSED);
    let serving = Server::unix(&path).serve();
    assert_eq!(act(&rpc, 5, SECOND).await, Ok(json!(5)));
    serving.abort();
}

#[tokio::test]
async fn a_server_that_dies_under_a_request_leaves_it_unknown() {
    let stage = Stage::new();
    let path = stage.path("server");
    let server = Server::unix(&path);
    let rpc = stage.rpc(server.peer());
    let death = async {
        let _ = server.call().await;
        drop(server);
    };
    assert_eq!(tokio::join!(act(&rpc, 1, 2 * MOMENT), death).0, UNKNOWN);
}

#[tokio::test]
async fn a_file_of_ours_that_somebody_removed_is_made_again_and_goes_with_us() {
    let stage = Stage::new();
    let server = Server::unix(&stage.path("server"));
    let rpc = stage.rpc(server.peer());
    let serving = server.serve();
    assert_eq!(act(&rpc, 1, SECOND).await, Ok(json!(1)));
    fs::remove_file(stage.path("client")).unwrap();
    assert_eq!(act(&rpc, 2, SECOND).await, Ok(json!(2)));
    drop(rpc);
    let mut waits = 0;
    while stage.path("client").exists() {
        tokio::time::sleep(MOMENT / 10).await;
        waits += 1;
        assert!(waits < 100);
    }
    assert_eq!(stage.tasks.len(), 0);
    serving.abort();
}

#[tokio::test]
async fn a_file_that_a_dead_process_left_is_taken_over_and_one_in_use_is_not() {
    let stage = Stage::new();
    let to = DatagramPeer::Unix(stage.path("server"));
    // Dropping a socket of the runtime leaves its file.
    drop(UnixDatagram::bind(stage.path("client")).unwrap());
    let first = stage.rpc(to.clone());
    let second = Rpc::datagram(
        to.clone(),
        stage.options(&to),
        TokioClock::shared(),
        SystemRandom::shared(),
        &stage.tasks,
    );
    assert_eq!(second.unwrap_err().kind(), ErrorKind::Io);
    drop(first);
    let file = stage.path("no-socket");
    fs::write(&file, "kept").unwrap();
    let options = DatagramOptions::new().with_own(DatagramPeer::Unix(file.clone()));
    let (clock, random) = (TokioClock::shared(), SystemRandom::shared());
    let taken = Rpc::datagram(to, options, clock, random, &stage.tasks);
    assert_eq!(taken.unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(fs::read_to_string(file).unwrap(), "kept");
}

#[tokio::test]
async fn our_own_socket_needs_no_configuration() {
    let stage = Stage::new();
    let server = Server::unix(&stage.path("server"));
    let rpc = stage.rpc_with(server.peer(), DatagramOptions::new());
    let serving = server.serve();
    assert_eq!(act(&rpc, 1, SECOND).await, Ok(json!(1)));
    serving.abort();
}

#[tokio::test]
async fn sockets_of_two_kinds_are_an_error_of_the_configuration() {
    let stage = Stage::new();
    let own = DatagramPeer::Unix(stage.path("client"));
    let to = DatagramPeer::Udp("127.0.0.1:9".parse().unwrap());
    let options = DatagramOptions::new().with_own(own);
    let (clock, random) = (TokioClock::shared(), SystemRandom::shared());
    let error = Rpc::datagram(to, options, clock, random, &stage.tasks).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[tokio::test]
async fn a_full_queue_of_the_server_is_waited_for_and_then_nothing_was_sent() {
    let stage = Stage::new();
    let server = Server::unix(&stage.path("server"));
    let rpc = stage.rpc(server.peer());
    // The system queues some datagrams for who does not read.
    let mut ends = Vec::new();
    for n in 0..400 {
        let end = act(&rpc, n, Duration::from_millis(20)).await;
        ends.push(end.clone());
        if end == Err((ErrorKind::Overloaded, Effect::NoEffect)) {
            break;
        }
        assert_eq!(end, UNKNOWN);
    }
    assert!(ends.len() < 400, "no queue was full");
    let sent = ends.len() - 1;
    let reader = async {
        for _ in 0..sent {
            let _ = server.call().await;
        }
        let (asked, from) = server.call().await;
        assert_eq!(asked.at(0), Some(&json!(1000)));
        server.answer(&asked, &from).await;
    };
    assert_eq!(
        tokio::join!(act(&rpc, 1000, 5 * SECOND), reader).0,
        Ok(json!(1000))
    );
}

#[tokio::test]
async fn over_udp_nobody_there_is_known_at_once_where_answers_come_from_the_same_port() {
    let stage = Stage::new();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let options = DatagramOptions::new().with_same_port(true);
    let rpc = stage.rpc_with(DatagramPeer::Udp(address), options);
    let answer = async |socket: &UdpSocket| {
        let mut buffer = [0; 1000];
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        let asked = Asked::parse(&buffer[..length]).unwrap();
        socket.send_to(&ok(&asked), from).await.unwrap();
    };
    assert_eq!(
        tokio::join!(act(&rpc, 1, SECOND), answer(&socket)).0,
        Ok(json!(1))
    );
    drop(socket);
    for n in 2..5 {
        let begun = Instant::now();
        assert_eq!(act(&rpc, n, 5 * SECOND).await, REFUSED);
        assert!(begun.elapsed() < SECOND);
    }
    // Two at once: one of them may have been taken before the end.
    let (one, two) = tokio::join!(act(&rpc, 5, 5 * SECOND), act(&rpc, 6, 5 * SECOND));
    for end in [one, two] {
        assert!(end == REFUSED || end == UNKNOWN, "{end:?}");
    }
    let socket = UdpSocket::bind(address).await.unwrap();
    assert_eq!(
        tokio::join!(act(&rpc, 7, SECOND), answer(&socket)).0,
        Ok(json!(7))
    );
}

#[tokio::test]
async fn an_answer_from_another_address_is_not_taken() {
    let stage = Stage::new();
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let stranger = UdpSocket::bind("127.0.0.2:0").await.unwrap();
    let rpc = stage.rpc(DatagramPeer::Udp(server.local_addr().unwrap()));
    let forge = async {
        let mut buffer = [0; 1000];
        let (length, from) = server.recv_from(&mut buffer).await.unwrap();
        let asked = Asked::parse(&buffer[..length]).unwrap();
        stranger
            .send_to(&ok(&asked), ("127.0.0.1", from.port()))
            .await
            .unwrap();
    };
    assert_eq!(tokio::join!(read(&rpc, 1, 2 * MOMENT), forge).0, LATE);
    assert_eq!(rpc.dropped(), 1);
}

#[tokio::test]
async fn a_stopped_task_set_ends_waiting_calls_and_later_ones() {
    let stage = Stage::new();
    for server in stage.servers().await {
        let tasks = TaskSet::current("test").unwrap();
        let (to, random) = (server.peer(), SystemRandom::shared());
        let options = stage.options(&to);
        let rpc = Rpc::datagram(to, options, TokioClock::shared(), random, &tasks).unwrap();
        let waiting = rpc.clone();
        let waiting = tokio::spawn(async move { act(&waiting, 1, 60 * SECOND).await });
        let _asked = server.call().await;
        assert!(tasks.stop(SECOND).await);
        assert_eq!(waiting.await.unwrap(), UNKNOWN);
        let closed = Err((ErrorKind::Closed, Effect::NoEffect));
        assert_eq!(act(&rpc, 2, SECOND).await, closed);
    }
}

#[tokio::test]
async fn a_task_set_that_is_dropped_ends_waiting_calls_and_later_ones() {
    let stage = Stage::new();
    for server in stage.servers().await {
        let tasks = TaskSet::current("test").unwrap();
        let (to, random) = (server.peer(), SystemRandom::shared());
        let options = stage.options(&to);
        let rpc = Rpc::datagram(to, options, TokioClock::shared(), random, &tasks).unwrap();
        let waiting = rpc.clone();
        let waiting = tokio::spawn(async move { act(&waiting, 1, 5 * SECOND).await });
        let _asked = server.call().await;
        drop(tasks);
        assert_eq!(waiting.await.unwrap(), UNKNOWN);
        let closed = Err((ErrorKind::Closed, Effect::NoEffect));
        assert_eq!(act(&rpc, 2, SECOND).await, closed);
    }
}

#[test]
fn without_a_runtime_it_is_an_error_and_no_panic() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let tasks = runtime.block_on(async { TaskSet::current("test").unwrap() });
    let to = DatagramPeer::Udp("127.0.0.1:9".parse().unwrap());
    let (clock, random) = (TokioClock::shared(), SystemRandom::shared());
    let rpc = Rpc::datagram(to.clone(), DatagramOptions::new(), clock, random, &tasks);
    assert_eq!(rpc.unwrap_err().kind(), ErrorKind::NoRuntime);
    let error = Datagrams::bind(to, 1000, &tasks).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoRuntime);
}

#[tokio::test]
async fn nothing_private_shows_in_debug() {
    let stage = Stage::new();
    let to = DatagramPeer::Unix("/run/+15551234567".into());
    let options = stage.options(&to);
    let shown = format!(
        "{to:?} {options:?} {:?}",
        stage.rpc_with(to.clone(), options.clone())
    );
    assert!(
        !shown.contains("555") && !shown.contains("client"),
        "{shown}"
    );
}

#[tokio::test]
async fn events_over_both_kinds_of_datagrams_are_received_in_order() {
    let stage = Stage::new();
    let path = stage.path("events");
    let (udp, mut from_udp) = Datagrams::bind(
        DatagramPeer::Udp("127.0.0.1:0".parse().unwrap()),
        65_535,
        &stage.tasks,
    )
    .unwrap();
    let (unix, mut from_unix) =
        Datagrams::bind(DatagramPeer::Unix(path.clone()), 65_535, &stage.tasks).unwrap();
    assert_eq!(unix.local_addr(), None);
    let address = udp.local_addr().unwrap();
    let (a, b) = (
        UdpSocket::bind("127.0.0.1:0").await.unwrap(),
        UnixDatagram::unbound().unwrap(),
    );
    for n in 0..100 {
        let event = server::event("E_MY_EVENT", &Params::list([n]), None);
        a.send_to(&event, address).await.unwrap();
        a.send_to(b"", address).await.unwrap();
        b.send_to(&event, &path).await.unwrap();
        for received in [&mut from_udp, &mut from_unix] {
            let bytes = received.recv().await.unwrap();
            let event = Notification::parse(&bytes).unwrap();
            assert_eq!(event.get(""), Some(&json!(n)));
        }
    }
    assert_eq!(udp.losses(), Default::default());
    drop(udp);
    assert_eq!(from_udp.recv().await, None);
    drop((unix, from_unix));
    tokio::time::sleep(MOMENT).await;
    assert!(!path.exists());
    assert_eq!(stage.tasks.len(), 0);
}

#[tokio::test]
async fn datagrams_that_are_not_taken_too_long_or_of_a_stranger_are_counted() {
    let stage = Stage::new();
    let at = || DatagramPeer::Udp("127.0.0.1:0".parse().unwrap());
    let allow = AllowList::parse(["127.0.0.1"]).unwrap();
    let (socket, mut received) = Datagrams::bind_allowing(at(), allow, 100, &stage.tasks).unwrap();
    let address = socket.local_addr().unwrap();
    let friend = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let stranger = UdpSocket::bind("127.0.0.2:0").await.unwrap();
    stranger.send_to(b"x", address).await.unwrap();
    friend.send_to(&[b'x'; 101], address).await.unwrap();
    friend.send_to(&[b'x'; 100], address).await.unwrap();
    assert_eq!(received.recv().await.unwrap().len(), 100);
    let losses = socket.losses();
    assert_eq!(
        (losses.turned_away, losses.too_long, losses.not_taken),
        (1, 1, 0)
    );
    for _ in 0..5000 {
        friend.send_to(b"x", address).await.unwrap();
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(MOMENT).await;
    assert!(socket.losses().not_taken > 0);
    drop(received);
    tokio::time::sleep(MOMENT).await;
    assert_eq!(stage.tasks.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_requests_at_once_each_get_their_answer() {
    let stage = Stage::new();
    for server in stage.servers().await {
        let rpc = stage.rpc(server.peer());
        let serving = server.serve();
        let rpc = Arc::new(rpc);
        let workers: Vec<_> = (0..20)
            .map(|worker| {
                let rpc = Arc::clone(&rpc);
                tokio::spawn(async move {
                    for n in 0..50 {
                        let n = worker * 1000 + n;
                        assert_eq!(read(&rpc, n, 10 * SECOND).await, Ok(json!(n)));
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.await.unwrap();
        }
        serving.abort();
    }
}
