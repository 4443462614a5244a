//! What a build says about its program: what it needs, how large it is.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use apl_bytecode::{Enforcement, Needs, Program, Seg, Stage, encode};
use apl_compiler::diagnostics::Code;
use apl_compiler::outline::route_name;
use apl_compiler::{Compilation, Delegator, Output, Severity};
use serde_json::{Value, json};

use super::command::{Build, Mode};

/// Facts about a build.
pub(crate) struct Summary {
    digest: String,
    total: usize,
    without_debug: usize,
    without_debug_and_patterns: usize,
    sections: Vec<(&'static str, usize)>,
    headers: Vec<String>,
    features: Vec<&'static str>,
    routes: Vec<RouteLine>,
    issuers: Vec<String>,
    delegators: Vec<String>,
    /// Who reads which environment variable.
    environment: Vec<(&'static str, String)>,
    /// `hash` is used, and nothing names its key.
    lacks_hash_key: bool,
    secrets: usize,
}

struct RouteLine {
    name: String,
    reads: Vec<&'static str>,
}

/// Collects them.
pub(crate) fn of(
    output: &Output,
    model: &Program,
    bytes: &[u8],
    secrets: usize,
    environment: Vec<(&'static str, String)>,
) -> Summary {
    let program = model;
    let verified = &output.program;
    let stripped = Program {
        debug: None,
        ..program.clone()
    };
    let without_debug = encode(&stripped).len();
    let patterns: usize = program.regexes.iter().map(|regex| regex.dfa.len()).sum();
    let needs: Vec<Needs> = (0..program.routes.len())
        .map(|index| verified.needs(index))
        .collect();
    let fallbacks = program
        .fallbacks
        .iter()
        .map(|fallback| verified.needs_of(fallback.pre, fallback.post));
    let all: Vec<Needs> = needs.iter().copied().chain(fallbacks).collect();
    let any = |test: fn(&apl_bytecode::PhaseNeeds) -> bool| {
        all.iter().any(|needs| test(&needs.pre) || test(&needs.post))
    };
    let mut features = Vec::new();
    for (name, used) in [
        ("keys of issuers", !output.deployment.issuers.is_empty()),
        ("token exchange", any(|needs| needs.delegates)),
        ("reading labels", any(|needs| needs.loads_labels)),
        ("storing labels", any(|needs| needs.taints)),
        ("audit", true),
    ] {
        if used {
            features.push(name);
        }
    }
    let text = |id: apl_bytecode::StrId| program.strings.get(id.at()).cloned().unwrap_or_default();
    let mut headers: BTreeSet<String> = program
        .identities
        .iter()
        .filter_map(|identity| identity.header().map(text))
        .collect();
    headers.extend(headers_read(program));
    headers.extend(
        output
            .deployment
            .delegators
            .values()
            .map(|delegator| delegator.outbound_header().to_owned()),
    );
    let routes = program
        .routes
        .iter()
        .zip(&needs)
        .map(|(route, needs)| {
            let mut reads = reads(needs);
            if route.enforcement != Enforcement::Enforce {
                reads.push("in shadow");
            }
            RouteLine {
                name: route_name(program, route),
                reads,
            }
        })
        .collect();
    Summary {
        digest: verified.digest_hex(),
        total: bytes.len(),
        without_debug,
        without_debug_and_patterns: without_debug.saturating_sub(patterns),
        sections: sections(program),
        headers: headers.into_iter().collect(),
        features,
        routes,
        issuers: output
            .deployment
            .issuers
            .iter()
            .map(|keys| keys.jwks_url.clone())
            .collect(),
        delegators: output
            .deployment
            .delegators
            .iter()
            .map(|(name, delegator)| match delegator {
                Delegator::Oauth(oauth) => format!("{name} at {}", oauth.token_endpoint),
                Delegator::Biscuit(biscuit) => {
                    format!("{name}, a narrowed Biscuit in {}", biscuit.outbound_header)
                }
                Delegator::Secret { outbound_header, .. } => format!("{name}, a secret in {outbound_header}"),
            })
            .collect(),
        lacks_hash_key: hashes(program) && !environment.iter().any(|(what, _)| what.contains("hash")),
        environment,
        secrets,
    }
}

fn reads(needs: &Needs) -> Vec<&'static str> {
    let mut reads = Vec::new();
    for (word, used) in [
        (
            "reads arguments",
            needs.pre.reads_args || needs.pre.scans || needs.pre.pipelines,
        ),
        ("edits arguments", needs.pre.edits_args),
        ("reads the response", needs.post.response_body()),
        ("edits the response", needs.post.edits_result),
        ("mints a token", needs.pre.delegates),
        ("reads labels", needs.pre.loads_labels || needs.post.loads_labels),
        ("sets labels", needs.pre.taints || needs.post.taints),
        ("records steps", needs.pre.audits || needs.post.audits),
    ] {
        if used {
            reads.push(word);
        }
    }
    reads
}

fn hashes(program: &Program) -> bool {
    let stages = program.pipelines.iter().flat_map(|pipeline| &pipeline.stages);
    stages.into_iter().any(|stage| matches!(stage, Stage::Hash))
}

/// Request and response headers that conditions read, and how: `x-tenant`, `response: x-cost`.
fn headers_read(program: &Program) -> BTreeSet<String> {
    let name = |seg: Option<&Seg>| match seg {
        Some(Seg::Name(id)) => program.strings.get(id.at()).map(String::as_str),
        Some(Seg::Value(_)) | None => None,
    };
    let mut found = BTreeSet::new();
    for attr in &program.attrs {
        let prefix = match (name(attr.segs.first()), name(attr.segs.get(1))) {
            (Some("http"), Some("request_headers")) => "",
            (Some("http"), Some("response_headers")) => "response: ",
            _ => continue,
        };
        let header = name(attr.segs.get(2)).unwrap_or("(any)");
        found.insert(format!("{prefix}{header}"));
    }
    found
}

/// How much each table adds to the file: the difference that leaving it empty makes.
fn sections(program: &Program) -> Vec<(&'static str, usize)> {
    let whole = encode(program).len();
    let without = |change: fn(&mut Program)| {
        let mut smaller = program.clone();
        change(&mut smaller);
        whole.saturating_sub(encode(&smaller).len())
    };
    vec![
        ("strings", without(|p| p.strings.clear())),
        ("constants", without(|p| p.consts.clear())),
        ("attributes", without(|p| p.attrs.clear())),
        ("patterns", without(|p| p.regexes.clear())),
        ("denials", without(|p| p.denials.clear())),
        ("code", without(|p| p.blocks.clear())),
        ("pipelines", without(|p| p.pipelines.clear())),
        ("scanners", without(|p| p.scanners.clear())),
        ("effects", without(|p| p.effects.clear())),
        ("identities", without(|p| p.identities.clear())),
        ("routes", without(|p| p.routes.clear())),
        ("fallbacks", without(|p| p.fallbacks.clear())),
        ("debug", without(|p| p.debug = None)),
    ]
}

impl Summary {
    /// As JSON.
    pub(crate) fn json(&self) -> Value {
        let sections: serde_json::Map<String, Value> = self
            .sections
            .iter()
            .map(|(name, size)| ((*name).to_owned(), (*size).into()))
            .collect();
        json!({
            "digest": self.digest,
            "bytes": { "total": self.total, "without_debug": self.without_debug,
                       "without_debug_and_patterns": self.without_debug_and_patterns, "sections": sections },
            "headers": self.headers,
            "companion": self.features,
            "routes": self.routes.iter().map(|route| json!({ "route": route.name, "does": route.reads })).collect::<Vec<_>>(),
            "issuers": self.issuers,
            "delegators": self.delegators,
            "environment": self.environment.iter().map(|(what, name)| json!({ "variable": name, "of": what })).collect::<Vec<_>>(),
            "lacks_hash_key": self.lacks_hash_key,
            "literal_secrets": self.secrets,
        })
    }

    /// For people.
    pub(crate) fn text(&self, compilation: &Compilation, build: &Build) -> String {
        let mut out = String::new();
        let mut line = |text: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{text}");
        };
        line(format!("policy   {}", build.policy.display()));
        line(format!("digest   {}", self.digest));
        line(format!(
            "size     {} bytes; {} without debug section, {} without debug section and patterns",
            self.total, self.without_debug, self.without_debug_and_patterns
        ));
        let sections = self
            .sections
            .iter()
            .filter(|(_, size)| *size > 1)
            .map(|(name, size)| format!("{name} {size}"));
        line(format!("         {}", sections.collect::<Vec<_>>().join(", ")));
        line(format!(
            "needs    companion (cluster `{}`): {}",
            build.cluster(),
            self.features.join(", ")
        ));
        if !self.headers.is_empty() {
            line(format!("         headers: {}", self.headers.join(", ")));
        }
        for (index, issuer) in self.issuers.iter().enumerate() {
            line(format!(
                "{}{issuer}",
                if index == 0 {
                    "         keys from: "
                } else {
                    "                    "
                }
            ));
        }
        for (index, delegator) in self.delegators.iter().enumerate() {
            line(format!(
                "{}{delegator}",
                if index == 0 {
                    "         tokens from: "
                } else {
                    "                      "
                }
            ));
        }
        for (index, (what, name)) in self.environment.iter().enumerate() {
            let margin = if index == 0 { "env      " } else { "         " };
            line(format!("{margin}{name}: {what}"));
        }
        if self.lacks_hash_key {
            line("warning  the policy uses `hash`: name the variable with its key with --hash-key-env, or the filter refuses the configuration".to_owned());
        }
        for (index, route) in self.routes.iter().enumerate() {
            let does = if route.reads.is_empty() {
                "decides by its name and the caller".to_owned()
            } else {
                route.reads.join(", ")
            };
            line(format!(
                "{}{}: {does}",
                if index == 0 { "routes   " } else { "         " },
                route.name
            ));
        }
        let unsupported = compilation.diagnostics.iter().filter(|diagnostic| {
            diagnostic.code == Code::NotInBuild && diagnostic.severity == Severity::Note
        });
        for (index, diagnostic) in unsupported.enumerate() {
            let help = diagnostic.help.as_deref().unwrap_or("");
            line(format!(
                "{}{}: {help}",
                if index == 0 { "not yet  " } else { "         " },
                diagnostic.message
            ));
        }
        let folder = build.output.display();
        line(format!(
            "wrote    {folder}/policy.aplb, {folder}/companion.json, {folder}/filter-config.json"
        ));
        if build.shadow.is_some() {
            line(format!(
                "         {folder}/shadow-companion.json: give it to the companion beside the other one"
            ));
        }
        if self.secrets > 0 {
            let plural = if self.secrets == 1 { "" } else { "s" };
            line(format!(
                "warning  {} literal secret{plural} of the policy went to {folder}/secrets.env (mode 0600): keep it out of version control",
                self.secrets
            ));
        }
        let mode = match build.mode {
            Mode::Full => "full: Envoy needs allow_on_headers_stop_iteration on the plugin",
            Mode::Paired => {
                "paired: a second plugin of the module needs {\"install\": {\"mode\": \"paired\", \"role\": \"holder\"}}"
            }
            Mode::Single => "single: headers are not held, and the filter refuses a policy that needs it",
        };
        line(format!(
            "adapt    filter-config.json to your deployment: protocols, companion; install mode {mode}"
        ));
        out
    }
}
