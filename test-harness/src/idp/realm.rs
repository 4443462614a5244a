//! Users, clients and audiences of the demo realm.

/// A person. The password is the name.
#[derive(Debug, PartialEq, Eq)]
pub struct User {
    /// `preferred_username`.
    pub name: &'static str,
    /// `sub`, the same in every run.
    pub sub: &'static str,
    /// `roles`.
    pub roles: &'static [&'static str],
    /// `permissions`.
    pub permissions: &'static [&'static str],
    /// `teams`.
    pub teams: &'static [&'static str],
    /// `gh_permissions`; the `permissions` of a token for `github-api`.
    pub gh_permissions: &'static [&'static str],
    /// `manager`, a user's name.
    pub manager: Option<&'static str>,
}

/// The people of the demo.
pub const USERS: [User; 4] = [
    User {
        name: "alice",
        sub: "a11ce000-0000-4000-8000-000000000001",
        roles: &["engineer"],
        permissions: &["tool_execute"],
        teams: &["engineering"],
        gh_permissions: &["repo:read:internal"],
        manager: None,
    },
    User {
        name: "bob",
        sub: "b0b00000-0000-4000-8000-000000000002",
        roles: &["hr"],
        permissions: &["tool_execute", "view_ssn", "pii_access", "email_send"],
        teams: &["hr"],
        gh_permissions: &[],
        manager: Some("alice"),
    },
    User {
        name: "charlie",
        sub: "c4a211e0-0000-4000-8000-000000000003",
        roles: &["auditor"],
        permissions: &["tool_execute", "pii_access"],
        teams: &["compliance"],
        gh_permissions: &[],
        manager: None,
    },
    User {
        name: "eve",
        sub: "e4e00000-0000-4000-8000-000000000004",
        roles: &["hr"],
        permissions: &["tool_execute"],
        teams: &["hr"],
        gh_permissions: &[],
        manager: None,
    },
];

/// What a client is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientRole {
    /// The agent: signs users in and itself.
    Agent,
    /// The proxy: exchanges tokens.
    Gateway,
}

/// A client.
#[derive(Debug, PartialEq, Eq)]
pub struct Client {
    /// `client_id`.
    pub id: &'static str,
    /// `client_secret`.
    pub secret: &'static str,
    /// `sub` of its own tokens.
    pub sub: &'static str,
    /// Which grants it has.
    pub role: ClientRole,
}

/// The clients of the demo.
pub const CLIENTS: [Client; 2] = [
    Client {
        id: "hr-copilot",
        secret: "hr-copilot-secret",
        sub: "5e4b1ce0-0000-4000-8000-000000000011",
        role: ClientRole::Agent,
    },
    Client {
        id: GATEWAY,
        secret: "praxis-gateway-secret",
        sub: "5e4b1ce0-0000-4000-8000-000000000012",
        role: ClientRole::Gateway,
    },
];

/// The gateway's client, which is also the audience of what the agent presents to it.
pub const GATEWAY: &str = "praxis-gateway";

/// A service that tokens are minted for.
#[derive(Debug, PartialEq, Eq)]
pub struct Audience {
    /// `aud`.
    pub name: &'static str,
    /// The optional scope that the gateway may ask for.
    pub scope: &'static str,
    /// Whether `permissions` are the user's `gh_permissions`, and the scope is granted only to who holds it there.
    pub github: bool,
}

/// The services of the demo.
pub const AUDIENCES: [Audience; 2] = [
    Audience {
        name: "workday-api",
        scope: "read_compensation",
        github: false,
    },
    Audience {
        name: "github-api",
        scope: "repo:read:internal",
        github: true,
    },
];

/// The user of this name.
pub fn user_by_name(name: &str) -> Option<&'static User> {
    USERS.iter().find(|user| user.name == name)
}

/// The user of this `sub`.
pub fn user_by_sub(sub: &str) -> Option<&'static User> {
    USERS.iter().find(|user| user.sub == sub)
}

/// The client of this id.
pub fn client(id: &str) -> Option<&'static Client> {
    CLIENTS.iter().find(|client| client.id == id)
}

/// The service of this name.
pub fn audience(name: &str) -> Option<&'static Audience> {
    AUDIENCES.iter().find(|audience| audience.name == name)
}
