//! Fonts that the document names and does not bring along.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use hayro::hayro_interpret::{
    FontResolverFn,
    font::{FontQuery, GlyphId, OutlineGlyph},
    hayro_cmap::{BfString, CidFamily},
};

/// What was found out about the fonts of a document.
#[derive(Debug, Default)]
pub(super) struct Fonts {
    /// A standard font stands for one of the document.
    replaced: AtomicBool,
    /// There is nothing to show letters of the document in.
    missing: AtomicBool,
}

impl Fonts {
    /// Whether letters would be missing on the fax.
    pub(super) fn are_missing(&self) -> bool {
        self.missing.load(Ordering::Relaxed)
    }

    /// Looks for a letter that a standard font lacks, Cyrillic or Greek for example: hayro leaves
    /// its place empty. A space, a sign or a control code may be missing.
    pub(super) fn look_at(&self, glyph: &OutlineGlyph) {
        if glyph.glyph_id() != GlyphId::NOTDEF || !self.replaced.load(Ordering::Relaxed) {
            return;
        }
        let letter = match glyph.as_unicode() {
            Some(BfString::Char(char)) => char.is_alphanumeric(),
            Some(BfString::String(string)) => string.chars().any(char::is_alphanumeric),
            None => false,
        };
        // Only a simple font without a file of its own, or with one of Type 1, has no data. Fonts of
        // text recognition have data with nothing to see in it.
        if letter && glyph.outline().elements().is_empty() && glyph.font_data().is_none() {
            self.missing.store(true, Ordering::Relaxed);
        }
    }
}

/// The 14 standard fonts (ISO 32000-1 §9.6.2.2) for themselves and for fonts with letters like
/// theirs. There is none for Chinese, Japanese and Korean.
pub(super) fn resolver(fonts: Arc<Fonts>) -> FontResolverFn {
    Arc::new(move |query| match query {
        FontQuery::Standard(font) => {
            fonts.replaced.store(true, Ordering::Relaxed);
            Some(font.get_font_data())
        }
        FontQuery::Fallback(query) => {
            let family = query
                .character_collection
                .as_ref()
                .map(|found| &found.family);
            if matches!(
                family,
                Some(
                    CidFamily::AdobeJapan1
                        | CidFamily::AdobeGB1
                        | CidFamily::AdobeCNS1
                        | CidFamily::AdobeKorea1
                )
            ) {
                fonts.missing.store(true, Ordering::Relaxed);
                return None;
            }
            fonts.replaced.store(true, Ordering::Relaxed);
            Some(query.pick_standard_font().get_font_data())
        }
    })
}
