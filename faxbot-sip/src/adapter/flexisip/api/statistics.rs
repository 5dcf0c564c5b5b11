//! Statistics of calls and messages: written by the Flexisip proxy, read by accounts.

use faxbot_core::{Private, Result, Timestamp};
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{FlexiApi, FlexiPage, Owner, address, lenient};

/// How a device ended an INVITE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum InviteState {
    /// It failed.
    Error,
    /// Declined.
    Declined,
    /// The caller hung up first.
    Canceled,
    /// Another device of the account took it.
    AcceptedElsewhere,
    /// Another device of the account declined it.
    DeclinedElsewhere,
    /// Taken.
    Accepted,
}

impl InviteState {
    /// The server's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Declined => "declined",
            Self::Canceled => "canceled",
            Self::AcceptedElsewhere => "accepted_elsewhere",
            Self::DeclinedElsewhere => "declined_elsewhere",
            Self::Accepted => "accepted",
        }
    }
}

/// A call, as the proxy wrote it down. The proxy writes only where it is told to, so that a missing call
/// proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct CallStatistic {
    /// Its id.
    #[serde(deserialize_with = "lenient::text")]
    pub id: String,
    /// The user who called.
    #[serde(default)]
    pub from_username: Private,
    /// Their domain.
    #[serde(default, deserialize_with = "lenient::text")]
    pub from_domain: String,
    /// The user who was called.
    #[serde(default)]
    pub to_username: Private,
    /// Their domain.
    #[serde(default, deserialize_with = "lenient::text")]
    pub to_domain: String,
    /// When it began.
    #[serde(default, deserialize_with = "lenient::time")]
    pub initiated_at: Option<Timestamp>,
    /// When it ended; `None` also where nobody told.
    #[serde(default, deserialize_with = "lenient::time")]
    pub ended_at: Option<Timestamp>,
    /// The devices that it reached.
    #[serde(default, deserialize_with = "lenient::list")]
    pub devices: Vec<CallDevice>,
}

/// What one device did with a call.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct CallDevice {
    /// The device.
    #[serde(default)]
    pub device_id: Private,
    /// When it rang.
    #[serde(default, deserialize_with = "lenient::time")]
    pub rang_at: Option<Timestamp>,
    /// When it ended the INVITE.
    #[serde(default, deserialize_with = "lenient::time")]
    pub invite_terminated_at: Option<Timestamp>,
    /// How, in the server's word ([`InviteState::as_str`]).
    #[serde(default)]
    pub invite_terminated_state: Option<String>,
}

/// A call to be written down.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewCallStatistic {
    /// Its id, at most 64 characters.
    pub id: String,
    /// `user@domain` of who called.
    pub from: Private,
    /// `user@domain` of who was called.
    pub to: Private,
    /// When it began.
    pub initiated_at: Timestamp,
    /// When it ended, where it has.
    pub ended_at: Option<Timestamp>,
}

impl NewCallStatistic {
    /// A call that has not ended.
    pub fn new(
        id: impl Into<String>,
        from: impl Into<String>,
        to: impl Into<String>,
        initiated_at: Timestamp,
    ) -> Self {
        Self {
            id: id.into(),
            from: Private::new(from.into()),
            to: Private::new(to.into()),
            initiated_at,
            ended_at: None,
        }
    }
}

/// When and how a device ended an INVITE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct InviteEnd {
    /// When.
    pub at: Timestamp,
    /// How.
    pub state: InviteState,
}

impl InviteEnd {
    /// An end.
    pub fn new(at: Timestamp, state: InviteState) -> Self {
        Self { at, state }
    }
}

/// What a device did with a call, to be written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DeviceReport {
    /// When it rang.
    pub rang_at: Option<Timestamp>,
    /// How it ended.
    pub ended: Option<InviteEnd>,
}

impl DeviceReport {
    /// It rang.
    pub fn rang(at: Timestamp) -> Self {
        Self {
            rang_at: Some(at),
            ended: None,
        }
    }

    /// It ended.
    pub fn ended(at: Timestamp, state: InviteState) -> Self {
        Self {
            rang_at: None,
            ended: Some(InviteEnd::new(at, state)),
        }
    }
}

