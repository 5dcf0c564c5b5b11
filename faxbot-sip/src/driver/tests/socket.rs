//! Real sockets, with and without TLS. They run on the real clock.

use std::net::SocketAddr;

use faxbot_core::ErrorKind;
use tokio::{
    io::{AsyncReadExt, BufStream},
    net::TcpListener,
};

use super::{super::Endpoint, *};

/// The toy's server on one accepted stream.
async fn serve(io: impl AsyncRead + AsyncWrite + Unpin) {
    let mut io = BufStream::new(io);
    io.write_all(b"hello\n").await.unwrap();
    io.flush().await.unwrap();
    let mut line = String::new();
    while let Ok(1..) = io.read_line(&mut line).await {
        let answer = match line.strip_prefix("req ") {
            Some(rest) => format!("ok {rest}"),
            None if line == LOGIN => "welcome\n".to_owned(),
            None => line.clone(),
        };
        line.clear();
        if io.write_all(answer.as_bytes()).await.is_err() || io.flush().await.is_err() {
            return;
        }
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A link whose set-up is at once over.
fn link(endpoint: Endpoint) -> (Link<Toy>, TaskSet) {
    let tasks = TaskSet::current("connect").unwrap();
    let (link, mut events) = Link::start(
        LinkOptions::new("toy").with_connect_timeout(5 * SECOND),
        Box::new(endpoint),
        |_: [u8; 32]| (Toy::new(), ToyCodec),
        TokioClock::shared(),
        SeededRandom::shared(1),
        &tasks,
    );
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            if let LinkEvent::Up { setup, .. } = event {
                setup.ready();
            }
        }
    });
    (link, tasks)
}

#[tokio::test]
async fn tcp_carries_requests_and_a_close() {
    let (listener, address) = listen().await;
    let server = tokio::spawn(async move { serve(listener.accept().await.unwrap().0).await });
    let (link, tasks) = link(Endpoint::tcp("localhost", address.port()));
    link.connected().await.unwrap();
    for n in 0..100 {
        let text = format!("request {n}");
        assert_eq!(
            link.handle().request(text.clone(), SECOND).await.unwrap(),
            text
        );
    }
    assert!(link.close(SECOND).await.drained);
    server.await.unwrap();
    assert!(tasks.stop(SECOND).await);
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_not_connected() {
    let (listener, address) = listen().await;
    drop(listener);
    let (link, _tasks) = link(Endpoint::tcp("127.0.0.1", address.port()));
    let error = link.connected().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
    assert!(std::error::Error::source(&error).is_some());
}

#[tokio::test]
async fn a_reset_after_the_request_leaves_its_outcome_unknown() {
    let (listener, address) = listen().await;
    let server = tokio::spawn(async move {
        let mut io = listener.accept().await.unwrap().0;
        io.write_all(b"hello\n").await.unwrap();
        let mut some = [0; 64];
        let count = io.read(&mut some).await.unwrap();
        assert_eq!(&some[..count], LOGIN.as_bytes());
        io.write_all(b"welcome\n").await.unwrap();
        // Leaves the second byte and all after it unread: the kernel resets the connection.
        io.read_exact(&mut some[..1]).await.unwrap();
    });
    let (link, _tasks) = link(Endpoint::tcp("127.0.0.1", address.port()));
    link.connected().await.unwrap();
    let error = link
        .handle()
        .request("dial".to_owned(), 5 * SECOND)
        .await
        .unwrap_err();
    assert!(
        matches!(error, RequestError::OutcomeUnknown(_)),
        "{error:?}"
    );
    server.await.unwrap();
}

/// Callers in parallel with short deadlines on a connection that is cut: whoever is told that
/// nothing happened must be right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_that_had_no_effect_was_ever_seen_by_the_server() {
    for round in 0_u32..20 {
        let (listener, address) = listen().await;
        let server = tokio::spawn(async move {
            let mut io = BufStream::new(listener.accept().await.unwrap().0);
            io.write_all(b"hello\nwelcome\n").await.unwrap();
            io.flush().await.unwrap();
            let mut seen = std::collections::HashSet::new();
            let mut line = String::new();
            for _ in 0..2 + 20 * round {
                line.clear();
                if !matches!(io.read_line(&mut line).await, Ok(1..)) {
                    break;
                }
                if let Some((token, text)) = line
                    .strip_prefix("req ")
                    .and_then(|rest| rest.trim_end().split_once(' '))
                {
                    seen.insert(text.to_owned());
                    let answer = format!("ok {token} {text}\n");
                    if io.write_all(answer.as_bytes()).await.is_err() || io.flush().await.is_err() {
                        break;
                    }
                }
            }
            seen
        });
        let (link, _tasks) = link(Endpoint::tcp("127.0.0.1", address.port()));
        link.connected().await.unwrap();
        let asked: Vec<_> = (0..300_u64)
            .map(|n| {
                let text = format!("caller-{n}");
                let timeout = Duration::from_micros(200 + n * 37 % 5_000);
                (text.clone(), ask(&link.handle(), &text, timeout))
            })
            .collect();
        let mut ends = Vec::new();
        for (text, answer) in asked {
            ends.push((text, answer.await.unwrap()));
        }
        drop(link);
        let seen = server.await.unwrap();
        for (text, end) in ends {
            match end {
                Ok(reply) => assert!(reply == text && seen.contains(&text)),
                Err(error) if error.effect() == faxbot_core::Effect::NoEffect => {
                    assert!(
                        !seen.contains(&text),
                        "round {round}: {text} was seen: {error:?}"
                    );
                }
                Err(_) => {}
            }
        }
    }
}

