//! CEL expressions to instructions.
//!
//! The `cel` crate parses; its interpreter is not used. Identifiers are attributes (`role.engineer`, `args.visibility`),
//! variables of comprehensions, or further entries of the step's own map, which are constants.

mod macros;
mod parse;

use std::collections::HashMap;

use apl_bytecode::{Arith, Call, CmpOp, Const, Instr};
use cel::common::ast::{
    CallExpr, EntryExpr, Expr, IdedEntryExpr, IdedExpr, LiteralValue, SourceInfo, operators,
};

use super::policy::Lowering;
use super::regex;
use super::tables::Tables;
use crate::diagnostics::{Code, Diagnostic, error};
use crate::source::Span;
use crate::syntax::{AttrSeg, Path, Pdp, Slice};
use crate::vocabulary::NAMESPACES;

type Compiled = Result<(), Box<Diagnostic>>;

/// Compiles the expression of a `cel:` step to code that leaves its value. `None`: errors, which were reported.
pub(crate) fn compile(pdp: &Pdp, span: Span, lowering: &mut Lowering<'_>) -> Option<Vec<Instr>> {
    let Some((_, at, node)) = pdp.body.iter().find(|(key, _, _)| key == "expr") else {
        lowering.reports.push(
            error(Code::MissingKey, span, "`cel` needs `expr`")
                .help("- cel:\n    expr: \"role.engineer && args.visibility == 'internal'\""),
        );
        return None;
    };
    let Some(text) = node.text(lowering.text_of(node.span)) else {
        lowering.reports.error(
            Code::WrongType,
            node.span,
            format!("`expr` is text, this is {}", node.kind()),
        );
        return None;
    };
    let variables = variables(pdp, lowering)?;
    let source = text.all();
    if source.trim().is_empty() {
        lowering
            .reports
            .error(Code::CelSyntax, *at, "the expression is empty");
        return None;
    }
    let (tree, info) = match parse::parse(source.as_str()) {
        Ok(parsed) => parsed,
        Err(parse::Refusal::Bounds(what)) => {
            lowering
                .reports
                .push(error(Code::Limit, source.span(), what).help("split it into several `cel` steps"));
            return None;
        }
        Err(parse::Refusal::Syntax(faults)) => {
            for fault in &faults.errors {
                let at = offset(source.as_str(), fault.pos);
                let place = source.sub(at, at + 1).span();
                lowering.reports.error(
                    Code::CelSyntax,
                    place,
                    format!(
                        "the expression does not parse: {}",
                        fault.msg.lines().next().unwrap_or("")
                    ),
                );
            }
            return None;
        }
    };
    let mut out = Vec::new();
    let mut compiler = Compiler {
        lowering,
        text: source,
        info: &info,
        variables,
        locals: Vec::new(),
    };
    match compiler.expr(&tree, &mut out) {
        Ok(()) => Some(out),
        Err(fault) => {
            lowering.reports.push(*fault);
            None
        }
    }
}

/// Entries of the map beside `expr`.
fn variables(pdp: &Pdp, lowering: &mut Lowering<'_>) -> Option<HashMap<String, Const>> {
    use crate::yaml::Value;
    let mut variables = HashMap::new();
    let mut good = true;
    for (key, span, node) in pdp.body.iter().filter(|(key, _, _)| key != "expr") {
        if NAMESPACES.iter().any(|(name, _, _)| name == key) {
            lowering.reports.error(
                Code::BadValue,
                *span,
                format!("the variable `{key}` would hide the attributes of that name"),
            );
            good = false;
            continue;
        }
        let constant = match &node.value {
            Value::Bool(value) => Const::Bool(*value),
            Value::Int(value) => Const::Int(*value),
            Value::Float(value) => Const::Float(*value),
            Value::Str(text, _) => Const::Str(lowering.tables.str(text)),
            Value::Null => Const::Null,
            Value::List(_) | Value::Map(_) => {
                lowering.reports.push(
                    error(
                        Code::CelUnsupported,
                        *span,
                        format!("the variable `{key}` is {}", node.kind()),
                    )
                    .help("variables are texts, numbers and booleans; write a list into the expression"),
                );
                good = false;
                continue;
            }
        };
        variables.insert(key.clone(), constant);
    }
    good.then_some(variables)
}

