// SPDX-License-Identifier: GPL-2.0

//! The images that a power cut could leave of a memory: every word that is not
//! durable for certain is at any of the values it has had since.

use crate::memory::{Memory, Word, LINE, WORD};
use fastrand::Rng;
use std::ops::Range;

/// How many images of one state are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// All of them if there are no more than this.
    pub all: u64,
    /// Else this many, half of them at the edges.
    pub samples: u32,
}

/// A word with more than one possible value.
struct Choice {
    at: usize,
    /// Distinct; the first one is durable.
    values: Vec<Word>,
    /// Which one the program sees.
    newest: usize,
}

/// A state of a memory: all its images.
pub struct State {
    choices: Vec<Choice>,
    /// The choices of each cache line.
    lines: Vec<Range<usize>>,
}

/// How a state was covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// Every image.
    All,
    /// A sample.
    Sampled,
}

impl State {
    /// The state `memory` is in.
    pub fn of(memory: &Memory) -> Self {
        let mut choices = Vec::new();
        for (at, stores) in memory.pending() {
            let mut durable = [0; WORD];
            durable.copy_from_slice(&memory.durable()[at..at + WORD]);
            let mut values = vec![durable];
            let mut newest = 0;
            for value in stores {
                newest = match values.iter().position(|&known| known == value) {
                    Some(known) => known,
                    None => {
                        values.push(value);
                        values.len() - 1
                    }
                };
            }
            if values.len() > 1 {
                choices.push(Choice { at, values, newest });
            }
        }
        let mut lines: Vec<Range<usize>> = Vec::new();
        for (number, choice) in choices.iter().enumerate() {
            match lines.last_mut() {
                Some(line) if choices[line.start].at / LINE == choice.at / LINE => {
                    line.end = number + 1;
                }
                _ => lines.push(number..number + 1),
            }
        }
        Self { choices, lines }
    }

    /// How many images there are, as a power of two.
    pub fn log2(&self) -> f64 {
        let values = self.choices.iter().map(|c| c.values.len() as f64);
        values.map(f64::log2).sum()
    }

    /// How many images there are, if they can be counted.
    pub fn count(&self) -> Option<u64> {
        let values = self.choices.iter().map(|c| c.values.len() as u64);
        values.into_iter().try_fold(1, u64::checked_mul)
    }

    /// Shows images to `look`, within the budget, until it fails. `image` is what
    /// is durable, before and after.
    pub fn each<E>(
        &self,
        image: &mut [u8],
        budget: Budget,
        rng: &mut Rng,
        mut look: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Coverage, E> {
        let mut canvas = Canvas { state: self, image };
        if self.count().is_some_and(|count| count <= budget.all) {
            canvas.all(&mut look)?;
            return Ok(Coverage::All);
        }
        canvas.sample(budget.samples, rng, &mut look)?;
        Ok(Coverage::Sampled)
    }
}

/// An image being put together.
struct Canvas<'a> {
    state: &'a State,
    image: &'a mut [u8],
}

