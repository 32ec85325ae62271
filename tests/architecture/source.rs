//! Rust sources as the architecture sees them: which paths a file names, and which texts it contains. Comments do not
//! count, and neither does what only tests compile.

use std::path::{Path, PathBuf};

use crate::tokens::{Token, tokens};

/// One file of the crate.
pub struct Source {
    /// From the repository's root: `src/model/hub.rs`.
    pub file: String,
    /// The module that it is: `["model", "hub"]`; empty for the crate's root.
    pub module: Vec<String>,
    /// Every path that it names, written out in full: `["crate", "model", "hub"]`, `["std", "fs", "read"]`. A name that
    /// was brought into scope by `use` counts where it was brought in.
    pub names: Vec<Vec<String>>,
    /// Every string literal.
    pub texts: Vec<String>,
}

impl Source {
    /// What the file names of this, as `std::fs` or `crate::model`.
    pub fn below<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a Vec<String>> {
        self.names.iter().filter(move |name| is_below(name, path))
    }
}

/// Whether a name is this path or something in it.
pub fn is_below(name: &[String], path: &str) -> bool {
    let mut names = name.iter();
    path.split("::").all(|part| names.next().is_some_and(|own| own == part))
}

/// All files below `folder` ("src"), without the modules that only tests compile.
pub fn read(repository: &Path, folder: &str) -> Vec<Source> {
    let mut files = Vec::new();
    collect(&repository.join(folder), &mut files);
    files.sort();
    let modules: Vec<Vec<String>> =
        files.iter().map(|file| module(file.strip_prefix(repository.join(folder)).unwrap())).collect();
    let parsed: Vec<Parsed> =
        files.iter().map(|file| parse(&std::fs::read_to_string(file).unwrap())).collect();
    let tests: Vec<Vec<String>> = (modules.iter().zip(&parsed))
        .flat_map(|(module, parsed)| parsed.test_modules.iter().map(|name| child(module, name)))
        .collect();
    let is_test = |module: &Vec<String>| tests.iter().any(|test| module.starts_with(test));
    let mut sources = Vec::new();
    for ((file, module), parsed) in files.iter().zip(&modules).zip(parsed) {
        if is_test(module) {
            continue;
        }
        let names = parsed.paths.into_iter().filter_map(|path| in_full(path, module, &modules)).collect();
        let file = file.strip_prefix(repository).unwrap().to_str().unwrap().to_owned();
        sources.push(Source { file, module: module.clone(), names, texts: parsed.texts });
    }
    sources
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn module(file: &Path) -> Vec<String> {
    let path = file.with_extension("");
    let names = path.iter().map(|name| name.to_str().unwrap().to_owned());
    names.filter(|name| name != "lib" && name != "mod").collect()
}

fn child(module: &[String], name: &str) -> Vec<String> {
    [module, &[name.to_owned()]].concat()
}

/// A path as it is written, seen from the crate's root; `None` for a local name.
fn in_full(path: Vec<String>, module: &[String], modules: &[Vec<String>]) -> Option<Vec<String>> {
    let inside = |base: &[String], rest: &[String]| Some([&["crate".to_owned()][..], base, rest].concat());
    match path[0].as_str() {
        "crate" => Some(path),
        "self" => inside(module, &path[1..]),
        "super" => {
            let up = path.iter().take_while(|name| *name == "super").count();
            inside(&module[..module.len().saturating_sub(up)], &path[up..])
        }
        first if modules.contains(&child(module, first)) => inside(module, &path),
        _ => Some(path),
    }
}

/// What stands in a file.
struct Parsed {
    paths: Vec<Vec<String>>,
    texts: Vec<String>,
    /// Modules in files of their own that only tests compile.
    test_modules: Vec<String>,
}

fn parse(text: &str) -> Parsed {
    let mut parsed = Parsed { paths: Vec::new(), texts: Vec::new(), test_modules: Vec::new() };
    let tokens = tokens(text);
    let mut rest = &tokens[..];
    while let Some(token) = rest.first() {
        if let Some(item) = behind(rest, &["#", "[", "cfg", "(", "test", ")", "]"]) {
            rest = skip_test_item(item, &mut parsed.test_modules);
        } else if token.is("use") {
            rest = use_tree(&rest[1..], &[], &mut parsed.paths);
        } else if let Token::Name(_) = token {
            rest = path(rest, &mut parsed.paths);
        } else {
            if let Token::Text(text) = token {
                parsed.texts.push(text.clone());
            }
            rest = &rest[1..];
        }
    }
    parsed
}

fn behind<'a>(tokens: &'a [Token], expected: &[&str]) -> Option<&'a [Token]> {
    let fits =
        tokens.len() >= expected.len() && tokens.iter().zip(expected).all(|(token, text)| token.is(text));
    fits.then(|| &tokens[expected.len()..])
}

/// An item ends with its closing brace or a semicolon.
fn skip_test_item<'a>(tokens: &'a [Token], test_modules: &mut Vec<String>) -> &'a [Token] {
    if let [first, Token::Name(name), end, ..] = tokens
        && first.is("mod")
        && end.is(";")
    {
        test_modules.push(name.clone());
    }
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate() {
        if ["{", "(", "["].iter().any(|open| token.is(open)) {
            depth += 1;
        } else if ["}", ")", "]"].iter().any(|close| token.is(close)) {
            depth -= 1;
        }
        if depth == 0 && (token.is("}") || token.is(";")) {
            return &tokens[index + 1..];
        }
    }
    &[]
}

/// Takes `a::b` or `a::{b, c::d}` and adds what it names; returns what stands behind it.
fn use_tree<'a>(tokens: &'a [Token], prefix: &[String], paths: &mut Vec<Vec<String>>) -> &'a [Token] {
    let mut path = prefix.to_vec();
    let mut rest = tokens;
    while let Some((token, behind)) = rest.split_first() {
        rest = behind;
        match token {
            Token::Name(name) if name == "as" => {
                rest = &rest[1..]; // the new name
                break;
            }
            Token::Name(name) => path.push(name.clone()),
            token if token.is("{") => {
                while !rest[0].is("}") {
                    rest = use_tree(rest, &path, paths);
                    if rest[0].is(",") {
                        rest = &rest[1..];
                    }
                }
                return &rest[1..];
            }
            token if token.is("::") || token.is("*") => {}
            _ => {
                rest = &tokens[tokens.len() - rest.len() - 1..];
                break;
            }
        }
    }
    // It is empty in a type: `impl Future + use<>`.
    if !path.is_empty() {
        paths.push(path);
    }
    rest
}

/// Takes a name and what follows it by `::`; a path has at least two names.
fn path<'a>(tokens: &'a [Token], paths: &mut Vec<Vec<String>>) -> &'a [Token] {
    let mut names = Vec::new();
    let mut rest = tokens;
    while let [Token::Name(name), behind @ ..] = rest {
        names.push(name.clone());
        match behind {
            [colons, Token::Name(_), ..] if colons.is("::") => rest = &behind[1..],
            _ => {
                rest = behind;
                break;
            }
        }
    }
    if names.len() > 1 {
        paths.push(names);
    }
    rest
}
