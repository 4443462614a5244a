//! Operations that are told by a whole HTTP exchange and not by a message in it: accesses to HTTP resources, and the
//! responses of models.

use super::{
    Exchange, Out,
    after::AfterStage,
    answers::unparseable,
    request::{json_limits, keyed_digest},
    run::{self, Context},
    work::{Law, Reading, Work},
};
use crate::{
    Engine, HeaderList, Install,
    codec::Codec,
    config::Speaks,
    http::{
        arguments,
        media::{Media, is_identity, is_json_kind, media_type},
        path::canonical,
        public::is_public,
    },
    identity::token::text_of,
    llm,
    mcp::request::Message,
    refusal::Refusal,
};

impl Exchange {
    /// Whether it asks for the card of an agent behind a prefix: it is public like one at the root (`execution.md` rule 22).
    pub(super) fn is_card(&self, engine: &Engine) -> bool {
        let entry = engine.config.protocols.get(self.entry);
        entry
            .filter(|entry| entry.speaks == Speaks::A2a)
            .and_then(|entry| {
                self.head
                    .path
                    .strip_prefix(entry.path_prefix.trim_end_matches('/'))
            })
            .is_some_and(|path| is_public(engine.program.program(), &self.head.method, path))
    }

    /// An endpoint of a provider that holds no operation that is governed: lists of models need identity and the global
    /// rules only, everything else is denied.
    pub(super) fn other_endpoint(
        &mut self,
        engine: &mut Engine,
        end_of_stream: bool,
        now_ms: u64,
        out: &mut Out,
    ) {
        let message = Message::Housekeeping {
            method: "models".to_owned(),
            id: None,
            args: None,
        };
        self.work = Some(Box::new(Work::new(message, None)));
        let known = self.head.method == "GET" && end_of_stream && llm::is_listing(&self.head.path);
        if known && canonical(&self.head.path).is_some() {
            return self.decide(engine, now_ms, out);
        }
        let refusal = Refusal::operation("protocol.unknown_method", "the endpoint is not known here");
        self.refuse(engine, &refusal, now_ms, out);
    }

    /// The head of a request for a resource. Where its body has no say in the verdict, that is all there is to judge, and
    /// the body passes as it comes.
    pub(super) fn http_head(&mut self, engine: &mut Engine, end_of_stream: bool, now_ms: u64, out: &mut Out) {
        let scope = self.scope(engine);
        let path = canonical(&self.head.path).filter(|path| {
            let program = &engine.program;
            !self.head.path.contains('#')
                && !program.is_case_variant(path, &self.head.method, scope.as_deref())
        });
        let Some(path) = path else {
            let refusal = Refusal::bad_request(
                "protocol.ambiguous_path",
                "the path can be read in more than one way",
            );
            return self.refuse(engine, &refusal, now_ms, out);
        };
        let mut work = Work::http(&self.head.method, &path);
        work.law = Law::of(engine, work.entity, &work.name, scope.as_deref());
        let own = work.law.reads_body();
        // What judges in shadow refuses nothing: it reads what can be read.
        let must = own && !engine.in_shadow(work.law.enforcement, now_ms);
        let beside = engine.beside.as_ref();
        let may = own
            || beside.is_some_and(|second| {
                Law::of(second, work.entity, &work.name, scope.as_deref()).reads_body()
            });
        let body = self.head.check_body(engine.config.limits.max_body_bytes);
        let reads = must || (may && body.is_ok());
        let waits = reads || work.law.pre_needs.loads_labels;
        work.reads = match (reads, must) {
            (false, _) => Reading::Nothing,
            (true, false) => Reading::WhatItCan,
            (true, true) => Reading::All,
        };
        self.work = Some(Box::new(work));
        if end_of_stream {
            return self.http_body(engine, Vec::new(), now_ms, out);
        }
        if !waits {
            return self.decide(engine, now_ms, out);
        }
        match body {
            Err(refusal) if must => return self.refuse(engine, &refusal, now_ms, out),
            Ok(()) | Err(_) => {}
        }
        self.await_body(engine, now_ms, out);
    }

