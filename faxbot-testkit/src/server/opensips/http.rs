//! `mi_http`: requests over HTTP (recordings `01_http_errors`, `01_large_body_*`,
//! `01_empty_reply_not_finished_until_next_activity`).

use bytes::Bytes;
use http::Method;
use tokio::time::Instant;

use super::{
    engine::{Answered, OpenSips},
    mi::{self, Channel, Refusal},
    which::Release,
};
use crate::server::{
    http::{HttpAnswer, SeenRequest, Then},
    proxy::Tree,
    script::ReplyFault,
};

/// An answer without a body: in chunks of which the last one is held back.
fn empty(status: u16) -> HttpAnswer {
    HttpAnswer::new(status)
        .with_body("application/json", Bytes::new())
        .then(Then::Unfinished)
}

fn html(status: u16, text: &str) -> HttpAnswer {
    let page = format!("<html><body>{text}</body></html>");
    HttpAnswer::new(status).with_body("text/html", page)
}

fn closes(answer: HttpAnswer) -> HttpAnswer {
    answer.with_header("connection", "close")
}

impl OpenSips {
    /// What the process makes of a request.
    pub(super) fn http(&mut self, request: &SeenRequest, now: Instant) -> HttpAnswer {
        let method = &request.method;
        if method != Method::POST && method != Method::GET {
            return closes(html(406, "Unsupported HTTP request!"));
        }
        // Only the first element of the path counts.
        let root = request.path.strip_prefix('/').unwrap_or_default();
        let root = root.split('/').next().unwrap_or_default();
        if method == Method::GET {
            return closes(empty(405));
        }
        match request.media_type().as_deref() {
            Some("application/x-www-form-urlencoded") => return empty(400),
            None | Some("text/plain" | "multipart/form-data") => {
                return HttpAnswer::new(200).then(Then::Cut);
            }
            Some(_) => {}
        }
        if root != self.setup.root {
            return html(400, "Unable to parse URL!");
        }
        if request.body.is_empty() {
            return empty(400);
        }
        if request.body.len() > self.setup.body_limit() {
            return match self.setup.release {
                Release::V3_6 => empty(400),
                Release::V3_4 | Release::V3_2 => HttpAnswer::new(200).then(Then::Cut),
            };
        }
        let (body, after, fault) = match self.rpc(&request.body, Channel::Http, now) {
            Answered::Nothing => return empty(202),
            Answered::Never => return HttpAnswer::new(200).then(Then::Never),
            Answered::Broken => {
                let parse = mi::answer(Err(Refusal::parse()), &Tree::Null);
                (parse, std::time::Duration::ZERO, None)
            }
            Answered::As { body, after, fault } => (body, after, fault),
        };
        let too_long = |body: &String| {
            self.setup
                .reply_limit
                .is_some_and(|limit| body.len() > limit)
        };
        let Some(body) = body.filter(|body| !too_long(body)) else {
            return empty(500).after(after);
        };
        let answer = HttpAnswer::new(200)
            .with_body("application/json", body)
            .after(after);
        match fault {
            Some(ReplyFault::DropBefore) => answer.then(Then::Cut),
            Some(ReplyFault::DropAfter) => closes(answer),
            Some(ReplyFault::Garbage(bytes)) => answer.with_body("application/json", bytes),
            Some(ReplyFault::Silent) => answer.then(Then::Never),
            Some(ReplyFault::Slow(_) | ReplyFault::Refuse(_)) | None => answer,
        }
    }
}
