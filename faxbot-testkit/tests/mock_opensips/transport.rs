//! One process over HTTP, and nobody who waits over datagrams.

use std::time::Duration;

use faxbot_testkit::server::opensips::{MockOpenSips, Phone, Release, Replies, ReplyFault};
use tokio::{net::UdpSocket, time::Instant};

use crate::client::{post, request, result};

const MESSAGE: &str = r#"{"method":"MESSAGE","ruri":"sip:slow@127.0.0.1:25080",
    "headers":"From: <sip:a@x>\r\nTo: <sip:b@x>\r\nContent-Type: text/plain\r\n","body":"hello"}"#;

fn slow() -> Phone {
    Phone::answers().replies(Replies::With(200), Duration::from_secs(3))
}

#[tokio::test(start_paused = true)]
async fn over_http_everybody_waits_for_a_sip_request() {
    let mock = MockOpenSips::builder()
        .in_memory()
        .phone("slow", slow())
        .start()
        .await
        .unwrap();
    let started = Instant::now();
    let message = result(&mock, "t_uac_dlg", MESSAGE);
    let version = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        result(&mock, "version", "[]").await;
        started.elapsed()
    };
    let (message, waited) = tokio::join!(message, version);
    assert!(message.compact().contains(r#""Status":"200 OK""#));
    assert!(waited >= Duration::from_secs(3), "{waited:?}");
    assert_eq!(mock.messages_sent().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_is_carried_out_when_its_client_has_left() {
    let mock = MockOpenSips::builder().in_memory().start().await.unwrap();
    mock.http_is_busy(Duration::from_secs(5));
    let params = r#"["gone","a,sip:1@127.0.0.1:5","b,sip:2@127.0.0.1:6"]"#;
    let body = request("b2b_trigger_scenario", params);
    let left = tokio::time::timeout(Duration::from_secs(1), post(&mock, &body)).await;
    assert!(left.is_err());
    assert!(mock.b2b_call("gone").is_none());
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(mock.b2b_call("gone").is_some());
}

#[tokio::test(start_paused = true)]
async fn answers_without_a_body_do_not_end() {
    let mock = MockOpenSips::builder().in_memory().start().await.unwrap();
    for (body, status) in [
        (r#"{"jsonrpc":"2.0","method":"version"}"#.to_owned(), 202),
        (
            r#"{"jsonrpc":"2.0","method":"version","id":[1]}"#.to_owned(),
            500,
        ),
        (
            request("version", &format!(r#"["{}"]"#, "x".repeat(1024))),
            400,
        ),
    ] {
        let answer = post(&mock, &body).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.complete), (status, false));
    }
    let long = request("dlg_end_dlg", &format!(r#"["{}"]"#, "x".repeat(1024)));
    for (release, answered) in [(Release::V3_4, true), (Release::V3_2, true)] {
        let mock = MockOpenSips::builder()
            .in_memory()
            .release(release)
            .start()
            .await
            .unwrap();
        assert_eq!(post(&mock, &long).await.is_ok(), answered);
        let longer = request("dlg_end_dlg", &format!(r#"["{}"]"#, "x".repeat(17_000)));
        assert!(post(&mock, &longer).await.is_err());
    }
    let mock = MockOpenSips::builder()
        .in_memory()
        .reply_limit(100)
        .start()
        .await
        .unwrap();
    let answer = post(&mock, &request("which", "[]")).await.unwrap();
    assert_eq!(answer.status.as_u16(), 500);
}

async fn asked(socket: &UdpSocket, text: &str) -> String {
    socket.send(text.as_bytes()).await.unwrap();
    received(socket, Duration::from_secs(5)).await.unwrap()
}

/// So long nothing comes where nothing is to come.
const NOTHING: Duration = Duration::from_millis(200);

async fn received(socket: &UdpSocket, within: Duration) -> Option<String> {
    let mut buffer = vec![0; 65_536];
    let received = tokio::time::timeout(within, socket.recv(&mut buffer)).await;
    let length = received.ok()?.ok()?;
    Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
}

#[tokio::test]
async fn over_datagrams_nobody_waits_and_some_answers_are_texts() {
    let quick = Phone::answers().replies(Replies::With(200), Duration::from_millis(50));
    let mock = MockOpenSips::builder()
        .udp_datagrams()
        .phone("slow", quick)
        .start()
        .await
        .unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket
        .connect(mock.datagram_address().unwrap())
        .await
        .unwrap();
    socket
        .send(request("t_uac_dlg", MESSAGE).replace("\n", "").as_bytes())
        .await
        .unwrap();
    assert!(
        asked(&socket, &request("version", "[]"))
            .await
            .contains("OpenSIPS")
    );
    assert!(
        received(&socket, Duration::from_secs(5))
            .await
            .unwrap()
            .contains("200 OK")
    );
    assert_eq!(asked(&socket, "{not json").await, "400 Parse_error");
    for nothing in ["", r#"{"jsonrpc":"2.0","method":"version"}"#] {
        socket.send(nothing.as_bytes()).await.unwrap();
        assert_eq!(received(&socket, NOTHING).await, None);
    }
    for number in 0..100 {
        let call = faxbot_testkit::server::opensips::PassingCall::new(
            "sip:a@x",
            &format!("sip:{number}@x"),
        );
        let _id = mock.call(call);
    }
    let up = |mock: &MockOpenSips| {
        mock.dialogs()
            .iter()
            .all(|it| it.answered_at.is_some())
            .then_some(())
    };
    assert!(mock.wait_until(Duration::from_secs(10), up).await.is_some());
    assert_eq!(
        asked(&socket, &request("dlg_list", "[]")).await,
        "500 Internal error"
    );
    assert!(
        asked(&socket, &request("dlg_list", r#"{"index":0,"counter":30}"#))
            .await
            .contains("\"count\":100")
    );
    mock.next_reply("version", ReplyFault::Silent);
    socket
        .send(request("version", "[]").as_bytes())
        .await
        .unwrap();
    assert_eq!(received(&socket, NOTHING).await, None);
    // Nobody is there while it is down.
    mock.unreachable(true);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let _refused = socket.send(request("version", "[]").as_bytes()).await;
    assert_eq!(received(&socket, NOTHING).await, None);
    mock.unreachable(false);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(
        asked(&socket, &request("version", "[]"))
            .await
            .contains("OpenSIPS")
    );
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_answers_who_has_a_path() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mi.sock");
    let mock = MockOpenSips::builder()
        .unix_datagrams(&path)
        .start()
        .await
        .unwrap();
    let socket = tokio::net::UnixDatagram::bind(directory.path().join("client.sock")).unwrap();
    let connected = async {
        while socket.connect(&path).is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), connected)
        .await
        .unwrap();
    socket
        .send(request("version", "[]").as_bytes())
        .await
        .unwrap();
    let mut buffer = [0; 1000];
    let length = socket.recv(&mut buffer).await.unwrap();
    assert!(String::from_utf8_lossy(&buffer[..length]).contains("OpenSIPS"));
    assert_eq!(mock.requests_of("version").len(), 1);
}
