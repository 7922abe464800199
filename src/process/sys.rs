//! The system calls that `std` does not offer, each behind a safe function.
#![allow(unsafe_code)]

use std::io::{self, Write as _};
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::ptr;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The most descriptors that one message carries.
pub(super) const MAX_FDS: usize = 4;

/// Room for the control message of `MAX_FDS` descriptors, aligned as `cmsghdr` needs it.
type ControlBuffer = [u64; 8];

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn check_size(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Repeats a call that a signal interrupted.
fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Two connected sockets that keep message boundaries and report the end of the other side. Close-on-exec.
pub(super) fn seqpacket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [-1; 2];
    // SAFETY: `fds` has room for the two descriptors that the call writes.
    check(unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0, fds.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so both are open and nobody else owns them.
    Ok(unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) })
}

/// Whether `fd` is a socket of the kind that [`seqpacket_pair`] makes.
pub(super) fn is_seqpacket(fd: BorrowedFd<'_>) -> bool {
    let mut kind: libc::c_int = 0;
    let mut length = mem::size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `kind` and `length` are valid for writes, and `length` states the size of `kind`.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TYPE,
            ptr::from_mut(&mut kind).cast(),
            &raw mut length,
        )
    };
    result == 0 && kind == libc::SOCK_SEQPACKET
}

/// Sends one message with descriptors, without waiting: `WouldBlock` when the queue is full.
pub(super) fn send(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[RawFd]) -> io::Result<()> {
    assert!(fds.len() <= MAX_FDS, "a message carries at most {MAX_FDS} descriptors");
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut control: ControlBuffer = [0; 8];
    // SAFETY: all-zero is a valid `msghdr` (null pointers, zero lengths).
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if !fds.is_empty() {
        let payload = mem::size_of_val(fds) as libc::c_uint;
        message.msg_control = control.as_mut_ptr().cast();
        // SAFETY: pure arithmetic on a length of at most MAX_FDS descriptors.
        message.msg_controllen = unsafe { libc::CMSG_SPACE(payload) } as _;
        // SAFETY: `msg_control` has room for CMSG_SPACE(payload) bytes (64 ≥ CMSG_SPACE(16)), so the first header
        // exists, lies inside `control`, and its data has room for all of `fds`.
        unsafe {
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(payload) as _;
            ptr::copy_nonoverlapping(fds.as_ptr(), libc::CMSG_DATA(header).cast::<RawFd>(), fds.len());
        }
    }
    uninterrupted(|| {
        // SAFETY: `message` points to live buffers; the kernel only reads them.
        check_size(unsafe {
            libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT)
        })
    })
    .map(drop)
}

/// Receives one message without waiting. `Ok(0)` is the end of the other side.
pub(super) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    uninterrupted(|| {
        // SAFETY: the pointer and length describe `buffer`.
        check_size(unsafe {
            libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT)
        })
    })
}

/// Receives one message and its descriptors (close-on-exec) without waiting.
pub(super) fn receive_with_fds(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control: ControlBuffer = [0; 8];
    // SAFETY: all-zero is a valid `msghdr`.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = mem::size_of_val(&control) as _;
    let length = uninterrupted(|| {
        // SAFETY: `message` points to live, writable buffers with their lengths.
        check_size(unsafe {
            libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC)
        })
    })?;
    let mut fds = Vec::new();
    // SAFETY: the kernel filled `control` with well-formed headers up to `msg_controllen`; each SCM_RIGHTS header is
    // followed by as many new descriptors as its length says, which belong to us alone.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while !header.is_null() {
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS {
                let bytes = (*header).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                let data = libc::CMSG_DATA(header).cast::<RawFd>();
                for index in 0..bytes / mem::size_of::<RawFd>() {
                    fds.push(OwnedFd::from_raw_fd(ptr::read_unaligned(data.add(index))));
                }
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    Ok((length, fds))
}

/// Lets the present tokio runtime watch a descriptor for something to read.
pub(super) fn watch_readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open, gives the same number as long as it lives, and moves into the `AsyncFd`.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
}

/// Ends our direction of a socket: the other side reads the end, ours can still be read.
pub(super) fn end_writing(socket: BorrowedFd<'_>) {
    // SAFETY: a call on a borrowed, open descriptor. It fails only where the other side is gone, which is the aim.
    unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_WR) };
}

/// Ends both directions of a socket for every copy of the descriptor.
pub(super) fn end(socket: BorrowedFd<'_>) {
    // SAFETY: as in `end_writing`.
    unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RDWR) };
}

