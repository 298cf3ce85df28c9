//! Variables in definitions and guides: `{{memories_path}}` is replaced by a folder of the workspace, so that a text
//! written for one workspace is right in another. Unknown variables stay as they are.

use crate::core::text::problem::{Problem, nearest};

/// Every variable with its folder below the workspace.
const NAMES: [(&str, &str); 6] = [
    ("workspace", ""),
    ("agents_path", "agents"),
    ("skills_path", "skills"),
    ("crons_path", "crons"),
    ("memories_path", "memories"),
    ("history_path", "sessions"),
];

/// The text with its variables replaced; `root` is the workspace's directory.
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

/// A warning for every unknown variable in `path`. A file with `is_ours` false may contain the variables of other
/// programs, so only likely misspellings of ours are reported there.
#[must_use]
pub fn unknown(path: &str, text: &str, is_ours: bool) -> Vec<Problem> {
    let known = || NAMES.iter().map(|(known, _)| *known);
    let wrong = variables(text).filter(|(.., name)| known().all(|known| known != *name));
    let warning = |(start, _, name): (usize, usize, &str)| {
        let near = nearest(name, known());
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None if is_ours => format!("the variables are: {}", known().collect::<Vec<_>>().join(", ")),
            None => return None,
        };
        let line = text[..start].matches('\n').count() + 1;
        let column = text[..start].rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let message = format!("unknown variable `{name}` is left as it is; {hint}");
        Some(Problem::warning(path, message).at(Some((line, column))))
    };
    wrong.filter_map(warning).collect()
}

/// Start, end and name of everything that has the form of a variable.
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
    fn variable_is_replaced_by_its_folder() {
        let text =
            "{{workspace}}: {{agents_path}} {{skills_path}} {{ crons_path }} {{memories_path}}/topics {{history_path}}";
        assert_eq!(expand(text, "/w"), "/w: /w/agents /w/skills /w/crons /w/memories/topics /w/sessions");
    }

    #[test]
    fn other_text_in_braces_stays() {
        for text in ["", "{{}}", "{{x", "{{ user.name }}", "{{memory_path}}", "{{{a}}}", "${{ secrets.X }}", "}}{{"] {
            assert_eq!(expand(text, "/w"), text);
        }
        assert_eq!(expand("{{ {{workspace}}", "/w"), "{{ /w");
    }

    #[test]
    fn unknown_variable_is_reported_with_its_place() {
        let warnings = |text: &str, is_ours| -> Vec<String> {
            unknown("AGENTS.md", text, is_ours).iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            warnings("ü\nä {{memory_path}} {{workspace}}\n", false),
            ["AGENTS.md:2:3: warning: unknown variable `memory_path` is left as it is; did you mean `memories_path`?"]
        );
        assert_eq!(warnings("{{x}}", true).len(), 1);
        assert_eq!(warnings("{{x}}", false), [""; 0]);
    }
}
