//! Filling in what is asked of humans, decision points and counters.

use apl_bytecode::{Attenuate, AttrId, Cost, Count, Decision, Elicit, OnError, Operand, Program, Seg};

use super::{Env, bind, denial, text};
use apl_json::{Kind, View};

use crate::{
    attribute::{Assumed, Found, Rest, Scope, node_text},
    expr::Eval,
    facts::Fact,
    fuel::{Exhausted, Fuel},
    namespace,
    outcome::{CountCall, DecideCall, DelegateCall, DenialInfo, ElicitCall},
    prepared::Prepared,
    tree::Tree,
    value::Value,
};

/// Lines that an approver is shown.
pub(super) const MAX_SHOWN: usize = 64;
/// Bytes of all of them. What does not fit is not cut, because nobody can approve what they do not see.
pub(super) const MAX_SHOWN_BYTES: usize = 16 * 1024;

type Filled<T> = Result<Result<T, DenialInfo>, Exhausted>;

/// An elicitation. Who is asked must be known, whatever `on_error` says.
pub(super) fn elicit(
    prepared: &Prepared,
    elicit: &Elicit,
    env: &mut Env<'_>,
    fuel: &mut Fuel,
) -> Filled<ElicitCall> {
    let program = prepared.program();
    let owned = |id| text(program, id).to_owned();
    let from = match elicit.from {
        Operand::Text(id) => Some(owned(id)),
        Operand::Attr(attr) => text_of(&env.scope(prepared, None), attr),
    };
    let refuse = |reason: &str| Ok(Err(denial::failed(program, elicit.denial, "", reason)));
    let Some(from) = from.filter(|from| !from.is_empty()) else {
        return refuse("nobody can be asked: `from` names nobody");
    };
    let shown = match &elicit.show {
        None => every_argument(env.args.as_ref()),
        Some(attrs) => attrs.iter().map(|attr| shown(prepared, *attr, env)).collect(),
    };
    let bytes: usize = shown
        .iter()
        .map(|(name, value)| name.len().saturating_add(value.len()))
        .fold(0, usize::saturating_add);
    fuel.text(bytes)?;
    if shown.len() > MAX_SHOWN || bytes > MAX_SHOWN_BYTES {
        return refuse("the arguments are too large to be shown to an approver");
    }
    Ok(Ok(ElicitCall {
        kind: elicit.kind,
        handler: owned(elicit.handler),
        from,
        channel: elicit.channel.map(owned),
        purpose: elicit.purpose.map(owned),
        scope: elicit.scope.map(owned),
        timeout_s: elicit.timeout_s,
        shown,
        stops: elicit.on_error == OnError::Deny,
        rule: bind::position(program, elicit.denial),
    }))
}

/// What a token is narrowed to. A resource with a part that is not there would be another one, whatever `on_error` says.
pub(super) fn attenuate(
    prepared: &Prepared,
    attenuate: &Attenuate,
    env: &Env<'_>,
    call: &mut DelegateCall,
) -> Result<(), DenialInfo> {
    let program = prepared.program();
    text(program, attenuate.header).clone_into(&mut call.header);
    for (kind, value) in &attenuate.narrowed {
        let pair = (text(program, *kind).to_owned(), text(program, *value).to_owned());
        call.checks.push(pair);
    }
    let scope = env.scope(prepared, None);
    let mut resource = String::new();
    for part in &attenuate.resource {
        match *part {
            Operand::Text(id) => resource.push_str(text(program, id)),
            Operand::Attr(attr) => match text_of(&scope, attr).filter(|value| !value.is_empty()) {
                Some(value) => resource.push_str(&value),
                None => {
                    let reason = "the resource refers to an attribute that is not there";
                    return Err(denial::failed(program, attenuate.delegate.denial, "", reason));
                }
            },
        }
    }
    if !resource.is_empty() {
        call.checks.push(("resource".to_owned(), resource));
    }
    Ok(())
}

/// Every argument, as the pipelines left it.
fn every_argument(args: Option<&View<'_>>) -> Vec<(String, String)> {
    let Some(part) = args.and_then(|view| view.parts.first()) else {
        return Vec::new();
    };
    let node = part.document.node(part.node);
    let value = |child: apl_json::Node<'_>| match child.as_str() {
        Some(text) => text.into_owned(),
        None => String::from_utf8_lossy(&part.document.render_node(child.id())).into_owned(),
    };
    if node.kind() != Kind::Object {
        return vec![("args".to_owned(), value(node))];
    }
    // One more than may be shown is enough to say that there are too many.
    node.members()
        .take(MAX_SHOWN.saturating_add(1))
        .map(|(name, child)| (format!("args.{name}"), value(child)))
        .collect()
}

/// One attribute; of an argument what the pipelines left of it.
fn shown(prepared: &Prepared, attr: AttrId, env: &Env<'_>) -> (String, String) {
    let program = prepared.program();
    let name = prepared.key(attr).unwrap_or("?").to_owned();
    let value = match path_of(program, attr) {
        Some(path) if name.starts_with("args") => env.args.as_ref().and_then(|view| {
            let part = view.parts.first()?;
            let found = path
                .iter()
                .skip(1)
                .try_fold(part.document.node(part.node), |node, seg| node.get(seg))?;
            Some(match found.as_str() {
                Some(text) => text.into_owned(),
                None => String::from_utf8_lossy(&part.document.render_node(found.id())).into_owned(),
            })
        }),
        _ => text_of(&env.scope(prepared, None), attr),
    };
    (name, value.unwrap_or_else(|| "(absent)".to_owned()))
}

