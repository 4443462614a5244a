//! Free ports.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Ports handed out lie below the range from which the kernel takes the local ports of outgoing connections, so that no
/// connection of a test running beside this one takes a port between our asking and our program's binding it.
const FIRST: u32 = 10_240;
const COUNT: u32 = 20_000;

static ASKED: AtomicU32 = AtomicU32::new(0);

/// A loopback address with a port that nobody listens on; each call of one process answers another one.
///
/// # Errors
/// When no port is free.
pub fn free() -> io::Result<SocketAddr> {
    // Processes that run beside each other start their search far apart.
    let start = std::process::id().wrapping_mul(2_654_435_761) % COUNT;
    (0..COUNT)
        .map(|_| FIRST + (start + ASKED.fetch_add(1, Ordering::Relaxed)) % COUNT)
        .filter_map(|port| u16::try_from(port).ok())
        .map(loopback)
        .find(|address| is_free(*address))
        .ok_or_else(|| io::Error::other("no port is free"))
}

/// The address with this port, if nobody listens there, else any free one.
///
/// # Errors
/// When no port is free.
pub fn preferred(port: u16) -> io::Result<SocketAddr> {
    let wanted = loopback(port);
    if is_free(wanted) { Ok(wanted) } else { free() }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok()
}
