//! Only the benchmarks in `benches/` matter: `make bench-micro`.
