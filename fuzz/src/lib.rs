//! What the fuzz targets do with their input. See `docs/testing.md`.

pub mod targets;
