//! Which directory is meant, whether it is fit, and whether its owner trusts it.

pub mod clock;
pub mod journal;
pub mod mailbox;
pub(in crate::store) mod own_slots;
pub mod scaffold;
pub mod settings;
pub mod trust;

use crate::core::budget::ledger::LedgerState;
use crate::core::config::{self, Config, Sync};
use crate::core::definition::skill::Skill;
use crate::core::definition::{Agent, Cron};
use crate::core::event::Event;
use crate::core::event::address::Address;
use crate::core::event::dispatch;
use crate::core::fault::{Fault, Result};
use crate::core::model::settings::Model;
use crate::core::text::problem::Problem;
use crate::store::fs::durable;
use crate::store::fs::durable::Places;
use crate::store::fs::file_cache::FileCache;
use crate::store::fs::{At, if_there, unreadable};
use crate::store::workspace::own_slots::OwnSlots;
use crate::store::workspace::settings::Settings;
use crate::world::World;
use std::collections::HashMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Every directory that the machine itself needs.
const LAYOUT: &[&str] = &[
    "inbox",
    "inbox/tmp",
    "inbox/new",
    "inbox/ready",
    "inbox/run",
    "inbox/wait",
    "inbox/done",
    "inbox/failed",
    "outbox",
    "outbox/tmp",
    "outbox/ready",
    "outbox/run",
    "outbox/wait",
    "outbox/done",
    "outbox/failed",
    "sessions",
    "memories",
    ".claw",
    ".claw/journal",
    ".claw/locks",
    ".claw/locks/inbox",
    ".claw/locks/outbox",
    ".claw/locks/slots",
    ".claw/stop",
];

/// A workspace, opened by one process.
#[derive(Debug)]
pub struct Workspace {
    /// Its directory.
    pub root: PathBuf,
    /// False where it was found by walking up and the user has not said that it may be trusted:
    /// nothing that it names is run or contacted.
    pub is_trusted: bool,
    /// Clock, randomness, environment.
    pub world: World,
    /// The cassette that everything is recorded on that models are asked.
    pub record: Option<PathBuf>,
    settings: Settings,
    pub(crate) caches: Caches,
}

