//! Tests of the filters: the verdict of the kernel on each kind of call, computed from the compiled filters.

use super::known_calls::FCHMODAT2;
use super::system_calls::filters;
use libc::{EOPNOTSUPP, EPERM, c_long};
use seccompiler::BpfProgram;

/// The errno with which the kernel refuses a call with these first arguments; 0 where it makes the call. The filter
/// that was installed last counts among equals.
fn verdict<const N: usize>(network: bool, call: c_long, arguments: [u32; N]) -> i32 {
    let filters = filters(network).unwrap();
    filters.iter().rev().map(|filter| returned(filter, call, &arguments)).find(|errno| *errno != 0).unwrap_or(0)
}

/// Runs a filter as the kernel does, with the instructions that the library uses.
fn returned(filter: &BpfProgram, call: c_long, arguments: &[u32]) -> i32 {
    let arch = match std::env::consts::ARCH {
        "x86_64" => 0xc000_003e,
        "aarch64" => 0xc000_00b7,
        _ => 0xc000_00f3,
    };
    // `struct seccomp_data` in words: the number, the machine, the instruction pointer, six arguments of 64 bits.
    let mut data = vec![u32::try_from(call).unwrap(), arch, 0, 0];
    data.extend(arguments.iter().flat_map(|argument| [*argument, 0]));
    data.resize(16, 0);
    let (mut at, mut value) = (0, 0);
    loop {
        let next = &filter[at];
        let jump = |is_true: bool| usize::from(if is_true { next.jt } else { next.jf });
        at += 1;
        match next.code {
            0x20 => value = data[next.k as usize / 4],
            0x54 => value &= next.k,
            0x05 => at += next.k as usize,
            0x15 => at += jump(value == next.k),
            0x25 => at += jump(value > next.k),
            0x35 => at += jump(value >= next.k),
            0x06 if next.k == libc::SECCOMP_RET_ALLOW => return 0,
            0x06 if next.k & 0xffff_0000 == libc::SECCOMP_RET_ERRNO => return i32::try_from(next.k & 0xffff).unwrap(),
            other => panic!("instruction {other:#x} with {:#x}", next.k),
        }
    }
}

fn bits(flags: i32) -> u32 {
    flags.unsigned_abs()
}

#[test]
fn calls_that_reach_other_processes_are_made_for_the_caller_only() {
    let (own, other) = (0, 4711);
    for call in [
        libc::SYS_prlimit64,
        libc::SYS_sched_setaffinity,
        libc::SYS_sched_setattr,
        libc::SYS_sched_setparam,
        libc::SYS_sched_setscheduler,
    ] {
        assert_eq!([own, other].map(|process| verdict(true, call, [process, 0, 0])), [0, EPERM], "call {call}");
    }
    // Which kind of number the second argument is, and the number: of a process, a group or a user.
    for (call, process, kinds) in [(libc::SYS_setpriority, 0, [1, 2]), (libc::SYS_ioprio_set, 1, [2, 3])] {
        assert_eq!(verdict(true, call, [process, own, 0]), 0, "call {call}");
        assert_eq!(verdict(true, call, [process, other, 0]), EPERM, "call {call}");
        assert_eq!(kinds.map(|kind| verdict(true, call, [kind, own, 0])), [EPERM; 2], "call {call}");
    }
    for call in [
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_process_madvise,
        libc::SYS_pidfd_getfd,
        libc::SYS_kcmp,
        libc::SYS_migrate_pages,
        libc::SYS_move_pages,
        libc::SYS_shmget,
        libc::SYS_shmat,
        libc::SYS_semget,
        libc::SYS_msgget,
        libc::SYS_mq_open,
        libc::SYS_perf_event_open,
        libc::SYS_bpf,
        libc::SYS_userfaultfd,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
    ] {
        assert_eq!(verdict(true, call, [0; 3]), EPERM, "call {call}");
    }
}

#[test]
fn no_call_makes_a_namespace_or_changes_the_mounts() {
    let threads = libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_SIGHAND | libc::CLONE_THREAD;
    for open in [libc::SIGCHLD, threads, libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD] {
        assert_eq!(verdict(true, libc::SYS_clone, [bits(open), 0, 0]), 0, "flags {open:#x}");
    }
    for namespace in [
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWNS,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWUTS,
    ] {
        for more in [libc::SIGCHLD, threads, libc::CLONE_NEWUSER] {
            let flags = bits(namespace | more);
            assert_eq!(verdict(true, libc::SYS_clone, [flags, 0, 0]), EPERM, "flags {flags:#x}");
        }
    }
    for call in [
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_chroot,
        libc::SYS_pivot_root,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_fsopen,
        libc::SYS_fsmount,
        libc::SYS_open_tree,
        libc::SYS_move_mount,
        libc::SYS_mount_setattr,
        libc::SYS_open_by_handle_at,
    ] {
        assert_eq!(verdict(true, call, [0; 3]), EPERM, "call {call}");
    }
}

