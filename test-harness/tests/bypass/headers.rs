//! Headers, paths, authorities and credentials, in the ABI host.

use serde_json::json;

use crate::{
    gate::{Ask, Back, send, send_with},
    policy::{self, With, call, token},
    proof::{Proof, governed, refused, refuses},
};

fn post() -> Ask {
    Ask::post(call("denied"))
}

fn edited() -> Ask {
    Ask::post(call("edited")).back(Back::answer())
}

pub(crate) fn duplicates() -> Proof {
    let code = "protocol.duplicate_header";
    refuses([
        (
            "two content-types",
            post().twice("content-type", "application/json"),
            400,
            code,
        ),
        (
            "two authorizations",
            post()
                .twice("authorization", "Bearer a")
                .twice("authorization", "Bearer b"),
            400,
            code,
        ),
        (
            "two mcp-session-ids",
            post().twice("mcp-session-id", "a").twice("mcp-session-id", "b"),
            400,
            code,
        ),
        (
            "two content-lengths",
            post().twice("content-length", "1").twice("content-length", "2"),
            400,
            code,
        ),
        ("two paths", post().twice(":path", "/other"), 400, code),
    ])
}

pub(crate) fn underscore_twins() -> Proof {
    let seen = send(
        &edited()
            .with("mcp_session_id", "of-another")
            .with("x_user_token", "eve"),
    );
    let names: Vec<_> = seen
        .upstream
        .headers
        .iter()
        .map(|(name, _)| String::from_utf8_lossy(name))
        .collect();
    assert!(
        !names.iter().any(|name| name.contains('_')),
        "GOT THROUGH: {names:?}"
    );
    governed(
        "mcp_session_id, x_user_token",
        format!("both removed; {}", seen.governed()),
    )
}

pub(crate) fn internal_headers() -> Proof {
    let internal = [
        "x-policy-violation",
        "x-policy-decision-id",
        "x-aplomb-verdict",
        "x-mcp-policy-role",
    ];
    let forge = |ask: Ask| internal.iter().fold(ask, |ask, name| ask.with(name, "allow"));
    let seen = send(&forge(edited()));
    for name in internal {
        assert_eq!(seen.upstream.header(name), None, "GOT THROUGH");
    }
    let denied = send(&forge(post())).refused(200, "test.denied");
    governed(
        "forged x-policy-*, x-aplomb-*, x-mcp-policy-*",
        format!("removed; {denied}; {}", seen.governed()),
    )
}

pub(crate) fn injected_headers() -> Proof {
    let name = |text: &str| {
        let text = serde_json::to_string(text).unwrap();
        Ask::post(call("echo").replace("\"echo\"", &text))
    };
    let code = "protocol.invalid_request";
    let proof = refuses([
        ("CR LF in a tool's name", name("echo\r\nx-injected: 1"), 400, code),
        ("NUL in a tool's name", name("echo\0"), 400, code),
        (
            "LF in an id, on a denied call",
            Ask::post(call("denied").replace("7,", "\"7\\r\\nx-injected: 1\",")),
            200,
            "test.denied",
        ),
    ]);
    let seen = send(&Ask::post(
        call("denied").replace("7,", "\"7\\r\\nx-injected: 1\","),
    ));
    for (name, value) in &seen.client.headers {
        assert!(
            !value.iter().any(|byte| *byte < b' ') && name != b"x-injected",
            "GOT THROUGH"
        );
    }
    proof
}

pub(crate) fn paths() -> Proof {
    let of = |path: &str| post().with(":path", path);
    let code = "protocol.ambiguous_path";
    refuses([
        ("//mcp", of("//mcp"), 400, code),
        ("/./mcp", of("/./mcp"), 400, code),
        ("/x/../mcp", of("/x/../mcp"), 400, code),
        ("/%6dcp", of("/%6dcp"), 400, code),
        ("/x%2f..%2fmcp", of("/x%2f..%2fmcp"), 400, code),
        ("/x/%252e%252e/mcp", of("/x/%252e%252e/mcp"), 400, code),
        ("/mcp;v=1", of("/mcp;v=1"), 400, code),
        ("/MCP", of("/MCP"), 400, code),
        ("/x\\..\\mcp", of("/x\\..\\mcp"), 400, code),
        ("/mcp/ with a denied call", of("/mcp/"), 200, "test.denied"),
        (
            "/mcp?x=/other with a denied call",
            of("/mcp?x=/other"),
            200,
            "test.denied",
        ),
        ("/mcp#x with a denied call", of("/mcp#x"), 200, "test.denied"),
    ])
}

