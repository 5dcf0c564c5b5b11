//! Fonts that the document names and does not bring along.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use hayro::hayro_interpret::{FontResolverFn, font::FontQuery, hayro_cmap::CidFamily};

/// The 14 standard fonts (ISO 32000-1 §9.6.2.2) for themselves and for fonts with letters like
/// theirs. There is none for Chinese, Japanese and Korean: such a font sets `missing`.
pub(super) fn resolver(missing: Arc<AtomicBool>) -> FontResolverFn {
    Arc::new(move |query| match query {
        FontQuery::Standard(font) => Some(font.get_font_data()),
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
                missing.store(true, Ordering::Relaxed);
                return None;
            }
            Some(query.pick_standard_font().get_font_data())
        }
    })
}
