//! Whether an LMDB file is sound. LMDB believes what it reads: an offset beyond its page makes it
//! read, or write, whatever lies there. So a file is looked at before LMDB follows it.
//!
//! Every page that a transaction can reach is read once: it must be what the page above it says,
//! its nodes must lie inside it, and no page may be used twice or be used and free. The layout is
//! that of `MDB_page`, `MDB_node`, `MDB_db` and `MDB_meta` in LMDB's `mdb.c`.

mod page;
mod pages;

use std::fs::File;
use std::io;
use std::ops::Range;

use page::{Data, Database, Flaw, HEADER, KeyOrder, Kind, Page, WORD, four, short, word};
use pages::{PageSet, Pages};

/// The numbers of the two pages that describe the file, of which the newer one counts.
const HEADS: Range<usize> = 0..2;

const MAGIC: usize = 0xBEEF_C0DE;
const FORMAT: usize = 1;

/// The flag of pages that describe the file.
const META: u16 = 0x08;

/// The deepest tree that LMDB can walk.
const DEEPEST: usize = 32;

/// How many times as many pages as a file has it may speak of, and how many it may in any case.
const MOST_MISSING: usize = 16;
const FEW_PAGES: usize = 1 << 16;

/// How many damaged places are told of.
const MOST_REPORTED: usize = 1000;

/// Is shown a row: the name of its database, `None` for the unnamed one, its key and its value.
pub(super) type ShowRow<'a> = dyn FnMut(Option<&[u8]>, &[u8], &[u8]) + 'a;

/// A place where a file is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The number of the page in question, counted from 0.
    pub page: usize,
    /// What is wrong there.
    pub cause: String,
}

/// What the two first pages say about a file.
#[derive(Debug, Clone, Copy)]
struct Head {
    free: Database,
    unnamed: Database,
    last_page: usize,
    transaction: usize,
}

impl Head {
    /// How many bytes of its page it takes, with the page's header.
    const SIZE: usize = HEADER + 8 + 4 * WORD + 2 * Database::SIZE;

    /// `None` if the page is none of LMDB's in the format that we read.
    fn new(bytes: &[u8]) -> Option<Self> {
        let meta = bytes.get(HEADER..Self::SIZE)?;
        let known =
            short(bytes, WORD + 2) & META != 0 && four(meta, 0) == MAGIC && four(meta, 4) == FORMAT;
        let databases = 8 + 2 * WORD;
        let behind = databases + 2 * Database::SIZE;
        known.then(|| Self {
            free: Database::new(&meta[databases..]),
            unnamed: Database::new(&meta[databases + Database::SIZE..]),
            last_page: word(meta, behind),
            transaction: word(meta, behind + WORD),
        })
    }

    /// The size of a page in bytes, if it is one that LMDB can have.
    fn page_size(&self) -> Result<usize, Flaw> {
        let size = self.free.pad;
        if size.is_power_of_two() && (1 << 9..=1 << 15).contains(&size) {
            Ok(size)
        } else {
            Err(format!("it says that a page has {size} bytes"))
        }
    }

    /// The heads of a file, as many as LMDB would recognise.
    fn all(file: &File) -> io::Result<Result<Vec<Self>, Damage>> {
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        let mut heads: Vec<Self> = Vec::with_capacity(HEADS.len());
        let mut size = 0;
        for page in HEADS {
            let mut bytes = [0; Self::SIZE];
            let found = pages::read_at(file, &mut bytes, page * size)?;
            let Some(head) = Self::new(&bytes[..found]) else { break };
            match head.page_size() {
                Ok(found) if page == 0 || found == size => size = found,
                Ok(found) => {
                    let cause =
                        format!("it says that a page has {found} bytes, page 0 says {size}");
                    return Ok(Err(Damage { page, cause }));
                }
                Err(cause) => return Ok(Err(Damage { page, cause })),
            }
            // LMDB writes, and looks for, transactions of even numbers on one and odd on the other.
            if head.transaction != 0 && head.transaction % HEADS.end != page {
                let cause =
                    format!("it says transaction {}, which is the other's", head.transaction);
                return Ok(Err(Damage { page, cause }));
            }
            // Free pages at the end may be missing in the file, but LMDB maps up to the last one.
            let most = (length / size).saturating_mul(MOST_MISSING).max(FEW_PAGES);
            if head.last_page > most {
                let cause = format!("it says that page {} is the last one", head.last_page);
                return Ok(Err(Damage { page, cause }));
            }
            heads.push(head);
        }
        Ok(Ok(heads))
    }
}

