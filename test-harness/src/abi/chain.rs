//! The chain of contexts: which callback comes when, and what its answer does. Envoy's filter manager in small.

use super::{
    guest::Guest,
    state::{Action, Filter, Message, Reply, Slot},
};

/// A part of a message on its way.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    Head { end: bool },
    Data { bytes: Vec<u8>, end: bool },
    Trailers,
}

const CONTINUE: u32 = 0;

impl Guest {
    /// Calls a callback of a context, then does what the module asked for meanwhile.
    pub(super) fn callback<P: wasmtime::WasmParams, R: wasmtime::WasmResults>(
        &mut self,
        context: u32,
        name: &str,
        arguments: P,
    ) -> anyhow::Result<R> {
        let state = self.store.data_mut();
        let outer = (state.current, state.effective.take());
        state.current = context;
        let result = self.call(name, arguments);
        let state = self.store.data_mut();
        (state.current, state.effective) = outer;
        let result = result?;
        self.act()?;
        Ok(result)
    }

    fn act(&mut self) -> anyhow::Result<()> {
        while let Some(action) = self.store.data_mut().actions.pop_front() {
            match action {
                Action::Continue { context, response } => self.resume(context, response)?,
                Action::Reply { context, reply } => self.reply(context, reply)?,
            }
        }
        Ok(())
    }

    fn slot(&mut self, exchange: usize, at: usize, response: bool) -> Option<&mut Slot> {
        let filter = self
            .store
            .data_mut()
            .exchanges
            .get_mut(exchange)?
            .filters
            .get_mut(at)?;
        Some(if response {
            &mut filter.response
        } else {
            &mut filter.request
        })
    }

    /// Is this message over, because it was answered or the stream was cut?
    fn dead(&self, exchange: usize, response: bool) -> bool {
        self.store
            .data()
            .exchanges
            .get(exchange)
            .is_none_or(|x| x.destroyed || x.reset || (x.local.is_some() && (!response || x.client.ended)))
    }

    /// Gives a piece to the context that is `step` further on in the direction; behind the last one is the other end.
    pub(super) fn deliver(
        &mut self,
        exchange: usize,
        response: bool,
        step: usize,
        piece: Piece,
    ) -> anyhow::Result<()> {
        if self.dead(exchange, response) {
            return Ok(());
        }
        let Some(x) = self.store.data_mut().exchanges.get_mut(exchange) else {
            return Ok(());
        };
        let count = x.filters.len();
        if step == count {
            let headers = if response {
                x.response.clone()
            } else {
                x.request.clone()
            };
            let sink = if response { &mut x.client } else { &mut x.upstream };
            arrive(sink, headers, piece);
            return Ok(());
        }
        let at = if response { count - 1 - step } else { step };
        let Some(filter) = x.filters.get_mut(at) else {
            return Ok(());
        };
        let (context, flag) = (filter.context, filter.stop_iteration);
        // A context that the request never reached does not exist.
        if response && !filter.request.called {
            return self.deliver(exchange, response, step + 1, piece);
        }
        match piece {
            Piece::Head { end } => self.head(exchange, response, step, (at, context, flag), end),
            Piece::Data { bytes, end } => self.data(exchange, response, step, (at, context), &bytes, end),
            Piece::Trailers => self.trailers(exchange, response, step, (at, context)),
        }
    }

    fn head(
        &mut self,
        exchange: usize,
        response: bool,
        step: usize,
        (at, context, flag): (usize, u32, bool),
        end: bool,
    ) -> anyhow::Result<()> {
        let Some(slot) = self.slot(exchange, at, response) else {
            return Ok(());
        };
        slot.called = true;
        slot.map = true;
        slot.ended = end;
        if !response {
            let root = self
                .store
                .data()
                .filter(context)
                .map_or(0, |(_, filter)| filter.root);
            self.callback::<_, ()>(context, "proxy_on_context_create", (context, root))?;
        }
        let name = if response {
            "proxy_on_response_headers"
        } else {
            "proxy_on_request_headers"
        };
        let answer: u32 = self.callback(context, name, (context, 0_u32, u32::from(end)))?;
        if self.dead(exchange, response) {
            return Ok(());
        }
        let Some(slot) = self.slot(exchange, at, response) else {
            return Ok(());
        };
        if answer == CONTINUE {
            slot.map = false;
            return self.deliver(exchange, response, step + 1, Piece::Head { end });
        }
        slot.held = true;
        slot.stopped = !flag;
        Ok(())
    }

