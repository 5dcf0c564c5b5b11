//! What servers with a poor HTTP need: a request in one write, one at a time on a connection, no
//! connection after a time-out, and no wait for the end of an empty answer.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use faxbot_core::{
    ErrorKind,
    http::{HttpClient, HttpRequest, ReqwestClient},
};
use http::{StatusCode, header::CONTENT_TYPE};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::server::{LATE, MOMENT, OK, client, kind, server, settle};

fn rpc(address: SocketAddr, bytes: usize) -> HttpRequest {
    let url = format!("http://{address}/mi").parse().unwrap();
    HttpRequest::post(url, vec![b'x'; bytes])
        .with_header(CONTENT_TYPE, "application/json")
        .unwrap()
        .with_timeout(Duration::from_secs(5))
}

/// One read of the socket, as large as a request of ours may be.
async fn one_read(stream: &mut TcpStream) -> usize {
    let mut buffer = vec![0; 256 * 1024];
    stream.read(&mut buffer).await.unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_and_body_go_out_in_one_write_on_a_fresh_and_on_a_kept_connection() {
    let reads: Arc<Mutex<Vec<(usize, usize)>>> = Arc::default();
    let told = Arc::clone(&reads);
    let (address, seen) = server(move |number, mut stream, _| {
        let told = Arc::clone(&told);
        async move {
            loop {
                let bytes = one_read(&mut stream).await;
                if bytes == 0 {
                    return;
                }
                told.lock().unwrap().push((number, bytes));
                // Whatever came later would be another read.
                tokio::time::sleep(Duration::from_millis(2)).await;
                let _ = stream.write_all(OK).await;
            }
        }
    })
    .await;
    // OpenSIPS answers bodies of up to 16,000 bytes at once.
    for body in [50, 1_000, 15_000] {
        let client = client();
        for round in 0..50 {
            reads.lock().unwrap().clear();
            let response = client.execute(rpc(address, body)).await.unwrap();
            assert_eq!(response.body, "ok");
            let reads = reads.lock().unwrap().clone();
            assert_eq!(reads.len(), 1, "{body} in round {round}: {reads:?}");
            assert!(reads[0].1 > body + 50, "{body} in round {round}: {reads:?}");
            settle().await;
        }
    }
    // One each; more only where a connection was not put back in time.
    assert!(seen.connections() < 30, "{}", seen.connections());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_two_requests_are_under_way_on_one_connection() {
    let early = Arc::new(AtomicUsize::new(0));
    let told = Arc::clone(&early);
    let (address, seen) = server(move |_, mut stream, seen| {
        let told = Arc::clone(&told);
        async move {
            while seen.request(&mut stream).await {
                let mut byte = [0];
                let next = stream.peek(&mut byte);
                if tokio::time::timeout(Duration::from_millis(5), next)
                    .await
                    .is_ok()
                {
                    told.fetch_add(1, Ordering::SeqCst);
                }
                let _ = stream.write_all(OK).await;
            }
        }
    })
    .await;
    let client = client();
    let calls = (0..20).map(|_| {
        let client = client.clone();
        tokio::spawn(async move {
            for _ in 0..10 {
                client.execute(rpc(address, 100)).await.unwrap();
            }
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    assert_eq!((seen.posts(), early.load(Ordering::SeqCst)), (200, 0));
    assert!(seen.connections() <= 20, "{}", seen.connections());
}

#[tokio::test]
async fn after_a_time_out_and_after_a_dropped_call_the_connection_is_not_used_again() {
    let (address, seen) = server(|number, mut stream, seen| async move {
        seen.request(&mut stream).await;
        let _ = stream.write_all(OK).await;
        while seen.request(&mut stream).await {
            if number < 2 {
                // The answer comes when nobody waits for it any more.
                tokio::time::sleep(4 * MOMENT).await;
            }
            let _ = stream.write_all(OK).await;
        }
    })
    .await;
    let client = client();
    client.execute(rpc(address, 10)).await.unwrap();
    settle().await;
    let late = rpc(address, 20).with_timeout(MOMENT);
    assert_eq!(kind(client.execute(late).await), LATE);
    client.execute(rpc(address, 30)).await.unwrap();
    settle().await;
    assert_eq!(seen.connections(), 2);
    // The second connection was free and took this one.
    let dropped = tokio::time::timeout(MOMENT, client.execute(rpc(address, 40))).await;
    assert!(dropped.is_err());
    for _ in 0..2 {
        client.execute(rpc(address, 50)).await.unwrap();
        settle().await;
    }
    assert_eq!((seen.posts(), seen.connections()), (6, 3));
}

/// Answers with this head, and never with the end of the body.
async fn unfinished(head: &'static str) -> SocketAddr {
    let (address, _) = server(move |_, mut stream, seen| async move {
        if seen.request(&mut stream).await {
            let _ = stream.write_all(head.as_bytes()).await;
            // Until the client goes.
            seen.request(&mut stream).await;
        }
    })
    .await;
    address
}

#[tokio::test]
async fn an_answer_whose_end_is_held_back_is_given_without_it_unless_its_status_is_200() {
    let chunked = "Transfer-Encoding: chunked\r\n\r\n";
    let heads = [
        ("202 Accepted", "", ""),
        ("400 Bad Request", "4\r\nhalf\r\n", "half"),
        ("500 Internal Server Error", "9\r\nhalf", "half"),
    ];
    for (status, piece, body) in heads {
        let head = format!("HTTP/1.1 {status}\r\n{chunked}{piece}");
        let address = unfinished(head.leak()).await;
        let begun = Instant::now();
        let request = rpc(address, 10).with_unfinished_after(MOMENT);
        let response = client().execute(request).await.unwrap();
        assert!(begun.elapsed() >= MOMENT && begun.elapsed() < 50 * MOMENT);
        assert_eq!(response.status.as_u16().to_string(), status[..3]);
        assert_eq!(
            (&response.body[..], response.complete),
            (body.as_bytes(), false)
        );

        let patient = rpc(address, 10).with_timeout(2 * MOMENT);
        assert_eq!(kind(client().execute(patient).await), LATE);
    }
    let head = format!("HTTP/1.1 200 OK\r\n{chunked}4\r\nhalf\r\n");
    let address = unfinished(head.leak()).await;
    let request = rpc(address, 10)
        .with_unfinished_after(MOMENT)
        .with_timeout(3 * MOMENT);
    assert_eq!(kind(client().execute(request).await), LATE);
}

#[tokio::test]
async fn an_answer_that_is_whole_in_time_says_so_and_keeps_its_connection() {
    let (address, seen) = server(|_, mut stream, seen| async move {
        while seen.request(&mut stream).await {
            let head = b"HTTP/1.1 500 Error\r\nTransfer-Encoding: chunked\r\n\r\n";
            let _ = stream.write_all(head).await;
            tokio::time::sleep(MOMENT / 10).await;
            let _ = stream.write_all(b"2\r\nok\r\n0\r\n\r\n").await;
        }
    })
    .await;
    let client = client();
    for _ in 0..2 {
        let request = rpc(address, 10).with_unfinished_after(5 * MOMENT);
        let response = client.execute(request).await.unwrap();
        assert_eq!(response.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!((&response.body[..], response.complete), (&b"ok"[..], true));
        settle().await;
    }
    assert_eq!(seen.connections(), 1);
}

#[tokio::test]
async fn an_unfinished_answer_that_is_too_long_is_an_error_all_the_same() {
    let address =
        unfinished("HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nlong\r\n").await;
    let request = rpc(address, 10)
        .with_unfinished_after(MOMENT)
        .with_max_response_bytes(3);
    let error = client().execute(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
}

#[test]
fn a_pem_text_without_a_certificate_or_a_key_is_an_error_of_the_configuration() {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (signed.cert.pem(), signed.signing_key.serialize_pem());
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let build = |certificate: &str, key: &str| {
        let builder = ReqwestClient::builder().identity_pem(certificate.as_bytes(), key.as_bytes());
        builder
            .and_then(|builder| builder.build())
            .map_err(|error| error.kind())
    };
    assert!(build(&certificate, &key).is_ok());
    let wrong = [
        ("", key.as_str()),
        (&certificate, ""),
        (&key, &certificate),
        (&certificate, &other.signing_key.serialize_pem()),
    ];
    for (certificate, key) in wrong {
        assert_eq!(build(certificate, key).unwrap_err(), ErrorKind::Config);
    }
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_ours_and_another_client_gets_nowhere() {
    let names = || ["localhost".to_owned()];
    let own = rcgen::generate_simple_self_signed(names()).unwrap();
    let ours = rcgen::generate_simple_self_signed(names()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut trusted = rustls::RootCertStore::empty();
    trusted.add(ours.cert.der().clone()).unwrap();
    let clients = rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::new(trusted),
        Arc::clone(&provider),
    );
    let key = rustls_pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let (address, seen) = server(move |_, stream, seen| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(mut stream) = acceptor.accept(stream).await
                && seen.request(&mut stream).await
            {
                let _ = stream.write_all(OK).await;
                let _ = stream.shutdown().await;
            }
        }
    })
    .await;
    let url = format!("https://localhost:{}/mi", address.port());
    let request = || HttpRequest::post(url.parse().unwrap(), "{}");
    let trusting = || {
        ReqwestClient::builder()
            .add_root_pem(own.cert.pem().as_bytes())
            .unwrap()
    };
    let nobody = trusting().build().unwrap();
    assert!(nobody.execute(request()).await.is_err());
    assert_eq!(seen.posts(), 0);
    let key = ours.signing_key.serialize_pem();
    let known = trusting().identity_pem(ours.cert.pem().as_bytes(), key.as_bytes());
    let known = known.unwrap().build().unwrap();
    assert_eq!(known.execute(request()).await.unwrap().body, "ok");
    let shown = format!(
        "{:?}",
        trusting().identity_pem(ours.cert.pem().as_bytes(), key.as_bytes())
    );
    assert!(!shown.contains("PRIVATE"), "{shown}");
}
