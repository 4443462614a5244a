//! The maps that have a name. A field that a provider has no claim for stays empty: one filled with something else would be
//! believed. `docs/identity.md` says what each reads and leaves out.

use apl_bytecode::{ClaimField, ClaimShape, TokenRole};

use crate::document::identity::{ClaimPathDecl, ClaimRuleDecl};

pub(super) const NAMES: &[&str] = &["standard", "keycloak", "auth0", "cognito", "ibmverify"];

/// The rules of a map for a role; none if it has none for it.
pub(super) fn rules(name: &str, role: TokenRole) -> Vec<ClaimRuleDecl> {
    use ClaimField::{Audiences, Id, Name, Permissions, Roles, Scopes, Teams};
    let scope = || words(Permissions, &[text("scope")]);
    let granted = || words(Scopes, &[text("scope")]);
    // The first of the two that is there counts, even if it is no text.
    let client = || rule(Id, &[stop("client_id"), any("azp")]);
    let user = || rule(Id, &[any("sub")]);
    match (name, role) {
        ("standard", TokenRole::User) => vec![
            user(),
            rule(Roles, &[list("roles")]),
            words(Permissions, &[list("permissions"), text("scope")]),
            rule(Teams, &[list("teams"), list("groups")]),
        ],
        ("standard", TokenRole::Client) => vec![
            client(),
            rule(Name, &[any("client_name")]),
            rule(Roles, &[list("roles")]),
            words(Scopes, &[list("authorized_scopes"), text("scope")]),
            rule(Audiences, &[any("aud")]),
        ],
        ("standard", TokenRole::CallerWorkload) => vec![rule(Id, &[any("sub"), any("spiffe_id")])],
        // `groups` of Keycloak's own mapper are realm roles, and roles of a client stand under the client's name.
        ("keycloak", TokenRole::User) => vec![user(), rule(Roles, &[list("realm_access.roles")]), scope()],
        ("keycloak", TokenRole::Client) => vec![
            client(),
            rule(Roles, &[list("realm_access.roles")]),
            granted(),
            rule(Audiences, &[any("aud")]),
        ],
        // Roles stand under a name of the deployment's own.
        ("auth0", TokenRole::User) => vec![user(), words(Permissions, &[list("permissions"), text("scope")])],
        ("auth0", TokenRole::Client) => vec![client(), granted(), rule(Audiences, &[any("aud")])],
        // `cognito:roles` are names of cloud roles; access tokens have no `aud`.
        ("cognito", TokenRole::User) => vec![user(), rule(Teams, &[list("cognito:groups")]), scope()],
        ("cognito", TokenRole::Client) => vec![client(), granted()],
        ("ibmverify", TokenRole::User) => vec![user(), rule(Teams, &[list("groupIds")]), scope()],
        ("ibmverify", TokenRole::Client) => vec![client(), granted(), rule(Audiences, &[any("aud")])],
        _ => Vec::new(),
    }
}

/// The map of a record that its directory's owner has laid out for it.
pub(super) fn record(role: TokenRole) -> Vec<ClaimRuleDecl> {
    use ClaimField::{Id, Name, Permissions, Roles, Scopes, Teams};
    match role {
        TokenRole::User => vec![
            rule(Id, &[any("subject"), any("user")]),
            rule(Roles, &[list("roles")]),
            rule(Permissions, &[list("permissions")]),
            rule(Teams, &[list("teams"), list("groups")]),
        ],
        TokenRole::Client => vec![
            rule(Id, &[any("client_id"), any("client")]),
            rule(Name, &[any("client_name")]),
            rule(Roles, &[list("roles")]),
            rule(Permissions, &[list("permissions")]),
            rule(Scopes, &[list("authorized_scopes")]),
        ],
        TokenRole::CallerWorkload => vec![rule(Id, &[any("spiffe_id")])],
    }
}

type Place = (&'static str, ClaimShape, bool);

const fn any(path: &'static str) -> Place {
    (path, ClaimShape::Any, false)
}

const fn list(path: &'static str) -> Place {
    (path, ClaimShape::List, false)
}

const fn text(path: &'static str) -> Place {
    (path, ClaimShape::Text, false)
}

const fn stop(path: &'static str) -> Place {
    (path, ClaimShape::Any, true)
}

fn rule(field: ClaimField, places: &[Place]) -> ClaimRuleDecl {
    ClaimRuleDecl {
        field,
        paths: places
            .iter()
            .map(|(path, shape, stop)| ClaimPathDecl {
                names: path.split('.').map(str::to_owned).collect(),
                shape: *shape,
                stop: *stop,
            })
            .collect(),
        union: false,
        split: false,
        required: false,
    }
}

fn words(field: ClaimField, places: &[Place]) -> ClaimRuleDecl {
    ClaimRuleDecl {
        split: true,
        ..rule(field, places)
    }
}
