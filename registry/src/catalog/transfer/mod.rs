//! Moves a catalog from one database to another, whichever of the two kinds each is.
//!
//! Nothing here knows a table by name: both databases say which tables and columns they have, and
//! what one has and the other has not stops the move before it begins. So a table that is added one
//! day comes along by itself.

mod postgres;
mod sqlite;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use aws_lc_rs::digest::{Context, SHA256};

use super::{BoxError, OpenError};

/// Where a catalog is.
#[derive(Clone)]
pub enum Place {
    /// SQLite, in this folder.
    Sqlite(PathBuf),
    /// PostgreSQL, at this address.
    Postgres(String),
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(folder) => f.debug_tuple("Sqlite").field(folder).finish(),
            // Not the address: it may hold a password.
            Self::Postgres(_) => f.write_str("Postgres"),
        }
    }
}

/// Why a catalog was not moved. The target is then as it was.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// One of them cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A registry uses one of them.
    #[error("a registry is connected to the PostgreSQL database; stop it first")]
    InUse,
    /// The target holds something.
    #[error("the target is not empty: table {0} has rows; give an empty database")]
    NotEmpty(String),
    /// They are not of one shape.
    #[error("the two catalogs differ: {0}")]
    Shape(String),
    /// What was written is not what was read.
    #[error("table {0} does not hold what it should after the move; the target was left empty")]
    Differs(String),
    /// A database failed.
    #[error("the databases: {0}")]
    Database(#[source] BoxError),
}

impl From<sqlx::Error> for TransferError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

type Result<T> = std::result::Result<T, TransferError>;

/// Tables that only one of the two kinds has, and that hold nothing which must be moved: PostgreSQL's ledger is added
/// up as the database is opened.
const LOCAL_TABLES: &[&str] = &["namespace_ledger"];
/// Columns that only PostgreSQL has: claims, which SQLite keeps in memory and which run out.
const LOCAL_COLUMNS: &[(&str, &str)] = &[("uploads", "writer"), ("uploads", "writer_until")];

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Int,
    Text,
    Bytes,
}

/// A table as its database describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Table {
    columns: BTreeMap<String, Kind>,
    /// Tables that its rows refer to.
    parents: BTreeSet<String>,
}

type Tables = BTreeMap<String, Table>;

/// One value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cell {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// What a table holds, whatever the order of its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Content {
    rows: u64,
    sum: [u8; 32],
}

impl Content {
    fn add(&mut self, row: &[Cell]) {
        let mut hash = Context::new(&SHA256);
        for cell in row {
            let (kind, bytes): (u8, &[u8]) = match cell {
                Cell::Null => (0, &[]),
                Cell::Int(number) => (1, &number.to_be_bytes()),
                Cell::Text(text) => (2, text.as_bytes()),
                Cell::Bytes(bytes) => (3, bytes),
            };
            hash.update(&[kind]);
            hash.update(&(bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        }
        self.rows += 1;
        for (sum, byte) in self.sum.iter_mut().zip(hash.finish().as_ref()) {
            *sum ^= byte;
        }
    }
}

/// A table and how its rows go from one database to the other.
struct Move<'a> {
    table: &'a str,
    columns: Vec<(&'a str, Kind)>,
}

impl Move<'_> {
    fn names(&self) -> String {
        self.columns.iter().map(|(name, _)| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
    }

    /// An insertion of so many rows, up to where a dialect has words of its own.
    fn insert(&self, rows: usize, words: &str) -> String {
        let width = self.columns.len();
        let row = |n: usize| {
            let values: Vec<_> = (1..=width).map(|column| format!("${}", n * width + column)).collect();
            format!("({})", values.join(", "))
        };
        let rows: Vec<_> = (0..rows).map(row).collect();
        format!("INSERT INTO \"{}\" ({}) {words} VALUES {}", self.table, self.names(), rows.join(", "))
    }

    /// Rows per statement: both databases take so many values.
    fn batch(&self) -> usize {
        (2000 / self.columns.len().max(1)).clamp(1, 200)
    }
}

/// Which columns go from each table of `from` to `to`, in an order in which no row comes before one
/// that it refers to.
fn plan<'a>(from: &'a Tables, to: &Tables) -> Result<Vec<Move<'a>>> {
    let is_local = |name: &String| LOCAL_TABLES.contains(&name.as_str());
    if let Some(name) = to.keys().find(|name| !from.contains_key(*name) && !is_local(name)) {
        return Err(TransferError::Shape(format!("only the target has a table {name}")));
    }
    let mut moves = Vec::new();
    for name in ordered(from)? {
        let Some(target) = to.get(name) else {
            if is_local(name) {
                continue;
            }
            return Err(TransferError::Shape(format!("only the source has a table {name}")));
        };
        let mut columns = Vec::new();
        for (column, kind) in &from[name].columns {
            match target.columns.get(column) {
                Some(other) if other == kind => columns.push((column.as_str(), *kind)),
                None if LOCAL_COLUMNS.contains(&(name.as_str(), column)) => {}
                Some(_) => {
                    return Err(TransferError::Shape(format!(
                        "{name}.{column} has another type in the target"
                    )));
                }
                None => return Err(TransferError::Shape(format!("the target lacks {name}.{column}"))),
            }
        }
        let lacks = |column: &&String| {
            !from[name].columns.contains_key(*column)
                && !LOCAL_COLUMNS.contains(&(name.as_str(), column.as_str()))
        };
        if let Some(column) = target.columns.keys().find(lacks) {
            return Err(TransferError::Shape(format!("the source lacks {name}.{column}")));
        }
        moves.push(Move { table: name, columns });
    }
    Ok(moves)
}

