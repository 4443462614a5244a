//! What lives as long as one worker and one configuration.

pub(crate) mod reads;
mod tick;

use std::{
    collections::{BTreeMap, HashMap},
    rc::Rc,
};

use apl_bytecode::{Delivery, Enforcement, IdentityId};
use apl_vm::Prepared;
use companion_protocol::{EFFECTS_PATH, EffectsRequest};

use crate::{
    CallToken, Callout, Command, Config, ConfigError, Counter, ExchangeId, Secrets,
    audit::AuditQueue,
    check,
    config::DEFAULT_CALLOUT_MS,
    effects::Caches,
    http::{
        head::{Head, Wanted},
        metadata::Metadata,
    },
    identity::{
        keys::KeySet,
        metadata::Properties,
        present::Given,
        principal::{Principal, Principals, Unverified, Verifying},
    },
    json_text::hex,
    seal::Sealer,
    session::digest,
};

/// Program, keys, caches and audit queue of one worker.
pub struct Engine {
    pub(crate) config: Config,
    pub(crate) program: Prepared,
    /// The second program, which is in shadow, with what verifying takes. It asks nobody itself, and its queue and caches
    /// stay empty.
    pub(crate) beside: Option<Box<Engine>>,
    pub(crate) digest: String,
    pub(crate) hash_key: Option<Vec<u8>>,
    token: Option<String>,
    /// Seals session and event ids; `None`: there is no key.
    pub(crate) sealer: Option<Sealer>,
    pub(crate) wanted: Wanted,
    pub(crate) own_properties: Vec<Vec<String>>,
    /// With those of the second program behind them.
    properties: Vec<Vec<String>>,
    /// The program asks a decision point or interpolates, so it may read any attribute.
    reads_all: bool,
    /// It can read what a delegation came to.
    reads_delegations: bool,
    /// Values of the variables that asserted headers name.
    pub(crate) variables: BTreeMap<String, String>,
    /// Some route has rules for the phase after the call, or lists are filtered that could be read again on another
    /// stream.
    pub(crate) reads_responses: bool,
    /// Some route has rules for the phase after the call.
    pub(crate) governs_results: bool,
    /// Metadata of the protected resource that the filter serves.
    pub(crate) metadata: Option<Metadata>,
    /// Lists are filtered for their caller.
    pub(crate) filters_lists: bool,
    /// Some operation can be denied.
    pub(crate) can_deny: bool,
    /// Definitions of tools are pinned.
    pub(crate) pins: bool,
    pub(crate) keys: Vec<KeySet>,
    pub(crate) principals: Principals,
    pub(crate) caches: Caches,
    pub(crate) audit: AuditQueue,
    /// Bytes of bodies that exchanges hold.
    pub(crate) inflight_bytes: usize,
    /// Exchanges that wait for keys, and until when.
    waiting: Vec<(ExchangeId, u64)>,
    flights: HashMap<CallToken, Flight>,
    next_token: u32,
    /// It was said that nothing is in shadow.
    shown: bool,
    stream: String,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("digest", &self.digest)
            .field("inflight_bytes", &self.inflight_bytes)
            .finish_non_exhaustive()
    }
}

/// A callout of the engine itself.
enum Flight {
    /// Keys of the issuer at this place in [`Engine::keys`], of the second program or not.
    Keys(bool, usize),
    /// Queued records, and when they were sent.
    Audit(Vec<companion_protocol::AuditRecord>, u64),
}

