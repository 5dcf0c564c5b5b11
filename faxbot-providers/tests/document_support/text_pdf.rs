//! PDFs of English words in the fonts that every reader has (ISO 32000-1 §9.6.2.2).
#![allow(dead_code, reason = "each program that draws pages uses its own part")]

use std::{fmt::Write as _, iter::Peekable};

/// The fonts, by their place.
pub(crate) const FONTS: [&str; 6] = [
    "Helvetica",
    "Times-Roman",
    "Courier",
    "Helvetica-Bold",
    "Times-Italic",
    "Times-Bold",
];

/// Points of A4.
pub(crate) const PAGE: (u32, u32) = (595, 842);

/// Words of ordinary letters, each once, at least four letters long.
pub(crate) fn words() -> Vec<&'static str> {
    WORDS.split_whitespace().collect()
}

/// Pages that are written one after the other.
#[derive(Debug, Default)]
pub(crate) struct TextPdf {
    drawings: Vec<String>,
    grey: Option<(u32, u32, Vec<u8>)>,
}

impl TextPdf {
    /// Adds a page of content operators. The fonts are `/F0` to `/F5`, the picture is `/Photo`.
    pub(crate) fn page(&mut self, drawing: String) {
        self.drawings.push(drawing);
    }

    /// Gives every page the picture, 8 bits of grey a pixel.
    pub(crate) fn with_photo(mut self, width: u32, height: u32, grey: Vec<u8>) -> Self {
        self.grey = Some((width, height, grey));
        self
    }

    /// The file.
    pub(crate) fn finish(self) -> Vec<u8> {
        let mut objects = Objects(b"%PDF-1.4\n".to_vec(), Vec::new());
        let first = 4 + FONTS.len();
        let kids: String = (0..self.drawings.len())
            .map(|page| format!("{} 0 R ", first + page * 2))
            .collect();
        let count = self.drawings.len();
        objects.add("<< /Type /Catalog /Pages 2 0 R >>", &[]);
        objects.add(
            &format!("<< /Type /Pages /Kids [ {kids}] /Count {count} >>"),
            &[],
        );
        let (width, height, grey) = self.grey.unwrap_or((1, 1, vec![255]));
        objects.add(
            &format!(
                "<< /Type /XObject /Subtype /Image /Width {width} /Height {height} \
                 /ColorSpace /DeviceGray /BitsPerComponent 8 /Length {} >>",
                grey.len()
            ),
            &grey,
        );
        let mut fonts = String::new();
        for (place, name) in FONTS.iter().enumerate() {
            objects.add(
                &format!(
                    "<< /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding >>"
                ),
                &[],
            );
            let _ = write!(fonts, "/F{place} {} 0 R ", 4 + place);
        }
        let (width, height) = PAGE;
        for (page, drawing) in self.drawings.iter().enumerate() {
            objects.add(
                &format!(
                    "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width} {height}] \
                     /Contents {} 0 R /Resources << /Font << {fonts}>> /XObject << /Photo 3 0 R >> >> >>",
                    first + page * 2 + 1
                ),
                &[],
            );
            objects.add(
                &format!("<< /Length {} >>", drawing.len()),
                drawing.as_bytes(),
            );
        }
        objects.finish()
    }
}

/// The file so far, and where each object begins.
struct Objects(Vec<u8>, Vec<usize>);

impl Objects {
    fn add(&mut self, dictionary: &str, stream: &[u8]) {
        let Self(out, places) = self;
        places.push(out.len());
        out.extend(format!("{} 0 obj\n{dictionary}\n", places.len()).bytes());
        if !stream.is_empty() {
            out.extend(b"stream\n");
            out.extend(stream);
            out.extend(b"\nendstream\n");
        }
        out.extend(b"endobj\n");
    }

    fn finish(self) -> Vec<u8> {
        let Self(mut out, places) = self;
        let (table, size) = (out.len(), places.len() + 1);
        out.extend(format!("xref\n0 {size}\n0000000000 65535 f \n").bytes());
        for place in places {
            out.extend(format!("{place:010} 00000 n \n").bytes());
        }
        let end = format!("trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n");
        out.extend(end.bytes());
        out
    }
}

/// Where a block of text goes, in points from the lower left corner.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    /// The place in [`FONTS`].
    pub(crate) font: usize,
    pub(crate) size: u32,
    pub(crate) left: u32,
    /// The base line of the first line.
    pub(crate) top: u32,
    pub(crate) width: u32,
    pub(crate) lines: u32,
    /// 0 is black, 1 is white.
    pub(crate) grey: f32,
}

