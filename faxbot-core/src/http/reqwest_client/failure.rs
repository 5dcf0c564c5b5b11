//! What an error of reqwest means: whether bytes had left is all that matters.

use std::{error::Error as StdError, io};

use super::{OPERATION, public};
use crate::{Error, ErrorKind};

/// Classifies an error of reqwest. Its address is taken out: it may hold personal data.
pub(super) fn failed(error: reqwest::Error) -> Error {
    let error = error.without_url();
    if find::<public::Refused>(&error).is_some() {
        return Error::new(ErrorKind::InvalidRequest, OPERATION, public::MESSAGE);
    }
    let (kind, message) = kind(&error);
    Error::new(kind, OPERATION, message).with_source(error)
}

fn kind(error: &reqwest::Error) -> (ErrorKind, &'static str) {
    let hyper = find::<hyper::Error>(error);
    if error.is_builder() {
        return (ErrorKind::InvalidRequest, "the request cannot be sent");
    }
    // Look-up, connection or TLS: the request had not begun. hyper calls a request cancelled only
    // if it was never started, when the connection under it had gone (hyper 1.12,
    // src/client/dispatch.rs, src/proto/h1/dispatch.rs).
    if error.is_connect() || hyper.is_some_and(hyper::Error::is_canceled) {
        return (ErrorKind::NotConnected, "no connection to the server");
    }
    if error.is_timeout() {
        return (ErrorKind::Timeout, "no whole answer in time");
    }
    let not_http = hyper.is_some_and(hyper::Error::is_parse)
        || find::<io::Error>(error).is_some_and(|error| {
            matches!(
                error.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
            )
        });
    if not_http {
        return (ErrorKind::Protocol, "the answer is not http");
    }
    (
        ErrorKind::Io,
        "the connection was cut before the whole answer",
    )
}

/// The first error of a type in the chain of sources.
fn find<E: StdError + 'static>(error: &reqwest::Error) -> Option<&E> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        source = error.source();
    }
    None
}
