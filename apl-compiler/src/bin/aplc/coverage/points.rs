//! What there is to reach in a policy, and how often it was.

use std::collections::{BTreeMap, HashMap};

use apl_bytecode::{BlockId, BlockKind, Effect, Instr, PipelineId, Program, Stage};
use apl_vm::Truth;
use apl_vm::trace::TraceEvent;

use crate::place::{Place, Places};

/// The rules of one policy.
#[derive(Debug, Default)]
pub(super) struct Points {
    pub(super) rules: BTreeMap<Place, Rule>,
    /// The rule and condition of an instruction.
    steps: HashMap<(BlockId, usize), (Place, Option<usize>)>,
    /// The rules of a pipeline, and for each of its stages the condition in it.
    pipelines: HashMap<PipelineId, Vec<(Place, Vec<usize>)>>,
}

/// One step or field as written.
#[derive(Debug, Default)]
pub(super) struct Rule {
    /// The file's name.
    pub(super) file: String,
    pub(super) text: String,
    pub(super) hits: u64,
    pub(super) conditions: Vec<Condition>,
}

/// Something that goes one way or the other, or a stage that runs or does not.
#[derive(Debug)]
pub(super) struct Condition {
    /// Tells it from others of its rule.
    key: (&'static str, usize),
    /// What it is to come to, and how often it did.
    pub(super) ways: Vec<(String, u64)>,
}

impl Points {
    /// Everything that can be reached.
    pub(super) fn new(program: &Program, places: &Places<'_>) -> Self {
        let mut points = Self::default();
        for (block, code) in program.blocks.iter().enumerate() {
            if code.kind == BlockKind::Steps {
                let id = BlockId(u32::try_from(block).unwrap_or(u32::MAX));
                points.block(id, &code.code, program, places);
            }
        }
        points
    }

    fn block(&mut self, block: BlockId, code: &[Instr], program: &Program, places: &Places<'_>) {
        // Conditions of one rule are told apart by their order in it.
        let mut ordinals: HashMap<(Place, &'static str), usize> = HashMap::new();
        let decides: Vec<Option<Place>> = code
            .iter()
            .enumerate()
            .filter(|(_, instr)| matches!(instr, Instr::Decide(_)))
            .map(|(at, _)| places.of(block, at))
            .collect();
        for (at, instr) in code.iter().enumerate() {
            let Some(place) = places.of(block, at) else {
                continue;
            };
            let ways: Option<(&'static str, [&str; 2])> = match instr {
                Instr::DenyIf(_) => Some(("deny", ["denies", "does not deny"])),
                Instr::SkipUnless(..) => Some(("when", ["holds", "does not hold"])),
                Instr::Decide(_) => Some(("decision", ["allows", "denies"])),
                // Behind the reactions of a decision stands a denial that the author did not write.
                Instr::Deny(_) if decides.contains(&Some(place)) => continue,
                Instr::Effect(id)
                    if matches!(program.effects.get(id.at()), Some(Effect::LoadLabels { .. })) =>
                {
                    continue;
                }
                Instr::Deny(_) | Instr::Scan(..) | Instr::Effect(_) | Instr::Pipeline(_) => None,
                // How the machine gets along, not what the policy says; and expressions, which steps stand for.
                _ => continue,
            };
            let rule = self.rules.entry(place).or_insert_with(|| Rule {
                file: places.file(place).to_owned(),
                text: places.text(place),
                ..Rule::default()
            });
            let condition = ways.map(|(kind, names)| {
                let ordinal = ordinals.entry((place, kind)).or_default();
                let index = rule.condition((kind, *ordinal), &names);
                *ordinal += 1;
                index
            });
            if let Instr::Pipeline(id) = instr
                && let Some(pipeline) = program.pipelines.get(id.at())
            {
                let stages = pipeline
                    .stages
                    .iter()
                    .enumerate()
                    .map(|(at, stage)| rule.stage(at, stage))
                    .collect();
                self.pipelines.entry(*id).or_default().push((place, stages));
            }
            self.steps.insert((block, at), (place, condition));
        }
    }

    /// Something happened.
    pub(super) fn see(&mut self, event: &TraceEvent) {
        match event {
            TraceEvent::Step { block, at, taken, .. } => {
                let Some((place, condition)) = self.steps.get(&(*block, *at)) else {
                    return;
                };
                let Some(rule) = self.rules.get_mut(place) else {
                    return;
                };
                rule.hits += 1;
                if let Some(condition) = condition.and_then(|at| rule.conditions.get_mut(at)) {
                    condition.went(*taken);
                }
            }
            TraceEvent::Stage { pipeline, stage } => self.stage(*pipeline, *stage, None),
            TraceEvent::Condition {
                pipeline,
                stage,
                truth,
            } => self.stage(*pipeline, *stage, Some(*truth)),
            TraceEvent::Began { .. }
            | TraceEvent::Resumed { .. }
            | TraceEvent::Answered { .. }
            | TraceEvent::Value { .. }
            | TraceEvent::Absent { .. }
            | TraceEvent::Ended(_) => {}
        }
    }

    fn stage(&mut self, pipeline: PipelineId, stage: usize, truth: Option<Truth>) {
        for (place, stages) in self.pipelines.get(&pipeline).into_iter().flatten() {
            let condition = stages
                .get(stage)
                .and_then(|at| self.rules.get_mut(place)?.conditions.get_mut(*at));
            let Some(condition) = condition else { continue };
            match (condition.ways.len(), truth) {
                // A conditional redaction counts by its condition, any other stage by running.
                (2, Some(truth)) => condition.went(Some(truth)),
                (1, None) => condition.went(Some(Truth::True)),
                (_, _) => {}
            }
        }
    }

    /// Points reached, and all.
    pub(super) fn counts(&self) -> (usize, usize) {
        let mut counts = (0, 0);
        for rule in self.rules.values() {
            let hits = rule
                .conditions
                .iter()
                .flat_map(|condition| &condition.ways)
                .map(|(_, hits)| *hits);
            for hits in std::iter::once(rule.hits).chain(hits) {
                counts.0 += usize::from(hits > 0);
                counts.1 += 1;
            }
        }
        counts
    }

    /// What was not reached, as `policy.yaml:12: require(role.hr): never denies`.
    pub(super) fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for (place, rule) in &self.rules {
            if rule.hits == 0 {
                missing.push(format!(
                    "{}:{}: {}: never reached",
                    rule.file, place.line, rule.text
                ));
            } else {
                missing.extend(
                    rule.missing()
                        .map(|way| format!("{}:{}: {}: never {way}", rule.file, place.line, rule.text)),
                );
            }
        }
        missing
    }
}

impl Rule {
    /// The ways that nothing went.
    pub(super) fn missing(&self) -> impl Iterator<Item = &str> {
        let ways = self.conditions.iter().flat_map(|condition| &condition.ways);
        ways.filter(|(_, hits)| *hits == 0).map(|(name, _)| name.as_str())
    }

