// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sorting texts by keys of fixed size within a bounded amount of memory: what does not fit goes to temporary files, as
//! sorted runs that are merged again.
//!
//! The crates for this that there are keep each item in an allocation and each run in a file of its own, and bound the number of
//! items, not their bytes. Here a batch is one piece of text and an index, and all runs are in one file.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::{File, Permissions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write as _};
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What texts are sorted by: numbers, the first one first. Those behind what makes it unique are just carried along.
pub(super) type Key<const WORDS: usize> = [u64; WORDS];

/// The least that a run is read ahead while runs are merged, in bytes; less would make a disk seek all the time.
const SMALLEST_BUFFER: usize = 16 << 10;
/// The most: more makes nothing faster.
const LARGEST_BUFFER: usize = 1 << 20;

/// Takes in texts with their keys, in any order.
#[derive(Debug)]
pub(super) struct Sorter<const WORDS: usize> {
    batch: Batch<WORDS>,
    folder: PathBuf,
    spilled: Option<(BufWriter<File>, Vec<Run>)>,
}

/// Texts in memory.
#[derive(Debug, Default)]
pub(super) struct Batch<const WORDS: usize> {
    text: Vec<u8>,
    entries: Vec<Entry<WORDS>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry<const WORDS: usize> {
    key: Key<WORDS>,
    start: usize,
    end: usize,
}

/// Where in a temporary file a sorted part is.
type Run = Range<u64>;

/// Why a temporary file failed.
#[derive(Debug, thiserror::Error)]
#[error("a temporary file in `{}` cannot be {action}", .folder.display())]
pub struct TemporaryFileError {
    folder: PathBuf,
    action: &'static str,
    source: io::Error,
}

impl TemporaryFileError {
    fn new(folder: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { folder: folder.to_owned(), action, source }
    }
}

impl<const WORDS: usize> Sorter<WORDS> {
    /// A sorter that has its temporary files, when it needs some, in `folder`.
    pub(super) fn new(folder: &Path) -> Self {
        Self { batch: Batch::default(), folder: folder.to_owned(), spilled: None }
    }

    /// Hands over what was taken in, and begins anew.
    pub(super) fn take(&mut self) -> Self {
        let new = Self::new(&self.folder);
        std::mem::replace(self, new)
    }

    /// Takes in the next text.
    pub(super) fn push(&mut self, key: Key<WORDS>, text: &[u8]) {
        let start = self.batch.text.len();
        self.batch.text.extend_from_slice(text);
        self.batch.entries.push(Entry { key, start, end: self.batch.text.len() });
    }

    /// Forgets what was taken in.
    pub(super) fn clear(&mut self) {
        self.batch.clear();
        self.spilled = None;
    }

    /// How many bytes of texts and index are in memory.
    pub(super) fn bytes(&self) -> usize {
        self.batch.text.len() + self.batch.entries.len() * size_of::<Entry<WORDS>>()
    }

    /// Moves what is in memory to a temporary file.
    pub(super) fn spill(&mut self) -> Result<(), TemporaryFileError> {
        if self.batch.entries.is_empty() {
            return Ok(());
        }
        self.batch.sort();
        let (file, runs) = match &mut self.spilled {
            Some(spilled) => spilled,
            none => none.insert((temporary_file(&self.folder)?, Vec::new())),
        };
        let start = runs.last().map_or(0, |run| run.end);
        let mut end = start;
        for (key, text) in (0..).map_while(|index| self.batch.get(index)) {
            end += write_record(file, &key, text).map_err(TemporaryFileError::new(&self.folder, "written"))?;
        }
        runs.push(start..end);
        self.batch.clear();
        Ok(())
    }

