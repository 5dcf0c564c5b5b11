//! What goes wrong with requests, and when.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::Method;
use url::Url;

use super::answer::{HttpAnswer, Then};
use crate::random::{Seed, TestRng};

/// What goes wrong with one request. *Effect* is that the vendor acted on it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// A status instead of any effect, as from a gateway.
    Status {
        /// The status.
        code: u16,
        /// The header `Retry-After`, in seconds.
        retry_after: Option<u64>,
        /// The body; JSON is said to be JSON, anything else HTML.
        body: String,
    },
    /// The vendor acts, and a status with an empty body comes instead of its answer.
    StatusAfterEffect {
        /// The status.
        code: u16,
    },
    /// The vendor acts, and no answer comes.
    HangAfterEffect,
    /// The vendor does not act, and no answer comes.
    HangBeforeEffect,
    /// The vendor acts, and the link ends without an answer.
    CutAfterEffect,
    /// The request was read whole, the vendor does not act, and the link ends without an answer.
    CutBeforeEffect,
    /// The link ends before the body of the request was read.
    CutInUpload,
    /// The vendor acts; half of its answer comes, and the link ends.
    TruncatedBody,
    /// The vendor acts; its answer comes without its end, and the link stays open.
    UnfinishedBody,
    /// The vendor acts, and a web page with status 200 comes instead of its answer.
    Garbage,
    /// The vendor acts, and something that is not HTTP comes instead of its answer.
    NotHttp,
    /// The vendor acts, and its answer takes this long.
    Slow(Duration),
    /// This long passes before the vendor acts and answers.
    Late(Duration),
    /// The vendor acts, and an answer without end comes.
    TooLong,
    /// The client is sent elsewhere by 307, without an effect.
    Redirect(Url),
}

impl FaultKind {
    /// A status without effect, header and body.
    pub fn status(code: u16) -> Self {
        Self::Status {
            code,
            retry_after: None,
            body: String::new(),
        }
    }

    /// 429 with `Retry-After`.
    pub fn too_many(seconds: u64) -> Self {
        Self::Status {
            code: 429,
            retry_after: Some(seconds),
            body: String::new(),
        }
    }

    /// Its name, for the record.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Status { .. } => "status",
            Self::StatusAfterEffect { .. } => "status after effect",
            Self::HangAfterEffect => "hang after effect",
            Self::HangBeforeEffect => "hang before effect",
            Self::CutAfterEffect => "cut after effect",
            Self::CutBeforeEffect => "cut before effect",
            Self::CutInUpload => "cut in upload",
            Self::TruncatedBody => "truncated body",
            Self::UnfinishedBody => "unfinished body",
            Self::Garbage => "garbage",
            Self::NotHttp => "not http",
            Self::Slow(_) => "slow",
            Self::Late(_) => "late",
            Self::TooLong => "too long",
            Self::Redirect(_) => "redirect",
        }
    }

    /// Whether the vendor acts.
    pub fn has_effect(&self) -> bool {
        self.instead().is_none()
    }

    /// The answer that comes without any effect.
    pub(super) fn instead(&self) -> Option<HttpAnswer> {
        Some(match self {
            Self::Status {
                code,
                retry_after,
                body,
            } => {
                let mut answer = HttpAnswer::new(*code);
                if let Some(seconds) = retry_after {
                    answer = answer.with_header("retry-after", &seconds.to_string());
                }
                match body.trim_start().bytes().next() {
                    None => answer,
                    Some(b'{' | b'[') => answer.with_body("application/json", body.clone()),
                    Some(_) => answer.with_body("text/html", body.clone()),
                }
            }
            Self::HangBeforeEffect => HttpAnswer::new(200).then(Then::Never),
            Self::CutBeforeEffect | Self::CutInUpload => HttpAnswer::new(200).then(Then::Cut),
            Self::Redirect(url) => HttpAnswer::new(307).with_header("location", url.as_str()),
            _ => return None,
        })
    }

    /// What becomes of the vendor's answer.
    pub(super) fn spoil(&self, answer: HttpAnswer) -> HttpAnswer {
        match self {
            Self::StatusAfterEffect { code } => HttpAnswer::new(*code),
            Self::HangAfterEffect => answer.then(Then::Never),
            Self::CutAfterEffect => answer.then(Then::Cut),
            Self::TruncatedBody => answer.then(Then::Truncated),
            Self::UnfinishedBody => answer.then(Then::Unfinished),
            Self::Garbage => HttpAnswer::new(200).with_body(
                "text/html",
                "<html><head><title>Sign in</title></head><body>{\"</body></html>",
            ),
            Self::NotHttp => answer.then(Then::Raw(Bytes::from_static(
                b"\x15\x03\x03\x00\x02\x02\x28SSH-2.0-OpenSSH_9.6\r\n\r\n",
            ))),
            Self::Slow(time) => answer.after(*time),
            Self::TooLong => answer.then(Then::Endless),
            _ => answer,
        }
    }
}

