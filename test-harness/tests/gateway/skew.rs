//! Versions beside each other: this build's module and policies, and those of the build before it, which `test-harness/previous`
//! keeps. Each part is upgraded and rolled back under load, delivered by a control plane as istiod delivers it. No request may
//! get what its policy denies; how many are denied that should pass is printed.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aplomb_test_harness::control_plane::{ControlPlane, Word};
use aplomb_test_harness::envoy::Envoy;
use aplomb_test_harness::patience::eventually;
use aplomb_test_harness::{ports, programs, tools};
use serde_json::Value;

use crate::rig::{build, companion, companion_of, done, text};
use crate::swap::{Verdict, ask, backend, policy};

/// A module with a policy that some `aplc` built.
#[derive(Clone, Copy)]
struct Part<'a> {
    module: &'a Path,
    build: &'a Path,
}

/// What the build before this one made, unpacked into `dir`.
fn previous(dir: &Path) -> (PathBuf, PathBuf) {
    let kept = programs::root().join("test-harness/previous");
    let packed = std::fs::File::open(kept.join("aplomb.wasm.gz")).expect("kept");
    let (mut module, at) = (Vec::new(), dir.join("previous.wasm"));
    flate2::read::GzDecoder::new(packed)
        .read_to_end(&mut module)
        .expect("unpacked");
    std::fs::write(&at, module).expect("written");
    (at, kept.join("build"))
}

/// How a plugin is delivered: `TypedExtensionConfig`s.
struct Delivery {
    dir: PathBuf,
    mode: &'static str,
    listen: SocketAddr,
    admin: SocketAddr,
    companion: SocketAddr,
    upstream: String,
}

impl Delivery {
    /// The bootstrap, and the plugins by name.
    fn emit(&self, part: Part<'_>) -> (Value, BTreeMap<String, Value>) {
        // The kept policy was built for `full`; how it is installed is no part of it.
        let build = self.dir.join("build");
        std::fs::create_dir_all(&build).expect("a folder");
        let read = |name: &str| std::fs::read_to_string(part.build.join(name)).expect("built");
        let mut filter: Value = serde_json::from_str(&read("filter-config.json")).expect("JSON");
        filter["install"]["mode"] = self.mode.into();
        if self.mode == "paired" {
            filter["install"]["role"] = "decider".into();
        }
        std::fs::write(build.join("filter-config.json"), filter.to_string()).expect("written");
        std::fs::write(build.join("companion.json"), read("companion.json")).expect("written");
        let ecds = self.dir.join("ecds");
        std::fs::create_dir_all(&ecds).expect("a folder");
        let (listen, admin) = (self.listen.to_string(), self.admin.to_string());
        let companion = format!("http://{}", self.companion);
        let arguments = [
            ["emit", "envoy"],
            ["--build", text(&build)],
            ["--module", text(part.module)],
            ["--upstream", &self.upstream],
            ["--listen", &listen],
            ["--admin", &admin],
            ["--companion", &companion],
            ["--ecds", text(&ecds)],
        ];
        let bootstrap = serde_saphyr::from_str(&done("aplc", arguments.as_flattened())).expect("YAML");
        let mut plugins = BTreeMap::new();
        for entry in std::fs::read_dir(&ecds).expect("files").flatten() {
            let text = std::fs::read_to_string(entry.path()).expect("text");
            let document: Value = serde_saphyr::from_str(&text).expect("YAML");
            let resource = document["resources"][0].clone();
            plugins.insert(resource["name"].as_str().expect("a name").to_owned(), resource);
        }
        (bootstrap, plugins)
    }
}

/// What became of requests under way.
#[derive(Debug, Default, Clone)]
struct Tally {
    requests: u64,
    /// Denied by policy, and passed.
    wrong: u64,
    /// Without a verdict.
    broken: Vec<String>,
    /// Allowed by policy, and denied, by code.
    denied: BTreeMap<String, u64>,
}

