//! Effects that ask, and constraints.

use alloc::{format, string::String};
use core::fmt::Write as _;

use super::Listing;
use crate::model::{Attenuate, AttrId, Cost, Count, Decision, Delegate, Elicit, Members, Operand, Restrict};

impl Listing<'_> {
    fn attrs(&self, ids: &[AttrId]) -> String {
        let mut text = String::new();
        for (at, id) in ids.iter().enumerate() {
            text.push_str(if at == 0 { "" } else { ", " });
            text.push_str(&self.attr(*id));
        }
        text
    }

    pub(super) fn delegate(&self, delegate: &Delegate) -> String {
        format!(
            "delegate {} target={} audience={} permissions=[{}] subject={:?} on_error={:?}",
            self.str(delegate.delegator),
            self.str(delegate.target),
            self.str(delegate.audience),
            self.list(&delegate.permissions),
            delegate.subject,
            delegate.on_error,
        )
    }

    pub(super) fn attenuate(&self, attenuate: &Attenuate) -> String {
        let mut text = self.delegate(&attenuate.delegate);
        let _ = write!(text, " header={}", self.str(attenuate.header));
        for (kind, value) in &attenuate.narrowed {
            let _ = write!(text, " {}={}", self.str(*kind), self.str(*value));
        }
        if !attenuate.resource.is_empty() {
            text.push_str(" resource=");
        }
        for part in &attenuate.resource {
            match part {
                Operand::Text(part) => text.push_str(&self.str(*part)),
                Operand::Attr(attr) => {
                    let _ = write!(text, "${{{}}}", self.attr(*attr));
                }
            }
        }
        text
    }

    pub(super) fn elicit(&self, elicit: &Elicit) -> String {
        let from = match elicit.from {
            Operand::Text(text) => format!("{:?}", self.str(text)),
            Operand::Attr(attr) => self.attr(attr),
        };
        let mut text = format!(
            "elicit {} {} from={from} on_error={:?}",
            elicit.kind.name(),
            self.str(elicit.handler),
            elicit.on_error
        );
        if let Some(channel) = elicit.channel {
            let _ = write!(text, " channel={}", self.str(channel));
        }
        if elicit.timeout_s > 0 {
            let _ = write!(text, " timeout={}s", elicit.timeout_s);
        }
        if let Some(shown) = &elicit.show {
            let _ = write!(text, " show=[{}]", self.attrs(shown));
        }
        text
    }

    pub(super) fn decision(&self, decision: &Decision) -> String {
        format!(
            "decide {} {} call=block {} input=[{}]",
            decision.dialect.name(),
            self.str(decision.point),
            decision.call.0,
            self.attrs(&decision.input)
        )
    }

    pub(super) fn count(&self, count: &Count) -> String {
        let cost = match count.cost {
            Cost::Fixed(amount) => format!("{amount}"),
            Cost::Attr(attr) => self.attr(attr),
        };
        format!(
            "count {:?} {cost} of {} per {}s by=[{}]",
            self.str(count.name),
            count.limit,
            count.window_s,
            self.attrs(&count.by)
        )
    }

    pub(super) fn restrict(&self, restrict: &Restrict) -> String {
        let mut text = String::from("restrict");
        for (kind, members) in &restrict.lists {
            let members = match members {
                Members::Texts(texts) => format!("[{}]", self.list(texts)),
                Members::Attr(attr) => self.attr(*attr),
            };
            let _ = write!(text, " {}={members}", kind.name());
        }
        if let Some(tier) = restrict.max_cost_tier {
            let _ = write!(text, " max_cost_tier={}", self.str(tier));
        }
        for (label, value) in &restrict.custom {
            let _ = write!(text, " {}={}", self.str(*label), self.str(*value));
        }
        if restrict.fallback {
            text.push_str(" on_empty=fallback");
        }
        text
    }
}
