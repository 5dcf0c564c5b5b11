//! PDF to fax pages beside ghostscript, and fax pages to PDF beside `tiff2pdf`.
//!
//! The peers are programs, so that their time holds the start of a process. Ours is a library: it is
//! measured in a process that has converted before (warm), with a converter that is new (fresh), and
//! as a process of its own that converts one file and ends (process), which this bench starts from
//! itself. The best of several passes counts, all taking turns. Processor time is the mean.
#![allow(clippy::print_stdout, reason = "a bench prints its results")]

mod clock;
mod files;

#[allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "pages of the tests of the converter"
)]
#[path = "../../../faxbot-providers/tests/document_support/text_pdf.rs"]
mod text_pdf;

use std::{
    error::Error,
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use faxbot_core::document::{
    ConvertOptions, Document, DocumentConverter, FaxImage, tiff::TiffReader,
};
use faxbot_providers::document::{RenderConverter, fax_to_pdf, received_to_pdf};
use tokio::runtime::{Builder, Runtime};

use clock::Meter;
use files::papers;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What the bench does when it is started by itself.
const TO_FAX: &str = "--one-file-to-fax";
const TO_PDF: &str = "--one-fax-to-pdf";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [TO_FAX, from, directory] => one_to_fax(Path::new(from), Path::new(directory)),
        [TO_PDF, from, to] => Ok(received_to_pdf(from, to).map(drop)?),
        // `cargo test --benches` only wants to know that it runs.
        ref others if others.contains(&"--bench") => summary(),
        _ => Ok(()),
    }
}

fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_time().build()?)
}

fn one_to_fax(from: &Path, directory: &Path) -> Result<()> {
    let converter = RenderConverter::new().with_directory(directory);
    let image = convert(&runtime()?, &converter, from)?;
    // The file is the caller's; ghostscript leaves one too.
    let size = std::fs::metadata(image.path())?.len();
    (size > 0).then_some(()).ok_or_else(|| "no fax".into())
}

fn convert(runtime: &Runtime, converter: &RenderConverter, from: &Path) -> Result<FaxImage> {
    let options = ConvertOptions::default();
    Ok(runtime.block_on(converter.to_fax(Document::path(from), options))?)
}

fn summary() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{cores} cores; milliseconds, best of the passes; processor time in brackets, mean");
    let fax = to_fax(directory.path())?;
    to_pdf(directory.path(), &fax)
}

/// Converts every paper; the last of 30 pages of text comes back.
fn to_fax(directory: &Path) -> Result<FaxImage> {
    let (runtime, warm) = (runtime()?, converter(directory));
    let gs = version("gs", "--version", "ghostscript");
    println!("\nPDF to fax pages, 204 x 196, T.6");
    println!(
        "| file | pages | ours: warm | fresh | process | ghostscript | warm | fresh | process | bytes |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    let mut text = None;
    for paper in papers() {
        let from = directory.join("paper.pdf");
        let out = directory.join("gs.tif");
        std::fs::write(&from, &paper.pdf)?;
        let image = convert(&runtime, &warm, &from)?;
        if usize::try_from(image.pages())? != paper.pages {
            return Err("pages are missing".into());
        }
        let mut meters = [Meter::default(); 4];
        for _ in 0..passes(paper.pages) {
            let [ours, fresh, process, theirs] = &mut meters;
            ours.add(|| convert(&runtime, &warm, &from))?;
            fresh.add(|| convert(&runtime, &converter(directory), &from))?;
            process.add(|| run(itself()?.arg(TO_FAX).arg(&from).arg(directory)))?;
            if gs {
                theirs.add(|| run(&mut ghostscript(&from, &out)))?;
            }
        }
        let mut bytes = image.bytes().to_string();
        if gs {
            let reader = TiffReader::open(BufReader::new(File::open(&out)?))?;
            if reader.page_count() != image.pages() {
                return Err("ghostscript has other pages".into());
            }
            let theirs = std::fs::metadata(&out)?.len();
            bytes = format!("{bytes} / {theirs}");
        }
        print(paper.name, paper.pages, &meters, &bytes);
        if paper.pages > 1 && text.is_none() {
            text = Some(image);
        }
    }
    text.ok_or_else(|| "no paper has many pages".into())
}

/// Writes the fax as a PDF: as one that was sent, and as one that was received, whose rows are
/// checked.
fn to_pdf(directory: &Path, fax: &FaxImage) -> Result<()> {
    let tiff2pdf = version("tiff2pdf", "-h", "libtiff-tools");
    let from = fax.path();
    let [ours, theirs] = ["ours.pdf", "theirs.pdf"].map(|name| directory.join(name));
    let mut meters = [Meter::default(); 4];
    for _ in 0..passes(1) {
        let [sent, received, process, peer] = &mut meters;
        sent.add(|| Ok(fax_to_pdf(fax, &ours)?))?;
        received.add(|| Ok(received_to_pdf(from, &ours)?))?;
        process.add(|| run(itself()?.arg(TO_PDF).arg(from).arg(&ours)))?;
        if tiff2pdf {
            peer.add(|| run(Command::new("tiff2pdf").arg("-o").arg(&theirs).arg(from)))?;
        }
    }
    let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |file| file.len());
    println!("\nfax pages to PDF");
    println!(
        "| file | pages | ours: sent | received | process | tiff2pdf | sent | received | process | bytes |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    let bytes = format!("{} / {}", size(&ours), size(&theirs));
    print("dense text", usize::try_from(fax.pages())?, &meters, &bytes);
    Ok(())
}

fn converter(directory: &Path) -> RenderConverter {
    RenderConverter::new().with_directory(directory)
}

fn passes(pages: usize) -> usize {
    if pages > 1 { 6 } else { 20 }
}

fn ghostscript(from: &Path, out: &Path) -> Command {
    let mut command = Command::new("gs");
    command
        .args(["-q", "-dNOPAUSE", "-dBATCH", "-sDEVICE=tiffg4", "-r204x196"])
        .arg(format!("-sOutputFile={}", out.display()))
        .arg(from);
    command
}

fn itself() -> Result<Command> {
    Ok(Command::new(std::env::current_exe()?))
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
}

/// Whether the peer is there; says so if not.
fn version(program: &str, argument: &str, package: &str) -> bool {
    match Command::new(program).arg(argument).output() {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text);
            println!("{program}: {}", text.lines().next().unwrap_or_default());
            true
        }
        Err(_) => {
            println!("{program} is not measured: apt install {package}");
            false
        }
    }
}

/// Times of ours and the peer, and how many times as fast each of ours is.
fn print(name: &str, pages: usize, meters: &[Meter; 4], bytes: &str) {
    let [.., peer] = meters;
    let [a, b, c, d] = meters.each_ref().map(ToString::to_string);
    let [x, y, z, _] = meters.each_ref().map(|ours| peer.ratio(ours));
    println!("| {name} | {pages} | {a} | {b} | {c} | {d} | {x} | {y} | {z} | {bytes} |");
}
