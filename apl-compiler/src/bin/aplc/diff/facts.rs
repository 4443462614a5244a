//! The steps of a phase as a flat list of what each does, under which conditions.

use apl_compiler::outline::{DelegateView, DenialView, Step, StepKind};

/// One thing that a phase does.
#[derive(Debug, Clone)]
pub(super) struct Fact {
    /// What it does, without where it stands: two facts with one text do the same.
    pub text: String,
    pub kind: FactKind,
    /// The conditions around it.
    pub under: String,
    pub at: Option<String>,
}

/// What a fact is, for pairing one that went with one that came.
#[derive(Debug, Clone)]
pub(super) enum FactKind {
    /// A denial with its condition and the author's own code.
    Gate {
        when: String,
        code: Option<String>,
    },
    Field {
        path: String,
        stages: Vec<String>,
    },
    Label {
        label: String,
        scopes: Vec<&'static str>,
        ttl_s: u32,
    },
    Delegate(DelegateView),
    Scan,
    Audit,
}

/// Flattens.
pub(super) fn of(steps: &[Step]) -> Vec<Fact> {
    let mut facts = Vec::new();
    collect(steps, "", &mut facts);
    facts
}

fn collect(steps: &[Step], under: &str, facts: &mut Vec<Fact>) {
    for step in steps {
        let mut put = |text: String, kind: FactKind| {
            facts.push(Fact {
                text: format!("{under}{text}"),
                kind,
                under: under.to_owned(),
                at: step.at.clone(),
            });
        };
        match &step.kind {
            StepKind::Gate { when, denial } => put(gate(when, denial), of_gate(when, denial)),
            StepKind::Deny(denial) => put(gate("always", denial), of_gate("always", denial)),
            StepKind::When { condition, then, .. } => {
                collect(then, &format!("{under}when {condition}: "), facts);
            }
            StepKind::Decision { expression, on_deny } => {
                let when = format!("!({expression})");
                let says: Vec<String> = on_deny.iter().map(|step| said(&step.kind)).collect();
                let text = format!("deny unless {expression} [{}]", says.join("; "));
                put(text, FactKind::Gate { when, code: None });
            }
            StepKind::Field { path, stages, .. } => put(
                format!("{path}: {}", stages.join(" | ")),
                FactKind::Field {
                    path: path.clone(),
                    stages: stages.clone(),
                },
            ),
            StepKind::Scan { .. } => put(step.kind.words(), FactKind::Scan),
            StepKind::Taint { label, scopes, ttl_s } => put(
                step.kind.words(),
                FactKind::Label {
                    label: label.clone(),
                    scopes: scopes.clone(),
                    ttl_s: *ttl_s,
                },
            ),
            // Whoever reads labels loads them first; the gate that reads is the fact.
            StepKind::LoadLabels => {}
            StepKind::Delegate(delegate) => put(step.kind.words(), FactKind::Delegate(delegate.clone())),
            StepKind::Ask(words) => put(
                words.clone(),
                FactKind::Gate {
                    when: words.clone(),
                    code: None,
                },
            ),
            StepKind::Audit { .. } => put(step.kind.words(), FactKind::Audit),
        }
    }
}

fn of_gate(when: &str, denial: &DenialView) -> FactKind {
    FactKind::Gate {
        when: when.to_owned(),
        code: own_code(denial).map(str::to_owned),
    }
}

/// The author's own code. One made of the position says only where the rule stands, which a move changes.
fn own_code(denial: &DenialView) -> Option<&str> {
    (denial.code != denial.position).then_some(denial.code.as_str())
}

fn gate(when: &str, denial: &DenialView) -> String {
    let mut text = format!("deny if {when}");
    if let Some(code) = own_code(denial) {
        text.push_str(&format!(", as {code}"));
    }
    if let Some(reason) = &denial.reason {
        text.push_str(&format!(", saying {reason:?}"));
    }
    text
}

fn said(kind: &StepKind) -> String {
    match kind {
        StepKind::Gate { when, denial } => gate(when, denial),
        StepKind::Deny(denial) => gate("always", denial),
        StepKind::When { .. }
        | StepKind::Decision { .. }
        | StepKind::Field { .. }
        | StepKind::Scan { .. }
        | StepKind::Taint { .. }
        | StepKind::LoadLabels
        | StepKind::Delegate(_)
        | StepKind::Ask(_)
        | StepKind::Audit { .. } => kind.words(),
    }
}
