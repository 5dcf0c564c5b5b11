//! Every problem of a configuration, each with its path and what would be right.

use std::fmt;

/// One problem. Its texts never repeat a value that was given, only names and numbers of ports
/// and limits, so that a secret in the wrong place is not printed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigError {
    /// Where, as the user wrote it: `auth.password`; empty for the whole value.
    pub path: String,
    /// What is wrong: `missing`, `unknown key`.
    pub problem: String,
    /// What would be right: `a number from 1 to 65535`.
    pub expected: String,
}

impl ConfigError {
    /// A problem at `path`. Put no value into the texts that may be a secret.
    pub fn new(
        path: impl Into<String>,
        problem: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self {
            path: path.into(),
            problem: problem.into(),
            expected: expected.into(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = match self.path.as_str() {
            "" => "configuration",
            path => path,
        };
        write!(f, "{path}: {}; expected {}", self.problem, self.expected)
    }
}

impl std::error::Error for ConfigError {}

/// All problems of one configuration: at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    first: ConfigError,
    others: Vec<ConfigError>,
}

impl ConfigErrors {
    /// A list of one problem.
    pub fn new(first: ConfigError) -> Self {
        Self {
            first,
            others: Vec::new(),
        }
    }

    /// `Err` with the problems, if there are any.
    ///
    /// # Errors
    /// The problems.
    pub fn check(problems: impl IntoIterator<Item = ConfigError>) -> Result<(), Self> {
        let mut problems = problems.into_iter();
        problems.next().map_or(Ok(()), |first| {
            Err(Self {
                first,
                others: problems.collect(),
            })
        })
    }

    /// Adds a problem.
    pub fn push(&mut self, problem: ConfigError) {
        self.others.push(problem);
    }

    /// The problems in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The first problem.
    pub fn first(&self) -> &ConfigError {
        &self.first
    }

    /// Number of problems, never 0.
    #[expect(clippy::len_without_is_empty, reason = "the list is never empty")]
    pub fn len(&self) -> usize {
        self.others.len().saturating_add(1)
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self::new(error)
    }
}

impl IntoIterator for ConfigErrors {
    type Item = ConfigError;
    type IntoIter = std::iter::Chain<std::iter::Once<ConfigError>, std::vec::IntoIter<ConfigError>>;

    fn into_iter(self) -> Self::IntoIter {
        std::iter::once(self.first).chain(self.others)
    }
}

impl Extend<ConfigError> for ConfigErrors {
    fn extend<I: IntoIterator<Item = ConfigError>>(&mut self, problems: I) {
        self.others.extend(problems);
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.fmt(f)?;
        self.others
            .iter()
            .try_for_each(|problem| write!(f, "\n{problem}"))
    }
}

impl std::error::Error for ConfigErrors {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_one_line_a_problem() {
        let mut errors =
            ConfigErrors::new(ConfigError::new("port", "0", "a number from 1 to 65535"));
        errors.push(ConfigError::new("", "not an object", "an object"));
        assert_eq!(
            errors.to_string(),
            "port: 0; expected a number from 1 to 65535\nconfiguration: not an object; expected an object"
        );
        assert_eq!(errors.len(), 2);
        assert_eq!(errors.iter().count(), 2);
        let error = crate::Error::from(errors.clone());
        assert_eq!(error.config_errors(), Some(&errors));
    }

    #[test]
    fn no_problem_is_no_error() {
        assert!(ConfigErrors::check([]).is_ok());
        assert!(ConfigErrors::check([ConfigError::new("a", "b", "c")]).is_err());
    }
}
