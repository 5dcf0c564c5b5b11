//! A request as the mock saw it.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, Method,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use http_body_util::{BodyExt as _, Full};
use serde_json::Value;
use tokio::time::Instant;

use super::fault::FaultKind;

/// One request, whole. `Debug` shows the method, the names of the headers and the length of the
/// body.
#[derive(Clone)]
#[non_exhaustive]
pub struct SeenRequest {
    /// The method.
    pub method: Method,
    /// The path, as it came.
    pub path: String,
    /// The names and values of the query, decoded, in their order.
    pub query: Vec<(String, String)>,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The parts of a `multipart/form-data` body; `None` for another type of body. Read by `multer`.
    pub parts: Option<Result<Vec<Part>, String>>,
    /// When it was whole.
    pub at: Instant,
    /// What went wrong with it.
    pub fault: Option<FaultKind>,
}

/// One part of a form. `Debug` shows the name, the type and the length.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Part {
    /// Its name.
    pub name: String,
    /// The file name, for a file.
    pub file_name: Option<String>,
    /// Its type, where it is given.
    pub content_type: Option<String>,
    /// What is in it.
    pub body: Bytes,
}

impl Part {
    /// What is in it as text; `None` for bytes that are none.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.body).ok()
    }
}

impl SeenRequest {
    /// A request as it came; reads the parts of a form.
    pub(super) async fn read(
        method: Method,
        target: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parts = parts(&headers, &body).await;
        Self {
            method,
            path: path.to_owned(),
            query: decode(query),
            headers,
            body,
            parts,
            at: Instant::now(),
            fault: None,
        }
    }

    /// The segments of the path, decoded; a slash at the end makes none.
    pub fn segments(&self) -> Vec<String> {
        self.path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(|segment| {
                // A plus is a plus in a path.
                let text = segment.replace('+', "%2B").replace('&', "%26");
                let pair = format!("_={text}");
                decode(&pair)
                    .pop()
                    .map(|(_, value)| value)
                    .unwrap_or_default()
            })
            .collect()
    }

    /// A header's value as text; `None` when it is absent, given twice, or not visible ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok(),
            _ => None,
        }
    }

    /// The first value of a name in the query.
    pub fn query(&self, name: &str) -> Option<&str> {
        let mut pairs = self.query.iter();
        let (_, value) = pairs.find(|(other, _)| other == name)?;
        Some(value)
    }

    /// All values of a name in the query.
    pub fn query_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query
            .iter()
            .filter(move |(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as JSON; `None` for what is none.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The media type of the body, in lower case, without parameters.
    pub fn media_type(&self) -> Option<String> {
        let (kind, _) = split_type(self.header(CONTENT_TYPE.as_str())?);
        Some(kind)
    }

    /// The names and values of a form: `application/x-www-form-urlencoded`, or the parts of a
    /// `multipart/form-data` that are no files. `None` for another type of body.
    pub fn form(&self) -> Option<Vec<(String, String)>> {
        if let Some(parts) = &self.parts {
            let fields = parts.as_ref().ok()?.iter();
            return fields
                .filter(|part| part.file_name.is_none())
                .map(|part| Some((part.name.clone(), part.text()?.to_owned())))
                .collect();
        }
        (self.media_type()? == "application/x-www-form-urlencoded")
            .then(|| std::str::from_utf8(&self.body).ok().map(decode))?
    }

    /// User and password of HTTP Basic.
    pub fn basic(&self) -> Option<(String, String)> {
        let text = STANDARD.decode(self.authorization("basic")?).ok()?;
        let text = String::from_utf8(text).ok()?;
        let (user, password) = text.split_once(':')?;
        Some((user.to_owned(), password.to_owned()))
    }

    /// The token of HTTP Bearer.
    pub fn bearer(&self) -> Option<&str> {
        self.authorization("bearer")
    }

    fn authorization(&self, scheme: &str) -> Option<&str> {
        let (given, rest) = self.header(AUTHORIZATION.as_str())?.split_once(' ')?;
        given.eq_ignore_ascii_case(scheme).then(|| rest.trim())
    }
}

fn decode(text: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(text.as_bytes())
        .into_owned()
        .collect()
}

fn split_type(value: &str) -> (String, &str) {
    let (kind, rest) = value.split_once(';').unwrap_or((value, ""));
    (kind.trim().to_ascii_lowercase(), rest)
}

async fn parts(headers: &HeaderMap, body: &Bytes) -> Option<Result<Vec<Part>, String>> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    (split_type(value).0 == "multipart/form-data").then_some(())?;
    let read = async {
        let boundary = multer::parse_boundary(value)?;
        let stream = Full::new(body.clone()).into_data_stream();
        let mut form = multer::Multipart::new(stream, boundary);
        let mut parts = Vec::new();
        while let Some(field) = form.next_field().await? {
            parts.push(Part {
                name: field.name().unwrap_or_default().to_owned(),
                file_name: field.file_name().map(str::to_owned),
                content_type: field.content_type().map(ToString::to_string),
                body: field.bytes().await?,
            });
        }
        Ok(parts)
    };
    Some(read.await.map_err(|error: multer::Error| error.to_string()))
}

impl fmt::Debug for SeenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.keys().map(http::HeaderName::as_str).collect();
        f.debug_struct("SeenRequest")
            .field("method", &self.method)
            .field("headers", &names)
            .field("body_bytes", &self.body.len())
            .field("fault", &self.fault.as_ref().map(FaultKind::name))
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part")
            .field("name", &self.name)
            .field("content_type", &self.content_type)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}
