use std::{future::pending, sync::atomic::Ordering::Relaxed};

use async_trait::async_trait;
use http::HeaderMap;

use super::{super::DeadLetter, *};
use crate::{Effect, Timestamp, clock::TokioClock, webhook::MemoryDeadLetters};

const ROOT: &str = "0123456789abcdef";
const PUBLIC: &str = "https://fax.example.org/base";

/// What a handler does with every request.
#[derive(Debug, Clone, Copy)]
enum Does {
    Reply,
    Fail(ErrorKind),
    Panic,
    PanicLater,
    Hang,
}

struct Handler {
    does: Does,
    get: bool,
    calls: AtomicUsize,
}

impl Handler {
    fn new(does: Does) -> Arc<Self> {
        Arc::new(Self {
            does,
            get: false,
            calls: AtomicUsize::new(0),
        })
    }

    fn calls(&self) -> usize {
        self.calls.load(Relaxed)
    }
}

#[async_trait]
impl WebhookHandler for Handler {
    fn takes_method(&self, method: &Method) -> bool {
        method == Method::POST || (self.get && method == Method::GET)
    }

    async fn handle_webhook(&self, _: WebhookRequest) -> Result<WebhookReply> {
        self.calls.fetch_add(1, Relaxed);
        match self.does {
            Does::Reply => Ok(WebhookReply::status(StatusCode::ACCEPTED)),
            Does::Fail(kind) => Err(Error::new(kind, "test", "no reason")),
            Does::Panic => panic!("hush"),
            Does::PanicLater => {
                tokio::task::yield_now().await;
                panic!("hush")
            }
            Does::Hang => pending().await,
        }
    }
}

fn id(text: &str) -> PluginId {
    text.parse().unwrap()
}

fn builder() -> WebhookRouterBuilder {
    WebhookRouter::builder(PUBLIC.parse().unwrap()).with_secret(Secret::new(ROOT))
}

fn router() -> WebhookRouter {
    builder().build().unwrap()
}

fn serve(router: &WebhookRouter, plugin: &str, path: WebhookPath, does: Does) -> Arc<Handler> {
    let handler = Handler::new(does);
    router.attach(&id(plugin), handler.clone());
    router.register_webhook(&id(plugin), path).unwrap();
    handler
}

async fn send(router: &WebhookRouter, method: Method, path: &str) -> WebhookReply {
    router.dispatch(WebhookRequest::new(method, path)).await
}

async fn post(router: &WebhookRouter, path: &str) -> WebhookReply {
    send(router, Method::POST, path).await
}

#[test]
fn only_a_safe_public_url_is_taken() {
    let rows = [
        ("https://fax.example.org", true),
        ("https://fax.example.org:8443/base/", true),
        ("http://localhost:8080", true),
        ("http://a.localhost", true),
        ("http://127.0.0.1:8080", true),
        ("http://127.8.9.10", true),
        ("http://[::1]:8080", true),
        ("http://fax.example.org", false),
        ("http://192.168.0.1", false),
        ("http://localhost.example.org", false),
        ("http://0.0.0.0", false),
        ("ftp://fax.example.org", false),
        ("file:///etc", false),
        ("data:text/plain,x", false),
        ("https://user@fax.example.org", false),
        ("https://:secret@fax.example.org", false),
        ("https://fax.example.org/?a=1", false),
        ("https://fax.example.org/#a", false),
    ];
    for (url, is_good) in rows {
        let built = WebhookRouter::builder(url.parse().unwrap()).build();
        match built {
            Ok(_) => assert!(is_good, "{url}"),
            Err(error) => {
                assert!(!is_good, "{url}");
                assert_eq!(error.kind(), ErrorKind::Config);
                assert_eq!(error.effect(), Effect::NoEffect);
                assert!(!error.to_string().contains("secret"));
            }
        }
    }
}

#[test]
fn a_root_secret_that_can_be_guessed_is_refused() {
    for secret in ["", "short", &ROOT[1..]] {
        let error = builder().with_secret(Secret::new(secret)).build();
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Config);
    }
}

