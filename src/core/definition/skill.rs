//! Skills: `skills/<id>/SKILL.md` in the Agent Skills format (agentskills.io/specification), and the requirements that
//! a machine must meet before a skill is offered. The key `requires` is an extension of ours; `metadata.openclaw`, the
//! `OpenClaw` spelling of the same, is read too.

use crate::core::definition::{self, Parsed};
use crate::core::text::problem::{self, Problem};
use serde::Deserialize;
use serde_yaml::Value;

/// The specification's limits for `name`, `description` and `compatibility`, in characters.
const MAX_NAME: usize = 64;
const MAX_DESCRIPTION: usize = 1024;
const MAX_COMPATIBILITY: usize = 500;
/// The keys below `metadata` under which `OpenClaw` keeps requirements, newest name first.
const OTHERS: [&str; 3] = ["openclaw", "clawdbot", "clawdis"];

/// A skill.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skill {
    /// The folder's name, by which the skill is called.
    pub id: String,
    /// The `name` in the file.
    pub name: String,
    /// The purpose of the skill and when to use it.
    pub description: String,
    /// The license.
    pub license: Option<String>,
    /// Notes on the environment it needs, for people.
    pub compatibility: Option<String>,
    /// The tools that it expects. This grants no permission.
    pub tools: Vec<String>,
    /// The conditions for offering it.
    pub needs: Requirements,
    /// The instructions: the file's body.
    pub body: String,
}

/// The conditions for offering a skill.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Requirements {
    /// Programs; all must exist.
    bins: Vec<String>,
    /// Programs; at least one must exist.
    #[serde(rename = "anyBins", alias = "any_bins")]
    any_bins: Vec<String>,
    /// Environment variables; all must be set.
    env: Vec<String>,
    /// Operating systems; one must match: `linux`, `macos` (or `darwin`), `windows` (or `win32`).
    os: Vec<String>,
    /// Settings of `OpenClaw`; none of them exists here, so that such a skill is never offered.
    config: Vec<String>,
}

/// The facts about the machine that requirements are checked against. Values of variables are never read.
pub struct Machine<'a> {
    /// Whether a program of this name is installed.
    pub has_bin: &'a dyn Fn(&str) -> bool,
    /// Whether an environment variable of this name is set.
    pub has_env: &'a dyn Fn(&str) -> bool,
    /// The operating system, as in `std::env::consts::OS`.
    pub os: &'a str,
}