/// A message to be written down.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewMessageStatistic {
    /// Its id, at most 64 characters.
    pub id: String,
    /// `user@domain` of who sent it.
    pub from: Private,
    /// When.
    pub sent_at: Timestamp,
    /// Whether nobody between could read it.
    pub encrypted: bool,
}

impl NewMessageStatistic {
    /// A message.
    pub fn new(
        id: impl Into<String>,
        from: impl Into<String>,
        sent_at: Timestamp,
        encrypted: bool,
    ) -> Self {
        Self {
            id: id.into(),
            from: Private::new(from.into()),
            sent_at,
            encrypted,
        }
    }
}

impl FlexiApi {
    /// One page of the calls of an account, newest first, from page 1: 30 each.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn call_statistics(
        &self,
        owner: impl Into<Owner> + Send,
        page: u32,
    ) -> Result<FlexiPage<CallStatistic>> {
        let path = ["accounts", &owner.into().segment(), "statistics", "calls"];
        self.read_page("call_statistics", &path, page).await
    }

    /// Writes a call down. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `Rejected` also for an id that is taken.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn store_call(&self, call: &NewCallStatistic) -> Result<()> {
        let operation = "store_call";
        let mut body = json!({
            "id": call.id,
            "from": address(operation, call.from.expose())?,
            "to": address(operation, call.to.expose())?,
            "initiated_at": call.initiated_at,
        });
        if let (Value::Object(map), Some(at)) = (&mut body, call.ended_at) {
            map.insert("ended_at".into(), json!(at));
        }
        let path = ["statistics", "calls"];
        self.post(operation, &path, body).await?.done();
        Ok(())
    }

    /// Writes down when a call ended. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Safe to repeat.
    pub async fn end_call(&self, call: &str, ended_at: Timestamp) -> Result<()> {
        let path = ["statistics", "calls", call];
        let body = json!({ "ended_at": ended_at });
        let answer = self.act("end_call", Method::PATCH, &path, Some(body));
        answer.await?.done();
        Ok(())
    }

    /// Writes down what a device did with a call. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `Rejected` also for a call that is not written down.
    ///
    /// # Cancel safety
    /// Safe to repeat.
    pub async fn store_call_device(
        &self,
        call: &str,
        device: &str,
        report: DeviceReport,
    ) -> Result<()> {
        let mut body = Map::new();
        if let Some(at) = report.rang_at {
            body.insert("rang_at".into(), json!(at));
        }
        if let Some(end) = report.ended {
            let end = json!({ "at": end.at, "state": end.state.as_str() });
            body.insert("invite_terminated".into(), end);
        }
        let path = ["statistics", "calls", call, "devices", device];
        let body = Some(Value::Object(body));
        let answer = self.act("store_call_device", Method::PATCH, &path, body);
        answer.await?.done();
        Ok(())
    }

    /// Writes a message down. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `Rejected` also for an id that is taken.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn store_message(&self, message: &NewMessageStatistic) -> Result<()> {
        let operation = "store_message";
        let body = json!({
            "id": message.id,
            "from": address(operation, message.from.expose())?,
            "sent_at": message.sent_at,
            "encrypted": message.encrypted,
        });
        let path = ["statistics", "messages"];
        self.post(operation, &path, body).await?.done();
        Ok(())
    }

    /// Writes down what became of a message at a device. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `Rejected` also for a message that is not written down.
    ///
    /// # Cancel safety
    /// Safe to repeat.
    pub async fn store_message_device(
        &self,
        message: &str,
        to: &str,
        device: &str,
        last_status: u16,
        received_at: Timestamp,
    ) -> Result<()> {
        let operation = "store_message_device";
        let to = address(operation, to)?;
        let path = [
            "statistics",
            "messages",
            message,
            "to",
            to,
            "devices",
            device,
        ];
        let body = json!({ "last_status": last_status, "received_at": received_at });
        let answer = self.act(operation, Method::PATCH, &path, Some(body));
        answer.await?.done();
        Ok(())
    }
}
