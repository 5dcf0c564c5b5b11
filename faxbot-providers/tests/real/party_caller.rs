//! A phone that calls an instance, one that sends it a text message, and one that registers.

use std::{ops::Deref, time::Duration};

use super::{
    LIMIT, SipServer,
    party::{Line, Sound, milliseconds},
    party_media::Media,
    party_scenario::{self, Calling, Registering, Sending},
    party_sipp::{SipMessage, Sipp},
    until,
};

/// A call that is going to be made.
#[derive(Debug, Clone)]
pub(crate) struct CallerBuilder {
    calling: Calling,
    port: u16,
    sound: Sound,
    calls: u32,
}

impl CallerBuilder {
    /// Name and number of the caller; otherwise `Alice` and `15551230001`.
    pub(crate) fn from(mut self, name: &str, number: &str) -> Self {
        name.clone_into(&mut self.calling.name);
        number.clone_into(&mut self.calling.number);
        self
    }

    /// One more header of the INVITE.
    pub(crate) fn with_header(mut self, name: &str, value: &str) -> Self {
        let header = (name.to_owned(), value.to_owned());
        self.calling.headers.push(header);
        self
    }

    /// Gives up (CANCEL) when the other side said nothing new for so long, for instance after 180.
    pub(crate) fn gives_up_after(mut self, time: Duration) -> Self {
        self.calling.gives_up_after = Some(milliseconds(time));
        self
    }

    /// Hangs up after so long without a request from the other side.
    pub(crate) fn hangs_up_after(mut self, time: Duration) -> Self {
        self.calling.hangs_up_after = Some(milliseconds(time));
        self
    }

    /// Calls so many times, a hundred calls a second; then no tone is sent.
    pub(crate) fn calls(mut self, calls: u32) -> Self {
        self.calls = calls;
        self
    }

    /// Says something. Without it the caller is silent and sends no audio.
    pub(crate) fn says(mut self, sound: Sound) -> Self {
        self.sound = sound;
        self
    }

    /// Calls.
    pub(crate) async fn start(mut self) -> Caller {
        let media = Media::new(self.sound).await;
        self.calling.media = media.port();
        let scenario = party_scenario::calling(&self.calling);
        let calls = self.calls.to_string();
        let more = ["-m", &calls, "-l", &calls, "-r", "100"];
        let sipp = Sipp::start(&scenario, 0, self.port, &more).await;
        Caller(Line::new(sipp, media, self.calls == 1))
    }
}

/// A phone that calls an instance. Dropping it ends it without a word; when the test failed, its
/// messages are printed. What it can do in the call is on [`Line`].
#[derive(Debug)]
pub(crate) struct Caller(Line);

impl Caller {
    /// A call to an extension of the context `default`, or a user of a proxy.
    pub(crate) fn call(server: &impl SipServer, extension: &str) -> CallerBuilder {
        let uri = format!("sip:{extension}@127.0.0.1:{}", server.sip_port());
        Self::dial(server, &uri)
    }

    /// A call to any address, by way of a server.
    pub(crate) fn dial(server: &impl SipServer, uri: &str) -> CallerBuilder {
        CallerBuilder {
            calling: Calling {
                name: "Alice".to_owned(),
                number: "15551230001".to_owned(),
                to: uri.to_owned(),
                routed: server.is_proxy(),
                ..Calling::default()
            },
            port: server.sip_port(),
            sound: Sound::Nothing,
            calls: 1,
        }
    }

    /// Gives up a call that is not answered: a CANCEL, and `final_status` is 487.
    pub(crate) fn give_up(&self) {
        self.tell("give_up", "");
    }

    /// The final status of the INVITE, 200 when it was answered.
    pub(crate) async fn final_status(&self) -> u16 {
        until("the caller has its final status", LIMIT, async || {
            self.invite_status().filter(|status| *status >= 200)
        })
        .await
    }

    /// The final answer to the INVITE with its headers (`Reason`, `Contact`).
    pub(crate) async fn final_answer(&self) -> SipMessage {
        let status = self.final_status().await;
        let mut call = self.call().into_iter();
        call.find(|it| it.status() == Some(status) && it.cseq_method() == "INVITE")
            .unwrap()
    }
}

impl Deref for Caller {
    type Target = Line;

    fn deref(&self) -> &Line {
        &self.0
    }
}

/// Sends a SIP MESSAGE to a user of an instance and returns the status of its answer.
pub(crate) async fn send_message(server: &impl SipServer, from: &str, to: &str, body: &str) -> u16 {
    // sipp would take it for a keyword.
    assert!(!body.contains('['), "a body without brackets");
    let port = server.sip_port();
    let scenario = party_scenario::sending(&Sending {
        from: from.to_owned(),
        to: format!("sip:{to}@127.0.0.1:{port}"),
        headers: Vec::new(),
        body: body.to_owned(),
    });
    let sipp = Sipp::start(&scenario, 0, port, &["-m", "1"]).await;
    until("the message is answered", LIMIT, async || {
        sipp.messages().iter().find_map(SipMessage::status)
    })
    .await
}

/// Registers a phone on a port of this machine as a user, for so many seconds, and returns the status of
/// the answer. 0 seconds take the registration away.
pub(crate) async fn register(server: &impl SipServer, user: &str, phone: u16, seconds: u32) -> u16 {
    let port = server.sip_port();
    let scenario = party_scenario::registering(&Registering {
        user: user.to_owned(),
        server: format!("127.0.0.1:{port}"),
        phone,
        seconds,
    });
    let sipp = Sipp::start(&scenario, 0, port, &["-m", "1"]).await;
    until("the registration is answered", LIMIT, async || {
        sipp.messages().iter().find_map(SipMessage::status)
    })
    .await
}
