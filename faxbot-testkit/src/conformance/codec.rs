//! What every [`Codec`] owes: the same frames however the bytes are split, no panic, no growth.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use faxbot_sip::protocol::session::Codec;

use super::{Case, Failure, Verdict, ensure};
use crate::random::{Seed, TestRng};

/// Samples up to this size are split at every byte.
const EVERY_BYTE: usize = 1500;

/// Places where a larger sample is split.
const PLACES: usize = 12;

/// Rounds of garbage.
const ROUNDS: usize = 300;

/// A codec under test.
pub trait CodecEnv: Send + Sync + 'static {
    /// The codec.
    type Codec: Codec;

    /// What the cases are called after: `ami client`.
    fn name(&self) -> String;

    /// A codec for a new connection.
    fn codec(&self) -> Self::Codec;

    /// Streams as a peer sends them from the start of a connection, each with its name.
    fn samples(&self) -> Vec<(String, Bytes)>;

    /// A text that says all of a frame that matters: two frames are the same when it is.
    fn describe(&self, frame: &<Self::Codec as Codec>::Frame) -> Vec<u8>;

    /// Bytes that a connection may buffer before its codec refuses to go on.
    fn most_buffered(&self) -> usize;

    /// Frames that never end: what comes first, and what follows again and again.
    fn endless(&self) -> Vec<(Bytes, Bytes)>;
}

/// Frames, and whether the codec refused to go on.
type Read = (Vec<Vec<u8>>, bool);

/// The name of a case and its body.
type Check<E> = (&'static str, fn(&E) -> Verdict);

/// The cases for one codec.
pub fn cases<E: CodecEnv>(env: Arc<E>) -> Vec<Case> {
    let name = env.name();
    let checks: [Check<E>; 8] = [
        ("samples give frames and no error", samples_are_read),
        (
            "a stream split at any byte gives the same frames",
            split_in_two,
        ),
        ("a stream byte by byte gives the same frames", byte_by_byte),
        (
            "a stream in random pieces gives the same frames",
            random_pieces,
        ),
        (
            "a stream that is cut gives the frames before the cut and no error",
            cut,
        ),
        ("garbage gives frames or an error and no panic", garbage),
        (
            "a frame that never ends is refused within the limit",
            endless,
        ),
        ("a codec that refused stays so", stays_failed),
    ];
    checks
        .into_iter()
        .map(|(what, check)| {
            let env = Arc::clone(&env);
            Case::new(what, move || check(&env)).in_suite(&name)
        })
        .collect()
}

fn read<E: CodecEnv>(env: &E, pieces: impl IntoIterator<Item = Bytes>) -> Result<Read, Failure> {
    let mut codec = env.codec();
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(&piece);
        loop {
            let before = buffer.len();
            match codec.decode(&mut buffer) {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    ensure!(buffer.len() < before, "a frame was made of no bytes");
                    frames.push(env.describe(&frame));
                }
                Err(_) => return Ok((frames, true)),
            }
        }
    }
    Ok((frames, false))
}

fn samples<E: CodecEnv>(env: &E) -> Result<Vec<(String, Bytes)>, Failure> {
    let samples = env.samples();
    ensure!(!samples.is_empty(), "the environment has no sample");
    Ok(samples)
}

fn samples_are_read<E: CodecEnv>(env: &E) -> Verdict {
    for (name, bytes) in samples(env)? {
        let (frames, failed) = read(env, [bytes])?;
        ensure!(
            !failed && !frames.is_empty(),
            "{name}: {} frames, refused: {failed}",
            frames.len()
        );
    }
    Ok(())
}

fn split_in_two<E: CodecEnv>(env: &E) -> Verdict {
    for (name, bytes) in samples(env)? {
        let whole = read(env, [bytes.clone()])?;
        let step = if bytes.len() <= EVERY_BYTE {
            1
        } else {
            bytes.len() / PLACES
        };
        for at in (0..=bytes.len()).step_by(step.max(1)) {
            let split = read(env, [bytes.slice(..at), bytes.slice(at..)])?;
            ensure!(split == whole, "{name}: other frames when split at {at}");
        }
    }
    Ok(())
}

