//! `validator/pii-scan`: detectors and what a find does.

use apl_bytecode::{Detector, ScanMode};

use crate::diagnostics::{Code, error};
use crate::document::keys::{Reader, check};
use crate::document::plugin::{DetectorDecl, Pii};
use crate::vocabulary::Section;
use crate::yaml::Node;

/// Reads the configuration of one.
pub(super) fn pii(config: &Node, reader: &mut Reader<'_>) -> Pii {
    check(config, Section::PiiConfig, reader);
    let detectors = match config.get("detect") {
        Some(entry) => reader
            .list(&entry.node, "detect")
            .iter()
            .filter_map(|item| detector(item, reader))
            .collect(),
        None => vec![
            DetectorDecl::BuiltIn(Detector::Ssn),
            DetectorDecl::BuiltIn(Detector::CreditCard),
        ],
    };
    let mode = match reader.word(config, "mode", &["deny", "redact"]) {
        Some("redact") => ScanMode::Redact,
        _ => ScanMode::Deny,
    };
    let code = reader.text(config, "code").unwrap_or("pii.detected").to_owned();
    Pii {
        detectors,
        mode,
        code,
    }
}

const DETECTORS: &[(&str, Detector)] = &[
    ("ssn", Detector::Ssn),
    ("credit_card", Detector::CreditCard),
    ("iban", Detector::Iban),
    ("email", Detector::Email),
    ("phone", Detector::Phone),
    ("ip_address", Detector::IpAddress),
    ("api_key", Detector::ApiKey),
    ("private_key", Detector::PrivateKey),
    ("jwt", Detector::Jwt),
    ("prompt_injection", Detector::PromptInjection),
];

fn detector(item: &Node, reader: &mut Reader<'_>) -> Option<DetectorDecl> {
    check(item, Section::Detector, reader);
    let word = reader.required(item, "kind", "a detector", item.span)?;
    if let Some((_, detector)) = DETECTORS.iter().find(|(name, _)| *name == word) {
        return Some(DetectorDecl::BuiltIn(*detector));
    }
    let span = item.get("kind").map_or(item.span, |entry| entry.node.span);
    if word == "custom" {
        let name = reader
            .required(item, "name", "a custom detector", item.span)?
            .to_owned();
        let regex = reader
            .required(item, "regex", "a custom detector", item.span)?
            .to_owned();
        let span = item.get("regex").map_or(span, |entry| entry.node.span);
        return Some(DetectorDecl::Custom { name, regex, span });
    }
    let names: Vec<&str> = DETECTORS.iter().map(|(name, _)| *name).collect();
    reader.reports.push(
        error(Code::BadValue, span, format!("there is no detector `{word}`")).help(format!(
            "{}, or `custom` with `name` and `regex`",
            names.join(", ")
        )),
    );
    None
}
