//! Walks a file's syntax tree and notes its [`Facts`].
use super::tokens::{self, Found};
use super::{Facts, Function, Module, PathUse, Use};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Block, Expr, Item, Meta, Stmt, UseTree, Visibility};

/// Facts that the tree gives; the text's own are added by the caller.
pub fn read(file: &syn::File) -> Facts {
    let mut visitor = Visitor { facts: Facts::default(), inside: Vec::new(), test: false };
    visitor.visit_file(file);
    visitor.facts
}

/// Shorter constants are no tables.
const SHORTEST_TABLE: usize = 10;

struct Visitor {
    facts: Facts,
    /// Inline modules around the present place.
    inside: Vec<String>,
    /// Whether the present place is test code.
    test: bool,
}

impl Visitor {
    fn note_path(&mut self, path: Vec<String>, line: usize) {
        self.facts.paths.push(PathUse { inside: self.inside.clone(), path, line, test: self.test });
    }

    fn note_word(&mut self, word: String) {
        if self.test { &mut self.facts.test_words } else { &mut self.facts.words }.insert(word);
    }

    fn note_tokens(&mut self, tokens: proc_macro2::TokenStream) {
        let mut found = Found::default();
        tokens::read(tokens, &mut found);
        for (path, line) in found.paths {
            self.note_path(path, line);
        }
        for word in found.words {
            self.note_word(word);
        }
        if !self.test {
            self.facts.panics += found.panics;
            self.facts.unsafe_blocks += found.unsafe_blocks;
        }
    }

    fn note_function(&mut self, attrs: &[Attribute], signature: &syn::Signature, block: &Block) {
        let line = signature.span().start().line;
        self.facts.functions.push(Function {
            name: signature.ident.to_string(),
            line,
            lines: block.span().end().line + 1 - line,
            test: self.test || is_test(attrs),
            table: is_table(block),
        });
    }

    fn note_public(&mut self, visibility: &Visibility, attrs: &[Attribute]) {
        if !self.test && matches!(visibility, Visibility::Public(_)) {
            self.facts.public += 1;
            self.facts.documented += usize::from(attrs.iter().any(|attr| attr.path().is_ident("doc")));
        }
    }

    fn note_use(&mut self, tree: &UseTree, before: &mut Vec<String>) {
        let line = tree.span().start().line;
        let named = |visitor: &mut Visitor, path: Vec<String>, name: Option<String>| {
            let inside = visitor.inside.clone();
            visitor.facts.uses.push(Use { inside, path, name, line, test: visitor.test });
        };
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.note_use(&path.tree, before);
                before.pop();
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.note_use(tree, before);
                }
            }
            UseTree::Glob(_) => named(self, before.clone(), None),
            UseTree::Name(_) | UseTree::Rename(_) => {
                let (ident, name) = match tree {
                    UseTree::Name(name) => (name.ident.to_string(), name.ident.to_string()),
                    UseTree::Rename(rename) => (rename.ident.to_string(), rename.rename.to_string()),
                    _ => return,
                };
                let mut path = before.clone();
                if ident != "self" {
                    path.push(ident);
                }
                let name = if name == "self" { path.last().cloned().unwrap_or_default() } else { name };
                named(self, path, Some(name));
            }
        }
    }

    /// Visits what `attrs` belong to; test code is marked as such.
    fn within<T>(&mut self, attrs: &[Attribute], visited: T, visit: impl FnOnce(&mut Self, T)) {
        let before = self.test;
        self.test |= is_test(attrs);
        visit(self, visited);
        self.test = before;
    }

    fn visit_kind(&mut self, item: &Item) {
        if let Some(name) = name_of(item) {
            self.facts.items.push((self.inside.clone(), name));
        }
        match item {
            Item::Fn(function) => {
                self.note_public(&function.vis, &function.attrs);
                self.note_function(&function.attrs, &function.sig, &function.block);
            }
            Item::Struct(item) => self.note_public(&item.vis, &item.attrs),
            Item::Enum(item) => self.note_public(&item.vis, &item.attrs),
            Item::Trait(item) => self.note_public(&item.vis, &item.attrs),
            Item::Type(item) => self.note_public(&item.vis, &item.attrs),
            Item::Const(item) => self.note_public(&item.vis, &item.attrs),
            Item::Static(item) => self.note_public(&item.vis, &item.attrs),
            Item::Use(item) => {
                let mut before = if item.leading_colon.is_some() { vec![String::new()] } else { Vec::new() };
                self.note_use(&item.tree, &mut before);
            }
            Item::Mod(module) => {
                self.facts.modules.push(Module {
                    name: module.ident.to_string(),
                    inside: self.inside.clone(),
                    path: path_of(&module.attrs),
                    inline: module.content.is_some(),
                    test: self.test,
                });
                self.inside.push(module.ident.to_string());
                visit::visit_item(self, item);
                self.inside.pop();
                return;
            }
            _ => {}
        }
        visit::visit_item(self, item);
    }
}

