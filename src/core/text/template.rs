//! Variables in definitions and guides: `{{memories_path}}` stands for a folder of the workspace, so that
//! what was written for one workspace is right in another. What is no variable stays as it is.

use crate::core::text::problem::{Problem, nearest};

/// Every variable, and the folder below the workspace that it stands for.
const NAMES: [(&str, &str); 6] = [
    ("workspace", ""),
    ("agents_path", "agents"),
    ("skills_path", "skills"),
    ("crons_path", "crons"),
    ("memories_path", "memories"),
    ("history_path", "sessions"),
];

/// The text with its variables filled in; `root` is the workspace's directory.
#[must_use]
pub fn expand(text: &str, root: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (start, end, name) in variables(text) {
        let Some((_, folder)) = NAMES.iter().find(|(known, _)| *known == name) else { continue };
        out.push_str(&text[done..start]);
        out.push_str(root.trim_end_matches('/'));
        if !folder.is_empty() {
            out.push('/');
            out.push_str(folder);
        }
        done = end;
    }
    out.push_str(&text[done..]);
    out
}

/// A warning for every variable in `path` that there is not. Where the file `is_ours`, nobody else's
/// variables are expected in it; in others only what looks like a slip of the pen is told.
#[must_use]
pub fn unknown(path: &str, text: &str, is_ours: bool) -> Vec<Problem> {
    let known = || NAMES.iter().map(|(known, _)| *known);
    let wrong = variables(text).filter(|(.., name)| known().all(|known| known != *name));
    let warning = |(start, _, name): (usize, usize, &str)| {
        let near = nearest(name, known());
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None if is_ours => format!("there are: {}", known().collect::<Vec<_>>().join(", ")),
            None => return None,
        };
        let line = text[..start].matches('\n').count() + 1;
        let column = text[..start].rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let message = format!("there is no variable `{name}`, so it stays as it is; {hint}");
        Some(Problem::warning(path, message).at(Some((line, column))))
    };
    wrong.filter_map(warning).collect()
}

/// Start, end and name of everything that looks like a variable.
fn variables(text: &str) -> impl Iterator<Item = (usize, usize, &str)> {
    text.match_indices("{{").filter_map(|(start, _)| {
        let inner = start + 2;
        let end = inner + text[inner..].find("}}")?;
        let name = text[inner..end].trim_matches(' ');
        let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        is_name.then_some((start, end + 2, name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_a_folder_of_the_workspace() {
        let text =
            "{{workspace}}: {{agents_path}} {{skills_path}} {{ crons_path }} {{memories_path}}/topics {{history_path}}";
        assert_eq!(expand(text, "/w"), "/w: /w/agents /w/skills /w/crons /w/memories/topics /w/sessions");
    }

    #[test]
    fn what_is_no_variable_stays() {
        for text in ["", "{{}}", "{{x", "{{ user.name }}", "{{memory_path}}", "{{{a}}}", "${{ secrets.X }}", "}}{{"] {
            assert_eq!(expand(text, "/w"), text);
        }
        assert_eq!(expand("{{ {{workspace}}", "/w"), "{{ /w");
    }

    #[test]
    fn an_unknown_one_is_told_with_its_place() {
        let told = |text: &str, is_ours| -> Vec<String> {
            unknown("AGENTS.md", text, is_ours).iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            told("ü\nä {{memory_path}} {{workspace}}\n", false),
            [
                "AGENTS.md:2:3: warning: there is no variable `memory_path`, so it stays as it is; did you mean `memories_path`?"
            ]
        );
        assert_eq!(told("{{x}}", true).len(), 1);
        assert_eq!(told("{{x}}", false), [""; 0]);
    }
}
