//! Capabilities: declared means offered, undeclared means refused before a byte is sent. Health
//! and configuration.

use std::time::Duration;

use faxbot_core::{
    Error, ErrorKind,
    address::FaxTarget,
    fax::FaxRequest,
    id::{CallId, CallRef},
    message::{MessageContent, MessageKind},
    sip::{
        AcceptAs, CallRequest, Capability, ConferenceAction, ConferenceRequest, DtmfRequest,
        HealthStatus, HistoryQuery, OnAnswer, RecordRequest, RejectCause, SipMessage,
        TransferRequest,
    },
};
use serde_json::json;

use super::{Entry, Fate, Need, SOON, World, ended, entry, names_an_unknown_key};
use crate::conformance::{Failure, Verdict, ensure, within};

pub(super) fn entries() -> Vec<Entry> {
    vec![
        entry!(
            "the capabilities are those that the environment states",
            [],
            [],
            as_stated
        ),
        entry!(
            "a declared capability is never unsupported",
            [],
            [],
            declared
        ),
        entry!(
            "an undeclared capability is unsupported and nothing is sent",
            [Need::Requests],
            [],
            undeclared
        ),
        entry!("a good configuration has no problem", [], [], good_config),
        entry!(
            "every problem of a configuration is reported at once",
            [],
            [],
            bad_configs
        ),
        entry!(
            "an unknown key is a problem that names the key",
            [],
            [],
            unknown_key
        ),
        entry!(
            "an idle adapter is healthy and a disconnected one critical",
            [],
            [],
            idle_health
        ),
        entry!(
            "busy lines do not harm the health",
            [Need::Fate(Fate::Busy)],
            [Calls],
            busy_health
        ),
        entry!(
            "refusals of the server make the health critical",
            [Need::Fate(Fate::Refused)],
            [Calls],
            refused_health
        ),
    ]
}

async fn as_stated(world: World) -> Verdict {
    world.connect().await?;
    let (has, stated) = (world.adapter.capabilities(), world.env.capabilities());
    ensure!(
        has == stated,
        "the adapter declares {has:?}, the environment states {stated:?}"
    );
    ensure!(has.iter().next().is_some(), "nothing is declared");
    Ok(())
}

async fn declared(world: World) -> Verdict {
    world.connect().await?;
    for capability in world.adapter.capabilities().iter() {
        for (what, error) in ask(&world, capability).await? {
            let unsupported = error.is_some_and(|error| error.kind() == ErrorKind::Unsupported);
            ensure!(
                !unsupported,
                "{capability:?} is declared, and {what} is unsupported"
            );
        }
    }
    Ok(())
}

async fn undeclared(world: World) -> Verdict {
    world.connect().await?;
    let has = world.adapter.capabilities();
    let name = world.setup.call_request();
    let before = world.asked(name);
    for capability in Capability::ALL
        .iter()
        .copied()
        .filter(|capability| !has.has(*capability))
    {
        for (what, error) in ask(&world, capability).await? {
            let Some(error) = error else {
                return Err(Failure::new(format!(
                    "{capability:?} is not declared, and {what} succeeded"
                )));
            };
            ensure!(
                error.kind() == ErrorKind::Unsupported,
                "{capability:?} is not declared, and {what} answers {error:?}"
            );
        }
    }
    let after = world.asked(name);
    ensure!(
        after == before,
        "{} requests were sent for what is unsupported",
        after - before
    );
    Ok(())
}

