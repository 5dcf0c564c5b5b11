//! No log, error or debug text shows a secret, a full number, a name or a file name. Alone in its
//! program: a subscriber counts for the whole process.
#![cfg(test)]

use std::{fmt::Write as _, fs, path::Path, sync::Arc, time::Duration};

use faxbot_core::{
    Error,
    address::{Address, PhoneNumber},
    document::Document,
    fax::FaxRetryPolicy,
    plugin::{FaxPlugin, Plugin, PluginDeps, SendOptions, SendResult},
    sip::{CallRequest, SipAdapter},
};
use faxbot_providers::sip_fax::SipFaxPlugin;
use faxbot_sip::adapter::asterisk::{AsteriskAdapter, AsteriskConfig};
use faxbot_testkit::{
    conformance::samples,
    fixtures::private,
    logs::{self, Capture},
    server::asterisk::{Account, CallScript, MockAsterisk, ReplyFault},
};
use serde_json::json;

const WITHIN: Duration = Duration::from_secs(20);

/// What a user could print, beside what is logged.
#[derive(Default)]
struct Shown(String);

impl Shown {
    fn error(&mut self, error: &Error) {
        let _ = writeln!(self.0, "{error} | {error:?} | {error:#?}");
        let mut source = std::error::Error::source(error);
        while let Some(error) = source {
            let _ = writeln!(self.0, "{error}");
            source = error.source();
        }
    }

