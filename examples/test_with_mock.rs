//! How an application is tested without a PBX: `cargo test --example test_with_mock`.
#![allow(
    clippy::print_stdout,
    reason = "an example talks to the person who runs it"
)]

use faxbot_core::{
    ErrorKind, Result,
    sip::{CallRequest, SipAdapter},
};

/// The application's own code: it knows `SipAdapter`, and no server.
async fn ring_the_doctor(sip: &dyn SipAdapter) -> Result<&'static str> {
    let call = sip.make_call(CallRequest::dial("602".parse()?)).await?;
    match call.answered().await {
        Ok(()) => Ok("answered"),
        Err(error) if error.kind() == ErrorKind::Rejected => Ok("call later"),
        Err(error) => Err(error),
    }
}

fn main() {
    println!("cargo test --example test_with_mock");
    let _ = ring_the_doctor;
}

#[cfg(test)]
mod tests {
    use faxbot_sip::adapter::asterisk::{AsteriskAdapter, AsteriskConfig};
    use faxbot_testkit::server::asterisk::{CallScript, MockAsterisk};

    use super::*;

    #[tokio::test]
    async fn a_busy_doctor_is_called_later() {
        let mock = MockAsterisk::builder()
            .on_dial("602", CallScript::busy())
            .start()
            .await
            .unwrap();
        mock.expect("Originate").times(1);
        let sip = AsteriskAdapter::new(AsteriskConfig::from_url(&mock.url()).unwrap());
        sip.connect().await.unwrap();
        assert_eq!(ring_the_doctor(&sip).await.unwrap(), "call later");
        mock.finish().await;
    }
}
