//! Connections that fail, are kept, used again and closed under a request.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use faxbot_core::http::{HttpClient, HttpRequest, ReqwestClient};
use http::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::Notify,
};

use crate::server::{
    CUT, MOMENT, NOT_CONNECTED, OK, Seen, alone, answers, client, get, kind, post, server, settle,
};

#[tokio::test]
async fn a_refused_connection_had_no_effect() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(kind(client().execute(post(address)).await), NOT_CONNECTED);
}

#[tokio::test]
async fn a_name_that_nobody_has_had_no_effect() {
    let request = HttpRequest::get("http://name.invalid/faxes".parse().unwrap());
    assert_eq!(kind(client().execute(request).await), NOT_CONNECTED);
}

#[tokio::test]
async fn a_connection_that_is_closed_at_once_is_tried_once() {
    let (address, seen) = server(|_, stream, _| async { drop(stream) }).await;
    for _ in 0..50 {
        let before = seen.connections();
        let end = kind(client().execute(post(address)).await);
        // It depends on whether the request had begun when the end was seen.
        assert!(end == CUT || end == NOT_CONNECTED, "{end:?}");
        assert_eq!(seen.connections() - before, 1);
    }
}

#[tokio::test]
async fn connections_are_used_again_and_never_by_two_at_once() {
    let (address, seen) = server(|_, mut stream, seen| async move {
        while seen.request(&mut stream).await {
            let _ = stream.write_all(OK).await;
        }
    })
    .await;
    let client = client();
    for _ in 0..5 {
        client.execute(post(address)).await.unwrap();
        settle().await;
    }
    assert_eq!((seen.posts(), seen.connections()), (5, 1));
    let never = ReqwestClient::builder().pool_idle_timeout(Duration::ZERO);
    let never = never.build().unwrap();
    for _ in 0..5 {
        never.execute(post(address)).await.unwrap();
    }
    assert_eq!((seen.posts(), seen.connections()), (10, 6));
}

#[tokio::test]
async fn a_post_on_an_idle_connection_that_was_closed_is_seen_once() {
    let close = Arc::new(Notify::new());
    let closing = Arc::clone(&close);
    let (address, seen) = server(move |number, mut stream, seen| {
        let close = Arc::clone(&closing);
        async move {
            while seen.request(&mut stream).await {
                let _ = stream.write_all(OK).await;
                if number == 0 {
                    close.notified().await;
                    return;
                }
            }
        }
    })
    .await;
    let client = client();
    client.execute(get(address)).await.unwrap();
    settle().await;
    close.notify_one();
    tokio::time::sleep(MOMENT).await;
    client.execute(post(address)).await.unwrap();
    assert_eq!((seen.posts(), seen.connections()), (1, 2));
}

