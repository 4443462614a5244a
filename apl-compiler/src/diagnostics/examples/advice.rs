//! Examples of what compiles, and does not say what was meant.

use super::super::Code;
use super::Example;

/// In the order of the codes.
pub(super) const EXAMPLES: &[Example] = &[
    Example {
        code: Code::LooksLikeRequire,
        why: "it lets in everybody but those who were meant",
        wrong: "plugins:\n  - name: user\n    kind: identity/jwt\n    config:\n      trusted_issuers:\n        - issuer: \"https://idp.example\"\n          audiences: [gateway]\n          algorithms: [RS256]\n          decoding_key: {kind: jwks_url, url: \"https://idp.example/keys\"}\nglobal: {authentication: [user]}\nroutes:\n  - tool: search\n    pre_invocation:\n      - \"role.hr\"\n",
        right: "plugins:\n  - name: user\n    kind: identity/jwt\n    config:\n      trusted_issuers:\n        - issuer: \"https://idp.example\"\n          audiences: [gateway]\n          algorithms: [RS256]\n          decoding_key: {kind: jwks_url, url: \"https://idp.example/keys\"}\nglobal: {authentication: [user]}\nroutes:\n  - tool: search\n    pre_invocation:\n      - \"require(role.hr)\"\n",
    },
    Example {
        code: Code::NoAnchor,
        why: "`x; rm -rf` matches `[a-z]+` too",
        wrong: "routes:\n  - tool: search\n    args:\n      query: 'regex(\"[a-z]+\")'\n",
        right: "routes:\n  - tool: search\n    args:\n      query: 'regex(\"^[a-z]+$\")'\n",
    },
    Example {
        code: Code::NeverMatches,
        why: "a rule that never holds looks like a guard and is none",
        wrong: "routes:\n  - tool: search\n    pre_invocation:\n      - \"meta.tags == 'hr': deny\"\n",
        right: "routes:\n  - tool: search\n    pre_invocation:\n      - \"meta.tags contains 'hr': deny\"\n",
    },
    Example {
        code: Code::NeverPresent,
        why: "the rule cannot see what is not there yet",
        wrong: "routes:\n  - tool: search\n    pre_invocation:\n      - \"exists(result.error): deny\"\n",
        right: "routes:\n  - tool: search\n    post_invocation:\n      - \"exists(result.error): deny\"\n",
    },
    Example {
        code: Code::LiteralSecret,
        why: "who can read the policy has the secret",
        wrong: "plugins:\n  - name: idp\n    kind: delegator/oauth\n    config:\n      token_endpoint: \"https://idp.example/token\"\n      client_id: gateway\n      client_secret_source: {kind: literal, secret: not-a-real-one}\nroutes:\n  - tool: search\n    pre_invocation:\n      - \"require(exists(args.query))\"\n      - \"delegate(idp, target: api)\"\n",
        right: "plugins:\n  - name: idp\n    kind: delegator/oauth\n    config:\n      token_endpoint: \"https://idp.example/token\"\n      client_id: gateway\n      client_secret_source: {kind: env_var, name: GATEWAY_SECRET}\nroutes:\n  - tool: search\n    pre_invocation:\n      - \"require(exists(args.query))\"\n      - \"delegate(idp, target: api)\"\n",
    },
    Example {
        code: Code::UnusedPlugin,
        why: "a validator that no step names validates nothing",
        wrong: "plugins:\n  - name: log\n    kind: audit/logger\nroutes:\n  - tool: search\n",
        right: "plugins:\n  - name: log\n    kind: audit/logger\nroutes:\n  - tool: search\n    pre_invocation: [\"run(log)\"]\n",
    },
    Example {
        code: Code::NoIdentity,
        why: "nobody has a role when nobody is verified",
        wrong: "routes:\n  - tool: search\n    pre_invocation:\n      - \"require(role.hr)\"\n",
        right: "plugins:\n  - name: user\n    kind: identity/jwt\n    config:\n      trusted_issuers:\n        - issuer: \"https://idp.example\"\n          audiences: [gateway]\n          algorithms: [RS256]\n          decoding_key: {kind: jwks_url, url: \"https://idp.example/keys\"}\nglobal: {authentication: [user]}\nroutes:\n  - tool: search\n    pre_invocation:\n      - \"require(role.hr)\"\n",
    },
    Example {
        code: Code::MayBeAbsent,
        why: "the caller leaves the argument out, and the rule does not deny",
        wrong: "routes:\n  - tool: search\n    pre_invocation:\n      - \"args.amount > 1000: deny\"\n",
        right: "routes:\n  - tool: search\n    pre_invocation:\n      - \"require(args.amount <= 1000)\"\n",
    },
    Example {
        code: Code::NeverFalse,
        why: "a condition that always holds is none",
        wrong: "routes:\n  - tool: search\n    pre_invocation:\n      - \"args.kind != 'a' | args.kind != 'b': deny\"\n",
        right: "routes:\n  - tool: search\n    pre_invocation:\n      - \"args.kind != 'a' & args.kind != 'b': deny\"\n",
    },
    Example {
        code: Code::Unreachable,
        why: "a step that looks like a guard never runs",
        wrong: "routes:\n  - tool: search\n    pre_invocation:\n      - \"deny\"\n      - \"exists(args.debug): deny\"\n",
        right: "routes:\n  - tool: search\n    pre_invocation:\n      - \"exists(args.debug): deny\"\n      - \"deny\"\n",
    },
    Example {
        code: Code::UnwrittenLabel,
        why: "a rule about a label that nobody sets never denies",
        wrong: "routes:\n  - tool: search\n    pre_invocation:\n      - \"taint(secret, subject)\"\n      - \"security.labels contains 'secrets': deny\"\n",
        right: "routes:\n  - tool: search\n    pre_invocation:\n      - \"security.labels contains 'secret': deny\"\n      - \"taint(secret, subject)\"\n",
    },
    Example {
        code: Code::DelegateBeforeGate,
        why: "whoever calls gets a token minted",
        wrong: "plugins:\n  - name: idp\n    kind: delegator/oauth\n    config:\n      token_endpoint: \"https://idp.example/token\"\n      client_id: gateway\n      client_secret_source: {kind: env_var, name: GATEWAY_SECRET}\nroutes:\n  - tool: search\n    pre_invocation:\n      - \"delegate(idp, target: api)\"\n      - \"require(exists(args.query))\"\n",
        right: "plugins:\n  - name: idp\n    kind: delegator/oauth\n    config:\n      token_endpoint: \"https://idp.example/token\"\n      client_id: gateway\n      client_secret_source: {kind: env_var, name: GATEWAY_SECRET}\nroutes:\n  - tool: search\n    pre_invocation:\n      - \"require(exists(args.query))\"\n      - \"delegate(idp, target: api)\"\n",
    },
    Example {
        code: Code::CallerIndex,
        why: "the caller picks the entry that lets the call through",
        wrong: "routes:\n  - tool: search\n    pre_invocation:\n      - \"require(custom.limits[args.tier])\"\n",
        right: "routes:\n  - tool: search\n    pre_invocation:\n      - \"require(custom.limits[subject.id])\"\n",
    },
    Example {
        code: Code::SheddableLabel,
        why: "an agent that opens a new session has a clean one",
        wrong: "routes:\n  - tool: search\n    pre_invocation:\n      - \"security.labels contains 'secret': deny\"\n      - \"taint(secret, session)\"\n",
        right: "routes:\n  - tool: search\n    pre_invocation:\n      - \"security.labels contains 'secret': deny\"\n      - \"taint(secret, [session, subject])\"\n",
    },
    Example {
        code: Code::CancelsRedaction,
        why: "a field that a group hides is shown again without anybody saying so",
        wrong: "groups:\n  private: {result: {ssn: \"str | redact\"}}\nroutes:\n  - tool: employee\n    groups: [private]\n    result: {ssn: \"str\"}\n",
        right: "groups:\n  private: {result: {ssn: \"str | redact\"}}\nroutes:\n  - tool: employee\n    groups: [private]\n    result: {phone: \"mask(4)\"}\n",
    },
    Example {
        code: Code::InShadow,
        why: "a shadow shows less than everything that will happen when it ends",
        wrong: "global:\n  session_store: {kind: embedded}\nroutes:\n  - tool: pay\n    enforcement: shadow\n    pre_invocation: [\"require(exists(args.iban))\", \"limit(100 per 1h)\"]\n",
        right: "global:\n  session_store: {kind: embedded}\nroutes:\n  - tool: pay\n    pre_invocation: [\"require(exists(args.iban))\", \"limit(100 per 1h)\"]\n",
    },
    Example {
        code: Code::UnknownTool,
        why: "the tool that was meant stays without its rules",
        wrong: "# aplc check --tools tools.json\nroutes:\n  - tool: pays\n    pre_invocation: [\"require(exists(args.iban))\"]\n  - tool: pay\n",
        right: "# aplc check --tools tools.json\nroutes:\n  - tool: pay\n    pre_invocation: [\"require(exists(args.iban))\"]\n",
    },
    Example {
        code: Code::UnknownArgument,
        why: "the rule never sees what it asks for",
        wrong: "# aplc check --tools tools.json\nroutes:\n  - tool: pay\n    pre_invocation: [\"exists(args.memos): deny\"]\n",
        right: "# aplc check --tools tools.json\nroutes:\n  - tool: pay\n    pre_invocation: [\"exists(args.memo): deny\"]\n",
    },
    Example {
        code: Code::UnknownResultField,
        why: "the field that was meant goes out in the clear",
        wrong: "# aplc check --tools tools.json\nroutes:\n  - tool: pay\n    result: {cards: \"redact\"}\n",
        right: "# aplc check --tools tools.json\nroutes:\n  - tool: pay\n    result: {card: \"redact\"}\n",
    },
    Example {
        code: Code::SchemaType,
        why: "the rule never holds, or every call is denied",
        wrong: "# aplc check --tools tools.json\nroutes:\n  - tool: pay\n    args: {memo: \"int\"}\n",
        right: "# aplc check --tools tools.json\nroutes:\n  - tool: pay\n    args: {memo: \"str\"}\n",
    },
    Example {
        code: Code::ToolWithoutRoute,
        why: "it is easy to forget a tool, and easy to find out",
        wrong: "# aplc check --tools tools.json\nroutes:\n  - prompt: greet\n",
        right: "# aplc check --tools tools.json\nroutes:\n  - prompt: greet\n  - tool: pay\n",
    },
    Example {
        code: Code::Differs,
        why: "a policy that loads unchanged and means something else should say so",
        wrong: "# aplc check --from cpex-0.2\nengine_settings: {unmatched: deny}\nroutes:\n  - tool: search\n    args: {pin: \"mask(4)\"}\n",
        right: "engine_settings: {unmatched: deny}\nroutes:\n  - tool: search\n    args: {pin: \"mask(4)\"}\n",
    },
    Example {
        code: Code::Limit,
        why: "the proxy's tables are bounded",
        wrong: "...",
        right: "routes:\n  - tool: search\n    pre_invocation:\n      - \"require(exists(args.query))\"\n",
    },
];
