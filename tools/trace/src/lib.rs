// SPDX-License-Identifier: GPL-2.0

//! What a machine did to its persistent memory, as the recorder (`tools/tcg`)
//! writes it down and the checker (`tools/crash`) reads it: the [`event`]s, the
//! [`mark`]s that the agent in the machine puts between them, and the [`session`]
//! that says what was traced.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

pub mod count;
pub mod event;
pub mod mark;
pub mod session;
