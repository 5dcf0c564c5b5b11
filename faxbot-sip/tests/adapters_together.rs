//! All adapters in one process at once: none takes another's calls, and every book is right.
#![cfg(test)]
#![cfg(all(feature = "asterisk", feature = "freeswitch", feature = "yate"))]

use std::{sync::Arc, time::Duration};

use faxbot_core::{
    address::Address,
    sip::{CallRecord, CallRequest, Disposition, HistoryQuery, SipAdapter},
};
use faxbot_sip::adapter::{
    asterisk::{AsteriskAdapter, AsteriskConfig},
    freeswitch::{FreeswitchAdapter, FreeswitchConfig},
    fusionpbx::{FusionpbxAdapter, FusionpbxConfig},
    yate::{YateAdapter, YateConfig},
};
use faxbot_testkit::server::{
    CallScript, MockBuilder, Server, Timings, asterisk::MockAsterisk, freeswitch::MockFreeSwitch,
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

fn scripted<S: Server>(builder: MockBuilder<S>) -> MockBuilder<S> {
    (0..CALLS).fold(builder.timings(Timings::quick()), |builder, n| {
        let script = match expected(n) {
            Disposition::Busy => CallScript::busy(),
            Disposition::Failed => CallScript::rejected(404),
            // Some are ended by the far end, some by us.
            _ if n % 4 == 2 => CallScript::answer().hangs_up_after(Duration::from_millis(200)),
            _ => CallScript::answer(),
        };
        builder.on_dial(&number(n).expose(), script)
    })
}

async fn one(adapter: Arc<dyn SipAdapter>, n: u32) -> CallRecord {
    let request = CallRequest::dial(number(n)).with_timeout(Duration::from_secs(30));
    let call = adapter.make_call(request).await.unwrap();
    let answered = call.answered().await.is_ok();
    assert_eq!(answered, expected(n) == Disposition::Answered, "call {n}");
    if n % 4 == 3 {
        adapter.hangup(&call.call_ref()).await.unwrap();
    }
    let record = call.ended().await.unwrap();
    assert_eq!(record.disposition, expected(n), "call {n}");
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

#[tokio::test(flavor = "multi_thread")]
async fn four_adapters_place_a_hundred_calls_each_at_once() {
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

    tokio::join!(
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
