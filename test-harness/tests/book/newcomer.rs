//! A newcomer's path: the commands of the first pages, run as they are written, and what they print, compared with what is shown.
//!
//! A page's ` ```sh ` blocks run in one shell, one after the other, and a ` ```text ` block behind one is what it prints: these lines, in
//! this order, among others; `…` stands for anything. A block that cannot be run here says so and why, in a comment
//! above it: `<!-- not run: … -->`. Names in capitals and ports are filled in as a reader would.

#[path = "newcomer/page.rs"]
mod page;
#[path = "newcomer/place.rs"]
mod place;

use aplomb_test_harness::patience::PATIENCE;
use aplomb_test_harness::process::{Process, answers};
use aplomb_test_harness::{ports, tools};

use page::Page;
use place::Place;

/// Runs a page there, with its words replaced.
fn runs(page: &str, place: &Place, filled_in: &[(&str, &str)]) {
    let mut page = Page::read(page);
    for (word, by) in filled_in {
        page.replace(word, by);
    }
    place.run(&page);
}

#[test]
fn the_readme_is_true() {
    runs("README.md", &Place::new(), &[]);
}

#[test]
fn the_ten_minutes_are_true() {
    if tools::needed("curl", tools::program("curl")).is_none() {
        return;
    }
    let ports: Vec<String> = (0..4)
        .map(|_| ports::free().expect("a port").port().to_string())
        .collect();
    let asked = [
        "127.0.0.1:10000",
        "127.0.0.1:9901",
        "127.0.0.1:9101",
        "127.0.0.1:9470",
    ];
    let given: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let filled_in: Vec<(&str, &str)> = asked.into_iter().zip(given.iter().map(String::as_str)).collect();
    runs("docs/ten-minutes.md", &Place::new(), &filled_in);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_into_istio_is_true_in_each_mode() {
    let programs = ["docker-registry", "skopeo"].map(|name| tools::needed(name, tools::program(name)));
    let [Some(registry), Some(_)] = programs else {
        return;
    };
    if tools::needed("kubectl", tools::program("kubectl/bin/kubectl")).is_none() {
        return;
    }
    let place = Place::new();
    let address = ports::free().expect("a port");
    let config = place.file(
        "registry.yml",
        &format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{address}\"}}\n",
            place.folder().join("storage").display()
        ),
    );
    let mut command = tokio::process::Command::new(registry);
    command.arg("serve").arg(config);
    let log = place.folder().join("registry.log");
    let mut process = Process::start("docker-registry", command, &log).expect("starts");
    let root = format!("http://{address}/v2/");
    let client = reqwest::Client::new();
    process
        .wait_until(PATIENCE, || answers(&client, &root))
        .await
        .expect("answers");
    place.allow_plain_registry(&address.to_string());
    let (address, digest) = (address.to_string(), "0".repeat(64));
    tokio::task::spawn_blocking(move || {
        for (mode, image) in [("paired", "make image"), ("full", ":"), ("single", ":")] {
            let mode = format!("--mode {mode}");
            let filled_in = [
                ("REGISTRY", address.as_str()),
                ("DIGEST", &digest),
                ("--mode paired", &mode),
                ("make image", image),
            ];
            runs("istio/README.md", &place, &filled_in);
            for file in ["plugins", "companion", "around", "kustomization"] {
                let file = place.folder().join(format!("istio/base/{file}.yaml"));
                assert!(file.is_file(), "{}", file.display());
            }
        }
    })
    .await
    .expect("no panic");
}

#[test]
fn the_way_into_envoy_gateway_is_true() {
    let place = Place::new();
    let digest = "0".repeat(64);
    let filled_in = [("REGISTRY", "registry.example"), ("DIGEST", &*digest)];
    runs("docs/envoy-gateway.md", &place, &filled_in);
    let written = std::fs::read_to_string(place.folder().join("extension.yaml")).expect("written");
    assert!(written.contains("kind: EnvoyExtensionPolicy"), "{written}");
}

#[test]
fn the_ready_made_configurations_are_filled_as_written() {
    runs("envoy-config/README.md", &Place::new(), &[]);
}
