//! Conferences on FreeSWITCH beside what the suite covers: who is put in with whom, what others do,
//! what a gap hides.
#![cfg(test)]
#![cfg(feature = "freeswitch")]

use std::{sync::Arc, time::Duration};

use faxbot_core::{
    ErrorKind, Result,
    clock::TokioClock,
    sip::{
        Call, CallRequest, CallState, ConferenceAction, ConferenceRequest, Disposition,
        SipAdapter as _,
    },
};
use faxbot_sip::{
    adapter::freeswitch::{FreeswitchAdapter, FreeswitchConfig},
    driver::Connect,
};
use faxbot_testkit::server::{CallScript, Timings, freeswitch::MockFreeSwitch};

const ROOM: &str = "standup";

struct Rig {
    mock: MockFreeSwitch,
    adapter: FreeswitchAdapter,
}

impl Rig {
    async fn new() -> Self {
        let builder = MockFreeSwitch::builder().timings(Timings::quick());
        let mock = builder.in_memory().start().await.unwrap();
        let adapter = adapter(&mock);
        adapter.connect().await.unwrap();
        mock.on_dial(".*", CallScript::answer());
        Self { mock, adapter }
    }

    async fn answered(&self) -> Call {
        let request = CallRequest::dial("+493012345678".parse().unwrap());
        let call = self.adapter.make_call(request).await.unwrap();
        call.answered().await.unwrap();
        call
    }

    async fn act(&self, action: ConferenceAction) -> Result<()> {
        let request = ConferenceRequest::new(ROOM, action);
        self.adapter.conference(request).await
    }

    async fn joined(&self) -> Call {
        let call = self.answered().await;
        let join = ConferenceAction::Join(call.call_ref());
        self.act(join).await.unwrap();
        call
    }

    async fn members(&self, wanted: usize) {
        let members = || {
            let all = self.adapter.snapshot().conferences;
            let ours = all.iter().find(|(name, _)| name.expose() == ROOM);
            ours.map_or(0, |(_, members)| *members)
        };
        eventually(|| members() == wanted).await;
    }

    /// What an operator orders at the server.
    async fn operator(&self, command: &str) {
        let before = self.mock.actions_named("conference").len();
        let mut io = self.mock.connect_duplex();
        use tokio::io::AsyncWriteExt as _;
        let text = format!("auth ClueCon\n\napi conference {command}\n\n");
        io.write_all(text.as_bytes()).await.unwrap();
        eventually(|| self.mock.actions_named("conference").len() > before).await;
    }
}

fn adapter(mock: &MockFreeSwitch) -> FreeswitchAdapter {
    let url = "esl://:ClueCon@pbx.example?dial=sofia/gateway/trunk/{number}";
    let config = FreeswitchConfig::from_url(url).unwrap();
    FreeswitchAdapter::with_clock(config, TokioClock::shared())
        .with_connector(Arc::new(mock.connector()) as Arc<dyn Connect>)
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
async fn both_parties_of_a_call_join() {
    let rig = Rig::new().await;
    let request = CallRequest::connect("100".parse().unwrap(), "200".parse().unwrap());
    let call = rig.adapter.make_call(request).await.unwrap();
    call.answered().await.unwrap();
    rig.act(ConferenceAction::Join(call.call_ref()))
        .await
        .unwrap();
    rig.members(2).await;
    rig.act(ConferenceAction::End).await.unwrap();
    let record = call.ended().await.unwrap();
    assert_eq!(record.disposition, Disposition::Answered);
    rig.members(0).await;
    eventually(|| rig.mock.channels().is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn who_is_sent_away_by_an_operator_is_gone_and_does_not_wait_in_park() {
    let rig = Rig::new().await;
    let call = rig.joined().await;
    rig.operator(&format!("{ROOM} kick all")).await;
    let record = call.ended().await.unwrap();
    assert_eq!(record.disposition, Disposition::Answered);
    assert!(rig.mock.channels().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_conference_that_was_locked_by_others_takes_nobody_and_the_call_stays_up() {
    let rig = Rig::new().await;
    let _in = rig.joined().await;
    rig.operator(&format!("{ROOM} lock")).await;
    let call = rig.answered().await;
    let refused = rig.act(ConferenceAction::Join(call.call_ref())).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Rejected);
    assert_eq!(call.state(), CallState::Connected);
    // And another order may move it.
    rig.operator(&format!("{ROOM} unlock")).await;
    rig.act(ConferenceAction::Join(call.call_ref()))
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_new_process_sees_who_confers() {
    let rig = Rig::new().await;
    let _one = rig.joined().await;
    let _two = rig.joined().await;
    rig.members(2).await;
    let other = adapter(&rig.mock);
    other.connect().await.unwrap();
    let seen = other.snapshot().conferences;
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].0.expose().as_str(), seen[0].1), (ROOM, 2));
}

#[tokio::test(start_paused = true)]
async fn a_conference_is_recorded_once_and_stopped_once() {
    let rig = Rig::new().await;
    let _call = rig.joined().await;
    rig.act(ConferenceAction::Record(true)).await.unwrap();
    let again = rig.act(ConferenceAction::Record(true)).await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::InvalidState);
    rig.act(ConferenceAction::Record(false)).await.unwrap();
    let again = rig.act(ConferenceAction::Record(false)).await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::InvalidState);
}
