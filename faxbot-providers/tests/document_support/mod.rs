//! A converter whose directory a test can look into.
#![allow(dead_code, reason = "each test program uses its own part")]

pub(crate) mod pdf;

use std::fs;

use faxbot_core::{
    DocumentReason, ErrorKind, Result,
    document::{ConvertOptions, Document, DocumentConverter, DocumentLimits, FaxImage},
};
use faxbot_providers::document::RenderConverter;

/// A converter with a directory of its own, so that tests see what it leaves behind.
pub(crate) struct Bench {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) converter: RenderConverter,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let converter = RenderConverter::new().with_directory(directory.path());
        Self {
            directory,
            converter,
        }
    }

    pub(crate) async fn convert(
        &self,
        document: impl Into<Vec<u8>>,
        options: ConvertOptions,
    ) -> Result<FaxImage> {
        self.converter
            .to_fax(Document::bytes(document.into()), options)
            .await
    }

    /// Converts what has to be refused, and sees that nothing is left.
    pub(crate) async fn refused(
        &self,
        document: impl Into<Vec<u8>>,
        options: ConvertOptions,
    ) -> Option<DocumentReason> {
        let error = self.convert(document, options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Document, "{error:?}");
        assert_eq!(self.files(), 0);
        error.document_reason()
    }

    pub(crate) fn files(&self) -> usize {
        fs::read_dir(self.directory.path()).unwrap().count()
    }
}

pub(crate) fn with_limits(change: impl FnOnce(&mut DocumentLimits)) -> ConvertOptions {
    let mut limits = DocumentLimits::default();
    change(&mut limits);
    ConvertOptions::default().with_limits(limits)
}
