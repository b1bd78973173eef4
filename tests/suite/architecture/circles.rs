//! Which file of `src` takes names from which, and where such arrows lead back.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};
use syn::{Item, ItemUse, UseTree, Visibility};

/// A module by its path below the crate: `["trace", "path"]`.
type Module = Vec<String>;

/// The files of a crate, and what each takes from others.
pub struct House {
    /// The module that each file is, by its path below `src` without ".rs".
    files: BTreeMap<Module, String>,
    /// The names that a module has from others: in which module each of them is, under which name.
    passed_on: BTreeMap<Module, BTreeMap<String, Vec<String>>>,
    /// Every path that a module names.
    named: BTreeMap<Module, BTreeSet<Vec<String>>>,
}

impl House {
    /// Of these files: the path of each below `src` without ".rs", and its code.
    pub fn of(code: &[(String, String)]) -> Self {
        let files = code.iter().map(|(name, _)| (module(name), name.clone())).collect();
        let mut house = Self { files, passed_on: BTreeMap::new(), named: BTreeMap::new() };
        for (name, text) in code {
            let file = syn::parse_file(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            let module = module(name);
            let mut passed_on = BTreeMap::new();
            for item in &file.items {
                if let Item::Use(ItemUse { vis, tree, .. }) = item
                    && !matches!(vis, Visibility::Inherited)
                {
                    for (path, given) in leaves(tree) {
                        passed_on.insert(given, path);
                    }
                }
            }
            house.passed_on.insert(module.clone(), passed_on);
            let mut names = Names::default();
            names.visit_file(&file);
            house.named.insert(module, names.0);
        }
        house
    }

    /// For each file those that it takes names from. A module is a part of those that it stands in, so what it takes from
    /// them is not taken from others.
    pub fn arrows(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let arrow = |(module, paths): (&Module, &BTreeSet<Vec<String>>)| {
            let from = self.files[module].as_str();
            let to = paths.iter().filter_map(|path| self.module_of(module, path, 0));
            let others = to.filter(|to| !module.starts_with(to));
            (from, others.map(|to| self.files[&to].as_str()).collect())
        };
        self.named.iter().map(arrow).collect()
    }

    /// The module that what `path` names within `module` is in, if that is one of these.
    fn module_of(&self, module: &Module, path: &[String], depth: usize) -> Option<Module> {
        let mut at = module.clone();
        let mut rest = path;
        while let [first, further @ ..] = rest {
            match first.as_str() {
                "crate" => at.clear(),
                "self" => {}
                "super" => drop(at.pop()),
                name => {
                    let mut inner = at.clone();
                    inner.push(name.to_owned());
                    if self.files.contains_key(&inner) {
                        at = inner;
                    } else if rest.len() == path.len() {
                        // Neither a path from elsewhere nor a module of its own.
                        return None;
                    } else {
                        break;
                    }
                }
            }
            rest = further;
        }
        let own = || self.files.contains_key(&at).then(|| at.clone());
        let passed_on = rest.first().and_then(|name| self.passed_on.get(&at)?.get(name));
        match passed_on {
            Some(path) if depth < 8 => self.module_of(&at, path, depth + 1).or_else(own),
            _ => own(),
        }
    }

    /// Groups of files each of which leads to every other.
    pub fn circles(&self) -> Vec<BTreeSet<&str>> {
        let arrows = self.arrows();
        let reached: BTreeMap<&str, BTreeSet<&str>> =
            arrows.keys().map(|from| (*from, reached(&arrows, from))).collect();
        let mut circles: Vec<BTreeSet<&str>> = Vec::new();
        for (from, to) in &reached {
            let leads_back = |it: &&&str| reached.get(**it).is_some_and(|back| back.contains(from));
            let circle: BTreeSet<&str> = to.iter().filter(leads_back).copied().collect();
            if !circle.is_empty() && !circles.contains(&circle) {
                circles.push(circle);
            }
        }
        circles
    }
}

/// All that arrows lead to from here.
fn reached<'a>(arrows: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &'a str) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut next = vec![from];
    while let Some(at) = next.pop() {
        let further = arrows.get(at).into_iter().flatten();
        next.extend(further.copied().filter(|to| seen.insert(*to)));
    }
    seen
}

/// The module that a file is.
fn module(file: &str) -> Module {
    let parts = file.split('/').filter(|part| !["mod", "lib"].contains(part));
    parts.map(str::to_owned).collect()
}

/// The paths of a `use`, with the names that they are given.
fn leaves(tree: &UseTree) -> Vec<(Vec<String>, String)> {
    match tree {
        UseTree::Path(path) => {
            let further = leaves(&path.tree).into_iter();
            let longer = further.map(|(mut rest, given)| {
                rest.insert(0, path.ident.to_string());
                (rest, given)
            });
            longer.collect()
        }
        UseTree::Name(name) => vec![(vec![name.ident.to_string()], name.ident.to_string())],
        UseTree::Rename(it) => vec![(vec![it.ident.to_string()], it.rename.to_string())],
        UseTree::Glob(_) => vec![(Vec::new(), "*".to_owned())],
        UseTree::Group(group) => group.items.iter().flat_map(leaves).collect(),
    }
}

/// Collects the paths that a file names.
#[derive(Default)]
struct Names(BTreeSet<Vec<String>>);

impl<'a> Visit<'a> for Names {
    fn visit_item_use(&mut self, item: &'a ItemUse) {
        // What is only passed on is not taken.
        if matches!(item.vis, Visibility::Inherited) {
            self.0.extend(leaves(&item.tree).into_iter().map(|(path, _)| path));
        }
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        if path.segments.len() > 1 {
            self.0.insert(path.segments.iter().map(|part| part.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }
}

#[test]
fn a_circle_is_found_and_a_part_of_a_module_makes_none() {
    let house = |files: &[(&str, &str)]| {
        let own = |(name, code): &(&str, &str)| ((*name).to_owned(), (*code).to_owned());
        House::of(&files.iter().map(own).collect::<Vec<_>>())
    };
    let round = [
        ("a/mod", "pub use one::One; mod one; mod two;"),
        ("a/one", "use super::two::Two; pub struct One;"),
        ("a/two", "pub struct Two(crate::a::One);"),
    ];
    assert_eq!(house(&round).circles(), [BTreeSet::from(["a/one", "a/two"])]);
    let inner = [
        ("a", "mod one; use one::One; struct Own; use crate::b::B;"),
        ("a/one", "use super::Own; pub struct One(std::fs::File);"),
        ("b", "pub struct B;"),
    ];
    assert!(house(&inner).circles().is_empty());
}
