//! The phone of somebody who is called by `dlg.bridge_dlg`: it answers, is told by REFER to call
//! somebody else, is hung up at once, and calls all the same, as phones do (observed with PJSUA2 2.15).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::{net::UdpSocket, sync::mpsc, task::JoinHandle};

use crate::{
    real::{LIMIT, until},
    server::Kamailio,
};

/// What the phone does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Calls whom it is told to call.
    Transfers,
    /// Refuses the call with a status.
    Refuses(u16),
    /// Rings until it is given up.
    Rings,
    /// Says nothing at all.
    IsSilent,
    /// Answers, and refuses the REFER with a status.
    RefusesTransfer(u16),
    /// Answers, takes the REFER, and forgets it when it is hung up.
    DropsTransfer,
}

/// A message of SIP.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    start: String,
    headers: Vec<(String, String)>,
}

impl Message {
    fn parse(datagram: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(datagram);
        let head = text.split("\r\n\r\n").next()?;
        let mut lines = head.split("\r\n");
        let start = lines.next()?.to_owned();
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
        Some(Self {
            start,
            headers: headers.collect(),
        })
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let mut headers = self.headers.iter();
        let found = headers.find(|(it, _)| it.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let headers = self.headers.iter();
        let found = headers.filter(move |(it, _)| it.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    fn status(&self) -> Option<u16> {
        let words = self.start.strip_prefix("SIP/2.0 ")?;
        words.split(' ').next()?.parse().ok()
    }

    fn method(&self) -> &str {
        match self.status() {
            Some(_) => self.header("CSeq").split(' ').nth(1).unwrap_or_default(),
            None => self.start.split(' ').next().unwrap_or_default(),
        }
    }
}

/// The call of the server to the phone.
#[derive(Debug)]
struct Leg {
    invite: Message,
    tag: String,
    refer: Option<Message>,
    /// The number of the last NOTIFY.
    cseq: u32,
}

/// A call of the phone's own.
#[derive(Debug)]
struct Own {
    leg: String,
    local: String,
    remote: String,
    target: String,
    routes: Vec<String>,
    branch: String,
    up: bool,
}

/// A running phone. Dropping it ends it without a word.
#[derive(Debug)]
pub(crate) struct Agent {
    port: u16,
    received: Arc<Mutex<Vec<Message>>>,
    hang_up: mpsc::UnboundedSender<()>,
    task: JoinHandle<()>,
}

impl Agent {
    /// A phone whose own calls go by this server.
    pub(crate) async fn start(kamailio: &Kamailio, manner: Manner) -> Self {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let received = Arc::new(Mutex::new(Vec::new()));
        let (hang_up, mut orders) = mpsc::unbounded_channel();
        let mut phone = Phone {
            socket,
            port,
            proxy: kamailio.sip_port(),
            manner,
            legs: HashMap::new(),
            own: HashMap::new(),
            count: 0,
        };
        let seen = Arc::clone(&received);
        let task = tokio::spawn(async move {
            let mut datagram = vec![0; 65_536];
            loop {
                tokio::select! {
                    got = phone.socket.recv_from(&mut datagram) => {
                        let Ok((length, _)) = got else { return };
                        if let Some(message) = Message::parse(&datagram[..length]) {
                            seen.lock().unwrap().push(message.clone());
                            phone.take(message).await;
                        }
                    }
                    Some(()) = orders.recv() => phone.hang_up().await,
                }
            }
        });
        Self {
            port,
            received,
            hang_up,
            task,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn uri(&self) -> String {
        format!("sip:agent@127.0.0.1:{}", self.port)
    }

    /// Hangs up its own calls.
    pub(crate) fn hang_up(&self) {
        self.hang_up.send(()).unwrap();
    }

    fn requests(&self, method: &str) -> Vec<Message> {
        let mut requests = self.received.lock().unwrap().clone();
        requests.retain(|it| it.status().is_none() && it.method() == method);
        requests
    }

    /// How many times it was called; a repeated INVITE is the same call.
    pub(crate) fn times_called(&self) -> usize {
        let invites = self.requests("INVITE");
        let mut ids: Vec<_> = invites.iter().map(|it| it.header("Call-ID")).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.len()
    }

    pub(crate) async fn wait_called(&self) {
        until("the phone is called", LIMIT, async || {
            (self.times_called() > 0).then_some(())
        })
        .await;
    }

    pub(crate) async fn wait_cancelled(&self) {
        until("the phone is rung no longer", LIMIT, async || {
            (!self.requests("CANCEL").is_empty()).then_some(())
        })
        .await;
    }

    /// Waits for the end of a call of its own, by the other side.
    pub(crate) async fn wait_hung_up(&self) {
        until("the phone's own call ends", LIMIT, async || {
            let legs: Vec<_> = self.requests("INVITE");
            let of_leg = |bye: &Message| {
                let mut legs = legs.iter();
                legs.any(|it| it.header("Call-ID") == bye.header("Call-ID"))
            };
            let mut byes = self.requests("BYE").into_iter();
            byes.any(|bye| !of_leg(&bye)).then_some(())
        })
        .await;
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.task.abort();
        if std::thread::panicking() {
            eprintln!("the phone on port {} got:", self.port);
            for message in self.received.lock().unwrap().iter() {
                eprintln!("  {} ({})", message.start, message.header("CSeq"));
            }
        }
    }
}

struct Phone {
    socket: UdpSocket,
    port: u16,
    /// Where its own calls go first.
    proxy: u16,
    manner: Manner,
    /// By Call-ID.
    legs: HashMap<String, Leg>,
    own: HashMap<String, Own>,
    count: u32,
}

const SDP: &str = "v=0\r\no=agent 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                   m=audio 9 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=inactive\r\n";

impl Phone {
    async fn take(&mut self, message: Message) {
        if self.manner == Manner::IsSilent {
            return;
        }
        match (message.method(), message.status()) {
            ("INVITE", None) => self.called(message).await,
            ("REFER", None) => self.referred(message).await,
            ("BYE", None) => self.hung_up(&message).await,
            ("CANCEL", None) => self.given_up(&message).await,
            ("INVITE", Some(status)) => self.answered(&message, status).await,
            _ => {}
        }
    }

    async fn called(&mut self, invite: Message) {
        let id = invite.header("Call-ID").to_owned();
        self.count += 1;
        let tag = format!("agent{}", self.count);
        let leg = self.legs.entry(id).or_insert(Leg {
            invite: invite.clone(),
            tag,
            refer: None,
            cseq: 0,
        });
        let tag = leg.tag.clone();
        match self.manner {
            Manner::Refuses(status) => self.reply(&invite, &format!("{status} No"), &tag, "").await,
            Manner::Rings => self.reply(&invite, "180 Ringing", &tag, "").await,
            _ => {
                self.reply(&invite, "180 Ringing", &tag, "").await;
                self.reply(&invite, "200 OK", &tag, SDP).await;
            }
        }
    }

    async fn given_up(&mut self, cancel: &Message) {
        self.reply(cancel, "200 OK", "", "").await;
        if let Some(leg) = self.legs.get(cancel.header("Call-ID")) {
            let (invite, tag) = (leg.invite.clone(), leg.tag.clone());
            self.reply(&invite, "487 Request Terminated", &tag, "")
                .await;
        }
    }

    async fn referred(&mut self, refer: Message) {
        if let Manner::RefusesTransfer(status) = self.manner {
            self.reply(&refer, &format!("{status} No"), "", "").await;
            return;
        }
        self.reply(&refer, "202 Accepted", "", "").await;
        if let Some(leg) = self.legs.get_mut(refer.header("Call-ID")) {
            leg.refer = Some(refer);
        }
    }

    async fn hung_up(&mut self, bye: &Message) {
        self.reply(bye, "200 OK", "", "").await;
        let id = bye.header("Call-ID");
        if let Some(own) = self.own.get_mut(id) {
            own.up = false;
        }
        if self.manner == Manner::DropsTransfer {
            return;
        }
        let refer = self.legs.get_mut(id).and_then(|leg| leg.refer.take());
        if let Some(refer) = refer {
            self.call(id, &refer).await;
        }
    }

    /// Calls whom the REFER names.
    async fn call(&mut self, leg: &str, refer: &Message) {
        self.count += 1;
        let target = refer.header("Refer-To");
        let target = target.trim_start_matches('<').trim_end_matches('>');
        // The headers of the URI become headers of the request (RFC 3261 section 19.1.5).
        let (uri, headers) = target.split_once('?').unwrap_or((target, ""));
        let headers = headers.split('&').filter_map(|it| it.split_once('='));
        let headers: String = headers
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let id = format!("own{}-{}", self.count, self.port);
        let branch = format!("z9hG4bK{id}");
        let local = format!("<sip:agent@127.0.0.1:{}>;tag={id}", self.port);
        let invite = format!(
            "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch={branch}\r\n\
             From: {local}\r\nTo: <{uri}>\r\nCall-ID: {id}\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n\
             Contact: <sip:agent@127.0.0.1:{port}>\r\nReferred-By: {by}\r\n{headers}\
             Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{SDP}",
            port = self.port,
            by = refer.header("Referred-By"),
            length = SDP.len(),
        );
        let own = Own {
            leg: leg.to_owned(),
            local,
            remote: String::new(),
            target: uri.to_owned(),
            routes: Vec::new(),
            branch,
            up: false,
        };
        self.own.insert(id, own);
        self.send(&invite).await;
        self.notify(leg, "100 Trying").await;
    }

    /// An answer to its own call.
    async fn answered(&mut self, answer: &Message, status: u16) {
        let id = answer.header("Call-ID").to_owned();
        let Some(own) = self.own.get_mut(&id) else {
            return;
        };
        if status <= 100 {
            return;
        }
        let leg = own.leg.clone();
        if status >= 200 {
            own.remote = answer.header("To").to_owned();
            let mut branch = own.branch.clone();
            if status < 300 {
                let target = answer.header("Contact");
                own.target = inside(target).to_owned();
                let routes = answer.all("Record-Route").flat_map(|it| it.split(','));
                own.routes = routes.map(|it| it.trim().to_owned()).collect();
                own.routes.reverse();
                own.up = true;
                branch += "ack";
            }
            self.request(&id, "ACK", 1, &branch).await;
        }
        let line = answer.start.strip_prefix("SIP/2.0 ").unwrap_or_default();
        self.notify(&leg, line).await;
    }

    async fn hang_up(&mut self) {
        let up = self.own.iter_mut().filter(|(_, own)| own.up);
        let mut ids = Vec::new();
        for (id, own) in up {
            own.up = false;
            ids.push((id.clone(), format!("{}bye", own.branch)));
        }
        for (id, branch) in ids {
            self.request(&id, "BYE", 2, &branch).await;
        }
    }

    /// A request within its own call.
    async fn request(&self, id: &str, method: &str, cseq: u32, branch: &str) {
        let own = &self.own[id];
        let routes: String = own
            .routes
            .iter()
            .map(|route| format!("Route: {route}\r\n"))
            .collect();
        let request = format!(
            "{method} {} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{};branch={branch}\r\n{routes}\
             From: {}\r\nTo: {}\r\nCall-ID: {id}\r\nCSeq: {cseq} {method}\r\nMax-Forwards: 70\r\n\
             Content-Length: 0\r\n\r\n",
            own.target, self.port, own.local, own.remote,
        );
        self.send(&request).await;
    }

    /// Tells the server how the transfer goes (RFC 3515 section 2.4.5).
    async fn notify(&mut self, leg_id: &str, line: &str) {
        let Some(leg) = self.legs.get_mut(leg_id) else {
            return;
        };
        leg.cseq += 1;
        let state = if line.starts_with('1') {
            "active;expires=60"
        } else {
            "terminated;reason=noresource"
        };
        let body = format!("SIP/2.0 {line}\r\n");
        let notify = format!(
            "NOTIFY {to} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{tag}n{cseq}\r\n\
             From: {local};tag={tag}\r\nTo: {remote}\r\nCall-ID: {leg_id}\r\nCSeq: {cseq} NOTIFY\r\n\
             Max-Forwards: 70\r\nContact: <sip:agent@127.0.0.1:{port}>\r\nEvent: refer\r\n\
             Subscription-State: {state}\r\nContent-Type: message/sipfrag;version=2.0\r\n\
             Content-Length: {length}\r\n\r\n{body}",
            to = inside(leg.invite.header("Contact")),
            port = self.port,
            tag = leg.tag,
            cseq = leg.cseq,
            local = leg.invite.header("To"),
            remote = leg.invite.header("From"),
            length = body.len(),
        );
        self.send(&notify).await;
    }

    /// Answers a request; `tag` is for one that opens a call.
    async fn reply(&self, request: &Message, status: &str, tag: &str, body: &str) {
        let way = ["Via", "Record-Route"];
        let way = way.map(|name| {
            let values = request.all(name);
            values.fold(String::new(), |text, it| {
                text + &format!("{name}: {it}\r\n")
            })
        });
        let way = way.concat();
        let tag = if tag.is_empty() {
            String::new()
        } else {
            format!(";tag={tag}")
        };
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        let reply = format!(
            "SIP/2.0 {status}\r\n{way}From: {}\r\nTo: {}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
             Contact: <sip:agent@127.0.0.1:{}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            request.header("From"),
            request.header("To"),
            request.header("Call-ID"),
            request.header("CSeq"),
            self.port,
            body.len(),
        );
        self.send(&reply).await;
    }

    async fn send(&self, text: &str) {
        let to = ("127.0.0.1", self.proxy);
        self.socket.send_to(text.as_bytes(), to).await.unwrap();
    }
}

/// A URI without its angle brackets, and what is behind them.
fn inside(address: &str) -> &str {
    let uri = address.split_once('<').map_or(address, |(_, rest)| rest);
    uri.split('>').next().unwrap_or_default()
}
