//! `claw units`

use crate::command::Here;
use crate::command::terminal::out;
use crate::core::config::Sync;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::units::{self, MARK, Manager, UnitFacts};
use crate::store::fs::{At, durable};
use crate::store::workspace::Workspace;
use crate::store::workspace::trust;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The folder of the system's units.
const SYSTEM: &str = "/etc/systemd/system";

/// Write systemd units for this workspace: path, timer and service for tick, services for supervise and for listening
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Keys of models go into the file that the units name under EnvironmentFile: NAME=value, one a line, mode 600.
Units of a user stop when the user logs out; `loginctl enable-linger` keeps them running.")]
pub struct Args {
    /// Write units of your own, in ~/.config/systemd/user [default: units of the system, as root]
    #[arg(long)]
    user: bool,
    /// Print the units, and write nothing
    #[arg(long)]
    print: bool,
}

/// Writes or prints the units.
///
/// # Errors
/// `Failed` if a unit of this name was not written by claw.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    let workspace = here.look()?;
    let home = PathBuf::from(workspace.world.var("HOME").unwrap_or("/"));
    let settings = workspace.world.var("XDG_CONFIG_HOME").map_or_else(|| home.join(".config"), PathBuf::from);
    let folder = if args.user { settings.join("systemd/user") } else { PathBuf::from(SYSTEM) };
    let keys = if args.user { settings.join("claw/environment") } else { PathBuf::from("/etc/claw/environment") };
    let state = trust::state_dir(&workspace.world).unwrap_or_else(|| home.join(".local/state/claw"));
    let root = fs::canonicalize(&workspace.root).at("find", &workspace.root)?;
    let units = units(&workspace, args.user, [&root, &state, &keys])?;
    if args.print {
        for (name, text) in units {
            out::line(&format!("# {}\n{text}", folder.join(name).display()))?;
        }
        return Ok(0);
    }
    // A missing folder would stay missing: the services may not write beside it.
    fs::create_dir_all(&state).at("make", &state)?;
    write_all(&folder, &units).map_err(|fault| match fault.hint {
        None if !args.user => fault.hint("run it as root, or with --user, or with --print"),
        _ => fault,
    })?;
    say_next_steps(args.user, &units::name(&path_text(&root)?), &keys);
    Ok(0)
}

fn units(workspace: &Workspace, is_user: bool, [root, state, keys]: [&Path; 3]) -> Result<Vec<(String, String)>> {
    let owner = fs::metadata(root).at("look at", root)?;
    let manager = if is_user { Manager::User } else { Manager::System { user: owner.uid(), group: owner.gid() } };
    let program = fs::read_link("/proc/self/exe").at("find", Path::new("this program"))?;
    let [program, root, state, keys] = [&program, root, state, keys].map(path_text);
    // Programs that agents run are found as in this shell, and times are those of the same zone.
    let variables = ["PATH", "TZ", "XDG_STATE_HOME"];
    units::all(&UnitFacts {
        manager,
        program: &program?,
        workspace: &root?,
        state: &state?,
        keys: &keys?,
        environment: variables.into_iter().filter_map(|name| Some((name, workspace.world.var(name)?))).collect(),
    })
}

fn path_text(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    path.to_str().map(ToOwned::to_owned).ok_or_else(|| Fault::data(format!("{} is not valid UTF-8", path.display())))
}

fn write_all(folder: &Path, units: &[(String, String)]) -> Result<()> {
    fs::create_dir_all(folder).at("make", folder)?;
    for (name, text) in units {
        write(&folder.join(name), text)?;
        out::line(&folder.join(name).display().to_string())?;
    }
    Ok(())
}

/// Writes a unit, unless the folder has one of this name that claw did not write.
fn write(path: &Path, text: &str) -> Result<()> {
    if let Ok(old) = fs::read_to_string(path)
        && !old.contains(MARK)
    {
        let fault = Fault::new(Kind::Failed, format!("{} was not written by claw units", path.display()));
        return Err(fault.hint("remove or rename it first"));
    }
    durable::write_new(path, text.as_bytes(), Sync::None)?;
    // The managers read them as other users.
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).at("open up", path)
}

fn say_next_steps(is_user: bool, name: &str, keys: &Path) {
    let (control, linger) = if is_user {
        ("systemctl --user", "; loginctl enable-linger keeps it running after you log out")
    } else {
        ("systemctl", "")
    };
    out::message(&format!(
        "keys of models go into {}, one NAME=value a line, mode 600; then: {control} daemon-reload, and either {control} \
         enable --now {name}-supervise.service (one process, exact to the second) or {control} enable --now {name}.path \
         {name}.timer (no process in between){linger}",
        keys.display()
    ));
}
