//! The files of a database: its directory, what errors of opening it mean, and copies.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use heed::{CompactionOption, MdbError};
#[cfg(target_os = "linux")]
use rustix::fs::FallocateFlags;
use rustix::fs::FlockOperation;

use super::lmdb::LmdbOptions;
use super::mapping::Env;
use super::structure::{self, Damage};
use crate::error::{Error, Result};
use crate::random_number;

/// The file beside the database in which LMDB keeps its locks and its table of readers.
const LOCK_FILE: &str = "lock.mdb";

/// Maps have a multiple of this size, in bytes, which every page size divides.
pub(super) const MAP_UNIT: usize = 1 << 20;

/// The smallest multiple of [`MAP_UNIT`] that holds `size` bytes.
pub(super) fn round_up(size: usize) -> usize {
    size.checked_next_multiple_of(MAP_UNIT).unwrap_or(usize::MAX - usize::MAX % MAP_UNIT)
}

/// Returns the canonical path of an environment's directory, which is created where it may be.
pub(super) fn prepare_directory(path: &Path, options: LmdbOptions) -> Result<PathBuf> {
    if options.max_map_size < MAP_UNIT as u64 {
        let given = options.max_map_size;
        return Err(Error::Invalid(format!(
            "max_map_size is {given} bytes: it must be at least {MAP_UNIT}"
        )));
    }
    // LMDB would create its lock file beside a database that does not exist.
    canonical_directory(path, "data.mdb", options.read_only)
}

/// Returns the canonical path of the directory that holds a database in `file`. The directory is
/// created where it may be; to be read only, there must be a database in it.
pub(super) fn canonical_directory(path: &Path, file: &str, read_only: bool) -> Result<PathBuf> {
    if path.is_file() {
        return Err(Error::Invalid(format!(
            "'{}' is a file: name the directory that holds the database",
            path.display()
        )));
    }
    if read_only {
        let found = path.join(file).metadata().map_err(|error| match error.kind() {
            ErrorKind::NotFound => storage(path, "there is no database to read here"),
            _ => storage(path, &error),
        })?;
        if found.len() == 0 {
            let cause = format!("there is no database to read here: {file} is empty");
            return Err(storage(path, &cause));
        }
    } else {
        fs::create_dir_all(path).map_err(|error| match error.kind() {
            ErrorKind::ReadOnlyFilesystem => storage(path, READ_ONLY_MOUNT),
            _ => storage(path, &error),
        })?;
    }
    path.canonicalize().map_err(|error| storage(path, &error))
}

/// Checks what LMDB uses of the file when it maps it, where there is a file.
pub(super) fn check_heads(directory: &Path) -> Result<()> {
    match File::open(directory.join("data.mdb")).and_then(|file| structure::check_heads(&file)) {
        Ok(sound) => sound.map_err(|damage| corrupt(directory, damage)),
        Err(_) => Ok(()), // LMDB tells of it
    }
}

/// The damage of a file that LMDB would not recognise.
pub(super) fn headless(directory: &Path) -> Option<Damage> {
    let file = File::open(directory.join("data.mdb")).ok()?;
    let empty = file.metadata().ok()?.len() == 0;
    let headless = !empty && !structure::has_heads(&file).ok()?;
    headless.then(|| structure::no_head(0))
}

pub(super) fn corrupt(path: &Path, damage: Damage) -> Error {
    Error::Corrupt { path: path.to_owned(), page: damage.page as u64, cause: damage.cause }
}

/// Makes an empty database in `directory` unless there is one, so that it is there as a whole or not
/// at all: LMDB writes the first pages in place and does not bring them to disk. If the disk fills
/// up meanwhile, or the power is cut, it would never open the file again.
///
/// `make` makes a database in the directory that it is given, and brings it to disk.
pub(super) fn found(
    directory: &Path,
    make: impl FnOnce(&Path) -> heed::Result<()>,
) -> heed::Result<()> {
    let data = directory.join("data.mdb");
    if fs::symlink_metadata(&data).is_ok() {
        return Ok(());
    }
    let place = directory.join(format!("new.{:016x}.tmp", random_number()));
    fs::create_dir(&place)?;
    let outcome =
        make(&place).and_then(|()| Ok(give_name(directory, &place.join("data.mdb"), &data)?));
    fs::remove_dir_all(&place)?;
    outcome?;
    Ok(sync_names(directory)?)
}