/// Checks what LMDB uses of a file when it maps it. What is no file of LMDB's, it tells itself.
pub(super) fn check_heads(file: &File) -> io::Result<Result<(), Damage>> {
    Ok(Head::all(file)?.map(|_| ()))
}

/// Tells whether LMDB would recognise the file as one of its own, in the format that we read.
pub(super) fn has_heads(file: &File) -> io::Result<bool> {
    Ok(Head::all(file)?.is_ok_and(|heads| heads.len() == HEADS.len()))
}

/// Checks every page that is reachable in a transaction, which must last meanwhile.
///
/// Returns the places where the file is damaged, the first thousand of them; `None` where two later
/// transactions have overwritten what described this one: then begin another one.
pub(super) fn check(file: &File, transaction: usize) -> io::Result<Option<Vec<Damage>>> {
    let heads = match Head::all(file)? {
        Ok(heads) => heads,
        Err(damage) => return Ok(Some(vec![damage])),
    };
    let Some(head) = heads.into_iter().find(|head| head.transaction == transaction) else {
        return Ok(None);
    };
    let mut walk = Walk::new(file, head)?;
    walk.everything(head, &mut |_, _, _| {})?;
    Ok(Some(walk.damage))
}

/// Shows all rows that can be reached without following damaged pages. Returns the damaged places.
///
/// No other process must write to the file meanwhile.
pub(super) fn salvage(file: &File, show: &mut ShowRow<'_>) -> io::Result<Vec<Damage>> {
    let heads = match Head::all(file)? {
        Ok(heads) => heads,
        Err(damage) => return Ok(vec![damage]),
    };
    let Some(head) = heads.into_iter().max_by_key(|head| head.transaction) else {
        let cause = "it is no page of LMDB's that describes a file".to_owned();
        return Ok(vec![Damage { page: 0, cause }]);
    };
    let values = Pages::new(file, head.free.pad)?;
    let mut long = Vec::new();
    let mut walk = Walk::new(file, head)?;
    walk.everything(head, &mut |name, key, data| match data {
        Data::Here(value) => show(name, key, value),
        Data::Elsewhere { page, size } => {
            long.push((name.map(<[u8]>::to_vec), key.to_vec(), page, size));
        }
        Data::SubDatabase(_) => {}
    })?;
    for (name, key, page, size) in long {
        if !walk.damage.iter().any(|damage| damage.page == page) {
            show(name.as_deref(), &key, &values.value(page, size)?);
        }
    }
    Ok(walk.damage)
}

/// A walk over the pages of a file.
struct Walk<'file> {
    pages: Pages<'file>,
    last_page: usize,
    /// The pages that were met, used or free.
    met: PageSet,
    damage: Vec<Damage>,
}

/// What a tree was found to have.
#[derive(Default)]
struct Found {
    branch_pages: usize,
    leaf_pages: usize,
    overflow_pages: usize,
    entries: usize,
}

/// A page to be visited, and where its smallest possible key is kept.
struct Next {
    page: usize,
    from: Range<usize>,
}

/// Is shown a row, with the name of its database.
type Row<'a> = dyn FnMut(Option<&[u8]>, &[u8], Data<'_>) + 'a;

/// Is shown what a leaf holds, and tells whether that may be so.
type Visit<'a> = dyn FnMut(&[u8], Data<'_>) -> Result<(), Flaw> + 'a;

impl<'file> Walk<'file> {
    fn new(file: &'file File, head: Head) -> io::Result<Self> {
        let pages = Pages::new(file, head.free.pad)?;
        Ok(Self { pages, last_page: head.last_page, met: PageSet::default(), damage: Vec::new() })
    }

