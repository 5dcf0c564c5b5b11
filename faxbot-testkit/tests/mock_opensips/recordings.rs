//! The requests of each recording are asked of the mock, and both servers say the same.

use std::time::Duration;

use faxbot_testkit::{
    replay::{Chunk, Direction, Recording},
    server::opensips::{MockOpenSips, MockOpenSipsBuilder, Phone, Tree},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// How long a silent server is waited for.
const SILENCE: Duration = Duration::from_millis(100);

/// What a server said.
#[derive(Debug, Clone)]
enum Said {
    Answer {
        /// `HTTP/1.1 200 OK`.
        status: String,
        kind: String,
        /// `None`: in chunks, without an end.
        body: Option<String>,
    },
    /// It closed the connection without a word.
    Closed,
    /// Nothing.
    Nothing,
}

fn read(bytes: &[u8]) -> Option<Said> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    if head.starts_with("HTTP/1.1 100") {
        return read(body.as_bytes());
    }
    let mut lines = head.lines();
    let status = lines.next()?.to_owned();
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_owned())
    };
    let body = match header("content-length") {
        None => None,
        // A HEAD has the length and no body.
        Some(length) if status.contains(" 406 ") => Some(length),
        Some(length) => {
            let length: usize = length.parse().ok()?;
            Some(body.get(..length)?.to_owned())
        }
    };
    Some(Said::Answer {
        status,
        kind: header("content-type").unwrap_or_default(),
        body,
    })
}

/// Whether these bytes begin a request of HTTP.
fn is_http(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    text.lines()
        .next()
        .is_some_and(|line| line.contains(" HTTP/1."))
}

async fn ask(mock: &MockOpenSips, request: &[u8], patience: Duration) -> Said {
    let mut link = TcpStream::connect(mock.http().address().unwrap())
        .await
        .unwrap();
    link.write_all(request).await.unwrap();
    let mut bytes = Vec::new();
    let answer = async {
        loop {
            if let Some(said) = read(&bytes) {
                return said;
            }
            if !matches!(link.read_buf(&mut bytes).await, Ok(1..)) {
                return Said::Closed;
            }
        }
    };
    tokio::time::timeout(patience, answer)
        .await
        .unwrap_or(Said::Nothing)
}

/// Plays the client's side of a recording; phones of it register at the mock, too. Gives each
/// request with what both servers said.
async fn play(name: &str, builder: MockOpenSipsBuilder) -> Vec<(String, Said, Said)> {
    let mock = builder.start().await.unwrap();
    let recording = Recording::load_channels(&format!("opensips/{name}")).unwrap();
    let mut exchanges = Vec::new();
    let mut chunks = recording.chunks().iter();
    let mut request = Vec::new();
    while let Some(chunk) = chunks.next() {
        let text = String::from_utf8_lossy(&chunk.bytes);
        if &*chunk.channel == "sip" && text.starts_with("REGISTER") {
            let (_, user) = text.split_once("To: <sip:").unwrap();
            let (user, _) = user.split_once('@').unwrap();
            mock.registers(
                user,
                &format!("sip:{user}@127.0.0.1:25071"),
                Duration::from_secs(600),
            );
        }
        if &*chunk.channel != "mi_http" || chunk.dir != Direction::ToServer {
            continue;
        }
        request.extend_from_slice(&chunk.bytes);
        let own = |other: &&Chunk| other.conn == chunk.conn && other.channel == chunk.channel;
        let mut rest = chunks.clone().filter(own).peekable();
        if rest
            .peek()
            .is_some_and(|next| next.dir == Direction::ToServer)
            || !is_http(&request)
        {
            // A part of a request, or nothing that the library behind the mock takes.
            continue;
        }
        let mut recorded = Vec::new();
        for answer in rest.take_while(|other| other.dir == Direction::ToClient) {
            recorded.extend_from_slice(&answer.bytes);
        }
        let recorded = read(&recorded).unwrap_or(Said::Nothing);
        let patience = match &recorded {
            Said::Answer { .. } => Duration::from_secs(5),
            _ => SILENCE,
        };
        let mocked = ask(&mock, &request, patience).await;
        let asked = String::from_utf8_lossy(&request).into_owned();
        exchanges.push((asked, recorded, mocked));
        request.clear();
    }
    assert!(!exchanges.is_empty(), "{name}");
    exchanges
}

/// The names of the members, in their order, and the types of the values. What both have in a list
/// is compared by its first element.
pub(crate) fn same_shape(path: &str, recorded: &Tree, mocked: &Tree) {
    match (recorded, mocked) {
        (Tree::Object(recorded), Tree::Object(mocked)) => {
            let names = |members: &[(String, Tree)]| -> Vec<String> {
                members.iter().map(|(name, _)| name.clone()).collect()
            };
            assert_eq!(names(recorded), names(mocked), "{path}");
            for ((name, recorded), (_, mocked)) in recorded.iter().zip(mocked) {
                same_shape(&format!("{path}.{name}"), recorded, mocked);
            }
        }
        (Tree::List(recorded), Tree::List(mocked)) => {
            if let (Some(recorded), Some(mocked)) = (recorded.first(), mocked.first()) {
                same_shape(&format!("{path}[0]"), recorded, mocked);
            }
        }
        // Of a second that is over meanwhile.
        (Tree::Int(_), Tree::Text(expired)) if expired == "expired" => {}
        (recorded, mocked) => assert_eq!(
            std::mem::discriminant(recorded),
            std::mem::discriminant(mocked),
            "{path}"
        ),
    }
}

