//! A program for people: what `aplc listing` prints.
//!
//! Not a format: nothing reads it back. Blocks stand in the order of the table, each instruction with its index, its
//! operands spelled out and, when the program has its debug section, the source line that it comes from.

mod asks;
mod assertions;
mod names;
mod pins;

pub use names::{spell_code, spell_position};

use alloc::{format, string::String};
use core::fmt::Write as _;

use crate::model::{
    Block, BlockId, BlockKind, CredentialSource, Delivery, Detector, Effect, Enforcement, Identity, Instr,
    Matcher, PathSeg, Pipeline, Position, Program, Route, Scopes, Side, Stage, StrId, Unmatched,
};

/// The program as text. Indices that lead nowhere are shown as `?`, so that a program that does not verify can be looked
/// at too.
#[must_use]
pub fn listing(program: &Program) -> String {
    let mut out = Listing {
        program,
        text: String::new(),
    };
    out.settings();
    for (at, identity) in program.identities.iter().enumerate() {
        out.identity(at, identity);
    }
    for (at, assertions) in program.assertions.iter().enumerate() {
        out.assertions(at, assertions);
    }
    out.pins();
    for (at, route) in program.routes.iter().enumerate() {
        out.route(at, route);
    }
    out.challenges();
    for fallback in &program.fallbacks {
        let kind = fallback.entity.map_or("housekeeping", |entity| entity.name());
        let phases = out.phases(fallback.pre, fallback.post);
        out.line(&format!("fallback {kind}{phases}"));
    }
    for (at, block) in program.blocks.iter().enumerate() {
        out.block(at, block);
    }
    out.text
}

/// An effect on one line.
#[must_use]
pub fn spell_effect(program: &Program, effect: &Effect) -> String {
    Listing {
        program,
        text: String::new(),
    }
    .effect(effect)
}

struct Listing<'a> {
    program: &'a Program,
    text: String,
}

