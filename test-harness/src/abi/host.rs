//! The test's side of the host.

use anyhow::Context as _;

use super::{
    chain::Piece,
    guest::{self, Guest},
    state::{Answer, Callout, Dispatch, Exchange, Filter, Headers, Message, Reply, Slot, State},
};

/// One VM with its plugins and exchanges.
#[derive(Debug)]
pub struct Host {
    guest: Guest,
    next_context: u32,
}

/// Names an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExchangeId(usize);

/// What came of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Configured {
    /// The root context of the plugin.
    Accepted(u32),
    /// Refused; what the module logged about it.
    Refused(String),
}

impl Configured {
    /// The root context.
    ///
    /// # Panics
    /// With the module's reason, if it was refused.
    #[must_use]
    pub fn root(self) -> u32 {
        match self {
            Configured::Accepted(root) => root,
            Configured::Refused(why) => panic!("the configuration was refused: {why}"),
        }
    }
}

fn headers(pairs: &[(&str, &str)]) -> Headers {
    pairs
        .iter()
        .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
        .collect()
}

impl Host {
    /// Starts a VM with these environment variables. Its clock stands at 22 November 2026 and moves only with
    /// [`Host::tick`].
    ///
    /// # Errors
    /// When the module is not there, does not link, or traps.
    pub fn start(env: &[(&str, &str)]) -> anyhow::Result<Self> {
        let env = env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let state = State {
            env,
            now_ns: 1_795_305_600_000_000_000,
            random: 42,
            ..State::default()
        };
        Ok(Host {
            guest: Guest::start(state)?,
            next_context: 1,
        })
    }

    /// What the module imports, as `module.name`.
    ///
    /// # Errors
    /// When the module is not there.
    pub fn imports() -> anyhow::Result<Vec<String>> {
        let (_, module) = guest::module()?;
        Ok(module
            .imports()
            .map(|import| format!("{}.{}", import.module(), import.name()))
            .collect())
    }

    /// Adds a plugin with this configuration.
    ///
    /// # Errors
    /// A trap.
    pub fn configure(&mut self, json: &str) -> anyhow::Result<Configured> {
        let root = self.new_context();
        self.guest
            .callback::<_, ()>(root, "proxy_on_context_create", (root, 0_u32))?;
        self.state().roots.insert(root, json.as_bytes().to_vec());
        let logged = self.state().logs.len();
        let size = u32::try_from(json.len())?;
        self.guest
            .callback::<_, u32>(root, "proxy_on_vm_start", (root, 0_u32))?;
        let accepted: u32 = self.guest.callback(root, "proxy_on_configure", (root, size))?;
        if accepted == 0 {
            return Ok(Configured::Refused(
                self.state().logs.split_off(logged).join("\n"),
            ));
        }
        Ok(Configured::Accepted(root))
    }

    /// Ends a plugin, as a change of its configuration does: its queues and its callouts in flight go with it, silently.
    ///
    /// # Errors
    /// A trap.
    pub fn retire(&mut self, root: u32) -> anyhow::Result<()> {
        self.guest.callback::<_, u32>(root, "proxy_on_done", root)?;
        self.guest.callback::<_, ()>(root, "proxy_on_delete", root)?;
        let state = self.state();
        state.roots.remove(&root);
        state.tick_ms.remove(&root);
        state.callouts.retain(|callout| callout.root != root);
        let dead: Vec<u32> = (1..)
            .zip(&state.queues)
            .filter(|(_, queue)| queue.1 == root)
            .map(|(id, _)| id)
            .collect();
        state.ready.retain(|id| !dead.contains(id));
        Ok(())
    }

    /// Opens an exchange through a chain of plugins, client first. The flag is `allow_on_headers_stop_iteration`.
    pub fn exchange(&mut self, chain: &[u32], stop_iteration: bool) -> ExchangeId {
        let number = self.state().exchanges.len();
        let mut filters = Vec::new();
        for (at, root) in chain.iter().enumerate() {
            let context = self.new_context();
            self.state().places.insert(context, (number, at));
            filters.push(Filter {
                context,
                root: *root,
                stop_iteration,
                request: Slot::default(),
                response: Slot::default(),
            });
        }
        self.state().exchanges.push(Exchange {
            filters,
            ..Exchange::default()
        });
        ExchangeId(number)
    }

    /// The request's head arrives.
    ///
    /// # Errors
    /// A trap.
    pub fn request_head(&mut self, x: ExchangeId, pairs: &[(&str, &str)], end: bool) -> anyhow::Result<()> {
        self.of(x)?.request = headers(pairs);
        self.guest.deliver(x.0, false, 0, Piece::Head { end })?;
        self.turn()
    }

