//! Callers who are no tokens in a header: API keys, workloads, tokens that the mesh has verified.

use std::fs;

use super::aplc;

const POLICY: &str = r#"
plugins:
  - name: user
    kind: identity/jwt
    config:
      trusted_issuers:
        - {issuer: "https://idp.example", audiences: [gateway], algorithms: [EdDSA], decoding_key: {kind: jwks_url, url: "https://idp.example/keys"}}
  - name: keys
    kind: identity/api-key
    config:
      credential: {kind: header, name: x-api-key}
      prefix: sk-
      provider: {kind: file, path: keys.json}
  - name: mesh
    kind: identity/mesh-jwt
    config:
      trusted_issuers:
        - {issuer: "https://idp.example", audiences: [gateway]}
  - name: workload
    kind: identity/spiffe
    config: {source: mtls, trust_domain: cluster.local}
  - name: tunnel
    kind: identity/spiffe
    config: {source: waypoint, trust_domain: cluster.local}
routes:
  - tool: by_token
    authentication: [user]
    pre_invocation: ["require(role.staff)"]
  - tool: by_key
    authentication: [keys]
    pre_invocation:
      - "require(role.staff)"
      - "require(claim.tenant == 'a' & auth_method == 'api_key')"
  - tool: by_mesh
    authentication: [mesh]
    pre_invocation:
      - "require(role.staff & team.eng)"
      - "require(claim.level > 2 & claim.address.country == 'DE' & auth_method == 'mesh-jwt')"
  - tool: by_peer
    authentication: [workload]
    pre_invocation:
      - "require(caller_workload.spiffe_id == 'spiffe://cluster.local/ns/agents/sa/hr')"
      - "require(caller_workload.selectors contains 'k8s:ns:agents')"
      - "require(caller_workload.attestor == 'x509')"
  - tool: by_tunnel
    authentication: [tunnel]
    pre_invocation:
      - "require(caller_workload.attestor == 'istio')"
"#;

const WHO: &str = r#"
identities:
  staff: {subject: {id: alice, roles: [staff], teams: [eng], claims: {tenant: a, level: 3, address: {country: DE}}}}
  guest: {subject: {id: gus, roles: [guest], claims: {tenant: a, level: 3, address: {country: DE}}}}
  agent: {workload: "spiffe://cluster.local/ns/agents/sa/hr"}
  stranger: {workload: "spiffe://elsewhere.example/ns/agents/sa/hr"}
tests:
"#;

fn run(tests: &str) -> (i32, String) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("policy.yaml"), POLICY).expect("written");
    fs::write(folder.path().join("policy.test.yaml"), format!("{WHO}{tests}")).expect("written");
    let (code, out, err) = aplc(folder.path(), &["test"]);
    (code, out + &err)
}

#[test]
fn each_kind_of_credential_is_presented_as_the_policy_looks_for_it() {
    let (code, out) = run(r#"
  - name: staff
    identity: staff
    for:
      - {request: {tool: by_token}}
      - {request: {tool: by_key}}
      - {request: {tool: by_mesh}}
    expect: {verdict: allow}
  - name: guests are known, and denied by the rule
    identity: guest
    for:
      - {request: {tool: by_token}, expect: {rule: "routes.tool:by_token.pre_invocation[0]"}}
      - {request: {tool: by_key}, expect: {rule: "routes.tool:by_key.pre_invocation[0]"}}
      - {request: {tool: by_mesh}, expect: {rule: "routes.tool:by_mesh.pre_invocation[0]"}}
    expect: {verdict: deny, unauthenticated: false}
  - name: a workload
    identity: agent
    for:
      - {request: {tool: by_peer}}
      - {request: {tool: by_tunnel}}
    expect: {verdict: allow}
  - name: a workload of a foreign trust domain
    identity: stranger
    for:
      - {request: {tool: by_peer}}
      - {request: {tool: by_tunnel}}
    expect: {unauthenticated: true, code: auth.untrusted_workload}
"#);
    assert_eq!(code, 0, "{out}");
}

#[test]
fn every_fault_is_the_one_that_this_kind_of_credential_can_have() {
    let (code, out) = run(r#"
  - name: keys
    request: {tool: by_key}
    for:
      - {name: ended, identity: {subject: al, fault: expired}, expect: {code: auth.key_expired}}
      - {name: nobody's, identity: {subject: al, fault: signature}, expect: {code: auth.key_unknown}}
      - {name: invented by the caller, request: {headers: {x-api-key: sk-guess}}, expect: {code: auth.key_unknown}}
      - {name: of another population, request: {headers: {x-api-key: pk-guess}}, expect: {code: auth.unrecognized_credential}}
      - {name: none, expect: {code: auth.missing_credential}}
    expect: {unauthenticated: true}
  - name: mesh tokens
    request: {tool: by_mesh}
    for:
      - {name: expired, identity: {subject: al, fault: expired}, expect: {code: auth.token_expired}}
      - {name: for another, identity: {subject: al, fault: audience}, expect: {code: auth.audience_mismatch}}
      - {name: of another, identity: {subject: al, fault: issuer}, expect: {code: auth.untrusted_issuer}}
      - {name: refused by the mesh, identity: {subject: al, fault: signature}, expect: {code: auth.missing_credential}}
      - {name: "with a null, of which the proxy hands over nothing", identity: {subject: {id: al, claims: {a: {b: null}}}}, expect: {code: auth.missing_credential}}
    expect: {unauthenticated: true}
  - name: peers
    request: {tool: by_peer}
    for:
      - {name: of another trust domain, identity: {workload: "spiffe://cluster.local/a", fault: issuer}, expect: {code: auth.untrusted_workload}}
      - {name: no handshake, identity: {workload: "spiffe://cluster.local/a", fault: signature}, expect: {code: auth.missing_credential}}
    expect: {unauthenticated: true}
"#);
    assert_eq!(code, 0, "{out}");
}

#[test]
fn by_presents_some_credentials_and_not_the_others() {
    let (code, out) = run(r#"
  - name: only the key
    identity: {subject: {id: alice, roles: [staff], claims: {tenant: a}}, by: [keys]}
    for:
      - {request: {tool: by_key}, expect: {verdict: allow}}
      - {request: {tool: by_token}, expect: {unauthenticated: true}}
      - {request: {tool: by_mesh}, expect: {unauthenticated: true}}
"#);
    assert_eq!(code, 0, "{out}");
    let (code, out) = run(
        "  - {name: x, identity: {subject: al, by: [kys]}, request: {tool: by_key}, expect: {verdict: allow}}",
    );
    assert_ne!(code, 0, "{out}");
    assert!(
        out.contains("`by` names `kys`, which is no identity plugin of the policy; it has `user`, `keys`"),
        "{out}"
    );
}

#[test]
fn a_record_changed_between_steps_is_another_key() {
    let (code, out) = run(r#"
  - name: what was known of one key is not believed of another
    request: {tool: by_key}
    steps:
      - {identity: staff, expect: {verdict: allow}}
      - {identity: {subject: {id: alice, roles: [guest], claims: {tenant: a}}}, expect: {verdict: deny}}
"#);
    assert_eq!(code, 0, "{out}");
}
