//! The audio of a party: RTP with G.711 mu-law and the digits of RFC 4733, in and out.
//!
//! sipp does the SIP and names this port in its session description.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{net::UdpSocket, task::JoinHandle, time::MissedTickBehavior};

use super::{LIMIT, until};

/// What a party says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Sound {
    /// Nothing at all.
    #[default]
    Nothing,
    /// What it hears.
    Echo,
    /// A tone of so many hertz.
    Tone(u16),
}

/// Samples in a packet of 20 ms at 8,000 a second.
const SAMPLES: u32 = 160;
const VOICE: u8 = 0;
const DIGIT: u8 = 101;
const DIGITS: &str = "0123456789*#ABCD";
/// Packets of one digit, and the pause behind it, 20 ms each.
const DIGIT_PACKETS: u8 = 8;
const PAUSE_PACKETS: u8 = 5;
/// What was heard is kept for half a second.
const HEARD: usize = 4000;
const WINDOW: f64 = 400.0;
/// Two tones at once have half of the power each.
const LOUD: f64 = 0.4;

#[derive(Debug, Default)]
struct State {
    target: Option<SocketAddr>,
    sound: Sound,
    to_send: VecDeque<u8>,
    digits: String,
    last_digit: Option<u32>,
    heard: VecDeque<i16>,
    packets: u64,
    last: Option<Instant>,
}

/// The audio port of a party.
#[derive(Debug)]
pub(crate) struct Media {
    port: u16,
    state: Arc<Mutex<State>>,
    tasks: [JoinHandle<()>; 2],
}

impl Media {
    pub(crate) async fn new(sound: Sound) -> Self {
        let socket = Arc::new(UdpSocket::bind(("127.0.0.1", 0)).await.unwrap());
        let state = Arc::new(Mutex::new(State {
            sound,
            ..State::default()
        }));
        Self {
            port: socket.local_addr().unwrap().port(),
            tasks: [
                tokio::spawn(hear(Arc::clone(&socket), Arc::clone(&state))),
                tokio::spawn(speak(socket, Arc::clone(&state))),
            ],
            state,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where what is said goes.
    pub(crate) fn send_to(&self, target: Option<SocketAddr>) {
        self.state.lock().unwrap().target = target;
    }

    /// Changes what is said.
    pub(crate) fn say(&self, sound: Sound) {
        self.state.lock().unwrap().sound = sound;
    }

    /// Sends digits, 120 ms each (RFC 4733 section 2.5), and returns when the last one is out.
    pub(crate) async fn send_digits(&self, digits: &str) {
        for digit in digits.chars() {
            let code = DIGITS.find(digit).expect("a digit of DTMF");
            let code = u8::try_from(code).unwrap();
            self.state.lock().unwrap().to_send.push_back(code);
        }
        until("the digits are sent", LIMIT, async || {
            self.state.lock().unwrap().to_send.is_empty().then_some(())
        })
        .await;
    }

    /// The digits of RFC 4733 that came in.
    pub(crate) fn digits(&self) -> String {
        self.state.lock().unwrap().digits.clone()
    }

    /// How many packets of audio came in.
    pub(crate) fn packets(&self) -> u64 {
        self.state.lock().unwrap().packets
    }

    /// Whether the last half second that was heard, which has to be just now, has this
    /// tone in it. Tones that are told apart are 50 Hz apart.
    pub(crate) fn hears(&self, hertz: u16) -> bool {
        let state = self.state.lock().unwrap();
        let now = state
            .last
            .is_some_and(|last| last.elapsed() < Duration::from_millis(200));
        now && state.heard.len() == HEARD && share(state.heard.iter().copied(), hertz) > LOUD
    }

    /// Forgets the sound and the digits so far.
    pub(crate) fn forget(&self) {
        let mut state = self.state.lock().unwrap();
        state.heard.clear();
        state.digits.clear();
    }

    pub(crate) async fn wait_hears(&self, hertz: u16) {
        let what = format!("the party hears {hertz} Hz");
        until(&what, LIMIT, async || self.hears(hertz).then_some(())).await;
    }

    pub(crate) async fn wait_digits(&self, digits: &str) {
        let what = format!("the party gets the digits {digits}");
        until(&what, LIMIT, async || {
            (self.digits() == digits).then_some(())
        })
        .await;
    }

    /// Waits until for half a second nothing came in but silence, or no packet at all.
    pub(crate) async fn wait_silence(&self) {
        until("the party hears nothing", LIMIT, async || {
            let state = self.state.lock().unwrap();
            let no_packet = state
                .last
                .is_none_or(|last| last.elapsed() > Duration::from_millis(500));
            let quiet = state.heard.len() == HEARD && state.heard.iter().all(|it| it.abs() < 200);
            (no_packet || quiet).then_some(())
        })
        .await;
    }
}

impl Drop for Media {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn hear(socket: Arc<UdpSocket>, state: Arc<Mutex<State>>) {
    let mut packet = [0; 2048];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut packet).await else {
            continue;
        };
        // Twelve bytes, no contributing sources (RFC 3550 section 5.1).
        if length < 16 {
            continue;
        }
        let payload = &packet[12..length];
        let echo = {
            let mut state = state.lock().unwrap();
            match packet[1] & 0x7f {
                VOICE => {
                    state.packets += 1;
                    state.last = Some(Instant::now());
                    state.heard.extend(payload.iter().map(|byte| linear(*byte)));
                    let old = state.heard.len().saturating_sub(HEARD);
                    state.heard.drain(..old);
                }
                DIGIT => {
                    // All packets of one digit have its time.
                    let time = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
                    let digit = DIGITS.chars().nth(payload[0].into());
                    if state.last_digit != Some(time)
                        && let Some(digit) = digit
                    {
                        state.last_digit = Some(time);
                        state.digits.push(digit);
                    }
                }
                _ => {}
            }
            state.sound == Sound::Echo
        };
        if echo {
            let _ = socket.send_to(&packet[..length], from).await;
        }
    }
}

async fn speak(socket: Arc<UdpSocket>, state: Arc<Mutex<State>>) {
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut sequence, mut time, mut step) = (0_u16, 0_u32, 0_u8);
    loop {
        tick.tick().await;
        let (packet, target) = {
            let mut state = state.lock().unwrap();
            let packet = if let Some(code) = state.to_send.front().copied() {
                step += 1;
                if step == DIGIT_PACKETS + PAUSE_PACKETS {
                    step = 0;
                    state.to_send.pop_front();
                    time = time.wrapping_add(SAMPLES * u32::from(DIGIT_PACKETS + PAUSE_PACKETS));
                }
                (1..=DIGIT_PACKETS).contains(&step).then(|| {
                    // The marker bit stands in the first packet, the end bit in the last three.
                    let end = if step > DIGIT_PACKETS - 3 { 0x80 } else { 0 };
                    let length = (u16::from(step.min(DIGIT_PACKETS - 2)) * 160).to_be_bytes();
                    let first = if step == 1 { 0x80 } else { 0 };
                    let payload = [code, end | 10, length[0], length[1]];
                    rtp(DIGIT | first, sequence, time, &payload)
                })
            } else if let Sound::Tone(hertz) = state.sound {
                let start = time;
                time = time.wrapping_add(SAMPLES);
                let payload: Vec<_> = (0..SAMPLES).map(|it| tone(hertz, start + it)).collect();
                Some(rtp(VOICE, sequence, start, &payload))
            } else {
                None
            };
            (packet, state.target)
        };
        if let (Some(packet), Some(target)) = (packet, target) {
            sequence = sequence.wrapping_add(1);
            let _ = socket.send_to(&packet, target).await;
        }
    }
}