#[test]
fn a_registered_url_is_the_same_after_a_restart_and_another_for_each_plugin() {
    let url = |router: &WebhookRouter, plugin: &str, path| {
        router
            .register_webhook(&id(plugin), path)
            .unwrap()
            .to_string()
    };
    let first = router();
    assert_eq!(
        url(&first, "acme", WebhookPath::Plain),
        "https://fax.example.org/base/webhooks/acme"
    );
    // The first 32 characters of `printf webhook:acme | openssl dgst -sha256 -hmac 0123456789abcdef`.
    let secret = "7b941f3f9787a52f579dbd3007a2bd17";
    let registered = url(&first, "acme", WebhookPath::Secret);
    assert_eq!(
        registered,
        format!("https://fax.example.org/base/webhooks/acme/{secret}")
    );
    assert_eq!(url(&first, "acme", WebhookPath::Secret), registered);
    assert_eq!(url(&router(), "acme", WebhookPath::Secret), registered);
    assert!(!url(&first, "acme2", WebhookPath::Secret).contains(secret));
    let other = builder().with_secret(Secret::new("fedcba9876543210"));
    let other = other.build().unwrap();
    assert_ne!(url(&other, "acme", WebhookPath::Secret), registered);
}

#[test]
fn without_a_root_secret_no_secret_path_is_registered() {
    let router = WebhookRouter::builder(PUBLIC.parse().unwrap());
    let router = router.build().unwrap();
    let register = |path| router.register_webhook(&id("acme"), path);
    assert!(register(WebhookPath::Plain).is_ok());
    let error = register(WebhookPath::Secret).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[tokio::test]
async fn a_path_leads_to_its_plugin_or_nowhere() {
    let router = router();
    let plain = serve(&router, "plain", WebhookPath::Plain, Does::Reply);
    let hidden = serve(&router, "hidden", WebhookPath::Secret, Does::Reply);
    let url = router.register_webhook(&id("hidden"), WebhookPath::Secret);
    let right = url.unwrap().path().to_owned();
    let secret = right.rsplit('/').next().unwrap().to_owned();
    let of_plain = router.path_secret(&id("plain")).unwrap();
    for (path, calls) in [
        ("/base/webhooks/plain".to_owned(), (1, 0)),
        ("/base/webhooks/plain?a=/b/c".to_owned(), (2, 0)),
        ("/webhooks/plain".to_owned(), (3, 0)),
        (right.clone(), (3, 1)),
        (format!("{right}?a=b"), (3, 2)),
        (format!("/webhooks/hidden/{secret}"), (3, 3)),
    ] {
        let reply = post(&router, &path).await;
        assert_eq!(reply.status, 202, "{path}");
        assert_eq!((plain.calls(), hidden.calls()), calls, "{path}");
    }
    let nowhere = [
        String::new(),
        "/".to_owned(),
        "/base".to_owned(),
        "/base/webhooks".to_owned(),
        "/base/webhooks/".to_owned(),
        "/base/webhooks/unknown".to_owned(),
        format!("/base/webhooks/unknown/{secret}"),
        "/base/webhooks/plain/".to_owned(),
        format!("/base/webhooks/plain/{of_plain}"),
        "/base/webhooks/hidden".to_owned(),
        "/base/webhooks/hidden/".to_owned(),
        "/base/webhooks/hidden/wrong".to_owned(),
        format!("/base/webhooks/hidden/{of_plain}"),
        format!("/base/webhooks/hidden/{}", secret.to_uppercase()),
        format!("/base/webhooks/hidden/{}", &secret[1..]),
        format!("/base/webhooks/hidden/{secret}0"),
        format!("/base/webhooks/hidden/{secret}/"),
        format!("/base/webhooks/hidden/?{secret}"),
        format!("/base/webhooks//{secret}"),
        "/base/webhooks/../webhooks/plain".to_owned(),
        "/base/webhooks/%70lain".to_owned(),
        "/base/webhooks/PLAIN".to_owned(),
        "/other/webhooks/plain".to_owned(),
        "/base/base/webhooks/plain".to_owned(),
        "/basewebhooks/plain".to_owned(),
        "base/webhooks/plain".to_owned(),
        "/base/files/".to_owned(),
        "/base/files/a/b".to_owned(),
        "https://fax.example.org/base/webhooks/plain".to_owned(),
    ];
    for path in nowhere {
        for method in [Method::POST, Method::GET, Method::DELETE] {
            // The same answer, whatever is wrong.
            assert_eq!(send(&router, method, &path).await, not_found(), "{path}");
        }
    }
    assert_eq!((plain.calls(), hidden.calls()), (3, 3));
}

#[tokio::test]
async fn under_a_public_path_of_the_same_name_both_forms_are_found() {
    let url = "https://fax.example.org/webhooks".parse().unwrap();
    let router = WebhookRouter::builder(url).build().unwrap();
    let handler = serve(&router, "acme", WebhookPath::Plain, Does::Reply);
    for path in ["/webhooks/webhooks/acme", "/webhooks/acme"] {
        assert_eq!(post(&router, path).await.status, 202, "{path}");
    }
    assert_eq!(handler.calls(), 2);
}

#[tokio::test]
async fn a_method_that_a_plugin_does_not_take_is_refused() {
    let router = router();
    let handler = serve(&router, "acme", WebhookPath::Plain, Does::Reply);
    for method in [Method::GET, Method::HEAD, Method::PUT, Method::OPTIONS] {
        let reply = send(&router, method, "/webhooks/acme").await;
        assert_eq!(
            (reply.status.as_u16(), &reply.headers["allow"]),
            (405, &HeaderValue::from_static("POST"))
        );
    }
    assert_eq!(handler.calls(), 0);
    let handler = Arc::new(Handler {
        get: true,
        does: Does::Reply,
        calls: AtomicUsize::new(0),
    });
    router.attach(&id("acme"), handler);
    assert_eq!(
        send(&router, Method::GET, "/webhooks/acme").await.status,
        202
    );
    let reply = send(&router, Method::PUT, "/webhooks/acme").await;
    assert_eq!(reply.headers["allow"], "GET, POST");
}

#[tokio::test]
async fn a_plugin_that_is_not_ready_asks_to_come_again() {
    let router = router();
    let plugin = id("acme");
    let path = "/webhooks/acme";
    assert_eq!(post(&router, path).await.status, 404);
    // Attached before it has started.
    router.attach(&plugin, Handler::new(Does::Reply));
    let secret = router.path_secret(&plugin).unwrap();
    for path in [path.to_owned(), format!("{path}/{secret}")] {
        let reply = post(&router, &path).await;
        assert_eq!(
            (reply.status.as_u16(), &reply.headers["retry-after"]),
            (503, &HeaderValue::from_static("10"))
        );
    }
    assert_eq!(post(&router, "/webhooks/acme/wrong").await.status, 404);
    router
        .register_webhook(&plugin, WebhookPath::Plain)
        .unwrap();
    assert_eq!(post(&router, path).await.status, 202);
    router.detach(&plugin);
    assert_eq!(post(&router, path).await.status, 404);
    // Registered before it is attached.
    router
        .register_webhook(&plugin, WebhookPath::Secret)
        .unwrap();
    assert_eq!(post(&router, path).await.status, 404);
    assert_eq!(post(&router, &format!("{path}/{secret}")).await.status, 503);
    // The last registration counts.
    router.attach(&plugin, Handler::new(Does::Reply));
    assert_eq!(post(&router, &format!("{path}/{secret}")).await.status, 202);
    router
        .register_webhook(&plugin, WebhookPath::Plain)
        .unwrap();
    assert_eq!(post(&router, &format!("{path}/{secret}")).await.status, 404);
}

#[tokio::test]
async fn a_detached_plugin_shares_no_files() {
    let router = router();
    let plugin = id("acme");
    serve(&router, "acme", WebhookPath::Plain, Does::Reply);
    let file = super::super::InboundFile::new("image/tiff", "II*");
    let ttl = Duration::from_secs(60);
    let url = router.links().share(&plugin, file, ttl).unwrap();
    assert_eq!(send(&router, Method::GET, url.path()).await.body, "II*");
    let below = format!("{}/x", url.path());
    assert_eq!(send(&router, Method::GET, &below).await, not_found());
    let as_webhook = url.path().replace("/files/", "/webhooks/acme/");
    assert_eq!(send(&router, Method::GET, &as_webhook).await, not_found());
    router.detach(&plugin);
    assert_eq!(send(&router, Method::GET, url.path()).await, not_found());
}

#[tokio::test]
async fn a_body_is_taken_up_to_its_limit() {
    let router = builder().with_max_body_bytes(4).build().unwrap();
    let handler = serve(&router, "acme", WebhookPath::Plain, Does::Reply);
    for (body, status) in [("", 202), ("1234", 202), ("12345", 413)] {
        let request = WebhookRequest::new(Method::POST, "/webhooks/acme").with_body(body);
        assert_eq!(router.dispatch(request).await.status, status, "{body}");
    }
    assert_eq!(handler.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn whatever_a_handler_does_the_vendor_gets_an_answer() {
    let rows = [
        (Does::Reply, 202, None),
        (Does::Fail(ErrorKind::Overloaded), 503, None),
        (Does::Fail(ErrorKind::ServerBusy), 503, None),
        (Does::Fail(ErrorKind::InvalidState), 503, None),
        (Does::Fail(ErrorKind::Unsupported), 404, None),
        (Does::Fail(ErrorKind::Io), 500, Some("test: no reason")),
        (
            Does::Fail(ErrorKind::Internal),
            500,
            Some("test: no reason"),
        ),
        (
            Does::Fail(ErrorKind::Protocol),
            500,
            Some("test: no reason"),
        ),
        (Does::Panic, 500, Some("the handler panicked")),
        (Does::PanicLater, 500, Some("the handler panicked")),
        (Does::Hang, 503, None),
    ];
    let clock = TokioClock::shared();
    for (does, status, reason) in rows {
        let letters = Arc::new(MemoryDeadLetters::new());
        let router = builder()
            .with_clock(Arc::clone(&clock))
            .with_dead_letters(letters.clone())
            .build()
            .unwrap();
        serve(&router, "acme", WebhookPath::Plain, does);
        let well = serve(&router, "well", WebhookPath::Plain, Does::Reply);
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("text/x-test"));
        headers.insert("x-signature", HeaderValue::from_static("hush"));
        let request = WebhookRequest::new(Method::POST, "/webhooks/acme")
            .with_headers(headers)
            .with_body(&b"\0\xff"[..]);
        let reply = router.dispatch(request).await;
        assert_eq!(reply.status, status, "{does:?}");
        assert_eq!(
            reply.headers.contains_key(RETRY_AFTER),
            status == 503,
            "{does:?}"
        );
        let letters = letters.list(9).await.unwrap();
        match reason {
            None => assert!(letters.is_empty(), "{does:?}"),
            Some(reason) => {
                assert_eq!(letters.len(), 1, "{does:?}");
                let letter = &letters[0];
                assert_eq!(
                    (letter.plugin_id.as_str(), letter.reason.as_str()),
                    ("acme", reason)
                );
                assert_eq!(letter.content_type.as_deref(), Some("text/x-test"));
                assert_eq!(letter.body, b"\0\xff");
                assert!(letter.received_at > Timestamp::UNIX_EPOCH);
            }
        }
        // It costs others nothing, and its place is free again.
        assert_eq!(router.places.available_permits(), 64, "{does:?}");
        assert_eq!(post(&router, "/webhooks/well").await.status, 202);
        assert_eq!(well.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn how_long_a_plugin_asks_to_wait_is_told() {
    struct Busy;
    #[async_trait]
    impl WebhookHandler for Busy {
        async fn handle_webhook(&self, _: WebhookRequest) -> Result<WebhookReply> {
            let error = Error::new(ErrorKind::Overloaded, "test", "busy");
            Err(error.with_retry_after(Duration::from_secs(77)))
        }
    }
    let router = router();
    serve(&router, "acme", WebhookPath::Plain, Does::Reply);
    router.attach(&id("acme"), Arc::new(Busy));
    let reply = post(&router, "/webhooks/acme").await;
    assert_eq!(reply.headers[RETRY_AFTER], "77");
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_cannot_be_kept_delays_nobody() {
    #[derive(Debug)]
    struct Stuck;
    #[async_trait]
    impl DeadLetterStore for Stuck {
        async fn put(&self, _: &DeadLetter) -> Result<()> {
            pending().await
        }
        async fn list(&self, _: usize) -> Result<Vec<DeadLetter>> {
            Ok(Vec::new())
        }
    }
    let router = builder()
        .with_dead_letters(Arc::new(Stuck))
        .build()
        .unwrap();
    serve(&router, "acme", WebhookPath::Plain, Does::Panic);
    let begun = tokio::time::Instant::now();
    assert_eq!(post(&router, "/webhooks/acme").await.status, 500);
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
}

fn admit(router: &WebhookRouter) -> Admitted<'_> {
    match router.admit(&Method::POST, "/webhooks/acme") {
        Admission::Admitted(admitted) => admitted,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_at_a_time_are_asked_to_come_again() {
    let router = builder().with_max_in_flight(2).build().unwrap();
    let handler = serve(&router, "acme", WebhookPath::Plain, Does::Hang);
    let (first, second) = (
        post(&router, "/webhooks/acme"),
        post(&router, "/webhooks/acme"),
    );
    let third = async {
        let reply = post(&router, "/webhooks/acme").await;
        assert_eq!((reply.status.as_u16(), handler.calls()), (503, 2));
        assert!(reply.headers.contains_key(RETRY_AFTER));
        // Strangers take no place, and get the same answer as ever.
        assert_eq!(post(&router, "/webhooks/other").await.status, 404);
    };
    tokio::join!(biased; first, second, third);
    assert_eq!(router.places.available_permits(), 2);
}

#[tokio::test(start_paused = true)]
async fn bodies_that_are_coming_take_no_place_and_all_together_bounded_memory() {
    let builder = builder().with_max_in_flight(1).with_max_body_bytes(10);
    let router = builder.with_max_held_bytes(25).build().unwrap();
    let handler = serve(&router, "acme", WebhookPath::Plain, Does::Reply);
    // As many as like to come, as long as they bring nothing.
    let _slow: Vec<_> = (0..100).map(|_| admit(&router)).collect();
    assert_eq!(post(&router, "/webhooks/acme").await.status, 202);
    let mut bodies = [admit(&router), admit(&router), admit(&router)];
    let mut rooms = Vec::new();
    for (body, bytes) in [(0, 10), (0, 1), (1, 9), (1, 1), (2, 5), (2, 1), (2, 6)] {
        let room = bodies[body].make_room(bytes);
        rooms.push(room.map_or_else(|reply| reply.status.as_u16(), |()| 0));
    }
    // Too long, or too much with all the others.
    assert_eq!(rooms, [0, 413, 0, 0, 0, 503, 413]);
    let [whole, cut, _] = bodies;
    let request = |body| WebhookRequest::new(Method::POST, "/webhooks/acme").with_body(body);
    assert_eq!(router.dispatch(request("1")).await.status, 503);
    // What has its room is handled, and frees it, and so does what is dropped.
    assert_eq!(whole.handle(request("0123456789")).await.status, 202);
    drop(cut);
    assert_eq!(router.held_bytes.load(Relaxed), 5);
    assert_eq!(router.dispatch(request("0123456789")).await.status, 202);
    assert_eq!((handler.calls(), router.held_bytes.load(Relaxed)), (3, 5));
}

#[tokio::test]
async fn a_time_without_an_end_is_one() {
    let router = builder().with_timeout(Duration::MAX).build().unwrap();
    let handler = serve(&router, "acme", WebhookPath::Plain, Does::Reply);
    assert_eq!(post(&router, "/webhooks/acme").await.status, 202);
    assert_eq!(handler.calls(), 1);
}

#[tokio::test]
async fn a_dropped_dispatch_frees_its_place() {
    let router = router();
    let handler = serve(&router, "acme", WebhookPath::Plain, Does::Hang);
    let mut work = Box::pin(post(&router, "/webhooks/acme"));
    std::future::poll_fn(|context| {
        assert!(work.as_mut().poll(context).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    assert_eq!(
        (handler.calls(), router.places.available_permits()),
        (1, 63)
    );
    drop(work);
    assert_eq!(router.places.available_permits(), 64);
}

#[tokio::test]
async fn what_a_request_says_about_itself_changes_no_address() {
    let router = router();
    let handler = serve(&router, "acme", WebhookPath::Plain, Does::Reply);
    let mut headers = HeaderMap::new();
    for name in [
        "host",
        "x-forwarded-host",
        "x-forwarded-prefix",
        "forwarded",
    ] {
        headers.insert(name, HeaderValue::from_static("evil.example"));
    }
    let request = WebhookRequest::new(Method::POST, "/webhooks/acme").with_headers(headers);
    assert_eq!(router.dispatch(request).await.status, 202);
    let url = router.register_webhook(&id("acme"), WebhookPath::Plain);
    assert_eq!(
        url.unwrap().as_str(),
        "https://fax.example.org/base/webhooks/acme"
    );
    assert_eq!(handler.calls(), 1);
}

#[test]
fn debug_shows_no_secret_and_no_path() {
    let url: Url = "https://fax.example.org/hidden".parse().unwrap();
    let builder = WebhookRouter::builder(url).with_secret(Secret::new(ROOT));
    let shown = format!("{builder:?}");
    let router = builder.build().unwrap();
    serve(&router, "acme", WebhookPath::Secret, Does::Reply);
    let secret = router.path_secret(&id("acme")).unwrap();
    let shown = format!("{shown} {router:?} {:?}", router.admit(&Method::POST, "/"));
    for hidden in [ROOT, "hidden", &secret] {
        assert!(!shown.contains(hidden), "{shown}");
    }
}
