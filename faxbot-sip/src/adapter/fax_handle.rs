//! The handle of a fax that runs in a call.

use std::sync::Arc;

use faxbot_core::{
    Effect, Error, ErrorKind, Result,
    fax::{FaxCall, FaxUpdate},
    id::CallId,
    plugin::CancelOutcome,
    sip::HangupOutcome,
};
use tokio::sync::watch;

use super::{hub::Core, life::Life};

/// The handle of a fax whose cancel hangs its call up. It does not keep the connection.
pub(crate) fn fax_call<C, F>(
    life: &Life<C>,
    id: CallId,
    updates: watch::Receiver<FaxUpdate>,
    hang_up: impl Fn(Life<C>) -> F + Send + Sync + 'static,
) -> FaxCall
where
    C: Core,
    F: Future<Output = Result<HangupOutcome>> + Send + 'static,
{
    let (life, hang_up) = (life.downgrade(), Arc::new(hang_up));
    FaxCall::new(id, updates, move || {
        let (life, hang_up) = (life.clone(), Arc::clone(&hang_up));
        Box::pin(async move {
            let Some(life) = life.upgrade() else {
                let error = Error::new(ErrorKind::Closed, "cancel", "the adapter is gone");
                return Err(error.with_call_id(id).with_effect(Effect::NoEffect));
            };
            match hang_up(life).await? {
                HangupOutcome::Ended => Ok(CancelOutcome::TooLate),
                _ => Ok(CancelOutcome::Requested),
            }
        })
    })
}
