//! Calls that come in by `park` and by the application `socket`: told, decided on once, found again
//! after a gap, and received as faxes.
#![cfg(test)]
#![cfg(feature = "freeswitch")]

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use faxbot_core::{
    Effect, ErrorKind,
    clock::TokioClock,
    event::EventStream,
    id::{CallId, CallRef},
    sip::{
        AcceptAs, CallRecord, CallState, Capability, ConnectionState, Disposition, IncomingCall,
        Lookup, RejectCause, SipAdapter as _, SipEvent,
    },
};
use faxbot_sip::{
    adapter::freeswitch::{FreeswitchAdapter, FreeswitchConfig},
    driver::{Connect, LinkError, Transport},
};
use faxbot_testkit::server::freeswitch::{
    CallScript, CallerSaw, IncomingFax, IncomingScript, MockFreeSwitch, MockFreeSwitchBuilder,
    ReplyFault, Timings,
};
use tempfile::TempDir;

/// Longer than anything here takes on the clock of the tests.
const LONG: Duration = Duration::from_secs(600);

/// Opens links until it is shut.
#[derive(Debug)]
struct Gate(Mutex<Option<Arc<dyn Connect>>>);

#[async_trait]
impl Connect for Gate {
    async fn connect(&self) -> Result<Transport, LinkError> {
        let to = self.0.lock().unwrap().clone();
        match to {
            Some(to) => to.connect().await,
            None => Err(LinkError::Connect(Arc::new(
                io::ErrorKind::ConnectionRefused.into(),
            ))),
        }
    }
}

struct Rig {
    mock: MockFreeSwitch,
    gate: Arc<Gate>,
    spool: TempDir,
}

impl Rig {
    async fn new() -> Self {
        Self::with(|builder| builder.in_memory()).await
    }

    async fn with(change: impl FnOnce(MockFreeSwitchBuilder) -> MockFreeSwitchBuilder) -> Self {
        let spool = tempfile::tempdir().unwrap();
        let builder = MockFreeSwitch::builder()
            .timings(Timings::quick())
            .map_path("/srv/fax", spool.path());
        let mock = change(builder).start().await.unwrap();
        let to: Arc<dyn Connect> = Arc::new(mock.connector());
        Self {
            mock,
            gate: Arc::new(Gate(Mutex::new(Some(to)))),
            spool,
        }
    }

    fn adapter(&self, options: &str) -> FreeswitchAdapter {
        let url =
            format!("esl://:ClueCon@pbx.example?dial=sofia/gateway/trunk/{{number}}{options}");
        let config = FreeswitchConfig::from_url(&url)
            .unwrap()
            .with_spool(self.spool.path(), "/srv/fax");
        FreeswitchAdapter::with_clock(config, TokioClock::shared())
            .with_connector(Arc::clone(&self.gate) as Arc<dyn Connect>)
    }

    async fn connected(&self, options: &str) -> FreeswitchAdapter {
        let adapter = self.adapter(options);
        adapter.connect().await.unwrap();
        adapter
    }

    fn cut(&self) {
        *self.gate.0.lock().unwrap() = None;
        self.mock.drop_links();
    }

    fn mend(&self) {
        *self.gate.0.lock().unwrap() = Some(Arc::new(self.mock.connector()));
    }
}

const PARK: &str = "&incoming=park";

fn caller() -> IncomingScript {
    IncomingScript::new("+15551230001", "+15551230710").name("Alice")
}

async fn next(events: &mut EventStream<SipEvent>) -> IncomingCall {
    let told = async {
        loop {
            if let SipEvent::IncomingCall(call) = events.recv().await.unwrap().unwrap().event {
                return call;
            }
        }
    };
    tokio::time::timeout(LONG, told)
        .await
        .expect("no call was told of")
}

/// A call that was told of, and the channel that it came by.
async fn told(rig: &Rig, adapter: &FreeswitchAdapter, script: IncomingScript) -> (CallId, String) {
    let mut events = adapter.subscribe();
    let channel = rig.mock.incoming(script);
    (next(&mut events).await.id, channel)
}

async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never happened: {what}");
}

