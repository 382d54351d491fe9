//! What lies in a file and belongs to no namespace: rows of names and keys that eosdb cannot have.

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, ToSql};

use super::connection::has_table;
use super::errors::bytes_of;
use crate::error::Error;
use crate::store::{Foreign, check_namespace};

/// The name of a namespace as it is stored, which may be no name.
pub(super) enum Name {
    Text(Vec<u8>),
    Other(Value),
}

impl Name {
    /// The namespace, or why there is none of this name.
    pub(super) fn namespace(&self) -> Result<&str, &'static str> {
        let Self::Text(name) = self else { return Err("it is no text") };
        let name = std::str::from_utf8(name).map_err(|_| "it is no valid Unicode text")?;
        match check_namespace(Some(name)) {
            Err(Error::Namespace { reason, .. }) => Err(reason),
            _ => Ok(name),
        }
    }

    fn value(&self) -> ValueRef<'_> {
        match self {
            Self::Text(name) => ValueRef::Text(name),
            Self::Other(value) => value.into(),
        }
    }

    fn is_unnamed(&self) -> bool {
        matches!(self, Self::Text(name) if name.is_empty())
    }
}

impl ToSql for Name {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.value()))
    }
}

/// All that stand in the column of names, sorted.
pub(super) fn names(connection: &Connection) -> rusqlite::Result<Vec<Name>> {
    // From name to name: there are few of them, and many records of each.
    let mut sql = "WITH RECURSIVE names (name) AS (
            SELECT min(namespace) FROM records
            UNION ALL
            SELECT (SELECT min(namespace) FROM records WHERE namespace > name)
            FROM names WHERE name IS NOT NULL
        )
        SELECT name FROM names WHERE name IS NOT NULL"
        .to_owned();
    if has_table(connection, "metadata")? {
        sql += " UNION SELECT namespace FROM metadata WHERE value IS NOT NULL";
    }
    let mut statement = connection.prepare_cached(&(sql + " ORDER BY name"))?;
    let mut rows = statement.query([])?;
    let mut names = Vec::new();
    while let Some(row) = rows.next()? {
        names.push(match row.get_ref(0)? {
            ValueRef::Text(name) => Name::Text(name.to_vec()),
            _ => Name::Other(row.get(0)?),
        });
    }
    Ok(names)
}

/// What no namespace shows.
pub(super) fn list(connection: &Connection) -> rusqlite::Result<Vec<Foreign>> {
    // What is no bytes sorts before all that is.
    let of_keys = "SELECT count(*), min(key) FROM records WHERE namespace = ?1 AND key <= x''";
    let of_name = "SELECT count(*), min(key) FROM records WHERE namespace = ?1";
    let mut found = Vec::new();
    for name in names(connection)? {
        let refused = name.namespace().err().filter(|_| !name.is_unnamed());
        let sql = if refused.is_some() { of_name } else { of_keys };
        let (count, key) = connection.prepare_cached(sql)?.query_row([&name], |row| {
            Ok((row.get::<_, i64>(0)?, bytes_of(row.get_ref(1)?).into_owned()))
        })?;
        let key = if count == 0 { Vec::new() } else { key };
        let cause = match refused {
            Some(reason) if count == 0 => {
                format!("no namespace can have this name, {reason}; it has metadata only")
            }
            Some(reason) => format!(
                "no namespace can have this name, {reason}; records: {count}, this is the first"
            ),
            None if count == 0 => continue,
            None => format!("the key is empty or no BLOB; such keys: {count}, this is the first"),
        };
        let namespace = bytes_of(name.value()).into_owned();
        found.push(Foreign { namespace, key, cause });
    }
    Ok(found)
}