    /// Sorts. When something is in temporary files, reading it needs about `memory` bytes, and at least room to read two runs and
    /// one text.
    pub(super) fn sort(mut self, memory: usize) -> Result<Sorted<WORDS>, TemporaryFileError> {
        if self.spilled.is_some() {
            self.spill()?;
        }
        let Self { mut batch, folder, spilled } = self;
        let Some((file, mut runs)) = spilled else {
            batch.sort();
            return Ok(Sorted::InMemory { batch, next: 0 });
        };
        drop(batch);
        let mut file = finished(file, &folder)?;
        let at_a_time = (memory / SMALLEST_BUFFER).max(2);
        while runs.len() > at_a_time {
            let mut longer_runs = Vec::new();
            let mut longer_file = temporary_file(&folder)?;
            for group in runs.chunks(at_a_time) {
                let mut merge = Merge::<WORDS>::new(&file, group, memory, &folder)?;
                let start = longer_runs.last().map_or(0, |run: &Run| run.end);
                let mut end = start;
                while let Some((key, text)) = merge.next()? {
                    end += write_record(&mut longer_file, &key, text)
                        .map_err(TemporaryFileError::new(&folder, "written"))?;
                }
                longer_runs.push(start..end);
            }
            (file, runs) = (finished(longer_file, &folder)?, longer_runs);
        }
        Ok(Sorted::InFiles(Merge::new(&file, &runs, memory, &folder)?))
    }
}

/// Texts in the order of their keys.
#[derive(Debug)]
pub(super) enum Sorted<const WORDS: usize> {
    /// All of them fit.
    InMemory { batch: Batch<WORDS>, next: usize },
    /// Some are in temporary files.
    InFiles(Merge<WORDS>),
}

impl<const WORDS: usize> Sorted<WORDS> {
    /// The next key, and its text.
    pub(super) fn next(&mut self) -> Result<Option<(Key<WORDS>, &[u8])>, TemporaryFileError> {
        match self {
            Self::InMemory { batch, next } => {
                *next += 1;
                Ok(batch.get(*next - 1))
            }
            Self::InFiles(merge) => merge.next(),
        }
    }
}

/// A file without a name, which only this process has, and which is gone when the process is, however it ends.
fn temporary_file(folder: &Path) -> Result<BufWriter<File>, TemporaryFileError> {
    // Through /proc it could be opened by whom its mode lets, and it holds the bytes of packets.
    let file = tempfile::tempfile_in(folder)
        .and_then(|file| file.set_permissions(Permissions::from_mode(0o600)).map(|()| file))
        .map_err(TemporaryFileError::new(folder, "created"))?;
    Ok(BufWriter::with_capacity(LARGEST_BUFFER / 4, file))
}

fn finished(file: BufWriter<File>, folder: &Path) -> Result<Arc<File>, TemporaryFileError> {
    let file = file.into_inner().map_err(|error| TemporaryFileError::new(folder, "written")(error.into_error()))?;
    Ok(Arc::new(file))
}

/// Appends key, length and text; returns how many bytes they take.
fn write_record<const WORDS: usize>(file: &mut BufWriter<File>, key: &Key<WORDS>, text: &[u8]) -> io::Result<u64> {
    for word in key {
        file.write_all(&word.to_le_bytes())?;
    }
    file.write_all(&(text.len() as u64).to_le_bytes())?;
    file.write_all(text)?;
    Ok((WORDS * 8 + 8 + text.len()) as u64)
}

impl<const WORDS: usize> Batch<WORDS> {
    /// Sorts by key. Equal keys may change places.
    pub(super) fn sort(&mut self) {
        self.entries.sort_unstable_by_key(|entry| entry.key);
    }

    /// Changes the keys; a text that gets none is left out.
    pub(super) fn map_keys<E>(
        &mut self,
        mut change: impl FnMut(&Key<WORDS>) -> Result<Option<Key<WORDS>>, E>,
    ) -> Result<(), E> {
        let mut kept = 0;
        for index in 0..self.entries.len() {
            let entry = self.entries[index];
            if let Some(key) = change(&entry.key)? {
                self.entries[kept] = Entry { key, ..entry };
                kept += 1;
            }
        }
        self.entries.truncate(kept);
        Ok(())
    }

    fn clear(&mut self) {
        self.text.clear();
        self.entries.clear();
    }

