//! The body of `POST /v2.1/faxes`, read strictly.
//!
//! Names and limits: the vendor's page `create_and_send_fax` and the README of phaxio-node@c1ed90f.
//! Without a file the vendor's own clients send `application/x-www-form-urlencoded`. Names of one item
//! come with and without brackets (ruby `to`, python `to[]`).

use std::collections::BTreeMap;

use serde_json::json;
use url::Url;

use super::document::Document;
use crate::server::http::{HttpAnswer, Part, SeenRequest};

/// Files that are taken of an order: others were dropped without a word
/// (daguar/phaxio-file-limit-demo@4d467d8, of v1).
const FILES: usize = 10;

/// Tags of one fax.
const TAGS: usize = 10;

/// Characters of the header line.
const HEADER: usize = 50;

/// The types of errors that a test can ask for (`phaxio-python` `spec/api.yaml`).
const FAILURES: &[&str] = &[
    "documentConversionError",
    "lineError",
    "faxError",
    "fatalError",
    "generalError",
];

/// What is to be sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Order {
    pub(super) to: Vec<String>,
    pub(super) documents: Vec<Document>,
    pub(super) urls: Vec<String>,
    pub(super) header_text: Option<String>,
    pub(super) batch_delay: Option<u32>,
    pub(super) callback_url: Option<String>,
    pub(super) cancel_timeout: Option<u32>,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) caller_id: Option<String>,
    pub(super) test_fail: Option<String>,
    /// A test of faxes that come in: from, and to.
    pub(super) received: Option<(String, String)>,
}

/// A refusal.
#[derive(Debug)]
pub(super) struct Refusal {
    status: u16,
    message: String,
}

impl Refusal {
    /// In the vendor's envelope.
    pub(super) fn answer(self) -> HttpAnswer {
        let body = json!({ "success": false, "message": self.message });
        HttpAnswer::json(self.status, &body)
    }
}

pub(super) fn refused(status: u16, message: &str) -> Refusal {
    Refusal {
        status,
        message: message.to_owned(),
    }
}

fn invalid(message: &str) -> Refusal {
    refused(422, message)
}

/// Whether it is a number in E.164, with its `+`.
pub(super) fn is_number(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0')
    })
}

impl Order {
    /// Reads a request. Test keys may do more.
    pub(super) fn read(request: &SeenRequest, is_test: bool) -> Result<Self, Refusal> {
        let (fields, files) = fields(request)?;
        let mut order = Self::default();
        let (mut direction, mut from, mut to) = (None, None, None);
        for (name, value) in fields {
            let plain = name.strip_suffix("[]").unwrap_or(&name);
            match plain {
                "to" => order.to.push(number(&value)?),
                "content_url" => order.urls.push(address(&value, &["http", "https"])?),
                "direction" => once(&mut direction, value)?,
                "from_number" => once(&mut from, number(&value)?)?,
                "to_number" => once(&mut to, number(&value)?)?,
                _ => order.setting(&name, value, is_test)?,
            }
        }
        for part in files.into_iter().take(FILES) {
            let plain = part.name.strip_suffix("[]").unwrap_or(&part.name);
            if plain != "file" {
                return Err(invalid("There is no such file parameter"));
            }
            let name = part.file_name.unwrap_or_default();
            if name.is_empty() {
                return Err(invalid(
                    "Must have file name in the file field of the body-part header",
                ));
            }
            order.documents.push(Document::new(&name, part.body));
        }
        match direction.as_deref() {
            None | Some("sent") if from.is_none() && to.is_none() => order.check(),
            Some("received") => order.incoming(from, to, is_test),
            _ => Err(invalid("direction is invalid")),
        }
    }