/// Tables, each after those that it refers to.
fn ordered(tables: &Tables) -> Result<Vec<&String>> {
    let mut order: Vec<&String> = Vec::new();
    while order.len() < tables.len() {
        let ready = |(name, table): &(&String, &Table)| {
            !order.contains(name)
                && table.parents.iter().all(|parent| parent == *name || order.contains(&parent))
        };
        let next: Vec<_> = tables.iter().filter(ready).map(|(name, _)| name).collect();
        if next.is_empty() {
            return Err(TransferError::Shape("tables refer to each other in a circle".to_owned()));
        }
        order.extend(next);
    }
    Ok(order)
}

/// A database that is read from or written to, by one connection.
trait Side {
    /// What it has.
    async fn tables(&mut self) -> Result<Tables>;

    /// Rows of a table.
    async fn count(&mut self, table: &str) -> Result<u64>;

    /// Begins a transaction in which rows can be put in as they are, without triggers.
    async fn begin(&mut self, moves: &[Move<'_>]) -> Result<()>;

    /// Takes all rows out of a table.
    async fn clear(&mut self, table: &str) -> Result<()>;

    /// Puts rows in.
    async fn write(&mut self, one: &Move<'_>, rows: &[Vec<Cell>]) -> Result<()>;

    /// Reads all rows of a table, some at a time.
    async fn read(&mut self, one: &Move<'_>, take: impl AsyncFnMut(&[Vec<Cell>]) -> Result<()>)
    -> Result<()>;

    /// Lets generated numbers go on behind those that were put in, brings the triggers back, and ends the transaction.
    async fn commit(&mut self, moves: &[Move<'_>]) -> Result<()>;
}

/// Moves everything from one catalog to another, which must be empty, and says how many rows each
/// table has. Nobody else may use either of them; both are brought to the schema of this version.
///
/// # Errors
/// See [`TransferError`]; the target is then as it was.
pub async fn transfer(from: &Place, to: &Place) -> Result<Vec<(String, u64)>> {
    use {postgres::Postgres, sqlite::Sqlite};
    let fresh = sqlite::seeded().await?;
    match (from, to) {
        (Place::Sqlite(from), Place::Postgres(to)) => {
            let source = Sqlite::open(from).await?;
            between(source, Postgres::open(to).await?, &fresh).await
        }
        (Place::Postgres(from), Place::Sqlite(to)) => {
            let source = Postgres::open(from).await?;
            between(source, Sqlite::open(to).await?, &fresh).await
        }
        (Place::Sqlite(from), Place::Sqlite(to)) => {
            let source = Sqlite::open(from).await?;
            between(source, Sqlite::open(to).await?, &fresh).await
        }
        (Place::Postgres(from), Place::Postgres(to)) => {
            let source = Postgres::open(from).await?;
            between(source, Postgres::open(to).await?, &fresh).await
        }
    }
}

/// `fresh` are the tables that have rows as soon as a catalog is made.
async fn between(
    mut source: impl Side,
    mut target: impl Side,
    fresh: &BTreeSet<String>,
) -> Result<Vec<(String, u64)>> {
    let (shape, other) = (source.tables().await?, target.tables().await?);
    let moves = plan(&shape, &other)?;
    for one in &moves {
        if !fresh.contains(one.table) && target.count(one.table).await? > 0 {
            return Err(TransferError::NotEmpty(one.table.to_owned()));
        }
    }
    target.begin(&moves).await?;
    for one in moves.iter().rev() {
        target.clear(one.table).await?;
    }
    let mut counts = Vec::new();
    for one in &moves {
        let mut sent = Content::default();
        let writing = async |rows: &[Vec<Cell>]| {
            rows.iter().for_each(|row| sent.add(row));
            target.write(one, rows).await
        };
        source.read(one, writing).await?;
        let mut kept = Content::default();
        let reading = async |rows: &[Vec<Cell>]| {
            rows.iter().for_each(|row| kept.add(row));
            Ok(())
        };
        target.read(one, reading).await?;
        if kept != sent {
            return Err(TransferError::Differs(one.table.to_owned()));
        }
        counts.push((one.table.to_owned(), sent.rows));
    }
    target.commit(&moves).await?;
    Ok(counts)
}
