//! The enforcer against a mock host: event sequences as Envoy would deliver them, and a scripted companion.

#[path = "suite/a2a.rs"]
mod a2a;
#[path = "suite/asks.rs"]
mod asks;
#[path = "suite/assertions.rs"]
mod assertions;
#[path = "suite/bad_input.rs"]
mod bad_input;
#[path = "suite/batch_answers.rs"]
mod batch_answers;
#[path = "suite/batches.rs"]
mod batches;
#[path = "suite/bindings.rs"]
mod bindings;
#[path = "suite/challenges.rs"]
mod challenges;
#[path = "suite/credentials.rs"]
mod credentials;
#[path = "suite/durable.rs"]
mod durable;
#[path = "suite/effects.rs"]
mod effects;
#[path = "suite/entities.rs"]
mod entities;
#[path = "suite/host.rs"]
mod host;
#[path = "suite/http.rs"]
mod http;
#[path = "suite/identity.rs"]
mod identity;
#[path = "suite/jwt.rs"]
mod jwt;
#[path = "suite/laws.rs"]
mod laws;
#[path = "suite/lists.rs"]
mod lists;
#[path = "suite/llm.rs"]
mod llm;
#[path = "suite/llm_streams.rs"]
mod llm_streams;
#[path = "suite/opaque.rs"]
mod opaque;
#[path = "suite/pins.rs"]
mod pins;
#[path = "suite/pins_on_streams.rs"]
mod pins_on_streams;
#[path = "suite/program.rs"]
mod program;
#[path = "suite/protocols.rs"]
mod protocols;
#[path = "suite/records.rs"]
mod records;
#[path = "suite/response.rs"]
mod response;
#[path = "suite/responses.rs"]
mod responses;
#[path = "suite/revisions.rs"]
mod revisions;
#[path = "suite/scanner_steps.rs"]
mod scanner_steps;
#[path = "suite/seed_policy.rs"]
mod seed_policy;
#[path = "suite/server_requests.rs"]
mod server_requests;
#[path = "suite/several_servers.rs"]
mod several_servers;
#[path = "suite/shadow.rs"]
mod shadow;
#[path = "suite/shapes.rs"]
mod shapes;
#[path = "suite/signatures.rs"]
mod signatures;
#[path = "suite/signed_policy.rs"]
mod signed_policy;
#[path = "suite/stream_scans.rs"]
mod stream_scans;
#[path = "suite/streams.rs"]
mod streams;
#[path = "suite/subscriptions.rs"]
mod subscriptions;
#[path = "suite/verdicts.rs"]
mod verdicts;
