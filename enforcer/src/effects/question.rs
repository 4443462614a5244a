//! Questions to decision points and counters.

use std::collections::BTreeMap;

use apl_bytecode::Dialect;
use apl_vm::{Answer, CountCall, DecideCall, Tree};
use companion_protocol::{Count, Decision, Effect, Json, PdpDecide};

use super::elicit::refused;
use super::plan::{Asked, Asker, Call, Planned, Way, failed, here};
use crate::{
    json_text::{self, hex},
    session::digest,
};

pub(super) fn decide(call: DecideCall, captures: bool) -> (Planned, Call) {
    let dialect = match call.dialect {
        Dialect::Custom => call.point.clone(),
        named @ (Dialect::Cedar | Dialect::Opa | Dialect::AuthZen | Dialect::NeMo) => named.name().to_owned(),
    };
    let label = format!("pdp.decide:{}", call.point);
    let question = json(call.call);
    let kept = captures.then(|| Box::new((call.point.clone(), question.clone())));
    let effect = Effect::PdpDecide(Box::new(PdpDecide {
        plugin: call.point,
        dialect,
        call: question,
        input: json(call.input),
    }));
    let planned = Planned {
        stops: true,
        label,
        way: Way::Ask(Asked::Decision(kept)),
    };
    (planned, vec![(effect, call.rule)])
}

/// As an effect carries it.
pub(crate) fn json(tree: Tree) -> Json {
    match tree {
        Tree::Null => Json::Null,
        Tree::Bool(value) => Json::Bool(value),
        Tree::Int(value) => Json::Int(value),
        Tree::Uint(value) => Json::UInt(value),
        Tree::Float(value) => Json::Float(value),
        Tree::Text(text) => Json::Text(text),
        Tree::List(items) => Json::List(items.into_iter().map(json).collect()),
        Tree::Map(members) => {
            // Put in one by one: see `apl_vm::set_of`.
            let mut map = BTreeMap::new();
            for (name, value) in members {
                map.insert(name, json(value));
            }
            Json::Map(map)
        }
    }
}

pub(super) fn decided(decision: &Decision) -> Answer {
    Answer::Decided {
        allow: decision.allow,
        code: decision.code.clone().unwrap_or_default(),
        reason: decision.reason.clone().unwrap_or_default(),
    }
}

/// The counter is the principal's unless the step names what it is counted by. Nobody's is refused.
pub(super) fn count(call: CountCall, asker: &Asker<'_>) -> (Planned, Call) {
    let label = format!("limit.count:{}", call.name);
    let key = match (call.by.as_slice(), asker.session) {
        ([], None) => {
            let answer = failed(
                "limit.uncountable",
                "nobody is identified whose calls could be counted",
            );
            return (here(true, label, answer), Vec::new());
        }
        ([], Some(session)) => digest(&[
            b"limit",
            call.name.as_bytes(),
            b"principal",
            session.subject.as_bytes(),
        ]),
        (by, _) => {
            let mut parts: Vec<&[u8]> = vec![b"limit", call.name.as_bytes(), b"by"];
            parts.extend(by.iter().map(|value| value.as_bytes()));
            digest(&parts)
        }
    };
    let effect = Effect::LimitCount {
        key: hex(&key),
        window_s: u64::from(call.window_s),
        cost: call.cost,
        limit: call.limit,
    };
    let planned = Planned {
        stops: true,
        label,
        way: Way::Ask(Asked::Count),
    };
    (planned, vec![(effect, call.rule)])
}

pub(super) fn counted(count: &Count) -> Answer {
    if count.allow {
        return Answer::Done;
    }
    let reason = format!(
        "the limit is used up until {}",
        json_text::rfc3339(count.resets_at)
    );
    // The step's own code, `limit.exceeded` unless the author gave another.
    refused("", &reason)
}
