//! The three vertical resolutions of a Group 3 fax.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The vertical resolution of a fax page. Horizontally every page has 204 pixels per inch.
///
/// Source: ITU-T T.4 (3.85, 7.7 and 15.4 lines per millimetre), written in TIFF as 98, 196 and
/// 391 lines per inch (RFC 3949).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Resolution {
    /// 3.85 lines per millimetre: half the transmission time of [`Fine`](Self::Fine).
    Standard,
    /// 7.7 lines per millimetre: the default, legible for body text.
    #[default]
    Fine,
    /// 15.4 lines per millimetre: not every receiver takes it.
    Superfine,
}

impl Resolution {
    /// Every resolution, coarsest first.
    pub const ALL: [Self; 3] = [Self::Standard, Self::Fine, Self::Superfine];

    /// Pixels per inch in the horizontal direction, the same for every resolution.
    pub const PIXELS_PER_INCH: u32 = 204;

    /// Lines per inch: 98, 196 or 391.
    pub const fn lines_per_inch(self) -> u32 {
        match self {
            Self::Standard => 98,
            Self::Fine => 196,
            Self::Superfine => 391,
        }
    }

    /// Lines per millimetre (ITU-T T.4 §2.2): 3.85, 7.7 or 15.4, which the nominal
    /// [`lines_per_inch`](Self::lines_per_inch) are rounded from.
    pub const fn lines_per_millimetre(self) -> f64 {
        match self {
            Self::Standard => 3.85,
            Self::Fine => 7.7,
            Self::Superfine => 15.4,
        }
    }

    /// Rows of an A4 page (297 mm): 1143, 2286 or 4573.
    pub const fn rows_a4(self) -> u32 {
        match self {
            Self::Standard => 1143,
            Self::Fine => 2286,
            Self::Superfine => 4573,
        }
    }

    /// The name used in configuration and JSON: `standard`, `fine` or `superfine`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Fine => "fine",
            Self::Superfine => "superfine",
        }
    }

    /// The resolution that a file with so many lines per inch means, if it means one.
    ///
    /// Files say 98, 100 or 96 for standard, 196 or 200 for fine and 391 or 400 for superfine
    /// (RFC 3949 knows both families), so anything within five per cent counts.
    pub fn from_lines_per_inch(lines: f64) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|resolution| (lines / f64::from(resolution.lines_per_inch()) - 1.0).abs() <= 0.05)
    }
}

impl fmt::Display for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_names_are_the_display_names() {
        for resolution in Resolution::ALL {
            let json = serde_json::to_string(&resolution).unwrap();
            assert_eq!(json, format!("\"{resolution}\""));
            assert_eq!(
                serde_json::from_str::<Resolution>(&json).unwrap(),
                resolution
            );
        }
    }

    #[test]
    fn a_page_of_a4_has_the_rows_of_its_lines_per_inch() {
        for resolution in Resolution::ALL {
            let rows = 297.0 / 25.4 * f64::from(resolution.lines_per_inch());
            assert!(
                (rows - f64::from(resolution.rows_a4())).abs() < 6.0,
                "{resolution}: {rows}"
            );
        }
    }

    #[test]
    fn both_families_of_resolution_tags_are_recognised() {
        for (lines, expected) in [
            (98.0, Some(Resolution::Standard)),
            (96.0, Some(Resolution::Standard)),
            (100.0, Some(Resolution::Standard)),
            (195.58, Some(Resolution::Fine)),
            (200.0, Some(Resolution::Fine)),
            (391.0, Some(Resolution::Superfine)),
            (400.0, Some(Resolution::Superfine)),
            (300.0, None),
            (72.0, None),
            (0.0, None),
            (f64::NAN, None),
        ] {
            assert_eq!(Resolution::from_lines_per_inch(lines), expected, "{lines}");
        }
    }
}
