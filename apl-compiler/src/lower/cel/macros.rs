//! The macros `all`, `exists`, `exists_one`, `filter` and `map`, which the parser has already expanded to loops: this reads
//! from a loop which macro it was.

use apl_bytecode::{Fold, Instr};
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, operators};

use super::{Compiled, Compiler};

/// What a loop was before it was expanded.
enum Macro<'e> {
    /// All but `map` with a filter.
    One(Fold, &'e IdedExpr),
    /// `map(v, filter, transform)`.
    FilterMap(&'e IdedExpr, &'e IdedExpr),
}

impl Compiler<'_, '_, '_> {
    pub(super) fn comprehension(
        &mut self,
        expr: &IdedExpr,
        inner: &ComprehensionExpr,
        out: &mut Vec<Instr>,
    ) -> Compiled {
        if inner.iter_var2.is_some() {
            return Err(self.unsupported(expr, "a comprehension with two variables"));
        }
        let Some(found) = recognise(inner) else {
            return Err(self.unsupported(expr, "this comprehension"));
        };
        self.expr(&inner.iter_range, out)?;
        match found {
            Macro::One(fold, body) => self.fold(fold, &inner.iter_var, body, out),
            Macro::FilterMap(filter, transform) => {
                self.fold(Fold::Filter, &inner.iter_var, filter, out)?;
                self.fold(Fold::Map, &inner.iter_var, transform, out)
            }
        }
    }

    fn fold(&mut self, fold: Fold, variable: &str, body: &IdedExpr, out: &mut Vec<Instr>) -> Compiled {
        if self.locals.len() >= usize::from(apl_bytecode::limits::MAX_NESTING) {
            return Err(self.unsupported(body, "a comprehension nested this deep"));
        }
        self.locals.push(variable.to_owned());
        let mut code = Vec::new();
        let compiled = self.expr(body, &mut code);
        self.locals.pop();
        compiled?;
        let block = self.tables().expr(code);
        out.push(Instr::Fold(fold, block));
        Ok(())
    }
}

fn recognise(inner: &ComprehensionExpr) -> Option<Macro<'_>> {
    let step = call(&inner.loop_step)?;
    match (&inner.accu_init.expr, step.func_name.as_str()) {
        (Expr::Literal(LiteralValue::Boolean(value)), operators::LOGICAL_AND) if *value.inner() => {
            Some(Macro::One(Fold::All, step.args.get(1)?))
        }
        (Expr::Literal(LiteralValue::Boolean(value)), operators::LOGICAL_OR) if !*value.inner() => {
            Some(Macro::One(Fold::Exists, step.args.get(1)?))
        }
        (Expr::Literal(LiteralValue::Int(_)), operators::CONDITIONAL) => {
            Some(Macro::One(Fold::ExistsOne, step.args.first()?))
        }
        (Expr::List(_), operators::ADD) => Some(Macro::One(Fold::Map, element(step)?)),
        (Expr::List(_), operators::CONDITIONAL) => {
            let filter = step.args.first()?;
            let transform = element(call(step.args.get(1)?)?)?;
            match &transform.expr {
                Expr::Ident(name) if *name == inner.iter_var => Some(Macro::One(Fold::Filter, filter)),
                _ => Some(Macro::FilterMap(filter, transform)),
            }
        }
        _ => None,
    }
}

fn call(expr: &IdedExpr) -> Option<&CallExpr> {
    match &expr.expr {
        Expr::Call(call) => Some(call),
        _ => None,
    }
}

/// `x` in `accumulator + [x]`.
fn element(add: &CallExpr) -> Option<&IdedExpr> {
    match &add.args.get(1)?.expr {
        Expr::List(list) => list.elements.first(),
        _ => None,
    }
}
