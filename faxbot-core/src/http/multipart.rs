//! Forms with files: `multipart/form-data`, RFC 7578.

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderValue;

use crate::{Error, ErrorKind, Result, random::Random};

/// Encodes a form with files as `multipart/form-data` (RFC 7578), its parts in the order given.
/// `Debug` shows the number of parts.
pub struct MultipartForm {
    boundary: String,
    parts: Vec<Part>,
}

struct Part {
    head: String,
    body: Bytes,
}

impl MultipartForm {
    /// An empty form.
    pub fn new(random: &dyn Random) -> Self {
        // 39 of the 70 characters that RFC 2046 section 5.1.1 permits.
        let boundary = format!(
            "faxbot-{:016x}{:016x}",
            random.next_u64(),
            random.next_u64()
        );
        Self {
            boundary,
            parts: Vec::new(),
        }
    }

    /// Adds a field.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] if the name has a control character or a quote.
    pub fn text(mut self, name: &str, value: &str) -> Result<Self> {
        check(name)?;
        self.parts.push(Part {
            head: format!("Content-Disposition: form-data; name=\"{name}\"\r\n\r\n"),
            body: Bytes::copy_from_slice(value.as_bytes()),
        });
        Ok(self)
    }

    /// Adds a file.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] if one of the names has a control character or a quote, or
    /// the content type cannot be sent.
    pub fn file(
        mut self,
        name: &str,
        file_name: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Self> {
        check(name)?;
        check(file_name)?;
        let printable = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        if content_type.is_empty() || !content_type.bytes().all(printable) {
            return Err(wrong("a content type that cannot be sent"));
        }
        self.parts.push(Part {
            head: format!(
                "Content-Disposition: form-data; name=\"{name}\"; filename=\"{file_name}\"\r\n\
                 Content-Type: {content_type}\r\n\r\n"
            ),
            body,
        });
        Ok(self)
    }

    /// The value of `Content-Type`, and the body.
    pub fn finish(self) -> (HeaderValue, Bytes) {
        let boundary = self.free_boundary();
        let content = |part: &Part| part.head.len() + part.body.len() + boundary.len() + 6;
        let length = self.parts.iter().map(content).sum::<usize>() + boundary.len() + 6;
        let mut body = BytesMut::with_capacity(length);
        for part in &self.parts {
            body.put_slice(b"--");
            body.put_slice(boundary.as_bytes());
            body.put_slice(b"\r\n");
            body.put_slice(part.head.as_bytes());
            body.put_slice(&part.body);
            body.put_slice(b"\r\n");
        }
        body.put_slice(b"--");
        body.put_slice(boundary.as_bytes());
        body.put_slice(b"--\r\n");
        let content_type = format!("multipart/form-data; boundary={boundary}");
        // The boundary is of letters, digits and a dash: this does not fail.
        let content_type = HeaderValue::try_from(content_type)
            .unwrap_or_else(|_| HeaderValue::from_static("multipart/form-data"));
        (content_type, body.freeze())
    }

    /// A boundary that occurs nowhere in the content. Chance alone would do, but a test's
    /// randomness repeats, and so may the content that it made.
    fn free_boundary(&self) -> String {
        let occurs = |boundary: &str| {
            let finder = memchr::memmem::Finder::new(boundary);
            self.parts
                .iter()
                .any(|part| finder.find(&part.body).is_some())
        };
        let mut boundary = self.boundary.clone();
        let mut count = 0_u64;
        while occurs(&boundary) {
            count += 1;
            boundary = format!("{}-{count}", self.boundary);
        }
        boundary
    }
}

impl std::fmt::Debug for MultipartForm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MultipartForm")
            .field("parts", &self.parts.len())
            .finish_non_exhaustive()
    }
}

/// A line break would begin another header, a quote another parameter. Escapes for them differ
/// from reader to reader (RFC 7578 section 4.2), so they are refused.
fn check(name: &str) -> Result<()> {
    if name
        .chars()
        .any(|c| c.is_control() || c == '"' || c == '\\')
    {
        return Err(wrong(
            "a form name with a control character, a quote or a backslash",
        ));
    }
    Ok(())
}

fn wrong(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidRequest, "multipart", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;

    fn form() -> MultipartForm {
        MultipartForm::new(&SeededRandom::new(7))
    }

    #[test]
    fn a_form_is_encoded_as_the_rfc_says() {
        let (content_type, body) = form()
            .text("to", "+493012345678")
            .unwrap()
            .text("note", "zwei\r\nZeilen, é")
            .unwrap()
            .file(
                "file[]",
                "fax é.pdf",
                "application/pdf",
                Bytes::from_static(b"%PDF\0\xFF"),
            )
            .unwrap()
            .finish();
        let content_type = content_type.to_str().unwrap();
        let boundary = content_type
            .strip_prefix("multipart/form-data; boundary=")
            .unwrap();
        assert!(boundary.len() <= 70);
        let mut expected = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"to\"\r\n\r\n+493012345678\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nzwei\r\nZeilen, é\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"file[]\"; filename=\"fax é.pdf\"\r\n\
             Content-Type: application/pdf\r\n\r\n"
        )
        .into_bytes();
        expected.extend(b"%PDF\0\xFF");
        expected.extend(format!("\r\n--{boundary}--\r\n").bytes());
        assert_eq!(body, expected);
        assert_eq!(body.len(), body.clone().to_vec().capacity());
    }

    #[test]
    fn no_content_holds_the_boundary() {
        let (first, _) = form().finish();
        let taken = first
            .to_str()
            .unwrap()
            .rsplit('=')
            .next()
            .unwrap()
            .to_owned();
        let worse = format!("--{taken}--\r\n--{taken}-1--\r\n");
        let (content_type, body) = form()
            .text("a", &worse)
            .unwrap()
            .file("b", "b", "text/plain", Bytes::from(worse.clone()))
            .unwrap()
            .finish();
        let boundary = content_type.to_str().unwrap().rsplit('=').next().unwrap();
        let text = std::str::from_utf8(&body).unwrap();
        assert_eq!(text.matches(boundary).count(), 3);
        assert!(boundary.starts_with(&taken) && boundary != taken);
    }

    #[test]
    fn no_name_makes_a_header_or_a_parameter() {
        let bad = [
            "a\r\nX: y",
            "a\nb",
            "a\rb",
            "a\"; filename=\"b",
            "a\\",
            "a\0",
            "\u{85}",
        ];
        for name in bad {
            assert!(form().text(name, "x").is_err(), "{name:?}");
            let file = |name, file_name, kind| form().file(name, file_name, kind, Bytes::new());
            assert!(file(name, "b", "text/plain").is_err(), "{name:?}");
            assert!(file("a", name, "text/plain").is_err(), "{name:?}");
        }
        for kind in ["", "text/plain\r\nX: y", "é"] {
            assert!(
                form().file("a", "b", kind, Bytes::new()).is_err(),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn an_empty_form_is_one() {
        let (_, body) = form().finish();
        assert!(body.starts_with(b"--faxbot-") && body.ends_with(b"--\r\n"));
    }
}