/// Brings the names to disk: those of the files in `directory`, and its own in the one above it,
/// where that may be read and its file system can do it.
pub(super) fn sync_names(directory: &Path) -> io::Result<()> {
    for directory in directory.ancestors().take(2) {
        match File::open(directory).and_then(|directory| directory.sync_all()) {
            Err(error) if !matches!(error.kind(), DENIED | CANNOT) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Not permitted, and not possible.
const DENIED: ErrorKind = ErrorKind::PermissionDenied;
const CANNOT: ErrorKind = ErrorKind::InvalidInput;

/// Gives a complete database the name `data`, unless there is one already.
fn give_name(directory: &Path, new: &Path, data: &Path) -> io::Result<()> {
    match fs::hard_link(new, data) {
        // Another process was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        // Not every file system has links. A new name would replace another's database.
        Err(error) if matches!(error.kind(), DENIED | ErrorKind::Unsupported) => {
            let alone = File::open(directory)?;
            rustix::fs::flock(&alone, FlockOperation::LockExclusive)?;
            if fs::symlink_metadata(data).is_ok() { Ok(()) } else { fs::rename(new, data) }
        }
        outcome => outcome,
    }
}

/// Gives LMDB's lock file in `directory` its blocks on disk. LMDB makes a file of `size` bytes without
/// any, and writes to it by way of a map: on a full disk the system would end the process.
#[cfg(target_os = "linux")]
pub(super) fn allocate_lock_file(directory: &Path, size: u64) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

    let path = directory.join(LOCK_FILE);
    // To open and close it takes the locks of this process from it, which at worst an environment
    // holds that another thread is closing: not more often than need be.
    if path.metadata().is_ok_and(|lock| lock.blocks() * 512 >= size) {
        return Ok(());
    }
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let Ok(lock) = options.open(path) else { return Ok(()) }; // LMDB tells of it, or can do without
    // Another LMDB may have it open, which knows it by its size.
    match rustix::fs::fallocate(lock, FallocateFlags::KEEP_SIZE, 0, size).map_err(io::Error::from) {
        Err(error) if is_full(error.kind()) => Err(error),
        _ => Ok(()), // not every file system can do it
    }
}

/// As above; that is done on Linux only.
#[cfg(not(target_os = "linux"))]
pub(super) fn allocate_lock_file(_directory: &Path, _size: u64) -> io::Result<()> {
    Ok(())
}

/// What it means that the environment in `directory` did not open.
pub(super) fn opening_error(directory: &Path, error: &heed::Error) -> Error {
    match error {
        heed::Error::Mdb(MdbError::VersionMismatch | MdbError::Invalid) => {
            let file = File::open(directory.join("data.mdb"));
            match file.and_then(|file| structure::has_heads(&file)) {
                // So it is the lock file that is strange, and somebody holds it.
                Ok(true) => Error::ForeignProcess { path: directory.to_owned() },
                Ok(false) => storage(directory, "data.mdb is no LMDB database, or a damaged one"),
                Err(error) => storage(directory, &error),
            }
        }
        heed::Error::EnvAlreadyOpened => storage(
            directory,
            "it is open in this process, but not as a store: close it there first",
        ),
        heed::Error::Io(cause) if is_full(cause.kind()) => {
            Error::Full { path: directory.display().to_string(), cause: cause.to_string() }
        }
        heed::Error::Io(cause) if cause.kind() == ErrorKind::ReadOnlyFilesystem => {
            storage(directory, READ_ONLY_MOUNT)
        }
        heed::Error::Io(cause) if cause.kind() == DENIED => storage(directory, denied(directory)),
        error => storage(directory, error),
    }
}

/// What was not permitted when the environment in `directory` was opened, and what to do.
fn denied(directory: &Path) -> &'static str {
    let data = File::open(directory.join("data.mdb")).map_err(|error| error.kind());
    match data {
        Err(ErrorKind::NotFound) => {
            "no database may be made here (Permission denied): name another directory"
        }
        Err(_) => "data.mdb may not be read (Permission denied): do it as the database's owner",
        // LMDB opens it first.
        Ok(_)
            if File::options().read(true).write(true).open(directory.join(LOCK_FILE)).is_err() =>
        {
            "lock.mdb may not be written (Permission denied), in which LMDB notes whoever reads: do \
             it as the database's owner, or have the owner make you a copy by 'eosdb backup'"
        }
        Ok(_) => "data.mdb may not be written (Permission denied): open it read-only",
    }
}

/// What to do where nothing can be written.
const READ_ONLY_MOUNT: &str =
    "its file system is mounted read-only: open the database read-only, or mount it writable";

/// The name of the file system that holds `path` if other machines may use it too. LMDB's locks and
/// its map serve the processes of one machine.
#[cfg(target_os = "linux")]
#[must_use]
pub fn network_file_system(path: &Path) -> Option<&'static str> {
    #[allow(clippy::cast_sign_loss, reason = "the number's type differs from machine to machine")]
    let number = rustix::fs::statfs(path).ok()?.f_type as u64;
    name_of_network_file_system(number)
}

