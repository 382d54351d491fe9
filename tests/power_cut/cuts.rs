//! The power is cut at every write and at every synchronisation.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use eosdb::Error;
use eosdb::store::{Batch, Durability, LmdbOptions, LmdbStore, SqliteOptions, SqliteStore, Store};

use super::directory::{Directory, Effect, Image};
use super::disk::{Random, Reached};
use super::recorder::{Event, Recorder};
use super::workload::{self, Content};

/// A temporary folder, in memory where that can be had.
pub fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    folder.expect("a folder")
}

/// What is tried, and how it is opened.
#[derive(Debug, Clone, Copy)]
pub enum Engine {
    Lmdb(LmdbOptions),
    Sqlite(SqliteOptions),
}

impl Engine {
    pub fn open(self, home: &Path) -> eosdb::Result<Arc<dyn Store>> {
        Ok(match self {
            Self::Lmdb(options) => LmdbStore::open(home, options)?,
            Self::Sqlite(options) => SqliteStore::open(home, options)?,
        })
    }

    fn durability(self) -> Durability {
        match self {
            Self::Lmdb(options) => options.durability,
            Self::Sqlite(options) => options.durability,
        }
    }

    /// The file that holds the rows.
    pub fn data(self) -> &'static str {
        if matches!(self, Self::Lmdb(_)) { "data.mdb" } else { "data.db" }
    }

    /// Tells whether a namespace is there that has nothing any more.
    pub fn keeps_empty(self) -> bool {
        matches!(self, Self::Lmdb(_))
    }

    /// The file that is never synchronised.
    fn locks(self) -> &'static str {
        if matches!(self, Self::Lmdb(_)) { "lock.mdb" } else { "data.db-shm" }
    }
}

/// A database that is being written to, and what its content was after each commit.
pub struct Session {
    pub folder: tempfile::TempDir,
    pub home: PathBuf,
    pub engine: Engine,
    /// What is expected of it, which need not be what the options say.
    pub promised: Durability,
    pub recorder: Recorder,
    pub store: Arc<dyn Store>,
    pub states: Vec<Content>,
    /// How many commits found no room below the limit of the map.
    pub full: usize,
    /// The oldest state that a power cut may leave now.
    certain: usize,
}

impl Session {
    /// Opens a new database, recording.
    pub fn new(engine: Engine) -> Self {
        let folder = folder();
        let home = folder.path().join("home");
        fs::create_dir(&home).expect("a folder");
        let home = home.canonicalize().expect("a folder");
        let recorder = Recorder::new(folder.path());
        recorder.promise(0, 0);
        let store = engine.open(&home).expect("a store");
        let (promised, states) = (engine.durability(), vec![Content::new()]);
        Self { folder, home, engine, promised, recorder, store, states, full: 0, certain: 0 }
    }

    /// Closes the store and opens it again.
    pub fn reopen(&mut self) {
        self.store.close();
        self.store = self.engine.open(&self.home).expect("it opens again");
    }

    /// Does something that leaves `next`; it may fail where `limited`, and leaves nothing then.
    pub fn change(
        &mut self,
        next: Content,
        limited: bool,
        work: impl FnOnce() -> eosdb::Result<()>,
    ) {
        let newest = self.states.len() - 1;
        self.recorder.promise(self.certain, newest + 1);
        match work() {
            Ok(()) => {
                self.certain = match self.promised {
                    Durability::Commit => newest + 1,
                    // What changes nothing need not be a commit, and brings none to disk.
                    Durability::Interval if next == self.states[newest] => self.certain,
                    // The last commit may be lost, and no other.
                    Durability::Interval => newest,
                    Durability::None => self.certain,
                };
                self.states.push(next);
            }
            Err(Error::Full { .. }) if limited => {
                self.full += 1;
                self.states.push(self.states[newest].clone());
            }
            Err(error) => panic!("{error}"),
        }
        self.recorder.promise(self.certain, newest + 1);
    }

    /// Commits `batch` in spite of a fault, which is lifted when it was met.
    pub fn insist(&mut self, name: &str, batch: &Batch) {
        let newest = self.states.len() - 1;
        let mut next = self.states[newest].clone();
        workload::apply(&mut next, name, batch, self.engine.keeps_empty());
        self.recorder.promise(self.certain, newest + 1);
        let name = workload::namespace(name);
        if self.store.commit(name, batch).is_err() {
            self.recorder.relieve();
            if self.store.commit(name, batch).is_err() {
                self.reopen();
                self.store.commit(name, batch).expect("it works again");
            }
        }
        self.states.push(next);
        self.certain = newest + 1;
        self.recorder.promise(self.certain, self.certain);
    }

