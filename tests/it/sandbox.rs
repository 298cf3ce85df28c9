//! The sandbox of an agent's programs: a table of escapes, each tried with the real shell tool. In every case the
//! owner's secrets stay secret, the owner's files stay unchanged, and the turn ends well.

use crate::common::findings::{files, same_files};
use crate::common::{Fixture, Ran, skipped};
use claw::store::memory::git;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

/// The contents of every secret file.
const SECRET: &str = "canary-5f2c81d07e";
/// Always makes the call in `call.json`, and then answers `done`.
const MODEL: &str = "if grep -q '\"role\":\"tool\"'; then echo done; else cat call.json; fi";

struct Yard {
    ws: Fixture,
}

impl Yard {
    fn new() -> Self {
        Self::with("")
    }

    fn with(config: &str) -> Self {
        let ws = Fixture::new();
        ws.config(config);
        ws.write("model.sh", MODEL);
        ws.write("keys/openai", SECRET);
        ws.write(".secrets/token", SECRET);
        ws.write("sessions/pickle.other/log.jsonl", "");
        ws.model("shell", "provider: command, command: [sh, model.sh], api_key_file: keys/openai");
        fs::write(ws.dir.path().join("outside"), SECRET).unwrap();
        fs::create_dir(ws.path("files-evil")).unwrap();
        // The model program is recorded as trusted now, and not during the attacks.
        ws.claw(&["trust"]).ok();
        Self { ws }
    }

    fn ask(&self, name: &str, arguments: &Value) -> Ran {
        self.ws.write("call.json", &json!({"calls": [{"name": name, "arguments": arguments}]}).to_string());
        self.ws.command(&["ask", "-n", "go"]).env("TEST_API_KEY", SECRET).output().unwrap().into()
    }

    /// The result of this command for the model.
    fn bash(&self, command: &str) -> String {
        let before = self.ws.list("sessions");
        assert_eq!(self.ask("bash", &json!({"command": command})).ok(), "done\n", "{command}");
        let session = self.ws.list("sessions").into_iter().find(|name| !before.contains(name)).unwrap();
        let log = self.ws.read(&format!("sessions/{session}/log.jsonl"));
        let records = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        records.filter_map(|record| record["result"].as_str().map(ToOwned::to_owned)).collect()
    }

    /// The files that the agent must not change, with their contents.
    fn owned(&self) -> BTreeMap<String, Vec<u8>> {
        let own = ["ws/files/", "ws/memories", "ws/sessions", "ws/inbox/", "ws/outbox/", "ws/.claw/", "ws/call.json"];
        files(self.ws.dir.path(), |path| !own.iter().any(|moving| path.starts_with(moving)))
    }
}

#[test]
fn ordinary_programs_work_in_the_sandbox() {
    let yard = Yard::new();
    let works = [
        ("echo hi > files/a && cat files/a", "hi"),
        ("mkdir -p files/d/e && mv files/a files/d/e/b && cat files/d/e/b", "hi"),
        ("ls", "AGENTS.md"),
        ("cat agents/pickle/AGENT.md", "Pickle"),
        ("echo fact >> memories/topics/x.md; echo x > skills/x; echo x > crons/x; ls crons skills/x", "cannot access"),
        ("f=$(mktemp); echo scratch > $f; cat $f; case $f in $TMPDIR/*) echo own;; esac", "scratch\nown"),
        ("printf '#!/bin/sh\\necho ran\\n' > files/s && chmod +x files/s && files/s", "ran"),
        ("seq 1 3 | tail -n 1; cat <(echo sub)", "3\nsub"),
        ("echo out; echo err >&2; exit 3", "out\n[stderr]\nerr\n[exit code 3]"),
        ("(echo a & echo b & wait) | sort", "a\nb"),
        ("true", "(no output)"),
        ("test -z \"$TEST_API_KEY\" && echo $CLAW_INSIDE$TERM", "1dumb"),
    ];
    for (command, told) in works {
        let result = yard.bash(command);
        assert!(result.contains(told), "{command}: {result}");
    }
    assert_eq!(yard.ws.list(".claw/tmp"), [""; 0], "nothing is left of temporary folders");
}

