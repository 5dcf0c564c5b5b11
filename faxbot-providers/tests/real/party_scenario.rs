//! Scenarios of sipp for the parties of a test: what a phone does with a call, as XML.
//!
//! A call is told what to do while it lives by a datagram that sipp takes for a part of it: a PUBLISH
//! with the call's `Call-ID` and an `X-Tell` header. No other side sends PUBLISH here.

use std::fmt::Write as _;

/// What a called party does with a call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Called {
    /// The status of a refusal.
    pub(crate) status: u16,
    /// Refuses at once; otherwise when it is told.
    pub(crate) refuses: bool,
    /// Sends 183 with media instead of 180.
    pub(crate) early_media: bool,
    /// Sends 180 or 183 at all.
    pub(crate) rings: bool,
    /// Answers after so many milliseconds; `None` waits until it is told, or cancelled.
    pub(crate) answers_after: Option<u64>,
    /// Hangs up after so many milliseconds in which nothing was said; `None` waits.
    pub(crate) hangs_up_after: Option<u64>,
    /// The status of the answer to a MESSAGE or OPTIONS outside of a call.
    pub(crate) message_status: u16,
    /// The call comes by a proxy that stays in its way.
    pub(crate) routed: bool,
    /// Where the party has its media.
    pub(crate) media: u16,
}

/// What a calling party does.
#[derive(Debug, Clone, Default)]
pub(crate) struct Calling {
    pub(crate) name: String,
    pub(crate) number: String,
    /// Whom it calls: a URI.
    pub(crate) to: String,
    pub(crate) headers: Vec<(String, String)>,
    /// The call goes by a proxy that stays in its way.
    pub(crate) routed: bool,
    /// Gives up after so many milliseconds in which the other side said nothing new.
    pub(crate) gives_up_after: Option<u64>,
    pub(crate) hangs_up_after: Option<u64>,
    pub(crate) media: u16,
}

/// What a party that sends a MESSAGE sends.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sending {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// What a phone that registers says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registering {
    pub(crate) user: String,
    /// `HOST:PORT`.
    pub(crate) server: String,
    /// The port of the phone.
    pub(crate) phone: u16,
    pub(crate) seconds: u32,
}

const TAG: &str = ";tag=[pid]P[call_number]";

/// Final statuses other than 2xx that are told apart (RFC 3261 section 21).
const FAILURES: [u16; 45] = [
    300, 301, 302, 305, 380, 400, 401, 402, 403, 404, 405, 406, 407, 408, 410, 413, 414, 415, 416,
    420, 421, 422, 423, 480, 481, 482, 483, 484, 485, 486, 487, 488, 491, 493, 500, 501, 502, 503,
    504, 505, 513, 600, 603, 604, 606,
];

