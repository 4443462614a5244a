//! Examples of what is wrong with rules, steps, pipelines and expressions.

use super::super::Code;
use super::Example;

/// In the order of the codes.
pub(super) const EXAMPLES: &[Example] = &[
    Example {
        code: Code::BadToken,
        why: "a rule that is read in part is another rule",
        wrong: "routes:\n  - tool: search\n    pre_invocation:\n      - \"args.kind = 'x': deny\"\n",
        right: "routes:\n  - tool: search\n    pre_invocation:\n      - \"args.kind != 'x': deny\"\n",
    },
    Example {
        code: Code::BadString,
        why: "everything after the open quote would be part of the text",
        wrong: "routes:\n  - tool: search\n    pre_invocation:\n      - \"args.kind != 'x: deny\"\n",
        right: "routes:\n  - tool: search\n    pre_invocation:\n      - \"args.kind != 'x': deny\"\n",
    },
    Example {
        code: Code::BadNumber,
        why: "`1.` and `1e3` are read differently by different tools",
        wrong: "routes:\n  - tool: search\n    pre_invocation:\n      - \"require(args.limit <= 1.)\"\n",
        right: "routes:\n  - tool: search\n    pre_invocation:\n      - \"require(args.limit <= 1.0)\"\n",
    },
    Example {
        code: Code::BadPath,
        why: "a path that is cut short reads another attribute",
        wrong: "routes:\n  - tool: search\n    pre_invocation:\n      - \"exists(args.a..b): deny\"\n",
        right: "routes:\n  - tool: search\n    pre_invocation:\n      - \"exists(args.a.b): deny\"\n",
    },
    Example {
        code: Code::PredicateSyntax,
        why: "a rule that does not read cannot be enforced",
        wrong: "routes:\n  - tool: search\n    pre_invocation:\n      - \"exists(args.a) &: deny\"\n",
        right: "routes:\n  - tool: search\n    pre_invocation:\n      - \"exists(args.a) & exists(args.b): deny\"\n",
    },
    Example {
        code: Code::Require,
        why: "`require(p)` holds when p does not; other effects would run in the wrong case",
        wrong: "routes:\n  - tool: search\n    pre_invocation:\n      - when: \"require(exists(args.query))\"\n        do: [\"taint(asked)\"]\n",
        right: "routes:\n  - tool: search\n    pre_invocation:\n      - when: \"exists(args.query)\"\n        do: [\"taint(asked)\"]\n",
    },
    Example {
        code: Code::UnsupportedAction,
        why: "an action that is not understood would be no action",
        wrong: "routes:\n  - tool: search\n    pre_invocation:\n      - \"exists(args.debug): block\"\n",
        right: "routes:\n  - tool: search\n    pre_invocation:\n      - \"exists(args.debug): deny\"\n",
    },
    Example {
        code: Code::MalformedCall,
        why: "what stands behind the parenthesis would be dropped",
        wrong: "routes:\n  - tool: search\n    pre_invocation:\n      - \"taint(asked\"\n",
        right: "routes:\n  - tool: search\n    pre_invocation:\n      - \"taint(asked)\"\n",
    },
    Example {
        code: Code::BadArgument,
        why: "an argument that is dropped changes what the step does",
        wrong: "routes:\n  - tool: search\n    pre_invocation:\n      - \"exists(args.debug): deny('no', 'x', 'y')\"\n",
        right: "routes:\n  - tool: search\n    pre_invocation:\n      - \"exists(args.debug): deny('no', 'x.y')\"\n",
    },
    Example {
        code: Code::YamlOnly,
        why: "the step has parts that text cannot hold",
        wrong: "routes:\n  - tool: search\n    pre_invocation:\n      - \"sequential: size(args.query) < 9\"\n",
        right: "routes:\n  - tool: search\n    pre_invocation:\n      - sequential: [\"taint(asked)\"]\n",
    },
    Example {
        code: Code::StepShape,
        why: "a map that is no step would do nothing",
        wrong: "routes:\n  - tool: search\n    pre_invocation:\n      - exists(args.debug): deny\n",
        right: "routes:\n  - tool: search\n    pre_invocation:\n      - \"exists(args.debug): deny\"\n",
    },
    Example {
        code: Code::FieldInRule,
        why: "as a rule it reads \"result.ssn or redact\", and redacts nothing",
        wrong: "routes:\n  - tool: search\n    post_invocation:\n      - \"result.ssn | redact\"\n",
        right: "routes:\n  - tool: search\n    result:\n      ssn: \"redact\"\n",
    },
    Example {
        code: Code::NotAnEffect,
        why: "a condition inside `do:` would be taken for an unconditional effect",
        wrong: "routes:\n  - tool: search\n    pre_invocation:\n      - when: \"exists(args.debug)\"\n        do: [\"exists(args.trace): deny\"]\n",
        right: "routes:\n  - tool: search\n    pre_invocation:\n      - when: \"exists(args.debug) & exists(args.trace)\"\n        do: [\"deny\"]\n",
    },
    Example {
        code: Code::Parallel,
        why: "two branches that change the same thing have no order",
        wrong: "routes:\n  - tool: search\n    pre_invocation:\n      - parallel: [\"args.query | mask(4)\"]\n",
        right: "routes:\n  - tool: search\n    pre_invocation:\n      - sequential: [\"args.query | mask(4)\"]\n",
    },
    Example {
        code: Code::Keyword,
        why: "a misspelt scope asks for a token with default rights",
        wrong: "plugins:\n  - name: idp\n    kind: delegator/oauth\n    config:\n      token_endpoint: \"https://idp.example/token\"\n      client_id: gateway\n      client_secret_source: {kind: env_var, name: GATEWAY_SECRET}\nroutes:\n  - tool: search\n    pre_invocation:\n      - \"require(exists(args.query))\"\n      - \"delegate(idp, target: api, permission: [read])\"\n      - \"delegate(idp, target: other)\"\n",
        right: "plugins:\n  - name: idp\n    kind: delegator/oauth\n    config:\n      token_endpoint: \"https://idp.example/token\"\n      client_id: gateway\n      client_secret_source: {kind: env_var, name: GATEWAY_SECRET}\nroutes:\n  - tool: search\n    pre_invocation:\n      - \"require(exists(args.query))\"\n      - \"delegate(idp, target: api, permissions: [read])\"\n",
    },
    Example {
        code: Code::Taint,
        why: "a label in a scope that does not exist is set nowhere",
        wrong: "routes:\n  - tool: search\n    pre_invocation:\n      - \"taint(secret, forever)\"\n",
        right: "routes:\n  - tool: search\n    pre_invocation:\n      - \"taint(secret, subject)\"\n",
    },
    Example {
        code: Code::WrongPhase,
        why: "upstream skips it without a word",
        wrong: "routes:\n  - tool: search\n    post_invocation:\n      - when: \"exists(result.debug)\"\n        do: [\"args.query | redact\"]\n",
        right: "routes:\n  - tool: search\n    post_invocation:\n      - when: \"exists(result.debug)\"\n        do: [\"result.query | redact\"]\n",
    },
    Example {
        code: Code::StageSyntax,
        why: "an empty stage is mostly a `||` that meant something else",
        wrong: "routes:\n  - tool: search\n    args:\n      query: 'str || mask(4)'\n",
        right: "routes:\n  - tool: search\n    args:\n      query: 'str | mask(4)'\n",
    },
    Example {
        code: Code::UnknownStage,
        why: "a stage that is skipped checks nothing",
        wrong: "routes:\n  - tool: search\n    args:\n      query: 'strr'\n",
        right: "routes:\n  - tool: search\n    args:\n      query: 'str'\n",
    },
    Example {
        code: Code::StageArgument,
        why: "a stage with a wrong argument checks something else",
        wrong: "routes:\n  - tool: search\n    args:\n      query: 'mask(four)'\n",
        right: "routes:\n  - tool: search\n    args:\n      query: 'mask(4)'\n",
    },
    Example {
        code: Code::FieldPath,
        why: "a field that cannot be named is not found, and not redacted",
        wrong: "routes:\n  - tool: search\n    args:\n      \"a..b\": \"str\"\n",
        right: "routes:\n  - tool: search\n    args:\n      \"a.b\": \"str\"\n",
    },
    Example {
        code: Code::BadRegex,
        why: "a pattern that does not compile would deny everything at run time",
        wrong: "routes:\n  - tool: search\n    args:\n      query: 'regex(\"^[a-z$\")'\n",
        right: "routes:\n  - tool: search\n    args:\n      query: 'regex(\"^[a-z]$\")'\n",
    },
    Example {
        code: Code::RegexTooLarge,
        why: "the proxy holds the whole automaton in memory",
        wrong: "routes:\n  - tool: search\n    args:\n      query: 'regex(\"(?u)^(?:\\\\w{1,200}-){1,50}$\")'\n",
        right: "routes:\n  - tool: search\n    args:\n      query: 'len(..200) | regex(\"^[a-z0-9-]+$\")'\n",
    },
    Example {
        code: Code::CelSyntax,
        why: "an expression that does not parse cannot decide",
        wrong: "routes:\n  - tool: search\n    pre_invocation:\n      - cel: {expr: \"size(args.query) <\"}\n",
        right: "routes:\n  - tool: search\n    pre_invocation:\n      - cel: {expr: \"size(args.query) < 200\"}\n",
    },
    Example {
        code: Code::CelUnsupported,
        why: "the proxy has no interpreter; what is not compiled cannot run",
        wrong: "routes:\n  - tool: search\n    pre_invocation:\n      - cel: {expr: \"args.query.matches(args.pattern)\"}\n",
        right: "routes:\n  - tool: search\n    pre_invocation:\n      - cel: {expr: \"args.query.matches('^[a-z]+$')\"}\n",
    },
    Example {
        code: Code::UnknownAttribute,
        why: "a rule about it never denies",
        wrong: "routes:\n  - tool: search\n    pre_invocation:\n      - \"security.lables contains 'x': deny\"\n",
        right: "routes:\n  - tool: search\n    pre_invocation:\n      - \"security.labels contains 'PII': deny\"\n    args: {query: \"pii.detect\"}\n",
    },
];