impl Canvas<'_> {
    fn set(&mut self, choice: usize, value: usize) {
        let choice = &self.state.choices[choice];
        self.image[choice.at..choice.at + WORD].copy_from_slice(&choice.values[value]);
    }

    /// Brings a run of words to what is durable, or to what the program sees.
    fn bring(&mut self, choices: Range<usize>, newest: bool) {
        for number in choices {
            let value = match newest {
                true => self.state.choices[number].newest,
                false => 0,
            };
            self.set(number, value);
        }
    }

    fn bring_all(&mut self, newest: bool) {
        self.bring(0..self.state.choices.len(), newest);
    }

    /// Counts through all values of all words.
    fn all<E>(&mut self, look: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut at = vec![0; self.state.choices.len()];
        loop {
            look(self.image)?;
            let mut digit = 0;
            loop {
                let Some(value) = at.get_mut(digit) else {
                    return Ok(());
                };
                *value = (*value + 1) % self.state.choices[digit].values.len();
                let value = *value;
                self.set(digit, value);
                if value != 0 {
                    break;
                }
                digit += 1;
            }
        }
    }

    /// First nothing more and everything; then one line, or one word, behind all
    /// others or ahead of them; then lines and words at random.
    fn sample<E>(
        &mut self,
        samples: u32,
        rng: &mut Rng,
        look: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let (words, lines) = (self.state.choices.len(), self.state.lines.len());
        look(self.image)?;
        self.bring_all(true);
        look(self.image)?;
        let mut left = samples.saturating_sub(2);
        // As many as there is room for, each once if there is room for all.
        let edges = left as usize / 8;
        for newest in [true, false] {
            self.bring_all(newest);
            for line in some_of(lines, edges, rng) {
                let range = self.state.lines[line].clone();
                self.bring(range.clone(), !newest);
                look(self.image)?;
                self.bring(range, newest);
                left = left.saturating_sub(1);
            }
            for word in some_of(words, edges, rng) {
                self.bring(word..word + 1, !newest);
                look(self.image)?;
                self.bring(word..word + 1, newest);
                left = left.saturating_sub(1);
            }
        }
        for _ in 0..left {
            self.scatter(rng);
            look(self.image)?;
        }
        self.bring_all(false);
        Ok(())
    }

    /// Lines at random, whole ones and torn ones, rare or frequent.
    fn scatter(&mut self, rng: &mut Rng) {
        let (here, torn) = (rng.u8(1..8), [0, 1, 8][rng.usize(..3)]);
        for line in 0..self.state.lines.len() {
            let range = self.state.lines[line].clone();
            if rng.u8(..8) < torn {
                for number in range {
                    let values = self.state.choices[number].values.len();
                    let newest = self.state.choices[number].newest;
                    let value = match rng.u8(..8) < here {
                        true if values > 2 || newest == 0 => rng.usize(..values),
                        true => newest,
                        false => 0,
                    };
                    self.set(number, value);
                }
            } else {
                self.bring(range, rng.u8(..8) < here);
            }
        }
    }
}

/// Up to `most` of the numbers below `n`, without repetition where that is all.
fn some_of(n: usize, most: usize, rng: &mut Rng) -> Vec<usize> {
    if n <= most {
        (0..n).collect()
    } else {
        (0..most).map(|_| rng.usize(..n)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Event;
    use bytelog::medium::Persistence;
    use std::collections::BTreeSet;

    fn state(stores: &[(u64, u8)]) -> (State, Vec<u8>) {
        let mut memory = Memory::new(Persistence::Synchronous, vec![0; 256]);
        for &(off, byte) in stores {
            let bytes = vec![byte; WORD];
            memory.apply(&Event::Store { off, bytes }).unwrap();
        }
        (State::of(&memory), memory.durable().to_vec())
    }

    fn images(stores: &[(u64, u8)], all: u64, samples: u32) -> (usize, BTreeSet<Vec<u8>>) {
        let (state, mut image) = state(stores);
        let (mut count, mut seen) = (0, BTreeSet::new());
        let budget = Budget { all, samples };
        state
            .each(&mut image, budget, &mut Rng::with_seed(1), |image| {
                count += 1;
                seen.insert(image.to_vec());
                Ok::<_, ()>(())
            })
            .unwrap();
        assert!(image.iter().all(|&byte| byte == 0), "not put back");
        (count, seen)
    }

    #[test]
    fn all_images_once() {
        // A word stored three times, one stored twice with the same, one not changed.
        let stores = [(0, 1), (0, 2), (8, 1), (8, 1), (64, 0), (128, 1), (0, 3)];
        let (count, seen) = images(&stores, 16, 0);
        assert_eq!((count, seen.len()), (16, 16));
    }

    #[test]
    fn samples_keep_to_the_budget_and_the_state() {
        let stores: Vec<_> = (0..32).map(|word| (word * 8, 1)).collect();
        let (state, _) = state(&stores);
        assert_eq!((state.count(), state.log2()), (Some(1 << 32), 32.0));
        let (count, seen) = images(&stores, 1 << 16, 1000);
        assert_eq!(count, 1000);
        assert!(seen.len() > 400 && seen.iter().flatten().all(|&byte| byte <= 1));
        assert!(seen.contains(&vec![0; 256]) && seen.contains(&vec![1; 256]));
        for line in 0..4 {
            let mut behind = vec![1; 256];
            behind[line * 64..][..64].fill(0);
            assert!(seen.contains(&behind));
        }
    }

    #[test]
    fn newest_can_be_what_is_durable() {
        let (_, seen) = images(&[(0, 1), (0, 0)], 1, 64);
        assert_eq!(seen.len(), 2);
    }
}
