//! A vendor, or somebody in its place, that sends us elsewhere.

use faxbot_core::{
    document::Document,
    message::{MessageContent, MessageKind},
    plugin::{FaxPlugin, InboundQuery, MessagingPlugin, SendOptions},
};
use faxbot_testkit::{
    fixtures::private,
    server::http::{Fault, FaultKind, MockHttp, MockVendor},
};
use url::Url;

use crate::{
    alone,
    cloud_wire_support::Trap,
    payload::{templates, wire},
    rig::{Memory, Rig},
    subject::Plugin,
};

fn redirects<V: MockVendor>(mock: Option<&MockHttp<V>>, to: Option<&Url>) {
    let Some(mock) = mock else { return };
    mock.no_faults();
    if let Some(to) = to {
        mock.fault(Fault::new(FaultKind::Redirect(to.clone())).always());
    }
}

fn all(rig: &Rig, to: Option<&Url>) {
    redirects(rig.mocks.phaxio.as_ref(), to);
    redirects(rig.mocks.sinch_fax.as_ref(), to);
    redirects(rig.mocks.sinch_sms.as_ref(), to);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_redirect_is_followed_and_none_gets_a_credential() {
    let _turn = alone().await;
    let folder = tempfile::tempdir().unwrap();
    let rig = Rig::start(folder.path(), false, Memory::None).await;
    let trap = Trap::new().await;
    let mut sent = 0;
    for to in [
        trap.url("/fax.pdf"),
        trap.url("/oauth2/token"),
        "http://169.254.169.254/latest/meta-data/".parse().unwrap(),
        "file:///etc/passwd".parse().unwrap(),
        // The vendor's own host: an answer is no order.
        rig.subjects[0].vendor.join("/v2.1/account/status").unwrap(),
    ] {
        for at in 0..rig.subjects.len() {
            // With a token at hand, and without.
            if let Some(mock) = &rig.mocks.sinch_fax {
                mock.vendor(faxbot_testkit::server::sinch_fax::MockSinchFax::expire_tokens);
            }
            all(&rig, Some(&to));
            let subject = &rig.subjects[at];
            for template in templates(subject, to.as_str()) {
                let (headers, body) = wire(subject, &template);
                let reply = subject.call(&rig.host, &headers, &body).await;
                assert_eq!(reply.status, 503, "{:?} {to}", subject.kind);
            }
            asked(&subject.plugin).await;
            all(&rig, None);
            for request in rig.host.http.take() {
                assert_eq!(
                    request.url.origin(),
                    subject.vendor.origin(),
                    "{}",
                    request.url
                );
                assert_ne!(request.url, to);
                sent += 1;
            }
        }
        assert_eq!(trap.came(), 0, "{to}");
    }
    assert!(sent > 50, "{sent}");
}

/// What a caller asks for, each a request that is sent elsewhere.
async fn asked(plugin: &Plugin) {
    match plugin {
        Plugin::Fax { plugin, job } => {
            assert!(plugin.list_inbound(InboundQuery::new()).await.is_err());
            assert!(plugin.get_inbound("4711").await.is_err());
            assert!(plugin.cancel_fax(job).await.is_err() || !can_cancel(plugin.as_ref()));
            let document =
                Document::bytes(faxbot_testkit::server::phaxio::MockPhaxio::blank_pdf(1));
            let to = private::NUMBER.parse().unwrap();
            let sent = plugin.send_fax(to, document, SendOptions::new()).await;
            let job = sent.unwrap().job_id;
            crate::cloud_wire_support::until(async || {
                let status = plugin.get_status(&job).await.unwrap().status;
                (status == faxbot_core::fax::JobStatus::OutcomeUnknown || status.is_final())
                    .then_some(())
            })
            .await;
        }
        Plugin::Sms { plugin, .. } => {
            assert!(plugin.get_message_status("4711").await.is_err());
            let text = MessageContent::text(MessageKind::Sms, private::MESSAGE);
            let to = private::NUMBER.parse().unwrap();
            assert!(plugin.send_message(to, text).await.is_err());
        }
    }
}

fn can_cancel(plugin: &dyn FaxPlugin) -> bool {
    plugin
        .manifest()
        .can(&faxbot_core::plugin::PluginCapability::CANCEL_FAX)
}
