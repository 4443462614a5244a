use companion_protocol::{ShadowVerdict, WouldKind};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::super::tests::record;
use apl_bytecode::signed_text;

use super::*;

fn verdict(digest: &str, at_ms: u64) -> AuditRecord {
    AuditRecord {
        at_ms,
        policy_digest: digest.to_owned(),
        ..record(1)
    }
}

fn shadowed(record: AuditRecord, digest: &str) -> AuditRecord {
    let shadow = ShadowVerdict {
        policy_digest: digest.to_owned(),
        verdict: WouldKind::WouldDeny,
        code: None,
        rule: None,
        effects: Vec::new(),
        edits: Vec::new(),
    };
    AuditRecord {
        verdict: Some(VerdictKind::Allow),
        code: None,
        shadow: vec![shadow],
        ..record
    }
}

fn of(records: impl IntoIterator<Item = AuditRecord>) -> Report {
    let mut report = Report::default();
    for record in records {
        report.count(record);
    }
    report
}

fn changes(records: impl IntoIterator<Item = AuditRecord>) -> Vec<(u64, Change)> {
    let told = of(records).enforcement.into_iter();
    told.map(|told| (told.at_ms, told.change)).collect()
}

fn begins(after: Option<&str>) -> Change {
    Change::Begins {
        after: after.map(str::to_owned),
    }
}

fn operation() -> String {
    "tool:send_email".to_owned()
}

#[test]
fn every_program_has_its_time_and_its_verdicts() {
    let report = of([
        verdict("one", 10),
        shadowed(verdict("one", 30), "two"),
        verdict("one", 20),
    ]);
    let [one, two] = report.policies.as_slice() else {
        panic!("{:?}", report.policies)
    };
    assert_eq!((one.first_ms, one.last_ms), (10, 30));
    assert_eq!((one.verdicts, one.denied, one.in_shadow), (3, 2, 0));
    assert_eq!((two.first_ms, two.last_ms), (30, 30));
    assert_eq!((two.verdicts, two.denied, two.in_shadow), (0, 0, 1));
}

#[test]
fn workers_that_take_a_program_one_after_the_other_are_one_change() {
    let mixed = [
        ("one", 0),
        ("two", 5),
        ("one", 6),
        ("two", 7),
        ("one", 8),
        ("two", 9),
    ];
    let told = changes(mixed.map(|(digest, at)| verdict(digest, at)));
    assert_eq!(told, [(0, begins(None)), (5, begins(Some("one")))]);
}

#[test]
fn a_program_that_others_decided_a_minute_without_comes_back() {
    let records = [("one", 0), ("two", 10), ("two", 60_000), ("one", 60_001)];
    let told = changes(records.map(|(digest, at)| verdict(digest, at)));
    let returns = Change::Returns {
        after: "two".to_owned(),
    };
    assert_eq!(told.last(), Some(&(60_001, returns)));
    // Nobody called for a minute: nothing changed.
    let quiet = [("one", 0), ("one", 600_000)];
    let told = changes(quiet.map(|(digest, at)| verdict(digest, at)));
    assert_eq!(told, [(0, begins(None))]);
}

#[test]
fn operations_come_into_shadow_and_out_of_it() {
    let told = changes([
        verdict("one", 0),
        shadowed(verdict("two", 1), "two"),
        // A worker that still has the first program is no change back.
        verdict("one", 2),
        shadowed(verdict("two", 3), "two"),
        // `until:` is over.
        verdict("two", 4),
        verdict("two", 5),
    ]);
    let into = Change::IntoShadow {
        operation: operation(),
    };
    let out = Change::OutOfShadow {
        operation: operation(),
    };
    assert_eq!(told[2..], [(1, into), (4, out)]);
}

#[test]
fn a_program_beside_another_is_told_once_and_puts_nothing_into_shadow() {
    let told = changes([
        shadowed(verdict("one", 0), "two"),
        shadowed(verdict("one", 1), "two"),
    ]);
    let beside = Change::Beside {
        shadow_digest: "two".to_owned(),
    };
    assert_eq!(told, [(0, begins(None)), (0, beside)]);
}

