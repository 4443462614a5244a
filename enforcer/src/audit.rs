//! The audit queue of a worker: bounded, numbered without gaps, shipped with a companion call or on tick.

use std::collections::VecDeque;

use companion_protocol::{AuditRecord, Effect, EffectCall, MAX_REQUEST_BYTES, OnFail};

use crate::exchange::capture;

/// What records that were captured may take of one request to the companion, so that what else is asked fits, too.
const MOST_BYTES: usize = MAX_REQUEST_BYTES / 2;

/// Records that wait to be acknowledged.
pub(crate) struct AuditQueue {
    waiting: VecDeque<AuditRecord>,
    /// Sent and not answered yet; they count against the bound.
    in_flight: usize,
    /// Numbered, but still being written: operations whose response is awaited.
    reserved: usize,
    capacity: usize,
    next: u64,
    stream: String,
}

impl AuditQueue {
    pub(crate) fn new(capacity: usize, stream: String) -> Self {
        Self {
            waiting: VecDeque::new(),
            in_flight: 0,
            reserved: 0,
            capacity,
            next: 0,
            stream,
        }
    }

    /// Whether so many more can be taken. An operation that cannot be recorded must not be forwarded.
    pub(crate) fn has_room_for(&self, more: usize) -> bool {
        self.held().saturating_add(more) <= self.capacity
    }

    /// Whether less than half is taken: identity failures, which anybody can cause, are kept only then, so that nobody can
    /// fill the queue from outside. A lost one shows as a gap in the numbers.
    pub(crate) fn has_room_for_strangers(&self) -> bool {
        self.held() < self.capacity / 2
    }

    fn held(&self) -> usize {
        self.waiting
            .len()
            .saturating_add(self.in_flight)
            .saturating_add(self.reserved)
    }

    /// A number and a place for a record that is not complete yet; to be followed by [`AuditQueue::push_reserved`].
    pub(crate) fn reserve(&mut self) -> u64 {
        let seq = self.next;
        self.next = self.next.saturating_add(1);
        self.reserved = self.reserved.saturating_add(1);
        seq
    }

    /// The record for which `seq` was reserved.
    pub(crate) fn push_reserved(&mut self, seq: u64, mut record: AuditRecord) {
        self.reserved = self.reserved.saturating_sub(1);
        record.seq = seq;
        record.stream.clone_from(&self.stream);
        self.waiting.push_back(record);
    }

    /// A number for a record that is lost.
    pub(crate) fn skip(&mut self) {
        self.next = self.next.saturating_add(1);
    }

    /// Numbers the record and queues it. When there is no room it is lost, and its number with it: the gap shows.
    /// True: it was queued.
    pub(crate) fn push(&mut self, mut record: AuditRecord) -> bool {
        self.stamp(&mut record);
        let room = self.has_room_for(1);
        if room {
            self.waiting.push_back(record);
        }
        room
    }

    /// Numbers a record that goes to the companion at once.
    pub(crate) fn stamp(&mut self, record: &mut AuditRecord) {
        record.seq = self.next;
        record.stream.clone_from(&self.stream);
        self.next = self.next.saturating_add(1);
        record.numbered = Some(self.next);
    }

    /// Gives a record that goes to the companion at once the number that was reserved for it. Its place is free again.
    pub(crate) fn stamp_reserved(&mut self, seq: u64, record: &mut AuditRecord) {
        self.reserved = self.reserved.saturating_sub(1);
        record.seq = seq;
        record.stream.clone_from(&self.stream);
        record.numbered = Some(self.next);
    }

    /// Queues a numbered record that may have got through or not, before all others; if it has, it is known there.
    pub(crate) fn requeue(&mut self, record: AuditRecord) {
        self.waiting.push_front(record);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes up to `most` records out, as many as fit into one request; they are in flight until [`AuditQueue::settle`].
    pub(crate) fn take(&mut self, most: usize) -> Vec<AuditRecord> {
        let mut room = MOST_BYTES;
        let mut taken: Vec<AuditRecord> = Vec::new();
        while taken.len() < most
            && let Some(next) = self.waiting.front()
        {
            let size = capture::size(next);
            if size > room && !taken.is_empty() {
                break;
            }
            room = room.saturating_sub(size);
            taken.extend(self.waiting.pop_front());
        }
        for record in &mut taken {
            record.numbered = Some(self.next);
        }
        self.in_flight = self.in_flight.saturating_add(taken.len());
        taken
    }

    /// Ends the flight of records: those that were not acknowledged wait again, in their order, before all others.
    pub(crate) fn settle(&mut self, flown: usize, unacknowledged: Vec<AuditRecord>) {
        self.in_flight = self.in_flight.saturating_sub(flown);
        for record in unacknowledged.into_iter().rev() {
            self.waiting.push_front(record);
        }
    }
}

/// The effect that stores a record; nothing behind it depends on it.
pub(crate) fn append(record: &AuditRecord) -> EffectCall {
    EffectCall {
        idempotency_key: format!("{}.{}", record.stream, record.seq),
        on_fail: OnFail::Continue,
        source: String::new(),
        effect: Effect::AuditAppend {
            record: Box::new(record.clone()),
        },
    }
}
