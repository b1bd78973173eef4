//! System calls that no safe crate offers. Nothing else in rtrace is `unsafe`.
//!
//! nix has `recvmmsg`, but a batch of its kind can be used once: the kernel stores in each header how much room it
//! used, and nix passes that to the next call as the room available.

#![expect(unsafe_code, reason = "recvmmsg, ioctls, a socket option, io_uring, a signal, a fork")]

use std::ffi::{c_char, c_ulong};
use std::io::{self, PipeWriter, Read};
use std::mem;
use std::net::Ipv6Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use nix::errno::Errno;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, setsid};
use pnet::transport::TransportSender;

use crate::time::Timestamp;
use crate::wire::extension::Family;

/// The most messages that are read at a time.
pub const BATCH: usize = 32;

/// The counters of `PACKET_STATISTICS` since they were last read: `struct tpacket_stats`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct PacketStatistics {
    /// Frames that passed the filter, dropped ones included.
    pub packets: u32,
    /// Frames that were dropped because the buffer was full.
    pub drops: u32,
}

/// The kernel's notes on a message.
#[derive(Clone, Copy, Debug)]
pub struct Note {
    /// The length of the message, even if there was less room for it.
    pub length: usize,
    /// When the kernel saw it, if the socket requests stamps.
    pub stamp: Option<Timestamp>,
    /// When the device received or sent it, by the device's clock, if the socket requests that.
    pub hardware: Option<Timestamp>,
    /// The offset of its IP header, on packet sockets that request it.
    pub network: Option<u16>,
    /// Where it came from, on packet sockets only.
    pub address: libc::sockaddr_ll,
}

impl Note {
    /// The index of the interface that it was seen on.
    pub fn interface(&self) -> u32 {
        self.address.sll_ifindex.cast_unsigned()
    }

    /// Notes on no message.
    pub const NONE: Self = Self {
        length: 0,
        stamp: None,
        hardware: None,
        network: None,
        address: libc::sockaddr_ll {
            sll_family: 0,
            sll_protocol: 0,
            sll_ifindex: 0,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        },
    };
}

/// Room for control messages, aligned like their headers.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; 256]);

/// Reads the messages that are there, the first into the first of `buffers`, and so on. The length of the result is
/// the number of messages read; if it is smaller than the number of buffers, no other message was there. Never waits:
/// returns [`io::ErrorKind::WouldBlock`] if there is no message. Of the flags, only `MSG_ERRQUEUE` is useful.
pub fn receive<'n, 'b>(
    socket: &impl AsFd,
    flags: libc::c_int,
    buffers: impl Iterator<Item = &'b mut [u8]>,
    notes: &'n mut [Note; BATCH],
) -> io::Result<&'n [Note]> {
    let mut controls = [Control([0; _]); BATCH];
    let mut pieces = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; BATCH];
    // SAFETY: plain numbers and pointers, of which all zeroes is a value. (It cannot be written out:
    // some systems have private padding in it.)
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
    let mut count = 0;
    let parts = headers.iter_mut().zip(&mut pieces).zip(&mut controls).zip(notes.iter_mut());
    for ((((header, piece), control), note), buffer) in parts.zip(buffers) {
        *piece = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        let header = &mut header.msg_hdr;
        header.msg_name = (&raw mut note.address).cast();
        header.msg_namelen = length_of::<libc::sockaddr_ll>();
        header.msg_iov = piece;
        header.msg_iovlen = 1;
        header.msg_control = control.0.as_mut_ptr().cast();
        header.msg_controllen = mem::size_of::<Control>() as _;
        count += 1;
    }
    // SAFETY: the descriptor is open. The first `count` headers point to buffers, addresses and control
    // buffers of the lengths they say, all of which are borrowed for longer than this call, by nobody
    // else, and are numbers that may have any value.
    let read = unsafe {
        libc::recvmmsg(
            socket.as_fd().as_raw_fd(),
            headers.as_mut_ptr(),
            count,
            (flags | libc::MSG_DONTWAIT | libc::MSG_TRUNC) as _,
            ptr::null_mut(),
        )
    };
    let read = usize::try_from(read).map_err(|_| io::Error::last_os_error())?;
    for (header, note) in headers.iter().zip(notes.iter_mut()).take(read) {
        note.length = usize::try_from(header.msg_len).unwrap_or(usize::MAX);
        (note.stamp, note.hardware, note.network) = remarks(&header.msg_hdr);
    }
    Ok(notes.get(..read).unwrap_or(notes))
}

