//! Claim mappers on tokens as providers issue them (shapes of their documentation and of real tokens, names replaced),
//! through `aplc test`: compiled by the compiler, signed, verified and mapped by the enforcer.

use std::fs;
use std::process::Command;

/// A provider, its map, a token of it, what policy then reads, and what it must not read.
struct Shape {
    name: &'static str,
    config: &'static str,
    claims: &'static str,
    there: &'static [&'static str],
    absent: &'static [&'static str],
}

const SHAPES: &[Shape] = &[
    Shape {
        name: "standard",
        config: "claims: {include: [iss]}",
        claims: r#"{"roles": ["hr"], "scope": "read write", "groups": ["eng"], "address": {"country": "CH"}, "level": 3, "mfa": true}"#,
        there: &[
            "role.hr",
            "perm.read",
            "perm.write",
            "team.eng",
            "claim.address.country == 'CH'",
            "claim.level > 2",
            "claim.mfa",
            "claim.iss == 'https://idp.example'",
        ],
        absent: &["claim.roles", "claim.scope", "claim.sub", "role.eng"],
    },
    Shape {
        name: "Keycloak",
        config: "claim_mapper: keycloak",
        claims: r#"{"typ": "Bearer", "azp": "hr-copilot", "acr": "1", "realm_access": {"roles": ["default-roles-demo", "hr"]}, "resource_access": {"account": {"roles": ["manage-account"]}}, "scope": "openid profile email", "groups": ["offline_access"], "preferred_username": "bob", "email_verified": true}"#,
        there: &[
            "role.hr",
            "perm.profile",
            "claim.preferred_username == 'bob'",
            "claim.realm_access.roles contains 'hr'",
            "claim.email_verified",
        ],
        absent: &[
            "team.offline_access",
            "subject.roles contains 'manage-account'",
            "claim.scope",
        ],
    },
    Shape {
        name: "Keycloak with a client's roles",
        config: "claim_map: {subject: {id: sub, roles: {paths: [realm_access.roles, resource_access.account.roles], merge: union}}}",
        claims: r#"{"realm_access": {"roles": ["hr"]}, "resource_access": {"account": {"roles": ["manage-account"]}}}"#,
        there: &["role.hr", "subject.roles contains 'manage-account'"],
        absent: &["perm.profile"],
    },
    Shape {
        name: "Auth0",
        config: "claim_mapper: auth0",
        claims: r#"{"azp": "my_client", "gty": "password", "permissions": ["read:reports"], "scope": "openid profile", "https://app.example/roles": ["editor"], "roles": ["editor"]}"#,
        there: &[
            "subject.permissions contains 'read:reports'",
            "claim['https://app.example/roles'] contains 'editor'",
        ],
        absent: &["perm.openid", "role.editor"],
    },
    Shape {
        name: "Auth0 with a namespace of its own",
        config: "claim_map: {subject: {id: sub, roles: [\"https://app\\\\.example/roles\"]}}",
        claims: r#"{"https://app.example/roles": ["editor"]}"#,
        there: &["role.editor"],
        absent: &["perm.openid"],
    },
    Shape {
        name: "Cognito",
        config: "claim_mapper: cognito",
        claims: r#"{"cognito:groups": ["admins"], "cognito:roles": ["arn:aws:iam::123456789012:role/AppRole"], "client_id": "1example23456789", "token_use": "access", "scope": "aws.cognito.signin.user.admin", "version": 2, "username": "bob"}"#,
        there: &[
            "team.admins",
            "claim.username == 'bob'",
            "claim.token_use == 'access'",
            "subject.permissions contains 'aws.cognito.signin.user.admin'",
        ],
        absent: &["role.admins", "claim['cognito:groups']"],
    },
    Shape {
        name: "Entra",
        config: "claim_map: {subject: {id: [oid, sub], roles: roles, permissions: {paths: [scp], split: whitespace}, teams: groups}}",
        claims: r#"{"aio": "x", "appid": "6731de76", "oid": "0000-bob", "roles": ["Files.Admin"], "groups": ["b3d1"], "scp": "Files.Read User.Read", "tid": "72f988bf", "ver": "1.0", "wids": ["62e9"]}"#,
        there: &[
            "subject.id == '0000-bob'",
            "subject.roles contains 'Files.Admin'",
            "subject.permissions contains 'User.Read'",
            "team.b3d1",
            "claim.tid == '72f988bf'",
        ],
        absent: &["perm.Files", "role.Files"],
    },
    Shape {
        name: "Okta",
        config: "claim_map: {subject: {id: sub, permissions: scp, teams: groups}}",
        claims: r#"{"ver": 1, "cid": "0oa1", "uid": "00u1", "scp": ["openid", "profile"], "auth_time": 1795348000, "groups": ["Everyone", "hr"]}"#,
        there: &["perm.profile", "team.hr", "claim.cid == '0oa1'"],
        absent: &["role.hr"],
    },
    Shape {
        name: "IBM Verify",
        config: "claim_mapper: ibmverify",
        claims: r#"{"groupIds": ["hr"], "realmName": "cloudIdentityRealm", "scope": "openid profile", "client_id": "c1"}"#,
        there: &[
            "team.hr",
            "perm.profile",
            "claim.realmName == 'cloudIdentityRealm'",
        ],
        absent: &["role.hr"],
    },
    Shape {
        name: "shapes that do not fit",
        config: "claim_map: {subject: {id: sub, roles: [{path: roles, array_only: true}, other], permissions: {paths: [{path: scope, string_only: true}], split: whitespace}}}",
        claims: r#"{"roles": "admin", "other": ["hr"], "scope": ["root"]}"#,
        there: &["role.hr"],
        absent: &["role.admin", "perm.root"],
    },
];

#[test]
fn each_mapper_reads_its_providers_tokens_and_nothing_else_of_them() {
    for shape in SHAPES {
        let mut policy = format!(
            "plugins:\n  - name: user\n    kind: identity/jwt\n    config:\n      {}\n      trusted_issuers:\n        - issuer: \"https://idp.example\"\n          audiences: [gateway]\n          algorithms: [EdDSA]\n          decoding_key: {{kind: jwks_url, url: \"https://idp.example/keys\"}}\nglobal: {{authentication: [user]}}\nroutes:\n  - tool: t\n    pre_invocation:\n",
            shape.config
        );
        for (at, rule) in shape.there.iter().enumerate() {
            policy.push_str(&format!("      - \"!({rule}): deny('no', 'missing.{at}')\"\n"));
        }
        for (at, rule) in shape.absent.iter().enumerate() {
            let rule = if rule.starts_with("claim") {
                format!("exists({rule})")
            } else {
                (*rule).to_owned()
            };
            policy.push_str(&format!("      - \"{rule}: deny('no', 'surplus.{at}')\"\n"));
        }
        let tests = format!(
            "tests:\n  - name: all\n    identity: {{subject: bob, claims: {}}}\n    request: {{tool: t}}\n    expect: {{verdict: allow}}\n",
            shape.claims
        );
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("policy.yaml"), policy).expect("written");
        fs::write(folder.path().join("policy.test.yaml"), tests).expect("written");
        let output = Command::new(env!("CARGO_BIN_EXE_aplc"))
            .args(["test", "policy.test.yaml"])
            .current_dir(folder.path())
            .output()
            .expect("runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}: {}{}",
            shape.name,
            text(&output.stdout),
            text(&output.stderr)
        );
    }
}