impl Engine {
    /// Loads the program and checks that this configuration can enforce it.
    ///
    /// `seed` must differ between workers and between lives of a worker: the name of the audit stream derives from it.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]: the program does not verify, or needs something that is not configured.
    pub fn new(mut config: Config, secrets: Secrets, seed: [u8; 32]) -> Result<Self, ConfigError> {
        let beside = match config.beside() {
            None => None,
            Some(second) => {
                let second = Self::new(second, secrets.clone(), seed);
                Some(Box::new(
                    second.map_err(|error| ConfigError::Shadow(Box::new(error)))?,
                ))
            }
        };
        let mut program = apl_bytecode::load_to_run(&config.policy)
            .map_err(|error| ConfigError::Program(error.to_string()))?;
        crate::config::identity::bind(&mut program, &config.identities, config.protocols.is_empty())?;
        let program = Prepared::new(program).map_err(|error| ConfigError::Program(error.to_string()))?;
        let digest_hex = program.digest_hex();
        check::check(&program, &digest_hex, &config, &secrets)?;
        let keys = reads::key_sets(program.program())?;
        let stream = hex(digest(&[b"audit stream", &seed]).get(..16).unwrap_or_default());
        let limits = config.limits;
        let sealer = config
            .seal_key_env
            .as_ref()
            .and(secrets.seal_key.as_deref())
            .and_then(|key| Sealer::new(key, secrets.seal_previous_key.as_deref()));
        let governs_results = reads::has_rules_after(program.program());
        let can_deny = reads::can_deny(program.program());
        let filters_lists = config.filter_lists && can_deny;
        let pins = !program.program().pins.is_empty();
        let own_properties = reads::properties(program.program());
        let mut properties = own_properties.clone();
        properties.extend(
            beside
                .iter()
                .flat_map(|second| second.own_properties.iter().cloned()),
        );
        Ok(Self {
            variables: reads::variables(program.program(), &secrets)?,
            wanted: reads::wanted(&program),
            own_properties,
            properties,
            reads_all: reads::reads_all(&program),
            reads_delegations: reads::reads_delegations(&program),
            digest: digest_hex,
            // A changed definition must not come on a stream that nothing judges.
            reads_responses: governs_results || pins || (filters_lists && sealer.is_some()),
            can_deny,
            pins,
            beside,
            governs_results,
            metadata: config
                .protected_resource
                .as_ref()
                .and_then(|resource| Metadata::new(resource, program.program())),
            filters_lists,
            program,
            hash_key: secrets.hash_key,
            sealer,
            token: secrets.companion_token,
            keys,
            principals: Principals::new(limits.max_cached),
            caches: Caches::new(limits.max_cached),
            audit: AuditQueue::new(limits.max_audit_queue, stream.clone()),
            inflight_bytes: 0,
            waiting: Vec::new(),
            flights: HashMap::new(),
            next_token: 0,
            shown: false,
            stream,
            config,
        })
    }

    /// The configuration.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The program's digest in lower-case hex.
    #[must_use]
    pub fn policy_digest(&self) -> &str {
        &self.digest
    }

    /// Bytes of bodies that exchanges of this worker hold at the moment.
    #[must_use]
    pub const fn inflight_bytes(&self) -> usize {
        self.inflight_bytes
    }

    /// Whether the program can read this attribute: it spells it out, or a part of it that holds it.
    pub(crate) fn mentions(&self, key: &str) -> bool {
        self.reads_all || reads::mentions(&self.program, key)
    }

    /// The engine of the program that is enforced, or of the second one.
    pub(crate) fn of(&self, beside: bool) -> &Self {
        match &self.beside {
            Some(second) if beside => second,
            Some(_) | None => self,
        }
    }

    pub(crate) fn of_mut(&mut self, beside: bool) -> &mut Self {
        if !beside {
            return self;
        }
        match self.beside {
            Some(ref mut second) => second,
            None => self,
        }
    }

    /// Whether a law of this kind is only recorded.
    pub(crate) const fn in_shadow(&self, enforcement: Enforcement, now_ms: u64) -> bool {
        self.config.shadow || enforcement.is_shadow(now_ms)
    }

    /// Whether nothing at all is enforced.
    pub(crate) fn all_in_shadow(&self, now_ms: u64) -> bool {
        let model = self.program.program();
        let mut routes = model.routes.iter().map(|route| route.enforcement);
        self.in_shadow(model.settings.enforcement, now_ms)
            && (self.config.shadow || routes.all(|enforcement| enforcement.is_shadow(now_ms)))
    }

    /// Whether nothing is released before its record is stored.
    pub(crate) fn waits_for_records(&self) -> bool {
        self.program.program().settings.delivery == Delivery::Durable
    }

    /// Whether records carry what the program read.
    pub(crate) fn captures(&self) -> bool {
        self.program.program().settings.capture
    }

    /// Whether the program may read attributes that it does not spell out, so that all of them are known.
    pub(crate) const fn knows_all(&self) -> bool {
        self.reads_all
    }

