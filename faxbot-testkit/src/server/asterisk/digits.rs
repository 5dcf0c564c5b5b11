//! Digits: what the far end presses, and what is sent to it (recording `05_dtmf`).

use std::time::Duration;

use super::{
    MockAsterisk,
    application::{Done, Here},
    call::pause,
    world::World,
};

/// Shortest digit (`AST_DEFAULT_EMULATE_DTMF_DURATION` in `main/channel.c`).
pub(super) const SHORTEST: Duration = Duration::from_millis(100);

/// Between two digits, unless the application says otherwise (`apps/app_senddtmf.c`).
const GAP: Duration = Duration::from_millis(250);

/// Longest text of digits that is kept for a channel.
const MAX_KEPT: usize = 4096;

const fn is_digit(c: char) -> bool {
    matches!(c, '0'..='9' | '*' | '#' | 'A'..='D' | 'a'..='d')
}

impl MockAsterisk {
    /// The far end of a channel presses these digits, one after the other. False when there is no
    /// such channel.
    pub fn far_end_presses(&self, id: &str, digits: &str) -> bool {
        self.world().change(|state| {
            if state.channel(id).is_none() {
                return false;
            }
            // In a bridge of two the other channel tells of each digit again.
            let bridge = state.channel(id).and_then(|c| c.bridge.clone());
            let two = bridge.filter(|id| state.bridges.get(id).is_some_and(|b| b.room.is_none()));
            let mut all = vec![(id.to_owned(), "Received")];
            let others = two.map_or_else(Vec::new, |bridge| state.members(&bridge));
            let others = others.into_iter().filter(|other| other != id);
            all.extend(others.map(|other| (other, "Sent")));
            for digit in digits.chars().filter(|c| is_digit(*c)) {
                let digit = digit.to_string();
                for (id, direction) in &all {
                    let begin = [("Digit", digit.as_str()), ("Direction", direction)];
                    state.channel_event("DTMFBegin", "dtmf", id, &begin);
                }
                for (id, direction) in &all {
                    let end = [
                        ("Digit", digit.as_str()),
                        ("DurationMs", "200"),
                        ("Direction", direction),
                    ];
                    state.channel_event("DTMFEnd", "dtmf", id, &end);
                }
            }
            true
        })
    }
}

/// One digit reaches the far end. What is no digit is dropped on the way.
pub(super) fn sent(world: &World, id: &str, digit: char) {
    if !is_digit(digit) {
        return;
    }
    world.change(|state| {
        if state.channel(id).is_none() {
            return;
        }
        if let Some(text) = state.digits.entry(id)
            && text.len() < MAX_KEPT
        {
            text.push(digit.to_ascii_uppercase());
        }
    });
}

/// The application `SendDTMF(digits,gap,length,channel)`: sends to another channel than its own
/// when one is named. No event tells of digits that are sent.
pub(super) async fn send(here: &mut Here<'_>, data: &str) -> Done {
    let (world, id) = (here.world, here.id);
    let mut parts = data.split(',');
    let digits = parts.next().unwrap_or_default();
    let mut time = |usual: Duration| {
        let text = parts.next().unwrap_or_default().trim();
        text.parse()
            .ok()
            .filter(|millis| *millis > 0)
            .map_or(usual, Duration::from_millis)
    };
    let (gap, length) = (time(GAP), time(SHORTEST).max(SHORTEST));
    let target = match parts.next().filter(|name| !name.is_empty()) {
        Some(name) => world.lock().find(name).map(|channel| channel.id.clone()),
        None => Some(id.to_owned()),
    };
    // Nothing tells of a channel that is not there.
    let Some(target) = target else {
        return Done::Next;
    };
    for digit in digits.chars() {
        let wait = match digit {
            'w' => Duration::from_millis(500),
            'W' => Duration::from_secs(1),
            _ => {
                sent(world, &target, digit);
                length + gap
            }
        };
        if let Some(stop) = pause(here.signal, wait).await {
            return Done::Stopped(stop);
        }
        if world.lock().channel(&target).is_none() {
            break;
        }
    }
    Done::Next
}
