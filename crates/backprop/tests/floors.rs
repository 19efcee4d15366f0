//! The floors of ARCHITECTURE.md: a crate depends only on crates of lower floors.

use std::path::Path;

/// Every crate with its floor. Tests and examples of a crate may use more (`dev-dependencies`).
const FLOORS: [(&str, u32); 12] = [
    ("backprop-core", 0),
    ("backprop-draw", 0),
    ("backprop-ad", 1),
    ("backprop-opt", 1),
    ("backprop-cpu", 2),
    ("backprop-run", 3),
    ("backprop-nn", 4),
    ("backprop-io", 4),
    ("backprop-train", 5),
    ("backprop", 6),
    ("backprop-cli", 7),
    ("backprop-conformance", 8),
];

fn floor(name: &str) -> u32 {
    let found = FLOORS.iter().find(|(own, _)| *own == name);
    found.unwrap_or_else(|| panic!("{name} has no floor: give it one in {}", file!())).1
}

/// The names in the `[dependencies]` table of a manifest.
fn dependencies(manifest: &str) -> Vec<&str> {
    let table = manifest.split("\n[").find(|part| part.starts_with("dependencies]")).unwrap_or("");
    let lines = table.lines().skip(1);
    lines
        .filter_map(|line| line.split(['.', '=', ' ']).next())
        .filter(|name| name.starts_with("backprop"))
        .collect()
}

#[test]
fn a_crate_depends_only_on_lower_floors() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut seen = 0;
    for entry in std::fs::read_dir(&crates).expect("the crates folder is there") {
        let folder = entry.expect("a readable entry").path();
        let Ok(manifest) = std::fs::read_to_string(folder.join("Cargo.toml")) else { continue };
        let name = folder.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8");
        for dependency in dependencies(&manifest) {
            assert!(floor(dependency) < floor(name), "{name} must not depend on {dependency}");
        }
        seen += 1;
    }
    assert_eq!(seen, FLOORS.len(), "every crate has a floor");
}
