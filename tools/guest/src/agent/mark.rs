// SPDX-License-Identifier: GPL-2.0
//! Marks in the trace of a recorded machine.

use anyhow::{bail, Context, Result};
use bytelog_trace::mark::{Kind, CODE};
use std::arch::asm;
use std::fs;

/// Leaves a mark, if somebody records; else does nothing.
pub fn mark(kind: Kind, number: u64) {
    // SAFETY: A no-op. The compiler may not know: nothing is to be moved across it.
    unsafe {
        asm!(
            ".8byte {code}",
            code = const u64::from_le_bytes(CODE),
            in("rdi") kind as u64,
            in("rsi") number,
            options(nostack, preserves_flags),
        );
    }
}

/// Starts the recording of a segment, or stops it.
pub fn segment(number: Option<u64>) -> Result<()> {
    match number {
        Some(number) => mark(Kind::Start, number),
        None => mark(Kind::Stop, 0),
    }
    Ok(())
}

/// Has calls of these functions of the kernel counted.
pub fn watch(functions: &[String]) -> Result<()> {
    let path = "/proc/kallsyms";
    let symbols = fs::read_to_string(path).context(path)?;
    for function in functions {
        mark(Kind::Watch, address(&symbols, function)?);
    }
    Ok(())
}

/// The address of a function of the kernel itself.
fn address(symbols: &str, function: &str) -> Result<u64> {
    // "ffffffff81000000 T name", and the module behind it where it is of one.
    let found = symbols.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (address, _, name) = (words.next()?, words.next()?, words.next()?);
        (name == function && words.next().is_none()).then_some(address)
    });
    match found.map(|address| u64::from_str_radix(address, 16)) {
        Some(Ok(address)) if address > 0 => Ok(address),
        _ => bail!("/proc/kallsyms has no address of {function}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_functions() {
        let symbols = "ffffffff81000000 T other\nffffffff81000010 t wanted_not\n\
                       ffffffff81000020 T wanted\nffffffffc0000000 t of_module\t[ext4]\n\
                       0000000000000000 T hidden\n";
        let of = |name| address(symbols, name).ok();
        assert_eq!(of("wanted"), Some(0xffff_ffff_8100_0020));
        assert_eq!(of("of_module"), None);
        assert_eq!(of("hidden"), None);
    }
}
