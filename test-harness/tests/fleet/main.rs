//! High availability: two real Envoys, configured by `aplc emit envoy`, and two companions on one real store.

mod companions;
mod gateways;
mod load;
mod scenarios;
mod store;
mod tls;
