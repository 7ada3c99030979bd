// SPDX-License-Identifier: GPL-2.0
//! The host's end of the protocol.

use anyhow::{anyhow, bail, Context, Result};
use bytelog_guest::proto::{Cmd, FcStats, Message, Request};
use serde_json::Value;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{sleep, JoinHandle};
use std::time::{Duration, Instant};

/// What a workload has acknowledged so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Acks {
    pub fsyncs: u64,
    /// Commit counts before the first operation and after the last one.
    pub first: FcStats,
    pub last: FcStats,
    /// Fsyncs and fast commits when the last full commit was seen.
    fsyncs_then: u64,
    fast_then: u64,
}

impl Acks {
    fn note(&mut self, n: u64, stats: Option<FcStats>) {
        self.fsyncs = n;
        let Some(stats) = stats else { return };
        if n == 0 {
            self.first = stats;
        }
        if n == 0 || stats.full != self.last.full {
            self.fsyncs_then = n;
            self.fast_then = stats.fast;
        }
        self.last = stats;
    }

    /// Fsyncs since the last full commit: all of one transaction.
    pub fn fsyncs_of_one(&self) -> u64 {
        self.fsyncs - self.fsyncs_then
    }

    /// Fast commits since the last full commit.
    pub fn fast_of_one(&self) -> u64 {
        self.last.fast - self.fast_then
    }
}

#[derive(Default)]
struct State {
    ready: bool,
    closed: bool,
    replies: HashMap<u64, Result<Value, String>>,
    acks: HashMap<u64, Acks>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

pub struct Channel {
    stream: UnixStream,
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
    next_id: u64,
}

fn lock(shared: &Shared) -> Result<MutexGuard<'_, State>> {
    shared.state.lock().map_err(|_| anyhow!("channel lock"))
}

fn receive(stream: UnixStream, shared: &Shared) {
    for line in BufReader::new(stream).split(b'\n') {
        let Ok(line) = line else { break };
        // The last line may be cut off with the power: it does not count.
        let Ok(message) = serde_json::from_slice::<Message>(&line) else {
            continue;
        };
        let Ok(mut state) = lock(shared) else { return };
        match message {
            Message::Ready => state.ready = true,
            Message::Reply { id, result } => {
                state.replies.insert(id, result);
            }
            Message::Ack { id, n, stats } => {
                state.acks.entry(id).or_default().note(n, stats);
            }
        }
        shared.changed.notify_all();
    }
    if let Ok(mut state) = lock(shared) {
        state.closed = true;
    }
    shared.changed.notify_all();
}

impl Channel {
    /// Waits for QEMU to connect; `alive` says whether it still can.
    pub fn accept(
        listener: &UnixListener,
        timeout: Duration,
        mut alive: impl FnMut() -> Result<()>,
    ) -> Result<Self> {
        listener.set_nonblocking(true)?;
        let deadline = Instant::now() + timeout;
        let stream = loop {
            match listener.accept() {
                Ok((stream, _)) => break stream,
                Err(err) if err.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(err) => return Err(err).context("accept"),
            }
            alive()?;
            if Instant::now() > deadline {
                bail!("QEMU did not connect within {timeout:?}");
            }
            sleep(Duration::from_millis(5));
        };
        stream.set_nonblocking(false)?;
        let shared = Arc::new(Shared::default());
        let reader = {
            let stream = stream.try_clone()?;
            let shared = shared.clone();
            std::thread::spawn(move || receive(stream, &shared))
        };
        Ok(Self {
            stream,
            shared,
            reader: Some(reader),
            next_id: 1,
        })
    }

    /// Waits until `done` finds what it looks for in the state.
    fn wait<T>(
        &self,
        what: &str,
        timeout: Duration,
        mut done: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + timeout;
        let mut state = lock(&self.shared)?;
        loop {
            if let Some(found) = done(&mut state) {
                return Ok(found);
            }
            if state.closed {
                bail!("the machine ended while waiting for {what}");
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("no answer within {timeout:?}: {what}");
            }
            state = self
                .shared
                .changed
                .wait_timeout(state, left)
                .map_err(|_| anyhow!("channel lock"))?
                .0;
        }
    }

    pub fn wait_ready(&self, timeout: Duration) -> Result<()> {
        self.wait("the agent", timeout, |state| state.ready.then_some(()))
    }

    /// Sends a request; its number is for [`Channel::reply`].
    pub fn send(&mut self, cmd: Cmd) -> Result<u64> {
        let id = self.next_id;
        self.next_id += 1;
        let mut line = serde_json::to_vec(&Request { id, cmd })?;
        line.push(b'\n');
        self.stream
            .write_all(&line)
            .context("send to the machine")?;
        Ok(id)
    }

    pub fn reply(&self, id: u64, what: &str, timeout: Duration) -> Result<Value> {
        self.outcome(id, what, timeout)?
            .map_err(|err| anyhow!("{err}"))
    }

    /// The same, of a request that may have failed: that it has is not an error here.
    pub fn outcome(&self, id: u64, what: &str, timeout: Duration) -> Result<Result<Value, String>> {
        self.wait(what, timeout, |state| state.replies.remove(&id))
    }

    /// Waits until a workload has acknowledged `n` fsyncs. A workload that ends
    /// before is an error: there is nothing left to cut.
    pub fn wait_acks(&self, id: u64, n: u64, timeout: Duration) -> Result<()> {
        self.wait(&format!("{n} fsyncs"), timeout, |state| {
            if let Some(result) = state.replies.get(&id) {
                return Some(Err(anyhow!("the workload ended early: {result:?}")));
            }
            (state.acks.get(&id)?.fsyncs >= n).then_some(Ok(()))
        })?
    }

    /// Waits until several workloads have acknowledged `n` fsyncs in all.
    pub fn wait_total(&self, ids: &[u64], n: u64, timeout: Duration) -> Result<()> {
        self.wait(&format!("{n} fsyncs in all"), timeout, |state| {
            if let Some(result) = ids.iter().find_map(|id| state.replies.get(id)) {
                return Some(Err(anyhow!("a workload ended early: {result:?}")));
            }
            let acks = ids.iter().filter_map(|id| state.acks.get(id));
            (acks.map(|acks| acks.fsyncs).sum::<u64>() >= n).then_some(Ok(()))
        })?
    }

    /// Whether the answer to a request has come.
    pub fn answered(&self, id: u64) -> Result<bool> {
        let state = lock(&self.shared)?;
        anyhow::ensure!(!state.closed, "the machine ended");
        Ok(state.replies.contains_key(&id))
    }

    /// What has been acknowledged so far.
    pub fn acks(&self) -> Result<HashMap<u64, Acks>> {
        Ok(lock(&self.shared)?.acks.clone())
    }

    /// Everything that the machine said before it ended.
    pub fn drain(&mut self) -> Result<HashMap<u64, Acks>> {
        if let Some(reader) = self.reader.take() {
            reader.join().map_err(|_| anyhow!("reader thread"))?;
        }
        Ok(lock(&self.shared)?.acks.clone())
    }
}