#[test]
fn secrets_of_the_owner_are_unreadable() {
    let yard = Yard::new();
    let outside = yard.ws.dir.path().join("outside").display().to_string();
    let reads = [
        format!("cat {outside}"),
        "cat ../outside; cat files/../../outside".to_owned(),
        format!("ln -s {outside} files/link; cat files/link"),
        format!("ln {outside} files/hard; cat files/hard; cp -l {outside} files/hard2; cat files/hard2"),
        format!("cat /proc/self/root{outside}; cat /proc/$$/cwd/../outside; cat /proc/$PPID/cwd/../outside"),
        "for fd in /proc/$PPID/fd/* /proc/self/fd/*; do timeout 1 cat $fd; done".to_owned(),
        "env; set; cat /proc/$PPID/environ /proc/*/environ".to_owned(),
        "cat keys/openai .secrets/token; grep -r canary .".to_owned(),
        "cp -r keys files/k; tar cf - .secrets; mv .secrets files/s; cat files/k/* files/s/*".to_owned(),
        "dd if=/proc/$PPID/mem bs=1 count=1; cat /proc/$PPID/maps".to_owned(),
        "cat /etc/shadow /root/.bashrc ~root/.ssh/* ; ls /home/*/.ssh".to_owned(),
        format!("exec 9<{outside}; cat <&9"),
    ];
    let before = yard.owned();
    for command in reads {
        let result = yard.bash(&command);
        assert!(!result.contains(SECRET) && !result.contains("root:"), "{command}: {result}");
    }
    same_files(&before, &yard.owned(), "by reading");
}

#[test]
fn the_key_of_another_agent_is_no_less_hidden() {
    let yard = Yard::new();
    let other = "other-5f2c81d07e";
    let agent =
        |llm: &str, more: &str| format!("---\nname: X\n{more}llm: {{provider: openai, model: m, {llm}}}\n---\nYou.\n");
    yard.ws.write("mine/helper.key", other);
    yard.ws.write("agents/helper/AGENT.md", &agent("api_key_file: mine/helper.key", ""));
    // An unusable agent has its key all the same.
    yard.ws.write("agents/third/AGENT.md", &agent(&format!("api_key: {other}"), "max_concurrency: 0\n"));
    let told = yard.bash("cat mine/helper.key agents/third/AGENT.md");
    assert!(told.contains("Permission denied") && told.contains("api_key: [hidden]}"), "{told}");
    yard.ask("read", &json!({"path": "mine/helper.key"})).ok();
    yard.ask("search", &json!({"pattern": "other-"})).ok();
    let logs = yard.ws.list("sessions").into_iter().map(|name| yard.ws.read(&format!("sessions/{name}/log.jsonl")));
    let logs: String = logs.collect();
    assert!(!logs.contains(other) && logs.contains("\"failed\":true"), "{logs}");
}

#[test]
fn workspace_below_a_program_folder_is_protected() {
    let yard = Yard::new();
    let command = "cat claw.yaml ../keys/other ../.profile .secrets/token sessions/*/log.jsonl .claw/*; \
                   cat /opt/app/version AGENTS.md";
    yard.ws.write("call.json", &json!({"calls": [{"name": "bash", "arguments": {"command": command}}]}).to_string());
    let yaml = yard.ws.read("claw.yaml").replace("keys/openai", "../keys/other");
    yard.ws.write("claw.yaml", &yaml);
    let mount = "mount -t tmpfs tmpfs /opt && mkdir -p /opt/home/ws && mount --bind . /opt/home/ws";
    let script = format!(
        "cd /opt/home; mkdir keys ../app; echo {SECRET} >keys/other; echo my profile >.profile
         echo version 7 >../app/version; HOME=/opt/home; export HOME
         cd ws; claw trust >/dev/null; claw ask -n -s bound go"
    );
    let Some(ran) = yard.ws.mounted(mount, &script) else { return };
    assert_eq!(ran.ok(), "done\n");
    let log = yard.ws.read("sessions/pickle.bound/log.jsonl");
    let records: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = records.iter().find_map(|record| record["result"].as_str()).unwrap();
    assert!(told.contains("version 7\n# Workspace guide"), "what programs need is open: {told}");
    for closed in ["model:", "[hidden]", "my profile"] {
        assert!(!told.contains(closed), "{told}");
    }
    assert!(told.matches("Permission denied").count() >= 5, "{told}");
}

