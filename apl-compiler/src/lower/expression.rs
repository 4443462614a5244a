//! Predicates to expression instructions, negation pushed to the leaves.

use apl_bytecode::{CmpOp, Instr};

use super::tables::Tables;
use crate::syntax::{Predicate, Test};

/// Appends the instructions that leave the predicate's value, or its negation's.
///
/// De Morgan's laws hold for {true, false, unknown, error}, so this changes no verdict; `!(a == b)` is `a != b` because
/// `!=` on a missing attribute is true.
pub(crate) fn predicate(predicate: &Predicate, negated: bool, tables: &mut Tables, out: &mut Vec<Instr>) {
    match predicate {
        Predicate::Not(inner) => self::predicate(inner, !negated, tables, out),
        Predicate::And(parts) => join(
            parts,
            negated,
            if negated { Instr::Or } else { Instr::And },
            tables,
            out,
        ),
        Predicate::Or(parts) => join(
            parts,
            negated,
            if negated { Instr::And } else { Instr::Or },
            tables,
            out,
        ),
        Predicate::Test(test) => leaf(test, negated, tables, out),
    }
}

fn join(parts: &[Predicate], negated: bool, with: Instr, tables: &mut Tables, out: &mut Vec<Instr>) {
    for (index, part) in parts.iter().enumerate() {
        predicate(part, negated, tables, out);
        if index > 0 {
            out.push(with.clone());
        }
    }
}

fn leaf(test: &Test, negated: bool, tables: &mut Tables, out: &mut Vec<Instr>) {
    let instr = match test {
        Test::Truth(path) => Instr::Truth(tables.attr(path)),
        Test::Exists(path) => Instr::Exists(tables.attr(path)),
        Test::Compare(op, path, literal) => {
            let (attr, literal) = (tables.attr(path), tables.literal(literal));
            match (op, negated) {
                (CmpOp::Eq, true) => return out.push(Instr::Compare(CmpOp::Ne, attr, literal)),
                (CmpOp::Ne, true) => return out.push(Instr::Compare(CmpOp::Eq, attr, literal)),
                _ => Instr::Compare(*op, attr, literal),
            }
        }
        Test::Contains(path, literal) => Instr::Contains(tables.attr(path), tables.literal(literal)),
        Test::In(member, set) => Instr::In(tables.attr(member), tables.attr(set)),
    };
    out.push(instr);
    if negated {
        out.push(Instr::Not);
    }
}
