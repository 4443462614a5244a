//! Issuers' public keys: given in the policy, or asked of the companion on tick.

use std::collections::HashMap;

use apl_bytecode::Algorithm;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::signature::VerifyingKey;

/// Between two fetches of keys that are held, in milliseconds. The companion keeps them fresh itself.
const REFRESH_MS: u64 = 300_000;

/// Between two fetches while none are held.
const RETRY_MS: u64 = 1_000;

/// Between two fetches that unknown key ids ask for, so that invented ones cannot become a load.
const FORCED_FLOOR_MS: u64 = 30_000;

/// Most keys of one issuer.
const MAX_KEYS: usize = 128;

/// The keys of one issuer.
pub(crate) struct KeySet {
    issuer: String,
    inline: bool,
    keys: HashMap<String, PublicKey>,
    /// A key of the policy without an id: it is for every token of its issuer.
    nameless: Option<PublicKey>,
    digest: [u8; 32],
    /// When the last fetch was sent.
    asked_ms: Option<u64>,
    /// When the last fetch for an unknown key id was sent.
    forced_ms: Option<u64>,
    in_flight: bool,
    wants_refresh: bool,
}

/// A public key and what it may verify.
pub(crate) struct PublicKey {
    algorithm: Option<String>,
    key: VerifyingKey,
}

impl PublicKey {
    pub(crate) const fn key(&self) -> &VerifyingKey {
        &self.key
    }

    /// Whether the key is of the algorithm's kind, and for nothing else if it says what it is for.
    pub(crate) fn fits(&self, algorithm: Algorithm) -> bool {
        // RFC 9864 gave EdDSA with Ed25519 a name of its own, which newer key sets use.
        let named = |wanted: &str| {
            wanted == algorithm.name() || (algorithm == Algorithm::EdDsa && wanted == "Ed25519")
        };
        self.key.is_for(algorithm) && self.algorithm.as_deref().is_none_or(named)
    }
}

impl KeySet {
    /// Keys that the companion has to be asked for.
    pub(crate) fn remote(issuer: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            inline: false,
            keys: HashMap::new(),
            nameless: None,
            digest: [0; 32],
            asked_ms: None,
            forced_ms: None,
            in_flight: false,
            wants_refresh: false,
        }
    }

    /// Keys that the policy brings; `None` if none of them can be used.
    pub(crate) fn inline(issuer: &str, jwks: &str) -> Option<Self> {
        let raw: RawSet = serde_json::from_slice(jwks.as_bytes()).ok()?;
        let nameless = match raw.keys.as_slice() {
            [only] if only.kid.is_none() => public_key(only),
            _ => None,
        };
        let keys = read(jwks.as_bytes())?;
        (!keys.is_empty() || nameless.is_some()).then(|| Self {
            inline: true,
            keys,
            nameless,
            ..Self::remote(issuer)
        })
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(crate) fn is_inline(&self) -> bool {
        self.inline
    }

    pub(crate) fn has_keys(&self) -> bool {
        !self.keys.is_empty() || self.nameless.is_some()
    }

    pub(crate) fn get(&self, kid: Option<&str>) -> Option<&PublicKey> {
        kid.and_then(|kid| self.keys.get(kid)).or(self.nameless.as_ref())
    }

    /// A token named a key that is not here. True: a fetch is under way or will be, so waiting makes sense.
    pub(crate) fn miss(&mut self, now_ms: u64) -> bool {
        if self.inline {
            return false;
        }
        if self.in_flight || !self.has_keys() {
            return true;
        }
        let allowed = self
            .forced_ms
            .is_none_or(|last| now_ms.saturating_sub(last) >= FORCED_FLOOR_MS);
        self.wants_refresh |= allowed;
        self.wants_refresh
    }

    /// If a fetch is due: marks it as sent and says whether the companion must ask the issuer again.
    pub(crate) fn due(&mut self, now_ms: u64, timeout_ms: u64) -> Option<bool> {
        if self.inline {
            return None;
        }
        let since = self.asked_ms.map(|last| now_ms.saturating_sub(last));
        // An answer that never came (the root context was replaced) must not block for ever.
        if self.in_flight && since.is_some_and(|since| since < timeout_ms.saturating_mul(2)) {
            return None;
        }
        let forced = self.wants_refresh && self.has_keys();
        let interval = if self.has_keys() { REFRESH_MS } else { RETRY_MS };
        if !forced && since.is_some_and(|since| since < interval) {
            return None;
        }
        self.asked_ms = Some(now_ms);
        self.in_flight = true;
        self.wants_refresh = false;
        if forced {
            self.forced_ms = Some(now_ms);
        }
        Some(forced)
    }

    /// The answer to a fetch; `None`: it failed, and keys that are held stay. True if the keys changed.
    pub(crate) fn answer(&mut self, body: Option<&[u8]>) -> bool {
        self.in_flight = false;
        let Some(body) = body else { return false };
        let Some(keys) = read(body) else { return false };
        let digest: [u8; 32] = Sha256::digest(body).into();
        let changed = digest != self.digest;
        self.digest = digest;
        self.keys = keys;
        changed
    }
}

#[derive(Deserialize)]
struct RawSet {
    keys: Vec<RawKey>,
}

#[derive(Deserialize)]
struct RawKey {
    kty: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default, rename = "use")]
    usage: Option<String>,
    #[serde(default)]
    alg: Option<String>,
    #[serde(default)]
    crv: Option<String>,
    #[serde(default)]
    n: Option<String>,
    #[serde(default)]
    e: Option<String>,
    #[serde(default)]
    x: Option<String>,
    #[serde(default)]
    y: Option<String>,
}

/// Reads a JWK set (RFC 7517 section 5) or the JWT keys of a SPIFFE bundle; keys without an id, for encryption, or of another kind are left out. `None` if it
/// is no JWK set.
fn read(body: &[u8]) -> Option<HashMap<String, PublicKey>> {
    let set: RawSet = serde_json::from_slice(body).ok()?;
    let usable = set.keys.iter().filter(|raw| {
        raw.usage
            .as_deref()
            .is_none_or(|usage| matches!(usage, "sig" | "jwt-svid"))
    });
    Some(
        usable
            .filter_map(|raw| Some((raw.kid.clone()?, public_key(raw)?)))
            .take(MAX_KEYS)
            .collect(),
    )
}

fn public_key(raw: &RawKey) -> Option<PublicKey> {
    let field = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
    let key = match (raw.kty.as_str(), raw.crv.as_deref()) {
        ("RSA", _) => VerifyingKey::rsa(&field(&raw.n)?, &field(&raw.e)?)?,
        ("EC", Some("P-256")) => VerifyingKey::p256(&field(&raw.x)?, &field(&raw.y)?)?,
        ("OKP", Some("Ed25519")) => VerifyingKey::ed25519(&field(&raw.x)?)?,
        _ => return None,
    };
    Some(PublicKey {
        algorithm: raw.alg.clone(),
        key,
    })
}
