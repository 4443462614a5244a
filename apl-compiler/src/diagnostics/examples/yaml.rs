//! Examples of what is wrong with a file.

use super::super::Code;
use super::Example;

const PLAIN: &str = "routes:\n  - tool: search\n    pre_invocation: [\"require(exists(args.query))\"]\n";

/// In the order of the codes.
pub(super) const EXAMPLES: &[Example] = &[
    Example {
        code: Code::BadCharacter,
        why: "what a reviewer sees and what the parser reads must be the same file",
        wrong: "routes:\n  - tool: search # see the ticket\r    owner: nobody\n",
        right: "routes:\n  - tool: search # see the ticket\n    owner: nobody\n",
    },
    Example {
        code: Code::YamlSyntax,
        why: "a file that is not YAML has no meaning that two readers agree on",
        wrong: "routes:\n  - tool: search\n    pre_invocation: [\"exists(args.query): deny\"\n",
        right: "routes:\n  - tool: search\n    pre_invocation: [\"exists(args.query): deny\"]\n",
    },
    Example {
        code: Code::DuplicateKey,
        why: "one of the two would silently not exist",
        wrong: "routes:\n  - tool: search\n    args: {query: \"str\"}\n    args: {limit: \"1..50\"}\n",
        right: "routes:\n  - tool: search\n    args: {query: \"str\", limit: \"1..50\"}\n",
    },
    Example {
        code: Code::FileTooLarge,
        why: "the compiler's time and memory stay bounded, whoever wrote the file",
        wrong: "...",
        right: PLAIN,
    },
    Example {
        code: Code::TooDeep,
        why: "readers recurse, and deep nesting is how they are made to overflow",
        wrong: "routes: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n",
        right: PLAIN,
    },
    Example {
        code: Code::Alias,
        why: "an alias that holds itself has no end, and nine levels of ten aliases are a billion nodes",
        wrong: "routes: &all\n  - tool: search\n    owner: *all\n",
        right: "routes:\n  - tool: search\n    owner: &team search-team\n  - tool: index\n    owner: *team\n",
    },
    Example {
        code: Code::Tag,
        why: "`!x: deny` without quotes is a YAML tag and would be no rule",
        wrong: "routes:\n  - tool: search\n    owner: !team search\n",
        right: "routes:\n  - tool: search\n    owner: search\n",
    },
    Example {
        code: Code::Documents,
        why: "most readers take the first document and drop the rest",
        wrong: "routes:\n  - tool: search\n---\nroutes:\n  - tool: index\n",
        right: "routes:\n  - tool: search\n  - tool: index\n",
    },
    Example {
        code: Code::MergeKey,
        why: "a reader that knows merge keys and one that does not see two policies",
        wrong: "routes:\n  - tool: search\n    args: &common {query: \"str\"}\n  - tool: index\n    args:\n      <<: *common\n",
        right: "groups:\n  queries:\n    args: {query: \"str\"}\nroutes:\n  - tool: search\n    groups: [queries]\n  - tool: index\n    groups: [queries]\n",
    },
];
