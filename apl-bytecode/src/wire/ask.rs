//! Effects that ask, and constraints.

use super::{choice, record};
use crate::model::{
    Cost, Count, Decision, Dialect, Elicit, ElicitKind, ListKind, Members, Operand, Restrict,
};

record!(Elicit {
    kind,
    handler,
    from,
    channel,
    purpose,
    scope,
    timeout_s,
    show,
    on_error,
    denial
});
choice!(ElicitKind, "kind of elicitation" {
    0 => Approval,
    1 => Confirm,
    2 => StepUp,
    3 => Attestation,
    4 => Info,
    5 => Review,
});
choice!(Operand, "operand" { 0 => Text(text), 1 => Attr(attr) });

record!(Decision {
    dialect,
    point,
    call,
    input,
    denial
});
choice!(Dialect, "dialect" { 0 => Cedar, 1 => Opa, 2 => AuthZen, 3 => NeMo, 4 => Custom });

record!(Count {
    name,
    limit,
    window_s,
    by,
    cost,
    denial
});
choice!(Cost, "cost" { 0 => Fixed(amount), 1 => Attr(attr) });

record!(Restrict {
    lists,
    max_cost_tier,
    custom,
    fallback,
    denial
});
choice!(ListKind, "list" { 0 => AllowModels, 1 => DenyModels, 2 => AllowRegions, 3 => AllowSites });
choice!(Members, "list's members" { 0 => Texts(texts), 1 => Attr(attr) });
