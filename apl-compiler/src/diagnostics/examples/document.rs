//! Examples of what is wrong with a document's sections.

use super::super::Code;
use super::Example;

/// In the order of the codes.
pub(super) const EXAMPLES: &[Example] = &[
    Example {
        code: Code::UnknownKey,
        why: "a misspelt phase that is ignored leaves a route open",
        wrong: "routes:\n  - tool: search\n    pre_invocations: [\"require(exists(args.query))\"]\n",
        right: "routes:\n  - tool: search\n    pre_invocation: [\"require(exists(args.query))\"]\n",
    },
    Example {
        code: Code::WrongType,
        why: "a value of another shape could only be guessed at",
        wrong: "routes:\n  - tool: search\n    pre_invocation: \"require(exists(args.query))\"\n",
        right: "routes:\n  - tool: search\n    pre_invocation: [\"require(exists(args.query))\"]\n",
    },
    Example {
        code: Code::MissingKey,
        why: "without it the part could do nothing",
        wrong: "plugins:\n  - kind: audit/logger\n",
        right: "plugins:\n  - name: log\n    kind: audit/logger\nroutes:\n  - tool: search\n    pre_invocation: [\"run(log)\"]\n",
    },
    Example {
        code: Code::BadValue,
        why: "a word that is not understood must not fall back to a default",
        wrong: "engine_settings: {unmatched: refuse}\nroutes:\n  - tool: search\n",
        right: "engine_settings: {unmatched: deny}\nroutes:\n  - tool: search\n",
    },
    Example {
        code: Code::TwoSpellings,
        why: "nobody can say in which order the two lists would run",
        wrong: "routes:\n  - tool: search\n    authorization:\n      pre_invocation: [\"exists(args.debug): deny\"]\n    pre_invocation: [\"require(exists(args.query))\"]\n",
        right: "routes:\n  - tool: search\n    pre_invocation:\n      - \"exists(args.debug): deny\"\n      - \"require(exists(args.query))\"\n",
    },
    Example {
        code: Code::BesideWrapper,
        why: "CPEX ignores what stands beside the wrapper, without a word",
        wrong: "routes:\n  - tool: search\n    apl: {}\n    pre_invocation: [\"exists(args.debug): deny\"]\n",
        right: "routes:\n  - tool: search\n    pre_invocation: [\"exists(args.debug): deny\"]\n",
    },
    Example {
        code: Code::OldSpelling,
        why: "one spelling for one thing is easier to review; `--strict` refuses the old ones",
        wrong: "routes:\n  - tool: search\n    policy: [\"require(exists(args.query))\"]\n",
        right: "routes:\n  - tool: search\n    pre_invocation: [\"require(exists(args.query))\"]\n",
    },
    Example {
        code: Code::NoMeaning,
        why: "who wrote the key expects that it does something",
        wrong: "plugin_settings: {routing_enabled: true}\nroutes:\n  - tool: search\n",
        right: "routes:\n  - tool: search\n",
    },
    Example {
        code: Code::WrongScope,
        why: "in this section it would govern less, or more, than it seems to",
        wrong: "routes:\n  - tool: search\n    session_store: {kind: embedded}\n",
        right: "global:\n  session_store: {kind: embedded}\nroutes:\n  - tool: search\n",
    },
    Example {
        code: Code::NotInBuild,
        why: "nothing that a policy says is skipped silently",
        wrong: "routes:\n  - tool: search\n    when: \"args.x == 1\"\n",
        right: "routes:\n  - tool: search\n    pre_invocation:\n      - \"args.x != 1: deny\"\n",
    },
    Example {
        code: Code::Selector,
        why: "a route that governs nothing, or two things, is not what was meant",
        wrong: "routes:\n  - tool: search\n    prompt: search\n",
        right: "routes:\n  - tool: search\n  - prompt: search\n",
    },
    Example {
        code: Code::UndefinedGroup,
        why: "the rules that the route counts on do not exist",
        wrong: "groups:\n  finance:\n    pre_invocation: [\"require(exists(args.account))\"]\nroutes:\n  - tool: pay\n    groups: [finances]\n",
        right: "groups:\n  finance:\n    pre_invocation: [\"require(exists(args.account))\"]\nroutes:\n  - tool: pay\n    groups: [finance]\n",
    },
    Example {
        code: Code::Duplicate,
        why: "which of the two would win is not something to rely on",
        wrong: "routes:\n  - tool: \"a*c\"\n  - tool: \"*bc\"\n",
        right: "routes:\n  - tool: \"a*c\"\n  - tool: \"*-bc\"\n",
    },
    Example {
        code: Code::UnknownPlugin,
        why: "at run time the step could only deny",
        wrong: "routes:\n  - tool: search\n    pre_invocation: [\"run(log)\"]\n",
        right: "plugins:\n  - name: log\n    kind: audit/logger\nroutes:\n  - tool: search\n    pre_invocation: [\"run(log)\"]\n",
    },
    Example {
        code: Code::UnknownKind,
        why: "a plugin with code of its own cannot run in the proxy",
        wrong: "plugins:\n  - name: log\n    kind: my/logger\nroutes:\n  - tool: search\n    pre_invocation: [\"run(log)\"]\n",
        right: "plugins:\n  - name: log\n    kind: audit/logger\nroutes:\n  - tool: search\n    pre_invocation: [\"run(log)\"]\n",
    },
    Example {
        code: Code::WrongKind,
        why: "a plugin can only do what its kind does",
        wrong: "plugins:\n  - name: log\n    kind: audit/logger\nroutes:\n  - tool: search\n    pre_invocation: [\"require(exists(args.query))\", \"delegate(log, target: api)\"]\n",
        right: "plugins:\n  - name: log\n    kind: audit/logger\nroutes:\n  - tool: search\n    pre_invocation: [\"require(exists(args.query))\", \"run(log)\"]\n",
    },
    Example {
        code: Code::AttributeFile,
        why: "a rule about `data` is only as good as the file that it reads",
        wrong: "global:\n  attribute_files: [not-there.yaml]\nroutes:\n  - tool: search\n",
        right: "routes:\n  - tool: search\n",
    },
    Example {
        code: Code::Team,
        why: "a team may tighten what is its own, and nothing else",
        wrong: "teams:\n  hr: {tool: [\"hr-*\"]}\n  payroll: {tool: [\"hr-pay*\"]}\nroutes:\n  - tool: search\n",
        right: "teams:\n  hr: {tool: [\"hr-*\"]}\n  payroll: {tool: [\"pay-*\"]}\nroutes:\n  - tool: search\n",
    },
    Example {
        code: Code::Assertion,
        why: "what the backend believes must not be what the caller wrote",
        wrong: "global:\n  assertions:\n    request:\n      headers: [{name: x-user, from: args.user}]\nroutes:\n  - tool: search\n",
        right: "global:\n  assertions:\n    request:\n      headers: [{name: x-user, from: subject.id}]\nroutes:\n  - tool: search\n",
    },
    Example {
        code: Code::Shadow,
        why: "who writes `until` counts on something ending then",
        wrong: "routes:\n  - tool: search\n    until: 2030-01-31T12:00:00Z\n    pre_invocation: [\"require(exists(args.query))\"]\n",
        right: "routes:\n  - tool: search\n    enforcement: shadow\n    until: 2030-01-31T12:00:00Z\n    pre_invocation: [\"require(exists(args.query))\"]\n",
    },
    Example {
        code: Code::Binding,
        why: "a setting that nobody gives, or that two files give, must not be guessed",
        wrong: "plugins:\n  - name: scan\n    kind: validator/pii-scan\n    bind: scanner\nroutes:\n  - tool: search\n    pre_invocation: [\"run(scan)\"]\n",
        right: "plugins:\n  - name: scan\n    kind: validator/pii-scan\nroutes:\n  - tool: search\n    pre_invocation: [\"run(scan)\"]\n",
    },
];