    /// Request bytes arrive.
    ///
    /// # Errors
    /// A trap.
    pub fn request_body(&mut self, x: ExchangeId, bytes: &[u8], end: bool) -> anyhow::Result<()> {
        self.of(x)?.received += bytes.len();
        self.guest.deliver(
            x.0,
            false,
            0,
            Piece::Data {
                bytes: bytes.to_vec(),
                end,
            },
        )?;
        self.turn()
    }

    /// Request trailers arrive.
    ///
    /// # Errors
    /// A trap.
    pub fn request_trailers(&mut self, x: ExchangeId) -> anyhow::Result<()> {
        self.guest.deliver(x.0, false, 0, Piece::Trailers)?;
        self.turn()
    }

    /// The backend's head arrives.
    ///
    /// # Errors
    /// A trap.
    pub fn response_head(&mut self, x: ExchangeId, pairs: &[(&str, &str)], end: bool) -> anyhow::Result<()> {
        let exchange = self.of(x)?;
        if exchange.local.is_some() {
            return Ok(());
        }
        exchange.response = headers(pairs);
        exchange.response_begun = true;
        exchange.response_complete = end;
        self.guest.deliver(x.0, true, 0, Piece::Head { end })?;
        self.turn()
    }

    /// Response bytes arrive.
    ///
    /// # Errors
    /// A trap.
    pub fn response_body(&mut self, x: ExchangeId, bytes: &[u8], end: bool) -> anyhow::Result<()> {
        let exchange = self.of(x)?;
        if exchange.local.is_some() {
            return Ok(());
        }
        exchange.response_complete = end;
        self.guest.deliver(
            x.0,
            true,
            0,
            Piece::Data {
                bytes: bytes.to_vec(),
                end,
            },
        )?;
        self.turn()
    }

    /// Response trailers arrive.
    ///
    /// # Errors
    /// A trap.
    pub fn response_trailers(&mut self, x: ExchangeId) -> anyhow::Result<()> {
        if self.of(x)?.local.is_some() {
            return Ok(());
        }
        self.guest.deliver(x.0, true, 0, Piece::Trailers)?;
        self.turn()
    }

    /// The proxy itself answers, as when there is no healthy backend.
    ///
    /// # Errors
    /// A trap.
    pub fn proxy_reply(&mut self, x: ExchangeId, status: u32, body: &[u8]) -> anyhow::Result<()> {
        let details = "no_healthy_upstream".to_owned();
        let reply = Reply {
            status,
            headers: Headers::new(),
            body: body.to_vec(),
            details,
        };
        self.guest.local_reply(x.0, reply)?;
        self.turn()
    }

    /// The stream ends: complete or cut off, the contexts go.
    ///
    /// # Errors
    /// A trap.
    pub fn end(&mut self, x: ExchangeId) -> anyhow::Result<()> {
        self.guest.destroy(x.0)?;
        self.turn()
    }

    /// Answers a callout.
    ///
    /// # Errors
    /// A trap, or no such callout.
    pub fn answer(&mut self, token: u32, status: u16, body: &[u8]) -> anyhow::Result<()> {
        let head = vec![(b":status".to_vec(), status.to_string().into_bytes())];
        self.deliver_answer(
            token,
            Answer {
                headers: head,
                body: body.to_vec(),
            },
        )
    }

    /// A callout's connection is reset.
    ///
    /// # Errors
    /// A trap, or no such callout.
    pub fn fail(&mut self, token: u32) -> anyhow::Result<()> {
        self.deliver_answer(token, Answer::default())
    }

    fn deliver_answer(&mut self, token: u32, answer: Answer) -> anyhow::Result<()> {
        let state = self.state();
        let at = state
            .callouts
            .iter()
            .position(|callout| callout.token == token)
            .context("no such callout")?;
        let root = state.callouts.remove(at).root;
        let (pairs, size) = (
            u32::try_from(answer.headers.len())?,
            u32::try_from(answer.body.len())?,
        );
        state.answer = Some(answer);
        self.guest.callback::<_, ()>(
            root,
            "proxy_on_http_call_response",
            (root, token, pairs, size, 0_u32),
        )?;
        self.state().answer = None;
        self.turn()
    }

    /// Time passes, and every plugin that asked for ticks gets one.
    ///
    /// # Errors
    /// A trap.
    pub fn tick(&mut self, milliseconds: u64) -> anyhow::Result<()> {
        self.state().now_ns += milliseconds * 1_000_000;
        let roots: Vec<u32> = self.state().tick_ms.keys().copied().collect();
        for root in roots {
            self.guest.callback::<_, ()>(root, "proxy_on_tick", root)?;
        }
        self.turn()
    }

