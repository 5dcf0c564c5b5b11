//! What goes over a call: recordings, digits, and what the far end holds.

use std::time::Duration;

use faxbot_core::{
    ErrorKind,
    event::EventStream,
    id::CallId,
    sip::{DtmfRequest, RecordRequest, SipEvent},
};

use super::{Entry, FarEnd, Need, SOON, World, entry, error_of, event, kind_is};
use crate::conformance::{Failure, Verdict, ensure, within};

pub(super) fn entries() -> Vec<Entry> {
    vec![
        entry!(
            "a recording is started and stopped, and the record names it",
            [],
            [Calls, Hangup, Record],
            recorded
        ),
        entry!(
            "a recording ends with its call",
            [],
            [Calls, Hangup, Record],
            ends_with_call
        ),
        entry!(
            "the far end hears the digits that are sent",
            [Need::Hearing],
            [Calls, SendDtmf],
            digits_out
        ),
        entry!(
            "what is no digit is refused before it is sent",
            [],
            [Calls, SendDtmf],
            no_digits
        ),
        entry!(
            "digits do not hold up other requests",
            [],
            [Calls, SendDtmf],
            not_blocked
        ),
        entry!(
            "each digit of the far end comes once and in order",
            [Need::FarEnd, Need::DigitsIn],
            [Calls],
            digits_in
        ),
        entry!(
            "a far end that holds the call and takes it back is told of",
            [Need::FarEnd, Need::RemoteHold],
            [Calls],
            remote_hold
        ),
    ]
}

/// The next change of the recording of a call: whether it runs, and the file.
async fn change(
    events: &mut EventStream<SipEvent>,
    call: CallId,
) -> Result<(bool, Option<faxbot_core::Private>), Failure> {
    event("a change of the recording", events, |event| match event {
        SipEvent::RecordingChanged { id, running, file } => {
            (id == Some(call)).then_some((running, file))
        }
        _ => None,
    })
    .await
}

async fn recorded(world: World) -> Verdict {
    world.connect().await?;
    let mut events = world.adapter.subscribe();
    let call = world.answered().await?;
    let early = world.adapter.record(RecordRequest::stop(call.id())).await;
    kind_is(
        "stop of no recording",
        &error_of("stop of no recording", early)?,
        &[ErrorKind::InvalidState],
    )?;
    let start = world.adapter.record(RecordRequest::start(call.id()));
    within("record", SOON, start).await??;
    let (running, file) = change(&mut events, call.id()).await?;
    ensure!(running && file.is_some(), "no file of a running recording");
    let twice = world.adapter.record(RecordRequest::start(call.id())).await;
    kind_is(
        "start of a running recording",
        &error_of("start of a running recording", twice)?,
        &[ErrorKind::InvalidState],
    )?;
    let stop = world.adapter.record(RecordRequest::stop(call.id()));
    within("record", SOON, stop).await??;
    let (running, stopped) = change(&mut events, call.id()).await?;
    ensure!(!running && stopped == file, "another recording stopped");
    let record = world.hang_up(&call).await?;
    ensure!(record.recording == file, "the record does not name it");
    Ok(())
}

async fn ends_with_call(world: World) -> Verdict {
    world.connect().await?;
    let mut events = world.adapter.subscribe();
    let call = world.answered().await?;
    let start = world.adapter.record(RecordRequest::start(call.id()));
    within("record", SOON, start).await??;
    ensure!(change(&mut events, call.id()).await?.0, "it does not run");
    world.hang_up(&call).await?;
    ensure!(!change(&mut events, call.id()).await?.0, "it still runs");
    Ok(())
}

async fn digits_out(world: World) -> Verdict {
    world.connect().await?;
    let call = world.answered().await?;
    let status = world.status(&call.call_ref()).await?;
    let send = world
        .adapter
        .send_dtmf(DtmfRequest::new(call.id(), "12*#A"));
    within("send_dtmf", SOON, send).await??;
    let send = world.adapter.send_dtmf(DtmfRequest::new(call.id(), "9"));
    within("send_dtmf", SOON, send).await??;
    let hears = async {
        loop {
            let heard = world.setup.heard(&status).await?;
            if heard == "12*#A9" {
                return Ok::<_, Failure>(());
            }
            ensure!("12*#A9".starts_with(&heard), "the far end heard {heard:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within("digits at the far end", SOON, hears).await?
}

async fn no_digits(world: World) -> Verdict {
    world.connect().await?;
    let call = world.answered().await?;
    for digits in ["", "12x", "1 2", "1\r\n2", "w1", "é"] {
        let sent = world
            .adapter
            .send_dtmf(DtmfRequest::new(call.id(), digits))
            .await;
        let error = error_of("what is no digit", sent)?;
        kind_is("what is no digit", &error, &[ErrorKind::InvalidRequest])?;
    }
    let nobody = DtmfRequest::new(CallId::new(), "1");
    let error = error_of("digits to nobody", world.adapter.send_dtmf(nobody).await)?;
    kind_is("digits to nobody", &error, &[ErrorKind::NotFound])
}

async fn not_blocked(world: World) -> Verdict {
    world.connect().await?;
    let call = world.answered().await?;
    let mut request = DtmfRequest::new(call.id(), "1234567890");
    request.duration = Duration::from_millis(400);
    let send = world.adapter.send_dtmf(request);
    let other = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        within(
            "a health check beside the digits",
            Duration::from_secs(2),
            world.adapter.health_check(),
        )
        .await
    };
    let (sent, checked) = tokio::join!(within("send_dtmf", SOON * 2, send), other);
    sent??;
    ensure!(checked??.connected, "not connected beside the digits");
    Ok(())
}

async fn digits_in(world: World) -> Verdict {
    world.connect().await?;
    let mut events = world.adapter.subscribe();
    let call = world.answered().await?;
    let status = world.status(&call.call_ref()).await?;
    let presses = FarEnd::Presses("1#20*".to_owned());
    world.setup.far_end(&status, presses).await?;
    let mut came = String::new();
    while came.len() < 5 {
        let digit = event("a digit", &mut events, |event| match event {
            SipEvent::DtmfReceived { id, digit, .. } => (id == Some(call.id())).then_some(digit),
            _ => None,
        })
        .await?;
        came.push(digit);
    }
    ensure!(came == "1#20*", "the digits came as {came}");
    Ok(())
}

async fn remote_hold(world: World) -> Verdict {
    world.connect().await?;
    let mut events = world.adapter.subscribe();
    let call = world.answered().await?;
    let status = world.status(&call.call_ref()).await?;
    for (does, holds) in [(FarEnd::Holds, true), (FarEnd::Resumes, false)] {
        world.setup.far_end(&status, does).await?;
        let now = event("a change of the media", &mut events, |event| match event {
            SipEvent::MediaStateChanged { id, remote_hold } => {
                (id == Some(call.id())).then_some(remote_hold)
            }
            _ => None,
        })
        .await?;
        ensure!(now == holds, "held by the far end: {now}, not {holds}");
    }
    Ok(())
}
