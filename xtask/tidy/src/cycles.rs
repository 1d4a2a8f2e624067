//! Import cycles between files: groups of files in which each leads to each other (Tarjan's strongly connected components).
use crate::modules::Edge;
use crate::sources::Source;

/// Groups of at least two files, of `files` files; members sorted.
pub fn cycles(files: usize, edges: &[Edge]) -> Vec<Vec<usize>> {
    let mut next: Vec<Vec<usize>> = vec![Vec::new(); files];
    for edge in edges {
        next[edge.from].push(edge.to);
    }
    let mut search = Search { next: &next, index: vec![None; files], low: vec![0; files], ..Search::default() };
    for file in 0..files {
        if search.index[file].is_none() {
            search.visit(file);
        }
    }
    let mut found = search.found;
    found.sort();
    found
}

/// What is told of a cycle, unless it is known: each use that is part of it.
pub fn breach(group: &[usize], sources: &[Source], edges: &[Edge], known: &[&[&str]]) -> Option<String> {
    let name = |file: usize| sources[file].name.as_str();
    let files: Vec<&str> = group.iter().map(|&file| name(file)).collect();
    if known.iter().any(|known| files.iter().all(|file| known.contains(file))) {
        return None;
    }
    let inside = edges.iter().filter(|edge| group.contains(&edge.from) && group.contains(&edge.to));
    let uses = inside.map(|edge| format!("\n    {}:{} uses {}", name(edge.from), edge.line, name(edge.to)));
    Some(format!("{} files import each other:{}", files.len(), uses.collect::<String>()))
}

#[derive(Default)]
struct Search<'a> {
    next: &'a [Vec<usize>],
    index: Vec<Option<usize>>,
    low: Vec<usize>,
    visited: usize,
    stack: Vec<usize>,
    found: Vec<Vec<usize>>,
}

impl Search<'_> {
    fn visit(&mut self, file: usize) {
        self.index[file] = Some(self.visited);
        self.low[file] = self.visited;
        self.visited += 1;
        self.stack.push(file);
        let next = self.next;
        for &to in &next[file] {
            match self.index[to] {
                None => {
                    self.visit(to);
                    self.low[file] = self.low[file].min(self.low[to]);
                }
                Some(index) if self.stack.contains(&to) => self.low[file] = self.low[file].min(index),
                Some(_) => {}
            }
        }
        if Some(self.low[file]) == self.index[file] {
            let start = self.stack.iter().rposition(|&one| one == file).unwrap_or(0);
            let mut group = self.stack.split_off(start);
            if group.len() > 1 {
                group.sort_unstable();
                self.found.push(group);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_lead_back_to_themselves_are_one_group() {
        let edges = |pairs: &[(usize, usize)]| -> Vec<Edge> {
            pairs.iter().map(|&(from, to)| Edge { from, to, line: 1 }).collect()
        };
        for (pairs, groups) in [
            (&[(0, 1), (1, 2), (0, 2)][..], vec![]),
            (&[(0, 1), (1, 0)], vec![vec![0, 1]]),
            (&[(0, 1), (1, 2), (2, 0), (2, 3)], vec![vec![0, 1, 2]]),
            (&[(3, 4), (4, 3), (0, 1), (1, 0), (1, 3)], vec![vec![0, 1], vec![3, 4]]),
        ] {
            assert_eq!(cycles(5, &edges(pairs)), groups, "{pairs:?}");
        }
    }

    #[test]
    fn a_cycle_is_told_with_its_uses_unless_it_is_known() {
        let edges = [Edge { from: 0, to: 1, line: 3 }, Edge { from: 1, to: 0, line: 4 }];
        let told = "2 files import each other:\n    a.rs:3 uses b.rs\n    b.rs:4 uses a.rs".to_owned();
        let sources = ["a.rs", "b.rs"].map(|name| Source::read(name, "").unwrap());
        for (known, wanted) in [
            (&[][..], Some(&told)),
            (&[&["a.rs", "b.rs", "c.rs"][..]], None),
            (&[&["a.rs", "c.rs"], &["b.rs", "d.rs"]], Some(&told)),
        ] {
            assert_eq!(breach(&[0, 1], &sources, &edges, known).as_ref(), wanted, "{known:?}");
        }
    }
}
