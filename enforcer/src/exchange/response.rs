//! `response`: how a route is denied. An HTTP route, or one without a route by `global.response`, and a model's are answered
//! so; JSON-RPC has no place for it but the error's `data`, as upstream has it.

use std::borrow::Cow;

use apl_bytecode::{EntityKind, Response};

use super::Exchange;
use crate::{
    Engine, Reply,
    identity::token::text_of,
    refusal::{Refusal, RefusalKind},
};

impl Exchange {
    /// What the law of the operation says of its denials. Who is not identified gets the challenge as it is.
    fn custom<'e>(&self, engine: &'e Engine, refusal: &Refusal) -> Option<&'e Response> {
        let work = self
            .work
            .as_deref()
            .filter(|_| refusal.kind == RefusalKind::Operation)?;
        let model = engine.program.program();
        let own = work
            .law
            .route
            .and_then(|at| model.routes.get(at)?.response.as_ref());
        own.or(match work.entity {
            Some(EntityKind::Http) => model.settings.response.as_ref(),
            Some(
                EntityKind::Tool
                | EntityKind::Prompt
                | EntityKind::Resource
                | EntityKind::Llm
                | EntityKind::A2a,
            )
            | None => None,
        })
    }

    /// The refusal as JSON-RPC tells of it.
    pub(super) fn said<'r>(&self, engine: &Engine, refusal: &'r Refusal) -> Cow<'r, Refusal> {
        match self.custom(engine, refusal) {
            Some(response) if self.head.codec.shape().is_none() => {
                Cow::Owned(refusal.clone().telling(response, engine.program.program()))
            }
            Some(_) | None => Cow::Borrowed(refusal),
        }
    }

    /// The answer as the route wants it, where HTTP itself is the protocol.
    pub(super) fn dress(&self, engine: &Engine, refusal: &Refusal, reply: &mut Reply) {
        let Some(response) = self
            .custom(engine, refusal)
            .filter(|_| self.head.codec.shape().is_some())
        else {
            return;
        };
        let program = engine.program.program();
        if response.status > 0 {
            reply.status = response.status;
        }
        let mut set = |name: &str, value: &str| {
            reply.headers.retain(|(known, _)| known != name);
            reply.headers.push((name.to_owned(), value.to_owned()));
        };
        if let Some(body) = response.body {
            set("content-type", "text/plain; charset=utf-8");
            reply.body = text_of(program, body).as_bytes().to_vec();
        }
        for (name, value) in &response.headers {
            set(text_of(program, *name), text_of(program, *value));
        }
    }
}
