// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The two threads of user space: one moves records out of the ring, the other writes events. Between them is a bounded
//! queue; when it is full the ring fills, and the kernel side counts what it can't store.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use libbpf_rs::{MapHandle, RingBufferBuilder};

use crate::error::{Error, ErrorKind};
use crate::event::core_sections::{Loss, PacketKey};

use super::record::Recorder;

/// How often the ring is looked into while nobody wakes us: what a user who watches waits at most.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Bytes of records that travel through the queue together.
const BATCH_SIZE: usize = 256 << 10;
/// Batches that wait at most. With the ring, this bounds the memory.
const QUEUED_BATCHES: usize = 16;

/// Where events go.
pub trait Sink: Send {
    /// Takes one event: a line of JSON, newline included.
    ///
    /// # Errors
    /// When it can't be written; collection then stops.
    fn event(&mut self, line: &[u8]) -> io::Result<()>;

    /// Called when no event is waiting: somebody may be watching.
    ///
    /// # Errors
    /// As for `event`.
    fn flush(&mut self) -> io::Result<()>;

    /// Asked after an error: how many of the events that were taken are not written. None where each is written when it is taken.
    fn take_unwritten(&mut self) -> usize {
        0
    }
}

pub(super) enum Message {
    /// Records, each behind its length (u32).
    Records(Vec<u8>),
    /// Something about the recording itself, which does not count as an event.
    About { timestamp: u64, news: News },
}

pub(super) enum News {
    /// What was lost since it was last told.
    Losses(Vec<Loss<'static>>),
    /// The packets that are there at the end.
    InFlight(Vec<PacketKey>),
}

pub(super) fn queue() -> (SyncSender<Message>, Receiver<Message>) {
    sync_channel(QUEUED_BATCHES)
}

/// Moves records from the ring into the queue until `stopped` is set and the ring is empty. `opened` is called when the kernel
/// is no longer asked for anything that takes privileges.
pub(super) fn move_records(
    ring: &MapHandle,
    stopped: &AtomicBool,
    queue: &SyncSender<Message>,
    opened: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    let failed = |error| Error::new(ErrorKind::Failure, format!("the ring of events can't be read: {error:#}"));
    let batch = std::cell::RefCell::new(Vec::with_capacity(BATCH_SIZE));
    // When the writer has given up, records have nowhere to go; the ring is still emptied, so that collection can end.
    let send = || {
        let full = batch.replace(Vec::with_capacity(BATCH_SIZE));
        if !full.is_empty() {
            let _ = queue.send(Message::Records(full));
        }
    };
    let mut builder = RingBufferBuilder::new();
    builder
        .add(ring, |record: &[u8]| {
            if batch.borrow().len() + record.len() > BATCH_SIZE {
                send();
            }
            let mut batch = batch.borrow_mut();
            batch.extend_from_slice(&(record.len() as u32).to_ne_bytes());
            batch.extend_from_slice(record);
            0
        })
        .map_err(failed)?;
    let ring = builder.build().map_err(failed)?;
    opened()?;
    loop {
        let last = stopped.load(Ordering::SeqCst);
        match ring.poll(LOOK_INTERVAL) {
            Err(error) if error.kind() != libbpf_rs::ErrorKind::Interrupted => return Err(failed(error)),
            _ => {}
        }
        // poll() reads only when woken.
        ring.consume().map_err(failed)?;
        send();
        if last {
            return Ok(());
        }
    }
}

/// What the writer did.
pub(super) struct Written {
    /// Events, loss events not counted.
    pub(super) events: u64,
    /// Events that came after writing had failed.
    pub(super) unwritten: u64,
    /// Why writing failed.
    pub(super) error: Option<io::Error>,
}

impl Written {
    /// So many events were taken by the sink, but did not get out.
    fn take_back(&mut self, events: usize) {
        self.events -= events as u64;
        self.unwritten += events as u64;
    }
}

/// Writes events until the queue closes. After `limit` events the rest is dropped; `ended` is called when the limit is
/// reached or writing fails.
pub(super) fn write_events(
    recorder: &mut Recorder<'_>,
    sink: &mut dyn Sink,
    queue: &Receiver<Message>,
    limit: Option<u64>,
    ended: &dyn Fn(),
) -> Written {
    let mut written = Written { events: 0, unwritten: 0, error: None };
    let fail = |written: &mut Written, error| {
        if written.error.is_none() {
            written.error = Some(error);
            ended();
        }
    };
    while let Ok(message) = queue.recv() {
        match message {
            Message::Records(batch) => {
                for record in Records(&batch) {
                    if limit.is_some_and(|limit| written.events >= limit) {
                        break;
                    }
                    let Some(line) = recorder.event(record) else { continue };
                    if written.error.is_some() {
                        written.unwritten += 1;
                        continue;
                    }
                    written.events += 1;
                    if let Err(error) = sink.event(line) {
                        written.take_back(1 + sink.take_unwritten());
                        fail(&mut written, error);
                    }
                    if limit == Some(written.events) {
                        ended();
                    }
                }
            }
            Message::About { timestamp, news } => {
                if written.error.is_none() {
                    let line = match &news {
                        News::Losses(losses) => recorder.loss(timestamp, losses),
                        News::InFlight(packets) => recorder.in_flight(timestamp, packets),
                    };
                    // Nothing else is waiting to be written, so what is unwritten is this.
                    let line = line.map_err(io::Error::from);
                    if let Err(error) = line.and_then(|line| sink.event(line)).and_then(|()| sink.flush()) {
                        sink.take_unwritten();
                        fail(&mut written, error);
                    }
                }
            }
        }
        if written.error.is_none()
            && let Err(error) = sink.flush()
        {
            written.take_back(sink.take_unwritten());
            fail(&mut written, error);
        }
    }
    written
}

/// The records of a batch.
struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let (record, rest) = rest.split_at_checked(u32::from_ne_bytes(*length) as usize)?;
        self.0 = rest;
        Some(record)
    }
}
