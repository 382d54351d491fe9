//! The same for SQLite: its file, the log ahead of it, and the journal by which the first pages are
//! written.
//!
//! A commit is many writes here, so only every so many of them are looked at, unless
//! `EOSDB_POWER_CUTS` says otherwise; all synchronisations are.

use std::fs;
use std::path::Path;

use eosdb::store::{Durability, SqliteOptions, SqliteStore};
use rusqlite::Connection;

use super::cuts::{Engine, Replay, Session};
use super::directory::Directory;
use super::disk::Random;
use super::faults::{OF_SYNCS, OF_WRITES, Script, at_every_nth_call};
use super::recorder::{Event, Failure, Target};
use super::{calls, described, scale, sequences, workload};

fn sqlite(durability: Durability) -> Engine {
    Engine::Sqlite(SqliteOptions { durability, ..SqliteOptions::default() })
}

/// Of how many writes one is looked at.
fn stride(many: usize) -> usize {
    (many / scale()).max(1)
}

/// Writes the log into the file, so that the next commit begins it anew.
fn empty_the_log(home: &Path) {
    let connection = Connection::open(home.join("data.db")).expect("a connection");
    let emptied = connection.query_row("PRAGMA wal_checkpoint(FULL)", [], |row| row.get(0));
    assert_eq!(emptied, Ok(0), "somebody is in the way");
}

/// Commits `steps` batches of a seed with all that becomes of a log in between, and closes the store.
fn worked(mut session: Session, seed: u64, steps: usize) -> Session {
    let mut random = Random::new(seed);
    for step in 0..steps {
        let state = session.states.last().expect("a state");
        let (name, batch) = workload::next(&mut random, state, 1);
        session.commit(name, &batch, false);
        match step % 7 {
            1 => session.sync(),
            2 => empty_the_log(&session.home),
            4 => {
                session.close();
                session.reopen();
            }
            6 => SqliteStore::compact(&session.home, SqliteOptions::default()).expect("compacted"),
            _ => {}
        }
    }
    session.close();
    session
}

/// Cuts the power at the steps of what was worked.
fn cut(session: &Session, every: usize, seed: u64) -> Result<String, String> {
    let events = session.recorder.take();
    let mut replay = Replay::new(&session.states, session.engine, scale().min(8), seed);
    replay.stride = stride(every);
    let disk = replay.run(&events, &session.home)?;
    let file = disk.file("data.db").expect("the file");
    assert!(file.is_settled(), "closing brings everything to disk");
    Ok(replay.figures.to_string())
}

#[test]
fn every_write_of_sqlite_is_recorded() {
    let mut syncs_without = 0;
    for durability in [Durability::None, Durability::Commit] {
        let mut session = Session::new(sqlite(durability));
        let mut disk = Directory::new(&session.home);
        let mut followed = Vec::new();
        let mut compare = |session: &Session, names: &[&str]| {
            for event in session.recorder.take() {
                disk.follow(&event);
                followed.push(event);
            }
            for name in names {
                let found = fs::read(session.home.join(name)).expect("a file");
                let noted = disk.file(name).expect("a file").written();
                assert!(found == noted, "a write to {name} was not seen");
            }
            for name in ["data.db-wal", "data.db-journal"] {
                assert!(
                    names.contains(&name) || disk.file(name).is_none(),
                    "{name} is still there"
                );
            }
        };
        let mut random = Random::new(0);
        for step in 0..6 {
            let state = session.states.last().expect("a state");
            let (name, batch) = workload::next(&mut random, state, 1);
            session.commit(name, &batch, false);
            if step == 3 {
                empty_the_log(&session.home);
            }
        }
        compare(&session, &["data.db", "data.db-wal"]);
        session.close();
        compare(&session, &["data.db"]);
        let [writes, durable, syncs] = calls(&followed)[&session.home.join("data.db-wal")];
        let changes = session.states.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(writes > changes && durable == 0 && syncs > 0);
        // Where commits need not be on disk, only what is written into the file is synchronised.
        if durability == Durability::None {
            syncs_without = syncs;
        } else {
            assert!(syncs >= syncs_without + changes, "{syncs}, {syncs_without}, {changes}");
        }
    }
}

#[test]
fn nothing_committed_is_lost() {
    for seed in 0..scale() as u64 {
        let session = worked(Session::new(sqlite(Durability::Commit)), seed, 8);
        let figures = cut(&session, 200, seed).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        println!("SQLite, every commit on disk, seed {seed}: {figures}");
    }
}

#[test]
fn no_more_than_what_was_not_synchronised_is_lost() {
    for seed in 0..scale() as u64 {
        let session = worked(Session::new(sqlite(Durability::None)), seed, 8);
        let figures = cut(&session, 200, seed).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        println!("SQLite, durability none, seed {seed}: {figures}");
    }
}

#[test]
fn without_synchronising_commits_are_lost() {
    let mut session = Session::new(sqlite(Durability::None));
    session.promised = Durability::Commit;
    let why = cut(&worked(session, 0, 9), 200, 0).unwrap_err();
    assert!(why.contains("expected state 1 to 1, found Some(0)"), "{why}");
}

#[test]
fn a_first_start_that_is_cut_short_can_be_repeated() {
    let mut session = Session::new(sqlite(Durability::Commit));
    session.commit("house", &described(9000), false);
    session.close();
    println!("SQLite, first start: {}", cut(&session, 4, 0).unwrap());
}

#[test]
fn nothing_that_a_sequence_saved_is_lost() {
    for seed in 0..scale() as u64 {
        let session = sequences::saved(sqlite(Durability::Commit), seed, 5);
        println!("SQLite, sequence, seed {seed}: {}", cut(&session, 200, seed).unwrap());
    }
}

#[test]
fn a_write_that_fails_leaves_everything_as_it_was() {
    for seed in 0..scale() as u64 {
        let script = Script::new(sqlite(Durability::Commit), seed, 6, 1);
        let run = |fault| script.run(fault);
        let writes = at_every_nth_call(stride(7), Target::Write, &OF_WRITES, scale(), run);
        let syncs = at_every_nth_call(1, Target::Sync, &OF_SYNCS, scale(), run);
        println!("SQLite, seed {seed}: {writes} faults of writes, {syncs} of synchronisations");
        assert!(writes > 3 && syncs > 3, "{writes}, {syncs}");
    }
}

#[test]
fn nothing_committed_after_a_fault_is_lost() {
    let engine = sqlite(Durability::Commit);
    for seed in 0..scale() as u64 {
        let mut images = 0;
        let mut work = |fault| {
            let mut session = Session::new(engine);
            let mut random = Random::new(seed);
            session.recorder.fail(fault);
            for _ in 0..3 {
                let state = session.states.last().expect("a state");
                let (name, batch) = workload::next(&mut random, state, 1);
                session.insist(name, &batch);
            }
            session.close();
            let met = session.recorder.relieve() > 0;
            let events: Vec<Event> = session.recorder.take();
            let mut replay = Replay::new(&session.states, engine, scale(), seed);
            replay.stride = stride(200);
            if let Err(why) = replay.run(&events, &session.home) {
                panic!("{fault:?}: {why}");
            }
            images += replay.figures.images;
            met
        };
        let syncs = at_every_nth_call(stride(3), Target::Sync, &OF_SYNCS, 1, &mut work);
        let late = [(Failure::Late(libc::EIO), false), (Failure::Late(libc::EIO), true)];
        let writes = at_every_nth_call(stride(100), Target::Write, &late, 1, &mut work);
        println!("SQLite, after a fault, seed {seed}: {} faults, {images} images", syncs + writes);
    }
}
