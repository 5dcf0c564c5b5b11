//! What a module says of itself: the return value of `engine.status`.
//!
//! `name=sip,type=varchans,format=Status|Address|Peer;routed=2,chans=1;sip/2=answered|127.0.0.1%z5080|sip/3`
//! and a line break, one line a module (recording `engine_timer_and_status`). The engine escapes none of
//! its own separators in an address or a path, so that a comma without `=` behind it belongs to the
//! item before it.

use std::fmt;

/// The modules in the return value of `engine.status`, unescaped.
pub fn modules(retval: &str) -> impl Iterator<Item = Module<'_>> {
    retval.lines().filter_map(Module::parse)
}

/// The status of one module.
#[derive(Clone, Copy)]
pub struct Module<'a> {
    head: &'a str,
    values: &'a str,
    items: &'a str,
}

impl<'a> Module<'a> {
    /// Reads one line; `None` if it does not start with `name=`.
    #[must_use]
    pub fn parse(line: &'a str) -> Option<Self> {
        let mut parts = line.trim_end_matches(['\r', '\n']).splitn(3, ';');
        let head = parts.next().filter(|head| head.starts_with("name="))?;
        Some(Self {
            head,
            values: parts.next().unwrap_or_default(),
            items: parts.next().unwrap_or_default(),
        })
    }

    /// The module, such as `sip`, `fax` or `engine`.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.head_value("name").unwrap_or_default()
    }

    /// Its type, such as `varchans`, `misc` or `system`.
    #[must_use]
    pub fn kind(&self) -> Option<&'a str> {
        self.head_value("type")
    }

    /// The names of the fields of [`items`](Self::items): `Status`, `Address`, `Peer` for
    /// channels.
    pub fn format(&self) -> impl Iterator<Item = &'a str> {
        self.head_value("format")
            .into_iter()
            .flat_map(|format| format.split('|'))
    }

    /// A value of the first part, such as `version` of the engine.
    #[must_use]
    pub fn head_value(&self, name: &str) -> Option<&'a str> {
        find(self.head, name)
    }

    /// A count of the second part, such as `chans`.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&'a str> {
        find(self.values, name)
    }

    /// Whether each item has its own line of fields: false for the engine, whose third part has
    /// plain values.
    #[must_use]
    pub fn has_format(&self) -> bool {
        self.head_value("format").is_some()
    }

    /// The items of the third part: channels by their id, each with its fields.
    pub fn items(&self) -> impl Iterator<Item = Item<'a>> {
        pairs(self.items).map(|(id, fields)| Item { id, fields })
    }

    /// The item of that id.
    #[must_use]
    pub fn item(&self, id: &str) -> Option<Item<'a>> {
        self.items().find(|item| item.id == id)
    }
}

impl fmt::Debug for Module<'_> {
    /// The name only: items hold numbers and paths.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module")
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

/// One item of a module, such as a channel.
#[derive(Clone, Copy)]
pub struct Item<'a> {
    id: &'a str,
    fields: &'a str,
}

impl<'a> Item<'a> {
    /// The id, such as `sip/2`.
    #[must_use]
    pub fn id(&self) -> &'a str {
        self.id
    }

    /// Its fields in the order of [`Module::format`].
    pub fn fields(&self) -> impl Iterator<Item = &'a str> {
        self.fields.split('|')
    }

    /// The field at that place, from 0.
    #[must_use]
    pub fn field(&self, at: usize) -> Option<&'a str> {
        self.fields().nth(at)
    }
}

impl fmt::Debug for Item<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Item").field(&self.id).finish()
    }
}

fn find<'a>(part: &'a str, name: &str) -> Option<&'a str> {
    pairs(part).find_map(|(found, value)| (found == name).then_some(value))
}

/// `name=value` split at those commas that have another `name=` behind them.
fn pairs(part: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = part;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let end = rest
                .match_indices(',')
                .map(|(at, _)| at)
                .find(|at| starts_pair(rest.get(at + 1..).unwrap_or_default()));
            let (pair, tail) = match end {
                Some(at) => (rest.get(..at)?, rest.get(at + 1..)?),
                None => (rest, ""),
            };
            rest = tail;
            if let Some(pair) = pair.split_once('=') {
                return Some(pair);
            }
        }
        None
    })
}

/// Whether the text up to the next comma or field has its `=`.
fn starts_pair(text: &str) -> bool {
    text.find([',', '|', '='])
        .is_some_and(|at| text.get(at..=at) == Some("="))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIP: &str = "name=sip,type=varchans,format=Status|Address|Peer;routed=2,routing=0,total=12,\
        chans=2,transactions=12;sip/2=answered|127.0.0.1:5080|sip/3,sip/3=ringing|[::1]:5080|\r\n";

    #[test]
    fn a_module_has_values_and_channels() {
        let module = Module::parse(SIP).unwrap();
        assert_eq!((module.name(), module.kind()), ("sip", Some("varchans")));
        assert_eq!(
            module.format().collect::<Vec<_>>(),
            ["Status", "Address", "Peer"]
        );
        assert_eq!(module.value("chans"), Some("2"));
        assert_eq!(module.value("transactions"), Some("12"));
        assert_eq!(module.value("nope"), None);
        let ids: Vec<_> = module.items().map(|item| item.id()).collect();
        assert_eq!(ids, ["sip/2", "sip/3"]);
        let item = module.item("sip/2").unwrap();
        assert_eq!(item.field(1), Some("127.0.0.1:5080"));
        assert_eq!(module.item("sip/3").unwrap().field(2), Some(""));
        assert!(module.item("sip/4").is_none());
    }

    #[test]
    fn a_path_with_separators_stays_whole() {
        let line = "name=fax,type=misc,format=Status|Address|Peer;chans=2;\
            fax/1=answered|/spool/a,b;c.tif|sip/1,fax/2=incoming|x|";
        let module = Module::parse(line).unwrap();
        let paths: Vec<_> = module.items().map(|it| it.field(1).unwrap()).collect();
        assert_eq!(paths, ["/spool/a,b;c.tif", "x"]);
    }

    #[test]
    fn all_modules_come_in_one_value_and_other_lines_are_skipped() {
        let text = format!(
            "name=engine,type=system,version=6.4.1;plugins=18;sharedpath=/usr/share/yate\r\n\
             name=rex_debug,type=misc;\r\nnonsense\r\n\r\n{SIP}"
        );
        let all: Vec<_> = modules(&text).collect();
        let names: Vec<_> = all.iter().map(Module::name).collect();
        assert_eq!(names, ["engine", "rex_debug", "sip"]);
        assert_eq!(all[0].head_value("version"), Some("6.4.1"));
        assert!(!all[0].has_format() && all[2].has_format());
        assert_eq!(all[1].items().count(), 0);
        assert_eq!(modules("").count(), 0);
        assert!(Module::parse("type=x,name=y").is_none());
    }
}
