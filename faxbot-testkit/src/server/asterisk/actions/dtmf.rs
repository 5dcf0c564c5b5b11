//! `PlayDTMF` (recordings `05_dtmf`, `02_errors`).

use std::time::Duration;

use super::given;
use crate::server::asterisk::{
    ReplyFault, SeenAction,
    connection::{Answer, error, success},
    digits::{self, SHORTEST},
    world::World,
};

/// Sends one digit. The session that asks is blocked while the digit lasts (observed on Asterisk 16.28 and 22.10).
pub(super) fn play(world: &World, action: &SeenAction) -> Answer {
    let found = world
        .lock()
        .find(action.get("Channel").unwrap_or_default())
        .map(|channel| channel.id.clone());
    let Some(id) = found else {
        return error(action, "Channel not found");
    };
    let Some(digit) = given(action, "Digit").and_then(|text| text.chars().next()) else {
        return error(action, "No digit specified");
    };
    let millis = match given(action, "Duration").map(str::parse::<u32>) {
        Some(Err(_)) => return error(action, "Could not convert Duration parameter"),
        Some(Ok(millis)) => millis,
        None => 0,
    };
    let mut answer = success(action, "DTMF successfully queued");
    let receive = given(action, "Receive").unwrap_or_default();
    if matches!(
        receive.to_ascii_lowercase().as_str(),
        "true" | "yes" | "on" | "1" | "y" | "t"
    ) {
        let (digit, millis) = (digit.to_string(), millis.to_string());
        let headers = [
            ("Digit", digit.as_str()),
            ("DurationMs", millis.as_str()),
            ("Direction", "Received"),
        ];
        world.change(|state| state.channel_event("DTMFEnd", "dtmf", &id, &headers));
        return answer;
    }
    digits::sent(world, &id, digit);
    let time = Duration::from_millis(u64::from(millis)).max(SHORTEST);
    answer.fault = Some(ReplyFault::Slow(time));
    answer
}
