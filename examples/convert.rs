//! Turns any file into a fax TIFF, and a fax TIFF back into a PDF and pictures.
//!
//! ```sh
//! cargo run --example convert                                # the bundled sample
//! cargo run --example convert -- letter.pdf photo.jpg --resolution standard --out /tmp/fax
//! cargo run --example convert -- --received fax-1234.tif     # what came in: repaired, PDF, PNG
//! ```
//!
//! Several files become one fax. `fax.tif` is what goes out, `fax.pdf` and `page-001.png`,
//! `thumbnail-001.png` ... show it.
#![allow(
    clippy::print_stdout,
    reason = "an example talks to the person who runs it"
)]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use faxbot_core::{
    Error, ErrorKind, Result,
    document::{ConvertOptions, CoverPage, Document, DocumentConverter, FaxImage, USUAL_BIT_RATE},
};
use faxbot_providers::document::{
    PngOptions, RenderConverter, ThumbnailOptions, fax_to_pdf, page_thumbnail, pages_to_png,
    received_to_pdf, repair_received,
};
use serde::de::DeserializeOwned;

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/sample.pdf");
const USAGE: &str = "usage: convert [FILE ...] [--to NAME] [--resolution standard|fine|superfine] \
     [--halftone auto|threshold|clustered_dot|floyd_steinberg] [--coding t6|mh|mr] [--out DIR], \
     or convert --received FILE [--out DIR]";

/// What the command line asks for.
#[derive(Debug, PartialEq)]
struct Arguments {
    files: Vec<PathBuf>,
    /// A fax that came in, instead of files that go out.
    received: Option<PathBuf>,
    /// Whom the cover page is for; without it there is none.
    to: Option<String>,
    options: ConvertOptions,
    out: PathBuf,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mut arguments = Self {
            files: Vec::new(),
            received: None,
            to: None,
            options: ConvertOptions::default(),
            out: PathBuf::from("target/convert"),
        };
        while let Some(word) = words.next() {
            if !word.starts_with("--") {
                arguments.files.push(word.into());
                continue;
            }
            let value = words.next().ok_or_else(|| wrong(USAGE))?;
            match word.as_str() {
                "--to" => arguments.to = Some(value),
                "--received" => arguments.received = Some(value.into()),
                "--resolution" => arguments.options.resolution = named(value)?,
                "--halftone" => arguments.options.halftone = named(value)?,
                "--coding" => arguments.options.coding = named(value)?,
                "--out" => arguments.out = value.into(),
                _ => return Err(wrong(USAGE)),
            }
        }
        if arguments.received.is_some() && !arguments.files.is_empty() {
            return Err(wrong(USAGE));
        }
        if arguments.files.is_empty() {
            arguments.files.push(SAMPLE.into());
        }
        Ok(arguments)
    }

    /// One document: the cover page first, then the files.
    fn document(&self) -> Document {
        let cover = self.to.iter().map(|to| {
            let cover = CoverPage::new().with_field("to", to);
            Document::cover(cover)
        });
        Document::combined(cover.chain(self.files.iter().map(Document::path)))
    }
}

/// A value by the name that it has in configuration files.
fn named<T: DeserializeOwned>(name: String) -> Result<T> {
    serde_json::from_value(name.into()).map_err(|_| wrong(USAGE))
}

fn wrong(message: &str) -> Error {
    Error::new(ErrorKind::InvalidRequest, "convert", message)
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Arguments::parse(env::args().skip(1)) {
        Ok(arguments) => run(arguments).await,
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    fs::create_dir_all(&arguments.out).map_err(|source| {
        Error::new(ErrorKind::Io, "convert", "the directory cannot be made").with_source(source)
    })?;
    match &arguments.received {
        Some(fax) => received(fax, &arguments.out),
        None => sent(&arguments).await,
    }
}

/// What goes out.
async fn sent(arguments: &Arguments) -> Result<()> {
    let converter = RenderConverter::new();
    let image = converter
        .to_fax(arguments.document(), arguments.options)
        .await?;
    let out = &arguments.out;
    // The image is a temporary file: it goes when the image does.
    fs::copy(image.path(), out.join("fax.tif")).map_err(|source| {
        Error::new(ErrorKind::Io, "convert", "the fax cannot be written").with_source(source)
    })?;
    println!(
        "{} pages, {} columns, {} resolution, {} bytes",
        image.pages(),
        image.width().pixels(),
        image.resolution(),
        image.bytes()
    );
    for rate in [33_600, USUAL_BIT_RATE, 9_600] {
        let time = image.transmission_time(rate);
        println!("at {rate:>5} bit/s: about {} s", time.total.as_secs());
    }
    for page in image.transmission_time(USUAL_BIT_RATE).slow_pages() {
        println!("page {page} takes minutes: `--halftone threshold` makes it smaller");
    }
    fax_to_pdf(&image, out.join("fax.pdf"))?;
    show(&image, out)
}

/// What came in.
fn received(fax: &Path, out: &Path) -> Result<()> {
    // The PDF holds the data as it came, as long as no row of it is damaged.
    received_to_pdf(fax, out.join("fax.pdf"))?;
    let repaired = repair_received(fax, out)?;
    for (page, quality) in (1..).zip(&repaired.quality) {
        println!("page {page}: {} damaged rows", quality.bad_rows);
    }
    show(&repaired.image, out)
}

/// The pages in forms that people look at.
fn show(image: &FaxImage, out: &Path) -> Result<()> {
    println!("{}", out.join("fax.pdf").display());
    for path in pages_to_png(image, out, &PngOptions::new())? {
        println!("{}", path.display());
    }
    for page in 0..image.pages() {
        let picture = page_thumbnail(image, page, &ThumbnailOptions::new())?;
        let path = out.join(format!("thumbnail-{:03}.png", page + 1));
        fs::write(&path, picture).map_err(|source| {
            Error::new(ErrorKind::Io, "convert", "a picture cannot be written").with_source(source)
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use faxbot_core::document::{FaxCoding, Halftone, Resolution};

    use super::*;

    fn parse(words: &str) -> Result<Arguments> {
        Arguments::parse(words.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_have_the_names_of_the_configuration() {
        let arguments =
            parse("a.pdf --resolution standard --halftone floyd_steinberg --coding mh b.png")
                .unwrap();
        assert_eq!(arguments.files, ["a.pdf", "b.png"].map(PathBuf::from));
        assert_eq!(
            arguments.options,
            ConvertOptions::default()
                .with_resolution(Resolution::Standard)
                .with_halftone(Halftone::FloydSteinberg)
                .with_coding(FaxCoding::Mh)
        );
        for bad in [
            "--to",
            "--halftone nice",
            "--received a.tif b.pdf",
            "--what x",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn the_sample_goes_out_and_comes_back() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("sent");
        let words = format!(
            "--to Somebody --resolution standard --out {}",
            out.display()
        );
        run(parse(&words).unwrap()).await.unwrap();
        for file in [
            "fax.tif",
            "fax.pdf",
            "page-001.png",
            "page-004.png",
            "thumbnail-004.png",
        ] {
            assert!(fs::metadata(out.join(file)).unwrap().len() > 0, "{file}");
        }

        let fax = out.join("fax.tif");
        let out = directory.path().join("received");
        let words = format!("--received {} --out {}", fax.display(), out.display());
        run(parse(&words).unwrap()).await.unwrap();
        for file in ["fax.pdf", "page-004.png", "thumbnail-004.png"] {
            assert!(fs::metadata(out.join(file)).unwrap().len() > 0, "{file}");
        }
    }
}
