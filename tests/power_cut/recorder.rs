//! Notes every write and every synchronisation of the files below a directory, or has them fail.
//!
//! Nothing is really synchronised there: what would be on disk is worked out from the notes, and
//! the tests are not to wait for a real disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What happened to a file, in order.
#[derive(Debug, Clone)]
pub enum Event {
    /// `durable` writes are on disk when they return.
    Write { file: PathBuf, offset: u64, bytes: Vec<u8>, durable: bool },
    /// Of a file or of a directory; one that failed brought nothing to disk for certain.
    Sync { file: PathBuf, failed: bool },
    /// The file has this length now.
    Truncate { file: PathBuf, length: u64 },
    /// A file has another name.
    Link { from: PathBuf, to: PathBuf },
    /// A name is gone.
    Remove { file: PathBuf },
    /// From here on, the content on disk must be one of the states from the first to the last.
    Promise { first: usize, last: usize },
}

/// Which calls fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Write,
    Sync,
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Nothing is done.
    Refused(i32),
    /// It is done all the same.
    Late(i32),
    /// A part is written, a sector at least; where it lasts, nothing after that.
    Short,
}

/// The call that fails, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    pub target: Target,
    pub number: usize,
    pub failure: Failure,
    /// Whether all later ones fail too, until the fault is lifted.
    pub lasts: bool,
}

impl Fault {
    /// Tells what becomes of the call with this number.
    fn strikes(&self, target: Target, number: usize) -> Option<Failure> {
        let lasting = self.lasts && number > self.number;
        if target != self.target || number != self.number && !lasting {
            return None;
        }
        match self.failure {
            Failure::Short if lasting => Some(Failure::Refused(libc::ENOSPC)),
            failure => Some(failure),
        }
    }
}

#[derive(Debug, Default)]
struct Tape {
    events: Vec<Event>,
    /// Whether events are kept.
    keeps: bool,
    fault: Option<Fault>,
    struck: usize,
    writes: usize,
    syncs: usize,
}

/// The directories that are watched now.
static TAPES: Mutex<Vec<(PathBuf, Arc<Mutex<Tape>>)>> = Mutex::new(Vec::new());
/// How many they are, so that all other writes cost nothing.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Watches a directory as long as it lives.
#[derive(Debug)]
pub struct Recorder {
    directory: PathBuf,
    tape: Arc<Mutex<Tape>>,
}

impl Recorder {
    /// Watches the files below `directory`.
    pub fn new(directory: &Path) -> Self {
        Self::start(directory, true)
    }

    /// Spares the files below `directory` the real synchronisation, and notes nothing.
    pub fn silent(directory: &Path) -> Self {
        Self::start(directory, false)
    }

    fn start(directory: &Path, keeps: bool) -> Self {
        let directory = directory.canonicalize().expect("a directory");
        let tape = Arc::new(Mutex::new(Tape { keeps, ..Tape::default() }));
        lock(&TAPES).push((directory.clone(), Arc::clone(&tape)));
        COUNT.fetch_add(1, Ordering::SeqCst);
        Self { directory, tape }
    }

    /// Has a call fail; calls are counted from here on.
    pub fn fail(&self, fault: Fault) {
        let mut tape = lock(&self.tape);
        (tape.writes, tape.syncs, tape.struck) = (0, 0, 0);
        tape.fault = Some(fault);
    }

    /// Lets everything work again; tells how many calls have failed.
    pub fn relieve(&self) -> usize {
        let mut tape = lock(&self.tape);
        tape.fault = None;
        tape.struck
    }

    /// How many calls have failed.
    pub fn struck(&self) -> usize {
        lock(&self.tape).struck
    }

    /// Notes what a power cut may leave from now on.
    pub fn promise(&self, first: usize, last: usize) {
        lock(&self.tape).events.push(Event::Promise { first, last });
    }

    /// Everything noted so far.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut lock(&self.tape).events)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        COUNT.fetch_sub(1, Ordering::SeqCst);
        lock(&TAPES).retain(|(directory, _)| *directory != self.directory);
    }
}

/// An open file that is watched.
pub struct Watched {
    file: PathBuf,
    tape: Arc<Mutex<Tape>>,
}

/// The file behind `fd`, if it is watched.
pub fn watched(fd: i32) -> Option<Watched> {
    if COUNT.load(Ordering::SeqCst) == 0 {
        return None;
    }
    let file = fs::read_link(format!("/proc/self/fd/{fd}")).ok()?;
    let tapes = lock(&TAPES);
    let (_, tape) = tapes.iter().find(|(directory, _)| file.starts_with(directory))?;
    Some(Watched { tape: Arc::clone(tape), file })
}

/// Notes what became of the name `name`.
pub fn named(name: &Path, event: Event) {
    let tapes = lock(&TAPES);
    if let Some((_, tape)) = tapes.iter().find(|(directory, _)| name.starts_with(directory)) {
        let mut tape = lock(tape);
        if tape.keeps {
            tape.events.push(event);
        }
    }
}

impl Watched {
    /// Writes by `raw`, or as the fault has it.
    pub fn write(
        self,
        offset: u64,
        bytes: &[u8],
        durable: bool,
        raw: impl Fn(&[u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut tape = lock(&self.tape);
        tape.writes += 1;
        let number = tape.writes;
        let failure = tape.fault.and_then(|fault| fault.strikes(Target::Write, number));
        tape.struck += usize::from(failure.is_some());
        let (part, durable) = match failure {
            Some(Failure::Refused(error)) => return Err(io::Error::from_raw_os_error(error)),
            Some(Failure::Short) => (&bytes[..short(bytes.len())], durable),
            Some(Failure::Late(_)) => (bytes, false),
            None => (bytes, durable),
        };
        let count = raw(part)?;
        if tape.keeps {
            let bytes = part[..count].to_vec();
            tape.events.push(Event::Write { file: self.file, offset, bytes, durable });
        }
        match failure {
            Some(Failure::Late(error)) => Err(io::Error::from_raw_os_error(error)),
            _ => Ok(count),
        }
    }

    /// Notes a synchronisation, which is not carried out.
    pub fn synchronise(self) -> io::Result<usize> {
        let mut tape = lock(&self.tape);
        tape.syncs += 1;
        let number = tape.syncs;
        let failure = tape.fault.and_then(|fault| fault.strikes(Target::Sync, number));
        tape.struck += usize::from(failure.is_some());
        if tape.keeps {
            tape.events.push(Event::Sync { file: self.file, failed: failure.is_some() });
        }
        match failure {
            Some(Failure::Refused(error) | Failure::Late(error)) => {
                Err(io::Error::from_raw_os_error(error))
            }
            _ => Ok(0),
        }
    }

    /// Sets a file's length.
    pub fn truncate(self, length: u64, raw: impl Fn() -> io::Result<usize>) -> io::Result<usize> {
        let outcome = raw()?;
        let mut tape = lock(&self.tape);
        if tape.keeps {
            tape.events.push(Event::Truncate { file: self.file, length });
        }
        Ok(outcome)
    }
}

/// Where a write is cut short: in the middle, at a sector's end if there is one.
fn short(length: usize) -> usize {
    let middle = length / 2;
    if middle > 512 { middle - middle % 512 } else { middle }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
