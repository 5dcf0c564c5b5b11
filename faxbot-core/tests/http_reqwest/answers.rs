//! What is sent and what is answered, whole, broken, late and too long.

use std::time::{Duration, Instant};

use faxbot_core::{
    Effect, ErrorKind,
    http::{HttpClient, HttpRequest, ReqwestClient},
};
use http::{Method, StatusCode, header};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::server::{CUT, LATE, MOMENT, NOT_HTTP, OK, answers, client, get, kind, post, server};

#[tokio::test]
async fn a_request_arrives_as_it_is_and_so_does_its_answer() {
    let (address, seen) = answers(
        b"HTTP/1.1 404 Not Found\r\nX-A: 1\r\nX-A: 2\r\nSet-Cookie: a=b\r\n\
          Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1F\x8B\0\xFF",
    )
    .await;
    let client = client();
    let url = format!("http://{address}/a%2Fb?to=%2B49&x=%20#part");
    let request = HttpRequest::post(url.parse().unwrap(), "pages")
        .with_header(header::AUTHORIZATION, "Bearer x")
        .unwrap();
    let response = client.execute(request).await.unwrap();
    assert_eq!(response.status, StatusCode::NOT_FOUND);
    assert_eq!(response.headers.get_all("x-a").iter().count(), 2);
    // Not decompressed, although it says so.
    assert_eq!(response.body, b"\x1F\x8B\0\xFF"[..]);
    let sent = seen.requests()[0].to_lowercase();
    assert!(
        sent.starts_with("post /a%2fb?to=%2b49&x=%20 http/1.1\r\n"),
        "{sent}"
    );
    assert!(sent.ends_with("\r\n\r\npages"));
    assert!(sent.contains("authorization: bearer x\r\n"));
    assert!(sent.contains("user-agent: faxbot/"));
    assert!(!sent.contains("accept-encoding") && !sent.contains("referer"));
    client.execute(get(address)).await.unwrap();
    assert!(!seen.requests()[1].to_lowercase().contains("cookie"));
}

#[tokio::test]
async fn an_empty_post_says_that_it_is_empty_and_a_get_says_nothing() {
    let (address, seen) = answers(OK).await;
    // Servers answer 411 to the first three where it is missing.
    let rows = [
        (Method::POST, true),
        (Method::PUT, true),
        (Method::PATCH, true),
        (Method::DELETE, false),
        (Method::GET, false),
    ];
    for (number, (method, says)) in rows.into_iter().enumerate() {
        let mut request = get(address);
        request.method = method;
        client().execute(request).await.unwrap();
        let sent = seen.requests()[number].to_lowercase();
        assert_eq!(sent.contains("content-length: 0\r\n"), says, "{sent}");
        assert_eq!(sent.contains("content-length"), says, "{sent}");
    }
}

#[tokio::test]
async fn the_length_of_a_body_is_never_what_a_header_claims() {
    let (address, seen) = answers(OK).await;
    for (name, value) in [
        (header::CONTENT_LENGTH, "3"),
        (header::TRANSFER_ENCODING, "chunked"),
        (header::CONNECTION, "upgrade"),
        (header::EXPECT, "100-continue"),
    ] {
        let request = post(address).with_header(name.clone(), value).unwrap();
        client().execute(request).await.unwrap();
        let sent = seen.requests().pop().unwrap().to_lowercase();
        assert!(sent.contains("content-length: 5\r\n"), "{sent}");
        assert!(sent.ends_with("\r\n\r\npages"), "{sent}");
        let count = sent.matches(&format!("{name}: ")).count();
        assert_eq!(count, usize::from(name == header::CONTENT_LENGTH), "{sent}");
    }
}

