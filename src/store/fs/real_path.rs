//! The real path of a name, without links that agents may have made.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// The most links in one path, as in the kernel.
const MAX_LINKS: usize = 40;

/// `path`, which is absolute, with links resolved; missing parts stay as they are. `None` if a link lies in one of the
/// folders `closed` (real paths) or in a folder below, or there are too many links.
///
/// The answer holds for this moment: it has to be opened without following links (`RESOLVE_NO_SYMLINKS`), so that a link
/// made since then is refused.
#[must_use]
pub fn real_path(path: &Path, closed: &[PathBuf]) -> Option<PathBuf> {
    let mut parts: VecDeque<OsString> = split(path).collect();
    let (mut real, mut links) = (PathBuf::from("/"), 0);
    while let Some(part) = parts.pop_front() {
        if part == ".." {
            real.pop();
            continue;
        }
        let next = real.join(&part);
        match fs::read_link(&next) {
            Ok(target) => {
                links += 1;
                if links > MAX_LINKS || closed.iter().any(|closed| real.starts_with(closed)) {
                    return None;
                }
                if target.is_absolute() {
                    real = PathBuf::from("/");
                }
                for part in split(&target).collect::<Vec<_>>().into_iter().rev() {
                    parts.push_front(part);
                }
            }
            // Not a link, or missing, or unreadable: the kernel reports that to whoever opens the path.
            Err(_) => real = next,
        }
    }
    Some(real)
}

/// The names of a path and its `..`.
fn split(path: &Path) -> impl Iterator<Item = OsString> {
    let is_name = |part: &Component| matches!(part, Component::Normal(_) | Component::ParentDir);
    path.components().filter(is_name).map(|part| part.as_os_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_resolved_except_in_closed_folders() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        for name in ["a/b", "c", "d/e"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        symlink("../c", root.join("a/rel")).unwrap();
        symlink(root.join("d"), root.join("abs")).unwrap();
        symlink("abs/e/../e", root.join("twice")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        symlink("gone", root.join("dangling")).unwrap();
        let real = |name: &str, closed: &[&str]| {
            let closed: Vec<PathBuf> = closed.iter().map(|name| root.join(name)).collect();
            let real = real_path(&root.join(name), &closed)?;
            Some(real.strip_prefix(&root).map_or(real.clone(), Path::to_path_buf).display().to_string())
        };
        for (name, to) in
            [("a/b", "a/b"), ("a/./b/../rel/x", "c/x"), ("twice", "d/e"), ("dangling/x", "gone/x"), ("new/x", "new/x")]
        {
            assert_eq!(real(name, &["c", "a/b"]).as_deref(), Some(to), "{name}");
        }
        assert_eq!(real("loop", &[]), None);
        assert_eq!(real("a/rel", &["a"]), None, "in the folder itself");
        assert_eq!(real("a/rel/x", &["a"]), None, "above the last part");
        assert_eq!(real("a/b", &["a"]).as_deref(), Some("a/b"));
        assert_eq!(real("twice", &[""]), None, "everything is closed");
    }
}
