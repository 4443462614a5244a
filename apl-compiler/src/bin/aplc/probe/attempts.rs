//! What is tried.

mod forged;
mod mcp;
mod others;

use serde_json::Value;

use super::caller::Callers;
use super::target::{Entry, Target};

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    /// In the table.
    pub(super) name: String,
    /// The method.
    pub(super) method: &'static str,
    /// Path and query.
    pub(super) path: String,
    /// The Host header.
    pub(super) authority: String,
    /// All headers that are sent, but for `host` and `content-length`; a name may stand twice.
    pub(super) headers: Vec<(String, String)>,
    /// The same for the judge, where they differ: (as sent, as judged).
    stand_ins: Vec<(String, String)>,
    /// The body.
    pub(super) body: Vec<u8>,
    /// It names an operation that the policy knows, which a gateway without the filter would perform.
    pub(super) names_operation: bool,
    /// It presents a key whose owner is not known here.
    pub(super) unsure: bool,
    /// The path as a proxy may have tidied it up before the filter sees it; such a request it may refuse itself, too.
    pub(super) tidied: Option<String>,
    /// Who else may be connecting, as the proxy sees it.
    pub(super) peer: Option<String>,
}

/// A credential in a header.
#[derive(Debug, Clone)]
pub(super) struct Credential {
    /// The header, lower-case.
    pub(super) header: String,
    /// What is sent.
    pub(super) sent: String,
    /// What the judge is shown instead.
    pub(super) judged: String,
}

impl Credential {
    /// The same for both.
    pub(super) fn plain(header: &str, value: String) -> Self {
        Self {
            header: header.to_owned(),
            sent: value.clone(),
            judged: value,
        }
    }
}

/// What is tried on one entry.
pub(super) struct Attempts {
    /// First those that name no real operation.
    pub(super) all: Vec<Attempt>,
    /// Operations over the limit.
    pub(super) left_out: usize,
}

impl Attempt {
    /// The request's head as the filter would see it under this path.
    pub(super) fn all_headers(&self, path: &str) -> Vec<(String, String)> {
        let pseudo = [
            (":method", self.method),
            (":path", path),
            (":authority", self.authority.as_str()),
            (":scheme", "https"),
        ];
        let mut headers: Vec<(String, String)> = pseudo
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        for (name, value) in &self.headers {
            let stand_in = self.stand_ins.iter().find(|(sent, _)| sent == value);
            let value = stand_in.map_or(value, |(_, judged)| judged);
            headers.push((name.clone(), value.clone()));
        }
        if !self.body.is_empty() {
            headers.push(("content-length".to_owned(), self.body.len().to_string()));
        }
        headers
    }

    fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// With this header in place of one of that name.
    fn instead(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.header(name, value)
    }

    fn with(mut self, credential: &Credential) -> Self {
        if credential.sent != credential.judged {
            let stand_in = (credential.sent.clone(), credential.judged.clone());
            self.stand_ins.push(stand_in);
        }
        self.instead(&credential.header, credential.sent.clone())
    }

    fn by(mut self, callers: &Callers) -> Self {
        self.unsure = callers.unsure;
        callers.all.iter().fold(self, |attempt, one| attempt.with(one))
    }

    /// By another path, of which this one is what a proxy makes by tidying up.
    fn crooked(mut self, path: String) -> Self {
        self.tidied = Some(std::mem::replace(&mut self.path, path));
        self
    }

    fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

/// A POST of JSON to an entry, by nobody.
fn post(target: &Target, entry: &Entry, body: &Value) -> Attempt {
    let mut attempt = Attempt {
        name: String::new(),
        method: "POST",
        path: entry.path.clone(),
        authority: entry.authority.clone(),
        headers: Vec::new(),
        stand_ins: Vec::new(),
        body: body.to_string().into_bytes(),
        names_operation: false,
        unsure: false,
        tidied: None,
        peer: forged::peer(target),
    };
    for (name, value) in [
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
    ] {
        attempt = attempt.header(name, value);
    }
    attempt
}

/// A name that nobody has given to anything.
fn made_up(target: &Target) -> String {
    format!("aplomb-probe-{}", target.nonce)
}

/// A call of what is not there, by nobody.
fn nowhere(target: &Target, entry: &Entry) -> Attempt {
    match entry.speaks.as_str() {
        // A2A has no names of its own making: a task that nobody has.
        "a2a" => others::task(target, entry),
        _ => call(target, entry, &made_up(target)),
    }
}

/// A call of an operation that is nowhere, by these callers.
pub(super) fn unlisted(target: &Target, entry: &Entry, callers: &Callers) -> Attempt {
    nowhere(target, entry).by(callers)
}

/// A call of an operation, by nobody.
fn call(target: &Target, entry: &Entry, name: &str) -> Attempt {
    match entry.speaks.as_str() {
        "mcp" => post(target, entry, &mcp::call(name)),
        speaks => others::call(target, entry, speaks, name),
    }
}

/// Everything for an entry.
pub(super) fn of(target: &Target, entry: &Entry, callers: &Callers, limit: usize) -> Attempts {
    let mut all = vec![nowhere(target, entry).named("nobody calls what is not there")];
    if !callers.all.is_empty() {
        all.push(unlisted(target, entry, callers).named("the caller calls what is not there"));
    }
    all.extend(forged::credentials(target, entry));
    match entry.speaks.as_str() {
        "mcp" => all.extend(mcp::all(target, entry, callers)),
        speaks => all.extend(others::all(target, entry, speaks, callers)),
    }
    let listed = listed(target, entry);
    let left_out = listed.len().saturating_sub(limit);
    for (name, show) in listed.into_iter().take(limit) {
        let mut attempt = call(target, entry, &name).named(format!("nobody calls {show}"));
        attempt.names_operation = true;
        all.push(attempt);
    }
    Attempts { all, left_out }
}

/// Operations that the policy names one by one and that this entry reaches: the name, and how it is shown.
fn listed(target: &Target, entry: &Entry) -> Vec<(String, String)> {
    let program = target.program.program();
    let text = |id| crate::proxy::credentials::text(program, id);
    let mut names = Vec::new();
    for route in &program.routes {
        let kind = route.entity.name();
        let spoken = match entry.speaks.as_str() {
            "mcp" => kind == "tool",
            "a2a" => kind == "a2a",
            "llm" => kind == "llm",
            _ => false,
        };
        let here = route
            .scope
            .is_none_or(|scope| entry.scope.as_deref() == Some(text(scope)));
        // Who connects may be credential enough for these.
        let by_peer = !route.identities.is_empty()
            && route.identities.iter().all(|id| {
                program.identities.get(id.at()).is_some_and(|identity| {
                    matches!(identity.source, apl_bytecode::CredentialSource::Peer { .. })
                })
            });
        if let apl_bytecode::Matcher::Exact(name) = route.matcher
            && spoken
            && here
            && !by_peer
        {
            let name = text(name);
            let entry = (name.to_owned(), format!("`{name}`"));
            if !names.contains(&entry) {
                names.push(entry);
            }
        }
    }
    names
}
