//! What is not about one stream: log, time, metrics, properties, queues, configuration, randomness.

use super::{Body, HostError, check, imports, status, stream, taken};

/// How grave a log line is. The numbers are the ABI's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Level {
    Debug = 1,
    Info = 2,
    Warn = 3,
    Error = 4,
}

/// Writes to the proxy's log. A host that does not want it is no reason to stop.
pub(crate) fn log(level: Level, text: &str) {
    // SAFETY: the text is valid during the call, which copies it.
    let _status = unsafe { imports::proxy_log(level as u32, text.as_ptr(), text.len()) };
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> Result<u64, HostError> {
    let mut nanoseconds = 0_u64;
    // SAFETY: the address is valid for the host to write to during the call.
    check(unsafe { imports::proxy_get_current_time_nanoseconds(&raw mut nanoseconds) })?;
    Ok(nanoseconds / 1_000_000)
}

/// Asks for a tick of the running root context every so many milliseconds.
pub(crate) fn set_tick_ms(period: u32) -> Result<(), HostError> {
    // SAFETY: passes a number.
    check(unsafe { imports::proxy_set_tick_period_milliseconds(period) })
}

/// The plugin's configuration, as text or not. Only in `proxy_on_configure`.
pub(crate) fn plugin_configuration() -> Result<Vec<u8>, HostError> {
    stream::body(Body::PluginConfiguration)
}

/// A property of the effective context by its path (segments separated by NUL on the wire).
pub(crate) fn property<S: std::borrow::Borrow<str>>(path: &[S]) -> Result<Vec<u8>, HostError> {
    let path = path.join("\0");
    // SAFETY: path and result addresses are valid during the call, which does not keep them.
    taken(|data, size| unsafe { imports::proxy_get_property(path.as_ptr(), path.len(), data, size) })
}

/// Sets filter state `wasm.<name>` of the effective context.
pub(crate) fn set_property(name: &str, value: &[u8]) -> Result<(), HostError> {
    // SAFETY: name and value are valid during the call, which copies them.
    check(unsafe { imports::proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
}

/// Kinds of metrics. The numbers are the ABI's.
pub(crate) const COUNTER: u32 = 0;
pub(crate) const GAUGE: u32 = 1;

/// Defines a metric `wasmcustom.<name>` and returns its number.
pub(crate) fn define_metric(kind: u32, name: &str) -> Result<u32, HostError> {
    let mut id = 0;
    // SAFETY: name and result address are valid during the call, which does not keep them.
    check(unsafe { imports::proxy_define_metric(kind, name.as_ptr(), name.len(), &raw mut id) })?;
    Ok(id)
}

/// Sets a gauge.
pub(crate) fn record(gauge: u32, value: u64) -> Result<(), HostError> {
    // SAFETY: passes numbers.
    check(unsafe { imports::proxy_record_metric(gauge, value) })
}

/// Adds to a counter. Adding nothing is not passed on, because hosts refuse it.
pub(crate) fn count(counter: u32, by: u64) -> Result<(), HostError> {
    if by == 0 {
        return Ok(());
    }
    // SAFETY: passes numbers.
    check(unsafe { imports::proxy_increment_metric(counter, i64::try_from(by).unwrap_or(i64::MAX)) })
}

/// Registers a queue for the running root context and returns its number.
pub(crate) fn register_queue(name: &str) -> Result<u32, HostError> {
    let mut id = 0;
    // SAFETY: name and result address are valid during the call, which does not keep them.
    check(unsafe { imports::proxy_register_shared_queue(name.as_ptr(), name.len(), &raw mut id) })?;
    Ok(id)
}

/// Puts an item into a queue.
pub(crate) fn enqueue(queue: u32, item: &[u8]) -> Result<(), HostError> {
    // SAFETY: the item is valid during the call, which copies it.
    check(unsafe { imports::proxy_enqueue_shared_queue(queue, item.as_ptr(), item.len()) })
}

/// Takes an item out of a queue; `None` when there is none.
pub(crate) fn dequeue(queue: u32) -> Result<Option<Vec<u8>>, HostError> {
    // SAFETY: the two addresses are valid for the host to write to during the call.
    match taken(|data, size| unsafe { imports::proxy_dequeue_shared_queue(queue, data, size) }) {
        Ok(item) => Ok(Some(item)),
        Err(HostError(status::EMPTY)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Fills a buffer with randomness that a client cannot guess.
pub(crate) fn random(buffer: &mut [u8]) -> Result<(), HostError> {
    // SAFETY: the buffer is valid for the host to write to during the call.
    check(unsafe { imports::random_get(buffer.as_mut_ptr(), buffer.len()) })
}
