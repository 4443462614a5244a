//! Comprehensions.

use apl_bytecode::{BlockId, Fold};

use super::Eval;
use crate::{
    fuel::Exhausted,
    value::{List, Truth, Value},
};

impl<'a> Eval<'a, '_> {
    /// Runs the body once for each element of a list or key of a map (CEL 1.0, "Macros"). `all` and `exists` absorb
    /// errors as `&&` and `||` do, and stop when they are decided.
    pub(super) fn fold(
        &mut self,
        kind: Fold,
        body: BlockId,
        range: Value<'a>,
    ) -> Result<Value<'a>, Exhausted> {
        let items = match range {
            Value::List(list) => {
                self.fuel.elements(list.len())?;
                list.items()
            }
            Value::Map(map) => {
                self.fuel.elements(map.len())?;
                map.entries().into_iter().map(|(key, _)| key).collect()
            }
            Value::Unknown => return Ok(Value::Unknown),
            Value::Fault => return Ok(Value::Fault),
            _ => return Ok(Value::Error),
        };
        match kind {
            Fold::All => self.decide(body, items, Truth::True, Truth::and),
            Fold::Exists => self.decide(body, items, Truth::False, Truth::or),
            Fold::ExistsOne => self.exists_one(body, items),
            Fold::Filter => self.filter(body, items),
            Fold::Map => self.map(body, items),
        }
    }

    fn body(&mut self, body: BlockId, item: Value<'a>) -> Result<Value<'a>, Exhausted> {
        self.fuel.spend(1)?;
        self.locals.push(item);
        let value = self.block(body);
        self.locals.pop();
        value
    }

    fn decide(
        &mut self,
        body: BlockId,
        items: Vec<Value<'a>>,
        start: Truth,
        join: fn(Truth, Truth) -> Truth,
    ) -> Result<Value<'a>, Exhausted> {
        let mut so_far = start;
        for item in items {
            let found = self.body(body, item)?.truth();
            self.may_fault |= so_far == Truth::Unknown && found == Truth::Fault;
            so_far = join(so_far, found);
            if so_far == start.not() || so_far == Truth::Fault {
                break;
            }
        }
        Ok(so_far.into())
    }

    fn exists_one(&mut self, body: BlockId, items: Vec<Value<'a>>) -> Result<Value<'a>, Exhausted> {
        let (mut hits, mut unknown) = (0_u8, false);
        for item in items {
            match self.body(body, item)?.truth() {
                Truth::True => hits = hits.saturating_add(1),
                Truth::False => {}
                Truth::Unknown => unknown = true,
                Truth::Error => return Ok(Value::Error),
                Truth::Fault => return Ok(Value::Fault),
            }
        }
        Ok(if unknown {
            Value::Unknown
        } else {
            Value::Bool(hits == 1)
        })
    }

    fn filter(&mut self, body: BlockId, items: Vec<Value<'a>>) -> Result<Value<'a>, Exhausted> {
        let (mut kept, mut unknown) = (Vec::new(), false);
        for item in items {
            match self.body(body, item.clone())?.truth() {
                Truth::True => kept.push(item),
                Truth::False => {}
                Truth::Unknown => unknown = true,
                Truth::Error => return Ok(Value::Error),
                Truth::Fault => return Ok(Value::Fault),
            }
        }
        Ok(if unknown { Value::Unknown } else { List::made(kept) })
    }

    fn map(&mut self, body: BlockId, items: Vec<Value<'a>>) -> Result<Value<'a>, Exhausted> {
        let (mut made, mut unknown) = (Vec::new(), false);
        for item in items {
            match self.body(body, item)? {
                Value::Error => return Ok(Value::Error),
                Value::Fault => return Ok(Value::Fault),
                Value::Unknown => unknown = true,
                value => made.push(value),
            }
        }
        Ok(if unknown { Value::Unknown } else { List::made(made) })
    }
}
