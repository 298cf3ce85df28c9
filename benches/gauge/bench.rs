//! A folder on the disk of the build, for the workspaces and floors of a benchmark; removed at the end.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

pub struct Bench {
    pub dir: PathBuf,
    pub is_quick: bool,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Bench {
    pub fn new(name: &str, is_quick: bool) -> io::Result<Self> {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        Ok(Self { dir, is_quick })
    }

    /// A program with an environment of its own, without output.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env_clear().env("HOME", &self.dir).env("PATH", &self.dir).env("USER", "ann").current_dir(&self.dir);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}
