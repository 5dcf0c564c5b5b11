//! What FreeSWITCH keeps for us and sends us: outcomes that nobody released, pages of a fax that a crash
//! cut off, events of others, calls that it does not take now; and what preflight finds.
#![cfg(test)]
#![cfg(feature = "freeswitch")]

use std::{sync::Arc, time::Duration};

use faxbot_core::{
    Effect, ErrorKind,
    clock::TokioClock,
    fax::{FaxRequest, OutcomeStatus},
    id::{CallId, CallRef},
    sip::{CallRequest, Disposition, Lookup, SipAdapter as _, UnknownReason},
};
use faxbot_sip::{
    adapter::freeswitch::{FreeswitchAdapter, FreeswitchConfig, PreflightProblem},
    driver::Connect,
};
use faxbot_testkit::conformance::samples;
use faxbot_testkit::server::{CallScript, ReplyFault, Timings, freeswitch::MockFreeSwitch};

const OUTCOMES: &str = "faxbot-faxbot";
const PAGES: &str = "faxpages-faxbot";
const URL: &str = "esl://:ClueCon@pbx.example?dial=sofia/gateway/trunk/{number}";

async fn mock() -> MockFreeSwitch {
    let builder = MockFreeSwitch::builder().timings(Timings::quick());
    builder.in_memory().start().await.unwrap()
}

fn adapter(mock: &MockFreeSwitch, config: FreeswitchConfig) -> FreeswitchAdapter {
    FreeswitchAdapter::with_clock(config, TokioClock::shared())
        .with_connector(Arc::new(mock.connector()) as Arc<dyn Connect>)
}

async fn connected(mock: &MockFreeSwitch) -> FreeswitchAdapter {
    let adapter = adapter(mock, FreeswitchConfig::from_url(URL).unwrap());
    adapter.connect().await.unwrap();
    adapter
}

async fn eventually(mut done: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within ten seconds");
}

