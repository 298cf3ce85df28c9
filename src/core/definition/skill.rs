//! Skills: `skills/<id>/SKILL.md` in the Agent Skills format (agentskills.io/specification), and what a
//! machine must have before one is offered. `requires` is ours; what `OpenClaw` writes below
//! `metadata.openclaw` means the same and is read too.

use crate::core::definition::{self, Parsed};
use crate::core::text::problem::{self, Problem};
use serde::Deserialize;
use serde_yaml::Value;

/// The longest name and description, in characters, and the longest word on compatibility.
const MAX_NAME: usize = 64;
const MAX_DESCRIPTION: usize = 1024;
const MAX_COMPATIBILITY: usize = 500;
/// By whose name others put what a skill needs into `metadata`; the later names are older ones.
const OTHERS: [&str; 3] = ["openclaw", "clawdbot", "clawdis"];

/// A skill.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skill {
    /// The folder's name: what it is called by.
    pub id: String,
    /// What its file calls it.
    pub name: String,
    /// What it does, and when to use it.
    pub description: String,
    /// Under which terms it is used.
    pub license: Option<String>,
    /// What it says about where it works, for people.
    pub compatibility: Option<String>,
    /// The tools that it expects. Nothing is allowed by that.
    pub tools: Vec<String>,
    /// What must be there before it is offered.
    pub needs: Requirements,
    /// The instructions: the file's body.
    pub body: String,
}

/// What must be there before a skill is offered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Requirements {
    /// Programs, all of them.
    bins: Vec<String>,
    /// Programs, one of them.
    #[serde(rename = "anyBins", alias = "any_bins")]
    any_bins: Vec<String>,
    /// Environment variables, all of them set.
    env: Vec<String>,
    /// Systems, one of them: `linux`, `macos` (or `darwin`), `windows` (or `win32`).
    os: Vec<String>,
    /// Settings of another program, of which there is none here.
    config: Vec<String>,
}

/// What the machine is asked. The values of variables are never looked at.
pub struct Machine<'a> {
    /// Whether a program of this name is there.
    pub has_bin: &'a dyn Fn(&str) -> bool,
    /// Whether the environment has a variable of this name.
    pub has_env: &'a dyn Fn(&str) -> bool,
    /// The system, as `std::env::consts::OS` calls it.
    pub os: &'a str,
}