/// The byte at a line (from 1) and column (from 1, or 0 when unknown).
fn offset(text: &str, (line, column): (isize, isize)) -> usize {
    let line = usize::try_from(line).unwrap_or(1).max(1) - 1;
    let column = usize::try_from(column).unwrap_or(1).max(1) - 1;
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = text.get(start..).unwrap_or("");
    let within: usize = rest.chars().take(column).map(char::len_utf8).sum();
    (start + within).min(text.len().saturating_sub(1))
}

struct Compiler<'c, 'l, 't> {
    lowering: &'c mut Lowering<'l>,
    text: Slice<'t>,
    info: &'c SourceInfo,
    variables: HashMap<String, Const>,
    /// Variables of the comprehensions around this place, outermost first.
    locals: Vec<String>,
}

impl Compiler<'_, '_, '_> {
    fn span(&self, expr: &IdedExpr) -> Span {
        let text = self.text.as_str();
        let byte = |chars: u32| {
            text.char_indices()
                .nth(chars as usize)
                .map_or(text.len(), |(at, _)| at)
        };
        match self.info.offset_for(expr.id) {
            Some((start, stop)) => self
                .text
                .sub(byte(start), byte(stop.saturating_add(1)).max(byte(start) + 1))
                .span(),
            None => self.text.span(),
        }
    }

    fn unsupported(&self, expr: &IdedExpr, what: &str) -> Box<Diagnostic> {
        error(
            Code::CelUnsupported,
            self.span(expr),
            format!("{what} is not in this build"),
        )
        .help("see `aplc explain APL0251` for what is")
        .into()
    }

    fn tables(&mut self) -> &mut Tables {
        &mut self.lowering.tables
    }

    fn expr(&mut self, expr: &IdedExpr, out: &mut Vec<Instr>) -> Compiled {
        match &expr.expr {
            Expr::Literal(value) => self.literal(expr, value, out),
            Expr::Ident(_) => self.attribute_or(expr, out),
            Expr::Select(select) if select.test => self.presence(expr, out),
            Expr::Select(_) => self.attribute_or(expr, out),
            Expr::List(list) => {
                if !list.optional_indices.is_empty() {
                    return Err(self.unsupported(expr, "an optional element"));
                }
                for element in &list.elements {
                    self.expr(element, out)?;
                }
                let count = u16::try_from(list.elements.len())
                    .ok()
                    .filter(|count| *count <= 512);
                let count =
                    count.ok_or_else(|| self.unsupported(expr, "a list of more than 512 elements"))?;
                out.push(Instr::List(count));
                Ok(())
            }
            Expr::Call(call) => self.call(expr, call, out),
            Expr::Comprehension(inner) => self.comprehension(expr, inner, out),
            Expr::Map(map) => self.map(expr, &map.entries, out),
            Expr::Struct(_) => Err(self.unsupported(expr, "a message literal")),
            Expr::Unspecified => Err(self.unsupported(expr, "this part of the expression")),
        }
    }

    fn map(&mut self, expr: &IdedExpr, entries: &[IdedEntryExpr], out: &mut Vec<Instr>) -> Compiled {
        for entry in entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else {
                return Err(self.unsupported(expr, "a field in a map"));
            };
            if entry.optional {
                return Err(self.unsupported(expr, "an optional entry"));
            }
            self.expr(&entry.key, out)?;
            self.expr(&entry.value, out)?;
        }
        let count = u16::try_from(entries.len()).ok().filter(|count| *count <= 256);
        let count = count.ok_or_else(|| self.unsupported(expr, "a map of more than 256 entries"))?;
        out.push(Instr::Map(count));
        Ok(())
    }

    /// The name of a type stands for the type of any of its values.
    fn type_name(&mut self, name: &str, out: &mut Vec<Instr>) -> bool {
        let value = match name {
            "bool" => Const::Bool(false),
            "int" => Const::Int(0),
            "uint" => Const::Uint(0),
            "double" => Const::Float(0.0),
            "string" => Const::Str(self.tables().str("")),
            "null_type" => Const::Null,
            "list" => {
                out.extend([Instr::List(0), Instr::Call(Call::Type)]);
                return true;
            }
            "map" => {
                out.extend([Instr::Map(0), Instr::Call(Call::Type)]);
                return true;
            }
            "type" => {
                out.extend([Instr::List(0), Instr::Call(Call::Type), Instr::Call(Call::Type)]);
                return true;
            }
            _ => return false,
        };
        let id = self.tables().constant(value);
        out.extend([Instr::Const(id), Instr::Call(Call::Type)]);
        true
    }

    fn literal(&mut self, expr: &IdedExpr, value: &LiteralValue, out: &mut Vec<Instr>) -> Compiled {
        let constant = match value {
            LiteralValue::Boolean(value) => Const::Bool(*value.inner()),
            LiteralValue::Int(value) => Const::Int(*value.inner()),
            LiteralValue::UInt(value) => Const::Uint(*value.inner()),
            LiteralValue::Double(value) => Const::Float(*value.inner()),
            LiteralValue::String(value) => Const::Str(self.tables().str(value.inner())),
            LiteralValue::Null => Const::Null,
            LiteralValue::Bytes(_) => return Err(self.unsupported(expr, "a bytes literal")),
        };
        let id = self.tables().constant(constant);
        out.push(Instr::Const(id));
        Ok(())
    }

    /// The attribute that `a.b["c"]` spells, unless its root is a variable.
    fn path(&self, expr: &IdedExpr) -> Option<Vec<String>> {
        let mut names = match &expr.expr {
            Expr::Ident(name) => {
                let hidden = self.locals.contains(name) || self.variables.contains_key(name);
                return (!hidden).then(|| vec![name.clone()]);
            }
            Expr::Select(select) if !select.test => self.path(&select.operand)?,
            Expr::Call(call) if call.func_name == operators::INDEX => self.path(call.args.first()?)?,
            _ => return None,
        };
        match &expr.expr {
            Expr::Select(select) => names.push(select.field.clone()),
            Expr::Call(call) => match &call.args.get(1)?.expr {
                Expr::Literal(LiteralValue::String(key)) => names.push(key.inner().to_owned()),
                _ => return None,
            },
            _ => return None,
        }
        Some(names)
    }

    fn attribute(
        &mut self,
        expr: &IdedExpr,
        names: &[String],
    ) -> Result<apl_bytecode::AttrId, Box<Diagnostic>> {
        let span = self.span(expr);
        let path = Path {
            segs: names.iter().cloned().map(AttrSeg::Name).collect(),
            span,
        };
        if names.len() == 1 && NAMESPACES.iter().any(|(name, _, _)| *name == path.root()) {
            // A whole namespace is a map of what is known of it.
            return Ok(self.tables().attr_of(&[path.root()]));
        }
        self.lowering.check_path(&path);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Ok(self.tables().attr_of(&names))
    }

    fn attribute_or(&mut self, expr: &IdedExpr, out: &mut Vec<Instr>) -> Compiled {
        if let Some(names) = self.path(expr) {
            if let [name] = names.as_slice()
                && self.type_name(name, out)
            {
                return Ok(());
            }
            let attr = self.attribute(expr, &names)?;
            out.push(Instr::Load(attr));
            return Ok(());
        }
        match &expr.expr {
            Expr::Ident(name) => {
                if let Some(depth) = self.locals.iter().rposition(|local| local == name) {
                    let slot =
                        u8::try_from(depth).map_err(|_| self.unsupported(expr, "nesting this deep"))?;
                    out.push(Instr::Local(slot));
                } else if let Some(constant) = self.variables.get(name).copied() {
                    let id = self.tables().constant(constant);
                    out.push(Instr::Const(id));
                }
                Ok(())
            }
            Expr::Select(select) => {
                self.expr(&select.operand, out)?;
                let name = self.tables().str(&select.field);
                out.push(Instr::Select(name));
                Ok(())
            }
            _ => Err(self.unsupported(expr, "this part of the expression")),
        }
    }

    /// `has(a.b)`.
    fn presence(&mut self, expr: &IdedExpr, out: &mut Vec<Instr>) -> Compiled {
        let Expr::Select(select) = &expr.expr else {
            return Ok(());
        };
        // Below the first level of a document the parent must be there, or asking is an error, as in CEL. Facts have no
        // parents: `has(role.x)` is false for somebody without any role.
        let document =
            |names: &[String]| names.len() > 1 && matches!(names[0].as_str(), "args" | "result" | "data");
        if let Some(mut names) = self.path(&select.operand).filter(|names| !document(names)) {
            names.push(select.field.clone());
            let attr = self.attribute(expr, &names)?;
            out.push(Instr::Has(attr));
            return Ok(());
        }
        self.expr(&select.operand, out)?;
        let name = self.tables().str(&select.field);
        out.push(Instr::HasField(name));
        Ok(())
    }

    fn call(&mut self, expr: &IdedExpr, call: &CallExpr, out: &mut Vec<Instr>) -> Compiled {
        if call.func_name == operators::INDEX
            && let Some(names) = self.path(expr)
        {
            let attr = self.attribute(expr, &names)?;
            out.push(Instr::Load(attr));
            return Ok(());
        }
        if call.func_name == "matches" {
            return self.matches(expr, call, out);
        }
        if call.func_name == "dyn" && call.args.len() == 1 && call.target.is_none() {
            return call.args.iter().try_for_each(|argument| self.expr(argument, out));
        }
        let count = call.args.len() + usize::from(call.target.is_some());
        let Some(instr) = operator(&call.func_name, count, call.target.is_some()) else {
            return Err(self.unsupported(
                expr,
                &format!(
                    "the function `{}` with {count} argument{}",
                    call.func_name,
                    if count == 1 { "" } else { "s" }
                ),
            ));
        };
        for part in call.target.as_deref().into_iter().chain(&call.args) {
            self.expr(part, out)?;
        }
        out.push(instr);
        Ok(())
    }

    fn matches(&mut self, expr: &IdedExpr, call: &CallExpr, out: &mut Vec<Instr>) -> Compiled {
        let parts: Vec<&IdedExpr> = call.target.as_deref().into_iter().chain(&call.args).collect();
        let [text, pattern] = parts.as_slice() else {
            return Err(self.unsupported(expr, "`matches` with other than two arguments"));
        };
        let Expr::Literal(LiteralValue::String(literal)) = &pattern.expr else {
            return Err(self.unsupported(pattern, "a pattern that is not a literal"));
        };
        self.expr(text, out)?;
        let span = self.span(pattern);
        match regex::compile(
            literal.inner(),
            span,
            &mut self.lowering.tables,
            self.lowering.reports,
        ) {
            Some(id) => {
                out.push(Instr::Matches(id));
                Ok(())
            }
            // The fault was reported; anything pushed keeps the stack as the rest of the expression expects it.
            None => {
                let id = self.tables().constant(Const::Bool(false));
                out.push(Instr::Const(id));
                out.push(Instr::And);
                Ok(())
            }
        }
    }
}

