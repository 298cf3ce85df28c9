//! Assertions whose first line says what is wrong, however much there is to compare.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::path::Path;

/// The most findings that a message lists.
const LISTED: usize = 20;

/// Fails if there are findings. The first line has their number, their kind and the first one.
#[track_caller]
pub fn none<T: Display>(kind: &str, found: &[T]) {
    let Some(first) = found.first() else { return };
    let rest: String = found.iter().take(LISTED).skip(1).map(|finding| format!("\n{finding}")).collect();
    let more = if found.len() > LISTED { "\n…" } else { "" };
    panic!("{} {kind}: {first}{rest}{more}", found.len());
}

/// The entries below a folder that are `wanted`: the content of files, the kind of everything else.
pub fn files(root: &Path, wanted: impl Fn(&str) -> bool) -> BTreeMap<String, Vec<u8>> {
    let entries = walkdir::WalkDir::new(root).into_iter().map(Result::unwrap);
    let named = entries.map(|entry| (entry.path().strip_prefix(root).unwrap().display().to_string(), entry));
    let content = |entry: &walkdir::DirEntry| match entry.file_type() {
        kind if kind.is_file() => fs::read(entry.path()).unwrap(),
        kind => format!("{kind:?}").into_bytes(),
    };
    named.filter(|(name, _)| wanted(name)).map(|(name, entry)| (name, content(&entry))).collect()
}

/// Fails if files have changed, appeared or vanished. The first line names the first of them and the `cause`.
#[track_caller]
pub fn same_files(before: &BTreeMap<String, Vec<u8>>, now: &BTreeMap<String, Vec<u8>>, cause: &str) {
    let shown = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).escape_debug().to_string();
    let gone = before.iter().filter(|(name, _)| !now.contains_key(*name)).map(|(name, _)| format!("{name} is gone"));
    let other = now.iter().filter_map(|(name, bytes)| match before.get(name) {
        Some(old) if old == bytes => None,
        Some(old) => Some(format!("{name} was changed from `{}` to `{}`", shown(old), shown(bytes))),
        None => Some(format!("{name} is new: `{}`", shown(bytes))),
    });
    none(&format!("files are not as before ({cause})"), &gone.chain(other).collect::<Vec<_>>());
}