    /// Walks all trees; `row` is shown what the unnamed database, under `None`, and the others hold.
    fn everything(&mut self, head: Head, row: &mut Row<'_>) -> io::Result<()> {
        for page in HEADS {
            self.met.insert(page);
        }
        let mut free = Vec::new();
        let mut long = Vec::new();
        self.tree(
            "the list of free pages",
            head.free,
            KeyOrder::Numbers,
            &mut |_, data| match data {
                Data::Here(bytes) => free_pages(bytes).map(|pages| free.extend(pages)),
                Data::Elsewhere { page, size } => {
                    long.push((page, size));
                    Ok(())
                }
                Data::SubDatabase(_) => Err("it holds a database".to_owned()),
            },
        )?;
        if self.damage.is_empty() {
            for (page, size) in long {
                match free_pages(&self.pages.value(page, size)?) {
                    Ok(pages) => free.extend(pages),
                    Err(cause) => self.report(page, cause),
                }
            }
        }
        let mut named = Vec::new();
        self.tree("the unnamed database", head.unnamed, KeyOrder::Bytes, &mut |key, data| {
            match data {
                Data::SubDatabase(bytes) => named.push((key.to_vec(), Database::new(bytes))),
                data => row(None, key, data),
            }
            Ok(())
        })?;
        for (name, database) in named {
            let shown = format!("namespace '{}'", String::from_utf8_lossy(&name));
            self.tree(&shown, database, KeyOrder::Bytes, &mut |key, data| match data {
                Data::SubDatabase(_) => Err("it holds a database".to_owned()),
                data => {
                    row(Some(&name), key, data);
                    Ok(())
                }
            })?;
        }
        self.check_free(&free);
        Ok(())
    }

    fn check_free(&mut self, free: &[usize]) {
        let count = self.pages.count().saturating_add(free.len());
        for &page in free {
            if page < HEADS.end || page > self.last_page || page >= count {
                self.report(page, "it is said to be free, and is none of the file's");
            } else if !self.met.insert(page) {
                self.report(page, "it is said to be free, and is used or said to be free twice");
            }
        }
        // The last pages of a file are missing only where they are free.
        if self.last_page >= count {
            self.report(self.last_page, "it is said to be the last one, and lies behind the file");
        }
    }

    fn report(&mut self, page: usize, cause: impl Into<String>) {
        if self.damage.len() < MOST_REPORTED {
            self.damage.push(Damage { page, cause: cause.into() });
        }
    }

    /// Notes that `count` pages from `first` on are used, by one user only.
    fn take(&mut self, first: usize, count: usize) -> Result<(), Flaw> {
        let end = first.saturating_add(count);
        if first < HEADS.end || end > self.pages.count() || end - 1 > self.last_page {
            return Err(format!("pages up to {end} are used, which are none of the file's"));
        }
        for page in first..end {
            if !self.met.insert(page) {
                return Err(format!("page {page} is used twice"));
            }
        }
        Ok(())
    }

    /// Walks a tree level by level, and shows what its leaves hold.
    fn tree(
        &mut self,
        name: &str,
        tree: Database,
        order: KeyOrder,
        visit: &mut Visit<'_>,
    ) -> io::Result<()> {
        let reported = self.damage.len();
        let found = self.levels(tree, order, visit)?;
        for damage in &mut self.damage[reported..] {
            damage.cause = format!("{}, in {name}", damage.cause);
        }
        if self.damage.len() > reported {
            return Ok(()); // so it cannot be counted
        }
        let counts = [
            ("inner pages", found.branch_pages, tree.branch_pages),
            ("leaves", found.leaf_pages, tree.leaf_pages),
            ("overflow pages", found.overflow_pages, tree.overflow_pages),
            ("entries", found.entries, tree.entries),
        ];
        for (what, found, said) in counts {
            if found != said {
                let cause = format!("{name} is said to have {said} {what}, and has {found}");
                self.report(tree.root.unwrap_or_default(), cause);
            }
        }
        Ok(())
    }

    fn levels(
        &mut self,
        tree: Database,
        order: KeyOrder,
        visit: &mut Visit<'_>,
    ) -> io::Result<Found> {
        let mut found = Found::default();
        let Some(root) = tree.root else { return Ok(found) };
        if let Err(cause) = check_description(tree, order) {
            self.report(root, cause);
            return Ok(found);
        }
        let mut level = vec![Next { page: root, from: 0..0 }];
        let mut keys = Vec::new();
        for depth in 1..=tree.depth {
            let kind = if depth == tree.depth { Kind::Leaf } else { Kind::Branch };
            let (mut below, mut keys_below) = (Vec::new(), Vec::new());
            for (index, next) in level.iter().enumerate() {
                let number = next.page;
                if let Err(cause) = self.take(number, 1) {
                    self.report(number, cause);
                    continue;
                }
                let from = &keys[next.from.clone()];
                let until = level.get(index + 1).map(|next| &keys[next.from.clone()]);
                let ahead = level[index..].iter().map(|next| next.page);
                let bytes = self.pages.get(number, ahead)?;
                let page = Page::new(bytes, number, kind, order)
                    .and_then(|page| check_bounds(&page, order, from, until).map(|()| page));
                let page = match page {
                    Ok(page) => page,
                    Err(cause) => {
                        let keys = shown_bounds(order, from, until);
                        self.report(number, format!("{cause}{keys}"));
                        continue;
                    }
                };
                match kind {
                    Kind::Branch => {
                        found.branch_pages += 1;
                        for node in 0..page.len() {
                            let key = if node == 0 { from } else { page.key(node) };
                            let start = keys_below.len();
                            keys_below.extend_from_slice(key);
                            let from = start..keys_below.len();
                            below.push(Next { page: page.child(node), from });
                        }
                    }
                    Kind::Leaf => {
                        found.leaf_pages += 1;
                        found.entries += page.len();
                        let mut long = Vec::new();
                        let mut flaw = Ok(());
                        for node in 0..page.len() {
                            let data = page.data(node);
                            flaw = flaw.and(visit(page.key(node), data));
                            if let Data::Elsewhere { page, size } = data {
                                long.push((page, size));
                            }
                        }
                        if let Err(cause) = flaw {
                            self.report(number, cause);
                        }
                        for (page, size) in long {
                            match self.check_long(page, size)? {
                                Ok(pages) => found.overflow_pages += pages,
                                Err(cause) => self.report(page, cause),
                            }
                        }
                    }
                }
            }
            (level, keys) = (below, keys_below);
        }
        Ok(found)
    }