    fn data(
        &mut self,
        exchange: usize,
        response: bool,
        step: usize,
        (at, context): (usize, u32),
        bytes: &[u8],
        end: bool,
    ) -> anyhow::Result<()> {
        let Some(slot) = self.slot(exchange, at, response) else {
            return Ok(());
        };
        slot.ended = end;
        if slot.held && slot.stopped {
            slot.buffer.extend_from_slice(bytes);
            slot.undelivered = true;
            return Ok(());
        }
        slot.buffer.extend_from_slice(bytes);
        slot.buffer_open = true;
        let size = u32::try_from(slot.buffer.len())?;
        let name = if response {
            "proxy_on_response_body"
        } else {
            "proxy_on_request_body"
        };
        self.store.data_mut().in_body_of = Some(exchange);
        let answer = self.callback::<_, u32>(context, name, (context, size, u32::from(end)));
        self.store.data_mut().in_body_of = None;
        let answer = answer?;
        if let Some(slot) = self.slot(exchange, at, response) {
            slot.buffer_open = false;
            slot.buffering = answer != CONTINUE;
        }
        if answer != CONTINUE || self.dead(exchange, response) {
            return Ok(());
        }
        self.pass_on(exchange, response, step, at, end)
    }

    fn trailers(
        &mut self,
        exchange: usize,
        response: bool,
        step: usize,
        (at, context): (usize, u32),
    ) -> anyhow::Result<()> {
        let Some(slot) = self.slot(exchange, at, response) else {
            return Ok(());
        };
        slot.ended = true;
        if slot.held && slot.stopped {
            slot.undelivered_trailers = true;
            return Ok(());
        }
        let name = if response {
            "proxy_on_response_trailers"
        } else {
            "proxy_on_request_trailers"
        };
        let answer: u32 = self.callback(context, name, (context, 1_u32))?;
        if self.dead(exchange, response) {
            return Ok(());
        }
        if answer != CONTINUE {
            if let Some(slot) = self.slot(exchange, at, response) {
                slot.trailers_held = true;
            }
            return Ok(());
        }
        self.pass_on(exchange, response, step, at, false)?;
        self.deliver(exchange, response, step + 1, Piece::Trailers)
    }

    /// What a context holds goes on: its head, then its buffer.
    fn pass_on(
        &mut self,
        exchange: usize,
        response: bool,
        step: usize,
        at: usize,
        end: bool,
    ) -> anyhow::Result<()> {
        let Some(slot) = self.slot(exchange, at, response) else {
            return Ok(());
        };
        let held = std::mem::take(&mut slot.held);
        slot.map = false;
        slot.buffering = false;
        let bytes = std::mem::take(&mut slot.buffer);
        if held {
            self.deliver(exchange, response, step + 1, Piece::Head { end: false })?;
        }
        if !bytes.is_empty() || end {
            self.deliver(exchange, response, step + 1, Piece::Data { bytes, end })?;
        }
        Ok(())
    }