    /// Commits `batch`.
    pub fn commit(&mut self, name: &str, batch: &Batch, limited: bool) {
        let mut next = self.states.last().expect("a state").clone();
        workload::apply(&mut next, name, batch, self.engine.keeps_empty());
        let store = Arc::clone(&self.store);
        self.change(next, limited, || store.commit(workload::namespace(name), batch).map(|_| ()));
        let found = workload::content(&*self.store).expect("readable");
        assert!(self.states.last() == Some(&found), "the model is wrong");
    }

    /// Brings everything to disk.
    pub fn sync(&mut self) {
        self.store.sync().expect("synchronised");
        self.synchronised();
    }

    /// Closes the store, which brings everything to disk.
    pub fn close(&mut self) {
        self.store.close();
        self.synchronised();
    }

    fn synchronised(&mut self) {
        self.certain = self.states.len() - 1;
        self.recorder.promise(self.certain, self.certain);
    }
}

/// What was tried.
#[derive(Debug, Default)]
pub struct Figures {
    pub commits: usize,
    pub boundaries: usize,
    pub images: usize,
}

impl fmt::Display for Figures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { commits, boundaries, images } = self;
        write!(formatter, "{commits} commits, {boundaries} boundaries, {images} images")
    }
}

/// Replays what was recorded, and cuts the power at every step.
pub struct Replay<'a> {
    pub states: &'a [Content],
    pub engine: Engine,
    /// How many random images there are at each step.
    pub samples: usize,
    /// Of how many steps that bring nothing to disk for certain one is looked at.
    pub stride: usize,
    pub random: Random,
    pub figures: Figures,
    images: tempfile::TempDir,
    _silence: Recorder,
}

impl<'a> Replay<'a> {
    pub fn new(states: &'a [Content], engine: Engine, samples: usize, seed: u64) -> Self {
        let images = folder();
        let silence = Recorder::silent(images.path());
        let figures = Figures { commits: states.len() - 1, ..Figures::default() };
        let random = Random::new(seed);
        Self { states, engine, samples, stride: 1, random, figures, images, _silence: silence }
    }

    /// Cuts the power at every step of `events` in the directory `home`; fails with what a cut has
    /// destroyed.
    pub fn run(&mut self, events: &[Event], home: &Path) -> Result<Directory, String> {
        let mut disk = Directory::new(home);
        let mut promise = (0, 0);
        self.cut(&disk, promise, true)?;
        for (step, event) in events.iter().enumerate() {
            let told = |why: String| at(step, event, &why);
            if let Event::Promise { first, last } = event {
                promise = (*first, *last);
            }
            if let Event::Write { file, offset, bytes, durable: true } = event {
                let mut halfway = disk.clone();
                let (file, offset, bytes) = (file.clone(), *offset, bytes.clone());
                halfway.follow(&Event::Write { file, offset, bytes, durable: false });
                self.cut(&halfway, promise, false).map_err(told)?;
            }
            match disk.follow(event) {
                Effect::None => {}
                Effect::Uncertain if !step.is_multiple_of(self.stride) => {}
                effect => self.cut(&disk, promise, effect == Effect::Certain).map_err(told)?,
            }
        }
        Ok(disk)
    }

    /// Checks what a cut may leave now. If nothing has `changed`, neither what is on disk for
    /// certain nor what is expected of it, that is as it was the last time.
    fn cut(
        &mut self,
        disk: &Directory,
        promise: (usize, usize),
        changed: bool,
    ) -> Result<(), String> {
        self.figures.boundaries += 1;
        if changed {
            self.check_with(disk, 0, Reached::Nothing, promise)?;
            if disk.pending_names() > 0 {
                self.check(disk, Reached::Nothing, promise)?;
            }
        }
        if !disk.is_settled() {
            self.check(disk, Reached::Everything, promise)?;
            for sample in 0..self.samples {
                let torn = (sample + self.figures.boundaries).is_multiple_of(2);
                let reached = if torn { Reached::Sectors } else { Reached::Pages };
                let names = self.random.below(disk.pending_names() + 1);
                self.check_with(disk, names, reached, promise)?;
            }
        }
        Ok(())
    }