#[test]
fn nothing_that_is_the_owners_is_changed() {
    let yard = Yard::new();
    let outside = yard.ws.dir.path().join("outside").display().to_string();
    let before = yard.owned();
    let writes = [
        format!("echo evil > {outside}; rm -f {outside}; mv {outside} files/x; ln -f files/y {outside}"),
        "echo 'model: evil' > claw.yaml; truncate -s 0 claw.yaml; rm claw.yaml; mv claw.yaml files/".to_owned(),
        "echo evil > tools/evil; mkdir tools/d; echo evil > agents/pickle/AGENT.md; rm -rf agents".to_owned(),
        "echo evil > .git/hooks/post-commit; rm -rf .git; echo evil >> .git/config".to_owned(),
        "echo evil > files-evil/a; mkdir ../evil; echo evil > AGENTS.md; touch HEARTBEAT.md".to_owned(),
        "ln -s ../claw.yaml files/l; echo evil > files/l; echo evil >> files/../claw.yaml".to_owned(),
        "ln claw.yaml files/h && echo evil > files/h".to_owned(),
        "mknod files/null c 1 3; mknod files/disk b 254 0; mount -t tmpfs none files; mount --bind files agents"
            .to_owned(),
        "unshare -Ur sh -c 'mount -t tmpfs none agents; echo evil > agents/x'; unshare -m true".to_owned(),
        "cp /bin/sh files/sh; chmod u+s files/sh; files/sh -p -c 'echo evil > claw.yaml'".to_owned(),
        "perl -e 'open F, \"+<\", \"claw.yaml\" or die; print F \"evil\"'; dd if=/dev/zero of=claw.yaml count=1"
            .to_owned(),
    ];
    for command in writes {
        let result = yard.bash(&command);
        same_files(&before, &yard.owned(), &format!("after `{command}`: {result}"));
    }
    let boxes = yard.bash(
        "for d in inbox inbox/new outbox outbox/ready sessions sessions/pickle.other .claw .claw/approvals/approved \
         .claw/locks/inbox; do echo evil > $d/evil.md && echo $d; rm -rf $d/*; done",
    );
    let evil = walkdir::WalkDir::new(&yard.ws.root).into_iter().flatten().find(|e| e.file_name() == "evil.md");
    assert!(evil.is_none(), "{evil:?}: {boxes}");
    assert!(yard.ws.path("sessions/pickle.other/log.jsonl").exists(), "{boxes}");
    assert_eq!(yard.ws.claw(&["ask", "-n", "-m", "offline", "still there?"]).code, 0);
}

/// Agents whose folders are nested: what `pickle` puts into its folder must not become a root of `cookie` or `reader`.
fn nested(yard: &Yard) {
    let agent = |id: &str, head: &str| {
        yard.ws.write(&format!("agents/{id}/AGENT.md"), &format!("---\nname: {id}\n{head}---\nYou.\n"));
    };
    agent("pickle", "write: [projects]\n");
    agent("cookie", "write: [projects/cookie]\nread: [projects/inbox]\n");
    agent("reader", "write: [files]\nread: [projects/inbox]\n");
    fs::create_dir_all(yard.ws.path("projects/real")).unwrap();
}

/// The results of these commands of an agent, all in one turn.
fn turn(yard: &Yard, agent: &str, commands: &[String]) -> Vec<String> {
    let calls: Vec<Value> =
        commands.iter().map(|command| json!({"name": "bash", "arguments": {"command": command}})).collect();
    yard.ws.write("call.json", &json!({"calls": calls}).to_string());
    let before = yard.ws.list("sessions");
    assert_eq!(yard.ws.claw(&["ask", "-n", "-a", agent, "go"]).ok(), "done\n");
    let session = yard.ws.list("sessions").into_iter().find(|name| !before.contains(name)).unwrap();
    let log = yard.ws.read(&format!("sessions/{session}/log.jsonl"));
    let records = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.filter_map(|record| record["result"].as_str().map(ToOwned::to_owned)).collect()
}

#[test]
fn link_planted_for_another_agent_opens_nothing() {
    let yard = Yard::new();
    nested(&yard);
    // `pickle` plants them with its own shell.
    yard.bash("ln -s .. projects/cookie && ln -s ../.secrets projects/inbox && ls -l projects");
    // Not a known key, which would be replaced in results.
    yard.ws.write(".secrets/letter", "a private letter");
    assert!(yard.ws.path("projects/cookie").is_symlink() && yard.ws.path("projects/inbox").is_symlink());
    let before = yard.owned();
    let tries = [
        "echo evil >> claw.yaml; echo evil >> projects/cookie/claw.yaml; rm -rf agents tools",
        "cat claw.yaml projects/cookie/claw.yaml",
        "cat .secrets/letter",
        "cat projects/inbox/letter",
        "cat keys/openai",
        "echo evil > AGENTS.md; echo evil > projects/cookie/evil; echo evil > projects/evil",
    ];
    for agent in ["cookie", "reader"] {
        for told in turn(&yard, agent, &tries.map(ToOwned::to_owned)) {
            assert!(
                told.contains("Permission denied") && !told.contains("a private") && !told.contains("model:"),
                "{told}"
            );
        }
        same_files(&before, &yard.owned(), &format!("by commands of {agent}"));
        for (tool, arguments) in [
            ("write", json!({"path": "projects/cookie/claw.yaml", "content": "evil"})),
            ("write", json!({"path": "projects/cookie/AGENTS.md", "content": "evil"})),
            ("read", json!({"path": "projects/inbox/letter"})),
            ("search", json!({"path": "projects/inbox", "pattern": "private"})),
        ] {
            yard.ws.write("call.json", &json!({"calls": [{"name": tool, "arguments": arguments}]}).to_string());
            yard.ws.claw(&["ask", "-n", "-a", agent, "go"]).ok();
            same_files(&before, &yard.owned(), &format!("by `{tool}` of {agent}"));
        }
    }
    let logs = yard.ws.list("sessions").into_iter().map(|name| yard.ws.read(&format!("sessions/{name}/log.jsonl")));
    assert!(!logs.collect::<String>().contains("a private letter"));
}

