//! The codec for `tokio_util::codec::Framed`.

use std::io;

use bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};

use super::{
    action::Action,
    codec::{AmiCodec, DecodeError},
    message::Message,
};
use crate::protocol::session::Codec;

/// What ends a `Framed` connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FramedError {
    /// The transport failed.
    #[error("transport failed")]
    Io(#[from] io::Error),
    /// The bytes are no message.
    #[error("no message of the manager interface")]
    Decode(#[from] DecodeError),
}

impl Decoder for AmiCodec {
    type Item = Message;
    type Error = FramedError;

    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Message>, FramedError> {
        Ok(Codec::decode(self, input)?)
    }
}

impl Encoder<Message> for AmiCodec {
    type Error = FramedError;

    fn encode(&mut self, message: Message, output: &mut BytesMut) -> Result<(), FramedError> {
        Self::encode_message(&message, output);
        Ok(())
    }
}

impl Encoder<Action> for AmiCodec {
    type Error = FramedError;

    fn encode(&mut self, action: Action, output: &mut BytesMut) -> Result<(), FramedError> {
        Self::encode_action(&action, output);
        Ok(())
    }
}