    /// Checks one image of what a cut may leave, with all names.
    pub fn check(
        &mut self,
        disk: &Directory,
        reached: Reached,
        promise: (usize, usize),
    ) -> Result<(), String> {
        self.check_with(disk, disk.pending_names(), reached, promise)
    }

    fn check_with(
        &mut self,
        disk: &Directory,
        names: usize,
        reached: Reached,
        promise: (usize, usize),
    ) -> Result<(), String> {
        let image = disk.image(names, reached, &mut self.random);
        self.open(&image, promise).map_err(|why| {
            let names: Vec<&String> = image.keys().collect();
            format!("{reached:?} of {names:?}: {why}")
        })
    }

    /// Opens a directory with the files of `image`.
    fn open(&mut self, image: &Image, promise: (usize, usize)) -> Result<(), String> {
        self.figures.images += 1;
        let home = self.images.path().join(self.figures.images.to_string());
        fs::create_dir(&home).expect("a folder");
        for (name, bytes) in image {
            fs::write(home.join(name), bytes).expect("an image");
        }
        if self.random.below(4) == 0 {
            // The table of locks is never synchronised: anything may be left of it.
            let size = self.random.below(40_000);
            fs::write(home.join(self.engine.locks()), self.random.bytes(size)).expect("a file");
        }
        if matches!(self.engine, Engine::Lmdb(_)) && self.random.below(4) == 0 {
            // A first start that was cut short before, by a process of the same number.
            let left = home.join(format!("new.{}.tmp", std::process::id()));
            fs::create_dir(&left).expect("a folder");
            fs::write(left.join("data.mdb"), self.random.bytes(5000)).expect("a file");
        }
        let outcome = self.compare(&home, promise);
        fs::remove_dir_all(&home).expect("removed");
        outcome
    }

    fn compare(&mut self, home: &Path, (first, last): (usize, usize)) -> Result<(), String> {
        let store = self.engine.open(home).map_err(|error| format!("it does not open: {error}"))?;
        let mut found = workload::content(&*store).map_err(|error| error.to_string())?;
        let allowed = &self.states[first..=last.min(self.states.len() - 1)];
        if !allowed.contains(&found) {
            let which = self.states.iter().position(|state| *state == found);
            return Err(format!("expected state {first} to {last}, found {which:?}"));
        }
        // Work goes on: pages that are free are used, and what is there is not.
        for name in ["house", "garage"] {
            let rows = found.get(name).map(|space| space.rows.keys().cloned().collect::<Vec<_>>());
            let rows = rows.unwrap_or_default();
            let mut batch = Batch { deletes: rows.iter().step_by(3).collect(), ..Batch::default() };
            for number in 0..20 {
                let size = self.random.range(1, 3000);
                batch.puts.push((workload::key(5000 + number), self.random.bytes(size)));
            }
            match store.commit(Some(name), &batch) {
                Ok(_) => workload::apply(&mut found, name, &batch, self.engine.keeps_empty()),
                Err(Error::Full { .. }) => {}
                Err(error) => return Err(format!("it cannot be written to: {error}")),
            }
        }
        let after = workload::content(&*store).map_err(|error| error.to_string())?;
        if after != found {
            return Err("another commit spoils it".to_owned());
        }
        Ok(())
    }
}

fn at(step: usize, event: &Event, why: &str) -> String {
    let event = match event {
        Event::Write { offset, bytes, durable, .. } => {
            format!("write of {} bytes at {offset}, durable {durable}", bytes.len())
        }
        event => format!("{event:?}"),
    };
    format!("cut after step {step}, {event}: {why}")
}

/// How many of each kind of call there were, by file name: `[writes, durable writes, syncs]`.
pub fn calls(events: &[Event]) -> BTreeMap<PathBuf, [usize; 3]> {
    let mut calls: BTreeMap<PathBuf, [usize; 3]> = BTreeMap::new();
    for event in events {
        match event {
            Event::Write { file, durable, .. } => {
                calls.entry(file.clone()).or_default()[usize::from(*durable)] += 1;
            }
            Event::Sync { file, .. } => calls.entry(file.clone()).or_default()[2] += 1,
            _ => {}
        }
    }
    calls
}
