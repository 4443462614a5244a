//! Operation against operation.

use std::collections::BTreeSet;

use apl_bytecode::glob_matches;
use apl_compiler::outline::{ChallengeView, DelegateView, Operation, Outline, Step};

use super::facts::{self, Fact, FactKind};
use super::{Change, Danger, who};
use Danger::{Changed, Loosened, Tightened};

/// Everything that differs.
pub(super) fn outlines(old: &Outline, new: &Outline) -> Vec<Change> {
    let mut changes = Vec::new();
    who::settings(old, new, &mut changes);
    who::identities(old, new, &mut changes);
    who::pins(old, new, &mut changes);
    let names: BTreeSet<&str> = old
        .operations
        .iter()
        .chain(&new.operations)
        .map(|operation| operation.name.as_str())
        .collect();
    for name in names {
        let mut case = Case {
            name,
            changes: &mut changes,
        };
        match (governing(old, name), governing(new, name)) {
            (Some(before), Some(after)) => case.operations(before, after, (old, new)),
            (None, Some(after)) => case.say(Changed, "is governed now", None, after.at.clone()),
            (Some(before), None) => case.say(Loosened, "is governed no longer", before.at.clone(), None),
            (None, None) => {}
        }
    }
    changes
}

/// What governs the operations of this name: its own route, the glob that matches it, or the rules for all others.
fn governing<'o>(outline: &'o Outline, name: &str) -> Option<&'o Operation> {
    if let Some(own) = outline.operations.iter().find(|operation| operation.name == name) {
        return Some(own);
    }
    let kind = name.split(':').next().unwrap_or("");
    let globs = outline.operations.iter().filter(|operation| {
        operation.route && operation.name.contains(['*', '?']) && glob_matches(&operation.name, name)
    });
    let any_other = format!("any other {kind}");
    globs.max_by_key(|operation| operation.name.len()).or_else(|| {
        outline
            .operations
            .iter()
            .find(|operation| operation.name == any_other)
    })
}

struct Case<'c> {
    name: &'c str,
    changes: &'c mut Vec<Change>,
}

