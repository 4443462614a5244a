//! `aplc graph`: the pipeline of each operation as a Mermaid flowchart.

use std::fmt::Write as _;
use std::path::PathBuf;

use apl_compiler::outline::{DenialView, Operation, Outline, PinsView, Step, StepKind};
use clap::{Args, ValueEnum};

use super::{End, Fault, input, outline_json};

/// `aplc graph`.
#[derive(Debug, Args)]
pub(crate) struct Graph {
    /// A policy or a program (`.aplb`).
    pub file: PathBuf,
    /// Only this operation: `tool:pay`. May be given more than once.
    #[arg(long = "route", value_name = "KIND:NAME")]
    pub routes: Vec<String>,
    /// What is written.
    #[arg(long, value_enum, default_value = "mermaid")]
    pub format: GraphFormat,
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// A Mermaid flowchart.
    Mermaid,
    /// The outline as JSON.
    Json,
}

/// Draws.
pub(crate) fn run(graph: &Graph) -> Result<End, Fault> {
    let Some(mut outline) = input::outlined(&graph.file)? else {
        return Ok(End::PolicyAtFault);
    };
    for wanted in &graph.routes {
        if !outline
            .operations
            .iter()
            .any(|operation| operation.name == *wanted)
        {
            let names: Vec<&str> = outline
                .operations
                .iter()
                .map(|operation| operation.name.as_str())
                .collect();
            return Err(Fault::Argument(format!(
                "there is no `{wanted}`; the policy has: {}",
                names.join(", ")
            )));
        }
    }
    if !graph.routes.is_empty() {
        outline
            .operations
            .retain(|operation| graph.routes.contains(&operation.name));
    }
    match graph.format {
        GraphFormat::Mermaid => print!("{}", mermaid(&outline)),
        GraphFormat::Json => println!("{}", serde_json::to_string_pretty(&outline_json::of(&outline))?),
    }
    Ok(End::Fine)
}

/// The whole chart.
fn mermaid(outline: &Outline) -> String {
    let mut chart = Chart {
        text: "flowchart TD\n".to_owned(),
        nodes: 0,
    };
    for (at, operation) in outline.operations.iter().enumerate() {
        chart.operation(at, operation, outline);
    }
    for (at, pins) in outline.pins.iter().enumerate() {
        chart.pins(at, pins);
    }
    if let Some(paths) = &outline.public_paths {
        chart.line(&format!(
            "public[\"without identity: {}\"]",
            escaped(&paths.join(", "))
        ));
    }
    chart.text.push_str("  classDef deny stroke:#b00,color:#b00\n");
    chart.text
}

struct Chart {
    text: String,
    nodes: usize,
}

