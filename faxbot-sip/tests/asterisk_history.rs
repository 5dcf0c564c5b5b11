//! Calls that ended: a page at a time, and with what the server measured.
#![cfg(test)]
#![cfg(feature = "asterisk")]

mod asterisk_support;

use std::{collections::HashSet, time::Duration};

use asterisk_support::{FLAVOURS, Rig, channel_id, dial};
use faxbot_core::{
    ErrorKind,
    id::CallId,
    sip::{CallRecord, Capability, Direction, Disposition, HistoryQuery, SipAdapter as _},
};
use faxbot_sip::adapter::asterisk::AsteriskAdapter;
use faxbot_testkit::server::asterisk::CallScript;

async fn busy(rig: &Rig, adapter: &AsteriskAdapter) -> CallRecord {
    rig.mock.next_call(CallScript::busy());
    ended(adapter, "602", Duration::ZERO).await
}

async fn ended(adapter: &AsteriskAdapter, to: &str, talks: Duration) -> CallRecord {
    let call = adapter.make_call(dial(to)).await.unwrap();
    if call.answered().await.is_ok() {
        tokio::time::sleep(talks).await;
        adapter.hangup(&call.call_ref()).await.unwrap();
    }
    call.ended().await.unwrap()
}

async fn ids(adapter: &AsteriskAdapter, query: HistoryQuery) -> Vec<CallId> {
    let page = adapter.get_call_history(query).await.unwrap();
    assert!(page.next_cursor.is_none());
    let id = |record: CallRecord| record.id.unwrap();
    page.items.into_iter().map(id).collect()
}

fn query(change: impl FnOnce(&mut HistoryQuery)) -> HistoryQuery {
    let mut query = HistoryQuery::default();
    change(&mut query);
    query
}

#[tokio::test(start_paused = true)]
async fn the_history_has_the_calls_that_ended_and_the_newest_first() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let second = Duration::from_secs(1);
    let talked = ended(&adapter, "600", second).await;
    let busy = busy(&rig, &adapter).await;
    let live = adapter.make_call(dial("603")).await.unwrap();
    let (talked_id, busy_id) = (talked.id.unwrap(), busy.id.unwrap());
    assert_eq!(
        ids(&adapter, HistoryQuery::default()).await,
        [busy_id, talked_id]
    );
    for (asked, expected) in [
        (query(|it| it.id = Some(talked_id)), vec![talked_id]),
        (query(|it| it.id = Some(live.id())), vec![]),
        (query(|it| it.since = Some(busy.start)), vec![busy_id]),
        (query(|it| it.until = Some(busy.start)), vec![talked_id]),
        (
            query(|it| it.disposition = Some(Disposition::Busy)),
            vec![busy_id],
        ),
        (query(|it| it.direction = Some(Direction::Inbound)), vec![]),
    ] {
        assert_eq!(ids(&adapter, asked.clone()).await, expected, "{asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn pages_show_each_call_once_while_new_ones_end() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let mut expected = HashSet::new();
    for _ in 0..7 {
        expected.insert(busy(&rig, &adapter).await.id.unwrap());
    }
    let mut asked = query(|it| it.limit = 3);
    let mut seen = HashSet::new();
    let mut sizes = Vec::new();
    loop {
        let page = adapter.get_call_history(asked.clone()).await.unwrap();
        sizes.push(page.items.len());
        for record in page.items {
            assert!(seen.insert(record.id.unwrap()), "told twice");
        }
        busy(&rig, &adapter).await;
        asked.cursor = page.next_cursor;
        if asked.cursor.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [3, 3, 1]);
    assert_eq!(seen, expected);
}

#[tokio::test(start_paused = true)]
async fn a_page_of_no_length_has_a_hundred_and_none_is_larger_than_a_thousand() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    for _ in 0..101 {
        busy(&rig, &adapter).await;
    }
    let page = adapter
        .get_call_history(HistoryQuery::default())
        .await
        .unwrap();
    assert_eq!(page.items.len(), 100);
    assert!(page.next_cursor.is_some());
    let all = query(|it| it.limit = usize::MAX);
    assert_eq!(ids(&adapter, all).await.len(), 101);
}

