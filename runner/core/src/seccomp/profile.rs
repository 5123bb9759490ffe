//! The profile that containers get unless they ask for another.
//!
//! What is not listed is refused. The list holds what programs in containers use; a call that only acts with a
//! capability is listed for containers that have it, so that a mistake in the kernel's own check is out of reach of
//! the others. It is written so that other runtimes read the same from it: where a call has rules with conditions, no
//! two of them can hold at once.

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompBuilder, LinuxSeccompOperator as Operator, LinuxSyscall, LinuxSyscallBuilder,
};
use rustix::io::Errno;

const FILES: &str = "access faccessat faccessat2 open openat openat2 creat close close_range read pread64 readv preadv \
    preadv2 write pwrite64 writev pwritev pwritev2 lseek _llseek stat stat64 lstat lstat64 fstat fstat64 fstatat64 \
    newfstatat statx statfs statfs64 fstatfs fstatfs64 truncate truncate64 ftruncate ftruncate64 fallocate fadvise64 \
    fadvise64_64 arm_fadvise64_64 readahead cachestat sync fsync fdatasync syncfs sync_file_range sync_file_range2 \
    arm_sync_file_range rename renameat renameat2 link linkat symlink symlinkat unlink unlinkat readlink readlinkat \
    mkdir mkdirat rmdir mknod mknodat chmod fchmod fchmodat fchmodat2 chown chown32 fchown fchown32 lchown lchown32 \
    fchownat utime utimes utimensat utimensat_time64 futimesat umask chdir fchdir getcwd getdents getdents64 readdir \
    dup dup2 dup3 fcntl fcntl64 flock ioctl sendfile sendfile64 splice tee vmsplice copy_file_range getxattr \
    lgetxattr fgetxattr getxattrat setxattr lsetxattr fsetxattr setxattrat listxattr llistxattr flistxattr \
    listxattrat removexattr lremovexattr fremovexattr removexattrat file_getattr file_setattr inotify_init \
    inotify_init1 inotify_add_watch inotify_rm_watch fanotify_mark name_to_handle_at memfd_create memfd_secret \
    statmount listmount";

const EVENTS: &str = "pipe pipe2 poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64 epoll_create \
    epoll_create1 epoll_ctl epoll_ctl_old epoll_wait epoll_wait_old epoll_pwait epoll_pwait2 eventfd eventfd2 signalfd \
    signalfd4 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 io_setup io_destroy \
    io_submit io_cancel io_getevents io_pgetevents io_pgetevents_time64";

const MEMORY: &str = "brk mmap mmap2 munmap mremap mprotect madvise mincore msync mlock mlock2 mlockall munlock \
    munlockall remap_file_pages membarrier pkey_alloc pkey_free pkey_mprotect mseal map_shadow_stack process_mrelease";

/// With `ptrace` and its kin: they reach processes of the same user in the container, and the kernel asks for the rest
/// (a tracer cannot step around this filter since Linux 4.8).
const PROCESSES: &str = "fork vfork execve execveat exit exit_group wait4 waitid waitpid kill tkill tgkill pidfd_open \
    pidfd_send_signal getpid getppid gettid getpgid getpgrp setpgid getsid setsid getuid getuid32 geteuid geteuid32 \
    getgid getgid32 getegid getegid32 setuid setuid32 setgid setgid32 setreuid setreuid32 setregid setregid32 \
    getresuid getresuid32 setresuid setresuid32 getresgid getresgid32 setresgid setresgid32 setfsuid setfsuid32 \
    setfsgid setfsgid32 getgroups getgroups32 setgroups setgroups32 capget capset prctl arch_prctl getrlimit \
    ugetrlimit setrlimit prlimit64 getrusage times getpriority setpriority nice sched_yield sched_getaffinity \
    sched_setaffinity sched_getparam sched_setparam sched_getscheduler sched_setscheduler sched_getattr sched_setattr \
    sched_get_priority_max sched_get_priority_min sched_rr_get_interval sched_rr_get_interval_time64 ioprio_get \
    ioprio_set set_tid_address set_robust_list get_robust_list set_thread_area get_thread_area modify_ldt \
    restart_syscall rseq getcpu ptrace process_vm_readv process_vm_writev seccomp landlock_create_ruleset \
    landlock_add_rule landlock_restrict_self lsm_get_self_attr lsm_set_self_attr lsm_list_modules uretprobe \
    set_tls get_tls breakpoint cacheflush";

