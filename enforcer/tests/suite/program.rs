//! Programs for the tests, written as models: the compiler is not asked.

use apl_bytecode::*;

/// Where the demo's identity provider would be.
pub(crate) const ISSUER: &str = "https://idp.example";

/// A model under construction.
#[derive(Default)]
pub(crate) struct Builder {
    pub(crate) program: Program,
}

impl Builder {
    pub(crate) fn text(&mut self, text: &str) -> StrId {
        let at = self
            .program
            .strings
            .iter()
            .position(|known| known == text)
            .unwrap_or_else(|| {
                self.program.strings.push(text.to_owned());
                self.program.strings.len() - 1
            });
        StrId(at as u32)
    }

    pub(crate) fn attr(&mut self, path: &str) -> AttrId {
        let segs = path.split('.').map(|name| Seg::Name(self.text(name))).collect();
        self.program.attrs.push(Attr { segs });
        AttrId(self.program.attrs.len() as u32 - 1)
    }

    pub(crate) fn denial(&mut self, code: &str, reason: &str) -> DenialId {
        let code = Code::Text(self.text(code));
        let reason = Some(self.text(reason));
        self.program.denials.push(Denial { code, reason });
        DenialId(self.program.denials.len() as u32 - 1)
    }

    pub(crate) fn block(&mut self, kind: BlockKind, code: Vec<Instr>) -> BlockId {
        self.program.blocks.push(Block { kind, code });
        BlockId(self.program.blocks.len() as u32 - 1)
    }

    pub(crate) fn effect(&mut self, effect: Effect) -> Instr {
        self.program.effects.push(effect);
        Instr::Effect(EffectId(self.program.effects.len() as u32 - 1))
    }

    /// `require(attr)`.
    pub(crate) fn require(&mut self, attr: &str, code: &str) -> Vec<Instr> {
        let attr = self.attr(attr);
        vec![
            Instr::Truth(attr),
            Instr::Not,
            Instr::DenyIf(self.denial(code, "access denied")),
        ]
    }

    pub(crate) fn taint(&mut self, label: &str) -> Instr {
        let label = self.text(label);
        let denial = self.denial("session.persist_failed", "the label could not be stored");
        self.effect(Effect::Taint {
            label,
            scopes: Scopes::SESSION,
            ttl_s: 0,
            denial,
        })
    }

    pub(crate) fn delegate(&mut self, delegator: &str, target: &str, permission: &str) -> Instr {
        let (delegator, target, permission) =
            (self.text(delegator), self.text(target), self.text(permission));
        let denial = self.denial("delegation.failed", "no credential");
        self.effect(Effect::Delegate(Delegate {
            delegator,
            target,
            audience: target,
            permissions: vec![permission],
            subject: Subject::User,
            actor: None,
            ttl_s: 0,
            on_error: OnError::Deny,
            denial,
        }))
    }

    pub(crate) fn audit(&mut self, durable: bool) -> Instr {
        let plugin = self.text("audit-log");
        let code = Code::Text(self.text("routes.tool:x.pre_invocation[3]"));
        self.effect(Effect::Audit {
            plugin,
            durable,
            code,
        })
    }

    /// `security.labels contains label: deny(code)`, with the load before it.
    pub(crate) fn deny_if_label(&mut self, label: &str, code: &str) -> Vec<Instr> {
        let denial = self.denial("session.load_failed", "labels cannot be read");
        let load = self.effect(Effect::LoadLabels { denial });
        let labels = self.attr("security.labels");
        let label = self.text(label);
        self.program.consts.push(Const::Str(label));
        let label = ConstId(self.program.consts.len() as u32 - 1);
        let deny = self.denial(code, "write-down blocked");
        vec![
            load,
            Instr::Await,
            Instr::Contains(labels, label),
            Instr::DenyIf(deny),
        ]
    }

    /// `result.<field>: "redact(!<attr>)"`.
    pub(crate) fn redact(&mut self, side: Side, field: &str, unless: &str) -> Instr {
        let attr = self.attr(unless);
        let condition = self.block(BlockKind::Expr, vec![Instr::Truth(attr), Instr::Not]);
        let path = vec![PathSeg::Key(self.text(field))];
        let denial = self.denial("field", "invalid");
        self.program.pipelines.push(Pipeline {
            side,
            path,
            stages: vec![Stage::Redact(Some(condition))],
            denial,
        });
        Instr::Pipeline(PipelineId(self.program.pipelines.len() as u32 - 1))
    }