fn rtp(kind: u8, sequence: u16, time: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, kind];
    packet.extend(sequence.to_be_bytes());
    packet.extend(time.to_be_bytes());
    packet.extend(0x00fa_4b07_u32.to_be_bytes());
    packet.extend(payload);
    packet
}

/// How much of the power is this tone, 0 to 1 (Goertzel's algorithm).
///
/// In windows of 50 ms, because a late packet shifts what follows it, and the parts before and
/// after would cancel each other out.
fn share(samples: impl IntoIterator<Item = i16>, hertz: u16) -> f64 {
    let coefficient = 2.0 * (std::f64::consts::TAU * f64::from(hertz) / 8000.0).cos();
    let (mut one, mut two, mut count) = (0.0, 0.0, 0.0);
    let (mut tone, mut power) = (0.0, 0.0);
    for sample in samples {
        let sample = f64::from(sample);
        power += sample * sample;
        (one, two) = (sample + coefficient * one - two, one);
        count += 1.0;
        if count == WINDOW {
            tone += 2.0 * (one * one + two * two - coefficient * one * two) / WINDOW;
            (one, two, count) = (0.0, 0.0, 0.0);
        }
    }
    // Next to silence any rounding is a tone.
    if power < 1e6 { 0.0 } else { tone / power }
}

fn tone(hertz: u16, sample: u32) -> u8 {
    let angle = std::f64::consts::TAU * f64::from(hertz) * f64::from(sample % 8000) / 8000.0;
    #[allow(clippy::cast_possible_truncation, reason = "within 8,000")]
    mu_law((8000.0 * angle.sin()) as i16)
}

/// ITU-T G.711, mu-law.
fn mu_law(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let level = sample.unsigned_abs().min(32_635) + 132;
    let exponent = 8 - u16::try_from(level.leading_zeros()).unwrap();
    let mantissa = (level >> (exponent + 3)) & 0x0f;
    !u8::try_from(sign | (exponent << 4) | mantissa).unwrap()
}

/// Back from ITU-T G.711, mu-law.
pub(crate) fn linear(byte: u8) -> i16 {
    let byte = !byte;
    let exponent = (byte >> 4) & 7;
    let level = (((i16::from(byte & 0x0f) << 3) + 132) << exponent) - 132;
    if byte & 0x80 == 0 { level } else { -level }
}

/// How much of a recording of 16-bit samples at 8,000 a second is a tone, 0 to 1, at its loudest
/// half second.
pub(crate) fn loudest_share(samples: &[i16], hertz: u16) -> f64 {
    samples
        .chunks_exact(HEARD)
        .map(|part| share(part.iter().copied(), hertz))
        .fold(0.0, f64::max)
}
