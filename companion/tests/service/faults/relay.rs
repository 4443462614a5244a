//! A relay between the companion and its store: it can lead elsewhere (a failover), or nowhere (a partition).

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What happens to connections, old ones too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// To this port.
    To(u16),
    /// Accepted, and never a byte answered.
    Nowhere,
    /// Closed at once.
    Closed,
}

pub(super) struct Relay {
    pub(super) address: SocketAddr,
    way: Arc<Mutex<watch::Sender<Way>>>,
}

impl Relay {
    pub(super) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("an address");
        let (sender, way) = watch::channel(Way::To(port));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(carry(stream, way.clone()));
            }
        });
        Self {
            address,
            way: Arc::new(Mutex::new(sender)),
        }
    }

    pub(super) fn now(&self, way: Way) {
        self.way.lock().expect("lock").send_replace(way);
    }
}

async fn carry(mut client: TcpStream, mut way: watch::Receiver<Way>) {
    loop {
        let now = *way.borrow_and_update();
        match now {
            Way::Closed => return,
            Way::Nowhere => {
                // Held open, nothing read: until something changes.
                if way.changed().await.is_err() || *way.borrow() != Way::Nowhere {
                    return;
                }
            }
            Way::To(port) => {
                let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else {
                    return;
                };
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
                    changed = way.changed() => {
                        // The old connection leads nowhere; it is held open in a partition and closed in a failover.
                        if changed.is_err() || *way.borrow() != Way::Nowhere {
                            return;
                        }
                    }
                }
            }
        }
    }
}
