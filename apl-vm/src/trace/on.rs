//! The record.

use std::cell::RefCell;

use apl_bytecode::{AttrId, BlockId, Instr, PipelineId};

use apl_json::{Kind, Node};

use crate::{
    attribute::{Found, Rest, Scope},
    facts::Fact,
    outcome::{Answer, DenialInfo, Mode, Origin, Verdict},
    value::{List, Map, Number, Truth, Value},
};

/// One thing that happened in a run.
#[derive(Debug, Clone, PartialEq)]
pub enum TraceEvent {
    /// A run of a block of steps began.
    Began {
        /// The block.
        block: BlockId,
        /// For real or not.
        mode: Mode,
    },
    /// It went on with answers.
    Resumed {
        /// The block.
        block: BlockId,
    },
    /// It was given this answer.
    Answered {
        /// What had asked.
        origin: Origin,
        /// The answer.
        answer: Answer,
    },
    /// An instruction of an expression left a value.
    Value {
        /// The block.
        block: BlockId,
        /// Index in it.
        at: usize,
        /// Attributes that it read, spelled out, and what they were.
        reads: Vec<(AttrId, Seen)>,
        /// What it left.
        value: Seen,
    },
    /// A step was done.
    Step {
        /// The block.
        block: BlockId,
        /// Index in it.
        at: usize,
        /// What the condition before it came to, if it has one.
        taken: Option<Truth>,
        /// Where it led.
        went: Went,
    },
    /// The condition of a `redact` stage was decided.
    Condition {
        /// The pipeline.
        pipeline: PipelineId,
        /// The stage's index.
        stage: usize,
        /// What it came to.
        truth: Truth,
    },
    /// A stage began on one value of the field.
    Stage {
        /// The pipeline.
        pipeline: PipelineId,
        /// The stage's index.
        stage: usize,
    },
    /// The field of a pipeline is not there, so no stage ran.
    Absent {
        /// The pipeline.
        pipeline: PipelineId,
    },
    /// The run is over.
    Ended(Verdict),
}

/// Where a step led.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Went {
    /// To the instruction at this index.
    To(usize),
    /// To a denial.
    Denied(DenialInfo),
    /// It waits for what was asked.
    Waits,
}

/// A value as a run saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Not there.
    Absent,
    /// Not known in this run.
    Unknown,
    /// An error.
    Error,
    /// `null`.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number, as text.
    Number(String),
    /// A text.
    Text(String),
    /// A list or a set of so many elements, as JSON-like text.
    List(usize, String),
    /// An object, or something that cannot be compared, as text.
    Opaque(String),
}

#[derive(Default)]
struct Record {
    events: Option<Vec<TraceEvent>>,
    /// Blocks under way, innermost last.
    blocks: Vec<BlockId>,
    pipeline: Option<PipelineId>,
}

thread_local! {
    static RECORD: RefCell<Record> = RefCell::default();
}

/// Begins to record on this thread; what was recorded before is dropped.
pub fn start() {
    RECORD.with_borrow_mut(|record| record.events = Some(Vec::new()));
}

/// Ends recording and hands over what was recorded.
pub fn take() -> Vec<TraceEvent> {
    RECORD.with_borrow_mut(|record| record.events.take().unwrap_or_default())
}

fn push(event: impl FnOnce(&Record) -> TraceEvent) {
    RECORD.with_borrow_mut(|record| {
        if record.events.is_some() {
            let event = event(record);
            if let Some(events) = &mut record.events {
                events.push(event);
            }
        }
    });
}

pub(crate) fn began(block: BlockId, mode: Mode) {
    RECORD.with_borrow_mut(|record| record.blocks = vec![block]);
    push(|_| TraceEvent::Began { block, mode });
}

pub(crate) fn resumed(block: BlockId) {
    RECORD.with_borrow_mut(|record| record.blocks = vec![block]);
    push(|_| TraceEvent::Resumed { block });
}

pub(crate) fn ended(verdict: &Verdict) {
    push(|_| TraceEvent::Ended(verdict.clone()));
}

pub(crate) fn answered(asked: &[Origin], answers: &[Answer]) {
    for (origin, answer) in asked.iter().zip(answers) {
        push(|_| TraceEvent::Answered {
            origin: *origin,
            answer: answer.clone(),
        });
    }
}

pub(crate) fn entered(block: BlockId) {
    RECORD.with_borrow_mut(|record| record.blocks.push(block));
}

pub(crate) fn left() {
    RECORD.with_borrow_mut(|record| record.blocks.pop());
}

fn block(record: &Record) -> BlockId {
    record.blocks.last().copied().unwrap_or(BlockId(u32::MAX))
}

pub(crate) fn evaluated(at: usize, instr: &Instr, value: &Value<'_>, scope: &Scope<'_>) {
    push(|record| TraceEvent::Value {
        block: block(record),
        at,
        reads: reads(instr)
            .into_iter()
            .map(|id| (id, found(scope.find(id))))
            .collect(),
        value: seen(value),
    });
}

pub(crate) fn stepped(at: usize, taken: Option<Truth>, to: Option<usize>, denied: Option<&DenialInfo>) {
    push(|record| TraceEvent::Step {
        block: block(record),
        at,
        taken,
        went: match (denied, to) {
            (Some(denied), _) => Went::Denied(denied.clone()),
            (None, Some(to)) => Went::To(to),
            (None, None) => Went::Waits,
        },
    });
}

