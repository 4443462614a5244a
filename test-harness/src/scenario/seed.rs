//! The seed's scenario over `examples/hr/policy.yaml`.

use serde_json::{Value, json};

use super::{Allowed, Carry, Desk, Event, Expect, Scenario, Step};
use crate::backend::Role;
use crate::programs;

/// The scenario, in the order in which the story is told.
#[must_use]
pub fn scenario() -> Scenario {
    Scenario {
        name: "seed",
        policy: programs::root().join("examples/hr/policy.yaml"),
        steps: steps(),
    }
}

fn steps() -> Vec<Step> {
    vec![
        step(
            "an HR analyst with view_ssn gets the whole record",
            "bob",
            "monday",
            compensation(),
            whole_record(),
        ),
        step(
            "an HR analyst without it gets the record with the SSN redacted",
            "eve",
            "tuesday",
            compensation(),
            redacted_record(),
        ),
        step(
            "an engineer does not get it, and the backend hears nothing",
            "alice",
            "wednesday",
            compensation(),
            Expect::denied("routes.tool:get_compensation.pre_invocation[0]"),
        ),
        step(
            "an engineer searches internal repositories",
            "alice",
            "wednesday",
            search("internal"),
            found_one(),
        ),
        step(
            "but not external ones",
            "alice",
            "wednesday",
            search("external"),
            Expect::denied_saying(
                "cel.policy_denied",
                "engineers read internal only; security reads any",
            ),
        ),
        step(
            "an SSN in a mail body is denied",
            "bob",
            "thursday",
            mail("Her number is 555-12-3456."),
            Expect::denied("pii.detected"),
        ),
        step(
            "a clean mail is sent",
            "bob",
            "thursday",
            mail("See you at noon."),
            sent(),
        ),
        step(
            "the same session reads compensation",
            "bob",
            "thursday",
            compensation(),
            whole_record(),
        ),
        step(
            "now the same clean mail is denied",
            "bob",
            "thursday",
            mail("See you at noon."),
            tainted(),
        ),
        Step {
            before: vec![Event::KillAndRestartCompanion],
            ..step(
                "and still is after the companion was killed (-9) and restarted",
                "bob",
                "thursday",
                mail("See you at noon."),
                tainted(),
            )
        },
        step(
            "the same user in another session is not",
            "bob",
            "friday",
            mail("See you at noon."),
            sent(),
        ),
        step(
            "nor does another user's reading under that session id touch it",
            "eve",
            "friday",
            compensation(),
            redacted_record(),
        ),
        step(
            "so that session still sends mail",
            "bob",
            "friday",
            mail("See you at noon."),
            sent(),
        ),
        Step {
            before: vec![Event::IdpGrantsLess(true), Event::LogInAgain],
            ..step(
                "an identity provider that grants less than asked denies the search",
                "alice",
                "wednesday",
                search("internal"),
                Expect::denied("delegation.scope_too_broad"),
            )
        },
        Step {
            before: vec![Event::IdpGrantsLess(false)],
            ..step(
                "and when it grants what is asked, it works again",
                "alice",
                "wednesday",
                search("internal"),
                found_one(),
            )
        },
        step(
            "a small raise needs nobody's approval",
            "bob",
            "saturday",
            adjust(5_000),
            adjusted(5_000, 130_000),
        ),
        step(
            "a large one waits for bob's manager",
            "bob",
            "saturday",
            adjust(20_000),
            Expect::Pending("alice", "page"),
        ),
        Step {
            before: vec![Event::KillAndRestartCompanion],
            carry: Carry::Peek,
            ..step(
                "and still does after the companion was killed (-9) and restarted",
                "bob",
                "saturday",
                adjust(20_000),
                Expect::Pending("alice", "page"),
            )
        },
        Step {
            before: vec![Event::ManagerAnswers("alice", Desk::Page, true)],
            carry: Carry::Id,
            ..step(
                "another amount is not what she approved",
                "bob",
                "saturday",
                adjust(24_000),
                Expect::denied("elicitation.binding_mismatch"),
            )
        },
        Step {
            carry: Carry::Id,
            ..step(
                "what she approved goes through",
                "bob",
                "saturday",
                adjust(20_000),
                adjusted(20_000, 150_000),
            )
        },
        Step {
            carry: Carry::Id,
            ..step(
                "once",
                "bob",
                "saturday",
                adjust(20_000),
                Expect::denied("elicitation.unknown_id"),
            )
        },
        step(
            "a raise beyond what a manager may grant is not even asked for",
            "bob",
            "saturday",
            adjust(90_000),
            Expect::denied("raise.too_large"),
        ),
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

fn compensation() -> Call {
    (
        Role::Hr,
        "get_compensation",
        json!({ "employee_id": "EMP-001234", "include_ssn": true }),
    )
}

fn search(visibility: &str) -> Call {
    let name = if visibility == "internal" {
        "web-app"
    } else {
        "partner-sdk"
    };
    (
        Role::Repos,
        "search_repos",
        json!({ "repo_name": name, "visibility": visibility }),
    )
}

fn mail(body: &str) -> Call {
    (
        Role::Email,
        "send_email",
        json!({ "to": "partner@example.com", "subject": "FYI", "body": body }),
    )
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
        ..Allowed::default()
    })
}

fn found_one() -> Expect {
    Expect::Allowed(Allowed {
        fields: vec![("/count", json!(1)), ("/matches/0/name", json!("web-app"))],
        token: Some(("github-api", "repo:read:internal")),
        ..Allowed::default()
    })
}

fn sent() -> Expect {
    Expect::Allowed(Allowed {
        fields: vec![("/status", json!("sent"))],
        ..Allowed::default()
    })
}

fn tainted() -> Expect {
    Expect::denied_saying("session_tainted", "write-down blocked")
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
        token: Some(("workday-api", "read_compensation")),
        acts: true,
        ..Allowed::default()
    })
}