#[test]
fn link_swapped_in_while_programs_start_opens_nothing() {
    let yard = Yard::new();
    nested(&yard);
    let (folder, link) = (yard.ws.path("projects/cookie"), yard.ws.path("projects/link"));
    fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink("..", &link).unwrap();
    let before = yard.ws.read("claw.yaml");
    let is_over = AtomicBool::new(false);
    let told = std::thread::scope(|scope| {
        scope.spawn(|| {
            let flags = rustix::fs::RenameFlags::EXCHANGE;
            while !is_over.load(Ordering::Relaxed) {
                rustix::fs::renameat_with(rustix::fs::CWD, &folder, rustix::fs::CWD, &link, flags).unwrap();
            }
        });
        let commands: Vec<String> =
            (0..60).map(|n| format!("(echo '# evil' >> claw.yaml) 2>/dev/null && echo escaped {n}; true")).collect();
        let told = turn(&yard, "cookie", &commands);
        is_over.store(true, Ordering::Relaxed);
        told
    });
    assert_eq!(told.len(), 60);
    assert!(told.iter().all(|told| told == "(no output)"), "{told:?}");
    assert_eq!(yard.ws.read("claw.yaml"), before);
}

#[test]
fn modes_attributes_and_queues_are_closed() {
    let yard = Yard::new();
    let tries = [
        "cp /bin/true files/s; for m in u+s g+s 4755 2755 o+w 0777; do chmod $m files/s && echo open $m; done",
        "perl -e 'use Fcntl; umask 0; sysopen(F, \"files/p\", O_CREAT|O_WRONLY, 04755) and print \"open\\n\"'",
        "perl -e 'syscall(2, my $p = \"files/q\", 0102, 06755) >= 0 and print \"open\\n\"' # open",
        "perl -e 'syscall(85, my $p = \"files/r\", 04755) >= 0 and print \"open\\n\"' # creat",
        "perl -e 'syscall(133, my $p = \"files/t\", 0104755, 0) >= 0 and print \"open\\n\"' # mknod",
        "perl -e 'syscall(452, -100, my $p = \"files/s\", 04755, 0) >= 0 and print \"open\\n\"' # fchmodat2",
        "perl -e 'syscall(188, my $p = \"files/s\", my $n = \"user.a\", my $v = \"b\", 1, 0) >= 0 and print \"open\\n\"'",
        "ipcmk -Q && echo open; ipcmk -M 10 && echo open; ipcmk -S 1 && echo open",
        "perl -e 'syscall(240, my $p = \"q\", 0102, 0600, 0) >= 0 and print \"open\\n\"' # mq_open",
        "renice -n 5 -p $PPID && echo open; renice -n 5 -u root && echo open; ionice -c 3 -p $PPID && echo open",
        "taskset -p 1 $PPID && echo open; chrt -b -p 0 $PPID && echo open",
        // A call that this sandbox does not know, and calls whose arguments it cannot see.
        "perl -e '$! = 0; syscall($_, 0, 0, 0) >= 0 || $! != 38 and print \"open $_: $!\\n\" for 437, 435, 425, 457, 463, 467, 900'",
    ];
    for command in tries {
        let told = yard.bash(command);
        assert!(!told.contains("open"), "{command}: {told}");
    }
    let modes = yard
        .bash("touch files/new; mkdir files/sub; umask; stat -c %a files/new files/sub; nice -n 5 true && echo nice");
    assert_eq!(modes, "0022\n644\n755\nnice");
    let memory = fs::read_to_string("/proc/meminfo").unwrap();
    let total: u64 = memory.lines().next().unwrap().split_whitespace().nth(1).unwrap().parse().unwrap();
    assert_eq!(yard.bash("ulimit -d"), (total / 2).to_string(), "half of the memory for one process");
    // Core dumps, blocks of 1,024 bytes in a file, open files; soft and hard.
    let open = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap_or(4096).min(4096);
    for how in ["S", "H"] {
        let told = yard.bash(&format!("ulimit -{how}c; ulimit -{how}f; ulimit -{how}n"));
        assert_eq!(told, format!("0\n1048576\n{open}"), "ulimit -{how}");
    }
    for entry in walkdir::WalkDir::new(yard.ws.path("files")).into_iter().flatten() {
        use std::os::unix::fs::PermissionsExt;
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o6002, 0, "{}: {mode:o}", entry.path().display());
    }
}

