//! The request up to the moment when its message is known.

use apl_vm::Document;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::{Exchange, Out, Stage, work::Work};
use crate::{
    Command, Counter, Engine, HeaderList, Install,
    codec::Codec,
    engine::count,
    http::{
        head::Head,
        path::{Listing, listing},
        public::is_public,
    },
    json_text::hex,
    llm,
    mcp::{batch::classify, request::Message},
    refusal::Refusal,
};

impl Exchange {
    pub(super) fn on_request_head(
        &mut self,
        engine: &mut Engine,
        headers: &HeaderList,
        end_of_stream: bool,
        now_ms: u64,
        out: &mut Out,
    ) {
        let value = |wanted: &[u8]| {
            let (_, value) = headers.iter().find(|(name, _)| name == wanted)?;
            Some(String::from_utf8_lossy(value))
        };
        let authority = value(b":authority")
            .or_else(|| value(b"host"))
            .unwrap_or_default();
        let path = value(b":path").unwrap_or_default();
        let method = value(b":method").unwrap_or_default();
        let metadata = engine.metadata.as_ref();
        if let Some(reply) = metadata.and_then(|metadata| metadata.answer(&method, &authority, &path)) {
            out.push(Command::Reply(reply));
            out.pause();
            self.stage = Stage::Replied;
            return;
        }
        let listing = listing(&engine.config.protocols, &authority, &path);
        let mut codec = Codec::Mcp;
        if let Listing::Listed(at) | Listing::Ambiguous(at) = listing {
            self.entry = at;
            let entry = engine.config.protocols.get(at);
            codec = entry.map_or(codec, |entry| Codec::of(entry.speaks, &path));
        }
        let properties = std::mem::take(&mut self.head.properties);
        self.head.codec = codec;
        match listing {
            Listing::Listed(_) => {}
            Listing::Ambiguous(_) => {
                let refusal = Refusal::bad_request(
                    "protocol.ambiguous_path",
                    "the path can be read in more than one way",
                );
                return self.refuse(engine, &refusal, now_ms, out);
            }
            // Clients send their revision when they look for metadata, too.
            Listing::Unlisted
                if Head::speaks_agent_protocol(headers)
                    && !is_public(engine.program.program(), &method, &path) =>
            {
                let refusal = Refusal::http(403, "protocol.unlisted_path", "no policy covers this path");
                return self.refuse(engine, &refusal, now_ms, out);
            }
            Listing::Unlisted => {
                out.push(count(Counter::Unlisted, 1));
                return self.leave(out);
            }
        }
        self.head = match Head::read(headers, &engine.wanted) {
            Ok(head) => head,
            Err(refusal) => return self.refuse(engine, &refusal, now_ms, out),
        };
        self.head.properties = properties;
        self.head.codec = codec;
        self.head.began_ms = now_ms;
        if let Some(second) = &engine.beside {
            let own = engine.own_properties.len().min(self.head.properties.len());
            // What it cannot read, the first one has refused but for headers that only the second one names.
            let mut head = Head::read(headers, &second.wanted).unwrap_or_default();
            head.codec = codec;
            head.properties = self.head.properties.split_off(own);
            self.head_beside = Some(Box::new(head));
        }
        let public = is_public(engine.program.program(), &method, &path) || self.is_card(engine);
        let entry = engine.config.protocols.get(self.entry);
        if !public && entry.is_some_and(|entry| !entry.takes_origins(&self.head.origins)) {
            let refusal = Refusal::http(
                403,
                "protocol.origin",
                "pages of this origin may not send requests here",
            );
            return self.refuse(engine, &refusal, now_ms, out);
        }
        if public || self.head.is_preflight() {
            // Nobody is identified here, so nothing is asserted; but a client must not assert it either.
            let touches = !engine.all_in_shadow(now_ms);
            for name in self.head.asserted.iter().filter(|_| touches) {
                out.push(Command::RemoveRequestHeader { name: name.clone() });
            }
            return self.leave(out);
        }
        if let Err(refusal) = self.head.check_any() {
            return self.refuse(engine, &refusal, now_ms, out);
        }
        match codec {
            Codec::Http => return self.http_head(engine, end_of_stream, now_ms, out),
            Codec::OpenAi | Codec::Anthropic if llm::endpoint(&self.head.path).is_none() => {
                return self.other_endpoint(engine, end_of_stream, now_ms, out);
            }
            Codec::OpenAi | Codec::Anthropic | Codec::Mcp | Codec::A2a => {}
        }
        let most = engine.config.limits.max_body_bytes;
        if let Err(refusal) = self
            .head
            .check_messages(end_of_stream, most, engine.takes_streams())
        {
            return self.refuse(engine, &refusal, now_ms, out);
        }
        if end_of_stream {
            // A stream, or the end of a session: who asks for it is verified, and what comes back is governed.
            let message = Message::Housekeeping {
                method: self.head.method.clone(),
                id: None,
                args: None,
            };
            self.work = Some(Box::new(Work::new(message, None)));
            return self.decide(engine, now_ms, out);
        }
        self.await_body(engine, now_ms, out);
    }