    /// Keys of the issuer do not do; nobody waits for better ones.
    pub(crate) fn miss_keys(&mut self, issuer: &str, now_ms: u64) -> bool {
        let mut sets = self.keys.iter_mut();
        let set = sets.find(|set| !set.is_inline() && set.issuer() == issuer);
        set.is_some_and(|set| set.miss(now_ms))
    }

    /// The host's properties that credentials are read from, as paths of names: what [`Event::Properties`] brings, in this
    /// order; those of a second program come last. Empty for most programs.
    ///
    /// [`Event::Properties`]: crate::Event::Properties
    #[must_use]
    pub fn properties(&self) -> &[Vec<String>] {
        &self.properties
    }

    /// Verifies the credentials of these identities. The flag: they were known.
    pub(crate) fn identify(
        &mut self,
        identities: &[IdentityId],
        head: &Head,
        now_ms: u64,
    ) -> Result<(Rc<Principal>, bool), Unverified> {
        let reads_all = self.reads_all;
        let program = &self.program;
        let cx = Verifying {
            program: self.program.program(),
            keys: &self.keys,
            keeps: &|key| reads_all || reads::mentions(program, key),
            now_ms,
        };
        let given = Given {
            headers: &head.credentials,
            properties: Properties {
                paths: &self.own_properties,
                values: &head.properties,
            },
        };
        self.principals.verify(identities, &given, &cx)
    }

    /// Whether the program can read what a delegation came to.
    pub(crate) const fn mentions_delegations(&self) -> bool {
        self.reads_all || self.reads_delegations
    }

    /// Whether GET streams can be governed, or need not be.
    pub(crate) const fn takes_streams(&self) -> bool {
        !self.reads_responses || self.sealer.is_some()
    }

    /// A token for a callout.
    pub(crate) fn new_token(&mut self) -> CallToken {
        self.next_token = self.next_token.wrapping_add(1);
        CallToken(self.next_token)
    }

    /// The exchange waits for keys until `deadline_ms`.
    pub(crate) fn wait(&mut self, id: ExchangeId, deadline_ms: u64) {
        if !self.waiting.iter().any(|(known, _)| *known == id) {
            self.waiting.push((id, deadline_ms));
        }
    }

    /// It does not any more.
    pub(crate) fn stop_waiting(&mut self, id: ExchangeId) {
        self.waiting.retain(|(known, _)| *known != id);
    }

    /// A call of `POST /v1/effects` on behalf of who sent this `traceparent`; `None` without a companion.
    pub(crate) fn effects_callout(
        &self,
        token: CallToken,
        request: &EffectsRequest,
        traceparent: Option<&str>,
    ) -> Option<Callout> {
        let companion = self.config.companion.as_ref()?;
        let body = serde_json::to_vec(request).ok()?;
        let mut headers = self.companion_headers("POST", &format!("{}{EFFECTS_PATH}", companion.path));
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
        // Envoy gives the calls of a filter none, whether it traces or not.
        headers.extend(traceparent.map(|value| ("traceparent".to_owned(), value.to_owned())));
        Some(Callout {
            token,
            cluster: companion.cluster.clone(),
            headers,
            body,
            timeout_ms: self.timeout_ms(),
        })
    }

    fn timeout_ms(&self) -> u32 {
        self.config
            .companion
            .as_ref()
            .and_then(|companion| companion.timeout_ms)
            .unwrap_or(DEFAULT_CALLOUT_MS)
    }

    fn companion_headers(&self, method: &str, path: &str) -> Vec<(String, String)> {
        let authority = self.config.companion.as_ref().map_or("", |companion| {
            companion.authority.as_deref().unwrap_or(&companion.cluster)
        });
        let mut headers: Vec<(String, String)> = [
            (":method", method),
            (":path", path),
            (":authority", authority),
            (":scheme", "http"),
            ("accept", "application/json"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        if let Some(token) = &self.token {
            headers.push(("authorization".to_owned(), format!("Bearer {token}")));
        }
        headers
    }
}

pub(crate) const fn count(counter: Counter, by: u64) -> Command {
    Command::Count { counter, by }
}
