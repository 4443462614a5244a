//! Signed cookies. Whoever holds the store's key can check them, and nobody else can make them.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tokio::sync::OnceCell;

use crate::clock::now_ms;
use crate::elicitation::Approver;
use crate::store::{CaseStore, Change, StoreError, random_id};

/// How long an approver stays signed in, in seconds.
const SESSION_S: u64 = 3600;

/// How long a sign-in may take, in seconds.
pub(super) const LOGIN_S: u64 = 600;

/// Where the key is in the store.
const KEY_NAME: &str = "pages-key";

/// Ten years, in milliseconds.
const KEY_LIFE_MS: u64 = 10 * 365 * 24 * 60 * 60 * 1000;

/// The longest cookie that is looked at.
const MAX_COOKIE_BYTES: usize = 4096;

/// Somebody who is signed in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Session {
    name: String,
    known_as: Vec<String>,
    only: Option<String>,
    csrf: String,
    ends_at: u64,
}

impl Session {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What every form of this session carries.
    pub(super) fn csrf(&self) -> &str {
        &self.csrf
    }

    /// Whether a form is of this session. The cookie is signed and not secret to its holder, so that the time of the
    /// comparison tells nobody anything.
    pub(super) fn is_its_form(&self, csrf: Option<&str>) -> bool {
        csrf == Some(self.csrf.as_str())
    }

    pub(super) fn approver(&self) -> Approver {
        Approver {
            name: self.name.clone(),
            known_as: self.known_as.clone(),
            only: self.only.clone(),
        }
    }
}

/// A sign-in that has begun.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Login {
    pub(super) state: String,
    pub(super) nonce: String,
    pub(super) verifier: String,
    /// Which request to show afterwards.
    pub(super) to: Option<String>,
    pub(super) ends_at: u64,
}

/// Makes and checks cookies.
pub(super) struct Keyring {
    store: Arc<dyn CaseStore>,
    key: OnceCell<String>,
    is_secure: bool,
}

impl Keyring {
    pub(super) fn new(store: Arc<dyn CaseStore>, is_secure: bool) -> Self {
        Self {
            store,
            key: OnceCell::new(),
            is_secure,
        }
    }

    /// The key, drawn by whoever is first.
    async fn key(&self) -> Result<&str, StoreError> {
        let draw = || async {
            for _ in 0..4 {
                if let Some(held) = self.store.get(KEY_NAME, now_ms()).await? {
                    return Ok(held.text);
                }
                let halves = [random_id(), random_id()].map(|half| half.map_err(|_| StoreError::Unavailable));
                let [one, two] = halves;
                let change = Change {
                    key: KEY_NAME.to_owned(),
                    expected: 0,
                    text: one? + &two?,
                    groups: Vec::new(),
                    ends_ms: now_ms().saturating_add(KEY_LIFE_MS),
                    room: None,
                };
                // Drawn or not: what is there now counts.
                self.store.change(change, now_ms()).await?;
            }
            Err(StoreError::Unavailable)
        };
        self.key.get_or_try_init(draw).await.map(String::as_str)
    }

    /// The session of a request, if there is one that has not ended.
    pub(super) async fn session(
        &self,
        headers: &HeaderMap,
        now_s: u64,
    ) -> Result<Option<Session>, StoreError> {
        let session: Option<Session> = self.read("session", headers).await?;
        Ok(session.filter(|session| now_s < session.ends_at))
    }

    /// The cookie of a new session.
    pub(super) async fn new_session(&self, approver: Approver, now_s: u64) -> Result<String, StoreError> {
        let session = Session {
            name: approver.name,
            known_as: approver.known_as,
            only: approver.only,
            csrf: random_id().map_err(|_| StoreError::Unavailable)?,
            ends_at: now_s.saturating_add(SESSION_S),
        };
        self.cookie("session", &session, SESSION_S, "Strict").await
    }

    pub(super) fn forget_session(&self) -> String {
        self.set("session", "", 0, "Strict")
    }

    /// The sign-in that this browser began.
    pub(super) async fn login(&self, headers: &HeaderMap, now_s: u64) -> Result<Option<Login>, StoreError> {
        let login: Option<Login> = self.read("login", headers).await?;
        Ok(login.filter(|login| now_s < login.ends_at))
    }

    /// Its cookie. `Lax`: the provider's redirect comes from another site.
    pub(super) async fn new_login(&self, login: &Login) -> Result<String, StoreError> {
        self.cookie("login", login, LOGIN_S, "Lax").await
    }

    pub(super) fn forget_login(&self) -> String {
        self.set("login", "", 0, "Lax")
    }

    fn name(&self, kind: &str) -> String {
        let prefix = if self.is_secure { "__Host-" } else { "" };
        format!("{prefix}aplomb_{kind}")
    }

    fn set(&self, kind: &str, value: &str, max_age_s: u64, same_site: &str) -> String {
        let secure = if self.is_secure { "; Secure" } else { "" };
        let name = self.name(kind);
        format!("{name}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite={same_site}{secure}")
    }

    async fn cookie(
        &self,
        kind: &str,
        payload: &impl Serialize,
        max_age_s: u64,
        same_site: &str,
    ) -> Result<String, StoreError> {
        let payload = serde_json::to_vec(payload).map_err(|_| StoreError::Unavailable)?;
        let payload = URL_SAFE_NO_PAD.encode(payload);
        let mac = mac(self.key().await?, kind, &payload).ok_or(StoreError::Unavailable)?;
        let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
        Ok(self.set(kind, &format!("{payload}.{signature}"), max_age_s, same_site))
    }

    async fn read<T: DeserializeOwned>(
        &self,
        kind: &str,
        headers: &HeaderMap,
    ) -> Result<Option<T>, StoreError> {
        let name = self.name(kind);
        let value = headers
            .get_all(COOKIE)
            .into_iter()
            .filter_map(|cookies| cookies.to_str().ok())
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|cookie| cookie.trim().split_once('='))
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value);
        let Some((payload, signature)) = value
            .filter(|value| value.len() <= MAX_COOKIE_BYTES)
            .and_then(|value| value.split_once('.'))
        else {
            return Ok(None);
        };
        let key = self.key().await?;
        let read = || {
            let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
            mac(key, kind, payload)?.verify_slice(&signature).ok()?;
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
        };
        Ok(read())
    }
}

/// The kind is signed too: a cookie of one kind is none of another.
fn mac(key: &str, kind: &str, payload: &str) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).ok()?;
    mac.update(kind.as_bytes());
    mac.update(b"\0");
    mac.update(payload.as_bytes());
    Some(mac)
}
