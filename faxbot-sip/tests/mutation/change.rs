//! What is done to a recorded stream.

use bytes::Bytes;
use faxbot_testkit::random::TestRng;

pub(crate) fn mutated(stream: &Bytes, donor: &Bytes, rng: &mut TestRng) -> Vec<u8> {
    // The bursts are megabytes: mostly a window of them, now and then the whole.
    let most = if rng.index(20) == 0 {
        usize::MAX
    } else {
        128 * 1024
    };
    let start = if stream.len() > most {
        rng.index(stream.len() - most)
    } else {
        0
    };
    let mut bytes = stream[start..stream.len().min(start.saturating_add(most))].to_vec();
    for _ in 0..rng.index(8) {
        mutate(&mut bytes, donor, rng);
    }
    bytes
}

fn mutate(bytes: &mut Vec<u8>, donor: &[u8], rng: &mut TestRng) {
    if bytes.is_empty() {
        bytes.extend_from_slice(donor);
        return;
    }
    let at = rng.index(bytes.len());
    match rng.index(11) {
        0 => bytes[at] ^= 1 << rng.index(8),
        1 => bytes[at] = *b"\0\r\n: ,;\xff\x80\t".get(rng.index(10)).unwrap_or(&b'\n'),
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..(at + rng.index(64)).min(bytes.len()))),
        4 => {
            let part = part(donor, 4096, rng);
            drop(bytes.splice(at..at, part));
        }
        5 => {
            let part = part(&bytes[at..], 4096, rng);
            drop(bytes.splice(at..at, part));
        }
        // Line ends: lost ones, doubled ones, lone CRs and LFs.
        6 => {
            let every = rng.index(50) + 1;
            let mut seen = 0;
            bytes.retain(|byte| {
                seen += usize::from(*byte == b'\n' || *byte == b'\r');
                !(*byte == b'\n' || *byte == b'\r') || seen % every != 0
            });
        }
        7 => {
            let ends: [&[u8]; 5] = [b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n\r"];
            let end = ends[rng.index(ends.len())].to_vec();
            drop(bytes.splice(at..at, end));
        }
        // Counts and lengths, such as those of `ListItems`.
        8 => {
            for byte in bytes
                .iter_mut()
                .skip(at)
                .take(2048)
                .filter(|byte| byte.is_ascii_digit())
            {
                *byte = b'0' + u8::try_from(rng.index(10)).unwrap();
            }
        }
        // One line, or one message, of up to 3 MiB.
        9 => {
            let fill = if rng.index(2) == 0 {
                b"x".repeat(rng.index(64 * 1024))
            } else {
                b"X: y\r\n".repeat(rng.index(500_000) / (1 + rng.index(60)))
            };
            drop(bytes.splice(at..at, fill));
        }
        _ => {
            let to = rng.index(bytes.len());
            bytes.swap(at, to);
        }
    }
}

fn part(bytes: &[u8], most: usize, rng: &mut TestRng) -> Vec<u8> {
    let start = rng.index(bytes.len());
    let end = (start + rng.index(most)).min(bytes.len());
    bytes[start..end].to_vec()
}
