//! Typed calls for dialog profiles (`profile_*` of the module `dialog`).

use faxbot_core::Result;
use serde_json::{Value, json};

use super::{
    OpenSipsAdapter,
    server::{listed, plain},
    wire::{
        dialog::{Dialog, DialogList},
        routing::{Profile, ProfileList, ProfileSize, ProfileValue},
    },
};
use crate::protocol::jsonrpc::Request;

/// Each answers `Unsupported` where the server does not have the command, and `NotConnected` without a
/// connection.
impl OpenSipsAdapter {
    /// The profiles that the operator declared (`list_all_profiles`).
    ///
    /// # Errors
    /// `Unsupported` without the module `dialog`.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn profiles(&self) -> Result<Vec<Profile>> {
        const OPERATION: &str = "profiles";
        let request = plain("list_all_profiles", OPERATION)?;
        let list: ProfileList = self.server(OPERATION)?.read(request, OPERATION).await?;
        Ok(list.profiles)
    }

    /// How many dialogs are in a profile (`profile_get_size`), with this value where one is given.
    ///
    /// # Errors
    /// `NotFound` for a profile that is not declared.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn profile_size(&self, profile: &str, value: Option<&str>) -> Result<u64> {
        const OPERATION: &str = "profile_size";
        let request = of("profile_get_size", profile, value, OPERATION)?;
        let size: ProfileSize = self.server(OPERATION)?.read(request, OPERATION).await?;
        Ok(size.count())
    }

    /// The values that dialogs have in a profile, and how many have each (`profile_get_values`). A profile
    /// without values has one entry, whose value is `None`.
    ///
    /// # Errors
    /// `NotFound` for a profile that is not declared.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn profile_values(&self, profile: &str) -> Result<Vec<ProfileValue>> {
        const OPERATION: &str = "profile_values";
        let request = listed("profile_get_values", [json!(profile)], OPERATION)?;
        let server = self.server(OPERATION)?;
        Ok(server.read(request, OPERATION).await?)
    }

    /// The dialogs in a profile (`profile_list_dlgs`), with this value where one is given. They come in one
    /// answer: a long one needs a large `buf_size` of `httpd`.
    ///
    /// # Errors
    /// `NotFound` for a profile that is not declared.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn profile_dialogs(&self, profile: &str, value: Option<&str>) -> Result<Vec<Dialog>> {
        const OPERATION: &str = "profile_dialogs";
        let request = of("profile_list_dlgs", profile, value, OPERATION)?;
        let server = self.server(OPERATION)?;
        let list: DialogList = server.read(request, OPERATION).await?;
        Ok(list.into_dialogs().into_iter().map(Dialog::from).collect())
    }

    /// Ends the dialogs in a profile (`profile_end_dlgs`), with this value where one is given: BYE to both
    /// parties of each. It is no error when there is none.
    ///
    /// # Errors
    /// `NotFound` for a profile that is not declared; `OutcomeUnknown` without an answer.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn end_profile_dialogs(&self, profile: &str, value: Option<&str>) -> Result<()> {
        const OPERATION: &str = "end_profile_dialogs";
        let request = of("profile_end_dlgs", profile, value, OPERATION)?;
        let server = self.server(OPERATION)?;
        server.act::<Value>(request, OPERATION).await?;
        Ok(())
    }
}

/// A command for a profile, or for one value of it.
fn of(
    method: &'static str,
    profile: &str,
    value: Option<&str>,
    operation: &'static str,
) -> Result<Request> {
    match value {
        Some(value) => listed(method, [json!(profile), json!(value)], operation),
        None => listed(method, [json!(profile)], operation),
    }
}
