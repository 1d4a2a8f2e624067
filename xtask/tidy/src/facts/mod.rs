//! What the checks need to know of one source file, read from its syntax tree.
//!
//! The tree itself is dropped: `syn` types cannot be sent between threads.
mod tokens;
mod visitor;

use std::collections::BTreeSet;

/// Facts of one file. Lines count from 1.
#[derive(Debug, Default)]
pub struct Facts {
    /// Whether its first line is a `//!` comment.
    pub opens_with_job: bool,
    /// All lines of the file.
    pub lines: usize,
    /// Lines of tables: long `const` and `static` items and calls of item macros, tests aside.
    pub table_lines: usize,
    /// Lines of items under `#[cfg(test)]`.
    pub test_lines: usize,
    /// Functions and methods with a body.
    pub functions: Vec<Function>,
    /// `mod name;` and `mod name { … }`.
    pub modules: Vec<Module>,
    /// Names of items, each with the inline modules around it.
    pub items: Vec<(Vec<String>, String)>,
    /// `use` declarations, one a name.
    pub uses: Vec<Use>,
    /// Paths in code, macros and attributes, as they are written.
    pub paths: Vec<PathUse>,
    /// First segments of paths and all words in macros and attributes, production code's.
    pub words: BTreeSet<String>,
    /// The same of code under `#[cfg(test)]`.
    pub test_words: BTreeSet<String>,
    /// `pub` items and methods, tests aside.
    pub public: usize,
    /// Those with a doc comment.
    pub documented: usize,
    /// `unwrap`, `expect` and `panic!`, tests aside.
    pub panics: usize,
    /// Calls of `tokio::spawn`, tests aside.
    pub spawns: usize,
    /// `unsafe` blocks, tests aside.
    pub unsafe_blocks: usize,
    /// Lines of more than 120 columns.
    pub wide_lines: usize,
}

/// A function or method.
#[derive(Debug)]
pub struct Function {
    pub name: String,
    /// Line of its signature.
    pub line: usize,
    /// From the signature to the closing brace.
    pub lines: usize,
    /// Whether it is test code.
    pub test: bool,
    /// Whether its whole body is a table: one `match` without blocks in its arms, or one array.
    pub table: bool,
}

/// A module declared in the file.
#[derive(Debug)]
pub struct Module {
    pub name: String,
    /// Inline modules around the declaration, outermost first.
    pub inside: Vec<String>,
    /// Value of `#[path]`.
    pub path: Option<String>,
    /// Whether its body stands in this file.
    pub inline: bool,
    /// Whether it is under `#[cfg(test)]`.
    pub test: bool,
}

/// One name that a `use` brings in.
#[derive(Debug)]
pub struct Use {
    /// Inline modules around it.
    pub inside: Vec<String>,
    /// The path, a leading `::` as an empty first segment.
    pub path: Vec<String>,
    /// Name in this module; `None` for `*`.
    pub name: Option<String>,
    pub line: usize,
    pub test: bool,
}

/// A path of at least two segments that code names.
#[derive(Debug)]
pub struct PathUse {
    /// Inline modules around it.
    pub inside: Vec<String>,
    /// The segments, a leading `::` as an empty first segment.
    pub path: Vec<String>,
    pub line: usize,
    pub test: bool,
}

impl Facts {
    /// Reads a file's text.
    ///
    /// # Errors
    /// It is not Rust.
    pub fn read(text: &str) -> syn::Result<Facts> {
        let file = syn::parse_file(text)?;
        let mut facts = visitor::read(&file);
        facts.lines = text.lines().count();
        facts.opens_with_job = text.starts_with("//!");
        facts.wide_lines = text.lines().filter(|line| line.chars().count() > 120).count();
        Ok(facts)
    }

    /// Lines that the length rule counts: neither tests nor tables.
    pub fn code_lines(&self) -> usize {
        self.lines.saturating_sub(self.test_lines + self.table_lines)
    }
}

#[cfg(test)]
mod tests;
