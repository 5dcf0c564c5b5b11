//! Signatures of webhooks as data: which bytes are signed, how, and where the signature is.
//!
//! A scheme is a constant. Those of three vendors show what it can say; each provider owns its own:
//!
//! ```
//! use faxbot_core::webhook::{HmacHash, HmacScheme, MessagePart, SignatureEncoding};
//!
//! /// Phaxio (phaxio-ruby, lib/phaxio/resources/webhook.rb).
//! const PHAXIO: HmacScheme = HmacScheme::new(
//!     HmacHash::Sha1,
//!     SignatureEncoding::Hex,
//!     "x-phaxio-signature",
//!     &[MessagePart::Url, MessagePart::FormFields, MessagePart::FormFileDigests],
//! );
//!
//! /// Sinch SMS (sinch-sdk-node, packages/sdk-client/src/utils/authorization.helper.ts).
//! const SINCH: HmacScheme = HmacScheme::new(
//!     HmacHash::Sha256,
//!     SignatureEncoding::Base64,
//!     "x-sinch-webhook-signature",
//!     &[
//!         MessagePart::Body,
//!         MessagePart::Text("."),
//!         MessagePart::Header("x-sinch-webhook-signature-nonce"),
//!         MessagePart::Text("."),
//!         MessagePart::Header("x-sinch-webhook-signature-timestamp"),
//!     ],
//! );
//!
//! /// Twilio (twilio-php, src/Twilio/Security/RequestValidator.php).
//! const TWILIO: HmacScheme = HmacScheme::new(
//!     HmacHash::Sha1,
//!     SignatureEncoding::Base64,
//!     "x-twilio-signature",
//!     &[MessagePart::Url, MessagePart::DistinctFormFields],
//! );
//! ```

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::{Digest, Sha1};
use sha2::Sha256;

use crate::{
    Secret, Timestamp,
    webhook::{Form, WebhookRequest},
};

/// The hash of an HMAC (RFC 2104).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HmacHash {
    /// HMAC-SHA1.
    Sha1,
    /// HMAC-SHA256.
    Sha256,
}

/// How a signature is written in its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignatureEncoding {
    /// Hexadecimal; written in lower case, read in any.
    Hex,
    /// Base64 with the standard alphabet and padding.
    Base64,
}

/// One part of the message that is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MessagePart {
    /// The body, as it came.
    Body,
    /// The public URL that the vendor was given, with its query.
    Url,
    /// The value of a header, which must be there exactly once.
    Header(&'static str),
    /// This text.
    Text(&'static str),
    /// Each field of the form that is no file, name and value without a separator, sorted by name
    /// and then by value.
    FormFields,
    /// As `FormFields`, where the same name and value count once however often they are given.
    DistinctFormFields,
    /// Each file of the form, sorted by the name of its part: that name, and the SHA-1 of the bytes
    /// in lower-case hexadecimal.
    FormFileDigests,
}

/// A way to sign webhooks with an HMAC.
///
/// A form's fields are signed without separators by the vendors that sign forms, so who holds one
/// signed request can cut the same bytes into other names and values. Believe only the fields that
/// the vendor is known to send, and refuse a form that has one of them twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HmacScheme {
    /// The hash.
    pub hash: HmacHash,
    /// How the signature is written.
    pub encoding: SignatureEncoding,
    /// The header that has the signature; names compare in any case.
    pub header: &'static str,
    /// What is signed, one after the other.
    pub message: &'static [MessagePart],
    /// What stands before the signature in its header, such as `sha256=`; empty.
    pub prefix: &'static str,
}

impl HmacScheme {
    /// A scheme without a prefix.
    pub const fn new(
        hash: HmacHash,
        encoding: SignatureEncoding,
        header: &'static str,
        message: &'static [MessagePart],
    ) -> Self {
        Self {
            hash,
            encoding,
            header,
            message,
            prefix: "",
        }
    }

    /// Sets what stands before the signature in its header.
    #[must_use]
    pub const fn with_prefix(mut self, prefix: &'static str) -> Self {
        self.prefix = prefix;
        self
    }

    /// Whether the request carries the signature of `secret`. `url` is the public URL that the
    /// vendor was given, never one that is put together from the request. Takes the same time
    /// wherever a wrong signature differs.
    ///
    /// False as well for an empty secret, for a signature or a signed header that is missing or
    /// given twice, and without a form where the scheme signs one.
    pub fn verify<U: AsRef<str> + ?Sized>(
        &self,
        secret: &Secret,
        request: &WebhookRequest,
        url: &U,
        form: Option<&Form>,
    ) -> bool {
        let Some(given) = request
            .header(self.header)
            .and_then(|value| value.strip_prefix(self.prefix))
            .and_then(|text| self.decode(text))
        else {
            return false;
        };
        let Some(message) = self.message(request, url.as_ref(), form) else {
            return false;
        };
        match self.hash {
            HmacHash::Sha1 => keyed::<Hmac<Sha1>>(secret, &message)
                .is_some_and(|mac| mac.verify_slice(&given).is_ok()),
            HmacHash::Sha256 => keyed::<Hmac<Sha256>>(secret, &message)
                .is_some_and(|mac| mac.verify_slice(&given).is_ok()),
        }
    }

