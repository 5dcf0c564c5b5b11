//! What a channel is to do: applications one after the other, as an inline dialplan has them.

use super::quoting;

/// An application with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub name: String,
    pub args: String,
}

/// Steps, and where they are from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Program {
    pub steps: Vec<Step>,
    /// The extension, if it is one: exten, dialplan, context.
    pub place: Option<(String, String, String)>,
}

impl Program {
    pub(super) fn one(name: &str, args: &str) -> Self {
        Self {
            steps: vec![Step {
                name: name.to_owned(),
                args: args.to_owned(),
            }],
            place: None,
        }
    }

    /// `&park()`, `&txfax(/path)`: the arguments go up to the last bracket.
    pub(super) fn application(text: &str) -> Option<Self> {
        let text = text.strip_prefix('&')?;
        let (name, args) = match text.split_once('(') {
            Some((name, rest)) => (name, rest.rsplit_once(')').map_or(rest, |(args, _)| args)),
            None => (text, ""),
        };
        Some(Self::one(name, args))
    }

    /// `answer,rxfax:/path,hangup`; another separator than the comma may stand in front, as
    /// `m:^:a^b` (`inline_dialplan_hunt` in `mod_dptools.c`).
    pub(super) fn inline(text: &str) -> Self {
        let text = text.strip_prefix("inline:").unwrap_or(text);
        let mut delimiter = ',';
        let mut list = text.to_owned();
        if let Some(rest) = text.strip_prefix("m:") {
            let mut chars = rest.chars();
            if let (Some(c), Some(':')) = (chars.next(), chars.next()) {
                delimiter = c;
                list = chars.as_str().to_owned();
            }
        }
        let steps = quoting::separate(&list, delimiter, 128)
            .into_iter()
            .filter(|step| !step.is_empty())
            .map(|step| {
                let (name, args) = step.split_once(':').unwrap_or((&step, ""));
                Step {
                    name: name.trim().to_owned(),
                    args: args.to_owned(),
                }
            })
            .collect();
        Self { steps, place: None }
    }

    pub(super) fn extension(exten: &str, dialplan: &str, context: &str) -> Self {
        Self {
            steps: Vec::new(),
            place: Some((exten.to_owned(), dialplan.to_owned(), context.to_owned())),
        }
    }

    /// Where a transfer or an originate goes: an application, an inline dialplan, an extension.
    pub(super) fn read(exten: &str, dialplan: Option<&str>, context: Option<&str>) -> Self {
        let dialplan = dialplan.filter(|text| !text.is_empty()).unwrap_or("XML");
        if let Some(program) = Self::application(exten) {
            return program;
        }
        if dialplan.eq_ignore_ascii_case("inline") {
            return Self::inline(exten);
        }
        let context = context.filter(|text| !text.is_empty()).unwrap_or("default");
        Self::extension(exten, dialplan, context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inline_dialplan_is_a_list_of_applications() {
        let program = Program::inline("answer,rxfax:/a/b.tif,hangup");
        let steps: Vec<_> = program.steps.iter().map(|s| (&*s.name, &*s.args)).collect();
        assert_eq!(
            steps,
            [("answer", ""), ("rxfax", "/a/b.tif"), ("hangup", "")]
        );
        let program = Program::inline("m:^:bridge:{a=b,c=d}x/1^hangup");
        assert_eq!(program.steps.first().unwrap().args, "{a=b,c=d}x/1");
    }

    #[test]
    fn the_arguments_of_an_application_go_to_the_last_bracket() {
        let program = Program::application("&playback(tone_stream://%(1,0,440))").unwrap();
        assert_eq!(
            program,
            Program::one("playback", "tone_stream://%(1,0,440)")
        );
    }
}