impl Listing<'_> {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn settings(&mut self) {
        let unmatched = match self.program.settings.unmatched {
            Unmatched::Deny => "deny",
            Unmatched::Allow => "allow",
        };
        let never = self.program.settings.never_forward_credentials;
        let credentials = if never { "never" } else { "unless_delegated" };
        let shadow = shadow(self.program.settings.enforcement);
        let audit = match self.program.settings.delivery {
            Delivery::Batched => "",
            Delivery::Durable => " audit=durable",
        };
        let capture = if self.program.settings.capture {
            " capture=facts"
        } else {
            ""
        };
        self.line(&format!(
            "settings unmatched={unmatched} forward_inbound_credentials={credentials}{audit}{capture}{shadow}"
        ));
    }

    fn identity(&mut self, at: usize, identity: &Identity) {
        let mut line = format!("identity {at} {} {:?}", self.str(identity.name), identity.role);
        if let Some(header) = identity.header() {
            let _ = write!(line, " header={}", self.str(header));
        }
        match &identity.source {
            CredentialSource::Token { issuers, .. } => {
                for issuer in issuers {
                    self.issuer(&mut line, issuer.issuer, &issuer.audiences);
                }
            }
            CredentialSource::Metadata {
                namespace,
                key,
                issuers,
            } => {
                let _ = write!(line, " metadata={}/{}", self.str(*namespace), self.str(*key));
                for issuer in issuers {
                    self.issuer(&mut line, issuer.issuer, &issuer.audiences);
                }
            }
            CredentialSource::Peer { waypoint: true } => line.push_str(" peer of the waypoint"),
            CredentialSource::Peer { waypoint: false } => line.push_str(" peer of the connection"),
            CredentialSource::ApiKey { directory, .. } => {
                let _ = write!(line, " directory={}", self.str(*directory));
            }
        }
        if !identity.trust_domains.is_empty() {
            let _ = write!(line, " trust_domains=[{}]", self.list(&identity.trust_domains));
        }
        self.line(&line);
    }

    fn issuer(&self, line: &mut String, issuer: StrId, audiences: &[StrId]) {
        let audiences = self.list(audiences);
        let _ = write!(line, " issuer={} audiences=[{audiences}]", self.str(issuer));
    }

    fn route(&mut self, at: usize, route: &Route) {
        let name = match &route.matcher {
            Matcher::Exact(name) => self.str(*name),
            Matcher::Glob(pattern) => format!("glob {}", self.str(*pattern)),
            Matcher::Any => "*".into(),
            Matcher::Http {
                path,
                prefix,
                methods,
            } => {
                let mut text = self.str(*path);
                if *prefix {
                    text.push_str("/...");
                }
                for method in methods {
                    let _ = write!(text, " {}", self.str(*method));
                }
                text
            }
        };
        let mut line = format!("route {at} {}:{name}", route.entity.name());
        if let Some(scope) = route.scope {
            let _ = write!(line, " scope={}", self.str(scope));
        }
        line.push_str(&self.phases(route.pre, route.post));
        for identity in &route.identities {
            let _ = write!(line, " identity={}", identity.0);
        }
        line.push_str(&shadow(route.enforcement));
        for (property, value) in &route.properties {
            let _ = write!(line, " {}={}", self.str(*property), self.str(*value));
        }
        if let Some(assertions) = route.assertions {
            let _ = write!(line, " assertions={}", assertions.0);
        }
        if route.pass_unparseable {
            line.push_str(" unparseable_result=pass");
        }
        line.push_str(&self.source(Position::Route(index(at))));
        self.line(&line);
    }

    fn phases(&self, pre: Option<BlockId>, post: Option<BlockId>) -> String {
        let mut text = String::new();
        for (name, block) in [("pre", pre), ("post", post)] {
            if let Some(block) = block {
                let _ = write!(text, " {name}=block {}", block.0);
            }
        }
        text
    }

    fn block(&mut self, at: usize, block: &Block) {
        let kind = match block.kind {
            BlockKind::Expr => "expression",
            BlockKind::Steps => "steps",
        };
        self.line(&format!("\nblock {at} ({kind})"));
        for (pc, instr) in block.code.iter().enumerate() {
            let text = self.instr(instr);
            let source = self.source(Position::Instr(index(at), index(pc)));
            self.line(&format!("  {pc:>4}  {text}{source}"));
        }
    }

    fn instr(&self, instr: &Instr) -> String {
        match instr {
            Instr::Truth(attr) => format!("truth      {}", self.attr(*attr)),
            Instr::Exists(attr) => format!("exists     {}", self.attr(*attr)),
            Instr::Compare(op, attr, constant) => {
                format!(
                    "compare    {} {} {}",
                    self.attr(*attr),
                    names::cmp(*op),
                    self.constant(*constant)
                )
            }
            Instr::Contains(attr, constant) => {
                format!(
                    "contains   {} contains {}",
                    self.attr(*attr),
                    self.constant(*constant)
                )
            }
            Instr::In(member, set) => {
                format!("in         {} in {}", self.attr(*member), self.attr(*set))
            }
            Instr::And => "and".into(),
            Instr::Or => "or".into(),
            Instr::Not => "not".into(),
            Instr::Const(constant) => format!("const      {}", self.constant(*constant)),
            Instr::Load(attr) => format!("load       {}", self.attr(*attr)),
            Instr::Has(attr) => format!("has        {}", self.attr(*attr)),
            Instr::Cel(op) => format!("cel        {}", names::cmp(*op)),
            Instr::CelIn => "cel        in".into(),
            Instr::Arith(op) => format!("arith      {}", names::arith(*op)),
            Instr::Neg => "neg".into(),
            Instr::Index => "index".into(),
            Instr::Select(name) => format!("select     .{}", self.str(*name)),
            Instr::HasField(name) => format!("has        .{}", self.str(*name)),
            Instr::Choose => "choose".into(),
            Instr::List(count) => format!("list       {count}"),
            Instr::Map(count) => format!("map        {count}"),
            Instr::Answer(effect) => format!("answer     effect {}", effect.0),
            Instr::Call(function) => format!("call       {}", function.name()),
            Instr::Matches(regex) => format!("matches    {}", self.regex(*regex)),
            Instr::Local(slot) => format!("local      {slot}"),
            Instr::Fold(kind, body) => {
                format!("fold       {} block {}", names::fold(*kind), body.0)
            }
            Instr::DenyIf(denial) => format!("deny-if    {}", self.denial(*denial)),
            Instr::SkipUnless(target, denial) => {
                format!("skip-unless -> {target}  {}", self.denial(*denial))
            }
            Instr::Decide(target) => format!("decide     -> {target}"),
            Instr::Deny(denial) => format!("deny       {}", self.denial(*denial)),
            Instr::DenyAs(effect, denial) => {
                format!("deny-as    effect {}  {}", effect.0, self.denial(*denial))
            }
            Instr::Jump(target) => format!("jump       -> {target}"),
            Instr::Pipeline(pipeline) => match self.program.pipelines.get(pipeline.at()) {
                Some(found) => format!("pipeline   {}", self.pipeline(found)),
                None => "pipeline   ?".into(),
            },
            Instr::Scan(scanner, denial) => {
                format!("scan       {}  {}", self.scanner(*scanner), self.denial(*denial))
            }
            Instr::Effect(effect) => match self.program.effects.get(effect.at()) {
                Some(found) => format!("effect     {}", self.effect(found)),
                None => "effect     ?".into(),
            },
            Instr::Await => "await".into(),
        }
    }

    fn pipeline(&self, pipeline: &Pipeline) -> String {
        let mut text = String::from(match pipeline.side {
            Side::Args => "args",
            Side::Result => "result",
        });
        for seg in &pipeline.path {
            match seg {
                PathSeg::Key(name) => {
                    let _ = write!(text, ".{}", self.str(*name));
                }
                PathSeg::AnyDepth => text.push_str(".**"),
            }
        }
        for (at, stage) in pipeline.stages.iter().enumerate() {
            text.push_str(if at == 0 { ": " } else { " | " });
            text.push_str(&self.stage(stage));
        }
        text
    }

    fn stage(&self, stage: &Stage) -> String {
        match stage {
            Stage::Type(check) => names::type_check(*check).into(),
            Stage::Email => "email".into(),
            Stage::Url => "url".into(),
            Stage::Uuid => "uuid".into(),
            Stage::Range(low, high) => names::range(*low, *high),
            Stage::Len(low, high) => format!("len({})", names::range(*low, *high)),
            Stage::Enum(values) => format!("enum({})", self.list(values)),
            Stage::Regex(regex) => format!("regex({})", self.regex(*regex)),
            Stage::Mask(shown) => format!("mask({shown})"),
            Stage::Redact(None) => "redact".into(),
            Stage::Redact(Some(condition)) => format!("redact(block {})", condition.0),
            Stage::Omit => "omit".into(),
            Stage::Hash => "hash".into(),
            Stage::Taint(label, scopes) => {
                format!("taint({}, {})", self.str(*label), scope_names(*scopes))
            }
            Stage::Scan { scanner, mode, label } => {
                let label = label.map_or_else(String::new, |label| format!(", label {}", self.str(label)));
                format!("scan({}, {mode:?}{label})", self.scanner(*scanner))
            }
            Stage::Required => "required".into(),
        }
    }

    fn effect(&self, effect: &Effect) -> String {
        match effect {
            Effect::Taint {
                label,
                scopes,
                ttl_s,
                denial: _,
            } => {
                let ttl = if *ttl_s == 0 {
                    String::new()
                } else {
                    format!(", ttl {ttl_s} s")
                };
                format!("taint {} ({}{ttl})", self.str(*label), scope_names(*scopes))
            }
            Effect::LoadLabels { denial: _ } => "load-labels".into(),
            Effect::Delegate(delegate) => self.delegate(delegate),
            Effect::Attenuate(attenuate) => self.attenuate(attenuate),
            Effect::Audit {
                plugin,
                durable,
                code,
            } => {
                let durable = if *durable { " durable" } else { "" };
                format!(
                    "audit {}{durable} at {}",
                    self.str(*plugin),
                    spell_code(self.program, code)
                )
            }
            Effect::Elicit(elicit) => self.elicit(elicit),
            Effect::Decide(decision) => self.decision(decision),
            Effect::Count(count) => self.count(count),
            Effect::Restrict(restrict) => self.restrict(restrict),
        }
    }

    fn scanner(&self, id: crate::model::ScannerId) -> String {
        let Some(scanner) = self.program.scanners.get(id.at()) else {
            return "?".into();
        };
        let mut text = format!("{}[", self.str(scanner.name));
        for (at, detector) in scanner.detectors.iter().enumerate() {
            text.push_str(if at == 0 { "" } else { " " });
            match detector {
                Detector::Custom(name, _) => text.push_str(&self.str(*name)),
                known => {
                    let _ = write!(text, "{known:?}");
                }
            }
        }
        text.push(']');
        text
    }

    fn source(&self, position: Position) -> String {
        let Some(debug) = &self.program.debug else {
            return String::new();
        };
        debug.span(position).map_or_else(String::new, |span| {
            let file = debug
                .files
                .get(usize::from(span.file))
                .map_or("?", String::as_str);
            format!("  ; {file}:{}:{}", span.line, span.column)
        })
    }
}

fn scope_names(scopes: Scopes) -> String {
    let all = [
        (Scopes::SESSION, "session"),
        (Scopes::MESSAGE, "message"),
        (Scopes::SUBJECT, "subject"),
    ];
    let mut text = String::new();
    for (_, name) in all.iter().filter(|(scope, _)| scopes.has(*scope)) {
        text.push_str(if text.is_empty() { "" } else { "+" });
        text.push_str(name);
    }
    text
}

/// Positions of the debug section are 32 bits wide, and so is every table.
fn index(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn shadow(enforcement: Enforcement) -> String {
    match enforcement {
        Enforcement::Enforce => String::new(),
        Enforcement::Shadow(0) => " shadow".into(),
        Enforcement::Shadow(until) => format!(" shadow until={until}"),
    }
}