/// A step of a shadow run, where some way goes on behind it (`alive`) or none does.
pub(crate) fn probed(at: usize, instr: &Instr, taken: Truth, alive: bool, denied: Option<&DenialInfo>) {
    let jump = match (instr, taken) {
        (Instr::SkipUnless(target, _), Truth::False)
        | (Instr::Decide(target), Truth::True)
        | (Instr::Jump(target), _) => Some(*target as usize),
        _ => None,
    };
    let condition = matches!(instr, Instr::DenyIf(_) | Instr::SkipUnless(..) | Instr::Decide(_));
    push(|record| TraceEvent::Step {
        block: block(record),
        at,
        taken: condition.then_some(taken),
        went: match (jump, alive) {
            (Some(to), _) => Went::To(to),
            (None, true) => Went::To(at.saturating_add(1)),
            // Of several denials a shadow run tells the first.
            (None, false) => Went::Denied(denied.cloned().unwrap_or_else(|| DenialInfo {
                code: String::new(),
                reason: String::new(),
                rule: String::new(),
            })),
        },
    });
}

pub(crate) fn pipeline(id: PipelineId) {
    RECORD.with_borrow_mut(|record| record.pipeline = Some(id));
}

pub(crate) fn condition(stage: usize, truth: Truth) {
    push(|record| TraceEvent::Condition {
        pipeline: record.pipeline.unwrap_or(PipelineId(u32::MAX)),
        stage,
        truth,
    });
}

pub(crate) fn stage(at: usize) {
    push(|record| TraceEvent::Stage {
        pipeline: record.pipeline.unwrap_or(PipelineId(u32::MAX)),
        stage: at,
    });
}

pub(crate) fn absent() {
    push(|record| TraceEvent::Absent {
        pipeline: record.pipeline.unwrap_or(PipelineId(u32::MAX)),
    });
}

/// The attributes that an instruction names.
fn reads(instr: &Instr) -> Vec<AttrId> {
    match instr {
        Instr::Truth(attr)
        | Instr::Exists(attr)
        | Instr::Compare(_, attr, _)
        | Instr::Contains(attr, _)
        | Instr::Load(attr)
        | Instr::Has(attr) => vec![*attr],
        Instr::In(member, set) => vec![*member, *set],
        _ => Vec::new(),
    }
}

fn found(found: Found<'_>) -> Seen {
    match found {
        Found::Absent => Seen::Absent,
        Found::Unknown => Seen::Unknown,
        Found::Node(node) => of_node(node),
        Found::Labels(labels) => {
            let all: Vec<&str> = labels.all().into_iter().collect();
            match labels.rest {
                Rest::None => Seen::List(all.len(), quoted(all)),
                Rest::Unknown | Rest::Unloaded => Seen::Unknown,
            }
        }
        Found::Fact(fact) => match fact {
            Fact::Bool(value) => Seen::Bool(*value),
            Fact::Int(value) => Seen::Number(value.to_string()),
            Fact::Float(value) => Seen::Number(value.to_string()),
            Fact::Str(text) => Seen::Text(text.clone()),
            Fact::Set(texts) => Seen::List(texts.len(), quoted(texts.iter().map(String::as_str))),
            Fact::Opaque => Seen::Opaque("an object or a mixed list".to_owned()),
            Fact::Unknown => Seen::Unknown,
        },
    }
}

fn of_node(node: Node<'_>) -> Seen {
    let raw = || String::from_utf8_lossy(node.raw()).into_owned();
    match node.kind() {
        Kind::Null => Seen::Null,
        Kind::Bool => node.as_bool().map_or(Seen::Error, Seen::Bool),
        Kind::Number => Seen::Number(raw()),
        Kind::String => node
            .as_str()
            .map_or(Seen::Error, |text| Seen::Text(text.into_owned())),
        Kind::Array => Seen::List(node.len(), raw()),
        Kind::Object => Seen::Opaque(raw()),
    }
}

fn seen(value: &Value<'_>) -> Seen {
    let number = |number: Option<Number>| match number {
        Some(Number::Int(value)) => Seen::Number(value.to_string()),
        Some(Number::Float(value)) => Seen::Number(value.to_string()),
        None => Seen::Error,
    };
    match value {
        Value::Null => Seen::Null,
        Value::Bool(value) => Seen::Bool(*value),
        Value::Int(_) | Value::Uint(_) | Value::Float(_) => number(value.number()),
        Value::Str(text) => Seen::Text(text.to_string()),
        Value::List(List::Array(node)) | Value::Map(Map::Object(node)) => of_node(*node),
        Value::Map(map @ Map::Made(..)) => Seen::Opaque(format!("a map of {}", map.len())),
        Value::Time(at) => Seen::Text(crate::expr::spell_moment(*at)),
        Value::Span(length) => Seen::Text(crate::expr::spell_stretch(*length)),
        Value::Type(name) => Seen::Text((*name).to_owned()),
        // An expression's own lists can be lists of lists; how many there are is enough to follow it.
        Value::List(list @ List::Made(..)) => Seen::List(list.len(), format!("a list of {}", list.len())),
        Value::Unknown => Seen::Unknown,
        Value::Error | Value::Fault => Seen::Error,
    }
}

fn quoted<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let all: Vec<String> = texts
        .into_iter()
        .map(|text| {
            let mut out = Vec::new();
            apl_json::quote(text, &mut out);
            String::from_utf8_lossy(&out).into_owned()
        })
        .collect();
    format!("[{}]", all.join(", "))
}
