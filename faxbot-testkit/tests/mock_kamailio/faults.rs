//! What goes wrong: silence, late work, restarts, faults of the network, and who may not ask.

use std::time::Duration;

use faxbot_core::{ErrorKind, http::HttpRequest};
use faxbot_testkit::server::{
    http::{Fault, FaultKind},
    kamailio::{CallScript, DigestAlgorithm, MockKamailio, PassingCall, ReplyFault, Stage, Tree},
};
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpStream, UdpSocket},
};

use crate::client::{ask, event, name, post, result};

const BRIDGE: &str = r#"{"jsonrpc":"2.0","method":"dlg.bridge_dlg","params":["sip:1001@127.0.0.1:5080","sip:602@127.0.0.1:5070"],"id":1}"#;
const VERSION: &str = r#"{"jsonrpc":"2.0","method":"core.version","id":7}"#;

async fn start() -> MockKamailio {
    MockKamailio::builder().in_memory().start().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn some_bad_requests_get_no_answer_and_others_one_that_says_nothing() {
    let mock = start().await;
    for silent in ["{not json", ""] {
        let error = post(&mock, silent).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{silent:?}");
    }
    for (asked, id) in [
        (format!("[{VERSION}]"), None),
        (r#"{"jsonrpc":"2.0"}"#.to_owned(), None),
        (r#"{"method":"core.version","id":5}"#.to_owned(), Some(5)),
    ] {
        let (status, answer) = ask(&mock, &asked).await.unwrap();
        assert_eq!(status, 200, "{asked}");
        assert_eq!(answer.get("result"), Some(&Tree::Object(vec![])), "{asked}");
        assert_eq!(answer.get("id").and_then(Tree::int), id, "{asked}");
    }
    assert!(mock.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_script_of_who_is_called_says_what_becomes_of_the_reply() {
    for (fault, kind, calls) in [
        (ReplyFault::DropBefore, Some(ErrorKind::Io), 1),
        (ReplyFault::Silent, Some(ErrorKind::Timeout), 1),
        (ReplyFault::Refuse("no".to_owned()), None, 0),
        (ReplyFault::Slow(Duration::from_secs(2)), None, 1),
    ] {
        let mock = start().await;
        mock.on_dial("602", CallScript::answer().reply(fault.clone()));
        let answer = post(&mock, BRIDGE).await;
        assert_eq!(
            answer.as_ref().err().map(faxbot_core::Error::kind),
            kind,
            "{fault:?}"
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(mock.dialogs().len(), calls, "{fault:?}");
        assert_eq!(mock.requests_of("dlg.bridge_dlg").len(), 1, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_may_be_carried_out_later() {
    let mock = start().await;
    mock.next_is_late("dlg.bridge_dlg", Duration::from_secs(40));
    let error = post(&mock, BRIDGE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(mock.relayed().is_empty());
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(mock.dialogs().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn faults_of_the_network_are_those_of_every_mock_over_http() {
    let mock = start().await;
    mock.http()
        .fault(Fault::new(FaultKind::CutBeforeEffect).on("POST", "/RPC"));
    assert!(post(&mock, BRIDGE).await.is_err());
    assert!(mock.requests().is_empty());
    assert_eq!(ask(&mock, VERSION).await.unwrap().0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_restart_forgets_dialogs_and_the_calls_go_on() {
    let mock = start().await;
    let call = PassingCall::new("sip:a@127.0.0.1:5091", "sip:600@127.0.0.1:5070");
    let id = mock.call(call.taken(CallScript::answer().hangs_up_after(Duration::from_secs(20))));
    let mut link = mock.connect_evapi();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(mock.dialog(&id).unwrap().stage, Stage::Up);
    let before = result(&mock, "core.uptime", "[]").await;
    mock.restart(Duration::from_secs(1));
    while event(&mut link).await.is_some() {}
    let error = post(&mock, VERSION).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
    assert_eq!(mock.connect_evapi().read(&mut [0; 8]).await.unwrap(), 0);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(result(&mock, "dlg.list", "[]").await, Tree::List(vec![]));
    let after = result(&mock, "core.uptime", "[]").await;
    let seconds = |uptime: &Tree| uptime.get("uptime").unwrap().int().unwrap();
    assert_eq!((seconds(&before), seconds(&after)), (10, 1));
    assert_ne!(before.get("up_since"), after.get("up_since"));
    let told = mock.relayed().len();
    tokio::time::sleep(Duration::from_secs(20)).await;
    let relayed = mock.relayed();
    let names: Vec<&str> = relayed[told..].iter().map(|event| name(event)).collect();
    assert_eq!(names, ["call:bye"]);
}

#[tokio::test]
async fn at_most_eight_clients_of_evapi_are_taken_and_each_gets_everything() {
    let mock = MockKamailio::builder().start().await.unwrap();
    let address = mock.evapi_address().unwrap();
    let mut links = Vec::new();
    for number in 0..8 {
        let mut link = TcpStream::connect(address).await.unwrap();
        let hello = event(&mut link).await.unwrap();
        assert!(
            hello.ends_with(&format!("\"conidx\":{number}}}")),
            "{hello}"
        );
        links.push(link);
    }
    let mut ninth = TcpStream::connect(address).await.unwrap();
    assert_eq!(ninth.read(&mut [0; 8]).await.unwrap(), 0);
    // The first one saw all who came after it.
    for _ in 1..8 {
        assert_eq!(name(&event(&mut links[0]).await.unwrap()), "hello");
    }
    mock.relay("{\"event\":\"mine\"}");
    mock.send_raw(&b"3:abc,"[..]);
    assert_eq!(event(&mut links[0]).await.unwrap(), "{\"event\":\"mine\"}");
    assert_eq!(event(&mut links[0]).await.unwrap(), "abc");
}

#[tokio::test]
async fn datagrams_are_answered_as_requests_over_http() {
    let mock = MockKamailio::builder()
        .udp_datagrams()
        .start()
        .await
        .unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(mock.udp_address().unwrap()).await.unwrap();
    let mut buffer = vec![0; 4096];
    for (asked, id) in [
        (VERSION, Some(7)),
        ("[]", None),
        (
            r#"{"jsonrpc":"2.0","method":"core.version","id":null}"#,
            Some(0),
        ),
    ] {
        socket.send(b"{broken").await.unwrap();
        socket.send(asked.as_bytes()).await.unwrap();
        let length = socket.recv(&mut buffer).await.unwrap();
        let answer = Tree::parse(&buffer[..length]).unwrap();
        assert_eq!(answer.get("id").and_then(Tree::int), id, "{asked}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_no_digest_is_challenged_and_the_rest_of_the_server_is_not_asked() {
    let builder = MockKamailio::builder().in_memory();
    let lives = Duration::from_secs(300);
    let builder = builder.digest("faxbot", "s3cret", DigestAlgorithm::Md5, lives);
    let mock = builder.start().await.unwrap();
    let refused = post(&mock, VERSION).await.unwrap();
    assert_eq!(refused.status, 401);
    let challenge = refused.headers["www-authenticate"].to_str().unwrap();
    assert!(
        challenge.starts_with("Digest realm=\"kamailio\", nonce=\""),
        "{challenge}"
    );
    assert!(mock.requests().is_empty());
    assert_eq!(mock.refused(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_path_that_is_not_served_gets_what_the_script_says() {
    for (status, elsewhere) in [(None, false), (Some(404), true)] {
        let builder = MockKamailio::builder().in_memory();
        let builder = match elsewhere {
            true => builder.other_paths_get(404),
            false => builder,
        };
        let mock = builder.start().await.unwrap();
        let url = mock.http().url().join("nope").unwrap();
        let request = HttpRequest::post(url, VERSION).with_timeout(Duration::from_secs(5));
        let client = mock.client();
        let answer = faxbot_core::http::HttpClient::execute(&*client, request).await;
        assert_eq!(answer.ok().map(|answer| answer.status.as_u16()), status);
    }
}

#[tokio::test(start_paused = true)]
async fn a_module_that_is_not_loaded_has_no_methods() {
    let builder = MockKamailio::builder().in_memory();
    let builder = builder.without("dispatcher.").without("dlg.bridge_dlg");
    let mock = builder.start().await.unwrap();
    let methods = result(&mock, "system.listMethods", "[]").await;
    let has = |name: &str| methods.values().iter().any(|one| one.text() == Some(name));
    assert!(has("dlg.list") && !has("dlg.bridge_dlg") && !has("dispatcher.list"));
    let (status, answer) = ask(&mock, BRIDGE).await.unwrap();
    assert_eq!(status, 500);
    let message = answer.get("error").unwrap().get("message");
    assert_eq!(message, Some(&"Method Not Found".into()));
}