impl fmt::Debug for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Status { code, .. } | Self::StatusAfterEffect { code } => write!(f, " {code}"),
            Self::Slow(time) | Self::Late(time) => write!(f, " {time:?}"),
            _ => Ok(()),
        }
    }
}

/// Which requests something goes wrong with, and what: the next one, unless told otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    kind: FaultKind,
    method: Option<String>,
    prefix: String,
    skip: u32,
    times: u32,
}

impl Fault {
    /// With the next request, whatever it is.
    pub fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            method: None,
            prefix: String::new(),
            skip: 0,
            times: 1,
        }
    }

    /// Only with this method and a path that starts so. `*` is any method.
    #[must_use]
    pub fn on(mut self, method: &str, path_prefix: &str) -> Self {
        self.method = (method != "*").then(|| method.to_owned());
        path_prefix.clone_into(&mut self.prefix);
        self
    }

    /// So many times in a row.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// From now on, until [`MockHttp::no_faults`](super::MockHttp::no_faults).
    #[must_use]
    pub fn always(self) -> Self {
        self.times(u32::MAX)
    }

    /// Lets so many of these requests pass first.
    #[must_use]
    pub fn skip(mut self, requests: u32) -> Self {
        self.skip = requests;
        self
    }

    fn is_on(&self, method: &Method, path: &str) -> bool {
        self.method.as_deref().is_none_or(|own| own == method) && path.starts_with(&self.prefix)
    }
}

/// Faults for soak tests: something goes wrong with a part of all requests.
#[derive(Debug, Clone)]
pub struct RandomFaults {
    /// Where the choices start.
    pub seed: Seed,
    /// The part of the requests, from 0 to 1.
    pub part: f64,
    kinds: Vec<FaultKind>,
    method: Option<String>,
    prefix: String,
    rng: TestRng,
}

impl RandomFaults {
    /// Of all kinds that end soon, for this part of the requests. The seed is printed.
    pub fn new(seed: Seed, part: f64) -> Self {
        seed.announce();
        Self {
            seed,
            part,
            kinds: vec![
                FaultKind::too_many(1),
                FaultKind::status(503),
                FaultKind::StatusAfterEffect { code: 500 },
                FaultKind::StatusAfterEffect { code: 503 },
                FaultKind::CutAfterEffect,
                FaultKind::CutBeforeEffect,
                FaultKind::CutInUpload,
                FaultKind::TruncatedBody,
                FaultKind::Garbage,
                FaultKind::NotHttp,
                FaultKind::Slow(Duration::from_millis(20)),
            ],
            method: None,
            prefix: String::new(),
            rng: TestRng::new(seed),
        }
    }

    /// Only these kinds.
    #[must_use]
    pub fn of(mut self, kinds: impl Into<Vec<FaultKind>>) -> Self {
        self.kinds = kinds.into();
        self
    }