fn operator(name: &str, count: usize, receiver: bool) -> Option<Instr> {
    let instr = match (name, count) {
        (operators::LOGICAL_AND, 2) => Instr::And,
        (operators::LOGICAL_OR, 2) => Instr::Or,
        (operators::LOGICAL_NOT, 1) => Instr::Not,
        (operators::CONDITIONAL, 3) => Instr::Choose,
        (operators::EQUALS, 2) => Instr::Cel(CmpOp::Eq),
        (operators::NOT_EQUALS, 2) => Instr::Cel(CmpOp::Ne),
        (operators::LESS, 2) => Instr::Cel(CmpOp::Lt),
        (operators::LESS_EQUALS, 2) => Instr::Cel(CmpOp::Le),
        (operators::GREATER, 2) => Instr::Cel(CmpOp::Gt),
        (operators::GREATER_EQUALS, 2) => Instr::Cel(CmpOp::Ge),
        (operators::ADD, 2) => Instr::Arith(Arith::Add),
        (operators::SUBSTRACT, 2) => Instr::Arith(Arith::Sub),
        (operators::MULTIPLY, 2) => Instr::Arith(Arith::Mul),
        (operators::DIVIDE, 2) => Instr::Arith(Arith::Div),
        (operators::MODULO, 2) => Instr::Arith(Arith::Rem),
        (operators::NEGATE, 1) => Instr::Neg,
        (operators::INDEX, 2) => Instr::Index,
        (operators::IN, 2) => Instr::CelIn,
        (name, count) => {
            let count = u16::try_from(count).ok()?;
            let function = Call::ALL.into_iter().find(|function| {
                let placed = *function == Call::Size || function.is_method() == receiver;
                function.name() == name && function.arity() == count && placed
            })?;
            Instr::Call(function)
        }
    };
    Some(instr)
}
