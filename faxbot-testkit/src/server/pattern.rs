//! The part of extended regular expressions that filters of events are written in: literals, `.`,
//! `[..]`, `( | )`, `* + ?`, `^` and `$`. What is beyond that does not compile.

/// Longest pattern.
const MAX_PATTERN: usize = 1024;

/// Steps of one match, against patterns that would try for ever.
const MAX_STEPS: u32 = 200_000;

/// One pattern, compiled.
#[derive(Debug)]
pub(super) struct Pattern {
    branches: Vec<Vec<Piece>>,
    /// Where a match can begin at all.
    begins: Begins,
}

#[derive(Debug)]
enum Begins {
    Start,
    With(u8),
    Anywhere,
}

#[derive(Debug)]
struct Piece {
    atom: Atom,
    least: u32,
    most: u32,
}

#[derive(Debug)]
enum Atom {
    Byte(u8),
    Any,
    /// The ranges, and whether the others are meant.
    Class(Vec<(u8, u8)>, bool),
    Group(Vec<Vec<Piece>>),
    Start,
    End,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Option<Self> {
        if text.len() > MAX_PATTERN {
            return None;
        }
        let text = text.as_bytes();
        let mut at = 0;
        let branches = branches(text, &mut at, 0)?;
        let begins = match branches.as_slice() {
            [branch] => match branch.first() {
                Some(Piece { least: 0, .. }) | None => Begins::Anywhere,
                Some(piece) => match piece.atom {
                    Atom::Start => Begins::Start,
                    Atom::Byte(byte) => Begins::With(byte),
                    _ => Begins::Anywhere,
                },
            },
            _ => Begins::Anywhere,
        };
        (at == text.len()).then_some(Self { branches, begins })
    }

    /// Whether it is found anywhere. `^` and `$` are the ends of the whole text.
    pub(super) fn is_match(&self, text: &str) -> bool {
        let text = text.as_bytes();
        let mut steps = 0;
        let mut at = |from: usize| {
            self.branches
                .iter()
                .any(|branch| sequence(branch, text, from, &mut steps, &mut |_, _| true))
        };
        match self.begins {
            Begins::Start => at(0),
            Begins::With(byte) => {
                let mut all = text.iter().enumerate();
                all.any(|(from, found)| *found == byte && at(from))
            }
            Begins::Anywhere => (0..=text.len()).any(at),
        }
    }
}

/// Alternatives up to the end or a closing bracket.
fn branches(bytes: &[u8], at: &mut usize, depth: u32) -> Option<Vec<Vec<Piece>>> {
    if depth > 32 {
        return None;
    }
    let mut all = vec![Vec::new()];
    while let Some(&c) = bytes.get(*at) {
        let atom = match c {
            b')' if depth > 0 => break,
            b'|' => {
                *at += 1;
                all.push(Vec::new());
                continue;
            }
            b'(' => {
                *at += 1;
                let inner = branches(bytes, at, depth + 1)?;
                if bytes.get(*at) != Some(&b')') {
                    return None;
                }
                Atom::Group(inner)
            }
            b'[' => class(bytes, at)?,
            b'\\' => {
                *at += 1;
                Atom::Byte(*bytes.get(*at)?)
            }
            b'.' => Atom::Any,
            b'^' => Atom::Start,
            b'$' => Atom::End,
            b'*' | b'+' | b'?' => return None,
            // Counted repetition is beyond this subset.
            b'{' => return None,
            c => Atom::Byte(c),
        };
        *at += 1;
        let (least, most) = match bytes.get(*at) {
            Some(b'*') => (0, u32::MAX),
            Some(b'+') => (1, u32::MAX),
            Some(b'?') => (0, 1),
            _ => (1, 1),
        };
        if (least, most) != (1, 1) {
            *at += 1;
        }
        all.last_mut()?.push(Piece { atom, least, most });
    }
    Some(all)
}

/// The one named class that is read.
const CNTRL: &[u8] = b"[:cntrl:]";

