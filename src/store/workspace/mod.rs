//! Finding, checking and opening a workspace, and its settings.

pub(in crate::store) mod caches;
pub mod clock;
pub mod home;
pub mod journal;
pub mod journal_reader;
pub mod key_file;
pub mod mailbox;
mod network_fs;
pub mod program_env;
pub mod programs;
pub mod scaffold;
pub mod settings;
pub mod settings_file;
pub mod trust;
pub mod zones;

use crate::core::config::resolved_model::ResolvedModel;
use crate::core::config::{self, Config, OFFLINE, Sync};
use crate::core::event::Event;
use crate::core::event::address::Address;
use crate::core::event::dispatch;
use crate::core::event::origin::SenderClass;
use crate::core::fault::{Fault, Result};
use crate::core::text::problem::Problem;
use crate::store::fs::durable;
use crate::store::fs::durable_dirs::DurableDirs;
use crate::store::fs::file_cache::FileCache;
use crate::store::fs::{At, if_there, unreadable};
use crate::store::workspace::caches::Caches;
use crate::store::workspace::settings::Settings;
use crate::world::World;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Every directory of the internal state.
pub const LAYOUT: &[&str] = &[
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
    ".claw/memory",
    ".claw/stop",
];

/// A workspace, opened by one process.
#[derive(Debug)]
pub struct Workspace {
    /// Its directory.
    pub root: PathBuf,
    /// False if it was found in an ancestor of the working directory and the user does not trust it: then nothing that
    /// it names is run or contacted.
    pub is_trusted: bool,
    /// Clock, randomness, environment.
    pub world: World,
    /// The cassette on which every model call is recorded.
    pub record: Option<PathBuf>,
    settings: Settings,
    pub(in crate::store) caches: Caches,
}

/// Names in folders that are listed for every event, by folder.
#[derive(Default)]
struct FolderNames(FileCache<Arc<[String]>>);

