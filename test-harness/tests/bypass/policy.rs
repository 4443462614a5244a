//! The policy of these tests, made by hand, and what must stay where it is.

use apl_bytecode::{
    Algorithm, Block, BlockId, BlockKind, ClaimField, ClaimMap, ClaimPath, ClaimRule, ClaimShape, Code,
    CredentialSource, Denial, DenialId, Effect, EffectId, Enforcement, EntityKind, Fallback, Identity,
    IdentityId, Instr, Issuer, Matcher, PathSeg, Pipeline, PipelineId, Program, Route, Side, Stage, StrId,
    TokenRole,
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm as Jose, EncodingKey, jwk::Jwk};
use serde_json::{Value, json};

/// Stands in `args.secret` of each call; policy removes it on the way to the backend.
pub(crate) const ARGUMENT: &str = "s3-hidden";
/// Stands in `result.secret` of each answer; policy removes it on the way to the client.
pub(crate) const RESULT: &str = "t4-hidden";
/// Only these tests believe it.
pub(crate) const ISSUER: &str = "https://idp.example";
/// When the ABI host's clock begins, in seconds.
pub(crate) const NOW: u64 = 1_795_305_600;

/// What the policy is to have beside its tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum With {
    /// Nothing, and no companion.
    Nothing,
    /// A tool `recorded` that waits for the companion.
    Companion,
    /// Everything needs a token, verified with a key that stands in the policy.
    Identity,
    /// The same with a key that must be asked of the companion.
    RemoteKeys,
}

struct Maker(Program);

impl Maker {
    fn text(&mut self, text: &str) -> StrId {
        self.0.strings.push(text.to_owned());
        StrId(u32::try_from(self.0.strings.len() - 1).unwrap())
    }

    fn block(&mut self, code: Vec<Instr>) -> BlockId {
        self.0.blocks.push(Block {
            kind: BlockKind::Steps,
            code,
        });
        BlockId(u32::try_from(self.0.blocks.len() - 1).unwrap())
    }

    fn omit(&mut self, side: Side) -> Instr {
        let path = vec![PathSeg::Key(self.text("secret"))];
        let stages = vec![Stage::Omit];
        self.0.pipelines.push(Pipeline {
            side,
            path,
            stages,
            denial: DenialId(0),
        });
        Instr::Pipeline(PipelineId(u32::try_from(self.0.pipelines.len() - 1).unwrap()))
    }

