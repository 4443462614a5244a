//! No page leads nowhere.

use aplomb_test_harness::programs;

const PAGES: &[&str] = &["README.md", "envoy-config/README.md", "istio/README.md"];

#[test]
fn every_link_of_the_book_leads_to_a_file() {
    let root = programs::root();
    let mut pages: Vec<_> = PAGES.iter().map(|page| root.join(page)).collect();
    pages.extend(
        std::fs::read_dir(root.join("docs"))
            .expect("docs")
            .map(|entry| entry.expect("readable").path())
            .filter(|path| path.extension().is_some_and(|kind| kind == "md")),
    );
    let mut checked = 0;
    for page in pages {
        let text = std::fs::read_to_string(&page).expect("text");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            checked += 1;
            let path = page.parent().expect("a folder").join(file);
            assert!(path.exists(), "{}: `{target}` leads nowhere", page.display());
        }
    }
    assert!(checked > 10, "only {checked} links were found");
}

#[test]
fn the_index_names_every_page() {
    let index = super::text("docs/README.md");
    for entry in std::fs::read_dir(programs::root().join("docs")).expect("docs") {
        let name = entry
            .expect("readable")
            .file_name()
            .into_string()
            .expect("a name");
        if name != "README.md" && name.ends_with(".md") {
            assert!(
                index.contains(&format!("]({name})")),
                "docs/README.md does not name {name}"
            );
        }
    }
}
