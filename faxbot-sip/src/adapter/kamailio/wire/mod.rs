//! What is asked of Kamailio and what it answers, typed. Answers are read leniently across 5.2 to 6.x:
//! members that a version lacks are absent, numbers may come as text, what is unknown is passed over.
//!
//! The answers are described by the calls to `rpc->struct_add` in `src/modules/*` of Kamailio; the
//! versions compared are 5.2, 5.6, 5.8 and 6.1.

mod ask;
mod dialog;
mod dispatcher;
mod lenient;
mod registration;
mod reply;
mod server;

pub(super) use self::{
    ask::{Uac, check_text, method, request},
    dialog::{Rows, read_mark},
    dispatcher::Sets,
    registration::{Aors, OneAor},
    server::{Ignored, Methods, Uptime, Version},
};
pub use self::{
    dialog::{Dialog, DialogHandle, DialogParty, DialogState},
    dispatcher::{Destination, DestinationState},
    registration::{Registration, RegistrationContact},
    reply::SipReply,
    server::Statistics,
};
