//! Injection: no text of a caller makes a second request, field or argument.

use std::time::Duration;

use faxbot_core::{
    ErrorKind,
    address::Address,
    id::CallId,
    sip::{CallRequest, Capability, OnAnswer},
};

use super::{Entry, Fate, Need, SOON, World, entry, kind_is};
use crate::conformance::{Failure, Verdict, ensure, within};

/// What no server may ever see as a name.
const MARK: &str = "Injected";

pub(super) fn entries() -> Vec<Entry> {
    vec![
        entry!(
            "line breaks in any text make no second request and no second field",
            [Need::Requests],
            [Calls],
            line_breaks
        ),
        entry!(
            "a variable arrives as one value, whatever is in it",
            [Need::Requests],
            [Calls, Variables],
            variable
        ),
        entry!(
            "control characters in an address are refused",
            [],
            [Calls],
            addresses
        ),
    ]
}

/// Texts that would end a field of one protocol or another.
fn texts() -> Vec<String> {
    let field = format!("X-{MARK}: 1");
    let request = format!("Action: {MARK}");
    ["\r\n", "\n", "\r", "\0", "\u{2028}", "\u{85}"]
        .iter()
        .flat_map(|end| {
            [
                format!("a{end}{field}"),
                format!("a{end}{end}{request}{end}{end}"),
                format!("{end}{field}{end}"),
            ]
        })
        .collect()
}

/// The same call with the text in each place that a caller can fill.
async fn requests(
    world: &World,
    target: &Address,
    text: &str,
) -> Result<Vec<(&'static str, CallRequest)>, Failure> {
    let declared = world.adapter.capabilities();
    let to_target = world.call_to(target.clone()).await?;
    let plain = || {
        let request = to_target.clone().with_id(CallId::new());
        request.with_timeout(Duration::from_secs(5))
    };
    let native = world.call_to(Address::native(text)).await?;
    let mut all = vec![("native address", native)];
    if declared.has(Capability::Connect) {
        let first = CallRequest::connect(Address::native(text), target.clone());
        all.push(("native address of the first party", first));
    }
    let mut name = plain();
    name.options.caller_id_name = Some(text.to_owned());
    all.push(("caller id name", name));
    if declared.has(Capability::Variables) {
        all.push(("value of a variable", plain().with_variable("COLOUR", text)));
        all.push(("name of a variable", plain().with_variable(text, "blue")));
    }
    if declared.has(Capability::Headers) {
        let mut value = plain();
        value
            .options
            .headers
            .insert("X-Colour".to_owned(), text.to_owned());
        let mut header = plain();
        header
            .options
            .headers
            .insert(text.to_owned(), "blue".to_owned());
        all.extend([("value of a header", value), ("name of a header", header)]);
    }
    if declared.has(Capability::OnAnswerExtension) {
        let extension = OnAnswer::Extension {
            extension: text.to_owned(),
            context: None,
        };
        let context = OnAnswer::Extension {
            extension: "600".to_owned(),
            context: Some(text.to_owned()),
        };
        all.push(("extension", plain().on_answer(extension)));
        all.push(("context", plain().on_answer(context)));
    }
    if declared.has(Capability::OnAnswerApplication) {
        let name = OnAnswer::Application {
            name: text.to_owned(),
            data: String::new(),
        };
        let data = OnAnswer::Application {
            name: "Echo".to_owned(),
            data: text.to_owned(),
        };
        all.push(("name of an application", plain().on_answer(name)));
        all.push(("data of an application", plain().on_answer(data)));
    }
    Ok(all)
}

async fn line_breaks(world: World) -> Verdict {
    world.connect().await?;
    let target = world.setup.target(Fate::Answers).await?;
    for text in texts() {
        for (place, request) in requests(&world, &target, &text).await? {
            let result = within("make_call", SOON, world.adapter.make_call(request)).await?;
            match result {
                Ok(call) => drop(world.adapter.hangup(&call.call_ref()).await),
                Err(error) => {
                    kind_is(
                        place,
                        &error,
                        &[ErrorKind::InvalidRequest, ErrorKind::Rejected],
                    )?;
                    let shown = format!("{error} {error:?}");
                    ensure!(
                        !shown.contains(MARK),
                        "the error of the {place} shows its text"
                    );
                }
            }
            for seen in world.setup.requests() {
                let injected = seen.name.contains(MARK)
                    || seen.fields.iter().any(|(name, _)| name.contains(MARK));
                ensure!(!injected, "{text:?} as {place} made {seen:?}");
            }
        }
    }
    world.is_in(faxbot_core::sip::ConnectionState::Connected)?;
    world.works().await
}

async fn variable(world: World) -> Verdict {
    world.connect().await?;
    for text in [
        "a,b",
        "a,COLOUR=red",
        "\"",
        "a\"b,c",
        "\\",
        "a\\,b",
        "${EXTEN}",
        "a}b",
        "^a",
        "a;b",
        "a&b",
        "'",
    ] {
        let request = world
            .request(Fate::Answers)
            .await?
            .with_variable("COLOUR", text)
            .with_variable("SHAPE", "x");
        let before = world.setup.requests().len();
        match within("make_call", SOON, world.adapter.make_call(request)).await? {
            Ok(call) => drop(world.adapter.hangup(&call.call_ref()).await),
            Err(error) => {
                kind_is("a variable", &error, &[ErrorKind::InvalidRequest])?;
                let sent = world.setup.requests().len() - before;
                ensure!(sent == 0, "{text:?} was refused after {sent} requests");
            }
        }
    }
    Ok(())
}

async fn addresses(world: World) -> Verdict {
    world.connect().await?;
    for text in ["+4930123456\r\n", "600\n", "sip:a@b\r\nX: y", "6\u{0}0"] {
        ensure!(text.parse::<Address>().is_err(), "{text:?} is an address");
        let request = world.call_to(Address::native(text)).await?;
        let Err(error) = within("make_call", SOON, world.adapter.make_call(request)).await? else {
            return Err(Failure::new(format!("{text:?} was dialled")));
        };
        kind_is("a native address", &error, &[ErrorKind::InvalidRequest])?;
    }
    world.works().await
}