    fn debug(&mut self, value: &impl std::fmt::Debug) {
        let _ = writeln!(self.0, "{value:?} | {value:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_private_is_logged_or_shown() {
    let capture = Capture::global().expect("the first subscriber of this process");
    // A capture that captures nothing would find nothing.
    tracing::trace!(number = private::NUMBER, "planted");
    let _span = tracing::trace_span!("planted span", secret = private::SECRET).entered();
    let planted = capture.text();
    assert_eq!(logs::leaks(&planted).len(), 2, "{planted}");
    drop(_span);
    let before = planted.len();

    let mut shown = Shown::default();
    for login in ["md5", "plain"] {
        Box::pin(session(login, &mut shown)).await;
    }
    configurations(&mut shown);

    let text = capture.text();
    let (_, logged) = text.split_at(before);
    assert!(
        logged.lines().count() > 50,
        "few lines were logged: {logged}"
    );
    for what in ["job{job_id=", "ami.action{action=", "call{call_id="] {
        assert!(logged.contains(what), "nothing of {what} was logged");
    }
    let found = logs::leaks(logged);
    assert!(found.is_empty(), "logged:\n{}", found.join("\n"));
    let found = logs::leaks(&shown.0);
    assert!(found.is_empty(), "shown:\n{}", found.join("\n"));
}

/// CI runs the whole test run with the variable set, and this test again as the last of it.
#[test]
fn the_logs_of_the_whole_test_run_show_nothing_private() {
    let Some(directory) = std::env::var_os(logs::DIRECTORY_VARIABLE) else {
        return;
    };
    let directory = Path::new(&directory);
    if !directory.is_dir() {
        // The first program of the run: nothing was logged before it.
        return;
    }
    let (lines, found) = logs::leaks_in(directory).unwrap();
    println!("{lines} lines were searched");
    assert!(
        found.is_empty(),
        "{} lines:\n{}",
        found.len(),
        found.join("\n")
    );
}

async fn session(login: &str, shown: &mut Shown) {
    let folder = tempfile::tempdir().unwrap();
    let mock = MockAsterisk::builder()
        .account(Account::new("faxbot", private::SECRET))
        .on_dial(
            private::NUMBER,
            CallScript::answer().station(private::REMOTE_STATION_ID),
        )
        .on_dial(private::BUSY_NUMBER, CallScript::busy())
        .on_dial(
            private::FAILING_NUMBER,
            CallScript::fax_fails_after(1, "HANGUP", "The call dropped prematurely"),
        )
        .start()
        .await
        .unwrap();
    let config = |secret: &str| {
        let config = json!({
            "type": "asterisk",
            "host": "127.0.0.1",
            "port": mock.address().port(),
            "auth": { "username": "faxbot", "password": secret },
            "options": { "login": login, "spool": folder.path(), "fax_poll": "20ms", "request_timeout": "1s" },
        });
        AsteriskConfig::from_value(&config).unwrap()
    };
    shown.debug(&config(private::SECRET));

    let refused = AsteriskAdapter::new(config(private::DEFAULT_SECRET));
    shown.error(&refused.connect().await.unwrap_err());

    let adapter = Arc::new(AsteriskAdapter::new(config(private::SECRET)));
    adapter.connect().await.unwrap();
    shown.debug(&adapter);
    match adapter.preflight().await {
        Ok(found) => shown.debug(&found),
        Err(error) => shown.error(&error),
    }
    calls(&adapter, &mock, shown).await;
    faxes(&adapter, &mock, folder.path(), shown).await;
    shown.debug(&adapter.snapshot());
    adapter.disconnect(Duration::from_secs(2)).await.unwrap();
    let _ = writeln!(shown.0, "{}", mock.transcript());
}

async fn calls(adapter: &Arc<AsteriskAdapter>, mock: &MockAsterisk, shown: &mut Shown) {
    let caller: PhoneNumber = private::CALLER.parse().unwrap();
    let dial = |to: &str| {
        let mut request = CallRequest::dial(to.parse().unwrap()).with_caller_id(caller.clone());
        request.options.caller_id_name = Some(private::CALLER_NAME.to_owned());
        request.with_variable("PATIENT", private::CALLER_NAME)
    };
    let mut events = adapter.subscribe();
    let call = adapter.make_call(dial(private::NUMBER)).await.unwrap();
    shown.debug(&dial(private::NUMBER));
    tokio::time::timeout(WITHIN, call.answered())
        .await
        .unwrap()
        .unwrap();
    shown.debug(&adapter.get_status(&call.call_ref()).await.unwrap());
    adapter.hangup(&call.call_ref()).await.unwrap();
    shown.debug(
        &tokio::time::timeout(WITHIN, call.ended())
            .await
            .unwrap()
            .unwrap(),
    );
    shown.debug(&adapter.lookup(&call.call_ref()).await.unwrap());

    let busy = adapter.make_call(dial(private::BUSY_NUMBER)).await.unwrap();
    shown.error(
        &tokio::time::timeout(WITHIN, busy.answered())
            .await
            .unwrap()
            .unwrap_err(),
    );
    for fault in [
        ReplyFault::Refuse(format!("no route to {}", private::NUMBER)),
        ReplyFault::Silent,
        ReplyFault::Garbage(format!("Response: {}\r\n\r\n", private::NUMBER).into()),
        ReplyFault::DropBefore,
    ] {
        mock.next_call(CallScript::answer().reply(fault));
        match tokio::time::timeout(WITHIN, adapter.make_call(dial(private::NUMBER)))
            .await
            .unwrap()
        {
            Ok(call) => shown.debug(&call),
            Err(error) => shown.error(&error),
        }
        let mut tries = 0;
        while adapter
            .health_check()
            .await
            .is_ok_and(|health| !health.connected)
            && tries < 500
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
            tries += 1;
        }
    }
    let mut broken = dial(private::NUMBER);
    broken.options.caller_id_name = Some(format!("{}\r\nX: y", private::CALLER_NAME));
    shown.error(&adapter.make_call(broken).await.unwrap_err());
    let unroutable = CallRequest::dial(
        format!("sip:{}@clinic.example", private::SIP_USER)
            .parse()
            .unwrap(),
    );
    shown.error(&adapter.make_call(unroutable).await.unwrap_err());
    while let Some(Ok(event)) = events.try_recv() {
        shown.debug(&event);
    }
}

async fn faxes(
    adapter: &Arc<AsteriskAdapter>,
    mock: &MockAsterisk,
    folder: &Path,
    shown: &mut Shown,
) {
    let plugin = SipFaxPlugin::new(Arc::clone(adapter) as Arc<dyn SipAdapter>);
    let config =
        json!({ "options": { "station_id": private::STATION_ID, "header": private::HEADER } });
    plugin
        .start(config, PluginDeps::current().unwrap())
        .await
        .unwrap();
    let file = folder.join(private::FILE_NAME);
    fs::write(&file, samples::tiff(3).unwrap()).unwrap();
    for (to, cut) in [
        (private::NUMBER, false),
        (private::NUMBER, true),
        (private::BUSY_NUMBER, false),
        (private::FAILING_NUMBER, false),
    ] {
        let mut options = SendOptions::new();
        let mut retry = FaxRetryPolicy::default();
        retry.max_dials = 1;
        options.retry = Some(retry);
        shown.debug(&options);
        let sent = plugin.send_fax(to.parse().unwrap(), Document::path(&file), options);
        follow(&plugin, sent.await, cut.then_some(mock), shown).await;
    }
    let missing = Document::path(folder.join("gone").join(private::FILE_NAME));
    let broken = Document::bytes(format!("no fax, {}", private::CALLER_NAME).into_bytes());
    for document in [missing, broken] {
        shown.debug(&document);
        let to = private::NUMBER.parse().unwrap();
        let sent = plugin.send_fax(to, document, SendOptions::new()).await;
        follow(&plugin, sent, None, shown).await;
    }
    shown.debug(&plugin.health_check().await.unwrap());
    plugin.stop().await.unwrap();
}

/// Shows a fax until its end; cuts the links in the middle of it where a mock is given.
async fn follow(
    plugin: &SipFaxPlugin,
    sent: Result<SendResult, Error>,
    mut cut: Option<&MockAsterisk>,
    shown: &mut Shown,
) {
    let sent = match sent {
        Ok(sent) => sent,
        Err(error) => return shown.error(&error),
    };
    shown.debug(&sent);
    let end = tokio::time::Instant::now() + WITHIN;
    loop {
        let status = plugin.get_status(&sent.job_id).await.unwrap();
        shown.debug(&status);
        if status.status.is_final() {
            return;
        }
        if let Some(mock) = cut.filter(|mock| !mock.fax_pages().is_empty()) {
            mock.drop_links();
            cut = None;
        }
        assert!(tokio::time::Instant::now() < end, "{status:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn configurations(shown: &mut Shown) {
    let bad = json!({
        "type": "asterisk",
        "auth": { "username": "faxbot", "password": [private::SECRET], "pasword": private::SECRET },
        "options": { "spool_remote": private::FILE_NAME, "dial": private::NUMBER, "tls": private::SECRET },
    });
    shown.error(&AsteriskConfig::from_value(&bad).unwrap_err());
    let url = format!("ami://faxbot:{}@[broken", private::DEFAULT_SECRET);
    shown.error(&AsteriskConfig::from_url(&url).unwrap_err());
    let url = format!(
        "ami://faxbot:{}@pbx.example?pasword={0}",
        private::DEFAULT_SECRET
    );
    shown.error(&AsteriskConfig::from_url(&url).unwrap_err());
    for text in [
        format!("{} x", private::NUMBER),
        format!("sip:{}@", private::SIP_USER),
    ] {
        shown.error(&text.parse::<Address>().unwrap_err());
    }
    for text in [
        private::NUMBER.to_owned(),
        format!("sip:{}@clinic.example", private::SIP_USER),
    ] {
        let address: Address = text.parse().unwrap();
        let _ = writeln!(shown.0, "{address} {address:?}");
    }
    shown.debug(&Address::native(private::SIP_USER));
}
