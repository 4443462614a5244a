//! Everything but code: the entries of the other tables.

use super::{Reader, Wire, Writer, choice, record};
use crate::{
    DecodeError,
    model::{
        Actor, Algorithm, Assertion, Assertions, Attenuate, Attr, Challenge, ClaimField, ClaimMap, ClaimPath,
        ClaimRule, ClaimShape, Code, Const, Contract, CredentialSource, Debug, Delegate, Delivery, Denial,
        Detector, Effect, Encoding, Enforcement, EntityKind, Fallback, HeaderSource, Identity, Issuer,
        Matcher, MeshIssuer, OnError, PathSeg, Phase, Pin, Pins, Pipeline, Position, Regex, Response, Route,
        ScanMode, Scanner, Scopes, Seg, Settings, Side, Span, Stage, Subject, TokenRole, TypeCheck,
        Unmatched,
    },
};

choice!(Const, "constant" { 0 => Null, 1 => Bool(value), 2 => Int(value), 3 => Uint(value), 4 => Float(value), 5 => Str(text) });

record!(Attr { segs });
choice!(Seg, "segment" { 0 => Name(name), 1 => Value(attr) });

record!(Regex { pattern, dfa });

record!(Denial { code, reason });
choice!(Code, "violation code" {
    0 => Text(text),
    1 => Step { source, phase, index, reactions },
    2 => Field { source, result, field },
    3 => Named { code, source, phase, index, reactions },
});
choice!(Phase, "phase" { 0 => Pre, 1 => Post });

record!(Pipeline {
    side,
    path,
    stages,
    denial
});
choice!(Side, "side" { 0 => Args, 1 => Result });
choice!(PathSeg, "field path segment" { 0 => Key(name), 1 => AnyDepth });
choice!(TypeCheck, "type" { 0 => Str, 1 => Int, 2 => Bool, 3 => Float });
choice!(Stage, "stage" {
    0 => Type(check),
    1 => Email,
    2 => Url,
    3 => Uuid,
    4 => Range(low, high),
    5 => Len(low, high),
    6 => Enum(values),
    7 => Regex(regex),
    8 => Mask(shown),
    9 => Redact(condition),
    10 => Omit,
    11 => Hash,
    12 => Taint(label, scopes),
    13 => Scan { scanner, mode, label },
    14 => Required,
});
choice!(ScanMode, "scan mode" { 0 => Detect, 1 => Redact, 2 => Deny });

record!(Scanner {
    name,
    detectors,
    code
});
choice!(Detector, "detector" {
    0 => Ssn,
    1 => CreditCard,
    2 => Iban,
    3 => Email,
    4 => Phone,
    5 => IpAddress,
    6 => ApiKey,
    7 => PrivateKey,
    8 => Jwt,
    9 => PromptInjection,
    10 => Custom(name, regex),
});

choice!(Effect, "effect" {
    0 => Taint { label, scopes, ttl_s, denial },
    1 => LoadLabels { denial },
    2 => Delegate(delegate),
    3 => Audit { plugin, durable, code },
    4 => Elicit(elicit),
    5 => Decide(decision),
    6 => Count(count),
    7 => Restrict(restrict),
    8 => Attenuate(attenuate),
});
record!(Delegate {
    delegator,
    target,
    audience,
    permissions,
    subject,
    actor,
    ttl_s,
    on_error,
    denial
});
record!(Attenuate {
    delegate,
    header,
    narrowed,
    resource
});
choice!(Subject, "subject" { 0 => User, 1 => Client, 2 => CallerWorkload, 3 => ThisWorkload });
choice!(Actor, "actor" { 0 => User, 1 => Client, 2 => CallerWorkload });
choice!(OnError, "reaction to an error" { 0 => Deny, 1 => Continue });

/// The bits of [`Scopes`], in one byte. Bits without a meaning are refused by the verifier.
impl Wire for Scopes {
    fn put(&self, out: &mut Writer<'_>) {
        out.byte(self.0);
    }

    fn get(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.byte().map(Self)
    }
}

record!(Identity {
    name,
    role,
    source,
    trust_domains,
    claim_map
});
choice!(CredentialSource, "credential source" {
    0 => Token { header, prefix, issuers },
    1 => Metadata { namespace, key, issuers },
    2 => Peer { waypoint },
    3 => ApiKey { header, prefix, directory, ttl_s, unknown_ttl_s, enforce_expiry },
});
record!(MeshIssuer {
    issuer,
    audiences,
    leeway_s
});
choice!(TokenRole, "token role" { 0 => User, 1 => Client, 2 => CallerWorkload });
record!(Issuer {
    issuer,
    audiences,
    algorithms,
    leeway_s,
    jwks
});
choice!(Algorithm, "algorithm" {
    0 => Rs256,
    1 => Rs384,
    2 => Rs512,
    3 => Ps256,
    4 => Ps384,
    5 => Ps512,
    6 => Es256,
    // 7 was ES384, which no filter verifies.
    8 => EdDsa,
});
record!(ClaimMap { rules, hidden });
record!(ClaimRule {
    field,
    paths,
    union,
    split,
    required
});
choice!(ClaimField, "claim field" {
    0 => Id,
    1 => Name,
    2 => Roles,
    3 => Permissions,
    4 => Teams,
    5 => Scopes,
    6 => Audiences,
    7 => Selectors,
    8 => ClientId,
});
record!(ClaimPath { segs, shape, stop });
choice!(ClaimShape, "claim shape" { 0 => Any, 1 => List, 2 => Text });

record!(Route {
    entity,
    matcher,
    scope,
    pre,
    post,
    identities,
    response,
    pass_unparseable,
    enforcement,
    owner,
    assertions,
    tags,
    properties,
});
choice!(EntityKind, "entity kind" { 0 => Tool, 1 => Prompt, 2 => Resource, 3 => Llm, 4 => A2a, 5 => Http });
choice!(Matcher, "matcher" { 0 => Exact(name), 1 => Glob(pattern), 2 => Any, 3 => Http { path, prefix, methods } });
choice!(Enforcement, "enforcement" { 0 => Enforce, 1 => Shadow(until) });
record!(Fallback {
    entity,
    pre,
    post,
    identities,
    assertions
});
record!(Assertions { request, response });
record!(Contract { headers, strip });
record!(Assertion {
    name,
    source,
    encoding,
    required
});
choice!(HeaderSource, "source of a header" { 0 => Attr(attr), 1 => Members(members), 2 => Variable(name) });
choice!(Encoding, "encoding of a header" { 0 => Plain, 1 => Json, 2 => Csv });
record!(Pins {
    scope,
    hides_unpinned,
    tools
});
record!(Pin { name, digest });
record!(Challenge {
    route,
    scopes,
    annotates
});
record!(Response {
    status,
    body,
    headers
});
record!(Settings {
    unmatched,
    never_forward_credentials,
    enforcement,
    response,
    delivery,
    capture
});
choice!(Delivery, "delivery of records" { 0 => Batched, 1 => Durable });
choice!(Unmatched, "answer to unmatched operations" { 0 => Deny, 1 => Allow });

record!(Debug {
    files,
    compiler,
    spans
});
choice!(Position, "position" { 0 => Instr(block, index), 1 => Pipeline(pipeline), 2 => Route(route) });
record!(Span {
    file,
    line,
    column,
    length
});
