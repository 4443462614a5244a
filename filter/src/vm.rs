//! What lives in one VM, which is one worker's: plugins, streams, callouts in flight.
//!
//! A stream context belongs to a plugin that either *decides*, and then owns the enforcer's exchange, or *holds* for one
//! that does. Every event of an exchange goes to the decider's, whichever context's callback brought it; every command
//! is carried out in the context that can:
//!
//! | | request headers | request body | response headers | response body |
//! |---|---|---|---|---|
//! | `full`, `single` | itself | itself | itself | itself |
//! | `paired` | the holder, which holds them | the decider | the decider, which holds them | the holder |
//!
//! except that inside a headers callback its own context has them. The chain is client, decider, holder, router; so a
//! request meets the decider first and a response the holder, and in each direction the half that is met second holds
//! the headers while the first collects the body.

mod callbacks;
mod commands;
mod entropy;
mod pair;
mod stream;

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    rc::Rc,
};

use aplomb_enforcer::{CallToken, Counter, Event, Exchange, ExchangeId, Gauge, Install};
use companion_protocol::MAX_RESPONSE_BYTES;

use self::{
    entropy::Entropy,
    pair::Wakes,
    stream::{Decider, Hold, Holder, Part, SharedPlugin, Stream},
};
use crate::{
    host::{self, Direction, HeaderMap, Level},
    plugin::Plugin,
    refusal::Refusal,
};

pub(crate) use callbacks::Phase;

/// The period of ticks in milliseconds. Shorter than the enforcer asks for, because ticks are also the safety net of wakes.
const TICK_MS: u32 = 100;

/// Callouts beyond this many in flight are refused, so that a companion that hangs cannot take the worker's memory.
const MAX_CALLS: usize = 8192;

thread_local! {
    static VM: RefCell<Vm> = RefCell::new(Vm::default());
}

/// Runs a callback on the VM; `otherwise` is the answer when it is busy, which only a host that calls in while one of its
/// callbacks is running can bring about.
pub(crate) fn with<T>(otherwise: T, callback: impl FnOnce(&mut Vm) -> T) -> T {
    VM.try_with(|vm| vm.try_borrow_mut().ok().map(|mut vm| callback(&mut vm)))
        .ok()
        .flatten()
        .unwrap_or(otherwise)
}

/// One VM.
#[derive(Debug, Default)]
pub(crate) struct Vm {
    /// Root contexts; `None` until configured.
    roots: HashMap<u32, Option<SharedPlugin>>,
    /// Plugins whose root has gone while streams go on under them.
    retired: Vec<SharedPlugin>,
    streams: HashMap<u32, Stream>,
    /// Callouts in flight by the host's number.
    calls: HashMap<u32, Call>,
    /// Streams whose head is held and whose body has not begun, by direction.
    waiting: HashSet<(u32, Direction)>,
    /// Numbers of the metrics: [`Counter::ALL`], then [`Gauge::ALL`]. Defined once a VM.
    metrics: Vec<u32>,
    wakes: Wakes,
    entropy: Entropy,
    running: Running,
    /// The last time that the host told.
    now_ms: u64,
}

/// A callout in flight.
#[derive(Debug, Clone, Copy)]
struct Call {
    root: u32,
    token: CallToken,
    asked_by: Asker,
}

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asker {
    Exchange(u32),
    Engine,
}

/// The callback that is running.
#[derive(Debug, Default)]
struct Running {
    /// The context that calls to the host act on now.
    effective: u32,
    /// The context and the direction whose callback it is; `None` in ticks, answers and queues.
    stream: Option<(u32, Direction)>,
    /// It is a headers callback.
    head: bool,
    /// A resume of this direction was asked for: return Continue.
    resumed: bool,
}

impl Vm {
    fn enter(&mut self, context: u32) {
        self.running = Running {
            effective: context,
            ..Running::default()
        };
        if let Ok(now_ms) = host::now_ms() {
            self.now_ms = now_ms;
        }
    }

    /// A root context when `root` is 0, else a stream context.
    pub(crate) fn on_create(&mut self, context: u32, root: u32) {
        if root == 0 {
            self.roots.insert(context, None);
            return;
        }
        let plugin = self.roots.get(&root).cloned().flatten();
        let part = plugin.map_or(Part::Unconfigured, |plugin| part(plugin, context));
        self.streams.insert(context, Stream::new(root, part));
    }