const SIGNALS_AND_TIME: &str = "rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend \
    rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaction sigaltstack sigpending sigprocmask sigreturn \
    sigsuspend signal alarm pause getitimer setitimer nanosleep clock_nanosleep clock_nanosleep_time64 clock_gettime \
    clock_gettime64 clock_getres clock_getres_time64 clock_adjtime clock_adjtime64 adjtimex gettimeofday time \
    timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 futex \
    futex_time64 futex_waitv futex_wait futex_wake futex_requeue getrandom uname sysinfo";

/// Without `socket`, which has conditions. On 32-bit x86 `socketcall` hides its arguments behind a pointer, so what is
/// refused of `socket` can be had there; C libraries for that architecture need it.
const NETWORK: &str = "socketpair bind listen accept accept4 connect getsockname getpeername getsockopt setsockopt send \
    sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg recvmmsg_time64 shutdown socketcall";

const MESSAGES: &str = "ipc msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl \
    shmdt shmget mq_open mq_unlink mq_timedsend mq_timedsend_time64 mq_timedreceive mq_timedreceive_time64 mq_notify \
    mq_getsetattr";

/// What a container may do with any of these capabilities.
const WITH: [(&[&str], &str); 15] = [
    (
        &["CAP_SYS_ADMIN"],
        "mount umount umount2 pivot_root move_mount open_tree open_tree_attr fsopen fsconfig fsmount fspick \
         mount_setattr setns unshare clone clone3 fanotify_init quotactl quotactl_fd sethostname setdomainname",
    ),
    (&["CAP_SYS_ADMIN", "CAP_BPF"], "bpf"),
    (&["CAP_SYS_ADMIN", "CAP_PERFMON"], "perf_event_open"),
    (&["CAP_SYS_ADMIN", "CAP_SYSLOG"], "syslog"),
    (&["CAP_DAC_READ_SEARCH"], "open_by_handle_at"),
    (&["CAP_SYS_BOOT"], "reboot"),
    (&["CAP_SYS_CHROOT"], "chroot"),
    (&["CAP_SYS_MODULE"], "init_module finit_module delete_module"),
    (&["CAP_SYS_NICE"], "get_mempolicy set_mempolicy set_mempolicy_home_node mbind"),
    (&["CAP_SYS_PACCT"], "acct"),
    (&["CAP_SYS_PTRACE"], "kcmp pidfd_getfd process_madvise"),
    (&["CAP_SYS_RAWIO"], "ioperm iopl"),
    (&["CAP_SYS_TIME"], "settimeofday stime clock_settime clock_settime64"),
    (&["CAP_SYS_TTY_CONFIG"], "vhangup"),
    (&["CAP_CHECKPOINT_RESTORE"], "kcmp"),
];

/// `CLONE_NEWNS NEWCGROUP NEWUTS NEWIPC NEWUSER NEWPID NEWNET`. In `clone`, `CLONE_NEWTIME` is a bit of the signal.
const NEW_NAMESPACES: u64 = 0x7e02_0000;
const NEW_TIME: u64 = 0x80;

/// `int` arguments: programs may leave anything in the upper halves, and the kernel does not look at it.
const INT: u64 = 0xffff_ffff;

