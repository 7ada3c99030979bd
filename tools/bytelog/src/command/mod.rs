// SPDX-License-Identifier: GPL-2.0

//! What each subcommand does.

pub mod capture;
pub mod dump;
pub mod export;
pub mod feature;
pub mod fsck;
pub mod fsck_ext4;
pub mod info;
mod kernel;
pub mod man;
pub mod map;
mod obstacles;
pub mod parts;
pub mod stat;
mod svg;
mod table;
pub mod top;
pub mod verify;