/// Makes the calls of the table, and prints the errno of each (0 for success). A child that a call made ends at once.
const CALLER: &str = r#"
use POSIX ();
$| = 1;
our ($watcher, $neighbour) = @ARGV;
my $own = $$;
while (my $line = <STDIN>) {
    my ($name, $number, $arguments) = $line =~ /^(.*?): (\d+)\((.*)\)$/ or die $line;
    my @arguments = eval "($arguments)";
    die "$line: $@" if $@;
    $! = 0;
    my $result = syscall($number, @arguments);
    my $errno = $result == -1 ? $! + 0 : 0;
    POSIX::_exit(0) if syscall(NUMBER_OF_GETPID) != $own;
    print "$name: $errno\n";
}
print "user namespace ", readlink("/proc/self/ns/user"), "\n";
"#;

/// The limit of open files, the priority and the allowed processors of a process.
fn state(process: &str) -> String {
    let read = |file: &str| fs::read_to_string(format!("/proc/{process}/{file}")).unwrap();
    let line = |text: &str, name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    let priority = read("stat").rsplit_once(") ").unwrap().1.split(' ').nth(16).unwrap().to_owned();
    format!("{}\n{}\nnice {priority}", line(&read("limits"), "Max open files"), line(&read("status"), "Cpus_allowed:"))
}

/// Each call is made with arguments with which the kernel alone would make it, as root and mostly as a user too.
#[test]
fn refused_system_calls_return_their_error_and_have_no_effect() {
    let yard = Yard::new();
    let mut neighbour = Command::new("sleep").arg("300").spawn().unwrap();
    let process = neighbour.id().to_string();
    let limit = "7, my $new = pack('QQ', 64, 4096), 0";
    let mut table = vec![
        ("own limit".to_owned(), libc::SYS_prlimit64, format!("0, {limit}"), 0),
        ("own priority".to_owned(), libc::SYS_setpriority, "0, 0, 5".to_owned(), 0),
        ("a child".to_owned(), libc::SYS_clone, format!("{}, 0, 0, 0, 0", libc::SIGCHLD), 0),
    ];
    for other in ["$watcher", "$neighbour"] {
        let mask = "8, my $mask = pack('Q', 1)";
        let rows = [
            ("limit", libc::SYS_prlimit64, format!("{other}, {limit}")),
            ("processors", libc::SYS_sched_setaffinity, format!("{other}, {mask}")),
            ("scheduler", libc::SYS_sched_setscheduler, format!("{other}, 3, my $zero = pack('Q', 0)")),
            ("priority", libc::SYS_setpriority, format!("0, {other}, 7")),
            ("i/o priority", libc::SYS_ioprio_set, format!("1, {other}, {}", 3 << 13)),
            ("memory", libc::SYS_process_vm_readv, format!("{other}, my $a = '', 0, my $b = '', 0, 0")),
            ("trace", libc::SYS_ptrace, format!("0x4206, {other}, 0, 0")),
            ("comparison", libc::SYS_kcmp, format!("{other}, {other}, 1, 0, 0")),
        ];
        table.extend(rows.map(|(name, call, arguments)| (format!("{name} of {other}"), call, arguments, libc::EPERM)));
    }
    for (name, flag) in [
        ("user", libc::CLONE_NEWUSER),
        ("mount", libc::CLONE_NEWUSER | libc::CLONE_NEWNS),
        ("network", libc::CLONE_NEWUSER | libc::CLONE_NEWNET),
        ("process", libc::CLONE_NEWUSER | libc::CLONE_NEWPID),
    ] {
        table.push((
            format!("clone, {name} namespace"),
            libc::SYS_clone,
            format!("{}, 0, 0, 0, 0", flag | libc::SIGCHLD),
            libc::EPERM,
        ));
        table.push((format!("unshare, {name} namespace"), libc::SYS_unshare, flag.to_string(), libc::EPERM));
    }
    let rest = [
        ("groups of the keyring", libc::SYS_keyctl, "0, -3, 1", libc::EPERM),
        ("a new key", libc::SYS_add_key, "my $t = 'user', my $d = 'claw', my $p = 'x', 1, -3", libc::EPERM),
        ("a message queue", libc::SYS_msgget, "0, 0600", libc::EPERM),
        ("shared memory", libc::SYS_shmget, "0, 4096, 0600", libc::EPERM),
        ("a semaphore", libc::SYS_semget, "0, 1, 0600", libc::EPERM),
        ("page faults", libc::SYS_userfaultfd, "1", libc::EPERM),
        (
            "counters",
            libc::SYS_perf_event_open,
            "my $a = pack('LLQ', 1, 128, 0) . \"\\0\" x 112, 0, -1, -1, 0",
            libc::EPERM,
        ),
        (
            "a file by its handle",
            libc::SYS_open_by_handle_at,
            "-100, my $h = pack('LL', 8, 1) . \"\\0\" x 8, 0",
            libc::EPERM,
        ),
        ("io_uring", libc::SYS_io_uring_setup, "8, my $u = \"\\0\" x 120", libc::ENOSYS),
        ("clone3", libc::SYS_clone3, "my $c = pack('Q8', 0, 0, 0, 0, 17, 0, 0, 0), 64", libc::ENOSYS),
        ("openat2", libc::SYS_openat2, "-100, my $f = '/dev/null', my $o = pack('QQQ', 0, 0, 0), 24", libc::ENOSYS),
        (
            "an attribute",
            libc::SYS_setxattr,
            "my $f = 'files/calls.pl', my $n = 'user.a', my $v = 'b', 1, 0",
            libc::EOPNOTSUPP,
        ),
        ("a local socket", libc::SYS_socket, "1, 1, 0", libc::EPERM),
        ("a socket of the internet", libc::SYS_socket, "2, 1, 0", libc::EPERM),
    ];
    table.extend(rest.map(|(name, call, arguments, errno)| (name.to_owned(), call, arguments.to_owned(), errno)));
    let caller = CALLER.replace("NUMBER_OF_GETPID", &libc::SYS_getpid.to_string());
    yard.ws.write("files/calls.pl", &caller);
    let rows = table.iter().map(|(name, call, arguments, _)| format!("{name}: {call}({arguments})\n"));
    yard.ws.write("files/calls", &rows.collect::<String>());
    let before = state(&process);
    let limits = "grep '^Max open files' /proc/$PPID/limits; cut -d' ' -f19 /proc/$PPID/stat; \
                  grep '^Cpus_allowed:' /proc/$PPID/status";
    let told = yard.bash(&format!(
        "readlink /proc/self/ns/user >files/namespace; ({limits}) >files/before; perl files/calls.pl $PPID {process} <files/calls; ({limits}) >files/after"
    ));
    let expected = table.iter().map(|(name, .., errno)| format!("{name}: {errno}\n"));
    let namespace = yard.ws.read("files/namespace");
    assert_eq!(told + "\n", format!("{}user namespace {namespace}", expected.collect::<String>()));
    assert_eq!(state(&process), before, "the neighbour is as it was");
    assert_eq!(yard.ws.read("files/after"), yard.ws.read("files/before"), "the watcher is as it was");
    assert_eq!(yard.ws.read("files/before").lines().count(), 3);
    neighbour.kill().unwrap();
    neighbour.wait().unwrap();
}

