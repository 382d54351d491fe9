//! Whether an LMDB file is sound. LMDB believes what it reads: an offset beyond its page makes it
//! read, or write, whatever lies there. So a file is looked at before LMDB follows it.
//!
//! Every page that a transaction can reach is read once: it must be what the page above it says,
//! its nodes must lie inside it, and no page may be used twice or be used and free. The layout is
//! that of `MDB_page`, `MDB_node`, `MDB_db` and `MDB_meta` in LMDB's `mdb.c`.

mod head;
mod page;
mod pages;

use std::fs::File;
use std::io;
use std::ops::Range;

pub(super) use head::no_head;
use head::{HEADS, Head};
use page::{Data, Database, Flaw, HEADER, KeyOrder, Kind, Page, WORD, word};
use pages::{PageSet, Pages};

/// The deepest tree that LMDB can walk.
const DEEPEST: usize = 32;

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

/// Checks what LMDB uses of a file when it maps it. What is no file of LMDB's, it tells itself.
pub(super) fn check_heads(file: &File) -> io::Result<Result<(), Damage>> {
    Ok(Head::all(file)?.map(|_| ()))
}

/// Tells whether LMDB would recognise the file as one of its own, in the format that we read.
pub(super) fn has_heads(file: &File) -> io::Result<bool> {
    Ok(Head::all(file)?.is_ok_and(|heads| heads.len() == HEADS.len()))
}

/// Tells whether `value`, of the unnamed database, is how LMDB describes another one. Nothing that a
/// program of ours stores looks like it: pickles and what is compressed begin with other bytes.
pub(super) fn is_description(value: &[u8]) -> bool {
    const KINDS: u16 = 0x7e;
    if value.len() != Database::SIZE {
        return false;
    }
    let tree = Database::new(value);
    let is_empty = tree.root.is_none();
    tree.pad <= page::MAX_KEY
        && tree.flags & !KINDS == 0
        && tree.depth <= DEEPEST
        && [tree.depth, tree.leaf_pages, tree.entries].iter().all(|count| (*count == 0) == is_empty)
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
    Ok(Some(walk.into_damage()))
}

/// Shows all rows that can be reached without following damaged pages. Returns the damaged places,
/// or why nothing can be read at all.
///
/// No other process must write to the file meanwhile.
pub(super) fn salvage(
    file: &File,
    show: &mut ShowRow<'_>,
) -> io::Result<Result<Vec<Damage>, Damage>> {
    // The older of the two heads lacks the last commit, but leads somewhere if the newer one does not.
    let heads = Head::usable(file)?;
    let mut chosen = None;
    for head in &heads {
        let mut rows = 0_usize;
        Walk::new(file, *head)?.everything(*head, &mut |_, _, _| rows += 1)?;
        if rows > 0 {
            chosen = Some(*head);
            break;
        }
    }
    let Some(head) = chosen.or(heads.first().copied()) else { return Ok(Err(no_head(0))) };
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
        show(name.as_deref(), &key, &values.value(page, size)?);
    }
    let mut damage = walk.into_damage();
    if heads.len() < HEADS.len() || heads.iter().any(|other| other.transaction > head.transaction) {
        let cause = "one of the two pages that describe the file, or what it leads to, cannot be \
                     used: what the last commit changed may be missing";
        damage.push(Damage { page: 0, cause: cause.to_owned() });
    }
    Ok(Ok(damage))
}

/// A walk over the pages of a file.
struct Walk<'file> {
    pages: Pages<'file>,
    last_page: usize,
    /// The pages that were met, used or free.
    met: PageSet,
    damage: Vec<Damage>,
    /// How many more places are damaged.
    untold: usize,
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
        Ok(Self {
            pages,
            last_page: head.last_page,
            met: PageSet::default(),
            damage: Vec::new(),
            untold: 0,
        })
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
        for (page, size) in long {
            match free_pages(&self.pages.value(page, size)?) {
                Ok(pages) => free.extend(pages),
                Err(cause) => self.report(page, cause),
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

    fn into_damage(mut self) -> Vec<Damage> {
        if self.untold > 0 {
            let cause = format!("and {} more places are damaged", self.untold);
            self.damage.push(Damage { page: 0, cause });
        }
        self.damage
    }

    fn report(&mut self, page: usize, cause: impl Into<String>) {
        if self.damage.len() < MOST_REPORTED {
            self.damage.push(Damage { page, cause: cause.into() });
        } else {
            self.untold += 1;
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
                            match page.data(node) {
                                Data::Elsewhere { page: first, size } => {
                                    long.push((page.key(node).to_vec(), first, size));
                                }
                                data => flaw = flaw.and(visit(page.key(node), data)),
                            }
                        }
                        for (key, page, size) in long {
                            match self.check_long(page, size)? {
                                Ok(pages) => {
                                    found.overflow_pages += pages;
                                    flaw = flaw.and(visit(&key, Data::Elsewhere { page, size }));
                                }
                                Err(cause) => self.report(page, cause),
                            }
                        }
                        if let Err(cause) = flaw {
                            self.report(number, cause);
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
        Err(format!("its flags are {:#x}: it is another application's, or damaged", tree.flags))
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
