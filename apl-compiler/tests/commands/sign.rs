//! `aplc sign`, `aplc verify`, `aplc build --sign-key`.

use std::fs;
use std::process::Command;

use crate::cli::{POLICY, folder, run};

/// RFC 8410, section 10: the keys of its examples.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
const PUBLIC: &str = "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";

fn built() -> tempfile::TempDir {
    let folder = folder(POLICY);
    fs::write(folder.path().join("key.pem"), KEY).expect("written");
    run(folder.path(), &["build", "policy.yaml", "-o", "out"], 0);
    folder
}

fn public(text: &str) -> String {
    let line = text.lines().find(|line| line.starts_with("policy_public_key"));
    line.and_then(|line| line.split_whitespace().nth(1))
        .expect("the key is printed")
        .to_owned()
}

#[test]
fn signs_and_verifies_and_the_digest_stays() {
    let folder = built();
    let digest = |path: &str| {
        apl_bytecode::load(&fs::read(folder.path().join(path)).unwrap())
            .unwrap()
            .digest_hex()
    };
    let before = digest("out/policy.aplb");
    let (out, _) = run(
        folder.path(),
        &["sign", "--key", "key.pem", "out/policy.aplb", "-o", "signed.aplb"],
        0,
    );
    assert_eq!(digest("signed.aplb"), before);
    let key = public(&out);
    assert_eq!(key, PUBLIC);
    run(folder.path(), &["verify", "--public-key", &key, "signed.aplb"], 0);
    let (_, err) = run(
        folder.path(),
        &["verify", "--public-key", &key, "out/policy.aplb"],
        1,
    );
    assert!(err.contains("is not signed"), "{err}");
    let other = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    let (_, err) = run(
        folder.path(),
        &["verify", "--public-key", other, "signed.aplb"],
        1,
    );
    assert!(err.contains("not by this key"), "{err}");
}

#[test]
fn what_is_no_key_is_the_invocations_fault() {
    let folder = built();
    fs::write(folder.path().join("bad.pem"), "no key").expect("written");
    let (_, err) = run(folder.path(), &["sign", "--key", "bad.pem", "out/policy.aplb"], 2);
    assert!(err.contains("openssl genpkey -algorithm ed25519"), "{err}");
    let (_, err) = run(
        folder.path(),
        &["verify", "--public-key", "bad.pem", "out/policy.aplb"],
        2,
    );
    assert!(err.contains("base64 of 32 bytes"), "{err}");
}

fn openssl(folder: &std::path::Path, arguments: &[&str]) -> bool {
    let done = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .output();
    done.is_ok_and(|output| output.status.success())
}

#[test]
fn takes_keys_and_signatures_that_openssl_makes() {
    let folder = built();
    let path = folder.path();
    if !openssl(path, &["genpkey", "-algorithm", "ed25519", "-out", "o.pem"]) {
        println!("skipped: there is no openssl with Ed25519 here");
        return;
    }
    assert!(openssl(
        path,
        &["pkey", "-in", "o.pem", "-pubout", "-out", "o.pub"]
    ));
    run(
        path,
        &["sign", "--key", "o.pem", "out/policy.aplb", "-o", "ours.aplb"],
        0,
    );
    run(path, &["verify", "--public-key", "o.pub", "ours.aplb"], 0);

    let plain = fs::read(path.join("out/policy.aplb")).unwrap();
    let digest = apl_bytecode::load(&plain).unwrap().digest_hex();
    fs::write(path.join("text"), apl_bytecode::signed_text(&digest)).unwrap();
    let sign = [
        "pkeyutl", "-sign", "-inkey", "o.pem", "-rawin", "-in", "text", "-out", "sig",
    ];
    if !openssl(path, &sign) {
        println!("skipped: this openssl does not sign with Ed25519 keys");
        return;
    }
    let signature = fs::read(path.join("sig")).unwrap().try_into().expect("64 bytes");
    let theirs = apl_bytecode::with_signature(&plain, &signature).unwrap();
    // Ed25519 is deterministic: it is the same file.
    assert_eq!(theirs, fs::read(path.join("ours.aplb")).unwrap());
}