/// A scenario that takes calls, and MESSAGEs too.
pub(crate) fn called(it: &Called) -> String {
    let mut text = String::new();
    // Headers of the INVITE are kept: what came last may be something else when they are needed.
    let (routes, route) = if it.routed {
        (
            RRS,
            r#"<ereg regexp=".*" search_in="hdr" header="Record-Route:" assign_to="route"/>
<ereg regexp=".*" search_in="hdr" header="Via:" occurrence="2" assign_to="caller_via"/>"#,
        )
    } else {
        ("", "")
    };
    let _ = writeln!(
        text,
        r#"<recv request="MESSAGE" optional="true" next="message"/>
<recv request="OPTIONS" optional="true" next="message"/>
<recv request="INVITE"{routes}>
<action>
{route}
<ereg regexp=".*" search_in="hdr" header="Via:" assign_to="via"/>
<ereg regexp=".*" search_in="hdr" header="From:" assign_to="remote"/>
<ereg regexp=".*" search_in="hdr" header="To:" assign_to="local"/>
<ereg regexp=".*" search_in="hdr" header="CSeq:" assign_to="invite"/>
<ereg regexp="sips?:[^&gt;]*" search_in="hdr" header="Contact:" assign_to="target"/>
</action>
</recv>"#
    );
    if it.refuses {
        text += &refusal(it.status, it.routed);
    } else {
        if it.early_media {
            let sdp = sdp(it.media, "sendrecv");
            text += &send(
                "",
                &invite_answer("183 Session Progress", it.routed, Some(&sdp)),
                false,
            );
        } else if it.rings {
            text += &send("", &invite_answer("180 Ringing", it.routed, None), false);
        }
        if it.answers_after != Some(0) {
            text += &waits_for_an_answer(it.answers_after);
        }
        text += "<label id=\"answer\"/>\n";
        let sdp = sdp(it.media, "sendrecv");
        text += &send("", &invite_answer("200 OK", it.routed, Some(&sdp)), true);
        text += "<recv request=\"BYE\" optional=\"true\" next=\"bye\"/>\n<recv request=\"ACK\" next=\"connected\"/>\n";
        text += "<label id=\"refuse\"/>\n";
        text += &refusal(it.status, it.routed);
        text += &cancelled(it.routed);
    }
    // The local side of a called party is what the caller called it.
    let talk = Talk {
        hangs_up_after: it.hangs_up_after,
        media: it.media,
        local: &format!("[$local]{TAG}"),
        routed: it.routed,
    };
    text += &connected(&talk);
    text += "<label id=\"message\"/>\n";
    let status = match it.message_status {
        200 => "200 OK".to_owned(),
        status => format!("{status} Refused"),
    };
    text += &send(" next=\"end\"", &answer(&status, TAG, None), false);
    scenario(&text)
}

/// A scenario that calls.
pub(crate) fn calling(it: &Calling) -> String {
    let local = format!(
        "\"{}\" <sip:{}@127.0.0.1:[local_port]>{TAG}",
        it.name, it.number
    );
    let request = format!(
        "INVITE {to} SIP/2.0\n{via}From: {local}\nTo: <{to}>\n\
         Call-ID: [call_id]\nCSeq: 1 INVITE\n{contact}Max-Forwards: 70\n{more}{sdp}",
        to = it.to,
        via = VIA,
        contact = CONTACT,
        more = lines(&it.headers),
        sdp = sdp(it.media, "sendrecv"),
    );
    let mut text = send("", &request, true);
    let timeout = timeout(it.gives_up_after, "give_up");
    text += "<label id=\"trying\"/>\n";
    for status in [100, 180, 181, 182, 183] {
        let _ = writeln!(
            text,
            "<recv response=\"{status}\" optional=\"true\" next=\"trying\"{timeout}>\n<action>\
             <ereg regexp=\".*\" search_in=\"hdr\" header=\"Via:\" assign_to=\"via\"/>\
             </action>\n</recv>"
        );
    }
    for status in FAILURES {
        let _ = writeln!(
            text,
            "<recv response=\"{status}\" optional=\"true\" next=\"failed\"{timeout}/>"
        );
    }
    // Whatever a caller is told before the call is answered, it gives up.
    let _ = writeln!(
        text,
        "<recv request=\"PUBLISH\" optional=\"true\" next=\"give_up\"{timeout}/>"
    );
    let _ = writeln!(
        text,
        r#"<recv response="200"{timeout}{routes}>
<action>
<ereg regexp=".*" search_in="hdr" header="To:" assign_to="remote"/>
<ereg regexp="sips?:[^&gt;]*" search_in="hdr" header="Contact:" assign_to="target"/>
</action>
</recv>"#,
        routes = if it.routed { RRS } else { "" },
    );
    let ack = |uri: &str, via: &str, routes: &str| {
        format!(
            "ACK {uri} SIP/2.0\n{via}From: {local}\n[last_To:]\nCall-ID: [call_id]\nCSeq: 1 ACK\n\
             {routes}Max-Forwards: 70\nContent-Length: 0\n",
        )
    };
    let (uri, routes) = if it.routed {
        ("[$target]", ROUTES)
    } else {
        (it.to.as_str(), "")
    };
    text += &send(" next=\"connected\"", &ack(uri, VIA, routes), false);
    text += "<label id=\"failed\"/>\n";
    // The branch of an ACK to a failure is the INVITE's (RFC 3261 section 17.1.1.3), which the
    // failure has in its Via.
    let failed = ack(&it.to, "[last_Via:]\n", "");
    text += &send(" next=\"end\"", &failed, false);
    text += "<label id=\"give_up\"/>\n";
    // The branch of a CANCEL is the INVITE's (section 9.1).
    let cancel = format!(
        "CANCEL {to} SIP/2.0\nVia:[$via]\nFrom: {local}\nTo: <{to}>\n\
         Call-ID: [call_id]\nCSeq: 1 CANCEL\nMax-Forwards: 70\nContent-Length: 0\n",
        to = it.to,
    );
    text += &send("", &cancel, true);
    text +=
        "<recv response=\"200\" optional=\"true\"/>\n<recv response=\"487\" next=\"failed\"/>\n";
    text += &connected(&Talk {
        hangs_up_after: it.hangs_up_after,
        media: it.media,
        local: &local,
        routed: it.routed,
    });
    scenario(&text)
}

