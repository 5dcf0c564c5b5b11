//! A server with dialogs, whose events come late, twice, out of order or not at all, and whose lists are
//! older than they seem.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

use CallState as S;

/// How long a list shows a dialog that is over.
const LISTED: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
enum Op {
    /// A dialog gets on: by one stage, or to its end.
    Step(usize, bool),
    /// One of the events that are under way is told, lost, or told and kept.
    Tell(usize),
    Lose(usize),
    TellTwice(usize),
    /// A poll is asked for.
    Ask,
    /// It is answered, with what was true when it was asked for.
    Answer,
    /// A look at one dialog, beside the polls.
    Look(usize),
    Pass(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        6 => (any::<usize>(), prop::bool::weighted(0.3)).prop_map(|(i, end)| Op::Step(i, end)),
        6 => any::<usize>().prop_map(Op::Tell),
        1 => any::<usize>().prop_map(Op::Lose),
        1 => any::<usize>().prop_map(Op::TellTwice),
        3 => Just(Op::Ask),
        3 => Just(Op::Answer),
        1 => any::<usize>().prop_map(Op::Look),
        2 => (0u64..1500).prop_map(Op::Pass),
    ];
    prop::collection::vec(op, 0..120)
}

/// A dialog as it is.
struct Truth {
    seen: Seen,
    over_at: Option<Instant>,
    answered: bool,
    status: u16,
    /// The books had it once.
    known: bool,
}

struct World {
    bench: Bench,
    dialogs: Vec<Truth>,
    under_way: Vec<(usize, Told)>,
    asked: Option<Vec<Seen>>,
}

impl World {
    fn new(events: bool) -> Self {
        Self {
            bench: Bench::new(events),
            dialogs: Vec::new(),
            under_way: Vec::new(),
            asked: None,
        }
    }

    fn list(&self) -> Vec<Seen> {
        let now = self.bench.now.instant;
        let listed = |truth: &&Truth| truth.over_at.is_none_or(|at| now - at < LISTED);
        let shown = self.dialogs.iter().filter(listed);
        shown.map(|truth| truth.seen.clone()).collect()
    }

    fn step(&mut self, which: usize, end: bool) {
        let all = self.dialogs.len();
        let which = which % (all + 1).min(6);
        if which >= all {
            let call_id = format!("{}@pbx", all / 2);
            let mut one = seen(&call_id, Stage::Begun);
            // Two of each Call-ID: another dialog, or the same name again.
            one.handle = format!("handle {all}");
            if all % 4 == 1 {
                one.from_tag = "another".to_owned();
            } else if all % 2 == 1 && self.dialogs[all - 1].over_at.is_none() {
                return;
            }
            self.under_way
                .push((all, Told::Begun(Box::new(one.clone()))));
            self.dialogs.push(Truth {
                seen: one,
                over_at: None,
                answered: false,
                known: false,
                status: [486, 404, 408, 487][all % 4],
            });
            return;
        }
        let now = self.bench.now;
        let Some(truth) = self.dialogs.get_mut(which) else {
            return;
        };
        if truth.over_at.is_some() {
            return;
        }
        let told = match truth.seen.stage {
            Stage::Begun | Stage::Early if end => {
                let report = for_status(truth.status);
                self.under_way.push((which, Told::Cause(report)));
                Told::OverWithoutCause
            }
            _ if end => Told::OverWithoutCause,
            Stage::Begun => Told::Rings,
            Stage::Early => Told::Answered,
            _ => return,
        };
        truth.seen.stage = match told {
            Told::Rings => Stage::Early,
            Told::Answered => Stage::Up,
            _ => Stage::Over,
        };
        if truth.seen.stage == Stage::Up {
            truth.answered = true;
            truth.seen.answered = Some(now.wall);
        }
        if truth.seen.stage == Stage::Over {
            truth.over_at = Some(now.instant);
        }
        self.under_way.push((which, told));
    }

    fn tell(&mut self, which: usize, keep: bool) {
        if self.under_way.is_empty() {
            return;
        }
        let at = self.first_of_name(which % self.under_way.len());
        let (dialog, told) = if keep {
            self.under_way[at].clone()
        } else {
            self.under_way.remove(at)
        };
        let one = self.dialogs[dialog].seen.clone();
        self.bench.told(&one, told);
    }

