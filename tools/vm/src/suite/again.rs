// SPDX-License-Identifier: GPL-2.0
//! Replay of a log that has been replayed before, as after a power cut in the middle of
//! it: whatever of its writes is on the medium, the next replay leads to the same.

use super::durability::LARGE_LOG;
use super::Test;
use crate::image::{Image, BLOCK};
use crate::lab::{Dev, Ext4, Lab};
use crate::messages;
use anyhow::{ensure, Result};
use bytelog_guest::proto::DeviceKind;
use bytelog_guest::tree::Tree;

pub const TESTS: &[Test] = &[Test {
    name: "replay-after-a-replay",
    run: again,
}];

const OPTS: &str = "dax=always,commit=600,dax_fc_bytelog=on";
/// Size of the filesystem.
pub const MIB: u64 = 64;
/// Replays after the first one: of all that it wrote, then of a part of it.
const ROUNDS: u32 = 8;
/// Of the first group's descriptor: `bg_block_bitmap_lo`.
const BLOCK_BITMAP: usize = BLOCK as usize;

/// Programs in the machine, in the directory; `>` makes a file.
const BEFORE: [&str; 9] = [
    "> over",
    "ln over over-2",
    "> onto",
    "> two",
    "ln two two-2",
    "> one",
    "> gone",
    "> stays",
    "> other",
];
const COMMITS: [&[&str]; 3] = [
    &[
        // The name goes to another file, and "over-2" is the only one left.
        "mv onto over",
        "rm two",
        "ln one one-2",
        "rm gone",
        "> new",
        "mv new new-2",
        "> short",
    ],
    &[
        "rm short",
        "> number",
        "mv one-2 one-3",
        "> twice",
        "ln twice twice-2",
    ],
    &["rm number", "rm twice", "> number-2", "mv stays new-2"],
];

fn run(lab: &mut Lab, dev: &Dev, dir: &str, line: &str) -> Result<()> {
    let words: Vec<_> = line.split(' ').collect();
    let path = |name: &str| format!("{}/{dir}/{name}", dev.dir());
    match words[..] {
        [">", name] => {
            let content = name.repeat(3000);
            lab.must_run_with(&format!("tee {}", path(name)), &content)?;
        }
        [program, name] => drop(lab.must_run(&format!("{program} {}", path(name)))?),
        [program, from, to] => {
            lab.must_run(&format!("{program} {} {}", path(from), path(to)))?;
        }
        _ => (),
    }
    Ok(())
}

/// A filesystem whose log has all of [`COMMITS`], and the power cut; how it looked.
pub fn prepare(lab: &mut Lab, dev: &Dev, opts: &str) -> Result<Tree> {
    lab.mkfs(dev, LARGE_LOG, &format!("{MIB}M"))?;
    lab.mount(dev, opts)?;
    lab.must_run(&format!("mkdir {}/d {}/e", dev.dir(), dev.dir()))?;
    for line in BEFORE {
        run(lab, dev, "d", line)?;
    }
    // So many inodes that what is in the journal is in a block of its own.
    for i in 0..40 {
        lab.must_run(&format!("touch {}/e/{i}", dev.dir()))?;
    }
    lab.umount(&dev.dir())?;
    lab.mount(dev, opts)?;
    // The first commit is a full one.
    lab.must_run(&format!("touch {}/e/39", dev.dir()))?;
    lab.must_run(&format!("sync {}/e/39", dev.dir()))?;
    let full = lab.stats(dev)?.full;
    for lines in COMMITS {
        for line in lines {
            run(lab, dev, "d", line)?;
        }
        lab.must_run(&format!("sync {}/d/over", dev.dir()))?;
        lab.must_run(&format!("sync {}/d/other", dev.dir()))?;
    }
    ensure!(lab.stats(dev)?.full == full, "a full commit in between");
    let tree = lab.tree(&format!("{}/d", dev.dir()))?;
    lab.cut()?;
    lab.with(Ext4::ByteLog)?;
    Ok(tree)
}

/// Compares the directory of a mounted filesystem with how it looked.
pub fn compare(lab: &mut Lab, dev: &Dev, expected: &Tree) -> Result<()> {
    let tree = lab.tree(&format!("{}/d", dev.dir()))?;
    for (name, entry) in expected {
        let found = tree.get(name);
        ensure!(
            found == Some(entry),
            "{name}: expected {entry:?}, found {found:?}"
        );
    }
    ensure!(tree.len() == expected.len(), "more names: {tree:?}");
    Ok(())
}

/// Mounts, which replays, and compares.
fn replay(lab: &mut Lab, dev: &Dev, expected: &Tree) -> Result<()> {
    let log = lab.mount(dev, OPTS)?;
    ensure!(
        log.iter().any(|line| line.contains(messages::REPLAYING)),
        "nothing replayed"
    );
    compare(lab, dev, expected)?;
    lab.umount(&dev.dir())?;
    lab.fsck_clean(dev)
}

fn again(lab: &mut Lab) -> Result<()> {
    lab.with(Ext4::ByteLog)?;
    let dev = lab.dev(DeviceKind::Sync)?;
    let expected = prepare(lab, &dev, OPTS)?;
    let journal = lab.journal(&dev)?.blocks.clone();
    let image = Image::open(&dev)?;
    let read = || image.read(0, (MIB << 20) as usize);
    let before = read()?;
    replay(lab, &dev, &expected)?;
    let after = read()?;

    // Written before any inode whose blocks are free there.
    let bitmap = before.get(BLOCK_BITMAP..BLOCK_BITMAP + 4);
    let bitmap = bitmap.map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])) as usize;
    let mut rng = fastrand::Rng::with_seed(lab.seed);
    for round in 0..ROUNDS {
        let mut medium = before.clone();
        let mut written = 0;
        for (number, block) in after.chunks(BLOCK as usize).enumerate() {
            // The log, and the mark that it is needed, go last.
            let at = number * BLOCK as usize;
            let old = &mut medium[at..at + BLOCK as usize];
            if number == 0 || journal.contains(&(number as u64)) || old == block {
                continue;
            }
            if round == 0 || number == bitmap || rng.bool() {
                old.copy_from_slice(block);
                written += 1;
            }
        }
        lab.forget_cache(&dev)?;
        image.write(0, &medium)?;
        lab.forget_cache(&dev)?;
        println!("   {written} blocks of the first replay written");
        // Of the bitmap at least: or this is the first replay again.
        ensure!(written > 0, "the medium is as before the first replay");
        replay(lab, &dev, &expected)?;
    }
    Ok(())
}
