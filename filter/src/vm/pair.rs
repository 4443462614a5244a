//! The two halves of a pair (`install.mode: paired`): how they find and wake each other.
//!
//! The decider writes its number, and the VM's, into filter state of the stream; the holder, called right after it, reads
//! it there. What is missing or in the wrong place shows as a half that finds no other, and is refused.
//!
//! The held half is never continued inside the other's callback: Envoy's iteration over the shared buffer is running
//! there. It is put on a list, and a shared queue that this VM registered itself calls the VM again on the next turn of
//! the worker's event loop.

use aplomb_enforcer::Install;

use super::{
    Vm,
    callbacks::{Phase, from_upstream},
    entropy::Entropy,
    stream::{Part, Stream},
};
use crate::{
    host::{self, Direction},
    refusal::Refusal,
};

/// Filter state that names the decider: the VM's number, then the context's, little endian.
const STATE: &str = "aplomb.pair";

/// Streams to continue, and the queues that call for it.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    /// Tells this VM from every other. Zero until the first registration.
    vm: u64,
    /// Root and queue, the newest last. A queue dies with its root.
    queues: Vec<(u32, u32)>,
    /// Held halves whose exchange has its verdict.
    due: Vec<(u32, Direction)>,
}

impl Wakes {
    /// Registers a queue for a root. Its name is unique, or another worker would be called.
    pub(super) fn register(&mut self, root: u32, entropy: &mut Entropy) -> bool {
        if self.vm == 0 {
            let Some(bytes) = entropy.take() else { return false };
            self.vm = u64::from_le_bytes(bytes).max(1);
        }
        self.forget(root);
        let Ok(queue) = host::register_queue(&format!("aplomb.wake.{:016x}.{root}", self.vm)) else {
            return false;
        };
        self.queues.push((root, queue));
        true
    }

    /// A root has gone, and its queue with it.
    pub(super) fn forget(&mut self, root: u32) {
        self.queues.retain(|(of, _)| *of != root);
    }

    /// Asks for a held half to be continued soon. If no queue takes the call, the next tick does it.
    fn ask(&mut self, context: u32, direction: Direction) {
        self.due.push((context, direction));
        for (_, queue) in self.queues.iter().rev() {
            if host::enqueue(*queue, b"w").is_ok() {
                break;
            }
        }
    }

    fn state(&self, decider: u32) -> Vec<u8> {
        let mut state = self.vm.to_le_bytes().to_vec();
        state.extend_from_slice(&decider.to_le_bytes());
        state
    }

    /// The decider that the state names, if it is one of this VM.
    fn decider(&self, state: &[u8]) -> Option<u32> {
        let (vm, context) = state.split_first_chunk::<8>()?;
        let context = <[u8; 4]>::try_from(context).ok()?;
        (u64::from_le_bytes(*vm) == self.vm).then(|| u32::from_le_bytes(context))
    }
}

impl Vm {
    /// Leaves the decider's number where the holder finds it.
    pub(super) fn announce(&mut self, decider: u32) -> bool {
        let state = self.wakes.state(decider);
        host::set_property(STATE, &state).is_ok()
    }

    /// Continues every held half that is due and still there.
    pub(super) fn wake_all(&mut self) {
        for (context, direction) in std::mem::take(&mut self.wakes.due) {
            let live = |stream: &Stream| stream.held(direction).any() && !stream.replied && !stream.over;
            if self.streams.get(&context).is_some_and(live) && self.make_effective(context) {
                if let Some(stream) = self.streams.get_mut(&context) {
                    stream.held_mut(direction).release();
                }
                let resumed = host::resume(direction);
                self.expect(context, resumed);
            }
        }
    }

    /// Asks for the other half of an exchange to be continued, if it holds anything in this direction.
    pub(super) fn wake(&mut self, context: u32, direction: Direction) {
        if self
            .streams
            .get(&context)
            .is_some_and(|stream| stream.held(direction).any())
        {
            self.wakes.ask(context, direction);
        }
    }

    /// `true`, and refused, if the request went past the decider without meeting the holder. Whoever stands between the
    /// two must not hold a request back: they are to be neighbours.
    pub(super) fn require_holder(&mut self, context: u32) -> bool {
        let Some(decider) = self.streams.get(&context).and_then(Stream::decider) else {
            return true;
        };
        if decider.holder.is_some() {
            return false;
        }
        self.refuse(context, Refusal::NoHolder);
        true
    }