/// What one process need not find out twice.
#[derive(Debug, Default)]
pub(crate) struct Caches {
    /// What lies in folders that are looked at for every event.
    names: FileCache<Arc<[String]>>,
    pub(crate) agents: FileCache<Arc<Agent>>,
    pub(crate) llms: FileCache<Arc<Model>>,
    pub(crate) crons: FileCache<Arc<Cron>>,
    pub(crate) guides: FileCache<Arc<[(&'static str, String)]>>,
    pub(crate) skills: FileCache<Arc<(Skill, Vec<Problem>)>>,
    /// Where programs were found that skills need.
    pub(crate) programs: Mutex<HashMap<String, PathBuf>>,
    /// Hashes of approved scripts.
    pub(crate) scripts: FileCache<String>,
    pub(crate) places: Places,
    pub(crate) slots: Arc<OwnSlots>,
    /// What the ledger says, as far as it was read.
    pub(crate) book: Mutex<Option<LedgerState>>,
    /// The journal's file of the day, open for appending.
    pub(crate) pen: Mutex<Option<(String, fs::File)>>,
}

impl Workspace {
    /// Finds the workspace: `flag`, else `$CLAW_WORKSPACE`, else the nearest ancestor with a
    /// `claw.yaml`, else `$XDG_DATA_HOME/claw`.
    ///
    /// # Errors
    /// `Config` where there is none, or it belongs to somebody else, or lies on a network.
    pub fn find(world: World, flag: Option<&Path>) -> Result<Self> {
        let named = flag.map(Path::to_path_buf).or_else(|| world.var("CLAW_WORKSPACE").map(PathBuf::from));
        if let Some(root) = named {
            return Self::open(world, root, true);
        }
        let here = std::env::current_dir().at("read", Path::new("."))?;
        if let Some(root) = here.ancestors().find(|dir| dir.join(config::FILE).exists()) {
            let is_trusted = trust::is_trusted(&world, root);
            return Self::open(world, root.to_path_buf(), is_trusted);
        }
        let root = default_root(&world)?;
        Self::open(world, root, true)
    }

    /// Opens the workspace in `root`.
    ///
    /// # Errors
    /// As [`Workspace::find`].
    pub fn open(world: World, root: PathBuf, is_trusted: bool) -> Result<Self> {
        let file = root.join(config::FILE);
        let meta = match fs::metadata(&file) {
            Ok(meta) => meta,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                if root.exists() && !root.is_dir() {
                    return Err(Fault::config(format!("{} is no folder", root.display()))
                        .hint("name the folder that claw.yaml lies in"));
                }
                return Err(Fault::config(format!("no workspace in {}", root.display()))
                    .hint(format!("make one with `claw init {}`", root.display())));
            }
            Err(e) => return Err(e).at("read", &file),
        };
        let me = rustix::process::geteuid().as_raw();
        let owner = fs::metadata(&root).at("read", &root)?.uid();
        if let Some(other) = [owner, meta.uid()].into_iter().find(|uid| *uid != me) {
            return Err(Fault::config(format!(
                "{} belongs to another user (uid {other}, you are {me})",
                root.display()
            ))
            .hint("go elsewhere, or name your own workspace with -w"));
        }
        let (settings, caches) = (Settings::default(), Caches::default());
        let workspace = Self { root, is_trusted, world, record: None, settings, caches };
        if let Some(kind) = network_kind(&workspace.root)?
            && !workspace.config()?.allow_network_fs
        {
            return Err(Fault::config(format!("{} is on {kind}, a network file system", workspace.root.display()))
                .hint("its locks and renames cannot be relied on: move it, or set allow_network_fs: true"));
        }
        Ok(workspace)
    }

    /// Makes the directories that are missing. They cost a system call each.
    ///
    /// # Errors
    /// Where one cannot be made.
    pub fn lay_out(&self) -> Result<()> {
        for name in LAYOUT {
            let path = self.root.join(name);
            match fs::create_dir(&path) {
                Ok(()) => durable::sync_dir(path.parent().unwrap_or(&self.root), self.sync()?)?,
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e).at("make", &path),
            }
        }
        Ok(())
    }

    /// The settings that are in force: those of `claw.yaml` as it is now, or while that is wrong, as it
    /// last was good in the life of this process. Warnings are said, once.
    ///
    /// # Errors
    /// `Config`, with line and column, where `claw.yaml` is bad and was never good.
    pub fn config(&self) -> Result<Arc<Config>> {
        self.settings.get(&self.root.join(config::FILE), &self.world)
    }

    /// The settings as they are in the file now, with their warnings.
    ///
    /// # Errors
    /// The problem with the file.
    pub fn read_config(&self) -> std::result::Result<(Config, Vec<Problem>), Problem> {
        let path = self.root.join(config::FILE);
        match fs::read_to_string(&path) {
            Ok(text) => config::parse(&text),
            Err(e) => Err(Problem::error(config::FILE, format!("cannot be read: {e}"))),
        }
    }

    /// Says something once in the workspace's life.
    pub fn say_once(&self, key: &str, text: &str) {
        let path = self.root.join(".claw").join(format!("said-{key}"));
        // Looking takes no lock of the folder's.
        if !path.exists() && fs::File::create_new(path).is_ok() {
            self.world.say(text);
        }
    }

    /// Its directory, absolute and without links, however it was named.
    #[must_use]
    pub fn real_root(&self) -> PathBuf {
        fs::canonicalize(&self.root).unwrap_or_else(|_| self.root.clone())
    }

    /// A path in the workspace.
    #[must_use]
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// The names in a folder, as far as they are UTF-8, sorted; none where there is no such folder. They are kept
    /// while it is as it was: for folders with little in them that are looked at again and again.
    ///
    /// # Errors
    /// Where it is there and cannot be listed, which is not kept.
    pub fn names(&self, folder: &str) -> Result<Arc<[String]>> {
        let dir = self.path(folder);
        let list = || {
            let fault = |e: io::Error| unreadable(&format!("{folder}/"), &dir, &e);
            let mut names = Vec::new();
            for entry in if_there(fs::read_dir(&dir)).map_err(fault)?.into_iter().flatten() {
                names.extend(entry.map_err(fault)?.file_name().into_string());
            }
            names.sort();
            Ok(names.into())
        };
        self.caches.names.get(folder, std::slice::from_ref(&dir), self.world.now(), list)
    }

