//! The program's own source as text: which module a file belongs to, and which other modules it uses.
//!
//! It is read as rustfmt leaves it, which makes a parser unnecessary: an item ends at a closing brace that stands as far
//! to the right as the item began.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// One file.
#[derive(Debug)]
pub(crate) struct Source {
    /// From the crate's root.
    pub(crate) path: PathBuf,
    /// Its text; without comments and tests, if it is from [`shipped`].
    pub(crate) text: String,
}

/// Every file of the library, the program and these tests, as they are.
pub(crate) fn all() -> Vec<Source> {
    let mut found = Vec::new();
    collect(Path::new("src"), &mut found);
    collect(Path::new("tests/it"), &mut found);
    assert!(found.len() > 50, "only {} files were found", found.len());
    found
}

/// What is compiled into the program, without comments.
pub(crate) fn shipped() -> Vec<Source> {
    let (mut kept, mut test_modules) = (Vec::new(), BTreeSet::new());
    for source in all().into_iter().filter(|source| source.path.starts_with("src")) {
        let text = without_tests(&source, &mut test_modules);
        kept.push(Source { text, ..source });
    }
    assert!(test_modules.len() > 2, "only {test_modules:?} were found");
    kept.retain(|source| !test_modules.iter().any(|module| source.path.with_extension("").starts_with(module)));
    kept
}

fn collect(folder: &Path, found: &mut Vec<Source>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for entry in fs::read_dir(root.join(folder)).expect("a folder of sources") {
        let path = folder.join(entry.expect("an entry").file_name());
        if root.join(&path).is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(root.join(&path)).expect("a source");
            found.push(Source { path, text });
        }
    }
}

/// The text without comments and without items that only tests have; their modules go to `test_modules`, as paths.
fn without_tests(source: &Source, test_modules: &mut BTreeSet<PathBuf>) -> String {
    let mut kept = String::new();
    let mut lines = source.text.lines().filter(|line| !line.trim_start().starts_with("//"));
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            kept.push_str(line.split(" // ").next().unwrap_or_default());
            kept.push('\n');
            continue;
        }
        let item = lines.by_ref().find(|line| !line.trim_start().starts_with("#[")).unwrap_or_default();
        if item.ends_with('{') {
            let end = format!("{}}}", &item[..item.len() - item.trim_start().len()]);
            lines.by_ref().find(|line| line.trim_end_matches(',') == end);
        }
        let module = item.trim().strip_suffix(';').and_then(|item| item.split_once("mod "));
        if let Some((_, module)) = module {
            test_modules.insert(source.children().join(module));
        }
    }
    kept
}

impl Source {
    /// The top module that it belongs to; none for the crate's roots.
    pub(crate) fn module(&self) -> Option<&str> {
        let top = self.path.components().nth(1)?.as_os_str().to_str()?;
        let top = top.strip_suffix(".rs").unwrap_or(top);
        (top != "lib" && top != "main").then_some(top)
    }

    /// The top modules that it names: after `crate::`, or after as many `super::` as lead to the root.
    pub(crate) fn uses(&self) -> BTreeSet<String> {
        let up = "super::".repeat(self.depth());
        let mut used = BTreeSet::new();
        for start in ["crate::", up.as_str()].into_iter().filter(|start| !start.is_empty()) {
            for (at, _) in self.text.match_indices(start) {
                used.extend(heads(&self.text[at + start.len()..]));
            }
        }
        used
    }

    /// Where its child modules lie.
    fn children(&self) -> PathBuf {
        let folder = self.path.parent().expect("a file lies in a folder");
        match self.path.file_stem().and_then(|stem| stem.to_str()) {
            Some("mod" | "lib" | "main") | None => folder.to_owned(),
            Some(stem) => folder.join(stem),
        }
    }

    /// How many `super::` lead from here to the root.
    fn depth(&self) -> usize {
        self.children().components().count() - 1
    }
}

/// The first names of what follows `crate::`: one, or those in braces.
fn heads(rest: &str) -> Vec<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(list) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let mut depth = 0;
    let mut heads = vec![String::new()];
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(String::new()),
            c => {
                if let Some(head) = heads.last_mut().filter(|_| depth == 0) {
                    head.push(c);
                }
            }
        }
    }
    heads.iter().map(|head| name(head.trim())).filter(|head| !head.is_empty()).collect()
}

#[test]
fn uses_are_found_in_every_form() {
    let source = |text: &str| Source { path: PathBuf::from("src/a/b.rs"), text: text.to_owned() };
    for (text, expected) in [
        ("use crate::model::Access;", &["model"][..]),
        ("use crate::{model::{Access, Alert}, trail, store::Ledger};", &["model", "store", "trail"]),
        ("fn f(x: &crate::detect::Rule) {}", &["detect"]),
        ("use super::super::cli::Exit;", &["cli"]),
        ("use super::c::D;", &[]),
        ("// crate::model\n/// [`X`](crate::cli)\nuse std::fmt;", &[]),
        ("#[cfg(test)]\nmod tests {\n    use crate::cli;\n}\nuse crate::aws;", &["aws"]),
        ("#[cfg(test)]\npub(super) mod tests;\nuse crate::aws;", &["aws"]),
    ] {
        let source = source(text);
        let bare = Source { text: without_tests(&source, &mut BTreeSet::new()), ..source };
        let expected: BTreeSet<String> = expected.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(bare.uses(), expected, "{text}");
    }
}
