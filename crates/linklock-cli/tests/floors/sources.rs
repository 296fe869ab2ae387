//! A crate's modules, found by following `mod` from its root on, and the names in each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::names::{Name, ident, is_path_separator, is_punct, path, used};

/// The path of a module in its crate; the root has no words.
pub(crate) type Module = Vec<String>;

/// A name in a source file.
#[derive(Debug)]
pub(crate) struct Mention {
    /// The module in which Rust looks it up: the file's, or one inside the file.
    pub(crate) scope: Module,
    pub(crate) file: PathBuf,
    pub(crate) name: Name,
    pub(crate) is_use: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Crate {
    /// Each module, with the module of its file: another one if it is written inside a file.
    pub(crate) modules: BTreeMap<Module, Module>,
    pub(crate) mentions: Vec<Mention>,
    /// The items that the root itself defines.
    pub(crate) root_items: BTreeSet<String>,
}

type Read<'a> = &'a dyn Fn(&Path) -> Option<String>;

/// The place of tokens.
#[derive(Clone)]
struct At {
    scope: Module,
    /// The module of the file.
    module: Module,
    file: PathBuf,
    /// The directory with the files of child modules.
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
        // The path attribute of the item that begins.
        let (mut next, mut given) = (0, None);
        while next < tokens.len() {
            let here = next;
            next += 1;
            match (&tokens[here], tokens.get(next)) {
                (TokenTree::Punct(punct), Some(TokenTree::Group(group))) if punct.as_char() == '#' => {
                    let attribute = group.stream();
                    let is_test = attribute.to_string().replace(' ', "") == "cfg(test)";
                    next = if is_test { end_of_item(&tokens, next) } else { next + 1 };
                    given = given.or(path_in(attribute.clone())).filter(|_| !is_test);
                    self.tokens(attribute, at, read);
                    continue;
                }
                (TokenTree::Ident(word), follows) if word == "pub" => {
                    // `pub(in crate::a)` needs nothing of that module.
                    next += usize::from(matches!(follows, Some(TokenTree::Group(_))));
                    continue;
                }
                (TokenTree::Ident(word), _) if word == "use" => {
                    let end = tokens[next..].iter().position(|token| is_punct(Some(token), ';'));
                    let end = end.map_or(tokens.len(), |end| next + end);
                    for name in used(&tokens[next..end], &[]) {
                        self.mention(at, name, true);
                    }
                    next = end;
                }
                (TokenTree::Ident(word), Some(TokenTree::Ident(name))) if word == "mod" => {
                    self.module(&name.to_string(), tokens.get(next + 1), given.take(), at, read);
                    next += 2;
                }
                (TokenTree::Ident(_), _) => {
                    let (name, end) = path(&tokens, here);
                    next = end;
                    // After `::` it is the rest of a longer path, as in `Vec::<A>::new`.
                    if name.words.len() > 1 && !(here > 1 && is_path_separator(&tokens, here - 2)) {
                        self.mention(at, name, false);
                    }
                }
                (TokenTree::Group(group), _) => self.tokens(group.stream(), at, read),
                _ => {}
            }
            given = None;
        }
    }

    fn mention(&mut self, at: &At, name: Name, is_use: bool) {
        self.mentions.push(Mention { scope: at.scope.clone(), file: at.file.clone(), name, is_use });
    }

    /// `mod name`, and what comes next: its tokens, or a semicolon.
    fn module(&mut self, name: &str, body: Option<&TokenTree>, given: Option<String>, at: &At, read: Read<'_>) {
        let scope = child(&at.scope, name);
        if let Some(TokenTree::Group(group)) = body {
            self.modules.insert(scope.clone(), at.module.clone());
            let at = At { scope, children: at.children.join(name), ..at.clone() };
            return self.tokens(group.stream(), &at, read);
        }
        let inside = at.children.join(name);
        let (file, children) = if let Some(given) = given {
            let file = at.file.with_file_name(given);
            (file.clone(), file.with_file_name(""))
        } else {
            let flat = inside.with_extension("rs");
            (if read(&flat).is_some() { flat } else { inside.join("mod.rs") }, inside)
        };
        self.file(At { module: scope.clone(), scope, file, children }, read);
    }
}

pub(crate) fn child(of: &Module, name: &str) -> Module {
    of.iter().cloned().chain([name.to_owned()]).collect()
}

/// The text in `path = "text"`.
fn path_in(attribute: TokenStream) -> Option<String> {
    let tokens: Vec<_> = attribute.into_iter().collect();
    tokens.iter().enumerate().find_map(|(at, token)| match token {
        TokenTree::Group(group) => path_in(group.stream()),
        TokenTree::Literal(text) if at > 1 && ident(tokens.get(at - 2)).is_some_and(|word| word == "path") => {
            Some(text.to_string().trim_matches('"').to_owned())
        }
        _ => None,
    })
}

/// The name of the item that these two tokens begin.
fn defined(tokens: &[TokenTree]) -> Option<String> {
    let kinds = ["const", "enum", "fn", "static", "struct", "trait", "type", "union"];
    let is_item = ident(tokens.first()).is_some_and(|word| kinds.iter().any(|kind| word == kind));
    ident(tokens.get(1)).filter(|_| is_item).map(ToString::to_string)
}

/// The index after the semicolon or the braces that end an item.
fn end_of_item(tokens: &[TokenTree], from: usize) -> usize {
    let ends = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        token => is_punct(Some(token), ';'),
    };
    tokens[from..].iter().position(ends).map_or(tokens.len(), |end| from + end + 1)
}
