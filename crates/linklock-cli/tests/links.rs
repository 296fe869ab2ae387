//! No link in the project's documents is dead, and the book has every page. Links to other sites are not followed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use pulldown_cmark::{Event, LinkType, Options, Parser, Tag, TagEnd};

/// What one document links to, and what can be linked to in it.
#[derive(Default)]
struct Document {
    links: Vec<String>,
    anchors: BTreeSet<String>,
}

impl Document {
    fn read(text: &str) -> Self {
        let mut document = Self::default();
        let mut heading: Option<String> = None;
        // A reference that is defined nowhere would be shown as text.
        let undefined = |link: pulldown_cmark::BrokenLink<'_>| match link.link_type {
            LinkType::Reference | LinkType::Collapsed => {
                Some((format!("undefined reference {}", link.reference).into(), "".into()))
            }
            _ => None,
        };
        for event in Parser::new_with_broken_link_callback(text, Options::ENABLE_TABLES, Some(undefined)) {
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => document.add_anchor(&heading.take().expect("it began")),
                Event::Text(text) | Event::Code(text) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&text);
                    }
                }
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    document.links.push(dest_url.into_string());
                }
                _ => {}
            }
        }
        document
    }

    /// The anchor that both mdBook and the sites that host repositories give a heading.
    fn add_anchor(&mut self, heading: &str) {
        let kept = heading.trim().to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let more = (1..).map(|n| format!("{anchor}-{n}"));
        let new = std::iter::once(anchor.clone()).chain(more).find(|new| !self.anchors.contains(new));
        self.anchors.extend(new);
    }
}

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the repository")
}

/// All documents below a directory, by their paths from the root. What is built, or fetched, is not the project's.
fn add_documents(root: &Path, directory: &Path, documents: &mut BTreeMap<PathBuf, Document>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "node_modules" {
                add_documents(root, &path, documents);
            }
        } else if name.ends_with(".md") {
            let text = fs::read_to_string(&path).expect("UTF-8");
            let below = path.strip_prefix(root).expect("below the root").to_owned();
            documents.insert(below, Document::read(&text));
        }
    }
}

fn documents() -> BTreeMap<PathBuf, Document> {
    let mut documents = BTreeMap::new();
    add_documents(&root(), &root(), &mut documents);
    documents
}

/// `path` from `document`'s directory, without `..`: None beyond the root.
fn resolved(document: &Path, path: &str) -> Option<PathBuf> {
    let mut resolved = document.parent()?.to_owned();
    for component in Path::new(path).components() {
        match component {
            Component::ParentDir => {
                if !resolved.pop() {
                    return None;
                }
            }
            Component::Normal(name) => resolved.push(name),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(resolved)
}

/// What is wrong with a link in a document.
fn fault(documents: &BTreeMap<PathBuf, Document>, from: &Path, link: &str) -> Option<&'static str> {
    if link.starts_with("https://") || link.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let Some(target) = (if path.is_empty() { Some(from.to_owned()) } else { resolved(from, path) }) else {
        return Some("leaves the project");
    };
    if !root().join(&target).is_file() {
        return Some("there is no such file");
    }
    let missing = anchor.is_some_and(|anchor| !documents.get(&target).is_some_and(|d| d.anchors.contains(anchor)));
    missing.then_some("there is no such heading")
}

#[test]
fn no_link_is_dead() {
    let documents = documents();
    let links = documents.iter().flat_map(|(from, document)| document.links.iter().map(move |link| (from, link)));
    let dead: Vec<_> = links
        .clone()
        .filter_map(|(from, link)| {
            fault(&documents, from, link).map(|why| format!("{}: {link}: {why}", from.display()))
        })
        .collect();
    assert!(dead.is_empty(), "{}", dead.join("\n"));
    assert!(links.count() > 100, "hardly any link was found");
}

#[test]
fn the_book_has_every_page_once() {
    let documents = documents();
    let summary = Path::new("docs/SUMMARY.md");
    let chapters: Vec<_> = documents[summary].links.iter().filter_map(|link| resolved(summary, link)).collect();
    let listed: BTreeSet<_> = chapters.iter().map(PathBuf::as_path).collect();
    assert_eq!(listed.len(), chapters.len(), "a page is there twice: {chapters:?}");
    let top = |page: &Path| page.parent() == Some(Path::new(""));
    let pages = documents.keys().filter(|page| (top(page) || page.starts_with("docs")) && *page != summary);
    let missing: Vec<_> = pages.filter(|page| !listed.contains(page.as_path())).collect();
    assert!(missing.is_empty(), "docs/SUMMARY.md does not list {missing:?}");
}
