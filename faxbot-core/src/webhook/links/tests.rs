use std::sync::Arc;

use super::*;
use crate::{
    clock::TokioClock,
    random::{SeededRandom, SystemRandom},
};

const TTL: Duration = Duration::from_secs(60);

fn owner() -> PluginId {
    "acme".parse().unwrap()
}

fn links(public_url: &str) -> FileLinks {
    let url = public_url.parse().unwrap();
    FileLinks::new(url, TokioClock::shared(), SystemRandom::shared())
}

fn file(bytes: &'static str) -> InboundFile {
    InboundFile::new("image/tiff", bytes)
}

fn token(url: &Url) -> &str {
    url.path().rsplit('/').next().unwrap()
}

fn get(links: &FileLinks, url: &Url) -> WebhookReply {
    links.serve(&Method::GET, token(url))
}

#[tokio::test(start_paused = true)]
async fn a_file_is_served_to_whoever_has_its_address() {
    for (public, prefix) in [
        ("https://fax.example.org", "https://fax.example.org/files/"),
        (
            "https://fax.example.org/base/",
            "https://fax.example.org/base/files/",
        ),
        (
            "http://127.0.0.1:8080/a/b",
            "http://127.0.0.1:8080/a/b/files/",
        ),
    ] {
        let links = links(public);
        let url = links.share(&owner(), file("II*"), TTL).unwrap();
        assert!(url.as_str().starts_with(prefix), "{url}");
        // 256 bits.
        assert_eq!(token(&url).len(), 43);
        let reply = get(&links, &url);
        assert_eq!((reply.status.as_u16(), &reply.body[..]), (200, &b"II*"[..]));
        for (name, value) in [
            ("content-type", "image/tiff"),
            ("content-length", "3"),
            ("cache-control", "private, no-store"),
            ("content-disposition", "attachment"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(reply.headers[name], value);
        }
        let head = links.serve(&Method::HEAD, token(&url));
        assert_eq!((head.status, head.headers), (reply.status, reply.headers));
        assert!(head.body.is_empty());
        let post = links.serve(&Method::POST, token(&url));
        assert_eq!(post.status, 405);
        assert_eq!(post.headers[ALLOW], "GET, HEAD");
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_ends_with_its_time() {
    let links = links("https://fax.example.org");
    let short = links.share(&owner(), file("1"), TTL).unwrap();
    let long = links.share(&owner(), file("2"), Duration::MAX).unwrap();
    tokio::time::advance(TTL - Duration::from_millis(1)).await;
    assert_eq!(get(&links, &short).status, 200);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(get(&links, &short), not_found());
    assert_eq!((get(&links, &long).status.as_u16(), links.len()), (200, 1));
    tokio::time::advance(FileLinks::MAX_TTL).await;
    assert_eq!(get(&links, &long), not_found());
    assert!(links.is_empty());
    assert_eq!(lock(&links.links).bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn only_its_owner_ends_a_link() {
    let links = links("https://fax.example.org");
    let other: PluginId = "other".parse().unwrap();
    let url = links.share(&owner(), file("1"), TTL).unwrap();
    let kept = links.share(&other, file("2"), TTL).unwrap();
    assert!(!links.revoke(&other, &url));
    assert_eq!(get(&links, &url).status, 200);
    assert!(links.revoke(&owner(), &url));
    assert!(!links.revoke(&owner(), &url));
    assert_eq!(get(&links, &url), not_found());
    links.revoke_all(&owner());
    assert_eq!(get(&links, &kept).status, 200);
    links.revoke_all(&other);
    assert_eq!(get(&links, &kept), not_found());
    assert_eq!(lock(&links.links).bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_exactly_right_finds_nothing() {
    let links = links("https://fax.example.org");
    let url = links.share(&owner(), file("1"), TTL).unwrap();
    let right = token(&url);
    let (cut, longer) = (&right[1..], format!("{right}="));
    let other_case: String = right
        .chars()
        .map(|c| match c {
            c if c.is_ascii_lowercase() => c.to_ascii_uppercase(),
            c => c.to_ascii_lowercase(),
        })
        .collect();
    for wrong in ["", ".", "..", cut, &longer, &other_case] {
        for method in [Method::GET, Method::HEAD, Method::POST] {
            assert_eq!(links.serve(&method, wrong), not_found(), "{method} {wrong}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn links_and_bytes_are_bounded() {
    let links = links("https://fax.example.org");
    for _ in 0..FileLinks::MAX_LINKS {
        links.share(&owner(), file(""), TTL).unwrap();
    }
    let error = links.share(&owner(), file(""), TTL).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    assert_eq!(error.effect(), Effect::NoEffect);
    // Ended ones make room.
    tokio::time::advance(TTL).await;
    let half = InboundFile::new("image/tiff", vec![0; FileLinks::MAX_BYTES / 2]);
    for fits in [true, true, false] {
        let shared = links.share(&owner(), half.clone(), TTL);
        assert_eq!(shared.is_ok(), fits);
    }
    tokio::time::advance(TTL).await;
    links.share(&owner(), half, TTL).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_media_type_cannot_make_a_header() {
    let links = links("https://fax.example.org");
    let odd = InboundFile::new("text/html\r\nset-cookie: a=b", "1");
    let url = links.share(&owner(), odd, TTL).unwrap();
    let reply = get(&links, &url);
    assert_eq!(reply.headers[CONTENT_TYPE], "application/octet-stream");
    assert!(!reply.headers.contains_key("set-cookie"));
}

#[tokio::test(start_paused = true)]
async fn debug_shows_no_token_and_no_file() {
    let random = Arc::new(SeededRandom::new(7));
    let url = "https://fax.example.org".parse().unwrap();
    let links = FileLinks::new(url, TokioClock::shared(), random);
    let url = links.share(&owner(), file("hush"), TTL).unwrap();
    let shown = format!("{links:?}");
    assert!(!shown.contains("hush") && !shown.contains(token(&url)));
    // The same randomness would give the same token.
    assert_ne!(links.share(&owner(), file(""), TTL).unwrap(), url);
}
