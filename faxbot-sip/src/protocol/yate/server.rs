//! The engine's side: lines in its exact form, and what it cannot read.
//!
//! Names and values of messages are escaped, those of answers to commands are not: so it is on the
//! engine. Nothing is checked: a mock wants to send what an engine does send.

use bytes::Bytes;

use super::{
    encoding,
    frame::{Frame, Kind, Verb},
};

/// Bytes of the engine's buffer for incoming lines until `setlocal:bufsize`
/// (`DEF_INCOMING_LINE` in `extmodule.cpp`). A line of one byte less, its line end among them, is
/// the longest; at a longer one the engine closes the connection without a word.
pub const DEFAULT_BUFFER: usize = 8192;

/// The least that `setlocal:bufsize` sets.
pub const MIN_BUFFER: usize = 2048;

/// The most that `setlocal:bufsize` sets.
pub const MAX_BUFFER: usize = 65_536;

/// Asks the module to handle a message, and waits for its answer. The time is in seconds since
/// 1970.
#[must_use]
pub fn request(id: &str, time: u64, name: &str, retval: &str, params: &[(&str, &str)]) -> Bytes {
    let mut out = b"%%>message:".to_vec();
    encoding::escape(id.as_bytes(), &mut out);
    out.extend_from_slice(format!(":{time}:").as_bytes());
    finish(out, name, retval, params)
}

/// Answers a message of the module.
#[must_use]
pub fn answer(
    id: &str,
    processed: bool,
    name: &str,
    retval: &str,
    params: &[(&str, &str)],
) -> Bytes {
    let mut out = b"%%<message:".to_vec();
    encoding::escape(id.as_bytes(), &mut out);
    out.extend_from_slice(format!(":{processed}:").as_bytes());
    finish(out, name, retval, params)
}

/// A watched message after its handlers.
#[must_use]
pub fn watched(processed: bool, name: &str, retval: &str, params: &[(&str, &str)]) -> Bytes {
    answer("", processed, name, retval, params)
}

fn finish(mut out: Vec<u8>, name: &str, retval: &str, params: &[(&str, &str)]) -> Bytes {
    encoding::escape(name.as_bytes(), &mut out);
    out.push(b':');
    encoding::escape(retval.as_bytes(), &mut out);
    for (name, value) in params {
        out.push(b':');
        encoding::escape_name(name.as_bytes(), &mut out);
        out.push(b'=');
        encoding::escape(value.as_bytes(), &mut out);
    }
    out.push(b'\n');
    out.into()
}

/// Answers `install`: false where this connection handles that name already.
#[must_use]
pub fn installed(priority: u32, name: &str, ok: bool) -> Bytes {
    line(Verb::Install, &format!("{priority}:{name}:{ok}"))
}

/// Answers `uninstall`, with the priority that the handler had, or 0.
#[must_use]
pub fn uninstalled(priority: u32, name: &str, ok: bool) -> Bytes {
    line(Verb::Uninstall, &format!("{priority}:{name}:{ok}"))
}

/// Answers `watch`: false where the name is watched already.
#[must_use]
pub fn watching(name: &str, ok: bool) -> Bytes {
    line(Verb::Watch, &format!("{name}:{ok}"))
}

/// Answers `unwatch`.
#[must_use]
pub fn unwatched(name: &str, ok: bool) -> Bytes {
    line(Verb::Unwatch, &format!("{name}:{ok}"))
}

/// Answers `setlocal` with the value that holds now.
#[must_use]
pub fn local(name: &str, value: &str, ok: bool) -> Bytes {
    line(Verb::Setlocal, &format!("{name}:{value}:{ok}"))
}

/// Answers `quit`; the engine closes then.
#[must_use]
pub fn quit() -> Bytes {
    Bytes::from_static(b"%%<quit\n")
}

fn line(verb: Verb, rest: &str) -> Bytes {
    format!("%%<{}:{rest}\n", verb.word()).into()
}

/// Reports a line that could not be read, as it came.
#[must_use]
pub fn error(frame: &Frame) -> Bytes {
    [b"Error in: ", frame.line(), b"\n"].concat().into()
}

