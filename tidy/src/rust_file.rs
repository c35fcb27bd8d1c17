//! One Rust source, as far as the rules look into it: its tokens with their lines, its functions,
//! its modules, and which of its lines are tests. Tokens, not text: what stands in a comment or a
//! string is not code.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{
    Attribute, Block, Expr, ExprLit, ImplItemFn, ItemFn, ItemMod, Lit, Meta, Signature, StmtMacro,
    TraitItemFn,
};

/// A source that parses.
#[derive(Debug)]
pub struct RustFile {
    /// From the root of the repository.
    pub path: String,
    /// As it is.
    pub text: String,
    /// All tokens but doc comments, in order. Delimiters are tokens of their own.
    pub tokens: Vec<Token>,
    /// All functions with a body.
    pub functions: Vec<Function>,
    /// Modules that live in files of their own.
    pub modules: Vec<Module>,
    /// The lines of statements that are nothing but `matches!(..)`: an assertion that cannot fail.
    pub bare_matches: Vec<usize>,
    /// Whether only tests mount it.
    pub mounted_by_test: bool,
    tests: Vec<RangeInclusive<usize>>,
    tables: Vec<RangeInclusive<usize>>,
}

/// A token as it is written, and its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// As it is written.
    pub text: String,
    /// The line it begins on, from 1.
    pub line: usize,
    last_line: usize,
}

/// A function with a body.
#[derive(Debug)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// From `fn` to the closing brace.
    pub lines: RangeInclusive<usize>,
}

/// `mod name;`
#[derive(Debug)]
pub struct Module {
    /// The names of inline modules around it, then its own.
    pub name: String,
    /// What `#[path = ..]` says.
    pub path: Option<String>,
    /// Whether only tests have it: `#[cfg(test)]`.
    pub is_test: bool,
}

impl RustFile {
    /// Reads a source.
    ///
    /// # Errors
    /// If it is no Rust.
    pub fn parse(path: &str, text: &str) -> syn::Result<Self> {
        let mut tokens = Vec::new();
        flatten(text.parse()?, &mut tokens);
        let mut finder = Finder::default();
        finder.visit_file(&syn::parse_file(text)?);
        Ok(Self {
            path: path.to_owned(),
            text: text.to_owned(),
            tables: tables(&tokens),
            tokens,
            functions: finder.functions,
            modules: finder.modules,
            bare_matches: finder.bare_matches,
            mounted_by_test: false,
            tests: finder.tests,
        })
    }

    /// Whether this line is a test's: anything below a `tests` directory or behind `cfg(test)`.
    #[must_use]
    pub fn is_test(&self, line: usize) -> bool {
        self.mounted_by_test
            || self.path.split('/').any(|part| part == "tests")
            || self.tests.iter().any(|range| range.contains(&line))
    }

    /// Where the file of one of its modules may be.
    #[must_use]
    pub fn places(&self, module: &Module) -> Vec<String> {
        let (dir, own) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        if let Some(path) = &module.path {
            return vec![format!("{dir}/{path}")];
        }
        let stem = own.strip_suffix(".rs").unwrap_or(own);
        let above = ["/tests", "/benches", "/examples", "/src/bin"];
        let owns_dir =
            matches!(stem, "mod" | "lib" | "main") || above.iter().any(|it| dir.ends_with(it));
        let base = if owns_dir {
            dir.to_owned()
        } else {
            format!("{dir}/{stem}")
        };
        let name = &module.name;
        vec![format!("{base}/{name}.rs"), format!("{base}/{name}/mod.rs")]
    }

    /// How many of these lines hold code: not blank, no comment, and in a test no row of a table
    /// of cases, which is data.
    #[must_use]
    pub fn code_lines(&self, counts: impl Fn(usize) -> bool) -> usize {
        let is_row = |line| self.tables.iter().any(|range| range.contains(&line));
        let counts = |line| counts(line) && !(self.is_test(line) && is_row(line));
        let lines = self
            .tokens
            .iter()
            .flat_map(|token| token.line..=token.last_line);
        lines
            .filter(|line| counts(*line))
            .collect::<BTreeSet<_>>()
            .len()
    }

    /// The lines on which these tokens follow each other.
    pub fn find<'a>(&'a self, sequence: &'a [&str]) -> impl Iterator<Item = usize> + 'a {
        self.tokens
            .windows(sequence.len())
            .filter(move |window| {
                window
                    .iter()
                    .zip(sequence)
                    .all(|(token, text)| token.text == *text)
            })
            .map(|window| window[0].line)
    }
}

/// The lines between the brackets of array and `vec!` literals.
fn tables(tokens: &[Token]) -> Vec<RangeInclusive<usize>> {
    let (mut tables, mut open) = (Vec::new(), Vec::new());
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "[" => open.push((token.line, is_literal(&tokens[..at]))),
            "]" => {
                if let Some((line, true)) = open.pop() {
                    tables.push(line + 1..=token.line.saturating_sub(1));
                }
            }
            _ => {}
        }
    }
    tables
}