impl Requirements {
    /// The unmet requirements, as messages; empty if the skill may be offered.
    #[must_use]
    pub fn missing(&self, machine: &Machine) -> Vec<String> {
        let mut missing = Vec::new();
        let is_here = |os: &String| match os.as_str() {
            "darwin" => machine.os == "macos",
            "win32" => machine.os == "windows",
            other => machine.os == other,
        };
        if !self.os.is_empty() && !self.os.iter().any(is_here) {
            missing.push(format!("needs {}, but this system is {}", self.os.join(" or "), machine.os));
        }
        let bins = self.bins.iter().filter(|name| !(machine.has_bin)(name));
        missing.extend(bins.map(|name| format!("program `{name}` is not installed")));
        if !self.any_bins.is_empty() && !self.any_bins.iter().any(|name| (machine.has_bin)(name)) {
            missing.push(format!("none of the programs {} is installed", self.any_bins.join(", ")));
        }
        let env = self.env.iter().filter(|name| !(machine.has_env)(name));
        missing.extend(env.map(|name| format!("environment variable {name} is not set")));
        missing.extend(self.config.iter().map(|key| format!("setting `{key}` does not exist")));
        missing
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SkillFields {
    name: Option<String>,
    description: Option<String>,
    license: Option<String>,
    compatibility: Option<String>,
    metadata: Value,
    #[serde(rename = "allowed-tools")]
    tools: StringOrList,
    requires: Requirements,
}

/// Names in a YAML list, or in one string separated by spaces or commas.
#[derive(Deserialize)]
#[serde(untagged)]
enum StringOrList {
    Line(String),
    List(Vec<String>),
}

impl Default for StringOrList {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl StringOrList {
    fn all(self) -> Vec<String> {
        match self {
            Self::List(names) => names,
            // Separators in parentheses belong to the name: `Bash(git add:*)`.
            Self::Line(line) => {
                let mut depth = 0;
                let between = |c: char| {
                    match c {
                        '(' => depth += 1,
                        ')' => depth -= 1,
                        _ => {}
                    }
                    depth <= 0 && (c == ',' || c.is_whitespace())
                };
                line.split(between).filter(|name| !name.is_empty()).map(str::to_owned).collect()
            }
        }
    }
}

/// Reads a SKILL.md. Only a missing name or description is an error; other violations of the format are warnings.
///
/// # Errors
/// The problem, with line and column.
pub fn read(id: &str, path: &str, text: &str) -> Parsed<Skill> {
    let (head, body, mut warnings) = match definition::read::<SkillFields>(path, text) {
        Ok(read) => read,
        Err(problem) => unquoted(path, text, problem)?,
    };
    let name = definition::required(path, "name", head.name)?;
    let description = definition::required(path, "description", head.description)?.trim().to_owned();
    let mut warn = |key: &str, message: String| {
        warnings.push(Problem::warning(path, message).at(problem::locate(text, key)));
    };
    if !is_name(&name) {
        warn("name", format!("name `{name}`: use at most {MAX_NAME} of a-z 0-9, with single hyphens between them"));
    }
    if name != id {
        warn("name", format!("name `{name}` differs from the folder's name `{id}`, by which the skill is called"));
    }
    let lengths = [
        ("description", description.chars().count(), MAX_DESCRIPTION),
        ("compatibility", head.compatibility.as_ref().map_or(0, |text| text.chars().count()), MAX_COMPATIBILITY),
    ];
    for (key, length, most) in lengths.into_iter().filter(|(_, length, most)| length > most) {
        warn(key, format!("{key} has {length} characters, the limit is {most}"));
    }
    if body.is_empty() {
        warn("name", "the skill is empty: there is no text after the front matter".to_owned());
    }
    let mut needs = head.requires;
    if let Some(theirs) = OTHERS.iter().find_map(|name| head.metadata.get(name)) {
        match foreign(theirs) {
            Ok(Some(theirs)) => needs.add(theirs),
            Ok(None) => {}
            Err(error) => return Err(Problem::error(path, error).at(problem::locate(text, "metadata"))),
        }
    }
    let skill = Skill {
        id: id.to_owned(),
        name,
        description,
        license: head.license,
        compatibility: head.compatibility,
        tools: head.tools.all(),
        needs,
        body,
    };
    Ok((skill, warnings))
}

impl Requirements {
    fn add(&mut self, other: Self) {
        self.bins.extend(other.bins);
        self.any_bins.extend(other.any_bins);
        self.env.extend(other.env);
        self.os.extend(other.os);
        self.config.extend(other.config);
    }
}

/// The requirements in `OpenClaw`'s `{always, os, requires: {bins, anyBins, env, config}}`. With `always`, only `os`
/// applies.
fn foreign(theirs: &Value) -> Result<Option<Requirements>, String> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Theirs {
        always: bool,
        os: Vec<String>,
        requires: Requirements,
    }
    if !theirs.is_mapping() {
        return Ok(None);
    }
    let theirs = Theirs::deserialize(theirs).map_err(|error| format!("metadata: {error}"))?;
    let needs = if theirs.always { Requirements::default() } else { theirs.requires };
    Ok(Some(Requirements { os: theirs.os, ..needs }))
}

/// Whether this is a valid name for a skill.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let fits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    name.len() <= MAX_NAME && name.split('-').all(fits)
}

/// Reads a file with the most frequent YAML error in skills, a description with a colon and without quotes, as it is
/// meant; there is a warning.
fn unquoted(path: &str, text: &str, problem: Problem) -> Result<(SkillFields, String, Vec<Problem>), Problem> {
    let Some((key, repaired)) = with_quotes(text) else { return Err(problem) };
    let Ok((head, body, mut warnings)) = definition::read::<SkillFields>(path, &repaired) else { return Err(problem) };
    let message = format!("the value of `{key}` contains a colon: put it in quotes");
    warnings.push(Problem::warning(path, message).at(problem.at.or_else(|| problem::locate(text, &key))));
    Ok((head, body, warnings))
}

/// The text with quotes around the values of its front matter that contain a colon, and the key of the first one.
fn with_quotes(text: &str) -> Option<(String, String)> {
    let (mut first, mut lines, mut fences) = (None, Vec::new(), 0);
    for line in text.split_inclusive('\n') {
        fences += usize::from(line.trim_end() == "---");
        let is_value = |value: &str| {
            let value = value.trim();
            (value.contains(": ") || value.ends_with(':'))
                && !value.starts_with(['"', '\'', '{', '[', '|', '>', '&', '*', '!', '#'])
        };
        let plain = line.split_once(": ").filter(|(key, value)| {
            fences == 1 && is_value(value) && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        });
        let Some((key, value)) = plain else {
            lines.push(line.to_owned());
            continue;
        };
        first.get_or_insert_with(|| key.to_owned());
        let quoted = value.trim().replace('\'', "''");
        lines.push(format!("{key}: '{quoted}'\n"));
    }
    Some((first?, lines.concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skill(head: &str) -> Skill {
        read("s", "skills/s/SKILL.md", &format!("---\nname: s\ndescription: d\n{head}---\nDo it.\n")).unwrap().0
    }

    fn missing(head: &str, os: &str) -> Vec<String> {
        let machine = Machine { has_bin: &|name| name == "sh", has_env: &|name| name == "HOME", os };
        skill(head).needs.missing(&machine)
    }

    #[test]
    fn name_and_description_are_required() {
        let read = |text: &str| read("s", "skills/s/SKILL.md", text);
        assert_eq!(read("---\nname: s\ndescription: d\nmetadata: {a: b}\n---\nx").unwrap().1, []);
        assert!(read("---\nname: s\n---\nx").unwrap_err().message.contains("description"));
        assert!(read("---\ndescription: d\n---\nx").unwrap_err().message.contains("name"));
    }

    #[test]
    fn format_violations_are_warnings_with_line_and_column() {
        let warned = |name: &str, description: &str, body: &str| -> Vec<String> {
            let text = format!("---\nname: {name}\ndescription: {description}\n---\n{body}");
            let (_, warnings) = read("s", "S", &text).unwrap();
            warnings.iter().map(ToString::to_string).collect()
        };
        assert_eq!(warned("s", "d", "x"), [""; 0]);
        assert_eq!(
            warned("other", "d", "x"),
            ["S:2:1: warning: name `other` differs from the folder's name `s`, by which the skill is called"]
        );
        for bad in ["S", "a_b", "a--b", "-a", "a-", "ä", &"a".repeat(65)] {
            assert!(warned(bad, "d", "x")[0].contains("single hyphens"), "{bad}");
        }
        assert_eq!(
            warned("s", &"ä".repeat(1025), "x"),
            ["S:3:1: warning: description has 1025 characters, the limit is 1024"]
        );
        assert_eq!(warned("s", &"ä".repeat(1024), "x"), [""; 0]);
        assert!(warned("s", "d", " \n")[0].contains("the skill is empty"));
    }

    #[test]
    fn colon_in_a_description_is_read_with_a_warning() {
        for (description, read_as) in [
            ("Use this: always", "Use this: always"),
            ("When: the user's words say so:", "When: the user's words say so:"),
        ] {
            let text = format!("---\nname: s\ndescription: {description}\nmetadata: {{a: b}}\n---\nx: y: z");
            let (skill, warnings) = read("s", "S", &text).unwrap();
            assert_eq!((&skill.description[..], &skill.body[..]), (read_as, "x: y: z"));
            assert!(warnings[0].message.ends_with("put it in quotes"), "{warnings:?}");
            assert_eq!(warnings[0].at.map(|(line, _)| line), Some(3));
        }
        let other = read("s", "S", "---\nname: s\ndescription: [x\n---\nx").unwrap_err();
        assert!(!other.message.contains("quotes"), "{other}");
    }

    #[test]
    fn unmet_requirements_are_listed() {
        assert_eq!(missing("", "linux"), [""; 0]);
        assert_eq!(missing("requires: {bins: [sh], env: [HOME], os: [macos, linux]}\n", "linux"), [""; 0]);
        assert_eq!(
            missing(
                "requires: {bins: [sh, nope], anyBins: [a, b], env: [KEY], os: [darwin], config: [x.y]}\n",
                "linux"
            ),
            [
                "needs darwin, but this system is linux",
                "program `nope` is not installed",
                "none of the programs a, b is installed",
                "environment variable KEY is not set",
                "setting `x.y` does not exist",
            ]
        );
        assert_eq!(missing("requires: {os: [darwin]}\n", "macos"), [""; 0]);
        assert_eq!(missing("requires: {os: [win32]}\n", "windows"), [""; 0]);
        assert_eq!(missing("requires: {any_bins: [nope, sh]}\n", "linux"), [""; 0]);
    }

    #[test]
    fn openclaw_requirements_are_read_from_metadata() {
        let theirs = |json: &str| missing(&format!("metadata: {{\"openclaw\":{json}}}\n"), "linux");
        assert_eq!(theirs(r#"{"emoji":"x","requires":{"bins":["nope"]}}"#), ["program `nope` is not installed"]);
        assert_eq!(theirs(r#"{"os":["darwin"]}"#), ["needs darwin, but this system is linux"]);
        assert_eq!(theirs(r#"{"always":true,"requires":{"bins":["nope"]}}"#), [""; 0]);
        assert_eq!(missing("metadata: {clawdbot: {requires: {env: [KEY]}}}\n", "linux").len(), 1);
        assert_eq!(missing("metadata: {openclaw: \"1.0\"}\n", "linux"), [""; 0]);
        let text = "---\nname: s\ndescription: d\nmetadata: {openclaw: {requires: {bins: jq}}}\n---\nx";
        assert_eq!(read("s", "S", text).unwrap_err().at, Some((4, 1)));
    }

    #[test]
    fn allowed_tools_are_a_list_or_one_string() {
        assert_eq!(skill("allowed-tools: Bash(git add:*) Read\n").tools, ["Bash(git add:*)", "Read"]);
        assert_eq!(skill("allowed-tools: [bash, read]\n").tools, ["bash", "read"]);
        assert_eq!(skill("").tools, [""; 0]);
    }
}