pub(crate) fn protocol_headers() -> Proof {
    let with = |method: &str, name: &str| post().with("mcp-method", method).with("mcp-name", name);
    let code = "protocol.header_mismatch";
    refuses([
        ("Mcp-Method: ping", with("ping", "denied"), 400, code),
        ("Mcp-Name: echo", with("tools/call", "echo"), 400, code),
        (
            "Mcp-Name twice",
            with("tools/call", "echo").twice("mcp-name", "denied"),
            400,
            "protocol.duplicate_header",
        ),
        (
            "Mcp-Name beside a batch",
            Ask::post(format!("[{}]", call("echo"))).with("mcp-method", "tools/call"),
            400,
            "protocol.batch",
        ),
    ])
}

pub(crate) fn revisions() -> Proof {
    let of = |value: &str| post().with("mcp-protocol-version", value);
    refuses([
        (
            "an unknown revision",
            of("2099-01-01"),
            400,
            "protocol.unknown_revision",
        ),
        ("no date", of("latest"), 400, "protocol.unknown_revision"),
        (
            "two of them",
            of("2025-06-18").twice("mcp-protocol-version", "2025-03-26"),
            400,
            "protocol.duplicate_header",
        ),
        (
            "2026-07-28 without Mcp-Method",
            of("2026-07-28"),
            400,
            "protocol.header_mismatch",
        ),
        ("none, on a denied call", post(), 200, "test.denied"),
    ])
}

pub(crate) fn origins() -> Proof {
    let evil = "https://evil.example";
    let denied = send(&post().with("origin", evil)).refused(200, "test.denied");
    let any = send(&edited().with("origin", evil)).governed();
    let mut configuration = policy::configuration(With::Nothing);
    configuration["protocols"][0]["origins"] = json!(["https://app.example"]);
    let try_it = |ask: Ask| send_with(&configuration, &ask);
    let own = try_it(edited().with("origin", "https://app.example")).governed();
    assert_eq!(own, try_it(edited()).governed());
    let mut codes = Vec::new();
    for ask in [
        edited().with("origin", evil),
        edited().with("origin", "null"),
        edited()
            .with("origin", "https://app.example")
            .twice("origin", evil),
        edited().with("origin", "https://app.example.evil.example"),
        Ask::post(call("edited"))
            .with(":method", "OPTIONS")
            .with("origin", evil)
            .with("access-control-request-method", "POST"),
    ] {
        codes.push(try_it(ask).refused(403, "protocol.origin"));
    }
    codes.dedup();
    refused(
        "a foreign Origin, null, two of them, a longer host, a preflight, where `origins` lists another; without that list on a denied and an edited call",
        format!(
            "{}; policy holds whatever it is: {denied}; {any}",
            codes.join("; ")
        ),
    )
}

pub(crate) fn authorizations() -> Proof {
    let configuration = policy::configuration(With::Identity);
    let try_it = |ask: Ask| send_with(&configuration, &ask);
    let call = |value: &str| Ask::post(call("echo")).with("authorization", value);
    let bob = token("bob");
    let came = [
        try_it(call(&bob).twice("authorization", &token("eve"))).refused(400, "protocol.duplicate_header"),
        try_it(call("").with(":path", &format!("/mcp?access_token={bob}")))
            .refused(401, "auth.malformed_header"),
        try_it(call(&format!("{bob}, {bob}"))).refused(401, "auth.malformed_header"),
        try_it(call(&bob.replace("Bearer", "Basic"))).refused(401, "auth.malformed_header"),
    ];
    refused(
        "two Authorization headers; a token in the query; two tokens in one header; another scheme",
        came.join("; "),
    )
}