    /// Dialogs of one name begin one after the other, with the time of a request and its refusal between:
    /// the first beginning is told first, or never.
    fn first_of_name(&self, at: usize) -> usize {
        let (dialog, told) = &self.under_way[at];
        if !matches!(told, Told::Begun(_)) {
            return at;
        }
        let name = past::key(&self.dialogs[*dialog].seen);
        let mut all = self.under_way.iter();
        let first = all.position(|(other, told)| {
            let begins = matches!(told, Told::Begun(_));
            begins && other <= dialog && past::key(&self.dialogs[*other].seen) == name
        });
        first.unwrap_or(at)
    }

    fn go(&mut self, op: &Op) {
        match *op {
            Op::Step(which, end) => self.step(which, end),
            Op::Tell(which) => self.tell(which, false),
            Op::TellTwice(which) => self.tell(which, true),
            Op::Lose(which) => {
                if !self.under_way.is_empty() {
                    let at = which % self.under_way.len();
                    self.under_way.remove(at);
                }
            }
            Op::Ask => {
                if self.asked.is_none() {
                    self.asked = Some(self.list());
                }
            }
            Op::Answer => {
                if let Some(list) = self.asked.take() {
                    self.bench.listed(&list);
                }
            }
            Op::Look(which) => {
                let list = self.list();
                if !list.is_empty() {
                    let one = &list[which % list.len()];
                    let one = std::slice::from_ref(one);
                    let events = self.bench.books.listed(one, false, self.bench.now);
                    self.bench.keep(events);
                    self.bench.work();
                }
            }
            Op::Pass(millis) => self.bench.pass(Duration::from_millis(millis)),
        }
    }

    /// Whether every dialog that lives and was known once still is.
    fn keeps(&mut self) -> bool {
        let lines: Vec<_> = self.bench.books.lines.values().collect();
        self.dialogs.iter_mut().all(|truth| {
            let known = lines.iter().any(|line| {
                let shown = line.seen.as_ref().map(|it| it.handle.as_str());
                shown == Some(&*truth.seen.handle) || line.handles.contains(&truth.seen.handle)
            });
            let lost = truth.known && !known && truth.over_at.is_none();
            truth.known |= known;
            !lost
        })
    }

    fn poll(&mut self) {
        self.go(&Op::Answer);
        self.go(&Op::Ask);
        self.go(&Op::Answer);
    }
}

/// How far a state is: a connected call may be held and resumed.
fn far(state: S) -> u8 {
    rank(state)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_order_of_polls_and_events_takes_a_call_back_or_makes_two_of_one(
        ops in ops(),
        events in any::<bool>(),
        polled in any::<bool>(),
    ) {
        let mut world = World::new(events);
        if !events {
            // Without events there are none.
            world.bench.books.set_events(false);
        }
        for op in &ops {
            world.go(op);
            prop_assert!(world.keeps(), "ended while it lives, after {:?}", op);
            if !events {
                world.under_way.clear();
            }
        }
        if polled {
            world.poll();
        }
        // All end, and the last is told or not.
        let dialogs = world.dialogs.len();
        for which in 0..dialogs.min(6) {
            world.step(which, true);
        }
        while polled && events && !world.under_way.is_empty() {
            world.tell(0, false);
        }
        world.bench.pass(SECOND);
        world.poll();
        for _ in 0..4 {
            world.bench.pass(3 * SECOND);
            world.poll();
        }

        // Each call moves forward, from where it was, and never again once it is over.
        let mut at: HashMap<CallId, S> = HashMap::new();
        for change in &world.bench.events {
            let id = change.id.unwrap();
            let before = at.insert(id, change.to).unwrap_or(S::Created);
            prop_assert_eq!(before, change.from);
            prop_assert!(far(change.to) > far(change.from));
        }
        // At the end nothing is left, of the calls that the list shows no longer.
        let alive: Vec<_> = world.dialogs.iter().filter(|it| it.over_at.is_none()).collect();
        prop_assert_eq!(world.bench.books.calls().len(), alive.len());
        prop_assert_eq!(world.bench.books.lines.len(), alive.len());
        let named: usize = world.bench.books.by_call_id.values().map(Vec::len).sum();
        prop_assert_eq!(named, alive.len());

        // No dialog is two calls.
        let records = world.bench.records();
        prop_assert!(records.len() + alive.len() <= dialogs, "{} records of {}", records.len(), dialogs);
        for record in &records {
            let call_id = record.channels[0].expose();
            let mut of_name = world.dialogs.iter().filter(|it| it.seen.call_id == *call_id);
            prop_assert!(of_name.any(|truth| match record.disposition {
                Disposition::Answered => truth.answered,
                // Nothing is invented.
                Disposition::Unknown => record.causes.is_empty(),
                _ => record.causes.sip_status == Some(truth.status),
            }), "{:?}", record);
        }
    }
}
