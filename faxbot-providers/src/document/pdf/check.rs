//! What hayro would overlook: it draws what it can of a damaged document.

use faxbot_core::{DocumentReason, Error, Result};
use hayro::hayro_syntax::{
    Pdf,
    object::{Array, Dict, Name, Object, Stream},
    page::Page,
};
use memchr::memmem;

use super::{
    super::{convert::OPERATION, output::too_large},
    codec, damaged,
    unpack::Unpacked,
};

/// Pixels of one image in the document; 600 dots per inch on A3 are 70 million. hayro decodes an
/// image as a whole, at a byte or more a pixel.
const MAX_IMAGE_PIXELS: u64 = 128_000_000;

/// Bytes of drawing orders of a page, and of a form. The shortest order takes 11 bytes and becomes 280
/// in memory; a path is kept as a whole before anybody can look at it. The densest maps have 20 MB.
const MAX_CONTENTS: usize = 32 << 20;

/// A file ends with `startxref` behind its last object (ISO 32000-1 §7.5.5). hayro would show what
/// is left of one that was cut.
pub(super) fn is_whole(pdf: &[u8]) -> Result<()> {
    let last = |word: &[u8]| memmem::rfind(pdf, word);
    match (last(b"startxref"), last(b"endobj")) {
        (Some(end), Some(object)) if end > object => Ok(()),
        _ => Err(damaged("the pdf is cut off")),
    }
}

/// hayro leaves out pages that it cannot find and looks for lost ones; both make another document.
/// A dynamic XFA form has one page, which says that the viewer cannot show it (ISO 32000-1 §7.7.2,
/// `NeedsRendering`).
pub(super) fn page_tree(pdf: &Pdf) -> Result<()> {
    let catalog = pdf.xref().get::<Dict<'_>>(pdf.xref().root_id());
    let catalog = catalog.ok_or_else(|| damaged("the pdf has no catalog"))?;
    if catalog.get::<bool>("NeedsRendering") == Some(true) {
        return Err(Error::document(
            OPERATION,
            DocumentReason::Unsuitable,
            "an xfa form without pages: print it to a pdf and send that",
        ));
    }
    let Some(tree) = catalog.get::<Dict<'_>>("Pages") else {
        return Err(damaged("the pdf has no page tree"));
    };
    let found = pdf.pages().len();
    if tree
        .get::<u32>("Count")
        .is_some_and(|count| usize::try_from(count).is_ok_and(|count| count > found))
    {
        return Err(damaged("pages of the pdf are missing"));
    }
    Ok(())
}

/// hayro draws a page without its contents when they cannot be read. Gives their decoded bytes.
pub(super) fn contents(page: &Page<'_>) -> Result<usize> {
    let lost = || damaged("the contents of a page of the pdf cannot be read");
    let key = "Contents";
    if !page.raw().contains_key(key) {
        return Ok(0);
    }
    if let Some(parts) = page.raw().get::<Array<'_>>(key) {
        let mut read = 0_usize;
        let mut bytes = 0_usize;
        for part in parts.iter::<Stream<'_>>() {
            bytes = bytes.saturating_add(part.decoded_data().map_err(|_| lost())?.len());
            read = read.saturating_add(1);
        }
        return if read == parts.raw_iter().count() {
            orders(bytes)
        } else {
            Err(lost())
        };
    }
    let stream = page.raw().get::<Stream<'_>>(key).ok_or_else(lost)?;
    orders(stream.decoded_data().map_err(|_| lost())?.len())
}

/// Refuses more drawing orders than fit into memory when they are read.
fn orders(bytes: usize) -> Result<usize> {
    if bytes > MAX_CONTENTS {
        return Err(too_large(format!(
            "a page of the pdf has more than {} MiB of drawing orders: print it as an image",
            MAX_CONTENTS >> 20
        )));
    }
    Ok(bytes)
}

/// Whether a stream holds drawing orders.
fn draws(stream: &Stream<'_>) -> bool {
    let dict = stream.dict();
    dict.contains_key("PatternType")
        || dict
            .get::<Name<'_>>("Subtype")
            .is_some_and(|name| name.as_ref() == b"Form")
}

/// Looks at every object once. Tells whether there are patterns.
pub(super) fn objects(pdf: &Pdf, unpacked: &mut Unpacked) -> Result<bool> {
    let encrypted = memmem::find(pdf.data().as_ref(), b"/Encrypt").is_some();
    let mut patterns = false;
    for object in pdf.objects() {
        if let Object::Stream(stream) = object {
            patterns |= stream.dict().contains_key("PatternType");
            image(&stream)?;
            unpacked.stream(&stream, encrypted)?;
            if draws(&stream) {
                // What cannot be decoded draws nothing, and is told of when the page is drawn.
                orders(stream.decoded_data().map_or(0, |data| data.len()))?;
            }
        }
    }
    Ok(patterns)
}

/// Refuses an image that would take too much room.
pub(super) fn image(stream: &Stream<'_>) -> Result<()> {
    if codec::pixels(stream) > MAX_IMAGE_PIXELS {
        return Err(too_large(format!(
            "an image of the pdf has more than {MAX_IMAGE_PIXELS} pixels"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_its_end_is_cut_off() {
        assert!(is_whole(b"1 0 obj null endobj xref trailer startxref 9 %%EOF").is_ok());
        for cut in [
            &b"1 0 obj null endobj xref trailer"[..],
            b"startxref 0 %%EOF 1 0 obj null endobj",
            b"",
        ] {
            assert!(is_whole(cut).is_err());
        }
    }
}