#[tokio::test]
async fn each_fault_after_the_request_is_one_request_and_an_unknown_outcome() {
    let rows: [(&[u8], (ErrorKind, Effect)); 15] = [
        (b"", CUT),
        (b"HTTP/1.1 20", CUT),
        (b"HTTP/1.1 200 OK\r\nContent-Le", CUT),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", CUT),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            CUT,
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
            CUT,
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nab\r\n",
            NOT_HTTP,
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            NOT_HTTP,
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nab",
            NOT_HTTP,
        ),
        (b"HTTP/1.1 99999 OK\r\n\r\n", NOT_HTTP),
        (b"SSH-2.0-OpenSSH_9.9\r\n", NOT_HTTP),
        (b"\0\xFF\0\xFF garbage", NOT_HTTP),
        (b"\x15\x03\x01\0\x02\x02\x28", NOT_HTTP),
        // One byte longer than what is read, announced, in chunks, and until the end.
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n01234567890",
            NOT_HTTP,
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n",
            NOT_HTTP,
        ),
    ];
    for (answer, expected) in rows {
        let text = String::from_utf8_lossy(answer);
        for request in [get, post] {
            let (address, seen) = answers(answer).await;
            let request = request(address).with_max_response_bytes(10);
            assert_eq!(kind(client().execute(request).await), expected, "{text}");
            tokio::task::yield_now().await;
            assert_eq!(
                (seen.requests().len(), seen.connections()),
                (1, 1),
                "{text}"
            );
        }
    }
}

#[tokio::test]
async fn a_body_may_be_as_long_as_its_limit() {
    for answer in [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789".as_slice(),
        b"HTTP/1.1 200 OK\r\n\r\n0123456789",
        b"HTTP/1.0 200 OK\r\n\r\n0123456789",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n\
          HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789",
    ] {
        let (address, _) = answers(answer).await;
        let request = post(address).with_max_response_bytes(10);
        let response = client().execute(request).await.unwrap();
        assert_eq!(response.body, "0123456789");
    }
}

#[tokio::test]
async fn no_more_is_read_than_the_limit() {
    let (address, _) = server(|_, mut stream, seen| async move {
        seen.request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'x'; 8192]).await.is_ok() {}
    })
    .await;
    let request = get(address).with_max_response_bytes(100_000);
    assert_eq!(kind(client().execute(request).await), NOT_HTTP);
    let (address, _) = server(|_, mut stream, seen| async move {
        seen.request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX-Endless: ").await;
        while stream.write_all(&[b'x'; 8192]).await.is_ok() {}
    })
    .await;
    assert_eq!(kind(client().execute(get(address)).await), NOT_HTTP);
}

#[tokio::test]
async fn a_server_that_is_silent_or_slow_is_given_up_after_the_time_of_the_request() {
    for dribbles in [false, true] {
        let (address, seen) = server(move |_, mut stream, seen| async move {
            seen.request(&mut stream).await;
            let _ = stream
                .write_all(if dribbles {
                    &b"HTTP/1.1 200 OK\r\n\r\n"[..]
                } else {
                    b""
                })
                .await;
            while !dribbles || stream.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        let begun = Instant::now();
        let request = post(address).with_timeout(3 * MOMENT);
        assert_eq!(kind(client().execute(request).await), LATE);
        assert!(begun.elapsed() >= 3 * MOMENT && begun.elapsed() < 50 * MOMENT);
        assert_eq!((seen.posts(), seen.connections()), (1, 1));
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    for status in ["301", "302", "303", "307", "308"] {
        let (other, others) = answers(OK).await;
        let answer = format!(
            "HTTP/1.1 {status} Moved\r\nLocation: http://{other}/\r\nContent-Length: 0\r\n\r\n"
        );
        let (address, _) = answers(answer.leak().as_bytes()).await;
        let response = client().execute(post(address)).await.unwrap();
        assert_eq!(response.status.as_str(), status);
        assert_eq!(others.connections(), 0);
    }
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_upload_is_the_answer() {
    let (address, _) = server(|_, mut stream, _| async move {
        let _ = stream.read_u8().await;
        let answer = b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        let _ = stream.write_all(answer).await;
        let mut rest = [0; 65_536];
        while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
    })
    .await;
    let request = post(address).with_body(vec![0; 8 * 1024 * 1024]);
    let response = client().execute(request).await.unwrap();
    assert_eq!(response.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[test]
fn options_that_cannot_be_kept_are_refused() {
    let builder = ReqwestClient::builder;
    let proxied = builder().public_only(true).proxy_from_environment(true);
    assert_eq!(proxied.build().unwrap_err().kind(), ErrorKind::Config);
    let agent = builder().user_agent("a\r\nX-Other: b");
    assert_eq!(agent.build().unwrap_err().kind(), ErrorKind::Config);
    for pem in [
        &b""[..],
        b"text",
        b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----",
    ] {
        let error = builder().add_root_pem(pem).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
    }
}
