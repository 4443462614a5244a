//! What `make demo-up` prints: tokens and curl lines.

use std::fmt::Write as _;
use std::path::Path;

use crate::stack::Stack;

/// The demo's users and what they are.
const USERS: [(&str, &str); 3] = [
    ("bob", "HR, may see SSNs, may send mail"),
    ("eve", "HR"),
    ("alice", "engineer"),
];

/// The text for the person who tries it; the tokens also go to `tokens.env` in `dir`.
pub(super) async fn text(stack: &Stack, dir: &Path) -> anyhow::Result<String> {
    let tokens_file = dir.join("tokens.env");
    let mut tokens = String::new();
    for (user, _) in USERS {
        let both = stack.idp.log_in(user).await?;
        if tokens.is_empty() {
            writeln!(tokens, "AGENT={}", both.client)?;
        }
        writeln!(tokens, "{}={}", user.to_uppercase(), both.user)?;
    }
    std::fs::write(&tokens_file, &tokens)?;

    let file = super::shown(&tokens_file);
    let mut text = String::new();
    writeln!(text, "The demo is up. Tokens (they live ten minutes):\n")?;
    writeln!(text, "{tokens}")?;
    writeln!(text, "The users:")?;
    for (user, what) in USERS {
        writeln!(text, "  {user:<6} {what}")?;
    }
    writeln!(text, "\nTry, from the source folder:\n")?;
    writeln!(text, "  . {file}")?;
    writeln!(
        text,
        "  call() {{ curl -s -i \"$1\" -H 'content-type: application/json' \\"
    )?;
    writeln!(
        text,
        "    -H 'accept: application/json, text/event-stream' -H \"authorization: Bearer $AGENT\" \\"
    )?;
    writeln!(text, "    -H \"x-user-token: $2\" -H \"x-session-id: $3\" \\")?;
    writeln!(
        text,
        "    -d '{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{{\"name\":\"'\"$4\"'\",\"arguments\":'\"$5\"'}}}}'; echo; }}\n"
    )?;
    let record = r#"'{"employee_id":"EMP-001234"}'"#;
    let mail = r#"'{"to":"partner@example.com","subject":"FYI","body":"noon"}'"#;
    let search = r#"'{"repo_name":"web-app","visibility":"internal"}'"#;
    for (path, user, tool, arguments, what) in [
        ("/email/mcp", "BOB", "send_email", mail, "sent"),
        ("/hr/mcp", "BOB", "get_compensation", record, "the whole record"),
        (
            "/email/mcp",
            "BOB",
            "send_email",
            mail,
            "now denied: session_tainted",
        ),
        ("/hr/mcp", "EVE", "get_compensation", record, "the SSN redacted"),
        ("/hr/mcp", "ALICE", "get_compensation", record, "denied"),
        ("/repos/mcp", "ALICE", "search_repos", search, "found"),
    ] {
        writeln!(
            text,
            "  call {} \"${user}\" s1 {tool} {arguments}   # {what}",
            stack.envoy.url(path)
        )?;
    }
    let (idp, audit) = (
        stack.idp.token_url(),
        super::shown(&dir.join("companion-data/audit.jsonl")),
    );
    writeln!(
        text,
        "\nNew tokens: curl -s {idp} -d client_id=hr-copilot -d client_secret=hr-copilot-secret \\"
    )?;
    writeln!(
        text,
        "              -d grant_type=password -d username=bob -d password=bob"
    )?;
    writeln!(text, "The audit log: {audit}")?;
    writeln!(text, "Envoy's log:   {}", super::shown(&dir.join("envoy.log")))?;
    writeln!(text, "`make demo-down` ends it.")?;
    Ok(text)
}