    fn get(&self, index: usize) -> Option<(Key<WORDS>, &[u8])> {
        self.entries.get(index).map(|entry| (entry.key, &self.text[entry.start..entry.end]))
    }
}

/// Reads runs as one.
#[derive(Debug)]
pub(super) struct Merge<const WORDS: usize> {
    runs: Vec<BufReader<RunReader>>,
    /// The next key of each run that has one.
    heads: BinaryHeap<Reverse<(Key<WORDS>, usize)>>,
    text: Vec<u8>,
    folder: PathBuf,
}

impl<const WORDS: usize> Merge<WORDS> {
    fn new(file: &Arc<File>, runs: &[Run], memory: usize, folder: &Path) -> Result<Self, TemporaryFileError> {
        let buffer = (memory / runs.len().max(1)).clamp(SMALLEST_BUFFER, LARGEST_BUFFER);
        let mut runs: Vec<BufReader<RunReader>> = runs
            .iter()
            .map(|run| BufReader::with_capacity(buffer, RunReader { file: Arc::clone(file), left: run.clone() }))
            .collect();
        let mut heads = BinaryHeap::with_capacity(runs.len());
        for (index, run) in runs.iter_mut().enumerate() {
            let key = read_key(run).map_err(TemporaryFileError::new(folder, "read"))?;
            heads.extend(key.map(|key| Reverse((key, index))));
        }
        Ok(Self { runs, heads, text: Vec::new(), folder: folder.to_owned() })
    }

    /// The smallest key that is left, and its text.
    pub(super) fn next(&mut self) -> Result<Option<(Key<WORDS>, &[u8])>, TemporaryFileError> {
        let Some(mut head) = self.heads.peek_mut() else {
            return Ok(None);
        };
        let Reverse((key, index)) = *head;
        let run = &mut self.runs[index];
        let next_key = read_text(run, &mut self.text).and_then(|()| read_key(run));
        match next_key.map_err(TemporaryFileError::new(&self.folder, "read"))? {
            Some(next) => head.0.0 = next,
            None => drop(PeekMut::pop(head)),
        }
        Ok(Some((key, &self.text)))
    }
}

/// Reads a part of a file, which others read as well.
#[derive(Debug)]
struct RunReader {
    file: Arc<File>,
    left: Run,
}

impl Read for RunReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.left.end - self.left.start).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        let read = self.file.read_at(&mut buffer[..length], self.left.start)?;
        self.left.start += read as u64;
        Ok(read)
    }
}

/// Reads the next key of a run, or finds its end.
fn read_key<const WORDS: usize>(run: &mut BufReader<RunReader>) -> io::Result<Option<Key<WORDS>>> {
    if run.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut key = [0; WORDS];
    for word in &mut key {
        *word = read_word(run)?;
    }
    Ok(Some(key))
}

fn read_text(run: &mut BufReader<RunReader>, text: &mut Vec<u8>) -> io::Result<()> {
    let length = usize::try_from(read_word(run)?).map_err(io::Error::other)?;
    text.resize(length, 0);
    run.read_exact(text)
}

fn read_word(run: &mut BufReader<RunReader>) -> io::Result<u64> {
    let mut bytes = [0; 8];
    run.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{Sorter, temporary_file};

    #[test]
    fn temporary_files_are_for_their_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = temporary_file(folder.path()).unwrap();
        assert_eq!(file.get_ref().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    proptest! {
        #[test]
        fn merges_any_number_of_runs(numbers in vec(any::<u8>(), 0..200), in_memory in 1..400usize, memory in 0..100_000usize) {
            let folder = tempfile::tempdir().unwrap();
            let mut sorter = Sorter::<2>::new(folder.path());
            let mut expected = Vec::new();
            for (place, number) in numbers.iter().enumerate() {
                let key = [u64::from(*number), place as u64];
                let text = vec![*number; place];
                sorter.push(key, &text);
                expected.push((key, text));
                if sorter.bytes() > in_memory {
                    sorter.spill().unwrap();
                    assert_eq!(sorter.bytes(), 0);
                }
            }
            expected.sort();
            let mut sorted = sorter.sort(memory).unwrap();
            let mut found = Vec::new();
            while let Some((key, text)) = sorted.next().unwrap() {
                found.push((key, text.to_vec()));
            }
            prop_assert_eq!(found, expected);
            prop_assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        }
    }
}