pub(crate) fn unverified_tokens() -> Proof {
    let configuration = policy::configuration(With::Identity);
    let forged = |ask: &str| {
        let seen = send_with(
            &configuration,
            &Ask::post(call("echo")).with("authorization", ask),
        );
        assert!(!seen.upstream.started, "GOT THROUGH: {ask}");
        assert_eq!(seen.status, "401");
        seen.code
    };
    let bob = token("bob");
    let (head, signature) = bob.rsplit_once('.').unwrap();
    let payload = head.rsplit_once('.').unwrap().1;
    let other = token("eve");
    let codes = [
        forged(&format!("{head}.")),
        forged(&format!("{head}.{}", other.rsplit_once('.').unwrap().1)),
        // {"alg":"none"}
        forged(&format!("Bearer eyJhbGciOiJub25lIn0.{payload}.{signature}")),
        forged("Bearer of-nobody"),
    ];
    let seen = send_with(
        &configuration,
        &Ask::post(call("edited"))
            .with("authorization", &bob)
            .back(Back::answer()),
    );
    let _passes = seen.governed();
    refused(
        "tokens that no filter verified before: no signature, another's, alg none, no JWT",
        format!("401 {}; no other filter's word is needed", codes.join(", ")),
    )
}

pub(crate) fn workload_identities() -> Proof {
    let forged = |ask: Ask| {
        ask.with(
            "x-forwarded-client-cert",
            "URI=spiffe://a/admin;URI=spiffe://b/admin",
        )
        .with("x-spiffe-id", "spiffe://a/admin")
    };
    let denied = send(&forged(post())).refused(200, "test.denied");
    governed(
        "x-forwarded-client-cert with two URI names, x-spiffe-id",
        format!(
            "no header names a workload (the proxy's TLS does, or a signed token: `--test mesh`): {denied}; {}",
            send(&forged(edited())).governed()
        ),
    )
}

pub(crate) fn forwarded_for() -> Proof {
    let spoof = |ask: Ask| {
        ask.with("x-forwarded-for", "127.0.0.1, 10.0.0.1")
            .with("x-real-ip", "127.0.0.1")
            .with("x-envoy-external-address", "127.0.0.1")
            .with("forwarded", "for=127.0.0.1")
    };
    let denied = send(&spoof(post())).refused(200, "test.denied");
    governed(
        "x-forwarded-for: 127.0.0.1 and its kin",
        format!(
            "no rule reads them: {denied}; {}",
            send(&spoof(edited())).governed()
        ),
    )
}

pub(crate) fn many_headers() -> Proof {
    let flood = |ask: Ask| (0..1200).fold(ask, |ask, n| ask.twice(&format!("x-h{n}"), &"v".repeat(900)));
    let denied = send(&flood(post())).refused(200, "test.denied");
    let seen = send(&flood(edited()).with("x-policy-violation", "forged"));
    let came = seen.governed();
    assert!(seen.upstream.headers.len() >= 1200, "headers were lost");
    assert_eq!(seen.upstream.header("x-policy-violation"), None);
    governed(
        "1200 headers, together over 1 MiB",
        format!("{denied}; {came}, no header lost"),
    )
}

pub(crate) fn authorities() -> Proof {
    let mut configuration = policy::configuration(With::Nothing);
    configuration["protocols"] =
        json!([{"authority": "tools.example", "path_prefix": "/mcp", "speaks": "mcp"}]);
    for authority in [
        "TOOLS.example",
        "tools.example:8080",
        "tools.example.",
        "tools.example.:443",
    ] {
        let seen = send_with(&configuration, &post().with(":authority", authority));
        seen.refused(200, "test.denied");
    }
    let marked = post()
        .with(":authority", "other.example")
        .with("mcp-protocol-version", "2025-06-18");
    // Another host is another deployment's traffic; what is agent traffic by its headers is refused all the same.
    let came =
        send_with(&configuration, &marked.with(":path", "/other")).refused(403, "protocol.unlisted_path");
    governed(
        "another case, a port, a trailing dot in :authority; a host that is not listed, with MCP headers",
        format!("200 test.denied; {came}"),
    )
}
