//! Pictures: PNG, JPEG, and TIFF that is no fax.

mod ifd;
mod jpeg;
mod page;
mod png;
mod samples;
mod scale;
mod tiff;
mod view;

use faxbot_core::{
    Result,
    document::{ConvertOptions, Halftone},
};

use super::{
    halftone::Screen,
    layout::Place,
    output::FaxFile,
    part::{Job, Part},
    source::Input,
    worker::Stop,
};

pub(super) use page::{MAX_SIDE, Sheet, check_place};
pub(super) use tiff::PictureTiff;
pub(super) use view::{Grey, View};

pub(super) fn open_png(input: Input, options: &ConvertOptions) -> Result<Box<dyn Part>> {
    PicturePart::open(png::Png::open(input)?, options)
}

pub(super) fn open_jpeg(input: Input, options: &ConvertOptions) -> Result<Box<dyn Part>> {
    PicturePart::open(jpeg::Jpeg::open(input)?, options)
}

/// A picture whose head was read.
trait Picture {
    /// Its size and how it stands.
    fn sheet(&self) -> Sheet;

    /// Its pixels, all of them.
    fn decode(self, stop: &Stop) -> Result<Grey>;
}

/// A document of one picture.
struct PicturePart<P>(P);

impl<P: Picture + 'static> PicturePart<P> {
    fn open(picture: P, options: &ConvertOptions) -> Result<Box<dyn Part>> {
        let place = picture.sheet().place(options.width, options.resolution)?;
        check_place(0, &place, options)?;
        Ok(Box::new(Self(picture)))
    }
}

impl<P: Picture> Part for PicturePart<P> {
    fn pages(&self) -> u32 {
        1
    }

    fn draw(self: Box<Self>, job: &Job<'_>, out: &mut FaxFile<'_>) -> Result<()> {
        let sheet = self.0.sheet();
        let place = sheet.place(job.options.width, job.options.resolution)?;
        let grey = self.0.decode(job.stop)?;
        let mut easel = Easel::new(job.options.halftone, job.options.width.pixels());
        easel.draw(&grey, sheet.view, place, out)
    }
}

/// What is kept from picture to picture.
pub(super) struct Easel {
    screen: Screen,
    width: usize,
    band: Vec<u8>,
}

impl Easel {
    pub(super) fn new(halftone: Halftone, width: u32) -> Self {
        let screen = Screen::new(halftone, width);
        let width = width as usize;
        Self {
            screen,
            width,
            band: vec![255; width * Screen::BAND],
        }
    }

    /// Draws a picture as a page of its own.
    pub(super) fn draw(
        &mut self,
        grey: &Grey,
        view: View,
        place: Place,
        out: &mut FaxFile<'_>,
    ) -> Result<()> {
        page::draw(self, grey, view, place, out)
    }
}
