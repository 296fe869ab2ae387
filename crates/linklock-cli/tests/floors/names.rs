//! Paths and use declarations in the tokens of a file.

use proc_macro2::{Delimiter, Ident, TokenTree};

/// A path as it is written: `crate::a::B`, or `*` as its last word.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub(crate) words: Vec<String>,
    /// The name that a use declaration gives to it.
    pub(crate) alias: Option<String>,
    pub(crate) line: usize,
}

pub(crate) fn is_punct(token: Option<&TokenTree>, c: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == c)
}

pub(crate) fn ident(token: Option<&TokenTree>) -> Option<&Ident> {
    if let Some(TokenTree::Ident(ident)) = token { Some(ident) } else { None }
}

/// Whether `::` stands here.
pub(crate) fn is_path_separator(tokens: &[TokenTree], at: usize) -> bool {
    is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':')
}

/// The path that begins at `at`, and the index after it.
pub(crate) fn path(tokens: &[TokenTree], mut at: usize) -> (Name, usize) {
    let mut name = Name { words: Vec::new(), alias: None, line: tokens[at].span().start().line };
    while let Some(word) = ident(tokens.get(at)) {
        name.words.push(word.to_string());
        at += 1;
        if !is_path_separator(tokens, at) || ident(tokens.get(at + 2)).is_none() {
            break;
        }
        at += 2;
    }
    (name, at)
}

/// The names in a use declaration, without `use` and the semicolon.
pub(crate) fn used(tokens: &[TokenTree], before: &[String]) -> Vec<Name> {
    let mut names = Vec::new();
    for tree in tokens.split(|token| is_punct(Some(token), ',')).filter(|tree| !tree.is_empty()) {
        let (mut name, mut at) = path(tree, 0);
        name.words.splice(0..0, before.iter().cloned());
        if is_path_separator(tree, at) {
            at += 2;
        }
        match tree.get(at) {
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                let group: Vec<_> = group.stream().into_iter().collect();
                names.extend(used(&group, &name.words));
                continue;
            }
            Some(star) if is_punct(Some(star), '*') => name.words.push("*".into()),
            // After `as`.
            Some(_) => name.alias = ident(tree.get(at + 1)).map(ToString::to_string),
            None => {}
        }
        if name.words.len() > 1 && name.words.last().is_some_and(|last| last == "self") {
            name.words.pop();
        }
        names.push(name);
    }
    names
}
