//! The environment of a program of the owner's: HOME, PATH and the variables that its settings name.

use crate::core::program_env::ProgramEnv;
use crate::world::World;

/// The default `PATH`.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Whether the program gets this process's environment, and the variables to set if not. A variable that is not set is
/// left out.
#[must_use]
pub fn of<'a>(world: &'a World, env: &'a ProgramEnv) -> (bool, Vec<(&'a str, String)>) {
    let ProgramEnv::Names(names) = env else { return (true, Vec::new()) };
    let value = |name: &'a str| Some((name, world.var(name)?.to_owned()));
    let mut all: Vec<_> = names.iter().filter_map(|name| value(name)).collect();
    all.extend(value("HOME"));
    all.extend(value("PATH").or_else(|| Some(("PATH", PATH.to_owned()))));
    (false, all)
}
