//! A small AMI client on the codec, for the tests of the mock.
#![cfg(test)]
// Each test file uses its own part of it.
#![allow(dead_code, reason = "shared by several test programs")]

use std::time::Duration;

use bytes::BytesMut;
use faxbot_sip::protocol::{
    ami::{AmiCodec, Kind, MAX_MESSAGE, Message, Role},
    session::Codec,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

pub(crate) struct Client<IO> {
    io: IO,
    codec: AmiCodec,
    input: BytesMut,
    /// All messages but the banner, in their order.
    pub(crate) seen: Vec<Message>,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Client<IO> {
    pub(crate) fn over(io: IO) -> Self {
        Self {
            io,
            codec: AmiCodec::new(Role::Client, MAX_MESSAGE),
            input: BytesMut::new(),
            seen: Vec::new(),
        }
    }

    pub(crate) async fn login(io: IO) -> Self {
        let mut client = Self::over(io);
        assert!(client.try_login().await);
        client
    }

    pub(crate) async fn try_login(&mut self) -> bool {
        let login = b"Action: Login\r\nUsername: faxbot\r\nSecret: s3cret\r\nEvents: on\r\n\r\n";
        if self.io.write_all(login).await.is_err() {
            return false;
        }
        match self.read().await {
            Some(message) => message.response() == Some(b"Success"),
            None => false,
        }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.io.write_all(text.as_bytes()).await.unwrap();
    }

    pub(crate) async fn read(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = Codec::decode(&mut self.codec, &mut self.input).unwrap() {
                if message.kind() == Kind::Banner {
                    continue;
                }
                self.seen.push(message.clone());
                return Some(message);
            }
            if self.io.read_buf(&mut self.input).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    async fn until(&mut self, what: &str, mut want: impl FnMut(&Message) -> bool) -> Message {
        let look = async {
            loop {
                match self.read().await {
                    Some(message) if want(&message) => return message,
                    Some(_) => {}
                    None => panic!("the server left before {what}"),
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(600), look)
            .await
            .expect(what)
    }

    pub(crate) async fn until_event(&mut self, name: &str) -> Message {
        self.until(name, |message| message.is_event(name)).await
    }

    pub(crate) async fn until_response(&mut self) -> Message {
        self.until("a response", |message| message.kind() == Kind::Response)
            .await
    }

    pub(crate) async fn until_end(&mut self) {
        while self.read().await.is_some() {}
    }

    /// Sends headers without the blank line, and waits for the response.
    pub(crate) async fn ask(&mut self, headers: &str) -> Message {
        self.send(&format!("{headers}\r\n")).await;
        self.until_response().await
    }

    pub(crate) async fn originate(&mut self, channel: &str, headers: &str) {
        let action = format!("Action: Originate\r\nChannel: {channel}\r\nAsync: true\r\n{headers}");
        let response = self.ask(&action).await;
        assert_eq!(response.response(), Some(&b"Success"[..]));
    }

    pub(crate) async fn add_outcome_extension(&mut self) {
        for (priority, application, data) in [
            (
                1,
                "Set",
                "DB(faxbot/${CHANNEL(uniqueid)})=${FAXSTATUS}|${FAXERROR}|${FAXPAGES}|\
                 ${FAXBITRATE}|${REMOTESTATIONID}|${FAXSTATUSSTRING}",
            ),
            (2, "Return", ""),
        ] {
            let added = self
                .ask(&format!(
                    "Action: DialplanExtensionAdd\r\nContext: faxbot-outcome\r\nExtension: s\r\n\
                     Priority: {priority}\r\nApplication: {application}\r\n\
                     ApplicationData: {data}\r\nReplace: yes\r\n"
                ))
                .await;
            assert_eq!(
                added.get_str("Message").unwrap(),
                "Added requested extension"
            );
        }
    }
}
