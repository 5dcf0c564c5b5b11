//! Voicemails, since 2.1.

use faxbot_core::{
    Private, Result, Secret, Timestamp,
    http::{ApiCall, MultipartForm},
    random::SystemRandom,
};
use http::{Method, header::CONTENT_TYPE};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{FlexiApi, Owner, address, lenient};

/// How a voicemail is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum VoicemailType {
    /// Opus.
    Opus,
    /// WAV.
    Wav,
}

impl VoicemailType {
    /// Its media type.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opus => "audio/opus",
            Self::Wav => "audio/wav",
        }
    }

    fn file_name(self) -> &'static str {
        match self {
            Self::Opus => "voicemail.opus",
            Self::Wav => "voicemail.wav",
        }
    }
}

/// A voicemail, or the slot for one.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Voicemail {
    /// Its id.
    #[serde(deserialize_with = "lenient::text")]
    pub id: String,
    /// Who left it.
    #[serde(default)]
    pub sip_from: Option<Private>,
    /// Its media type.
    #[serde(default, deserialize_with = "lenient::text")]
    pub content_type: String,
    /// When the slot was made.
    #[serde(default, deserialize_with = "lenient::time")]
    pub created_at: Option<Timestamp>,
    /// When the sound came; `None` for a slot that is empty.
    #[serde(default, deserialize_with = "lenient::time")]
    pub uploaded_at: Option<Timestamp>,
    /// Where it can be fetched by whoever knows the address.
    #[serde(default)]
    pub download_url: Option<Secret>,
    /// Where the sound goes, told once; [`upload_voicemail`](FlexiApi::upload_voicemail) needs only the
    /// id.
    #[serde(default)]
    pub upload_url: Option<Secret>,
    /// The most that it takes, in bytes, told once.
    #[serde(default, deserialize_with = "lenient::some_number")]
    pub max_upload_size: Option<u64>,
}

impl FlexiApi {
    /// The voicemails of the account that asks.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `NotFound` also for a server that does not have them.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn voicemails(&self) -> Result<Vec<Voicemail>> {
        let path = ["accounts", "me", "voicemails"];
        let list: lenient::List<_> = self.read("voicemails", &path).await?;
        Ok(list.0)
    }

    /// A voicemail of the account that asks.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn voicemail(&self, id: &str) -> Result<Voicemail> {
        let path = ["accounts", "me", "voicemails", id];
        self.read("voicemail", &path).await
    }

    /// Makes a slot for a voicemail, with the address that its sound goes to.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `Rejected` also for an account without a mail address, `InvalidRequest` for
    /// a caller who is no SIP address.
    ///
    /// # Cancel safety
    /// A request that was written is not undone: an empty slot may stay.
    pub async fn create_voicemail(
        &self,
        owner: impl Into<Owner> + Send,
        kind: VoicemailType,
        sip_from: Option<&str>,
    ) -> Result<Voicemail> {
        let operation = "create_voicemail";
        let mut body = json!({ "content_type": kind.as_str() });
        if let (Value::Object(map), Some(from)) = (&mut body, sip_from) {
            let from = format!("sip:{}", address(operation, from)?);
            map.insert("sip_from".into(), from.into());
        }
        let path = ["accounts", &owner.into().segment(), "voicemails"];
        self.post(operation, &path, body).await?.json()
    }

    /// Deletes a voicemail, or a slot.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `NotFound` for one that is not there.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn delete_voicemail(&self, owner: impl Into<Owner> + Send, id: &str) -> Result<()> {
        let path = ["accounts", &owner.into().segment(), "voicemails", id];
        self.delete("delete_voicemail", &path).await?.deleted()
    }

    /// Fills a slot, once. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `NotFound` for a slot that is not there or is full.
    ///
    /// # Cancel safety
    /// A request that was written is not undone: the slot may be full.
    pub async fn upload_voicemail(
        &self,
        id: &str,
        kind: VoicemailType,
        sound: Vec<u8>,
    ) -> Result<Voicemail> {
        let operation = "upload_voicemail";
        let form = MultipartForm::new(&SystemRandom)
            .file("file", kind.file_name(), kind.as_str(), sound.into())
            .map_err(|error| error.with_operation(operation))?;
        let (content_type, body) = form.finish();
        let mut request = self.request(operation, Method::POST, &["files", id])?;
        request.headers.insert(CONTENT_TYPE, content_type);
        let call = ApiCall::act(operation, request.with_body(body));
        self.call(operation, call, true).await?.json()
    }
}
