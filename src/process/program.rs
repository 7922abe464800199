//! Looking a program up and executing it, in a supervisor.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::ptr;

use super::sys;
use super::wire::{Decoded, Step};

/// Where programs are looked for when the environment has no `PATH`.
const DEFAULT_PATH: &[u8] = b"/usr/local/bin:/usr/bin:/bin";

/// Enters the directory and starts the program in a process group of its own, with the standard streams and the signal
/// dispositions of this process and no signal blocked. Returns its pid.
///
/// Every other descriptor of this process must be close-on-exec.
pub(super) fn start(command: &Decoded<'_>) -> Result<libc::pid_t, (Step, io::Error)> {
    std::env::set_current_dir(OsStr::from_bytes(command.directory.to_bytes()))
        .map_err(|error| (Step::Directory, error))?;
    let path = lookup(command).map_err(|error| (Step::Lookup, error))?;
    execute(&path, command).map_err(|error| (Step::Exec, error))
}

/// The file to execute: the name itself if it has a `/`, else the first executable file on the command's own `PATH`.
fn lookup(command: &Decoded<'_>) -> io::Result<CString> {
    let name = command.argv[0].to_bytes();
    if name.is_empty() {
        return Err(io::Error::from_raw_os_error(libc::ENOENT));
    }
    if name.contains(&b'/') {
        let path = command.argv[0].to_owned();
        return executable(&path).map(|()| path);
    }
    let path =
        command.env.iter().find_map(|variable| variable.to_bytes().strip_prefix(b"PATH=")).unwrap_or(DEFAULT_PATH);
    let mut failure = io::Error::from_raw_os_error(libc::ENOENT);
    for folder in path.split(|byte| *byte == b':') {
        // An empty entry means the working directory.
        let folder = if folder.is_empty() { b".".as_slice() } else { folder };
        let candidate = CString::new([folder, b"/", name].concat())?;
        match executable(&candidate) {
            Ok(()) => return Ok(candidate),
            // A file that is there and not executable tells more than its absence elsewhere.
            Err(error) if error.raw_os_error() == Some(libc::EACCES) => failure = error,
            Err(_) => {}
        }
    }
    Err(failure)
}

/// Whether the path is a file that we may execute.
fn executable(path: &CStr) -> io::Result<()> {
    let metadata = std::fs::metadata(OsStr::from_bytes(path.to_bytes()))?;
    if !metadata.is_file() {
        return Err(io::Error::from_raw_os_error(libc::EACCES));
    }
    sys::may_execute(path)
}

/// `posix_spawn`: it shares our memory until the exec, so it costs no copy of page tables, and gives exec's own error.
fn execute(path: &CStr, command: &Decoded<'_>) -> io::Result<libc::pid_t> {
    let pointers = |strings: &[&CStr]| -> Vec<*mut libc::c_char> {
        let strings = strings.iter().map(|string| string.as_ptr().cast_mut());
        strings.chain([ptr::null_mut()]).collect()
    };
    let (argv, env) = (pointers(&command.argv), pointers(&command.env));
    let attributes = Attributes::new()?;
    let mut pid = 0;
    // SAFETY: `path` is NUL-terminated, both vectors hold pointers to NUL-terminated strings that outlive the call and
    // end with a null, the attributes are initialised, and there are no file actions.
    let errno = unsafe {
        libc::posix_spawn(
            &raw mut pid,
            path.as_ptr(),
            ptr::null(),
            &raw const attributes.0,
            argv.as_ptr(),
            env.as_ptr(),
        )
    };
    if errno == 0 { Ok(pid) } else { Err(io::Error::from_raw_os_error(errno)) }
}

/// What a program starts with: its own process group, no signal blocked. That no signal is ignored the spawner saw to, once
/// for all: here it would cost a system call for each signal there is.
struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    fn new() -> io::Result<Attributes> {
        let mut raw = std::mem::MaybeUninit::uninit();
        let check = |errno| {
            if errno == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(errno)) }
        };
        // SAFETY: `init` initialises the object before anything else touches it.
        let mut attributes = unsafe {
            check(libc::posix_spawnattr_init(raw.as_mut_ptr()))?;
            Attributes(raw.assume_init())
        };
        let flags = libc::POSIX_SPAWN_SETPGROUP | libc::POSIX_SPAWN_SETSIGDEF | libc::POSIX_SPAWN_SETSIGMASK;
        let target = &raw mut attributes.0;
        // SAFETY: `target` is initialised; the sets are read during the calls only.
        unsafe {
            check(libc::posix_spawnattr_setpgroup(target, 0))?;
            check(libc::posix_spawnattr_setsigdefault(target, &sys::own_signals_of_c_library()))?;
            check(libc::posix_spawnattr_setsigmask(target, &sys::no_signals()))?;
            check(libc::posix_spawnattr_setflags(target, flags as libc::c_short))?;
        }
        Ok(attributes)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, destroyed once.
        unsafe { libc::posix_spawnattr_destroy(&raw mut self.0) };
    }
}
