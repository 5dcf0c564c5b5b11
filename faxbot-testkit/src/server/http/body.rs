//! The body of an answer on a real link.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// One piece of an endless body.
const PIECE: &[u8] = &[b' '; 64 * 1024];

/// Pieces of an endless body: 256 MiB.
const PIECES: u32 = 4096;

/// The link is to end here.
#[derive(Debug)]
pub(super) struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the mock cuts the link")
    }
}

impl std::error::Error for Cut {}

/// A body that ends as it is told.
pub(super) enum MockBody {
    Whole(Option<Bytes>),
    Unfinished(Option<Bytes>),
    Truncated {
        length: u64,
        half: Option<Bytes>,
        /// What was given is written before the link ends.
        flushed: bool,
    },
    Endless(u32),
}

impl MockBody {
    pub(super) fn whole(body: Bytes) -> Self {
        Self::Whole(some(body))
    }

    pub(super) fn unfinished(body: Bytes) -> Self {
        Self::Unfinished(some(body))
    }

    pub(super) fn truncated(body: &Bytes) -> Self {
        let half = body.slice(..body.len() / 2);
        Self::Truncated {
            // A body of nothing is truncated, too.
            length: body.len().max(1) as u64,
            half: some(half),
            flushed: false,
        }
    }

    pub(super) fn endless() -> Self {
        Self::Endless(PIECES)
    }
}

fn some(body: Bytes) -> Option<Bytes> {
    (!body.is_empty()).then_some(body)
}

impl Body for MockBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut *self {
            Self::Whole(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            // Nothing wakes this task again but the client, who goes.
            Self::Unfinished(body) => body.take().map_or(Poll::Pending, |body| {
                Poll::Ready(Some(Ok(Frame::data(body))))
            }),
            Self::Truncated { half, flushed, .. } => match half.take() {
                Some(half) => Poll::Ready(Some(Ok(Frame::data(half)))),
                None if *flushed => Poll::Ready(Some(Err(Cut))),
                None => {
                    *flushed = true;
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
            },
            Self::Endless(0) => Poll::Ready(None),
            Self::Endless(left) => {
                *left -= 1;
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(PIECE)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => SizeHint::with_exact(body.as_ref().map_or(0, Bytes::len) as u64),
            Self::Truncated { length, .. } => SizeHint::with_exact(*length),
            Self::Unfinished(_) | Self::Endless(_) => SizeHint::default(),
        }
    }
}