#[tokio::test(start_paused = true)]
async fn a_cursor_that_is_not_ours_is_refused() {
    let rig = Rig::new().await;
    let (adapter, other) = (rig.connected().await, rig.connected().await);
    for adapter in [&adapter, &other] {
        for _ in 0..2 {
            busy(&rig, adapter).await;
        }
    }
    let page = other
        .get_call_history(query(|it| it.limit = 1))
        .await
        .unwrap();
    let foreign = page.next_cursor.unwrap();
    let cut = foreign[..foreign.len() - 1].to_owned();
    for (asked, cursor) in [(&adapter, foreign), (&other, cut), (&other, "1".into())] {
        let refused = asked
            .get_call_history(query(|it| it.cursor = Some(cursor)))
            .await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidRequest);
    }
}

#[tokio::test(start_paused = true)]
async fn the_servers_own_record_is_told_where_it_is_sent() {
    for flavour in FLAVOURS {
        let rig = Rig::with(|builder| builder.flavour(flavour).cdr(true)).await;
        let adapter = rig.connected().await;
        assert!(adapter.capabilities().has(Capability::Cdr));
        let record = ended(&adapter, "600", Duration::from_secs(3)).await;
        let cdr = adapter.get_cdr(&record.id.unwrap().into()).await.unwrap();
        assert_eq!(cdr.disposition, Disposition::Answered);
        assert_eq!(cdr.billable_seconds, Some(3));
        assert_eq!((cdr.start, cdr.end), (record.start, record.end));
        let busy = busy(&rig, &adapter).await;
        let cdr = adapter.get_cdr(&busy.id.unwrap().into()).await.unwrap();
        assert_eq!(cdr.disposition, Disposition::Busy);
        let live = adapter.make_call(dial("600")).await.unwrap();
        live.answered().await.unwrap();
        for id in [live.id(), CallId::new()] {
            let unknown = adapter.get_cdr(&id.into()).await.unwrap_err();
            assert_eq!(unknown.kind(), ErrorKind::NotFound);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_cdr_events_the_capability_is_absent() {
    let rig = Rig::with(|builder| builder.cdr(false)).await;
    let adapter = rig.connected().await;
    assert!(!adapter.capabilities().has(Capability::Cdr));
    let record = ended(&adapter, "600", Duration::ZERO).await;
    let refused = adapter.get_cdr(&record.id.unwrap().into()).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test(start_paused = true)]
async fn the_history_has_the_durations_that_the_server_measured() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let record = ended(&adapter, "600", Duration::from_secs(1)).await;
    let id = record.id.unwrap();
    let cdr = |uniqueid: &str, duration: &str| {
        format!(
            "Event: Cdr\r\nPrivilege: cdr,all\r\nStartTime: 2026-11-21 04:14:27\r\n\
             Duration: {duration}\r\nBillableSeconds: {duration}\r\nDisposition: FAILED\r\n\
             UniqueID: {uniqueid}\r\n\r\n"
        )
    };
    // The longest of several, and nothing of what is no number or of no call of ours.
    for (uniqueid, duration) in [
        (channel_id(id), "42"),
        (channel_id(id), "7"),
        (channel_id(id), "-1"),
        (channel_id(CallId::new()), "5"),
        ("1795234467.185".to_owned(), "5"),
    ] {
        rig.mock.send_raw(cdr(&uniqueid, duration));
    }
    // What is behind them in the stream was taken after them.
    busy(&rig, &adapter).await;
    let page = adapter
        .get_call_history(query(|it| it.id = Some(id)))
        .await
        .unwrap();
    let seen = &page.items[0];
    assert_eq!(seen.duration_seconds, Some(42));
    assert_eq!(seen.billable_seconds, Some(42));
    assert_eq!((seen.start, seen.end), (record.start, record.end));
    assert_eq!(seen.disposition, Disposition::Answered);
}