    /// All of the request is there, or as much of it as there will be.
    pub(super) fn http_body(&mut self, engine: &mut Engine, bytes: Vec<u8>, now_ms: u64, out: &mut Out) {
        let Some(work) = &mut self.work else { return };
        if !bytes.is_empty() {
            work.request_digest = keyed_digest(engine, &bytes);
        }
        if work.reads != Reading::Nothing {
            let model = engine.program.program();
            let route = work.law.route.and_then(|at| model.routes.get(at));
            let pattern = match route.map(|route| &route.matcher) {
                Some(apl_bytecode::Matcher::Http { path, .. }) => text_of(model, *path),
                Some(_) | None => "",
            };
            let (_, path) = work.name.split_once(' ').unwrap_or_default();
            match arguments::read(pattern, path, &self.head.path, &bytes, &json_limits(engine)) {
                Ok(document) => {
                    work.args = Some(document.root());
                    work.document = Some(document);
                }
                Err(_) if work.reads == Reading::WhatItCan => {}
                Err(refusal) => return self.refuse(engine, &refusal, now_ms, out),
            }
        }
        self.decide(engine, now_ms, out);
    }

    /// The head of a response whose body is the result, and which is governed.
    pub(super) fn plain_response_head(
        &mut self,
        engine: &mut Engine,
        headers: &HeaderList,
        end_of_stream: bool,
        now_ms: u64,
        out: &mut Out,
    ) {
        let reads = self.works().any(|work| work.law.reads_response_body());
        if end_of_stream || !reads {
            return self.judge_without_body(engine, now_ms, out);
        }
        let values = |wanted: &'static [u8]| {
            headers
                .iter()
                .filter(move |(name, _)| name == wanted)
                .map(|(_, value)| value)
        };
        let encoded = values(b"content-encoding").any(|value| !is_identity(value));
        let mut types = values(b"content-type");
        let media = match (types.next(), types.next()) {
            (Some(value), None) if is_json_kind(value) => Media::Json,
            (Some(value), None) => media_type(value),
            (_, _) => Media::Other,
        };
        let streams = self.head.codec.provider().is_some() && self.is_success();
        let fine = match media {
            Media::Json => true,
            Media::EventStream => streams,
            Media::Other => false,
        };
        // A part of a document may parse, and hides nothing that the whole would.
        if encoded || !fine || self.after.status == 206 {
            if self.may_pass_unparseable() {
                return self.judge_without_body(engine, now_ms, out);
            }
            let refusal = unparseable("the result is of a type or in an encoding that cannot be read");
            return self.deny_at_head(engine, &refusal, now_ms, out);
        }
        if media == Media::EventStream && self.begin_flow(engine, out) {
            return;
        }
        self.after.events = media == Media::EventStream;
        self.after.stage = AfterStage::Buffer;
        match engine.config.install {
            Install::Full | Install::PairedDecider => out.pause(),
            Install::Single => self.drop_length(out),
        }
    }

    /// The phase after the call runs on the head alone: there is no body, none that it looks at, or one that may pass
    /// unread.
    pub(super) fn judge_without_body(&mut self, engine: &mut Engine, now_ms: u64, out: &mut Out) {
        let Some(mut work) = self.work.take() else { return };
        work.answered = true;
        let cx = Context {
            head: &self.head,
            decision_id: &self.decision_id,
            now_ms,
        };
        let post = work.law.post;
        let step = run::start(engine, &mut work, post, None, &cx, out);
        self.work = Some(work);
        let judged = self.judge_unread(engine, step, now_ms, out);
        self.after_judged(engine, judged, now_ms, out);
    }

    /// A GET of MCP, on which the backend may say whatever it wants.
    pub(super) fn is_get_stream(&self) -> bool {
        self.head.codec == Codec::Mcp && self.head.method == "GET"
    }
}
