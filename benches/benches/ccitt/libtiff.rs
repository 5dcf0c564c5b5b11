//! libtiff: a C program that is compiled when the bench runs and times itself.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use faxbot_core::document::FaxCoding;

use super::{ROWS, Result, Times, WIDTH, charts::Chart};

/// The compiled program and the pages that it codes.
pub(crate) struct Libtiff {
    program: PathBuf,
    pages: PathBuf,
}

impl Libtiff {
    /// Compiles the program; an error says what is missing.
    pub(crate) fn compile(pages: &[Chart]) -> Result<Self> {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let program = directory.join("ccitt_libtiff");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/ccitt/libtiff.c");
        let compiled = Command::new("cc")
            .arg("-O2")
            .arg("-o")
            .arg(&program)
            .arg(source)
            .arg("-ltiff")
            .output()?;
        if !compiled.status.success() {
            return Err("the C program was not compiled (apt install gcc libtiff-dev)".into());
        }
        let raw = directory.join("ccitt_pages.raw");
        std::fs::write(
            &raw,
            pages.iter().flat_map(Chart::bytes).collect::<Vec<_>>(),
        )?;
        Ok(Self {
            program,
            pages: raw,
        })
    }

    /// The best of `passes` for each page, and the bytes of its strip.
    pub(crate) fn run(&self, coding: FaxCoding, passes: u32) -> Result<Vec<(Times, usize)>> {
        let name = match coding {
            FaxCoding::Mh => "mh",
            FaxCoding::Mr => "mr",
            _ => "mmr",
        };
        let arguments = [WIDTH, ROWS, passes].map(|value| value.to_string());
        let output = Command::new(&self.program)
            .arg(&self.pages)
            .arg(name)
            .args(arguments)
            .output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        let mut times = Vec::new();
        for line in String::from_utf8(output.stdout)?.lines() {
            let mut numbers = line.split(' ');
            let mut next = || numbers.next().ok_or("a number is missing");
            let (encode, decode) = (next()?.parse::<f64>()? / 1e3, next()?.parse::<f64>()? / 1e3);
            times.push((Times { encode, decode }, next()?.parse()?));
        }
        Ok(times)
    }
}

impl Drop for Libtiff {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.pages);
    }
}
