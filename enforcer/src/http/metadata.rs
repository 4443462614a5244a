//! The metadata document of the protected resource (RFC 9728 section 3).

use apl_bytecode::{Program, TokenRole};

use crate::{Reply, config::ProtectedResource, identity::token::text_of};

/// The document, and where clients look for it.
#[derive(Debug)]
pub(crate) struct Metadata {
    authority: String,
    path: String,
    /// Its URL, which a 401 names.
    pub(crate) url: String,
    body: Vec<u8>,
}

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

impl Metadata {
    /// Authorization servers are the issuers whose tokens the program takes from users and clients.
    pub(crate) fn new(resource: &ProtectedResource, program: &Program) -> Option<Self> {
        let (origin, authority, path) = resource.parts()?;
        let mut issuers: Vec<&str> = Vec::new();
        for identity in &program.identities {
            let speaks_for_them = match identity.role {
                TokenRole::User | TokenRole::Client => true,
                TokenRole::CallerWorkload => false,
            };
            for issuer in identity.issuers().iter().filter(|_| speaks_for_them) {
                let name = text_of(program, issuer.issuer);
                if !issuers.contains(&name) {
                    issuers.push(name);
                }
            }
        }
        let mut body = serde_json::json!({
            "resource": resource.resource,
            "authorization_servers": issuers,
            "bearer_methods_supported": ["header"],
        });
        // An empty list must not stand there.
        if let (false, Some(body)) = (resource.scopes.is_empty(), body.as_object_mut()) {
            body.insert("scopes_supported".to_owned(), resource.scopes.clone().into());
        }
        let path = [WELL_KNOWN, path].concat();
        Some(Self {
            authority: authority.to_owned(),
            url: [origin, &path].concat(),
            path,
            body: body.to_string().into_bytes(),
        })
    }

    /// The answer, if it is asked for: where the standard has it, or at the root, where clients look next.
    pub(crate) fn answer(&self, method: &str, authority: &str, path: &str) -> Option<Reply> {
        let path = path.split('?').next().unwrap_or_default();
        let asked = method == "GET"
            && authority.eq_ignore_ascii_case(&self.authority)
            && (path == self.path || path == WELL_KNOWN);
        asked.then(|| Reply {
            status: 200,
            headers: [
                ("content-type", "application/json"),
                ("cache-control", "public, max-age=3600"),
                // It is public, and clients run in browsers.
                ("access-control-allow-origin", "*"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
            body: self.body.clone(),
            details: "aplomb.metadata".to_owned(),
        })
    }
}
