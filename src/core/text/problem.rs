//! Problems in files that the owner writes: path, line, column, and the way out. An unknown key in settings is a
//! warning; it never stops the program.

use crate::core::fault::Fault;
use crate::core::text::{keys, yaml};
use serde::de::DeserializeOwned;
use std::cell::OnceCell;
use std::fmt;

/// The largest settings file, in bytes.
const MAX: usize = 64 << 10;
/// The most warnings about one file.
const MAX_WARNINGS: usize = 50;

/// One problem in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, relative to the workspace.
    pub path: String,
    /// Line and column from 1, if known.
    pub at: Option<(usize, usize)>,
    /// The problem, and the way out if there is one.
    pub message: String,
    /// A warning does not stop the program.
    pub is_warning: bool,
}

impl Problem {
    /// An error in `path`.
    #[must_use]
    pub fn error(path: &str, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), at: None, message: message.into(), is_warning: false }
    }

    /// A warning about `path`.
    #[must_use]
    pub fn warning(path: &str, message: impl Into<String>) -> Self {
        Self { is_warning: true, ..Self::error(path, message) }
    }

    /// The same problem at this line and column.
    #[must_use]
    pub fn at(mut self, at: Option<(usize, usize)>) -> Self {
        self.at = at;
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        if let Some((line, column)) = self.at {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}{}", if self.is_warning { "warning: " } else { "" }, self.message)
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self::config(problem.to_string())
    }
}

/// Reads `yaml`, which starts at line `first_line` of `path`. Returns the value and a warning for
/// every key that `T` does not have.
///
/// # Errors
/// A problem with line and column where the text is not YAML or a value has the wrong type.
pub fn read<T: DeserializeOwned + Default>(
    path: &str,
    yaml: &str,
    first_line: usize,
) -> Result<(T, Vec<Problem>), Problem> {
    if yaml.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with('#')) {
        return Ok((T::default(), Vec::new()));
    }
    let yaml = yaml.strip_prefix('\u{feff}').unwrap_or(yaml);
    yaml::check(yaml, MAX).map_err(|why| Problem::error(path, format!("it {why}")))?;
    let placed = |line: usize, column: usize| Some((line + first_line - 1, column));
    if let Some(key) = yaml::repeated_key(yaml) {
        let message = format!("the key `{}` is there twice; keep one of them", key.name);
        return Err(Problem::error(path, message).at(placed(key.line, key.column)));
    }
    if let Some(number) = yaml::decimal_comma(yaml) {
        let message = format!("`{}` is two values: write `{}`", number, number.replace(',', "."));
        let at = yaml.lines().enumerate().find_map(|(line, text)| Some((line + 1, text.find(&number)? + 1)));
        return Err(Problem::error(path, message).at(at.and_then(|(line, column)| placed(line, column))));
    }
    let (mut warnings, known) = (Vec::new(), OnceCell::new());
    let source = serde_yaml::Deserializer::from_str(yaml);
    let value = serde_ignored::deserialize(source, |key| {
        // An optional value is `?` in the path.
        let key = key.to_string().replace(".?", "");
        let name = key.rsplit('.').next().unwrap_or(&key);
        let mut message = format!("unknown key `{key}`");
        if let Some(near) = nearest(name, known.get_or_init(keys::of::<T>).iter().copied()) {
            message = format!("{message}, did you mean `{near}`?");
        }
        // The limit bounds the time: the search for each key reads the whole file.
        if warnings.len() == MAX_WARNINGS {
            return;
        }
        let at = locate(yaml, &key).map(|(line, column)| (line + first_line - 1, column));
        warnings.push(Problem::warning(path, message).at(at));
    });
    match value {
        Ok(value) => Ok((value, warnings)),
        Err(error) => {
            let at = error.location().map(|l| (l.line() + first_line - 1, l.column()));
            let text = error.to_string();
            let text = text.split(" at line ").next().unwrap_or(&text).to_owned();
            Err(Problem::error(path, text).at(at))
        }
    }
}

/// The word among `words` that is most similar to `typed`; `None` where none is close (Jaro-Winkler up to 0.8).
#[must_use]
pub fn nearest<'a>(typed: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    words
        .map(|word| (strsim::jaro_winkler(typed, word), word))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, word)| word)
}

/// Line and column of the key path `a.b.c` in `yaml`; each key is searched after the one before.
#[must_use]
pub fn locate(yaml: &str, path: &str) -> Option<(usize, usize)> {
    let mut found = None;
    let mut from = 0;
    for key in path.split('.').filter(|k| *k != "?" && k.parse::<usize>().is_err()) {
        for (number, line) in yaml.lines().enumerate().skip(from) {
            let column = line.find(key).filter(|at| {
                let before = line[..*at].trim_end();
                let after = line[at + key.len()..].trim_start_matches(['"', '\'']).trim_start();
                let opens = before.is_empty() || before.ends_with(['{', ',', '-', '"', '\'']);
                after.starts_with(':') && opens
            });
            if let Some(column) = column {
                found = Some((number + 1, column + 1));
                from = number;
                break;
            }
        }
    }
    found
}

/// Line and column of the `n`th item (from 0) of the list under `list` in `yaml`: the place of its `key`, which every
/// item has.
#[must_use]
pub fn locate_item(yaml: &str, list: &str, key: &str, n: usize) -> Option<(usize, usize)> {
    let (begin, _) = locate(yaml, list)?;
    let lines = yaml.lines().enumerate().skip(begin - 1).filter(|(_, line)| !line.trim_start().starts_with('#'));
    let found = lines.flat_map(|(number, line)| {
        let opens = |at: usize| {
            let before = line[..at].trim_end();
            let after = line[at + key.len()..].trim_start_matches(['"', '\'']).trim_start();
            after.starts_with(':') && (before.is_empty() || before.ends_with(['{', ',', '-', '"', '\'']))
        };
        line.match_indices(key).filter(move |(at, _)| opens(*at)).map(move |(at, _)| (number + 1, at + 1))
    });
    found.into_iter().nth(n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Settings {
        model: String,
        nested: BTreeMap<String, Inner>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Inner {
        size: u32,
    }

    #[test]
    fn unknown_key_is_a_warning_with_its_place_and_a_suggestion() {
        let (value, warnings) =
            read::<Settings>("claw.yaml", "model: x\nmodle: y\nnested:\n  a:\n    sise: 1\n", 1).unwrap();
        assert_eq!(value.model, "x");
        let shown: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "claw.yaml:2:1: warning: unknown key `modle`, did you mean `model`?",
                "claw.yaml:5:5: warning: unknown key `nested.a.sise`, did you mean `size`?",
            ]
        );
    }

    #[test]
    fn wrong_type_is_an_error_with_its_place() {
        let error = read::<Settings>("a/AGENT.md", "model: x\nnested:\n  a: {size: big}\n", 2).unwrap_err();
        assert_eq!(error.at, Some((4, 13)));
        assert!(error.message.contains("invalid type"), "{error}");
    }

    #[test]
    fn file_of_comments_gives_the_defaults() {
        assert_eq!(read::<Settings>("c", "# nothing\n\n", 1).unwrap(), (Settings::default(), vec![]));
    }
}
