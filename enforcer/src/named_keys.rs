//! Keys that a route's policy names in the arguments: a twin that differs only in case is refused (`execution.md` rule 21),
//! because the backend may take it for the key while policy sees another one, or none.

use std::{collections::HashMap, rc::Rc};

use apl_bytecode::{
    AttrId, Block, BlockId, Cost, Effect, Instr, Members, Operand, PathSeg, Program, Seg, Side, StrId,
};
use apl_vm::{Kind, Node};

/// A path below `args`, as far as its keys are spelled out.
type Path = Rc<[String]>;

/// The paths that each block reads.
#[derive(Debug, Default)]
pub(crate) struct NamedKeys {
    paths: HashMap<BlockId, Vec<Path>>,
}

impl NamedKeys {
    /// Reads the program once.
    pub(crate) fn of(program: &Program) -> Self {
        let paths = program
            .blocks
            .iter()
            .enumerate()
            .filter_map(|(at, block)| {
                let id = BlockId(u32::try_from(at).ok()?);
                let mut found = Vec::new();
                collect(program, block, &mut found, 0);
                (!found.is_empty()).then_some((id, found))
            })
            .collect();
        Self { paths }
    }

    /// Whether the arguments hold a twin of a key that one of these blocks names.
    pub(crate) fn has_twin(&self, blocks: [Option<BlockId>; 2], args: Node<'_>) -> bool {
        blocks
            .into_iter()
            .flatten()
            .filter_map(|block| self.paths.get(&block))
            .flatten()
            .any(|path| twin(args, path))
    }
}

/// Documents are depth-limited, so the recursion is.
fn twin(node: Node<'_>, path: &[String]) -> bool {
    let Some((key, rest)) = path.split_first() else {
        return false;
    };
    match node.kind() {
        Kind::Object => {
            node.folded_twin(key).is_some() || node.get(key).is_some_and(|child| twin(child, rest))
        }
        // Paths fan out over elements.
        Kind::Array => node.elements().any(|element| twin(element, path)),
        Kind::Null | Kind::Bool | Kind::Number | Kind::String => false,
    }
}

/// How deep bodies of comprehensions are followed; the verifier allows fewer.
const MAX_BODIES: u8 = 32;

fn collect(program: &Program, block: &Block, found: &mut Vec<Path>, depth: u8) {
    for instr in &block.code {
        let body = match instr {
            Instr::Truth(attr)
            | Instr::Exists(attr)
            | Instr::Compare(_, attr, _)
            | Instr::Contains(attr, _)
            | Instr::Load(attr)
            | Instr::Has(attr) => {
                add(found, of_attr(program, *attr));
                None
            }
            Instr::In(member, set) => {
                add(found, of_attr(program, *member));
                add(found, of_attr(program, *set));
                None
            }
            Instr::Fold(_, body) => Some(*body),
            Instr::Pipeline(id) => {
                let pipeline = program.pipelines.get(id.at());
                let pipeline = pipeline.filter(|pipeline| pipeline.side == Side::Args);
                add(found, pipeline.map(|pipeline| of_path(program, &pipeline.path)));
                None
            }
            Instr::And
            | Instr::Or
            | Instr::Not
            | Instr::Const(_)
            | Instr::Cel(_)
            | Instr::CelIn
            | Instr::Arith(_)
            | Instr::Neg
            | Instr::Index
            | Instr::Select(_)
            | Instr::HasField(_)
            | Instr::Choose
            | Instr::List(_)
            | Instr::Map(_)
            | Instr::Answer(_)
            | Instr::Call(_)
            | Instr::Matches(_)
            | Instr::Local(_)
            | Instr::DenyIf(_)
            | Instr::SkipUnless(..)
            | Instr::Decide(_)
            | Instr::Deny(_)
            | Instr::DenyAs(..)
            | Instr::Jump(_)
            | Instr::Scan(..)
            | Instr::Await => None,
            Instr::Effect(id) => {
                let effect = program.effects.get(id.at());
                effect.and_then(|effect| of_effect(program, effect, found))
            }
        };
        let body = body.and_then(|body| program.blocks.get(body.at()));
        if let Some(body) = body.filter(|_| depth < MAX_BODIES) {
            collect(program, body, found, depth.saturating_add(1));
        }
    }
}

/// What an effect names, and the expression that it asks with.
fn of_effect(program: &Program, effect: &Effect, found: &mut Vec<Path>) -> Option<BlockId> {
    let mut named: Vec<AttrId> = Vec::new();
    let mut body = None;
    match effect {
        Effect::Taint { .. } | Effect::LoadLabels { .. } | Effect::Delegate(_) | Effect::Audit { .. } => {}
        Effect::Elicit(elicit) => {
            named.extend(elicit.show.iter().flatten());
            match elicit.from {
                Operand::Attr(attr) => named.push(attr),
                Operand::Text(_) => {}
            }
        }
        Effect::Decide(decision) => body = Some(decision.call),
        Effect::Count(count) => {
            named.extend(&count.by);
            match count.cost {
                Cost::Attr(attr) => named.push(attr),
                Cost::Fixed(_) => {}
            }
        }
        Effect::Restrict(restrict) => {
            named.extend(restrict.lists.iter().filter_map(|(_, members)| match members {
                Members::Attr(attr) => Some(*attr),
                Members::Texts(_) => None,
            }));
        }
    }
    for attr in named {
        add(found, of_attr(program, attr));
    }
    body
}

// Not sorted: that would be 20 KB of the module for a handful of paths.
fn add(found: &mut Vec<Path>, path: Option<Path>) {
    if let Some(path) = path.filter(|path| !found.contains(path)) {
        found.push(path);
    }
}

fn of_attr(program: &Program, id: AttrId) -> Option<Path> {
    let (first, rest) = program.attrs.get(id.at())?.segs.split_first()?;
    let spelled = |seg: &Seg| match seg {
        Seg::Name(name) => Some(text(program, *name)),
        Seg::Value(_) => None,
    };
    (spelled(first)? == "args").then(|| rest.iter().map_while(spelled).collect())
}

fn of_path(program: &Program, path: &[PathSeg]) -> Path {
    path.iter()
        .map_while(|seg| match seg {
            PathSeg::Key(key) => Some(text(program, *key)),
            PathSeg::AnyDepth => None,
        })
        .collect()
}

fn text(program: &Program, id: StrId) -> String {
    program.strings.get(id.at()).cloned().unwrap_or_default()
}
