//! Circles of modules: files of which each names the other, directly or through further ones.
//!
//! A module and those inside it are one here: it is no circle that a file uses what its parent declares.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::Source;

type Graph = BTreeMap<String, BTreeSet<String>>;

/// The circles, each as its sorted modules: `model::hub::listing`.
pub fn circles(sources: &[Source]) -> BTreeSet<Vec<String>> {
    let graph = graph(sources);
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        graph.keys().map(|module| (module, reachable(&graph, module))).collect();
    let circle = |module: &String| -> Vec<String> {
        let back = |other: &&&String| reached[**other].contains(module);
        reached[module].iter().filter(back).map(|&other| other.clone()).collect()
    };
    graph.keys().map(circle).filter(|circle| !circle.is_empty()).collect()
}

/// Which module names which, those that lie one in the other left out.
fn graph(sources: &[Source]) -> Graph {
    let modules: BTreeMap<&[String], &Source> =
        sources.iter().map(|source| (&source.module[..], source)).collect();
    let mut graph = Graph::new();
    for source in sources {
        let named = source.names.iter().filter_map(|name| home(name, &modules));
        let beside =
            |other: &&[String]| !other.starts_with(&source.module) && !source.module.starts_with(other);
        let named = named.filter(beside).map(|module| module.join("::"));
        graph.entry(source.module.join("::")).or_default().extend(named);
    }
    graph
}

/// The module that a name comes from: behind `crate::episode::Sampler` stands `crate::episode::sampler`.
fn home<'a>(name: &'a [String], modules: &BTreeMap<&[String], &'a Source>) -> Option<&'a [String]> {
    let path = name.strip_prefix(&["crate".to_owned()])?;
    let length = (1..=path.len()).rev().find(|length| modules.contains_key(&path[..*length]))?;
    let module = &path[..length];
    let Some(item) = path.get(length) else { return Some(module) };
    let brought =
        modules[module].names.iter().filter(|other| other.last() == Some(item) && other.len() > name.len());
    let inside =
        brought.filter(|other| other[1..].starts_with(module)).find_map(|other| home(other, modules));
    Some(inside.unwrap_or(module))
}

/// Every module that one names, and that those name in turn.
fn reachable<'a>(graph: &'a Graph, from: &String) -> BTreeSet<&'a String> {
    let mut seen = BTreeSet::new();
    let mut waiting: Vec<&String> = graph[from].iter().collect();
    while let Some(module) = waiting.pop() {
        if seen.insert(module) {
            waiting.extend(&graph[module]);
        }
    }
    seen
}
