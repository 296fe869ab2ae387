//! A crate's modules, found by following `mod` from its root on, and the names in each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::names::{Name, ident, is_punct, path, used};

/// Where a module is in its crate; the root is nowhere.
pub(crate) type Module = Vec<String>;

/// A name, where it was written.
#[derive(Debug)]
pub(crate) struct Mention {
    /// The module in which it is looked up: a file's, or one within it.
    pub(crate) scope: Module,
    pub(crate) file: PathBuf,
    pub(crate) name: Name,
    pub(crate) is_use: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Crate {
    /// The file's module that each module is a part of: itself, but for those that are written within a file.
    pub(crate) modules: BTreeMap<Module, Module>,
    pub(crate) mentions: Vec<Mention>,
    /// What the root itself defines.
    pub(crate) root_items: BTreeSet<String>,
}

type Read<'a> = &'a dyn Fn(&Path) -> Option<String>;

/// Where tokens stand.
#[derive(Clone)]
struct At {
    scope: Module,
    /// The module of the file.
    module: Module,
    file: PathBuf,
    /// Where the files of modules are that are declared here.
    children: PathBuf,
}

impl Crate {
    pub(crate) fn read(root: &Path, read: Read<'_>) -> Self {
        let mut found = Self::default();
        let children = root.parent().unwrap_or(root).to_owned();
        found.file(At { scope: Module::new(), module: Module::new(), file: root.to_owned(), children }, read);
        found
    }

    fn file(&mut self, at: At, read: Read<'_>) {
        let text = read(&at.file).unwrap_or_else(|| panic!("{} cannot be read", at.file.display()));
        let tokens: TokenStream = text.parse().unwrap_or_else(|e| panic!("{}: {e}", at.file.display()));
        if at.scope.is_empty() {
            let tokens: Vec<_> = tokens.clone().into_iter().collect();
            self.root_items.extend(tokens.windows(2).filter_map(defined));
        }
        self.modules.insert(at.scope.clone(), at.module.clone());
        self.tokens(tokens, &at, read);
    }

    fn tokens(&mut self, tokens: TokenStream, at: &At, read: Read<'_>) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let (mut next, mut attributes) = (0, String::new());
        while next < tokens.len() {
            let (here, before) = (next, next.checked_sub(1).and_then(|before| tokens.get(before)));
            next += 1;
            match &tokens[here] {
                TokenTree::Punct(punct) if punct.as_char() == '#' => {
                    if let Some(TokenTree::Group(group)) = tokens.get(next) {
                        attributes += &group.stream().to_string();
                    }
                    continue;
                }
                // An attribute's own tokens: they stay for the item.
                TokenTree::Group(group) if is_punct(before, '#') => {
                    self.tokens(group.stream(), at, read);
                    if attributes.starts_with("cfg (test)") || attributes.contains("]cfg (test)") {
                        next = end_of_item(&tokens, next);
                        attributes.clear();
                    }
                    continue;
                }
                // A visibility names no module that it needs.
                TokenTree::Group(_) if ident(before).is_some_and(|word| word == "pub") => continue,
                TokenTree::Group(group) => self.tokens(group.stream(), at, read),
                TokenTree::Ident(word) if word == "pub" => continue,
                TokenTree::Ident(word) if word == "use" => {
                    next = end_of_item(&tokens, here);
                    let end = (here..next).find(|end| is_punct(tokens.get(*end), ';')).unwrap_or(next);
                    for name in used(&tokens[here + 1..end], &[]) {
                        self.mention(at, name, true);
                    }
                }
                TokenTree::Ident(word) if word == "mod" && ident(tokens.get(next)).is_some() => {
                    self.module(&tokens[next..], &attributes, at, read);
                    next += 2;
                }
                TokenTree::Ident(_) => {
                    let (name, end) = path(&tokens, here);
                    next = end;
                    if name.words.len() > 1 && !is_punct(before, ':') && !is_punct(before, '.') {
                        self.mention(at, name, false);
                    }
                }
                _ => {}
            }
            attributes.clear();
        }
    }

    fn mention(&mut self, at: &At, name: Name, is_use: bool) {
        self.mentions.push(Mention { scope: at.scope.clone(), file: at.file.clone(), name, is_use });
    }

    /// A module's name, and its tokens or a semicolon.
    fn module(&mut self, tokens: &[TokenTree], attributes: &str, at: &At, read: Read<'_>) {
        let name = tokens[0].to_string();
        let scope: Module = at.scope.iter().cloned().chain([name.clone()]).collect();
        match tokens.get(1) {
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                self.modules.insert(scope.clone(), at.module.clone());
                let at = At { scope, children: at.children.join(&name), ..at.clone() };
                self.tokens(group.stream(), &at, read);
            }
            _ => {
                let given = attributes.split("path = \"").nth(1).and_then(|rest| rest.split('"').next());
                let beside = at.file.parent().unwrap_or(Path::new("")).to_owned();
                let (file, children) = match given {
                    Some(given) => (beside.join(given), beside.join(given).parent().unwrap_or(&beside).to_owned()),
                    None => {
                        let inside = at.children.join(&name);
                        let flat = inside.with_extension("rs");
                        (if read(&flat).is_some() { flat } else { inside.join("mod.rs") }, inside)
                    }
                };
                self.file(At { module: scope.clone(), scope, file, children }, read);
            }
        }
    }
}

/// The name of the item that these two tokens begin.
fn defined(tokens: &[TokenTree]) -> Option<String> {
    let kinds = ["const", "enum", "fn", "static", "struct", "trait", "type", "union"];
    let is_item = ident(tokens.first()).is_some_and(|word| kinds.iter().any(|kind| word == kind));
    ident(tokens.get(1)).filter(|_| is_item).map(ToString::to_string)
}

/// Behind the semicolon or the braces that end an item.
fn end_of_item(tokens: &[TokenTree], from: usize) -> usize {
    let is_use = (from..tokens.len()).find_map(|at| ident(tokens.get(at))).is_some_and(|word| word == "use");
    let ends = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace && !is_use,
        token => is_punct(Some(token), ';'),
    };
    tokens[from..].iter().position(ends).map_or(tokens.len(), |end| from + end + 1)
}
