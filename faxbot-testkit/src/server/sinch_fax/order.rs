//! What a customer orders: the three bodies of `POST /faxes`, read into one form.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use url::Url;

use super::{
    document::{Document, FORMATS, blank_pdf},
    fax::Failure,
};
use crate::server::{
    http::{Part, SeenRequest},
    sinch::{Fault, Fields, Problem},
};

const FIELDS: &[&str] = &[
    "to",
    "from",
    "contentUrl",
    "files",
    "headerText",
    "headerPageNumbers",
    "headerTimeZone",
    "retryDelaySeconds",
    "labels",
    "callbackUrl",
    "callbackUrlContentType",
    "imageConversionMethod",
    "serviceId",
    "maxRetries",
    "resolution",
    "coverPageId",
    "coverPageData",
];

/// Fields that are told back as they came.
const TOLD: &[&str] = &[
    "headerText",
    "headerPageNumbers",
    "headerTimeZone",
    "retryDelaySeconds",
    "callbackUrlContentType",
    "imageConversionMethod",
    "resolution",
    "coverPageId",
    "coverPageData",
];

/// The largest file, in bytes (the vendor's command line names 20 MB).
pub(super) const MAX_FILE: usize = 20_000_000;

/// A checked order.
pub(super) struct Order {
    pub(super) to: Vec<String>,
    pub(super) from: Option<String>,
    pub(super) documents: Vec<Document>,
    pub(super) urls: Vec<String>,
    pub(super) service: String,
    pub(super) settings: Map<String, Value>,
    pub(super) labels: Map<String, Value>,
    pub(super) callback: Option<Url>,
    pub(super) callback_is_json: bool,
    pub(super) max_retries: u32,
}

/// Why there is none.
pub(super) enum Refusal {
    /// Neither JSON nor a form.
    MediaType,
    /// It cannot be read.
    Unreadable(String),
    /// A file is too large.
    TooLarge,
    Problems(Vec<Problem>),
}

impl Order {
    /// Reads a request. `service` is the one that the project has; `max_retries` its default.
    pub(super) fn read(
        request: &SeenRequest,
        service: &str,
        max_retries: u32,
    ) -> Result<Self, Refusal> {
        let (map, mut files) = match request.media_type().as_deref() {
            Some("application/json") => match request.json() {
                Some(Value::Object(map)) => (map, Vec::new()),
                _ => return Err(Refusal::Unreadable("The body is not a JSON object".into())),
            },
            Some("multipart/form-data") => match &request.parts {
                Some(Ok(parts)) => form(parts).map_err(Refusal::Problems)?,
                _ => return Err(Refusal::Unreadable("The form cannot be read".into())),
            },
            _ => return Err(Refusal::MediaType),
        };
        let mut fields = Fields::new(&map, FIELDS);
        files.extend(documents(&mut fields));
        let order = Self::checked(&mut fields, files, service, max_retries);
        let problems = fields.problems();
        if !problems.is_empty() {
            return Err(Refusal::Problems(problems));
        }
        if order
            .documents
            .iter()
            .any(|file| file.bytes.len() > MAX_FILE)
        {
            return Err(Refusal::TooLarge);
        }
        Ok(order)
    }

    fn checked(
        fields: &mut Fields<'_>,
        documents: Vec<Document>,
        service: &str,
        max_retries: u32,
    ) -> Self {
        let to: Vec<String> = fields
            .one_or_many("to")
            .unwrap_or_default()
            .into_iter()
            .map(str::to_owned)
            .collect();
        let from = fields.text("from").map(str::to_owned);
        for (name, number) in to
            .iter()
            .map(|to| ("to", to))
            .chain(from.iter().map(|from| ("from", from)))
        {
            if !is_number(number) {
                let text = format!("The ({number}) is not a valid phone number");
                fields.problem(name, Fault::Value, text);
            }
        }
        if to.is_empty() && fields.value("to").is_none_or(Value::is_array) {
            fields.problem("to", Fault::Missing, "A phone number is required");
        }
        let urls = urls(fields);
        if documents.is_empty() && urls.is_empty() && fields.value("coverPageId").is_none() {
            fields.problem(
                "contentUrl",
                Fault::Missing,
                "A file or a content URL is required",
            );
        }
        fields.short("headerText", 50);
        fields.flag("headerPageNumbers");
        fields.text("headerTimeZone");
        fields.number("retryDelaySeconds", 0, i64::from(u32::MAX));
        fields.word("imageConversionMethod", &["HALFTONE", "MONOCHROME"]);
        fields.word("resolution", &["FINE", "SUPERFINE"]);
        fields.text("coverPageId");
        fields.strings("coverPageData");
        if let Some(given) = fields.text("serviceId")
            && given != service
        {
            fields.problem("serviceId", Fault::Value, "There is no such service");
        }
        let retries = fields.number("maxRetries", 0, 5);
        let kinds = ["multipart/form-data", "application/json"];
        let callback_kind = fields.word("callbackUrlContentType", &kinds);
        let mut settings = Map::new();
        for name in TOLD {
            if let Some(value) = fields.value(name) {
                settings.insert((*name).to_owned(), value.clone());
            }
        }
        for (name, value) in [
            ("headerPageNumbers", json!(true)),
            ("headerTimeZone", json!("America/New_York")),
            ("retryDelaySeconds", json!(60)),
            ("callbackUrlContentType", json!("multipart/form-data")),
            ("imageConversionMethod", json!("HALFTONE")),
            ("resolution", json!("FINE")),
        ] {
            settings.entry(name).or_insert(value);
        }
        Self {
            to,
            from,
            documents,
            urls,
            service: service.to_owned(),
            settings,
            labels: fields.strings("labels").cloned().unwrap_or_default(),
            callback: fields.url("callbackUrl"),
            callback_is_json: callback_kind == Some("application/json"),
            max_retries: retries
                .and_then(|retries| u32::try_from(retries).ok())
                .unwrap_or(max_retries),
        }
    }

