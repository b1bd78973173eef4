//! The house rules of ARCHITECTURE.md, checked against the source itself: arrows between modules run
//! one way, and the core reads no clock, does no IO and prints nothing.

mod circles;
mod face;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules and those that each may use, as ARCHITECTURE.md lists them. Only `cli`, `main` and `lib` see everything.
fn listed() -> BTreeMap<String, Vec<String>> {
    let text = include_str!("../../../ARCHITECTURE.md");
    let (_, list) = text.split_once("```arrows\n").expect("a list of arrows");
    let (list, _) = list.split_once("```").expect("the end of the list");
    let row = |line: &str| {
        let (module, uses) = line.split_once("->").expect("an arrow");
        (module.trim().to_owned(), uses.split_whitespace().map(str::to_owned).collect())
    };
    list.lines().map(row).collect()
}

/// What would be a clock, IO or a print, and where it may not be.
const CORE: &[&str] =
    &["time", "untrusted", "chance", "wire", "probe", "trace", "recording", "link/sim"];
const FORBIDDEN: &[&str] = &[
    "Instant::now",
    "SystemTime::now",
    "thread::",
    "std::fs",
    "std::io",
    "std::env",
    "UdpSocket",
    "print!(",
    "println!(",
    "eprint!(",
    "eprintln!(",
    "dbg!(",
];

fn sources(at: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The crates, from the bottom up. What `rtrace` uses of `rtrace-core` it names as its own: it passes the modules on.
const CRATES: [&str; 2] = ["crates/rtrace-core/src", "src"];

/// Every source file as its path below `src` without ".rs", and its code without tests and comments.
fn code() -> Vec<(String, String)> {
    CRATES.iter().flat_map(|at| code_of(at)).collect()
}

fn code_of(at: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(at);
    let mut files = Vec::new();
    sources(&root, &mut files);
    let read = |path: &PathBuf| {
        let name = path.strip_prefix(&root).unwrap().with_extension("");
        let text = fs::read_to_string(path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        (name.display().to_string(), lines.collect::<Vec<_>>().join("\n"))
    };
    files.iter().map(read).collect()
}

/// `BLESS=1` writes the list anew: read what has changed, for somebody may use it.
#[test]
fn the_face_of_the_core_is_the_committed_one() {
    crate::support::golden("../crates/rtrace-core/API.txt", &face::of(&code_of(CRATES[0])));
}

/// Cargo keeps the arrows between crates; these keep the core small.
#[test]
fn the_core_is_a_crate_with_few_dependencies() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/rtrace-core/Cargo.toml");
    let manifest: toml::Table = fs::read_to_string(manifest).unwrap().parse().unwrap();
    let dependencies: Vec<_> = manifest["dependencies"].as_table().unwrap().keys().collect();
    let few = [
        "fastrand",
        "libm",
        "pnet_packet",
        "serde",
        "serde_json",
        "thiserror",
        "unicode-general-category",
    ];
    assert_eq!(dependencies, few);
    let (_, root) = code_of(CRATES[0]).into_iter().find(|(name, _)| name == "lib").unwrap();
    assert!(root.contains("#![forbid(unsafe_code)]"));
}

#[test]
fn arrows_run_one_way() {
    let listed = listed();
    for (name, code) in code() {
        let module = name.split('/').next().unwrap();
        let Some(allowed) = listed.get(module) else {
            assert!(
                ["cli", "main", "lib"].contains(&module),
                "{module} has no arrows in ARCHITECTURE.md"
            );
            continue;
        };
        for part in code.split("crate::").skip(1) {
            let used: String =
                part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let fine = used == module || allowed.contains(&used);
            assert!(fine, "src/{name}.rs uses crate::{used}, against the arrows");
        }
    }
}

/// Files take names from one another in one direction.
#[test]
fn no_files_lead_round_in_a_circle() {
    for at in CRATES {
        without_circles(&code_of(at));
    }
}

fn without_circles(code: &[(String, String)]) {
    let house = circles::House::of(code);
    let circles = house.circles();
    let arrows = house.arrows();
    let told = |circle: &BTreeSet<&str>| {
        let within = |from: &&str| {
            let to: Vec<_> = arrows[from].intersection(circle).copied().collect();
            format!("  {from} takes from {}\n", to.join(", "))
        };
        circle.iter().map(within).collect::<String>()
    };
    let told: Vec<String> = circles.iter().map(told).collect();
    assert!(told.is_empty(), "{} circles:\n{}", told.len(), told.join("\n"));
}

#[test]
fn the_core_has_no_clock_no_io_and_no_print() {
    for (name, code) in code() {
        if CORE.iter().any(|core| name == *core || name.starts_with(&format!("{core}/"))) {
            for word in FORBIDDEN {
                assert!(!code.contains(word), "src/{name}.rs contains {word}");
            }
        }
    }
}

/// Files that somebody named are opened in one place, by the rules of that place; what is named here the kernel names.
#[test]
fn files_are_opened_in_one_place() {
    const PLACE: &str = "privilege/";
    const KERNELS: [&str; 3] = ["link/live/", "cli/keyboard", "cli/confinement"];
    const OPENS: [&str; 8] = [
        "File::open(",
        "File::create",
        "File::options",
        "OpenOptions",
        "fs::read(",
        "fs::read_to_string(",
        "fs::write(",
        "openat(",
    ];
    for (name, code) in code() {
        let is_test = name.ends_with("/tests");
        if is_test || name.starts_with(PLACE) || KERNELS.iter().any(|it| name.starts_with(it)) {
            continue;
        }
        for word in OPENS {
            assert!(
                !code.contains(word),
                "src/{name}.rs contains {word}: see src/privilege/files.rs"
            );
        }
    }
}

#[test]
fn unsafe_is_in_the_live_link_only() {
    for (name, code) in code() {
        assert!(name.starts_with("link/live") || !code.contains("unsafe {"), "src/{name}.rs");
    }
}