    /// Takes the configuration of a plugin. `false`: the host is to refuse it.
    pub(crate) fn on_configure(&mut self, root: u32) -> bool {
        self.enter(root);
        let Ok(json) = host::plugin_configuration() else {
            host::log(Level::Error, "aplomb: the plugin configuration cannot be read");
            return false;
        };
        if json.is_empty() {
            host::log(
                Level::Error,
                "aplomb: the plugin configuration is empty: give it `policy`, `protocols` and `install`",
            );
            return false;
        }
        let Some(seed) = self.entropy.take() else {
            host::log(
                Level::Error,
                "aplomb: the host gives no randomness: configuration refused",
            );
            return false;
        };
        let plugin = match Plugin::configure(&json, seed) {
            Ok(plugin) => plugin,
            Err(error) => {
                host::log(Level::Error, &format!("aplomb: configuration refused: {error}"));
                return false;
            }
        };
        self.define_metrics();
        if let Err(error) = host::set_tick_ms(TICK_MS) {
            host::log(
                Level::Error,
                &format!("aplomb: no ticks (status {}): configuration refused", error.0),
            );
            return false;
        }
        if plugin.is_paired() && !self.wakes.register(root, &mut self.entropy) {
            host::log(
                Level::Error,
                "aplomb: no shared queue for `install.mode: paired`: configuration refused",
            );
            return false;
        }
        self.roots.insert(root, Some(Rc::new(RefCell::new(plugin))));
        true
    }

    fn define_metrics(&mut self) {
        if self.metrics.is_empty() {
            // A number that the host did not give counts nothing.
            let counters = Counter::ALL.iter().map(|counter| (host::COUNTER, counter.name()));
            let gauges = Gauge::ALL.iter().map(|gauge| (host::GAUGE, gauge.name()));
            self.metrics = counters
                .chain(gauges)
                .map(|(kind, name)| host::define_metric(kind, name).unwrap_or(u32::MAX))
                .collect();
        }
    }

    /// Does what is due.
    pub(crate) fn on_tick(&mut self, root: u32) {
        self.enter(root);
        self.retired.retain(|plugin| Rc::strong_count(plugin) > 1);
        let mut due: Vec<SharedPlugin> = self.roots.get(&root).cloned().flatten().into_iter().collect();
        due.extend(self.retired.iter().cloned());
        for plugin in due {
            let commands = match &mut *plugin.borrow_mut() {
                Plugin::Decider(engine) => engine.on_tick(self.now_ms),
                Plugin::Holder(_) => continue,
            };
            self.perform_for_engine(root, commands);
        }
        self.find_stuck();
        self.wake_all();
    }

    /// Finds exchanges whose body came without a callback: the host lacks `allow_on_headers_stop_iteration`
    /// (`execution.md` rule 3).
    fn find_stuck(&mut self) {
        let waiting: Vec<(u32, Direction)> = self.waiting.iter().copied().collect();
        for (context, direction) in waiting {
            if !self.make_effective(context) {
                self.waiting.remove(&(context, direction));
                continue;
            }
            let stuck = match direction {
                Direction::Request => request_bytes_came(),
                Direction::Response => response_came(),
            };
            if stuck {
                self.waiting.remove(&(context, direction));
                match direction {
                    Direction::Request => {
                        self.tell(context, Event::Stuck);
                    }
                    Direction::Response => self.refuse(context, Refusal::StopIterationMissing),
                }
            }
        }
    }

    /// An item came into a queue of this VM.
    pub(crate) fn on_queue_ready(&mut self, queue: u32) {
        self.enter(0);
        // The item says nothing: the list of wakes does. A queue is emptied so that it cannot grow.
        while let Ok(Some(_)) = host::dequeue(queue) {}
        self.wake_all();
    }

    /// The answer to a callout, or its failure: then there are no headers.
    pub(crate) fn on_call_answer(&mut self, root: u32, call: u32, headers: usize, body_size: usize) {
        self.enter(root);
        let Some(call) = self.calls.remove(&call) else {
            return;
        };
        // Both are read before another context is made effective.
        let answer = if headers == 0 || body_size > MAX_RESPONSE_BYTES {
            None
        } else {
            read_answer(body_size)
        };
        match call.asked_by {
            Asker::Exchange(context) => {
                if !self.make_effective(context) {
                    return;
                }
                let event = match &answer {
                    Some((status, body)) => Event::CalloutAnswer {
                        token: call.token,
                        status: *status,
                        body,
                    },
                    None => Event::CalloutFailed { token: call.token },
                };
                self.tell(context, event);
            }
            Asker::Engine => {
                let Some(plugin) = self.roots.get(&call.root).cloned().flatten() else {
                    return;
                };
                let answer = answer.as_ref().map(|(status, body)| (*status, body.as_slice()));
                let commands = match &mut *plugin.borrow_mut() {
                    Plugin::Decider(engine) => engine.on_root_answer(call.token, answer, self.now_ms),
                    Plugin::Holder(_) => return,
                };
                self.perform_for_engine(call.root, commands);
            }
        }
    }