/// Both said the same, but for commands whose answers are about one machine or one script.
fn compare(name: &str, exchanges: &[(String, Said, Said)], but: &[&str]) {
    let mut compared = 0;
    for (request, recorded, mocked) in exchanges {
        if but.iter().any(|but| request.contains(but)) {
            continue;
        }
        compared += 1;
        let what = format!("{name}: {request}\n{recorded:?}\n{mocked:?}");
        match (recorded, mocked) {
            (
                Said::Answer { status, kind, body },
                Said::Answer {
                    status: mocked_status,
                    kind: mocked_kind,
                    body: mocked_body,
                },
            ) => {
                assert_eq!((status, kind), (mocked_status, mocked_kind), "{what}");
                assert_eq!(body.is_some(), mocked_body.is_some(), "{what}");
                let (Some(body), Some(mocked)) = (body, mocked_body) else {
                    continue;
                };
                let trees = (Tree::parse(body.as_bytes()), Tree::parse(mocked.as_bytes()));
                let (Some(recorded), Some(mocked)) = trees else {
                    assert_eq!(body, mocked, "{what}");
                    continue;
                };
                if recorded.get("error").is_some() || mocked.get("error").is_some() {
                    assert_eq!(recorded.compact(), mocked.compact(), "{what}");
                    continue;
                }
                same_shape(&what, &recorded, &mocked);
            }
            // A connection that was closed is not in the bytes.
            (Said::Nothing | Said::Closed, Said::Nothing | Said::Closed) => {}
            _ => panic!("{what}"),
        }
    }
    assert!(compared > 0, "{name}");
}

#[tokio::test]
async fn requests_without_a_call_get_the_recorded_answers() {
    let big = || MockOpenSips::builder().body_limit(65_536);
    // What one script or one machine has, and statistics that are not staged.
    let machine = [
        "log_level",
        "events_list",
        "\"ps\"",
        "sr_",
        "help",
        "httpd_list",
        "\"load:",
        "\"all\"",
        "list_statistics",
        "statistics\": [\"usrloc:",
        "reset_all",
        "shv_",
        "cache_",
        "expire\": 1.5",
    ];
    for (name, builder, but) in [
        ("01_version_uptime_ps_which", big(), &machine[..]),
        ("01_get_statistics", big(), &machine[..]),
        // Those are answered by the library behind the mock.
        ("01_http_errors", big(), &["POST http://", "HTTP/1.0"][..]),
        ("01_jsonrpc_errors", big(), &[]),
        ("01_jsonrpc_ids", big(), &[]),
        ("01_jsonrpc_batch_and_notification", big(), &[]),
        (
            "01_large_body_default_limits",
            MockOpenSips::builder(),
            // It is refused before it is sent whole.
            &["Content-Length: 100081"],
        ),
        ("01_text_values", big(), &machine[..]),
        ("03_event_subscribe_errors_and_list", big(), &machine[..]),
        ("05_click_to_dial_b2b_wrong_parameters", big(), &[]),
        (
            "05_click_to_dial_server_address_not_set",
            big().without_server_address(),
            &[],
        ),
        (
            "07_usrloc_registrations",
            big(),
            // Who comes first there is a matter of hashes.
            &["\"id\": 21", "\"id\": 22"],
        ),
    ] {
        let exchanges = play(name, builder).await;
        compare(name, &exchanges, but);
    }
}

#[tokio::test]
async fn requests_to_gateways_and_phones_get_the_recorded_answers() {
    let never = faxbot_testkit::server::opensips::Replies::Never;
    let with = faxbot_testkit::server::opensips::Replies::With;
    let phone = |replies| Phone::answers().replies(replies, Duration::ZERO);
    let builder = MockOpenSips::builder()
        .body_limit(65_536)
        .answer_timeout(Duration::from_millis(50))
        .phone("nf", phone(with(404)))
        .phone("busy", phone(with(486)))
        .phone("quiet", phone(never))
        .phone("x", phone(never));
    let exchanges = play("04_t_uac_dlg", builder).await;
    compare("04_t_uac_dlg", &exchanges, &["\"FOO\"", "\"method\": \"\""]);
    let exchanges = play(
        "07_dispatcher_load_balancer_registrant",
        MockOpenSips::builder(),
    )
    .await;
    compare(
        "07_dispatcher_load_balancer_registrant",
        &exchanges,
        &["reg_list"],
    );
}