    fn setting(&mut self, name: &str, value: String, is_test: bool) -> Result<(), Refusal> {
        match name {
            "header_text" if value.chars().count() > HEADER => {
                return Err(invalid("header_text is too long"));
            }
            "header_text" => once(&mut self.header_text, value)?,
            "header_page_nums" | "batch_collision_avoidance" => {
                if value != "true" && value != "false" {
                    return Err(invalid("A boolean is true or false"));
                }
            }
            "batch_delay" => once(&mut self.batch_delay, within(&value, 0, 3600)?)?,
            "cancel_timeout" => once(&mut self.cancel_timeout, within(&value, 3, 60)?)?,
            "callback_url" => {
                let url = address(&value, &["http", "https", "mailto"])?;
                once(&mut self.callback_url, url)?;
            }
            "caller_id" => once(&mut self.caller_id, number(&value)?)?,
            "test_fail" if is_test && FAILURES.contains(&value.as_str()) => {
                once(&mut self.test_fail, value)?;
            }
            "test_fail" => return Err(invalid("test_fail is not allowed")),
            _ => {
                let tag = name
                    .strip_prefix("tag[")
                    .and_then(|name| name.strip_suffix(']'))
                    .filter(|name| !name.is_empty());
                let Some(tag) = tag else {
                    return Err(invalid("There is no such parameter"));
                };
                if self.tags.insert(tag.to_owned(), value).is_some() {
                    return Err(invalid("A tag is given twice"));
                }
            }
        }
        Ok(())
    }

    fn check(self) -> Result<Self, Refusal> {
        if self.to.is_empty() {
            return Err(invalid("You must enter a valid recipient phone number"));
        }
        if self.documents.is_empty() && self.urls.is_empty() {
            return Err(invalid("You must provide a file or a content_url"));
        }
        if self.tags.len() > TAGS {
            return Err(invalid("There are too many tags"));
        }
        Ok(self)
    }

    /// A fax that a test lets come in (cassette `test_receive.yml`).
    fn incoming(
        mut self,
        from: Option<String>,
        to: Option<String>,
        is_test: bool,
    ) -> Result<Self, Refusal> {
        const DEFAULT: &str = "+18773346654";
        if !is_test {
            return Err(invalid("Only test keys may simulate a received fax"));
        }
        if !self.to.is_empty() || self.documents.len() != 1 {
            return Err(invalid("A received fax has one file and no recipient"));
        }
        let or_default = |number: Option<String>| number.unwrap_or_else(|| DEFAULT.to_owned());
        self.received = Some((or_default(from), or_default(to)));
        Ok(self)
    }
}

/// The fields, and the files.
type Body = (Vec<(String, String)>, Vec<Part>);

fn fields(request: &SeenRequest) -> Result<Body, Refusal> {
    if !request.query.is_empty() {
        return Err(invalid("Parameters belong into the body"));
    }
    let Some(fields) = request.form() else {
        return Err(invalid("The body is no form"));
    };
    let parts = match &request.parts {
        Some(Ok(parts)) => parts.clone(),
        _ => Vec::new(),
    };
    let is_file = |part: &Part| part.file_name.is_some();
    let files: Vec<Part> = parts.into_iter().filter(is_file).collect();
    let nameless = |name: &str| name == "file" || name == "file[]";
    if fields.iter().any(|(name, _)| nameless(name)) {
        return Err(invalid(
            "Must have file name in the file field of the body-part header",
        ));
    }
    Ok((fields, files))
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), Refusal> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(invalid("A parameter is given twice")),
    }
}

fn number(text: &str) -> Result<String, Refusal> {
    // Ten digits without anything are a number of the US: so does the integration test of phaxio-dotnet.
    if text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(format!("+1{text}"));
    }
    is_number(text)
        .then(|| text.to_owned())
        .ok_or_else(|| invalid("Phone number is not formatted correctly or invalid"))
}

fn within(text: &str, least: u32, most: u32) -> Result<u32, Refusal> {
    text.parse()
        .ok()
        .filter(|value| (least..=most).contains(value))
        .ok_or_else(|| invalid("A number is out of its range"))
}

pub(super) fn address(text: &str, schemes: &[&str]) -> Result<String, Refusal> {
    Url::parse(text)
        .ok()
        .filter(|url| schemes.contains(&url.scheme()))
        .map(|_| text.to_owned())
        .ok_or_else(|| invalid("An address is invalid"))
}
