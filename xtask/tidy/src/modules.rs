//! The tree of modules of every crate, and which file a path leads to.
//!
//! A path leads to the file that *defines* what it names: a re-export (`pub use child::Item`) is followed to the child. So a `mod.rs` that
//! only lists its children is not on the way between them. What a file names of the modules below it is no edge, as a module is made of its
//! children; what a child names of its parent is one.
use crate::facts::Use;
use crate::sources::Source;
use std::collections::{BTreeMap, BTreeSet};

/// A crate of the workspace.
#[derive(Clone, Debug)]
pub struct Crate {
    /// Its name in paths.
    pub name: String,
    /// Its root file.
    pub root: String,
    /// Crates of the workspace that it may name.
    pub knows: Vec<String>,
}

/// One file names another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// Index of the naming file.
    pub from: usize,
    /// Index of the file that defines what is named.
    pub to: usize,
    /// Line of the naming.
    pub line: usize,
}

/// Most re-exports that one name goes through.
const DEEPEST: usize = 8;

#[derive(Debug, Default)]
struct Node {
    file: usize,
    parent: Option<usize>,
    root: usize,
    children: BTreeMap<String, usize>,
    items: BTreeSet<String>,
    uses: Vec<UseOf>,
}

/// What a path leads to.
#[derive(Clone, Copy, Debug)]
enum Target {
    Module(usize),
    /// An item that this module defines.
    Item(usize),
}

#[derive(Clone, Debug)]
struct UseOf {
    path: Vec<String>,
    name: Option<String>,
}

/// Modules of all crates.
#[derive(Debug, Default)]
pub struct Modules {
    nodes: Vec<Node>,
    /// Root module by crate name.
    roots: BTreeMap<String, usize>,
    /// Crates that may be named, by root module.
    knows: BTreeMap<usize, Vec<String>>,
    /// Module of a file's top level.
    of_file: BTreeMap<usize, usize>,
}

impl Modules {
    /// Builds the trees, and marks files that are modules under `#[cfg(test)]` as tests.
    pub fn build(crates: &[Crate], sources: &mut [Source]) -> Modules {
        let index: BTreeMap<String, usize> =
            sources.iter().enumerate().map(|(at, source)| (source.name.clone(), at)).collect();
        let mut modules = Modules::default();
        let mut tests = BTreeSet::new();
        for one in crates {
            let Some(&file) = index.get(&one.root) else { continue };
            let root = modules.nodes.len();
            modules.nodes.push(Node { file, root, ..Node::default() });
            modules.roots.insert(one.name.clone(), root);
            modules.knows.insert(root, one.knows.clone());
            let folder = parent_folder(&one.root).to_owned();
            modules.grow(root, &folder, &index, sources, &mut tests);
        }
        for file in tests {
            sources[file].test = true;
        }
        modules
    }

    /// Adds the modules that the file of `top` declares. `folder` is where its `mod name;` are looked for.
    fn grow(
        &mut self,
        top: usize,
        folder: &str,
        index: &BTreeMap<String, usize>,
        sources: &[Source],
        tests: &mut BTreeSet<usize>,
    ) {
        let file = self.nodes[top].file;
        self.of_file.insert(file, top);
        let source = &sources[file];
        for module in &source.facts.modules {
            let Some(parent) = self.inner(top, &module.inside) else { continue };
            let below = module.inside.iter().fold(folder.to_owned(), |folder, name| format!("{folder}/{name}"));
            let declared = if module.inline {
                Some((file, String::new()))
            } else if let Some(path) = &module.path {
                let name = normal(&format!("{}/{path}", parent_folder(&source.name)));
                index.get(&name).map(|&at| (at, parent_folder(&name).to_owned()))
            } else {
                let inside = format!("{below}/{}", module.name);
                [format!("{inside}.rs"), format!("{inside}/mod.rs")]
                    .iter()
                    .find_map(|name| index.get(name).map(|&at| (at, inside.clone())))
            };
            let Some((at, folder)) = declared else { continue };
            let node = self.nodes.len();
            let root = self.nodes[parent].root;
            self.nodes.push(Node { file: at, parent: Some(parent), root, ..Node::default() });
            self.nodes[parent].children.insert(module.name.clone(), node);
            if !module.inline {
                if module.test || source.test || tests.contains(&file) {
                    tests.insert(at);
                }
                self.grow(node, &folder, index, sources, tests);
            }
        }
        for (inside, name) in &source.facts.items {
            if let Some(node) = self.inner(top, inside) {
                self.nodes[node].items.insert(name.clone());
            }
        }
        for used in &source.facts.uses {
            if let Some(node) = self.inner(top, &used.inside) {
                let Use { path, name, .. } = used;
                self.nodes[node].uses.push(UseOf { path: path.clone(), name: name.clone() });
            }
        }
    }

