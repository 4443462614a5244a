//! A case through the reference engine.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use praxis_policy_apl_core::test_util::compile_test_route;
use praxis_policy_apl_core::{
    AttributeBag, AttributeValue, Decision, DelegationInvoker, ElicitationInvoker, NoopDelegationInvoker,
    NoopElicitationInvoker, PdpCall, PdpDecision, PdpDialect, PdpError, PdpResolver, PluginError,
    PluginInvocation, PluginInvoker, PluginOutcome, RoutePayload, TaintScope, evaluate_post, evaluate_pre,
};
use serde_json::{Value, json};

use super::Answer;
use super::generate::Case;

/// No case has a decision point.
struct NoPdp;

#[async_trait]
impl PdpResolver for NoPdp {
    fn dialect(&self) -> PdpDialect {
        PdpDialect::Cedar
    }

    async fn evaluate(&self, _: &PdpCall, _: &AttributeBag) -> Result<PdpDecision, PdpError> {
        Ok(PdpDecision {
            decision: Decision::Allow,
            diagnostics: vec![],
        })
    }
}

/// Nor a plugin.
struct NoPlugins;

#[async_trait]
impl PluginInvoker for NoPlugins {
    async fn invoke(
        &self,
        name: &str,
        _: &AttributeBag,
        _: PluginInvocation<'_>,
    ) -> Result<PluginOutcome, PluginError> {
        Err(PluginError::NotFound(name.into()))
    }
}

pub(crate) async fn answer(case: &Case) -> Answer {
    let text = json!({ "route": case.section() }).to_string();
    let route = match compile_test_route("routes.tool:t", &text) {
        Ok(route) => route,
        Err(fault) => return Answer::Refused(fault.to_string()),
    };
    let mut bag = AttributeBag::new();
    for (key, value) in &case.facts {
        bag.set(key.clone(), attribute(value));
    }
    flatten(if case.pre { "args" } else { "result" }, &case.document, &mut bag);
    let mut payload = if case.pre {
        RoutePayload::new(case.document.clone())
    } else {
        RoutePayload::with_result(json!({}), case.document.clone())
    };
    let pdp: Arc<dyn PdpResolver> = Arc::new(NoPdp);
    let plugins: Arc<dyn PluginInvoker> = Arc::new(NoPlugins);
    let delegations: Arc<dyn DelegationInvoker> = Arc::new(NoopDelegationInvoker);
    let elicitations: Arc<dyn ElicitationInvoker> = Arc::new(NoopElicitationInvoker);
    let ran = if case.pre {
        evaluate_pre(
            &route,
            &mut bag,
            &mut payload,
            &pdp,
            &plugins,
            &delegations,
            &elicitations,
        )
        .await
    } else {
        evaluate_post(
            &route,
            &mut bag,
            &mut payload,
            &pdp,
            &plugins,
            &delegations,
            &elicitations,
        )
        .await
    };
    let denied = match ran.decision {
        Decision::Allow => None,
        Decision::Deny { reason, rule_source } => {
            // A denial without a reason is worded by the host.
            Some((rule_source, reason.unwrap_or_else(|| "access denied".to_owned())))
        }
    };
    Answer::Ran {
        denied,
        taints: super::once(
            ran.taints
                .iter()
                .filter(|taint| taint.scopes.contains(&TaintScope::Session))
                .map(|taint| taint.label.clone()),
        ),
        labels: ran.taints.iter().map(|taint| taint.label.clone()).collect(),
        document: if case.pre {
            payload.args
        } else {
            payload.result.unwrap_or(Value::Null)
        },
    }
}

fn attribute(value: &Value) -> AttributeValue {
    match value {
        Value::Bool(value) => AttributeValue::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(value) => AttributeValue::Int(value),
            None => AttributeValue::Float(number.as_f64().expect("a number")),
        },
        Value::String(text) => AttributeValue::String(text.clone()),
        Value::Array(items) => AttributeValue::StringSet(
            items
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect::<HashSet<_>>(),
        ),
        Value::Null | Value::Object(_) => AttributeValue::NonScalar,
    }
}

/// The document as the reference's host puts it into the bag: a key for each scalar and each list of texts, and one for
/// each object and null, which hold no value.
fn flatten(path: &str, value: &Value, bag: &mut AttributeBag) {
    match value {
        Value::Object(members) => {
            bag.set(path, AttributeValue::NonScalar);
            for (key, value) in members {
                flatten(&format!("{path}.{key}"), value, bag);
            }
        }
        Value::Array(items) if !items.iter().all(Value::is_string) => {
            bag.set(path, AttributeValue::NonScalar)
        }
        _ => bag.set(path, attribute(value)),
    }
}
