// SPDX-License-Identifier: GPL-2.0

//! Whole devices as a power cut could have left them, for a mount.

use super::layout::Layout;
use super::steps::Step;
use crate::images::{Budget, State};
use crate::memory::Memory;
use crate::trace::Event;
use anyhow::{Context, Result};
use bytelog::medium::Persistence;
use bytelog_trace::session::{Image, Segment};
use fastrand::Rng;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Images of a state from which one is taken.
const SAMPLES: u32 = 32;

/// A chunk of an image that is left out of the file if it is zero.
const CHUNK: usize = 4096;

/// Chooses `count` cuts: one third before a fence of the module, where a fast
/// commit can be there or not; one third at stores to the journal, within full
/// commits; the rest anywhere.
fn choose(
    steps: &[Step],
    layout: &Layout,
    count: usize,
    rng: &mut Rng,
) -> BTreeMap<usize, &'static str> {
    let first = steps.iter().position(|step| matches!(step, Step::Sync(_)));
    let all: Vec<usize> = (first.unwrap_or(steps.len())..steps.len()).collect();
    let of = |wanted: &dyn Fn(&Step) -> bool| -> Vec<usize> {
        let all = all.iter().copied();
        all.filter(|&at| steps.get(at).is_some_and(wanted))
            .collect()
    };
    let fences = of(&|step| *step == Step::Fence { ours: true });
    let journal = of(&|step| matches!(step, Step::Store { off, .. } if layout.in_journal(*off)));
    let kinds = [
        ("before a fence of a fast commit", fences),
        ("within a full commit", journal),
        ("anywhere", all),
    ];
    let mut cuts = BTreeMap::new();
    for number in 0..count {
        let (name, places) = &kinds[number % kinds.len()];
        if !places.is_empty() {
            cuts.insert(places[rng.usize(..places.len())], *name);
        }
    }
    cuts
}

/// Writes images of `segment` to `dir`, at most `count`.
pub fn write(
    dir: &Path,
    segment: &Segment,
    base: Vec<u8>,
    steps: &[Step],
    count: usize,
    rng: &mut Rng,
) -> Result<Vec<Image>> {
    let layout = Layout::new(segment, &base);
    let cuts = choose(steps, &layout, count, rng);
    let mut memory = Memory::new(Persistence::Synchronous, base);
    let (mut images, mut acknowledged) = (Vec::new(), 0);
    for (at, step) in steps.iter().enumerate() {
        if let Some(kind) = cuts.get(&at) {
            let file = format!("image-{}-{}.img", segment.number, images.len());
            write_sparse(&dir.join(&file), &one_of(&memory, rng))?;
            images.push(Image {
                file,
                segment: segment.number,
                acknowledged,
                at: (*kind).to_owned(),
                loses: false,
            });
        }
        apply(&mut memory, step, &mut acknowledged)?;
    }
    Ok(images)
}

/// Writes what is durable for certain at the end of `segment`: of a defective
/// module, less than was acknowledged.
pub fn write_last(dir: &Path, segment: &Segment, base: Vec<u8>, steps: &[Step]) -> Result<Image> {
    let mut memory = Memory::new(Persistence::Synchronous, base);
    let mut acknowledged = 0;
    let last = steps
        .iter()
        .rposition(|step| matches!(step, Step::Synced(_)));
    for step in steps.iter().take(last.map_or(0, |last| last + 1)) {
        apply(&mut memory, step, &mut acknowledged)?;
    }
    let file = format!("image-{}-last.img", segment.number);
    write_sparse(&dir.join(&file), memory.durable())?;
    Ok(Image {
        file,
        segment: segment.number,
        acknowledged,
        at: "at the end of a defective module".into(),
        loses: true,
    })
}

