//! `docs/filter-configuration.md` and `docs/companion.md` name every key that is read.

/// The public fields of a struct in `source`, by its name.
fn fields<'a>(source: &'a str, name: &str) -> Vec<&'a str> {
    let (_, rest) = source
        .split_once(&format!("struct {name} {{"))
        .unwrap_or_else(|| panic!("there is no `struct {name}`"));
    let (body, _) = rest.split_once("\n}").expect("an end");
    let fields: Vec<&str> = body
        .lines()
        .filter_map(|line| {
            let line = line.trim_start();
            let line = line
                .strip_prefix("pub(super) ")
                .or_else(|| line.strip_prefix("pub "))?;
            line.split_once(':').map(|(field, _)| field)
        })
        .collect();
    assert!(!fields.is_empty(), "`struct {name}` has no fields");
    fields
}

/// Each key stands in the first column of a table row of the page.
fn check(page: &str, source: &str, structs: &[(&str, &str)]) {
    let text = super::text(page);
    let source = super::text(source);
    let mut missing = Vec::new();
    for (name, prefix) in structs {
        for field in fields(&source, name) {
            if !text.contains(&format!("\n| `{prefix}{field}` |")) {
                missing.push(format!("`{prefix}{field}` ({name})"));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "{page} has no row for:\n  {}",
        missing.join("\n  ")
    );
}

#[test]
fn every_key_of_the_filter_configuration_has_a_row() {
    let page = "docs/filter-configuration.md";
    check(
        page,
        "enforcer/src/config/raw.rs",
        &[("RawConfig", ""), ("RawInstall", "install.")],
    );
    check(
        page,
        "enforcer/src/config.rs",
        &[
            ("Protocol", "protocols[]."),
            ("Companion", "companion."),
            ("Limits", "limits."),
        ],
    );
}

#[test]
fn every_limit_has_its_default_in_the_page() {
    let page = super::text("docs/filter-configuration.md");
    let source = super::text("enforcer/src/config.rs");
    let (_, rest) = source.split_once("impl Default for Limits").expect("defaults");
    let (body, _) = rest.split_once("\n    }\n").expect("an end");
    let mut checked = 0;
    for line in body.lines() {
        let Some((field, value)) = line.trim().split_once(": ") else {
            continue;
        };
        let value = value.trim_end_matches(',').replace('_', "");
        let number: u64 = match value.split_once(" << ") {
            Some((base, shift)) => {
                base.parse::<u64>().expect("a number") << shift.parse::<u32>().expect("a shift")
            }
            None => value.parse().expect("a number"),
        };
        let row = page
            .lines()
            .find(|row| row.starts_with(&format!("| `limits.{field}` |")))
            .unwrap_or_else(|| panic!("no row for `limits.{field}`"));
        assert!(
            row.contains(&format!(" {number} |")),
            "the default of `limits.{field}` is {number}: {row}"
        );
        checked += 1;
    }
    assert!(checked >= 8, "only {checked} limits were found");
}

#[test]
fn every_key_of_companion_json_has_a_row() {
    check(
        "docs/companion.md",
        "companion-protocol/src/config.rs",
        &[
            ("CompanionConfig", ""),
            ("IssuerConfig", "issuers[]."),
            ("LifetimesConfig", "session_store.lifetimes."),
            ("ValkeyConfig", "session_store."),
        ],
    );
    check(
        "docs/companion.md",
        "companion-protocol/src/config/delegators.rs",
        &[
            ("OauthDelegator", "delegators.<name>."),
            ("SecretDelegator", "delegators.<name>."),
            ("BiscuitDelegator", "delegators.<name>."),
        ],
    );
}

#[test]
fn every_option_of_serve_is_in_the_page() {
    let page = super::text("docs/companion.md");
    let source = super::text("companion/src/main.rs");
    let (_, rest) = source.split_once("struct Serve {").expect("there");
    let (body, _) = rest.split_once("\n}").expect("an end");
    for line in body
        .lines()
        .map(str::trim_start)
        .filter(|line| !line.starts_with(['/', '#']))
    {
        let Some((field, _)) = line.split_once(':') else {
            continue;
        };
        let option = format!("| `--{}", field.replace('_', "-"));
        assert!(page.contains(&option), "docs/companion.md has no row `{option}`");
    }
}
