//! An audit record as a log record. Its body is the very line of the log on disk, with its place in the chain, so a copy can be
//! compared with the original and `audit verify` can be run over copies.

use std::time::SystemTime;

use axum::body::Bytes;
use companion_protocol::{AuditRecord, VerdictKind};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use prost::Message;

use super::{Signal, any, id, nanos, resource, scope, text};

pub(super) const SIGNAL: Signal<LogRecord> = Signal {
    name: "logs",
    path: "/v1/logs",
    encode,
    rejected,
};

fn encode(log_records: Vec<LogRecord>) -> Vec<u8> {
    let request = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource()),
            scope_logs: vec![ScopeLogs {
                scope: Some(scope()),
                log_records,
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }],
    };
    request.encode_to_vec()
}

fn rejected(answer: Bytes) -> u64 {
    let answer = ExportLogsServiceResponse::decode(answer).unwrap_or_default();
    let refused = answer
        .partial_success
        .map_or(0, |partial| partial.rejected_log_records);
    u64::try_from(refused).unwrap_or(0)
}

/// Everything but the body, which is known when the record is on disk: see [`with_line`].
pub(crate) fn log_record(record: &AuditRecord) -> LogRecord {
    let (severity, severity_text) = match record.verdict {
        Some(VerdictKind::Deny | VerdictKind::DenyAfter) => (SeverityNumber::Warn, "WARN"),
        Some(VerdictKind::Allow | VerdictKind::Pending) | None => (SeverityNumber::Info, "INFO"),
    };
    let verdict = record.verdict.map(|verdict| match verdict {
        VerdictKind::Allow => "allow",
        VerdictKind::Deny => "deny",
        VerdictKind::DenyAfter => "deny_after",
        VerdictKind::Pending => "pending",
    });
    let given = [
        ("aplomb.decision_id", Some(record.decision_id.as_str())),
        ("aplomb.policy_digest", Some(&record.policy_digest)),
        ("aplomb.verdict", verdict),
        ("aplomb.code", record.code.as_deref()),
        ("aplomb.rule", record.rule.as_deref()),
        ("aplomb.entity_type", Some(&record.entity_type)),
        ("aplomb.entity_name", Some(&record.entity_name)),
    ];
    let attributes = given
        .into_iter()
        .filter_map(|(key, value)| Some(text(key, value?)));
    LogRecord {
        time_unix_nano: record.at_ms.saturating_mul(1_000_000),
        severity_number: severity.into(),
        severity_text: severity_text.to_owned(),
        attributes: attributes.collect(),
        trace_id: record
            .trace_id
            .as_deref()
            .and_then(|hex| id(hex, 16))
            .unwrap_or_default(),
        event_name: "aplomb.decision".to_owned(),
        ..LogRecord::default()
    }
}

/// The line as it stands in the log.
pub(crate) fn with_line(mut record: LogRecord, line: &[u8]) -> LogRecord {
    record.observed_time_unix_nano = nanos(SystemTime::now());
    record.body = Some(any(String::from_utf8_lossy(line).trim_end()));
    record
}