/// Does what `step` says to the whole device.
fn apply(memory: &mut Memory, step: &Step, acknowledged: &mut u64) -> Result<()> {
    match step {
        Step::Store {
            off,
            bytes,
            streaming,
        } => {
            let (off, bytes) = (*off, bytes.clone());
            memory.apply(&match streaming {
                true => Event::Stream { off, bytes },
                false => Event::Store { off, bytes },
            })?;
        }
        Step::WriteBack(off) => memory.apply(&Event::WriteBack { off: *off, len: 1 })?,
        Step::Fence { .. } => memory.apply(&Event::Fence)?,
        Step::Synced(number) => *acknowledged = *number,
        Step::Sync(_) => {}
    }
    Ok(())
}

/// One of the images that a power cut could leave of `memory`: every second time
/// the one with everything that was stored.
fn one_of(memory: &Memory, rng: &mut Rng) -> Vec<u8> {
    if rng.bool() {
        return memory.visible().to_vec();
    }
    let mut image = memory.durable().to_vec();
    let mut chosen = None;
    let budget = Budget {
        all: 1,
        samples: SAMPLES,
    };
    let mut before = rng.u32(..SAMPLES);
    let _ = State::of(memory).each(&mut image, budget, rng, |image| {
        if before == 0 {
            chosen = Some(image.to_vec());
            return Err(());
        }
        before -= 1;
        Ok(())
    });
    // Fewer images than that: what is durable is one of them.
    chosen.unwrap_or_else(|| memory.durable().to_vec())
}

/// Writes an image, zeros as holes.
fn write_sparse(path: &Path, image: &[u8]) -> Result<()> {
    let file = File::create(path).with_context(|| path.display().to_string())?;
    for (number, chunk) in image.chunks(CHUNK).enumerate() {
        if chunk.iter().any(|&byte| byte != 0) {
            file.write_all_at(chunk, (number * CHUNK) as u64)?;
        }
    }
    file.set_len(image.len() as u64)
        .with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::layout::BLOCK;

    fn segment() -> Segment {
        Segment {
            number: 4,
            variant: None,
            base: String::new(),
            bytes: 4 * BLOCK,
            area: vec![3],
            journal: vec![2],
            code: (0, 0),
            workload: serde_json::Value::Null,
        }
    }

    fn store(block: u64, byte: u8) -> Step {
        let (off, bytes, streaming) = (block * BLOCK, vec![byte; 8], true);
        Step::Store {
            off,
            bytes,
            streaming,
        }
    }

    #[test]
    fn cuts_are_of_all_kinds_and_after_the_first_fsync() {
        let mut steps = vec![store(2, 1), Step::Fence { ours: true }, Step::Sync(1)];
        for _ in 0..50 {
            steps.extend([store(2, 2), store(3, 1), Step::Fence { ours: true }]);
        }
        let layout = Layout::new(&segment(), &[]);
        let mut rng = Rng::with_seed(1);
        let cuts = choose(&steps, &layout, 30, &mut rng);
        let kinds: std::collections::BTreeSet<_> = cuts.values().collect();
        assert_eq!(kinds.len(), 3);
        assert!(cuts.keys().all(|&at| at >= 2));
    }

    #[test]
    fn images_have_what_is_durable() {
        let dir = std::env::temp_dir().join(format!("bytelog-cuts-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let base = vec![9; 4 * BLOCK as usize];
        let fence = Step::Fence { ours: true };
        let steps = [
            store(3, 1),
            fence,
            Step::Sync(1),
            store(3, 2),
            Step::Synced(1),
            store(3, 3),
        ];
        let last = write_last(&dir, &segment(), base.clone(), &steps).unwrap();
        assert_eq!((last.acknowledged, last.loses), (1, true));
        let byte = |image: &Image| {
            let image = std::fs::read(dir.join(&image.file)).unwrap();
            assert_eq!(image.len(), base.len());
            assert_eq!(image[0], 9);
            image[3 * BLOCK as usize]
        };
        assert_eq!(byte(&last), 1);
        let mut rng = Rng::with_seed(1);
        let images = write(&dir, &segment(), base.clone(), &steps, 40, &mut rng).unwrap();
        assert!(images.iter().all(|image| (1..=2).contains(&byte(image))));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
