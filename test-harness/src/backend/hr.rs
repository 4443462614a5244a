//! HR records.

use std::sync::{Arc, Mutex, PoisonError};

use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResult, ContentBlock, ServerCapabilities, ServerConfig};
use rmcp::{ServerHandler, schemars, tool, tool_handler, tool_router};
use serde::{Deserialize, Serialize};

use super::{json_text, json_text_and_structured};

/// One employee, as `get_compensation` answers it.
#[derive(Debug, Clone, Serialize)]
struct Employee {
    employee_id: &'static str,
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ssn: Option<&'static str>,
    department: &'static str,
    salary: i64,
    bonus: i64,
    currency: &'static str,
}

const EMPLOYEES: [Employee; 3] = [
    Employee {
        employee_id: "EMP-001234",
        name: "Jane Smith",
        ssn: Some("123-45-6789"),
        department: "Engineering",
        salary: 125_000,
        bonus: 15_000,
        currency: "USD",
    },
    Employee {
        employee_id: "EMP-005678",
        name: "José Álvarez",
        ssn: Some("234-56-7890"),
        department: "Sales",
        salary: 98_000,
        bonus: 22_500,
        currency: "USD",
    },
    Employee {
        employee_id: "EMP-009012",
        name: "Mei Tanaka",
        ssn: Some("345-67-8901"),
        department: "Legal",
        salary: 143_500,
        bonus: 0,
        currency: "USD",
    },
];

/// The records of one server, shared by its sessions.
#[derive(Clone)]
pub(super) struct Records(Arc<Mutex<Vec<Employee>>>);

impl Default for Records {
    fn default() -> Self {
        Records(Arc::new(Mutex::new(EMPLOYEES.to_vec())))
    }
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
struct GetCompensation {
    /// As `EMP-001234`.
    employee_id: String,
    /// Whether the record carries the social security number; it does unless this is false.
    #[serde(default)]
    include_ssn: Option<bool>,
    /// Not used; policy may redact it.
    #[serde(default)]
    #[expect(
        dead_code,
        reason = "the demo sends it to show that arguments are redacted too"
    )]
    ssn: Option<String>,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
struct AdjustCompensation {
    /// As `EMP-001234`.
    employee_id: String,
    /// What is added to the salary.
    amount: i64,
    /// Why.
    #[serde(default)]
    #[expect(dead_code, reason = "recorded with the request, not needed for the answer")]
    reason: Option<String>,
}

#[derive(Serialize)]
struct Adjusted {
    status: &'static str,
    employee_id: &'static str,
    adjustment: i64,
    new_salary: i64,
}

#[derive(Clone)]
pub(super) struct Hr {
    records: Records,
    #[expect(
        dead_code,
        reason = "the SDK's macro reads the tools from a function, its examples keep them here"
    )]
    tool_router: ToolRouter<Self>,
}

impl Hr {
    pub(super) fn new(records: Records) -> Self {
        Hr {
            records,
            tool_router: Self::tool_router(),
        }
    }
}

#[tool_router]
impl Hr {
    #[tool(description = "Compensation record of one employee")]
    fn get_compensation(&self, Parameters(asked): Parameters<GetCompensation>) -> CallToolResult {
        let records = self.records.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(found) = records
            .iter()
            .find(|employee| employee.employee_id == asked.employee_id)
        else {
            return no_such_employee();
        };
        let mut record = found.clone();
        if asked.include_ssn == Some(false) {
            record.ssn = None;
        }
        json_text_and_structured(&record)
    }

    #[tool(description = "Change the salary of one employee")]
    fn adjust_compensation(&self, Parameters(asked): Parameters<AdjustCompensation>) -> CallToolResult {
        let mut records = self.records.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(found) = records
            .iter_mut()
            .find(|employee| employee.employee_id == asked.employee_id)
        else {
            return no_such_employee();
        };
        found.salary = found.salary.saturating_add(asked.amount);
        json_text(&Adjusted {
            status: "applied",
            employee_id: found.employee_id,
            adjustment: asked.amount,
            new_salary: found.salary,
        })
    }
}

#[tool_handler]
impl ServerHandler for Hr {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }
}

fn no_such_employee() -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text("no such employee")])
}
