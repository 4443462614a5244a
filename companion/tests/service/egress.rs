//! Where the companion connects: the address counts, not the name.

use aplomb_companion::outbound::Egress;
use aplomb_companion::serve::Companion;
use companion_protocol::Effect;

use super::client::{Running, config, options};
use super::delegation::{exchange, ok, refusal};
use super::fault_idp::{FaultIdp, honest};

#[tokio::test]
async fn a_private_address_in_the_configuration_stops_the_start() {
    for host in [
        "127.0.0.1:9",
        "localhost:9",
        "[::1]:9",
        "10.0.0.1",
        "169.254.169.254",
        "[::ffff:127.0.0.1]",
    ] {
        let directory = tempfile::tempdir().expect("a directory");
        let mut options = options(&directory, &config(&format!("http://{host}/token")));
        options.egress = Egress::default();
        let error = Companion::start(&options)
            .await
            .err()
            .expect("refused")
            .to_string();
        assert!(
            error.contains("--egress-allow") && error.contains("delegator `d`"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_name_that_leads_to_a_private_address_is_not_connected_to() {
    let idp = FaultIdp::scripted(ok(honest())).await;
    // No address by Rust's rules, so that the resolver is asked; and it says 127.0.0.1.
    for host in ["127.1", "0x7f.0.0.1", "2130706433"] {
        let endpoint = format!("http://{host}:{}/token", idp.address.port());
        let directory = tempfile::tempdir().expect("a directory");
        let mut options = options(&directory, &config(&endpoint));
        options.egress = Egress::default();
        let companion = Running::with_options(directory, &options).await;
        let result = companion.one(Effect::TokenExchange(exchange())).await;
        assert_eq!(refusal(result).0, "delegation.egress_denied", "{host}");
    }
    assert!(idp.asked().is_empty());
    // The same name is fine where the operator allows the address.
    let companion = Running::with(config(&format!("http://127.1:{}/token", idp.address.port()))).await;
    companion.one(Effect::TokenExchange(exchange())).await;
    assert_eq!(idp.asked().len(), 1);
}