#[cfg(feature = "tls")]
mod tls {
    use std::path::PathBuf;

    use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
    use tokio_rustls::{
        TlsAcceptor,
        rustls::{
            RootCertStore, ServerConfig,
            crypto::{CryptoProvider, ring},
            server::WebPkiClientVerifier,
        },
    };

    use super::{super::super::TlsOptions, *};

    /// An authority, a server for `fax.test` and a client, as PEM files.
    struct Certificates {
        dir: tempfile::TempDir,
        server: Arc<ServerConfig>,
    }

    impl Certificates {
        fn new(ask_client: bool) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let mut params = CertificateParams::default();
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
            let issue = |name: &str| {
                let key = KeyPair::generate().unwrap();
                let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
                (params.signed_by(&key, &ca).unwrap(), key)
            };
            let (client, client_key) = issue("client.test");
            let (server, server_key) = issue("fax.test");
            let files = [
                ("ca.pem", ca.pem()),
                ("client.pem", client.pem()),
                ("client.key", client_key.serialize_pem()),
            ];
            for (name, text) in files {
                std::fs::write(dir.path().join(name), text).unwrap();
            }
            let provider = Arc::new(ring::default_provider());
            let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
                .with_safe_default_protocol_versions()
                .unwrap();
            let config = if ask_client {
                let mut roots = RootCertStore::empty();
                roots.add(ca.der().clone()).unwrap();
                let roots = Arc::new(roots);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                config.with_client_cert_verifier(verifier.build().unwrap())
            } else {
                config.with_no_client_auth()
            };
            let key = server_key.serialize_der().try_into().unwrap();
            let config = config
                .with_single_cert(vec![server.der().clone()], key)
                .unwrap();
            Self {
                dir,
                server: Arc::new(config),
            }
        }

        fn file(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn options(&self) -> TlsOptions {
            TlsOptions::new()
                .with_ca_file(self.file("ca.pem"))
                .with_server_name("fax.test")
        }
    }

    async fn server(config: Arc<ServerConfig>) -> u16 {
        let (listener, address) = listen().await;
        tokio::spawn(async move {
            let stream = listener.accept().await.unwrap().0;
            if let Ok(stream) = TlsAcceptor::from(config).accept(stream).await {
                serve(stream).await;
            }
        });
        address.port()
    }

    async fn connect(config: Arc<ServerConfig>, options: &TlsOptions) -> Result<(), ErrorKind> {
        let port = server(config).await;
        let endpoint = Endpoint::tcp("127.0.0.1", port).with_tls(options).unwrap();
        let (link, _tasks) = link(endpoint);
        link.connected().await.map_err(|error| error.kind())?;
        assert_eq!(
            link.handle().request("a".to_owned(), SECOND).await.unwrap(),
            "a"
        );
        assert!(link.close(SECOND).await.drained);
        Ok(())
    }

    #[tokio::test]
    async fn a_private_authority_and_a_server_name_are_enough() {
        let certificates = Certificates::new(false);
        let options = certificates.options();
        assert_eq!(
            connect(Arc::clone(&certificates.server), &options).await,
            Ok(())
        );
        assert!(
            CryptoProvider::get_default().is_none(),
            "the process default was installed"
        );
    }

