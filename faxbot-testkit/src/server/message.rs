//! Messages outside of calls.

/// A message that the mock was asked to send.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SentMessage {
    /// Where it goes, with the technology: `pjsip:alice`, `sip|internal/alice@host`.
    pub destination: String,
    /// The `To` header of the message, if it is another than the destination.
    pub to: Option<String>,
    /// The `From` header.
    pub from: String,
    /// The text, decoded.
    pub body: String,
    /// Headers of the message: `Variable` of Asterisk, those of `SEND_MESSAGE` of FreeSWITCH.
    pub headers: Vec<(String, String)>,
}

impl std::fmt::Debug for SentMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SentMessage")
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}