    /// The next turn of the worker's event loop: queues that have something call their roots.
    fn turn(&mut self) -> anyhow::Result<()> {
        while let Some(id) = self.state().ready.pop_front() {
            let owner = (id as usize)
                .checked_sub(1)
                .and_then(|at| self.state().queues.get(at).map(|queue| queue.1));
            if let Some(root) = owner.filter(|root| self.guest.store.data().roots.contains_key(root)) {
                self.guest
                    .callback::<_, ()>(root, "proxy_on_queue_ready", (root, id))?;
            }
        }
        let misuse = std::mem::take(&mut self.state().misuse);
        anyhow::ensure!(
            misuse.is_empty(),
            "the filter misused the host: {}",
            misuse.join("; ")
        );
        Ok(())
    }

    /// Calls a callback with any numbers, to see that the module survives it.
    ///
    /// # Errors
    /// A trap.
    pub fn raw(&mut self, name: &str, numbers: &[u32]) -> anyhow::Result<()> {
        let context = numbers.first().copied().unwrap_or(0);
        match *numbers {
            [a] if matches!(name, "proxy_on_done") => {
                self.guest.callback::<_, u32>(context, name, a).map(drop)
            }
            [a] => self.guest.callback::<_, ()>(context, name, a),
            [a, b] if matches!(name, "proxy_on_context_create" | "proxy_on_queue_ready") => {
                self.guest.callback::<_, ()>(context, name, (a, b))
            }
            [a, b] => self.guest.callback::<_, u32>(context, name, (a, b)).map(drop),
            [a, b, c] => self.guest.callback::<_, u32>(context, name, (a, b, c)).map(drop),
            [a, b, c, d, e] => self.guest.callback::<_, ()>(context, name, (a, b, c, d, e)),
            _ => anyhow::bail!("no callback takes {} numbers", numbers.len()),
        }
    }

    /// What callouts come to from now on.
    pub fn set_dispatch(&mut self, dispatch: Dispatch) {
        self.state().dispatch = dispatch;
    }

    /// Host calls of this name fail with this status from now on.
    pub fn set_fault(&mut self, name: &'static str, status: u32) {
        self.state().faults.insert(name, status);
    }

    /// No host call fails any more.
    pub fn clear_faults(&mut self) {
        self.state().faults.clear();
    }

    /// Callouts in flight.
    #[must_use]
    pub fn callouts(&self) -> &[Callout] {
        &self.guest.store.data().callouts
    }

    /// What reached the backend.
    #[must_use]
    pub fn upstream(&self, x: ExchangeId) -> Message {
        self.exchange_of(x)
            .map(|exchange| exchange.upstream.clone())
            .unwrap_or_default()
    }

    /// What reached the client.
    #[must_use]
    pub fn client(&self, x: ExchangeId) -> Message {
        self.exchange_of(x)
            .map(|exchange| exchange.client.clone())
            .unwrap_or_default()
    }

    /// The local reply, if there was one.
    #[must_use]
    pub fn local_reply(&self, x: ExchangeId) -> Option<Reply> {
        self.exchange_of(x).and_then(|exchange| exchange.local.clone())
    }

    /// What the module logged.
    #[must_use]
    pub fn logs(&self) -> &[String] {
        &self.guest.store.data().logs
    }

    /// The value of a counter; `None` if the module did not define it.
    #[must_use]
    pub fn counter(&self, name: &str) -> Option<i64> {
        self.guest
            .store
            .data()
            .metrics
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| *value)
    }

    /// How many bytes of headers, bodies and properties the module has asked for and got since the VM's start.
    #[must_use]
    pub fn handed_over(&self) -> usize {
        self.guest.store.data().handed_over
    }

    /// The metrics that the module defined, in order.
    #[must_use]
    pub fn metrics(&self) -> Vec<String> {
        let metrics = &self.guest.store.data().metrics;
        metrics.iter().map(|(name, _)| name.clone()).collect()
    }

    fn exchange_of(&self, x: ExchangeId) -> Option<&Exchange> {
        self.guest.store.data().exchanges.get(x.0)
    }

    fn of(&mut self, x: ExchangeId) -> anyhow::Result<&mut Exchange> {
        self.state().exchanges.get_mut(x.0).context("no such exchange")
    }

    fn state(&mut self) -> &mut State {
        self.guest.store.data_mut()
    }

    fn new_context(&mut self) -> u32 {
        let context = self.next_context;
        self.next_context += 1;
        context
    }
}
