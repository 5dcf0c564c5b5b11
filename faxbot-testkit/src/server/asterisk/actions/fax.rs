//! What res_fax answers while faxes run (recording `06_fax_t38_ok`).

use super::{given, item, list};
use crate::server::asterisk::{
    SeenAction,
    connection::{Answer, error, success},
    world::{FaxSession, State, World},
};

pub(super) fn fax_sessions(world: &World, action: &SeenAction) -> Answer {
    let state = world.lock();
    let items = state.fax.iter().map(|(number, session)| {
        item("FAXSessionsEntry", action)
            .header("Channel", channel_name(&state, session))
            .header("Technology", "Spandsp")
            .header("SessionNumber", number.to_string())
            .header("SessionType", if session.t38 { "T.38" } else { "G.711" })
            .header("Operation", operation(session))
            .header("State", "Active")
            .header("Files", &session.file)
    });
    list(
        action,
        // With a capital here (observed on Asterisk 16.28 and 22.10).
        ("Start", "FAXSessionsEntry event list will follow"),
        items.collect(),
        ("FAXSessionsComplete", &["Total"]),
    )
}

const fn operation(session: &FaxSession) -> &'static str {
    if session.receives { "receive" } else { "send" }
}

fn channel_name<'a>(state: &'a State, session: &FaxSession) -> &'a str {
    state
        .channel(&session.channel)
        .map_or("", |channel| channel.name.as_str())
}

pub(super) fn fax_session(world: &World, action: &SeenAction) -> Answer {
    let number = given(action, "SessionNumber").and_then(|text| text.parse::<u32>().ok());
    let state = world.lock();
    let Some((number, session)) = number.and_then(|n| state.fax.get_key_value(&n)) else {
        return error(action, "Session not found");
    };
    let (sent, received) = if session.receives {
        (0, session.transmitted)
    } else {
        (session.transmitted, 0)
    };
    let event = item("FAXSession", action)
        .header("SessionNumber", number.to_string())
        .header("Operation", operation(session))
        .header("State", "Active")
        .header(
            "ErrorCorrectionMode",
            if session.ecm { "Yes" } else { "No" },
        )
        .header("DataRate", session.rate.to_string())
        .header("ImageResolution", session.resolution)
        .header("PageNumber", session.page.to_string())
        .header("FileName", &session.file)
        .header("PagesTransmitted", sent.to_string())
        .header("PagesReceived", received.to_string())
        .header("TotalBadLines", session.bad_lines.to_string());
    let mut answer = success(action, "FAXSession event will follow");
    answer.messages.push(event);
    answer
}

pub(super) fn fax_stats(world: &World, action: &SeenAction) -> Answer {
    let state = world.lock();
    let counters = &state.fax_counters;
    let event = item("FAXStats", action)
        .header("CurrentSessions", state.fax.len().to_string())
        .header("ReservedSessions", "0")
        .header("TransmitAttempts", counters.attempts.to_string())
        .header("ReceiveAttempts", counters.receives.to_string())
        .header("CompletedFAXes", counters.completed.to_string())
        .header("FailedFAXes", counters.failed.to_string());
    let mut answer = success(action, "FAXStats event will follow");
    answer.messages.push(event);
    answer
}
