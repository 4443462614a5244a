//! Every deliberate difference that a policy's text can show, and how to find it.
//!
//! Rows follow "Semantics where upstream is loose" of the language page; the later ones come from how the other
//! implementations behave around the language.

use apl_bytecode::{CmpOp, Phase, Scopes, Stage};

use super::places::{Places, interpolates, orders, payload};
use crate::document::{PluginKind, RouteDecl};
use crate::glob;
use crate::options::Dialect::{self, Cpex02, Praxis05};
use crate::source::Span;
use crate::syntax::{EffectKind, StageKind, Test};

/// A difference.
pub(super) struct Difference {
    /// Whose policies.
    pub of: &'static [Dialect],
    /// What happened there.
    pub there: &'static str,
    /// What happens here.
    pub here: &'static str,
    /// Where in a policy it shows.
    pub find: fn(&Places<'_>) -> Vec<Span>,
}

const CPEX: &[Dialect] = &[Cpex02];
const PRAXIS: &[Dialect] = &[Praxis05];
const BOTH: &[Dialect] = &[Cpex02, Praxis05];

/// All of them.
pub(super) const TABLE: &[Difference] = &[
    Difference {
        of: BOTH,
        there: "an operation that no route matches is allowed",
        here: "it is denied after the global rules, unless `engine_settings: {unmatched: allow}`",
        find: |places| {
            let set = places
                .root
                .get("engine_settings")
                .is_some_and(|settings| settings.node.get("unmatched").is_some());
            let at = places.root.get("routes").map(|entry| entry.key_span);
            if set { Vec::new() } else { at.into_iter().collect() }
        },
    },
    Difference {
        of: CPEX,
        there: "`!=` does not hold when the attribute is absent",
        here: "it holds, so `x != 'a': deny` denies when x is absent",
        find: |places| {
            places.tests(|test, _| match test {
                Test::Compare(CmpOp::Ne, path, _) => Some(path),
                _ => None,
            })
        },
    },
    Difference {
        of: CPEX,
        there: "an order comparison with text, a list or null just does not hold",
        here: "the phase denies, and `!` does not invert that",
        find: |places| {
            places.tests(|test, _| match test {
                Test::Compare(op, path, _) if orders(*op) && (payload(path) || path.root() == "claim") => {
                    Some(path)
                }
                _ => None,
            })
        },
    },
    Difference {
        of: CPEX,
        there: "an object, null, or an array of anything but texts counts as absent",
        here: "`exists` holds for it, and an array of scalars, even an empty one, is a set of texts",
        find: |places| {
            places.tests(|test, _| match test {
                Test::Exists(path) | Test::Contains(path, _) | Test::In(_, path) if payload(path) => {
                    Some(path)
                }
                _ => None,
            })
        },
    },
    Difference {
        of: CPEX,
        there: "a list or a text result passes the pipelines untouched",
        here: "a field is looked for in every element, and the field is edited there",
        find: |places| places.fields(|field| field.side == apl_bytecode::Side::Result),
    },
    Difference {
        of: BOTH,
        there: "JSON inside a text block is not looked into",
        here: "it is parsed and edited like `structuredContent`; a result that cannot be parsed denies, unless the route says `unparseable_result: pass`",
        find: |places| places.fields(|field| field.side == apl_bytecode::Side::Result),
    },
    Difference {
        of: CPEX,
        there: "`redact` matches the key exactly",
        here: "`SSN` and `Ssn` are redacted with `ssn`",
        find: |places| {
            places.stages(|_, stage| {
                matches!(stage, StageKind::RedactIf(_) | StageKind::Plain(Stage::Redact(_)))
            })
        },
    },
    Difference {
        of: BOTH,
        there: "classes such as `\\w` and `\\d` are Unicode",
        here: "they are ASCII unless the pattern says `(?u)`",
        find: |places| {
            places.stages(|_, stage| match stage {
                StageKind::Regex(pattern) => {
                    !pattern.contains("(?u)")
                        && ["\\w", "\\d", "\\s", "\\b", "\\W", "\\D", "\\S", "\\B"]
                            .iter()
                            .any(|class| pattern.contains(class))
                }
                _ => false,
            })
        },
    },
    Difference {
        of: BOTH,
        there: "the stage looks for an `@`, a scheme or dashes",
        here: "it is a real check: WHATWG e-mail, absolute http(s) URL, RFC 9562 UUID",
        find: |places| {
            places
                .stages(|_, stage| matches!(stage, StageKind::Plain(Stage::Email | Stage::Url | Stage::Uuid)))
        },
    },
    Difference {
        of: BOTH,
        there: "`mask(N)` shows a value of up to N characters whole",
        here: "at least half of every value is hidden",
        find: |places| places.stages(|_, stage| matches!(stage, StageKind::Plain(Stage::Mask(_)))),
    },
    Difference {
        of: BOTH,
        there: "`hash` is a 64-bit digest without a key, as 16 hex digits",
        here: "it is HMAC-SHA-256 under the deployment's key, as 32 hex digits, so values differ from those stored before",
        find: |places| places.stages(|_, stage| matches!(stage, StageKind::Plain(Stage::Hash))),
    },
    Difference {
        of: BOTH,
        there: "this stage scans nothing: it sets a label, and `pii.redact` replaces the whole value",
        here: "detectors with check digits run over nested values and JSON in text; only what is found is replaced or labelled",
        find: |places| places.stages(|_, stage| matches!(stage, StageKind::BuiltIn(..))),
    },
    Difference {
        of: BOTH,
        there: "a label of scope `message` has no effect",
        here: "it holds for the rest of this exchange",
        find: |places| places.taints(|call, _| call.scopes.has(Scopes::MESSAGE)),
    },
    Difference {
        of: CPEX,
        there: "the quotes become part of the label, so `contains` never finds it",
        here: "they are removed, and rules that read the label begin to work",
        find: |places| {
            places.taints(|_, span| {
                let text = places.written(span);
                let arguments = text
                    .split_once("taint(")
                    .map_or("", |(_, rest)| rest.trim_start());
                arguments.starts_with(['"', '\'', '\\'])
            })
        },
    },
    Difference {
        of: BOTH,
        there: "a label set in a phase shows only in the next one",
        here: "this rule sees the label that a step before it sets",
        find: |places| places.labels_of_the_same_phase(),
    },
    Difference {
        of: CPEX,
        there: "`args` is absent after the call",
        here: "it holds the request's arguments, so this rule begins to work",
        find: |places| places.paths(|path, phase| phase == Phase::Post && path.root() == "args"),
    },
    Difference {
        of: BOTH,
        there: "`delegate` without `audience` fails when it runs",
        here: "the target is the audience",
        find: |places| places.delegations(|call| call.audience.is_none()),
    },
    Difference {
        of: CPEX,
        there: "a delegation that fails or grants nothing leaves what the one before was granted",
        here: "`delegation.granted` is cleared before each",
        find: |places| places.second_delegations(),
    },
    Difference {
        of: BOTH,
        there: "an error in the expression (a missing key, a wrong type) ends the phase without the reactions",
        here: "it is a denial of this step: `on_deny` runs, and its code wins",
        find: |places| places.decisions(|pdp| pdp.dialect == "cel"),
    },
    Difference {
        of: CPEX,
        there: "a route with a pattern governs nothing",
        here: "it governs every name that matches",
        find: |places| {
            routes(places, |route| {
                !route.selector.listed && glob::is_glob(&route.selector.name)
            })
        },
    },
    Difference {
        of: CPEX,
        there: "a group joined by `groups:` brings credentials only",
        here: "it brings its rules and fields too",
        find: |places| {
            let joined = places.document.routes.iter().flat_map(|route| &route.groups);
            let by_key = joined.filter(|(name, _, must)| {
                *must && places.document.groups.iter().any(|(known, _, _)| known == name)
            });
            by_key.map(|(_, span, _)| *span).collect()
        },
    },
    Difference {
        of: CPEX,
        there: "rules about the client or a workload see nothing unless a plugin declares the capability",
        here: "they always see what was verified",
        find: |places| {
            places.paths(|path, _| matches!(path.root(), "client" | "caller_workload" | "this_workload"))
        },
    },
    Difference {
        of: BOTH,
        there: "policy can read headers that carry credentials",
        here: "`authorization`, `proxy-authorization`, `cookie` and `x-api-key` are never there",
        find: |places| {
            places.paths(|path, _| {
                [
                    "authorization",
                    "proxy-authorization",
                    "cookie",
                    "set-cookie",
                    "x-api-key",
                ]
                .iter()
                .any(|name| {
                    path.reads(&["http", "request_headers", name])
                        || path.reads(&["http", "response_headers", name])
                })
            })
        },
    },
    Difference {
        of: CPEX,
        there: "the subscript's value is spliced in as text, so that a dot in it reaches elsewhere",
        here: "the value is one key, whatever it holds",
        find: |places| places.paths(|path, _| interpolates(path)),
    },
    Difference {
        of: BOTH,
        there: "the branches run at the same time",
        here: "they run in written order, and the first denial in that order is reported",
        find: |places| places.effects(|effect| matches!(effect, EffectKind::Parallel(_))),
    },
    Difference {
        of: CPEX,
        there: "an approval holds for any request that names its id, as often as it likes",
        here: "it is bound to requester, route, arguments and policy, and is used once",
        find: |places| places.effects(|effect| matches!(effect, EffectKind::Elicit(..))),
    },
    Difference {
        of: BOTH,
        there: "the step writes the audit record",
        here: "every verdict is recorded without it; the step adds a record at its place",
        find: |places| places.plugins(|kind| matches!(kind, PluginKind::Audit { .. })),
    },
    Difference {
        of: CPEX,
        there: "a listed plugin runs at its hooks in the order of all activated ones, each once, and a validator sees top-level texts of arguments only",
        here: "it runs before the steps of the section that lists it, also on results unless its `hooks` say when, and looks into everything",
        find: |places| places.listed(),
    },
    Difference {
        of: CPEX,
        there: "a denial without a code has one with `.apl.` in it, as `routes.tool:x.apl.pre_invocation[0]`",
        here: "it is `routes.tool:x.pre_invocation[0]`, and the message is `access denied` where there is no reason",
        find: |places| places.effects(|effect| matches!(effect, EffectKind::Deny(_, None))),
    },
    Difference {
        of: PRAXIS,
        there: "`args` and `result` of an `http` route are refused",
        here: "they are pipelines over `args.path.*`, `args.query.*` and the JSON body `args.body`, and over a JSON response",
        find: |places| {
            let http = |route: &RouteDecl| route.selector.http.is_some();
            let fields = |route: &RouteDecl| {
                route
                    .section
                    .args
                    .iter()
                    .chain(&route.section.result)
                    .map(|field| field.span)
                    .next()
            };
            let found = places.document.routes.iter().filter(|route| http(route));
            found.filter_map(fields).collect()
        },
    },
    Difference {
        of: PRAXIS,
        there: "a path is compared as it was sent, `%2F` and the like undecoded",
        here: "it is compared decoded, by whole segments, and one that can be read in more than one way is refused (`protocol.ambiguous_path`)",
        find: |places| routes(places, |route| route.selector.http.is_some()),
    },
];

fn routes(places: &Places<'_>, test: impl Fn(&RouteDecl) -> bool) -> Vec<Span> {
    places
        .document
        .routes
        .iter()
        .filter(|route| test(route))
        .map(|route| route.span)
        .collect()
}
