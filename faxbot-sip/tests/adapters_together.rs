//! All adapters in one process at once: none takes another's calls, and every book is right.
#![cfg(test)]
#![cfg(all(
    feature = "asterisk",
    feature = "flexisip",
    feature = "freeswitch",
    feature = "kamailio",
    feature = "opensips",
    feature = "yate"
))]

use std::{sync::Arc, time::Duration};

use faxbot_core::{
    address::Address,
    sip::{
        AdapterKind, CallRecord, CallRequest, Capability, Disposition, HistoryQuery, SipAdapter,
    },
};
use faxbot_sip::adapter::{
    asterisk::{AsteriskAdapter, AsteriskConfig},
    flexisip::{FlexisipAdapter, FlexisipConfig},
    freeswitch::{FreeswitchAdapter, FreeswitchConfig},
    fusionpbx::{FusionpbxAdapter, FusionpbxConfig},
    kamailio::{KamailioAdapter, KamailioConfig},
    opensips::{OpenSipsAdapter, OpenSipsConfig},
    yate::{YateAdapter, YateConfig},
};
use faxbot_testkit::server::{
    CallScript, MockBuilder, Server, Timings,
    asterisk::MockAsterisk,
    flexisip::MockFlexisip,
    freeswitch::MockFreeSwitch,
    http::MockHttp,
    kamailio::{EventForm, MockKamailio},
    opensips::MockOpenSips,
    yate::MockYate,
};

/// A gateway of FusionPBX, by its uuid.
const GATEWAY: &str = "5a2b6f0e-8c1d-4e55-9a3e-2f6d0c7b1a90";

/// Calls of each adapter.
const CALLS: u32 = 100;

/// How the `n`th call of an adapter goes: by the last digit of its number.
fn expected(n: u32) -> Disposition {
    match n % 4 {
        0 => Disposition::Busy,
        1 => Disposition::Failed,
        _ => Disposition::Answered,
    }
}

fn number(n: u32) -> Address {
    format!("+4930{n:07}").parse().unwrap()
}

/// The script of each number; far ends that hang up do so this long after their answer.
fn scripts(talk: Duration) -> impl Iterator<Item = (String, CallScript)> {
    (0..CALLS).map(move |n| {
        let script = match expected(n) {
            Disposition::Busy => CallScript::busy(),
            Disposition::Failed => CallScript::rejected(404),
            // Some are ended by the far end, some by us.
            _ if n % 4 == 2 => CallScript::answer().hangs_up_after(talk),
            _ => CallScript::answer(),
        };
        (number(n).expose().into_owned(), script)
    })
}

fn scripted<S: Server>(builder: MockBuilder<S>) -> MockBuilder<S> {
    scripts(Duration::from_millis(200)).fold(
        builder.timings(Timings::quick()),
        |builder, (to, script)| builder.on_dial(&to, script),
    )
}

async fn one(adapter: Arc<dyn SipAdapter>, n: u32) -> CallRecord {
    let request = if adapter.capabilities().has(Capability::Dial) {
        CallRequest::dial(number(n))
    } else {
        // Each from a phone of its own.
        CallRequest::connect(format!("{}", 10_000 + n).parse().unwrap(), number(n))
    };
    let request = request.with_timeout(Duration::from_secs(30));
    let call = adapter.make_call(request).await.unwrap();
    let answered = call.answered().await.is_ok();
    assert_eq!(answered, expected(n) == Disposition::Answered, "call {n}");
    if n % 4 == 3 {
        adapter.hangup(&call.call_ref()).await.unwrap();
    }
    let record = call.ended().await.unwrap();
    let expected = match expected(n) {
        // Nothing of OpenSIPS says why a party of a call of two legs refused.
        Disposition::Busy | Disposition::Failed if adapter.kind() == AdapterKind::OPENSIPS => {
            Disposition::Unknown
        }
        known => known,
    };
    assert_eq!(record.disposition, expected, "call {n}");
    assert_eq!(record.to.as_ref().unwrap().expose(), &*number(n).expose());
    record
}

async fn all(adapter: Arc<dyn SipAdapter>) {
    adapter.connect().await.unwrap();
    let calls: Vec<_> = (0..CALLS)
        .map(|n| tokio::spawn(one(Arc::clone(&adapter), n)))
        .collect();
    let mut ids = Vec::new();
    for call in calls {
        let record = call.await.unwrap();
        assert_eq!(record.server, adapter.kind());
        ids.push(record.id.unwrap());
    }
    // Each call is in the history once, and nobody else's.
    let mut query = HistoryQuery::default();
    query.limit = 1000;
    let page = adapter.get_call_history(query).await.unwrap();
    let mut told: Vec<_> = page.items.iter().map(|record| record.id.unwrap()).collect();
    told.sort_unstable();
    ids.sort_unstable();
    assert_eq!(told, ids, "{}", adapter.kind());
    assert!(adapter.snapshot().calls.is_empty(), "{}", adapter.kind());
    let drained = adapter.disconnect(Duration::from_secs(5)).await.unwrap();
    assert_eq!(drained.calls_left, 0, "{}", adapter.kind());
}

