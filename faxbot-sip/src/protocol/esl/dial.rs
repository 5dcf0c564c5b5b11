//! Dial strings of `originate`: one leg or several, each with variables of its own.
//!
//! The server takes a leg apart in five steps: the line at blanks, what is behind the braces at
//! `|`, that at `,`, what is in brackets at its separator, then each piece at its first `=`
//! (`switch_ivr_originate.c`); and each step takes one layer of backslashes off.

use std::fmt;

use super::variables::{
    COMMA_IN_BRACKETS, VariableError, Variables, argument, check_pairs, check_plain, check_value,
    layer, refused,
};
use crate::protocol::guard::{Part, Unsendable};

/// What the errors call an endpoint.
const ENDPOINT: &str = "endpoint";

/// Bytes that the server uses for commas meanwhile; the first is `QUOTED_ESC_COMMA`.
const MARKS: [char; 2] = ['\u{1}', COMMA_IN_BRACKETS];

/// One leg: an endpoint such as `sofia/gateway/carrier/100`, and variables for it alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Leg {
    variables: Variables,
    endpoint: String,
}

impl Leg {
    /// A leg without variables. The endpoint arrives as it is; `,` and `|` in it make no second
    /// one.
    ///
    /// # Errors
    /// [`VariableError::Value`] for the name `endpoint` when it has no `/`, begins with a bracket,
    /// `^` or a blank, ends with a blank, or has something that no escape gets through, such as a
    /// bracket without its partner.
    pub fn new(endpoint: &str) -> Result<Self, VariableError> {
        check_endpoint(endpoint).map_err(|source| refused(ENDPOINT, source))?;
        Ok(Self {
            variables: Variables::new(),
            endpoint: endpoint.to_owned(),
        })
    }

    /// Sets the variables of this leg. They go before those of the whole call. Each leg of several
    /// needs its own `origination_uuid`: one for all is refused as a duplicate from the second leg
    /// on (recording `09_hook_other_ways`).
    ///
    /// # Errors
    /// [`VariableError::Value`] for a value with `[` or `]` without its partner.
    pub fn with_variables(mut self, variables: Variables) -> Result<Self, VariableError> {
        for (name, value) in variables.values() {
            check_pairs(value, b'[', b']')
                .and_then(|()| check_marks(value))
                .map_err(|source| refused(name, source))?;
        }
        self.variables = variables;
        Ok(self)
    }

    /// With the layer of the split at commas.
    fn text(&self) -> String {
        let text = format!("{}{}", self.variables.brackets(), self.endpoint);
        layer(&text, Some(','))
    }
}

impl fmt::Debug for Leg {
    /// Names of variables only: endpoints hold numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leg")
            .field("variables", &self.variables)
            .finish_non_exhaustive()
    }
}

/// The first argument of `originate`.
///
/// ```
/// use faxbot_sip::protocol::esl::{DialString, Leg, Variables};
///
/// let leg = |endpoint: &str, uuid: &str| {
///     Leg::new(endpoint)?.with_variables(Variables::new().set("origination_uuid", uuid)?)
/// };
/// let dial = DialString::new(leg("user/100@pbx", "U1")?)
///     .or(leg("user/101@pbx", "U2")?)
///     .with_variables(Variables::new().set("ignore_early_media", "true")?);
/// assert_eq!(
///     dial.to_string(),
///     "{ignore_early_media=true}[origination_uuid=U1]user/100@pbx|[origination_uuid=U2]user/101@pbx",
/// );
/// # Ok::<(), faxbot_sip::protocol::esl::VariableError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialString {
    variables: Variables,
    /// Those of one entry ring together, the entries one after the other.
    legs: Vec<Vec<Leg>>,
}

impl DialString {
    /// One leg.
    #[must_use]
    pub fn new(leg: Leg) -> Self {
        Self {
            variables: Variables::new(),
            legs: vec![vec![leg]],
        }
    }

    /// Sets the variables of all legs.
    #[must_use]
    pub fn with_variables(mut self, variables: Variables) -> Self {
        self.variables = variables;
        self
    }

    /// Adds a leg that rings together with the last one; the first to answer wins.
    #[must_use]
    pub fn and(mut self, leg: Leg) -> Self {
        match self.legs.last_mut() {
            Some(together) => together.push(leg),
            None => self.legs.push(vec![leg]),
        }
        self
    }

    /// Adds a leg that is tried when those before it failed.
    #[must_use]
    pub fn or(mut self, leg: Leg) -> Self {
        self.legs.push(vec![leg]);
        self
    }
}

impl fmt::Display for DialString {
    /// The escaped text: one word of the line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = self.legs.iter().flatten();
        // What one leg needs unlocks the line, and no value but a template may hold `${`.
        let nested = self.variables.is_nested() || all.any(|leg| leg.variables.is_nested());
        let groups = self.legs.iter().map(|together| {
            let legs: Vec<_> = together.iter().map(Leg::text).collect();
            layer(&legs.join(","), Some('|'))
        });
        let groups: Vec<_> = groups.collect();
        let text = format!("{}{}", self.variables.braces(nested), groups.join("|"));
        f.write_str(&argument(&text))
    }
}

fn check_marks(text: &str) -> Result<(), Unsendable> {
    let part = Part::Value;
    match text.find(MARKS) {
        None => Ok(()),
        Some(at) => Err(Unsendable::Forbidden { part, at }),
    }
}

fn check_endpoint(endpoint: &str) -> Result<(), Unsendable> {
    let part = Part::Value;
    let forbidden = |at| Err(Unsendable::Forbidden { part, at });
    if !endpoint.contains('/') || endpoint.starts_with(['{', '[', '<', '^', ' ']) {
        return forbidden(0);
    }
    if endpoint.ends_with(' ') {
        return forbidden(endpoint.len().saturating_sub(1));
    }
    check_marks(endpoint)?;
    // Commas up to the partner, maybe in another leg, would separate nothing.
    check_pairs(endpoint, b'[', b']')?;
    check_plain(endpoint)?;
    check_value(endpoint)
}
