// SPDX-License-Identifier: GPL-2.0

//! A value that has one user at a time without anybody waiting for another.

use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    ops::{Deref, DerefMut},
    sync::atomic::{
        AtomicBool,
        Ordering::{Acquire, Release},
    },
};
use kernel::prelude::*;

/// A value whose users already take turns. A lock would find nobody to wait for;
/// this only makes sure of it, and refuses whoever comes out of turn.
///
/// # Invariants
///
/// `busy` is set while an [`Entered`] of it exists, of which there is at most one.
pub(crate) struct Exclusive<T> {
    busy: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: The value is reached through the only `Entered`, by one thread at a time.
unsafe impl<T: Send> Sync for Exclusive<T> {}

impl<T> Exclusive<T> {
    /// Wraps a value.
    pub(crate) const fn new(value: T) -> Self {
        // INVARIANT: Nobody has entered.
        Self {
            busy: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }

    /// The value, until the result is dropped. Fails with `EBUSY` if somebody has it.
    #[inline]
    pub(crate) fn enter(&self) -> Result<Entered<'_, T>> {
        if self.busy.swap(true, Acquire) {
            return Err(EBUSY);
        }
        // INVARIANT: It was not set, so there is no other.
        Ok(Entered {
            exclusive: self,
            value: PhantomData,
        })
    }
}

/// The use of an [`Exclusive`] value.
pub(crate) struct Entered<'a, T> {
    exclusive: &'a Exclusive<T>,
    /// What this can be shared for is the value's to say, not that of [`Exclusive`].
    value: PhantomData<*mut T>,
}

// SAFETY: A shared `Entered` gives shared references to the value, no more.
unsafe impl<T: Sync> Sync for Entered<'_, T> {}

impl<T> Deref for Entered<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: By the type invariants of `Exclusive` nobody else has the value.
        unsafe { &*self.exclusive.value.get() }
    }
}

impl<T> DerefMut for Entered<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: As above.
        unsafe { &mut *self.exclusive.value.get() }
    }
}

impl<T> Drop for Entered<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.exclusive.busy.store(false, Release);
    }
}