impl Case<'_> {
    fn say(&mut self, danger: Danger, what: impl Into<String>, old: Option<String>, new: Option<String>) {
        self.changes.push(Change {
            danger,
            operation: self.name.to_owned(),
            what: what.into(),
            old,
            new,
        });
    }

    fn operations(&mut self, old: &Operation, new: &Operation, whole: (&Outline, &Outline)) {
        let places = || (old.at.clone(), new.at.clone());
        let denied = |operation: &Operation, outline: &Outline| {
            !operation.route && operation.entity.is_some() && !outline.unmatched_allowed
        };
        match (denied(old, whole.0), denied(new, whole.1)) {
            (true, false) if old.route != new.route => {
                let (was, is) = places();
                return self.say(Loosened, "a route for what was denied", was, is);
            }
            (false, true) if old.route != new.route => {
                let (was, is) = places();
                return self.say(Tightened, "the route is gone; the operation is denied", was, is);
            }
            _ => {}
        }
        // With everything else denied, the global rules alone decide nothing; `unmatched` itself is compared elsewhere.
        if old.route != new.route {
            let what = if new.route {
                "has a route of its own now".to_owned()
            } else {
                format!("the route is gone; `{}` governs it", new.name)
            };
            let (was, is) = places();
            self.say(Changed, what, was, is);
        }
        self.identities(old, new);
        self.plain(old, new);
        self.phase(&old.pre, &new.pre);
        self.phase(&old.post, &new.post);
    }

    fn identities(&mut self, old: &Operation, new: &Operation) {
        for gone in old
            .identities
            .iter()
            .filter(|name| !new.identities.contains(name))
        {
            self.say(
                Loosened,
                format!("the credential `{gone}` is no longer needed"),
                old.at.clone(),
                new.at.clone(),
            );
        }
        for come in new
            .identities
            .iter()
            .filter(|name| !old.identities.contains(name))
        {
            self.say(
                Tightened,
                format!("the credential `{come}` is needed"),
                old.at.clone(),
                new.at.clone(),
            );
        }
    }

    fn plain(&mut self, old: &Operation, new: &Operation) {
        let (was, is) = (old.at.clone(), new.at.clone());
        match (old.shadow, new.shadow) {
            (None, Some(_)) => self.say(Loosened, "recorded only, not enforced", was.clone(), is.clone()),
            (Some(_), None) => self.say(Tightened, "enforced", was.clone(), is.clone()),
            (Some(before), Some(after)) if before != after => {
                let danger = if after == 0 || (before != 0 && after > before) {
                    Loosened
                } else {
                    Tightened
                };
                self.say(danger, "the shadow time is another", was.clone(), is.clone());
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        match (old.pass_unparseable, new.pass_unparseable) {
            (false, true) => self.say(
                Loosened,
                "results that cannot be parsed pass",
                was.clone(),
                is.clone(),
            ),
            (true, false) => self.say(
                Tightened,
                "results that cannot be parsed are denied",
                was.clone(),
                is.clone(),
            ),
            (true, true) | (false, false) => {}
        }
        if old.assertions != new.assertions {
            let spell = |words: &Option<String>| words.clone().unwrap_or_else(|| "none".to_owned());
            // What a backend or a client makes of a header is not known here.
            self.say(
                Loosened,
                format!(
                    "asserted headers changed from `{}` to `{}`",
                    spell(&old.assertions),
                    spell(&new.assertions)
                ),
                was.clone(),
                is.clone(),
            );
        }
        if old.challenge != new.challenge {
            let spell = |challenge: &Option<ChallengeView>| {
                challenge
                    .as_ref()
                    .map_or_else(|| "nothing".to_owned(), ChallengeView::words)
            };
            self.say(
                Changed,
                format!(
                    "what a denied caller is told to acquire changed from `{}` to `{}`",
                    spell(&old.challenge),
                    spell(&new.challenge)
                ),
                was.clone(),
                is.clone(),
            );
        }
        if old.response != new.response {
            self.say(
                Changed,
                "the denial's `response` is another",
                was.clone(),
                is.clone(),
            );
        }
        if old.owner != new.owner {
            self.say(Changed, "the owner is another", was, is);
        }
    }

    fn phase(&mut self, old: &[Step], new: &[Step]) {
        let (old, new) = (facts::of(old), facts::of(new));
        let (mut gone, mut come) = (without(&old, &new), without(&new, &old));
        if gone.is_empty() && come.is_empty() {
            let texts = |facts: &[Fact]| facts.iter().map(|fact| fact.text.clone()).collect::<Vec<_>>();
            if texts(&old) != texts(&new) {
                let places = (
                    old.first().and_then(|fact| fact.at.clone()),
                    new.first().and_then(|fact| fact.at.clone()),
                );
                self.say(Changed, "the same steps in another order", places.0, places.1);
            }
            return;
        }
        let lone = |facts: &[Fact]| {
            facts
                .iter()
                .filter(|fact| matches!(fact.kind, FactKind::Gate { .. }))
                .count()
                == 1
        };
        let only_gates = lone(&gone) && lone(&come);
        gone.retain(
            |before| match come.iter().position(|after| pairs(before, after, only_gates)) {
                Some(at) => {
                    let after = come.remove(at);
                    self.pair(before, &after);
                    false
                }
                None => true,
            },
        );
        for fact in gone {
            let (danger, what) = match &fact.kind {
                FactKind::Gate { .. } => (Loosened, "gate gone"),
                FactKind::Field { .. } => (Loosened, "field no longer checked or hidden"),
                FactKind::Label { .. } => (Loosened, "label no longer set"),
                FactKind::Delegate(_) => (
                    Loosened,
                    "no longer delegates, so the caller's own credentials may go on",
                ),
                FactKind::Scan => (Loosened, "no longer scans"),
                FactKind::Audit => (Changed, "no step record"),
            };
            self.say(danger, format!("{what}: {}", fact.text), fact.at, None);
        }
        for fact in come {
            let (danger, what) = match &fact.kind {
                FactKind::Gate { .. } => (Tightened, "new gate"),
                FactKind::Field { .. } => (Tightened, "field newly checked or hidden"),
                FactKind::Label { .. } => (Tightened, "label newly set"),
                FactKind::Delegate(_) => (Loosened, "newly mints a credential"),
                FactKind::Scan => (Tightened, "newly scans"),
                FactKind::Audit => (Changed, "new step record"),
            };
            self.say(danger, format!("{what}: {}", fact.text), None, fact.at);
        }
    }

    fn pair(&mut self, old: &Fact, new: &Fact) {
        let same_place = old.under == new.under;
        let (danger, what) = match (&old.kind, &new.kind) {
            (FactKind::Gate { when: was, .. }, FactKind::Gate { when: is, .. }) => {
                // More ways to be denied: every old one is still there.
                let danger = match same_place {
                    _ if was == is && same_place => Changed,
                    true if alternatives(was).is_subset(&alternatives(is)) => Tightened,
                    true | false => Loosened,
                };
                (
                    danger,
                    format!("gate changed from `{}` to `{}`", old.text, new.text),
                )
            }
            (FactKind::Field { path, stages: was }, FactKind::Field { stages: is, .. }) => {
                let kept = was
                    .iter()
                    .all(|stage| is.iter().any(|other| at_least(stage, other)));
                let danger = if kept && same_place { Tightened } else { Loosened };
                (
                    danger,
                    format!(
                        "{path} changed from `{}` to `{}`",
                        was.join(" | "),
                        is.join(" | ")
                    ),
                )
            }
            (
                FactKind::Label {
                    scopes: was,
                    ttl_s: before,
                    ..
                },
                FactKind::Label {
                    scopes: is,
                    ttl_s: after,
                    ..
                },
            ) => {
                let wider = was.iter().all(|scope| is.contains(scope)) && before == after && same_place;
                (
                    if wider { Tightened } else { Loosened },
                    format!("label changed from `{}` to `{}`", old.text, new.text),
                )
            }
            (FactKind::Delegate(was), FactKind::Delegate(is)) => {
                let narrower = same_place && narrower(was, is);
                (
                    if narrower { Tightened } else { Loosened },
                    format!("delegation changed: {}", delegation(was, is)),
                )
            }
            (FactKind::Scan, FactKind::Scan) => (
                Loosened,
                format!("scan changed from `{}` to `{}`", old.text, new.text),
            ),
            (
                FactKind::Gate { .. }
                | FactKind::Field { .. }
                | FactKind::Label { .. }
                | FactKind::Delegate(_)
                | FactKind::Scan
                | FactKind::Audit,
                _,
            ) => (Changed, format!("`{}` became `{}`", old.text, new.text)),
        };
        self.say(danger, what, old.at.clone(), new.at.clone());
    }
}

/// Facts of `these` beyond those of `others`, each counted.
fn without(these: &[Fact], others: &[Fact]) -> Vec<Fact> {
    let mut left: Vec<&str> = others.iter().map(|fact| fact.text.as_str()).collect();
    these
        .iter()
        .filter(|fact| match left.iter().position(|text| *text == fact.text) {
            Some(at) => {
                left.swap_remove(at);
                false
            }
            None => true,
        })
        .cloned()
        .collect()
}

/// Whether one that went and one that came are the same thing, changed.
fn pairs(old: &Fact, new: &Fact, only_gates: bool) -> bool {
    match (&old.kind, &new.kind) {
        (FactKind::Gate { when: was, code: a }, FactKind::Gate { when: is, code: b }) => {
            only_gates || was == is || (a.is_some() && a == b)
        }
        (FactKind::Field { path: a, .. }, FactKind::Field { path: b, .. }) => a == b,
        (FactKind::Label { label: a, .. }, FactKind::Label { label: b, .. }) => a == b,
        (FactKind::Delegate(a), FactKind::Delegate(b)) => a.delegator == b.delegator && a.target == b.target,
        (FactKind::Scan, FactKind::Scan) | (FactKind::Audit, FactKind::Audit) => true,
        (
            FactKind::Gate { .. }
            | FactKind::Field { .. }
            | FactKind::Label { .. }
            | FactKind::Delegate(_)
            | FactKind::Scan
            | FactKind::Audit,
            _,
        ) => false,
    }
}

/// The alternatives of `a | b | c`, any of which denies. A `|` inside quotes or parentheses separates nothing.
fn alternatives(condition: &str) -> BTreeSet<String> {
    let mut parts = BTreeSet::new();
    let (mut depth, mut quoted, mut escaped, mut part) = (0_i32, false, false, String::new());
    for ch in condition.chars() {
        match ch {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '(' | '[' if !quoted => depth += 1,
            ')' | ']' if !quoted => depth -= 1,
            _ => {}
        }
        if ch == '|' && depth == 0 && !quoted {
            parts.insert(part.trim().to_owned());
            part.clear();
        } else {
            part.push(ch);
        }
    }
    parts.insert(part.trim().to_owned());
    parts
}

/// Whether a stage still does at least what it did.
fn at_least(was: &str, is: &str) -> bool {
    let condition = |stage: &str| {
        stage
            .strip_prefix("redact(")
            .and_then(|rest| rest.strip_suffix(')'))
            .map(str::to_owned)
    };
    match (condition(was), condition(is)) {
        (Some(was), Some(is)) => alternatives(&was).is_subset(&alternatives(&is)),
        (Some(_), None) => is == "redact" || is == "omit",
        (None, _) => was == is,
    }
}

fn narrower(was: &DelegateView, is: &DelegateView) -> bool {
    was.audience == is.audience
        && was.subject == is.subject
        && was.actor == is.actor
        && (was.goes_on || !is.goes_on)
        && was.narrowed.iter().all(|one| is.narrowed.contains(one))
        && is.permissions.iter().all(|scope| was.permissions.contains(scope))
        // No scopes at all is often all of them at the identity provider.
        && (was.permissions.is_empty() || !is.permissions.is_empty())
}

fn delegation(was: &DelegateView, is: &DelegateView) -> String {
    let mut parts = Vec::new();
    if was.audience != is.audience {
        parts.push(format!("audience {} became {}", was.audience, is.audience));
    }
    let more: Vec<&str> = is
        .permissions
        .iter()
        .filter(|scope| !was.permissions.contains(scope))
        .map(String::as_str)
        .collect();
    let less: Vec<&str> = was
        .permissions
        .iter()
        .filter(|scope| !is.permissions.contains(scope))
        .map(String::as_str)
        .collect();
    if !more.is_empty() {
        parts.push(format!("more scopes: {}", more.join(" ")));
    }
    if !less.is_empty() {
        parts.push(format!("fewer scopes: {}", less.join(" ")));
    }
    if (&was.subject, &was.actor) != (&is.subject, &is.actor) {
        parts.push(format!("as {} became as {}", was.subject, is.subject));
    }
    if was.narrowed != is.narrowed {
        let all = |narrowed: &[String]| match narrowed {
            [] => "nothing more".to_owned(),
            narrowed => narrowed.join(" and "),
        };
        parts.push(format!(
            "narrowed to {} became {}",
            all(&was.narrowed),
            all(&is.narrowed)
        ));
    }
    if was.goes_on != is.goes_on {
        parts.push(format!(
            "a failure {}",
            if is.goes_on { "goes on" } else { "denies" }
        ));
    }
    if parts.is_empty() {
        parts.push("under other conditions".to_owned());
    }
    format!("{} to {}: {}", is.delegator, is.target, parts.join(", "))
}
