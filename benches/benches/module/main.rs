//! `make bench-module`: what the compiled filter needs, measured in the module itself, beside the bounds.
//!
//! The module runs in the ABI host of the tests, on wasmtime. What is timed is the host's callbacks: the copies into and out of
//! the module are part of it, as they are in a proxy. Loading is given in processor time where the system tells (Linux), the
//! rest as the median or shortest of many. `APLOMB_WASM` measures another module.
//!
//! `cargo bench --bench module -- load body` measures those parts alone.

mod body;
mod exchange;
mod list;
mod load;
mod moment;
mod request;
mod row;
mod scan;
mod stream;

fn main() -> anyhow::Result<()> {
    let parts: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|wanted| wanted == part);
    row::head();
    if wanted("load") {
        load::loading()?;
    }
    if wanted("request") {
        request::among_many("exact names", load::Routes::Names)?;
        request::among_many("globs", load::Routes::Globs)?;
        request::among_many("HTTP paths", load::Routes::Paths)?;
    }
    if wanted("body") {
        body::bodies()?;
    }
    if wanted("list") {
        list::list()?;
    }
    if wanted("scan") {
        scan::scans()?;
    }
    if wanted("stream") {
        stream::streams()?;
    }
    Ok(())
}
