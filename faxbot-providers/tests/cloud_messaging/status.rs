//! What is said of a message, from callbacks and polling, in any order.

use std::time::Duration;

use faxbot_core::{
    ErrorKind,
    message::MessageState::{self, Delivered, Failed, OutcomeUnknown, Queued, Read, Sent},
    plugin::{MessagingPlugin, Plugin},
    webhook::Authenticity,
};
use serde_json::json;

use super::{Bench, pause, signed, status_call, vendor::Act};

#[tokio::test(start_paused = true)]
async fn a_final_status_is_in_the_book_and_any_other_is_asked_for_at_most_so_often() {
    let bench = Bench::with(json!({"poll_min": "10s", "poll_max": "1h"})).await;
    bench.send().await.unwrap();
    for _ in 0..50 {
        assert_eq!(bench.status("acme-1").await.status, Queued);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(bench.vendor.world().asked.len(), 1);
    bench.becomes("acme-1", Delivered);
    pause(6).await;
    let status = bench.status("acme-1").await;
    assert_eq!(
        (status.status, status.authenticity),
        (Delivered, Some(Authenticity::Fetched))
    );
    assert_eq!(status.raw, Some(json!({"word": "Delivered"})));
    pause(3000).await;
    bench.status("acme-1").await;
    assert_eq!(bench.vendor.world().asked.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_any_callback_polling_finds_the_end() {
    let mut bench = Bench::new().await;
    bench.send().await.unwrap();
    pause(3600).await;
    let asked: Vec<_> = bench.vendor.world().asked.iter().map(|row| row.0).collect();
    // 5, 10, 20, 40, 80, 160, then 300 s each, with up to a quarter on top.
    assert!((13..=17).contains(&asked.len()), "{}", asked.len());
    let waits: Vec<_> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.iter().all(|wait| *wait >= Duration::from_secs(5)));
    assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(375)));
    bench.becomes("acme-1", Failed);
    pause(400).await;
    assert_eq!(
        bench.told(),
        [("sms.failed".to_owned(), "acme-1".to_owned())]
    );
    let asked = bench.vendor.world().asked.len();
    pause(7200).await;
    assert_eq!(
        bench.vendor.world().asked.len(),
        asked,
        "what is over is polled"
    );
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_fails_changes_nothing() {
    let mut bench = Bench::new().await;
    bench.send().await.unwrap();
    bench.vendor.world().faults = 5;
    assert_eq!(bench.status("acme-1").await.status, Queued);
    pause(60).await;
    bench.becomes("acme-1", Delivered);
    pause(1200).await;
    assert_eq!(bench.status("acme-1").await.status, Delivered);
    assert_eq!(bench.told().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_without_an_end_becomes_unknown_and_evidence_still_ends_it() {
    let mut bench =
        Bench::with(json!({"job_patience": "2h", "retention": "10h", "inbound_poll": 0})).await;
    bench.send().await.unwrap();
    bench.becomes("acme-1", Sent);
    pause(3 * 3600).await;
    let asked = bench.vendor.world().asked.len();
    pause(3600).await;
    assert_eq!(
        bench.vendor.world().asked.len(),
        asked,
        "what was given up is polled"
    );
    assert_eq!(bench.status("acme-1").await.status, OutcomeUnknown);
    bench.call(status_call("acme-1", None, Sent)).await;
    assert_eq!(bench.status("acme-1").await.status, OutcomeUnknown);
    bench.call(status_call("acme-1", None, Delivered)).await;
    assert_eq!(bench.status("acme-1").await.status, Delivered);
    let topics: Vec<_> = bench.told().into_iter().map(|told| told.0).collect();
    assert_eq!(topics, ["sms.sent", "sms.outcome_unknown", "sms.delivered"]);
}

#[tokio::test(start_paused = true)]
async fn reports_in_every_order_come_to_the_same_end() {
    for order in permutations(&[Queued, Sent, Delivered, Read]) {
        let mut bench = Bench::new().await;
        bench.send().await.unwrap();
        let mut reached = Queued;
        for state in &order {
            // Each comes twice.
            for _ in 0..2 {
                assert_eq!(
                    bench.call(status_call("acme-1", None, *state)).await.status,
                    200
                );
            }
            let next = reached.advance(*state);
            assert_eq!(bench.status("acme-1").await.status, next, "{order:?}");
            reached = next;
        }
        let status = bench.status("acme-1").await;
        assert_eq!(status.status, Read, "{order:?}");
        assert_eq!(status.authenticity, Some(Authenticity::Signed));
        assert!(
            status.delivered_at.is_some() && status.read_at.is_some(),
            "{order:?}"
        );
        let mut topics: Vec<_> = bench.told().into_iter().map(|told| told.0).collect();
        let told = topics.len();
        topics.dedup();
        assert_eq!(topics.len(), told, "an event came twice: {order:?}");
        assert_eq!(topics.last().map(String::as_str), Some("sms.read"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_final_report_absorbs_the_others() {
    for (first, then) in [
        (Delivered, Failed),
        (Failed, Delivered),
        (Failed, Read),
        (Read, Failed),
    ] {
        let bench = Bench::new().await;
        bench.send().await.unwrap();
        bench.call(status_call("acme-1", None, first)).await;
        bench.call(status_call("acme-1", None, then)).await;
        assert_eq!(
            bench.status("acme-1").await.status,
            first,
            "{first:?} then {then:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_word_is_kept_and_changes_nothing() {
    let mut bench = Bench::new().await;
    bench.send().await.unwrap();
    let call = signed(&json!({"status_of": "acme-1", "state": "teleported", "word": "Teleported"}));
    assert_eq!(bench.call(call).await.status, 200);
    {
        let mut world = bench.vendor.world();
        let row = world.messages.get_mut("acme-1").unwrap();
        (row.1, row.2) = (None, "Teleported".into());
    }
    let status = bench.status("acme-1").await;
    assert_eq!(status.status, Queued);
    assert_eq!(status.raw.unwrap()["word"], "Teleported");
    assert!(bench.told().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_unproven_report_is_exchanged_for_what_the_vendor_says() {
    let bench = Bench::with(json!({"signed": false})).await;
    bench.send().await.unwrap();
    // Forged: nothing of it is believed, and it does not keep the true one out.
    assert_eq!(
        bench
            .call(status_call("acme-1", None, Delivered))
            .await
            .status,
        200
    );
    assert_eq!(bench.status("acme-1").await.status, Queued);
    bench.becomes("acme-1", Delivered);
    assert_eq!(
        bench
            .call(status_call("acme-1", None, Delivered))
            .await
            .status,
        200
    );
    let status = bench.status("acme-1").await;
    assert_eq!(
        (status.status, status.authenticity),
        (Delivered, Some(Authenticity::Fetched))
    );
    let asked = bench.vendor.world().asked.len();
    bench.call(status_call("acme-1", None, Delivered)).await;
    assert_eq!(
        bench.vendor.world().asked.len(),
        asked,
        "a repetition is fetched again"
    );
    // Of a message that does not exist.
    assert_eq!(
        bench
            .call(status_call("nobodys", None, Delivered))
            .await
            .status,
        200
    );
    // The vendor cannot be asked: it is to send again.
    bench.vendor.world().faults = 1;
    let reply = bench.call(status_call("acme-1", None, Read)).await;
    assert_eq!(reply.status, 503);
    assert!(reply.headers.contains_key("retry-after"));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_message_is_not_found() {
    let bench = Bench::new().await;
    let uuid = uuid::Uuid::nil().to_string();
    for id in ["nobodys", &uuid] {
        let error = bench.plugin.get_message_status(id).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{id}");
        assert_eq!(error.operation(), "get_message_status");
    }
    assert_eq!(bench.vendor.world().asked.len(), 2);
    // Nobody's ids are like these.
    for id in ["", "a\nb", &"a".repeat(257)] {
        let error = bench.plugin.get_message_status(id).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    assert_eq!(bench.vendor.world().asked.len(), 2);
    // A vendor that cannot be asked proves nothing.
    bench.vendor.world().faults = 1;
    let error = bench
        .plugin
        .get_message_status("nobodys")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ServerBusy);
}

#[tokio::test(start_paused = true)]
async fn a_message_of_an_earlier_process_is_asked_for_by_either_name() {
    let mut bench = Bench::new().await;
    bench.vendor.world().script.push_back(Act::TakeAndCut);
    bench.vendor.world().list_lag = 1000;
    let reference = bench
        .send()
        .await
        .unwrap_err()
        .message_id()
        .unwrap()
        .to_owned();
    bench.plugin.stop().await.unwrap();
    bench.plugin = std::sync::Arc::default();
    bench.vendor.world().list_lag = 0;
    bench.start().await;
    bench.becomes("acme-1", Sent);
    for name in ["acme-1", &reference] {
        let status = bench.status(name).await;
        assert_eq!((status.message_id.as_str(), status.status), (name, Sent));
    }
    // A callback about it is told of as well.
    bench
        .call(status_call("acme-1", Some(&reference), Delivered))
        .await;
    assert_eq!(bench.status(&reference).await.status, Delivered);
    assert_eq!(
        bench.told(),
        [("sms.delivered".to_owned(), "acme-1".to_owned())]
    );
}

#[tokio::test(start_paused = true)]
async fn a_report_of_an_unknown_message_is_told_once_the_last_request_is_answered() {
    let mut bench = Bench::new().await;
    let wait = Act::After(Duration::from_secs(5), Box::new(Act::Take));
    bench.vendor.world().script.push_back(wait);
    let call = async {
        pause(1).await;
        bench.call(status_call("others-7", None, Delivered)).await
    };
    let (sent, reply) = tokio::join!(bench.send(), call);
    assert_eq!(
        (sent.unwrap().message_id.as_str(), reply.status.as_u16()),
        ("acme-1", 200)
    );
    // The kind of such a message is not known.
    assert_eq!(
        bench.told(),
        [("message.delivered".to_owned(), "others-7".to_owned())]
    );
    assert_eq!(bench.status("others-7").await.status, Delivered);
    let asked = bench.vendor.world().asked.len();
    assert_eq!(asked, 0, "a message of others is polled");
}

#[tokio::test(start_paused = true)]
async fn what_is_over_is_forgotten_after_a_while_and_asked_for_then() {
    let bench = Bench::with(json!({"retention": "1m"})).await;
    bench.send().await.unwrap();
    bench.becomes("acme-1", Delivered);
    bench.call(status_call("acme-1", None, Delivered)).await;
    bench.status("acme-1").await;
    assert!(bench.vendor.world().asked.is_empty());
    pause(61).await;
    assert_eq!(bench.status("acme-1").await.status, Delivered);
    assert_eq!(bench.vendor.world().asked.len(), 1);
    let health = bench.plugin.health_check().await.unwrap();
    assert_eq!(health.detail.unwrap()["messages_open"], 0);
}

#[tokio::test(start_paused = true)]
async fn the_time_of_delivery_is_the_reports_or_ours() {
    let bench = Bench::new().await;
    bench.send().await.unwrap();
    let before = bench.now();
    bench.call(status_call("acme-1", None, Delivered)).await;
    let at = bench.status("acme-1").await.delivered_at.unwrap();
    assert!(at.duration_since(before) < Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn reports_of_messages_of_others_do_not_gather() {
    let bench = Bench::with(json!({"retention_messages": 2, "inbound_poll": 0})).await;
    for number in 0..5 {
        let call = status_call(&format!("other-{number}"), None, Delivered);
        assert_eq!(bench.call(call).await.status, 200);
    }
    let detail = bench.plugin.health_check().await.unwrap().detail;
    assert_eq!(detail.unwrap()["messages_over"], 2);
}

fn permutations(states: &[MessageState]) -> Vec<Vec<MessageState>> {
    let Some((first, rest)) = states.split_first() else {
        return vec![Vec::new()];
    };
    let mut all = Vec::new();
    for shorter in permutations(rest) {
        for at in 0..=shorter.len() {
            let mut order = shorter.clone();
            order.insert(at, *first);
            all.push(order);
        }
    }
    all
}
