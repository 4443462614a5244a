//! Many callers, one fsync: a writer thread takes everything that queued up while the last commit was on its way to the
//! disk and makes it durable at once.
//!
//! Under load the batch grows by itself and the cost of an fsync is shared; a lone caller waits for no one, because a
//! batch is never held open. A thread and not a task: fsync blocks.

use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

/// Appends that wait for the writer; more callers than that wait before queueing.
const QUEUE: usize = 4096;

/// The most that one commit takes, so that the first of a batch does not wait for an unbounded one.
const MAX_BATCH: usize = 1024;

/// What makes a batch durable.
pub(crate) trait Commit: Send + 'static {
    /// What is appended.
    type Item: Send + 'static;
    /// What the caller gets; sent only after the batch is durable or has failed.
    type Ack: Send + 'static;

    /// Makes the items durable and returns one acknowledgement an item, in order.
    fn commit(&mut self, items: Vec<Self::Item>) -> Vec<Self::Ack>;
}

/// The writer is gone: it panicked or the process is ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WriterGone;

/// An item and who waits for it.
type Queued<C> = (<C as Commit>::Item, oneshot::Sender<<C as Commit>::Ack>);

/// The callers' end of a writer thread. Dropping it ends the thread after what is queued.
pub(crate) struct GroupCommitter<C: Commit> {
    sender: Option<mpsc::Sender<Queued<C>>>,
    thread: Option<JoinHandle<()>>,
}

impl<C: Commit> GroupCommitter<C> {
    /// Starts the writer.
    pub(crate) fn spawn(name: &str, committer: C) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(committer, receiver))?;
        Ok(Self {
            sender: Some(sender),
            thread: Some(thread),
        })
    }

    /// Queues one item and waits until it is durable.
    pub(crate) async fn submit(&self, item: C::Item) -> Result<C::Ack, WriterGone> {
        let (done, acknowledged) = oneshot::channel();
        let sender = self.sender.as_ref().ok_or(WriterGone)?;
        sender.send((item, done)).await.map_err(|_| WriterGone)?;
        acknowledged.await.map_err(|_| WriterGone)
    }
}

impl<C: Commit> Drop for GroupCommitter<C> {
    fn drop(&mut self) {
        // The thread ends when the last sender is gone; waiting lets the committer close its files in order.
        self.sender = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a writer thread had panicked");
        }
    }
}

fn run<C: Commit>(mut committer: C, mut receiver: mpsc::Receiver<Queued<C>>) {
    while let Some(first) = receiver.blocking_recv() {
        let (mut items, mut waiting) = (vec![first.0], vec![first.1]);
        while items.len() < MAX_BATCH {
            let Ok((item, done)) = receiver.try_recv() else {
                break;
            };
            items.push(item);
            waiting.push(done);
        }
        for (done, ack) in waiting.into_iter().zip(committer.commit(items)) {
            // A caller that gave up needs no answer.
            let _ = done.send(ack);
        }
    }
}
