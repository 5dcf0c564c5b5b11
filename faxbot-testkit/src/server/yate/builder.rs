//! What a mocked Yate is set up with beside what all mocks are.

use super::MockYateBuilder;

/// What the builder sets.
#[derive(Debug)]
pub struct Setup {
    pub(super) global: bool,
    pub(super) fax: bool,
    pub(super) generate: bool,
    pub(super) messages: bool,
    pub(super) timeout: i64,
    pub(super) routes: Vec<(String, String)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            global: true,
            fax: true,
            generate: true,
            messages: true,
            timeout: 10_000,
            routes: Vec::new(),
        }
    }
}

impl MockYateBuilder {
    /// A listener without `role=` in `extmodule.conf`: a client has to say `%%>connect:global`
    /// first.
    pub fn without_role(mut self) -> Self {
        self.own.global = false;
        self
    }

    /// The module `faxchan` is not loaded.
    pub fn without_fax(mut self) -> Self {
        self.own.fax = false;
        self
    }

    /// `generate=no` in `ysipchan.conf`: there is no `xsip.generate`.
    pub fn without_generate(mut self) -> Self {
        self.own.generate = false;
        self
    }

    /// `auth_required=yes` for messages in `ysipchan.conf`: those that come in are refused, and
    /// nobody hears of them.
    pub fn without_messages(mut self) -> Self {
        self.own.messages = false;
        self
    }

    /// How long the engine waits for the answer to a request, in ms (default 10,000); a client
    /// may change it for itself.
    pub fn answer_timeout(mut self, ms: i64) -> Self {
        self.own.timeout = ms;
        self
    }
}
