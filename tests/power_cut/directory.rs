//! What a directory on a disk may look like after the power was cut: which names it has, and what
//! the files behind them hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::disk::{Disk, Random, Reached};
use super::recorder::Event;

/// What is found there, by name.
pub type Image = BTreeMap<String, Vec<u8>>;

/// A directory, in which names come and go in order.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    path: PathBuf,
    files: Vec<Disk>,
    /// Which file has which name for certain.
    certain: BTreeMap<String, usize>,
    /// What became of names since; `None` where it was removed.
    pending: Vec<(String, Option<usize>)>,
    /// Files of other directories, which may be given a name here.
    elsewhere: BTreeMap<PathBuf, usize>,
}

/// What an event did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing here.
    None,
    /// It may have reached the disk.
    Uncertain,
    /// What is on disk for certain is another thing now, or what names there may be.
    Certain,
}

impl Directory {
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), ..Self::default() }
    }

    /// The file of this name.
    pub fn file(&self, name: &str) -> Option<&Disk> {
        let pending = self.pending.iter().rev().find(|(renamed, _)| renamed == name);
        let file = pending.map_or_else(|| self.certain.get(name).copied(), |(_, file)| *file);
        Some(&self.files[file?])
    }

    /// Tells whether everything is on disk.
    pub fn is_settled(&self) -> bool {
        self.has_settled_names() && self.certain.values().all(|file| self.files[*file].is_settled())
    }

    /// Tells whether the names are on disk.
    pub fn has_settled_names(&self) -> bool {
        self.pending.is_empty()
    }

    /// Does to the disk what `event` did.
    pub fn follow(&mut self, event: &Event) -> Effect {
        match event {
            Event::Promise { .. } => Effect::Certain,
            Event::Sync { file, failed } if *file == self.path => {
                if *failed {
                    return Effect::None;
                }
                for (name, file) in self.pending.drain(..) {
                    match file {
                        Some(file) => self.certain.insert(name, file),
                        None => self.certain.remove(&name),
                    };
                }
                Effect::Certain
            }
            Event::Link { from, to } => {
                let Some(name) = self.name_of(to) else { return Effect::None };
                let file = self.elsewhere.get(from).copied();
                self.pending.push((name, Some(file.expect("a file that was written"))));
                Effect::Certain
            }
            Event::Remove { file } => {
                let Some(name) = self.name_of(file) else { return Effect::None };
                self.pending.push((name, None));
                Effect::Certain
            }
            Event::Write { file, .. } | Event::Truncate { file, .. } | Event::Sync { file, .. } => {
                let (known, is_new) = self.known(file);
                let Some(known) = known else { return Effect::None };
                self.files[known].follow(event, file);
                let durable = matches!(event, Event::Write { durable: true, .. });
                let synced = matches!(event, Event::Sync { .. });
                let is_here = file.parent() == Some(&self.path);
                match is_here {
                    true if is_new || durable || synced => Effect::Certain,
                    true => Effect::Uncertain,
                    false => Effect::None,
                }
            }
        }
    }

    /// The name of a file of this directory, `None` of what nobody needs after a power cut: a table
    /// of locks, or a file that has no name any more.
    fn name_of(&self, file: &Path) -> Option<String> {
        let name = file.file_name()?.to_str()?;
        let unneeded = name == "lock.mdb" || name.ends_with("-shm") || name.ends_with(" (deleted)");
        (file.parent() == Some(&self.path) && !unneeded).then(|| name.to_owned())
    }

    /// Which file this is, and whether it has just been made.
    fn known(&mut self, file: &Path) -> (Option<usize>, bool) {
        let next = self.files.len();
        if file.parent() != Some(&self.path) {
            let known = *self.elsewhere.entry(file.to_owned()).or_insert(next);
            if known == next {
                self.files.push(Disk::default());
            }
            return (Some(known), false);
        }
        let Some(name) = self.name_of(file) else { return (None, false) };
        let pending = self.pending.iter().rev().find(|(renamed, _)| *renamed == name);
        let known = pending.map_or_else(|| self.certain.get(&name).copied(), |(_, file)| *file);
        if known.is_some() {
            return (known, false);
        }
        self.files.push(Disk::default());
        self.pending.push((name, Some(next)));
        (Some(next), true)
    }

    /// What is on disk if the power is cut now: the names of so many of the changes that are not
    /// certain, and of each file what has `reached` it.
    pub fn image(&self, names: usize, reached: Reached, random: &mut Random) -> Image {
        let mut found = self.certain.clone();
        for (name, file) in &self.pending[..names] {
            match file {
                Some(file) => found.insert(name.clone(), *file),
                None => found.remove(name),
            };
        }
        let mut image = Image::new();
        let several = found.len() > 1 && matches!(reached, Reached::Pages | Reached::Sectors);
        for (name, file) in found {
            // One file may be on disk when the other is not.
            let reached = match if several { random.below(4) } else { 3 } {
                0 => Reached::Nothing,
                1 => Reached::Everything,
                _ => reached,
            };
            image.insert(name, self.files[file].image(reached, random));
        }
        image
    }

    /// How many changes of names are not certain.
    pub fn pending_names(&self) -> usize {
        self.pending.len()
    }
}