/// Whether a bracket after these tokens begins an array, rather than an index or an attribute.
fn is_literal(before: &[Token]) -> bool {
    match before {
        [.., name, bang] if bang.text == "!" => name.text == "vec",
        [.., last] => {
            ["=", "(", ",", "&", "{", "[", ";", "in", "return"].contains(&last.text.as_str())
        }
        [] => false,
    }
}

fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    let trees: Vec<TokenTree> = stream.into_iter().collect();
    let mut rest = trees.as_slice();
    while let [tree, after @ ..] = rest {
        rest = match without_doc(rest) {
            Some(after_doc) => after_doc,
            None => {
                push(tree, tokens);
                after
            }
        };
    }
}

fn push(tree: &TokenTree, tokens: &mut Vec<Token>) {
    let mut token = |text: &str, span: proc_macro2::Span| {
        tokens.push(Token {
            text: text.to_owned(),
            line: span.start().line,
            last_line: span.end().line,
        });
    };
    let TokenTree::Group(group) = tree else {
        return token(&tree.to_string(), tree.span());
    };
    let (open, close) = match group.delimiter() {
        Delimiter::Parenthesis => ("(", ")"),
        Delimiter::Brace => ("{", "}"),
        Delimiter::Bracket => ("[", "]"),
        Delimiter::None => return flatten(group.stream(), tokens),
    };
    token(open, group.span_open());
    flatten(group.stream(), tokens);
    let span = group.span_close();
    tokens.push(Token {
        text: close.to_owned(),
        line: span.start().line,
        last_line: span.end().line,
    });
}

/// What follows a doc comment (`#[doc = "..."]` or `#![doc = "..."]` by now), if one is next.
fn without_doc(trees: &[TokenTree]) -> Option<&[TokenTree]> {
    let is =
        |tree: &TokenTree, char| matches!(tree, TokenTree::Punct(punct) if punct.as_char() == char);
    let [hash, rest @ ..] = trees else {
        return None;
    };
    let rest = match rest {
        [bang, rest @ ..] if is(bang, '!') => rest,
        rest => rest,
    };
    let [TokenTree::Group(group), rest @ ..] = rest else {
        return None;
    };
    let mut inner = group.stream().into_iter();
    let doc = matches!(inner.next(), Some(TokenTree::Ident(name)) if name == "doc");
    (is(hash, '#') && doc && group.delimiter() == Delimiter::Bracket).then_some(rest)
}

#[derive(Default)]
struct Finder {
    functions: Vec<Function>,
    modules: Vec<Module>,
    bare_matches: Vec<usize>,
    tests: Vec<RangeInclusive<usize>>,
    /// Inline modules around the present place.
    around: Vec<String>,
}

impl Finder {
    fn function(&mut self, attrs: &[Attribute], signature: &Signature, block: &Block) {
        let first = signature.fn_token.span.start().line;
        let lines = first..=block.brace_token.span.close().end().line;
        if attrs.iter().any(is_test) {
            self.tests.push(lines.clone());
        }
        self.functions.push(Function {
            name: signature.ident.to_string(),
            lines,
        });
    }
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.function(&item.attrs, &item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.function(&item.attrs, &item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.attrs, &item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        let Some((braces, _)) = &item.content else {
            let around = self.around.iter().cloned();
            let names: Vec<String> = around.chain([item.ident.to_string()]).collect();
            self.modules.push(Module {
                name: names.join("/"),
                path: item.attrs.iter().find_map(path_of),
                is_test: item.attrs.iter().any(is_test),
            });
            return;
        };
        if let Some(attribute) = item.attrs.iter().find(|it| is_test(it)) {
            let first = attribute.pound_token.span.start().line;
            self.tests.push(first..=braces.span.close().end().line);
        }
        self.around.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.around.pop();
    }

    fn visit_stmt_macro(&mut self, statement: &'ast StmtMacro) {
        if statement.semi_token.is_some()
            && let Some(name) = statement.mac.path.segments.last()
            && name.ident == "matches"
        {
            self.bare_matches.push(name.ident.span().start().line);
        }
        visit::visit_stmt_macro(self, statement);
    }
}

/// `#[test]`, `#[tokio::test]`, `#[cfg(test)]`, `#[cfg(all(test, ..))]`.
fn is_test(attribute: &Attribute) -> bool {
    let path = attribute.path();
    if path
        .segments
        .last()
        .is_some_and(|last| last.ident == "test")
    {
        return true;
    }
    let Meta::List(list) = &attribute.meta else {
        return false;
    };
    let mut words = Vec::new();
    flatten(list.tokens.clone(), &mut words);
    let words: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    path.is_ident("cfg") && words.contains(&"test") && !words.contains(&"not")
}

fn path_of(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else {
        return None;
    };
    let Expr::Lit(ExprLit {
        lit: Lit::Str(text),
        ..
    }) = &pair.value
    else {
        return None;
    };
    pair.path.is_ident("path").then(|| text.value())
}