/// A scenario that sends one MESSAGE.
pub(crate) fn sending(it: &Sending) -> String {
    let request = format!(
        "MESSAGE {to} SIP/2.0\n{via}From: {from}{TAG}\nTo: <{to}>\nCall-ID: [call_id]\n\
         CSeq: 1 MESSAGE\nMax-Forwards: 70\n{more}Content-Type: text/plain;charset=UTF-8\n\
         Content-Length: [len]\n\n{body}",
        to = it.to,
        via = VIA,
        from = it.from,
        more = lines(&it.headers),
        body = it.body,
    );
    let mut text = send("", &request, true);
    for status in FAILURES {
        let _ = writeln!(
            text,
            "<recv response=\"{status}\" optional=\"true\" next=\"end\"/>"
        );
    }
    text += "<recv response=\"202\" optional=\"true\" next=\"end\"/>\n<recv response=\"200\"/>\n";
    scenario(&text)
}

/// A scenario that registers once.
pub(crate) fn registering(it: &Registering) -> String {
    let request = format!(
        "REGISTER sip:{server} SIP/2.0\n{VIA}From: <sip:{user}@{server}>{TAG}\nTo: <sip:{user}@{server}>\n\
         Call-ID: [call_id]\nCSeq: 1 REGISTER\nMax-Forwards: 70\n\
         Contact: <sip:{user}@127.0.0.1:{phone}>;expires={seconds}\nContent-Length: 0\n",
        server = it.server,
        user = it.user,
        phone = it.phone,
        seconds = it.seconds,
    );
    scenario(&(send("", &request, true) + "<recv response=\"200\"/>\n"))
}

/// The way of a request within a call, as the proxies wanted it.
/// Has sipp keep that way.
const RRS: &str = r#" rrs="true""#;
const ROUTES: &str = "[routes]\n";
const VIA: &str = "Via: SIP/2.0/[transport] 127.0.0.1:[local_port];branch=[branch]\n";
const CONTACT: &str = "Contact: <sip:party@127.0.0.1:[local_port]>\n";

fn scenario(steps: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<scenario name=\"party\">\n{steps}<label id=\"end\"/>\n<nop/>\n</scenario>\n"
    )
}

/// Actions that find out which of these words a call was told, one variable for each.
fn told(words: &[&str]) -> String {
    // A variable keeps its last match when a regular expression finds nothing, so the word is taken
    // whole and compared.
    let mut text =
        "<ereg regexp=\"[a-z_]+\" search_in=\"hdr\" header=\"X-Tell:\" assign_to=\"told\"/>\n"
            .to_owned();
    for word in words {
        let _ = writeln!(
            text,
            "<strcmp assign_to=\"compared\" variable=\"told\" value=\"{word}\"/>\n\
             <test assign_to=\"told_{word}\" variable=\"compared\" compare=\"equal\" value=\"0\"/>"
        );
    }
    text
}