    fn condition(&mut self, key: (&'static str, usize), names: &[&str]) -> usize {
        if let Some(known) = self.conditions.iter().position(|condition| condition.key == key) {
            return known;
        }
        let ways = names.iter().map(|name| ((*name).to_owned(), 0)).collect();
        self.conditions.push(Condition { key, ways });
        self.conditions.len() - 1
    }

    fn stage(&mut self, at: usize, stage: &Stage) -> usize {
        match stage {
            Stage::Redact(Some(_)) => self.condition(("redact", at), &["redacts", "leaves it as it is"]),
            other => self.condition(("stage", at), &[&format!("runs `{}`", name(other))]),
        }
    }
}

impl Condition {
    fn went(&mut self, taken: Option<Truth>) {
        let way = match taken {
            Some(Truth::True) => 0,
            Some(Truth::False) => 1,
            // An error is a deny decision (`design/language.md` row 18).
            Some(Truth::Error | Truth::Fault) | None if self.key.0 == "decision" => 1,
            // It denies, or redacts, for want of an answer: that shows neither side of it.
            Some(Truth::Unknown | Truth::Error | Truth::Fault) | None => return,
        };
        if let Some((_, hits)) = self.ways.get_mut(way) {
            *hits += 1;
        }
    }
}

const fn name(stage: &Stage) -> &'static str {
    match stage {
        Stage::Type(_) => "type",
        Stage::Email => "email",
        Stage::Url => "url",
        Stage::Uuid => "uuid",
        Stage::Range(..) => "range",
        Stage::Len(..) => "len",
        Stage::Enum(_) => "enum",
        Stage::Regex(_) => "regex",
        Stage::Mask(_) => "mask",
        Stage::Redact(_) => "redact",
        Stage::Omit => "omit",
        Stage::Hash => "hash",
        Stage::Taint(..) => "taint",
        Stage::Scan { .. } => "scan",
        Stage::Required => "required",
    }
}
