//! Effects.

use super::{
    Place, VerifyError,
    entries::{Checked, Entries, at_least_one, at_most, present},
};
use crate::{
    limits,
    model::{
        Attenuate, AttrId, BlockKind, Cost, Count, Decision, Delegate, Effect, Elicit, ListKind, Members,
        Operand, Restrict, StrId,
    },
};

impl Entries<'_> {
    pub(super) fn effect(&self, effect: &Effect, place: Place) -> Checked {
        match effect {
            Effect::Taint {
                label,
                scopes,
                ttl_s: _,
                denial,
            } => {
                self.text(*label, place)?;
                Self::scopes(*scopes, place)?;
                self.denial(*denial, place)
            }
            Effect::LoadLabels { denial } => self.denial(*denial, place),
            Effect::Delegate(delegate) => self.delegate(delegate, place),
            Effect::Attenuate(attenuate) => self.attenuate(attenuate, place),
            Effect::Audit {
                plugin,
                durable: _,
                code,
            } => {
                self.text(*plugin, place)?;
                self.code(code, place)
            }
            Effect::Elicit(elicit) => self.elicit(elicit, place),
            Effect::Decide(decision) => self.decision(decision, place),
            Effect::Count(count) => self.count(count, place),
            Effect::Restrict(restrict) => self.restrict(restrict, place),
        }
    }

    fn delegate(&self, delegate: &Delegate, place: Place) -> Checked {
        self.text(delegate.delegator, place)?;
        self.text(delegate.target, place)?;
        self.text(delegate.audience, place)?;
        self.texts(&delegate.permissions, "permissions", place)?;
        self.denial(delegate.denial, place)
    }

    fn attenuate(&self, attenuate: &Attenuate, place: Place) -> Checked {
        let Attenuate {
            delegate,
            header,
            narrowed,
            resource,
        } = attenuate;
        self.delegate(delegate, place)?;
        self.text(*header, place)?;
        self.pairs(narrowed, place)?;
        at_most(resource.len(), limits::MAX_LIST, "parts of a resource", place)?;
        resource.iter().try_for_each(|part| match part {
            Operand::Text(text) => self.text(*text, place),
            Operand::Attr(attr) => self.attr(*attr, place),
        })
    }

    fn attr(&self, id: AttrId, place: Place) -> Checked {
        present(id.0, self.program.attrs.len(), "attribute", place)
    }

    fn attr_list(&self, ids: &[AttrId], what: &'static str, place: Place) -> Checked {
        at_most(ids.len(), limits::MAX_LIST, what, place)?;
        ids.iter().try_for_each(|id| self.attr(*id, place))
    }

    fn elicit(&self, elicit: &Elicit, place: Place) -> Checked {
        let Elicit {
            kind: _,
            handler,
            from,
            channel,
            purpose,
            scope,
            timeout_s: _,
            show,
            on_error: _,
            denial,
        } = elicit;
        self.text(*handler, place)?;
        match from {
            Operand::Text(text) => self.text(*text, place)?,
            Operand::Attr(attr) => self.attr(*attr, place)?,
        }
        self.option(*channel, place)?;
        self.option(*purpose, place)?;
        self.option(*scope, place)?;
        self.attr_list(show.as_deref().unwrap_or_default(), "attributes to show", place)?;
        self.denial(*denial, place)
    }

    fn decision(&self, decision: &Decision, place: Place) -> Checked {
        let Decision {
            dialect: _,
            point,
            call,
            input,
            denial,
        } = decision;
        self.text(*point, place)?;
        self.block(*call, BlockKind::Expr, place)?;
        self.attr_list(input, "attributes to send", place)?;
        self.denial(*denial, place)
    }

    fn count(&self, count: &Count, place: Place) -> Checked {
        let Count {
            name,
            limit: _,
            window_s,
            by,
            cost,
            denial,
        } = count;
        self.text(*name, place)?;
        self.attr_list(by, "attributes of a key", place)?;
        match cost {
            Cost::Fixed(_) => {}
            Cost::Attr(attr) => self.attr(*attr, place)?,
        }
        if *window_s == 0 {
            return Err(VerifyError::Empty {
                place,
                what: "second in the window",
            });
        }
        self.denial(*denial, place)
    }

    fn restrict(&self, restrict: &Restrict, place: Place) -> Checked {
        let Restrict {
            lists,
            max_cost_tier,
            custom,
            fallback: _,
            denial,
        } = restrict;
        at_most(lists.len(), ListKind::ALL.len(), "lists", place)?;
        for (_, members) in lists {
            match members {
                Members::Texts(texts) => {
                    at_least_one(texts.len(), "member", place)?;
                    self.texts(texts, "members", place)?;
                }
                Members::Attr(attr) => self.attr(*attr, place)?,
            }
        }
        self.option(*max_cost_tier, place)?;
        self.pairs(custom, place)?;
        self.denial(*denial, place)
    }

    /// Labels and their values.
    fn pairs(&self, pairs: &[(StrId, StrId)], place: Place) -> Checked {
        at_most(pairs.len(), limits::MAX_LIST, "labels", place)?;
        for (label, value) in pairs {
            self.text(*label, place)?;
            self.text(*value, place)?;
        }
        Ok(())
    }
}
