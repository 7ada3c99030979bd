// SPDX-License-Identifier: GPL-2.0

//! The images that a power cut can leave: what was synced is there, and of what was
//! written since any part, in units of a sector.

use crate::ram::{Bytes, Op};
use bytelog_cli::store::SECTOR;

/// An image after a cut.
pub struct Cut {
    pub image: Bytes,
    pub what: String,
}

/// Random subsets that are tried at each operation.
const SUBSETS: usize = 3;

/// A cut after each of `ops` on `image`.
pub fn cuts(image: &Bytes, ops: &[Op], seed: u64) -> Vec<Cut> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut durable = image.clone();
    let mut pending: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut found = vec![Cut {
        image: image.clone(),
        what: "before the first".into(),
    }];
    for (number, op) in ops.iter().enumerate() {
        match op {
            Op::Sync { from, to } => pending.retain(|(at, sector)| {
                let is_synced = (*from..*to).contains(at);
                if is_synced {
                    durable.write(*at, sector);
                }
                !is_synced
            }),
            Op::Write { at, bytes } => {
                for (step, sector) in bytes.chunks(SECTOR).enumerate() {
                    pending.push((at + (step * SECTOR) as u64, sector.to_vec()));
                }
            }
        }
        let mut add = |image: Bytes, how: &str| {
            let what = format!("after operation {number} of {}, {how}", ops.len());
            found.push(Cut { image, what });
        };
        let mut all = durable.clone();
        for (at, sector) in &pending {
            all.write(*at, sector);
        }
        add(all, "all of it");
        for subset in 0..SUBSETS {
            let mut some = durable.clone();
            for (at, sector) in &pending {
                if rng.bool() {
                    some.write(*at, sector);
                }
            }
            if !pending.is_empty() {
                add(some, &format!("subset {subset}"));
            }
        }
    }
    found
}