/// Jumps to the label of the word that a call was told, and to another one for any other word.
fn jumps(words: &[&str], otherwise: &str) -> String {
    let mut text = String::new();
    for word in words {
        let _ = writeln!(text, "<nop next=\"{word}\" test=\"told_{word}\"/>");
    }
    let _ = writeln!(text, "<nop next=\"{otherwise}\"/>");
    text
}

fn send(more: &str, message: &str, again: bool) -> String {
    let again = if again { " retrans=\"500\"" } else { "" };
    format!("<send{again}{more}><![CDATA[\n{message}\n]]></send>\n")
}

fn timeout(after: Option<u64>, label: &str) -> String {
    after.map_or_else(String::new, |after| {
        format!(" timeout=\"{after}\" ontimeout=\"{label}\"")
    })
}

fn lines(headers: &[(String, String)]) -> String {
    headers
        .iter()
        .fold(String::new(), |mut text, (name, value)| {
            let _ = writeln!(text, "{name}: {value}");
            text
        })
}

fn sdp(media: u16, direction: &str) -> String {
    // The version of a later description is a higher number (RFC 3264 section 8).
    format!(
        "Content-Type: application/sdp\nContent-Length: [len]\n\nv=0\n\
         o=party 1 [clock_tick] IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\n\
         m=audio {media} RTP/AVP 0 101\na=rtpmap:0 PCMU/8000\na=rtpmap:101 telephone-event/8000\n\
         a=fmtp:101 0-16\na=ptime:20\na={direction}"
    )
}

/// An answer to the INVITE, whatever came since.
fn invite_answer(status: &str, routed: bool, sdp: Option<&str>) -> String {
    let route = if routed {
        "Via:[$caller_via]\nRecord-Route:[$route]\n"
    } else {
        ""
    };
    format!(
        "SIP/2.0 {status}\nVia:[$via]\n{route}From:[$remote]\nTo:[$local]{TAG}\n[last_Call-ID:]\nCSeq:[$invite]\n{CONTACT}{}",
        sdp.unwrap_or("Content-Length: 0\n")
    )
}

/// An answer to what came last.
fn answer(status: &str, tag: &str, sdp: Option<&str>) -> String {
    format!(
        "SIP/2.0 {status}\n[last_Via:]\n[last_From:]\n[last_To:]{tag}\n[last_Call-ID:]\n[last_CSeq:]\n{CONTACT}{}",
        sdp.unwrap_or("Content-Length: 0\n")
    )
}

/// A request within the call.
fn request(method: &str, talk: &Talk<'_>, more: &str) -> String {
    let (local, routes) = (talk.local, if talk.routed { ROUTES } else { "" });
    format!(
        "{method} [$target] SIP/2.0\n{VIA}{routes}From: {local}\nTo:[$remote]\n[last_Call-ID:]\nCSeq: [cseq] {method}\n{CONTACT}Max-Forwards: 70\n{more}"
    )
}

fn waits_for_an_answer(after: Option<u64>) -> String {
    let timeout = timeout(after, "answer");
    let words = ["answer", "refuse"];
    format!(
        r#"<label id="ringing"/>
<recv request="CANCEL" optional="true" next="cancelled"{timeout}/>
<recv request="PUBLISH"{timeout}>
<action>
{}</action>
</recv>
{}"#,
        told(&words),
        jumps(&words, "ringing"),
    )
}

fn refusal(status: u16, routed: bool) -> String {
    let mut text = send(
        "",
        &invite_answer(&format!("{status} Refused"), routed, None),
        true,
    );
    text += "<recv request=\"ACK\" next=\"end\"/>\n";
    text
}