impl Requirements {
    /// What is not there; nothing where the skill may be offered.
    #[must_use]
    pub fn missing(&self, machine: &Machine) -> Vec<String> {
        let mut missing = Vec::new();
        let is_here = |os: &String| match os.as_str() {
            "darwin" => machine.os == "macos",
            "win32" => machine.os == "windows",
            other => machine.os == other,
        };
        if !self.os.is_empty() && !self.os.iter().any(is_here) {
            missing.push(format!("it is for {}, and this is {}", self.os.join(", "), machine.os));
        }
        let bins = self.bins.iter().filter(|name| !(machine.has_bin)(name));
        missing.extend(bins.map(|name| format!("there is no program `{name}`")));
        if !self.any_bins.is_empty() && !self.any_bins.iter().any(|name| (machine.has_bin)(name)) {
            missing.push(format!("there is none of the programs {}", self.any_bins.join(", ")));
        }
        let env = self.env.iter().filter(|name| !(machine.has_env)(name));
        missing.extend(env.map(|name| format!("the environment variable {name} is not set")));
        missing.extend(self.config.iter().map(|key| format!("there is no setting `{key}` here")));
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

/// Names in a list, or with spaces or commas between them.
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
            // `Bash(git add:*)` is one name.
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

const KEYS: &[&str] = &[
    "name",
    "description",
    "license",
    "compatibility",
    "metadata",
    "allowed-tools",
    "requires",
    "bins",
    "anyBins",
    "env",
    "os",
    "config",
];

/// Reads a SKILL.md. What the format asks for beyond a name and a description is a warning.
///
/// # Errors
/// The problem, with line and column.
pub fn read(id: &str, path: &str, text: &str) -> Parsed<Skill> {
    let (head, body, mut warnings) = definition::head::<SkillFields>(path, text, KEYS).map_err(|p| quoted(p, text))?;
    let name = definition::required(path, "name", head.name)?;
    let description = definition::required(path, "description", head.description)?.trim().to_owned();
    let mut warn = |key: &str, what: String| {
        warnings.push(Problem::warning(path, what).at(problem::locate(text, key)));
    };
    if !is_name(&name) {
        warn("name", format!("name `{name}`: it is at most {MAX_NAME} of a-z 0-9 and single hyphens between them"));
    }
    if name != id {
        warn("name", format!("name `{name}` is not the folder's, `{id}`, by which the skill is called"));
    }
    let lengths = [
        ("description", description.chars().count(), MAX_DESCRIPTION),
        ("compatibility", head.compatibility.as_ref().map_or(0, |text| text.chars().count()), MAX_COMPATIBILITY),
    ];
    for (key, length, most) in lengths.into_iter().filter(|(_, length, most)| length > most) {
        warn(key, format!("{key} has {length} characters, {most} are the most"));
    }
    if body.is_empty() {
        warn("name", "it teaches nothing: there is no text behind the front matter".to_owned());
    }
    let mut needs = head.requires;
    if let Some(theirs) = OTHERS.iter().find_map(|who| head.metadata.get(who)) {
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

/// What `OpenClaw`'s `{always, os, requires: {bins, anyBins, env, config}}` needs. What is always offered
/// needs nothing but its system.
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

fn is_name(name: &str) -> bool {
    let fits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    name.len() <= MAX_NAME && name.split('-').all(fits)
}

/// The same problem; the most frequent one in skills is a description with a colon in it.
fn quoted(problem: Problem, text: &str) -> Problem {
    let line = problem.at.and_then(|(line, _)| text.lines().nth(line.saturating_sub(1))).unwrap_or_default();
    let is_it = line.split_once(": ").is_some_and(|(_, value)| {
        value.contains(": ") && !value.trim_start().starts_with(['"', '\'', '{', '[', '|', '>'])
    });
    if is_it {
        Problem { message: format!("{}: put the value in quotes", problem.message), ..problem }
    } else {
        problem
    }
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
    fn a_skill_needs_a_name_and_a_description() {
        let read = |text: &str| read("s", "skills/s/SKILL.md", text);
        assert_eq!(read("---\nname: s\ndescription: d\nmetadata: {a: b}\n---\nx").unwrap().1, []);
        assert!(read("---\nname: s\n---\nx").unwrap_err().message.contains("description"));
        assert!(read("---\ndescription: d\n---\nx").unwrap_err().message.contains("name"));
    }

    #[test]
    fn what_the_format_asks_for_is_a_warning_with_its_place() {
        let warned = |name: &str, description: &str, body: &str| -> Vec<String> {
            let text = format!("---\nname: {name}\ndescription: {description}\n---\n{body}");
            let (_, warnings) = read("s", "S", &text).unwrap();
            warnings.iter().map(ToString::to_string).collect()
        };
        assert_eq!(warned("s", "d", "x"), [""; 0]);
        assert_eq!(
            warned("other", "d", "x"),
            ["S:2:1: warning: name `other` is not the folder's, `s`, by which the skill is called"]
        );
        for bad in ["S", "a_b", "a--b", "-a", "a-", "ä", &"a".repeat(65)] {
            assert!(warned(bad, "d", "x")[0].contains("single hyphens"), "{bad}");
        }
        assert_eq!(
            warned("s", &"ä".repeat(1025), "x"),
            ["S:3:1: warning: description has 1025 characters, 1024 are the most"]
        );
        assert_eq!(warned("s", &"ä".repeat(1024), "x"), [""; 0]);
        assert!(warned("s", "d", " \n")[0].contains("teaches nothing"));
    }

    #[test]
    fn a_colon_in_a_description_is_told_with_the_way_out() {
        let error = read("s", "S", "---\nname: s\ndescription: Use this: always\n---\nx").unwrap_err();
        assert!(error.message.ends_with("put the value in quotes"), "{error}");
        assert_eq!(error.at.map(|(line, _)| line), Some(3));
    }

    #[test]
    fn the_gate_is_open_where_everything_is_there() {
        assert_eq!(missing("", "linux"), [""; 0]);
        assert_eq!(missing("requires: {bins: [sh], env: [HOME], os: [macos, linux]}\n", "linux"), [""; 0]);
        assert_eq!(
            missing(
                "requires: {bins: [sh, nope], anyBins: [a, b], env: [KEY], os: [darwin], config: [x.y]}\n",
                "linux"
            ),
            [
                "it is for darwin, and this is linux",
                "there is no program `nope`",
                "there is none of the programs a, b",
                "the environment variable KEY is not set",
                "there is no setting `x.y` here",
            ]
        );
        assert_eq!(missing("requires: {os: [darwin]}\n", "macos"), [""; 0]);
        assert_eq!(missing("requires: {os: [win32]}\n", "windows"), [""; 0]);
        assert_eq!(missing("requires: {any_bins: [nope, sh]}\n", "linux"), [""; 0]);
    }

    #[test]
    fn what_is_written_for_openclaw_means_the_same() {
        let theirs = |what: &str| missing(&format!("metadata: {{\"openclaw\":{what}}}\n"), "linux");
        assert_eq!(theirs(r#"{"emoji":"x","requires":{"bins":["nope"]}}"#), ["there is no program `nope`"]);
        assert_eq!(theirs(r#"{"os":["darwin"]}"#), ["it is for darwin, and this is linux"]);
        assert_eq!(theirs(r#"{"always":true,"requires":{"bins":["nope"]}}"#), [""; 0]);
        assert_eq!(missing("metadata: {clawdbot: {requires: {env: [KEY]}}}\n", "linux").len(), 1);
        assert_eq!(missing("metadata: {openclaw: \"1.0\"}\n", "linux"), [""; 0]);
        let text = "---\nname: s\ndescription: d\nmetadata: {openclaw: {requires: {bins: jq}}}\n---\nx";
        assert_eq!(read("s", "S", text).unwrap_err().at, Some((4, 1)));
    }

    #[test]
    fn allowed_tools_are_a_list_or_a_line() {
        assert_eq!(skill("allowed-tools: Bash(git add:*) Read\n").tools, ["Bash(git add:*)", "Read"]);
        assert_eq!(skill("allowed-tools: [bash, read]\n").tools, ["bash", "read"]);
        assert_eq!(skill("").tools, [""; 0]);
    }
}