    /// Checks the pages of a value of `size` bytes that begins on page `first`; returns how many.
    fn check_long(&mut self, first: usize, size: usize) -> io::Result<Result<usize, Flaw>> {
        if first >= self.pages.count() {
            return Ok(Err("a value is said to be on it, and it is none of the file's".to_owned()));
        }
        let bytes = self.pages.get(first, std::iter::once(first))?;
        let page_size = bytes.len();
        let pages = match page::overflow_pages(bytes, first) {
            Ok(pages) => pages,
            Err(cause) => return Ok(Err(cause)),
        };
        if pages.saturating_mul(page_size) < size.saturating_add(HEADER) {
            return Ok(Err(format!("a value of {size} bytes is said to be on {pages} pages")));
        }
        Ok(self.take(first, pages).map(|()| pages))
    }
}

/// Checks what is said of a tree that is not empty.
fn check_description(tree: Database, order: KeyOrder) -> Result<(), Flaw> {
    /// Those of `mdb.c` that tell how a tree is ordered and what it holds.
    const KINDS: u16 = 0x7e;
    const NUMBERS: u16 = 0x08;
    let expected = if order == KeyOrder::Numbers { NUMBERS } else { 0 };
    if tree.flags & KINDS != expected {
        Err(format!("its flags are {:#x}, which nothing of EOS's or ours has", tree.flags))
    } else if !(1..=DEEPEST).contains(&tree.depth) {
        Err(format!("it is said to be the root of {} levels", tree.depth))
    } else {
        Ok(())
    }
}

/// Checks that the keys of a page are at least `from` and below `until`; an empty bound is none.
fn check_bounds(
    page: &Page<'_>,
    order: KeyOrder,
    from: &[u8],
    until: Option<&[u8]>,
) -> Result<(), Flaw> {
    let Some((first, last)) = page.ends() else { return Ok(()) };
    let early = !from.is_empty() && order.compare(first, from).is_lt();
    let late = until.is_some_and(|until| order.compare(last, until).is_ge());
    if early || late {
        Err("its keys are not those that the page above it says".to_owned())
    } else {
        Ok(())
    }
}

/// Which keys are missing where a page of records cannot be read.
fn shown_bounds(order: KeyOrder, from: &[u8], until: Option<&[u8]>) -> String {
    let shown = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
    let until = until.map_or_else(|| "the last one".to_owned(), shown);
    match order {
        KeyOrder::Numbers => String::new(),
        KeyOrder::Bytes if from.is_empty() => format!("; it has the keys below {until}"),
        KeyOrder::Bytes => format!("; it has the keys from {} to {until}", shown(from)),
    }
}

/// The pages that an entry of the list of free pages names: their count, then their numbers from
/// the largest to the smallest.
fn free_pages(bytes: &[u8]) -> Result<Vec<usize>, Flaw> {
    let words = bytes.len() / WORD;
    if words == 0 || !bytes.len().is_multiple_of(WORD) || word(bytes, 0) >= words {
        return Err("a list of free pages says another length than it has".to_owned());
    }
    let pages: Vec<usize> = (1..=word(bytes, 0)).map(|index| word(bytes, index * WORD)).collect();
    if pages.is_sorted_by(|left, right| left > right) {
        Ok(pages)
    } else {
        Err("a list of free pages is in disorder".to_owned())
    }
}
