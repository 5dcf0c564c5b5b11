use faxbot_core::{Private, sip::CallState};

use super::*;
use crate::adapter::dialogs::NewOurs;

fn now() -> Now {
    Now {
        wall: Timestamp::now(),
        instant: Instant::now(),
    }
}

/// A call of ours whose request was written.
fn requested(desk: &mut Desk) -> CallId {
    let id = CallId::new();
    let new = NewOurs {
        id,
        from: None,
        to: Private::new("sip:2000@pbx".to_owned()),
        ring_timeout: Duration::from_secs(60),
    };
    desk.dialogs.open_ours(new, now()).unwrap();
    assert!(desk.requested(id, now()));
    id
}

/// The calls of two legs as the server lists them.
fn tuples(ids: &[CallId]) -> Vec<RawTuple> {
    let one = |id: &CallId| {
        serde_json::json!({
            "key": "697.0",
            "state": 3,
            "scenario": id.as_uuid().to_string(),
            "CLIENTS": [{"key": "B2B.1", "to_uri": "sip:1001@pbx", "state": 0}],
        })
    };
    let all: Vec<_> = ids.iter().map(one).collect();
    serde_json::from_value(all.into()).unwrap()
}

fn shown(desk: &mut Desk, ids: &[CallId], now: Now) {
    let tuples = tuples(ids);
    desk.looked(Look::at_pairs(&tuples), now);
}

#[test]
fn an_order_that_outlives_its_connection_keeps_its_claim() {
    let (id, mut desk) = (CallId::new(), Desk::new(Duration::from_secs(2)));
    assert!(desk.claim(id));
    desk.forget_connection();
    assert!(!desk.claim(id), "the old one is not dropped yet");
    desk.unclaim(id);
    assert!(desk.claim(id));
}

#[test]
fn a_restart_loses_what_was_there_and_nothing_that_came_meanwhile() {
    let mut desk = Desk::new(Duration::from_secs(2));
    let [taken, up, listed, late, seen, in_flight, hung_up] =
        [(); 7].map(|()| requested(&mut desk));
    desk.taken(taken, now());
    shown(&mut desk, &[up, listed], now());
    desk.dialogs.hang_up_when_there(hung_up);
    desk.dialogs.hanging_up(hung_up, now());
    let before = desk.taken_so_far();
    assert_eq!(before, [taken]);
    let asked = now();
    let later = Now {
        instant: asked.instant + Duration::from_secs(1),
        ..asked
    };
    // While the list is on its way.
    desk.taken(late, later);
    shown(&mut desk, &[seen], later);
    let out = desk.restarted(&HashSet::from([listed]), &before, asked.instant);
    assert_eq!(out.len(), 2);
    for lost in [taken, up] {
        assert_eq!(desk.calls().state(lost), None);
    }
    for kept in [listed, late, seen, in_flight] {
        assert!(desk.calls().state(kept).is_some());
    }
    assert_eq!(desk.calls().state(hung_up), Some(CallState::HangingUp));
    // Its hang-up is still owed.
    desk.take_todo();
    shown(&mut desk, &[listed, seen, hung_up], later);
    assert!(desk.take_todo().contains(&Job::Of(Todo::HangUp(hung_up))));
}

#[test]
fn of_two_hang_ups_one_that_fails_does_not_take_the_other_back() {
    for another in [true, false] {
        let mut desk = Desk::new(Duration::from_secs(2));
        let id = requested(&mut desk);
        desk.taken(id, now());
        shown(&mut desk, &[id], now());
        desk.begin_hang_up(id);
        if another {
            desk.begin_hang_up(id);
        }
        desk.take_hang_up_back(id);
        let out = desk.dialogs.end(id, Report::default(), now());
        let [SipEvent::CallStateChanged(change)] = out.as_slice() else {
            panic!("{out:?}");
        };
        let record = change.record.as_ref().unwrap();
        assert_eq!(record.disposition == Disposition::Cancelled, another);
    }
}
