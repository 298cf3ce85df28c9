//! The seccomp filters of a sandbox: the calls that are open, and the arguments that are refused.

use super::known_calls::{ALLOWED, ATTRIBUTES, FCHMODAT2, NEW, OWN, REFUSED};
use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use std::collections::BTreeMap;

/// Set-user-id and set-group-id.
const SET_ID: [u32; 2] = [0o4000, 0o2000];
/// Writable by all users.
const OPEN_TO_ALL: u32 = 0o002;
/// The type of a new node, and the types of devices.
const TYPE: u64 = 0o170_000;
const DEVICES: [u32; 2] = [0o020_000, 0o060_000];
/// The flags of `open` that make a file; without one of them the mode is undefined.
const CREATES: [u32; 2] = [0o100, 0o20_000_000];

/// Rules by call: a call that matches one of its rules is refused; without rules, always.
type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// Three filters: one with `ENOSYS` for all calls that are not known, one for `EPERM`, one for `EOPNOTSUPP`.
pub(super) fn filters(network: bool) -> Result<Vec<BpfProgram>, String> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|e| e.to_string())?;
    let always = |calls: &[c_long]| -> Rules { calls.iter().map(|call| (*call, Vec::new())).collect() };
    let compile = |rules: Rules, other: SeccompAction, matched: SeccompAction| -> Result<BpfProgram, String> {
        let filter = SeccompFilter::new(rules, other, matched, arch).map_err(|e| e.to_string())?;
        BpfProgram::try_from(filter).map_err(|e| e.to_string())
    };
    let error = |errno: i32| SeccompAction::Errno(errno.unsigned_abs());
    let known = always(&[ALLOWED, OWN, NEW, REFUSED, ATTRIBUTES].concat());
    let mut refused = always(REFUSED);
    refused.extend(judged(network)?);
    Ok(vec![
        compile(known, error(libc::ENOSYS), SeccompAction::Allow)?,
        compile(refused, SeccompAction::Allow, error(libc::EPERM))?,
        compile(always(ATTRIBUTES), SeccompAction::Allow, error(libc::EOPNOTSUPP))?,
    ])
}

/// The calls that are refused with some arguments.
fn judged(network: bool) -> Result<Rules, String> {
    let mut rules = modes()?;
    // A Unix socket reaches any local service: the service manager, a container engine, a key agent.
    let inet = [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK].map(|family| not(0, family.unsigned_abs()));
    let socket = if network { vec![rule(inet)?] } else { Vec::new() };
    rules.insert(libc::SYS_socket, socket);
    // Limits, scheduling and priority: only of the caller itself, which is process 0.
    for call in [
        libc::SYS_prlimit64,
        libc::SYS_sched_setaffinity,
        libc::SYS_sched_setattr,
        libc::SYS_sched_setparam,
        libc::SYS_sched_setscheduler,
    ] {
        rules.insert(call, vec![rule([not(0, 0)])?]);
    }
    rules.insert(libc::SYS_setpriority, vec![rule([not(0, libc::PRIO_PROCESS)])?, rule([not(1, 0)])?]);
    let one_process = 1;
    rules.insert(libc::SYS_ioprio_set, vec![rule([not(0, one_process)])?, rule([not(1, 0)])?]);
    // A program gains privileges inside a new namespace.
    let namespaces = [
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWNS,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWUTS,
    ];
    let clone = namespaces.into_iter().map(|flag| rule([has(0, flag.unsigned_abs())])).collect::<Result<_, _>>()?;
    rules.insert(libc::SYS_clone, clone);
    Ok(rules)
}

/// The calls that set a mode. A program that runs with the rights of another user or group, a device, and a file that
/// every user may change are refused. A new file's mode is judged without the last of these, because nearly every program
/// leaves that to the umask.
fn modes() -> Result<Rules, String> {
    #[cfg(target_arch = "x86_64")]
    let (change, open, node, folder) = (
        [(libc::SYS_chmod, 1)],
        [(libc::SYS_open, 1)],
        [(libc::SYS_mknod, 1)],
        [(libc::SYS_mkdir, 1), (libc::SYS_creat, 1)],
    );
    #[cfg(not(target_arch = "x86_64"))]
    let (change, open, node, folder): ([(c_long, u8); 0], [(c_long, u8); 0], [(c_long, u8); 0], [(c_long, u8); 0]) =
        ([], [], [], []);
    let mut rules = Rules::new();
    let set_id = |mode| SET_ID.map(|bit| rule([has(mode, bit)])).into_iter();
    for (call, mode) in change.into_iter().chain([(libc::SYS_fchmod, 1), (libc::SYS_fchmodat, 2), (FCHMODAT2, 2)]) {
        rules.insert(call, set_id(mode).chain([rule([has(mode, OPEN_TO_ALL)])]).collect::<Result<_, _>>()?);
    }
    for (call, flags) in open.into_iter().chain([(libc::SYS_openat, 2)]) {
        let pairs = CREATES.into_iter().flat_map(|flag| SET_ID.map(|bit| (flag, bit)));
        let refused = pairs.map(|(flag, bit)| rule([has(flags, flag), has(flags + 1, bit)]));
        rules.insert(call, refused.collect::<Result<_, _>>()?);
    }
    for (call, mode) in node.into_iter().chain([(libc::SYS_mknodat, 2)]) {
        let device = DEVICES.map(|kind| rule([(mode, SeccompCmpOp::MaskedEq(TYPE), kind)]));
        rules.insert(call, set_id(mode).chain(device).collect::<Result<_, _>>()?);
    }
    for (call, mode) in folder.into_iter().chain([(libc::SYS_mkdirat, 2)]) {
        rules.insert(call, set_id(mode).collect::<Result<_, _>>()?);
    }
    Ok(rules)
}

/// A condition: argument, comparison, value.
type Condition = (u8, SeccompCmpOp, u32);

fn has(argument: u8, bit: u32) -> Condition {
    (argument, SeccompCmpOp::MaskedEq(bit.into()), bit)
}

fn not(argument: u8, value: u32) -> Condition {
    (argument, SeccompCmpOp::Ne, value)
}

/// A rule that matches when every condition holds.
fn rule<const N: usize>(conditions: [Condition; N]) -> Result<SeccompRule, String> {
    let condition = |(argument, compare, value): Condition| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, compare, value.into())
    };
    let conditions = conditions.into_iter().map(condition).collect::<Result<_, _>>().map_err(|e| e.to_string())?;
    SeccompRule::new(conditions).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn filters_compile_with_and_without_a_network() {
        for network in [false, true] {
            assert!(filters(network).unwrap().iter().all(|filter| filter.len() > 4));
        }
    }

    #[test]
    fn each_call_is_in_one_list_and_judged_calls_are_open_otherwise() {
        let lists = [ALLOWED, OWN, NEW, REFUSED, ATTRIBUTES].concat();
        assert_eq!(lists.iter().collect::<BTreeSet<_>>().len(), lists.len());
        let open = [ALLOWED, OWN, NEW].concat();
        for call in judged(false).unwrap().into_keys() {
            assert!(open.contains(&call), "{call}");
        }
        for hidden in [libc::SYS_clone3, libc::SYS_openat2, libc::SYS_io_uring_setup] {
            assert!(!lists.contains(&hidden), "{hidden}: a filter cannot see its arguments");
        }
    }
}