    fn route(&mut self, name: &str, pre: Vec<Instr>, post: Vec<Instr>, identities: &[IdentityId]) {
        let matcher = Matcher::Exact(self.text(name));
        let block = |maker: &mut Self, code: Vec<Instr>| (!code.is_empty()).then(|| maker.block(code));
        let (pre, post) = (block(self, pre), block(self, post));
        self.0.routes.push(Route {
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
    }

    fn identity(&mut self, remote: bool) -> IdentityId {
        let jwks = json!({ "keys": [jwk()] }).to_string();
        let issuer = Issuer {
            issuer: self.text(ISSUER),
            audiences: vec![self.text("gateway")],
            algorithms: vec![Algorithm::EdDsa],
            leeway_s: 0,
            jwks: (!remote).then(|| self.text(&jwks)),
        };
        let (name, header) = (self.text("jwt"), self.text("authorization"));
        let sub = self.text("sub");
        self.0.identities.push(Identity {
            name,
            role: TokenRole::User,
            source: CredentialSource::Token {
                header,
                prefix: None,
                issuers: vec![issuer],
            },
            trust_domains: Vec::new(),
            claim_map: ClaimMap {
                rules: vec![ClaimRule {
                    field: ClaimField::Id,
                    paths: vec![ClaimPath {
                        segs: vec![sub],
                        shape: ClaimShape::Any,
                        stop: false,
                    }],
                    union: false,
                    split: false,
                    required: false,
                }],
                hidden: Vec::new(),
            },
        });
        IdentityId(0)
    }
}

/// Tools: `echo` is allowed, `denied` is not, `edited` loses `args.secret` and `result.secret`.
pub(crate) fn program(with: With) -> Vec<u8> {
    let mut maker = Maker(Program::default());
    let (code, reason) = (maker.text("test.denied"), maker.text("not today"));
    maker.0.denials.push(Denial {
        code: Code::Text(code),
        reason: Some(reason),
    });
    let identities = match with {
        With::Nothing | With::Companion => Vec::new(),
        With::Identity => vec![maker.identity(false)],
        With::RemoteKeys => vec![maker.identity(true)],
    };
    let (before, after) = (maker.omit(Side::Args), maker.omit(Side::Result));
    maker.route("echo", Vec::new(), Vec::new(), &identities);
    maker.route("denied", vec![Instr::Deny(DenialId(0))], Vec::new(), &identities);
    maker.route("edited", vec![before], vec![after], &identities);
    if with == With::Companion {
        let plugin = maker.text("audit-log");
        maker.0.effects.push(Effect::Audit {
            plugin,
            durable: true,
            code: Code::Text(code),
        });
        maker.route(
            "recorded",
            vec![Instr::Effect(EffectId(0)), Instr::Await],
            Vec::new(),
            &identities,
        );
    }
    if !identities.is_empty() {
        maker.0.fallbacks.push(Fallback {
            entity: None,
            pre: None,
            post: None,
            identities,
            assertions: None,
        });
    }
    apl_bytecode::encode(&maker.0)
}

/// A filter configuration that is right, but for `install`.
pub(crate) fn configuration(with: With) -> Value {
    let mut configuration = json!({
        "policy": STANDARD.encode(program(with)),
        "protocols": [{"path_prefix": "/mcp", "speaks": "mcp"}],
        "limits": {"max_body_bytes": 4096, "max_event_bytes": 2048, "max_inflight_bytes": 1 << 20},
    });
    if matches!(with, With::Companion | With::RemoteKeys) {
        configuration["companion"] = json!({"cluster": "companion"});
    }
    configuration
}

/// Ed25519 from a fixed seed.
fn key() -> EncodingKey {
    let mut der = vec![
        0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
    ];
    der.extend([9; 32]);
    EncodingKey::from_ed_der(&der)
}

fn jwk() -> Value {
    let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&key(), Jose::EdDSA).unwrap()).unwrap();
    jwk["kid"] = json!("k");
    jwk["use"] = json!("sig");
    jwk
}

/// A bearer token of this user, valid for ten minutes of the host's clock, that names this key.
pub(crate) fn token_under(kid: &str, user: &str) -> String {
    let claims = json!({"iss": ISSUER, "sub": user, "aud": "gateway", "iat": NOW, "exp": NOW + 600});
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!(
        "{}.{}",
        part(&json!({"alg": "EdDSA", "typ": "JWT", "kid": kid})),
        part(&claims)
    );
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key(), Jose::EdDSA).unwrap();
    format!("Bearer {signed}.{signature}")
}

/// The same under the key that is known.
pub(crate) fn token(user: &str) -> String {
    token_under("k", user)
}

/// A call of a tool, with the argument that must not arrive where policy removes it; for `echo` nothing removes it.
pub(crate) fn call(tool: &str) -> String {
    let secret = if tool == "echo" { "of no rule" } else { ARGUMENT };
    json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call",
           "params": {"name": tool, "arguments": {"a": 1, "secret": secret}}})
    .to_string()
}

/// A backend's answer, with the value that must not arrive where policy removes it.
pub(crate) fn answer(id: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": id,
           "result": {"content": [], "structuredContent": {"b": 2, "secret": RESULT}}})
    .to_string()
}

/// The policy without rules that edit, for an installation that holds no headers.
pub(crate) fn without_edits() -> String {
    let mut program = apl_bytecode::decode(&program(With::Nothing)).unwrap();
    program.routes.truncate(2);
    program.pipelines.clear();
    program.blocks.truncate(1);
    STANDARD.encode(apl_bytecode::encode(&program))
}
