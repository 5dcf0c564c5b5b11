//! How calls go and why they end, as a real Kamailio 5.6 and 6.1 tell it.

use std::time::Duration;

use crate::{
    agent::{Agent, Manner},
    real::{
        LIMIT,
        party::Party,
        party_caller::{Caller, register},
        until,
    },
    server::{Kamailio, Version, connected},
    watch::{changes_of, history, only_record, states, wait_none, wait_one},
};
use faxbot_core::{
    event::EventStream,
    id::CallId,
    sip::{CallRecord, CallState, CallStateChanged, Disposition, SipAdapter as _, SipEvent},
};

crate::on_both_kamailios!(
    events_tell_every_state_of_a_call_in_order,
    events_tell_why_a_call_was_not_answered,
    polling_alone_invents_no_cause,
    a_call_to_a_registered_user_is_one_call,
    a_destination_that_fails_is_not_the_end_of_a_call,
);

const DIALING: CallState = CallState::Dialing;
const RINGING: CallState = CallState::Ringing;
const OVER: CallState = CallState::Terminated;

/// The id of the next call that begins.
async fn next_call(events: &mut EventStream<SipEvent>) -> CallId {
    crate::watch::next(events, "a call begins", |event| match event {
        SipEvent::CallStateChanged(change) => change.id,
        _ => None,
    })
    .await
}

async fn events_tell_every_state_of_a_call_in_order(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let adapter = kamailio.adapter().await;
    let party = Party::rings().start(&kamailio).await;
    let mut events = adapter.subscribe();
    let mut all = adapter.subscribe();
    for caller_hangs_up in [true, false] {
        let caller = Caller::dial(&kamailio, &party.uri()).start().await;
        let id = next_call(&mut events).await;
        party.wait_ringing().await;
        wait_one(&adapter, RINGING).await;
        party.answer();
        caller.wait_answered().await;
        wait_one(&adapter, CallState::Connected).await;
        if caller_hangs_up {
            caller.hang_up();
        } else {
            party.hang_up();
        }
        let changes = changes_of(&mut all, id).await;
        assert_eq!(
            states(&changes),
            [DIALING, RINGING, CallState::Connected, OVER]
        );
        assert!(changes.iter().all(|change| !change.jumped));
        let pairs = changes.windows(2);
        assert!(pairs.into_iter().all(|pair| pair[0].to == pair[1].from));
        let record = changes.last().unwrap().record.clone().unwrap();
        assert_eq!(record.disposition, Disposition::Answered);
        assert_eq!(record.causes.sip_status, None);
        // The events of its end are of one call.
        until("the first stream is there, too", LIMIT, async || {
            adapter.snapshot().calls.is_empty().then_some(())
        })
        .await;
        changes_of(&mut events, id).await;
        caller.wait_over().await;
    }
    assert_eq!(history(&adapter).await.len(), 2);
}

/// How calls that are not answered go, each from another number.
struct Unanswered {
    _parties: Vec<Party>,
    _silent: Agent,
    _callers: Vec<Caller>,
}

/// Number, status of the end, disposition, and whether it rang.
const OUTCOMES: [(&str, u16, Disposition, bool); 7] = [
    ("15551230010", 486, Disposition::Busy, false),
    ("15551230011", 404, Disposition::Failed, false),
    ("15551230012", 404, Disposition::Failed, false),
    ("15551230013", 408, Disposition::NoAnswer, true),
    ("15551230014", 408, Disposition::NoAnswer, false),
    ("15551230015", 487, Disposition::Cancelled, true),
    ("15551230016", 603, Disposition::Failed, false),
];

impl Unanswered {
    /// Makes all calls at once; Kamailio rings for 3 s.
    async fn make(kamailio: &Kamailio) -> Self {
        let busy = Party::refuses(486).start(kamailio).await;
        let missing = Party::refuses(404).start(kamailio).await;
        let rings = Party::rings().start(kamailio).await;
        let declines = Party::refuses(603).start(kamailio).await;
        let silent = Agent::start(kamailio, Manner::IsSilent).await;
        let targets = [
            busy.uri(),
            missing.uri(),
            // The script itself refuses.
            kamailio.uri_of("nobody"),
            rings.uri(),
            silent.uri(),
            rings.uri(),
            declines.uri(),
        ];
        let mut callers = Vec::new();
        for ((number, status, ..), target) in OUTCOMES.into_iter().zip(targets) {
            let caller = Caller::dial(kamailio, &target).from("Alice", number);
            let caller = caller.start().await;
            if status == 487 {
                caller.wait_ringing().await;
                tokio::time::sleep(Duration::from_millis(500)).await;
                caller.give_up();
            }
            callers.push(caller);
        }
        for (caller, (_, status, ..)) in callers.iter().zip(OUTCOMES) {
            assert_eq!(caller.final_status().await, status);
        }
        Self {
            _parties: vec![busy, missing, rings, declines],
            _silent: silent,
            _callers: callers,
        }
    }
}

