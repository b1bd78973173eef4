//! Which system calls there is a use for, as tables: by what a run does.
//!
//! What is in no table is answered EPERM. The C libraries' needs are those of glibc 2.31 to 2.42 and of musl:
//! memory, threads, signals, clocks. Numbers that only older machines have are marked.

use libc::c_long;

use self::Test::{Has, Is, Lacks, Masked, Null};

/// What an argument of a call has to be; of all but pointers the lower 32 bits count, as in the kernel.
#[derive(Clone, Copy, Debug)]
pub(super) enum Test {
    Is(u32),
    /// These bits are of this value.
    Masked(u32, u32),
    Has(u32),
    Lacks(u32),
    /// A pointer to nothing.
    Null,
}

/// A call, and what its arguments have to be, each by its index.
pub(super) type Rule = (c_long, &'static [(u8, Test)]);

/// The sets that a run may be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Frames are sent and captured by sockets that are open.
    Frames,
    /// Probes are sent by sockets that are open, and the kernel reports on them.
    Reports,
    /// A terminal is drawn on, and keys are read.
    Screen,
    /// Connections to an open socket are served.
    Serving,
    /// Files are made, and removed; where, is Landlock's matter.
    Making,
    /// Another process is asked for names.
    Asking,
    /// Names are looked up: by the C library with its plug-ins, or by DNS.
    LookingUp,
}

/// What ends the process: whoever tries it is not rtrace.
pub(super) const DEADLY: &[c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_fsmount,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_open_by_handle_at,
];

/// What is said not to exist, so that the C library falls back to a call whose arguments can be looked at.
pub(super) const ABSENT: &[c_long] = &[libc::SYS_clone3];

/// Allowed in every run.
const ALWAYS: &[c_long] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_lseek,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_munmap,
    libc::SYS_ftruncate,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_membarrier,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_ppoll,
    libc::SYS_wait4,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// The calls of every run, whatever their arguments are.
pub(super) const EVERY_RUN: [&[c_long]; 2] = [ALWAYS, old::ALWAYS];

/// Allowed in every run, by arguments: memory that is never executable, threads but no processes, and nothing but
/// questions of terminals and limits.
pub(super) const ALWAYS_IF: &[Rule] = &[
    (libc::SYS_mmap, &[(2, Lacks(PROT_EXEC))]),
    (libc::SYS_mprotect, &[(2, Lacks(PROT_EXEC))]),
    (libc::SYS_clone, &[(0, Has(libc::CLONE_THREAD.cast_unsigned()))]),
    (libc::SYS_fcntl, &[(1, Is(libc::F_GETFD.cast_unsigned()))]),
    (libc::SYS_fcntl, &[(1, Is(libc::F_SETFD.cast_unsigned()))]),
    (libc::SYS_fcntl, &[(1, Is(libc::F_GETFL.cast_unsigned()))]),
    (libc::SYS_fcntl, &[(1, Is(libc::F_SETFL.cast_unsigned()))]),
    (libc::SYS_fcntl, &[(1, Is(libc::F_DUPFD_CLOEXEC.cast_unsigned()))]),
    (libc::SYS_ioctl, &[(1, Is(request(libc::TCGETS)))]),
    (libc::SYS_ioctl, &[(1, Is(TCGETS2))]),
    (libc::SYS_ioctl, &[(1, Is(request(libc::TIOCGWINSZ)))]),
    (libc::SYS_ioctl, &[(1, Is(request(libc::FIONBIO)))]),
    (libc::SYS_prctl, &[(0, Is(libc::PR_SET_NAME.cast_unsigned()))]),
    (libc::SYS_prlimit64, &[(2, Null)]),
    (libc::SYS_newfstatat, &[(3, Has(EMPTY_PATH))]),
    (libc::SYS_statx, &[(2, Has(EMPTY_PATH))]),
];

/// What the kernel of this machine has kept of what others have replaced; musl still uses it.
#[cfg(target_arch = "x86_64")]
mod old {
    use super::{CREATING, Lacks, Rule, WRITING, c_long};