fn cancelled(routed: bool) -> String {
    let mut text = "<label id=\"cancelled\"/>\n".to_owned();
    text += &send("", &answer("200 OK", TAG, None), false);
    text += &send(
        "",
        &invite_answer("487 Request Terminated", routed, None),
        true,
    );
    text += "<recv request=\"ACK\" next=\"end\"/>\n";
    text
}

/// A call that is answered, as one side of it is.
struct Talk<'a> {
    hangs_up_after: Option<u64>,
    media: u16,
    /// `From` of its requests.
    local: &'a str,
    routed: bool,
}

/// The part of a call in which both sides talk, and its end.
fn connected(talk: &Talk<'_>) -> String {
    let timeout = timeout(talk.hangs_up_after, "hang_up");
    let mut text = "<label id=\"connected\"/>\n".to_owned();
    for (method, label) in [
        ("BYE", "bye"),
        ("INVITE", "offered"),
        ("UPDATE", "offered"),
        ("ACK", "connected"),
        ("INFO", "ok"),
        ("NOTIFY", "ok"),
        ("OPTIONS", "ok"),
        ("MESSAGE", "ok"),
    ] {
        let _ = writeln!(
            text,
            "<recv request=\"{method}\" optional=\"true\" next=\"{label}\"{timeout}/>"
        );
    }
    let words = ["hang_up", "hold", "inactive", "resume", "refer", "info"];
    let _ = write!(
        text,
        "<recv request=\"PUBLISH\"{timeout}>\n<action>\n{}\
         <ereg regexp=\"sip.*\" search_in=\"hdr\" header=\"X-Refer:\" assign_to=\"refer\"/>\n\
         <ereg regexp=\"[0-9*#A-D]\" search_in=\"hdr\" header=\"X-Digit:\" assign_to=\"digit\"/>\n\
         </action>\n</recv>\n{}",
        told(&words),
        jumps(&words, "connected"),
    );

    for (label, direction) in [
        ("hold", "sendonly"),
        ("inactive", "inactive"),
        ("resume", "sendrecv"),
    ] {
        let _ = writeln!(text, "<label id=\"{label}\"/>");
        let offer = request("INVITE", talk, &sdp(talk.media, direction));
        text += &send("", &offer, true);
        text += "<recv response=\"100\" optional=\"true\"/>\n<recv response=\"200\"/>\n";
        // sipp's `cseq` stays as it was for an ACK.
        let ack = request("ACK", talk, "Content-Length: 0\n");
        text += &send(" next=\"connected\"", &ack, false);
    }

    text += "<label id=\"refer\"/>\n";
    let refer = request(
        "REFER",
        talk,
        "Refer-To: <[$refer]>\nReferred-By: <sip:party@127.0.0.1>\nContent-Length: 0\n",
    );
    text += &send("", &refer, true);
    text += "<recv response=\"202\" next=\"connected\"/>\n";

    text += "<label id=\"info\"/>\n";
    let info = request(
        "INFO",
        talk,
        "Content-Type: application/dtmf-relay\nContent-Length: [len]\n\nSignal=[$digit]\nDuration=160",
    );
    text += &send("", &info, true);
    text += "<recv response=\"200\" next=\"connected\"/>\n";

    text += "<label id=\"ok\"/>\n";
    text += &send(" next=\"connected\"", &answer("200 OK", "", None), false);

    text += "<label id=\"offered\"/>\n";
    let sdp = sdp(talk.media, "sendrecv");
    text += &send(
        " next=\"connected\"",
        &answer("200 OK", "", Some(&sdp)),
        false,
    );

    text += "<label id=\"hang_up\"/>\n";
    text += &send("", &request("BYE", talk, "Content-Length: 0\n"), true);
    text += "<recv request=\"BYE\" optional=\"true\" next=\"bye\"/>\n<recv response=\"481\" optional=\"true\" next=\"end\"/>\n<recv response=\"200\" next=\"end\"/>\n";

    text += "<label id=\"bye\"/>\n";
    text += &send(" next=\"end\"", &answer("200 OK", "", None), false);
    text
}
