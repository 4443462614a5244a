//! YAML streams as JSON values.

use serde_json::Value;

/// The documents of a stream; empty ones are left out.
pub(crate) fn documents(text: &str) -> Result<Vec<Value>, String> {
    let all: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| error.to_string())?;
    Ok(all.into_iter().filter(|value| !value.is_null()).collect())
}
