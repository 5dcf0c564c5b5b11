//! Addresses and ids that lead elsewhere, in every place of every webhook.

use std::collections::BTreeSet;

use faxbot_core::plugin::PluginEvent;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use url::Url;

use crate::{
    alone,
    cloud_wire_support::{Trap, until},
    payload::{places, templates, wire},
    rig::{Memory, Rig},
    subject::{Kind, check},
};

/// Addresses that nobody may ask.
fn addresses(trap: &Trap, vendor: &Url) -> Vec<String> {
    let (address, port) = (trap.address, trap.address.port());
    let own = vendor.as_str().trim_end_matches('/');
    vec![
        format!("http://{address}/fax.pdf"),
        format!("http://user:pass@{address}/fax.pdf"),
        format!("//{address}/fax.pdf"),
        format!("\\\\{address}\\share"),
        format!("http://localhost:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("ftp://{address}/fax.pdf"),
        format!("{own}/v2.1/account/status"),
        format!("{own}/oauth2/token"),
        "http://169.254.169.254/latest/meta-data/iam".to_owned(),
        "http://[fd00:ec2::254]/latest".to_owned(),
        "file:///etc/passwd".to_owned(),
        "data:application/pdf;base64,JVBERi0=".to_owned(),
        "gopher://127.0.0.1:9/_x".to_owned(),
    ]
}

/// Ids that are none.
fn ids(trap: &Trap) -> Vec<Value> {
    let texts = [
        "..",
        ".",
        "",
        "/",
        "../../oauth2/token",
        "..%2F..%2Foauth2%2Ftoken",
        "%2e%2e/%2e%2e/v1",
        "..\\..\\x",
        "\t../x",
        "//evil.example/x",
        "x/../../../v3/projects",
        "x?direction=sent",
        "x#fragment",
        "x&y=z",
        "x y",
        "x;y",
        "x@evil.example",
        "x\r\nHost: evil.example",
        "x\0",
        "\u{202e}gpj.x",
        "\u{ff0e}\u{ff0e}\u{ff0f}x",
        "\u{e9}\u{1f4e0}",
        "-1",
        "+493090182055",
    ];
    let mut ids: Vec<Value> = texts.iter().map(|text| json!(text)).collect();
    ids.extend([
        json!(format!("http://{}/x", trap.address)),
        json!("a".repeat(10_000)),
        json!("\u{1f4e0}".repeat(2_500)),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1e300),
        json!(u64::MAX),
        json!(true),
        json!(null),
        json!([]),
        json!({}),
        json!(["x", "y"]),
        json!({ "id": "x" }),
    ]);
    ids
}

/// Names that a careless reader would fetch or follow.
const NAMES: [&str; 12] = [
    "url",
    "uri",
    "href",
    "link",
    "file",
    "files",
    "contentUrl",
    "content_url",
    "fileUrl",
    "media_url",
    "location",
    "next",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_address_and_no_id_in_a_webhook_leads_elsewhere() {
    let _turn = alone().await;
    for signed in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let mut rig = Rig::start(folder.path(), signed, Memory::None).await;
        let trap = Trap::new().await;
        let mut asked = 0;
        for at in 0..rig.subjects.len() {
            asked += hostile(&mut rig, &trap, at).await;
        }
        assert_eq!(trap.came(), 0, "somebody came to an address of a webhook");
        assert!(signed || asked > 500, "few were asked for: {asked}");
        stored_names(folder.path());
        // Who comes is counted.
        let _guest = TcpStream::connect(trap.address).await.unwrap();
        until(async || (trap.came() == 1).then_some(())).await;
    }
}

/// Every address and id in every place; answers how many questions they led to.
async fn hostile(rig: &mut Rig, trap: &Trap, at: usize) -> usize {
    let subject = &rig.subjects[at];
    let kind = subject.kind;
    let addresses = addresses(trap, &subject.vendor);
    let ids = ids(trap);
    let mut asked = 0;
    for template in templates(subject, &addresses[0]) {
        let mut variants = vec![(String::from("as it is"), template.clone())];
        for place in places(&template) {
            let is_id = [
                "/id",
                "/batch_id",
                "/faxbot_job",
                "/client_reference",
                "/name",
            ]
            .iter()
            .any(|end| place.ends_with(end));
            let all = addresses.iter().map(|url| json!(url));
            let values: Vec<Value> = if is_id {
                all.chain(ids.iter().cloned()).collect()
            } else {
                all.collect()
            };
            for value in values {
                let mut variant = template.clone();
                *variant.pointer_mut(&place).unwrap() = value;
                variants.push((place.clone(), variant));
            }
        }
        for name in NAMES {
            for parent in ["", "/fax", "/body"] {
                let mut variant = template.clone();
                if let Some(Value::Object(fields)) = variant.pointer_mut(parent) {
                    fields.insert(name.to_owned(), json!(addresses[0]));
                    variants.push((format!("{parent}/{name}"), variant));
                }
            }
        }
        for (place, variant) in variants {
            let (headers, body) = wire(subject, &variant);
            let reply = subject.call(&rig.host, &headers, &body).await;
            let what = format!("{kind:?}, {place}, {:.200}", variant.to_string());
            // A form whose parts cannot be read has no signature that could be right.
            let unreadable = place.starts_with("/file") && reply.status == 401;
            let answered = [200, 503].contains(&reply.status.as_u16());
            assert!(answered || unreadable, "{what}: {}", reply.status);
            let sent = rig.host.http.take();
            check(&rig.subjects, &sent, &what);
            asked += sent.len();
        }
    }
    for event in rig.host.told() {
        told(kind, &event);
    }
    asked
}

/// What was told of has ids that can be shown, and media that are named and no more.
fn told(kind: Kind, event: &PluginEvent) {
    let id = match event {
        PluginEvent::FaxReceived(fax) => &fax.id,
        PluginEvent::MessageReceived(message) => {
            assert!(
                message
                    .content
                    .media
                    .iter()
                    .all(|url| url.scheme().starts_with("http"))
            );
            &message.id
        }
        PluginEvent::MessageStatusChanged(status) => &status.message_id,
        _ => return,
    };
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    assert!(
        id.len() <= 64 && id.bytes().all(good),
        "{kind:?}: {id:.100}"
    );
}

/// Files are where they belong, under names that are ours.
fn stored_names(folder: &std::path::Path) {
    let names = |folder: &std::path::Path| -> BTreeSet<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    let top: BTreeSet<String> = names(folder);
    assert!(
        top.iter()
            .all(|name| ["letters", "inbound", "handled", "handled.lock"].contains(&name.as_str())),
        "{top:?}"
    );
    for name in names(&folder.join("inbound"))
        .iter()
        .chain(&names(&folder.join("letters")))
    {
        let ours = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
        assert!(!name.contains("..") && name.bytes().all(ours), "{name}");
    }
}