#[tokio::test]
async fn a_post_that_an_old_connection_took_is_not_sent_on_another() {
    let (address, seen) = server(|_, mut stream, seen| async move {
        seen.request(&mut stream).await;
        let _ = stream.write_all(OK).await;
        // Read whole, and no answer.
        seen.request(&mut stream).await;
    })
    .await;
    let client = client();
    client.execute(get(address)).await.unwrap();
    settle().await;
    assert_eq!(kind(client.execute(post(address)).await), CUT);
    tokio::time::sleep(MOMENT).await;
    assert_eq!((seen.posts(), seen.connections()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_in_the_moment_of_a_post_never_makes_two() {
    let mut ends = Vec::new();
    for round in 0..300 {
        let (address, seen) = server(move |number, mut stream, seen| async move {
            while seen.request(&mut stream).await {
                let _ = stream.write_all(OK).await;
                if number == 0 {
                    // From before the client has the answer to after it has sent the next request.
                    tokio::time::sleep(Duration::from_micros(5 * (round % 50))).await;
                    return;
                }
            }
        })
        .await;
        let client = client_without_roots();
        client.execute(get(address)).await.unwrap();
        let end = client.execute(post(address)).await;
        ends.push((seen, end.map_err(|error| (error.kind(), error.effect()))));
    }
    // What would be sent late is there by now.
    tokio::time::sleep(MOMENT).await;
    for (seen, end) in ends {
        let posts = seen.posts();
        match end {
            Ok(_) => assert_eq!(posts, 1),
            Err(NOT_CONNECTED) => assert_eq!(posts, 0),
            Err(end) => assert!(end == CUT && posts <= 1, "{end:?} {posts}"),
        }
    }
}

#[cfg(feature = "api")]
#[tokio::test]
async fn a_lost_answer_is_asked_for_again_only_by_a_call_that_reads() {
    use faxbot_core::{
        Effect, ErrorKind,
        clock::TokioClock,
        http::{ApiCall, ApiClient},
        random::SystemRandom,
        retry::Backoff,
    };

    let (address, seen) = answers(b"").await;
    let base = format!("http://{address}/").parse().unwrap();
    let (clock, random) = (TokioClock::shared(), SystemRandom::shared());
    let api = ApiClient::new(Arc::new(client()), base, clock, random)
        .unwrap()
        .with_backoff(Backoff::connection().with_attempts(3));
    let end = api.call(ApiCall::act("send_fax", post(address))).await;
    assert_eq!(kind(end), (ErrorKind::OutcomeUnknown, Effect::Unknown));
    assert_eq!(seen.posts(), 1);
    let end = api.call(ApiCall::read("get_status", get(address))).await;
    assert_eq!(kind(end), (ErrorKind::Io, Effect::NoEffect));
    assert_eq!((seen.posts(), seen.requests().len()), (1, 5));
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_is_nobodys() {
    const EVIL: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    for apart in [false, true] {
        let (address, seen) = server(move |_, mut stream, seen| async move {
            while seen.request(&mut stream).await {
                if apart {
                    let _ = stream.write_all(OK).await;
                    settle().await;
                    let _ = stream.write_all(EVIL).await;
                } else {
                    let _ = stream.write_all(&[OK, EVIL].concat()).await;
                }
            }
        })
        .await;
        let client = client();
        for count in 1..10 {
            let response = client.execute(post(address)).await;
            assert_eq!(response.unwrap().body, "ok");
            settle().await;
            settle().await;
            assert_eq!((seen.posts(), seen.connections()), (count, count));
        }
    }
}

/// Cheaper to make where hundreds are made.
fn client_without_roots() -> ReqwestClient {
    static CLIENT: std::sync::OnceLock<ReqwestClient> = std::sync::OnceLock::new();
    CLIENT.get_or_init(client).clone()
}

#[tokio::test]
async fn a_dropped_call_closes_its_connection_and_is_not_sent_again() {
    let (address, seen) = server(|_, mut stream, seen| async move {
        seen.request(&mut stream).await;
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        seen.requests.lock().unwrap().push("closed".to_owned());
    })
    .await;
    let client = client();
    let call = tokio::time::timeout(2 * MOMENT, client.execute(post(address)));
    assert!(call.await.is_err());
    tokio::time::sleep(2 * MOMENT).await;
    assert_eq!(seen.requests().last().unwrap(), "closed");
    assert_eq!((seen.posts(), seen.connections()), (1, 1));
}

#[tokio::test]
async fn the_proxy_of_the_environment_is_used_only_if_asked_for() {
    // The environment of a running test must not be changed: it runs in another.
    const NAME: &str = "connections::the_proxy_of_the_environment_is_used_only_if_asked_for";
    let Ok(target) = std::env::var("FAXBOT_TEST_TARGET") else {
        let (proxy, proxied) = answers(OK).await;
        let (target, direct) = answers(OK).await;
        let passed = alone(NAME, |child| {
            child
                .env("FAXBOT_TEST_TARGET", target.to_string())
                .env("HTTP_PROXY", format!("http://{proxy}"))
                .env("http_proxy", format!("http://{proxy}"))
                .env_remove("NO_PROXY")
                .env_remove("no_proxy")
                .env_remove("REQUEST_METHOD");
        });
        assert!(passed.await);
        assert_eq!((direct.requests().len(), proxied.requests().len()), (1, 1));
        return;
    };
    let target = target.parse().unwrap();
    client().execute(get(target)).await.unwrap();
    let builder = ReqwestClient::builder().proxy_from_environment(true);
    builder.build().unwrap().execute(get(target)).await.unwrap();
}

/// A server with a certificate for these names, and the certificate as PEM.
async fn tls_server(names: &[&str]) -> (SocketAddr, Arc<Seen>, String) {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let own = rcgen::generate_simple_self_signed(names).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = rustls_pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    // A client that would take HTTP/2 gets it.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let (address, seen) = server(move |_, stream, seen| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            if seen.request(&mut stream).await {
                let _ = stream.write_all(OK).await;
                let _ = stream.shutdown().await;
            }
        }
    })
    .await;
    (address, seen, own.cert.pem())
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_or_of_another_gets_no_request() {
    let (address, seen, pem) = tls_server(&["localhost"]).await;
    let trusting = ReqwestClient::builder()
        .add_root_pem(pem.as_bytes())
        .unwrap();
    let trusting = trusting.build().unwrap();
    let named = format!("https://localhost:{}/faxes", address.port());
    let by_number = format!("https://{address}/faxes");
    let request = |url: &str| HttpRequest::post(url.parse().unwrap(), "pages");
    for (client, url) in [(client(), &named), (trusting.clone(), &by_number)] {
        assert_eq!(kind(client.execute(request(url)).await), NOT_CONNECTED);
    }
    assert_eq!(seen.posts(), 0);
    let response = trusting.execute(request(&named)).await.unwrap();
    assert_eq!((response.status, seen.posts()), (StatusCode::OK, 1));
    // Which cryptography the program uses elsewhere is not ours to decide.
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
}

#[tokio::test]
async fn a_handshake_without_an_end_had_no_effect() {
    let (address, seen) = server(|_, stream, _| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    let client = ReqwestClient::builder().connect_timeout(2 * MOMENT);
    let request = HttpRequest::post(format!("https://{address}/faxes").parse().unwrap(), "x");
    let begun = Instant::now();
    assert_eq!(
        kind(client.build().unwrap().execute(request).await),
        NOT_CONNECTED
    );
    assert!(begun.elapsed() < 50 * MOMENT);
    assert_eq!(seen.connections(), 1);
}
