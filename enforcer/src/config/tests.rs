use super::*;

fn refused(json: &str) -> ConfigError {
    PluginConfig::parse(json.as_bytes()).expect_err("must be refused")
}

#[test]
fn names_the_three_modes_when_the_mode_is_missing() {
    for json in [r#"{"policy":""}"#, r#"{"policy":"","install":{}}"#] {
        let text = refused(json).to_string();
        for mode in ["full", "paired", "single"] {
            assert!(text.contains(mode), "{text}");
        }
    }
}

#[test]
fn names_an_unknown_key() {
    let text = refused(r#"{"install":{"mode":"full"},"polcy":"x"}"#).to_string();
    assert!(text.contains("polcy"), "{text}");
    let text = refused(r#"{"install":{"mode":"full"},"limits":{"max_bdy":1}}"#).to_string();
    assert!(text.contains("max_bdy"), "{text}");
}

#[test]
fn refuses_a_role_outside_a_pair() {
    assert_eq!(
        refused(r#"{"install":{"mode":"full","role":"holder"}}"#),
        ConfigError::Role
    );
    assert_eq!(refused(r#"{"install":{"mode":"paired"}}"#), ConfigError::Role);
}

#[test]
fn a_holder_needs_no_policy() {
    let config = PluginConfig::parse(br#"{"install":{"mode":"paired","role":"holder"}}"#);
    assert!(matches!(
        config,
        Ok(PluginConfig::Hold(HolderConfig { policy_digest: None }))
    ));
}

#[test]
fn refuses_protocols_that_would_govern_nothing_or_twice() {
    let with =
        |protocols: &str| format!(r#"{{"install":{{"mode":"full"}},"policy":"","protocols":{protocols}}}"#);
    assert_eq!(refused(&with("[]")), ConfigError::NoProtocols);
    assert!(matches!(
        refused(&with(r#"[{"path_prefix":"mcp","speaks":"mcp"}]"#)),
        ConfigError::Prefix(_)
    ));
    assert!(matches!(
        refused(&with(
            r#"[{"path_prefix":"/mcp","speaks":"mcp"},{"path_prefix":"/mcp/","speaks":"mcp"}]"#
        )),
        ConfigError::DuplicateProtocol(_)
    ));
    assert!(matches!(
        refused(&with(r#"[{"path_prefix":"/a","speaks":"grpc"}]"#)),
        ConfigError::Json(_)
    ));
}

#[test]
fn an_origin_is_one_that_a_browser_would_send() {
    let with = |origin: &str| {
        let entry = format!(r#"{{"path_prefix":"/a","speaks":"mcp","origins":["{origin}"]}}"#);
        let json = format!(r#"{{"install":{{"mode":"full"}},"policy":"","protocols":[{entry}]}}"#);
        PluginConfig::parse(json.as_bytes()).err()
    };
    for fine in [
        "https://a.example",
        "http://localhost:8080",
        "null",
        "http://[::1]:1",
        "app+x://a",
    ] {
        assert_eq!(with(fine), None, "{fine}");
    }
    for wrong in [
        "https://a.example/",
        "a.example",
        "*",
        "https://A.example",
        "https://",
        "",
    ] {
        assert_eq!(
            with(wrong),
            Some(ConfigError::Origin(wrong.to_owned())),
            "{wrong}"
        );
    }
}

#[test]
fn refuses_limits_out_of_range() {
    let text = refused(
        r#"{"install":{"mode":"full"},"policy":"","protocols":[{"path_prefix":"/","speaks":"mcp"}],"limits":{"max_depth":0}}"#,
    );
    assert!(matches!(text, ConfigError::Limit("limits.max_depth", _)));
}

#[test]
fn secrets_do_not_print() {
    let secrets = Secrets {
        hash_key: Some(b"k3y".to_vec()),
        companion_token: Some("t0k".to_owned()),
        variable: |_| None,
        seal_key: Some(b"s3al".to_vec()),
        seal_previous_key: Some(b"s3al".to_vec()),
    };
    let text = format!("{secrets:?}");
    assert!(
        !text.contains("k3y") && !text.contains("t0k") && !text.contains("s3al"),
        "{text}"
    );
}