impl Visit<'_> for Visitor {
    fn visit_item(&mut self, item: &Item) {
        let lines = item.span().end().line + 1 - item.span().start().line;
        let attrs = attributes(item);
        if !self.test && is_test(attrs) {
            self.facts.test_lines += lines;
        } else if !self.test && lines >= SHORTEST_TABLE && is_data(item) {
            self.facts.table_lines += lines;
        }
        self.within(attrs, item, Visitor::visit_kind);
    }

    fn visit_impl_item_fn(&mut self, function: &syn::ImplItemFn) {
        self.within(&function.attrs, function, |visitor, function| {
            visitor.note_public(&function.vis, &function.attrs);
            visitor.note_function(&function.attrs, &function.sig, &function.block);
            visit::visit_impl_item_fn(visitor, function);
        });
    }

    fn visit_trait_item_fn(&mut self, function: &syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.note_function(&function.attrs, &function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }

    fn visit_path(&mut self, path: &syn::Path) {
        let mut segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if let Some(first) = segments.first() {
            self.note_word(first.clone());
        }
        if path.leading_colon.is_some() {
            segments.insert(0, String::new());
        }
        if segments.len() > 1 {
            self.note_path(segments, path.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_use_tree(&mut self, tree: &UseTree) {
        if let UseTree::Path(path) = tree {
            self.note_word(path.ident.to_string());
        } else if let UseTree::Name(name) = tree {
            self.note_word(name.ident.to_string());
        } else if let UseTree::Rename(rename) = tree {
            self.note_word(rename.ident.to_string());
        } else if let UseTree::Group(_) = tree {
            visit::visit_use_tree(self, tree);
        }
    }

    fn visit_macro(&mut self, called: &syn::Macro) {
        if !self.test && called.path.is_ident("panic") {
            self.facts.panics += 1;
        }
        self.visit_path(&called.path);
        self.note_tokens(called.tokens.clone());
    }

    fn visit_attribute(&mut self, attr: &Attribute) {
        if let Meta::List(list) = &attr.meta {
            self.note_tokens(list.tokens.clone());
        }
        visit::visit_attribute(self, attr);
    }

    fn visit_expr_method_call(&mut self, call: &syn::ExprMethodCall) {
        let panics = call.method == "unwrap" || call.method == "expect";
        self.facts.panics += usize::from(panics && !self.test);
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_call(&mut self, call: &syn::ExprCall) {
        if let Expr::Path(function) = &*call.func {
            let names: Vec<String> = function.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            let bare = names == ["tokio", "spawn"] || names == ["tokio", "task", "spawn"];
            self.facts.spawns += usize::from(bare && !self.test);
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_unsafe(&mut self, block: &syn::ExprUnsafe) {
        self.facts.unsafe_blocks += usize::from(!self.test);
        visit::visit_expr_unsafe(self, block);
    }
}

fn is_test(attrs: &[Attribute]) -> bool {
    attrs.iter().any(|attr| match &attr.meta {
        // `#[test]`, `#[tokio::test]`.
        Meta::Path(path) => path.segments.last().is_some_and(|last| last.ident == "test"),
        // `#[cfg(test)]`, `#[cfg(all(test, …))]`; not `#[cfg(not(test))]`.
        Meta::List(list) if list.path.is_ident("cfg") => {
            let condition = list.tokens.to_string();
            condition == "test" || condition.starts_with("all (test")
        }
        Meta::List(list) => list.path.segments.last().is_some_and(|last| last.ident == "test"),
        Meta::NameValue(_) => false,
    })
}

/// A constant, or a macro call that makes items; a macro's definition is code.
fn is_data(item: &Item) -> bool {
    matches!(item, Item::Const(_) | Item::Static(_)) || matches!(item, Item::Macro(called) if called.ident.is_none())
}

/// One `match` without a block in its arms, or one array.
fn is_table(block: &Block) -> bool {
    match block.stmts.as_slice() {
        [Stmt::Expr(Expr::Match(table), None)] => table.arms.iter().all(|arm| !matches!(*arm.body, Expr::Block(_))),
        [Stmt::Expr(Expr::Array(_), None)] => true,
        [Stmt::Expr(Expr::Reference(reference), None)] => matches!(*reference.expr, Expr::Array(_)),
        _ => false,
    }
}

fn path_of(attrs: &[Attribute]) -> Option<String> {
    let attr = attrs.iter().find(|attr| attr.path().is_ident("path"))?;
    let Meta::NameValue(value) = &attr.meta else { return None };
    let Expr::Lit(literal) = &value.value else { return None };
    let syn::Lit::Str(text) = &literal.lit else { return None };
    Some(text.value())
}

fn name_of(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        _ => return None,
    };
    Some(name.to_string())
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
