//! `tm.t_uac_*`: single requests that the server sends itself (recordings `t_uac`,
//! `t_uac_variants`).

use std::time::Duration;

use tokio::time::Instant;

use crate::server::{
    kamailio::{
        engine::Kamailio,
        rpc::{Outcome, Refusal, SeenRpc, done},
    },
    message::SentMessage,
    proxy::{Happening, Replies, Target, Tree, reason},
};

/// CSeq of a request that names none (`DEFAULT_CSEQ` in `tm/uac.h`).
const FIRST_CSEQ: u32 = 10;

/// The parameters that it needs at least.
const LEAST: usize = 5;

pub(super) fn run(
    server: &mut Kamailio,
    name: &str,
    request: &SeenRpc,
    _now: Instant,
) -> Option<(Outcome, Duration)> {
    match name {
        "t_uac_start" | "t_uac_wait" | "t_uac_wait_block" => {}
        "cancel" => return Some((cancel(server, request), Duration::ZERO)),
        _ => return None,
    }
    Some(match send(server, request) {
        Err(refusal) => (Err(refusal), Duration::ZERO),
        Ok(_) if name == "t_uac_start" => (done(), Duration::ZERO),
        Ok(sent) if name == "t_uac_wait" => (Ok(sent.whole()), sent.after),
        Ok(sent) => {
            let short = Tree::object([
                ("code", Tree::from(sent.status)),
                ("text", Tree::from(reason(sent.status))),
            ]);
            (Ok(short), sent.after)
        }
    })
}

/// Both parameters are texts (observed on Kamailio 5.6.3 and 6.1).
fn cancel(server: &mut Kamailio, request: &SeenRpc) -> Outcome {
    let cseq = request.text(1).and_then(|cseq| cseq.parse().ok());
    let (Some(call_id), Some(cseq)) = (request.text(0), cseq) else {
        return Err(Refusal::new(400, "Callid and CSeq expected as parameters"));
    };
    // 6.1 tells nothing of the answer to a request that it took back.
    let is_told = server.setup.version.starts_with('5');
    let own = (call_id.to_owned(), cseq);
    if server.state.asked.contains(&own) {
        // Also after its answer (recording `t_uac_variants`).
        return Ok(Tree::from("branches remaining (waiting for timeout)"));
    }
    match server.state.world.cancel_leg(call_id, cseq, is_told) {
        Some(true) => Ok(Tree::from("branches remaining (waiting for timeout)")),
        Some(false) => Ok(Tree::from("no more pending branches")),
        None => Err(Refusal::new(400, "Transaction not found")),
    }
}

/// A request and its final reply.
struct Sent {
    status: u16,
    after: Duration,
    ruri: String,
    /// Headers of the reply; none of the server's own.
    headers: Option<String>,
}

impl Sent {
    fn whole(&self) -> Tree {
        let uri = self.headers.as_ref().map_or("", |_| &self.ruri);
        Tree::List(vec![
            Tree::from(self.status),
            reason(self.status).into(),
            uri.into(),
            uri.into(),
            "".into(),
            Tree::from(self.headers.clone().unwrap_or_default()),
        ])
    }
}

fn send(server: &mut Kamailio, request: &SeenRpc) -> Result<Sent, Refusal> {
    let given = request.values().len();
    if given < LEAST {
        let why = format!("too few parameters (-{given}/{LEAST})");
        return Err(Refusal::new(400, why));
    }
    let text = |place: usize| request.text(place).unwrap_or_default();
    let (method, ruri) = (text(0), text(1));
    let headers = headers(text(4));
    let header = |name: &str| {
        let mut all = headers.iter();
        let found = all.find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone())
    };
    let Some(to) = header("To") else {
        return Err(Refusal::new(400, "To missing"));
    };
    let Some(from) = header("From") else {
        return Err(Refusal::new(400, "From missing"));
    };
    let Some(target) = Target::parse(ruri) else {
        return Err(Refusal::new(400, "Request-URI is invalid"));
    };
    let hop = match text(2) {
        "." | "" => Some(target.clone()),
        hop => Target::parse(hop),
    };
    if hop.is_none_or(|hop| hop.host.ends_with(".invalid")) {
        let why = "I'm terribly sorry, server error occurred (7/RPC/UAC)";
        return Err(Refusal::new(500, why));
    }
    let state = &mut server.state;
    state.transactions += 1;
    let call_id = header("Call-ID")
        .unwrap_or_else(|| format!("79d9e2f45e{:06x}-10210@127.0.0.1", state.transactions));
    let cseq = header("CSeq").and_then(|cseq| cseq.split_whitespace().next()?.parse().ok());
    state
        .asked
        .push((call_id.clone(), cseq.unwrap_or(FIRST_CSEQ)));
    let address = |value: &str| Target::parse(value).map_or_else(String::new, |it| it.uri);
    state.world.tells(Happening::Local {
        method: method.to_owned().into(),
        call_id: call_id.clone(),
        ruri: target.uri.clone(),
        from: address(&from),
        to: address(&to),
        refer_to: None,
    });
    if method == "MESSAGE" {
        state.sent.push(SentMessage {
            destination: ruri.to_owned(),
            to: Some(to.clone()),
            from: from.clone(),
            body: text(5).to_owned(),
            headers: headers.clone(),
        });
    }
    let phone = state.world.phone(&target);
    Ok(match phone.messages {
        Replies::Never => Sent {
            status: 408,
            after: state.world.setup.answer_timeout,
            ruri: target.uri,
            headers: None,
        },
        Replies::With(status) => Sent {
            status,
            after: phone.reply_after,
            headers: Some(format!(
                "Via: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK6c1.{:08x}\r\nFrom: {from};tag=17e3\r\n\
                 To: {to};tag=x1\r\nCall-ID: {call_id}\r\nCSeq: 10 {method}\r\nContact: <{}>\r\n\
                 Content-Length: 0\r\n\r\n",
                state.transactions, target.uri,
            )),
            ruri: target.uri,
        },
    })
}

/// Header lines, each ended by CR LF.
fn headers(text: &str) -> Vec<(String, String)> {
    text.split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect()
}
