//! The files of an LMDB environment: its directory, what errors of opening it mean, and copies.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process;

use heed::{CompactionOption, MdbError};

use super::environment::Env;
use super::lmdb::LmdbOptions;
use crate::error::{Error, Result};

/// Maps have a multiple of this size, in bytes, which every page size divides.
pub(super) const MAP_UNIT: usize = 1 << 20;

/// The smallest multiple of [`MAP_UNIT`] that holds `size` bytes.
pub(super) fn round_up(size: usize) -> usize {
    size.checked_next_multiple_of(MAP_UNIT).unwrap_or(usize::MAX - usize::MAX % MAP_UNIT)
}

/// Returns the canonical path of the directory, which is created where it may be.
pub(super) fn prepare_directory(path: &Path, options: LmdbOptions) -> Result<PathBuf> {
    if options.max_map_size < MAP_UNIT as u64 {
        let given = options.max_map_size;
        return Err(Error::Invalid(format!(
            "max_map_size is {given} bytes: it must be at least {MAP_UNIT}"
        )));
    }
    if path.is_file() {
        return Err(Error::Invalid(format!(
            "'{}' is a file: name the directory that holds the database",
            path.display()
        )));
    }
    if options.read_only {
        // LMDB would create its lock file beside a database that does not exist.
        path.join("data.mdb").metadata().map_err(|error| match error.kind() {
            ErrorKind::NotFound => storage(path, "there is no database to read here"),
            _ => storage(path, &error),
        })?;
    } else {
        fs::create_dir_all(path).map_err(|error| storage(path, &error))?;
    }
    path.canonicalize().map_err(|error| storage(path, &error))
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
    let place = directory.join(format!("new.{}.tmp", process::id()));
    match fs::remove_dir_all(&place) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => fs::create_dir(&place)?,
    }
    let outcome = make(&place).and_then(|()| {
        let new = place.join("data.mdb");
        match fs::hard_link(&new, &data) {
            // Another process was faster.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            // Not every file system has links.
            Err(_) => fs::rename(&new, &data)?,
            Ok(()) => {}
        }
        Ok(())
    });
    fs::remove_dir_all(&place)?;
    outcome?;
    // The names, too: of the file in its directory, and of that in its own.
    #[cfg(unix)]
    for directory in directory.ancestors().take(2) {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// What it means that the environment in `directory` did not open.
pub(super) fn opening_error(directory: &Path, error: &heed::Error) -> Error {
    match error {
        heed::Error::Mdb(MdbError::VersionMismatch | MdbError::Invalid) => {
            match is_lmdb_file(&directory.join("data.mdb")) {
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
        error => storage(directory, error),
    }
}

/// Tells whether the file begins as LMDB's two first pages do, in the format that we read.
fn is_lmdb_file(path: &Path) -> io::Result<bool> {
    const MAGIC: u32 = 0xBEEF_C0DE;
    const FORMAT: u32 = 1;
    // The page's header: its number, as wide as a pointer, and four 16-bit fields. Behind the format
    // come an address and the size of the map, then the size of a page.
    const WORD: usize = size_of::<usize>();
    let mut file = File::open(path)?;
    let mut page = [0; WORD + 16 + 2 * WORD + 4];
    let mut start = 0;
    for _ in 0..2 {
        file.seek(SeekFrom::Start(start))?;
        match file.read_exact(&mut page) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
            outcome => outcome?,
        }
        if !page[..WORD + 16].ends_with(&[MAGIC.to_ne_bytes(), FORMAT.to_ne_bytes()].concat()) {
            return Ok(false);
        }
        let size = page.last_chunk().copied().unwrap_or_default();
        start = u64::from(u32::from_ne_bytes(size));
    }
    Ok(true)
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
