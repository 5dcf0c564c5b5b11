//! The other side of a call: a phone that is called, by sipp, with audio of its own.
//!
//! ```ignore
//! let asterisk = Asterisk::start(version, &[]).await;
//! let party = Party::answers().rings_for(SECOND).says(Sound::Tone(440)).start(&asterisk).await;
//! // dial party.uri() by the endpoint `out`, then:
//! let invite = party.wait_invite().await;
//! party.hold().await;
//! party.hang_up();
//! ```

use std::{collections::HashSet, net::SocketAddr, ops::Deref, sync::Arc, time::Duration};

use tokio::task::JoinHandle;

use super::{
    LIMIT, SipServer,
    party_scenario::{self, Called},
    party_sipp::{LOOK, Sipp},
    until,
};
pub(crate) use super::{
    party_media::{Media, Sound},
    party_sipp::SipMessage,
};

/// What a called party is going to do.
#[derive(Debug, Clone)]
pub(crate) struct PartyBuilder {
    called: Called,
    sound: Sound,
    port: u16,
    many: bool,
}

impl PartyBuilder {
    /// Rings so long, then answers.
    pub(crate) fn rings_for(mut self, time: Duration) -> Self {
        self.called.rings = true;
        self.called.answers_after = Some(milliseconds(time));
        self
    }

    /// Instead of 180 sends 183 with a session description; what it says is heard before the answer.
    pub(crate) fn early_media(mut self) -> Self {
        self.called.early_media = true;
        self
    }

    /// Hangs up after so long without a request from the other side.
    pub(crate) fn hangs_up_after(mut self, time: Duration) -> Self {
        self.called.hangs_up_after = Some(milliseconds(time));
        self
    }

    /// The status of [`Line::refuse`]; 603 without it.
    pub(crate) fn refuses_with(mut self, status: u16) -> Self {
        self.called.status = status;
        self
    }

    /// The status of the answer to a MESSAGE or OPTIONS outside of a call; 200 without it.
    pub(crate) fn answers_messages_with(mut self, status: u16) -> Self {
        self.called.message_status = status;
        self
    }

    /// Says something. Without it the party is silent and sends no audio.
    pub(crate) fn says(mut self, sound: Sound) -> Self {
        self.sound = sound;
        self
    }

    /// A port that was reserved by [`free_port`](super::party_sipp::free_port), for an instance
    /// whose `peer=` had to name it.
    pub(crate) fn on_port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// For hundreds of calls at once: no tone is sent, only an echo.
    pub(crate) fn many(mut self) -> Self {
        self.many = true;
        self
    }

    /// Starts it. It takes any number of calls, from this instance alone.
    pub(crate) async fn start(mut self, server: &impl SipServer) -> Party {
        let media = Media::new(self.sound).await;
        self.called.media = media.port();
        self.called.routed = server.is_proxy();
        let scenario = party_scenario::called(&self.called);
        let sipp = Sipp::start(&scenario, self.port, server.sip_port(), &[]).await;
        Party(Line::new(sipp, media, !self.many))
    }
}

/// A phone that is called. Dropping it ends it without a word; when the test failed, its messages
/// are printed. What it can do in a call is on [`Line`].
#[derive(Debug)]
pub(crate) struct Party(Line);

impl Party {
    fn build(called: Called) -> PartyBuilder {
        PartyBuilder {
            called: Called {
                status: if called.status == 0 {
                    603
                } else {
                    called.status
                },
                message_status: 200,
                ..called
            },
            sound: Sound::Nothing,
            port: 0,
            many: false,
        }
    }

    /// Answers at once, and stays until the other side hangs up.
    pub(crate) fn answers() -> PartyBuilder {
        Self::build(Called {
            answers_after: Some(0),
            ..Called::default()
        })
    }

    /// Rings until it is cancelled or told to answer or to refuse.
    pub(crate) fn rings() -> PartyBuilder {
        Self::build(Called {
            rings: true,
            ..Called::default()
        })
    }

    /// Refuses with a status from 300 to 699.
    pub(crate) fn refuses(status: u16) -> PartyBuilder {
        Self::build(Called {
            refuses: true,
            status,
            ..Called::default()
        })
    }

    /// `sip:party@127.0.0.1:PORT`, which the endpoint `out` calls: `PJSIP/out/{uri}`.
    pub(crate) fn uri(&self) -> String {
        format!("sip:party@127.0.0.1:{}", self.port())
    }

    /// The same with another user.
    pub(crate) fn uri_of(&self, user: &str) -> String {
        format!("sip:{user}@127.0.0.1:{}", self.port())
    }

