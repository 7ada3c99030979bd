// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Power cuts at every step of the real writer: what was acknowledged is there,
//! what was not issued is not, and no cut looks like damage.

use crate::common::*;
use crate::sim::Sim;
use bytelog::error::WriteError;
use bytelog::writer::Persistence;
use std::cell::RefCell;
use std::rc::Rc;

const BLOCKS: u32 = 8;
/// Random images per step, besides the edges.
const SAMPLES: usize = 8;

/// What the outside world knows at a moment.
#[derive(Default)]
struct World {
    tid: u32,
    /// Commits of this tid, the last one perhaps in flight.
    issued: Vec<Issue>,
    acknowledged: usize,
    failed: usize,
    images: usize,
    rng: u64,
    /// Seen at least once: a cut that left an unacknowledged commit, and one that
    /// lost it.
    kept: bool,
    lost: bool,
}

struct Issue {
    payload: Vec<u8>,
    describes_data: bool,
}

impl World {
    /// A commit is about to be made.
    fn issue(&mut self, sim: &mut Sim, tlvs: &[Vec<u8>]) {
        // One that failed is not owed, and gives way to the next.
        self.issued.truncate(self.acknowledged);
        self.issued.push(Issue {
            describes_data: tlvs.iter().any(|tlv| tlv[0] == 1),
            payload: tlvs.concat(),
        });
        let number = self.issued.len() as u32;
        sim.data_durable = sim.data_durable.min(number - 1);
        sim.data_stored = number;
    }

    /// Nothing of the old transaction is owed any more.
    fn full_commit(&mut self, sim: &mut Sim) {
        self.tid += 1;
        self.issued.clear();
        self.acknowledged = 0;
        (sim.data_stored, sim.data_durable) = (0, 0);
    }

    /// Reads `image` as recovery would, and checks what is found.
    fn check(&mut self, sim: &Sim, image: &[u8]) -> Result<(), String> {
        self.images += 1;
        let (log, commits) = read(image, self.tid).map_err(|error| error.to_string())?;
        if log.commits as usize != commits.len() {
            return Err("count".into());
        }
        if commits.len() < self.acknowledged {
            return Err(format!(
                "{} acknowledged, {} there",
                self.acknowledged,
                commits.len()
            ));
        }
        if commits.len() > self.issued.len() {
            return Err("a commit that was not issued".into());
        }
        for (number, (found, issue)) in commits.iter().zip(&self.issued).enumerate() {
            if *found != issue.payload {
                return Err(format!("commit {number} is not what was issued"));
            }
            if issue.describes_data && sim.data_durable < number as u32 + 1 {
                return Err(format!("commit {number} is there and its data is not"));
            }
        }
        if self.issued.len() > self.acknowledged {
            self.kept |= commits.len() == self.issued.len();
            self.lost |= commits.len() < self.issued.len();
        }
        let again = read(image, self.tid).map_err(|error| error.to_string())?;
        if again != (log, commits) {
            return Err("read twice, found different".into());
        }
        Ok(())
    }

    fn check_all(&mut self, sim: &Sim) -> Result<(), String> {
        self.check(sim, &sim.image_of_nothing_more())?;
        self.check(sim, &sim.image_of_everything())?;
        for image in sim.edge_images() {
            self.check(sim, &image)?;
        }
        let mut rng = Rng(self.rng);
        for _ in 0..SAMPLES {
            self.check(sim, &sim.random_image(&mut rng))?;
        }
        self.rng = rng.next() | 1;
        Ok(())
    }
}

