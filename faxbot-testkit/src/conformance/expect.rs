//! What several suites expect in the same words.

use faxbot_core::{Error, ErrorKind, config::ConfigErrors};
use serde_json::{Value, json};

use super::{Failure, Verdict, ensure};

/// The error of something that must fail.
pub(super) fn error_of<T>(what: &str, result: Result<T, Error>) -> Result<Error, Failure> {
    match result {
        Ok(_) => Err(Failure::new(format!("{what} succeeded"))),
        Err(error) => Ok(error),
    }
}

pub(super) fn kind_is(what: &str, error: &Error, kinds: &[ErrorKind]) -> Verdict {
    ensure!(
        kinds.contains(&error.kind()),
        "{what}: {error:?} is none of {kinds:?}"
    );
    Ok(())
}

/// A configuration with one key too many is refused, and the key is named.
pub(super) fn names_an_unknown_key(
    mut good: Value,
    validate: impl FnOnce(&Value) -> Result<(), ConfigErrors>,
) -> Verdict {
    let Value::Object(fields) = &mut good else {
        return Err(Failure::new("the good configuration is no object"));
    };
    fields.insert("flavuor".to_owned(), json!(1));
    let Err(errors) = validate(&good) else {
        return Err(Failure::new("an unknown key passes"));
    };
    ensure!(
        errors.iter().any(|error| error.path == "flavuor"),
        "{errors:?}"
    );
    Ok(())
}
