//! What a sequence must answer, in the simplest terms: two ordered maps.

use std::collections::{BTreeMap, BTreeSet};

use eosdb::Span;
use eosdb::sequence::Mark;

/// What storage holds.
pub type Rows = BTreeMap<i64, u32>;

/// One call of a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    Insert { time: i64, value: u32, mark: Mark },
    Get { time: i64 },
    Change { time: i64, value: u32 },
    Delete { span: Span },
    Load { span: Span },
    Neighbor { span: Span, backwards: bool },
    Nearest { time: i64, reach: Option<i64> },
    Count,
    ForgetLoaded,
    ClearRows,
    ClearMarks { mark: Mark },
}

/// What a call answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Done,
    Duplicate,
    Value(Option<u32>),
    Time(Option<i64>),
    Number(usize),
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    mark: Mark,
    value: u32,
    change: u64,
}

/// What a sequence has pending.
#[derive(Debug, Clone, Default)]
pub struct Model {
    pending: BTreeMap<i64, Pending>,
    change: u64,
}

/// What a save writes, as the model sees it.
#[derive(Debug, Clone)]
pub struct Plan {
    change: u64,
    puts: BTreeSet<i64>,
    deletes: BTreeSet<i64>,
}

impl Model {
    /// The logical content over what storage holds.
    pub fn content(&self, stored: &Rows) -> Rows {
        let mut content = stored.clone();
        for (time, pending) in &self.pending {
            if pending.mark == Mark::Delete {
                content.remove(time);
            } else {
                content.insert(*time, pending.value);
            }
        }
        content
    }

    fn marked(&self, mark: Mark) -> BTreeSet<i64> {
        self.pending.iter().filter(|entry| entry.1.mark == mark).map(|entry| *entry.0).collect()
    }

    pub fn dirty(&self) -> BTreeSet<i64> {
        self.marked(Mark::Put)
    }

    pub fn deleted(&self) -> BTreeSet<i64> {
        self.marked(Mark::Delete)
    }

    /// Forgets the deletion of a row that storage never had.
    pub fn forget_deletion(&mut self, time: i64) {
        self.pending.remove(&time);
    }

    fn mark(&mut self, time: i64, mark: Mark, value: u32) {
        self.change += 1;
        self.pending.insert(time, Pending { mark, value, change: self.change });
    }

    /// Does what `call` does to what is pending, and tells what it answers.
    pub fn call(&mut self, stored: &Rows, call: &Call) -> Answer {
        let content = self.content(stored);
        match *call {
            Call::Insert { time, .. } if content.contains_key(&time) => Answer::Duplicate,
            Call::Insert { time, value, mark } => {
                self.mark(time, mark, value);
                Answer::Done
            }
            Call::Get { time } => Answer::Value(content.get(&time).copied()),
            Call::Change { time, value } => {
                if content.contains_key(&time) {
                    self.mark(time, Mark::Put, value);
                }
                Answer::Value(content.get(&time).copied())
            }
            Call::Delete { span } => {
                let doomed: Vec<i64> =
                    content.into_keys().filter(|time| span.contains(*time)).collect();
                for time in &doomed {
                    self.mark(*time, Mark::Delete, 0);
                }
                Answer::Number(doomed.len())
            }
            Call::Neighbor { span, backwards } => {
                let mut inside = content.into_keys().filter(|time| span.contains(*time));
                Answer::Time(if backwards { inside.next_back() } else { inside.next() })
            }
            Call::Nearest { time, reach } => {
                let distance = |row: &i64| row.abs_diff(time);
                let within = |row: &i64| {
                    reach.is_none_or(|reach| {
                        u64::try_from(reach).is_ok_and(|reach| distance(row) <= reach / 1_000_000)
                    })
                };
                // Of equally near rows the later one comes first when looking backwards.
                let nearest = content.into_keys().filter(within).rev().min_by_key(distance);
                Answer::Time(nearest)
            }
            Call::Count => Answer::Number(content.len()),
            Call::Load { .. } | Call::ForgetLoaded => Answer::Done,
            Call::ClearRows => {
                self.pending.retain(|_, pending| pending.mark == Mark::Delete);
                Answer::Done
            }
            Call::ClearMarks { mark: Mark::Delete } => {
                self.pending.retain(|_, pending| pending.mark != Mark::Delete);
                Answer::Done
            }
            Call::ClearMarks { .. } => {
                for pending in self.pending.values_mut().filter(|entry| entry.mark == Mark::Put) {
                    pending.mark = Mark::Held;
                }
                Answer::Done
            }
        }
    }

    /// What a save writes now.
    pub fn plan(&self) -> Plan {
        Plan { change: self.change, puts: self.dirty(), deletes: self.deleted() }
    }

    /// Forgets what was saved, but for what was changed after the plan was made.
    pub fn saved(&mut self, plan: &Plan) {
        self.pending.retain(|time, pending| {
            let planned = plan.puts.contains(time) || plan.deletes.contains(time);
            pending.change > plan.change || !planned
        });
    }
}

impl Plan {
    /// What storage holds after this plan, with `values` for its puts.
    pub fn apply(&self, stored: &mut Rows, values: &Rows, deletes: bool) {
        stored.extend(values);
        if deletes {
            stored.retain(|time, _| !self.deletes.contains(time));
        }
    }

    pub fn puts(&self) -> &BTreeSet<i64> {
        &self.puts
    }
}
