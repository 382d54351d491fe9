//! What writing leaves behind on a file and on its log, as the system notes it.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{StatVfsMountFlags, statvfs};

use crate::store::files::is_same_file;

/// How long the system may note one and the same time, at most: a tick of its clock is ten
/// milliseconds where it is slowest.
const TICK: Duration = Duration::from_millis(20);

/// Whether a file and its log were written, without opening them.
#[derive(Debug)]
pub(super) struct Traces {
    file: PathBuf,
    log: PathBuf,
    /// `None` where there is no file.
    known: [Option<fs::Metadata>; 2],
    /// When they were first seen to be so.
    since: Instant,
    /// When they were looked at last.
    last: Instant,
}

impl Traces {
    pub(super) fn of(file: &Path) -> Self {
        let (file, log) = (file.to_owned(), log_of(file));
        let now = Instant::now();
        Self { known: found(&file, &log), file, log, since: now, last: now }
    }

    /// Tells whether certainly nobody has written since the last look. Waits for the next tick where
    /// nothing could tell what is written from what was before, so that the next look is certain.
    pub(super) fn are_unchanged(&mut self) -> bool {
        let now = Instant::now();
        let last = std::mem::replace(&mut self.last, now);
        let found = found(&self.file, &self.log);
        let mut pairs = found.iter().zip(&self.known);
        if !pairs.all(|(found, known)| are_alike(found.as_ref(), known.as_ref())) {
            self.known = found;
            self.since = now;
            return false;
        }
        if last.duration_since(self.since) >= TICK {
            return true;
        }
        thread::sleep(TICK.saturating_sub(now.duration_since(self.since)));
        self.last = Instant::now();
        false
    }
}

/// The log ahead of `file`.
pub(super) fn log_of(file: &Path) -> PathBuf {
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

/// Tells whether nobody writes to `file`: its file system is mounted read-only, and nobody left a log
/// there, or has one open through another mount.
pub(super) fn is_at_rest(file: &Path) -> bool {
    let logged = fs::metadata(log_of(file)).is_ok_and(|log| log.len() > 0);
    !logged && statvfs(file).is_ok_and(|mount| mount.f_flag.contains(StatVfsMountFlags::RDONLY))
}

fn found(file: &Path, log: &Path) -> [Option<fs::Metadata>; 2] {
    [fs::metadata(file).ok(), fs::metadata(log).ok()]
}

pub(super) fn are_alike(left: Option<&fs::Metadata>, right: Option<&fs::Metadata>) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => {
            let times = left.modified().ok().zip(right.modified().ok());
            is_same_file(left, right)
                && left.len() == right.len()
                && times.is_some_and(|(left, right)| left == right)
        }
        (None, None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Traces;

    #[test]
    fn what_is_written_is_noticed_and_what_may_have_been() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("data.db");
        fs::write(&file, "one").unwrap();
        let mut traces = Traces::of(&file);
        assert!(!traces.are_unchanged());
        assert!(traces.are_unchanged());
        fs::write(&file, "two").unwrap();
        assert!(!traces.are_unchanged());
        // It may have been written again in the same moment.
        assert!(!traces.are_unchanged());
        assert!(traces.are_unchanged());
        assert!(traces.are_unchanged());
        fs::write(directory.path().join("data.db-wal"), "").unwrap();
        assert!(!traces.are_unchanged());
    }
}
