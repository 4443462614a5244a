//! A call as a span, and each of its effects as one below it.
//!
//! The parent is whoever the caller's `traceparent` names: the filter sends its client's on; a caller that does not sample is not traced. Without one the call
//! begins a trace of its own. `aplomb.decision_id` leads from either to the audit record, which has the client's trace id.

use std::time::{Duration, SystemTime};

use axum::body::Bytes;
use axum::http::HeaderMap;
use companion_protocol::EffectsRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;

use super::{Feed, Signal, id, nanos, resource, scope, text};

pub(super) const SIGNAL: Signal<Span> = Signal {
    name: "traces",
    path: "/v1/traces",
    encode,
    rejected,
};

fn encode(spans: Vec<Span>) -> Vec<u8> {
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource()),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope()),
                spans,
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }],
    };
    request.encode_to_vec()
}

fn rejected(answer: Bytes) -> u64 {
    let answer = ExportTraceServiceResponse::decode(answer).unwrap_or_default();
    let refused = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
    u64::try_from(refused).unwrap_or(0)
}

/// One effect of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lap {
    /// As `session.load`.
    pub(crate) kind: &'static str,
    pub(crate) began: SystemTime,
    pub(crate) took: Duration,
    /// Of what was not performed.
    pub(crate) code: Option<&'static str>,
}

/// Who called, as the caller's `traceparent` (W3C Trace Context, version 00) says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Parent {
    /// Nobody says.
    None,
    /// This span.
    Span { trace: Vec<u8>, span: Vec<u8> },
    /// Somebody who does not want it traced.
    NotSampled,
}

impl Parent {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let value = headers.get("traceparent").and_then(|value| value.to_str().ok());
        let mut parts = value.unwrap_or_default().split('-');
        let (version, trace, span, flags) = (parts.next(), parts.next(), parts.next(), parts.next());
        let trace = trace.and_then(|hex| id(hex, 16));
        let span = span.and_then(|hex| id(hex, 8));
        let flags = flags
            .filter(|hex| hex.len() == 2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (version, trace, span, flags) {
            (Some("00"), Some(_), Some(_), Some(flags)) if flags & 1 == 0 => Self::NotSampled,
            (Some("00"), Some(trace), Some(span), Some(_)) => Self::Span { trace, span },
            _ => Self::None,
        }
    }
}

impl Feed<Span> {
    /// A call that has just ended.
    pub(crate) fn call(&self, parent: &Parent, asked: &EffectsRequest, began: SystemTime, laps: &[Lap]) {
        let (trace_id, parent_span_id) = match parent {
            Parent::NotSampled => return,
            Parent::Span { trace, span } => (trace.clone(), span.clone()),
            Parent::None => match random::<16>() {
                Some(trace) => (trace, Vec::new()),
                None => return,
            },
        };
        let Some(span_id) = random::<8>() else { return };
        let whole = Span {
            trace_id: trace_id.clone(),
            span_id: span_id.clone(),
            parent_span_id,
            name: "POST /v1/effects".to_owned(),
            kind: SpanKind::Server.into(),
            start_time_unix_nano: nanos(began),
            end_time_unix_nano: nanos(SystemTime::now()),
            attributes: vec![
                text("aplomb.decision_id", &asked.decision_id),
                text("aplomb.policy_digest", &asked.policy_digest),
            ],
            ..Span::default()
        };
        self.offer(whole);
        for lap in laps {
            let Some(own) = random::<8>() else { return };
            let failed = lap.code.map(|code| Status {
                message: code.to_owned(),
                code: StatusCode::Error.into(),
            });
            self.offer(Span {
                trace_id: trace_id.clone(),
                span_id: own,
                parent_span_id: span_id.clone(),
                name: lap.kind.to_owned(),
                kind: SpanKind::Internal.into(),
                start_time_unix_nano: nanos(lap.began),
                end_time_unix_nano: nanos(lap.began + lap.took),
                status: failed,
                ..Span::default()
            });
        }
    }
}

fn random<const BYTES: usize>() -> Option<Vec<u8>> {
    let mut id = [0; BYTES];
    getrandom::getrandom(&mut id).ok()?;
    Some(id.to_vec())
}