/// Whether the engine answers this line of a module by [`error`]: an unknown keyword, a message
/// whose fields or escapes it does not read (`Message::decode` in `engine/Message.cpp`).
///
/// A blank line is skipped, an answer to nothing is too.
#[must_use]
pub fn is_error(frame: &Frame) -> bool {
    match frame.kind() {
        Kind::Request => !is_message(frame),
        Kind::Command(Verb::Connect) => true,
        Kind::Command(_) => frame.ask().is_none(),
        Kind::Answer | Kind::Watched => false,
        Kind::Reply(_) | Kind::Error | Kind::Other => !frame.line().is_empty(),
    }
}

fn is_message(frame: &Frame) -> bool {
    // Keyword, id, time and name have each their colon behind them.
    if memchr::memchr_iter(b':', frame.line()).count() < 4 {
        return false;
    }
    let Some(message) = frame.message() else {
        return false;
    };
    let (name, time, _) = message.raw_parts();
    let number = !time.is_empty() && time.iter().all(u8::is_ascii_digit);
    let fields = [message.id(), name, message.raw_retval()];
    number
        && fields.into_iter().all(encoding::is_valid)
        && message.params().all(|param| {
            let (name, value) = param.raw();
            !name.is_empty() && encoding::is_valid(name) && value.is_none_or(encoding::is_valid)
        })
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::protocol::{
        session::Codec,
        yate::{Role, YateCodec},
    };

    fn read(line: &str) -> Frame {
        let mut wire = BytesMut::from(format!("{line}\n").as_bytes());
        let mut codec = YateCodec::new(Role::Server, DEFAULT_BUFFER);
        codec.decode(&mut wire).unwrap().unwrap()
    }

    #[test]
    fn lines_have_the_bytes_of_the_engine() {
        let params = [("caller", "+1555"), ("path", "a:b%\n"), ("x=y", "z=")];
        for (bytes, want) in [
            (
                request("0x7f.1", 7, "call.route", "", &params),
                "%%>message:0x7f.1:7:call.route::caller=+1555:path=a%zb%%%J:x%}y=z=\n",
            ),
            (
                answer("a-1", true, "m", "r:1", &[]),
                "%%<message:a-1:true:m:r%z1\n",
            ),
            (watched(false, "m", "", &[]), "%%<message::false:m:\n"),
            (installed(50, "m", true), "%%<install:50:m:true\n"),
            (uninstalled(0, "m", false), "%%<uninstall:0:m:false\n"),
            (watching("m", true), "%%<watch:m:true\n"),
            (unwatched("m", false), "%%<unwatch:m:false\n"),
            (
                local("timeout", "5000", true),
                "%%<setlocal:timeout:5000:true\n",
            ),
            (quit(), "%%<quit\n"),
            (error(&read("%%>bogus:x\r")), "Error in: %%>bogus:x\n"),
        ] {
            assert_eq!(bytes, want);
        }
    }

    #[test]
    fn the_engine_reports_what_it_cannot_read() {
        for (line, bad) in [
            ("%%>message:a:0:m:", false),
            ("%%>message:a:0:m:r:k=v:gone::k2=a%zb", false),
            ("%%>message:a:0:m", true),
            ("%%>message:a:x:m:", true),
            ("%%>message:a::m:", true),
            ("%%>message:a:0:m::=v", true),
            ("%%>message:a:0:m::k=%q", true),
            ("%%>message:a:0:m::k%}=v", true),
            ("%%>setlocal::x", true),
            ("%%>setlocal:x:", false),
            ("%%>setlocal:x", true),
            ("%%>debug:5:text", false),
            ("%%>debug:text", true),
            ("%%>connect:global", true),
            ("%%>install:50:m", false),
            ("%%>watch:", false),
            ("%%<message:a:true:", false),
            ("%%<watch:m:true", true),
            ("%%>bogus:x", true),
            ("garbage", true),
            ("", false),
        ] {
            assert_eq!(is_error(&read(line)), bad, "{line}");
        }
    }
}
