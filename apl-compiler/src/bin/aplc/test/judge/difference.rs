//! Two JSON documents, place by place.

use serde_json::Value;

/// One line for each place at which they differ.
pub(super) fn of(name: &str, wanted: &Value, got: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare(name, wanted, got, &mut lines);
    lines
}

fn compare(path: &str, wanted: &Value, got: &Value, lines: &mut Vec<String>) {
    match (wanted, got) {
        (Value::Object(wanted), Value::Object(got)) => {
            for (key, value) in wanted {
                match got.get(key) {
                    Some(found) => compare(&format!("{path}.{key}"), value, found, lines),
                    None => lines.push(format!("{path}.{key}: expected {value}, got nothing")),
                }
            }
            for (key, value) in got.iter().filter(|(key, _)| !wanted.contains_key(*key)) {
                lines.push(format!("{path}.{key}: expected nothing, got {value}"));
            }
        }
        (Value::Array(wanted), Value::Array(got)) => {
            for at in 0..wanted.len().max(got.len()) {
                let path = format!("{path}[{at}]");
                match (wanted.get(at), got.get(at)) {
                    (Some(wanted), Some(got)) => compare(&path, wanted, got, lines),
                    (Some(wanted), None) => lines.push(format!("{path}: expected {wanted}, got nothing")),
                    (None, Some(got)) => lines.push(format!("{path}: expected nothing, got {got}")),
                    (None, None) => {}
                }
            }
        }
        (wanted, got) if same(wanted, got) => {}
        (wanted, got) => lines.push(format!("{path}: expected {wanted}, got {got}")),
    }
}

/// `1` and `1.0` are one number in JSON.
fn same(wanted: &Value, got: &Value) -> bool {
    wanted == got || matches!((wanted.as_f64(), got.as_f64()), (Some(wanted), Some(got)) if wanted == got)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::of;

    #[test]
    fn differences_are_told_by_place() {
        let lines = of(
            "result",
            &json!({"a": [1, {"b": "x"}], "c": 1}),
            &json!({"a": [1.0, {"b": "y"}, 2], "d": 1}),
        );
        assert_eq!(
            lines,
            [
                "result.a[1].b: expected \"x\", got \"y\"",
                "result.a[2]: expected nothing, got 2",
                "result.c: expected 1, got nothing",
                "result.d: expected nothing, got 1"
            ]
        );
        assert!(of("x", &json!({"a": null}), &json!({"a": null})).is_empty());
    }
}
