//! Definitions: Markdown files with YAML front matter that define agents, scheduled tasks, skills and shared tasks. The
//! format of the reference program (agents and crons) is read unchanged.

pub mod agent;
pub mod cron;
pub mod headline;
pub mod new_cron;
pub mod reach;
pub mod skill;
pub mod task;
pub mod templates;

pub use agent::{Agent, GUARDED, QueueSetting, WatchSetting};
pub use cron::{Cron, CronSession, Missed, Overlap};

use crate::core::text::front_matter;
use crate::core::text::problem::{self, Problem};
use serde::de::DeserializeOwned;

/// A definition with the warnings about it, or the error in it.
pub type Parsed<T> = Result<(T, Vec<Problem>), Problem>;

/// Reads the front matter of the definition `text` as `T`; returns also the body without surrounding white space.
fn read<T: DeserializeOwned + Default>(path: &str, text: &str) -> Result<(T, String, Vec<Problem>), Problem> {
    // Front matter that cannot be split off has its mistake where it begins.
    let parts = front_matter::split(text)
        .map_err(|e| Problem::error(path, e.message.trim_start_matches("line 1: ")).at(Some((1, 1))))?;
    let Some(yaml) = parts.yaml else {
        return Err(Problem::error(path, "it has no front matter: the first line must be `---`").at(Some((1, 1))));
    };
    let (fields, warnings) = problem::read(path, yaml, 2)?;
    Ok((fields, parts.body.trim().to_owned(), warnings))
}

/// The value of a required field.
fn required(path: &str, key: &str, value: Option<String>) -> Result<String, Problem> {
    value
        .filter(|v| !v.trim().is_empty())
        .ok_or_else(|| Problem::error(path, format!("`{key}` is missing in the front matter")).at(Some((1, 1))))
}
