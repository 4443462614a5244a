//! One HTTP exchange.

use crate::{Command, Engine, Event, ExchangeId, Flow, Reaction, Reply};

/// One HTTP exchange, from its head to [`Event::Gone`].
#[derive(Debug)]
pub struct Exchange {
    id: ExchangeId,
}

impl Exchange {
    /// A new exchange; `id` is the host's name for the stream.
    #[must_use]
    pub const fn new(id: ExchangeId) -> Self {
        Self { id }
    }

    /// The host's name for the stream.
    #[must_use]
    pub const fn id(&self) -> ExchangeId {
        self.id
    }

    /// Takes an event at `now_ms` (milliseconds since the Unix epoch). Total: any event in any state has a reaction.
    pub fn on_event(&mut self, engine: &mut Engine, event: Event<'_>, now_ms: u64) -> Reaction {
        let _ = (engine, now_ms);
        match event {
            Event::RequestHead { .. } => Reaction {
                commands: vec![Command::Reply(Reply {
                    status: 503,
                    headers: Vec::new(),
                    body: Vec::new(),
                    details: "aplomb.not_built".to_owned(),
                })],
                flow: Flow::Pause,
            },
            _ => Reaction::default(),
        }
    }
}
