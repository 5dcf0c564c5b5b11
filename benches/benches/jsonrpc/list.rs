//! Lists of dialogs: what one costs to read.

use std::{hint::black_box, time::Instant};

use bytes::Bytes;
use faxbot_sip::protocol::jsonrpc::{Outcome, decode_answer, parse_answer};
use faxbot_testkit::replay::{Direction, Recording};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::Result;

/// A server, and how many times its recorded list.
pub(crate) const CASES: [&str; 4] = ["kamailio 1", "kamailio 5", "opensips 1", "opensips 5"];

const PASSES: usize = 200;

/// What an adapter keeps of a dialog, of either server.
#[derive(Deserialize)]
#[allow(dead_code, reason = "what is read is what counts")]
pub(crate) struct Dialog {
    #[serde(rename = "call-id", alias = "callid")]
    call_id: String,
    from_uri: String,
    to_uri: String,
    state: u8,
    #[serde(rename = "start_ts", alias = "timestart")]
    start: i64,
    #[serde(default)]
    h_entry: u32,
    #[serde(default)]
    h_id: u32,
    #[serde(default, rename = "ID")]
    id: Option<String>,
    #[serde(default)]
    caller: Option<Party>,
    #[serde(default)]
    callee: Option<Party>,
    #[serde(default)]
    caller_tag: Option<String>,
    #[serde(default)]
    variables: Vec<Value>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "what is read is what counts")]
struct Party {
    tag: Option<String>,
}

#[derive(Deserialize)]
struct Dialogs {
    #[serde(rename = "Dialogs")]
    dialogs: Vec<Dialog>,
}

#[derive(Deserialize)]
struct Plain<T> {
    result: T,
    id: u32,
}

/// One way to read a list: how many dialogs are in it.
pub(crate) trait Reader {
    fn read(body: &Body) -> usize;
}

/// An answer, and whose it is.
#[derive(Default)]
pub(crate) struct Body {
    bytes: Bytes,
    opensips: bool,
}

/// `decode_answer`, as `Rpc` does it.
pub(crate) struct Decoded;

/// `parse_answer`, and then its result.
pub(crate) struct Apart;

/// `serde_json` alone, typed, without a look at what an answer may be.
pub(crate) struct Typed;

/// `serde_json` alone, by a tree of values.
pub(crate) struct Tree;

impl Reader for Decoded {
    fn read(body: &Body) -> usize {
        if body.opensips {
            match decode_answer::<Dialogs>(&body.bytes, 1) {
                Ok(Outcome::Result(list)) => black_box(list).dialogs.len(),
                _ => 0,
            }
        } else {
            match decode_answer::<Vec<Dialog>>(&body.bytes, 1) {
                Ok(Outcome::Result(list)) => black_box(list).len(),
                _ => 0,
            }
        }
    }
}

impl Reader for Apart {
    fn read(body: &Body) -> usize {
        let Ok(Outcome::Result(raw)) = parse_answer(&body.bytes, 1) else {
            return 0;
        };
        let raw: &RawValue = &raw;
        let list: serde_json::Result<Vec<Dialog>> = if body.opensips {
            serde_json::from_str(raw.get()).map(|list: Dialogs| list.dialogs)
        } else {
            serde_json::from_str(raw.get())
        };
        black_box(list).map_or(0, |list| list.len())
    }
}

impl Reader for Typed {
    fn read(body: &Body) -> usize {
        let list = if body.opensips {
            serde_json::from_slice(&body.bytes).map(|it: Plain<Dialogs>| (it.id, it.result.dialogs))
        } else {
            serde_json::from_slice(&body.bytes).map(|it: Plain<Vec<Dialog>>| (it.id, it.result))
        };
        black_box(list).map_or(0, |(_, list)| list.len())
    }
}

impl Reader for Tree {
    fn read(body: &Body) -> usize {
        let list: serde_json::Result<Plain<Value>> = serde_json::from_slice(&body.bytes);
        black_box(list).map_or(0, |it| {
            let list = it.result.get("Dialogs").unwrap_or(&it.result);
            list.as_array().map_or(0, Vec::len)
        })
    }
}

/// The recorded answer with about 200 dialogs, or so many times its dialogs, each with a Call-ID of
/// its own.
pub(crate) fn body(case: &str) -> Result<Body> {
    let (server, copies) = case.split_once(' ').ok_or("no such case")?;
    let copies: usize = copies.parse()?;
    let (name, channel) = match server {
        "kamailio" => ("kamailio/dlg_list_200", ""),
        _ => ("opensips/02_dlg_list_200", "mi_http"),
    };
    let recording = Recording::load_channels(name)?.channel(channel);
    let mut bytes = Vec::new();
    for chunk in recording.chunks() {
        // The first answer, however many reads it took.
        if chunk.dir == Direction::ToClient {
            bytes.extend_from_slice(&chunk.bytes);
        } else if !bytes.is_empty() {
            break;
        }
    }
    let at = memchr::memmem::find(&bytes, b"\r\n\r\n").ok_or("no body")? + 4;
    let bytes = Bytes::from(bytes).slice(at..);
    let opensips = server == "opensips";
    let text = String::from_utf8(bytes.to_vec())?;
    // Between the brackets of the list, as the server wrote it.
    let open = text.find('[').ok_or("no list")? + 1;
    let close = text.rfind(']').ok_or("no list")?;
    let (head, list, tail) = (
        text.get(..open).ok_or("no list")?,
        text.get(open..close).ok_or("no list")?,
        text.get(close..).ok_or("no list")?,
    );
    let member = if opensips {
        "\"callid\":\""
    } else {
        "\"call-id\":\t\""
    };
    let lists: Vec<String> = (0..copies)
        .map(|copy| list.replace(member, &format!("{member}{copy}-")))
        .collect();
    Ok(Body {
        bytes: [head, &lists.join(","), tail].concat().into(),
        opensips,
    })
}

/// Nanoseconds of one pass, the second of two: what the reader before gave back to the system is not
/// to be paid for here.
fn pass<R: Reader>(body: &Body, dialogs: usize) -> Result<f64> {
    R::read(black_box(body));
    let start = Instant::now();
    let found = R::read(black_box(body));
    let took = start.elapsed().as_secs_f64() * 1e9;
    if found != dialogs {
        return Err(format!("{found} dialogs").into());
    }
    Ok(took)
}

pub(crate) fn compare() -> Result<()> {
    println!("Lists of dialogs, nanoseconds a dialog; the best of {PASSES} passes");
    println!(
        "{:<12}{:>9}{:>10}{:>9}{:>9}{:>9}{:>9}{:>14}{:>14}",
        "", "dialogs", "bytes", "decoded", "in two", "typed", "tree", "of the typed", "of the tree"
    );
    for case in CASES {
        let body = body(case)?;
        let dialogs = Tree::read(&body);
        let mut each = [f64::INFINITY; 4];
        for _ in 0..PASSES {
            let passes = [
                pass::<Decoded>(&body, dialogs)?,
                pass::<Apart>(&body, dialogs)?,
                pass::<Typed>(&body, dialogs)?,
                pass::<Tree>(&body, dialogs)?,
            ];
            for (best, new) in each.iter_mut().zip(passes) {
                *best = best.min(new / dialogs as f64);
            }
        }
        let [decoded, apart, typed, tree] = each;
        println!(
            "{case:<12}{dialogs:>9}{:>10}{decoded:>9.0}{apart:>9.0}{typed:>9.0}{tree:>9.0}{:>14.2}{:>14.2}",
            body.bytes.len(),
            decoded / typed,
            decoded / tree
        );
    }
    println!();
    Ok(())
}
