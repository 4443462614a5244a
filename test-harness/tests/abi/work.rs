//! What a route without rules on results costs on the way back, counted in what the module asks the host for, not in time.

use crate::fixture::{MODES, Mode, Proxy};

const HEAD: [(&str, &str); 2] = [(":status", "200"), ("content-type", "application/json")];
/// Pieces of a result, and the size of each.
const PIECES: usize = 100;
const PIECE: usize = 1_024;

/// What the module asks for from the response's head on, and apart from that from its body on.
fn asked_for(mode: Mode, tool: &str) -> (usize, usize) {
    let mut proxy = Proxy::start(mode);
    let x = proxy.call(tool);
    assert!(proxy.host.upstream(x).ended, "{tool} is forwarded");
    let before = proxy.host.handed_over();
    proxy.host.response_head(x, &HEAD, false).unwrap();
    let head = proxy.host.handed_over();
    // Less than the limit of a governed body together, so that one is read to its end.
    let piece = vec![b' '; if tool == "echo" { PIECE } else { PIECE / 64 }];
    for _ in 0..PIECES {
        proxy.host.response_body(x, &piece, false).unwrap();
    }
    let result = crate::fixture::result();
    proxy.host.response_body(x, result.as_bytes(), true).unwrap();
    let client = proxy.host.client(x);
    assert!(client.ended, "{mode:?} {tool}: {:?}", proxy.host.logs());
    (head - before, proxy.host.handed_over() - head)
}

#[test]
fn a_result_without_rules_is_never_looked_at() {
    for mode in MODES {
        let (head, body) = asked_for(mode, "echo");
        assert_eq!(body, 0, "{mode:?}: bytes of the body that the module asked for");
        println!("{mode:?}: {head} bytes of the head");
        assert!(head < 1_024, "{mode:?}: {head} bytes for a head of two headers");
        // The same count tells when a body is read: this is what it must not be.
        let (_, governed) = asked_for(mode, "edited");
        assert!(governed >= PIECES * PIECE / 64, "{mode:?}: {governed}");
    }
}