/// Address families as (bits that are compared, their value). All but `AF_ALG` (38: the kernel's own ciphers, which
/// have let programs out and which C libraries replace) and `AF_VSOCK` (40: the virtual machine's host).
const FAMILIES: [(u64, u64); 7] = [
    (0xffff_ffe0, 0),
    (0xffff_fffc, 32),
    (0xffff_fffe, 36),
    (INT, 39),
    (INT, 41),
    (0xffff_fffe, 42),
    (0xffff_fffe, 44),
];
const REFUSED_FAMILIES: [u64; 2] = [38, 40];

/// `PER_LINUX`, `PER_LINUX32`, both with `UNAME26`, and the question which it is.
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, INT];

fn rule(names: &str, action: Action, errno: Option<Errno>, masked: Option<(u64, u64)>) -> LinuxSyscall {
    let arg = |(mask, value)| -> LinuxSeccompArg {
        LinuxSeccompArgBuilder::default()
            .index(0usize)
            .value(mask)
            .value_two(value)
            .op(Operator::ScmpCmpMaskedEq)
            .build()
            .unwrap_or_else(|_| unreachable!("every field has a default"))
    };
    let mut rule = LinuxSyscallBuilder::default()
        .names(names.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .action(action);
    if let Some(errno) = errno {
        rule = rule.errno_ret(errno.raw_os_error().unsigned_abs());
    }
    if let Some(masked) = masked {
        rule = rule.args(vec![arg(masked)]);
    }
    rule.build().unwrap_or_else(|_| unreachable!("every field has a default"))
}

/// The profile that containers get unless they ask for another: everything refused (`EPERM`, or `ENOSYS` for calls
/// that are newer than the list) but what programs in containers use. `capabilities` are the container's own
/// (`CAP_SYS_ADMIN` ...): some calls are allowed only with them.
#[must_use]
pub fn default_profile(capabilities: &[&str]) -> LinuxSeccomp {
    let allow = |names: &str| rule(names, Action::ScmpActAllow, None, None);
    let allow_masked =
        |names: &str, mask, value| rule(names, Action::ScmpActAllow, None, Some((mask, value)));
    let mut rules: Vec<_> = [FILES, EVENTS, MEMORY, PROCESSES, SIGNALS_AND_TIME, NETWORK, MESSAGES]
        .into_iter()
        .map(allow)
        .collect();
    rules.extend(PERSONALITIES.map(|value| allow_masked("personality", INT, value)));
    rules.extend(FAMILIES.map(|(mask, value)| allow_masked("socket", mask, value)));
    // The answer of a kernel that has not got the family, which programs know how to take.
    rules.extend(
        REFUSED_FAMILIES
            .map(|value| rule("socket", Action::ScmpActErrno, Some(Errno::AFNOSUPPORT), Some((INT, value)))),
    );
    let held = |any: &[&str]| any.iter().any(|capability| capabilities.contains(capability));
    rules.extend(WITH.iter().filter(|(any, _)| held(any)).map(|(_, names)| allow(names)));
    if !held(&["CAP_SYS_ADMIN"]) {
        rules.push(allow_masked("clone", NEW_NAMESPACES, 0));
        rules.push(allow_masked("unshare", NEW_NAMESPACES | NEW_TIME, 0));
        // Its flags lie behind a pointer, where no filter can look. C libraries fall back to clone.
        rules.push(rule("clone3", Action::ScmpActErrno, Some(Errno::NOSYS), None));
    }
    let architectures = match std::env::consts::ARCH {
        // Not x32: nothing is built for it, and its calls have other numbers and checks of their own.
        "x86_64" => vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86],
        "aarch64" => vec![Arch::ScmpArchAarch64, Arch::ScmpArchArm],
        _ => vec![Arch::ScmpArchNative],
    };
    LinuxSeccompBuilder::default()
        .default_action(Action::ScmpActErrno)
        .default_errno_ret(Errno::PERM.raw_os_error().unsigned_abs())
        .architectures(architectures)
        .syscalls(rules)
        .build()
        .unwrap_or_else(|_| unreachable!("every field has a default"))
}
