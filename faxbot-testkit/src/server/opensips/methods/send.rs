//! `t_*`: requests that the server sends itself (recordings `04_*`).

use std::time::Duration;

use crate::server::{
    message::SentMessage,
    opensips::{
        engine::OpenSips,
        mi::{self, Outcome, Refusal, SeenMi, done},
    },
    proxy::{Replies, Target, Tree, reason},
};

pub(super) fn run(server: &mut OpenSips, name: &str, request: &SeenMi) -> (Outcome, Duration) {
    match name {
        "t_uac_dlg" => match send(server, request) {
            Ok((answer, after)) => (Ok(answer), after),
            Err(refusal) => (Err(refusal), Duration::ZERO),
        },
        "t_uac_cancel" => (
            Err(Refusal::new(481, "No such transaction")),
            Duration::ZERO,
        ),
        _ => (done(), Duration::ZERO),
    }
}

/// Header lines, each of them ended.
fn headers(text: &str) -> Option<Vec<(String, String)>> {
    if !text.is_empty() && !text.ends_with('\n') {
        return None;
    }
    let lines = text.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.trim().to_owned(), value.trim().to_owned()))
        })
        .collect()
}

fn send(server: &mut OpenSips, request: &SeenMi) -> Result<(Tree, Duration), Refusal> {
    let bad = |why: &str| Refusal::new(400, why);
    let method = mi::text(request, "method")?;
    let ruri = mi::text(request, "ruri")?;
    let lines = mi::text(request, "headers")?;
    let body = mi::maybe_text(request, "body")?;
    let target = Target::parse(&ruri).ok_or_else(|| bad("Invalid ruri"))?;
    let hop = match mi::maybe_text(request, "next_hop")? {
        None => target.clone(),
        Some(hop) => Target::parse(&hop).ok_or_else(|| bad("Invalid next_hop"))?,
    };
    if mi::maybe_text(request, "socket")?.is_some_and(|socket| socket != "udp:127.0.0.1:25060") {
        return Err(Refusal::new(404, "Local socket not found"));
    }
    let headers = headers(&lines).ok_or_else(|| bad("Bad headers"))?;
    let header = |name: &str| {
        let found = headers
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone())
    };
    let to = header("To").ok_or_else(|| bad("To missing"))?;
    let from = header("From").ok_or_else(|| bad("From missing"))?;
    if body.is_some() && header("Content-Type").is_none() {
        return Err(bad("Content-Type missing"));
    }
    if hop.host.ends_with(".invalid") {
        return Err(Refusal::new(476, "Unresolvable destination (476/MI/UAC)"));
    }
    let number = server.state.serial();
    if method == "MESSAGE" {
        server.state.sent.push(SentMessage {
            destination: ruri.clone(),
            to: Some(to.clone()),
            from: from.clone(),
            body: body.unwrap_or_default(),
            headers: headers.clone(),
        });
    }
    let phone = server.state.world.phone(&target);
    let (status, after) = match phone.messages {
        Replies::Never => {
            let timed_out = Tree::object([("Status", Tree::from("408 Request Timeout"))]);
            return Ok((timed_out, server.setup.answer_timeout));
        }
        Replies::With(status) => (status, phone.reply_after.max(server.setup.timings.setup)),
    };
    let call_id =
        header("Call-ID").unwrap_or_else(|| format!("6c81d59d7ac7d{number:03x}-8977@127.0.0.1"));
    let message = format!(
        "Via: SIP/2.0/UDP 127.0.0.1:25060;branch=z9hG4bK44d2.{number:08x}.0\r\nFrom: {from};tag=716efdd3\r\n\
         To: {to};tag=2acf8\r\nCall-ID: {call_id}\r\nCSeq: 10 {method}\r\nContent-Length: 0\r\n\r\n"
    );
    let good = (200..300).contains(&status);
    let uri = |name| good.then(|| (name, Tree::from(target.uri.as_str())));
    let members = [("Status", Tree::from(format!("{status} {}", reason(status))))]
        .into_iter()
        .chain(uri("RURI"))
        .chain(uri("Next-hop"))
        .chain([("Message", message.into())]);
    Ok((Tree::object(members), after))
}