/// The stamps in a received message's control messages, by the kernel (`SO_TIMESTAMPNS`) and by the device
/// (`SO_TIMESTAMPING`, the third stamp); and the offset of the IP header (`PACKET_AUXDATA`).
fn remarks(header: &libc::msghdr) -> (Option<Timestamp>, Option<Timestamp>, Option<u16>) {
    const ONE: libc::socklen_t = length_of::<libc::timespec>();
    const AUXDATA: libc::socklen_t = length_of::<libc::tpacket_auxdata>();
    let stamp = |at: libc::timespec| Timestamp::from_parts(at.tv_sec, at.tv_nsec);
    let (mut software, mut hardware, mut network) = (None, None, None);
    // SAFETY: `header` is one that the kernel filled in, and its control buffer is still there. What is
    // read lies within a message, by the length it says, and may be any numbers.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while let Some(&libc::cmsghdr { cmsg_len, cmsg_level, cmsg_type, .. }) = message.as_ref() {
            let bytes = libc::CMSG_DATA(message);
            if (cmsg_level, cmsg_type) == (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS)
                && cmsg_len >= libc::CMSG_LEN(ONE) as _
            {
                software = Some(stamp(bytes.cast::<libc::timespec>().read_unaligned()));
            }
            if (cmsg_level, cmsg_type) == (libc::SOL_SOCKET, libc::SCM_TIMESTAMPING)
                && cmsg_len >= libc::CMSG_LEN(3 * ONE) as _
            {
                let [_, _, raw] = bytes.cast::<[libc::timespec; 3]>().read_unaligned();
                hardware = Some(stamp(raw)).filter(|at| *at != Timestamp::default());
            }
            if (cmsg_level, cmsg_type) == (libc::SOL_PACKET, libc::PACKET_AUXDATA)
                && cmsg_len >= libc::CMSG_LEN(AUXDATA) as _
            {
                network = Some(bytes.cast::<libc::tpacket_auxdata>().read_unaligned().tp_net);
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    (software, hardware, network)
}

/// The length of a structure in the type of socket calls.
#[expect(clippy::cast_possible_truncation, reason = "they are of some bytes")]
const fn length_of<T>() -> libc::socklen_t {
    mem::size_of::<T>() as libc::socklen_t
}

/// The counters of a packet socket; reading them resets them.
pub fn packet_statistics(socket: &OwnedFd) -> io::Result<PacketStatistics> {
    let mut counters = PacketStatistics::default();
    let mut length = length_of::<PacketStatistics>();
    // SAFETY: the descriptor is open; the kernel writes at most `length` bytes, the size of the
    // structure, in which every bit pattern is valid.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut counters).cast(),
            &raw mut length,
        )
    };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(counters) }
}

/// The descriptor of pnet's sender, which has it as a number only.
pub fn descriptor(sender: &TransportSender) -> BorrowedFd<'_> {
    // SAFETY: `sender` owns the descriptor and closes it when dropped; the borrow ends before.
    unsafe { BorrowedFd::borrow_raw(sender.socket.fd) }
}

/// Makes a packet socket report the offset of the IP header in each frame.
pub fn ask_for_network_headers(socket: &impl AsFd) -> io::Result<()> {
    Ok(switch_on(socket, libc::SOL_PACKET, libc::PACKET_AUXDATA)?)
}

/// Locks the filter of a socket: nobody can remove or replace it, whatever becomes of this process.
pub fn lock_filter(socket: &impl AsFd) -> io::Result<()> {
    Ok(switch_on(socket, libc::SOL_SOCKET, libc::SO_LOCK_FILTER)?)
}

/// Makes a socket give the extension structure of ICMP errors with their quotes (`IP_RECVERR_RFC4884`,
/// `IPV6_RECVERR_RFC4884`).
pub fn ask_for_extensions(socket: &impl AsFd, family: Family) -> nix::Result<()> {
    match family {
        Family::V4 => switch_on(socket, libc::IPPROTO_IP, 26),
        Family::V6 => switch_on(socket, libc::IPPROTO_IPV6, 31),
    }
}

/// Makes a socket send the flow labels in the addresses that it sends to.
pub fn send_flow_labels(socket: &impl AsFd) -> nix::Result<()> {
    const FLOWINFO_SEND: libc::c_int = 33; // IPV6_FLOWINFO_SEND of linux/in6.h
    switch_on(socket, libc::IPPROTO_IPV6, FLOWINFO_SEND)
}

