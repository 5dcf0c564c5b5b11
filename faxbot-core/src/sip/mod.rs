//! The contract of a SIP server: [`SipAdapter`], its requests, states, events and records.

mod adapter;
mod call;
mod capability;
mod cause;
mod event;
mod health;
mod kind;
mod request;
mod state;
mod status;

pub use adapter::{Connection, EventPath, SipAdapter};
pub use call::{
    Call, CallOptions, CallPlan, CallRequest, CallUpdate, DEFAULT_RING_TIMEOUT, OnAnswer,
};
pub use capability::{Capabilities, Capability};
pub use cause::{Causes, class_of, class_of_q850, class_of_sip};
pub use event::{
    CallStateChanged, ConnectionChanged, Gap, IncomingCall, RawEvent, Severity, SipEvent, Snapshot,
};
pub use health::{Health, HealthMetrics, HealthRecorder, HealthStatus, Latency};
pub use kind::{AdapterKind, SupportedVersions};
pub use request::{
    AcceptAs, ConferenceAction, ConferenceRequest, DtmfRequest, HistoryQuery, RecordRequest,
    RejectCause, SipMessage, TransferPlan, TransferRequest,
};
pub use state::{CallState, ConnectionState, IllegalEdge};
pub use status::{
    CallRecord, CallStatus, Direction, Disposition, Drained, HangupOutcome, Lookup, UnknownReason,
};
