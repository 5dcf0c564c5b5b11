//! The countries whose phone numbers the account manager takes.

use faxbot_core::Result;
use http::Method;
use serde::Deserialize;

use super::{FlexiApi, lenient};

/// A country.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct PhoneCountry {
    /// Two letters.
    #[serde(deserialize_with = "lenient::text")]
    pub code: String,
    /// The digits behind the `+`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub country_code: String,
    /// Whether its numbers are taken.
    #[serde(default, deserialize_with = "lenient::boolean")]
    pub activated: bool,
}

impl FlexiApi {
    /// All countries. Needs no credentials.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn phone_countries(&self) -> Result<Vec<PhoneCountry>> {
        let list: lenient::List<_> = self.read("phone_countries", &["phone_countries"]).await?;
        Ok(list.0)
    }

    /// Takes the numbers of a country, and of all that share its digits. Takes a super admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Safe to repeat.
    pub async fn activate_phone_country(&self, code: &str) -> Result<()> {
        let path = ["phone_countries", code, "activate"];
        let answer = self.act("activate_phone_country", Method::POST, &path, None);
        answer.await?.done();
        Ok(())
    }

    /// Takes the numbers of a country no longer, nor of those that share its digits. Takes a super admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Safe to repeat.
    pub async fn deactivate_phone_country(&self, code: &str) -> Result<()> {
        let path = ["phone_countries", code, "deactivate"];
        let answer = self.act("deactivate_phone_country", Method::POST, &path, None);
        answer.await?.done();
        Ok(())
    }
}
