//! Reads what can be read of a damaged SQLite file: all rows but those of the damaged pages.
//!
//! SQLite itself reads, and tells where it cannot. Rows are asked for by their number, in which the
//! table is ordered, so that reading can go on behind a damaged page.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row};

use super::errors::{bytes_of, code_of, is_damage};
use super::{can_be_record, has_table};
use crate::store::{Damage, MAX_KEY_LEN, METADATA_KEY};

/// How many row numbers behind a damaged page are tried one by one: many more than hang below a page
/// above those of rows. So what lies between two damaged pages is found.
const NEAR: i64 = 1 << 20;

/// How many places `integrity_check` tells of.
const MOST_REPORTED: usize = 1000;

/// Row numbers that cannot be read.
type Gap = RangeInclusive<i64>;

/// Is shown the name of a row's namespace, its key and its value.
pub(super) type ShowRow<'a> = dyn FnMut(Option<&[u8]>, &[u8], &[u8]) + 'a;

/// Shows all rows and metadata that can be read. Returns what is missing, and where.
pub(super) fn rows(
    connection: &Connection,
    show: &mut ShowRow<'_>,
) -> rusqlite::Result<Vec<Damage>> {
    let mut damage = Vec::new();
    let mut strange = 0;
    let gaps = walk(connection, "records", "namespace, key, value", &mut |row| {
        match row.get_ref(1)? {
            ValueRef::Blob(METADATA_KEY) => {}
            ValueRef::Blob(key) if can_be_record(key) && key.len() <= MAX_KEY_LEN => {
                show(name_in(row)?.as_deref(), key, &bytes_of(row.get_ref(2)?));
            }
            _ => strange += 1,
        }
        Ok(())
    })?;
    let missing = gaps.iter().zip(missing_keys(connection, &gaps)?);
    let told = missing.map(|(gap, keys)| shown_missing(gap, keys)).collect();
    damage.extend(located(connection, "records", told)?);
    if strange > 0 {
        let cause = format!("{strange} records have keys that are too long, empty or no BLOB");
        damage.push(Damage { page: 0, cause });
    }
    if has_table(connection, "metadata")? {
        let gaps = walk(connection, "metadata", "namespace, value", &mut |row| {
            if !matches!(row.get_ref(1)?, ValueRef::Null) {
                show(name_in(row)?.as_deref(), METADATA_KEY, &bytes_of(row.get_ref(1)?));
            }
            Ok(())
        })?;
        let told = gaps.iter().map(|_| "metadata are missing".to_owned()).collect();
        damage.extend(located(connection, "metadata", told)?);
    }
    Ok(damage)
}

/// The name of a row's namespace, which is its first column.
fn name_in(row: &Row<'_>) -> rusqlite::Result<Option<Vec<u8>>> {
    let name = bytes_of(row.get_ref(0)?);
    Ok((!name.is_empty()).then(|| name.into_owned()))
}

/// What `check` finds wrong, page by page, 0 where it names none.
pub(super) fn check(connection: &Connection, check: &str) -> (Vec<Damage>, rusqlite::Result<()>) {
    let mut damage = Vec::new();
    let mut look = || {
        let mut check = connection.prepare(&format!("PRAGMA {check}({MOST_REPORTED})"))?;
        let mut messages = check.query([])?;
        while let Some(row) = messages.next()? {
            let message: String = row.get(0)?;
            // One message can have many lines, with the name of the database above them.
            let lines = message.lines().filter(|line| !line.starts_with("***") && *line != "ok");
            damage.extend(lines.map(|line| Damage { page: page_in(line), cause: line.to_owned() }));
        }
        Ok(())
    };
    let outcome = look();
    (damage, outcome)
}

/// The number after `word` in a message of SQLite's.
fn number_after(word: &str, message: &str) -> Option<usize> {
    let mut words = message.split(|letter: char| !letter.is_alphanumeric());
    words.find(|found| found.eq_ignore_ascii_case(word)).and(words.next())?.parse().ok()
}

/// The page that a message of SQLite's names, 0 where it names none.
fn page_in(message: &str) -> usize {
    number_after("page", message).unwrap_or(0)
}

