//! The replies that are the filter's own. The enforcer writes all others.

use aplomb_enforcer::Reply;

/// Why the filter itself refuses a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The decider has seen a request, or its answer, that passed no holder.
    NoHolder,
    /// The holder has got a request that no decider of the same VM has seen.
    NoDecider,
    /// The two halves were given different policies.
    HalvesDiffer,
    /// A response is held and its body came without a callback.
    StopIterationMissing,
    /// The plugin of this stream has no configuration.
    NotConfigured,
    /// The host refused a call without which the verdict cannot be carried out.
    HostCall,
}

impl Refusal {
    /// The stable code.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::NoHolder | Self::NoDecider | Self::HalvesDiffer => "config.pair_incomplete",
            Self::StopIterationMissing => "config.stop_iteration_missing",
            Self::NotConfigured => "config.not_loaded",
            Self::HostCall => "filter.host_call_failed",
        }
    }

    /// What to fix.
    const fn message(self) -> &'static str {
        match self {
            Self::NoHolder => {
                "the plugin with `install.role: holder` is missing: place it directly behind the decider (in Istio: a \
                 second WasmPlugin of the same image, same phase, lower priority), with the same vm_id and VM configuration"
            }
            Self::NoDecider => {
                "the plugin with `install.role: decider` is missing: place it directly before the holder (in Istio: a \
                 WasmPlugin of the same image, same phase, higher priority), with the same vm_id and VM configuration"
            }
            Self::HalvesDiffer => {
                "the decider and the holder carry different `policy_digest`s: give both plugins the same policy"
            }
            Self::StopIterationMissing => {
                "`install.mode: full` needs `allow_on_headers_stop_iteration: true` in this plugin's Envoy configuration"
            }
            Self::NotConfigured => {
                "the policy filter has no configuration; see the proxy's log for the reason"
            }
            Self::HostCall => "the policy filter could not carry out the verdict; see the proxy's log",
        }
    }

    /// The reply.
    pub(crate) fn reply(self) -> Reply {
        let code = self.code();
        Reply {
            status: 503,
            headers: vec![
                ("content-type".to_owned(), "application/json".to_owned()),
                ("x-policy-violation".to_owned(), code.to_owned()),
            ],
            // Neither text needs escaping: both are written above.
            body: format!(
                r#"{{"error":{{"violation":"{code}","message":"{}"}}}}"#,
                self.message()
            )
            .into_bytes(),
            details: format!("aplomb.{code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_a_json_string() {
        for refusal in [
            Refusal::NoHolder,
            Refusal::NoDecider,
            Refusal::HalvesDiffer,
            Refusal::StopIterationMissing,
            Refusal::NotConfigured,
            Refusal::HostCall,
        ] {
            assert!(!refusal.message().contains(['"', '\\', '\n']), "{refusal:?}");
            assert!(!refusal.reply().details.contains(' '));
        }
    }
}