    #[tokio::test]
    async fn another_name_another_authority_or_no_tls_at_all_is_refused() {
        let certificates = Certificates::new(false);
        let server = || Arc::clone(&certificates.server);
        let other_name = certificates.options().with_server_name("other.test");
        assert_eq!(
            connect(server(), &other_name).await,
            Err(ErrorKind::Protocol)
        );
        let other_ca = Certificates::new(false);
        let options = other_ca.options();
        assert_eq!(connect(server(), &options).await, Err(ErrorKind::Protocol));

        let (listener, address) = listen().await;
        tokio::spawn(async move { serve(listener.accept().await.unwrap().0).await });
        let options = certificates.options();
        let endpoint = Endpoint::tcp("127.0.0.1", address.port())
            .with_tls(&options)
            .unwrap();
        let (link, _tasks) = link(endpoint);
        assert_eq!(
            link.connected().await.unwrap_err().kind(),
            ErrorKind::Protocol
        );
    }

    #[tokio::test]
    async fn a_client_certificate_is_shown_when_asked_for() {
        let certificates = Certificates::new(true);
        let server = || Arc::clone(&certificates.server);
        let without = certificates.options();
        assert!(connect(server(), &without).await.is_err());
        let with = certificates.options().with_client_certificate(
            certificates.file("client.pem"),
            certificates.file("client.key"),
        );
        assert_eq!(connect(server(), &with).await, Ok(()));
    }

    #[test]
    fn files_and_names_that_cannot_be_used_are_errors_of_the_configuration() {
        let certificates = Certificates::new(false);
        let missing = certificates.file("missing.pem");
        let key = certificates.file("client.key");
        let table = [
            certificates.options().with_ca_file(&missing),
            certificates.options().with_ca_file(&key),
            certificates
                .options()
                .with_client_certificate(&missing, &key),
            certificates
                .options()
                .with_client_certificate(certificates.file("ca.pem"), &key),
            certificates.options().with_server_name("no name"),
        ];
        for options in table {
            let error = Endpoint::tcp("127.0.0.1", 1)
                .with_tls(&options)
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{options:?}");
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_domain_socket_carries_requests_and_a_close() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("engine");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream).await;
    });
    let endpoint = Endpoint::unix(&path);
    assert!(!format!("{endpoint:?}").contains("engine"));
    let (link, tasks) = link(endpoint);
    link.connected().await.unwrap();
    let answer = link.handle().request("ping".to_owned(), 5 * SECOND).await;
    assert_eq!(answer.unwrap(), "ping");
    assert!(link.close(5 * SECOND).await.drained);
    serving.await.unwrap();
    assert!(tasks.stop(SECOND).await);
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_domain_socket_that_is_not_there_is_not_connected() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::unix(folder.path().join("nobody"));
    let (link, _tasks) = link(endpoint);
    let error = link.connected().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
}

#[cfg(all(unix, feature = "tls"))]
#[test]
fn a_unix_domain_socket_with_tls_is_an_error_of_the_configuration() {
    let endpoint = Endpoint::unix("/run/engine");
    let error = endpoint.with_tls(&super::super::TlsOptions::new());
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test]
async fn a_tcp_port_is_listened_on_and_is_free_after_the_close() {
    use super::super::{Acceptor, Listener, ListenerOptions};

    let acceptor = Acceptor::tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = acceptor.local_addr();
    let taken = Acceptor::tcp(address).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::Io);
    let tasks = TaskSet::current("listen").unwrap();
    let (listener, mut incoming) = Listener::start(
        ListenerOptions::new("toy"),
        Box::new(acceptor),
        |_: [u8; 32]| (Toy::new(), ToyCodec),
        TokioClock::shared(),
        SeededRandom::shared(1),
        &tasks,
    );
    let peer = tokio::spawn(async move {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        serve(stream).await;
    });
    let mut accepted = incoming.recv().await.unwrap();
    assert!(accepted.peer.unwrap().is_loopback());
    if let Some(LinkEvent::Up { setup, .. }) = accepted.events.recv().await {
        setup.ready();
    }
    let handle = accepted.link.handle();
    let answer = handle.request("ping".to_owned(), 5 * SECOND);
    assert_eq!(answer.await.unwrap(), "ping");
    assert!(accepted.link.close(5 * SECOND).await.drained);
    drop(accepted);
    assert!(listener.close(5 * SECOND).await.drained);
    peer.await.unwrap();
    Acceptor::tcp(address).await.unwrap();
}
