//! Steps that ask somebody: humans, decision points, counters, identity providers; and policies in shadow.

use super::explained;

const POLICY: &str = r#"
plugins:
  - name: user
    kind: identity/jwt
    config:
      trusted_issuers:
        - {issuer: "https://idp.example", audiences: [gateway], algorithms: [RS256], decoding_key: {kind: jwks_url, url: "https://idp.example/keys"}}
  - name: tokens
    kind: delegator/oauth
    config:
      token_endpoint: "https://idp.example/token"
      client_id: gateway
      client_secret_source: {kind: env_var, name: GATEWAY_SECRET}
  - name: manager
    kind: elicitation/page
global:
  authentication: [user]
  pdp:
    - kind: authzen
      url: "https://pdp.example"
routes:
  - tool: pay
    pre_invocation:
      - "limit(2 per 1m)"
      - "require_approval(manager, from: boss, purpose: 'a payment')"
      - "taint(paid, session)"
  - tool: read
    pre_invocation:
      - authzen:
          action: read
          resource: {type: record, id: "${args.id}"}
        on_deny: ["deny('not yours', 'record.denied')"]
      - "delegate(tokens, target: hr-api, permissions: [read])"
    result:
      ssn: redact
  - tool: look
    enforcement: shadow
    pre_invocation:
      - "require(role.hr)"
      - authzen:
          action: look
          resource: {type: record, id: "1"}
      - "taint(seen, session)"
    result:
      ssn: redact
"#;

/// Explains one request; each of `told` must be said, in this order.
fn told(request: &str, told: &[&str]) -> String {
    let (code, out) = explained(POLICY, request);
    assert_eq!(code, 0, "{out}");
    let mut rest = out.as_str();
    for words in told {
        let Some((_, behind)) = rest.split_once(words) else {
            panic!("{words:?} is not said there\n{out}");
        };
        rest = behind;
    }
    out
}

#[test]
fn a_human_who_has_not_answered_leaves_the_rest_waiting() {
    told(
        "{identity: {subject: al}, session: {labels: []}, request: {tool: pay}, elicitations: {manager: pending}}",
        &[
            "limit(2 per 1m)",
            "asks the counter\n      answer: counted, and within the limit",
            "require_approval(manager",
            "asks a human\n      answer: nobody has said anything yet",
            "verdict: pending",
            "code: elicitation.pending",
            "effects: limit.count:routes.tool:pay.pre_invocation[0]",
            "taint(paid, session)\"\n      not reached: policy.yaml:25 waits for a human",
        ],
    );
}

#[test]
fn an_approval_and_a_refusal_stand_with_the_step_that_asked() {
    told(
        "{identity: {subject: al}, session: {labels: []}, request: {tool: pay}, elicitations: {manager: approved}}",
        &[
            "answer: approved",
            "asks to store the label\n      answer: stored",
            "verdict: allow",
            "elicit.redeem:manager",
        ],
    );
    told(
        "{identity: {subject: al}, session: {labels: []}, request: {tool: pay}, elicitations: {manager: denied}}",
        &[
            "answer: refused: the approver said no",
            "verdict: deny",
            "not reached: what policy.yaml:25 asked for was refused",
        ],
    );
}

#[test]
fn a_counter_may_be_used_up_or_silent() {
    told(
        "{identity: {subject: al}, session: {labels: []}, request: {tool: pay}, counters: exceeded, elicitations: {manager: approved}}",
        &[
            "answer: refused: the limit is used up until",
            "code: limit.exceeded",
            "what policy.yaml:24 asked for was refused",
        ],
    );
    told(
        "{identity: {subject: al}, session: {labels: []}, request: {tool: pay}, counters: fails, elicitations: {manager: approved}}",
        &[
            "answer: failed with `limit.unavailable`",
            "code: limit.unavailable",
        ],
    );
}

#[test]
fn a_decision_point_is_told_with_its_answer_and_what_the_policy_makes_of_it() {
    let request = |decision: &str| {
        format!(
            "{{identity: {{subject: al}}, session: {{labels: []}}, request: {{tool: read, args: {{id: 1}}}}, delegations: \
             [{{delegator: tokens}}], result: {{ssn: x}}, decisions: {{authzen: {decision}}}}}"
        )
    };
    told(
        &request("{allow: false, code: acl, reason: of another team}"),
        &[
            "asks the decision point\n      answer: denied, as `acl`",
            "on_deny",
            "denies with `record.denied`: not yours",
            "verdict: deny",
            "code: record.denied",
            "delegate(tokens",
            "not reached: policy.yaml:32 denied before it",
        ],
    );
    told(
        &request("allow"),
        &[
            "answer: allowed",
            "delegate(tokens",
            "answer: a token for `hr-api`",
            "after the call",
            "verdict: allow",
        ],
    );
    told(
        &request("fails"),
        &["answer: failed with `pdp.unavailable`", "verdict: deny"],
    );
}

#[test]
fn a_delegation_that_fails_is_told_with_the_providers_code() {
    told(
        "{identity: {subject: al}, session: {labels: []}, request: {tool: read, args: {id: 1}}, decisions: {authzen: allow}, \
         delegations: [{delegator: tokens, fails: delegation.idp_unreachable, reason: the provider does not answer}]}",
        &[
            "asks for a token\n      answer: failed with `delegation.idp_unreachable`: the provider does not answer",
            "verdict: deny",
            "code: delegation.idp_unreachable",
        ],
    );
}

#[test]
fn a_route_in_shadow_is_told_step_by_step_once() {
    let out = told(
        "{identity: {subject: al, roles: [hr]}, session: {labels: []}, request: {tool: look}, decisions: {authzen: allow}, result: {ssn: x}}",
        &[
            "role.hr is true\n      does not fire",
            "asks the decision point",
            "answer: allowed",
            "asks to store the label",
            "after the call",
            "verdict: would_allow",
            "effects: session.append:seen",
            "edits: result.ssn:redact",
        ],
    );
    assert_eq!(
        out.matches("require(role.hr)").count(),
        1,
        "judged twice, told once\n{out}"
    );
    told(
        "{identity: {subject: al}, session: {labels: []}, request: {tool: look}, decisions: {authzen: allow}, result: {}}",
        &[
            "role.hr is absent\n      holds, and so it denies\n      denies with `routes.tool:look.pre_invocation[0]`",
            "verdict: would_deny",
            "rule: routes.tool:look.pre_invocation[0]",
            "taint(seen, session)",
            "not reached: policy.yaml:39 denied before it",
        ],
    );
}