    /// The response's head reaches the decider, after the holder had it.
    pub(super) fn on_paired_response_head(&mut self, context: u32) -> bool {
        let Some(decider) = self.streams.get(&context).and_then(Stream::decider) else {
            return true;
        };
        if decider.response_seen {
            return decider.response_pending;
        }
        if from_upstream() {
            self.refuse(context, Refusal::NoHolder);
            return true;
        }
        false
    }

    /// A callback of the holder.
    pub(super) fn on_holder(&mut self, context: u32, phase: Phase) -> bool {
        if let Phase::RequestHead { .. } = phase {
            return self.on_holder_request_head(context);
        }
        let Some(stream) = self.streams.get(&context) else {
            return true;
        };
        let request = stream.request;
        let Some(decider) = stream.holder().and_then(|holder| holder.decider) else {
            // It never met a decider. What passes it then is somebody else's reply, unless it comes from the backend.
            return phase_is_request(phase) || self.refuse_unless_local(context);
        };
        match phase {
            Phase::RequestHead { .. } => true,
            Phase::RequestBody { .. } | Phase::RequestTrailers => request.head,
            Phase::ResponseHead { end } => {
                let hold = self.on_response_head(decider, end);
                let Some(stream) = self.streams.get_mut(&decider) else {
                    return true;
                };
                if stream.replied || end {
                    return hold;
                }
                if let Some(decider) = stream.decider_mut() {
                    decider.response_pending = hold;
                }
                false
            }
            Phase::ResponseBody { size, end } => self.on_body(decider, Direction::Response, size, end),
            Phase::ResponseTrailers => self.on_trailers(decider, context, Direction::Response),
        }
    }

    fn on_holder_request_head(&mut self, context: u32) -> bool {
        let found = host::property(&[STATE])
            .ok()
            .and_then(|state| self.wakes.decider(&state));
        let Some((number, pending)) = found.and_then(|number| {
            let decider = self
                .streams
                .get(&number)
                .filter(|stream| !stream.over)?
                .decider()?;
            Some((number, decider.request_pending))
        }) else {
            self.refuse(context, Refusal::NoDecider);
            return true;
        };
        if self.halves_differ(context, number) {
            self.refuse(context, Refusal::HalvesDiffer);
            return true;
        }
        if let Some(decider) = self.streams.get_mut(&number).and_then(|s| s.decider_mut()) {
            decider.holder = Some(context);
        }
        if let Some(holder) = self.streams.get_mut(&context).and_then(|s| s.holder_mut()) {
            holder.decider = Some(number);
        }
        pending
    }

    fn halves_differ(&self, holder: u32, decider: u32) -> bool {
        let plugin = |context| match &self.streams.get(&context)?.part {
            Part::Holder(holder) => Some(&holder.plugin),
            Part::Decider(decider) => Some(&decider.plugin),
            Part::Unconfigured => None,
        };
        match (plugin(holder), plugin(decider)) {
            (Some(holder), Some(decider)) => {
                let decider = decider.borrow();
                decider.install() != Some(Install::PairedDecider) || holder.borrow().contradicts(&decider)
            }
            (None, _) | (_, None) => true,
        }
    }

    fn refuse_unless_local(&mut self, context: u32) -> bool {
        if from_upstream() {
            self.refuse(context, Refusal::NoDecider);
            return true;
        }
        false
    }
}

const fn phase_is_request(phase: Phase) -> bool {
    match phase {
        Phase::RequestHead { .. } | Phase::RequestBody { .. } | Phase::RequestTrailers => true,
        Phase::ResponseHead { .. } | Phase::ResponseBody { .. } | Phase::ResponseTrailers => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_finds_the_decider_of_its_own_vm_only() {
        let mine = Wakes {
            vm: 7,
            ..Wakes::default()
        };
        let other = Wakes {
            vm: 8,
            ..Wakes::default()
        };
        let state = mine.state(42);
        assert_eq!(mine.decider(&state), Some(42));
        assert_eq!(other.decider(&state), None);
        for cut in 0..state.len() {
            assert_eq!(mine.decider(&state[..cut]), None);
        }
    }
}