/// The record of the call from a number, by the id that it had.
fn of<'a>(records: &'a [CallRecord], number: &str) -> &'a CallRecord {
    let prefix = format!("sip:{number}@");
    let mut found = records.iter().filter(|record| {
        let from = record.from.as_ref().unwrap();
        from.expose().starts_with(&prefix)
    });
    let record = found
        .next()
        .unwrap_or_else(|| panic!("no call of {number}"));
    assert!(found.next().is_none(), "two calls of {number}");
    record
}

async fn events_tell_why_a_call_was_not_answered(version: Version) {
    let kamailio = Kamailio::start(version, &["ring=3"]).await;
    let adapter = kamailio.adapter().await;
    let mut events = adapter.subscribe();
    let _calls = Unanswered::make(&kamailio).await;
    wait_none(&adapter).await;
    let mut changes: Vec<CallStateChanged> = Vec::new();
    while changes.iter().filter(|change| change.to == OVER).count() < OUTCOMES.len() {
        let change = crate::watch::next(&mut events, "a call changes", |event| match event {
            SipEvent::CallStateChanged(change) => Some(change.clone()),
            _ => None,
        });
        changes.push(change.await);
    }
    let records = history(&adapter).await;
    assert_eq!(records.len(), OUTCOMES.len());
    for (number, status, disposition, rang) in OUTCOMES {
        let record = of(&records, number);
        assert_eq!(record.disposition, disposition, "{number}: {record:?}");
        assert_eq!(record.causes.sip_status, Some(status), "{number}");
        assert_eq!((record.answer, record.billable_seconds), (None, Some(0)));
        let mut own = changes.clone();
        own.retain(|change| change.id == record.id);
        let wanted: &[CallState] = if rang {
            &[DIALING, RINGING, OVER]
        } else {
            &[DIALING, OVER]
        };
        assert_eq!(states(&own), wanted, "{number}");
    }
}

/// The script has a failure route of its own, which calls a second phone.
async fn a_destination_that_fails_is_not_the_end_of_a_call(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let adapter = kamailio.adapter().await;
    let busy = Party::refuses(486).start(&kamailio).await;
    let other = Party::answers().start(&kamailio).await;
    for (user, phone) in [("first", &busy), ("second", &other)] {
        assert_eq!(register(&kamailio, user, phone.port(), 60).await, 200);
    }
    let mut events = adapter.subscribe();
    let spare = kamailio.uri_of("spare");
    let caller = Caller::dial(&kamailio, &spare).start().await;
    let id = next_call(&mut events).await;
    wait_one(&adapter, CallState::Connected).await;
    assert_eq!(busy.invites().len(), 1);
    caller.hang_up();
    let changes = changes_of(&mut events, id).await;
    let record = changes.last().unwrap().record.clone().unwrap();
    assert_eq!(record.disposition, Disposition::Answered);
    assert_eq!(record.causes.sip_status, None);
    assert_eq!(only_record(&adapter).await.id, Some(id));
}

async fn polling_alone_invents_no_cause(version: Version) {
    let kamailio = Kamailio::start(version, &["ring=3"]).await;
    let adapter = connected(kamailio.polling()).await;
    let _calls = Unanswered::make(&kamailio).await;
    until("all calls were seen", LIMIT, async || {
        (history(&adapter).await.len() == OUTCOMES.len()).then_some(())
    })
    .await;
    wait_none(&adapter).await;
    // As long as dialogs that are over stay in the list.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let records = history(&adapter).await;
    assert_eq!(records.len(), OUTCOMES.len());
    for (number, ..) in OUTCOMES {
        let record = of(&records, number);
        assert_eq!(record.disposition, Disposition::Unknown, "{number}");
        assert!(record.causes.is_empty(), "{number}: {record:?}");
        assert_eq!(record.answer, None);
    }
}

async fn a_call_to_a_registered_user_is_one_call(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let adapter = kamailio.adapter().await;
    let party = Party::answers().start(&kamailio).await;
    let status = register(&kamailio, "bob", party.port(), 60).await;
    assert_eq!(status, 200);
    let caller = Caller::call(&kamailio, "bob").start().await;
    wait_one(&adapter, CallState::Connected).await;
    caller.hang_up();
    caller.wait_over().await;
    wait_none(&adapter).await;
    let record = only_record(&adapter).await;
    assert_eq!(record.to.unwrap().expose(), &kamailio.uri_of("bob"));
}
