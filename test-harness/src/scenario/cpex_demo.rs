//! The scenarios of the CPEX 0.2 demo over its own, unchanged policy: 01 to 11.
//!
//! The policy is somebody else's file and no part of this repository: where it is absent, there is no scenario.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Allowed, Carry, Desk, Event, Expect, Scenario, Step};
use crate::backend::Role;
use crate::programs;

/// Where the file lies beside a checkout: `APLOMB_CPEX_DEMO`, or a folder `shared` beside the source tree or above it.
#[must_use]
pub fn policy() -> Option<PathBuf> {
    let named = std::env::var_os("APLOMB_CPEX_DEMO").map(PathBuf::from);
    let beside = programs::root();
    let found = beside
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("shared/external/cpex-demo/policy.yaml"));
    named.into_iter().chain(found).find(|path| path.is_file())
}

/// The scenarios, one after the other, if the policy is there.
#[must_use]
pub fn scenario() -> Option<Scenario> {
    Some(Scenario {
        name: "cpex-demo",
        policy: policy()?,
        steps: steps(),
    })
}

fn steps() -> Vec<Step> {
    vec![
        step(
            "01 bob reads the record",
            "bob",
            "s01",
            compensation(true),
            whole_record(),
        ),
        step(
            "02 alice is no HR",
            "alice",
            "s02",
            compensation(false),
            Expect::denied_saying("routes.tool:get_compensation.pre_invocation[0]", "access denied"),
        ),
        step(
            "03 eve reads it redacted, her argument too",
            "eve",
            "s03",
            compensation(true),
            redacted_record(),
        ),
        step(
            "04 alice searches internal repositories",
            "alice",
            "s04",
            search("internal"),
            found_internal(),
        ),
        step(
            "05 but not external ones",
            "alice",
            "s05",
            search("external"),
            Expect::denied_saying("cedar.default_deny", "no Cedar permit policy matched the request"),
        ),
        step(
            "06 bob is in no team that reads repositories",
            "bob",
            "s06",
            (
                Role::Repos,
                "search_repos",
                json!({ "repo_name": "web-app", "visibility": "internal" }),
            ),
            Expect::denied("routes.tool:search_repos.pre_invocation[0]"),
        ),
        step(
            "07 an SSN in a mail body",
            "bob",
            "s07",
            mail("external@example.com", "compensation update", "for 555-12-3456"),
            Expect::denied("pii.detected"),
        ),
        step("08 S1 a clean mail", "bob", "s08-a", clean_mail(), sent()),
        step(
            "08 S2 the record in another session",
            "bob",
            "s08-b",
            compensation(true),
            whole_record(),
        ),
        step(
            "08 S3 a clean mail in that session",
            "bob",
            "s08-b",
            clean_mail(),
            Expect::denied_saying(
                "session_tainted_secret",
                "external email blocked: this session accessed secret data",
            ),
        ),
        step("09 S1 bob's mail", "bob", "s09-x", clean_mail(), sent()),
        step(
            "09 S2 eve reads the record",
            "eve",
            "s09-y",
            compensation(true),
            redacted_record(),
        ),
        step(
            "09 S3 bob's mail under eve's session id",
            "bob",
            "s09-y",
            clean_mail(),
            sent(),
        ),
        step(
            "10 a small adjustment needs nobody",
            "bob",
            "s10",
            adjust(5_000),
            adjusted(5_000, 130_000),
        ),
        step(
            "11 S1 a large one waits for bob's manager",
            "bob",
            "s11",
            adjust(25_000),
            Expect::Pending("alice", "ciba"),
        ),
        Step {
            carry: Carry::Peek,
            ..step(
                "11 S2 and still does",
                "bob",
                "s11",
                adjust(25_000),
                Expect::Pending("alice", "ciba"),
            )
        },
        Step {
            before: vec![Event::ManagerAnswers("alice", Desk::Provider, true)],
            carry: Carry::Peek,
            ..step(
                "11 S3 a peek spends nothing",
                "bob",
                "s11",
                adjust(25_000),
                Expect::Approved("alice"),
            )
        },
        Step {
            carry: Carry::Id,
            ..step(
                "11 another amount under that approval",
                "bob",
                "s11",
                adjust(24_000),
                Expect::denied("elicitation.binding_mismatch"),
            )
        },
        Step {
            carry: Carry::Id,
            ..step(
                "11 S4 the adjustment",
                "bob",
                "s11",
                adjust(25_000),
                adjusted(25_000, 155_000),
            )
        },
        Step {
            carry: Carry::Id,
            ..step(
                "11 and once only",
                "bob",
                "s11",
                adjust(25_000),
                Expect::denied("elicitation.unknown_id"),
            )
        },
    ]
}

/// A tool call: backend, tool, arguments.
type Call = (Role, &'static str, Value);

fn step(title: &'static str, user: &'static str, session: &'static str, call: Call, expect: Expect) -> Step {
    let (backend, tool, arguments) = call;
    Step {
        title,
        before: Vec::new(),
        user,
        session,
        backend,
        tool,
        arguments,
        carry: Carry::Nothing,
        expect,
    }
}

fn compensation(include_ssn: bool) -> Call {
    let ssn = "would-be-removed-if-redact-fires";
    let arguments = json!({ "employee_id": "EMP-001234", "include_ssn": include_ssn, "ssn": ssn });
    (Role::Hr, "get_compensation", arguments)
}

fn mail(to: &str, subject: &str, body: &str) -> Call {
    (
        Role::Email,
        "send_email",
        json!({ "to": to, "subject": subject, "body": body }),
    )
}

fn clean_mail() -> Call {
    mail("partner@example.com", "FYI", "The meeting is at noon.")
}

fn whole_record() -> Expect {
    Expect::Allowed(Allowed {
        fields: vec![
            ("/ssn", json!("123-45-6789")),
            ("/salary", json!(125_000)),
            ("/bonus", json!(15_000)),
        ],
        token: Some(("workday-api", "read_compensation")),
        ..Allowed::default()
    })
}

fn redacted_record() -> Expect {
    Expect::Allowed(Allowed {
        edited: Some(("123-45-6789", "[REDACTED]")),
        fields: vec![
            ("/ssn", json!("[REDACTED]")),
            ("/salary", json!(125_000)),
            ("/bonus", json!(15_000)),
        ],
        token: Some(("workday-api", "read_compensation")),
        arguments: Some(json!({ "employee_id": "EMP-001234", "include_ssn": true, "ssn": "[REDACTED]" })),
        acts: false,
    })
}

fn sent() -> Expect {
    Expect::Allowed(Allowed {
        fields: vec![("/status", json!("sent"))],
        ..Allowed::default()
    })
}

fn search(visibility: &str) -> Call {
    let repo = if visibility == "internal" {
        "web-app"
    } else {
        "partner-sdk"
    };
    (
        Role::Repos,
        "search_repos",
        json!({ "repo_name": repo, "visibility": visibility }),
    )
}

fn found_internal() -> Expect {
    Expect::Allowed(Allowed {
        token: Some(("github-api", "repo:read:internal")),
        ..Allowed::default()
    })
}

fn adjust(amount: i64) -> Call {
    let arguments = json!({ "employee_id": "EMP-001234", "amount": amount });
    (Role::Hr, "adjust_compensation", arguments)
}

fn adjusted(amount: i64, salary: i64) -> Expect {
    Expect::Allowed(Allowed {
        fields: vec![
            ("/status", json!("applied")),
            ("/adjustment", json!(amount)),
            ("/new_salary", json!(salary)),
        ],
        acts: true,
        ..Allowed::default()
    })
}
