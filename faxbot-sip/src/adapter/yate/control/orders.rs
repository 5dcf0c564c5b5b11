//! The messages that orders are made of.

use std::time::Duration;

use faxbot_core::{Error, ErrorKind, Result};

use super::super::server::{Server, message};

/// The channel that one is connected to; `NotFound` where it is gone. Empty for one that is alone.
pub(super) async fn partner(
    server: &Server,
    channel: &str,
    operation: &'static str,
) -> Result<String> {
    let command = message("engine.status", &[("module", channel)], operation)?;
    let frame = server.ask(command, operation).await?;
    let answer = frame.message().filter(|answer| answer.is_processed());
    let Some(answer) = answer else {
        let text = "the call's channel is gone";
        return Err(Error::new(ErrorKind::NotFound, operation, text));
    };
    Ok(answer.text("peerid").unwrap_or_default().into_owned())
}

/// Gives a message to the engine in the name of a channel.
async fn as_channel(
    server: &Server,
    channel: &str,
    name: &str,
    params: &[(&str, &str)],
    operation: &'static str,
) -> Result<()> {
    let mut all = vec![("id", channel), ("message", name)];
    all.extend_from_slice(params);
    let command = message("chan.masquerade", &all, operation)?;
    server.order(command, operation).await.map(drop)
}

/// Connects a channel to what a target names; its partner is hung up. What cannot be done leaves the
/// channel where it is.
pub(super) async fn send_to(
    server: &Server,
    channel: &str,
    target: &str,
    more: &[(&str, &str)],
    operation: &'static str,
) -> Result<()> {
    let mut params = vec![("callto", target)];
    params.extend_from_slice(more);
    as_channel(server, channel, "call.execute", &params, operation).await
}

/// Takes a channel and its partner into a conference.
pub(super) async fn both_to_room(
    server: &Server,
    channel: &str,
    room: &str,
    more: &[(&str, &str)],
    operation: &'static str,
) -> Result<()> {
    let target = format!("conf/{room}");
    let mut params = vec![("room", target.as_str())];
    params.extend_from_slice(more);
    as_channel(server, channel, "call.conference", &params, operation).await
}

/// Lets the partner of an end of ours hear something. Without `single` it answers `false` for some
/// sources that it plays.
pub(super) async fn play(
    server: &Server,
    end: &str,
    source: &str,
    operation: &'static str,
) -> Result<()> {
    let params = [("source", source), ("single", "true")];
    as_channel(server, end, "chan.attach", &params, operation).await
}

/// Records what is heard from a channel's far end; `-` stops that.
pub(super) async fn record(
    server: &Server,
    channel: &str,
    file: &str,
    operation: &'static str,
) -> Result<()> {
    let target = format!("wave/record/{file}");
    as_channel(
        server,
        channel,
        "chan.record",
        &[("call", &target)],
        operation,
    )
    .await
}

/// Mutes a member of a conference, or lets it be heard again.
pub(super) async fn mute(
    server: &Server,
    channel: &str,
    muted: bool,
    operation: &'static str,
) -> Result<()> {
    let muted = if muted { "true" } else { "false" };
    as_channel(
        server,
        channel,
        "chan.control",
        &[("mute", muted)],
        operation,
    )
    .await
}

/// Connects two channels; the partners that they had are hung up. `false` where one of them is gone.
pub(super) async fn connect(
    server: &Server,
    one: &str,
    two: &str,
    operation: &'static str,
) -> Result<bool> {
    let command = message("chan.connect", &[("id", one), ("targetid", two)], operation)?;
    let frame = server.ask(command, operation).await?;
    Ok(frame.message().is_some_and(|answer| answer.is_processed()))
}

/// Ends a channel this long from now. The engine does so, and answers `false` all the same (observed on
/// Yate 6.4.1).
pub(super) async fn limit(
    server: &Server,
    channel: &str,
    limit: Duration,
    operation: &'static str,
) -> Result<()> {
    let limit = limit.as_millis().clamp(1, 86_400_000).to_string();
    let params = [("targetid", channel), ("timeout", limit.as_str())];
    let command = message("chan.control", &params, operation)?;
    server.ask(command, operation).await.map(drop)
}
