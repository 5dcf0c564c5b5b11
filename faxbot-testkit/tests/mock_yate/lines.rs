//! The line protocol: what the engine answers to commands, and whom it asks.

use std::time::Duration;

use faxbot_testkit::server::yate::{IncomingScript, MockYate};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines};

use crate::play::{frames, play};

/// A client that speaks in lines.
pub(crate) struct Client {
    lines: Lines<BufReader<tokio::io::ReadHalf<DuplexStream>>>,
    writer: tokio::io::WriteHalf<DuplexStream>,
}

impl Client {
    pub(crate) fn connect(mock: &MockYate) -> Self {
        let (reader, writer) = tokio::io::split(mock.connect_duplex());
        let lines = BufReader::new(reader).lines();
        Self { lines, writer }
    }

    pub(crate) async fn send(&mut self, lines: &str) {
        self.writer
            .write_all(format!("{lines}\n").as_bytes())
            .await
            .unwrap();
    }

    pub(crate) async fn line(&mut self) -> Option<String> {
        let line = self.lines.next_line();
        let line = tokio::time::timeout(Duration::from_secs(7200), line).await;
        line.expect("a line").ok().flatten()
    }

    /// The next line with that text; others are dropped.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        loop {
            let line = self
                .line()
                .await
                .unwrap_or_else(|| panic!("closed before {text}"));
            if line.contains(text) {
                return line;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_handshake_is_that_of_the_recording() {
    let mock = MockYate::builder()
        .in_memory()
        .without_role()
        .without_fax()
        .start()
        .await
        .unwrap();
    let said = play(&mock, "handshake", vec![]).await;
    let recording = faxbot_testkit::replay::Recording::load("yate/handshake").unwrap();
    let lines = |bytes: &[u8]| -> Vec<String> {
        let all = frames(bytes).into_iter();
        let all = all.map(|frame| String::from_utf8_lossy(frame.line()).into_owned());
        all.filter(|line| !line.contains("engine.nodename") && !line.contains("engine.runid"))
            .map(|line| match line.split_once("engine.status:name=engine") {
                // Its numbers are those of the recorded machine.
                Some((head, tail)) => {
                    let handlers = tail.split_once(":handlers=").unwrap().1;
                    format!("{head}engine.status:..:handlers={handlers}")
                }
                None => line,
            })
            .collect()
    };
    let (want, got) = (lines(&recording.server_bytes(1)), lines(&said));
    for (want, got) in want.iter().zip(&got) {
        assert_eq!(got, want);
    }
    assert_eq!(got.len(), want.len());
}

#[tokio::test(start_paused = true)]
async fn a_listener_without_a_role_closes_at_anything_else() {
    let mock = MockYate::builder()
        .in_memory()
        .without_role()
        .start()
        .await
        .unwrap();
    let mut client = Client::connect(&mock);
    client.send("%%>message:1:0:engine.status:").await;
    assert_eq!(client.line().await, None);
    let mock = MockYate::builder().in_memory().start().await.unwrap();
    let mut client = Client::connect(&mock);
    client.send("%%>connect:global").await;
    assert_eq!(client.line().await.unwrap(), "Error in: %%>connect:global");
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_too_long_ends_the_connection_unless_the_buffer_was_set() {
    let mock = MockYate::builder().in_memory().start().await.unwrap();
    let long = format!("%%>output:{}", "x".repeat(20_000));
    let mut client = Client::connect(&mock);
    client.send("%%>setlocal:bufsize:65536").await;
    assert_eq!(
        client.line().await.unwrap(),
        "%%<setlocal:bufsize:65536:true"
    );
    client.send(&long).await;
    client.send("%%>watch:a").await;
    assert_eq!(client.line().await.unwrap(), "%%<watch:a:true");
    let mut client = Client::connect(&mock);
    client.send(&long).await;
    assert_eq!(client.line().await, None);
}

#[tokio::test(start_paused = true)]
async fn the_timer_ticks_each_second_and_modules_are_listed() {
    let mock = MockYate::builder().in_memory().start().await.unwrap();
    let mut client = Client::connect(&mock);
    client.send("%%>watch:engine.timer").await;
    let start = tokio::time::Instant::now();
    for _ in 0..3 {
        let tick = client.until("false:engine.timer").await;
        assert!(
            tick.starts_with("%%<message::false:engine.timer::time="),
            "{tick}"
        );
    }
    assert_eq!(start.elapsed().as_secs(), 3);
    client
        .send("%%>message:a:0:engine.command::line=module list")
        .await;
    let list = client
        .until("%%<message:a:true:engine.command:moh%Imsgsniff")
        .await;
    assert!(list.contains("faxchan"));
}

#[tokio::test(start_paused = true)]
async fn the_lower_priority_is_asked_first_and_a_filter_is_literal() {
    let mock = MockYate::builder().in_memory().start().await.unwrap();
    let mut late = Client::connect(&mock);
    late.send("%%>install:60:call.route").await;
    late.line().await;
    let mut never = Client::connect(&mock);
    never.send("%%>install:10:call.route:called:^7$").await;
    never.line().await;
    let mut first = Client::connect(&mock);
    first.send("%%>install:20:call.route:called:7").await;
    first.line().await;
    let id = mock.incoming(IncomingScript::new("1", "7"));
    let asked = first.line().await.unwrap();
    let request = |line: &str| line.split(':').nth(1).unwrap().to_owned();
    first
        .send(&format!("%%<message:{}:false:::called=8", request(&asked)))
        .await;
    let asked = late.line().await.unwrap();
    assert!(asked.contains(":called=8:"), "{asked}");
    late.send(&format!(
        "%%<message:{}:true::-:error=forbidden",
        request(&asked)
    ))
    .await;
    let saw = mock.wait_until(Duration::from_secs(1), |mock| {
        mock.caller_saw(&id)
            .filter(|saw| format!("{saw:?}").contains("21"))
    });
    assert!(saw.await.is_some());
    never.send("%%>quit").await;
    assert_eq!(never.line().await.unwrap(), "%%<quit");
    assert_eq!(never.line().await, None);
}

#[tokio::test(start_paused = true)]
async fn own_messages_are_told_with_selfwatch_only() {
    let mock = MockYate::builder().in_memory().start().await.unwrap();
    let mut client = Client::connect(&mock);
    client.send("%%>watch:x.y\n%%>message:1:0:x.y:").await;
    assert_eq!(client.line().await.unwrap(), "%%<watch:x.y:true");
    assert_eq!(client.line().await.unwrap(), "%%<message:1:false:x.y:");
    client
        .send("%%>setlocal:selfwatch:true\n%%>message:2:0:x.y:")
        .await;
    assert_eq!(
        client.line().await.unwrap(),
        "%%<setlocal:selfwatch:true:true"
    );
    assert_eq!(client.line().await.unwrap(), "%%<message::false:x.y:");
    assert_eq!(client.line().await.unwrap(), "%%<message:2:false:x.y:");
}