/// Ends of the chain so far that the next node is joined to, each with what its edge says.
type Ends = Vec<(String, &'static str)>;

impl Chart {
    fn line(&mut self, line: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "    {line}");
    }

    fn node(&mut self, open: &str, text: &str, close: &str) -> String {
        let id = format!("n{}", self.nodes);
        self.nodes += 1;
        self.line(&format!("{id}{open}\"{}\"{close}", escaped(text)));
        id
    }

    fn join(&mut self, ends: &Ends, to: &str) {
        for (from, says) in ends {
            let edge = if says.is_empty() {
                "-->".to_owned()
            } else {
                format!("-->|{says}|")
            };
            self.line(&format!("{from} {edge} {to}"));
        }
    }

    fn operation(&mut self, at: usize, operation: &Operation, outline: &Outline) {
        let unmatched_allowed = outline.unmatched_allowed;
        let mut title = operation.name.clone();
        if let Some(owner) = &operation.owner {
            title.push_str(&format!(" (owner {owner})"));
        }
        if operation.shadow.is_some() {
            title.push_str(" (shadow: recorded, not enforced)");
        }
        if operation.pass_unparseable {
            title.push_str(" (results that cannot be parsed pass)");
        }
        let _ = writeln!(self.text, "  subgraph op{at}[\"{}\"]", escaped(&title));
        self.line("direction TB");
        let caller = if operation.identities.is_empty() {
            "request, anonymous".to_owned()
        } else {
            format!("request, identity: {}", operation.identities.join(", "))
        };
        let start = self.node("([", &caller, "])");
        let mut ends = vec![(start, "")];
        let tool = operation.name.strip_prefix("tool:");
        let pinned = |pins: &&PinsView| {
            let scoped = |name: &str| match &pins.scope {
                Some(scope) => tool == Some(format!("{name}@{scope}").as_str()) || tool == Some(name),
                None => tool == Some(name),
            };
            pins.tools.iter().any(|(name, _)| scoped(name))
        };
        if outline.pins.iter().any(|pins| pinned(&pins)) {
            let pin = self.node("{", "its definition is the pinned one", "}");
            self.join(&ends, &pin);
            self.denied("denied tool.definition_changed", vec![(pin.clone(), "not")]);
            ends = vec![(pin, "else")];
        }
        let ends = self.steps(&operation.pre, ends);
        for (says, what) in [
            (
                "told to a caller who is denied",
                operation.challenge.as_ref().map(|it| it.words()),
            ),
            ("denied as", operation.response.clone()),
        ] {
            if let Some(what) = what {
                self.node("[", &format!("{says}: {what}"), "]");
            }
        }
        let ends = match &operation.assertions {
            None => ends,
            Some(words) => {
                let asserted = self.node("[", &format!("headers: {words}"), "]");
                self.join(&ends, &asserted);
                vec![(asserted, "")]
            }
        };
        let refused = !operation.route && operation.entity.is_some() && !unmatched_allowed;
        if refused {
            self.denied("no route: denied", ends);
        } else {
            let call = self.node("[[", &format!("call {}", operation.name), "]]");
            self.join(&ends, &call);
            let ends = self.steps(&operation.post, vec![(call, "")]);
            let answer = self.node("([", "answer", "])");
            self.join(&ends, &answer);
        }
        self.text.push_str("  end\n");
    }

    /// What of a server's tools is pinned.
    fn pins(&mut self, at: usize, pins: &PinsView) {
        let names: Vec<&str> = pins.tools.iter().map(|(name, _)| name.as_str()).collect();
        let others = if pins.hides_unpinned {
            "hidden and denied"
        } else {
            "as the routes say"
        };
        let text = format!(
            "pinned tools {}: {}; others {others}",
            pins.server(),
            names.join(", ")
        );
        self.line(&format!("pins{at}[\"{}\"]", escaped(&text)));
    }

    fn steps(&mut self, steps: &[Step], mut ends: Ends) -> Ends {
        for step in steps {
            ends = self.step(&step.kind, ends);
        }
        ends
    }

    fn step(&mut self, kind: &StepKind, ends: Ends) -> Ends {
        match kind {
            StepKind::Gate { when, denial } => {
                let gate = self.node("{", when, "}");
                self.join(&ends, &gate);
                self.denied(&denied(denial), vec![(gate.clone(), "holds")]);
                vec![(gate, "else")]
            }
            StepKind::When { condition, then, .. } => {
                let gate = self.node("{", &format!("when {condition}"), "}");
                self.join(&ends, &gate);
                let mut ends = self.steps(then, vec![(gate.clone(), "holds")]);
                ends.push((gate, "else"));
                ends
            }
            StepKind::Decision { expression, on_deny } => {
                let gate = self.node("{{", &format!("decide {expression}"), "}}");
                self.join(&ends, &gate);
                let left = self.steps(on_deny, vec![(gate.clone(), "deny")]);
                // The last of them denies, so nothing is left; a program that was made otherwise still gives a chart.
                let mut ends: Ends = left.into_iter().filter(|(from, _)| *from != gate).collect();
                ends.push((gate, "allow"));
                ends
            }
            StepKind::Deny(denial) => {
                self.denied(&denied(denial), ends);
                Vec::new()
            }
            StepKind::Field { path, stages, .. } => {
                let stages: Vec<String> = stages.iter().map(|stage| for_whom(stage)).collect();
                let field = self.node("[/", &format!("{path}: {}", stages.join(", ")), "/]");
                self.join(&ends, &field);
                vec![(field, "")]
            }
            StepKind::Scan { denial, .. } => {
                let scan = self.node("{", &kind.words(), "}");
                self.join(&ends, &scan);
                self.denied(&denied(denial), vec![(scan.clone(), "found")]);
                vec![(scan, "else")]
            }
            StepKind::Taint { .. }
            | StepKind::LoadLabels
            | StepKind::Delegate(_)
            | StepKind::Ask(_)
            | StepKind::Audit { .. } => {
                let effect = self.node("[", &kind.words(), "]");
                self.join(&ends, &effect);
                vec![(effect, "")]
            }
        }
    }

    fn denied(&mut self, text: &str, ends: Ends) {
        let node = self.node("([", text, "])");
        self.join(&ends, &node);
        self.line(&format!("class {node} deny"));
    }
}

fn denied(denial: &DenialView) -> String {
    match &denial.reason {
        Some(reason) => format!("denied {}: {reason}", denial.code),
        None => format!("denied {}", denial.code),
    }
}

/// A stage, and for a condition whom it concerns.
fn for_whom(stage: &str) -> String {
    match stage
        .strip_prefix("redact(")
        .and_then(|rest| rest.strip_suffix(')'))
    {
        Some(condition) => format!("hidden from callers with {condition}"),
        None if stage == "redact" => "hidden from everybody".to_owned(),
        None => stage.to_owned(),
    }
}

/// Longest text of a node, in characters.
const MAX_TEXT: usize = 400;

/// Text that Mermaid shows as it is: every character with a meaning in Mermaid, Markdown or HTML by its number.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for (at, ch) in text.chars().enumerate() {
        if at >= MAX_TEXT {
            out.push('…');
            break;
        }
        match ch {
            _ if ch.is_alphanumeric() => out.push(ch),
            ' ' | '.' | ',' | ':' | '-' | '_' | '(' | ')' | '=' | '!' | '/' | '?' | '+' | '\'' => {
                out.push(ch)
            }
            _ if ch.is_control() => out.push(' '),
            _ => out.push_str(&format!("#{};", u32::from(ch))),
        }
    }
    out
}
