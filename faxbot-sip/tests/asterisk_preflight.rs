//! Preflight finds each thing that is missing, says how to mend it, and leaves nothing behind.
#![cfg(test)]
#![cfg(feature = "asterisk")]

mod asterisk_support;

use std::{fs, future::Future, pin::pin, task::Poll, time::Duration};

use asterisk_support::{CONTEXT, FLAVOURS, Rig, dial};
use faxbot_core::{ErrorKind, sip::SipAdapter};
use faxbot_sip::adapter::asterisk::{
    AsteriskAdapter, AsteriskConfig, DialplanContext, PreflightProblem as Problem,
};
use faxbot_testkit::server::asterisk::{Account, MockAsteriskBuilder, ReplyFault};

async fn problems(adapter: &AsteriskAdapter) -> Vec<Problem> {
    let found = adapter.preflight().await.unwrap();
    for problem in &found.problems {
        assert!(!problem.remedy().is_empty());
        assert!(found.to_string().contains(problem.remedy()));
    }
    assert_eq!(found.is_ready(), found.problems.is_empty());
    found.problems
}

/// What preflight of one server and one configuration finds; it must leave nothing.
async fn found(
    server: impl FnOnce(MockAsteriskBuilder) -> MockAsteriskBuilder,
    config: impl FnOnce(&mut AsteriskConfig),
) -> Vec<Problem> {
    let rig = Rig::with(server).await;
    let adapter = rig.adapter_with(config);
    adapter.connect().await.unwrap();
    let found = problems(&adapter).await;
    assert!(rig.mock.db_entries().is_empty(), "{found:?}");
    assert!(rig.spooled().is_empty(), "{found:?}");
    rig.quiet().await;
    let asked = rig.mock.actions_named("DialplanExtensionAdd");
    for added in &asked {
        let context = added.get("Context").unwrap();
        let extension = added.get("Extension").unwrap();
        let ours = context == CONTEXT;
        assert!(ours || !rig.mock.has_extension(context, extension));
    }
    found
}

#[tokio::test(start_paused = true)]
async fn a_server_that_can_fax_is_ready() {
    for flavour in FLAVOURS {
        let found = found(|builder| builder.flavour(flavour), |_| {}).await;
        assert_eq!(found, []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_can_receive_faxes_is_ready() {
    let taking = |config: &mut AsteriskConfig| config.incoming_context = Some("incoming".into());
    assert_eq!(found(|builder| builder, taking).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_spool_is_looked_at_as_asterisk_sees_it() {
    let elsewhere = tempfile::tempdir().unwrap();
    let missing = elsewhere.path().join("none");
    let remote = |path: &str| {
        let path = path.to_owned();
        move |config: &mut AsteriskConfig| {
            let local = config.spool.as_ref().unwrap().local.clone();
            *config = config.clone().with_spool(local, path);
        }
    };
    let nothing = found(|builder| builder, |config| config.spool = None).await;
    assert_eq!(nothing, [Problem::NoSpool]);
    let invisible = missing.to_str().unwrap();
    assert_eq!(
        found(|builder| builder, remote(invisible)).await,
        [Problem::SpoolNotVisible]
    );
    let other = elsewhere.path().to_str().unwrap();
    assert_eq!(
        found(|builder| builder, remote(other)).await,
        [Problem::SpoolElsewhere]
    );
    assert_eq!(
        found(|builder| builder.files_unreadable(), |_| {}).await,
        [Problem::SpoolNotReadable]
    );
}

#[tokio::test(start_paused = true)]
async fn a_spool_that_we_cannot_write_to_is_told_before_asterisk_is_asked() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    fs::remove_dir(rig.spool.path()).unwrap();
    assert_eq!(problems(&adapter).await, [Problem::SpoolNotWritable]);
    assert!(rig.originates().is_empty());
    fs::create_dir(rig.spool.path()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn missing_modules_are_named() {
    let found = found(MockAsteriskBuilder::without_fax, |_| {}).await;
    assert_eq!(found, [Problem::NoResFax, Problem::NoFaxTechnology]);
}

#[tokio::test(start_paused = true)]
async fn missing_rights_are_named() {
    let account = |write: &str| {
        let account = Account::new("faxbot", "s3cret").write(write);
        move |builder: MockAsteriskBuilder| builder.account(account)
    };
    assert_eq!(
        found(account("system,call,reporting"), |_| {}).await,
        [Problem::MayNotOriginate]
    );
    assert_eq!(
        found(account("call,originate,reporting"), |_| {}).await,
        [Problem::MayNotAddExtensions, Problem::NotTested]
    );
    assert_eq!(
        found(account("call,originate,reporting"), |config| {
            config.dialplan = DialplanContext::Off;
        })
        .await,
        [Problem::NotTested]
    );
}

#[tokio::test(start_paused = true)]
async fn a_context_of_the_operator_has_to_be_there() {
    let named =
        |config: &mut AsteriskConfig| config.dialplan = DialplanContext::Named("ours".into());
    assert_eq!(
        found(|builder| builder, named).await,
        [Problem::NoDialplanContext]
    );
    let there = |builder: MockAsteriskBuilder| builder.extension("ours", "s", 1, "Return", "");
    assert_eq!(found(there, named).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_question_that_fails_midway_leaves_nothing_either() {
    for (action, fault) in [
        ("Originate", ReplyFault::Refuse("Invalid channel".into())),
        (
            "DBGet",
            ReplyFault::Refuse("Asterisk is shutting down".into()),
        ),
    ] {
        let rig = Rig::new().await;
        let adapter = rig.connected().await;
        rig.mock.next_reply(action, fault);
        adapter.preflight().await.unwrap_err();
        rig.quiet().await;
        assert!(rig.spooled().is_empty());
        assert!(rig.mock.db_entries().is_empty(), "{action}");
        for added in rig.mock.actions_named("DialplanExtensionAdd") {
            let context = added.get("Context").unwrap();
            let extension = added.get("Extension").unwrap();
            assert!(context == CONTEXT || !rig.mock.has_extension(context, extension));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn preflight_needs_a_connection_and_disturbs_no_call() {
    let rig = Rig::new().await;
    let error = rig.adapter().preflight().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
    let adapter = rig.connected().await;
    let call = adapter.make_call(dial("+15551230001")).await.unwrap();
    call.answered().await.unwrap();
    assert_eq!(problems(&adapter).await, []);
    assert_eq!(adapter.snapshot().calls.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_leaves_nothing_behind() {
    for polls in 1..60 {
        let rig = Rig::new().await;
        let adapter = rig.connected().await;
        {
            let mut asking = pin!(adapter.preflight());
            for _ in 0..polls {
                let ready =
                    std::future::poll_fn(|cx| Poll::Ready(asking.as_mut().poll(cx).is_ready()));
                if ready.await {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        let left = || {
            let added = rig.mock.actions_named("DialplanExtensionAdd");
            added.into_iter().any(|added| {
                let context = added.get("Context").unwrap();
                context != CONTEXT
                    && rig
                        .mock
                        .has_extension(context, added.get("Extension").unwrap())
            })
        };
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert!(!left(), "an extension, after {polls} polls");
        assert!(rig.spooled().is_empty(), "a file, after {polls} polls");
        assert!(
            rig.mock.db_entries().is_empty(),
            "a key, after {polls} polls"
        );
    }
}
