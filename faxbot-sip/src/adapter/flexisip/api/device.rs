//! Devices: what registered for an account.

use faxbot_core::{Private, Result};
use serde::Deserialize;

use super::{FlexiApi, Owner, lenient};

/// A device that registered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Device {
    /// Its id.
    pub uuid: Private,
    /// What it calls itself.
    #[serde(default)]
    pub user_agent: Option<Private>,
    /// When it last registered, in the server's form.
    #[serde(default, deserialize_with = "lenient::text")]
    pub update_time: String,
    /// The application.
    #[serde(default)]
    pub app: Option<String>,
    /// Its version.
    #[serde(default)]
    pub version: Option<String>,
    /// What its owner calls it.
    #[serde(default)]
    pub device_name: Option<Private>,
}

impl FlexiApi {
    /// The devices of an account. An empty list proves nothing: the server answers the same when its
    /// store of registrations is down.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn devices(&self, owner: impl Into<Owner> + Send) -> Result<Vec<Device>> {
        let path = ["accounts", &owner.into().segment(), "devices"];
        let list: lenient::List<_> = self.read("devices", &path).await?;
        Ok(list.0)
    }

    /// Ends the registration of a device. `false` when the server does not say that it did: the device is
    /// not there, or the store of registrations is down.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn delete_device(&self, owner: impl Into<Owner> + Send, uuid: &str) -> Result<bool> {
        let path = ["accounts", &owner.into().segment(), "devices", uuid];
        let answer = self.delete("delete_device", &path).await?;
        Ok(matches!(answer.text(), "1" | "true"))
    }
}
