//! The pages of a received fax, as a vendor gives them.

use bytes::Bytes;
use faxbot_core::{DocumentReason, Error, Result, webhook::InboundFile};

/// How far into a file its mark may stand (as in PDF readers).
const HEAD: usize = 1024;

/// The file, by what it is and not by what the vendor calls it.
///
/// # Errors
/// `Document` for an empty file, and for one that is neither PDF nor TIFF: such as the text of an error
/// that was sent with status 200.
pub fn received_file(operation: &'static str, bytes: Bytes) -> Result<InboundFile> {
    let refused = |reason, message| Err(Error::document(operation, reason, message));
    let head = bytes.get(..HEAD).unwrap_or(&bytes);
    if bytes.is_empty() {
        refused(DocumentReason::Empty, "the received fax has no bytes")
    } else if head.windows(5).any(|window| window == b"%PDF-") {
        Ok(InboundFile::new("application/pdf", bytes))
    } else if head.starts_with(b"II*\0") || head.starts_with(b"MM\0*") {
        Ok(InboundFile::new("image/tiff", bytes))
    } else {
        refused(
            DocumentReason::Damaged,
            "the received fax is neither pdf nor tiff",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_pdf_or_a_tiff_is_a_fax() {
        for (bytes, found) in [
            (&b"%PDF-1.4\n..."[..], Ok("application/pdf")),
            (b"\xef\xbb\xbf%PDF-1.7", Ok("application/pdf")),
            (b"II*\0....", Ok("image/tiff")),
            (b"MM\0*....", Ok("image/tiff")),
            (b"", Err(DocumentReason::Empty)),
            (b"{\"success\":false}", Err(DocumentReason::Damaged)),
            (b"%PDF", Err(DocumentReason::Damaged)),
        ] {
            let file = received_file("get_inbound", Bytes::from_static(bytes));
            let file = file.as_ref().map(|file| file.content_type.as_str());
            assert_eq!(
                file.map_err(|error| error.document_reason().unwrap()),
                found
            );
        }
    }
}
