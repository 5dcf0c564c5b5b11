//! Calls that pass a real Kamailio 5.6 and 6.1: listed, looked up, ended.

use crate::{
    real::{LIMIT, party::Party, party_caller::Caller, until},
    server::{Kamailio, Version},
};
use faxbot_core::sip::{CallState, SipAdapter as _};

crate::on_both_kamailios!(a_call_of_others_is_listed);

async fn a_call_of_others_is_listed(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let adapter = kamailio.adapter().await;
    let party = Party::answers().start(&kamailio).await;
    let _caller = Caller::dial(&kamailio, &party.uri()).start().await;
    until("the call is listed as connected", LIMIT, async || {
        let calls = adapter.snapshot().calls;
        (calls.len() == 1 && calls[0].state == CallState::Connected).then_some(())
    })
    .await;
}