async fn record(adapter: &FreeswitchAdapter, id: CallId) -> CallRecord {
    for _ in 0..60_000 {
        if let Lookup::Ended(record) = adapter.lookup(&id.into()).await.unwrap() {
            return *record;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the call never ended");
}

fn state(adapter: &FreeswitchAdapter, id: CallId) -> Option<CallState> {
    let calls = adapter.snapshot().calls;
    let call = calls.into_iter().find(|call| call.id == Some(id))?;
    Some(call.state)
}

fn is_up(adapter: &FreeswitchAdapter) -> bool {
    adapter.connection().state == ConnectionState::Connected
}

#[tokio::test(start_paused = true)]
async fn a_call_is_told_with_its_caller_called_number_headers_and_deadline_and_rings() {
    let rig = Rig::new().await;
    let options = "&incoming=park&incoming_headers=x-account,X-Absent&incoming_deadline=7s";
    let adapter = rig.connected(options).await;
    let mut events = adapter.subscribe();
    let channel = rig.mock.incoming(caller().header("X-Account", "a, \"17\""));
    let call = next(&mut events).await;
    let text = |value: &Option<faxbot_core::Private>| value.as_ref().unwrap().expose().clone();
    assert_eq!(text(&call.caller), "+15551230001");
    assert_eq!(text(&call.called), "+15551230710");
    let header = |name: &str| call.headers.get(name).map(|value| value.expose().as_str());
    assert_eq!(header("x-account"), Some("a, \"17\""));
    assert_eq!(header("X-Absent"), None);
    assert_eq!(header("Caller-Caller-ID-Name"), Some("Alice"));
    assert_eq!(call.deadline.duration_since(call.at).as_secs(), 7);
    assert_eq!(call.id.as_uuid().to_string(), channel);
    assert_eq!(rig.mock.actions_named("uuid_ring_ready").len(), 1);
    let hook = rig.mock.channel_variable(&channel, "api_hangup_hook");
    assert!(hook.unwrap().contains("${hangup_cause}"));
}

#[tokio::test(start_paused = true)]
async fn calls_of_other_contexts_and_decided_ones_are_none_of_ours() {
    let rig = Rig::new().await;
    let adapter = rig
        .connected("&incoming=park&incoming_context=public")
        .await;
    rig.mock.incoming(caller().context("others"));
    let (id, channel) = told(&rig, &adapter, caller()).await;
    adapter.accept(&id.into(), AcceptAs::Park).await.unwrap();
    // Another process comes: the call of the first one is parked, and does not wait.
    let other = rig
        .connected("&incoming=park&incoming_context=public")
        .await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(other.snapshot().calls.is_empty());
    assert_eq!(rig.mock.caller_saw(&channel), Some(CallerSaw::Answered));
    assert_eq!(adapter.snapshot().calls.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_way_nothing_comes_in_and_nothing_can_be_decided() {
    let rig = Rig::new().await;
    let adapter = rig.connected("").await;
    assert!(!adapter.capabilities().has(Capability::Incoming));
    assert!(!adapter.capabilities().has(Capability::ReceiveFax));
    rig.mock.incoming(caller());
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(adapter.snapshot().calls.is_empty());
    let call = CallRef::from(CallId::new());
    for error in [
        adapter.accept(&call, AcceptAs::Park).await.unwrap_err(),
        adapter.reject(&call, RejectCause::Busy).await.unwrap_err(),
        adapter.accept(&call, AcceptAs::Fax).await.unwrap_err(),
        adapter.take_fax(&call).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_caller_is_told_the_cause() {
    for (cause, word, q850) in [
        (RejectCause::Busy, 17, 17),
        (RejectCause::Unavailable, 19, 19),
        (RejectCause::NotFound, 1, 1),
        (RejectCause::Declined, 21, 21),
    ] {
        let rig = Rig::new().await;
        let adapter = rig.connected(PARK).await;
        let (id, channel) = told(&rig, &adapter, caller()).await;
        adapter.reject(&id.into(), cause).await.unwrap();
        let record = record(&adapter, id).await;
        assert_eq!(record.disposition, Disposition::Cancelled, "{cause:?}");
        assert_eq!(record.causes.q850, Some(q850), "{cause:?}");
        let saw = rig.mock.caller_saw(&channel);
        assert_eq!(saw, Some(CallerSaw::Ended { cause: word }), "{cause:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_extension_or_no_party_is_refused_and_the_call_waits_still() {
    let rig = Rig::new().await;
    let adapter = rig.connected(PARK).await;
    let (id, _) = told(&rig, &adapter, caller()).await;
    let extension = |extension: &str, context: Option<&str>| AcceptAs::Extension {
        extension: extension.to_owned(),
        context: context.map(str::to_owned),
    };
    let native = |dial: &str| AcceptAs::Bridge(faxbot_core::address::Address::native(dial));
    for to in [
        extension("", None),
        extension("6 0", None),
        extension("600^hangup", None),
        extension("600,hangup", None),
        extension("${uuid}", None),
        extension("600", Some("a'b")),
        extension("600\n\napi status", None),
        native("sofia/a/1^hangup"),
        native("sofia/a/1'2"),
        native("sofia/a/1,sofia/a/2"),
        native("sofia/a/${x}"),
    ] {
        let what = format!("{to:?}");
        let error = adapter.accept(&id.into(), to).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{what}");
    }
    assert_eq!(adapter.snapshot().incoming.len(), 1);
    adapter.accept(&id.into(), AcceptAs::Park).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_party_that_does_not_answer_is_told_with_its_cause_and_the_caller_stays() {
    for (script, cause) in [
        (CallScript::busy(), "17"),
        (CallScript::rejected(404), "1"),
        (CallScript::no_such_endpoint(), "63"),
    ] {
        let rig = Rig::new().await;
        let adapter = rig.connected(PARK).await;
        let (id, channel) = told(&rig, &adapter, caller()).await;
        rig.mock.next_call(script.clone());
        let to = AcceptAs::Bridge("+15551230602".parse().unwrap());
        let error = adapter.accept(&id.into(), to).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected, "{script:?}");
        if cause != "63" {
            assert_eq!(error.native_code(), Some(cause), "{script:?}");
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(rig.mock.caller_saw(&channel), Some(CallerSaw::Answered));
        assert_eq!(state(&adapter, id), Some(CallState::Connected));
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_processes_the_first_decides_and_the_other_sees_it() {
    let rig = Rig::new().await;
    let (first, second) = (rig.connected(PARK).await, rig.connected(PARK).await);
    let mut events = second.subscribe();
    let (id, channel) = told(&rig, &first, caller()).await;
    assert_eq!(next(&mut events).await.id, id);
    first.accept(&id.into(), AcceptAs::Park).await.unwrap();
    eventually("the other process sees it", || {
        state(&second, id) == Some(CallState::Connected)
    })
    .await;
    assert!(second.snapshot().incoming.is_empty());
    let late = second.reject(&id.into(), RejectCause::Busy).await;
    assert_eq!(late.unwrap_err().kind(), ErrorKind::InvalidState);
    assert_eq!(rig.mock.caller_saw(&channel), Some(CallerSaw::Answered));
}

#[tokio::test(start_paused = true)]
async fn a_refused_variable_leaves_the_call_waiting() {
    let rig = Rig::new().await;
    let adapter = rig.connected(PARK).await;
    let (id, channel) = told(&rig, &adapter, caller()).await;
    let denied = ReplyFault::Refuse("permission denied".to_owned());
    rig.mock.next_reply("uuid_setvar", denied);
    let error = adapter
        .accept(&id.into(), AcceptAs::Park)
        .await
        .unwrap_err();
    assert_eq!(error.effect(), Effect::NoEffect);
    assert_eq!(rig.mock.caller_saw(&channel), Some(CallerSaw::Ringing));
    assert_eq!(adapter.snapshot().incoming.len(), 1);
    adapter.accept(&id.into(), AcceptAs::Park).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_lost_before_the_order_leaves_the_call_waiting() {
    let rig = Rig::new().await;
    let adapter = rig.connected(PARK).await;
    let (id, _) = told(&rig, &adapter, caller()).await;
    rig.mock.next_reply("uuid_setvar", ReplyFault::DropBefore);
    let error = adapter
        .accept(&id.into(), AcceptAs::Park)
        .await
        .unwrap_err();
    assert_eq!(error.effect(), Effect::NoEffect);
    eventually("connected again", || is_up(&adapter)).await;
    adapter.accept(&id.into(), AcceptAs::Park).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_order_whose_reply_is_lost_was_carried_out_and_the_books_find_out() {
    for fault in [ReplyFault::DropBefore, ReplyFault::DropAfter] {
        let rig = Rig::new().await;
        let adapter = rig.connected(PARK).await;
        let (id, channel) = told(&rig, &adapter, caller()).await;
        rig.mock.next_reply("uuid_transfer", fault.clone());
        let accepted = adapter.accept(&id.into(), AcceptAs::Park).await;
        if fault == ReplyFault::DropBefore {
            assert_eq!(accepted.unwrap_err().effect(), Effect::Unknown);
        }
        eventually("it is up", || {
            state(&adapter, id) == Some(CallState::Connected)
        })
        .await;
        assert_eq!(rig.mock.caller_saw(&channel), Some(CallerSaw::Answered));
        assert!(adapter.snapshot().incoming.is_empty());
        let late = adapter.reject(&id.into(), RejectCause::Busy).await;
        assert_eq!(late.unwrap_err().kind(), ErrorKind::InvalidState);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejection_whose_reply_is_lost_ends_with_its_cause() {
    let rig = Rig::new().await;
    let adapter = rig.connected(PARK).await;
    let (id, _) = told(&rig, &adapter, caller()).await;
    rig.mock.next_reply("uuid_kill", ReplyFault::DropBefore);
    let rejected = adapter.reject(&id.into(), RejectCause::Busy).await;
    assert_eq!(rejected.unwrap_err().effect(), Effect::Unknown);
    let record = record(&adapter, id).await;
    assert_eq!(record.causes.q850, Some(17));
    assert_eq!(record.disposition, Disposition::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_accept_is_undone_or_stands() {
    for polls in 0..12 {
        let rig = Rig::new().await;
        let adapter = rig.connected(PARK).await;
        let (id, channel) = told(&rig, &adapter, caller()).await;
        {
            let call = CallRef::from(id);
            let mut accept = Box::pin(adapter.accept(&call, AcceptAs::Park));
            for _ in 0..polls {
                let polled =
                    |cx: &mut Context<'_>| Poll::Ready(accept.as_mut().poll(cx).is_ready());
                if std::future::poll_fn(polled).await {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        // Whichever it was: one who asks now is answered truly.
        tokio::time::sleep(Duration::from_secs(15)).await;
        let again = adapter.accept(&id.into(), AcceptAs::Park).await;
        if let Err(error) = again {
            assert_eq!(error.kind(), ErrorKind::InvalidState, "after {polls}");
        }
        assert_eq!(rig.mock.caller_saw(&channel), Some(CallerSaw::Answered));
        assert_eq!(state(&adapter, id), Some(CallState::Connected), "{polls}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_while_the_link_is_down_rejects_afterwards() {
    let rig = Rig::new().await;
    let adapter = rig.connected("&incoming=park&incoming_deadline=5s").await;
    let (id, channel) = told(&rig, &adapter, caller()).await;
    rig.cut();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(rig.mock.caller_saw(&channel), Some(CallerSaw::Ringing));
    rig.mend();
    let record = record(&adapter, id).await;
    assert_eq!(record.disposition, Disposition::NoAnswer);
    let saw = rig.mock.caller_saw(&channel);
    assert_eq!(saw, Some(CallerSaw::Ended { cause: 19 }));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_came_while_the_link_was_down_is_told_of_with_its_headers() {
    let rig = Rig::new().await;
    let adapter = rig
        .connected("&incoming=park&incoming_headers=X-Account")
        .await;
    let mut events = adapter.subscribe();
    rig.cut();
    rig.mock.incoming(caller().header("x-account", "17"));
    tokio::time::sleep(Duration::from_secs(2)).await;
    rig.mend();
    let call = next(&mut events).await;
    assert_eq!(call.headers["X-Account"].expose(), "17");
    assert_eq!(call.headers["Caller-Caller-ID-Name"].expose(), "Alice");
    adapter
        .accept(&call.id.into(), AcceptAs::Park)
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_while_the_link_is_down_is_recorded() {
    let rig = Rig::new().await;
    let adapter = rig.connected(PARK).await;
    let script = caller().gives_up_after(Duration::from_secs(3));
    let (id, _) = told(&rig, &adapter, script).await;
    rig.cut();
    tokio::time::sleep(Duration::from_secs(10)).await;
    rig.mend();
    let record = record(&adapter, id).await;
    assert_eq!(record.disposition, Disposition::NoAnswer);
    assert_eq!(record.answer, None);
    let late = adapter.accept(&id.into(), AcceptAs::Park).await;
    assert_eq!(late.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn the_damaged_rows_of_all_pages_of_a_fax_are_counted() {
    let rig = Rig::new().await;
    let adapter = rig.connected("&incoming=park&station_id=FAXBOT").await;
    let fax = IncomingFax::new(3).bad_lines(7).station("SENDER");
    let (id, _) = told(&rig, &adapter, caller().sends_fax(fax)).await;
    adapter.accept(&id.into(), AcceptAs::Fax).await.unwrap();
    let taken = adapter.take_fax(&id.into()).await.unwrap();
    assert!(taken.outcome.is_success());
    assert_eq!(taken.outcome.pages_confirmed, Some(3));
    assert_eq!(taken.outcome.bad_lines, Some(21));
    let station = taken.outcome.remote_station_id.unwrap();
    assert_eq!(station.expose(), "SENDER");
}

#[tokio::test(start_paused = true)]
async fn a_fax_of_an_earlier_process_is_taken_by_the_next_one() {
    let rig = Rig::new().await;
    let adapter = rig.connected(PARK).await;
    let fax = IncomingFax::new(2).page_time(Duration::from_secs(10));
    let (id, _) = told(&rig, &adapter, caller().sends_fax(fax)).await;
    adapter.accept(&id.into(), AcceptAs::Fax).await.unwrap();
    drop(adapter);
    let next = rig.connected(PARK).await;
    assert!(next.snapshot().incoming.is_empty());
    let taken = next.take_fax(&id.into()).await.unwrap();
    assert_eq!(taken.outcome.pages_confirmed, Some(2));
    assert!(taken.file.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_before_the_fax_is_answered_sent_none() {
    let rig = Rig::new().await;
    let adapter = rig.connected(PARK).await;
    let (id, channel) = told(&rig, &adapter, caller().sends_fax(IncomingFax::new(1))).await;
    rig.mock.far_end_hangs_up(&channel, 16);
    let error = adapter.accept(&id.into(), AcceptAs::Fax).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::NotFound);
    let record = record(&adapter, id).await;
    assert_eq!(record.fax, None);
    let none = adapter.take_fax(&id.into()).await;
    assert_eq!(none.unwrap_err().kind(), ErrorKind::NotFound);
}

/// A free port: the dialplan of the mock has to name it before the adapter listens.
fn port() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

async fn by_socket(line: &str, options: &str) -> (Rig, FreeswitchAdapter) {
    let address = port();
    let program = format!("socket:{address} {line},park");
    let rig = Rig::with(|builder| builder.extension("public", "*", &program)).await;
    let options = format!("&incoming=socket&incoming_listen={address}{options}");
    let adapter = rig.connected(&options).await;
    (rig, adapter)
}

#[tokio::test]
async fn a_call_of_a_socket_is_told_of_once_and_accepted() {
    let (rig, adapter) = by_socket("async full", "&incoming_headers=X-Account").await;
    let mut events = adapter.subscribe();
    let channel = rig.mock.incoming(caller().header("X-Account", "17"));
    let call = next(&mut events).await;
    assert_eq!(call.headers["X-Account"].expose(), "17");
    assert_eq!(call.id.as_uuid().to_string(), channel);
    adapter
        .accept(&call.id.into(), AcceptAs::Park)
        .await
        .unwrap();
    // It left the socket, and is parked.
    eventually("parked", || {
        let runs = rig.mock.application(&channel);
        runs.is_some_and(|(name, _)| name == "park")
    })
    .await;
    assert_eq!(rig.mock.caller_saw(&channel), Some(CallerSaw::Answered));
    let told = std::iter::from_fn(|| events.try_recv());
    let again = told.filter(|it| matches!(it.as_ref().unwrap().event, SipEvent::IncomingCall(_)));
    assert_eq!(again.count(), 0);
}

#[tokio::test]
async fn a_call_of_a_socket_is_rejected_with_its_cause() {
    let (rig, adapter) = by_socket("async full", "").await;
    let (id, channel) = told(&rig, &adapter, caller()).await;
    adapter
        .reject(&id.into(), RejectCause::NotFound)
        .await
        .unwrap();
    assert_eq!(record(&adapter, id).await.causes.q850, Some(1));
    let saw = rig.mock.caller_saw(&channel);
    assert_eq!(saw, Some(CallerSaw::Ended { cause: 1 }));
}

#[tokio::test]
async fn a_call_of_a_socket_waits_while_the_link_is_down() {
    let (rig, adapter) = by_socket("async full", "").await;
    let (id, channel) = told(&rig, &adapter, caller()).await;
    rig.cut();
    eventually("cut", || !is_up(&adapter)).await;
    rig.mend();
    eventually("connected again", || is_up(&adapter)).await;
    adapter.accept(&id.into(), AcceptAs::Park).await.unwrap();
    assert_eq!(rig.mock.caller_saw(&channel), Some(CallerSaw::Answered));
}

#[tokio::test]
async fn a_port_that_is_taken_fails_the_connect() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let rig = Rig::new().await;
    let adapter = rig.adapter(&format!("&incoming=socket&incoming_listen={address}"));
    let error = adapter.connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
}
