//! Reads paths and words out of macro arguments, which `syn` leaves as tokens.
use proc_macro2::{TokenStream, TokenTree};

/// What a macro's arguments hold.
#[derive(Debug, Default)]
pub struct Found {
    /// Paths of at least two segments, with their lines.
    pub paths: Vec<(Vec<String>, usize)>,
    /// Every identifier.
    pub words: Vec<String>,
    /// `.unwrap(`, `.expect(` and `panic!`.
    pub panics: usize,
    /// `unsafe {`.
    pub unsafe_blocks: usize,
}

/// Reads `tokens` and the groups inside them.
pub fn read(tokens: TokenStream, found: &mut Found) {
    let trees: Vec<TokenTree> = tokens.into_iter().collect();
    let mut path: Vec<String> = Vec::new();
    let mut path_line = 0;
    for (at, tree) in trees.iter().enumerate() {
        match tree {
            TokenTree::Ident(ident) => {
                let word = ident.to_string();
                let joined = at >= 2 && punct(&trees[at - 1], ':') && punct(&trees[at - 2], ':');
                if !joined {
                    end(&mut path, path_line, found);
                    path_line = ident.span().start().line;
                } else if path.is_empty() {
                    // A leading `::`, as in `::load::Spec`.
                    path.push(String::new());
                    path_line = ident.span().start().line;
                }
                count(&word, at, &trees, found);
                found.words.push(word.clone());
                path.push(word);
            }
            TokenTree::Punct(mark) if mark.as_char() == ':' => {}
            TokenTree::Group(group) => {
                end(&mut path, path_line, found);
                read(group.stream(), found);
            }
            _ => end(&mut path, path_line, found),
        }
    }
    end(&mut path, path_line, found);
}

fn count(word: &str, at: usize, trees: &[TokenTree], found: &mut Found) {
    let after_dot = at >= 1 && punct(&trees[at - 1], '.');
    let next = trees.get(at + 1);
    match word {
        "unwrap" | "expect" if after_dot && matches!(next, Some(TokenTree::Group(_))) => found.panics += 1,
        "panic" if next.is_some_and(|next| punct(next, '!')) => found.panics += 1,
        "unsafe" if matches!(next, Some(TokenTree::Group(_))) => found.unsafe_blocks += 1,
        _ => {}
    }
}

fn end(path: &mut Vec<String>, line: usize, found: &mut Found) {
    let path = std::mem::take(path);
    if path.len() > 1 {
        found.paths.push((path, line));
    }
}

fn punct(tree: &TokenTree, wanted: char) -> bool {
    matches!(tree, TokenTree::Punct(mark) if mark.as_char() == wanted)
}
