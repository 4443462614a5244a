//! What is known of one stream context.

use std::{cell::RefCell, rc::Rc};

use aplomb_enforcer::Exchange;

use crate::{host::Direction, plugin::Plugin};

/// A plugin, shared by its root context and the streams that began under it: they end under the configuration that they
/// began with.
pub(super) type SharedPlugin = Rc<RefCell<Plugin>>;

/// One stream context.
#[derive(Debug)]
pub(super) struct Stream {
    /// The root context that it was created under.
    pub(super) root: u32,
    /// What it does.
    pub(super) part: Part,
    /// What this context holds of the request.
    pub(super) request: Held,
    /// What this context holds of the response.
    pub(super) response: Held,
    /// A local reply was sent: what still comes is that reply, or the rest of a request that nobody wants.
    pub(super) replied: bool,
    /// The stream is over.
    pub(super) over: bool,
}

/// What a stream context does.
#[derive(Debug)]
pub(super) enum Part {
    /// Its plugin has no configuration.
    Unconfigured,
    /// It decides.
    Decider(Box<Decider>),
    /// It holds.
    Holder(Holder),
}

/// How a deciding stream holds headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// By itself: Pause in the headers callback still lets bodies come.
    Full,
    /// Not at all, only bodies.
    Single,
    /// Through the other half.
    Paired,
}

/// The deciding context of an exchange.
#[derive(Debug)]
pub(super) struct Decider {
    pub(super) plugin: SharedPlugin,
    pub(super) exchange: Exchange,
    pub(super) hold: Hold,
    /// The other half, once it was called.
    pub(super) holder: Option<u32>,
    /// The holder is to hold the request's headers.
    pub(super) request_pending: bool,
    /// This context is to hold the response's headers (paired only).
    pub(super) response_pending: bool,
    /// The enforcer was told of the response's head.
    pub(super) response_seen: bool,
}

/// The holding context of an exchange.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) plugin: SharedPlugin,
    /// The other half, once it was found.
    pub(super) decider: Option<u32>,
}

/// What a context holds of one direction.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Held {
    /// Its headers callback returned Pause.
    pub(super) head: bool,
    /// Its last body or trailers callback returned Pause.
    pub(super) body: bool,
    /// The body is complete.
    pub(super) ended: bool,
    /// Bytes that the last body callback counted.
    pub(super) buffered: usize,
}

impl Held {
    /// Is anything held here?
    pub(super) const fn any(self) -> bool {
        self.head || self.body
    }

    /// Nothing is, from now on.
    pub(super) const fn release(&mut self) {
        self.head = false;
        self.body = false;
    }
}

impl Stream {
    pub(super) fn new(root: u32, part: Part) -> Self {
        const NOTHING: Held = Held {
            head: false,
            body: false,
            ended: false,
            buffered: 0,
        };
        Self {
            root,
            part,
            request: NOTHING,
            response: NOTHING,
            replied: false,
            over: false,
        }
    }

    pub(super) const fn held(&self, direction: Direction) -> Held {
        match direction {
            Direction::Request => self.request,
            Direction::Response => self.response,
        }
    }

    pub(super) const fn held_mut(&mut self, direction: Direction) -> &mut Held {
        match direction {
            Direction::Request => &mut self.request,
            Direction::Response => &mut self.response,
        }
    }

    pub(super) fn decider(&self) -> Option<&Decider> {
        match &self.part {
            Part::Decider(decider) => Some(decider),
            Part::Unconfigured | Part::Holder(_) => None,
        }
    }

    pub(super) fn decider_mut(&mut self) -> Option<&mut Decider> {
        match &mut self.part {
            Part::Decider(decider) => Some(decider),
            Part::Unconfigured | Part::Holder(_) => None,
        }
    }

    pub(super) const fn holder(&self) -> Option<&Holder> {
        match &self.part {
            Part::Holder(holder) => Some(holder),
            Part::Unconfigured | Part::Decider(_) => None,
        }
    }

    pub(super) const fn holder_mut(&mut self) -> Option<&mut Holder> {
        match &mut self.part {
            Part::Holder(holder) => Some(holder),
            Part::Unconfigured | Part::Decider(_) => None,
        }
    }

    /// The other half of its exchange.
    pub(super) fn partner(&self) -> Option<u32> {
        match &self.part {
            Part::Unconfigured => None,
            Part::Decider(decider) => decider.holder,
            Part::Holder(holder) => holder.decider,
        }
    }
}
