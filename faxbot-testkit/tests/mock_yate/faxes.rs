//! Faxes: there is no progress, and the result is in `chan.hangup`.

use std::{path::Path, time::Duration};

use faxbot_testkit::server::yate::{CallScript, MockYate, Timings};

use crate::play::{frames, play, recorded, same, shape};

/// A TIFF of so many pages that has only what the mock looks at.
pub(crate) fn tiff(pages: u32) -> Vec<u8> {
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    for page in 1..=pages {
        bytes.extend(0u16.to_le_bytes());
        let next = if page == pages { 0 } else { 8 + 6 * page };
        bytes.extend(next.to_le_bytes());
    }
    bytes
}

async fn mock(folder: &Path, timings: Timings) -> MockYate {
    for (name, bytes) in [
        ("out1.tif", tiff(1)),
        ("out3.tif", tiff(3)),
        ("bad.tif", b"no TIFF".to_vec()),
    ] {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    MockYate::builder()
        .in_memory()
        .timings(timings)
        .map_path("/var/spool/fax", folder)
        .route(
            "700",
            "fax/receive//var/spool/fax/in.tif;faxident=+15550100;faxcaller=no",
        )
        .route(
            "701",
            "fax/receive//var/spool/fax/in.tif;faxident=+15550100",
        )
        .route("601", "tone/dial")
        .route("602", "-;error=busy")
        .start()
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn faxes_of_one_engine_end_as_recorded() {
    let slow = Timings::quick()
        .negotiation(Duration::from_millis(4_780))
        .page(Duration::from_secs(10));
    let short = Timings::quick()
        .negotiation(Duration::from_secs(2))
        .page(Duration::from_millis(4_500));
    for (name, timings) in [
        ("fax_ok_3_pages_local", &slow),
        ("fax_dropped_mid_page", &slow),
        ("fax_not_a_tiff", &short),
        ("fax_no_fax_at_other_end", &short),
        ("fax_bad_method", &short),
        ("fax_file_missing", &short),
        ("fax_busy", &short),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mock = mock(folder.path(), timings.clone()).await;
        let said = play(&mock, name, vec![]).await;
        same(name, recorded(name), shape(&said), &["engine.status"]);
        if name == "fax_ok_3_pages_local" {
            let file = std::fs::read(folder.path().join("in.tif")).unwrap();
            assert_eq!(file, tiff(3));
            let fax = mock.received_faxes().remove(0);
            assert!(fax.complete && fax.pages == 3, "{fax:?}");
        }
    }
}

/// The last of these parameters of the fax channel's `chan.hangup`.
async fn outcome(script: CallScript, file: &str, kind: &str) -> Vec<(String, String)> {
    let folder = tempfile::tempdir().unwrap();
    let mock = mock(folder.path(), Timings::quick()).await;
    mock.next_call(script);
    let mut client = crate::lines::Client::connect(&mock);
    client.send("%%>watch:chan.hangup").await;
    client
        .send(&format!(
            "%%>message:a:0:call.execute::callto=fax/send//var/spool/fax/{file}:faxtype={kind}:\
             direct=sip/sip%z700@127.0.0.1%z5095:faxident=+1555"
        ))
        .await;
    let answer = client.until("%%<message:a:").await;
    assert!(
        answer.starts_with("%%<message:a:true:") && !answer.contains(":id="),
        "{answer}"
    );
    let ended = client.until("chan.hangup::id=fax/1").await;
    let frame = frames(format!("{ended}\n").as_bytes()).remove(0);
    let names = ["status", "reason", "faxpages", "faxident_remote", "faxtype"];
    let message = frame.message().unwrap();
    names
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), message.text(name)?.into_owned())))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_fax_over_sip_ends_as_its_far_end_wants() {
    let text = |pairs: &[(&str, &str)]| {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect::<Vec<_>>()
    };
    let ok = outcome(
        CallScript::answer().station("+15550100"),
        "out3.tif",
        "analog",
    )
    .await;
    let want = [
        ("status", "answered"),
        ("reason", "eof"),
        ("faxpages", "3"),
        ("faxident_remote", "+15550100"),
        ("faxtype", "analog"),
    ];
    assert_eq!(ok, text(&want));
    let failure = CallScript::fax_fails_after(1, "HANGUP", "The call dropped prematurely");
    let failed = outcome(failure.station(""), "out3.tif", "digital").await;
    let want = [
        ("status", "answered"),
        ("reason", "The call dropped prematurely"),
        ("faxpages", "1"),
        ("faxtype", "digital"),
    ];
    assert_eq!(failed, text(&want));
    let no_tiff = outcome(CallScript::answer(), "bad.tif", "analog").await;
    assert_eq!(
        no_tiff,
        text(&[("status", "answered"), ("faxtype", "analog")])
    );
    let silent = outcome(CallScript::not_a_fax(), "out1.tif", "analog").await;
    assert_eq!(silent[1].1, "Timed out waiting for initial communication");
    let refused = outcome(CallScript::refuses_t38(), "out1.tif", "digital").await;
    assert_eq!(refused, text(&[("status", "incoming")]));
    let busy = outcome(CallScript::busy(), "out1.tif", "analog").await;
    assert_eq!(busy, text(&[("status", "incoming")]));
}

#[tokio::test(start_paused = true)]
async fn two_calling_sides_hang_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let mock = mock(folder.path(), Timings::quick()).await;
    let mut client = crate::lines::Client::connect(&mock);
    client
        .send(
            "%%>message:a:0:call.execute::callto=fax/send//var/spool/fax/out1.tif:target=701\n\
             %%>message:b:0:engine.status::module=fax",
        )
        .await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(mock.channels(), ["fax/1", "fax/2"]);
    let status = client.until("%%<message:b:true:engine.status").await;
    assert!(
        status.contains("fax/1=answered|/var/spool/fax/out1.tif|fax/2"),
        "{status}"
    );
}