#[test]
fn answers_and_operators_acts_are_listed_and_other_steps_counted() {
    let step = |plugin: &str, entity_name: &str| AuditRecord {
        step: Some(StepRecord {
            plugin: plugin.to_owned(),
            source: "why".to_owned(),
        }),
        verdict: None,
        code: Some("approved".to_owned()),
        client: Some("alice".to_owned()),
        entity_name: entity_name.to_owned(),
        ..record(1)
    };
    let report = of([
        step(ANSWER_STEP, "pay"),
        step(CLEAR_STEP, "clear"),
        step(IMPORT_STEP, "import"),
        step("audit-log", "pay"),
    ]);
    let [answer] = report.approvals.as_slice() else {
        panic!("{:?}", report.approvals)
    };
    let told = [&answer.operation, &answer.approver, &answer.answer, &answer.step];
    assert_eq!(told, ["pay", "alice", "approved", "why"]);
    let acts: Vec<&str> = report.operators.iter().map(|act| act.act.as_str()).collect();
    assert_eq!(acts, ["clear", "import"]);
    assert_eq!(report.steps, BTreeMap::from([("audit-log".to_owned(), 1)]));
    assert!(report.verdicts.is_empty() && report.policies.is_empty());
}

/// A new key: its pair, and its public half in PEM.
fn key() -> (Ed25519KeyPair, String) {
    use base64::Engine as _;
    let bytes = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
    let pair = Ed25519KeyPair::from_pkcs8(bytes.as_ref()).expect("a key");
    // RFC 8410: the prefix of an Ed25519 key.
    let mut der = vec![
        0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
    ];
    der.extend(pair.public_key().as_ref());
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n");
    (pair, pem)
}

#[test]
fn a_signature_counts_only_over_the_programs_own_digest_and_by_a_given_key() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    let bytes = apl_bytecode::encode(&apl_bytecode::Program::default());
    let digest = apl_bytecode::load(&bytes).expect("loads").digest_hex();
    let ((pair, pem), (other, _)) = (key(), key());
    std::fs::write(at("release.pem"), pem).expect("writes");
    let signed = |pair: &Ed25519KeyPair, text: &[u8]| {
        let signature = pair.sign(text).as_ref().try_into().expect("64 bytes");
        apl_bytecode::with_signature(&bytes, &signature).expect("fits")
    };
    let right = signed_text(&digest);
    let cases = [
        (bytes.clone(), Signer::Unsigned),
        (signed(&other, &right), Signer::Stranger),
        (signed(&pair, digest.as_bytes()), Signer::Stranger),
        (
            signed(&pair, &right),
            Signer::Key {
                name: "release".to_owned(),
            },
        ),
    ];
    for (program, expected) in cases {
        std::fs::write(at("policy.aplb"), program).expect("writes");
        let signers = Signers::read(&[at("policy.aplb")], &[at("release.pem")]).expect("reads");
        assert_eq!(signers.of(&digest), expected);
        assert_eq!(signers.of("another"), Signer::Unknown);
    }
    for (program, keys) in [
        ("release.pem", vec![]),
        ("policy.aplb", vec![at("policy.aplb")]),
        ("nothing", vec![]),
    ] {
        assert!(Signers::read(&[at(program)], &keys).is_err(), "{program}");
    }
}

#[test]
fn logs_are_read_in_the_order_of_time_and_what_is_in_two_counts_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, records: &[(u64, u64, &str)]| {
        let lines = records.iter().map(|(seq, at_ms, digest)| {
            let record = AuditRecord {
                seq: *seq,
                ..verdict(digest, *at_ms)
            };
            serde_json::to_string(&record).expect("JSON") + "\n"
        });
        let path = directory.path().join(name);
        std::fs::write(&path, lines.collect::<String>() + "nonsense\n").expect("writes");
        path
    };
    let one = write("one.jsonl", &[(0, 0, "old"), (1, 90_000, "new")]);
    let two = write(
        "two.jsonl",
        &[(2, 30_000, "old"), (1, 90_000, "new"), (3, 95_000, "new")],
    );
    let report = report([one.as_path(), two.as_path()], &Signers::default()).expect("reads");
    assert_eq!((report.records, report.unreadable), (4, 2));
    assert_eq!(report.operations["tool:send_email"], 4);
    // One log behind the other would show the old program again after the new one.
    let told: Vec<&Change> = report.enforcement.iter().map(|told| &told.change).collect();
    assert_eq!(told, [&begins(None), &begins(Some("old"))]);
}
