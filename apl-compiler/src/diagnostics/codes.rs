//! The one table of diagnostics: code, title, page. `aplc explain`, the book and the tests draw from it.

/// A page of the book about one code.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// `APL0001`.
    pub id: &'static str,
    /// One line.
    pub title: &'static str,
    /// What it means, why it is checked, and what to do.
    pub text: &'static str,
}

macro_rules! codes {
    ($($name:ident $id:literal $title:literal $text:literal)*) => {
        /// A stable diagnostic code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "each variant has its page in the table")]
        pub enum Code { $($name),* }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// `APL0001`.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id),* }
            }
        }

        /// Every page, in the order of the codes.
        pub const PAGES: &[Page] = &[$(Page { id: $id, title: $title, text: $text }),*];
    };
}

codes! {
    BadCharacter "APL0001" "the file holds a character that cannot be there"
        "A control character, a carriage return alone, or a character that changes the order of what is shown stands in the file. Editors hide them and parsers disagree about them, so the file is refused. A byte order mark at the very beginning is accepted, and so are CRLF line ends."
    YamlSyntax "APL0002" "the file is not valid YAML"
        "The YAML reader stopped here. Later problems cannot be seen until this one is mended. The usual causes are wrong indentation, a missing quote, or a text that holds `: ` or ` #` or begins with `[`, `{`, `!`, `*` or `&` and is not quoted."
    DuplicateKey "APL0003" "a key stands twice"
        "YAML readers differ in which of two equal keys wins. In a policy that decides whether a rule exists, so it is an error."
    FileTooLarge "APL0004" "the file is too large"
        "A policy file has at most 10 MiB."
    TooDeep "APL0005" "maps and lists are nested too deep"
        "At most 64 levels. No policy needs more; files that have more are mistakes or attacks."
    Alias "APL0006" "an alias cannot be expanded"
        "Anchors and aliases are expanded where they are used, up to 100,000 nodes in all. An alias inside its own anchor, or a set of aliases that multiplies beyond that, is refused."
    Tag "APL0007" "a YAML tag that means nothing here"
        "Tags (`!word`) select types in YAML. Policies have none, except `!!str`. A rule that begins with `!` must be quoted."
    Documents "APL0008" "not exactly one document"
        "A policy file holds one YAML document that is not empty."
    MergeKey "APL0009" "a merge key"
        "`<<` merges one map into another in YAML 1.1, and YAML 1.2 dropped it: readers differ in what the policy says, and what is merged in is easily overlooked. Aliases (`*name`) are expanded; what several routes share belongs into a group."
    UnknownKey "APL0101" "an unknown key"
        "Every section has a closed list of keys. A misspelt `pre_invocation` that is ignored leaves a route open, so unknown keys are errors."
    WrongType "APL0102" "a value has the wrong shape"
        "A list was expected and a map was found, or the like. The message says which."
    MissingKey "APL0103" "a required key is missing"
        "The section cannot work without this key."
    BadValue "APL0104" "a value that is not one of those allowed"
        "The key takes one of a few words, or a number within bounds. The message lists them."
    TwoSpellings "APL0105" "one phase in two spellings"
        "`policy`, `pre_invocation` and `authorization.pre_invocation` are three spellings of one list. A section may use one of them for each phase, because nobody can say in which order two would run."
    BesideWrapper "APL0106" "policy beside an `apl:` wrapper"
        "CPEX ignores policy keys that stand beside an `apl:` wrapper without a word. Here it is an error: move everything inside the wrapper, or better, remove the wrapper."
    OldSpelling "APL0107" "an old spelling"
        "It is accepted and means the same as the replacement that the note names. `aplc migrate` rewrites it."
    NoMeaning "APL0108" "accepted, but without meaning here"
        "The key is known from another implementation and is accepted so that the file loads unchanged. What it configures there does not exist here; the note says what happens instead."
    WrongScope "APL0109" "the key does not belong in this section"
        "The key is known, but only in another section, which the message names."
    NotInBuild "APL0110" "not in this build"
        "The construct is part of the language, but this build cannot enforce it yet. What is only a step becomes a step that denies (a note says so); anything else does not compile. Nothing is ever skipped silently."
    Selector "APL0111" "a route needs exactly one selector"
        "A route governs one kind of thing: exactly one of `tool`, `prompt`, `resource`, `llm`, with a name, a pattern, or a list of names."
    UndefinedGroup "APL0112" "a group that is not defined"
        "The route joins a group that no `groups:` entry defines, so the rules it counts on do not exist."
    Duplicate "APL0113" "two declarations for one thing"
        "Two plugins with one name, or two routes that match the same operation equally well (the same name and scope, or patterns of the same length that overlap). Which one would win is not something to rely on."
    UnknownPlugin "APL0114" "a plugin that is not declared"
        "A step or an `authentication` list names a plugin that `plugins:` does not declare. At run time it could only deny."
    UnknownKind "APL0115" "a plugin kind that this build does not have"
        "A policy that runs in a proxy can use the kinds that are built in: `identity/jwt`, `identity/mesh-jwt`, `identity/spiffe`, `identity/api-key`, `delegator/oauth`, `validator/pii-scan`, `audit/logger` and (their steps deny for now) `elicitation/ciba`. Plugins with code of their own cannot run there."
    WrongKind "APL0116" "a plugin used for what it is not"
        "`delegate` needs a delegator, `run` a validator or an audit logger, an `authentication` list an identity plugin."
    AttributeFile "APL0120" "a static attribute file that cannot be used"
        "Files under `global: {attribute_files: [...]}` hold one map, `data`, and nothing beside it. Paths are relative to the policy file. Maps of several files are merged; a value that two of them give must be the same in both, so that their order never matters."
    Team "APL0121" "a team's file says what only the platform may"
        "In a policy of several files, `platform.yaml` holds everything that is for all, and declares for each team what it may govern. A file `teams/NAME.yaml` holds `routes` and `groups` of its own: rules that tighten. `unmatched`, `unparseable_result`, `on_error`, `enforcement`, credentials and everything under `global`, `plugins` and `engine_settings` belong to the platform."
    Assertion "APL0122" "a header that cannot be asserted"
        "`assertions` set headers that only the proxy can vouch for: `from: subject.id`, `claim.<name>`, `client.*`, `members: {key: source}`, and in requests `secret.<name>`. A header that is asserted is always removed from what the client sent. Headers that frame a message, and in responses those that caches and browsers act on, can neither be set nor stripped. Several values need `encode: json` or `encode: csv`."
    Shadow "APL0123" "a shadow that does not hold together"
        "`enforcement: shadow` lets everything pass and records what the policy would have said; `until:`, a date with a time as RFC 3339 writes it, ends that. `until` stands beside `enforcement: shadow` and nowhere else. One that has passed is a warning: the policy is enforced at once."
    BadToken "APL0201" "a character that predicates do not have"
        "Predicates are made of attribute paths, quoted text, numbers, `true`, `false`, comparison operators, `&`, `|`, `!`, parentheses, and the words `contains`, `in`, `not in`, `exists` and `require`."
    BadString "APL0202" "quoted text that does not end, or a bad escape"
        "Text stands in single or double quotes; the other quote is content. The only escapes are `\\\\`, `\\'` and `\\\"`. Inside a double-quoted YAML string, write backslashes twice."
    BadNumber "APL0203" "a bad number"
        "An optional `-`, digits, then optionally `.` and more digits. No exponent, no leading or trailing dot, and whole numbers fit in 64 bits."
    BadPath "APL0204" "a bad attribute path"
        "A path is names joined by dots, `args.user.name`; a name is a letter or underscore followed by letters, digits and underscores. Any other key is put in a quoted subscript, `perm[\"repo:read\"]`; a subscript without quotes holds another path, whose value is the key."
    PredicateSyntax "APL0205" "a predicate that does not read"
        "An operand is missing, a parenthesis is not closed, or something is left over. Comparisons do not chain, and stand as `path operator literal`."
    Require "APL0207" "`require` used for something else"
        "`require(p)` denies unless p holds. A rule that is nothing but `require(...)` may only deny."
    UnsupportedAction "APL0220" "what stands after the colon is no action"
        "A rule string is `predicate: deny`, `predicate: deny('reason', 'code')` or `predicate: allow`. Other effects are written with `when:` and `do:`."
    MalformedCall "APL0221" "a call that is not closed, or followed by text"
        "The closing parenthesis of a step such as `run(...)` must be its end."
    BadArgument "APL0222" "a bad argument"
        "The message says which argument and what it takes."
    YamlOnly "APL0223" "this step is written as YAML"
        "Decision points, `sequential` and `parallel` are maps, not strings: `- cel: {expr: \"...\"}`."
    StepShape "APL0224" "a step that is none of the known forms"
        "A step is a string, or a map with `when` and `do`, or a map with one key: `delegate`, `restrict`, `sequential`, `parallel`, a decision point (`cel`, `cedar`, `opa`, `authzen`, `nemo`, `pdp(name)`), or a predicate with a list of effects."
    FieldInRule "APL0225" "a field operation where a rule belongs"
        "`result.ssn | redact` in a phase list would be read as the predicate \"result.ssn or redact\" and do nothing. Put it under `args:` or `result:`, or in the `do:` of a `when:`."
    NotAnEffect "APL0226" "a rule or decision where an effect belongs"
        "Inside `do:`, `sequential:` and `parallel:` stand effects. Conditions and decision points stand in the phase list."
    Parallel "APL0227" "an effect that changes something, in parallel"
        "`parallel:` may not hold field operations, delegations or approvals, at any depth. Use `sequential:`."
    Keyword "APL0228" "a bad `key: value` argument"
        "After the name, arguments are `key: value`, from a closed list of keys."
    Taint "APL0229" "a bad label or scope"
        "`taint(label)`, `taint(label, scope)` or `taint(label, [scope, ...])`; scopes are `session` (the default), `message` and `subject`."
    WrongPhase "APL0230" "a field operation in the wrong phase"
        "Arguments can be changed before the call, results after it. Upstream skips the operation silently."
    StageSyntax "APL0240" "a pipeline that does not read"
        "A pipeline is stages joined by `|`. Every stage is a word, a word with arguments in parentheses, or a range such as `1..10`."
    UnknownStage "APL0241" "an unknown stage"
        "The message lists what comes near."
    StageArgument "APL0242" "a bad argument of a stage"
        "The message says what the stage takes."
    FieldPath "APL0243" "a bad field path"
        "A field is object keys joined by dots. Arrays on the way are gone through; `**` stands for any depth and needs a `redact` in the pipeline."
    BadRegex "APL0244" "a regular expression that does not compile"
        "Patterns are those of Rust's `regex` crate. Classes such as `\\w` are ASCII unless the pattern says `(?u)`."
    RegexTooLarge "APL0245" "a regular expression that is too large"
        "Patterns are compiled on this machine to automata that the proxy only runs. Counted repetitions of large classes make them huge; this one is over the limit of 1 MiB."
    CelSyntax "APL0250" "a CEL expression that does not parse"
        "The expression is not valid CEL."
    CelUnsupported "APL0251" "a part of CEL that is not in this build"
        "Expressions are compiled to the program. Supported are literals, attributes and whole namespaces, indexing, selection, `has`, arithmetic, comparison, logic, `in`, `? :`, lists, maps, `size`, `matches` with a literal pattern, conversions, `type`, the string functions (`startsWith`, `endsWith`, `contains`, `split`, `join`, `replace`, `substring`, `indexOf`, `lowerAscii`, `trim` and their kin), `timestamp`, `duration` and their parts in UTC, and the macros `all`, `exists`, `exists_one`, `filter` and `map`."
    UnknownAttribute "APL0260" "an attribute that nothing provides"
        "No part of the proxy ever sets this attribute, so a test of it never holds, and a rule that denies on it never denies."
    LooksLikeRequire "APL0301" "a bare predicate denies when it holds"
        "`- \"role.hr\"` denies everybody who *has* the role: it is short for `role.hr: deny`. To let only them through, write `require(role.hr)`. To say that denying is meant, write `role.hr: deny`."
    NoAnchor "APL0302" "a regular expression without anchors"
        "`regex(...)` looks for a match anywhere in the value. A validator that is to accept the whole value needs `^` and `$`."
    NeverMatches "APL0303" "a comparison that can never hold"
        "The types cannot match (an order comparison with text that is no number, `==` between a set and text, a bare attribute that is no boolean), or two parts of it exclude each other."
    NeverPresent "APL0304" "an attribute that this phase never has"
        "`result.*` exists only after the call."
    LiteralSecret "APL0305" "a secret in the policy"
        "The secret was written into the policy file. `aplc build` moves it to `secrets.env` (mode 0600); name an environment variable or a file instead."
    UnusedPlugin "APL0306" "a plugin that nothing uses"
        "No step and no `authentication` list names it, so it does nothing: plugins run where a step names them, not by hook."
    NoIdentity "APL0307" "rules about callers, but no credentials"
        "No credential is verified on this route, so `subject`, `role`, `perm`, `team` and `claim` are always absent."
    MayBeAbsent "APL0308" "a deny rule that an absent attribute switches off"
        "The rule denies when a comparison holds, and no comparison but `!=` holds on an attribute that is absent. Who leaves the attribute out is not denied, and the caller chooses what the arguments hold. `aplc check --strict` refuses such a rule."
    NeverFalse "APL0309" "a comparison that always holds"
        "The rule acts on every operation, whatever the attribute is."
    Unreachable "APL0310" "a step that is never reached"
        "A denial before it ends the phase in every case in which the step could run."
    UnwrittenLabel "APL0311" "a label that nothing sets"
        "The rule reads a label that no `taint` of this policy sets, so it never sees it; mostly a misspelling. Another policy over the same label store may set it: then ignore this."
    DelegateBeforeGate "APL0312" "a delegation before any gate"
        "The token is minted for whoever calls: no rule, decision point or validator before the step can deny."
    CallerIndex "APL0313" "a key that the caller chooses"
        "A subscript such as `data.limits[args.name]` lets the caller pick the entry that the rule reads, for instance one with a higher limit."
    SheddableLabel "APL0314" "a label that a new session sheds"
        "A label of scope `session` ends with the session, and an agent that may open sessions can simply open another. A rule that denies on the label then no longer sees it. Scope `subject` follows the user."
    CancelsRedaction "APL0315" "a pipeline that shows what an outer one hides"
        "A narrower layer's pipeline for a field replaces the whole pipeline that an outer layer has for it. This one drops a `redact`, `mask`, `omit`, `hash` or scanner of the outer one, so the field is shown where the outer layer meant it to be hidden."
    InShadow "APL0316" "what a route in shadow does without"
        "In shadow nothing of a call is touched: no header is asserted or removed, no token minted, no label written, no human asked and nothing counted. The note says which of that the route would do when it is enforced, and where its verdict is unknown because of it."
    UnknownTool "APL0320" "a tool that does not exist"
        "Given `--tools`: the route's name or pattern matches no tool of the list, so the tool that was meant is not governed by it."
    UnknownArgument "APL0321" "an argument that the tool does not have"
        "Given `--tools`: by the tool's input schema there is no such argument, so the rule never sees one and the pipeline is skipped."
    UnknownResultField "APL0322" "a result field that the tool does not have"
        "Given `--tools`: by the tool's output schema there is no such field, so a redaction of it hides nothing."
    SchemaType "APL0323" "a type that the schema rules out"
        "Given `--tools`: the comparison or the stage needs another type than the schema declares, so it never holds, or denies every call."
    ToolWithoutRoute "APL0324" "a tool without a route"
        "Given `--tools`: no route governs the tool, so `engine_settings.unmatched` decides about its calls."
    Differs "APL0330" "this behaves differently from where the policy comes from"
        "Given `--from`: the policy loads unchanged, and this part of it means something stricter or something that works here and did not there. The note says what happened there, and what happens here."
    Limit "APL0401" "too much for one program"
        "A table of the program is over its limit. The message says which."
}