/// A hundred questions for accounts.
async fn accounts(adapter: FlexisipAdapter) {
    adapter.connect().await.unwrap();
    let api = adapter.api().unwrap();
    let asked = (0..CALLS).map(|_| {
        let api = api.clone();
        tokio::spawn(async move { api.accounts(1).await.unwrap().total })
    });
    let mut totals = Vec::new();
    for asked in asked.collect::<Vec<_>>() {
        totals.push(asked.await.unwrap());
    }
    assert!(totals.iter().all(|total| *total == totals[0]));
    adapter.disconnect(Duration::from_secs(5)).await.unwrap();
}

/// A server that nobody can log in to.
async fn refused(adapter: KamailioAdapter) {
    for _ in 0..20 {
        assert!(adapter.connect().await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn seven_adapters_place_a_hundred_calls_each_at_once() {
    let asterisk = scripted(MockAsterisk::builder()).start().await.unwrap();
    let freeswitch = scripted(MockFreeSwitch::builder()).start().await.unwrap();
    let fusionpbx = scripted(MockFreeSwitch::builder()).start().await.unwrap();
    let yate = scripted(MockYate::builder()).start().await.unwrap();

    let dial = |template: &str| template.parse().unwrap();
    let config = AsteriskConfig::from_url(&asterisk.url()).unwrap();
    let on_asterisk = AsteriskAdapter::new(config.with_dial(dial("PJSIP/{number}")));
    let config = FreeswitchConfig::from_url(&freeswitch.url()).unwrap();
    let on_freeswitch =
        FreeswitchAdapter::new(config.with_dial(dial("sofia/gateway/trunk/{number}")));
    let config = FusionpbxConfig::from_value(&serde_json::json!({
        "type": "fusionpbx",
        "host": fusionpbx.address().ip().to_string(),
        "port": fusionpbx.address().port(),
        "auth": { "domain": "clinic.example", "password": "ClueCon" },
        "options": { "gateway": GATEWAY },
    }));
    let on_fusionpbx = FusionpbxAdapter::new(config.unwrap());
    let config = YateConfig::from_url(&yate.url()).unwrap();
    let on_yate = YateAdapter::new(config.with_dial(dial("sip/sip:{number}@trunk.example")));

    let quick = Duration::from_millis(100);
    let mut kamailio = MockKamailio::builder()
        .basic("faxbot", "s3cret")
        .events(EventForm::Versioned)
        .timings(Timings::quick());
    let mut opensips = MockOpenSips::builder()
        .body_limit(65_536)
        // Longer than the time from one poll to the next.
        .timings(Timings::quick().ring(Duration::from_millis(500)));
    for (to, script) in scripts(Duration::from_millis(200)) {
        kamailio = kamailio.on_dial(&to, script);
    }
    // Of a call of two legs OpenSIPS tells no event: it has to last from one poll to the next.
    for (to, script) in scripts(Duration::from_secs(3)) {
        opensips = opensips.on_dial(&to, script);
    }
    let kamailio = kamailio.start().await.unwrap();
    let opensips = opensips.start().await.unwrap();
    let flexisip = MockHttp::start(MockFlexisip::new()).await;
    let mut config = KamailioConfig::from_url(&kamailio.url()).unwrap();
    config.poll = quick;
    let on_kamailio = KamailioAdapter::new(config);
    let wrong = kamailio.url().replace("s3cret", "wrong");
    let refused_by_kamailio = KamailioAdapter::new(KamailioConfig::from_url(&wrong).unwrap());
    let config = format!("{}?events=udp:127.0.0.1:0", opensips.url());
    let mut config = OpenSipsConfig::from_url(&config).unwrap();
    config.poll = quick;
    let on_opensips = OpenSipsAdapter::new(config);
    let (host, port) = (flexisip.url(), flexisip.url().port().unwrap());
    let config = FlexisipConfig::from_url(&format!(
        "flexisip://{}@{}:{port}?tls=false",
        MockFlexisip::ADMIN_KEY,
        host.host_str().unwrap(),
    ));
    let on_flexisip = FlexisipAdapter::new(config.unwrap());

    tokio::join!(
        all(Arc::new(on_kamailio)),
        all(Arc::new(on_opensips)),
        accounts(on_flexisip),
        refused(refused_by_kamailio),
        all(Arc::new(on_asterisk)),
        all(Arc::new(on_freeswitch)),
        all(Arc::new(on_fusionpbx)),
        all(Arc::new(on_yate)),
    );
    asterisk.finish().await;
    freeswitch.finish().await;
    fusionpbx.finish().await;
    yate.finish().await;
}