    fn inner(&self, top: usize, inside: &[String]) -> Option<usize> {
        inside.iter().try_fold(top, |node, name| self.nodes[node].children.get(name).copied())
    }

    /// What production code of every file names, without doubles. Left out: a file's own items, and those of modules below it.
    pub fn edges(&self, sources: &[Source]) -> Vec<Edge> {
        let mut edges: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for (&file, &top) in &self.of_file {
            let source = &sources[file];
            if source.test {
                continue;
            }
            let uses = source.facts.uses.iter().filter(|used| !used.test);
            let uses = uses.map(|used| (&used.inside, &used.path, used.line));
            let paths = source.facts.paths.iter().filter(|path| !path.test);
            let paths = paths.map(|path| (&path.inside, &path.path, path.line));
            for (inside, path, line) in uses.chain(paths) {
                let Some(node) = self.inner(top, inside) else { continue };
                let Some(Target::Module(target) | Target::Item(target)) = self.resolve(node, path, DEEPEST) else {
                    continue;
                };
                let to = self.nodes[target].file;
                if to == file || self.is_below(target, top) {
                    continue;
                }
                edges.entry((file, to)).and_modify(|first| *first = line.min(*first)).or_insert(line);
            }
        }
        edges.into_iter().map(|((from, to), line)| Edge { from, to, line }).collect()
    }

    fn is_below(&self, node: usize, top: usize) -> bool {
        std::iter::successors(Some(node), |node| self.nodes[*node].parent).any(|above| above == top)
    }

    /// What `path` leads to, seen from the module `from`. `None`: nothing of this workspace.
    fn resolve(&self, from: usize, path: &[String], depth: usize) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        let start = match first.as_str() {
            "crate" => Target::Module(self.nodes[from].root),
            "self" => Target::Module(from),
            "super" => Target::Module(self.nodes[from].parent?),
            "" => return self.walk(Target::Module(self.external(from, rest.first()?)?), &rest[1..], depth),
            name => self.member(from, name, depth).or_else(|| self.external(from, name).map(Target::Module))?,
        };
        self.walk(start, rest, depth)
    }

    fn walk(&self, start: Target, path: &[String], depth: usize) -> Option<Target> {
        let mut at = start;
        for name in path {
            // What follows an item are its associated names.
            let Target::Module(module) = at else { break };
            at = match name.as_str() {
                "super" => Target::Module(self.nodes[module].parent?),
                "self" => at,
                // A name that no declaration gives is made by a macro.
                name => self.member(module, name, depth).unwrap_or(Target::Item(module)),
            };
        }
        Some(at)
    }

    /// What `name` means in `node`: a child, an item, or what a `use` brings in.
    fn member(&self, node: usize, name: &str, depth: usize) -> Option<Target> {
        let here = &self.nodes[node];
        if let Some(&child) = here.children.get(name) {
            return Some(Target::Module(child));
        }
        if here.items.contains(name) {
            return Some(Target::Item(node));
        }
        let depth = depth.checked_sub(1)?;
        let named = here.uses.iter().filter(|used| used.name.as_deref() == Some(name));
        // `use load::load;`: what is imported is no way to itself.
        let found = named.map(|used| (used, used.path.first().is_some_and(|first| first == name))).find_map(
            |(used, itself)| match itself {
                true => self.walk(Target::Module(self.external(node, name)?), &used.path[1..], depth),
                false => self.resolve(node, &used.path, depth),
            },
        );
        found.or_else(|| {
            let globs = here.uses.iter().filter(|used| used.name.is_none());
            globs.filter_map(|used| self.resolve(node, &used.path, depth)).find_map(|target| match target {
                Target::Module(module) if module != node => self.member(module, name, depth),
                _ => None,
            })
        })
    }

    fn external(&self, from: usize, name: &str) -> Option<usize> {
        let root = self.nodes[from].root;
        let known = self.knows.get(&root).is_some_and(|known| known.iter().any(|known| known == name));
        known.then(|| self.roots.get(name).copied()).flatten()
    }
}

fn parent_folder(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// `a/b/../c.rs` as `a/c.rs`.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
#[path = "modules_tests.rs"]
mod tests;
