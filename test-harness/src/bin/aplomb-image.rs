//! `make image`: the module as an OCI image layout.

use std::path::PathBuf;

use aplomb_test_harness::{image, programs};
use clap::Parser;

/// Writes `dist/image`, an OCI image layout that Istio accepts.
#[derive(Debug, Parser)]
struct Options {
    /// The module; what `make filter` built, unless given.
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// The folder of the layout; an older layout there is replaced.
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// The tag in the layout.
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    tag: String,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let module = match options.module {
        Some(module) => module,
        None => programs::filter()?,
    };
    let folder = options
        .output
        .unwrap_or_else(|| programs::root().join("dist/image"));
    let image = image::write(&module, &folder, &options.tag)?;
    println!("layout    {}", folder.display());
    println!("layer     {} ({} bytes)", image.layer, image.layer_bytes);
    println!("manifest  {}", image.digest);
    println!(
        "push it   skopeo copy oci:{}:{} docker://REGISTRY/aplomb:{}",
        folder.display(),
        options.tag,
        options.tag
    );
    println!("pin it    oci://REGISTRY/aplomb@{}", image.digest);
    Ok(())
}
