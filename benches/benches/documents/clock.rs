//! Wall time and processor time of work, in this process and those that it starts.

use std::{fmt, time::Instant};

use super::Result;

/// Ticks of `/proc` a second: what Linux shows to programs on every machine.
const TICKS: f64 = 100.0;

/// The passes of one way to do something.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Meter {
    passes: u32,
    best: f64,
    processor: f64,
}

impl Meter {
    /// Runs the work once more. What it gives is dropped in the measured time.
    pub(crate) fn add<T>(&mut self, work: impl FnOnce() -> Result<T>) -> Result<()> {
        let (processor, start) = (processor_time(), Instant::now());
        drop(work()?);
        let wall = start.elapsed().as_secs_f64() * 1e3;
        self.best = if self.passes == 0 {
            wall
        } else {
            self.best.min(wall)
        };
        self.processor += processor_time() - processor;
        self.passes += 1;
        Ok(())
    }

    /// How many times as fast the other one is.
    pub(crate) fn ratio(&self, other: &Self) -> String {
        if self.passes == 0 || other.passes == 0 {
            "-".to_owned()
        } else {
            format!("{:.1}", self.best / other.best)
        }
    }
}

impl fmt::Display for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.passes == 0 {
            return f.write_str("-");
        }
        let processor = self.processor / f64::from(self.passes);
        write!(f, "{:.1} ({processor:.0})", self.best)
    }
}

/// Milliseconds of processor time so far, of this process and of those that it waited for: fields 14
/// to 17 of `/proc/self/stat`. Not a number where there is none.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is a name in brackets, of any content.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: Vec<f64> = fields
        .split_whitespace()
        .skip(11)
        .take(4)
        .filter_map(|field| field.parse().ok())
        .collect();
    if ticks.len() < 4 {
        return f64::NAN;
    }
    ticks.iter().sum::<f64>() / TICKS * 1e3
}