/// Leases a flow label for datagrams to `target`: the kernel sends no other ones.
pub fn lease_flow_label(socket: &impl AsFd, target: Ipv6Addr, label: u32) -> io::Result<()> {
    /// `struct in6_flowlabel_req` of linux/in6.h.
    #[repr(C)]
    struct Request {
        destination: [u8; 16],
        label: u32,
        action: u8,
        share: u8,
        flags: u16,
        expires: u16,
        linger: u16,
        padding: u32,
    }
    const MANAGER: libc::c_int = 32; // IPV6_FLOWLABEL_MGR
    const GET: u8 = 0; // IPV6_FL_A_GET
    const WITH_ANYBODY: u8 = 255; // IPV6_FL_S_ANY
    const CREATE: u16 = 1; // IPV6_FL_F_CREATE
    let request = Request {
        destination: target.octets(),
        label: label.to_be(),
        action: GET,
        share: WITH_ANYBODY,
        flags: CREATE,
        expires: 0,
        linger: 0,
        padding: 0,
    };
    // SAFETY: the descriptor is open; the kernel reads a structure of that size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_IPV6,
            MANAGER,
            (&raw const request).cast(),
            length_of::<Request>(),
        )
    };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Switches on an option that is a number.
fn switch_on(socket: &impl AsFd, level: libc::c_int, option: libc::c_int) -> nix::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open; the kernel reads an integer of that size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            length_of::<libc::c_int>(),
        )
    };
    Errno::result(result).map(drop)
}

/// A guard that releases packet sockets without waiting, if it is dropped after them. Closing the last reference to a
/// packet socket waits until every processor has passed by (`synchronize_net` in `packet_release`; 4 to 15 ms were
/// seen), and so does the end of the process. An `io_uring` that has the sockets gives them back in a kernel thread
/// when it is closed. Without `io_uring` only that time is lost.
pub fn ring(sockets: &[BorrowedFd<'_>]) -> Option<OwnedFd> {
    const REGISTER_FILES: libc::c_long = 2; // IORING_REGISTER_FILES of linux/io_uring.h
    let mut parameters = [0_u32; 30]; // struct io_uring_params, 120 bytes
    // SAFETY: the kernel reads and writes one structure, of this size and without pointers.
    let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, &raw mut parameters) };
    let ring = RawFd::try_from(ring).ok().filter(|ring| *ring >= 0)?;
    // SAFETY: a descriptor that the call has just made, and that nobody else has.
    let ring = unsafe { OwnedFd::from_raw_fd(ring) };
    let descriptors: Vec<_> = sockets.iter().map(AsRawFd::as_raw_fd).collect();
    // SAFETY: the kernel reads that many descriptors, which are open, through the pointer.
    unsafe {
        let (ring, files) = (ring.as_raw_fd(), descriptors.as_ptr());
        libc::syscall(libc::SYS_io_uring_register, ring, REGISTER_FILES, files, descriptors.len());
    }
    Some(ring)
}

/// Whether there is an interface with this name. Any open socket will do.
pub fn is_there(socket: &impl AsFd, interface: &str) -> bool {
    let Some(ifr_name) = interface_name(interface) else { return false };
    let ifr_ifru = libc::__c_anonymous_ifr_ifru { ifru_ifindex: 0 };
    let mut ask = libc::ifreq { ifr_name, ifr_ifru };
    // SAFETY: the descriptor is open, the name ends with a zero, and the kernel writes a number into the rest.
    let found =
        unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::SIOCGIFINDEX as _, &raw mut ask) };
    found == 0
}

/// An interface name in the form that the kernel wants; `None` if it is too long or not a name.
fn interface_name(interface: &str) -> Option<[c_char; libc::IFNAMSIZ]> {
    let mut name: [c_char; libc::IFNAMSIZ] = [0; _];
    name.iter_mut().zip(interface.bytes()).for_each(|(to, byte)| *to = byte.cast_signed());
    (interface.len() < name.len()).then_some(name)
}

/// `ETHTOOL_GET_TS_INFO` of linux/ethtool.h, and what it answers: `struct ethtool_ts_info`.
const ETHTOOL_GET_TS_INFO: u32 = 0x41;

/// What a device can stamp.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct StampingOffer {
    pub(super) command: u32,
    /// `SOF_TIMESTAMPING_…`.
    pub so_timestamping: u32,
    /// The number of its clock; -1 if it has none.
    pub phc_index: i32,
    /// A bit for each `HWTSTAMP_TX_…`.
    pub tx_types: u32,
    pub(super) tx_reserved: [u32; 3],
    /// A bit for each `HWTSTAMP_FILTER_…`.
    pub rx_filters: u32,
    pub(super) rx_reserved: [u32; 3],
}

