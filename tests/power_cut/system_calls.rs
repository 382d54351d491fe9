//! The functions of libc that change files, in place of libc's own: LMDB and SQLite are linked into
//! the test as static libraries, so their calls end up here. Each tells the recorder, and does what it says,
//! by the raw system call.

#![expect(unsafe_code, reason = "only so are the writes of a C library seen and refused")]

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::slice;

use libc::{c_char, c_int, c_long, c_void, iovec, off_t, size_t, ssize_t};

use super::recorder::{self, Event, Watched};

/// What the system says, as `std` has it.
fn outcome(result: c_long) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// What libc's functions return, with `errno` set where it is an error.
fn answer(outcome: io::Result<usize>) -> ssize_t {
    outcome.map_or_else(
        |error| {
            // SAFETY: glibc's and musl's `errno` is a place of the calling thread's own.
            unsafe { *libc::__errno_location() = error.raw_os_error().unwrap_or(libc::EIO) };
            -1
        },
        |count| ssize_t::try_from(count).expect("no write is larger"),
    )
}

/// Writes the buffers at `offset`, or where the file's position is, and moves it.
///
/// # Safety
/// As `writev` and `pwritev` ask: `buffers` describe memory that can be read.
unsafe fn write_buffers(fd: c_int, buffers: &[iovec], offset: Option<off_t>) -> ssize_t {
    let raw = |bytes: &[u8]| match offset {
        // SAFETY: the bytes are borrowed, so they can be read; the kernel checks everything else.
        Some(offset) => outcome(unsafe {
            libc::syscall(libc::SYS_pwrite64, fd, bytes.as_ptr(), bytes.len(), offset)
        }),
        // SAFETY: as above.
        None => outcome(unsafe { libc::syscall(libc::SYS_write, fd, bytes.as_ptr(), bytes.len()) }),
    };
    let mut gathered = Vec::new();
    for buffer in buffers.iter().filter(|buffer| buffer.iov_len > 0) {
        // SAFETY: the caller vouches for the buffers.
        let bytes = unsafe { slice::from_raw_parts(buffer.iov_base.cast::<u8>(), buffer.iov_len) };
        gathered.extend_from_slice(bytes);
    }
    let Some(watched) = recorder::watched(fd) else { return answer(raw(&gathered)) };
    // SAFETY: neither call touches memory.
    let (flags, position) =
        unsafe { (libc::fcntl(fd, libc::F_GETFL), libc::lseek(fd, 0, libc::SEEK_CUR)) };
    let offset = u64::try_from(offset.unwrap_or(position)).expect("a place in a file");
    answer(watched.write(offset, &gathered, flags & libc::O_DSYNC != 0, raw))
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(fd: c_int, buffer: *const c_void, count: size_t) -> ssize_t {
    let buffer = iovec { iov_base: buffer.cast_mut(), iov_len: count };
    // SAFETY: the caller vouches for the buffer.
    unsafe { write_buffers(fd, &[buffer], None) }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite(
    fd: c_int,
    buffer: *const c_void,
    count: size_t,
    offset: off_t,
) -> ssize_t {
    let buffer = iovec { iov_base: buffer.cast_mut(), iov_len: count };
    // SAFETY: the caller vouches for the buffer.
    unsafe { write_buffers(fd, &[buffer], Some(offset)) }
}

/// What SQLite may call `pwrite`.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(
    fd: c_int,
    buffer: *const c_void,
    count: size_t,
    offset: off_t,
) -> ssize_t {
    // SAFETY: as above.
    unsafe { pwrite(fd, buffer, count, offset) }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn writev(fd: c_int, buffers: *const iovec, count: c_int) -> ssize_t {
    let count = usize::try_from(count).expect("a number of buffers");
    // SAFETY: the caller vouches for the array and for the buffers.
    unsafe { write_buffers(fd, slice::from_raw_parts(buffers, count), None) }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwritev(
    fd: c_int,
    buffers: *const iovec,
    count: c_int,
    offset: off_t,
) -> ssize_t {
    let count = usize::try_from(count).expect("a number of buffers");
    // SAFETY: the caller vouches for the array and for the buffers.
    unsafe { write_buffers(fd, slice::from_raw_parts(buffers, count), Some(offset)) }
}

fn synchronise(fd: c_int, call: c_long) -> c_int {
    // SAFETY: the call touches no memory.
    let raw = || outcome(unsafe { libc::syscall(call, fd) });
    let outcome = recorder::watched(fd).map_or_else(raw, Watched::synchronise);
    c_int::try_from(answer(outcome)).expect("0 or -1")
}

#[unsafe(no_mangle)]
pub extern "C" fn fdatasync(fd: c_int) -> c_int {
    synchronise(fd, libc::SYS_fdatasync)
}

#[unsafe(no_mangle)]
pub extern "C" fn fsync(fd: c_int) -> c_int {
    synchronise(fd, libc::SYS_fsync)
}

#[unsafe(no_mangle)]
pub extern "C" fn ftruncate(fd: c_int, length: off_t) -> c_int {
    // SAFETY: the call touches no memory.
    let raw = || outcome(unsafe { libc::syscall(libc::SYS_ftruncate, fd, length) });
    let outcome = match (recorder::watched(fd), u64::try_from(length)) {
        (Some(watched), Ok(length)) => watched.truncate(length, raw),
        _ => raw(),
    };
    c_int::try_from(answer(outcome)).expect("0 or -1")
}

/// What SQLite calls `ftruncate`.
#[unsafe(no_mangle)]
pub extern "C" fn ftruncate64(fd: c_int, length: off_t) -> c_int {
    ftruncate(fd, length)
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlink(name: *const c_char) -> c_int {
    // SAFETY: the caller vouches for the name.
    let removed = outcome(unsafe { libc::syscall(libc::SYS_unlinkat, libc::AT_FDCWD, name, 0) });
    if removed.is_ok() {
        // SAFETY: as above.
        let file = unsafe { path(name) };
        recorder::named(file, Event::Remove { file: file.to_owned() });
    }
    c_int::try_from(answer(removed)).expect("0 or -1")
}

/// # Safety
/// `name` is a text of C's.
unsafe fn path<'a>(name: *const c_char) -> &'a Path {
    // SAFETY: the caller vouches for it.
    Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes()))
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn linkat(
    from_directory: c_int,
    from: *const c_char,
    to_directory: c_int,
    to: *const c_char,
    flags: c_int,
) -> c_int {
    let call = libc::SYS_linkat;
    // SAFETY: the caller vouches for the names.
    let linked =
        outcome(unsafe { libc::syscall(call, from_directory, from, to_directory, to, flags) });
    if linked.is_ok() {
        // SAFETY: as above.
        let [from, to] = [from, to].map(|name| unsafe { path(name) });
        recorder::named(to, Event::Link { from: from.to_owned(), to: to.to_owned() });
    }
    c_int::try_from(answer(linked)).expect("0 or -1")
}

/// Nothing is written through a map, so there is nothing to bring to disk by this.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msync(_address: *mut c_void, _length: size_t, _flags: c_int) -> c_int {
    unreachable!("the recorder cannot see what is written through a map");
}