    /// A stream or a plugin is over.
    pub(crate) fn on_done(&mut self, context: u32) {
        self.enter(context);
        if self.streams.contains_key(&context) {
            self.end_stream(context);
        } else if let Some(plugin) = self.roots.remove(&context) {
            self.end_root(context, plugin);
        }
    }

    /// A context's number will not come again.
    pub(crate) fn on_delete(&mut self, context: u32) {
        self.on_done(context);
        self.streams.remove(&context);
    }

    fn end_stream(&mut self, context: u32) {
        let Some(stream) = self.streams.get_mut(&context) else {
            return;
        };
        if stream.over {
            return;
        }
        stream.over = true;
        let partner = stream.partner();
        self.stop_waiting(context);
        self.tell(context, Event::Gone);
        if let Some(partner) = partner.and_then(|partner| self.streams.get_mut(&partner)) {
            match &mut partner.part {
                Part::Decider(decider) => decider.holder = None,
                Part::Holder(holder) => holder.decider = None,
                Part::Unconfigured => {}
            }
        }
    }

    /// Streams go on under the plugin that they began under, but the host cancels what its root has in flight without a
    /// word: their exchanges are told that it failed.
    fn end_root(&mut self, root: u32, plugin: Option<SharedPlugin>) {
        self.wakes.forget(root);
        let lost: Vec<(u32, Call)> = self
            .calls
            .iter()
            .filter(|(_, call)| call.root == root)
            .map(|(number, call)| (*number, *call))
            .collect();
        for (number, call) in lost {
            self.calls.remove(&number);
            match call.asked_by {
                Asker::Exchange(context) => {
                    if self.make_effective(context) {
                        self.tell(context, Event::CalloutFailed { token: call.token });
                    }
                }
                Asker::Engine => {
                    if let Some(Plugin::Decider(engine)) =
                        plugin.as_ref().map(|p| p.borrow_mut()).as_deref_mut()
                    {
                        // What the engine would ask next has no root to be asked from.
                        drop(engine.on_root_answer(call.token, None, self.now_ms));
                    }
                }
            }
        }
        if let Some(plugin) = plugin {
            self.retired.push(plugin);
        }
    }

    fn stop_waiting(&mut self, context: u32) {
        self.waiting.remove(&(context, Direction::Request));
        self.waiting.remove(&(context, Direction::Response));
    }

    /// Makes a stream that still exists the one that calls to the host act on.
    fn make_effective(&mut self, context: u32) -> bool {
        if self.running.effective == context {
            return true;
        }
        if self.streams.get(&context).is_none_or(|stream| stream.over) && !self.roots.contains_key(&context) {
            return false;
        }
        let done = host::set_effective(context).is_ok();
        if done {
            self.running.effective = context;
        }
        done
    }
}

/// Did request body bytes reach the proxy? It counts in `request.total_size` the headers as they are now and the body bytes
/// that it received.
fn request_bytes_came() -> bool {
    let Ok(pairs) = host::headers(HeaderMap::Request) else {
        return false;
    };
    let headers: usize = pairs
        .iter()
        .map(|(name, value)| name.len().saturating_add(value.len()))
        .sum();
    let headers = u64::try_from(headers).unwrap_or(u64::MAX);
    let total = host::property(&["request", "total_size"])
        .ok()
        .and_then(|value| value.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes)));
    !pairs.is_empty() && total.is_some_and(|total| total > headers)
}

/// Did the whole response reach the proxy? It knows `response.backend_latency` from the last byte on. Of a response that is
/// longer than its buffer it does not; the request of that exchange, or the next with a body, tells then.
fn response_came() -> bool {
    host::property(&["response", "backend_latency"]).is_ok_and(|value| !value.is_empty())
}

fn read_answer(body_size: usize) -> Option<(u16, Vec<u8>)> {
    let status = host::header(HeaderMap::Callout, ":status").ok()?;
    let status = std::str::from_utf8(&status).ok()?.parse().ok()?;
    let body = if body_size == 0 {
        Vec::new()
    } else {
        host::http_call_body().ok()?
    };
    Some((status, body))
}

fn part(plugin: SharedPlugin, context: u32) -> Part {
    let install = plugin.borrow().install();
    let hold = match install {
        None => {
            return Part::Holder(Holder {
                plugin,
                decider: None,
            });
        }
        Some(Install::Full) => Hold::Full,
        Some(Install::Single) => Hold::Single,
        Some(Install::PairedDecider) => Hold::Paired,
    };
    Part::Decider(Box::new(Decider {
        plugin,
        exchange: Exchange::new(ExchangeId(context)),
        hold,
        holder: None,
        request_pending: false,
        response_pending: false,
        response_seen: false,
    }))
}
