//! The label store in `companion.json`.

use std::collections::BTreeMap;

use apl_compiler::{SecretSource, Store, Valkey};
use companion_protocol::config::{LifetimesConfig, SecretRef, StoreConfig, ValkeyConfig, VaultRef};

use super::variable;

/// The store as the companion takes it; a literal password goes to the secrets.
pub(super) fn config(store: Option<&Store>, secrets: &mut BTreeMap<String, String>) -> StoreConfig {
    match store {
        None | Some(Store::Embedded) => StoreConfig::default(),
        Some(Store::Valkey(store)) => StoreConfig::Valkey(valkey(store, secrets)),
    }
}

fn valkey(store: &Valkey, secrets: &mut BTreeMap<String, String>) -> ValkeyConfig {
    let default = ValkeyConfig::at(store.endpoint.clone());
    let password = store.password.as_ref().map(|password| match password {
        SecretSource::Env(name) => SecretRef::Env(name.clone()),
        SecretSource::File(path) => SecretRef::File(path.clone()),
        SecretSource::Vault { mount, path, field } => SecretRef::Vault(VaultRef {
            mount: mount.clone(),
            path: path.clone(),
            field: field.clone(),
        }),
        SecretSource::Literal(secret) => {
            let variable = variable("session_store", secrets);
            secrets.insert(variable.clone(), secret.clone());
            SecretRef::Env(variable)
        }
    });
    let lifetimes = LifetimesConfig::default();
    ValkeyConfig {
        username: store.username.clone(),
        password,
        ca_file: store.ca_file.clone(),
        key_prefix: store.key_prefix.clone().unwrap_or(default.key_prefix),
        replicas: store.replicas.unwrap_or(default.replicas),
        connect_timeout_ms: store.connect_timeout_ms.unwrap_or(default.connect_timeout_ms),
        command_timeout_ms: store.command_timeout_ms.unwrap_or(default.command_timeout_ms),
        lifetimes: LifetimesConfig {
            session_idle_s: store.session_idle_s.unwrap_or(lifetimes.session_idle_s),
            session_max_s: store.session_max_s.unwrap_or(lifetimes.session_max_s),
            subject_s: store.subject_s.unwrap_or(lifetimes.subject_s),
        },
        endpoint: default.endpoint,
        allow_plain: store.allow_plain,
    }
}

/// Milliseconds that the store may take for one effect.
pub(super) fn timeout_ms(store: Option<&Store>) -> u64 {
    match config(store, &mut BTreeMap::new()) {
        StoreConfig::Embedded(_) => super::STORE_MS,
        StoreConfig::Valkey(config) => config.command_timeout_ms,
    }
}