/// Random commits, aborted, empty and failing ones and new transactions on a medium
/// of one kind, every state of it cut off.
fn run(persistence: Persistence, seed: u64) -> Result<Rc<RefCell<World>>, String> {
    let mut rng = Rng(seed);
    let world = Rc::new(RefCell::new(World {
        tid: 3,
        rng: seed ^ 0xabcd,
        ..World::default()
    }));
    // Underneath: an older life of the same filesystem with the same tids.
    let mut ram = Ram::new(BLOCKS);
    for (tid, nonce) in [(4, 70), (3, 71)] {
        let mut old = writer(BLOCKS, tid, nonce);
        for _ in 0..30 {
            let tlvs = rng.tlvs(4);
            let _ = try_commit(&mut old, &mut ram, &tlvs);
            old.discard();
        }
    }
    ram.bytes[..4096].fill(0);

    let failure = Rc::new(RefCell::new(None));
    let mut sim = Sim::new(ram.bytes, persistence);
    let (watching, failed) = (world.clone(), failure.clone());
    sim.watch(move |sim| {
        let mut failed = failed.borrow_mut();
        if failed.is_none() {
            let result = watching.borrow_mut().check_all(sim);
            *failed = result
                .err()
                .map(|error| format!("step {}: {error}", sim.steps));
        }
    });

    let mut log = idle_writer(BLOCKS);
    log.start(3, rng.next() as u32);
    for _ in 0..16 {
        let most = [1, 2, 5, 60][rng.below(4)];
        let tlvs = rng.tlvs(most);
        match rng.below(12) {
            0 => {
                let _ = gather(&mut log, &mut sim, &tlvs);
                log.discard();
                continue;
            }
            1 => {
                // A failed commit has closed the log, or this is the barrier.
                let failed = world.borrow().failed > 0;
                match log.commit(&mut sim) {
                    Ok(_) => (),
                    Err(error) => assert!(failed && error == WriteError::Closed),
                }
                continue;
            }
            2 => {
                world.borrow_mut().full_commit(&mut sim);
                log.start(world.borrow().tid, rng.next() as u32);
                continue;
            }
            3 | 4 => sim.lives = Some(rng.below(6)),
            _ => (),
        }
        if gather(&mut log, &mut sim, &tlvs).is_err() {
            sim.lives = None;
            log.discard();
            continue;
        }
        world.borrow_mut().issue(&mut sim, &tlvs);
        match log.commit(&mut sim) {
            Ok(_) => world.borrow_mut().acknowledged += 1,
            // It may be there or not, until something else is.
            Err(_) => world.borrow_mut().failed += 1,
        }
        sim.lives = None;
        let result = world.borrow_mut().check_all(&sim);
        if let Err(error) = result {
            return Err(format!("after the commit: {error}"));
        }
        assert_eq!(log.commits() as usize, world.borrow().acknowledged);
    }
    let failure = failure.borrow_mut().take();
    match failure {
        Some(error) => Err(error),
        None => Ok(world),
    }
}

fn cut_off_everywhere(persistence: Persistence, first_seed: u64) {
    let (mut images, mut failed, mut kept, mut lost) = (0, 0, false, false);
    for seed in first_seed..first_seed + 60 {
        let world = run(persistence, seed).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let world = world.borrow();
        images += world.images;
        failed += world.failed;
        kept |= world.kept;
        lost |= world.lost;
    }
    println!("{persistence:?}: {images} images, {failed} failed commits");
    assert!(images > 10_000 && failed > 20 && kept && lost);
}

#[test]
fn power_cuts_on_a_synchronous_device() {
    cut_off_everywhere(Persistence::Synchronous, 0x1000);
}

#[test]
fn power_cuts_on_a_device_that_needs_flushes() {
    cut_off_everywhere(Persistence::NeedsFlush, 0x2000);
}

/// The simulation can tell: a medium without one of its operations loses commits.
mod broken_protocols {
    use super::*;
    use bytelog::writer::Medium;

    /// Leaves out one operation.
    struct Without {
        sim: Sim,
        fence: bool,
        flush: bool,
        write_back_short: u64,
    }

    impl Medium for Without {
        type Error = Broken;

        fn copy_in(&mut self, off: u64, bytes: &[u8]) -> Result<(), Broken> {
            self.sim.copy_in(off, bytes)
        }

        fn write_back(&mut self, off: u64, len: u64) -> Result<(), Broken> {
            self.sim.write_back(off, len - self.write_back_short)
        }

        fn fence(&mut self) {
            if !self.fence {
                self.sim.fence();
            }
        }

        fn flush_device(&mut self) -> Result<(), Broken> {
            match self.flush {
                true => Ok(()),
                false => self.sim.flush_device(),
            }
        }

        fn persistence(&self) -> Persistence {
            self.sim.persistence()
        }
    }

    /// Commits read after a cut that follows three acknowledged ones.
    fn survivors(persistence: Persistence, fence: bool, flush: bool, short: u64) -> usize {
        let image = vec![0; (BLOCK * BLOCKS) as usize];
        let mut medium = Without {
            sim: Sim::new(image, persistence),
            fence,
            flush,
            write_back_short: short,
        };
        let mut log = writer(BLOCKS, 3, 4);
        for i in 0..3 {
            gather(&mut log, &mut medium, &[creat(100, i)]).unwrap();
            log.commit(&mut medium).unwrap();
        }
        read(&medium.sim.image_of_nothing_more(), 3).map_or(0, |(_, commits)| commits.len())
    }

    #[test]
    fn lose_commits() {
        use Persistence::{NeedsFlush, Synchronous};
        assert_eq!(survivors(Synchronous, false, false, 0), 3);
        assert_eq!(survivors(NeedsFlush, false, false, 0), 3);
        assert_eq!(survivors(Synchronous, true, false, 0), 0);
        assert_eq!(survivors(Synchronous, false, false, 64), 0);
        assert_eq!(survivors(NeedsFlush, true, false, 0), 0);
        assert_eq!(survivors(NeedsFlush, false, true, 0), 0);
    }
}