    /// These kinds, too, such as those that only a client's deadline ends.
    #[must_use]
    pub fn and(mut self, kinds: impl IntoIterator<Item = FaultKind>) -> Self {
        self.kinds.extend(kinds);
        self
    }

    /// Only with this method and a path that starts so. `*` is any method.
    #[must_use]
    pub fn on(mut self, method: &str, path_prefix: &str) -> Self {
        self.method = (method != "*").then(|| method.to_owned());
        path_prefix.clone_into(&mut self.prefix);
        self
    }

    fn take(&mut self, method: &Method, path: &str) -> Option<FaultKind> {
        let ours = self.method.as_deref().is_none_or(|own| own == method)
            && path.starts_with(&self.prefix);
        (ours && chance(&mut self.rng, self.part)).then_some(())?;
        let at = self.rng.index(self.kinds.len());
        self.kinds.get(at).cloned()
    }
}

/// True for a part of all calls.
pub(super) fn chance(rng: &mut TestRng, part: f64) -> bool {
    const PARTS: u32 = 1_000_000;
    let drawn = rng.between(0, u64::from(PARTS) - 1);
    u32::try_from(drawn).is_ok_and(|drawn| f64::from(drawn) < part * f64::from(PARTS))
}

/// The faults that wait.
#[derive(Debug, Default)]
pub(super) struct Faults {
    listed: Vec<Fault>,
    random: Option<RandomFaults>,
}

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.listed.push(fault);
    }

    pub(super) fn randomly(&mut self, faults: RandomFaults) {
        self.random = Some(faults);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// What goes wrong with this request: the listed ones in their order, then by chance.
    pub(super) fn take(&mut self, method: &Method, path: &str) -> Option<FaultKind> {
        for fault in &mut self.listed {
            if !fault.is_on(method, path) || fault.times == 0 {
                continue;
            }
            if let Some(skip) = fault.skip.checked_sub(1) {
                fault.skip = skip;
                continue;
            }
            if fault.times < u32::MAX {
                fault.times -= 1;
            }
            return Some(fault.kind.clone());
        }
        self.random.as_mut()?.take(method, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(faults: &mut Faults, requests: &[(&Method, &str)]) -> Vec<Option<&'static str>> {
        requests
            .iter()
            .map(|(method, path)| faults.take(method, path).map(|kind| kind.name()))
            .collect()
    }

    #[test]
    fn a_fault_meets_its_method_and_path_as_often_as_told() {
        let mut faults = Faults::default();
        let cut = Fault::new(FaultKind::CutAfterEffect).on("POST", "/faxes");
        faults.add(cut.skip(1).times(2));
        faults.add(Fault::new(FaultKind::Garbage).on("*", "/files").always());
        let (get, post) = (&Method::GET, &Method::POST);
        assert_eq!(
            names(
                &mut faults,
                &[
                    (post, "/faxes"),
                    (get, "/faxes"),
                    (post, "/faxes/1"),
                    (post, "/faxes"),
                    (post, "/faxes"),
                    (get, "/files/1"),
                    (post, "/files"),
                ]
            ),
            [
                None,
                None,
                Some("cut after effect"),
                Some("cut after effect"),
                None,
                Some("garbage"),
                Some("garbage")
            ]
        );
        faults.clear();
        assert_eq!(names(&mut faults, &[(get, "/files")]), [None]);
    }

    #[test]
    fn random_faults_are_the_same_from_the_same_seed_and_about_the_part_asked_for() {
        let run = || {
            let mut faults = RandomFaults::new(Seed(7), 0.2);
            let all = (0..1000).map(|_| faults.take(&Method::GET, "/"));
            all.map(|kind| kind.map(|kind| kind.name()))
                .collect::<Vec<_>>()
        };
        assert_eq!(run(), run());
        let hit = run().iter().flatten().count();
        assert!((150..250).contains(&hit), "{hit}");
    }
}