#[test]
fn calls_whose_arguments_are_hidden_and_unknown_calls_do_not_exist() {
    let hidden = [libc::SYS_clone3, libc::SYS_openat2, libc::SYS_io_uring_setup, libc::SYS_io_uring_enter];
    for call in hidden.into_iter().chain([libc::SYS_io_uring_register, 457, 463, 900]) {
        assert_eq!(verdict(true, call, [0; 3]), libc::ENOSYS, "call {call}");
    }
    for call in [libc::SYS_setxattr, libc::SYS_lsetxattr, libc::SYS_fsetxattr, libc::SYS_removexattr] {
        assert_eq!(verdict(true, call, [0; 3]), EOPNOTSUPP, "call {call}");
    }
}

#[test]
fn sockets_are_those_of_the_internet_and_only_with_a_network() {
    let families = [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK, libc::AF_UNIX, libc::AF_PACKET, libc::AF_VSOCK];
    let verdicts = |network| families.map(|family| verdict(network, libc::SYS_socket, [bits(family), 0, 0]));
    assert_eq!(verdicts(true), [0, 0, 0, EPERM, EPERM, EPERM]);
    assert_eq!(verdicts(false), [EPERM; 6]);
}

#[test]
fn modes_are_refused_with_other_rights_a_device_or_access_for_all() {
    let at = |place: usize, mode: u32| {
        let mut arguments = [0; 3];
        arguments[place] = mode;
        arguments
    };
    let mut changes = vec![(libc::SYS_fchmod, 1), (libc::SYS_fchmodat, 2), (FCHMODAT2, 2)];
    let (mut nodes, mut folders) = (vec![(libc::SYS_mknodat, 2)], vec![(libc::SYS_mkdirat, 2)]);
    #[cfg(target_arch = "x86_64")]
    {
        changes.push((libc::SYS_chmod, 1));
        nodes.push((libc::SYS_mknod, 1));
        folders.extend([(libc::SYS_mkdir, 1), (libc::SYS_creat, 1)]);
    }
    let all = changes.iter().chain(&nodes).chain(&folders);
    for (call, place) in all {
        for (mode, errno) in [(0o755, 0), (0o4755, EPERM), (0o2755, EPERM), (0o6755, EPERM), (0o1755, 0)] {
            assert_eq!(verdict(true, *call, at(*place, mode)), errno, "call {call}, mode {mode:o}");
        }
    }
    for (call, place) in changes {
        assert_eq!(verdict(true, call, at(place, 0o757)), EPERM, "call {call}");
    }
    for (call, place) in folders {
        assert_eq!(verdict(true, call, at(place, 0o777)), 0, "call {call}: the umask decides");
    }
    for (call, place) in nodes {
        for (kind, errno) in [(0o100_000, 0), (0o010_000, 0), (0o020_000, EPERM), (0o060_000, EPERM)] {
            assert_eq!(verdict(true, call, at(place, kind | 0o644)), errno, "call {call}, type {kind:o}");
        }
    }
}

#[test]
fn mode_of_an_opened_file_counts_where_the_call_makes_one() {
    let (create, unnamed, read) = (0o100, 0o20_000_000, 0);
    for (flags, mode, errno) in [
        (create, 0o644, 0),
        (create, 0o4755, EPERM),
        (create, 0o2755, EPERM),
        (unnamed, 0o4755, EPERM),
        (unnamed, 0o2755, EPERM),
        (read, 0o4755, 0),
    ] {
        assert_eq!(returned_by_open(libc::SYS_openat, 2, flags, mode), errno, "flags {flags:o}, mode {mode:o}");
        #[cfg(target_arch = "x86_64")]
        assert_eq!(returned_by_open(libc::SYS_open, 1, flags, mode), errno, "flags {flags:o}, mode {mode:o}");
    }
}

/// The verdict on a call with flags at `place` and a mode behind them.
fn returned_by_open(call: c_long, place: usize, flags: u32, mode: u32) -> i32 {
    let mut arguments = [0; 4];
    (arguments[place], arguments[place + 1]) = (flags, mode);
    verdict(true, call, arguments)
}