#[tokio::test(start_paused = true)]
async fn outcomes_that_nobody_released_go_after_seven_days() {
    let mock = mock().await;
    let uuid = |id: CallId| id.as_uuid().to_string();
    let day = Duration::from_secs(24 * 3600);
    let put = |days: u32| {
        let id = CallId::new();
        let end = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs()
            - (day * days).as_secs();
        let value = format!(
            "1|call|{end}|{end}||{end}|NORMAL_CLEARING|200{}",
            "|".repeat(14)
        );
        mock.db_put(OUTCOMES, &uuid(id), &value);
        id
    };
    let (old, recent) = (put(8), put(6));
    // What others keep there is theirs.
    mock.db_put("others", &uuid(old), "x");
    mock.db_put(OUTCOMES, "not-a-uuid", "x");
    let _adapter = connected(&mock).await;
    eventually(|| mock.db_get(OUTCOMES, &uuid(old)).is_none()).await;
    assert!(mock.db_get(OUTCOMES, &uuid(recent)).is_some());
    assert!(mock.db_get("others", &uuid(old)).is_some());
    assert!(mock.db_get(OUTCOMES, "not-a-uuid").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_fax_that_a_crash_cut_off_is_found_with_its_pages() {
    let mock = mock().await;
    let adapter = connected(&mock).await;
    let id = CallId::new();
    mock.db_put(PAGES, &id.as_uuid().to_string(), "2");
    let call = CallRef::from(id);
    let Lookup::Ended(record) = adapter.lookup(&call).await.unwrap() else {
        panic!("a fax that was certainly there");
    };
    let fax = record.fax.unwrap();
    assert_eq!(fax.status, OutcomeStatus::Unknown);
    assert_eq!(fax.pages_confirmed, Some(2));
    adapter.release(&call).await.unwrap();
    assert!(mock.db_get(PAGES, &id.as_uuid().to_string()).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_the_server_does_not_take_now_may_be_tried_again() {
    let mock = mock().await;
    mock.on_dial(".*", CallScript::answer());
    let adapter = connected(&mock).await;
    mock.shutting_down(true);
    let request = || CallRequest::dial("+493012345678".parse().unwrap());
    let error = adapter.make_call(request()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ServerBusy);
    assert_eq!(error.effect(), Effect::NoEffect);
    assert_eq!(error.native_text(), Some("DESTINATION_OUT_OF_ORDER"));
    assert!(error.is_retryable());
    assert!(adapter.snapshot().calls.is_empty());
    mock.shutting_down(false);
    let call = adapter.make_call(request()).await.unwrap();
    call.answered().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_fax_whose_id_is_in_use_leaves_the_pages_of_the_one_that_uses_it() {
    let mock = mock().await;
    mock.on_dial(".*", CallScript::rings_for_ever());
    let (spool, pages) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = spool.path().to_str().unwrap().to_owned();
    let config = || {
        let config = FreeswitchConfig::from_url(URL).unwrap();
        config.with_spool(&path, path.clone())
    };
    let image = samples::image(pages.path(), 1).unwrap();
    let mut request = FaxRequest::new("+493012345678".parse().unwrap(), image);
    request.ring_timeout = Duration::from_secs(120);
    let first = adapter(&mock, config());
    first.connect().await.unwrap();
    first.send_fax(request.clone()).await.unwrap();
    let second = adapter(&mock, config());
    second.connect().await.unwrap();
    let spooled = || std::fs::read_dir(spool.path()).unwrap().count();
    assert_eq!(spooled(), 1);
    let error = second.send_fax(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    assert!(!error.is_retryable());
    assert_eq!(spooled(), 1);
    assert_eq!(mock.channels().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_id_ended_before_is_not_told_to_be_tried_again() {
    let mock = mock().await;
    mock.on_dial(".*", CallScript::answer());
    let adapter = connected(&mock).await;
    mock.shutting_down(true);
    let request = CallRequest::dial("+493012345678".parse().unwrap());
    let end = faxbot_core::Timestamp::now().as_second();
    let value = format!(
        "1|call|{end}|{end}||{end}|NORMAL_CLEARING|200{}",
        "|".repeat(14)
    );
    mock.db_put(OUTCOMES, &request.id.as_uuid().to_string(), &value);
    let error = adapter.make_call(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    assert!(!error.is_retryable());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_ours_is_left_at_the_server_unless_all_is_asked_for() {
    let mock = mock().await;
    let filters = || {
        let all = mock.actions_named("filter");
        let arguments = all.iter().filter_map(|action| action.get("Argument"));
        arguments.map(str::to_owned).collect::<Vec<_>>()
    };
    let everything = FreeswitchConfig::from_url(&format!("{URL}&raw_events=all")).unwrap();
    let raw = adapter(&mock, everything);
    raw.connect().await.unwrap();
    assert!(filters().is_empty());
    let _adapter = connected(&mock).await;
    let ours = "variable_faxbot_instance faxbot".to_owned();
    assert!(filters().contains(&ours), "{:?}", filters());
    for needed in [
        "BACKGROUND_JOB",
        "MESSAGE",
        "CHANNEL_PARK",
        "CHANNEL_BRIDGE",
    ] {
        assert!(filters().contains(&format!("Event-Name {needed}")));
    }
    assert!(filters().contains(&"Action -start-talking".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn preflight_finds_what_a_fax_would_fail_on() {
    let spool = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let here = spool.path().to_string_lossy().into_owned();
    let there = elsewhere.path().to_string_lossy().into_owned();
    for (remote, module, expected) in [
        (Some(here.as_str()), None, vec![]),
        (Some(&there), None, vec![PreflightProblem::SpoolElsewhere]),
        (
            Some("/nowhere"),
            None,
            vec![PreflightProblem::SpoolNotVisible],
        ),
        (None, None, vec![PreflightProblem::NoSpool]),
        (
            Some(&here),
            Some("mod_spandsp"),
            vec![PreflightProblem::NoSpandsp],
        ),
    ] {
        let mut builder = MockFreeSwitch::builder().timings(Timings::quick());
        if let Some(module) = module {
            builder = builder.without_module(module);
        }
        let mock = builder.in_memory().start().await.unwrap();
        let mut config = FreeswitchConfig::from_url(URL).unwrap();
        if let Some(remote) = remote {
            config = config.with_spool(spool.path(), remote);
        }
        let adapter = adapter(&mock, config);
        adapter.connect().await.unwrap();
        let found = adapter.preflight().await.unwrap();
        assert_eq!(found.problems, expected, "{remote:?} {module:?}");
        assert_eq!(found.is_ready(), expected.is_empty());
        assert_eq!(spool.path().read_dir().unwrap().count(), 0);
    }
}

/// The list of channels says that there are none, once: it is written behind.
fn lags(mock: &MockFreeSwitch) {
    let body = "{\"row_count\":0}\n";
    let length = body.len();
    let reply = format!("Content-Type: api/response\nContent-Length: {length}\n\n{body}");
    mock.next_reply("show", ReplyFault::Garbage(reply.into()));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_the_list_lacks_is_not_taken_for_one_that_never_was() {
    let mock = mock().await;
    mock.on_dial(".*", CallScript::answer());
    let adapter = connected(&mock).await;
    let request = CallRequest::dial("+493012345678".parse().unwrap());
    let mut reference = CallRef::from(request.id);
    reference.requested_at = Some(faxbot_core::Timestamp::now() - Duration::from_secs(60));
    let call = adapter.make_call(request).await.unwrap();
    call.answered().await.unwrap();
    let another = connected(&mock).await;
    lags(&mock);
    let found = another.lookup(&reference).await.unwrap();
    assert!(
        matches!(found, Lookup::Unknown(UnknownReason::TooRecent)),
        "{found:?}"
    );
    let found = another.lookup(&reference).await.unwrap();
    assert!(matches!(found, Lookup::Live(_)), "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_the_list_lacks_after_a_gap_goes_on() {
    let mock = mock().await;
    mock.on_dial(".*", CallScript::answer());
    let adapter = connected(&mock).await;
    let request = CallRequest::dial("+493012345678".parse().unwrap());
    let call = adapter.make_call(request).await.unwrap();
    call.answered().await.unwrap();
    let lists = mock.actions_named("show").len();
    lags(&mock);
    mock.drop_links();
    eventually(|| mock.actions_named("show").len() > lists).await;
    // As long as its end is looked for, and longer.
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(adapter.snapshot().calls.len(), 1);
    adapter.hangup(&call.call_ref()).await.unwrap();
    let record = call.ended().await.unwrap();
    assert_eq!(record.disposition, Disposition::Answered);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_the_server_does_not_let_go_of_is_deleted_once_a_day() {
    let mock = mock().await;
    let uuid = CallId::new().as_uuid().to_string();
    let value = format!("1|call|1|1||1|NORMAL_CLEARING|200{}", "|".repeat(14));
    mock.db_put(OUTCOMES, &uuid, &value);
    let _adapter = connected(&mock).await;
    let deleted = || {
        let all = mock.actions_named("db");
        let arguments = all.iter().filter_map(|action| action.get("Argument"));
        let of_it = format!("delete/{OUTCOMES}/{uuid}");
        arguments.filter(|it| it.contains(&of_it)).count()
    };
    eventually(|| deleted() == 1).await;
    for _ in 0..100 {
        // `+OK`, and still there.
        mock.db_put(OUTCOMES, &uuid, &value);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(deleted(), 1);
}
