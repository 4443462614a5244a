//! Which of their records workers have delivered, wherever they lie.

use std::collections::BTreeMap;

use companion_protocol::AuditRecord;

/// What is here of every worker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Numbers(BTreeMap<String, Worker>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Worker {
    /// Numbers that are here, in ranges `start → end`.
    ranges: BTreeMap<u64, u64>,
    /// How many it had numbered when it sent the newest of them.
    numbered: u64,
}

/// What is not here of one worker.
pub(super) struct Missing<'a> {
    pub(super) stream: &'a str,
    /// Between records that are here, and before the first: from and to, both missing.
    pub(super) gaps: Vec<(u64, u64)>,
    /// Behind the last.
    pub(super) behind: Option<(u64, u64)>,
}

impl Numbers {
    /// Whether it was not here before.
    pub(super) fn insert(&mut self, record: &AuditRecord) -> bool {
        let worker = self.0.entry(record.stream.clone()).or_default();
        worker.numbered = worker.numbered.max(record.numbered.unwrap_or(0));
        worker.insert(record.seq)
    }

    /// Adds what another log has.
    pub(super) fn extend(&mut self, other: Self) {
        for (stream, theirs) in other.0 {
            let ours = self.0.entry(stream).or_default();
            ours.numbered = ours.numbered.max(theirs.numbered);
            for (start, end) in theirs.ranges {
                ours.join(start, end);
            }
        }
    }

    /// In the order of the streams' names. `from_the_start`: nobody deleted older records, so a worker's begin with 0.
    pub(super) fn missing<'a>(&'a self, from_the_start: bool) -> impl Iterator<Item = Missing<'a>> {
        let holes = move |(stream, worker): (&'a String, &'a Worker)| worker.holes(stream, from_the_start);
        self.0.iter().map(holes)
    }
}

impl Worker {
    fn insert(&mut self, seq: u64) -> bool {
        let ranges = &mut self.ranges;
        let (mut start, mut end) = (seq, seq);
        if let Some((&s, &e)) = ranges.range(..=seq).next_back() {
            if e >= seq {
                return false;
            }
            if e + 1 == seq {
                start = s;
            }
        }
        if let Some(next) = seq.checked_add(1)
            && let Some(e) = ranges.remove(&next)
        {
            end = e;
        }
        ranges.insert(start, end);
        true
    }

    /// Adds a range, which may overlap what is here.
    fn join(&mut self, mut start: u64, mut end: u64) {
        let touching: Vec<(u64, u64)> = self
            .ranges
            .range(..=end.saturating_add(1))
            .rev()
            .map(|(&s, &e)| (s, e))
            .take_while(|(_, e)| e.saturating_add(1) >= start)
            .collect();
        for (s, e) in touching {
            self.ranges.remove(&s);
            (start, end) = (start.min(s), end.max(e));
        }
        self.ranges.insert(start, end);
    }

    fn holes<'a>(&self, stream: &'a str, from_the_start: bool) -> Missing<'a> {
        let first = self
            .ranges
            .keys()
            .next()
            .filter(|first| **first > 0 && from_the_start);
        let before = first.map(|first| (0, first - 1));
        let ends = self.ranges.values();
        let between = ends
            .zip(self.ranges.keys().skip(1))
            .map(|(end, start)| (end + 1, start - 1));
        let gaps = before.into_iter().chain(between).collect();
        let next = self
            .ranges
            .last_key_value()
            .map_or(0, |(_, end)| end.saturating_add(1));
        let behind = (self.numbered > next).then(|| (next, self.numbered - 1));
        Missing { stream, gaps, behind }
    }
}
