//! What is counted. A fixed list, so that no client can make the proxy keep more.

macro_rules! metrics {
    ($(#[$about:meta])* $all:ident { $($(#[$doc:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $all {$($(#[$doc])* $variant,)*}

        impl $all {
            /// All of them: a host defines its metrics from this list once.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The metric's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

metrics! {
/// A counter.
Counter {
    /// Requests that came to the filter at all, governed or not: beside Envoy's own number of requests it shows that the
    /// filter is in the chain. The host counts it.
    Requests = "aplomb.requests",
    /// Requests outside every entry of `protocols`.
    Unlisted = "aplomb.unlisted",
    /// Operations forwarded.
    Allowed = "aplomb.allowed",
    /// Operations denied before the call.
    Denied = "aplomb.denied",
    /// Operations that wait for a human.
    Pending = "aplomb.pending",
    /// Operations denied after the call.
    DeniedAfter = "aplomb.denied_after",
    /// Requests whose identity could not be verified.
    Unidentified = "aplomb.unidentified",
    /// Messages refused as malformed, too large, of a foreign type or encoding.
    Refused = "aplomb.refused",
    /// Calls to the companion for an exchange.
    Callouts = "aplomb.callouts",
    /// Calls to the companion that failed.
    CalloutsFailed = "aplomb.callouts_failed",
    /// Minted tokens taken from the cache.
    TokenHits = "aplomb.token_cache_hits",
    /// Label appends saved by the cache.
    LabelHits = "aplomb.label_cache_hits",
    /// Verified tokens taken from the cache.
    IdentityHits = "aplomb.identity_cache_hits",
    /// Audit records queued.
    AuditQueued = "aplomb.audit_queued",
    /// Audit records acknowledged by the companion.
    AuditShipped = "aplomb.audit_shipped",
    /// Operations denied because the audit queue was full.
    AuditFull = "aplomb.audit_full",
    /// Session and event ids that no seal of this deployment makes good for their sender.
    SealsRefused = "aplomb.seals_refused",
    /// Messages of a backend that were dropped because nothing here had asked for them.
    Unasked = "aplomb.unasked_dropped",
    /// Streams that ended inside an event, which was dropped.
    CutEvents = "aplomb.cut_events",
    /// Entries of lists that were hidden from a caller.
    Hidden = "aplomb.list_entries_hidden",
    /// Definitions of tools that are not as pinned, hidden from lists.
    PinsChanged = "aplomb.pins_changed",
    /// Calls of such tools that were denied.
    PinsDenied = "aplomb.pins_denied",
    /// Operations that a policy in shadow would have let through.
    WouldAllow = "aplomb.would_allow",
    /// Operations that it would have denied before the call.
    WouldDeny = "aplomb.would_deny",
    /// Operations that it would have denied after the call.
    WouldDenyAfter = "aplomb.would_deny_after",
    /// Operations of which it cannot be said.
    WouldUnknown = "aplomb.would_unknown",
    /// Edits made in arguments and results.
    Edits = "aplomb.edits",
}
}

metrics! {
    /// A gauge: what is so at the moment.
    Gauge {
        /// Routes that are in shadow, and one more if everything without a route is.
        Shadow = "aplomb.shadow",
        /// 1: a second program is in shadow beside the one that is enforced.
        ShadowPolicy = "aplomb.shadow_policy",
    }
}