/// `[..]`; leaves `at` on the closing bracket.
fn class(bytes: &[u8], at: &mut usize) -> Option<Atom> {
    *at += 1;
    let others = bytes.get(*at) == Some(&b'^');
    if others {
        *at += 1;
    }
    let mut ranges = Vec::new();
    let first = *at;
    loop {
        let from = *bytes.get(*at)?;
        if from == b']' && *at > first {
            return Some(Atom::Class(ranges, others));
        }
        if bytes.get(*at..).is_some_and(|rest| rest.starts_with(CNTRL)) {
            ranges.extend([(0, 31), (127, 127)]);
            *at += CNTRL.len();
            continue;
        }
        *at += 1;
        let is_range = bytes.get(*at) == Some(&b'-') && bytes.get(*at + 1) != Some(&b']');
        if is_range {
            let to = *bytes.get(*at + 1)?;
            ranges.push((from, to));
            *at += 2;
        } else {
            ranges.push((from, from));
        }
    }
}

type Next<'a> = &'a mut dyn FnMut(usize, &mut u32) -> bool;

/// Whether the pieces match from `at` on and what follows agrees.
fn sequence(pieces: &[Piece], text: &[u8], at: usize, steps: &mut u32, next: Next<'_>) -> bool {
    match pieces.split_first() {
        None => next(at, steps),
        Some((piece, rest)) => repeat(piece, rest, text, (at, 0), steps, next),
    }
}

fn repeat(
    piece: &Piece,
    rest: &[Piece],
    text: &[u8],
    (at, done): (usize, u32),
    steps: &mut u32,
    next: Next<'_>,
) -> bool {
    *steps += 1;
    if *steps > MAX_STEPS {
        return false;
    }
    // Greedy: once more first. A turn that took nothing would go on for ever.
    if done < piece.most
        && one(&piece.atom, text, at, steps, &mut |after, steps| {
            (after > at || done < piece.least)
                && repeat(piece, rest, text, (after, done + 1), steps, &mut *next)
        })
    {
        return true;
    }
    done >= piece.least && sequence(rest, text, at, steps, next)
}

fn one(atom: &Atom, text: &[u8], at: usize, steps: &mut u32, next: Next<'_>) -> bool {
    let took = match atom {
        Atom::Start => return at == 0 && next(at, steps),
        Atom::End => return at == text.len() && next(at, steps),
        Atom::Group(branches) => {
            return branches
                .iter()
                .any(|branch| sequence(branch, text, at, steps, &mut *next));
        }
        Atom::Any => text.get(at).is_some(),
        Atom::Byte(want) => text.get(at) == Some(want),
        Atom::Class(ranges, others) => text.get(at).is_some_and(|c| {
            let inside = ranges.iter().any(|(from, to)| (from..=to).contains(&c));
            inside != *others
        }),
    };
    took && next(at + 1, steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_extended_regular_expressions_do() {
        for (pattern, text, found) in [
            ("Event: UserEvent", "Event: UserEvent\r\nx: 1", true),
            ("^Event: (A|B)$", "Event: B", true),
            ("^Event: (A|B)\r\n", "Event: B\r\nX: 1\r\n", true),
            ("^Event: (A|B)", "X: 1\r\nEvent: B", false),
            (
                "Channel: PJSIP/.*-[0-9a-f]+",
                "Channel: PJSIP/x-0000001a",
                true,
            ),
            ("a+b?c*$", "xaab", true),
            ("[^0-9]x", "1x2x", false),
            ("a[[:cntrl:]]b", "a\nb", true),
            ("a[[:cntrl:]]b", "acb", false),
            ("(ab)*c", "ababc", true),
            ("a.c", "a\nc", true),
            ("\\.", "a", false),
            ("(a*)*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(
                Pattern::new(pattern).unwrap().is_match(text),
                found,
                "{pattern}"
            );
        }
        for pattern in ["(", "[a", "*a", "a\\"] {
            assert!(Pattern::new(pattern).is_none(), "{pattern}");
        }
    }
}