/// As above; which one it is, is told on Linux only.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn network_file_system(_path: &Path) -> Option<&'static str> {
    None
}

/// The numbers are those of statfs(2) and of Linux' `magic.h`.
#[cfg(target_os = "linux")]
fn name_of_network_file_system(number: u64) -> Option<&'static str> {
    match number & 0xffff_ffff {
        0x6969 => Some("NFS"),
        0x517B | 0xFF53_4D42 | 0xFE53_4D42 => Some("SMB"),
        0x0102_1997 => Some("9P"),
        0x5346_414F | 0x6B41_4653 => Some("AFS"),
        0x00C3_6400 => Some("Ceph"),
        0x0BD0_0BD0 => Some("Lustre"),
        0x6573_5546 => Some("FUSE"),
        0x786F_4256 => Some("VirtualBox"),
        _ => None,
    }
}

/// Tells whether the system refused to write because there is no room.
pub(super) fn is_full(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

/// Fails where there is no room on disk for `size` bytes, with what pages take on top.
pub(super) fn probe_room(directory: &Path, size: usize) -> io::Result<()> {
    let path = directory.join("room.tmp");
    let zeros = [0; 1 << 14];
    let blocks = 2 * (size / zeros.len()) + 16;
    let outcome = File::create(&path).and_then(|mut file| {
        (0..blocks).try_for_each(|_| file.write_all(&zeros))?;
        file.sync_all()
    });
    fs::remove_file(&path).and(outcome)
}

/// Tells whether both are one file.
#[cfg(unix)]
pub(super) fn is_same_file(left: &fs::Metadata, right: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (left.dev(), left.ino()) == (right.dev(), right.ino())
}

/// Tells whether both are one file: an open one cannot be replaced here.
#[cfg(not(unix))]
pub(super) fn is_same_file(_left: &fs::Metadata, _right: &fs::Metadata) -> bool {
    true
}

/// Makes `directory`, which must not exist or be empty, the place of a copy.
pub(super) fn prepare_copy(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).map_err(|error| storage(directory, &error))?;
    let mut entries = fs::read_dir(directory).map_err(|error| storage(directory, &error))?;
    if entries.next().is_some() {
        return Err(Error::Invalid(format!(
            "'{}' is not empty: name a new directory for the copy",
            directory.display()
        )));
    }
    Ok(())
}

/// Copies the environment's data file into `directory` and brings it to disk.
pub(super) fn copy(env: &Env, directory: &Path, compact: bool) -> heed::Result<()> {
    let option = if compact { CompactionOption::Enabled } else { CompactionOption::Disabled };
    let file = env.copy_to_path(directory.join("data.mdb"), option)?;
    // A copy is as private as its original.
    file.set_permissions(env.try_clone_inner_file()?.metadata()?.permissions())?;
    file.sync_all()?;
    #[cfg(unix)]
    {
        File::open(directory)?.sync_all()?;
        if let Some(parent) = directory.canonicalize()?.parent() {
            File::open(parent)?.sync_all()?;
        }
    }
    Ok(())
}

fn storage(path: &Path, cause: &(impl Display + ?Sized)) -> Error {
    Error::Storage { path: path.display().to_string(), cause: cause.to_string() }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn file_systems_of_other_machines_are_told_by_their_number() {
        assert_eq!(name_of_network_file_system(0x6969), Some("NFS"));
        assert_eq!(name_of_network_file_system(0xEF53), None); // ext4
        assert_eq!(name_of_network_file_system(0x0102_1994), None); // tmpfs
        // Numbers of 32 bits are widened with their sign.
        assert_eq!(name_of_network_file_system(0xFFFF_FFFF_FF53_4D42), Some("SMB"));
        assert_eq!(network_file_system(Path::new("/proc")), None);
    }
}