impl Block {
    /// Draws lines of the next words, and gives those that it took.
    pub(crate) fn draw<'w>(
        &self,
        words: &mut Peekable<impl Iterator<Item = &'w str>>,
        drawing: &mut String,
    ) -> Vec<&'w str> {
        // Tenths of the size: an upper bound for the mean of a line in each of the fonts.
        let letter = if self.font == 2 { 60 } else { 54 } * self.size;
        let room = (self.width * 100 / letter) as usize;
        let leading = self.size + self.size / 4 + 1;
        let mut taken = Vec::new();
        let _ = writeln!(
            drawing,
            "BT {} g /F{} {} Tf {leading} TL {} {} Td",
            self.grey, self.font, self.size, self.left, self.top
        );
        for _ in 0..self.lines {
            let mut line = String::new();
            while let Some(word) = words.next_if(|word| line.len() + word.len() < room) {
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(word);
                taken.push(word);
            }
            let _ = writeln!(drawing, "({line}) Tj T*");
        }
        drawing.push_str("ET\n");
        taken
    }

    /// The next base line below the block, with a line between.
    pub(crate) fn below(&self) -> u32 {
        let leading = self.size + self.size / 4 + 1;
        self.top.saturating_sub(leading * (self.lines + 1))
    }
}

/// A photo in place of one: brightness that changes slowly, from `dark` (0 is black) to 255.
pub(crate) fn photo(width: u32, height: u32, dark: u8) -> Vec<u8> {
    let range = 255 - u32::from(dark);
    let mut grey = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let wave = (x * 7 / 5 + y) % 512;
            let hill = if wave < 256 { wave } else { 511 - wave };
            let slope = x * 128 / width + y * 127 / height;
            let light = (hill + slope) / 2 * range / 255;
            grey.push(dark.saturating_add(u8::try_from(light).unwrap_or(255)));
        }
    }
    grey
}

const WORDS: &str = "
    about above accept account across action active address advice after again against agency agree
    almost alone along already although always amount animal annual another answer anyone appear
    apple april area argue around arrive article artist assume attack august autumn average avoid
    baby back balance banker basic basket battle beach beauty because become before begin behind
    believe below benefit best better between beyond bird birth black blood blue board body book
    border both bottle bottom branch bread break bridge bright bring broken brother brown budget
    build button camera campaign candle capital captain careful carry castle cattle cause center
    central century certain chair chance change chapter charge cheap check cheese child choice
    church circle citizen city claim class clean clear climb clock close cloud coast coffee cold
    collect college color comfort common company compare complete computer concern condition
    consider contain continue control cook copper corner correct cotton could council count country
    couple course cover create credit crime cross crowd culture current custom damage dance danger
    daughter death debate decade december decide deep defense degree deliver demand describe desert
    design detail develop device different dinner direct discover discuss disease distance divide
    doctor document dollar domestic double doubt dozen dream dress drink drive during early earth
    east easy economy edge education effect effort eight either election electric eleven employ
    empty energy engine enjoy enough enter entire equal escape evening event every evidence exact
    example except exercise exist expect explain express extra face factor fail family famous
    farmer fashion father february federal feel fence field fight figure final finger finish first
    fish five flight floor flower follow food foot force foreign forest forget form fortune forward
    four frame free french fresh friday friend front fruit full function funny future game garden
    gather general gentle give glass goal gold good govern grand grass great green ground group grow
    guard guess guide habit hair half hammer hand happen happy harbor hard harvest head health heart
    heat heavy height help here hero high history hold holiday home honest hope horse hospital hotel
    hour house however huge human hundred hunt hurry husband idea image imagine impact important
    improve include income increase indeed industry inside instead interest into invite iron island
    issue item january join journey judge july jump june just justice keep kind king kitchen
    knife know labor lady lake land language large last late laugh lawyer lead learn leather leave
    left legal lesson letter level library life light like limit line liquid listen little live
    local lonely long look lose love lower lucky lunch machine magic main major make manage manner
    many march market marry master match material matter maybe meal meaning measure medical meet
    member memory mention metal method middle might mile military milk million mind minute mirror
    mixture model modern moment monday money month moral morning mother motion mountain mouth move
    music narrow nation nature near nearly neck need neither nerve never news night nine noble noise
    none normal north nose note nothing notice november number object ocean october offer office
    often older once only open operate opinion orange order other ought outside over owner package
    page paint pair palace paper parent park part party pass past path patient pattern peace people
    pepper perfect perhaps period person picture piece place plain planet plant play please plenty
    pocket poem point police polite pool poor popular position possible pound power practice prepare
    present press pretty price print prison private prize problem process produce profit program
    promise proof proper protect proud provide public pull purple purpose push quality quarter
    queen question quick quiet quite";
