//! Forms in the body of a webhook: `multipart/form-data` (RFC 7578) and
//! `application/x-www-form-urlencoded`.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use http::header::CONTENT_TYPE;
use multer::{Constraints, Multipart, SizeLimit};
use url::form_urlencoded;

use crate::{Effect, Error, ErrorKind, Result, webhook::WebhookRequest};

/// A form, its parts in the order in which they came.
///
/// `Debug` shows counts and lengths only.
#[derive(Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Form {
    /// The parts that are text: name and value.
    pub fields: Vec<(String, String)>,
    /// The parts that are files.
    pub files: Vec<FormFile>,
}

/// A file of a form. Its names come from outside: they are no paths.
///
/// `Debug` shows its length only.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FormFile {
    /// The name of the part.
    pub name: String,
    /// What the sender calls the file.
    pub file_name: Option<String>,
    /// Its media type, as the sender says.
    pub content_type: Option<String>,
    /// The bytes.
    pub bytes: Bytes,
}

impl Form {
    /// Most parts of a form; vendors send about ten.
    pub const MAX_PARTS: usize = 256;
    /// Longest value of a part that is text, in bytes.
    pub const MAX_FIELD_BYTES: usize = 1024 * 1024;
    /// Longest form, in bytes.
    pub const MAX_BYTES: usize = 64 * 1024 * 1024;

    /// A form without parts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a part that is text.
    #[must_use]
    pub fn with_field(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// Adds a file.
    #[must_use]
    pub fn with_file(mut self, file: FormFile) -> Self {
        self.files.push(file);
        self
    }

    /// Reads the form in the body of a request.
    ///
    /// A part with a file name, or with a media type that is neither text nor JSON, is a file.
    ///
    /// # Errors
    /// `Protocol` for another media type, a form that is cut or damaged, a text that is not UTF-8,
    /// and more or longer parts than the limits.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn read(request: &WebhookRequest) -> Result<Self> {
        if request.body.len() > Self::MAX_BYTES {
            return Err(wrong("the form is too long"));
        }
        let media_type = request
            .header(CONTENT_TYPE.as_str())
            .ok_or_else(|| wrong("the form has not one media type"))?;
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Self::urlencoded(&request.body);
        }
        if essence.eq_ignore_ascii_case("multipart/form-data") {
            return Self::multipart(media_type, request.body.clone()).await;
        }
        Err(wrong("the body is not a form"))
    }

    /// The value of a text part; `None` when it is absent or given twice, because readers differ in
    /// which one counts.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(key, _)| key == name);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    }

    /// The file of a part; `None` when it is absent or given twice.
    pub fn file(&self, name: &str) -> Option<&FormFile> {
        let mut files = self.files.iter().filter(|file| file.name == name);
        match (files.next(), files.next()) {
            (Some(file), None) => Some(file),
            _ => None,
        }
    }

    fn urlencoded(body: &[u8]) -> Result<Self> {
        let mut form = Self::new();
        for (name, value) in form_urlencoded::parse(body) {
            form.add_field(name.into_owned(), value.into_owned())?;
        }
        Ok(form)
    }

    async fn multipart(media_type: &str, body: Bytes) -> Result<Self> {
        let boundary = multer::parse_boundary(media_type).map_err(damaged)?;
        let limits =
            Constraints::new().size_limit(SizeLimit::new().whole_stream(Self::MAX_BYTES as u64));
        let mut parts = Multipart::with_constraints(Whole(Some(body)), boundary, limits);
        let mut form = Self::new();
        while let Some(part) = parts.next_field().await.map_err(damaged)? {
            let name = part
                .name()
                .ok_or_else(|| wrong("a part of the form has no name"))?
                .to_owned();
            let file_name = part.file_name().map(str::to_owned);
            let content_type = part.content_type().map(ToString::to_string);
            let is_file = file_name.is_some() || !content_type.as_deref().is_none_or(is_text);
            let bytes = part.bytes().await.map_err(damaged)?;
            if is_file {
                form.make_room()?;
                form.files.push(FormFile {
                    name,
                    file_name,
                    content_type,
                    bytes,
                });
            } else {
                // Lossy text would not be what was signed.
                let value = String::from_utf8(bytes.into())
                    .map_err(|_| wrong("a field of the form is not UTF-8"))?;
                form.add_field(name, value)?;
            }
        }
        Ok(form)
    }

    fn add_field(&mut self, name: String, value: String) -> Result<()> {
        self.make_room()?;
        if name.len() > Self::MAX_FIELD_BYTES || value.len() > Self::MAX_FIELD_BYTES {
            return Err(wrong("a field of the form is too long"));
        }
        self.fields.push((name, value));
        Ok(())
    }

    fn make_room(&self) -> Result<()> {
        if self.fields.len() + self.files.len() < Self::MAX_PARTS {
            Ok(())
        } else {
            Err(wrong("the form has too many parts"))
        }
    }
}

impl FormFile {
    /// A file in the part `name`.
    pub fn new(name: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self {
            name: name.into(),
            file_name: None,
            content_type: None,
            bytes: bytes.into(),
        }
    }

    /// Sets what the sender calls the file.
    #[must_use]
    pub fn with_file_name(mut self, name: impl Into<String>) -> Self {
        self.file_name = Some(name.into());
        self
    }

    /// Sets the media type.
    #[must_use]
    pub fn with_content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Form")
            .field("fields", &self.fields.len())
            .field("files", &self.files)
            .finish()
    }
}

impl fmt::Debug for FormFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FormFile")
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// A vendor may give the media type of a text part (`text/plain`, `application/json`).
fn is_text(media_type: &str) -> bool {
    media_type.starts_with("text/") || media_type.starts_with("application/json")
}

fn wrong(message: &'static str) -> Error {
    Error::new(ErrorKind::Protocol, "read_form", message).with_effect(Effect::NoEffect)
}

/// Without the source: it names the part.
fn damaged(_: multer::Error) -> Error {
    wrong("the form is damaged")
}

/// The body as a stream of one piece.
struct Whole(Option<Bytes>);

impl Stream for Whole {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.take().map(Ok))
    }
}

#[cfg(test)]
mod tests;
