//! One request a message, whatever becomes of it.

use std::time::Duration;

use faxbot_core::{
    Effect, ErrorKind,
    message::{MessageContent, MessageKind, MessageState},
    plugin::{MessagingPlugin, Plugin},
};
use serde_json::json;

use super::{
    Bench, TEXT, THEIRS, pause, status_call,
    vendor::{Act, ID},
};

#[tokio::test(start_paused = true)]
async fn a_message_is_one_request_and_has_the_vendors_id() {
    let bench = Bench::new().await;
    let sent = bench.send().await.unwrap();
    assert_eq!(
        (sent.message_id.as_str(), sent.provider.as_str()),
        ("acme-1", ID)
    );
    assert_eq!((sent.kind, sent.segments), (MessageKind::Sms, 1));
    let long = bench.send_text(&"ł".repeat(71)).await.unwrap();
    assert_eq!(long.segments, 2);
    let world = bench.vendor.world();
    let (reference, to, from, text) = world.submissions[0].clone();
    assert!(uuid::Uuid::try_parse(&reference).is_ok());
    assert_eq!(
        (to.as_str(), from, text.as_str()),
        (&THEIRS[1..], None, TEXT)
    );
    assert_ne!(world.submissions[1].0, reference);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_found_by_our_reference_and_nothing_is_sent_again() {
    for (lag, faults) in [(0, 0), (3, 0), (1, 2)] {
        let bench = Bench::with(json!({"inbound_poll": 0})).await;
        {
            let mut world = bench.vendor.world();
            world.script.push_back(Act::TakeAndCut);
            (world.list_lag, world.faults) = (lag, faults);
        }
        let sent = bench.send().await.unwrap();
        assert_eq!(sent.message_id, "acme-1");
        assert_eq!(bench.submissions(), 1);
        assert_eq!(bench.vendor.world().finds, lag + faults + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_found_is_unknown_under_our_reference_for_ever() {
    let mut bench = Bench::new().await;
    bench.vendor.world().script.push_back(Act::Cut);
    let began = tokio::time::Instant::now();
    let error = bench.send().await.unwrap_err();
    assert!(began.elapsed() <= Duration::from_secs(31));
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    assert_eq!(error.effect(), Effect::Unknown);
    assert!(!error.is_retryable());
    assert_eq!(error.operation(), "send_message");
    let reference = bench.vendor.world().submissions[0].0.clone();
    assert_eq!(error.message_id(), Some(reference.as_str()));
    let status = bench.status(&reference).await;
    assert_eq!(
        (status.message_id.as_str(), status.status),
        (reference.as_str(), MessageState::OutcomeUnknown)
    );
    let finds = bench.vendor.world().finds;
    pause(4 * 24 * 3600).await;
    let finds = bench.vendor.world().finds - finds;
    assert!((80..150).contains(&finds), "looked for {finds} times");
    assert_eq!(
        bench.status(&reference).await.status,
        MessageState::OutcomeUnknown
    );
    assert_eq!(bench.submissions(), 1);
    assert_eq!(
        bench.told(),
        [("sms.outcome_unknown".to_owned(), reference)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_search_without_an_answer_holds_no_caller_longer_than_its_patience() {
    let bench = Bench::with(json!({"inbound_poll": 0})).await;
    {
        let mut world = bench.vendor.world();
        world.script.push_back(Act::TakeAndCut);
        world.finds_hang = true;
    }
    let began = tokio::time::Instant::now();
    let error = bench.send().await.unwrap_err();
    assert!(began.elapsed() <= Duration::from_secs(31));
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    assert_eq!(bench.submissions(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_found_too_late_for_the_caller_is_followed_under_our_reference() {
    for callback in [false, true] {
        let mut bench = Bench::new().await;
        {
            let mut world = bench.vendor.world();
            world.script.push_back(Act::TakeAndCut);
            world.list_lag = 8;
        }
        let error = bench.send().await.unwrap_err();
        let reference = error.message_id().unwrap().to_owned();
        bench.becomes("acme-1", MessageState::Delivered);
        if callback {
            let call = status_call("acme-1", Some(&reference), MessageState::Delivered);
            assert_eq!(bench.call(call).await.status, 200);
        } else {
            pause(600).await;
        }
        let status = bench.status(&reference).await;
        assert_eq!(status.status, MessageState::Delivered);
        assert!(status.delivered_at.is_some());
        // Also by the name that the vendor gave it.
        assert_eq!(bench.status("acme-1").await.status, MessageState::Delivered);
        assert_eq!(
            bench.told(),
            [
                ("sms.outcome_unknown".to_owned(), reference.clone()),
                ("sms.delivered".to_owned(), reference)
            ]
        );
        assert_eq!(bench.submissions(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_asks_looks_for_a_lost_message_again() {
    let bench = Bench::with(json!({"poll_min": "1h", "poll_max": "1h"})).await;
    {
        let mut world = bench.vendor.world();
        world.script.push_back(Act::TakeAndCut);
        world.list_lag = 8;
    }
    let error = bench.send().await.unwrap_err();
    bench.vendor.world().list_lag = 0;
    bench.becomes("acme-1", MessageState::Sent);
    let reference = error.message_id().unwrap();
    let finds = bench.vendor.world().finds;
    // An unknown outcome ends with a final state only.
    assert_eq!(
        bench.status(reference).await.status,
        MessageState::OutcomeUnknown
    );
    assert_eq!(bench.vendor.world().finds, finds + 1);
    bench.becomes("acme-1", MessageState::Failed);
    pause(3601).await;
    assert_eq!(bench.status(reference).await.status, MessageState::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_final_and_keeps_the_vendors_words_out_of_the_text() {
    for kind in [
        ErrorKind::Rejected,
        ErrorKind::Authentication,
        ErrorKind::PermissionDenied,
        ErrorKind::NotConnected,
        ErrorKind::Overloaded,
    ] {
        let mut bench = Bench::new().await;
        bench.vendor.world().script.push_back(Act::Refuse(kind));
        let error = bench.send().await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (kind, Effect::NoEffect));
        assert_eq!(error.native_code(), Some("E7"));
        assert!(
            error
                .native_text()
                .is_some_and(|text| text.contains("5550109999"))
        );
        assert!(!format!("{error} {error:?}").contains("5550109999"));
        assert_eq!((bench.submissions(), bench.vendor.world().finds), (1, 0));
        let id = error.message_id().unwrap().to_owned();
        assert_eq!(bench.status(&id).await.status, MessageState::Failed);
        assert_eq!(bench.told(), [("sms.failed".to_owned(), id)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_future_loses_neither_the_message_nor_its_record() {
    let mut bench = Bench::new().await;
    let wait = Act::After(Duration::from_secs(10), Box::new(Act::Take));
    bench.vendor.world().script.push_back(wait);
    let patience = tokio::time::timeout(Duration::from_secs(1), bench.send());
    assert!(patience.await.is_err());
    pause(20).await;
    bench.becomes("acme-1", MessageState::Delivered);
    let asked = bench.vendor.world().asked.len();
    pause(20).await;
    assert!(bench.vendor.world().asked.len() > asked, "nobody polls it");
    assert_eq!(
        bench.told(),
        [("sms.delivered".to_owned(), "acme-1".to_owned())]
    );
    let asked = bench.vendor.world().asked.len();
    assert_eq!(bench.status("acme-1").await.status, MessageState::Delivered);
    assert_eq!(bench.vendor.world().asked.len(), asked);
    assert_eq!(bench.submissions(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_callback_may_come_before_the_answer() {
    for names_reference in [true, false] {
        let mut bench = Bench::new().await;
        let (hook, mut calls) = tokio::sync::mpsc::unbounded_channel();
        {
            let mut world = bench.vendor.world();
            world.script.push_back(Act::Call(MessageState::Delivered));
            world.names_reference = names_reference;
            world.hook = Some(hook);
        }
        let plugin = std::sync::Arc::clone(&bench.plugin);
        let caller = tokio::spawn(async move {
            use faxbot_core::webhook::WebhookHandler;
            let (request, done) = calls.recv().await.unwrap();
            let reply = plugin.handle_webhook(request).await.unwrap();
            done.send(()).unwrap();
            reply.status
        });
        let sent = bench.send().await.unwrap();
        assert_eq!(caller.await.unwrap(), 200);
        assert_eq!(sent.message_id, "acme-1");
        assert_eq!(bench.status("acme-1").await.status, MessageState::Delivered);
        assert_eq!(bench.vendor.world().asked.len(), 0);
        assert_eq!(
            bench.told(),
            [("sms.delivered".to_owned(), "acme-1".to_owned())]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_callback_ends_the_search_for_a_lost_answer() {
    let bench = Bench::new().await;
    {
        let mut world = bench.vendor.world();
        world.script.push_back(Act::TakeAndCut);
        world.list_lag = 1000;
    }
    let send = bench.send();
    let call = async {
        pause(2).await;
        let reference = bench.vendor.world().submissions[0].0.clone();
        let call = status_call("acme-1", Some(&reference), MessageState::Sent);
        assert_eq!(bench.call(call).await.status, 200);
    };
    let (sent, ()) = tokio::join!(send, call);
    assert_eq!(sent.unwrap().message_id, "acme-1");
    assert_eq!(bench.submissions(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_vendor_that_never_answers_is_not_waited_for_for_ever() {
    let bench = Bench::new().await;
    let never = Act::After(Duration::from_secs(1 << 30), Box::new(Act::Take));
    bench.vendor.world().script.push_back(never);
    let began = tokio::time::Instant::now();
    let error = bench.send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    assert!(began.elapsed() < Duration::from_secs(400));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_is_refused_before_the_vendor_hears_of_it() {
    let bench = Bench::with(json!({"max_messages": 2})).await;
    let text = || MessageContent::text(MessageKind::Sms, TEXT);
    let url = "https://example.org/a.png".parse().unwrap();
    let to = THEIRS.parse().unwrap();
    for (to, content) in [
        ("1001".parse().unwrap(), text()),
        ("sip:1001@example.org".parse().unwrap(), text()),
        (to, text().with_media([url])),
    ] {
        let error = bench.plugin.send_message(to, content).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        assert_eq!(error.operation(), "send_message");
    }
    assert_eq!(bench.submissions(), 0);
    bench.send().await.unwrap();
    bench.send().await.unwrap();
    let error = bench.send().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.is_retryable()),
        (ErrorKind::Overloaded, true)
    );
    assert_eq!(bench.submissions(), 2);
    // One that is over makes room.
    let call = status_call("acme-1", None, MessageState::Delivered);
    assert_eq!(bench.call(call).await.status, 200);
    bench.send().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_an_answer_and_leaves_what_has_none() {
    for (wait, answered) in [(10, true), (100, false)] {
        let mut bench = Bench::new().await;
        let act = Act::After(Duration::from_secs(wait), Box::new(Act::Take));
        bench.vendor.world().script.push_back(act);
        let stop = async {
            pause(1).await;
            bench.plugin.stop().await.unwrap();
        };
        let (sent, ()) = tokio::join!(bench.send(), stop);
        assert_eq!(sent.is_ok(), answered);
        let id = match sent {
            Ok(sent) => sent.message_id,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
                error.message_id().unwrap().to_owned()
            }
        };
        bench.start().await;
        if answered {
            bench.becomes(&id, MessageState::Delivered);
        }
        pause(600).await;
        let expected = match answered {
            true => MessageState::Delivered,
            false => MessageState::OutcomeUnknown,
        };
        assert_eq!(bench.status(&id).await.status, expected);
        assert_eq!(bench.submissions(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_search_and_the_next_start_goes_on_with_it() {
    let mut bench = Bench::new().await;
    {
        let mut world = bench.vendor.world();
        world.script.push_back(Act::TakeAndCut);
        world.list_lag = 2;
    }
    let stop = async {
        pause(2).await;
        bench.plugin.stop().await.unwrap();
    };
    let (sent, ()) = tokio::join!(bench.send(), stop);
    let reference = sent.unwrap_err().message_id().unwrap().to_owned();
    bench.becomes("acme-1", MessageState::Delivered);
    bench.start().await;
    pause(600).await;
    let asked = bench.vendor.world().asked.len();
    assert_eq!(
        bench.status(&reference).await.status,
        MessageState::Delivered
    );
    assert_eq!(bench.vendor.world().asked.len(), asked);
    assert_eq!(bench.submissions(), 1);
}

#[tokio::test(start_paused = true)]
async fn many_messages_with_every_fault_are_each_sent_once() {
    let bench = Bench::new().await;
    let acts = [
        Act::Take,
        Act::TakeAndCut,
        Act::Cut,
        Act::Refuse(ErrorKind::Rejected),
    ];
    bench
        .vendor
        .world()
        .script
        .extend(acts.iter().cycle().take(400).cloned());
    let sends = (0..400).map(|_| bench.send());
    let mut counts = [0; 3];
    for result in futures_all(sends).await {
        match result {
            Ok(_) => counts[0] += 1,
            Err(error) if error.kind() == ErrorKind::OutcomeUnknown => counts[1] += 1,
            Err(_) => counts[2] += 1,
        }
    }
    assert_eq!(counts, [200, 100, 100]);
    let world = bench.vendor.world();
    assert_eq!((world.submissions.len(), world.messages.len()), (400, 200));
    let references: std::collections::HashSet<_> =
        world.submissions.iter().map(|row| &row.0).collect();
    assert_eq!(references.len(), 400);
}

/// All of them at one time.
async fn futures_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut open: Vec<_> = futures.map(Box::pin).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|context| {
        open.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Ready(output) => {
                done.push(output);
                false
            }
            std::task::Poll::Pending => true,
        });
        match open.is_empty() {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    done
}
