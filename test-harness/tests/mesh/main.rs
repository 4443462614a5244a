//! Identity that the mesh vouches for, in a real Envoy: tokens that `jwt_authn` verified, certificates of peers, a waypoint's filter
//! state, JWT-SVIDs, API keys. Each with the right credential, and with every forgery that a client can send in its place.

mod keys;
mod scene;
mod tokens;
mod waypoint;
mod workload;
