//! Contacts of an account: other accounts.

use faxbot_core::Result;
use http::Method;

use super::{Account, FlexiApi, Owner, address, lenient};

impl FlexiApi {
    /// The contacts of an account; of one's own those of its contacts lists, too.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn contacts(&self, owner: impl Into<Owner> + Send) -> Result<Vec<Account>> {
        let path = ["accounts", &owner.into().segment(), "contacts"];
        let list: lenient::List<_> = self.read("contacts", &path).await?;
        Ok(list.0)
    }

    /// A contact of the account that asks, by its SIP address.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `InvalidRequest` for what is no SIP address.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn my_contact(&self, sip: &str) -> Result<Account> {
        let operation = "my_contact";
        let sip = address(operation, sip)?;
        let path = ["accounts", "me", "contacts", sip];
        self.read(operation, &path).await
    }

    /// A contact of an account. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn contact(&self, account: u64, contact: u64) -> Result<Account> {
        let (account, contact) = (account.to_string(), contact.to_string());
        let path = ["accounts", &account, "contacts", &contact];
        self.read("contact", &path).await
    }

    /// Makes an account a contact of another. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Safe to repeat.
    pub async fn add_contact(&self, account: u64, contact: u64) -> Result<()> {
        let (account, contact) = (account.to_string(), contact.to_string());
        let path = ["accounts", &account, "contacts", &contact];
        let answer = self.act("add_contact", Method::POST, &path, None);
        answer.await?.done();
        Ok(())
    }

    /// Removes a contact. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `NotFound` for one that is none.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn remove_contact(&self, account: u64, contact: u64) -> Result<()> {
        let (account, contact) = (account.to_string(), contact.to_string());
        let path = ["accounts", &account, "contacts", &contact];
        self.delete("remove_contact", &path).await?.deleted()
    }
}