    pub const ALWAYS: &[c_long] = &[libc::SYS_poll, libc::SYS_time];
    pub const WAITING: &[c_long] = &[libc::SYS_epoll_wait, libc::SYS_epoll_create];
    pub const OPENING: &[c_long] =
        &[libc::SYS_stat, libc::SYS_lstat, libc::SYS_access, libc::SYS_readlink];
    pub const MAKING: &[c_long] = &[libc::SYS_open];
    pub const READING: &[Rule] = &[(libc::SYS_open, &[(1, Lacks(WRITING))])];
    pub const SCREEN: &[Rule] = &[(libc::SYS_open, &[(1, Lacks(CREATING))])];
}

#[cfg(not(target_arch = "x86_64"))]
mod old {
    use super::{Rule, c_long};

    pub const ALWAYS: &[c_long] = &[];
    pub const WAITING: &[c_long] = &[];
    pub const OPENING: &[c_long] = &[];
    pub const MAKING: &[c_long] = &[];
    pub const READING: &[Rule] = &[];
    pub const SCREEN: &[Rule] = &[];
}

/// Waiting for several things at once, as mio does it.
const WAITING: &[c_long] = &[
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_pipe2,
];

const OPENING: &[c_long] = &[
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_faccessat,
    libc::SYS_readlinkat,
    libc::SYS_getcwd,
    libc::SYS_fstatfs,
    libc::SYS_getdents64,
];

const MAKING: &[c_long] = &[libc::SYS_openat, libc::SYS_unlinkat];

/// Sockets of one's own, once they are made: see [`rules`].
const TALKING: &[c_long] = &[
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_shutdown,
    libc::SYS_setsockopt,
    libc::SYS_getsockopt,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
];

/// What the plug-ins of the C library ask of the system.
const PLUGGED_IN: &[c_long] =
    &[libc::SYS_uname, libc::SYS_sysinfo, libc::SYS_getppid, libc::SYS_flock, libc::SYS_getgroups];

impl Use {
    /// The calls it needs, whatever their arguments are.
    pub(super) fn calls(self) -> Vec<&'static [c_long]> {
        match self {
            Self::Frames => vec![&[libc::SYS_sendto, libc::SYS_recvmmsg, libc::SYS_recvfrom]],
            Self::Reports => {
                vec![&[libc::SYS_sendto, libc::SYS_sendmsg, libc::SYS_recvmmsg, libc::SYS_recvmsg]]
            }
            Self::Screen => vec![WAITING, old::WAITING],
            Self::Serving => {
                vec![&[
                    libc::SYS_accept4,
                    libc::SYS_recvfrom,
                    libc::SYS_shutdown,
                    libc::SYS_getsockname,
                ]]
            }
            Self::Making => vec![OPENING, old::OPENING, MAKING, old::MAKING],
            Self::Asking => vec![&[libc::SYS_recvfrom, libc::SYS_shutdown]],
            Self::LookingUp => {
                vec![WAITING, old::WAITING, OPENING, old::OPENING, TALKING, PLUGGED_IN]
            }
        }
    }

    /// The calls it needs with arguments that are looked at.
    pub(super) fn rules(self) -> Vec<&'static [Rule]> {
        match self {
            Self::Frames => vec![FRAMES],
            Self::Reports => vec![REPORTS],
            Self::Screen => vec![SCREEN, old::SCREEN],
            Self::Serving | Self::Asking => vec![&[TO_ITS_PEER]],
            Self::Making => Vec::new(),
            Self::LookingUp => vec![READING, old::READING, LOOKING_UP],
        }
    }
}

/// The counters of packet(7), and whether an interface is still there.
const FRAMES: &[Rule] =
    &[(libc::SYS_getsockopt, &[(1, Is(libc::SOL_PACKET.cast_unsigned()))]), THERE];

/// Whether an interface is still there.
const THERE: Rule = (libc::SYS_ioctl, &[(1, Is(request(libc::SIOCGIFINDEX)))]);