type Asked = Vec<(&'static str, Option<Error>)>;

/// Asks for one capability in every way it can be asked for.
async fn ask(world: &World, capability: Capability) -> Result<Asked, Failure> {
    use Capability as C;
    let adapter = &world.adapter;
    let unknown = CallRef::from(CallId::new());
    let target = || world.setup.target(Fate::Answers);
    let mut asked: Asked = Vec::new();
    // Waiting for a reply of a server must not be waiting for ever.
    macro_rules! ask {
        ($what:literal, $future:expr) => {
            asked.push(($what, within($what, SOON, $future).await?.err()))
        };
    }
    match capability {
        C::Dial => {
            ask!("make_call", call(world, CallRequest::dial(target().await?)));
        }
        C::Connect => {
            ask!(
                "make_call",
                call(
                    world,
                    CallRequest::connect(target().await?, target().await?)
                )
            );
        }
        C::OnAnswerPark => {
            ask!("make_call", call(world, CallRequest::dial(target().await?)));
        }
        C::OnAnswerExtension => {
            let then = OnAnswer::Extension {
                extension: "600".to_owned(),
                context: None,
            };
            ask!(
                "make_call",
                call(world, CallRequest::dial(target().await?).on_answer(then))
            );
        }
        C::OnAnswerBridge => {
            let then = OnAnswer::Bridge(target().await?);
            ask!(
                "make_call",
                call(world, CallRequest::dial(target().await?).on_answer(then))
            );
        }
        C::OnAnswerApplication => {
            let then = OnAnswer::Application {
                name: "Echo".to_owned(),
                data: String::new(),
            };
            ask!(
                "make_call",
                call(world, CallRequest::dial(target().await?).on_answer(then))
            );
        }
        C::RecordOnAnswer => {
            let mut request = world.call_to(target().await?).await?;
            request.options.record = true;
            ask!("make_call", call(world, request));
        }
        C::MaxDuration => {
            let mut request = world.call_to(target().await?).await?;
            request.options.max_duration = Some(Duration::from_secs(60));
            ask!("make_call", call(world, request));
        }
        C::Variables => {
            let request = world.call_to(target().await?).await?;
            let request = request.with_variable("COLOUR", "blue");
            ask!("make_call", call(world, request));
        }
        C::Headers => {
            let mut request = world.call_to(target().await?).await?;
            request
                .options
                .headers
                .insert("X-Colour".to_owned(), "blue".to_owned());
            ask!("make_call", call(world, request));
        }
        C::Hangup => ask!("hangup", adapter.hangup(&unknown)),
        // `lookup` is for everybody; the capability says how much it can know.
        C::LookupEnded => {}
        C::Incoming => {
            ask!("accept", adapter.accept(&unknown, AcceptAs::Park));
            ask!("reject", adapter.reject(&unknown, RejectCause::Busy));
        }
        C::ReceiveFax => {
            ask!("accept", adapter.accept(&unknown, AcceptAs::Fax));
            ask!("take_fax", adapter.take_fax(&unknown));
        }
        C::TransferBlind => {
            ask!(
                "transfer",
                adapter.transfer(TransferRequest::blind(unknown.clone(), target().await?))
            );
        }
        C::TransferAttended => {
            ask!(
                "transfer",
                adapter.transfer(TransferRequest::attended(unknown.clone(), CallId::new()))
            );
        }
        C::Hold => {
            ask!("hold", adapter.hold(&unknown));
            ask!("resume", adapter.resume(&unknown));
        }
        C::Conference => {
            let action = ConferenceAction::Kick(unknown.clone());
            ask!(
                "conference",
                adapter.conference(ConferenceRequest::new("room", action))
            );
        }
        C::Record => {
            ask!(
                "record",
                adapter.record(RecordRequest::start(unknown.clone()))
            );
            ask!(
                "record",
                adapter.record(RecordRequest::stop(unknown.clone()))
            );
        }
        C::SendDtmf => ask!(
            "send_dtmf",
            adapter.send_dtmf(DtmfRequest::new(unknown.clone(), "12#"))
        ),
        C::CallHistory => ask!(
            "get_call_history",
            adapter.get_call_history(HistoryQuery::default())
        ),
        C::Cdr => ask!("get_cdr", adapter.get_cdr(&unknown)),
        C::SendMessage => {
            let content = MessageContent::text(MessageKind::Sip, "hello");
            ask!(
                "send_message",
                adapter.send_message(SipMessage::new(target().await?, content))
            );
        }
        C::SendFax => {
            let to = FaxTarget::try_from(target().await?)?;
            let image = world.setup.image(1)?;
            ask!("send_fax", fax(world, FaxRequest::new(to, image)));
        }
        C::FaxFirstPage => {
            let to = FaxTarget::try_from(target().await?)?;
            let request = FaxRequest::new(to, world.setup.image(2)?).with_first_page(2);
            ask!("send_fax", fax(world, request));
        }
        other => return Err(Failure::new(format!("the suite does not know {other:?}"))),
    }
    Ok(asked)
}

async fn call(world: &World, request: CallRequest) -> Result<(), Error> {
    let call = world.adapter.make_call(request).await?;
    // Parked or in a dialplan: it may have ended by itself.
    let _ = world.adapter.hangup(&call.call_ref()).await;
    Ok(())
}

async fn fax(world: &World, request: FaxRequest) -> Result<(), Error> {
    let fax = world.adapter.send_fax(request).await?;
    let _ = fax.cancel().await;
    Ok(())
}

async fn good_config(world: World) -> Verdict {
    let config = world.env.good_config();
    Ok(world.adapter.validate_config(&config)?)
}

async fn bad_configs(world: World) -> Verdict {
    let bad = world.env.bad_configs();
    ensure!(!bad.is_empty(), "the environment has no bad configuration");
    for bad in bad {
        let Err(errors) = world.adapter.validate_config(&bad.config) else {
            return Err(Failure::new(format!(
                "no problem where {:?} are wrong",
                bad.paths
            )));
        };
        for path in &bad.paths {
            let found = errors
                .iter()
                .any(|error| error.path == *path && !error.expected.is_empty());
            ensure!(
                found,
                "{path} is not reported, or not what is right: {errors:?}"
            );
        }
    }
    for no_object in [json!(null), json!("text"), json!([1])] {
        let checked = world.adapter.validate_config(&no_object);
        ensure!(checked.is_err(), "{no_object} passes");
    }
    Ok(())
}

async fn unknown_key(world: World) -> Verdict {
    names_an_unknown_key(world.env.good_config(), |config| {
        world.adapter.validate_config(config)
    })
}

async fn idle_health(world: World) -> Verdict {
    let health = world.adapter.health_check().await?;
    ensure!(
        !health.connected && health.status == HealthStatus::Critical,
        "disconnected: {health:?}"
    );
    world.connect().await?;
    let health = world.adapter.health_check().await?;
    ensure!(
        health.connected && health.status == HealthStatus::Healthy,
        "idle: {health:?}"
    );
    ensure!(
        health.metrics.call_success_rate.is_none(),
        "a rate of one operation: {health:?}"
    );
    world.disconnect().await?;
    let health = world.adapter.health_check().await?;
    ensure!(
        !health.connected && health.status == HealthStatus::Critical,
        "again: {health:?}"
    );
    Ok(())
}

async fn busy_health(world: World) -> Verdict {
    world.connect().await?;
    for _ in 0..12 {
        let call = world.dial(Fate::Busy).await?;
        ended(&call).await?;
    }
    let health = world.adapter.health_check().await?;
    ensure!(
        health.status == HealthStatus::Healthy,
        "after 12 busy lines: {health:?}"
    );
    ensure!(
        health.metrics.active_calls == 0,
        "calls are left: {health:?}"
    );
    ensure!(
        health.metrics.total_calls >= 12,
        "operations are not counted: {health:?}"
    );
    Ok(())
}

async fn refused_health(world: World) -> Verdict {
    world.connect().await?;
    for _ in 0..12 {
        let request = world.request(Fate::Refused).await?;
        let refused = world.adapter.make_call(request).await;
        ensure!(refused.is_err(), "a refused request succeeded");
    }
    let health = world.adapter.health_check().await?;
    ensure!(
        health.status == HealthStatus::Critical,
        "after 12 refusals: {health:?}"
    );
    ensure!(
        health.metrics.failed_calls >= 12,
        "refusals are not counted: {health:?}"
    );
    Ok(())
}