    fn resume(&mut self, context: u32, response: bool) -> anyhow::Result<()> {
        let Some((exchange, at)) = self.store.data().places.get(&context).copied() else {
            return Ok(());
        };
        if self.dead(exchange, response) {
            return Ok(());
        }
        let count = self
            .store
            .data()
            .exchanges
            .get(exchange)
            .map_or(0, |x| x.filters.len());
        let step = if response { count - 1 - at } else { at };
        let Some(slot) = self.slot(exchange, at, response) else {
            return Ok(());
        };
        let trailers = std::mem::take(&mut slot.trailers_held);
        if !slot.held && !slot.buffering && !trailers {
            self.store
                .data_mut()
                .misuse
                .push(format!("context {context} was continued, but holds nothing"));
            return Ok(());
        }
        let ended = slot.ended;
        if !std::mem::take(&mut slot.undelivered) && !slot.undelivered_trailers {
            if slot.held && !slot.buffering && ended && !trailers {
                slot.held = false;
                slot.map = false;
                return self.deliver(exchange, response, step + 1, Piece::Head { end: true });
            }
            self.pass_on(exchange, response, step, at, ended && !trailers)?;
            if trailers {
                self.deliver(exchange, response, step + 1, Piece::Trailers)?;
            }
            return Ok(());
        }
        // What was not delivered goes to this context first.
        let trailers = std::mem::take(&mut slot.undelivered_trailers);
        slot.held = false;
        slot.stopped = false;
        slot.map = false;
        let bytes = std::mem::take(&mut slot.buffer);
        self.deliver(exchange, response, step + 1, Piece::Head { end: false })?;
        self.deliver(
            exchange,
            response,
            step,
            Piece::Data {
                bytes,
                end: ended && !trailers,
            },
        )?;
        if trailers {
            self.deliver(exchange, response, step, Piece::Trailers)?;
        }
        Ok(())
    }

    /// A local reply: through the response callbacks if no response has begun, directly if one has, and as a cut if its
    /// head is out already.
    fn reply(&mut self, context: u32, reply: Reply) -> anyhow::Result<()> {
        let state = self.store.data_mut();
        let Some((exchange, _)) = state.places.get(&context).copied() else {
            return Ok(());
        };
        let second = state.exchanges.get(exchange).is_some_and(|x| x.local.is_some());
        if second {
            state.misuse.push("a second local reply".to_owned());
            return Ok(());
        }
        self.local_reply(exchange, reply)
    }

    /// The same, whoever asks for it.
    pub(super) fn local_reply(&mut self, exchange: usize, reply: Reply) -> anyhow::Result<()> {
        let Some(x) = self.store.data_mut().exchanges.get_mut(exchange) else {
            return Ok(());
        };
        x.local = Some(reply.clone());
        let mut headers = reply.headers.clone();
        headers.insert(0, (b":status".to_vec(), reply.status.to_string().into_bytes()));
        if x.client.started {
            x.reset = true;
            return Ok(());
        }
        if x.response_begun {
            x.client = Message {
                headers,
                body: reply.body,
                started: true,
                ended: true,
            };
            return Ok(());
        }
        x.response_begun = true;
        x.response = headers;
        let end = reply.body.is_empty();
        self.deliver(exchange, true, 0, Piece::Head { end })?;
        if !end {
            self.deliver(
                exchange,
                true,
                0,
                Piece::Data {
                    bytes: reply.body,
                    end: true,
                },
            )?;
        }
        Ok(())
    }

    /// Calls done and delete for the contexts of an exchange.
    pub(super) fn destroy(&mut self, exchange: usize) -> anyhow::Result<()> {
        let Some(x) = self.store.data_mut().exchanges.get_mut(exchange) else {
            return Ok(());
        };
        x.destroyed = true;
        let contexts: Vec<u32> = x
            .filters
            .iter()
            .filter(|f| f.request.called)
            .map(|f: &Filter| f.context)
            .collect();
        for context in contexts {
            self.callback::<_, u32>(context, "proxy_on_done", context)?;
            self.callback::<_, ()>(context, "proxy_on_delete", context)?;
            self.store.data_mut().places.remove(&context);
        }
        Ok(())
    }
}

fn arrive(sink: &mut Message, headers: super::Headers, piece: Piece) {
    match piece {
        Piece::Head { end } => {
            sink.headers = headers;
            sink.started = true;
            sink.ended = end;
        }
        Piece::Data { bytes, end } => {
            sink.body.extend(bytes);
            sink.ended = end;
        }
        Piece::Trailers => sink.ended = true,
    }
}
