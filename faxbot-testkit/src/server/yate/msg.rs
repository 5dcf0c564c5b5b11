//! A message of the engine while it goes through its handlers.

use crate::server::script::ReplyFault;

/// A message with its parameters in their order.
#[derive(Debug, Clone, Default)]
pub(super) struct Msg {
    pub name: String,
    pub retval: String,
    params: Vec<(String, String)>,
    /// The channel that it is about: the `userData` of the engine.
    pub channel: Option<String>,
    /// The client that sent it.
    pub owner: Option<u32>,
    /// What goes wrong with the answer to it.
    pub fault: Option<ReplyFault>,
}

impl Msg {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.params.push((name.to_owned(), value.into()));
        self
    }

    pub(super) fn maybe(self, name: &str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    pub(super) fn all(mut self, params: Vec<(String, String)>) -> Self {
        self.params.extend(params);
        self
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.params
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// As [`get`](Self::get), and empty is none.
    pub(super) fn some(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    pub(super) fn text(&self, name: &str) -> String {
        self.get(name).unwrap_or_default().to_owned()
    }

    /// Sets the first of that name where it stands, or adds it.
    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        match self.params.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.params.push((name.to_owned(), value)),
        }
    }

    pub(super) fn clear(&mut self, name: &str) {
        self.params.retain(|(known, _)| known != name);
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Some("true" | "yes" | "on" | "enable" | "t"))
    }

    pub(super) fn copy(&mut self, from: &Self, name: &str) {
        if let Some(value) = from.get(name) {
            self.set(name, value);
        }
    }

    pub(super) fn params(&self) -> &[(String, String)] {
        &self.params
    }

    pub(super) fn pairs(&self) -> Vec<(&str, &str)> {
        let params = self.params.iter();
        params.map(|(k, v)| (k.as_str(), v.as_str())).collect()
    }

    /// A handler had it: the engine tracks them in a parameter (`trackparam` of the recorded
    /// engine).
    pub(super) fn track(&mut self, module: &str, priority: u32) {
        let seen = format!("{module}:{priority}");
        match self
            .params
            .iter_mut()
            .find(|(known, _)| known == "handlers")
        {
            Some((_, all)) => {
                all.push(',');
                all.push_str(&seen);
            }
            None => self.params.push(("handlers".to_owned(), seen)),
        }
    }
}
