//! Blocks and instructions. The numbers are the opcodes of format version 1 and never change their meaning.

use super::{choice, record};
use crate::model::{Arith, Block, BlockKind, Call, CmpOp, Fold, Instr};

record!(Block { kind, code });

choice!(BlockKind, "block kind" { 0 => Expr, 1 => Steps });

choice!(Instr, "instruction" {
    0x01 => Truth(attr),
    0x02 => Exists(attr),
    0x03 => Compare(op, attr, constant),
    0x04 => Contains(attr, constant),
    0x05 => In(member, set),
    0x10 => And,
    0x11 => Or,
    0x12 => Not,
    0x20 => Const(constant),
    0x21 => Load(attr),
    0x22 => Has(attr),
    0x23 => Cel(op),
    0x24 => CelIn,
    0x25 => Arith(op),
    0x26 => Neg,
    0x27 => Index,
    0x28 => Select(name),
    0x29 => HasField(name),
    0x2a => Choose,
    0x2b => List(count),
    0x2c => Call(function),
    0x2d => Matches(regex),
    0x2e => Local(slot),
    0x2f => Fold(kind, body),
    0x30 => Map(count),
    0x31 => Answer(effect),
    0x40 => DenyIf(denial),
    0x41 => SkipUnless(target, denial),
    0x42 => Decide(target),
    0x43 => Deny(denial),
    0x44 => Jump(target),
    0x45 => Pipeline(pipeline),
    0x46 => Scan(scanner, denial),
    0x47 => Effect(effect),
    0x48 => Await,
    0x49 => DenyAs(effect, denial),
});

choice!(CmpOp, "comparison" { 0 => Eq, 1 => Ne, 2 => Lt, 3 => Le, 4 => Gt, 5 => Ge });

choice!(Arith, "arithmetic operator" { 0 => Add, 1 => Sub, 2 => Mul, 3 => Div, 4 => Rem });

choice!(Call, "function" {
    0 => Size,
    1 => StartsWith,
    2 => EndsWith,
    3 => Contains,
    4 => Int,
    5 => Uint,
    6 => Double,
    7 => String,
    8 => Bool,
    9 => LowerAscii,
    10 => UpperAscii,
    11 => Trim,
    12 => Type,
    13 => Split,
    14 => SplitMost,
    15 => Join,
    16 => JoinWith,
    17 => Replace,
    18 => ReplaceMost,
    19 => SubstringFrom,
    20 => Substring,
    21 => IndexOf,
    22 => LastIndexOf,
    23 => CharAt,
    24 => Reverse,
    25 => Timestamp,
    26 => Duration,
    27 => GetFullYear,
    28 => GetMonth,
    29 => GetDayOfMonth,
    30 => GetDate,
    31 => GetDayOfWeek,
    32 => GetDayOfYear,
    33 => GetHours,
    34 => GetMinutes,
    35 => GetSeconds,
    36 => GetMilliseconds,
});

choice!(Fold, "comprehension" { 0 => All, 1 => Exists, 2 => ExistsOne, 3 => Filter, 4 => Map });