/// Shows the `columns` of all rows of `table` that can be read. Returns the row numbers between.
fn walk(
    connection: &Connection,
    table: &str,
    columns: &str,
    show: &mut dyn FnMut(&Row<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<Vec<Gap>> {
    let behind = "NOT INDEXED WHERE rowid >= ?1 ORDER BY rowid";
    let mut all = connection.prepare(&format!("SELECT {columns}, rowid FROM {table} {behind}"))?;
    let number = all.column_count() - 1;
    let mut first = connection.prepare(&format!("SELECT rowid FROM {table} {behind} LIMIT 1"))?;
    let mut first_from = |number: i64| first.query_row([number], |row| row.get(0)).optional();
    let mut gaps = Vec::new();
    let mut last = None;
    let mut next = Some(i64::MIN);
    while let Some(from) = next {
        let mut here = Some(from);
        let mut read = || {
            let mut rows = all.query([from])?;
            while let Some(row) = rows.next()? {
                show(row)?;
                here = row.get::<_, i64>(number)?.checked_add(1);
            }
            Ok(())
        };
        match read() {
            Ok(()) => break,
            Err(error) if !is_damage(&error) => return Err(error),
            Err(_) => {}
        }
        let Some(from) = here else { break };
        let gap = match first_from(from) {
            // Its page is sound. What cannot be read is a page on which its value goes on.
            Ok(Some(row)) => row..=row,
            Ok(None) => break,
            Err(error) if !is_damage(&error) => return Err(error),
            Err(_) => {
                let mut is_readable = |number| match first_from(number) {
                    Ok(_) => Ok(true),
                    Err(error) if is_damage(&error) => Ok(false),
                    Err(error) => Err(error),
                };
                let last = match last {
                    Some(last) => last,
                    None => *last.insert(last_number(connection, table)?),
                };
                let readable = readable_from(&mut is_readable, from, last)?;
                from..=readable.map_or(i64::MAX, |number| number - 1)
            }
        };
        next = gap.end().checked_add(1);
        gaps.push(gap);
    }
    Ok(gaps)
}

/// The first row number behind `from` at which the table can be read, `None` if there is none up to
/// the `last` one.
fn readable_from(
    is_readable: &mut dyn FnMut(i64) -> rusqlite::Result<bool>,
    from: i64,
    last: i64,
) -> rusqlite::Result<Option<i64>> {
    // SQLite numbers rows from 1.
    let from = from.max(1);
    let mut unreadable = from.saturating_add(NEAR);
    for number in from..=unreadable.min(last) {
        if is_readable(number)? {
            return Ok(Some(number));
        }
    }
    let mut readable = unreadable;
    let mut step = NEAR;
    loop {
        (unreadable, readable) = (readable, readable.saturating_add(step));
        if unreadable >= last {
            return Ok(None);
        }
        if is_readable(readable)? {
            break;
        }
        step = step.saturating_mul(2);
    }
    while readable - unreadable > 1 {
        let middle = unreadable + (readable - unreadable) / 2;
        *(if is_readable(middle)? { &mut readable } else { &mut unreadable }) = middle;
    }
    Ok(Some(readable))
}

/// The indices of `table` that have all of its rows.
fn indices(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT name FROM pragma_index_list(?1) WHERE NOT partial";
    connection.prepare(sql)?.query_map([table], |row| row.get(0))?.collect()
}

/// What an index says, `None` if it cannot be read or does not have what is asked for.
fn said<R>(answer: rusqlite::Result<R>) -> rusqlite::Result<Option<R>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if is_damage(&error) || code_of(&error) == Some(ErrorCode::Unknown) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The largest number of a row of `table` that an index tells of, 0 if it has none; as large as any
/// if no index can be read.
fn last_number(connection: &Connection, table: &str) -> rusqlite::Result<i64> {
    let mut last = None;
    for index in indices(connection, table)? {
        let sql = format!("SELECT max(rowid) FROM {table} INDEXED BY {}", quoted(&index));
        let largest = connection.query_row(&sql, [], |row| row.get::<_, Option<i64>>(0));
        last = last.max(said(largest)?.map(Option::unwrap_or_default));
    }
    Ok(last.unwrap_or(i64::MAX))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The records that are missing, by namespace.
type Missing = BTreeMap<Vec<u8>, Keys>;

/// How many keys there are, and which are the first and the last.
#[derive(Clone, Default)]
struct Keys {
    count: usize,
    first: Vec<u8>,
    last: Vec<u8>,
}

/// Which records are missing in each gap, as an index tells. `None` if none can be read.
fn missing_keys(connection: &Connection, gaps: &[Gap]) -> rusqlite::Result<Vec<Option<Missing>>> {
    if gaps.is_empty() {
        return Ok(Vec::new());
    }
    for index in indices(connection, "records")? {
        let mut found = vec![Some(Missing::new()); gaps.len()];
        if said(note_missing(connection, &index, gaps, &mut found))?.is_some() {
            return Ok(found);
        }
    }
    Ok(vec![None; gaps.len()])
}

fn note_missing(
    connection: &Connection,
    index: &str,
    gaps: &[Gap],
    found: &mut [Option<Missing>],
) -> rusqlite::Result<()> {
    let index = quoted(index);
    let sql = format!("SELECT namespace, key, rowid FROM records INDEXED BY {index}");
    let mut all = connection.prepare(&sql)?;
    let mut rows = all.query([])?;
    while let Some(row) = rows.next()? {
        let number: i64 = row.get(2)?;
        let place = gaps.partition_point(|gap| *gap.end() < number);
        let (Some(gap), Some(Some(missing))) = (gaps.get(place), found.get_mut(place)) else {
            continue;
        };
        if gap.contains(&number) {
            let key = bytes_of(row.get_ref(1)?).into_owned();
            let keys = missing.entry(bytes_of(row.get_ref(0)?).into_owned()).or_default();
            if keys.count == 0 {
                keys.first.clone_from(&key);
            }
            keys.count += 1;
            keys.last = key;
        }
    }
    Ok(())
}

fn shown_missing(gap: &Gap, missing: Option<Missing>) -> String {
    let Some(missing) = missing else {
        return format!(
            "rows {} to {} of the table are missing, and no index tells which they are",
            gap.start(),
            gap.end()
        );
    };
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let of = |(name, Keys { count, first, last }): (&Vec<u8>, &Keys)| {
        format!("{count} of '{}', the keys from {} to {}", shown(name), shown(first), shown(last))
    };
    let parts: Vec<String> = missing.iter().map(of).collect();
    if parts.is_empty() {
        "no record is missing".to_owned()
    } else {
        format!("records are missing: {}", parts.join("; "))
    }
}

/// Says on which pages of `table` lies what is `missing`, from its beginning to its end.
fn located(
    connection: &Connection,
    table: &str,
    missing: Vec<String>,
) -> rusqlite::Result<Vec<Damage>> {
    let sql = "SELECT rootpage FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    let root: u32 = connection.query_row(sql, [table], |row| row.get(0))?;
    let mut pages: Vec<Damage> = Vec::new();
    for damage in check(connection, "quick_check").0 {
        let of_table = number_after("tree", &damage.cause) == Some(root as usize);
        if of_table && pages.iter().all(|known| known.page != damage.page) {
            pages.push(damage);
        }
    }
    // SQLite goes through a tree from its end.
    pages.reverse();
    if pages.len() == missing.len() {
        for (page, missing) in pages.iter_mut().zip(missing) {
            page.cause = format!("{}; {missing}", page.cause);
        }
    } else {
        // Some of them have no row between them.
        pages.extend(missing.into_iter().map(|cause| Damage { page: 0, cause }));
    }
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use super::{page_in, readable_from};

    #[test]
    fn the_page_is_found_in_what_sqlite_says() {
        assert_eq!(page_in("Tree 2 page 5 cell 3: Rowid 7 out of order"), 5);
        assert_eq!(page_in("Page 14: never used"), 14);
        assert_eq!(page_in("row 3 missing from index idx_namespace_key"), 0);
        assert_eq!(page_in("database disk image is malformed"), 0);
    }

    #[test]
    fn what_lies_behind_damaged_pages_is_found_however_far_away() {
        for (from, readable) in [(1, 2), (-5, 17), (7, 3_000_000), (7, i64::MAX / 2), (3, 1 << 62)]
        {
            let mut is_readable = |number| Ok(number >= readable);
            assert_eq!(readable_from(&mut is_readable, from, i64::MAX).unwrap(), Some(readable));
            assert_eq!(readable_from(&mut is_readable, from, readable).unwrap(), Some(readable));
        }
        assert_eq!(readable_from(&mut |_| Ok(false), i64::MIN, i64::MAX).unwrap(), None);
        let mut tried = 0;
        let mut is_readable = |number| {
            tried += 1;
            Ok((40..50).contains(&number))
        };
        assert_eq!(readable_from(&mut is_readable, 7, 1000).unwrap(), Some(40));
        assert_eq!(readable_from(&mut is_readable, 50, 1000).unwrap(), None);
        assert!(tried < 1000);
    }
}
