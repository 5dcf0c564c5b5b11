//! A converter whose directory a test can look into.
#![allow(dead_code, reason = "each test program uses its own part")]

pub(crate) mod pdf;

use std::{fs, path::PathBuf};

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

/// Rows of a page, `true` for black.
pub(crate) fn bitmap(image: &FaxImage, page: u32) -> Vec<Vec<bool>> {
    let mut reader = image.reader().unwrap();
    let page = reader.page(page).unwrap();
    let mut rows = Vec::new();
    reader
        .decode_page(&page, |row| {
            rows.push(
                (0..page.width as usize)
                    .map(|x| row[x / 8] & (0x80 >> (x % 8)) != 0)
                    .collect(),
            );
        })
        .unwrap();
    rows
}

/// A file beside the tests.
pub(crate) fn test_file(name: &str) -> Vec<u8> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "files", name]
        .iter()
        .collect();
    fs::read(path).unwrap()
}