fn byte_by_byte<E: CodecEnv>(env: &E) -> Verdict {
    for (name, bytes) in samples(env)? {
        let whole = read(env, [bytes.clone()])?;
        let bytes: Vec<_> = (0..bytes.len()).map(|at| bytes.slice(at..=at)).collect();
        ensure!(
            read(env, bytes)? == whole,
            "{name}: other frames byte by byte"
        );
    }
    Ok(())
}

fn random_pieces<E: CodecEnv>(env: &E) -> Verdict {
    let mut rng = TestRng::new(Seed::fresh());
    for (name, bytes) in samples(env)? {
        let whole = read(env, [bytes.clone()])?;
        let mut rest = bytes;
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            pieces.push(rest.split_to(rest.len().min(rng.index(700) + 1)));
        }
        ensure!(
            read(env, pieces)? == whole,
            "{name}: other frames in random pieces"
        );
    }
    Ok(())
}

fn cut<E: CodecEnv>(env: &E) -> Verdict {
    let mut rng = TestRng::new(Seed::fresh());
    for (name, bytes) in samples(env)? {
        let (whole, _) = read(env, [bytes.clone()])?;
        for _ in 0..10 {
            let at = rng.index(bytes.len());
            let (frames, failed) = read(env, [bytes.slice(..at)])?;
            ensure!(
                !failed && whole.starts_with(&frames),
                "{name}: other frames when cut at {at}"
            );
        }
    }
    Ok(())
}

fn garbage<E: CodecEnv>(env: &E) -> Verdict {
    let mut rng = TestRng::new(Seed::fresh());
    let samples = samples(env)?;
    for _ in 0..ROUNDS {
        let mut bytes = match samples.get(rng.index(samples.len() + 1)) {
            Some((_, sample)) => sample.slice(..sample.len().min(16 * 1024)).to_vec(),
            None => Vec::new(),
        };
        let noise: Vec<u8> = (0..rng.index(512))
            .map(|_| rng.next_u64().to_le_bytes()[0])
            .collect();
        let at = rng.index(bytes.len().max(1)).min(bytes.len());
        drop(bytes.splice(at..at, noise));
        let bytes = Bytes::from(bytes);
        let whole = read(env, [bytes.clone()])?;
        let at = rng.index(bytes.len().max(1)).min(bytes.len());
        let split = read(env, [bytes.slice(..at), bytes.slice(at..)])?;
        ensure!(
            split == whole,
            "garbage gives other frames when split at {at}: {:02x?}",
            bytes.get(..64)
        );
    }
    Ok(())
}

fn endless<E: CodecEnv>(env: &E) -> Verdict {
    let limit = env.most_buffered();
    for (first, again) in env.endless() {
        ensure!(!again.is_empty(), "the environment's endless frame ends");
        let mut codec = env.codec();
        let mut buffer = BytesMut::from(&first[..]);
        let mut given = first.len();
        loop {
            let decoded = codec.decode(&mut buffer);
            if decoded.is_err() {
                break;
            }
            if decoded.is_ok_and(|frame| frame.is_none()) {
                ensure!(
                    buffer.len() <= limit,
                    "{} bytes are buffered of {limit}",
                    buffer.len()
                );
            }
            ensure!(
                given <= 4 * limit + 4096,
                "{given} bytes of one frame and no refusal"
            );
            // In large pieces at the start, or a limit of megabytes takes minutes.
            let times = if given < limit / 2 {
                1 + 4096 / again.len()
            } else {
                1
            };
            for _ in 0..times {
                buffer.extend_from_slice(&again);
                given += again.len();
            }
        }
    }
    Ok(())
}

fn stays_failed<E: CodecEnv>(env: &E) -> Verdict {
    for (first, again) in env.endless() {
        let mut codec = env.codec();
        let mut buffer = BytesMut::from(&first[..]);
        while buffer.len() <= 2 * env.most_buffered() + again.len() {
            buffer.extend_from_slice(&again);
        }
        while codec.decode(&mut buffer).is_ok_and(|frame| frame.is_some()) {}
        ensure!(
            codec.decode(&mut buffer).is_err(),
            "the endless frame was not refused"
        );
        for (name, sample) in samples(env)? {
            let mut buffer = BytesMut::from(&sample[..]);
            ensure!(
                codec.decode(&mut buffer).is_err(),
                "{name}: read after a refusal"
            );
        }
    }
    Ok(())
}
