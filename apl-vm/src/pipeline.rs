//! Field pipelines: `ssn: "str | redact(!perm.view_ssn)"`.
//!
//! A pipeline finds every value that its path names ([`path`]), in every part of the view, and runs its stages over each,
//! left to right, on the value as the stages before left it. Edits are splices of the document; when the pipeline denies,
//! those made so far stay, because what is denied is not sent.
//!
//! | limit | number | beyond it |
//! |---|---|---|
//! | nesting that a path is followed into | 128 | denies |
//! | values that a path names, in one part | 100,000 | denies |
//! | values looked at on the way, in one part | 100,000 with `**`, else the document's own limit | denies |
//!
//! An absent field is skipped unless the pipeline has `required`: then the view's first part must have the field, in
//! every element that the path fans out to, and at least once. `null` is present.
//!
//! Conditions of `redact(...)` are decided once for a pipeline, before its first edit, on the documents as received: what
//! a pipeline hides cannot change what another one hides.

mod checks;
mod hash;
mod path;
mod stage;

use apl_bytecode::{BlockId, PathSeg, PipelineId, Scopes, Side, Stage, StrId};

use apl_json::{View, resolve};

use crate::{outcome::Edit, prepared::Prepared, trace};

/// What a pipeline needs besides the program and the view.
pub struct PipelineCx<'a> {
    /// The deployment's key for `hash`. Without it, or with an empty one, `hash` denies.
    pub hash_key: Option<&'a [u8]>,
    /// Evaluates the condition of a `redact`. `None` when it cannot be told (an error, an unknown fact): the value is
    /// redacted.
    pub condition: &'a mut dyn FnMut(BlockId, &View<'_>) -> Option<bool>,
    /// The edits made, each field and kind once.
    pub edits: &'a mut Vec<Edit>,
}

/// What a pipeline came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PipelineOutcome {
    /// Nothing denied.
    Pass {
        /// Labels to set, each once, in the order of the stages.
        taints: Vec<(StrId, Scopes)>,
    },
    /// A validator, a scan or a limit denied.
    Deny {
        /// Names stage and field, never a value.
        reason: String,
        /// The scanner's code, when it was a scan; otherwise the pipeline's denial has the code.
        code: Option<StrId>,
        /// Labels recorded before the denial.
        taints: Vec<(StrId, Scopes)>,
    },
}

/// Why the stages of one value ended the pipeline.
struct Denied {
    /// Behind `result.ssn: `.
    what: String,
    code: Option<StrId>,
}

impl Denied {
    fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            code: None,
        }
    }
}

/// Runs one field pipeline over one logical value.
///
/// `view` is the side that the pipeline is for ([`Pipeline::side`](apl_bytecode::Pipeline)); all its parts are edited.
/// A pipeline that the program does not have denies.
pub fn run_pipeline(
    program: &Prepared,
    pipeline: PipelineId,
    view: &mut View<'_>,
    cx: &mut PipelineCx<'_>,
) -> PipelineOutcome {
    let Some(pipeline) = program.program().pipelines.get(pipeline.at()) else {
        return PipelineOutcome::Deny {
            reason: "unknown pipeline".into(),
            code: None,
            taints: Vec::new(),
        };
    };
    let field = spelled(program, pipeline.side, &pipeline.path);
    let mut run = Run {
        program,
        stages: &pipeline.stages,
        field,
        fires: Vec::new(),
        hash_key: cx.hash_key,
        taints: Vec::new(),
        edits: cx.edits,
    };
    let outcome = run.all(&pipeline.path, view, cx.condition);
    let Run { field, taints, .. } = run;
    match outcome {
        Ok(()) => PipelineOutcome::Pass { taints },
        Err(Denied { what, code }) => PipelineOutcome::Deny {
            reason: format!("{field}: {what}"),
            code,
            taints,
        },
    }
}

/// One run of one pipeline.
struct Run<'a> {
    program: &'a Prepared,
    stages: &'a [Stage],
    /// As policy spells it: `args.items.ssn`.
    field: String,
    /// For each stage: whether it is a `redact` that fires.
    fires: Vec<bool>,
    hash_key: Option<&'a [u8]>,
    taints: Vec<(StrId, Scopes)>,
    edits: &'a mut Vec<Edit>,
}

impl Run<'_> {
    fn all(
        &mut self,
        path: &[PathSeg],
        view: &mut View<'_>,
        condition: &mut dyn FnMut(BlockId, &View<'_>) -> Option<bool>,
    ) -> Result<(), Denied> {
        let keys = path::keys(self.program, path);
        let folded = self.stages.iter().any(|stage| matches!(stage, Stage::Redact(_)));
        let required = self.stages.contains(&Stage::Required);
        let mut targets = Vec::with_capacity(view.parts.len());
        for part in &view.parts {
            let found = resolve(part.document.node(part.node), &keys, folded)
                .ok_or_else(|| Denied::new("too many values to check"))?;
            if required && targets.is_empty() && (found.absent || found.nodes.is_empty()) {
                return Err(Denied::new("required, but absent"));
            }
            targets.push(found.nodes);
        }
        if required && targets.is_empty() {
            return Err(Denied::new("required, but absent"));
        }
        if targets.iter().all(Vec::is_empty) {
            trace::absent();
            return Ok(());
        }
        self.fires = self
            .stages
            .iter()
            .map(|stage| match stage {
                Stage::Redact(None) => true,
                Stage::Redact(Some(block)) => condition(*block, view) != Some(false),
                _ => false,
            })
            .collect();
        for (part, nodes) in view.parts.iter_mut().zip(targets) {
            for node in nodes {
                self.one(part.document, node)?;
            }
        }
        Ok(())
    }

    fn edited(&mut self, kind: &'static str) {
        let known = |edit: &Edit| edit.kind == kind && edit.field == self.field;
        if !self.edits.iter().any(known) {
            self.edits.push(Edit {
                field: self.field.clone(),
                kind,
            });
        }
    }

    fn taint(&mut self, label: StrId, scopes: Scopes) {
        if !self.taints.contains(&(label, scopes)) {
            self.taints.push((label, scopes));
        }
    }

    fn text(&self, id: StrId) -> &str {
        self.program
            .program()
            .strings
            .get(id.at())
            .map_or("", String::as_str)
    }
}

fn spelled(program: &Prepared, side: Side, path: &[PathSeg]) -> String {
    let mut field = match side {
        Side::Args => "args".to_owned(),
        Side::Result => "result".to_owned(),
    };
    for seg in path {
        field.push('.');
        field.push_str(match seg {
            PathSeg::Key(name) => program
                .program()
                .strings
                .get(name.at())
                .map_or("", String::as_str),
            PathSeg::AnyDepth => "**",
        });
    }
    field
}
