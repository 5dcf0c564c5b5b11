//! What an `Originate` asks for, read and refused as Asterisk does.

use std::time::Duration;

use super::{SeenAction, world::World};
use crate::server::party::Party;

/// Longest `ChannelId` (recording `02_errors`).
const MAX_ID: usize = 149;

/// Ring time-out without a `Timeout` header.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// What runs on the channel once it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Then {
    Application {
        name: String,
        data: String,
    },
    Extension {
        context: String,
        exten: String,
        priority: u32,
    },
}

/// One checked request.
#[derive(Debug, Clone)]
pub(super) struct Originate {
    pub action_id: Option<String>,
    pub channel: String,
    pub then: Then,
    pub timeout: Duration,
    pub caller: Option<Party>,
    pub account: String,
    pub id: Option<String>,
    pub other_id: Option<String>,
    pub variables: Vec<(String, String)>,
    pub is_async: bool,
}

impl Originate {
    /// Reads the action; the error is the `Message` of the refusal (recording `02_errors`).
    pub(super) fn read(world: &World, action: &SeenAction) -> Result<Self, String> {
        let text = |name: &str| action.get(name).unwrap_or_default().to_owned();
        let given = |name: &str| {
            action
                .get(name)
                .filter(|v| !v.is_empty())
                .map(str::to_owned)
        };
        let channel = given("Channel").ok_or("Channel not specified")?;
        if !channel.contains('/') {
            return Err("Invalid channel".to_owned());
        }
        let timeout = match given("Timeout") {
            Some(text) => Duration::from_millis(text.parse().map_err(|_| "Invalid timeout")?),
            None => DEFAULT_TIMEOUT,
        };
        for header in ["ChannelId", "OtherChannelId"] {
            if text(header).len() > MAX_ID {
                return Err(format!("Uniqueid length exceeds maximum of {MAX_ID}\n"));
            }
        }
        let is_async = matches!(
            text("Async").to_ascii_lowercase().as_str(),
            "true" | "yes" | "on" | "1" | "y" | "t"
        );
        let then = match given("Application") {
            Some(name) => Then::Application {
                name,
                data: text("Data"),
            },
            None => {
                let (context, exten) = (text("Context"), text("Exten"));
                let priority = text("Priority");
                if !is_async && (context.is_empty() || exten.is_empty() || priority.is_empty()) {
                    let why = "Originate with 'Exten' requires 'Context' and 'Priority'";
                    return Err(why.to_owned());
                }
                let priority = match priority.as_str() {
                    "" => 1,
                    text => text.parse().map_err(|_| "Invalid priority")?,
                };
                if world.lock().dialplan.is_gone(&context, &exten) {
                    return Err("Extension does not exist.".to_owned());
                }
                Then::Extension {
                    context,
                    exten,
                    priority,
                }
            }
        };
        let mut variables = Vec::new();
        for header in action.all("Variable") {
            for piece in split_arguments(header) {
                if let Some((name, value)) = piece.split_once('=') {
                    variables.push((name.to_owned(), value.to_owned()));
                }
            }
        }
        Ok(Self {
            action_id: given("ActionID"),
            channel,
            then,
            timeout,
            caller: given("CallerID").map(|text| party(&text)),
            account: text("Account"),
            id: given("ChannelId"),
            other_id: given("OtherChannelId"),
            variables,
            is_async,
        })
    }
}

/// `"Name" <number>`, `Name <number>`, or a number alone.
fn party(text: &str) -> Party {
    match text.split_once('<') {
        Some((name, number)) => Party {
            name: name.trim().trim_matches('"').to_owned(),
            number: number.trim_end().trim_end_matches('>').to_owned(),
        },
        None => Party {
            name: String::new(),
            number: text.trim().to_owned(),
        },
    }
}

/// Splits at commas as `__ast_app_separate_args` (`main/app.c`) does: brackets and quotes protect
/// a comma, quotes are dropped, the character after a backslash is taken as it is (recording
/// `11_variable_commas`).
pub(super) fn split_arguments(text: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let (mut round, mut square, mut quoted) = (0_u32, 0_u32, false);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let Some(piece) = pieces.last_mut() else {
            break;
        };
        match c {
            '\\' => piece.extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if round == 0 && square == 0 && !quoted => pieces.push(String::new()),
            _ => {
                match c {
                    '(' => round += 1,
                    ')' => round = round.saturating_sub(1),
                    '[' => square += 1,
                    ']' => square = square.saturating_sub(1),
                    _ => {}
                }
                piece.push(c);
            }
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_split_at_bare_commas_only() {
        for (text, want) in [
            ("A=1,B=2", vec!["A=1", "B=2"]),
            ("C=x\\,y", vec!["C=x,y"]),
            ("E=\"q\"", vec!["E=q"]),
            (
                "CHANNEL(hangup_handler_push)=\"faxbot-outcome,s,1\"",
                vec!["CHANNEL(hangup_handler_push)=faxbot-outcome,s,1"],
            ),
            ("H=a\\\\b", vec!["H=a\\b"]),
            ("F=", vec!["F="]),
        ] {
            assert_eq!(split_arguments(text), want, "{text}");
        }
    }

    #[test]
    fn a_caller_id_has_a_name_or_not() {
        assert_eq!(party("\"Fax Bot\" <5551000>").name, "Fax Bot");
        assert_eq!(party("Faxbot <+15551230000>").number, "+15551230000");
        assert_eq!(party("5551000").number, "5551000");
    }
}
