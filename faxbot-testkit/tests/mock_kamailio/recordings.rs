//! The requests of each recording are asked of the mock, and both servers say the same.

use std::time::Duration;

use faxbot_testkit::{
    replay::{Direction, Recording},
    server::kamailio::{MockKamailio, MockKamailioBuilder, Phone, Tree},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// How long a silent server is waited for.
const SILENCE: Duration = Duration::from_millis(100);

/// A request with what both servers said to it; nothing where they stayed silent.
struct Exchange {
    request: Vec<u8>,
    recorded: Option<Answer>,
    mocked: Option<Answer>,
}

struct Answer {
    /// `HTTP/1.1 200 OK`.
    status: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn read(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.lines();
        let status = lines.next()?.to_owned();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length")?;
        let length: usize = length.1.parse().ok()?;
        (body.len() >= length).then(|| Self {
            status,
            headers,
            body: body.to_owned(),
        })
    }

    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Asks the mock, over a connection of its own.
async fn ask(mock: &MockKamailio, request: &[u8], patience: Duration) -> Option<Answer> {
    let mut link = TcpStream::connect(mock.http().address().unwrap())
        .await
        .unwrap();
    link.write_all(request).await.unwrap();
    let mut bytes = Vec::new();
    let read = async {
        loop {
            if let Some(answer) = Answer::read(&bytes) {
                return answer;
            }
            assert_ne!(link.read_buf(&mut bytes).await.unwrap(), 0, "closed");
        }
    };
    tokio::time::timeout(patience, read).await.ok()
}

/// Plays the client's side of a recording; phones of it register at the mock, too.
async fn play(name: &str, builder: MockKamailioBuilder) -> Vec<Exchange> {
    let mock = builder.start().await.unwrap();
    let recording = Recording::load_channels(&format!("kamailio/{name}")).unwrap();
    let mut exchanges: Vec<Exchange> = Vec::new();
    let mut answer = Vec::new();
    for chunk in recording.chunks() {
        let text = String::from_utf8_lossy(&chunk.bytes);
        match (&*chunk.channel, chunk.dir) {
            ("sip", Direction::ToServer) if text.starts_with("REGISTER") => {
                let gone = text.contains("Expires: 0\r\n");
                match gone {
                    true => mock.unregister("alice"),
                    false => {
                        let contact = "sip:alice@127.0.0.1:5091";
                        mock.register("alice", contact, Duration::from_secs(60));
                    }
                }
            }
            ("" | "rpc", Direction::ToServer) => {
                exchanges.push(Exchange {
                    request: chunk.bytes.to_vec(),
                    recorded: None,
                    mocked: None,
                });
                answer.clear();
            }
            ("" | "rpc", Direction::ToClient) => {
                answer.extend_from_slice(&chunk.bytes);
                let Some(recorded) = Answer::read(&answer) else {
                    continue;
                };
                let exchange = exchanges.last_mut().unwrap();
                exchange.mocked = ask(&mock, &exchange.request, Duration::from_secs(5)).await;
                exchange.recorded = Some(recorded);
            }
            _ => {}
        }
    }
    for silent in exchanges.iter_mut().filter(|one| one.recorded.is_none()) {
        silent.mocked = ask(&mock, &silent.request, SILENCE).await;
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
        (recorded, mocked) => assert_eq!(
            std::mem::discriminant(recorded),
            std::mem::discriminant(mocked),
            "{path}"
        ),
    }
}

/// Both said the same, but for methods whose answers are about one machine.
fn compare(name: &str, exchanges: &[Exchange], but: &[&str]) {
    for Exchange {
        request,
        recorded,
        mocked,
    } in exchanges
    {
        let text = String::from_utf8_lossy(request);
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        let asked = format!("{name}: {body}");
        assert_eq!(recorded.is_some(), mocked.is_some(), "{asked}");
        let (Some(recorded), Some(mocked)) = (recorded, mocked) else {
            continue;
        };
        assert_eq!(recorded.status, mocked.status, "{asked}");
        for header in ["content-type", "server", "www-authenticate"] {
            assert_eq!(recorded.header(header), mocked.header(header), "{asked}");
        }
        assert!(mocked.header("sia").is_some(), "{asked}");
        if but.iter().any(|but| body.contains(but)) {
            continue;
        }
        let Some(tree) = Tree::parse(recorded.body.as_bytes()) else {
            assert_eq!(recorded.body, mocked.body, "{asked}");
            continue;
        };
        let mock = Tree::parse(mocked.body.as_bytes()).expect("json");
        same_shape(&asked, &tree, &mock);
        // The printing is the same to the byte, whatever is printed.
        assert_eq!(tree.tabbed(), recorded.body, "{asked}");
        let fixed = match tree.get("result") {
            Some(Tree::Object(members)) => members.is_empty(),
            Some(Tree::Text(_)) | None => true,
            Some(_) => false,
        };
        if fixed {
            assert_eq!(recorded.body, mocked.body, "{asked}");
        }
    }
}

#[tokio::test]
async fn core_dialog_and_errors_as_recorded() {
    let builder = MockKamailio::builder()
        .destination(2, "sip:127.0.0.1:5090")
        .destination(1, "sip:127.0.0.1:5080")
        .destination(1, "sip:127.0.0.1:5081");
    let exchanges = play("basics", builder).await;
    compare("basics", &exchanges, &[]);
}

#[tokio::test]
async fn who_may_not_ask_is_told_how_as_recorded() {
    for (name, builder) in [
        (
            "auth_basic_missing",
            MockKamailio::builder()
                .basic("admin", "secret")
                .path("/RPC-basic"),
        ),
        (
            "auth_basic_ok",
            MockKamailio::builder()
                .basic("admin", "secret")
                .path("/RPC-basic"),
        ),
        (
            "auth_bearer_missing",
            MockKamailio::builder()
                .bearer("s3cret-token")
                .path("/RPC-bearer"),
        ),
        (
            "auth_bearer_ok",
            MockKamailio::builder()
                .bearer("s3cret-token")
                .path("/RPC-bearer"),
        ),
    ] {
        compare(name, &play(name, builder).await, &[]);
    }
}

#[tokio::test]
async fn destinations_as_recorded() {
    let builder = MockKamailio::builder()
        .destination(2, "sip:127.0.0.1:5989")
        .destination(1, "sip:127.0.0.1:5081")
        .destination(1, "sip:127.0.0.1:5080");
    compare("dispatcher", &play("dispatcher", builder).await, &[]);
}

#[tokio::test]
async fn registrations_as_recorded() {
    // How many statistics there are is about the modules of one machine.
    let exchanges = play("usrloc", MockKamailio::builder()).await;
    compare("usrloc", &exchanges, &["stats.fetch"]);
}

#[tokio::test]
async fn requests_of_its_own_as_recorded() {
    for name in ["t_uac", "t_uac_variants"] {
        let builder = MockKamailio::builder()
            .answer_timeout(Duration::from_millis(50))
            .phone("sip:uas@127.0.0.1:5989", Phone::silent())
            .phone("sip:uas@127.0.0.1:5998", Phone::silent());
        let exchanges = play(name, builder).await;
        compare(name, &exchanges, &["tm.list"]);
    }
}

#[tokio::test]
async fn tables_and_registrations_elsewhere_as_recorded() {
    let exchanges = play("htable", MockKamailio::builder()).await;
    // What is in a table was put there by calls.
    compare("htable", &exchanges, &["htable.dump", "\"k2\"]", "\"k3\"]"]);
    let builder = MockKamailio::builder().with_uac_registrations();
    compare("uac_reg", &play("uac_reg", builder).await, &[]);
}

#[tokio::test]
async fn bad_parameters_of_click_to_dial_as_recorded() {
    let exchanges = play("ctd_bad_parameters", MockKamailio::builder()).await;
    compare("ctd_bad_parameters", &exchanges, &[]);
    let exchanges = play("methods", MockKamailio::builder()).await;
    let others = ["core.ps\"", "system.methodHelp", "system.listMethods"];
    compare("methods", &exchanges, &others);
}