/// The names of a path without interpolation.
fn path_of(program: &Program, attr: AttrId) -> Option<Vec<&str>> {
    let attr = program.attrs.get(attr.at())?;
    attr.segs
        .iter()
        .map(|seg| match seg {
            Seg::Name(name) => Some(text(program, *name)),
            Seg::Value(_) => None,
        })
        .collect()
}

/// A scalar as text; a set as its members.
fn text_of(scope: &Scope<'_>, attr: AttrId) -> Option<String> {
    match scope.find(attr) {
        Found::Absent | Found::Unknown | Found::Labels(_) => None,
        Found::Node(node) => node_text(node).map(std::borrow::Cow::into_owned),
        Found::Fact(fact) => match fact {
            Fact::Bool(value) => Some(value.to_string()),
            Fact::Int(value) => Some(value.to_string()),
            Fact::Float(value) => Some(value.to_string()),
            Fact::Str(text) => Some(text.clone()),
            Fact::Set(set) => Some(set.iter().cloned().collect::<Vec<_>>().join(", ")),
            Fact::Opaque | Fact::Unknown => None,
        },
    }
}

/// A question to a decision point.
pub(super) fn decide(
    prepared: &Prepared,
    decision: &Decision,
    assumed: Option<&Assumed>,
    env: &Env<'_>,
    fuel: &mut Fuel,
) -> Filled<DecideCall> {
    let program = prepared.program();
    let refuse = |code: &str, reason: &str| Ok(Err(denial::failed(program, decision.denial, code, reason)));
    let scope = env.scope(prepared, assumed);
    let call = match Eval::new(scope, fuel).value(decision.call)? {
        Value::Error | Value::Fault | Value::Unknown => {
            return refuse("", "the question refers to an attribute that is not there");
        }
        value => Tree::of(&value, 0, fuel)?,
    };
    let Some(call) = call else {
        return refuse("pdp.input_too_deep", "what is asked nests too deep");
    };
    let mut input = Tree::Map(std::collections::BTreeMap::new());
    for attr in &decision.input {
        let value = match scope.find(*attr) {
            Found::Node(node) => Some(Value::of_node(node)),
            Found::Fact(fact) => Some(crate::expr::of_fact(fact, fuel)?),
            Found::Labels(labels) if labels.rest == Rest::Unknown => Some(Value::Unknown),
            Found::Labels(labels) => Some(crate::expr::texts(labels.all().into_iter())),
            Found::Absent | Found::Unknown => namespace::below(&scope, *attr, fuel)?,
        };
        let (Some(value), Some(path)) = (value, path_of(program, *attr)) else {
            continue;
        };
        if assumed.is_some() && matches!(value, Value::Unknown) {
            return refuse("", "what it would be told depends on what was not asked");
        }
        if matches!(value, Value::Error | Value::Fault | Value::Unknown) {
            continue;
        }
        let Some(tree) = Tree::of(&value, u8::try_from(path.len()).unwrap_or(u8::MAX), fuel)? else {
            return refuse(
                "pdp.input_too_deep",
                "what the decision point is told nests too deep",
            );
        };
        let path: Vec<String> = path.into_iter().map(str::to_owned).collect();
        input.put(&path, tree);
    }
    Ok(Ok(DecideCall {
        dialect: decision.dialect,
        point: text(program, decision.point).to_owned(),
        call,
        input,
        rule: bind::position(program, decision.denial),
    }))
}

/// Something to count. A key or a cost that is not there denies: nothing is counted for nobody.
pub(super) fn count(prepared: &Prepared, count: &Count, env: &Env<'_>) -> Result<CountCall, DenialInfo> {
    let program = prepared.program();
    let scope = env.scope(prepared, None);
    let refuse = |reason: String| denial::failed(program, count.denial, "limit.uncountable", &reason);
    let mut by = Vec::with_capacity(count.by.len());
    for attr in &count.by {
        let value = text_of(&scope, *attr).ok_or_else(|| {
            refuse(format!(
                "`{}` is not there to count by",
                prepared.key(*attr).unwrap_or("?")
            ))
        })?;
        by.push(value);
    }
    let cost = match count.cost {
        Cost::Fixed(cost) => cost,
        Cost::Attr(attr) => whole(&scope, attr)
            .ok_or_else(|| refuse(format!("`{}` is no cost", prepared.key(attr).unwrap_or("?"))))?,
    };
    Ok(CountCall {
        name: text(program, count.name).to_owned(),
        by,
        cost,
        limit: count.limit,
        window_s: count.window_s,
        rule: bind::position(program, count.denial),
    })
}

/// A number that is whole and not negative. A fraction counts as the next whole number.
fn whole(scope: &Scope<'_>, attr: AttrId) -> Option<u64> {
    let value = match scope.find(attr) {
        Found::Node(node) if node.kind() == Kind::Number => Value::of_node(node),
        Found::Fact(Fact::Int(value)) => Value::Int(*value),
        Found::Fact(Fact::Float(value)) => Value::Float(*value),
        Found::Absent | Found::Unknown | Found::Node(_) | Found::Labels(_) | Found::Fact(_) => return None,
    };
    match value {
        Value::Int(value) => u64::try_from(value).ok(),
        Value::Uint(value) => Some(value),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range was checked"
        )]
        Value::Float(value) => (value > 0.0 && value < 9_007_199_254_740_992.0).then(|| value.ceil() as u64),
        _ => None,
    }
}