#[test]
fn repository_that_would_run_a_program_is_reported_when_it_is_made() {
    let yard = Yard::new();
    if !git::is_installed() {
        return skipped("no git here");
    }
    let told = yard.bash("git init -q files/plain && echo made");
    assert_eq!(told, "made");
    let command = "git init -q files/r && git -C files/r config core.fsmonitor ./run";
    yard.ws.write("call.json", &json!({"calls": [{"name": "bash", "arguments": {"command": command}}]}).to_string());
    let ran = yard.ws.claw(&["ask", "-n", "-s", "git", "go"]);
    let report = "files/r/.git/config: warning: git runs what is in it, as you: core.fsmonitor";
    assert!(ran.err.contains(&format!("claw: a program of pickle wrote {report}")), "{ran:?}");
    assert!(yard.ws.read("sessions/pickle.git/log.jsonl").contains(report));
    assert_eq!(yard.bash("ls files/r"), "(no output)", "it is reported once");
    assert!(yard.ws.claw(&["check"]).ok().contains(report));
    assert!(yard.ws.claw(&["status"]).ok().contains(report));
}

#[test]
fn outside_processes_cannot_be_signalled_traced_or_slowed() {
    let yard = Yard::new();
    let mut neighbour = Command::new("sleep").arg("300").spawn().unwrap();
    let pid = neighbour.id();
    let tries = [
        format!("kill -9 {pid} $PPID; kill -STOP $PPID; kill -TERM {pid}"),
        format!("strace -p {pid} -o files/t & sleep 0.2; gdb -p {pid} -batch; cat /proc/{pid}/mem | head -c 1"),
        format!("prlimit --pid $PPID --nofile=1:1; prlimit --pid {pid} --cpu=0:0; echo 0 > /proc/{pid}/oom_score_adj"),
        // Ending this very shell ends the command.
        "setsid sh -c 'sleep 0.3; echo late > files/late' >/dev/null 2>&1 & exit 0".to_owned(),
    ];
    for command in tries {
        yard.bash(&command);
        assert!(neighbour.try_wait().unwrap().is_none(), "{command}");
    }
    neighbour.kill().unwrap();
    neighbour.wait().unwrap();
    let status = yard.bash("grep -E '^(Cap(Prm|Eff|Amb)|NoNewPrivs|Seccomp):' /proc/self/status");
    assert_eq!(status.matches("0000000000000000").count(), 3, "{status}");
    assert!(status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2"), "{status}");
    assert!(!yard.ws.path("files/late").exists());
}

#[test]
fn odd_files_in_the_workspace_stop_no_program() {
    use std::os::unix::ffi::OsStrExt;
    let yard = Yard::new();
    for number in 0..2100 {
        yard.ws.write(&format!("{number:060}"), "");
    }
    fs::write(yard.ws.root.join(std::ffi::OsStr::from_bytes(b"caf\xe9.txt")), "read").unwrap();
    assert_eq!(yard.ws.claw(&["check"]).code, 0);
    assert_eq!(yard.bash("cat caf*; cat 0*; ls | wc -l; cat keys/openai 2>&1 | grep -c denied").lines().count(), 2);
    assert!(yard.bash("cat caf*").contains("read"));
}

/// Runs with a kernel that lacks this call.
fn without(ws: &Fixture, call: &str, error: &str, arguments: &[&str]) -> Ran {
    let claw = ws.command(&[]);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
    strace.args(["-e", &format!("inject={call}:error={error}")]);
    strace.arg(claw.get_program()).args(arguments).current_dir(&ws.root);
    strace.env_clear().envs(claw.get_envs().filter_map(|(key, value)| Some((key, value?))));
    strace.output().unwrap().into()
}

#[test]
fn leftover_files_hold_back_no_answer() {
    let call = |command: &str| json!({"calls": [{"name": "bash", "arguments": {"command": command}}]}).to_string();
    let yard = Yard::new();
    yard.ws.write("call.json", &call("cd $TMPDIR; mkdir -p $(printf 'd/%.0s' $(seq 1300))"));
    assert_eq!(yard.ws.shell("ulimit -n 1024; exec claw ask -n go").ok(), "done\n");
    assert_eq!(yard.ws.list(".claw/tmp"), [""; 0]);
    if Command::new("strace").arg("-V").output().is_err() {
        return skipped("no strace here, by which a kernel can be made to remove nothing");
    }
    // Calls at every other request, whatever the conversation is.
    yard.ws.replace_program(
        "model.sh",
        "echo >>asked; if [ $(($(wc -l <asked) % 2)) = 0 ]; then echo done; else cat call.json; fi",
    );
    yard.ws.write("call.json", &call("echo mine > $TMPDIR/kept; cat $TMPDIR/kept; ls $TMPDIR | wc -l"));
    for left in [1, 2] {
        let ran = without(&yard.ws, "unlinkat", "EACCES", &["ask", "-n", "-s", "work", "go"]);
        assert!(ran.err.contains("claw: cannot remove ") && ran.err.contains(".claw/tmp/pickle.work~0:"), "{ran:?}");
        assert_eq!(ran.ok(), "done\n");
        assert_eq!(yard.ws.list(".claw/tmp").len(), left, "the next turn has a folder of its own");
    }
    assert_eq!(yard.ws.claw(&["ask", "-n", "-s", "work", "go"]).ok(), "done\n");
    assert_eq!(yard.ws.list(".claw/tmp"), [""; 0], "the next that can removes it");
    let log = yard.ws.read("sessions/pickle.work/log.jsonl");
    assert_eq!(log.matches(r#""result":"mine\n1""#).count(), 3, "{log}");
}

/// Ways to a listener, by TCP, UDP and a local socket.
fn call_out(port: u16, socket: &Path) -> String {
    format!(
        "echo hi > /dev/tcp/127.0.0.1/{port}; echo hi > /dev/udp/127.0.0.1/{port}; \
         perl -e 'use Socket; socket(S, PF_UNIX, SOCK_STREAM, 0) or die \"no: $!\"; \
         connect(S, sockaddr_un(\"{}\")) or die; syswrite S, \"hi\"'; \
         perl -e 'use Socket; socket(S, PF_INET, SOCK_STREAM, 0) or die; bind(S, sockaddr_in(0, INADDR_ANY)) or die; \
         listen(S, 1) and print \"it listens\"'",
        socket.display()
    )
}

#[test]
fn no_network_without_permission() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    tcp.set_nonblocking(true).unwrap();
    let port = tcp.local_addr().unwrap().port();
    let is_called = || match tcp.accept() {
        Ok(_) => true,
        Err(e) if e.kind() == ErrorKind::WouldBlock => false,
        Err(e) => panic!("{e}"),
    };
    for (config, is_open) in [("", false), ("sandbox: {network: true}\n", true)] {
        let yard = Yard::with(config);
        // The agent may write the folder of the socket; it is refused all the same.
        let socket = yard.ws.path("files/s");
        let local = UnixListener::bind(&socket).unwrap();
        local.set_nonblocking(true).unwrap();
        let told = yard.bash(&call_out(port, &socket));
        assert_eq!((is_called(), told.contains("it listens")), (is_open, is_open), "{told}");
        assert!(local.accept().is_err(), "{told}");
        assert_eq!(told.starts_with("<data-"), is_open, "what comes over a network is data: {told}");
    }
}

#[test]
fn unbounded_programs_are_ended() {
    let yard = Yard::new();
    let told = yard.bash("for i in $(seq 700); do sleep 100 & done; wait");
    assert!(told.contains("more than 512 processes or threads"), "{told}");
    let told = yard.bash("perl -e 'use threads; threads->create(sub { sleep 100 }) for 1..700; sleep 100'");
    assert!(told.contains("more than 512 processes or threads") || told.contains("not built to support"), "{told}");
    let told = yard.bash("yes | head -c 10G");
    assert!(told.len() < 20_000, "{}", told.len());
    let told = yard.bash("truncate -s 10G files/big; dd if=/dev/zero of=files/full bs=1M seek=1000 count=200; echo $?");
    let size = |name: &str| fs::metadata(yard.ws.path(name)).map_or(0, |meta| meta.len());
    assert_eq!((size("files/big"), size("files/full")), (0, 1 << 30), "{told}");
    fs::remove_file(yard.ws.path("files/full")).unwrap();
    yard.bash("cd $TMPDIR && seq 20000 | xargs touch && mkdir -m 0 closed");
    assert_eq!(yard.ws.list(".claw/tmp"), [""; 0]);
    let began = std::time::Instant::now();
    yard.ask("bash", &json!({"command": "echo begun; sleep 600", "timeout": 1})).ok();
    assert!(began.elapsed().as_secs() < 60);
}

#[test]
fn without_kernel_support_no_program_runs_unless_configured() {
    let is_there = Command::new("strace").arg("-V").output().is_ok();
    if !is_there {
        return skipped("no strace here, by which a kernel can be made to have no walls");
    }
    for (mode, is_run) in [("require", false), ("best-effort", true), ("off", true)] {
        let yard = Yard::with(&format!("sandbox: {{mode: {mode}}}\n"));
        yard.ws.write(
            "call.json",
            &json!({"calls": [{"name": "bash", "arguments": {"command": "echo ran > files/ran"}}]}).to_string(),
        );
        let ran = without(&yard.ws, "landlock_create_ruleset", "ENOSYS", &["ask", "-n", "go"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(yard.ws.path("files/ran").exists(), is_run, "{mode}");
        let session = yard.ws.list("sessions").into_iter().find(|name| name.contains("ask")).unwrap();
        let log = yard.ws.read(&format!("sessions/{session}/log.jsonl"));
        assert_eq!(log.contains("sandbox.mode"), !is_run, "{log}");
    }
}

/// A program to start claw with, in a user namespace in which no other one may be made.
const NO_NAMESPACES: &str = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";

#[test]
fn other_files_and_processes_are_absent_where_namespaces_are_allowed() {
    let is_allowed = Command::new("unshare").args(["--user", "--map-root-user", "true"]).status();
    if !is_allowed.is_ok_and(|status| status.success()) {
        return skipped("no user namespaces here");
    }
    let yard = Yard::new();
    let outside = yard.ws.dir.path().join("outside").display().to_string();
    let look = format!("ls -d {outside} {0} 2>&1; ls -d /proc/[0-9]*", yard.ws.dir.path().join("ws/files").display());
    let told = yard.bash(&look);
    assert!(told.contains(&format!("{outside}': No such file")), "{told}");
    assert!(told.contains("ws/files\n"), "a file that it may read is there: {told}");
    assert!(told.lines().filter(|line| line.starts_with("/proc/")).count() <= 3, "only its own processes: {told}");
    // A program ends with all of its children, as without namespaces, and with its own code.
    assert!(yard.bash("sleep 1000 & kill -0 1; kill 0").ends_with("[exit code 143]"));
    assert!(yard.bash("kill -KILL $$").ends_with("[exit code 137]"));
    assert!(yard.bash("(setsid sleep 1000 & exit 5); exit 6").ends_with("[exit code 6]"));
    let seen = yard.ws.claw(&["check"]).err;
    assert!(seen.contains("hidden (namespaces)"), "{seen}");
    // Without them the sandbox is the same but for the names.
    let mut claw = yard.ws.command(&["check"]);
    let inside = [claw.get_program()].into_iter().chain(claw.get_args()).map(ToOwned::to_owned).collect::<Vec<_>>();
    let mut outer = Command::new("unshare");
    outer.args(["--user", "--map-root-user", "sh", "-c", NO_NAMESPACES, "sh"]).args(inside);
    outer.envs(claw.get_envs().filter_map(|(name, value)| Some((name, value?))));
    outer.current_dir(claw.get_current_dir().unwrap_or(yard.ws.dir.path()));
    let seen = Ran::from(outer.output().unwrap());
    claw.output().unwrap();
    assert!(seen.err.contains("in force, as tried now") && seen.err.contains("are visible"), "{seen:?}");
}

#[test]
fn check_reports_the_support_of_the_machine() {
    let ran = Fixture::new().claw(&["check"]);
    assert!(ran.err.contains("sandbox: file access (Landlock): "), "{ran:?}");
    assert!(ran.err.contains("sandbox: in force, as tried now: no settings"), "{ran:?}");
    assert_eq!((ran.code, ran.out.as_str()), (0, "no problems\n"));
}
