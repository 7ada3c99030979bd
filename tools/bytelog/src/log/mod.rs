// SPDX-License-Identifier: GPL-2.0

//! The fast-commit log: what it holds, read with the format crate, and in words.

pub mod describe;
pub mod features;
pub mod inspect;
pub mod loss;
pub mod stock;
pub mod survivors;