/// Waits until one of `fds` can be read or has ended, at most `timeout` ms (−1: for ever). Says which.
pub(super) fn poll<const N: usize>(fds: [Option<BorrowedFd<'_>>; N], timeout: i32) -> io::Result<[bool; N]> {
    let mut entries = fds.map(|fd| libc::pollfd {
        // The kernel skips negative descriptors.
        fd: fd.map_or(-1, |fd| fd.as_raw_fd()),
        events: libc::POLLIN,
        revents: 0,
    });
    uninterrupted(|| {
        // SAFETY: the pointer and count describe `entries`.
        check(unsafe { libc::poll(entries.as_mut_ptr(), N as libc::nfds_t, timeout) })
    })?;
    Ok(entries.map(|entry| entry.revents != 0))
}

/// Which of these pipes have been read to their end, and have no writer left.
pub(super) fn are_at_end<const N: usize>(pipes: [BorrowedFd<'_>; N]) -> io::Result<[bool; N]> {
    let mut entries = pipes.map(|pipe| libc::pollfd { fd: pipe.as_raw_fd(), events: libc::POLLIN, revents: 0 });
    uninterrupted(|| {
        // SAFETY: the pointer and count describe `entries`.
        check(unsafe { libc::poll(entries.as_mut_ptr(), N as libc::nfds_t, 0) })
    })?;
    Ok(entries.map(|entry| entry.revents == libc::POLLHUP))
}

/// An anonymous file in memory that holds `bytes`. Close-on-exec.
pub(super) fn memory_file(bytes: &[u8]) -> io::Result<OwnedFd> {
    // SAFETY: the name is a NUL-terminated literal.
    let fd = check(unsafe { libc::memfd_create(c"taskwright-command".as_ptr(), libc::MFD_CLOEXEC) })?;
    // SAFETY: just opened, owned by nobody else.
    let mut file = std::fs::File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    file.write_all(bytes)?;
    Ok(file.into())
}

/// Forks. `None` in the child.
///
/// The caller must be single-threaded: only then may the child allocate and take locks.
pub(super) fn fork() -> io::Result<Option<libc::pid_t>> {
    // SAFETY: this process has one thread (the spawner starts none), so no lock is held by a thread that the child
    // lacks, and the child may do whatever the parent may.
    let pid = check(unsafe { libc::fork() })?;
    Ok((pid != 0).then_some(pid))
}

/// Ends this process at once, without destructors or exit handlers that belong to the parent.
pub(super) fn exit(code: i32) -> ! {
    // SAFETY: always sound; it does not return.
    unsafe { libc::_exit(code) }
}

/// What [`reap`] found.
pub(super) enum Reaped {
    /// A child ended (and is reaped) or was stopped, with its wait status.
    Child(libc::pid_t, libc::c_int),
    /// There are children, and none has news.
    NoNews,
    /// There is no child at all.
    NoChild,
}

/// Takes the next child that has ended; with `stopped`, also one that was stopped by a signal. Does not wait.
pub(super) fn reap(stopped: bool) -> Reaped {
    let flags = libc::WNOHANG | if stopped { libc::WUNTRACED } else { 0 };
    let mut status = 0;
    // SAFETY: `status` is valid for writes. Only the spawner and the supervisors call this, and they own all of
    // their children.
    match uninterrupted(|| check(unsafe { libc::waitpid(-1, &raw mut status, flags) })) {
        Ok(0) => Reaped::NoNews,
        Ok(pid) => Reaped::Child(pid, status),
        // ECHILD; nothing else can happen with these arguments.
        Err(_) => Reaped::NoChild,
    }
}

/// Waits for the end of a child that is about to end, and reaps it.
pub(super) fn wait_for(pid: libc::pid_t) {
    // SAFETY: a null status is allowed.
    let _ = uninterrupted(|| check(unsafe { libc::waitpid(pid, ptr::null_mut(), 0) }));
}

/// Sends a signal to a process, or with a negative number to a process group.
pub(super) fn kill(pid: libc::pid_t, signal: libc::c_int) -> io::Result<()> {
    // SAFETY: a plain system call without pointers.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// A descriptor of a process that stays with that process even when its number is used again.
pub(super) fn open_process(pid: libc::pid_t) -> io::Result<OwnedFd> {
    // SAFETY: a plain system call; flags 0.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = check(fd as libc::c_int)?;
    // SAFETY: just opened, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends a signal to the process behind a descriptor of [`open_process`].
pub(super) fn kill_process(process: BorrowedFd<'_>, signal: libc::c_int) -> io::Result<()> {
    // SAFETY: a null siginfo is allowed and means the same as `kill`.
    let result = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal, ptr::null::<libc::siginfo_t>(), 0)
    };
    check(result as libc::c_int).map(drop)
}

/// No signal.
pub(super) fn no_signals() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` initialises the set.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    }
}

/// Gives every signal its default disposition, which the programs that descend from this process start with.
pub(super) fn default_signals() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: the default is no handler that could run. It fails for SIGKILL and SIGSTOP, which never had another, and
        // for the C library's own, which it keeps from others.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // Those are ignored in a process that was started by `posix_spawn`. A kernel's `sigaction` that is all zero is the
    // default, and no longer than this on any machine; a set of signals has eight bytes there.
    let default = [0_u64; 8];
    for signal in 32..libc::SIGRTMIN() {
        // SAFETY: the kernel only reads `default`. This process has one thread, so it needs neither of what the C library
        // uses them for: ending threads, and changing the user of all.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), ptr::null_mut::<u64>(), 8_usize);
        }
    }
}

/// Blocks every signal that can be blocked and gives a descriptor that turns readable when a child has news.
pub(super) fn take_signals() -> io::Result<OwnedFd> {
    // As the kernel has it, for the C library would leave its own out.
    let all = u64::MAX;
    let mut child = no_signals();
    // SAFETY: the kernel reads the eight bytes of `all`, which is what it takes a set of signals for; `child` is
    // initialised, and written by the call.
    unsafe {
        let null = ptr::null_mut::<u64>();
        let blocked = libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const all, null, 8_usize);
        check(blocked as libc::c_int)?;
        check(libc::sigaddset(&raw mut child, libc::SIGCHLD))?;
        let fd = check(libc::signalfd(-1, &raw const child, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Empties the descriptor of [`take_signals`]. A blocked SIGCHLD is pending once however many children ended.
pub(super) fn drain_signals(signals: BorrowedFd<'_>) {
    let mut buffer = [0_u8; 4 * mem::size_of::<libc::signalfd_siginfo>()];
    // SAFETY: the pointer and length describe `buffer`; the descriptor does not block.
    unsafe { libc::read(signals.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
}

/// Makes this process adopt the orphans among its descendants.
pub(super) fn become_subreaper() -> io::Result<()> {
    // SAFETY: a plain system call without pointers.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }).map(drop)
}

/// Keeps this process and its descendants from gaining rights by set-uid programs.
pub(super) fn forbid_new_privileges() -> io::Result<()> {
    // SAFETY: a plain system call without pointers.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }).map(drop)
}

/// The name that `ps` and `top` show; at most 15 bytes.
pub(super) fn set_name(name: &std::ffi::CStr) {
    // SAFETY: the pointer is to a NUL-terminated string; the kernel copies at most 16 bytes of it.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// Leaves the session and process group of the parent.
pub(super) fn new_session() -> io::Result<()> {
    // SAFETY: a plain system call.
    check(unsafe { libc::setsid() }).map(drop)
}

/// Makes descriptor number `target` (0–2) a copy of `fd`, open across exec.
pub(super) fn place(fd: BorrowedFd<'_>, target: RawFd) -> io::Result<()> {
    debug_assert!((0..=2).contains(&target));
    // SAFETY: numbers 0–2 are the standard streams, which no owned descriptor of this process stands for.
    check(unsafe { libc::dup2(fd.as_raw_fd(), target) }).map(drop)
}

/// Closes every descriptor above 2 except `kept`.
///
/// For a process that has just begun or forked: whoever still owns one of the closed numbers must not use or drop it.
pub(super) fn close_all_but(kept: &mut [RawFd]) -> io::Result<()> {
    kept.sort_unstable();
    let mut first: libc::c_uint = 3;
    for &fd in kept.iter() {
        let Ok(fd) = libc::c_uint::try_from(fd) else {
            continue;
        };
        if fd > first {
            close_range(first, fd - 1)?;
        }
        first = first.max(fd + 1);
    }
    close_range(first, libc::c_uint::MAX)
}

fn close_range(first: libc::c_uint, last: libc::c_uint) -> io::Result<()> {
    // SAFETY: closes numbers that the caller of `close_all_but` has given up.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    match check(result as libc::c_int) {
        // Kernels before 5.9, and sandboxes that do not know the call.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => close_listed(first, last),
        other => other.map(drop),
    }
}

/// The slow way: the open numbers as `/proc` lists them.
fn close_listed(first: libc::c_uint, last: libc::c_uint) -> io::Result<()> {
    let open: Vec<libc::c_uint> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|fd| (first..=last).contains(fd))
        .collect();
    for fd in open {
        // SAFETY: as in `close_range`. The listing's own descriptor is closed already: EBADF, which is harmless.
        unsafe { libc::close(fd as libc::c_int) };
    }
    Ok(())
}

/// The user that this process acts as.
pub(super) fn user() -> u32 {
    // SAFETY: cannot fail.
    unsafe { libc::geteuid() }
}