struct Load {
    stop: Arc<AtomicBool>,
    tally: Arc<Mutex<Tally>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn start(url: &str) -> Self {
        let (stop, tally) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Tally>>::default());
        let task = |tool: &'static str| {
            let (url, stop, tally) = (url.to_owned(), Arc::clone(&stop), Arc::clone(&tally));
            tokio::spawn(async move {
                let http = reqwest::Client::builder().no_proxy().build().expect("a client");
                while !stop.load(Ordering::SeqCst) {
                    let verdict = ask(&http, &url, tool).await;
                    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                    tally.requests += 1;
                    match (tool, verdict) {
                        (_, Verdict::Other(what)) => tally.broken.push(what),
                        ("ask", Verdict::Passed) => tally.wrong += 1,
                        ("ask", Verdict::Denied(_)) | (_, Verdict::Passed) => {}
                        (_, Verdict::Denied(code)) => *tally.denied.entry(code).or_default() += 1,
                    }
                }
            })
        };
        let tasks = ["ask", "open", "counted", "ask"].map(task).into();
        Self { stop, tally, tasks }
    }

    /// What became of them since the last time.
    fn take(&self) -> Tally {
        std::mem::take(&mut *self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await.expect("a client");
        }
    }
}

async fn parts_change_under_load(mode: &'static str) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path();
    let (old_module, old_build) = previous(path);
    let new_module = programs::filter().expect("built");
    let new_build = build(
        path,
        "after",
        &policy("after").replace("1000 per", "1000000 per"),
        "full",
    );
    let companion = companion(path, &[&old_build, &new_build]).await;
    let delivery = Delivery {
        dir: path.to_owned(),
        mode,
        listen: ports::free().expect("a port"),
        admin: ports::free().expect("a port"),
        companion: companion.address,
        upstream: format!("/mcp=http://{}/mcp", backend().await),
    };
    let part = |module, build| delivery.emit(Part { module, build });
    let (mut document, old) = part(&old_module, &old_build);
    let (_, middle) = part(&new_module, &old_build);
    let (_, new) = part(&new_module, &new_build);
    let (_, ahead) = part(&old_module, &new_build);

    let plane = ControlPlane::start().await.expect("listens");
    plane.adopt(&mut document);
    let push = |plugins: &BTreeMap<String, Value>| {
        let plugins: Vec<Value> = plugins.values().cloned().collect();
        plane.push(&plugins).expect("plugins")
    };
    let first = push(&old);
    let envoy = Envoy::start_document(&document, (delivery.listen, delivery.admin), 2, path)
        .await
        .expect("Envoy starts");
    assert_eq!(plane.word_on(first).await.expect("a word"), Word::Taken);
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = envoy.url("/mcp");
    let governs = async |name: &str| {
        let by = Verdict::Denied(format!("policy.{name}"));
        eventually(name, async || {
            let all = ask(&http, &url, "ask").await == by
                && ask(&http, &url, "open").await == Verdict::Passed
                && ask(&http, &url, "counted").await == Verdict::Passed;
            all.then_some(())
        })
        .await;
    };
    governs("before").await;

    let load = Load::start(&url);
    let judged = |what: &str, tally: &Tally| {
        println!(
            "{mode}: {what}: {} requests, {} wrongly allowed, denied meanwhile: {:?}",
            tally.requests, tally.wrong, tally.denied
        );
        assert_eq!(tally.wrong, 0, "{what}");
        assert_eq!(tally.broken, Vec::<String>::new(), "{what}\n{}", envoy.log());
    };
    for (what, plugins, name) in [
        ("the module is upgraded", &middle, "before"),
        ("the policy is upgraded", &new, "after"),
        ("the policy is rolled back", &middle, "before"),
        ("the module is rolled back", &old, "before"),
        ("both are upgraded at once", &new, "after"),
        ("both are rolled back at once", &old, "before"),
    ] {
        let version = push(plugins);
        assert_eq!(
            plane.word_on(version).await.expect("a word"),
            Word::Taken,
            "{what}"
        );
        governs(name).await;
        judged(what, &load.take());
    }
    // What the module before cannot read is refused, and what ran goes on.
    let version = push(&ahead);
    let word = plane.word_on(version).await.expect("a word");
    assert!(matches!(word, Word::Refused(_)), "{word:?}");
    governs("before").await;
    judged("the policy is ahead of the module", &load.take());
    if mode == "paired" {
        // Half of an upgrade: two modules are two VMs, and each half knows that the other is missing.
        for half in ["aplomb-decider", "aplomb-holder"] {
            let mut mixed = old.clone();
            mixed.insert(half.to_owned(), new[half].clone());
            let version = push(&mixed);
            assert_eq!(plane.word_on(version).await.expect("a word"), Word::Taken);
            eventually("the halves part", async || {
                matches!(ask(&http, &url, "open").await, Verdict::Denied(_)).then_some(())
            })
            .await;
            judged(&format!("{half} alone is upgraded"), &load.take());
            push(&old);
            governs("before").await;
            judged(&format!("{half} is rolled back"), &load.take());
        }
    }
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_part_is_upgraded_and_rolled_back_under_load_in_full_mode() {
    parts_change_under_load("full").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_part_is_upgraded_and_rolled_back_under_load_in_paired_mode() {
    parts_change_under_load("paired").await;
}

/// The companion of the build before, where `make skew` has built it; else this one, whose restart is no less sudden.
fn previous_companion() -> PathBuf {
    let kept = tools::folder().join("previous/aplomb-companion");
    if kept.is_file() {
        return kept;
    }
    println!("this build's companion stands in for the one before it, which `make skew` builds");
    programs::ours("aplomb-companion").expect("built")
}

async fn the_companion_changes_under_load(mode: &'static str) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path();
    let few = "  - tool: few\n    pre_invocation: [\"limit(3 per 1h, by: args.k, code: 'few.used_up')\"]\n";
    let policy = policy("before").replace("1000 per", "1000000 per") + few;
    let built = build(path, "built", &policy, "full");
    let (before, now) = (
        previous_companion(),
        programs::ours("aplomb-companion").expect("built"),
    );
    let mut companion = companion_of(&before, path, &[&built]).await;
    let delivery = Delivery {
        dir: path.to_owned(),
        mode,
        listen: ports::free().expect("a port"),
        admin: ports::free().expect("a port"),
        companion: companion.address,
        upstream: format!("/mcp=http://{}/mcp", backend().await),
    };
    let module = programs::filter().expect("built");
    let (mut document, plugins) = delivery.emit(Part {
        module: &module,
        build: &built,
    });
    let plane = ControlPlane::start().await.expect("listens");
    plane.adopt(&mut document);
    let plugins: Vec<Value> = plugins.into_values().collect();
    let version = plane.push(&plugins).expect("plugins");
    let envoy = Envoy::start_document(&document, (delivery.listen, delivery.admin), 2, path)
        .await
        .expect("Envoy starts");
    assert_eq!(plane.word_on(version).await.expect("a word"), Word::Taken);
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = envoy.url("/mcp");
    let serves = async |what: &str| {
        eventually(what, async || {
            (ask(&http, &url, "counted").await == Verdict::Passed).then_some(())
        })
        .await;
    };
    serves("the companion of the build before").await;
    for call in 0..3 {
        assert_eq!(ask(&http, &url, "few").await, Verdict::Passed, "call {call}");
    }
    let load = Load::start(&url);
    for (what, program) in [
        ("the companion is upgraded", &now),
        ("the companion is rolled back", &before),
        ("the companion is upgraded again", &now),
    ] {
        companion.replace(program).await;
        serves(what).await;
        // What one has counted, the other one knows.
        let used_up = Verdict::Denied("few.used_up".to_owned());
        assert_eq!(ask(&http, &url, "few").await, used_up, "{what}");
        let tally = load.take();
        println!(
            "{mode}: {what}: {} requests, {} wrongly allowed, denied meanwhile: {:?}",
            tally.requests, tally.wrong, tally.denied
        );
        assert_eq!(tally.wrong, 0, "{what}");
        assert_eq!(tally.broken, Vec::<String>::new(), "{what}\n{}", envoy.log());
    }
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_companion_is_upgraded_and_rolled_back_under_load_in_full_mode() {
    the_companion_changes_under_load("full").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_companion_is_upgraded_and_rolled_back_under_load_in_paired_mode() {
    the_companion_changes_under_load("paired").await;
}
