//! The methods of A2A, which have two names each: that of revision 0.3 and, since 1.0, that of the gRPC binding. The older
//! one is the operation's name, because patterns can group by it.

/// The name of 0.3, and that of 1.0.
pub const A2A_METHODS: &[(&str, &str)] = &[
    ("message/send", "SendMessage"),
    ("message/stream", "SendStreamingMessage"),
    ("tasks/get", "GetTask"),
    ("tasks/list", "ListTasks"),
    ("tasks/cancel", "CancelTask"),
    ("tasks/resubscribe", "SubscribeToTask"),
    (
        "tasks/pushNotificationConfig/set",
        "CreateTaskPushNotificationConfig",
    ),
    (
        "tasks/pushNotificationConfig/get",
        "GetTaskPushNotificationConfig",
    ),
    (
        "tasks/pushNotificationConfig/list",
        "ListTaskPushNotificationConfigs",
    ),
    (
        "tasks/pushNotificationConfig/delete",
        "DeleteTaskPushNotificationConfig",
    ),
    ("agent/getAuthenticatedExtendedCard", "GetExtendedAgentCard"),
];

/// The operation's name for a method in either spelling; `None`: A2A has no such method.
#[must_use]
pub fn a2a_operation(method: &str) -> Option<&'static str> {
    A2A_METHODS
        .iter()
        .find(|(old, new)| *old == method || *new == method)
        .map(|(old, _)| *old)
}