    /// Its verdict needs the body.
    pub(super) fn await_body(&mut self, engine: &Engine, now_ms: u64, out: &mut Out) {
        self.stage = Stage::Body;
        let touches = !engine.all_in_shadow(now_ms);
        match engine.config.install {
            Install::Full | Install::PairedDecider => out.pause(),
            // Headers leave now, so what is to be removed from them leaves them now.
            Install::Single => {
                self.head_left = true;
                self.strip(engine, touches, out);
                if touches {
                    self.credentials(engine, false, out);
                }
            }
        }
    }

    /// Both directions pass.
    pub(super) fn leave(&mut self, out: &mut Out) {
        self.stage = Stage::Untouched;
        out.push(Command::ResumeRequest);
        out.go();
    }

    pub(super) fn on_request_body(
        &mut self,
        engine: &mut Engine,
        buffered: usize,
        end: bool,
        now_ms: u64,
        out: &mut Out,
    ) {
        match self.stage {
            Stage::Untouched | Stage::Forwarded | Stage::Gone => out.go(),
            Stage::New | Stage::Keys { .. } | Stage::Asking | Stage::Replied => out.pause(),
            Stage::Body => {
                out.pause();
                if buffered > engine.config.limits.max_body_bytes {
                    self.refuse(engine, &Refusal::too_large(), now_ms, out);
                } else if end && buffered == 0 && self.head.codec == Codec::Http {
                    self.http_body(engine, Vec::new(), now_ms, out);
                } else if end && buffered == 0 {
                    self.refuse(
                        engine,
                        &Refusal::bad_request("protocol.body", "the request has no body"),
                        now_ms,
                        out,
                    );
                } else if end && !self.charge(engine, buffered) {
                    self.refuse(engine, &Refusal::memory(), now_ms, out);
                } else if end {
                    out.push(Command::ReadRequestBody);
                }
            }
        }
    }

    pub(super) fn on_request_bytes(
        &mut self,
        engine: &mut Engine,
        bytes: Vec<u8>,
        now_ms: u64,
        out: &mut Out,
    ) {
        if self.stage != Stage::Body {
            return match self.stage {
                Stage::Untouched | Stage::Forwarded | Stage::Gone => out.go(),
                Stage::New | Stage::Body | Stage::Keys { .. } | Stage::Asking | Stage::Replied => out.pause(),
            };
        }
        if bytes.len() > engine.config.limits.max_body_bytes {
            return self.refuse(engine, &Refusal::too_large(), now_ms, out);
        }
        if self.head.codec == Codec::Http {
            return self.http_body(engine, bytes, now_ms, out);
        }
        let body_digest = keyed_digest(engine, &bytes);
        let document = match Document::parse(bytes, &json_limits(engine)) {
            Ok(document) => document,
            Err(error) => return self.refuse(engine, &Refusal::json(&error), now_ms, out),
        };
        if let Some((method, _)) = llm::endpoint(&self.head.path).filter(|_| self.head.codec.is_plain()) {
            return match llm::classify(&document, method) {
                Ok(message) => {
                    let mut work = Work::new(message, Some(document));
                    work.request_digest = body_digest;
                    self.work = Some(Box::new(work));
                    self.decide(engine, now_ms, out);
                }
                Err(refusal) => self.refuse(engine, &refusal, now_ms, out),
            };
        }
        match classify(&document, &self.head) {
            Ok(messages) => {
                self.take_messages(messages, document, body_digest);
                self.decide(engine, now_ms, out);
            }
            Err(refused) => {
                self.take_refused(&refused);
                self.refuse(engine, &refused.refusal, now_ms, out);
            }
        }
    }
}

/// Bounds on JSON, both directions.
pub(super) fn json_limits(engine: &Engine) -> apl_vm::Limits {
    apl_vm::Limits {
        max_depth: engine.config.limits.max_depth,
        max_nodes: engine.config.limits.max_nodes,
    }
}

/// HMAC-SHA-256 of a body under the deployment's key; without a key there is none, because an unkeyed digest of a short
/// body gives the body away.
pub(super) fn keyed_digest(engine: &Engine, bytes: &[u8]) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(engine.hash_key.as_deref()?).ok()?;
    mac.update(bytes);
    Some(hex(&mac.finalize().into_bytes()))
}