    /// Makes a folder, durable with the names above it, `levels` of them.
    ///
    /// # Errors
    /// Where the disk cannot.
    pub fn make_place(&self, dir: &Path, levels: usize) -> Result<()> {
        self.caches.places.make(dir, levels, self.sync()?)
    }

    /// Whose word is the owner's, beside whoever sits at this machine: `owner`, and `deliver_to`.
    ///
    /// # Errors
    /// Where `claw.yaml` is bad.
    pub fn owners(&self) -> Result<Vec<Address>> {
        let config = self.config()?;
        Ok(config.owner.iter().chain(&config.deliver_to).cloned().collect())
    }

    /// How writes wait for the disk.
    ///
    /// # Errors
    /// Where `claw.yaml` is bad.
    pub fn sync(&self) -> Result<Sync> {
        Ok(self.config()?.sync)
    }

    /// The person at this terminal.
    ///
    /// # Errors
    /// Never in practice: user names are made fit for addresses.
    pub fn me(&self) -> Result<Address> {
        Address::parse(&format!("cli:{}", self.world.user()))
    }

    /// Where answers go that have no place to go to: `deliver_to`, else [`Workspace::me`].
    ///
    /// # Errors
    /// Where `claw.yaml` is bad.
    pub fn home(&self) -> Result<Address> {
        match &self.config()?.deliver_to {
            Some(address) => Ok(address.clone()),
            None => self.me(),
        }
    }

    /// Where the person is for whom `event` is answered in the end; where it runs in the background, that is the
    /// owner, at [`Workspace::home`].
    ///
    /// # Errors
    /// Where `claw.yaml` is bad.
    pub fn person(&self, event: &Event) -> Result<Address> {
        dispatch::final_recipient(event).map_or_else(|| self.home(), Ok)
    }
}

/// Where the workspace of somebody who named none is: `$XDG_DATA_HOME/claw`.
///
/// # Errors
/// `Config` where neither `XDG_DATA_HOME` nor `HOME` is set.
pub fn default_root(world: &World) -> Result<PathBuf> {
    let data = world.var("XDG_DATA_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    let home = || world.var("HOME").map(|h| Path::new(h).join(".local/share"));
    data.or_else(home).map(|d| d.join("claw")).ok_or_else(|| {
        Fault::config("no workspace: there is no claw.yaml here or above, and HOME is not set")
            .hint("name one with -w DIR or CLAW_WORKSPACE")
    })
}

/// The network file system that `path` lies on, if it does.
fn network_kind(path: &Path) -> Result<Option<&'static str>> {
    let kind = rustix::fs::statfs(path).at("look at", path)?.f_type;
    Ok(network_name(u32::try_from(kind & 0xffff_ffff).unwrap_or_default()))
}

/// Names of network file systems by their magic (`statfs(2)` and `linux/magic.h`).
#[must_use]
pub fn network_name(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "NFS",
        0x517b => "SMB",
        0xff53_4d42 => "CIFS",
        0xfe53_4d42 => "SMB2",
        0x0102_1997 => "9P",
        0x00c3_6400 => "Ceph",
        0x5346_414f => "AFS",
        0x7375_7245 => "Coda",
        0x0bd0_0bd0 => "Lustre",
        0x0116_1970 => "GFS2",
        0x7461_636f => "OCFS2",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_and_local_ones_are_not_among_them() {
        assert_eq!(network_name(0x6969), Some("NFS"));
        assert_eq!(network_name(0xfe53_4d42), Some("SMB2"));
        for local in [0xef53, 0x5846_5342, 0x0102_1994, 0x9123_683e, 0x2fc1_2fc1, 0x794c_7630] {
            assert_eq!(network_name(local), None);
        }
    }
}