/// Pending errors, Don't Fragment and flow labels.
const REPORTS: &[Rule] = &[
    (libc::SYS_getsockopt, &[(1, Is(SOCKET)), (2, Is(libc::SO_ERROR.cast_unsigned()))]),
    (libc::SYS_setsockopt, &[(1, Is(V4)), (2, Is(libc::IP_MTU_DISCOVER.cast_unsigned()))]),
    (libc::SYS_setsockopt, &[(1, Is(V6)), (2, Is(libc::IPV6_MTU_DISCOVER.cast_unsigned()))]),
    (libc::SYS_setsockopt, &[(1, Is(V6)), (2, Is(libc::IPV6_FLOWLABEL_MGR.cast_unsigned()))]),
    THERE,
];

/// Levels of options.
const SOCKET: u32 = libc::SOL_SOCKET.cast_unsigned();
const V4: u32 = libc::IPPROTO_IP.cast_unsigned();
const V6: u32 = libc::IPPROTO_IPV6.cast_unsigned();

const SCREEN: &[Rule] = &[
    (libc::SYS_openat, &[(2, Lacks(CREATING))]),
    (libc::SYS_ioctl, &[(1, Is(request(libc::TCSETS)))]),
    (libc::SYS_ioctl, &[(1, Is(request(libc::TCSETSW)))]),
    (libc::SYS_ioctl, &[(1, Is(request(libc::TCSETSF)))]),
    (libc::SYS_ioctl, &[(1, Is(TCSETS2))]),
    (libc::SYS_ioctl, &[(1, Is(TCSETS2 + 1))]),
    (libc::SYS_ioctl, &[(1, Is(TCSETS2 + 2))]),
    (libc::SYS_socketpair, &[(0, Is(libc::AF_UNIX.cast_unsigned()))]),
    (libc::SYS_recvfrom, &[(4, Null)]),
    TO_ITS_PEER,
];

const LOOKING_UP: &[Rule] = &[
    (libc::SYS_mmap, &[]),
    (libc::SYS_mprotect, &[]),
    (libc::SYS_socket, &[(0, Is(INET)), (1, Masked(KIND, STREAM))]),
    (libc::SYS_socket, &[(0, Is(INET)), (1, Masked(KIND, DATAGRAM))]),
    (libc::SYS_socket, &[(0, Is(INET6)), (1, Masked(KIND, STREAM))]),
    (libc::SYS_socket, &[(0, Is(INET6)), (1, Masked(KIND, DATAGRAM))]),
    (libc::SYS_socket, &[(0, Is(libc::AF_UNIX.cast_unsigned()))]),
    // NETLINK_ROUTE is 0: which addresses this host has.
    (libc::SYS_socket, &[(0, Is(libc::AF_NETLINK.cast_unsigned())), (2, Is(0))]),
    (libc::SYS_ioctl, &[(1, Is(request(libc::FIONREAD)))]),
];

/// A file that is not written to.
const READING: &[Rule] = &[(libc::SYS_openat, &[(2, Lacks(WRITING))])];

/// A message on a socket that is connected.
const TO_ITS_PEER: Rule = (libc::SYS_sendto, &[(4, Null)]);

const INET: u32 = libc::AF_INET.cast_unsigned();
const INET6: u32 = libc::AF_INET6.cast_unsigned();
/// The bits of a socket's type that are not flags.
const KIND: u32 = 0xf;
const STREAM: u32 = libc::SOCK_STREAM.cast_unsigned();
const DATAGRAM: u32 = libc::SOCK_DGRAM.cast_unsigned();
const PROT_EXEC: u32 = libc::PROT_EXEC.cast_unsigned();
const EMPTY_PATH: u32 = libc::AT_EMPTY_PATH.cast_unsigned();
/// Flags of a file that is made or emptied, and of one that is not only read.
const CREATING: u32 = (libc::O_CREAT | libc::O_TRUNC).cast_unsigned();
const WRITING: u32 = CREATING | (libc::O_WRONLY | libc::O_RDWR).cast_unsigned();
/// `_IOR('T', 0x2a, struct termios2)` and `_IOW('T', 0x2b, …)`, which glibc asks since 2.42; two more follow.
const TCGETS2: u32 = 0x802c_542a;
const TCSETS2: u32 = 0x402c_542b;

/// The number of an ioctl, whose type differs between C libraries.
#[expect(clippy::cast_possible_truncation, reason = "they have 32 bits")]
const fn request(number: libc::Ioctl) -> u32 {
    number as u32
}