/// Asks what a device can stamp.
pub fn stamping_offer(socket: &impl AsFd, interface: &str) -> io::Result<StampingOffer> {
    let mut offer = StampingOffer { command: ETHTOOL_GET_TS_INFO, ..StampingOffer::default() };
    // SAFETY: the request, with this command, reads and writes this structure.
    unsafe { ask_device(socket, interface, libc::SIOCETHTOOL, &mut offer) }.map(|()| offer)
}

/// What a device stamps at present.
pub fn stamping(socket: &impl AsFd, interface: &str) -> io::Result<libc::hwtstamp_config> {
    let mut config = libc::hwtstamp_config { flags: 0, tx_type: 0, rx_filter: 0 };
    // SAFETY: the request writes this structure.
    unsafe { ask_device(socket, interface, libc::SIOCGHWTSTAMP, &mut config) }.map(|()| config)
}

/// Sets what a device stamps, and returns what it then stamps, which may be more. Allocates nothing.
pub fn set_stamping(
    socket: &impl AsFd,
    interface: &str,
    mut config: libc::hwtstamp_config,
) -> io::Result<libc::hwtstamp_config> {
    // SAFETY: the request reads and writes this structure.
    unsafe { ask_device(socket, interface, libc::SIOCSHWTSTAMP, &mut config) }.map(|()| config)
}

/// One ioctl on a device.
///
/// # Safety
/// `value` must be what the request wants its `ifr_data` to point to.
unsafe fn ask_device<T>(
    socket: &impl AsFd,
    interface: &str,
    request: c_ulong,
    value: &mut T,
) -> io::Result<()> {
    let Some(name) = interface_name(interface) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let data = libc::__c_anonymous_ifr_ifru { ifru_data: (&raw mut *value).cast() };
    let mut ask = libc::ifreq { ifr_name: name, ifr_ifru: data };
    // SAFETY: the descriptor is open, the name ends with a zero, and the rest is the caller's promise.
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), request as _, &raw mut ask) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A task that is done when this is dropped or this process ends, in whichever way.
#[derive(Debug)]
pub struct Afterwards {
    end: Option<PipeWriter>,
    child: Pid,
}

/// Forks a process that does `last` with no privilege but `CAP_NET_ADMIN`: it only waits until the other end of its
/// pipe is closed. `last` must neither allocate nor take a lock.
pub fn afterwards(last: impl FnOnce()) -> io::Result<Afterwards> {
    let (mut waits, end) = io::pipe()?;
    // SAFETY: whatever threads there are, the child does no more than system calls until it exits.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(Afterwards { end: Some(end), child }),
        ForkResult::Child => {
            drop(end);
            let _ = setsid(); // Ctrl-C is for the other
            keep_net_admin();
            while waits.read(&mut [0]).is_err_and(|e| e.kind() == io::ErrorKind::Interrupted) {}
            last();
            // SAFETY: it never returns, and runs nothing that was registered in the parent.
            unsafe { libc::_exit(0) }
        }
    }
}

/// Makes this signal wake a link, in addition to what it does already. `wake` does only what a handler may do
/// (signal-safety(7)): it stores flags and writes to sockets.
///
/// # Errors
/// The error of the kernel, if a handler cannot be installed.
pub(super) fn wake_at(
    signal: libc::c_int,
    wake: impl Fn() + Send + Sync + 'static,
) -> io::Result<()> {
    // SAFETY: `wake` does only what a handler may do.
    unsafe { signal_hook::low_level::register(signal, wake) }.map(drop)
}

/// Gives up every capability but `CAP_NET_ADMIN`, for good. Neither allocates nor takes a lock.
fn keep_net_admin() {
    /// capset(2): `_LINUX_CAPABILITY_VERSION_3`, whose sets are two words each, and bits of the first.
    #[repr(C)]
    struct Head(u32, libc::c_int);
    #[repr(C)]
    struct Sets {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    const VERSION: u32 = 0x2008_0522;
    const NET_ADMIN: u32 = 1 << 12;
    let head = Head(VERSION, 0);
    let sets = [NET_ADMIN, 0].map(|bits| Sets { effective: bits, permitted: bits, inheritable: 0 });
    // SAFETY: both structures are as capset(2) says, and live during the calls.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::syscall(libc::SYS_capset, &raw const head, sets.as_ptr());
    }
}

impl Drop for Afterwards {
    fn drop(&mut self) {
        self.end = None;
        let _ = waitpid(self.child, None);
    }
}
