//! Expression code back to text: the stack is run with spellings in place of values.

use apl_bytecode::{Arith, BlockId, CmpOp, Fold, Instr, Program};

use super::spell::{attr, constant, regex, text};

/// A spelling and how tightly it binds: 0 for `||`, 1 for `&&`, 2 for comparisons, 3 for what needs no parentheses.
type Piece = (String, u8);

/// What one instruction does to the stack. `None`: it is no part of an expression.
pub(super) fn push(program: &Program, instr: &Instr, stack: &mut Vec<Piece>) -> Option<()> {
    let piece = match instr {
        Instr::Truth(id) | Instr::Load(id) => (attr(program, *id), 3),
        Instr::Exists(id) => (format!("exists({})", attr(program, *id)), 3),
        Instr::Has(id) => (format!("has({})", attr(program, *id)), 3),
        Instr::Compare(op, id, with) => (
            format!(
                "{} {} {}",
                attr(program, *id),
                compare(*op),
                constant(program, *with)
            ),
            2,
        ),
        Instr::Contains(id, with) => (
            format!("{} contains {}", attr(program, *id), constant(program, *with)),
            2,
        ),
        Instr::In(member, set) => (
            format!("{} in {}", attr(program, *member), attr(program, *set)),
            2,
        ),
        Instr::And => binary("&", 1, stack),
        Instr::Or => binary("|", 0, stack),
        Instr::Not => {
            let (inner, binds) = pop(stack);
            (
                if binds == 3 {
                    format!("!{inner}")
                } else {
                    format!("!({inner})")
                },
                3,
            )
        }
        Instr::Const(id) => (constant(program, *id), 3),
        Instr::Cel(op) => binary(compare(*op), 2, stack),
        Instr::CelIn => binary("in", 2, stack),
        Instr::Arith(op) => binary(arith(*op), 2, stack),
        Instr::Neg => (format!("-({})", pop(stack).0), 3),
        Instr::Index => {
            let (key, of) = (pop(stack).0, pop(stack).0);
            (format!("{of}[{key}]"), 3)
        }
        Instr::Select(name) => (format!("{}.{}", pop(stack).0, text(program, *name)), 3),
        Instr::HasField(name) => (format!("has({}.{})", pop(stack).0, text(program, *name)), 3),
        Instr::Choose => {
            let (no, yes, condition) = (pop(stack).0, pop(stack).0, pop(stack).0);
            (format!("({condition} ? {yes} : {no})"), 3)
        }
        Instr::Map(count) => {
            let parts = popped(count.saturating_mul(2), stack);
            let entries: Vec<String> = parts.chunks(2).map(|pair| pair.join(": ")).collect();
            (format!("{{{}}}", entries.join(", ")), 3)
        }
        // It stands right behind the question.
        Instr::Answer(_) => ("the answer allows".to_owned(), 3),
        Instr::List(count) => (format!("[{}]", popped(*count, stack).join(", ")), 3),
        Instr::Call(function) => (
            format!(
                "{}({})",
                function.name(),
                popped(function.arity(), stack).join(", ")
            ),
            3,
        ),
        Instr::Matches(pattern) => (
            format!("matches({}, {})", pop(stack).0, regex(program, *pattern)),
            3,
        ),
        Instr::Local(slot) => (format!("it{slot}"), 3),
        Instr::Fold(kind, body) => {
            let of = pop(stack).0;
            (format!("{of}.{}({})", fold(*kind), block(program, *body)), 3)
        }
        Instr::DenyIf(_)
        | Instr::SkipUnless(..)
        | Instr::Decide(_)
        | Instr::Deny(_)
        | Instr::DenyAs(..)
        | Instr::Jump(_)
        | Instr::Pipeline(_)
        | Instr::Scan(..)
        | Instr::Effect(_)
        | Instr::Await => return None,
    };
    stack.push(piece);
    Some(())
}

/// An expression block.
pub(super) fn block(program: &Program, id: BlockId) -> String {
    let Some(block) = program.blocks.get(id.at()) else {
        return "?".to_owned();
    };
    let mut stack = Vec::new();
    for instr in &block.code {
        // Bodies stand before what refers to them, so this ends.
        if matches!(instr, Instr::Fold(_, body) if *body >= id) {
            return "?".to_owned();
        }
        let _ = push(program, instr, &mut stack);
    }
    pop(&mut stack).0
}

pub(super) fn pop(stack: &mut Vec<Piece>) -> Piece {
    stack.pop().unwrap_or_else(|| ("?".to_owned(), 3))
}

fn popped(count: u16, stack: &mut Vec<Piece>) -> Vec<String> {
    let mut values: Vec<String> = (0..count).map(|_| pop(stack).0).collect();
    values.reverse();
    values
}

fn binary(operator: &str, binds: u8, stack: &mut Vec<Piece>) -> Piece {
    let (right, left) = (pop(stack), pop(stack));
    // `a & b & c` is written without parentheses; a chain of comparisons is not.
    let inner = |(text, inner): Piece| {
        let looser = inner < binds || (inner == binds && binds == 2);
        if looser { format!("({text})") } else { text }
    };
    (format!("{} {operator} {}", inner(left), inner(right)), binds)
}

const fn compare(op: CmpOp) -> &'static str {
    match op {
        CmpOp::Eq => "==",
        CmpOp::Ne => "!=",
        CmpOp::Lt => "<",
        CmpOp::Le => "<=",
        CmpOp::Gt => ">",
        CmpOp::Ge => ">=",
    }
}

const fn arith(op: Arith) -> &'static str {
    match op {
        Arith::Add => "+",
        Arith::Sub => "-",
        Arith::Mul => "*",
        Arith::Div => "/",
        Arith::Rem => "%",
    }
}

const fn fold(kind: Fold) -> &'static str {
    match kind {
        Fold::All => "all",
        Fold::Exists => "exists",
        Fold::ExistsOne => "exists_one",
        Fold::Filter => "filter",
        Fold::Map => "map",
    }
}