impl Workspace {
    /// Finds the workspace: `flag`, else `$CLAW_WORKSPACE`, else the nearest ancestor with a
    /// `claw.yaml`, else `$XDG_DATA_HOME/claw`.
    ///
    /// # Errors
    /// `Config` if there is none, it belongs to another user, or it is on a network file system.
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
                    return Err(Fault::config(format!("{} is not a folder", root.display()))
                        .hint("name the folder that contains claw.yaml"));
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
            .hint("change to another folder, or name your own workspace with -w"));
        }
        let (settings, caches) = (Settings::default(), Caches::default());
        let workspace = Self { root, is_trusted, world, record: None, settings, caches };
        if let Some(kind) = network_fs::kind(&workspace.root)?
            && !workspace.config()?.allow_network_fs
        {
            return Err(Fault::config(format!("{} is on {kind}, a network file system", workspace.root.display()))
                .hint("its locks and renames cannot be relied on: move it, or set allow_network_fs: true"));
        }
        Ok(workspace)
    }

    /// A folder of the internal state that is a symbolic link, so that its subfolders would be created elsewhere.
    #[must_use]
    pub fn linked_folder(root: &Path) -> Option<&'static str> {
        let is_above = |name: &str| LAYOUT.iter().any(|other| Path::new(other).parent() == Some(Path::new(name)));
        LAYOUT.iter().copied().find(|name| is_above(name) && root.join(name).is_symlink())
    }

    /// Creates the missing directories. Costs one system call for each existing one.
    ///
    /// # Errors
    /// If one cannot be created.
    pub fn make_layout(&self) -> Result<()> {
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

    /// The settings in force: those of `claw.yaml` as it is now, or while that is invalid, the last valid ones that this
    /// process has read. Warnings are printed once.
    ///
    /// # Errors
    /// `Config`, with line and column, if `claw.yaml` is invalid and this process has read no valid one.
    pub fn config(&self) -> Result<Arc<Config>> {
        self.settings.get(&self.root.join(config::FILE), &self.world)
    }

    /// The settings in the file, without the cache, and their warnings.
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

    /// Prints a message once in the life of the workspace. A file `.claw/said-<key>` marks it as printed.
    pub fn warn_once(&self, key: &str, text: &str) {
        let path = self.root.join(".claw").join(format!("said-{key}"));
        // Unlike the creation, the check takes no lock on the folder.
        if !path.exists() && fs::File::create_new(path).is_ok() {
            self.world.say(text);
        }
    }

    /// Its canonical directory.
    #[must_use]
    pub fn real_root(&self) -> PathBuf {
        fs::canonicalize(&self.root).unwrap_or_else(|_| self.root.clone())
    }

    /// The path of a file, given relative to the workspace.
    #[must_use]
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// The names in a folder, sorted, without those that are not UTF-8; empty if the folder is missing. Cached while the
    /// folder is unchanged: for small folders that are listed often.
    ///
    /// # Errors
    /// If it exists and cannot be listed. The error is not cached.
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
        self.caches.of::<FolderNames>().0.get(folder, std::slice::from_ref(&dir), self.world.now(), list)
    }

    /// Creates a folder durably, as [`durable::make_dir`]; skipped if this process knows it to be durable.
    ///
    /// # Errors
    /// As [`durable::make_dir`].
    pub fn make_dir(&self, dir: &Path, levels: usize) -> Result<()> {
        self.caches.of::<DurableDirs>().make(dir, levels, self.sync()?)
    }

    /// The owner's addresses apart from the local user: `owner` and `deliver_to`.
    ///
    /// # Errors
    /// If `claw.yaml` is invalid.
    pub fn owners(&self) -> Result<Vec<Address>> {
        let config = self.config()?;
        Ok(config.owner.iter().chain(&config.deliver_to).cloned().collect())
    }

    /// The owner's addresses, as [`Workspace::owners`], and the sender of this event if its channel has recognised it
    /// as the owner.
    ///
    /// # Errors
    /// If `claw.yaml` is invalid.
    pub fn owners_of(&self, event: &Event) -> Result<Vec<Address>> {
        let paired = Some(&event.from).filter(|_| event.origin.class == Some(SenderClass::Owner));
        Ok(self.owners()?.into_iter().chain(paired.cloned()).collect())
    }

    /// The class of an event's sender.
    ///
    /// # Errors
    /// If `claw.yaml` is invalid.
    pub fn class(&self, event: &Event) -> Result<SenderClass> {
        match event.origin.class {
            Some(class) => Ok(class),
            None => self.class_of(&event.from),
        }
    }

    /// The class of an address.
    ///
    /// # Errors
    /// If `claw.yaml` is invalid.
    pub fn class_of(&self, from: &Address) -> Result<SenderClass> {
        Ok(SenderClass::of(from, &self.owners()?, &self.config()?.known))
    }

    /// Whether writes are synced.
    ///
    /// # Errors
    /// If `claw.yaml` is invalid.
    pub fn sync(&self) -> Result<Sync> {
        Ok(self.config()?.sync)
    }

    /// Refuses a model other than the built-in one while the workspace is not trusted.
    ///
    /// # Errors
    /// `Config`.
    pub fn permit_model(&self, chosen: &ResolvedModel) -> Result<()> {
        if self.is_trusted || chosen.model.provider.as_deref() == Some(OFFLINE) {
            return Ok(());
        }
        let root = self.root.display();
        Err(Fault::config(format!("{root} is not trusted, so its model `{}` is not used", chosen.name))
            .hint("run `claw trust` in it"))
    }

    /// The address of the local user, `cli:<user>`.
    ///
    /// # Errors
    /// None in practice: [`World::user`] returns a name that is valid in an address.
    pub fn local_user(&self) -> Result<Address> {
        Address::parse(&format!("cli:{}", self.world.user()))
    }

    /// The owner's delivery address: `deliver_to`, else the one that was learned from the owner's first message.
    ///
    /// # Errors
    /// If `claw.yaml` is invalid.
    pub fn home(&self) -> Result<Option<Address>> {
        let config = self.config()?;
        let learned = || home::learned(&self.root, &config).map(|home| home.address);
        Ok(config.deliver_to.clone().or_else(learned))
    }

    /// The destination of answers that have none: [`Workspace::home`], else [`Workspace::local_user`].
    ///
    /// # Errors
    /// If `claw.yaml` is invalid.
    pub fn default_destination(&self) -> Result<Address> {
        self.home()?.map_or_else(|| self.local_user(), Ok)
    }

    /// The address of the person that gets the answer to `event` in the end. Of an event in the background that is the
    /// owner, at [`Workspace::default_destination`].
    ///
    /// # Errors
    /// If `claw.yaml` is invalid.
    pub fn person(&self, event: &Event) -> Result<Address> {
        dispatch::final_recipient(event).map_or_else(|| self.default_destination(), Ok)
    }
}

/// The workspace used when none is named: `$XDG_DATA_HOME/claw`.
///
/// # Errors
/// `Config` if neither `XDG_DATA_HOME` nor `HOME` is set.
pub fn default_root(world: &World) -> Result<PathBuf> {
    let data = world.var("XDG_DATA_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    let home = || world.var("HOME").map(|h| Path::new(h).join(".local/share"));
    data.or_else(home).map(|d| d.join("claw")).ok_or_else(|| {
        Fault::config("no workspace: no claw.yaml in this folder or above it, and HOME is not set")
            .hint("name one with -w DIR or CLAW_WORKSPACE")
    })
}
