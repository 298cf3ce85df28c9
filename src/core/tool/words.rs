//! The words of a command that may name files. Too many words do no harm, so quotes, separators and options are taken
//! apart in every way; a name that the shell builds while it runs (`$x`, `*.sh`) is not found.

use serde_json::Value;
use std::collections::HashSet;

/// The longest path, in bytes (`PATH_MAX`).
const MAX_PATH: usize = 4096;
/// Characters that end a word unless they are quoted.
const SEPARATORS: &str = ";|&()<>";
/// Characters after which a file may be named within a word: `--file=x`, `user:x`, `@x`.
const MARKS: &str = "=:,@";
/// All characters that end a part of a word, quoted or not.
const BREAKS: &str = "\"'`;|&()<>{}[]$=:,@\\*?!#";

/// The words of a command, in order, each once.
#[must_use]
pub fn of(command: &str) -> Vec<String> {
    let mut words = shell_words(command);
    let inner: Vec<String> = words.iter().flat_map(|word| suffixes(word)).map(str::to_owned).collect();
    words.extend(inner);
    words.extend(command.split(|c: char| c.is_whitespace() || BREAKS.contains(c)).map(str::to_owned));
    distinct(words)
}

/// The strings in a call's arguments.
#[must_use]
pub fn strings(arguments: &Value) -> Vec<String> {
    fn collect(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::String(text) => into.push(text.clone()),
            Value::Array(values) => values.iter().for_each(|value| collect(value, into)),
            Value::Object(fields) => fields.values().for_each(|value| collect(value, into)),
            _ => {}
        }
    }
    let mut all = Vec::new();
    collect(arguments, &mut all);
    all
}

/// Whether a text may be the path of a file.
#[must_use]
pub fn is_path(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_PATH && !text.contains('\0')
}

/// Whether a command may name files that are not among its words: the shell replaces parts of it.
#[must_use]
pub fn is_expanded(command: &str) -> bool {
    command.contains(['$', '`', '*', '?', '[', '{', '~'])
}

fn distinct(words: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    words.into_iter().filter(|word| is_path(word)).filter(|word| seen.insert(word.clone())).collect()
}

/// The words as the shell reads them, without quotes and backslashes.
fn shell_words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('\''), c) => word.push(c),
            (_, '\\') => word.extend(chars.next().filter(|next| *next != '\n')),
            (None, '\'' | '"') => quote = Some(c),
            (None, c) if c.is_whitespace() || SEPARATORS.contains(c) => words.push(std::mem::take(&mut word)),
            (_, c) => word.push(c),
        }
    }
    words.push(word);
    words
}

/// The parts of a word that may be a file's name: behind a mark, and behind an option's letter (`-ffile`).
fn suffixes(word: &str) -> impl Iterator<Item = &str> {
    let marks =
        word.char_indices().filter(|(_, c)| MARKS.contains(*c)).filter_map(|(at, c)| word.get(at + c.len_utf8()..));
    let option = word.strip_prefix('-').and_then(|rest| rest.get(1..));
    marks.chain(option)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn words_of_a_command_are_found_however_they_are_written() {
        for (command, word) in [
            ("sh files/job.sh", "files/job.sh"),
            ("./x", "./x"),
            ("cd files&&sh job.sh;ls", "job.sh"),
            ("sh -c 'sh files/job.sh >log'", "files/job.sh"),
            ("sh \"files/my job.sh\"", "files/my job.sh"),
            ("sh files/my\\ job.sh", "files/my job.sh"),
            ("sh fi'les/jo'b.sh", "files/job.sh"),
            ("bash<files/job.sh", "files/job.sh"),
            ("awk -ffiles/a.awk", "files/a.awk"),
            ("make --file=files/m", "files/m"),
            ("curl -d @files/d x", "files/d"),
            ("PATH=files:/bin x", "files"),
            ("x $(cat files/args)", "files/args"),
            ("x `cat files/args`", "files/args"),
            ("python3 - <<'END'\nexec(open('files/x.py').read())\nEND", "files/x.py"),
            ("sh \"files/job.sh", "files/job.sh"),
        ] {
            assert!(of(command).iter().any(|found| found == word), "{command}: {:?}", of(command));
        }
        assert_eq!(of(""), [""; 0]);
    }

    #[test]
    fn words_keep_their_order() {
        let words = of("cd a; cd b; sh c");
        let place = |word: &str| words.iter().position(|found| found == word);
        assert!(place("a") < place("b") && place("b") < place("c"), "{words:?}");
    }

    #[test]
    fn strings_of_all_arguments_are_found() {
        let arguments = json!({"path": "files/a", "n": 1, "more": [{"x": "files/b c"}, "files/a"]});
        let mut found = strings(&arguments);
        found.sort();
        assert_eq!(found, ["files/a", "files/a", "files/b c"]);
        let long = "files/a ".repeat(2000);
        assert_eq!(of(&strings(&json!({"command": long}))[0]), ["files/a"]);
    }

    #[test]
    fn expansions_are_noticed() {
        for command in ["sh $x", "sh files/*.sh", "sh `x`", "sh {a,b}", "sh ~/x"] {
            assert!(is_expanded(command), "{command}");
        }
        assert!(!is_expanded("sh files/job.sh && echo 'done'"));
    }
}