    /// Pages of all documents. One that the vendor would fetch has one: a mock asks no stranger.
    pub(super) fn pages(&self) -> u32 {
        let files = self.documents.iter().map(Document::pages);
        let urls = u32::try_from(self.urls.len()).unwrap_or(u32::MAX);
        files.fold(urls, u32::saturating_add).max(1)
    }

    /// What the converter says.
    pub(super) fn damage(&self) -> Option<Failure> {
        self.documents.iter().find_map(Document::damage)
    }

    /// The file that can be had of it: a lone PDF is left as it is.
    pub(super) fn pdf(&self) -> Bytes {
        match (self.documents.as_slice(), self.urls.is_empty()) {
            ([lone], true) if lone.format == Some("PDF") => lone.bytes.clone(),
            _ => blank_pdf(self.pages()),
        }
    }
}

/// E.164 with its `+`.
fn is_number(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// `files: [{file, fileType}]`.
fn documents(fields: &mut Fields<'_>) -> Vec<Document> {
    let words: Vec<&str> = FORMATS.iter().map(|(word, _)| *word).collect();
    let mut documents = Vec::new();
    for entry in fields.list("files").into_iter().flatten() {
        let Some(map) = entry.as_object() else {
            fields.problem("files", Fault::Type, "'files' has what is no object");
            continue;
        };
        let mut file = Fields::new(map, &["file", "fileType"]);
        let kind = file.word("fileType", &words);
        let bytes = file.text("file").map(|text| STANDARD.decode(text));
        for name in ["file", "fileType"] {
            if file.value(name).is_none() {
                file.problem(name, Fault::Missing, format!("'files.{name}' is required"));
            }
        }
        if let Some(Err(_)) = bytes {
            file.problem("file", Fault::Value, "'files.file' is not base64");
        }
        for problem in file.problems() {
            fields.problem("files", problem.fault, problem.text);
        }
        if let (Some(kind), Some(Ok(bytes))) = (kind, bytes) {
            documents.push(Document::of(kind, bytes.into()));
        }
    }
    documents
}

fn urls(fields: &mut Fields<'_>) -> Vec<String> {
    let urls: Vec<String> = fields
        .one_or_many("contentUrl")
        .unwrap_or_default()
        .into_iter()
        .map(str::to_owned)
        .collect();
    let is_url = |text: &String| {
        Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
    };
    if !urls.iter().all(is_url) {
        fields.problem(
            "contentUrl",
            Fault::Value,
            "'contentUrl' is not a valid URL",
        );
    }
    urls
}

/// The fields of a form as JSON would have them, and its files.
type Form = (Map<String, Value>, Vec<Document>);

/// Reads a form.
///
/// `to` and `contentUrl` may be repeated (sinch-sdk-node, as it was seen on the wire) or have commas
/// (sinch-sdk-dotnet `Http.cs`, which also writes the names with a capital and labels as
/// `Labels[key]`).
fn form(parts: &[Part]) -> Result<Form, Vec<Problem>> {
    let (mut map, mut files, mut problems) = (Map::new(), Vec::new(), Vec::new());
    for part in parts {
        let name = small(&part.name);
        if name == "file" {
            match &part.file_name {
                Some(file_name) => files.push(Document::named(file_name, part.body.clone())),
                None => problems.push(Problem::new("file", Fault::Value, "A file needs a name")),
            }
            continue;
        }
        let Some(text) = part.text().filter(|_| part.file_name.is_none()) else {
            problems.push(Problem::new(
                &name,
                Fault::Type,
                format!("'{name}' is no text"),
            ));
            continue;
        };
        if let Some(key) = name
            .strip_prefix("labels[")
            .and_then(|rest| rest.strip_suffix(']'))
        {
            let labels = map.entry("labels").or_insert_with(|| json!({}));
            if let Some(labels) = labels.as_object_mut() {
                labels.insert(key.to_owned(), json!(text));
            }
            continue;
        }
        let value = match name.as_str() {
            "to" | "contentUrl" => {
                let list = map.entry(name.clone()).or_insert_with(|| json!([]));
                if let Some(list) = list.as_array_mut() {
                    list.extend(text.split(',').map(|one| json!(one)));
                }
                continue;
            }
            "headerPageNumbers" => text.parse::<bool>().map_or(json!(text), |flag| json!(flag)),
            "retryDelaySeconds" | "maxRetries" => text
                .parse::<i64>()
                .map_or(json!(text), |number| json!(number)),
            // No client of the vendor sends these in a form.
            "labels" | "files" | "coverPageData" => {
                let text = format!("'{name}' cannot be sent in a form");
                problems.push(Problem::new(&name, Fault::Type, text));
                continue;
            }
            _ => json!(text),
        };
        if map.insert(name.clone(), value).is_some() {
            problems.push(Problem::new(
                &name,
                Fault::Type,
                format!("'{name}' is given twice"),
            ));
        }
    }
    if problems.is_empty() {
        Ok((map, files))
    } else {
        Err(problems)
    }
}

fn small(name: &str) -> String {
    let mut chars = name.chars();
    let first = chars.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(chars).collect()
}