    /// The INVITEs that opened calls, each once, in their order.
    pub(crate) fn invites(&self) -> Vec<SipMessage> {
        let mut invites: Vec<SipMessage> = Vec::new();
        for message in self.messages() {
            let known = |it: &SipMessage| it.call_id() == message.call_id();
            if message.received && message.opens_call() && !invites.iter().any(known) {
                invites.push(message);
            }
        }
        invites
    }

    /// Waits for the first call.
    pub(crate) async fn wait_invite(&self) -> SipMessage {
        self.wait_invites(1).await.remove(0)
    }

    /// Waits for so many calls.
    pub(crate) async fn wait_invites(&self, count: usize) -> Vec<SipMessage> {
        until("the party is called", LIMIT, async || {
            let invites = self.invites();
            (invites.len() >= count).then_some(invites)
        })
        .await
    }

    /// Waits for a MESSAGE outside of a call.
    pub(crate) async fn wait_message(&self) -> SipMessage {
        until("the party gets a message", LIMIT, async || {
            let mut messages = self.messages().into_iter();
            messages.find(|it| it.received && it.method() == Some("MESSAGE"))
        })
        .await
    }

    /// Answers the latest call of a party that rings.
    pub(crate) fn answer(&self) {
        self.tell("answer", "");
    }

    /// Refuses the latest call of a party that rings.
    pub(crate) fn refuse(&self) {
        self.tell("refuse", "");
    }
}

impl Deref for Party {
    type Target = Line;

    fn deref(&self) -> &Line {
        &self.0
    }
}

/// What both sides of a call can do. All of it is about the latest call of a party.
#[derive(Debug)]
pub(crate) struct Line {
    sipp: Arc<Sipp>,
    media: Arc<Media>,
    follower: Option<JoinHandle<()>>,
}

impl Line {
    pub(super) fn new(sipp: Sipp, media: Media, follow: bool) -> Self {
        let (sipp, media) = (Arc::new(sipp), Arc::new(media));
        let follower = follow.then(|| {
            let (sipp, media) = (Arc::clone(&sipp), Arc::clone(&media));
            tokio::spawn(async move {
                loop {
                    media.send_to(audio_target(&sipp.messages()));
                    tokio::time::sleep(LOOK).await;
                }
            })
        });
        Self {
            sipp,
            media,
            follower,
        }
    }

    /// The port of SIP.
    pub(crate) fn port(&self) -> u16 {
        self.sipp.port()
    }

    /// Sound and digits.
    pub(crate) fn media(&self) -> &Media {
        &self.media
    }

    /// All messages of all calls so far.
    pub(crate) fn messages(&self) -> Vec<SipMessage> {
        self.sipp.messages()
    }

    /// The messages of the latest call.
    pub(crate) fn call(&self) -> Vec<SipMessage> {
        let mut messages = self.messages();
        let id = messages.iter().rfind(|it| it.opens_call());
        let id = id.map(|it| it.call_id().to_owned()).unwrap_or_default();
        messages.retain(|it| it.call_id() == id);
        messages
    }

    pub(crate) fn is_ringing(&self) -> bool {
        self.invite_status()
            .is_some_and(|it| (180..200).contains(&it))
    }

    /// Whether the latest call is answered, the answer confirmed, and nobody hung up.
    pub(crate) fn is_answered(&self) -> bool {
        // Until its ACK a call cannot be told anything.
        let acked = self.call().iter().any(|it| it.method() == Some("ACK"));
        acked && self.invite_status() == Some(200) && !self.is_over()
    }

    /// Whether the latest call ended, in any way.
    pub(crate) fn is_over(&self) -> bool {
        let call = self.call();
        let bye = call.iter().any(|it| it.method() == Some("BYE"));
        let final_status = self.invite_status().unwrap_or_default();
        !call.is_empty() && (bye || final_status >= 300)
    }

    /// The BYE of the other side, if it was the one that hung up.
    pub(crate) fn bye(&self) -> Option<SipMessage> {
        let mut call = self.call().into_iter();
        call.find(|it| it.received && it.method() == Some("BYE"))
    }

    /// The CANCEL of the other side.
    pub(crate) fn cancel(&self) -> Option<SipMessage> {
        let mut call = self.call().into_iter();
        call.find(|it| it.received && it.method() == Some("CANCEL"))
    }

    /// The latest status of the call's first INVITE.
    pub(crate) fn invite_status(&self) -> Option<u16> {
        let call = self.call();
        let cseq = call.iter().find(|it| it.opens_call())?.header("CSeq");
        let mut answers = call.iter().filter(|it| it.header("CSeq") == cseq);
        answers.rfind(|it| it.status().is_some())?.status()
    }

    pub(crate) async fn wait_ringing(&self) {
        until("the call rings", LIMIT, async || {
            self.is_ringing().then_some(())
        })
        .await;
    }