    /// The user's token in `authorization`.
    pub(crate) fn identity(
        &mut self,
        header: &str,
        role: TokenRole,
        algorithms: &[Algorithm],
        jwks: Option<&str>,
    ) -> IdentityId {
        let issuer = Issuer {
            issuer: self.text(ISSUER),
            audiences: vec![self.text("gateway")],
            algorithms: algorithms.to_vec(),
            leeway_s: 0,
            jwks: jwks.map(|jwks| self.text(jwks)),
        };
        let header = self.text(header);
        let source = CredentialSource::Token {
            header,
            prefix: None,
            issuers: vec![issuer],
        };
        self.credential(role, source, &[])
    }

    /// A credential with the standard claim map of its role.
    pub(crate) fn credential(
        &mut self,
        role: TokenRole,
        source: CredentialSource,
        trust_domains: &[&str],
    ) -> IdentityId {
        let claim_map = self.standard(role);
        let name = self.text("jwt");
        let trust_domains = trust_domains.iter().map(|domain| self.text(domain)).collect();
        self.program.identities.push(Identity {
            name,
            role,
            source,
            trust_domains,
            claim_map,
        });
        IdentityId(self.program.identities.len() as u32 - 1)
    }

    /// The map that the compiler calls `standard`.
    fn standard(&mut self, role: TokenRole) -> ClaimMap {
        use ClaimField::{Id, Permissions, Roles, Teams};
        use ClaimShape::{Any, List, Text};
        let fields: &[(ClaimField, &[(&str, ClaimShape)])] = match role {
            TokenRole::User => &[
                (Id, &[("sub", Any), ("subject", Any)]),
                (Roles, &[("roles", List)]),
                (Permissions, &[("permissions", List), ("scope", Text)]),
                (Teams, &[("teams", List), ("groups", List)]),
            ],
            TokenRole::Client => &[
                (Id, &[("client_id", Any), ("azp", Any)]),
                (Roles, &[("roles", List)]),
            ],
            TokenRole::CallerWorkload => &[(Id, &[("sub", Any), ("spiffe_id", Any)])],
        };
        let rules = fields
            .iter()
            .map(|(field, places)| ClaimRule {
                field: *field,
                paths: places
                    .iter()
                    .map(|(name, shape)| ClaimPath {
                        segs: vec![self.text(name)],
                        shape: *shape,
                        stop: false,
                    })
                    .collect(),
                union: false,
                split: true,
                required: false,
            })
            .collect();
        let hidden = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];
        ClaimMap {
            rules,
            hidden: hidden.map(|name| self.text(name)).into(),
        }
    }

    pub(crate) fn route(
        &mut self,
        name: &str,
        pre: Vec<Instr>,
        post: Option<Vec<Instr>>,
        identities: &[IdentityId],
    ) -> usize {
        let pre = Some(self.block(BlockKind::Steps, pre));
        let post = post.map(|post| self.block(BlockKind::Steps, post));
        let matcher = Matcher::Exact(self.text(name));
        self.program.routes.push(Route {
            entity: EntityKind::Tool,
            matcher,
            scope: None,
            pre,
            post,
            identities: identities.to_vec(),
            response: None,
            pass_unparseable: false,
            enforcement: Enforcement::Enforce,
            owner: None,
            assertions: None,
            tags: Vec::new(),
            properties: Vec::new(),
        });
        self.program.routes.len() - 1
    }

    pub(crate) fn housekeeping(&mut self, identities: &[IdentityId]) {
        self.program.fallbacks.push(Fallback {
            entity: None,
            pre: None,
            post: None,
            identities: identities.to_vec(),
            assertions: None,
        });
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        encode(&self.program)
    }
}

/// The seed's shape: one route that mints, taints, audits and redacts; one that reads labels; one that is free.
pub(crate) fn seed(algorithms: &[Algorithm], jwks: Option<&str>) -> Builder {
    let mut b = Builder::default();
    let user = b.identity("authorization", TokenRole::User, algorithms, jwks);
    let mut pay = b.require("role.hr", "routes.tool:get_compensation.pre_invocation[0]");
    pay.push(b.delegate("workday-oauth", "workday-api", "read_compensation"));
    pay.push(b.taint("secret"));
    pay.push(b.audit(false));
    let post = vec![b.redact(Side::Result, "ssn", "perm.view_ssn")];
    b.route("get_compensation", pay, Some(post), &[user]);
    let mut send = b.require("perm.email_send", "routes.tool:send_email.pre_invocation[0]");
    send.extend(b.deny_if_label("secret", "session_tainted"));
    b.route("send_email", send, None, &[user]);
    b.route("open", Vec::new(), None, &[user]);
    let edit = vec![b.redact(Side::Args, "ssn", "perm.view_ssn")];
    b.route("edit", edit, None, &[user]);
    let after = vec![b.taint("touched"), b.redact(Side::Result, "ssn", "perm.view_ssn")];
    b.route("after", Vec::new(), Some(after), &[user]);
    b.housekeeping(&[user]);
    b
}
