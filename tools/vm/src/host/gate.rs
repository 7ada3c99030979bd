// SPDX-License-Identifier: GPL-2.0
//! A gate that stops the next one to come, for as long as it takes to cut the power
//! behind it.

use anyhow::{anyhow, Result};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// Closes behind the next one to come.
    Set,
    Stopped,
}

#[derive(Default)]
pub struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

impl Gate {
    fn lock(&self) -> Result<MutexGuard<'_, State>> {
        self.state.lock().map_err(|_| anyhow!("gate"))
    }

    /// The next to come is stopped.
    pub fn set(&self) -> Result<()> {
        *self.lock()? = State::Set;
        Ok(())
    }

    /// Whoever is stopped goes on.
    pub fn open(&self) -> Result<()> {
        *self.lock()? = State::Open;
        self.changed.notify_all();
        Ok(())
    }

    /// Who is stopped goes on, and the next to come is stopped.
    pub fn step(&self) -> Result<()> {
        *self.lock()? = State::Set;
        self.changed.notify_all();
        Ok(())
    }

    pub fn is_stopped(&self) -> Result<bool> {
        Ok(*self.lock()? == State::Stopped)
    }

    /// Waits until one is stopped. If none comes in time, the gate opens.
    pub fn wait(&self, patience: Duration) -> Result<bool> {
        let (mut state, _) = self
            .changed
            .wait_timeout_while(self.lock()?, patience, |state| *state == State::Set)
            .map_err(|_| anyhow!("gate"))?;
        let stopped = *state == State::Stopped;
        if !stopped {
            *state = State::Open;
        }
        Ok(stopped)
    }

    /// Goes through, once it is open.
    pub fn pass(&self) -> Result<()> {
        let mut state = self.lock()?;
        if *state == State::Set {
            *state = State::Stopped;
            self.changed.notify_all();
        }
        let stopped = |state: &mut State| *state == State::Stopped;
        let passed = self.changed.wait_while(state, stopped);
        passed.map(drop).map_err(|_| anyhow!("gate"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_the_next_one() {
        let gate = Gate::default();
        gate.pass().unwrap();
        gate.set().unwrap();
        std::thread::scope(|scope| {
            let next = scope.spawn(|| gate.pass());
            assert!(gate.wait(Duration::MAX).unwrap());
            assert!(!next.is_finished());
            gate.open().unwrap();
        });
        gate.pass().unwrap();
    }

    #[test]
    fn steps_from_one_to_the_next() {
        let gate = Gate::default();
        gate.set().unwrap();
        std::thread::scope(|scope| {
            let both = scope.spawn(|| gate.pass().and_then(|()| gate.pass()));
            for _ in 0..2 {
                assert!(gate.wait(Duration::MAX).unwrap() && gate.is_stopped().unwrap());
                assert!(!both.is_finished());
                gate.step().unwrap();
            }
        });
        assert!(!gate.is_stopped().unwrap());
    }

    #[test]
    fn opens_if_none_comes() {
        let gate = Gate::default();
        gate.set().unwrap();
        assert!(!gate.wait(Duration::ZERO).unwrap());
        gate.pass().unwrap();
    }
}
