//! SIP messages by the server's own linphone daemon.

use faxbot_core::{ErrorKind, Result, http::ApiCall};
use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::{FlexiApi, address, invalid, lenient};

/// Bytes of a text: it is one line of the daemon's.
const LONGEST_BODY: usize = 16 * 1024;

impl FlexiApi {
    /// Hands a text to the server's linphone daemon and answers its id there. Takes an admin, and a server
    /// with `APP_LINPHONE_DAEMON_UNIX_PATH`. It says nothing about delivery.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `NotFound` where the server has no daemon, `Rejected` with the daemon's
    /// words; `InvalidRequest`, before anything is sent, for a text that is empty or has a line end, which
    /// would end the command to the daemon, and for what is no SIP address.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn send_message(&self, to: &str, body: &str) -> Result<String> {
        #[derive(Deserialize)]
        struct Sent {
            #[serde(deserialize_with = "lenient::text")]
            id: String,
        }
        let operation = "send_message";
        let to = address(operation, to)?;
        let odd = |c: char| c.is_control() && c != '\t';
        if body.is_empty() || body.len() > LONGEST_BODY || body.contains(odd) {
            let message = "a text that is empty, longer than 16 KiB, or has a line end or another \
                           control character";
            return Err(invalid(operation, message));
        }
        let body = json!({ "to": to, "body": body });
        let answer = self.post(operation, &["messages"], body).await?;
        let sent: Sent = answer.json()?;
        Ok(sent.id)
    }

    /// Whether the server sends messages for us: the route is only there with a daemon, and only for an
    /// admin. A message without anything in it is refused by the rules of the route before the daemon is
    /// asked (`MessageController.php`), which shows that it is there.
    pub(in crate::adapter::flexisip) async fn offers_messages(
        &self,
        operation: &'static str,
    ) -> Result<bool> {
        let request = self.request(operation, Method::POST, &["messages"])?;
        let call = ApiCall::read(operation, request.with_body("{}")).without_repeats();
        match self.call(operation, call, false).await {
            // It took a message without anything in it.
            Ok(_) => Ok(false),
            Err(error) => match error.kind() {
                ErrorKind::Rejected => Ok(error.native_code() == Some("422")),
                ErrorKind::NotFound
                | ErrorKind::PermissionDenied
                | ErrorKind::Authentication
                | ErrorKind::Protocol => Ok(false),
                _ => Err(error),
            },
        }
    }
}
