//! What a server needs for TLS and for a user who may do what is documented.

use tempfile::TempDir;

pub(super) struct Files {
    /// For the server's command line.
    pub(super) arguments: Vec<String>,
    /// PEM of the authority.
    pub(super) ca: Vec<u8>,
    _directory: TempDir,
}

/// The rights that the store's page names, without those that Redis 7.0 does not know.
fn rights() -> String {
    let page = include_str!("../../valkey.rs");
    let documented = page
        .split("**Rights**")
        .nth(1)
        .and_then(|text| text.split('`').nth(1))
        .expect("the rights are documented")
        .replace("//!", " ");
    let known = documented.split_whitespace().filter(|right| *right != "+waitaof");
    known.collect::<Vec<_>>().join(" ")
}

/// For localhost and 127.0.0.1; the user is `aplomb` with the password `hunter2`. `more` rights must be documented too.
/// Everybody else may do everything over plain TCP, where the server has a port for it.
pub(super) fn files(more: &[&str]) -> Files {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str| directory.path().join(name).display().to_string();
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let signed = rcgen::generate_simple_self_signed(names).expect("a certificate");
    std::fs::write(file("cert"), signed.cert.pem()).expect("writes");
    std::fs::write(file("key"), signed.signing_key.serialize_pem()).expect("writes");
    for right in more {
        assert!(
            include_str!("../../valkey.rs").contains(right),
            "`{right}` is not documented"
        );
    }
    let user = format!(
        "user aplomb on >hunter2 ~aplomb:v1:* {} {}",
        rights(),
        more.join(" ")
    );
    let everybody = "user default on nopass ~* &* +@all";
    std::fs::write(file("acl"), format!("{everybody}\n{user}\n")).expect("writes");
    let (cert, key, acl) = (file("cert"), file("key"), file("acl"));
    let arguments = [
        ["--tls-cert-file", &cert],
        ["--tls-key-file", &key],
        ["--tls-ca-cert-file", &cert],
        ["--tls-auth-clients", "no"],
        ["--aclfile", &acl],
    ];
    Files {
        arguments: arguments.into_iter().flatten().map(str::to_owned).collect(),
        ca: signed.cert.pem().into_bytes(),
        _directory: directory,
    }
}
