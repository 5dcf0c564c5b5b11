//! The dictionary of an account: names with values of whoever runs the server.

use std::collections::BTreeMap;

use faxbot_core::{Private, Result};
use serde::Deserialize;
use serde_json::json;

use super::{FlexiApi, lenient};

#[derive(Deserialize)]
struct Entry {
    value: Private,
}

#[derive(Deserialize)]
struct Dictionary(#[serde(deserialize_with = "lenient::texts")] BTreeMap<String, String>);

impl FlexiApi {
    /// The dictionary of an account. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn dictionary(&self, account: u64) -> Result<Private<BTreeMap<String, String>>> {
        let path = ["accounts", &account.to_string(), "dictionary"];
        let read: Dictionary = self.read("dictionary", &path).await?;
        Ok(Private::new(read.0))
    }

    /// One value of a dictionary; `None` for a name that is not in it. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn dictionary_entry(&self, account: u64, key: &str) -> Result<Option<Private>> {
        let path = ["accounts", &account.to_string(), "dictionary", key];
        let answer = self.look("dictionary_entry", &path).await?;
        // The controller answers null, which becomes an empty body or `{}`.
        if matches!(answer.text(), "" | "null" | "{}" | "[]") {
            return Ok(None);
        }
        let entry: Entry = answer.json()?;
        Ok(Some(entry.value))
    }

    /// Sets one value of a dictionary. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Safe to repeat.
    pub async fn set_dictionary_entry(&self, account: u64, key: &str, value: &str) -> Result<()> {
        let path = ["accounts", &account.to_string(), "dictionary", key];
        let answer = self.post("set_dictionary_entry", &path, json!({ "value": value }));
        answer.await?.done();
        Ok(())
    }

    /// Removes one value of a dictionary. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `NotFound` for a name that is not in it.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn delete_dictionary_entry(&self, account: u64, key: &str) -> Result<()> {
        let path = ["accounts", &account.to_string(), "dictionary", key];
        let answer = self.delete("delete_dictionary_entry", &path).await?;
        answer.deleted()
    }

    /// Empties a dictionary. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Safe to repeat.
    pub async fn clear_dictionary(&self, account: u64) -> Result<()> {
        let path = ["accounts", &account.to_string(), "dictionary"];
        self.delete("clear_dictionary", &path).await?.done();
        Ok(())
    }
}