    /// The value of the signature's header, as the vendor would write it; `None` where `verify`
    /// could only be false. For servers of tests.
    pub fn sign<U: AsRef<str> + ?Sized>(
        &self,
        secret: &Secret,
        request: &WebhookRequest,
        url: &U,
        form: Option<&Form>,
    ) -> Option<String> {
        let message = self.message(request, url.as_ref(), form)?;
        let tag = match self.hash {
            HmacHash::Sha1 => keyed::<Hmac<Sha1>>(secret, &message)?
                .finalize()
                .into_bytes()
                .to_vec(),
            HmacHash::Sha256 => keyed::<Hmac<Sha256>>(secret, &message)?
                .finalize()
                .into_bytes()
                .to_vec(),
        };
        let text = match self.encoding {
            SignatureEncoding::Hex => hex(&tag),
            SignatureEncoding::Base64 => STANDARD.encode(tag),
        };
        Some(format!("{}{text}", self.prefix))
    }

    fn decode(&self, text: &str) -> Option<Vec<u8>> {
        match self.encoding {
            SignatureEncoding::Hex => from_hex(text),
            SignatureEncoding::Base64 => STANDARD.decode(text).ok(),
        }
    }

    /// The pieces of the message, so that a big body is not copied.
    fn message<'a>(
        &self,
        request: &'a WebhookRequest,
        url: &'a str,
        form: Option<&'a Form>,
    ) -> Option<Vec<Piece<'a>>> {
        let mut message = Vec::new();
        for part in self.message {
            match *part {
                MessagePart::Body => message.push(Piece::Bytes(&request.body)),
                MessagePart::Url => message.push(Piece::Bytes(url.as_bytes())),
                MessagePart::Text(text) => message.push(Piece::Bytes(text.as_bytes())),
                MessagePart::Header(name) => {
                    message.push(Piece::Bytes(request.header(name)?.as_bytes()));
                }
                MessagePart::FormFields | MessagePart::DistinctFormFields => {
                    let mut fields: Vec<_> = form?.fields.iter().collect();
                    fields.sort();
                    if *part == MessagePart::DistinctFormFields {
                        fields.dedup();
                    }
                    for (name, value) in fields {
                        message.push(Piece::Bytes(name.as_bytes()));
                        message.push(Piece::Bytes(value.as_bytes()));
                    }
                }
                MessagePart::FormFileDigests => {
                    let mut files: Vec<_> = form?.files.iter().collect();
                    // Stable: parts of the same name stay in their order.
                    files.sort_by(|a, b| a.name.cmp(&b.name));
                    for file in files {
                        message.push(Piece::Bytes(file.name.as_bytes()));
                        message.push(Piece::Text(hex(&Sha1::digest(&file.bytes))));
                    }
                }
            }
        }
        Some(message)
    }
}

/// Whether `at` is at most `window` before or after `now`: the guard against old requests that are
/// sent again. Exactly `window` is fresh.
pub fn fresh(now: Timestamp, at: Timestamp, window: Duration) -> bool {
    // The one that is later in fact gives zero.
    now.duration_since(at).max(at.duration_since(now)) <= window
}

/// The HMAC-SHA256 of a text; `None` with an empty secret.
pub(super) fn hmac_sha256(secret: &Secret, text: &str) -> Option<Vec<u8>> {
    let mac = keyed::<Hmac<Sha256>>(secret, &[Piece::Bytes(text.as_bytes())])?;
    Some(mac.finalize().into_bytes().to_vec())
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether two texts are equal, in a time that depends on their lengths alone.
pub(super) fn equal(a: &[u8], b: &[u8]) -> bool {
    let differences = a
        .iter()
        .zip(b)
        .fold(0, |sum, (a, b)| std::hint::black_box(sum | (a ^ b)));
    a.len() == b.len() && differences == 0
}

enum Piece<'a> {
    Bytes(&'a [u8]),
    Text(String),
}

fn keyed<M: Mac + KeyInit>(secret: &Secret, message: &[Piece<'_>]) -> Option<M> {
    // Anybody can sign with no key.
    if secret.is_empty() {
        return None;
    }
    let mut mac = <M as KeyInit>::new_from_slice(secret.expose().as_bytes()).ok()?;
    for piece in message {
        match piece {
            Piece::Bytes(bytes) => mac.update(bytes),
            Piece::Text(text) => mac.update(text.as_bytes()),
        }
    }
    Some(mac)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|&[high, low]| Some(nibble(high)? << 4 | nibble(low)?))
        .collect()
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