    pub(crate) async fn wait_answered(&self) {
        until("the call is answered", LIMIT, async || {
            self.is_answered().then_some(())
        })
        .await;
    }

    pub(crate) async fn wait_over(&self) {
        until("the call of the party ends", LIMIT, async || {
            self.is_over().then_some(())
        })
        .await;
    }

    /// Hangs up a call that is answered.
    pub(crate) fn hang_up(&self) {
        self.tell("hang_up", "");
    }

    /// Hangs up every call that is answered, and waits until the other side confirmed all.
    pub(crate) async fn hang_up_all(&self) {
        until("all calls of the party end", LIMIT, async || {
            let messages = self.messages();
            let calls = |method: &str| {
                let found = messages.iter().filter(|it| it.cseq_method() == method);
                found.map(SipMessage::call_id).collect::<HashSet<_>>()
            };
            let (answered, over) = (calls("ACK"), calls("BYE"));
            let mut left = answered.difference(&over).peekable();
            if left.peek().is_none() {
                return Some(());
            }
            for id in left {
                self.sipp.tell(id, "X-Tell: hang_up\r\n");
            }
            // Hundreds of datagrams at once: one may get lost.
            tokio::time::sleep(Duration::from_millis(500)).await;
            None
        })
        .await;
    }

    /// Puts the other side on hold: a re-INVITE with `sendonly`.
    pub(crate) async fn hold(&self) {
        self.offer("hold").await;
    }

    /// Puts the other side on hold with `inactive`.
    pub(crate) async fn hold_inactive(&self) {
        self.offer("inactive").await;
    }

    /// Takes the other side back from hold.
    pub(crate) async fn resume(&self) {
        self.offer("resume").await;
    }

    /// Transfers the other side to an address, blind: a REFER. Returns the status that Asterisk
    /// reports at the end; for 200 the party hangs up, as a phone does (RFC 5589 section 6.1).
    pub(crate) async fn refer(&self, uri: &str) -> u16 {
        self.tell("refer", &format!("X-Refer: {uri}\r\n"));
        let status = until("the transfer is over", LIMIT, async || {
            let call = self.call();
            let mut reports = call
                .iter()
                .filter(|it| it.received && it.method() == Some("NOTIFY"));
            let last = reports.rfind(|it| {
                let state = it.header("Subscription-State");
                state.is_some_and(|it| it.starts_with("terminated"))
            })?;
            let status = last.body.strip_prefix("SIP/2.0 ")?.split(' ').next()?;
            status.parse().ok()
        })
        .await;
        if status == 200 && !self.is_over() {
            self.hang_up();
            self.wait_over().await;
        }
        status
    }

    /// Sends one digit as SIP INFO (`application/dtmf-relay`).
    pub(crate) async fn send_info_digit(&self, digit: char) {
        let before = self.answers_to("INFO");
        self.tell("info", &format!("X-Digit: {digit}\r\n"));
        until("the digit is accepted", LIMIT, async || {
            (self.answers_to("INFO") > before).then_some(())
        })
        .await;
    }

    fn answers_to(&self, method: &str) -> usize {
        let call = self.call();
        let answers = call
            .iter()
            .filter(|it| it.received && it.status().is_some());
        answers.filter(|it| it.cseq_method() == method).count()
    }

    pub(super) fn tell(&self, word: &str, more: &str) {
        let call = self.call();
        let call = call.first().expect("the party has a call");
        self.sipp
            .tell(call.call_id(), &format!("X-Tell: {word}\r\n{more}"));
    }

    async fn offer(&self, word: &str) {
        let accepted = || {
            let call = self.call();
            let sent = call.iter().filter(|it| !it.received);
            sent.filter(|it| it.method() == Some("ACK")).count()
        };
        let before = accepted();
        self.tell(word, "");
        until("the offer is accepted", LIMIT, async || {
            (accepted() > before).then_some(())
        })
        .await;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(follower) = &self.follower {
            follower.abort();
        }
    }
}

/// Where the audio of the latest call goes: to the address the other side named last, while both
/// have named one and nobody hung up.
fn audio_target(messages: &[SipMessage]) -> Option<SocketAddr> {
    let id = messages.iter().rfind(|it| it.opens_call())?.call_id();
    let mut call = messages.iter().filter(|it| it.call_id() == id);
    if call.clone().any(|it| it.method() == Some("BYE"))
        || !call.clone().any(|it| !it.received && it.media().is_some())
    {
        return None;
    }
    let named = call.rfind(|it| it.received && it.media().is_some())?;
    let (host, port) = named.media()?;
    Some(SocketAddr::new(host.parse().ok()?, port))
}

pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap()
}
