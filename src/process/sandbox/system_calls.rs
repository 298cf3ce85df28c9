//! The seccomp filters of a sandbox: system calls that fail, and sockets.

use super::Sandbox;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use std::collections::BTreeMap;

/// Calls that fail with `EPERM`: no tool needs them, and they reach other processes, privileges or rarely tested parts
/// of the kernel.
const REFUSED: &[libc::c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];
/// Calls that fail with `ENOSYS`, because a filter cannot see their arguments. Callers fall back to the older calls.
const UNKNOWN: &[libc::c_long] = &[libc::SYS_clone3, libc::SYS_io_uring_setup];
/// The bit of the second number that every call has on x86-64 (the x32 interface).
const X32: i64 = 0x4000_0000;

impl Sandbox {
    /// Two filters: one for `EPERM`, one for `ENOSYS`.
    pub(super) fn filters(&self) -> Result<Vec<BpfProgram>, String> {
        let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|e| e.to_string())?;
        let mut refused: BTreeMap<i64, Vec<SeccompRule>> = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
        // A Unix socket reaches any local service: the service manager, a container engine, a key agent.
        let inet = [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK].map(|family| (0, SeccompCmpOp::Ne, family));
        let socket = if self.network { vec![rule(&inet)?] } else { Vec::new() };
        refused.insert(libc::SYS_socket, socket);
        // Only the caller's own limits (process id 0) may be changed.
        refused.insert(libc::SYS_prlimit64, vec![rule(&[(0, SeccompCmpOp::Ne, 0)])?]);
        // A program gains privileges inside a new namespace.
        let flags = [libc::CLONE_NEWUSER, libc::CLONE_NEWNS, libc::CLONE_NEWNET, libc::CLONE_NEWPID];
        let masked = |flag: i32| {
            let mask = u64::from(flag.unsigned_abs());
            rule(&[(0, SeccompCmpOp::MaskedEq(mask), flag)])
        };
        refused.insert(libc::SYS_clone, flags.into_iter().map(masked).collect::<Result<_, _>>()?);
        let unknown = UNKNOWN.iter().map(|call| (*call, Vec::new())).collect();
        let compile = |rules: BTreeMap<i64, Vec<SeccompRule>>, errno: i32| -> Result<BpfProgram, String> {
            let errno = SeccompAction::Errno(errno.unsigned_abs());
            let x32 =
                rules.iter().filter(|_| arch == TargetArch::x86_64).map(|(call, rules)| (call | X32, rules.clone()));
            let rules = x32.chain(rules.clone()).collect();
            let filter = SeccompFilter::new(rules, SeccompAction::Allow, errno, arch).map_err(|e| e.to_string())?;
            BpfProgram::try_from(filter).map_err(|e| e.to_string())
        };
        Ok(vec![compile(refused, libc::EPERM)?, compile(unknown, libc::ENOSYS)?])
    }
}

/// A rule that matches when every condition (argument index, comparison, value) holds.
fn rule(conditions: &[(u8, SeccompCmpOp, i32)]) -> Result<SeccompRule, String> {
    let condition = |(argument, compare, value): &(u8, SeccompCmpOp, i32)| {
        SeccompCondition::new(*argument, SeccompCmpArgLen::Dword, compare.clone(), u64::from(value.unsigned_abs()))
    };
    let conditions = conditions.iter().map(condition).collect::<Result<_, _>>().map_err(|e| e.to_string())?;
    SeccompRule::new(conditions).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_compile_with_and_without_a_network() {
        for network in [false, true] {
            let filters = Sandbox { network, ..Sandbox::default() }.filters().unwrap();
            assert!(filters.iter().all(|filter| filter.len() > 4));
        }
    }
}
