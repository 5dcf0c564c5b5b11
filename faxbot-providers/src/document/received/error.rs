//! What can go wrong with a fax that comes back, in the words of the one error.

use std::io;

use faxbot_core::{DocumentReason, Effect, Error, ErrorKind, document::tiff::TiffError};

/// Of `operation`, the public function's name.
#[derive(Debug, Clone, Copy)]
pub(in crate::document) struct Failed(pub(in crate::document) &'static str);

impl Failed {
    /// A file that cannot be read or written.
    pub(in crate::document) fn io(self, message: &'static str, source: io::Error) -> Error {
        Error::new(ErrorKind::Io, self.0, message)
            .with_effect(Effect::NoEffect)
            .with_source(source)
    }

    /// A fax that cannot be read, or a copy of it that cannot be written.
    pub(in crate::document) fn tiff(self, error: TiffError) -> Error {
        let (reason, message) = match error {
            TiffError::Io(source) => return self.io("the fax cannot be read or written", source),
            TiffError::NoPage { pages: 0, .. } => (DocumentReason::Empty, "the fax has no page"),
            TiffError::NoPage { .. } => {
                return Error::new(ErrorKind::NotFound, self.0, "the document has no such page");
            }
            TiffError::NotTiff | TiffError::BigTiff => {
                (DocumentReason::UnknownFormat, "the fax is no classic tiff")
            }
            TiffError::Unsupported { .. } => (
                DocumentReason::Unsuitable,
                "the fax is not black and white in a fax compression",
            ),
            TiffError::Limit { .. } => (DocumentReason::TooLarge, "the fax is above the limits"),
            TiffError::Damaged { page, .. } | TiffError::MissingRows { page, .. } => {
                let number = page.saturating_add(1);
                let message = format!("page {number} of the fax is damaged: have it sent again");
                return Error::document(self.0, DocumentReason::Damaged, message)
                    .with_source(error);
            }
            _ => (DocumentReason::Damaged, "the fax is damaged"),
        };
        Error::document(self.0, reason, message).with_source(error)
    }

    pub(in crate::document) fn unsuitable(self, message: String) -> Error {
        Error::document(self.0, DocumentReason::Unsuitable, message)
    }

    pub(in crate::document) fn too_large(self, message: &'static str) -> Error {
        Error::document(self.0, DocumentReason::TooLarge, message)
    }

    pub(in crate::document) fn internal(self, message: &'static str) -> Error {
        Error::new(ErrorKind::Internal, self.0, message).with_effect(Effect::NoEffect)
    }
}
